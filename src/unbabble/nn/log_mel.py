"""Log mel bands of padded batches, as recognisers hear speech, and their masking while it is learnt."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.signal.mel import mel_filters

FRAME_SECONDS, HOP_SECONDS = 0.025, 0.01
RMS = 0.1
"""What every recording is scaled to: the floor below is relative to speech."""
FLOOR = 1e-6
LEAST_SPREAD = 0.1
"""Of logs; what varies less is no speech, and is not made louder than this has it."""
MASKED_BANDS, MASKED_FRAMES, FRAMES_PER_MASK = 20, 25, 250


class LogMel(nn.Module):
    """Of each band less its mean over the utterance, over one deviation of all; nothing depends on the padding.

    Args:
        bands: of the mel scale.
        sample_rate: Hz.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, bands: int, sample_rate: int) -> None:
        super().__init__()
        self.frame_length, self.hop = round(FRAME_SECONDS * sample_rate), round(HOP_SECONDS * sample_rate)
        self.points = 1 << (self.frame_length - 1).bit_length()
        self.register_buffer("window", torch.hann_window(self.frame_length), persistent=False)
        self.register_buffer("filters", mel_filters(bands, self.points, sample_rate), persistent=False)

    def count(self, lengths: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        """Frames of so many samples; one at least."""
        return torch.clamp(lengths // self.hop, min=1)

    def forward(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch frame band"]:
        """Frames; those beyond ``count(lengths)`` are 0.

        Args:
            waveform: zeros beyond its length; any level.
            lengths: samples of each.
        """
        with torch.autocast(waveform.device.type, enabled=False):
            waveform = waveform.float()
            power = waveform.square().sum(1, keepdim=True) / lengths[:, None].clamp(min=1)
            waveform = waveform * (RMS / power.sqrt().clamp(min=1e-10))
            edge = (self.points - self.hop) // 2
            frames = int(self.count(lengths).max())
            after = max(0, (frames - 1) * self.hop + self.points - edge - waveform.shape[1])
            spectra = torch.stft(
                nn.functional.pad(waveform, (edge, after)),
                self.points,
                self.hop,
                self.frame_length,
                self.window,
                center=False,
                return_complex=True,
            )[..., :frames]
            bands = (self.filters @ spectra.abs().square() + FLOOR).log().mT
            real = inside(self.count(lengths), frames)[..., None]
            counted = real.sum(1, keepdim=True)
            centred = (bands - (bands * real).sum(1, keepdim=True) / counted) * real
            spread = (centred.square().sum((1, 2), keepdim=True) / (counted * bands.shape[2])).sqrt()
            return centred / spread.clamp(min=LEAST_SPREAD)


def inside(counts: Int[Tensor, " batch"], frames: int) -> Tensor:
    """Which of so many frames are no padding, (batch, frame), bool."""
    return torch.arange(frames, device=counts.device) < counts[:, None]


def masked(
    bands: Float[Tensor, "batch frame band"], counts: Int[Tensor, " batch"]
) -> Float[Tensor, "batch frame band"]:
    """Some bands and stretches of each utterance are 0, its mean: SpecAugment.

    D. S. Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition", Interspeech
    2019, without warping: two masks of bands, and one of time every 2.5 s.
    """
    batch, frames, width = bands.shape
    keep = torch.ones(batch, frames, width, dtype=torch.bool)
    for item, count in enumerate(counts.tolist()):
        for _ in range(2):
            bound = min(MASKED_BANDS, width // 4)
            wide = int(torch.randint(bound + 1, ()))
            first = int(torch.randint(width - wide + 1, ()))
            keep[item, :, first : first + wide] = False
        for _ in range(max(1, count // FRAMES_PER_MASK)):
            long = int(torch.randint(min(MASKED_FRAMES, count // 4) + 1, ()))
            first = int(torch.randint(max(1, count - long), ()))
            keep[item, first : first + long] = False
    return bands * keep.to(bands.device)
