"""Language models of words by name: packaged ones, and files."""

from functools import lru_cache
from pathlib import Path

from unbabble.base.errors import InputError
from unbabble.base.weights import SUFFIX, packaged
from unbabble.text import arpa, packed_ngram
from unbabble.text.ngram import NgramModel

AUTO, METHOD = "auto", "kneser_ney"


@lru_cache(maxsize=2)
def find(name: str = AUTO) -> NgramModel:
    """The language model called ``name``.

    Args:
        name: of a packaged one, a file of ours (.safetensors) or in ARPA's format, or ``auto`` for the packaged one.

    Raises:
        InputError: it is missing or damaged; none is installed for ``auto``.
    """
    if name == AUTO:
        here = [each for each in packaged() if each.partition(".")[0] == METHOD]
        if not here:
            raise InputError("No language model is installed: make one with `unbabble language-model`.")
        name = here[0]
    place = packaged().get(name, Path(name).expanduser())
    return packed_ngram.load(place) if place.suffix == SUFFIX else arpa.read(place)
