"""Learning which tokens are likely after others, judged by the perplexity of a whole set."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import exp
from typing import Any

import torch
from torch import Tensor

from unbabble.data.sets import Items
from unbabble.nn.kinds.language_model import NeuralLanguageModel
from unbabble.nn.task import moved
from unbabble.training.tasks.plain import Plain
from unbabble.training.tasks.transcripts import check_words

MEASURED_AT_ONCE = 20
"""Texts of a batch of validation."""


class Prediction(Plain):
    """A language model that learns to predict the next token.

    Args:
        network: to be trained.
    """

    def __init__(self, network: NeuralLanguageModel, **options: Any) -> None:
        super().__init__(network, **options)
        self.pieces = network.pieces
        self.measures = ("loss", "perplexity", "word_perplexity")

    def check(self, item: Any, section: str) -> None:
        """Fields, and tokens for all characters of the item."""
        super(Plain, self).check(item, section)
        self.pieces.encode(item.text)

    def check_words(self, words: Iterable[Mapping[str, str]], section: str) -> None:
        """Tokens for all characters."""
        check_words(words, {"text": self.pieces}, section)

    def collate(self, items: Sequence[Any]) -> tuple[Tensor]:
        """Numbers of tokens, padded with 0."""
        rows = [torch.tensor(self.pieces.encode(each.text)) for each in items]
        return (torch.nn.utils.rnn.pad_sequence(rows, batch_first=True),)

    def measure(self, items: Items, count: int) -> dict[str, float]:
        """Nats of a token, and perplexities of tokens and of words, whose ends of texts count as one more."""
        nats, tokens, words = 0.0, 0, 0
        for texts in self._texts(items, count):
            (text,) = moved(self.collate(texts), self.device)
            nats += float(self.network.nats(text).sum())
            tokens += int((text > 0).sum()) + len(texts)
            words += sum(len(each.text.split()) + 1 for each in texts)
        return {
            "loss": nats / tokens, "perplexity": exp(nats / tokens), "word_perplexity": exp(min(nats / words, 700)),
        }  # fmt: skip

    def _texts(self, items: Items, count: int) -> Iterator[list[Any]]:
        for first in range(0, count, MEASURED_AT_ONCE):
            yield [items[number] for number in range(first, min(count, first + MEASURED_AT_ONCE))]

    def reported(self, measured: Mapping[str, float]) -> str:
        """As perplexities."""
        return (
            f"validation loss {measured['loss']:.3f}, perplexity of tokens {measured['perplexity']:.2f}, "
            f"of words {measured['word_perplexity']:.0f}"
        )
