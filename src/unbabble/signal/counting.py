"""How many talkers a recording holds: by blind separation of several microphones, or by a network that knows silence.

Several microphones: separate into as many outputs as there are channels; then an output is a talker of its own if it
is not much weaker than the loudest one and does not rise and fall with a talker already found. What reverberation
leaves in the surplus outputs fails the second test, noise the first. (Our own rule; ``benchmarks/count_talkers.py``
measures it.)
"""

import torch
from jaxtyping import Float
from torch import Tensor

LEVEL_DB = -8.0
CORRELATION = 0.65
"""Chosen on 60 mixtures of the development split, 1-4 talkers heard by 2, 4 or 7 microphones."""
FRAME_SECONDS = 0.032
AUDIBLE_DB = -13.0
"""Against the loudest output of a network; what is weaker is a talker who is not there. Chosen on the development split
(``benchmarks/count_one_microphone.py``) to tell one talker from two."""
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
    """Outputs that are loud enough and follow none of those found before them; the loudest always counts."""
    found = [0]
    for i in range(1, len(levels_db)):
        if levels_db[i] > level_db and correlations[i, found].max() < correlation:
            found.append(i)
    return found


def count_audible(outputs: Float[Tensor, "source time"], audible_db: float = AUDIBLE_DB) -> int:
    """Number of talkers among the outputs of a network that was trained to leave those silent that it does not need.

    >>> count_audible(torch.tensor([[1.0, -1.0], [0.5, 0.5], [0.01, 0.0]]))
    2

    Args:
        outputs: at their own level.
        audible_db: how much weaker than the loudest output a talker may be.
    """
    power = outputs.double().square().sum(-1)
    return max(1, int((power > power.max() * 10 ** (audible_db / 10)).sum()))
