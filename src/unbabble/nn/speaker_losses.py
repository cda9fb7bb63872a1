"""What networks learn from to tell people apart: by the names of those in training, or by comparing utterances.

x is an utterance's vector, of unit norm. ``AngularMargin`` needs to know who is who over the whole training set and
has a direction w_p for each of them; the other two compare the utterances of an item, a few of each of its people.

    angular margin   -log softmax_p(s cos(x, w_p)), where the right one's angle counts as m wider          (AAM-softmax)
    end to end       -log softmax_k(s cos(x, c_k) + b), c_k the mean of k's utterances, x not among them   (GE2E)
    prototypes       the same of one utterance of each, c_k the mean of k's others                         (angular)

J. Deng, J. Guo, N. Xue, S. Zafeiriou, "ArcFace: additive angular margin loss for deep face recognition", CVPR 2019;
L. Wan, Q. Wang, A. Papir, I. Lopez Moreno, "Generalized end-to-end loss for speaker verification", ICASSP 2018;
J. S. Chung et al., "In defence of metric learning for speaker recognition", Interspeech 2020.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

SCALE, SHIFT = 10.0, -5.0
"""What the learnt scale and shift of the comparing losses begin with."""
SMALLEST_SCALE = 1e-6
INSIDE = 1 - 1e-7
"""Cosines are kept within: at 1 the sine has no gradient."""


class AngularMargin(nn.Module):
    """Cross-entropy over all people of a training set, harder by a margin.

    Args:
        dimension: numbers of a vector.
        people: in the training set.
        scale: s, of the cosines.
    """

    def __init__(self, dimension: int, people: int, scale: float = 30.0) -> None:
        super().__init__()
        self.scale = scale
        self.directions = nn.Parameter(nn.init.xavier_uniform_(torch.empty(people, dimension)))

    def forward(
        self,
        vectors: Float[Tensor, "*batch dimension"],
        person: Int[Tensor, "*batch"],
        margin: float = 0.2,
    ) -> Float[Tensor, "*batch"]:
        """Loss of each utterance.

        Args:
            vectors: of unit norm.
            person: who it is, from 0 on.
            margin: m, radians.
        """
        cosines = vectors @ nn.functional.normalize(self.directions, dim=-1).T
        right = cosines.gather(-1, person[..., None])
        scores = self.scale * cosines.scatter(-1, person[..., None], widened(right, margin))
        return scores.logsumexp(-1) - scores.gather(-1, person[..., None])[..., 0]


def widened(cosines: Float[Tensor, "*any"], margin: float) -> Float[Tensor, "*any"]:
    """cos(theta + m); beyond theta = pi - m, where that would rise again, cos(theta) - m sin(m)."""
    cosines = cosines.clamp(-INSIDE, INSIDE)
    sines = (1 - cosines.square()).sqrt()
    wider = cosines * math.cos(margin) - sines * math.sin(margin)
    return torch.where(cosines > -math.cos(margin), wider, cosines - margin * math.sin(margin))


class EndToEnd(nn.Module):
    """``end_to_end_loss`` with a scale and a shift that are learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.tensor(SCALE)), nn.Parameter(torch.tensor(SHIFT))

    def forward(self, vectors: Float[Tensor, "batch speaker utterance dimension"]) -> Float[Tensor, " batch"]:
        """Loss of each item."""
        return end_to_end_loss(vectors, self.scale, self.shift)


class Prototypes(EndToEnd):
    """``prototypical_loss`` with a scale and a shift that are learnt."""

    def forward(self, vectors: Float[Tensor, "batch speaker utterance dimension"]) -> Float[Tensor, " batch"]:
        """Loss of each item."""
        return prototypical_loss(vectors, self.scale, self.shift)


def end_to_end_loss(
    vectors: Float[Tensor, "batch speaker utterance dimension"],
    scale: Tensor | float,
    shift: Tensor | float = 0.0,
) -> Float[Tensor, " batch"]:
    """How surely each utterance is nearer to the centre of its speaker than to those of others: cross-entropy, mean.

    Wan et al., eqs. 5 to 9: the softmax of ``scale`` times the cosine plus ``shift``; an utterance's own centre is one
    without it.

    Args:
        vectors: of unit norm, two utterances of a speaker or more.
        scale: positive.
        shift: of all scores, which no cross-entropy sees.
    """
    speakers, each = vectors.shape[1:3]
    total = vectors.sum(2)
    likeness = torch.einsum("bjid,bkd->bjik", vectors, nn.functional.normalize(total, dim=-1))
    others = nn.functional.normalize((total[:, :, None] - vectors) / (each - 1), dim=-1)
    own = (vectors * others).sum(-1)
    diagonal = torch.eye(speakers, dtype=torch.bool, device=own.device)[:, None]
    likeness = torch.where(diagonal, own[..., None], likeness)
    scores = _scaled(likeness, scale, shift)
    right = scores.diagonal(dim1=1, dim2=3).mT  # (batch, speaker, utterance)
    return (scores.logsumexp(-1) - right).mean((1, 2))


def prototypical_loss(
    vectors: Float[Tensor, "batch speaker utterance dimension"],
    scale: Tensor | float,
    shift: Tensor | float = 0.0,
) -> Float[Tensor, " batch"]:
    """How surely each speaker's first utterance is nearest to the mean of their others: cross-entropy, mean.

    Chung et al., eqs. 8 and 9 (angular prototypical).

    Args:
        vectors: of unit norm, two utterances of a speaker or more.
        scale: positive.
        shift: of all scores, which no cross-entropy sees.
    """
    prototypes = nn.functional.normalize(vectors[:, :, 1:].mean(2), dim=-1)
    scores = _scaled(torch.einsum("bjd,bkd->bjk", vectors[:, :, 0], prototypes), scale, shift)
    return (scores.logsumexp(-1) - scores.diagonal(dim1=1, dim2=2)).mean(1)


def _scaled(likeness: Tensor, scale: Tensor | float, shift: Tensor | float) -> Tensor:
    positive = scale.clamp(min=SMALLEST_SCALE) if isinstance(scale, Tensor) else scale
    return positive * likeness + shift
