"""Masks on spectra, frame by frame, little behind their input: the frame of networks that enhance live.

Frames are windowed asymmetrically, so that of all that is looked at only the last part is written and waited for (D.
Mauler, R. Martin, "A low delay, variable resolution, perfect reconstruction spectral analysis-synthesis system for
speech enhancement", EUSIPCO 2007); features have the level of what came before taken out, so that the level of a
recording makes no difference.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.streaming import RecordingStreamer, remembering

COMPRESSION = 0.3
LEAST_POWER = 1e-8
"""Of features, over the mean so far."""
RECURRENT_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
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


class Frames(nn.Module):
    """A waveform in frames, their spectra, and back.

    Args:
        window_length: samples that a frame looks at.
        heard_length: samples at its end that it writes.
        hop_length: samples between frames.

    Raises:
        UsageError: lengths that do not fit.
    """

    analysis: Tensor
    synthesis: Tensor

    def __init__(self, window_length: int, heard_length: int, hop_length: int) -> None:
        super().__init__()
        if hop_length < 1:
            raise UsageError("Frames are at least one sample apart.")
        if (
            heard_length % (2 * hop_length)
            or not 0 < heard_length <= window_length
            or window_length % hop_length
        ):
            raise UsageError(
                "What is heard of a frame is a multiple of twice the hop, and the frame one of the hop and no shorter."
            )
        self.window_length, self.heard_length, self.hop_length = window_length, heard_length, hop_length
        self.bins = window_length // 2 + 1
        analysis, synthesis = windows(window_length, heard_length)
        self.register_buffer("analysis", analysis.float(), persistent=False)
        overlaps = heard_length // (2 * hop_length)  # a Hann window adds up to half of its overlaps
        self.register_buffer("synthesis", (synthesis / overlaps).float(), persistent=False)
        self.level = LevelSoFar()

    def cut(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frame window"]:
        """All frames that write something of it."""
        length, hop = waveform.shape[-1], self.hop_length
        count = (length + self.heard_length - 1) // hop
        padded = nn.functional.pad(waveform, (self.window_length - hop, count * hop - length))
        return padded.unfold(-1, self.window_length, hop)

    def spectra(
        self, frames: Float[Tensor, "batch frame window"]
    ) -> Float[Tensor, "batch frame frequency 2"]:
        """Real and imaginary parts."""
        with torch.autocast(frames.device.type, enabled=False):
            return torch.view_as_real(torch.fft.rfft(frames.float() * self.analysis))

    def features(
        self, spectra: Float[Tensor, "batch frame frequency 2"]
    ) -> Float[Tensor, "batch frame frequency"]:
        """Compressed magnitudes, over the level so far."""
        power = spectra.square().sum(-1)
        return compressed(power, self.level(power.mean(-1, keepdim=True)))

    def pieces(self, spectra: Float[Tensor, "batch frame frequency 2"]) -> Float[Tensor, "batch frame heard"]:
        """What is heard of each frame; overlapping pieces add up to the waveform."""
        with torch.autocast(spectra.device.type, enabled=False):
            found = torch.fft.irfft(torch.view_as_complex(spectra.float().contiguous()), n=self.window_length)
        return found[..., -self.heard_length :] * self.synthesis

    def join(self, pieces: Float[Tensor, "batch frame heard"], length: int) -> Float[Tensor, "batch time"]:
        """Add up pieces of all frames."""
        pieces = pieces.unflatten(-1, (-1, self.hop_length))
        shifts = pieces.shape[-2]
        hops = pieces.new_zeros(())
        for shift in range(shifts):
            hops = hops + nn.functional.pad(pieces[..., shift, :], (0, 0, shift, shifts - 1 - shift))
        first = self.heard_length - self.hop_length
        return hops.flatten(-2)[:, first : first + length]


class LiveMasks(NeuralSeparator):
    """A network that masks frame after frame; a method implements ``masks``.

    Args:
        window_length: samples that a frame looks at.
        heard_length: samples at its end that it writes, and the delay of a stream.
        hop_length: samples between frames.
        sample_rate: Hz, that of its training data.
        reference: see ``NeuralSeparator``.

    Raises:
        UsageError: lengths that do not fit.
    """

    def __init__(
        self, *, window_length: int, heard_length: int, hop_length: int, sample_rate: int, reference: int
    ) -> None:
        super().__init__(sources=1, sample_rate=sample_rate, levels="kept", reference=reference)
        self.frames = Frames(window_length, heard_length, hop_length)

    @abstractmethod
    def masks(
        self, features: Float[Tensor, "batch frame frequency"]
    ) -> Float[Tensor, "batch frame frequency"]:
        """Between 0 and 1, each from frames up to its own."""

    def estimate(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch 1 time"]:
        """Mask all frames, and add up what is heard of them."""
        pieces = self.masked(self.frames.cut(mixture))
        return self.frames.join(pieces, mixture.shape[-1])[:, None]

    def masked(self, frames: Float[Tensor, "batch frame window"]) -> Float[Tensor, "batch frame heard"]:
        """What is heard of each frame, without noise."""
        spectra = self.frames.spectra(frames)
        return self.frames.pieces(self.masks(self.frames.features(spectra)).float()[..., None] * spectra)

    def streamer(self) -> "MaskStreamer":
        """``estimate`` in pieces."""
        return MaskStreamer(self)

    def stream(self, sample_rate: int, channels: int) -> RecordingStreamer:
        """An enhancement that takes its recording piece by piece.

        Raises:
            InputError: no such microphone.
        """
        return RecordingStreamer(self, sample_rate, channels)


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

    def forget(self) -> None:
        """The next call begins anew."""
        self.kept = None

    @property
    def weights(self) -> list[tuple[Tensor, ...]]:
        """Of each layer, as ``recurrent_step`` takes them."""
        return [
            tuple(self.layers.get_parameter(f"{name}_l{layer}") for name in RECURRENT_WEIGHTS)
            for layer in range(self.layers.num_layers)
        ]

    def forward(self, x: Float[Tensor, "batch frame feature"]) -> Float[Tensor, "batch frame unit"]:
        """The last layer's units."""
        found, state = self.layers(x, self.kept)
        if self.remembers:
            self.kept = state
        return found


