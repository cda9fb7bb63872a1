"""N-gram models in a few megabytes: a file of weights (``base.weights``) with everything that a recogniser needs.

A tensor is a row of bytes, compressed by xz. Of each order there are: how many n-grams follow each history; their last
words, as gaps between neighbours; their probabilities, as one of 256 values, which are chosen to fit; back-off
weights, in the same way, of those n-grams that are histories. Whole numbers are split into planes of bytes, the least
significant first. Words stand in the order of their numbers, with the phones that they are spoken with.
"""

import lzma
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from unbabble.base import weights
from unbabble.base.errors import InputError
from unbabble.base.weights import WeightsCard
from unbabble.text.ngram import Level, NgramModel, Pronunciations
from unbabble.text.phones import PHONES

METHOD = "kneser_ney"
"""What the card says that it is."""
VALUES = 256
ROUNDS, COARSE, BINS = 30, 1 << 8, 1 << 14
"""In which the values are fitted, and bins of the histograms that they begin with and are fitted to."""
CARD_BYTES = 3500
"""The card, and the names of the tensors."""
LONGEST_WORDS_BYTES = 1 << 28
"""What claims to be longer than this is no model."""


def save(path: str | os.PathLike[str], model: NgramModel, card: WeightsCard) -> None:
    """Write a model, atomically.

    Args:
        path: ``.safetensors``.
        model: to be packed; its probabilities are rounded.
        card: what it is; its options become those that ``load`` needs.

    Raises:
        OutputError: it cannot be written.
    """
    options = {"order": model.order, "words": len(model.words), "ngrams": list(model.counts)}
    tensors = {name: torch.from_numpy(each) for name, each in pack(model).items()}
    weights.save(path, tensors, replace(card, options=options))


def load(path: str | os.PathLike[str]) -> NgramModel:
    """Read a model.

    Raises:
        InputError: it cannot be read, is damaged, or is something else.
    """
    with _reading(path) as (card, packed):
        return _unpacked(packed, [int(each) for each in card.options["ngrams"]])


def load_pronunciations(path: str | os.PathLike[str]) -> dict[str, list[tuple[str, ...]]]:
    """How the words of a model are spoken, without the rest of it.

    Raises:
        InputError: as ``load``.
    """
    with _reading(path) as (_, packed):
        return _pronunciations(packed)


@contextmanager
def _reading(path: str | os.PathLike[str]) -> Iterator[tuple[WeightsCard, dict[str, np.ndarray]]]:
    """The card and the tensors of a model; whatever is wrong with them becomes a sentence."""
    name, card = Path(path).name, weights.read_card(path)
    if card.method != METHOD:
        raise InputError(f"'{name}' is no language model of words: it holds weights of '{card.method}'.")
    packed = {name: tensor.numpy() for name, tensor in weights.read_tensors(path).items()}
    try:
        yield card, packed
    except (KeyError, ValueError, TypeError, IndexError, lzma.LZMAError):
        raise InputError(f"The language model '{name}' is damaged.") from None


def pack(model: NgramModel) -> dict[str, UInt8[np.ndarray, " byte"]]:
    """The tensors of a model."""
    tensors = {"words": _squeezed("\n".join(model.words).encode())}
    if model.pronunciations:
        tensors |= _pack_pronunciations(model.words, model.pronunciations)
    levels = model.levels()
    for order, level in enumerate(levels, 1):
        tensors |= _pack_values(f"log_probs.{order}", level.log_probs)
    for order, (above, level) in enumerate(pairwise(levels), 2):
        followers = np.bincount(level.parents, minlength=len(above))
        gaps = np.diff(level.words.astype(np.int64), prepend=0)
        fresh = np.diff(level.parents, prepend=-1) > 0
        gaps[fresh] = level.words[fresh]
        tensors |= {f"followers.{order}": _pack_numbers(followers), f"gaps.{order}": _pack_numbers(gaps)}
        given = (followers > 0) | (above.back_offs != 0)
        tensors[f"histories.{order - 1}"] = _squeezed(np.packbits(given & (followers == 0)).tobytes())
        tensors |= _pack_values(f"back_offs.{order - 1}", above.back_offs[given])
    return tensors


def megabytes(model: NgramModel) -> tuple[float, float]:
    """What the words of a model with their pronunciations, and a card, take in a file; and what its n-grams take."""
    sizes = {name: len(tensor) for name, tensor in pack(model).items()}
    words = sum(sizes.pop(name, 0) for name in ("words", "ways", "phones"))
    return (words + CARD_BYTES) / 1e6, sum(sizes.values()) / 1e6


def _unpacked(packed: dict[str, np.ndarray], counts: list[int]) -> NgramModel:
    parents, spoken = np.zeros(counts[0], np.int64), np.arange(counts[0])
    levels: list[Level] = []
    for order, size in enumerate(counts, 1):
        log_probs, back_offs = _values(packed, f"log_probs.{order}", size), np.zeros(size, np.float32)
        level = Level(parents, spoken, log_probs, back_offs)
        levels.append(level)
        if order < len(counts):
            followers = _numbers(packed[f"followers.{order + 1}"], size)
            others = np.frombuffer(_opened(packed[f"histories.{order}"], size), np.uint8)
            given = (followers > 0) | np.unpackbits(others)[:size].astype(bool)
            back_offs[given] = _values(packed, f"back_offs.{order}", int(given.sum()))
            parents = np.repeat(np.arange(size), followers)
            spoken = _summed(_numbers(packed[f"gaps.{order + 1}"], counts[order]), followers)
    return NgramModel(_words(packed), levels, _pronunciations(packed))


