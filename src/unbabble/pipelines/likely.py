"""What is likely to be said: the language model that goes with a recogniser, and phrases that a user names.

The language model is the one that is named, or the packaged one where it fits.

n-grams of words     fit where the recogniser writes the phones with which their words are spoken; else where it
                     has the letters of most of their words
network of tokens    fits where its tokens are the recogniser's, which are searched with it; beside a search by
                     phones it chooses among the best texts, and needs letters for them alone
another library's    goes with recognisers of that library, which search by themselves
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from unbabble.base.errors import InputError, UsageError
from unbabble.base.files import read_text
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.networks.foreign.recognizer import ForeignRecognizer
from unbabble.nn.kinds.language_model import NeuralLanguageModel
from unbabble.nn.kinds.recognizer import NeuralRecognizer
from unbabble.text import arpa, language_models
from unbabble.text.language_models import METHOD
from unbabble.text.ngram import UNKNOWN, NgramModel
from unbabble.text.search import TokenModel
from unbabble.text.tokens import WORD_START

AnyRecognizer: TypeAlias = NeuralRecognizer | ForeignRecognizer
AUTO, NONE, KIND = "auto", "none", "language model"
LEAST_WRITTEN = 0.5
"""Share of the words of a model that a recogniser has letters for; fewer are those of another writing."""
PROMPTED_LETTERS = 5
"""Shorter words of a prompt are likely without it."""


@dataclass(frozen=True)
class Likely:
    """What is likely to be said.

    Attributes:
        words: n-grams of words; None for none.
        tokens: a network that predicts pieces of words; None for none.
        own: another library's, for the search of its own recogniser; None for none.
        note: why there is none, in a sentence, where nobody asked for none; else empty.
    """

    words: NgramModel | None = None
    tokens: NeuralLanguageModel | None = None
    own: TokenModel | None = None
    note: str = ""


def likely(recognizer: AnyRecognizer, name: str = AUTO) -> Likely:
    """The language model called ``name``, for a recogniser.

    Args:
        recognizer: what is to write.
        name: of an n-gram model or of a network, a file of either, ``none``, or ``auto`` for the packaged one where it
            fits.

    Raises:
        InputError: it is missing or damaged.
        UsageError: no such language model, or one that does not fit.
    """
    if name == NONE:
        return Likely()
    if isinstance(recognizer, ForeignRecognizer):
        if recognizer.tokens is None:
            return Likely(own=recognizer.own_language_model(name))
        if name == AUTO:
            return Likely()
    if name == AUTO:
        return _packaged(recognizer)
    if not name.endswith(arpa.SUFFIXES) and networks.is_network(name):
        networks.check_kind(name, KIND)
        card = networks.card_of(name)
        if card is not None and card.method != METHOD:
            return _network(recognizer, name)
    model = language_models.find(name)
    if why := misfit(recognizer, model):
        raise UsageError(f"The language model '{name}' does not fit the recogniser: {why}.")
    return Likely(model)


def phrases(hotwords: Path | None, prompt: str) -> tuple[str, ...]:
    """Of a file of hotwords each line, and of a prompt each longer word.

    Raises:
        InputError: the file cannot be read, or is empty.
    """
    lines: list[str] = []
    if hotwords is not None:
        lines = [" ".join(line.split()) for line in read_text(hotwords).splitlines() if line.strip()]
        if not lines:
            raise InputError(f"'{hotwords}' names no hotwords.")
    lines += [
        word for word in re.findall(r"\w[\w'’-]*", prompt) if sum(map(str.isalnum, word)) >= PROMPTED_LETTERS
    ]
    return tuple(dict.fromkeys(lines))


def by_phones(recognizer: AnyRecognizer, model: NgramModel) -> bool:
    """Whether the recogniser writes phones, and the model knows how its words are spoken."""
    return "phones" in recognizer.targets and bool(model.pronunciations)


def letters(recognizer: AnyRecognizer) -> set[str]:
    """Those that the recogniser writes its texts with."""
    return set("".join(recognizer.tokens.inventory if recognizer.tokens else ())) - {WORD_START}


def misfit(recognizer: AnyRecognizer, model: NgramModel) -> str:
    """Why words of the model cannot be written, as half a sentence; empty where they can."""
    if by_phones(recognizer, model):
        spoken = {phone for rows in model.pronunciations.values() for row in rows for phone in row}
        strange = spoken.difference(recognizer.targets["phones"].inventory)
        return f"its words are spoken with {_few(strange)}, which are no phones of that" if strange else ""
    has = letters(recognizer)
    words = [word for word in model.words if word != UNKNOWN]
    written = [word for word in words if has.issuperset(word)]
    if len(written) >= LEAST_WRITTEN * len(words):
        return ""
    example = next(word for word in words if not has.issuperset(word))
    return f"most of its words, as '{example}', have letters that the recogniser does not write"


def _packaged(recognizer: AnyRecognizer) -> Likely:
    """The model of the package; none where the recogniser writes letters that no word of the model has."""
    if not any(each.partition(".")[0] == METHOD for each in packaged()):
        return Likely()
    model = language_models.find()
    why = misfit(recognizer, model)
    if not why and not by_phones(recognizer, model):
        strange = letters(recognizer).difference(*model.words)
        why = f"it is English, and the recogniser writes {_few(strange)}" if strange else ""
    if why:
        return Likely(note=f"No language model is used, for the packaged one does not fit: {why}.")
    return Likely(model)


def _network(recognizer: AnyRecognizer, name: str) -> Likely:
    """A network that predicts tokens; beside a search by phones with the packaged n-grams."""
    model: Any = networks.load(name, KIND).network
    words = _packaged(recognizer).words if "phones" in recognizer.targets else None
    if words is not None and by_phones(recognizer, words):
        lacking = set("".join(words.words[:-1])).difference(*model.tokens)
        if lacking:
            raise UsageError(f"The language model '{name}' does not fit: it has no {_few(lacking)}.")
        return Likely(words, model)
    if recognizer.tokens is None or tuple(model.tokens) != tuple(recognizer.tokens.inventory):
        raise UsageError(
            f"The language model '{name}' does not fit the recogniser: its tokens are others. Train one with `--set "
            "train.tokens_of=` and the recogniser's weights."
        )
    return Likely(tokens=model)


def _few(symbols: Iterable[str]) -> str:
    """Some of them, for a sentence."""
    ordered = sorted(symbols)
    return ", ".join(ordered[:3]) + (" and others" if len(ordered) > 3 else "")
