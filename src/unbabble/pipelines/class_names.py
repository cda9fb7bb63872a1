"""A classifier as what finds sounds by words: the names of its classes, and no others."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import InputError
from unbabble.nn.kinds.classifier import NeuralClassifier

MOST_NAMED = 12
"""Classes that an error lists."""


class ClassNames(nn.Module):
    """A recording is the square roots of its classes' probabilities, of unit norm; a text the class of that name.

    Args:
        classifier: with its weights.
    """

    def __init__(self, classifier: NeuralClassifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.sample_rate, self.words = classifier.sample_rate, tuple(classifier.labels)
        self.places = {spoken(word): place for place, word in enumerate(self.words)}

    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch label"]:
        """The vector of each recording."""
        logits = self.classifier(waveform)
        probabilities = logits.sigmoid() if self.classifier.several else logits.softmax(1)
        return nn.functional.normalize(probabilities.sqrt(), dim=1)

    def embed_text(self, texts: Sequence[str]) -> Float[Tensor, "text label"]:
        """The vector of each text.

        Raises:
            InputError: a text that is the name of no class.
        """
        vectors = torch.zeros(len(texts), len(self.words))
        for row, text in zip(vectors, texts, strict=True):
            if (place := self.places.get(spoken(text))) is None:
                more = f" and {len(self.words) - MOST_NAMED} more" if len(self.words) > MOST_NAMED else ""
                raise InputError(
                    f"'{text}' is no sound that this model tells apart: it names {', '.join(self.words[:MOST_NAMED])}"
                    f"{more}."
                )
            row[place] = 1
        return vectors

    def shares(
        self, audio: Float[Tensor, "recording label"], text: Float[Tensor, "text label"]
    ) -> Float[Tensor, "recording text"]:
        """By the probabilities, of which vectors are the square roots."""
        weights = (audio @ text.T).square()
        return weights / weights.sum(1, keepdim=True).clamp(min=1e-12)


def spoken(name: str) -> str:
    """A name as it is said: ``crying_baby`` is "crying baby"."""
    return " ".join(name.replace("_", " ").lower().split())
