"""Separators that compute their estimate while the recording arrives, and the streams that go through them.

A live separator takes windows of the recording, one after another, in a ``step``: the same code, with what it remembers
as an argument (``nn.state``), as computes a whole recording. A ``Streamer`` cuts windows from samples as they come and
adds up what overlaps; rates, levels and channels are ``RecordingStreamer``'s.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import soxr
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import InputError, UsageError
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.state import Memory, State, start

GAIN = 16.0
"""Of a stream's samples: speech at -24 dB of full scale, as recordings have it, comes to the network at unit level.
How much louder or softer it is makes no difference: a network that normalises its features is proportional."""
RESAMPLING = "MQ"
"""Quality of soxr: 16 bits, and half the delay of the next better one."""
OFFSET_HZ = 1.0
"""What a microphone's electronics add below this is removed, as the mean of a recording is."""


@dataclass(frozen=True)
class Windows:
    """How the windows of a live separator lie on the recording; all in samples.

    Attributes:
        length: what a window looks at.
        written: the end of it, to which the estimate of a step is added; as much is the delay, less a sample.
        hop: from a window to the next.
        before: silence in front of the recording, in the first window.
        after: silence behind it that windows go on into; the last one is completed by more.
    """

    length: int
    written: int
    hop: int
    before: int = 0
    after: int = 0


class Steps(Protocol):
    """What computes an estimate step by step: a ``LiveSeparator``, or a program made of one."""

    sources: int

    @property
    def windows(self) -> Windows:
        """What a step looks at and writes."""
        ...

    def start(self, batch: int = 1) -> State:
        """The state of ``batch`` streams before their first step."""
        ...

    def step(
        self, samples: Float[Tensor, "batch time"], state: State
    ) -> tuple[Float[Tensor, "batch source written"], State]:
        """The part of the estimate that the next windows write, and the next state."""
        ...


class LiveSeparator(NeuralSeparator):
    """A separator that can also take its recording window by window."""

    @property
    @abstractmethod
    def windows(self) -> Windows:
        """What a step looks at and writes."""

    @abstractmethod
    def advance(
        self, samples: Float[Tensor, "batch time"], memory: Memory
    ) -> Float[Tensor, "batch source written"]:
        """What ``step`` computes; the memory is brought up to date."""

    def check_live(self) -> None:
        """Whether it can be streamed; by default it can.

        Raises:
            UsageError: with its options it needs the whole recording.
        """

    def start(self, batch: int = 1) -> State:
        """The state of ``batch`` streams before their first step.

        Raises:
            UsageError: with its options it needs the whole recording.
        """
        self.check_live()
        return start(dict(self.named_children()), batch)

    def step(
        self, samples: Float[Tensor, "batch time"], state: State
    ) -> tuple[Float[Tensor, "batch source written"], State]:
        """The part of the estimate that the next windows write, and the next state.

        Args:
            samples: the next windows, one or several: (n - 1) ``windows.hop`` + ``windows.length`` of them, of which
                the first are the last ones of the step before.
            state: that of ``start``, or of the step before; it stays as it is.

        Returns:
            (n - 1) ``windows.hop`` + ``windows.written`` samples of each source, to be added ``n`` hops after what the
            step before gave, and the next state.
        """
        state = dict(state)
        return self.advance(samples, Memory(state)), state

    def streamer(self) -> "Streamer":
        """``estimate`` in pieces, at the network's own rate and level.

        Raises:
            UsageError: with its options it needs the whole recording.
        """
        return Streamer(self)

    def stream(self, sample_rate: int, channels: int) -> "RecordingStreamer":
        """A separation that takes its recording piece by piece.

        Raises:
            InputError: no such microphone.
            UsageError: it needs the whole recording, or leaves the voices' levels open.
        """
        return RecordingStreamer(self, sample_rate, channels)


class Streamer:
    """The ``estimate`` of a network, in pieces, of a recording that arrives.

    What ``push`` and at last ``flush`` return is, joined, ``estimate`` of what came in, whatever the pieces were.

    Attributes:
        latency: samples by which output can be behind input: an output sample needs all windows that write to it.

    Raises:
        UsageError: the network needs the whole recording.
    """

    def __init__(self, network: Steps) -> None:
        self._network, self._windows = network, network.windows
        self._state = network.start()
        windows = self._windows
        self.latency = windows.written - 1
        self._input = torch.zeros(1, windows.before)
        self._tail = torch.zeros(1, network.sources, windows.written - windows.hop)
        self._ahead = windows.before - (windows.length - windows.written)
        """Samples that are written before the first one that came in."""
        self._taken = self._given = 0

    def push(self, samples: Float[Tensor, " time"]) -> Float[Tensor, "source time"]:
        """Take the next samples, any number, and return what is finished of the sources; ``time`` may be 0."""
        self._taken += len(samples)
        return self._give(self._advance(samples))

    def flush(self) -> Float[Tensor, "source time"]:
        """End the input: what was still missing."""
        if not self._taken:
            return self._tail[0, :, :0]
        windows = self._windows
        length = windows.before + self._taken + windows.after
        missing = max(windows.length - length, (windows.length - length) % windows.hop)
        rest = self._advance(torch.zeros(windows.after + missing))
        return self._give(torch.cat([rest, self._tail], -1))

    def _give(self, samples: Tensor) -> Float[Tensor, "source time"]:
        """What the caller has not got yet of the samples that follow those before."""
        ahead = min(self._ahead, samples.shape[-1])
        self._ahead -= ahead
        finished = samples[0, :, ahead:][:, : self._taken - self._given]
        self._given += finished.shape[1]
        return finished

    @torch.no_grad()
    def _advance(self, samples: Tensor) -> Float[Tensor, "1 source time"]:
        """Compute all windows that are full: whole hops of output."""
        joined = torch.cat([self._input, samples[None]], -1)
        count = (joined.shape[-1] - self._windows.length) // self._windows.hop + 1
        if count < 1:
            self._input = joined
            return self._tail[..., :0]
        done = count * self._windows.hop
        used = done - self._windows.hop + self._windows.length
        written, self._state = self._network.step(joined[:, :used], self._state)
        written[..., : self._tail.shape[-1]].add_(self._tail)
        self._input, self._tail = joined[:, done:].clone(), written[..., done:].clone()
        return written[..., :done]


