"""A recording, asked once: which of its microphones live, how it sounds at another rate, where it is loudest.

Every step that works on a recording takes a ``Recording`` and passes it on: a fact about it is computed when it is
first asked for, and kept.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base import audio as audio_files
from unbabble.base import notes
from unbabble.base.audio import Audio, Source
from unbabble.base.decoding import AudioInfo
from unbabble.base.errors import InputError, UsageError
from unbabble.signal.microphones import clipped_share, is_one_microphone, live_channels
from unbabble.signal.rumble import Inaudible, without_rumble

HELD_SECONDS = 300.0
HELD_SAMPLES = 20_000_000
"""Samples of all channels together; up to both bounds a recording is held in memory, beyond it is read in blocks."""
ALWAYS_HELD_SECONDS = 40.0
"""However many channels it has."""
SCANNED_SECONDS = 30.0
"""Length of the blocks in which a recording that is not held is looked at."""
CLIPPED_SHARE = 1e-5
"""Share of clipped samples that is worth a warning."""


def fits_memory(info: AudioInfo) -> bool:
    """Whether such a recording is held in memory; one of unknown length is not."""
    most = HELD_SAMPLES / (info.channels * info.sample_rate)
    return info.seconds is not None and info.seconds <= min(HELD_SECONDS, max(most, ALWAYS_HELD_SECONDS))


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording of any length and number of channels.

    Attributes:
        info: its rate, channels and duration.
        source: its samples, (channel, time), finite, full scale 1; or its file, decoded when samples are asked for.
    """

    info: AudioInfo
    source: Float[Tensor, "channel time"] | str | os.PathLike[str]
    _resampled: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, source: "Recording | Tensor | Audio | Source", sample_rate: int | None = None) -> "Recording":
        """Whatever is at hand, with its samples in memory.

        Args:
            source: (channel, time) or (time,) as a tensor or array, or a path, bytes, file object or Audio.
            sample_rate: Hz; needed for tensors.

        Raises:
            InputError: it cannot be read, is empty, or has samples that are not finite.
            UsageError: a tensor without its rate, or of another shape than (channel, time) or (time,), which (time,
                channel) is known by: more channels than samples.
        """
        if isinstance(source, Recording):
            return source
        audio = _as_audio(source, sample_rate)
        channels, frames = audio.samples.shape
        info = AudioInfo(
            audio.sample_rate,
            channels,
            audio.seconds,
            frames,
            audio.format,
            audio.subtype,
            warnings=list(audio.warnings),
        )
        return cls(info, audio.samples)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """The recording in a file, of which only the header is read.

        Raises:
            InputError: the file is missing, no recording, empty or cut short.
        """
        return cls(audio_files.probe(path), path)

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return self.info.sample_rate

    @property
    def channels(self) -> int:
        """Number of channels, dead ones included."""
        return self.info.channels

    @property
    def held(self) -> bool:
        """Whether the samples are in memory, or may be; otherwise only ``blocks`` keep memory bounded."""
        return isinstance(self.source, Tensor) or fits_memory(self.info)

    @cached_property
    def samples(self) -> Float[Tensor, "channel time"]:
        """All samples, as recorded.

        Raises:
            InputError: the file cannot be decoded, is empty, or has samples that are not finite.
        """
        if isinstance(self.source, Tensor):
            return self.source
        audio = audio_files.read(self.source)
        notes.add(self.info.warnings, audio.warnings)
        return audio.samples

    @property
    def seconds(self) -> float:
        """Duration; of a recording that is not held what its header says, infinite where it does not."""
        if self.held:
            return self.samples.shape[1] / self.sample_rate
        return float("inf") if self.info.seconds is None else self.info.seconds

    def blocks(self, seconds: float, overlap_seconds: float = 0.0) -> Iterator[Float[Tensor, "channel time"]]:
        """The recording block by block, as ``audio.read_blocks``.

        Raises:
            InputError: the file cannot be decoded, when the trouble is reached.
            UsageError: an overlap that is not shorter than the block.
        """
        if not isinstance(self.source, Tensor) and not self.held:
            yield from audio_files.read_blocks(self.source, seconds, overlap_seconds)
            return
        if not 0 <= overlap_seconds < seconds:
            raise UsageError("The overlap of blocks is at least 0 seconds and shorter than a block.")
        length = max(1, round(seconds * self.sample_rate))
        step = length - min(round(overlap_seconds * self.sample_rate), length - 1)
        for start in range(0, max(1, self.samples.shape[1] - length + step), step):
            yield self.samples[:, start : start + length].clone(memory_format=torch.contiguous_format)

    @cached_property
    def live(self) -> list[int]:
        """Numbers of the channels that carry sound; none of silence."""
        if not self.held:
            return live_channels(self.blocks(SCANNED_SECONDS))
        if self.samples.shape[1] == 1:  # one sample is no constant channel
            return self.samples[:, 0].nonzero().flatten().tolist()
        return live_channels([self.samples])

    @cached_property
    def recorded(self) -> Float[Tensor, "channel time"]:
        """The channels that carry sound, as recorded.

        Raises:
            InputError: every channel is silent.
        """
        if not self.live:
            raise InputError("The recording is silent.")
        return self.samples if len(self.live) == self.channels else self.samples[self.live]

    @cached_property
    def _audible(self) -> tuple[Float[Tensor, "channel time"], Inaudible]:
        return without_rumble(self.recorded, self.sample_rate)

    @property
    def heard(self) -> Float[Tensor, "channel time"]:
        """The channels that carry sound, without an offset or rumble that matters (``signal.rumble``).

        Raises:
            InputError: every channel is silent.
        """
        return self._audible[0]

    @property
    def removed(self) -> list[str]:
        """What ``heard`` lacks of what was recorded, in a sentence; none where it lacks nothing.

        Raises:
            InputError: every channel is silent.
        """
        return [text for text in (self._audible[1].warning,) if text]

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know of it as recorded: what its file lacks, dead channels, clipping.

        Raises:
            InputError: every channel is silent.
        """
        said, share = list(self.info.warnings), clipped_share(self.recorded)
        if len(self.live) < self.channels:
            numbers = [str(number + 1) for number in range(self.channels) if number not in self.live]
            word = "Microphone" if len(numbers) == 1 else "Microphones"
            said.append(f"{word} {', '.join(numbers)} of {self.channels}: silent, left out.")
        if share > CLIPPED_SHARE:
            said.append(f"{100 * share:.3g} % of the samples are clipped: separation suffers.")
        return tuple(said)

    @cached_property
    def microphones(self) -> int:
        """How many microphones there are to separate by: live channels, or 1 where all are copies of one."""
        if not self.held:
            one = all(is_one_microphone(block) for block in self.blocks(SCANNED_SECONDS))
            return 1 if one else self.channels
        return 1 if is_one_microphone(self.heard) else len(self.heard)

    def at(self, rate: int) -> Float[Tensor, "channel time"]:
        """The channels that carry sound at ``rate`` Hz.

        Raises:
            InputError: every channel is silent.
        """
        if rate not in self._resampled:
            self._resampled[rate] = audio_files.resample(self.heard, self.sample_rate, rate)
        return self._resampled[rate]

    def place(self, channel: int) -> int:
        """Where a channel is among those that carry sound; the first of them stands in for a dead one."""
        return self.live.index(channel) if channel in self.live else 0

    def loudest(self, seconds: float) -> "Recording":
        """The excerpt of so many seconds that has most energy, in steps of half its length.

        Raises:
            InputError: the file cannot be decoded.
        """
        shared = round(seconds / 2 * self.sample_rate)
        block, best, most = torch.zeros(self.channels, 0), torch.zeros(self.channels, 0), -1.0
        for following in self.blocks(seconds, seconds / 2):
            length, missing = block.shape[1], block.shape[1] - following.shape[1]
            # what is left at the end is short, and is taken with what comes before it
            block = torch.cat([block, following[:, shared:]], 1)[:, -length:] if missing > 0 else following
            energy = float(block.square().sum())
            if energy > most:
                best, most = block, energy
        length = best.shape[1]
        info = replace(
            self.info, seconds=length / self.sample_rate, frames=length, lost_seconds=0.0, warnings=[]
        )
        return Recording(info, best)


def _as_audio(source: Tensor | Audio | Source, sample_rate: int | None) -> Audio:
    if isinstance(source, Audio):
        audio = source
        if source.path is None:
            samples, rate = _checked(source.samples, source.sample_rate)
            audio = replace(source, samples=samples, sample_rate=rate)
    elif isinstance(source, str | os.PathLike | bytes) or hasattr(source, "read"):
        return audio_files.read(source)  # type: ignore[arg-type]
    else:
        audio = Audio(*_checked(source, sample_rate))
    if not audio.samples.numel():
        raise InputError("The recording has no samples.")
    if not audio.samples.isfinite().all():
        raise InputError("The recording contains samples that are not numbers (NaN or infinity).")
    return audio


def _checked(samples: Any, sample_rate: float | None) -> tuple[Float[Tensor, "channel time"], int]:
    """Samples as they must be, and their rate.

    Raises:
        UsageError: what is no samples, or not in that shape and scale, or no rate.
    """
    try:
        tensor = torch.as_tensor(samples).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError("Samples are a tensor or an array of numbers.") from error
    if not tensor.is_floating_point():
        raise UsageError(
            f"Samples are floating-point numbers with full scale 1, not {str(tensor.dtype).removeprefix('torch.')}: "
            "divide those of 16 bits by 32768."
        )
    if sample_rate is None:
        raise UsageError("A tensor of samples needs its sample_rate in Hz.")
    if not isinstance(sample_rate, Real) or not sample_rate > 0 or sample_rate % 1:
        raise UsageError(f"The sample_rate is a whole number of Hz, not {sample_rate}.")
    return audio_files.channels_first(tensor.float()), int(sample_rate)