def _words(packed: dict[str, np.ndarray]) -> list[str]:
    return _opened(packed["words"], LONGEST_WORDS_BYTES).decode().split("\n")


def _summed(
    gaps: Int[np.ndarray, " ngram"], followers: Int[np.ndarray, " history"]
) -> Int[np.ndarray, " ngram"]:
    """Words from gaps, which begin anew with each history."""
    sums = np.cumsum(gaps)
    ends = np.cumsum(followers)
    before = np.concatenate([[0], sums])[ends - followers]
    return sums - np.repeat(before, followers)


def _pack_numbers(numbers: Int[np.ndarray, " number"]) -> UInt8[np.ndarray, " byte"]:
    """Whole numbers as planes of bytes; the first byte says how many planes there are."""
    planes = max(1, (int(numbers.max(initial=0)).bit_length() + 7) // 8)
    rows = [(numbers >> 8 * plane & 255).astype(np.uint8).tobytes() for plane in range(planes)]
    return _squeezed(bytes([planes]) + b"".join(rows))


def _numbers(packed: UInt8[np.ndarray, " byte"], size: int) -> Int[np.ndarray, " number"]:
    content = np.frombuffer(_opened(packed, 1 + 8 * size), np.uint8)
    planes = content[1:].reshape(int(content[0]), size).astype(np.int64)
    return sum((plane << 8 * each for each, plane in enumerate(planes)), np.zeros(size, np.int64))


def _pack_values(name: str, values: Float[np.ndarray, " value"]) -> dict[str, UInt8[np.ndarray, " byte"]]:
    """Values as the nearest of 256 that fit them."""
    book = codebook(values)
    edges = (book[1:] + book[:-1]) / 2
    codes = np.searchsorted(edges, values).astype(np.uint8)
    return {name: _squeezed(codes.tobytes()), f"{name}.values": _squeezed(book.astype("<f4").tobytes())}


def _values(packed: dict[str, np.ndarray], name: str, size: int) -> Float[np.ndarray, " value"]:
    book = np.frombuffer(_opened(packed[f"{name}.values"], 4 * VALUES), "<f4")
    codes = np.frombuffer(_opened(packed[name], size), np.uint8)
    if len(codes) != size:
        raise ValueError(name)
    return book[codes]


def codebook(values: Float[np.ndarray, " value"]) -> Float[np.ndarray, " code"]:
    """At most 256 values, ascending, that are near all of many, by the mean squared error.

    They begin as dense as the third root of the density of what they stand for (Panter and Dite, 1951), and are moved
    to the means of what is nearest to each (Lloyd, 1957).
    """
    different = np.unique(values)
    if len(different) <= VALUES:
        return different if len(different) else np.zeros(1)
    counts, edges = np.histogram(values, BINS)
    centres = (edges[1:] + edges[:-1]) / 2
    sums, mass = np.cumsum([0.0, *(counts * centres)]), np.cumsum([0, *counts])
    density, places = np.histogram(values, COARSE)
    share = np.cumsum([0, *np.cbrt(density)])
    book = np.interp((np.arange(VALUES) + 0.5) / VALUES, share / share[-1], places)
    for _ in range(ROUNDS):
        borders = np.searchsorted(centres, (book[1:] + book[:-1]) / 2)
        inner = np.diff(mass[[0, *borders, BINS]])
        total = np.diff(sums[[0, *borders, BINS]])
        book = np.where(inner > 0, total / np.maximum(inner, 1), book)
    return np.unique(book)


def _pack_pronunciations(
    words: tuple[str, ...], pronunciations: Pronunciations
) -> dict[str, UInt8[np.ndarray, " byte"]]:
    """How many ways there are to speak each word, and their phones, from 1 on, each with a 0 behind it."""
    numbers = {phone: number for number, phone in enumerate(PHONES, 1)}
    ways = [pronunciations.get(word, ()) for word in words]
    phones = bytearray()
    for each in ways:
        for way in each:
            phones += bytes([*(numbers[phone] for phone in way), 0])
    return {
        "ways": _pack_numbers(np.array([len(each) for each in ways])),
        "phones": _squeezed(bytes(phones)),
    }


def _pronunciations(packed: dict[str, np.ndarray]) -> dict[str, list[tuple[str, ...]]]:
    if not {"ways", "phones"} & set(packed):
        return {}
    words = _words(packed)
    ways = _numbers(packed["ways"], len(words)).tolist()
    rows = _opened(packed["phones"], LONGEST_WORDS_BYTES).split(b"\0")
    phone = ("", *PHONES).__getitem__
    spelled = iter(tuple(map(phone, row)) for row in rows)
    return {
        word: [next(spelled) for _ in range(count)] for word, count in zip(words, ways, strict=True) if count
    }


def _squeezed(content: bytes) -> UInt8[np.ndarray, " byte"]:
    return np.frombuffer(lzma.compress(content, preset=6), np.uint8).copy()


def _opened(packed: UInt8[np.ndarray, " byte"], most: int) -> bytes:
    """What was squeezed, if it is no longer than it may be."""
    decompressor = lzma.LZMADecompressor()
    content = decompressor.decompress(packed.tobytes(), most + 1)
    if len(content) > most or not decompressor.eof:
        raise ValueError("longer than it may be, or cut short")
    return content
