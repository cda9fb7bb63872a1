"""How many talkers a recording holds: by blind separation of several microphones, or by a network, window by window.

Several microphones: separate into as many outputs as there are channels; then an output is a talker of its own if it
is not much weaker than the loudest one and does not rise and fall with a louder talker. What reverberation
leaves in the surplus outputs fails the second test, noise the first. (Our own rule; the benchmark ``count_talkers``
measures it.)
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

LEVEL_DB = -8.0
CORRELATION = 0.65
"""Chosen on 60 mixtures of the development split, 1-4 talkers heard by 2, 4 or 7 microphones."""
FRAME_SECONDS = 0.032
WINDOW_SECONDS = 6.0
SILENT_DB = -30.0
FAIR_SHARE = 0.2
"""Of the windows: fewer are wrong of a single talker, and where two take turns, more have both."""
ENVELOPE_FLOOR = 1e-4
"""Power added to envelopes (-40 dB of the mean), so that pauses do not decide the correlation."""


def count_talkers(outputs: Float[Tensor, "source time"], sample_rate: int) -> int:
    """Number of talkers among ``outputs``, at least 1.

    Args:
        outputs: as many as there are channels, each as heard at the reference microphone.
        sample_rate: Hz.
    """
    return len(talkers(*features(outputs, sample_rate)))


def features(
    outputs: Float[Tensor, "source time"], sample_rate: int
) -> tuple[Float[Tensor, " source"], Float[Tensor, "source source"]]:
    """Levels in dB against the loudest output, descending, and correlations of the outputs' log envelopes."""
    frame = max(1, min(round(FRAME_SECONDS * sample_rate), outputs.shape[-1]))
    power = outputs.square().unfold(-1, frame, frame).mean(-1)
    power = power[power.sum(1).argsort(descending=True)]
    mean = power.mean(1, keepdim=True)
    levels_db = 10 * (mean[:, 0] / mean.max()).clamp_min(1e-12).log10()
    envelopes = (power + ENVELOPE_FLOOR * mean).clamp_min(torch.finfo(power.dtype).tiny).log()
    envelopes = envelopes - envelopes.mean(1, keepdim=True)
    envelopes = envelopes / envelopes.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return levels_db, envelopes @ envelopes.T


def talkers(
    levels_db: Float[Tensor, " source"],
    correlations: Float[Tensor, "source source"],
    level_db: float = LEVEL_DB,
    correlation: float = CORRELATION,
) -> list[int]:
    """Outputs that are loud enough and follow none of those chosen before them; the loudest always counts."""
    chosen = [0]
    for i in range(1, len(levels_db)):
        if levels_db[i] > level_db and correlations[i, chosen].max() < correlation:
            chosen.append(i)
    return chosen


def windows(samples: Float[Tensor, " time"], sample_rate: int) -> Float[Tensor, "window part"]:
    """What a network that counts hears at once: windows that overlap by half, the last one up to the end."""
    length = min(round(WINDOW_SECONDS * sample_rate), len(samples))
    count = math.ceil(max(0, len(samples) - length) / max(1, length // 2)) + 1
    starts = [min(number * (length // 2), len(samples) - length) for number in range(count)]
    return torch.stack([samples[start : start + length] for start in starts])


def most_talkers(probabilities: Float[Tensor, "window talkers"], powers: Float[Tensor, " window"]) -> int:
    """How many talk in a recording: the largest number that is likeliest in a fair share of its windows.

    >>> seen = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.8, 0.2], [0.1, 0.9]])
    >>> most_talkers(seen, torch.ones(4)), most_talkers(seen, torch.tensor([1.0, 0.0, 1.0, 0.0]))
    (2, 1)

    Args:
        probabilities: of 1, 2 ... talkers, by window.
        powers: of the windows; what is much weaker than the loudest tells nothing.
    """
    audible = powers >= powers.max() * 10 ** (SILENT_DB / 10)
    counts = probabilities[audible].argmax(-1) + 1
    shares = [float((counts >= number).double().mean()) for number in range(1, probabilities.shape[1] + 1)]
    return max(number for number, share in enumerate(shares, 1) if share >= FAIR_SHARE)
