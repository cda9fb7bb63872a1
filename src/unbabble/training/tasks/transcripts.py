"""Learning to write down what is said, judged by the words, characters and phones that are wrong in a whole set."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from unbabble.base.config import keyword_parameters
from unbabble.base.errors import InputError, UsageError
from unbabble.data.sets import Items
from unbabble.nn.kinds.network import Network
from unbabble.nn.kinds.recognizer import NeuralRecognizer, Tokens, words_of
from unbabble.nn.task import moved
from unbabble.text.errors import Errors, errors
from unbabble.training.tasks.plain import Plain

MEASURED_AT_ONCE = 6
"""Utterances of a batch of validation."""


class Batch(NamedTuple):
    """Padded utterances, and of each kind of target the numbers of its tokens, padded with 0."""

    waveform: Tensor
    lengths: Tensor
    targets: tuple[Tensor, ...]
    texts: tuple[str, ...]


def check_words(words: Iterable[Mapping[str, str]], targets: Mapping[str, Tokens], section: str) -> None:
    """Refuse words that some tokens cannot write.

    Args:
        words: each by field.
        targets: tokens by field.
        section: of the recipe.

    Raises:
        InputError: a word that cannot be written, or spoken.
    """
    try:
        for word in words:
            for field, tokens in targets.items():
                tokens.encode(word[field])
    except InputError as error:
        raise InputError(f"The recipe's section '{section}': {error}") from None


class Transcripts(Plain):
    """A recogniser that learns by its own losses.

    Args:
        network: to be trained.
        flat_start_steps: for so many steps at first, phones are learnt frame by frame, as if all were equally long:
            see ``nn.ctc.spread_evenly``.
        attention_from_step: the attention decoder learns from this step on.
        options: of the network's losses.

    Raises:
        UsageError: a network that can do nothing of the kind.
    """

    def __init__(
        self,
        network: NeuralRecognizer,
        *,
        flat_start_steps: int = 0,
        attention_from_step: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(network, **options)
        known = keyword_parameters(network.losses)
        if flat_start_steps and "flat_start" not in known:
            raise UsageError(f"A {self.name} has no flat start: leave out flat_start_steps.")
        if attention_from_step and "attention" not in known:
            raise UsageError(
                f"A {self.name} has no attention that may begin later: leave out attention_from_step."
            )
        self.flat_start_steps, self.attention_from_step = flat_start_steps, attention_from_step
        self.targets = network.targets
        self.needs = ("waveform", *self.targets)
        phones = ("phone_error_rate",) if "phones" in self.targets else ()
        self.measures = ("loss", "word_error_rate", "character_error_rate", *phones)

    def check(self, item: Any, section: str) -> None:
        """Fields, and tokens for all characters of the item."""
        super(Plain, self).check(item, section)
        for field, tokens in self.targets.items():
            tokens.encode(getattr(item, field))

    def check_words(self, words: Iterable[Mapping[str, str]], section: str) -> None:
        """Tokens for all characters, and for all phones."""
        check_words(words, self.targets, section)

    def collate(self, items: Sequence[Any]) -> Batch:
        """Padded with zeros."""
        lengths = torch.tensor([len(each.waveform) for each in items])
        waveform = torch.zeros(len(items), int(lengths.max()))
        for row, each in zip(waveform, items, strict=True):
            row[: len(each.waveform)] = torch.from_numpy(each.waveform)
        targets = []
        for field, tokens in self.targets.items():
            rows = [torch.tensor(tokens.encode(getattr(each, field)), dtype=torch.long) for each in items]
            # One place at least: in all items of a batch there may be nothing said.
            padded = torch.nn.utils.rnn.pad_sequence([*rows, torch.zeros(1).long()], batch_first=True)
            targets.append(padded[:-1])
        return Batch(waveform, lengths, tuple(targets), tuple(each.text for each in items))

    def losses(self, player: str, batch: Batch, step: int) -> dict[str, Tensor]:
        """The network's, each its mean over the batch."""
        options = dict(self.options)
        if step < self.flat_start_steps:
            options["flat_start"] = True
        if step < self.attention_from_step:
            options["attention"] = False
        losses = self.network.losses(batch.waveform, batch.lengths, *batch.targets, **options)
        return {name: loss.mean() for name, loss in losses.items()}

    def measure(self, items: Items, count: int) -> dict[str, float]:
        """Loss, and what is wrong of all words, characters and phones of the first ``count`` items together."""
        losses: list[float] = []
        wrong = {name: Errors() for name in self.measures[1:]}
        for batch in self._batches(items, count):
            losses += self.network.loss(batch.waveform, batch.lengths, *batch.targets).tolist()
            emitted = self.network.hypotheses(batch.waveform, batch.lengths)
            for text, written in zip(batch.texts, emitted["text"], strict=True):
                words = words_of(written).text
                wrong["word_error_rate"] += errors(text.split(), words.split())
                wrong["character_error_rate"] += errors(text, words)
            for numbers, written in zip(batch.targets[-1], emitted.get("phones", ()), strict=False):
                phones = self.targets["phones"].decode(numbers.tolist()).split()
                wrong["phone_error_rate"] += errors(phones, [each.token for each in written])
        return {"loss": float(np.mean(losses))} | {name: each.rate for name, each in wrong.items()}

    def _batches(self, items: Items, count: int) -> Iterator[Batch]:
        for first in range(0, count, MEASURED_AT_ONCE):
            numbers = range(first, min(count, first + MEASURED_AT_ONCE))
            yield moved(self.collate([items[number] for number in numbers]), self.device)

    def calibrate(self, network: Network, items: Items, count: int) -> None:
        """What the network fits once its weights stand."""
        with torch.no_grad():
            network.calibrate((b.waveform, b.lengths, *b.targets) for b in self._batches(items, count))

    def regret(self, measured: Mapping[str, float]) -> float:
        """Phones that are wrong where there are phones, else characters: at first, all words are wrong."""
        return measured.get("phone_error_rate", measured["character_error_rate"])

    def reported(self, measured: Mapping[str, float]) -> str:
        """As rates."""
        rates = ", ".join(
            f"{name.removesuffix('_error_rate')}s {measured[name]:.1%} wrong" for name in self.measures[1:]
        )
        return f"validation loss {measured['loss']:.2f}, {rates}"
