"""Masks on spectra, frame by frame, little behind their input: the frame of networks that enhance live.

Frames are windowed asymmetrically, so that of all that is looked at only the last part is written and waited for (D.
Mauler, R. Martin, "A low delay, variable resolution, perfect reconstruction spectral analysis-synthesis system for
speech enhancement", EUSIPCO 2007); features have the level of what came before taken out, so that the level of a
recording makes no difference.
"""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.nn.state import Memory, State, Stateful, part
from unbabble.nn.streaming import LiveSeparator, Windows

COMPRESSION = 0.3
LEAST_POWER = 1e-8
"""Of features, over the mean so far."""
MEMORY_FRAMES = 1875
"""The level so far is the mean of this many frames, 30 s, then fades: a stream has no end."""


def windows(length: int, written: int) -> tuple[Float[Tensor, " time"], Float[Tensor, " time"]]:
    """Windows for analysis and for synthesis of the last ``written`` of ``length`` samples (Mauler & Martin, 2007).

    Their product is a Hann window over these; with ``written`` = ``length`` both are its square root.
    """
    half = written // 2
    rise = torch.hann_window(2 * (length - half), dtype=torch.float64)[: length - half].sqrt()
    hann = torch.hann_window(written, dtype=torch.float64)
    fall = hann[half:].sqrt()
    synthesis = torch.cat([hann[:half] / rise[length - written :].clamp(min=1e-12), fall])
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
                "heard_length is a multiple of twice the hop, and window_length one of the hop and no shorter."
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
        self, spectra: Float[Tensor, "batch frame frequency 2"], memory: Memory | None = None
    ) -> Float[Tensor, "batch frame frequency"]:
        """Magnitudes over the level so far, to the power of ``COMPRESSION``."""
        power = spectra.square().sum(-1)
        level = self.level(power.mean(-1, keepdim=True), part(memory, "level"))
        return (power / level.clamp(min=1e-20) + LEAST_POWER) ** (COMPRESSION / 2)

    def pieces(
        self, spectra: Float[Tensor, "batch frame frequency 2"]
    ) -> Float[Tensor, "batch frame written"]:
        """What each frame writes; overlapping pieces add up to the waveform."""
        with torch.autocast(spectra.device.type, enabled=False):
            whole = torch.fft.irfft(torch.view_as_complex(spectra.float().contiguous()), n=self.window_length)
        return whole[..., -self.heard_length :] * self.synthesis

    def overlapped(self, pieces: Float[Tensor, "batch frame written"]) -> Float[Tensor, "batch time"]:
        """The sum of pieces, each a hop after the one before."""
        pieces = pieces.unflatten(-1, (-1, self.hop_length))
        shifts = pieces.shape[-2]
        hops = pieces.new_zeros(())
        for shift in range(shifts):
            hops = hops + nn.functional.pad(pieces[..., shift, :], (0, 0, shift, shifts - 1 - shift))
        return hops.flatten(-2)

    def join(self, pieces: Float[Tensor, "batch frame written"], length: int) -> Float[Tensor, "batch time"]:
        """The waveform, of the pieces of all frames."""
        first = self.heard_length - self.hop_length
        return self.overlapped(pieces)[:, first : first + length]


class LiveMasks(LiveSeparator):
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
        self, features: Float[Tensor, "batch frame frequency"], memory: Memory | None = None
    ) -> Float[Tensor, "batch frame frequency"]:
        """Between 0 and 1, each from frames up to its own."""

    def estimate(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch 1 time"]:
        """Mask all frames, and add up what they write."""
        pieces = self.masked(self.frames.cut(mixture))
        return self.frames.join(pieces, mixture.shape[-1])[:, None]

    def masked(
        self, frames: Float[Tensor, "batch frame window"], memory: Memory | None = None
    ) -> Float[Tensor, "batch frame written"]:
        """What each frame writes, without noise."""
        spectra = self.frames.spectra(frames)
        features = self.frames.features(spectra, part(memory, "frames"))
        return self.frames.pieces(self.masks(features, memory).float()[..., None] * spectra)

    @property
    def windows(self) -> Windows:
        """Those of the frames: the first one ends with the recording's first hop."""
        length, written, hop = self.frames.window_length, self.frames.heard_length, self.frames.hop_length
        return Windows(length, written, hop, before=length - hop, after=written - hop)

    def advance(
        self, samples: Float[Tensor, "batch time"], memory: Memory
    ) -> Float[Tensor, "batch 1 written"]:
        """``estimate`` of the next frames."""
        frames = samples.unfold(-1, self.frames.window_length, self.frames.hop_length)
        pieces = self.masked(frames, memory)
        return pieces if pieces.shape[1] == 1 else self.frames.overlapped(pieces)[:, None]


class LevelSoFar(Stateful):
    """Mean power of the frames so far."""

    def initial(self, batch: int) -> State:
        """``mean``, and the ``count`` of the frames that it is of, (batch, 1, 1)."""
        return {"mean": torch.zeros(batch, 1, 1), "count": torch.zeros(batch, 1, 1)}

    def forward(
        self, power: Float[Tensor, "batch frame 1"], memory: Memory | None = None
    ) -> Float[Tensor, "batch frame 1"]:
        """At each frame, with it."""
        if memory is None:
            counts = torch.arange(1, power.shape[1] + 1, device=power.device)[:, None]
            return power.cumsum(1) / counts
        means = []
        mean, count = memory["mean"], memory["count"]
        for frame in power.split(1, 1):
            count = (count + 1).clamp(max=MEMORY_FRAMES)
            mean = mean + (frame - mean) / count
            means.append(mean)
        memory["mean"], memory["count"] = mean, count
        return torch.cat(means, 1)


class Recurrence(Stateful):
    """Gated recurrent units over frames."""

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.GRU(inputs, hidden, layers, batch_first=True)

    def initial(self, batch: int) -> State:
        """``units`` of all layers, (batch, layer, unit)."""
        return {"units": torch.zeros(batch, self.layers.num_layers, self.layers.hidden_size)}

    def forward(
        self, x: Float[Tensor, "batch frame feature"], memory: Memory | None = None
    ) -> Float[Tensor, "batch frame unit"]:
        """The last layer's units."""
        if memory is None:
            return self.layers(x)[0]
        last, units = self.layers(x, memory["units"].transpose(0, 1).contiguous())
        memory["units"] = units.transpose(0, 1)
        return last
