"""Masks from gated recurrent units: a personal enhancer's tiny network, and at full size its teacher.

The network of personalised speech enhancement at Indiana: A. Sivaraman, M. Kim, "Sparse mixture of local experts for
efficient speech enhancement", Interspeech 2020; S. Kim, M. Kim, "Test-time adaptation toward personalized speech
enhancement: zero-shot learning with knowledge distillation", WASPAA 2021. Students have two layers of 32 to 1024
units, the teacher three of 1024, a mask in [0, 1] for each of 513 frequencies of frames of 64 ms every 16 ms.

======== ===================== ============================================================================
papers   code                  meaning
======== ===================== ============================================================================
X        ``spectrum``          noisy, (batch, frame, frequency)
\\|X\\|    ``features``          magnitudes, here over the level so far and to the power of 0.3
M        ``mask``              (batch, frame, frequency)
S_hat    ``mask * spectrum``   enhanced
======== ===================== ============================================================================

Differences from the papers, all so that it can run live: frames are windowed asymmetrically, so that of 64 ms that are
looked at only the last 32 are written and waited for (D. Mauler, R. Martin, "A low delay, variable resolution, perfect
reconstruction spectral analysis-synthesis system for speech enhancement", EUSIPCO 2007); features have the level of
what came before taken out, so that the level of a recording makes no difference.
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.separator import NeuralSeparator
from unbabble.nn.streaming import RecordingStreamer, remembering

COMPRESSION = 0.3
LEAST_POWER = 1e-8
"""Of features, over the mean so far."""
MEMORY_FRAMES = 1875
"""The level so far is the mean of this many frames, 30 s, then fades: a stream has no end."""


def windows(length: int, heard: int) -> tuple[Float[Tensor, " time"], Float[Tensor, " time"]]:
    """Windows for analysis and for synthesis of the last ``heard`` of ``length`` samples (Mauler & Martin, 2007).

    Their product is a Hann window over these; with ``heard`` = ``length`` both are its square root.
    """
    half = heard // 2
    rise = torch.hann_window(2 * (length - half), dtype=torch.float64)[: length - half].sqrt()
    hann = torch.hann_window(heard, dtype=torch.float64)
    fall = hann[half:].sqrt()
    synthesis = torch.cat([hann[:half] / rise[length - heard :].clamp(min=1e-12), fall])
    return torch.cat([rise, fall]), synthesis


@register(
    name="gru",
    contract="separator",
    summary="Takes noise off speech with masks from gated recurrent units: tiny, live, made for one voice.",
    citation="Kim & Kim, WASPAA 2021; Sivaraman & Kim, Interspeech 2020",
    network=True,
)
class GRU(NeuralSeparator):
    """See the module.

    Args:
        hidden: units of a layer: 32 to 1024 of students, 1024 of the teacher.
        layers: 2 of students, 3 of the teacher.
        window_length: samples that a frame looks at.
        heard_length: samples at its end that it writes, and the delay of a stream.
        hop_length: samples between frames.
        sample_rate: Hz, that of its training data.
        reference: see ``NeuralSeparator``.

    Raises:
        UsageError: sizes that make no sense.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "hidden": 8, "layers": 2, "window_length": 64, "heard_length": 32, "hop_length": 16,
    }  # fmt: skip
    analysis: Tensor
    synthesis: Tensor

    def __init__(
        self,
        *,
        hidden: int = 64,
        layers: int = 2,
        window_length: int = 1024,
        heard_length: int = 512,
        hop_length: int = 256,
        sample_rate: int = 16000,
        reference: int = 0,
    ) -> None:
        super().__init__(sources=1, sample_rate=sample_rate, levels="kept", reference=reference)
        if min(hidden, layers, hop_length) < 1:
            raise UsageError(
                "A GRU has at least one unit and one layer, and frames are at least one sample apart."
            )
        if (
            heard_length % (2 * hop_length)
            or not 0 < heard_length <= window_length
            or window_length % hop_length
        ):
            raise UsageError(
                "What is heard of a frame is a multiple of twice the hop, and the frame one of the hop and no shorter."
            )
        self.window_length, self.heard_length, self.hop_length = window_length, heard_length, hop_length
        analysis, synthesis = windows(window_length, heard_length)
        self.register_buffer("analysis", analysis.float(), persistent=False)
        overlaps = heard_length // (2 * hop_length)  # a Hann window adds up to half of its overlaps
        self.register_buffer("synthesis", (synthesis / overlaps).float(), persistent=False)
        bins = window_length // 2 + 1
        self.level = LevelSoFar()
        self.recurrence = Recurrence(bins, hidden, layers)
        self.to_mask = nn.Linear(hidden, bins)

    def estimate(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch 1 time"]:
        """Mask all frames, and add up what is heard of them."""
        length, hop = mixture.shape[-1], self.hop_length
        count = (length + self.heard_length - 1) // hop
        padded = nn.functional.pad(mixture, (self.window_length - hop, count * hop - length))
        pieces = self.masked(padded.unfold(-1, self.window_length, hop))
        pieces = pieces.unflatten(-1, (-1, hop))
        shifts = pieces.shape[-2]
        hops = pieces.new_zeros(())
        for shift in range(shifts):
            hops = hops + nn.functional.pad(pieces[..., shift, :], (0, 0, shift, shifts - 1 - shift))
        first = self.heard_length - hop
        return hops.flatten(-2)[:, None, first : first + length]

    def masked(self, frames: Float[Tensor, "batch frame time"]) -> Float[Tensor, "batch frame heard"]:
        """What is heard of each frame, without noise; overlapping pieces add up to the waveform."""
        with torch.autocast(frames.device.type, enabled=False):
            spectrum = torch.view_as_real(torch.fft.rfft(frames.float() * self.analysis))
            power = spectrum.square().sum(-1)
        mask = self.to_mask(self.recurrence(self.features(power))).sigmoid()
        with torch.autocast(frames.device.type, enabled=False):
            masked = torch.view_as_complex(mask.float()[..., None] * spectrum)
            pieces = torch.fft.irfft(masked, n=self.window_length)
        return pieces[..., -self.heard_length :] * self.synthesis

    def features(
        self, power: Float[Tensor, "batch frame frequency"]
    ) -> Float[Tensor, "batch frame frequency"]:
        """Compressed magnitudes, over the level so far."""
        return compressed(power, self.level(power.mean(-1, keepdim=True)))

    def streamer(self) -> "GruStreamer":
        """``estimate`` in pieces."""
        return GruStreamer(self)

    def step(self) -> "GruStep":
        """One frame, with all that is remembered as arguments: for programs without PyTorch."""
        return GruStep(self)

    def stream(self, sample_rate: int, channels: int) -> RecordingStreamer:
        """An enhancement that takes its recording piece by piece.

        Raises:
            InputError: no such microphone.
        """
        return RecordingStreamer(self, sample_rate, channels)


class GruStep(nn.Module):
    """A frame in; what is heard of it, and what to bring along with the next frame, out.

    To begin with, ``mean``, ``count`` and ``state`` are zeros. Frames are the last ``window_length`` samples, every
    ``hop_length``; pieces overlap, each ``hop_length`` after the one before, and add up to the voice.
    """

    INPUTS: ClassVar[tuple[str, ...]] = ("frame", "mean", "count", "state")
    OUTPUTS: ClassVar[tuple[str, ...]] = ("piece", "next_mean", "next_count", "next_state")

    def __init__(self, network: GRU) -> None:
        super().__init__()
        self.network = network

    def start(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Arguments for silence, before anything was heard."""
        network, layers = self.network, self.network.recurrence.layers
        state = torch.zeros(layers.num_layers, layers.hidden_size)
        return torch.zeros(1, network.window_length), torch.zeros(1, 1), torch.zeros(1, 1), state

    def forward(
        self, frame: Float[Tensor, "1 time"], mean: Tensor, count: Tensor, state: Float[Tensor, "layer unit"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(1, heard), and the next ``mean``, ``count`` and ``state``."""
        network = self.network
        spectrum = torch.view_as_real(torch.fft.rfft(frame * network.analysis))
        power = spectrum.square().sum(-1)
        count = (count + 1).clamp(max=MEMORY_FRAMES)
        mean = mean + (power.mean(-1, keepdim=True) - mean) / count
        x = compressed(power, mean)
        states = []
        for layer in range(len(state)):
            x = self._cell(layer, x, state[layer : layer + 1])
            states.append(x)
        mask = network.to_mask(x).sigmoid()
        voice = torch.fft.irfft(torch.view_as_complex(mask[..., None] * spectrum), n=network.window_length)
        return voice[:, -network.heard_length :] * network.synthesis, mean, count, torch.cat(states)

    def _cell(self, layer: int, x: Tensor, h: Tensor) -> Tensor:
        """The layer's equations, as PyTorch has them: a matrix product each for what comes in and what was."""
        weights = self.network.recurrence.layers
        get = weights.get_parameter
        inner = nn.functional.linear(x, get(f"weight_ih_l{layer}"), get(f"bias_ih_l{layer}")).chunk(3, -1)
        before = nn.functional.linear(h, get(f"weight_hh_l{layer}"), get(f"bias_hh_l{layer}")).chunk(3, -1)
        reset, update = (inner[0] + before[0]).sigmoid(), (inner[1] + before[1]).sigmoid()
        return (1 - update) * (inner[2] + reset * before[2]).tanh() + update * h


def compressed(power: Tensor, level: Tensor) -> Tensor:
    """Magnitudes over the level, to the power of ``COMPRESSION``."""
    return (power / level.clamp(min=1e-20) + LEAST_POWER) ** (COMPRESSION / 2)


class LevelSoFar(nn.Module):
    """Mean power of the frames so far."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: tuple[Tensor, Tensor] | None = None

    def remember(self) -> None:
        """From now on, calls go on where the last one ended."""
        self.kept = torch.zeros(1, 1, 1), torch.zeros(1, 1, 1)

    def forward(self, power: Float[Tensor, "batch frame 1"]) -> Float[Tensor, "batch frame 1"]:
        """At each frame, with it."""
        if self.kept is None:
            counts = torch.arange(1, power.shape[1] + 1, device=power.device)[:, None]
            return power.cumsum(1) / counts
        found = []
        mean, count = self.kept
        for frame in power.split(1, 1):
            count = (count + 1).clamp(max=MEMORY_FRAMES)
            mean = mean + (frame - mean) / count
            found.append(mean)
        self.kept = mean, count
        return torch.cat(found, 1)


class Recurrence(nn.Module):
    """Gated recurrent units over frames."""

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.GRU(inputs, hidden, layers, batch_first=True)
        self.kept: Tensor | None = None
        self.remembers = False

    def remember(self) -> None:
        """From now on, calls go on where the last one ended."""
        self.kept, self.remembers = None, True

    def forward(self, x: Float[Tensor, "batch frame feature"]) -> Float[Tensor, "batch frame unit"]:
        """The last layer's units."""
        found, state = self.layers(x, self.kept)
        if self.remembers:
            self.kept = state
        return found


class GruStreamer:
    """``estimate`` in pieces: what ``push`` and at last ``flush`` return is, joined, that of what came in.

    Attributes:
        latency: samples by which output can be behind input.
    """

    def __init__(self, network: GRU) -> None:
        self._network: GRU = remembering(network)  # type: ignore[assignment]
        self.latency = network.heard_length - 1
        self._input = torch.zeros(1, network.window_length - network.hop_length)
        self._tail = torch.zeros(1, network.heard_length - network.hop_length)
        self._ahead = network.heard_length - network.hop_length
        """Samples that come out before the first one that came in: those of the silence before."""
        self._taken = self._given = 0

    def push(self, samples: Float[Tensor, " time"]) -> Float[Tensor, "1 time"]:
        """Take the next samples, any number, and return what is finished; ``time`` may be 0."""
        self._taken += len(samples)
        finished = self._advance(samples)
        self._given += finished.shape[1]
        return finished

    def flush(self) -> Float[Tensor, "1 time"]:
        """End the input: what was still missing."""
        missing = self._taken - self._given
        return self._advance(torch.zeros(self._network.heard_length))[:, :missing]

    @torch.no_grad()
    def _advance(self, samples: Tensor) -> Tensor:
        network, hop = self._network, self._network.hop_length
        joined = torch.cat([self._input, samples[None]], 1)
        count = (joined.shape[1] - network.window_length) // hop + 1
        if count < 1:
            self._input = joined
            return joined[:, :0]
        pieces = network.masked(joined.unfold(-1, network.window_length, hop))[0]
        self._input = joined[:, count * hop :].clone()
        sums = torch.zeros(1, count * hop + self._tail.shape[1])
        sums[:, : self._tail.shape[1]] = self._tail
        for number, piece in enumerate(pieces):
            sums[0, number * hop : number * hop + len(piece)] += piece
        self._tail = sums[:, count * hop :].clone()
        finished = sums[:, : count * hop]
        skipped = min(self._ahead, finished.shape[1])
        self._ahead -= skipped
        return finished[:, skipped:]