class RecordingStreamer:
    """Separates a recording while it arrives: any rate, the reference microphone of any number.

    The pieces that ``push`` and at last ``flush`` return are, joined, as long as what came in. Sources come in the
    network's order.

    Args:
        network: causal, with levels kept: what a network leaves open, only a whole recording could settle.
        sample_rate: Hz of the recording.
        channels: of the recording.

    Attributes:
        sources: how many.
        latency: samples of the recording by which voices were behind it, at most; the delay of the network and of
            resampling there and back.
        warnings: what the user should know of this recording.

    Raises:
        InputError: no such microphone.
        UsageError: a network that leaves the voices' levels open.
    """

    def __init__(self, network: LiveSeparator, sample_rate: int, channels: int) -> None:
        if network.levels != "kept":
            raise UsageError(
                "This network leaves the voices' levels open, which only a whole recording could settle: "
                "to stream, it must be trained with levels=kept."
            )
        if not 0 <= network.reference < channels:
            raise InputError(f"There is no microphone {network.reference}: the recording has {channels}.")
        self.sources, self.channels = network.sources, channels
        self.warnings: list[str] = []
        self._reference, self._streamer = network.reference, network.streamer()
        rate = network.sample_rate
        self._down = self._up = None
        if rate != sample_rate:
            self._down = soxr.ResampleStream(sample_rate, rate, 1, "float32", RESAMPLING)
            self._up = soxr.ResampleStream(rate, sample_rate, self.sources, "float32", RESAMPLING)
        if rate < sample_rate:
            self.warnings.append(
                f"The network works at {rate / 1000:g} kHz: what the recording has above {rate / 2000:g} kHz is lost."
            )
        self.latency = math.ceil(self._streamer.latency * sample_rate / rate)
        self._memory = math.ceil(sample_rate / (2 * math.pi * OFFSET_HZ))
        self._offset, self._averaged = 0.0, 0
        self._taken = self._given = 0

    def push(self, samples: Float[Tensor, "channel time"]) -> Float[Tensor, "source time"]:
        """Take the next samples, any number, and return what is finished of the voices; ``time`` may be 0.

        Raises:
            InputError: samples that are not finite, or of another number of channels.
        """
        if samples.ndim != 2 or len(samples) != self.channels:
            raise InputError(f"Samples have the shape ({self.channels}, time), not {tuple(samples.shape)}.")
        if not torch.isfinite(samples).all():
            raise InputError("The recording contains samples that are not finite (NaN or infinite).")
        self._taken += samples.shape[1]
        voices = self._voices(self._without_offset(samples[self._reference]), last=False)
        voices = voices[:, : self._taken - self._given]
        self._given += voices.shape[1]
        self.latency = max(self.latency, self._taken - self._given)
        return voices

    def flush(self) -> Float[Tensor, "source time"]:
        """End the recording: the voices that were still missing."""
        missing = self._taken - self._given
        voices = self._voices(np.zeros(0, np.float32), last=True)[:, :missing]
        self._given = self._taken
        return nn.functional.pad(voices, (0, missing - voices.shape[1]))

    def _without_offset(self, samples: Tensor) -> np.ndarray:
        """Less the mean so far, at first over all samples, then over the last ``_memory`` or so."""
        x = samples.detach().cpu().double().numpy()
        first, later = np.split(x, [max(0, self._memory - self._averaged)])
        offsets = np.empty(len(x))
        if len(first):
            counts = self._averaged + np.arange(1, len(first) + 1)
            offsets[: len(first)] = (self._offset * self._averaged + first.cumsum()) / counts
            self._offset = offsets[len(first) - 1]
        if len(later):
            from scipy.signal import (
                lfilter,
            )  # takes half a second to import, which only such streams wait for

            keep = 1 - 1 / self._memory
            offsets[len(first) :], _ = lfilter([1 - keep], [1, -keep], later, zi=[keep * self._offset])
            self._offset = offsets[-1]
        self._averaged += len(x)
        return (x - offsets).astype(np.float32)

    def _voices(self, x: np.ndarray, last: bool) -> Float[Tensor, "source time"]:
        if self._down is not None:
            x = self._down.resample_chunk(x, last)
        voices = self._streamer.push(GAIN * torch.from_numpy(x))
        if last:
            voices = torch.cat([voices, self._streamer.flush()], -1)
        voices = voices / GAIN
        if self._up is None:
            return voices
        resampled = self._up.resample_chunk(np.ascontiguousarray(voices.T.squeeze(1)), last)
        return torch.from_numpy(resampled.reshape(-1, self.sources).T.copy())
