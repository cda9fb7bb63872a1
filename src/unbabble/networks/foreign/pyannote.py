"""pyannote's segmentation network (``PyanNet`` of segmentation-3.0): ``pytorch_model.bin``, its tensors alone.

Filters of sine and cosine whose band is learnt, pooled magnitudes, two convolutions, an LSTM both ways, layers of
single frames, and a class for each set of talkers. H. Bredin, "pyannote.audio 2.1 speaker diarization pipeline",
Interspeech 2023; M. Ravanelli, Y. Bengio, "Speaker recognition from raw waveform with SincNet", SLT 2018; M. Pariente,
S. Cornell, A. Deleforge, E. Vincent, "Filterbank design for end-to-end speech separation", ICASSP 2020 (the sines).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.config import check_names
from unbabble.base.errors import InputError
from unbabble.base.registry import Card
from unbabble.base.weights import describe_difference
from unbabble.networks.foreign.reading import count, need, read_pickled, read_tensors
from unbabble.nn.kinds.segmenter import NeuralSegmenter
from unbabble.signal.powerset import talkers_of

INERT = ("pyannote.", "pytorch_lightning.", "lightning.", "omegaconf.")
"""Objects that the file holds beside tensors, of which nothing is needed."""
SAMPLE_RATE, SECONDS = 16000, 10.0
TAPS, STRIDE, POOLED = 251, 10, 3
LEAST_HERTZ = 50.0
"""Of the lowest frequency of a filter, and of its width."""
FRAME_SAMPLES = STRIDE * POOLED**3
FIELD = 991
"""Samples that a frame hears."""
_HEAD = {"sincnet.conv1d.0.filterbank.low_hz_", "lstm.weight_ih_l0", "classifier.weight"}
_FIXED = ("sincnet.conv1d.0.filterbank.window_", "sincnet.conv1d.0.filterbank.n_")
"""Not learnt, and computed here."""


def is_pyannote(content: Any) -> bool:
    """Whether what a file holds is such a network."""
    return _state(content).keys() >= _HEAD


def _state(content: Any) -> dict[str, Any]:
    """Tensors by name."""
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    return (
        {str(name): each for name, each in state.items() if torch.is_tensor(each)}
        if isinstance(state, dict)
        else {}
    )


class Filters(nn.Module):
    """Band passes, a cosine and a sine of each band, under a Hamming window.

    Args:
        bands: half as many as filters.
    """

    window: Tensor
    phases: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.low_hz_, self.band_hz_ = nn.Parameter(torch.ones(bands, 1)), nn.Parameter(torch.ones(bands, 1))
        half = TAPS // 2
        window = torch.hamming_window(TAPS, periodic=False, dtype=torch.float64)[:half].float()
        self.register_buffer("window", window, persistent=False)
        phases = 2 * math.pi * (torch.arange(-half, 0.0) / SAMPLE_RATE)
        self.register_buffer("phases", phases, persistent=False)

    def forward(self) -> Float[Tensor, "filter 1 tap"]:
        """All cosines, then all sines."""
        low = LEAST_HERTZ + self.low_hz_.abs()
        high = (low + LEAST_HERTZ + self.band_hz_.abs()).clamp(LEAST_HERTZ, SAMPLE_RATE / 2)
        below, above, middle = low * self.phases, high * self.phases, 2 * (high - low)
        shape = self.window / (self.phases / 2)
        cosines, sines = (above.sin() - below.sin()) * shape, (below.cos() - above.cos()) * shape
        even = torch.cat([cosines, middle, cosines.flip(1)], 1)
        odd = torch.cat([sines, torch.zeros_like(middle), -sines.flip(1)], 1)
        return (torch.cat([even, odd]) / middle.repeat(2, 1))[:, None]


class Encoder(nn.Module):
    """Where pyannote keeps its filters: their convolution."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.filterbank = Filters(bands)

    def forward(self, waveform: Float[Tensor, "batch 1 time"]) -> Float[Tensor, "batch filter place"]:
        """Magnitudes."""
        return nn.functional.conv1d(waveform, self.filterbank(), stride=STRIDE).abs()


