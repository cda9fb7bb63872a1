"""Language models of words by name: packaged ones, files of weights, and files in the format of ARPA."""

from collections.abc import Iterable
from functools import lru_cache

from unbabble.base.errors import InputError, UsageError
from unbabble.base.weights import packaged
from unbabble.networks.load import load
from unbabble.text import arpa
from unbabble.text.ngram import UNKNOWN, NgramModel
from unbabble.text.pronounce import Pronouncer, Pronunciation

PACKAGED = "kneser_ney.novels"
"""English, as novels have it; its pronunciations are CMUdict's, as far as that has the words."""
LANGUAGE_MODEL = "language model"
"""The kind."""


def load_ngrams(name: str) -> NgramModel:
    """The n-gram model called ``name``, with pronunciations of its words.

    Args:
        name: as ``kneser_ney.novels``, a weights file, or a file in the format of ARPA, whose words are spoken as
            English.

    Raises:
        InputError: it cannot be read.
        UsageError: no such model, or one of another kind.
    """
    if name.endswith(arpa.SUFFIXES):
        model = arpa.read(name)
        return NgramModel(model.words, model.levels(), spoken(Pronouncer(dictionary()), model.words))
    loaded = load(name, LANGUAGE_MODEL).network
    if not isinstance(getattr(loaded, "ngrams", None), NgramModel):
        raise UsageError(f"Model '{name}' predicts pieces of words: here, one that predicts words is needed.")
    return loaded.ngrams


@lru_cache(maxsize=1)
def dictionary() -> dict[str, list[Pronunciation]]:
    """How the words of the packaged model are spoken; nothing where it is not installed."""
    if PACKAGED not in packaged():
        return {}
    return {word: list(ways) for word, ways in load_ngrams(PACKAGED).pronunciations.items()}


def spoken(pronouncer: Pronouncer, words: Iterable[str]) -> dict[str, list[Pronunciation]]:
    """Pronunciations of words; those that are not written in letters of English are left out."""
    ways = {}
    for word in words:
        if word != UNKNOWN:
            try:
                ways[word] = pronouncer.of(word)
            except InputError:
                continue
    return ways
