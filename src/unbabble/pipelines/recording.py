"""What comes in: recordings of any kind as tensors, without the channels and the surprises that harm."""

import os

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base import audio as audio_files
from unbabble.base.audio import Audio, Source
from unbabble.base.errors import InputError, UsageError

COPY_RATIO = 1e-6
"""Channels whose second principal component is weaker than this (-60 dB) are copies of one microphone."""
SAMPLES_AT_ONCE = 1 << 18
CLIPPED_SHARE = 1e-5
CLIPPED_PEAK = 0.5


def is_one_microphone(samples: Float[Tensor, "channel time"]) -> bool:
    """Whether all channels are one, copied: a mono recording in a stereo file."""
    return independent_microphones(samples) < 2


def independent_microphones(samples: Float[Tensor, "channel time"]) -> int:
    """How many channels there are, without those that are mixtures of others: copies, or silent ones; at least 1."""
    if len(samples) == 1:
        return 1
    centred = samples - samples.mean(-1, keepdim=True)
    parts = (part.double() for part in centred.split(SAMPLES_AT_ONCE, dim=1))
    powers = torch.linalg.eigvalsh(torch.stack([part @ part.mT for part in parts]).sum(0))
    return max(1, int((powers > COPY_RATIO * powers[-1]).sum()))


def as_audio(source: Tensor | Audio | Source, sample_rate: int | None) -> Audio:
    """Whatever was given, as an Audio of finite samples.

    Raises:
        InputError: it cannot be read, is empty, or has samples that are not finite.
        UsageError: a tensor without its rate, or of another shape than (channel, time) or (time,), which (time,
            channel) is known by: more channels than samples.
    """
    if isinstance(source, Audio):
        recording = source
    elif isinstance(source, str | os.PathLike | bytes) or hasattr(source, "read"):
        return audio_files.read(source)  # type: ignore[arg-type]
    else:
        samples = torch.as_tensor(source, dtype=torch.float32).detach().cpu()
        if sample_rate is None or sample_rate <= 0:
            raise UsageError("A tensor of samples needs its sample_rate in Hz.")
        recording = Audio(audio_files.channels_first(samples), sample_rate)
    if not recording.samples.numel():
        raise InputError("The recording has no samples.")
    if not recording.samples.isfinite().all():
        raise InputError("The recording contains samples that are not numbers (NaN or infinity).")
    return recording


def usable_channels(recording: Audio, warnings: list[str]) -> tuple[Float[Tensor, "channel time"], list[int]]:
    """The channels that carry sound, and their numbers; says in ``warnings`` what is wrong with the others.

    Raises:
        InputError: every channel is silent.
    """
    samples = recording.samples
    lowest, highest = samples.aminmax(dim=1)
    dead = (highest == lowest) if samples.shape[1] > 1 else (highest == 0)
    live = (~dead).nonzero().flatten().tolist()
    if not live:
        raise InputError("The recording is silent: there is nothing to separate.")
    if len(live) < len(samples):
        numbers = [str(i + 1) for i in range(len(samples)) if i not in live]
        word = "Microphone" if len(numbers) == 1 else "Microphones"
        warnings.append(f"{word} {', '.join(numbers)} of {len(samples)}: silent, left out.")
        samples = samples[live]
    share = clipped_share(samples)
    if share > CLIPPED_SHARE:
        warnings.append(f"{100 * share:.3g} % of the samples are clipped: separation suffers.")
    return samples, live


def clipped_share(samples: Float[Tensor, "channel time"]) -> float:
    """Share of samples in runs of three or more at their channel's own extreme, where that is loud."""
    count = 0
    for channel in samples:
        if len(channel) < 3 or channel.abs().max() < CLIPPED_PEAK:
            continue
        extreme = (channel == channel.max()) | (channel == channel.min())
        runs = extreme[:-2] & extreme[1:-1] & extreme[2:]
        member = torch.zeros_like(extreme)
        for shift in range(3):
            member[shift : len(channel) - 2 + shift] |= runs
        count += int(member.sum())
    return count / samples.numel()
