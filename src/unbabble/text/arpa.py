"""N-gram models in the format of ARPA, which SRILM, KenLM and others write and read: text, one n-gram a line.

    \\data\\
    ngram 1=4

    \\1-grams:
    -0.7    word    -0.3        log10 of its probability, the n-gram, log10 of its back-off weight (none is 0)

    \\end\\

``<s>`` is the beginning of a sentence, ``</s>`` its end, ``<unk>`` any other word.
"""

import gzip
import os
from collections.abc import Iterable, Iterator
from math import log
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Int

from unbabble.base.errors import InputError
from unbabble.base.files import atomic
from unbabble.text.ngram import BOUNDARY, END, UNKNOWN, Level, NgramModel

SUFFIXES = (".arpa", ".arpa.gz")
BEGINNING = "<s>"
NEVER = -99.0
"""log10 of the probability of what is never predicted; KenLM gives -100 to an unknown word that a file lacks."""
LOG_10 = log(10)


def read(path: str | os.PathLike[str]) -> NgramModel:
    """Read a model.

    Words come in lower case, unless a file tells them apart by it. N-grams in which a sentence begins or ends within
    are left out.

    Raises:
        InputError: it cannot be read, is cut short, or is no such file; the sentence says which line.
    """
    name = Path(path).name
    try:
        with _open(path) as file:
            numbered = enumerate(file, 1)
            counts = _header(numbered, name)
            sections = [_section(numbered, order, size, name) for order, size in enumerate(counts, 1)]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text, or damaged"
        raise InputError(f"Cannot read the language model '{path}': {reason}.") from None
    return _model(sections, name)


