"""The contrastive loss of recordings and texts that describe them, with hard or soft targets.

    B. Elizalde, S. Deshmukh, M. Al Ismail, H. Wang, "CLAP: learning audio concepts from natural language supervision",
    ICASSP 2023, equations 2 to 4, after A. Radford et al., "Learning transferable visual models from natural language
    supervision", ICML 2021.

=========== =============== =====================================================================
paper       code            meaning
=========== =============== =====================================================================
E^a, E^t    ``audio``       vectors of recordings, and ``text`` of their texts, of unit norm
tau         ``scale``       of cosines; what bounds it bounds the parameter, never the cosines
C           ``logits``      scale E^t E^a'
l_text, l_audio             cross-entropies along either axis of C
=========== =============== =====================================================================

Where two items of a batch mean the same (``same``), each recording fits both texts.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

FIRST_SCALE = 1 / 0.07
LARGEST_SCALE = 100.0


def contrastive_loss(
    audio: Float[Tensor, "item dimension"],
    text: Float[Tensor, "item dimension"],
    scale: Float[Tensor, ""] | float,
    same: Bool[Tensor, "item item"] | None = None,
) -> Float[Tensor, " item"]:
    """Half the cross-entropy of finding each recording's text, and half of finding each text's recording.

    >>> float(contrastive_loss(torch.ones(4, 1), torch.ones(4, 1), 10.0).mean() - math.log(4))
    0.0
    """
    wanted = targets(torch.eye(len(audio), device=audio.device) if same is None else same)
    return soft_contrastive_loss(audio, text, scale, wanted, wanted)


def soft_contrastive_loss(
    audio: Float[Tensor, "item dimension"],
    text: Float[Tensor, "item dimension"],
    scale: Float[Tensor, ""] | float,
    of_audio: Float[Tensor, "item item"],
    of_text: Float[Tensor, "item item"],
) -> Float[Tensor, " item"]:
    """As ``contrastive_loss``, with targets that are probabilities.

    Args:
        audio: vectors of unit norm.
        text: those of their texts.
        scale: of cosines.
        of_audio: which texts fit each recording, a row for each; rows add up to 1.
        of_text: which recordings fit each text.
    """
    logits = scale * text @ audio.T
    by_text = -(of_text * logits.log_softmax(1)).sum(1)
    by_audio = -(of_audio * logits.T.log_softmax(1)).sum(1)
    return (by_text + by_audio) / 2


def targets(weights: Tensor) -> Float[Tensor, "item item"]:
    """Weights as probabilities: none below 0, rows that add up to 1.

    >>> targets(torch.tensor([[3.0, -1.0], [1.0, 1.0]]))
    tensor([[1.0000, 0.0000],
            [0.5000, 0.5000]])
    """
    positive = weights.float().clamp(min=0)
    return positive / positive.sum(1, keepdim=True).clamp(min=1e-12)


def log_scale() -> Float[Tensor, ""]:
    """The scale before training, as a logarithm, which is learnt."""
    return torch.tensor(math.log(FIRST_SCALE))


def bounded(log_scale: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The scale that a learnt logarithm stands for."""
    return log_scale.clamp(max=math.log(LARGEST_SCALE)).exp()
