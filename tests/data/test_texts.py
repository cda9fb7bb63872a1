"""Sentences of texts: which are kept, which are held out, and what they are written with."""

import pytest

from unbabble.base import weights
from unbabble.base.errors import InputError, UsageError
from unbabble.data import sets
from unbabble.data.texts import HELD_OUT_EVERY, Texts, read_texts


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "prose.txt").write_text("A dog. A cat\nsat; the dog “sat”!\n\nОна читает.", encoding="utf-8")
    (tmp_path / "lines.txt").write_text(
        "".join(f"line {'abcdefghij'[n % 10]}\n" for n in range(2 * HELD_OUT_EVERY))
    )
    return tmp_path


def test_prose_and_lines(folder):
    assert Texts((folder / "prose.txt",)).sentences == ["a dog", "a cat sat", "the dog", "sat"]
    assert Texts((folder / "prose.txt",), characters=(4, 8)).sentences == ["a dog", "the dog"]
    assert Texts((folder / "prose.txt",), language="ru").sentences[-1] == "она читает"
    assert list(read_texts([folder], "en")) == [
        *read_texts([folder / "lines.txt", folder / "prose.txt"], "en")
    ]


def test_what_is_held_out_is_not_learnt_from(folder):
    lines = (folder / "lines.txt",)
    everything, learnt, judged = (Texts(lines, held_out=each).sentences for each in (None, False, True))
    assert len(judged) == 2
    assert len(learnt) + len(judged) == len(everything) == 2 * HELD_OUT_EVERY


def test_items_come_by_length_and_again(folder):
    described = sets.read(
        {"kind": "text", "texts": [str(folder)], "batch_characters": 300}, "Section 'train'"
    )
    assert sets.read(sets.written(described), "Section 'train'") == described
    items = described.open(seed=0)
    assert items[len(items.sentences) + 1].text == items[1].text
    plan = sets.batches(items, 8, seed=1)
    for batch in range(5):
        lengths = [items.lengths[place.number] for place in plan[batch]]
        assert max(lengths) * len(lengths) <= 300


def test_tokens_are_those_of_the_texts_or_of_a_recogniser(folder, tmp_path):
    prose = (folder / "prose.txt",)
    assert Texts(prose).decides() == {"tokens": sorted("▁adogctshe")}
    pieces = Texts(prose, tokens=13).decides()["tokens"]
    assert len(pieces) == 13
    assert len(pieces[-1]) > 1
    path = tmp_path / "recogniser.safetensors"
    weights.save(path, {}, weights.WeightsCard("joint", {"tokens": ["▁", "a"]}))
    assert Texts(prose, tokens_of=path).decides() == {"tokens": ["▁", "a"]}
    weights.save(path, {}, weights.WeightsCard("gru"))
    with pytest.raises(InputError, match="does not say what tokens"):
        Texts(prose, tokens_of=path).decides()


def test_what_cannot_be_used_is_refused(folder):
    with pytest.raises(InputError, match="Cannot read"):
        Texts((folder / "absent.txt",)).open(0)
    with pytest.raises(InputError, match="No sentence of 50 to 60 characters"):
        Texts((folder / "prose.txt",), characters=(50, 60)).open(0)
    for characters in ((0, 5), (9, 5), (1, 9000)):
        with pytest.raises(UsageError, match="bounds of characters"):
            Texts((folder / "prose.txt",), characters=characters)