def write(path: str | os.PathLike[str], model: NgramModel) -> None:
    """Write a model, atomically; compressed where the name ends in ``.gz``.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic(path) as temporary:
        opened = gzip.open if str(path).endswith(".gz") else open
        with opened(temporary, "wt", encoding="utf-8", newline="\n") as file:
            file.writelines(_lines(model))


def _open(path: str | os.PathLike[str]) -> IO[str]:
    return (
        gzip.open(path, "rt", encoding="utf-8") if str(path).endswith(".gz") else open(path, encoding="utf-8")
    )


def _header(lines: Iterator[tuple[int, str]], name: str) -> list[int]:
    """How many n-grams of each order there are; the first section comes next."""
    counts: list[int] = []
    inside = False
    for _, line in lines:
        line = line.strip()
        if inside and line.startswith("ngram "):
            order, _, size = line.removeprefix("ngram ").partition("=")
            if not (order.strip() == str(len(counts) + 1) and size.strip().isdigit()):
                raise InputError(f"'{name}' is no language model in the format of ARPA: it says '{line}'.")
            counts.append(int(size))
        elif line.startswith("\\1-grams") and counts:
            return counts
        inside = inside or line == "\\data\\"
    raise InputError(f"'{name}' is no language model in the format of ARPA.")


def _section(
    lines: Iterator[tuple[int, str]], order: int, size: int, name: str
) -> tuple[list[list[str]], list[float], list[float]]:
    """The n-grams of an order, their log-probabilities and back-off weights; the section behind comes next."""
    grams: list[list[str]] = []
    log_probs: list[float] = []
    back_offs: list[float] = []
    for number, line in lines:
        fields = line.split()
        if not fields:
            continue
        if fields[0].startswith("\\"):
            if len(grams) != size:
                raise InputError(
                    f"'{name}' has {len(grams)} n-grams of {order} words, not {size} as it says."
                )
            return grams, log_probs, back_offs
        try:
            if not order + 1 <= len(fields) <= order + 2:
                raise ValueError
            log_probs.append(float(fields[0]))
            back_offs.append(float(fields[order + 1]) if len(fields) > order + 1 else 0.0)
        except ValueError:
            raise InputError(f"Line {number} of '{name}' is no n-gram of {order} words.") from None
        grams.append(fields[1 : order + 1])
    raise InputError(f"'{name}' is cut short: it has no end.")


def _model(sections: list[tuple[list[list[str]], list[float], list[float]]], name: str) -> NgramModel:
    special = {BEGINNING, END, UNKNOWN, BEGINNING.upper(), END.upper(), UNKNOWN.upper()}
    written = [gram[0] for gram in sections[0][0]]
    lowered = {word: word.lower() for word in written}
    if len(set(lowered.values())) < len(lowered):
        lowered = {word: word.lower() if word in special else word for word in written}
    words = (*(lowered[word] for word in written if word not in special), UNKNOWN)
    numbers = {word: number for number, word in enumerate(words, 1)} | {BEGINNING: BOUNDARY, END: BOUNDARY}
    levels: list[Level] = []
    size = len(words) + 1
    for order, (grams, log_probs, back_offs) in enumerate(sections, 1):
        spelled = [[lowered.get(word, word) for word in gram] for gram in grams]
        try:
            table = np.array([[numbers[word] for word in gram] for gram in spelled], np.int64).reshape(
                -1, order
            )
        except KeyError as error:
            raise InputError(f"'{name}' has n-grams with {error}, but not that word alone.") from None
        logs, weights = LOG_10 * np.array(log_probs), LOG_10 * np.array(back_offs)
        if order == 1:
            levels.append(_unigrams(table[:, 0], [gram[0] for gram in spelled], logs, weights, size))
            continue
        whole = np.array([BEGINNING not in gram[1:] and END not in gram[:-1] for gram in spelled], bool)
        table, logs, weights = table[whole], logs[whole], weights[whole]
        parents = _places(levels, table[:, :-1], size)
        if (parents < 0).any():
            gram = " ".join(([BEGINNING, *words])[number] for number in table[int((parents < 0).argmax())])
            raise InputError(f"'{name}' has the n-gram '{gram}', but not its history.")
        sort = np.argsort(parents * size + table[:, -1])
        levels.append(Level(parents[sort], table[sort, -1], logs[sort], weights[sort]))
    return NgramModel(words, levels)


def _unigrams(
    numbers: Int[np.ndarray, " word"], spelled: list[str], logs: np.ndarray, weights: np.ndarray, size: int
) -> Level:
    """All words: the end's probability and the beginning's back-off weight are those of one number."""
    log_probs, back_offs = np.full(size, LOG_10 * NEVER), np.zeros(size)
    for number, word, log_prob, weight in zip(numbers, spelled, logs, weights, strict=True):
        if word != BEGINNING:
            log_probs[number] = log_prob
        if word != END:
            back_offs[number] = weight
    return Level(np.zeros(size, np.int64), np.arange(size), log_probs, back_offs)


def _places(levels: list[Level], grams: Int[np.ndarray, "gram word"], size: int) -> Int[np.ndarray, " gram"]:
    """Where rows of words stand among the n-grams of their order; -1 where they are none."""
    places = grams[:, 0].copy()
    for level, words in zip(levels[1:], grams.T[1:], strict=True):
        keys = level.parents * size + level.words
        wanted = places * size + words
        found = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        hit = (keys[found] == wanted) & (places >= 0) if len(keys) else np.zeros(len(wanted), bool)
        places = np.where(hit, found, -1)
    return places


def _lines(model: NgramModel) -> Iterable[str]:
    levels = model.levels()
    yield "\\data\\\n"
    for order, level in enumerate(levels, 1):
        yield f"ngram {order}={len(level) + (order == 1)}\n"
    spelled = [BEGINNING, *model.words]
    histories = [""]
    for order, level in enumerate(levels, 1):
        yield f"\n\\{order}-grams:\n"
        longest = order == len(levels)
        grams = []
        rows = zip(level.parents, level.words, level.log_probs, level.back_offs, strict=True)
        for parent, number, log_prob, back_off in rows:
            gram = f"{histories[parent]}{spelled[number]} "
            grams.append(gram)
            said = gram[:-1] if number != BOUNDARY else f"{histories[parent]}{END}"
            weight = "" if longest or number == BOUNDARY else f"\t{back_off / LOG_10:.6f}"
            yield f"{log_prob / LOG_10:.6f}\t{said}{weight}\n"
            if order == 1 and number == BOUNDARY:
                yield f"{NEVER}\t{BEGINNING}\t{back_off / LOG_10:.6f}\n"
        histories = grams
    yield "\n\\end\\\n"
