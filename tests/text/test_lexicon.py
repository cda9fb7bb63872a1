"""The tree of pronunciations is held to a dictionary of all beginnings."""

import numpy as np
import pytest

from unbabble.base.errors import InputError
from unbabble.text.lexicon import ROOT, Lexicon


@pytest.mark.parametrize("seed", range(4))
def test_the_tree_has_every_beginning_once(seed):
    rng = np.random.default_rng(seed)
    words = {
        f"w{number}": [
            rng.choice(list("abc"), rng.integers(1, 6)).tolist() for _ in range(rng.integers(1, 3))
        ]
        for number in range(40)
    }
    own = {word: float(rng.normal()) for word in words}
    lexicon = Lexicon(words, "abc", own.__getitem__)
    beginnings: dict[tuple[str, ...], set[str]] = {(): set(words)}
    endings: dict[tuple[str, ...], set[str]] = {}
    for word, rows in words.items():
        for row in map(tuple, rows):
            endings.setdefault(row, set()).add(word)
            for length in range(1, len(row) + 1):
                beginnings.setdefault(row[:length], set()).add(word)
    assert len(lexicon) == len(lexicon.best) == len(beginnings)
    nodes = set()
    for row, below in beginnings.items():
        tokens = ["abc".index(symbol) + 1 for symbol in row]
        node = lexicon.find(tokens)
        assert node is not None
        nodes.add(node)
        assert lexicon.tokens(node) == tokens
        assert set(lexicon.words(node)) == endings.get(row, set())
        assert lexicon.best[node] == max(own[word] for word in below)
        following = {"abc".index(longer[-1]) + 1 for longer in beginnings if longer and longer[:-1] == row}
        assert set(lexicon.children(node)) == following
    assert len(nodes) == len(beginnings)


def test_what_begins_no_word_is_not_found():
    lexicon = Lexicon({"go": ["go"]}, "go")
    assert lexicon.find([1, 1]) is None
    assert lexicon.find([1, 2, 1]) is None
    assert lexicon.find([]) == ROOT


def test_no_words():
    lexicon = Lexicon({}, "abc")
    assert len(lexicon) == 1
    assert lexicon.children(ROOT) == {}


@pytest.mark.parametrize("pronunciations", [{"go": []}, {"go": [[]]}, {"go": [["g", "x"]]}])
def test_what_cannot_be_spoken_is_said(pronunciations):
    with pytest.raises(InputError, match="'go'"):
        Lexicon(pronunciations, "go")
