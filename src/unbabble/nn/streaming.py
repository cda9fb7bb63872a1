"""Causal networks, sample by sample: what remembers, and the stream that gives a network's output as input arrives.

A causal network looks back only in modules that can ``remember``, as ``Past`` does. A stream works on a twin of the
network that shares its weights and in which these remember what came before; then the network's own
code, given block after block, computes what it computes for the whole. Encoder and decoder overlap from block to
block (``NetworkStreamer``); rates, levels and channels are ``RecordingStreamer``'s.
"""

import copy
import math
from typing import Protocol, runtime_checkable

import numpy as np
import soxr
import torch
from jaxtyping import Float
from scipy.signal import lfilter
from torch import Tensor, nn

from unbabble.base.errors import InputError, UsageError
from unbabble.nn.filterbank import Decoder, Encoder

GAIN = 16.0
"""Of a stream's samples: speech at -24 dB of full scale, as recordings have it, comes to the network at unit level.
How much louder or softer it is makes no difference: a network that normalises its features is proportional."""
RESAMPLING = "MQ"
"""Quality of soxr: 16 bits, and half the delay of the next better one."""
OFFSET_HZ = 1.0
"""What a microphone's electronics add below this is removed, as the mean of a recording is."""


@runtime_checkable
class Remembers(Protocol):
    """A module that looks back: as a whole, or in a stream from call to call."""

    def remember(self) -> None:
        """From now on, calls go on where the last one ended."""
        ...


class Past(nn.Module):
    """Puts the ``count`` frames before in front of the frames: zeros, or in a stream what came before."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.kept: Tensor | None = None

    def remember(self) -> None:
        """From now on, calls go on where the last one ended."""
        self.kept = torch.zeros(())

    def forward(self, x: Float[Tensor, "batch frame channel"]) -> Float[Tensor, "batch frame channel"]:
        """``count`` frames more."""
        if not self.count:
            return x
        if self.kept is None:
            return nn.functional.pad(x, (0, 0, self.count, 0))
        if not self.kept.ndim:
            self.kept = x.new_zeros(len(x), self.count, x.shape[-1])
        joined = torch.cat([self.kept, x], 1)
        self.kept = joined[:, -self.count :].clone()
        return joined


def remembering(network: nn.Module) -> nn.Module:
    """A twin that shares the network's weights and remembers from call to call."""
    shared = {id(tensor): tensor for tensor in [*network.parameters(), *network.buffers()]}
    twin = copy.deepcopy(network, shared).eval()
    for module in twin.modules():
        if isinstance(module, Remembers):
            module.remember()
    return twin


class MaskingNetwork(Protocol):
    """What can be streamed: causal between its encoder and its decoder."""

    encoder: Encoder
    decoder: Decoder
    sources: int

    def separate(
        self, frames: Float[Tensor, "batch filter frame"]
    ) -> Float[Tensor, "batch source filter frame"]:
        """Frames of each source, each from frames of the mixture up to its own."""
        ...


class NetworkStreamer:
    """A causal network's ``estimate``, in pieces.

    What ``push`` and at last ``flush`` return is, joined, ``estimate`` of what came in, whatever the pieces were.

    Attributes:
        latency: samples by which output can be behind input: an output sample needs all windows that it is in.
    """

    def __init__(self, network: MaskingNetwork) -> None:
        assert isinstance(network, nn.Module)
        self._network: MaskingNetwork = remembering(network)  # type: ignore[assignment]
        self._kernel, self._stride = network.encoder.kernel_size[0], network.encoder.stride[0]
        self.latency = self._kernel - 1
        self._input = torch.zeros(0)
        self._tail = torch.zeros(network.sources, self._kernel - self._stride)
        self._taken = self._given = 0

    def push(self, samples: Float[Tensor, " time"]) -> Float[Tensor, "source time"]:
        """Take the next samples, any number, and return what is finished of the sources; ``time`` may be 0."""
        self._taken += len(samples)
        finished = self._advance(samples)
        self._given += finished.shape[1]
        return finished

    def flush(self) -> Float[Tensor, "source time"]:
        """End the input: what was still missing."""
        if not self._taken:
            return self._tail[:, :0]
        missing = max(self._kernel - self._taken, (self._kernel - self._taken) % self._stride)
        rest = torch.cat([self._advance(torch.zeros(missing)), self._tail], -1)
        return rest[:, : self._taken - self._given]

    @torch.no_grad()
    def _advance(self, samples: Tensor) -> Tensor:
        joined = torch.cat([self._input, samples])
        count = (len(joined) - self._kernel) // self._stride + 1
        if count < 1:
            self._input = joined
            return self._tail[:, :0]
        used, done = (count - 1) * self._stride + self._kernel, count * self._stride
        frames = self._network.separate(self._network.encoder(joined[None, :used]))
        waveforms = self._network.decoder(frames, used)[0]
        waveforms[:, : self._tail.shape[1]] += self._tail
        self._input, self._tail = joined[done:].clone(), waveforms[:, done:].clone()
        return waveforms[:, :done]


class Streamer(Protocol):
    """A network's ``estimate``, in pieces; ``latency`` in samples."""

    latency: int

    def push(self, samples: Float[Tensor, " time"]) -> Float[Tensor, "source time"]:
        """Take the next samples, and return what is finished."""
        ...

    def flush(self) -> Float[Tensor, "source time"]:
        """End the input: what was still missing."""
        ...


class Streamable(Protocol):
    """A network with a ``streamer`` of its own."""

    sources: int
    sample_rate: int
    reference: int
    levels: str

    def streamer(self) -> Streamer:
        """A new one."""
        ...


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

    def __init__(self, network: Streamable, sample_rate: int, channels: int) -> None:
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
        self._offset, self._heard = 0.0, 0
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
        first, later = np.split(x, [max(0, self._memory - self._heard)])
        offsets = np.empty(len(x))
        if len(first):
            counts = self._heard + np.arange(1, len(first) + 1)
            offsets[: len(first)] = (self._offset * self._heard + first.cumsum()) / counts
            self._offset = offsets[len(first) - 1]
        if len(later):
            keep = 1 - 1 / self._memory
            offsets[len(first) :], _ = lfilter([1 - keep], [1, -keep], later, zi=[keep * self._offset])
            self._offset = offsets[-1]
        self._heard += len(x)
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