class SincNet(nn.Module):
    """From samples to frames: three convolutions, each pooled by threes, normalised over time, leaky ReLU.

    Args:
        bands: of the first convolution.
        channels: of the other two.
    """

    def __init__(self, bands: int, channels: int) -> None:
        super().__init__()
        self.wav_norm1d = nn.InstanceNorm1d(1, affine=True)
        self.conv1d = nn.ModuleList(
            [Encoder(bands), nn.Conv1d(2 * bands, channels, 5), nn.Conv1d(channels, channels, 5)]
        )
        self.norm1d = nn.ModuleList(
            nn.InstanceNorm1d(width, affine=True) for width in (2 * bands, channels, channels)
        )

    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch channel frame"]:
        """Frames 270 samples apart."""
        x = self.wav_norm1d(waveform[:, None])
        for convolution, norm in zip(self.conv1d, self.norm1d, strict=True):
            x = nn.functional.leaky_relu(norm(nn.functional.max_pool1d(convolution(x), POOLED)))
        return x


class PyanNet(NeuralSegmenter):
    """See the module.

    Args:
        bands: of the first convolution, half as many as its filters.
        channels: of the other two.
        hidden: units of the LSTM, one way.
        layers: of the LSTM.
        widths: of the layers of single frames.
        talkers: that are told apart.
    """

    card: ClassVar[Card] = Card(
        "pyannote_segmentation",
        "segmenter",
        "Says who of three talks when, two at once.",
        "Bredin: pyannote.audio 2.1 speaker diarization pipeline; Plaquet, Bredin: Powerset, Interspeech 2023",
        network=True,
    )

    def __init__(
        self, *, bands: int, channels: int, hidden: int, layers: int, widths: tuple[int, ...], talkers: int
    ) -> None:
        super().__init__(
            talkers=talkers,
            sample_rate=SAMPLE_RATE,
            seconds=SECONDS,
            frame_samples=FRAME_SAMPLES,
            first_sample=(FIELD - 1) / 2,
        )
        self.sincnet = SincNet(bands, channels)
        self.lstm = nn.LSTM(channels, hidden, layers, batch_first=True, bidirectional=True)
        sizes = (2 * hidden, *widths)
        self.linear = nn.ModuleList(map(nn.Linear, sizes, widths))
        self.classifier = nn.Linear(sizes[-1], len(self.classes))

    def log_probs(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frame class"]:
        """Frames 16.875 ms apart; a recording shorter than three of them is filled up with silence."""
        missing = max(0, FIELD + 2 * FRAME_SAMPLES - waveform.shape[1])
        x, _ = self.lstm(self.sincnet(nn.functional.pad(waveform, (0, missing))).mT)
        for layer in self.linear:
            x = nn.functional.leaky_relu(layer(x))
        return self.classifier(x).log_softmax(2)


def load_pyannote(path: Path, given: Mapping[str, Any]) -> PyanNet:
    """The network in the file ``path``.

    Raises:
        InputError: damaged, unsafe, or another network, and what differs.
        UsageError: an option, of which it has none.
    """
    check_names(given, [], f"Model '{path}'")
    state = read_tensors(path, _state(read_pickled(path, INERT)))
    tensors = {name: each for name, each in state.items() if name not in _FIXED}
    classes = len(need(tensors, "classifier.weight", path, 2))
    if (talkers := talkers_of(classes)) is None:
        raise InputError(
            f"'{path.name}' tells {classes} classes, which are no sets of up to two talkers: Unbabble reads "
            "pyannote's segmentation networks from version 3 on."
        )
    network = PyanNet(
        bands=len(need(tensors, "sincnet.conv1d.0.filterbank.low_hz_", path, 2)),
        channels=len(need(tensors, "sincnet.conv1d.1.weight", path, 3)),
        hidden=need(tensors, "lstm.weight_hh_l0", path, 2).shape[1],
        layers=sum(name.startswith("lstm.weight_hh") for name in tensors) // 2,
        widths=tuple(
            len(need(tensors, f"linear.{layer}.weight", path, 2))
            for layer in range(count(tensors, "linear."))
        ),
        talkers=talkers,
    )
    theirs, ours = ({n: tuple(t.shape) for n, t in each.items()} for each in (tensors, network.state_dict()))
    if problem := describe_difference(str(path), theirs, ours):
        raise InputError(problem)
    network.load_state_dict(tensors)
    return network.eval()
