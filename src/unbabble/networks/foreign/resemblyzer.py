"""Resemblyzer's d-vector: ``pretrained.pt``, as its wheel has it (``pip download --no-deps resemblyzer``).

An LSTM over mel bands that learnt with the GE2E loss (Wan et al., ICASSP 2018): windows of 1.6 s, 1.3 a second; its
last state, a matrix, ReLU; the mean over windows. Differences of use: silences are not cut out, and every recording is
heard at -30 dB, not only those that are softer.
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
from unbabble.nn.kinds.embedder import NeuralEmbedder

FILE = "pretrained.pt"
SAMPLE_RATE, FRAME_LENGTH, HOP = 16000, 400, 160
LEVEL = 10 ** (-30 / 20)
"""Of what the network hears; recordings come at unit level."""
WINDOW_FRAMES, STEP_FRAMES = 160, 77
LEAST_SHARE = 0.75
"""A last window that has less of the recording is left out, unless it is the only one."""
_STATE, _TRAINING_ONLY = "model_state", ("similarity_weight", "similarity_bias")


def is_resemblyzer(content: Any) -> bool:
    """Whether what a file holds is such a network."""
    state = content.get(_STATE) if isinstance(content, dict) else None
    return isinstance(state, dict) and {"lstm.weight_ih_l0", "linear.weight"} <= state.keys()


class Resemblyzer(NeuralEmbedder):
    """See the module.

    Args:
        bands: mel bands.
        hidden: units of a layer.
        layers: of the LSTM.
        dimension: numbers of an embedding.
    """

    card: ClassVar[Card] = Card(
        "resemblyzer",
        "embedder",
        "Tells speakers apart with a recurrent network that learnt with the GE2E loss.",
        "Wan et al.: Generalized end-to-end loss for speaker verification, ICASSP 2018; C. Jemine: Resemblyzer",
        network=True,
    )
    window: Tensor
    filters: Tensor

    def __init__(self, *, bands: int, hidden: int, layers: int, dimension: int) -> None:
        super().__init__(sample_rate=SAMPLE_RATE)
        self.lstm = nn.LSTM(bands, hidden, layers, batch_first=True)
        self.linear = nn.Linear(hidden, dimension)
        self.register_buffer("window", torch.hann_window(FRAME_LENGTH), persistent=False)
        self.register_buffer("filters", slaney_filters(bands, FRAME_LENGTH, SAMPLE_RATE), persistent=False)

    def embed(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """Mean over windows."""
        starts = window_starts(waveform.shape[1])
        end = (starts[-1] + WINDOW_FRAMES) * HOP
        waveform = nn.functional.pad(LEVEL * waveform, (0, max(0, end - waveform.shape[1])))
        bands = self.bands(waveform)
        windows = torch.stack([bands[:, start : start + WINDOW_FRAMES] for start in starts], 1)
        _, (states, _) = self.lstm(windows.flatten(0, 1))
        vectors = nn.functional.normalize(self.linear(states[-1]).relu(), dim=-1)
        return nn.functional.normalize(vectors.unflatten(0, windows.shape[:2]).mean(1), dim=-1)

    def bands(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frame band"]:
        """Mel powers, no logarithms."""
        spectra = torch.stft(
            waveform, FRAME_LENGTH, HOP, window=self.window, pad_mode="constant", return_complex=True
        )
        return (self.filters @ spectra.abs().square()).mT


def window_starts(samples: int) -> list[int]:
    """The first frames of the windows that a recording is cut into."""
    frames = samples // HOP + 1
    starts = list(range(0, max(1, frames - WINDOW_FRAMES + STEP_FRAMES + 1), STEP_FRAMES))
    last = (samples - starts[-1] * HOP) / (WINDOW_FRAMES * HOP)
    return starts[:-1] if last < LEAST_SHARE and len(starts) > 1 else starts


def slaney_filters(bands: int, points: int, sample_rate: int) -> Float[Tensor, "band frequency"]:
    """Triangles of unit area on Slaney's scale, linear below 1 kHz and logarithmic above: librosa's."""
    top = _to_slaney(torch.tensor(sample_rate / 2, dtype=torch.float64))
    edges = _from_slaney(torch.linspace(0, float(top), bands + 2, dtype=torch.float64))
    frequencies = torch.linspace(0, sample_rate / 2, points // 2 + 1, dtype=torch.float64)
    rising = (frequencies - edges[:-2, None]) / edges.diff()[:-1, None]
    falling = (edges[2:, None] - frequencies) / edges.diff()[1:, None]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).float()


_KNEE_HERTZ, _LINEAR, _LOG = 1000.0, 3 / 200, 27 / math.log(6.4)
_KNEE = _KNEE_HERTZ * _LINEAR


def _to_slaney(hertz: Tensor) -> Tensor:
    above = _KNEE + (hertz.clamp(min=_KNEE_HERTZ) / _KNEE_HERTZ).log() * _LOG
    return torch.where(hertz < _KNEE_HERTZ, hertz * _LINEAR, above)


def _from_slaney(mel: Tensor) -> Tensor:
    above = _KNEE_HERTZ * ((mel.clamp(min=_KNEE) - _KNEE) / _LOG).exp()
    return torch.where(mel < _KNEE, mel / _LINEAR, above)


def load_resemblyzer(path: Path, given: Mapping[str, Any]) -> Resemblyzer:
    """The network in the file ``path``.

    Raises:
        InputError: damaged, unsafe, or another network, and what differs.
        UsageError: an option, of which it has none.
    """
    check_names(given, [], f"Model '{path}'")
    state = read_tensors(path, read_pickled(path)[_STATE])
    tensors = {name: each for name, each in state.items() if name not in _TRAINING_ONLY}
    first = need(tensors, "lstm.weight_ih_l0", path, 2)
    linear = need(tensors, "linear.weight", path, 2)
    network = Resemblyzer(
        bands=first.shape[1],
        hidden=linear.shape[1],
        layers=count(tensors, "lstm.weight_ih_l"),
        dimension=len(linear),
    )
    theirs, ours = ({n: tuple(t.shape) for n, t in each.items()} for each in (tensors, network.state_dict()))
    if problem := describe_difference(str(path), theirs, ours):
        raise InputError(problem)
    network.load_state_dict(tensors)
    return network.eval()
