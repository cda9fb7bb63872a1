"""An extractor made of two networks that learnt apart: one separates all voices, one tells which is the enrolled one.

Neither needs mixtures with enrollments to learn from, and whatever separates better extracts better.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.audio import resample
from unbabble.nn.embedder import NeuralEmbedder
from unbabble.nn.extractor import NeuralExtractor, Person
from unbabble.nn.separator import NeuralSeparator

LEAST_LIKENESS = 0.1
"""Cosine of two embeddings, below which no voice is the enrolled one: of two in a hundred who talk. No more of
those who do not are as unlike all (``benchmarks/results/extraction_thresholds.md``)."""


class ChosenVoice(NeuralExtractor):
    """The one of a separator's voices that is most like an enrollment; silence where none is like it.

    Args:
        separator: with its weights.
        embedder: with its weights.
        least_likeness: cosine of the embeddings of voice and enrollment.
    """

    def __init__(
        self,
        *,
        separator: NeuralSeparator,
        embedder: NeuralEmbedder,
        least_likeness: float = LEAST_LIKENESS,
    ) -> None:
        super().__init__(sample_rate=separator.sample_rate, reference=separator.reference)
        self.separator, self.embedder, self.least_likeness = separator, embedder, least_likeness

    @torch.no_grad()
    def enroll(self, enrollment: Float[Tensor, "batch time"]) -> Person:
        """An embedding each, (batch, 1, dimension)."""
        return self._embedded(enrollment)[:, None]

    @torch.no_grad()
    def extract(self, mixture: Float[Tensor, "batch time"], person: Person) -> Float[Tensor, "batch time"]:
        """The most similar voice."""
        voices = self.separator(mixture[:, None])
        likeness = self.likeness(voices, person)
        best, place = likeness.max(-1)
        chosen = voices[torch.arange(len(voices)), place]
        return torch.where(best[:, None] < self.least_likeness, torch.zeros_like(chosen), chosen)

    def likeness(
        self, voices: Float[Tensor, "batch source time"], person: Person
    ) -> Float[Tensor, "batch source"]:
        """Cosine of the embeddings of voices and person; -1 of silence."""
        vectors = self._embedded(voices.flatten(0, 1)).unflatten(0, voices.shape[:2])
        found = (vectors * person).sum(-1)
        return torch.where(voices.any(-1), found, -1.0)

    def _embedded(self, heard: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        level = heard.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-20)
        return self.embedder.embed(
            resample(heard / level, self.sample_rate, self.embedder.sample_rate)
        ).float()
