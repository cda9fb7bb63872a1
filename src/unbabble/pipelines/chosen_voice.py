"""An extractor made of networks that learnt apart: some separate all voices, one tells which is the enrolled one.

None of them needs mixtures with enrollments to learn from, and whatever separates better extracts better.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.audio import resample
from unbabble.base.errors import UsageError
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.nn.kinds.extractor import NeuralExtractor, Person
from unbabble.nn.kinds.separator import NeuralSeparator

LEAST_LIKENESS = 0.1
"""Cosine of two embeddings, below which no voice is the enrolled one: of two in a hundred who talk. No more of
those who do not are as unlike all (``benchmarks/results/extraction_thresholds.md``)."""

Judge: TypeAlias = Callable[[Tensor, Tensor], float]
"""From a mixture, (time,), and its voices, (source, time): how well it was separated, higher is better."""


class ChosenVoice(NeuralExtractor):
    """The one of a separator's voices that is most like an enrollment; silence where none is like it.

    Args:
        separators: with their weights.
        embedder: with its weights.
        judge: of several separators, the one whose voices it puts highest is heard.
        least_likeness: cosine of the embeddings of voice and enrollment.

    Raises:
        UsageError: no separator, several without a judge, or at different rates.
    """

    def __init__(
        self,
        *,
        separators: Sequence[NeuralSeparator],
        embedder: NeuralEmbedder,
        judge: Judge | None = None,
        least_likeness: float = LEAST_LIKENESS,
    ) -> None:
        if not separators or (len(separators) > 1 and judge is None):
            raise UsageError("A voice is chosen among those of a separator, or of several and a judge.")
        if len({each.sample_rate for each in separators}) > 1:
            raise UsageError("Separators among which one is chosen have one sample rate.")
        super().__init__(sample_rate=separators[0].sample_rate, reference=separators[0].reference)
        self.separators, self.embedder = nn.ModuleList(separators), embedder
        self.judge, self.least_likeness = judge, least_likeness

    @torch.no_grad()
    def enroll(self, enrollment: Float[Tensor, "batch time"]) -> Person:
        """An embedding each, (batch, 1, dimension)."""
        return self._embedded(enrollment)[:, None]

    @torch.no_grad()
    def extract(self, mixture: Float[Tensor, "batch time"], person: Person) -> Float[Tensor, "batch time"]:
        """The most similar voice."""
        people = person.expand(len(mixture), -1, -1)
        return torch.stack([self._chosen(*each) for each in zip(mixture, people, strict=True)])

    def separated(self, mixture: Float[Tensor, " time"]) -> Float[Tensor, "source time"]:
        """All voices, by the separator that does best here."""
        outputs = [separator(mixture[None, None])[0] for separator in self.separators]
        if self.judge is None or len(outputs) == 1:
            return outputs[0]
        worth = [self.judge(mixture, voices) for voices in outputs]
        return outputs[worth.index(max(worth))]

    def likeness(
        self, voices: Float[Tensor, "batch source time"], person: Person
    ) -> Float[Tensor, "batch source"]:
        """Cosine of the embeddings of voices and person; -1 of silence."""
        vectors = self._embedded(voices.flatten(0, 1)).unflatten(0, voices.shape[:2])
        cosines = (vectors * person).sum(-1)
        return torch.where(voices.any(-1), cosines, -1.0)

    def _chosen(
        self, mixture: Float[Tensor, " time"], person: Float[Tensor, "place dimension"]
    ) -> Float[Tensor, " time"]:
        voices = self.separated(mixture)
        best, place = self.likeness(voices[None], person[None])[0].max(0)
        return voices[place] if best >= self.least_likeness else torch.zeros_like(mixture)

    def _embedded(self, voices: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        level = voices.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-20)
        return self.embedder.embed(
            resample(voices / level, self.sample_rate, self.embedder.sample_rate)
        ).float()
