"""What channels are: which carry sound, which are copies of one microphone, how much of them is clipped."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

COPY_RATIO = 1e-6
"""Channels whose second principal component is weaker than this (-60 dB) are copies of one microphone."""
SAMPLES_AT_ONCE = 1 << 18
CLIPPED_PEAK = 0.5


def live_channels(blocks: Iterable[Float[Tensor, "channel time"]]) -> list[int]:
    """Numbers of the channels that carry sound, of a recording in one block or in several: a constant one is dead."""
    lowest, highest = (
        torch.stack(each) for each in zip(*(block.aminmax(dim=1) for block in blocks), strict=True)
    )
    return (lowest.amin(0) != highest.amax(0)).nonzero().flatten().tolist()


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
