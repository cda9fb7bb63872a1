"""How many talk in what one microphone heard, by a network that counts them window by window."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base import audio as audio_files
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.pipelines.recording import SCANNED_SECONDS, Recording
from unbabble.signal.counting import most_talkers, windows
from unbabble.signal.rumble import without_rumble

COUNTER = "countnet.3talkers_8k"
"""The packaged network that tells how many talkers one microphone hears."""
WINDOWS_AT_ONCE = 16
UNCOUNTED = 2
"""Talkers that one microphone is taken to hear where no network is here to count them."""
SAY = "--sources says how many there are."


class Windows(NamedTuple):
    """What the network says of a recording: probabilities of 1, 2 ... talkers, and power, of each window."""

    probabilities: Float[Tensor, "window talkers"]
    powers: Float[Tensor, " window"]


def windows_of(recording: Recording, device: torch.device) -> Windows | None:
    """What the network hears window by window in the loudest channel; None where it is not installed.

    Raises:
        InputError: the recording cannot be read, or is silent.
    """
    if COUNTER not in packaged():
        return None
    counter = networks.ready(COUNTER, device, "counter")
    probabilities, powers = [], []
    for stretch in _listened(recording, counter.sample_rate):
        for parts in stretch.split(WINDOWS_AT_ONCE) if len(stretch) else ():
            probabilities.append(counter(parts.to(device)).cpu())
            powers.append(parts.square().mean(-1))
    if not probabilities:
        return Windows(torch.zeros(0, 1), torch.zeros(0))
    return Windows(torch.cat(probabilities), torch.cat(powers))


def count_talkers(recording: Recording, device: torch.device) -> tuple[int, str]:
    """How many talk in what one microphone heard, and what to say of that.

    Raises:
        InputError: the recording cannot be read, or is silent.
    """
    windows = windows_of(recording, device)
    if windows is None:
        return (
            UNCOUNTED,
            f"The talkers of one microphone cannot be counted here: taken to be {UNCOUNTED}; {SAY}",
        )
    talkers = most_talkers(*windows) if len(windows.powers) else 1
    number = "1 talker was" if talkers == 1 else f"{talkers} talkers were"
    return talkers, f"{number} counted, which one microphone does not always tell: {SAY}"


def _listened(recording: Recording, rate: int) -> Iterator[Float[Tensor, "window time"]]:
    """The windows of the loudest channel at ``rate``, all at once or, of a recording that is not held, in blocks."""
    if recording.held:
        yield _windows(recording.at(rate)[recording.heard.abs().amax(1).argmax()], rate)
        return
    for block in recording.blocks(SCANNED_SECONDS):
        block = without_rumble(block, recording.sample_rate)[0]
        loudest = block[block.abs().amax(1).argmax()]
        yield _windows(audio_files.resample(loudest, recording.sample_rate, rate), rate)


def _windows(samples: Float[Tensor, " time"], rate: int) -> Float[Tensor, "window time"]:
    return windows(samples, rate) if len(samples) else samples[None][:0]
