"""What keeps an encoder from forgetting while it learns something new: what it was before is a teacher of its own.

E. Fini et al., "Self-supervised models are continual learners" (CaSSLe), CVPR 2022: a small network g, made anew for
each group, maps the encoder's vector h to what it was for the encoder before the group, h':

    mse         mean (g(h) - h')^2
    similarity  g(h) is nearer to h' than to those of all other recordings of the batch (``nn.objective.nt_xent``)

For those that learn by labels also Z. Li, D. Hoiem, "Learning without forgetting", ECCV 2016:

    kld         KL(softmax(y' / tau) || softmax(y / tau)) of the logits y, tau = 2; without the factor tau^2 that is
                often put before it
"""

from typing import Literal, TypeAlias, get_args

from jaxtyping import Float
from torch import Tensor, nn

from unbabble.nn.objective import nt_xent

Distillation: TypeAlias = Literal["none", "mse", "similarity", "kld"]
KINDS = get_args(Distillation)
TEMPERATURE, LOGIT_TEMPERATURE = 0.5, 2.0


def bridge(dimension: int) -> nn.Sequential:
    """g."""
    return nn.Sequential(nn.Linear(dimension, dimension), nn.ReLU(), nn.Linear(dimension, dimension))


def vectors_kept(
    kind: Distillation, mapped: Float[Tensor, "batch dimension"], before: Float[Tensor, "batch dimension"]
) -> Float[Tensor, ""]:
    """``mse`` or ``similarity``.

    Args:
        kind: which.
        mapped: g(h).
        before: h'.
    """
    if kind == "mse":
        return nn.functional.mse_loss(mapped, before)
    return nt_xent(mapped, before, TEMPERATURE)


def logits_kept(
    logits: Float[Tensor, "batch label"], before: Float[Tensor, "batch label"]
) -> Float[Tensor, ""]:
    """``kld``, the mean over the batch."""
    new, old = ((each / LOGIT_TEMPERATURE).log_softmax(-1) for each in (logits, before))
    return nn.functional.kl_div(new, old, reduction="batchmean", log_target=True)
