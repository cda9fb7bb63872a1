"""Language models of words by name: packaged ones, and files; and how their words are spoken."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from unbabble.base.errors import InputError, UsageError
from unbabble.base.weights import SUFFIX, packaged
from unbabble.text import arpa, packed_ngram
from unbabble.text.ngram import UNKNOWN, NgramModel
from unbabble.text.packed_ngram import METHOD
from unbabble.text.pronounce import Pronouncer, Pronunciation

AUTO = "auto"


def find(name: str = AUTO) -> NgramModel:
    """The language model called ``name``, with pronunciations of its words; read once while its file stays the same.

    Args:
        name: of a packaged one, a file of ours (.safetensors) or in the format of ARPA (.arpa, .arpa.gz), whose words
            are spoken as English; ``auto`` for the packaged one.

    Raises:
        InputError: it is missing, damaged, or no n-gram model; none is installed for ``auto``.
        UsageError: no such model.
    """
    place = Path(name).expanduser() if name.endswith(arpa.SUFFIXES) else _place(name)
    try:
        changed = place.stat().st_mtime_ns
    except OSError as error:
        raise InputError(f"Cannot read the language model '{place}': {error.strerror or error}.") from None
    return _read(place, changed)


@lru_cache(maxsize=2)
def _read(place: Path, changed: int) -> NgramModel:
    if place.name.endswith(arpa.SUFFIXES):
        model = arpa.read(place)
        return NgramModel(model.words, model.levels(), spoken(pronouncer(), model.words))
    return packed_ngram.load(place)


@lru_cache(maxsize=1)
def dictionary() -> dict[str, list[Pronunciation]]:
    """How the words of the packaged model are spoken.

    Raises:
        InputError: none is installed.
    """
    return packed_ngram.load_pronunciations(_place(AUTO))


def pronouncer() -> Pronouncer:
    """By the packaged model's dictionary, where one is installed, and by rules."""
    return Pronouncer(dictionary() if _installed() else {})


def spoken(speaks: Pronouncer, words: Iterable[str]) -> dict[str, list[Pronunciation]]:
    """Pronunciations of words; those that are not written in letters of English are left out."""
    ways = {}
    for word in words:
        if word != UNKNOWN:
            try:
                ways[word] = speaks.of(word)
            except InputError:
                continue
    return ways


def _installed() -> list[str]:
    return [name for name in packaged() if name.partition(".")[0] == METHOD]


def _place(name: str) -> Path:
    """The file of a model of ours."""
    if name in (AUTO, METHOD):
        if not _installed():
            raise InputError("No language model is installed: make one with `unbabble language-model`.")
        name = _installed()[0]
    if name not in packaged() and not name.endswith(SUFFIX):
        raise UsageError(
            f"There is no language model '{name}': name one of {', '.join(_installed()) or 'your own'}, or a file that "
            f"ends in {SUFFIX} or {arpa.SUFFIXES[0]}."
        )
    return packaged().get(name, Path(name).expanduser())
