"""CLAP: recordings and texts that describe them, in one space; what sounds as it is described is near to it.

B. Elizalde, S. Deshmukh, M. Al Ismail, H. Wang, "CLAP: learning audio concepts from natural language supervision",
ICASSP 2023. An encoder of sounds and one of texts, a projection behind each, and the loss of ``nn.contrast``.
Differences: the encoder of sounds is a small convolutional one; that of texts, whichever it is, does not learn.

=========== =================== =======================================================================
paper       code                meaning
=========== =================== =======================================================================
f_a         ``audio``           encoder of sounds, from log mel bands
f_t         ``text``            encoder of texts: any method of the kind text encoder
L_a, L_t    ``of_audio``        projections to the space that both share, and ``of_text``
tau         ``log_scale``       learnt, a logarithm
=========== =================== =======================================================================

A projection, as in the authors' code: LayerNorm(W1 x + Dropout(W2 GELU(W1 x))).
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base import registry
from unbabble.base.config import check_arguments
from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.contrast import bounded, log_scale
from unbabble.nn.kinds.joint_embedder import NeuralJointEmbedder
from unbabble.signal.mel import mel_filters

FRAME_SECONDS = 0.032
FLOOR = 1e-4
RANGE = 10.0
"""Natural logarithms, down from the loudest of a recording: softer bands are all the same."""
MASKED_BANDS, MASKED_FRAMES = 8, 20
WIDEST = 6
"""Times the channels of the first convolution."""


class Projection(nn.Module):
    """From an encoder to the space that both share.

    Args:
        inputs: numbers of an encoder's vector.
        outputs: numbers of the space.
        dropout: share of the second matrix's outputs that are 0 in training.
    """

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, outputs, bias=False)
        self.second = nn.Linear(outputs, outputs, bias=False)
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(outputs)

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """Of unit norm."""
        x = self.first(x)
        x = self.norm(x + self.dropout(self.second(nn.functional.gelu(x))))
        return nn.functional.normalize(x, dim=-1)


class SoundEncoder(nn.Module):
    """Convolutions over log mel bands, each of half the bands and frames; mean and maximum over time.

    Args:
        bands: of the mel scale.
        widths: channels of the convolutions.
        sample_rate: Hz.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, bands: int, widths: tuple[int, ...], sample_rate: int) -> None:
        super().__init__()
        self.points = 2 * round(FRAME_SECONDS * sample_rate / 2)
        self.register_buffer("window", torch.hann_window(self.points), persistent=False)
        self.register_buffer("filters", mel_filters(bands, self.points, sample_rate), persistent=False)
        self.layers = nn.Sequential()
        for before, width in zip((1, *widths[:-1]), widths, strict=True):
            self.layers += nn.Sequential(
                nn.Conv2d(before, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
            )

    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch feature"]:
        """Of waveforms at about unit level; in training, shifted in time and partly masked."""
        bands = self.bands(waveform)
        if self.training:
            bands = distorted(bands)
        channels = self.layers(bands[:, None]).mean(2)
        return torch.cat([channels.mean(2), channels.amax(2)], 1)

    def bands(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch band frame"]:
        """Log mel, from about 0 for what is softest to 2 for what is loudest."""
        short = self.points - waveform.shape[-1]
        if short > 0:
            waveform = nn.functional.pad(waveform, (0, short))
        with torch.autocast(waveform.device.type, enabled=False):
            spectra = torch.stft(
                waveform.float(), self.points, self.points, window=self.window, return_complex=True
            )
            logs = (self.filters @ spectra.abs().square() + FLOOR).log()
        return (logs - logs.amax((1, 2), keepdim=True)).clamp(min=-RANGE) / (RANGE / 2) + 2


def distorted(bands: Float[Tensor, "batch band frame"]) -> Float[Tensor, "batch band frame"]:
    """Recordings that begin elsewhere, with some bands and frames as soft as can be."""
    batch, height, frames = bands.shape
    changed = bands.clone()
    for item in range(batch):
        changed[item] = changed[item].roll(int(torch.randint(frames, ())), 1)
        for axis, most, length in ((0, MASKED_BANDS, height), (1, MASKED_FRAMES, frames)):
            wide = int(torch.randint(min(most, length // 8) + 1, ()))
            first = int(torch.randint(length - wide + 1, ()))
            changed[item].narrow(axis, first, wide).fill_(0)
    return changed


@register(
    name="clap",
    contract="joint embedder",
    summary="Finds sounds by words: recordings and texts in one space.",
    citation="Elizalde, Deshmukh, Al Ismail, Wang: CLAP, ICASSP 2023",
    network=True,
)
class CLAP(NeuralJointEmbedder):
    """See the module.

    Args:
        text: method that encodes texts.
        text_options: of that.
        bands: mel bands.
        channels: of the first convolution over them; each further one has twice as many, up to six times.
        layers: convolutions.
        dimension: numbers of the space that both share.
        dropout: in the projections.
        sample_rate: Hz, that of its training data.
        window_seconds: how much of a recording it is best given at once.
        words: what it has learnt to hear, by name, with commas between.

    Raises:
        UsageError: sizes that make no sense, or a method that encodes no texts.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "text_options": {"letters": 30, "pieces": 6, "dimension": 8},
        "bands": 16,
        "channels": 4,
        "layers": 3,
        "dimension": 8,
        "dropout": 0.0,
    }

    def __init__(
        self,
        *,
        text: str = "word_vectors",
        text_options: dict[str, int] | None = None,
        bands: int = 64,
        channels: int = 32,
        layers: int = 4,
        dimension: int = 256,
        dropout: float = 0.3,
        sample_rate: int = 16000,
        window_seconds: float = 5.0,
        words: str = "",
    ) -> None:
        super().__init__(sample_rate=sample_rate, window_seconds=window_seconds, words=words)
        if bands < 8 or min(channels, layers, dimension) < 1:
            raise UsageError("A CLAP has 8 bands at least, a convolution, and a dimension.")
        if registry.find(text)[0].contract != "text encoder":
            raise UsageError(f"'{text}' encodes no texts: word_vectors and sentence_bert do.")
        method = registry.method(text)
        self.text = method(**check_arguments(method, text_options or {}, f"Method '{text}'"))
        self.text.requires_grad_(False)
        widths = tuple(channels * min(2**layer, WIDEST) for layer in range(layers))
        self.audio = SoundEncoder(bands, widths, sample_rate)
        self.of_audio = Projection(2 * widths[-1], dimension, dropout)
        self.of_text = Projection(self.text.dimension, dimension, dropout)
        self.log_scale = nn.Parameter(log_scale())

    def embed(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """From the whole recording."""
        return self.of_audio(self.audio(waveform))

    def describe(self, tokens: Int[Tensor, "text token"]) -> Float[Tensor, "text dimension"]:
        """From the whole text, whose encoder does not learn."""
        with torch.no_grad():
            vectors = self.text(tokens)
        return self.of_text(vectors.to(self.log_scale.dtype))

    def scale(self) -> Float[Tensor, ""]:
        """See ``nn.contrast``."""
        return bounded(self.log_scale)
