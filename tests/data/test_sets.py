"""Kinds of data: by name, several at once, back to what a recipe says."""

from typing import NamedTuple

import pytest

from unbabble.base.errors import UsageError
from unbabble.data import sets
from unbabble.data.batches import Place
from unbabble.data.dynamic import DynamicMixing
from unbabble.data.sets import Several, read, written

MIXTURES = {"kind": "mixtures", "speech": "speech.csv", "talkers": [1, 2]}


class Numbered(NamedTuple):
    number: int


class Row:
    def __getitem__(self, number):
        return Numbered(number)


def test_a_section_is_read_by_its_kind_and_written_again():
    found = read(MIXTURES, "Section 'train'")
    assert isinstance(found, DynamicMixing)
    assert found.talkers == (1, 2)
    assert written(found)["kind"] == "mixtures"
    assert read(written(found), "") == found
    several = {"kind": "several", "sets": {"a": MIXTURES | {"share": 2}, "b": MIXTURES}}
    found = read(several, "Section 'train'")
    assert (list(found.sets), found.shares, found.sample_rate) == (["a", "b"], {"a": 2.0}, 8000)
    assert read(written(found), "") == found


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"speech": "x"}, "Section 'train' needs a kind, one of"),
        ({"kind": "mixture"}, "it has 'mixture'"),
        (MIXTURES | {"talker": 2}, "no option 'talker'. Did you mean 'talkers'?"),
        ({"kind": "several"}, "several sets stand by name under 'sets'"),
        ({"kind": "several", "sets": {"a": MIXTURES}, "seconds": 3}, "nothing else beside them"),
        ({"kind": "several", "sets": {"a": MIXTURES | {"share": "much"}}}, "share and steps are numbers"),
        ({"kind": "several", "sets": {"a": MIXTURES | {"share": 0}}}, "shares are above 0"),
        (
            {"kind": "several", "sets": {"a": MIXTURES, "b": MIXTURES | {"steps": 3}}},
            "all but the last have steps",
        ),
        (
            {"kind": "several", "sets": {"a": MIXTURES, "b": MIXTURES | {"sample_rate": 16000}}},
            "one sample rate",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(section, sentence):
    with pytest.raises(UsageError) as caught:
        read(section, "Section 'train'")
    assert sentence in str(caught.value)


def test_several_sets_are_one_row_too_as_validation_asks_for_it():
    described = Several({"a": read(MIXTURES, ""), "b": read(MIXTURES, "")}, {"a": 3.0}, {})
    items = sets.Joined(described, [Row(), Row()], seed=0)
    assert [items[number].number for number in range(5)] == [0, 1, 2, 3, 4]
    assert sets.item(items, Place(1, 7)) == Numbered(7)
    assert [part[0] for part in sets.parts(items)] == [Numbered(0)] * 2