def recurrent_step(
    x: Float[Tensor, "1 feature"], state: Float[Tensor, "layer unit"], weights: Sequence[Sequence[Tensor]]
) -> Float[Tensor, "layer unit"]:
    """The units of all layers after one frame: PyTorch's equations, a product for what comes in and for what was.

    Args:
        x: features of the frame.
        state: the units before.
        weights: of each layer, in the order of ``RECURRENT_WEIGHTS``.
    """
    states = []
    for before, (weight_in, weight_before, bias_in, bias_before) in zip(state.split(1), weights, strict=True):
        new = nn.functional.linear(x, weight_in, bias_in).chunk(3, -1)
        old = nn.functional.linear(before, weight_before, bias_before).chunk(3, -1)
        reset, update = (new[0] + old[0]).sigmoid(), (new[1] + old[1]).sigmoid()
        x = (1 - update) * (new[2] + reset * old[2]).tanh() + update * before
        states.append(x)
    return torch.cat(states)


class LiveStep(nn.Module):
    """A frame in; what is heard of it, and what to bring along with the next frame, out.

    Frames are the last ``window_length`` samples, every ``hop_length``; pieces overlap, each ``hop_length`` after the
    one before, and add up to the voice. What is brought along is zeros to begin with: of all methods the mean power
    so far and how many frames it is of, and what else the method remembers.
    """

    INPUTS: ClassVar[tuple[str, ...]]
    """Names of the arguments: the frame, then what is brought along."""

    def __init__(self, frames: Frames) -> None:
        super().__init__()
        self.frames = frames

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what is returned: the piece, then what is brought along."""
        return ("piece", *(f"next_{name}" for name in self.INPUTS[1:]))

    @abstractmethod
    def start(self) -> tuple[Tensor, ...]:
        """Arguments for silence, before anything was heard."""

    def heard(
        self, frame: Float[Tensor, "1 window"], mean: Float[Tensor, "1 1"], count: Float[Tensor, "1 1"]
    ) -> tuple[Float[Tensor, "1 frequency 2"], Float[Tensor, "1 frequency"], Tensor, Tensor]:
        """Spectrum, features, and the next ``mean`` and ``count``."""
        spectrum = torch.view_as_real(torch.fft.rfft(frame * self.frames.analysis))
        power = spectrum.square().sum(-1)
        count = (count + 1).clamp(max=MEMORY_FRAMES)
        mean = mean + (power.mean(-1, keepdim=True) - mean) / count
        return spectrum, compressed(power, mean), mean, count

    def piece(
        self, mask: Float[Tensor, "1 frequency"], spectrum: Float[Tensor, "1 frequency 2"]
    ) -> Float[Tensor, "1 heard"]:
        """What is heard of the frame."""
        masked = torch.view_as_complex(mask[..., None] * spectrum)
        voice = torch.fft.irfft(masked, n=self.frames.window_length)
        return voice[:, -self.frames.heard_length :] * self.frames.synthesis


class MaskStreamer:
    """``estimate`` in pieces: what ``push`` and at last ``flush`` return is, joined, that of what came in.

    Attributes:
        latency: samples by which output can be behind input.
    """

    def __init__(self, network: LiveMasks) -> None:
        self._network: LiveMasks = remembering(network)  # type: ignore[assignment]
        self.latency = network.frames.heard_length - 1
        self._input = torch.zeros(1, network.frames.window_length - network.frames.hop_length)
        self._tail = torch.zeros(1, network.frames.heard_length - network.frames.hop_length)
        self._ahead = network.frames.heard_length - network.frames.hop_length
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
        return self._advance(torch.zeros(self._network.frames.heard_length))[:, :missing]

    @torch.no_grad()
    def _advance(self, samples: Tensor) -> Tensor:
        network, hop = self._network, self._network.frames.hop_length
        joined = torch.cat([self._input, samples[None]], 1)
        count = (joined.shape[1] - network.frames.window_length) // hop + 1
        if count < 1:
            self._input = joined
            return joined[:, :0]
        pieces = network.masked(joined.unfold(-1, network.frames.window_length, hop))[0]
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
