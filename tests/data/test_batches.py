"""Batches by number: pure, complete, in their shares."""

import pickle
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unbabble.data.batches import ByDuration, ByLength, ByShare, ByStage, Place, Plain


def test_items_come_one_after_another():
    plan = Plain(3)
    assert [place for batch in range(4) for place in plan[batch]] == [
        Place(0, number) for number in range(12)
    ]


@given(st.lists(st.floats(0.1, 30), min_size=1, max_size=50), st.integers(1, 8), st.integers(0, 5))
def test_by_length_every_item_comes_in_every_epoch_beside_its_like(lengths, size, epoch):
    plan = ByLength(lengths, size, seed=3)
    batches = -(-len(lengths) // size)
    groups = [plan[epoch * batches + batch] for batch in range(batches)]
    assert all(len(group) == size for group in groups)
    assert {place.number for group in groups for place in group} == set(range(len(lengths)))
    spans = sorted(
        (min(lengths[p.number] for p in group), max(lengths[p.number] for p in group)) for group in groups
    )
    if len(lengths) % size == 0:
        assert all(high <= low for (_, high), (low, _) in pairwise(spans))


def test_by_length_epochs_have_orders_of_their_own_that_do_not_depend_on_what_was_asked_before():
    lengths = np.arange(40.0)
    plan = ByLength(lengths, 4, seed=0)
    first, second = ([plan[10 * epoch + batch] for batch in range(10)] for epoch in range(2))
    assert first != second
    assert sorted(map(tuple, first)) == sorted(map(tuple, second))
    assert ByLength(lengths, 4, seed=0)[17] == second[7]
    assert [ByLength(lengths, 4, seed=1)[batch] for batch in range(10)] != first


@given(
    st.lists(st.floats(0.1, 30), min_size=1, max_size=60),
    st.floats(1, 60),
    st.integers(0, 3),
    st.integers(0, 5),
)
def test_by_duration_every_item_comes_once_an_epoch_in_batches_that_last_no_longer(
    lengths, most, epoch, seed
):
    plan = ByDuration(lengths, most, seed)
    before = sum(len(plan.groups(each)) for each in range(epoch))
    groups = plan.groups(epoch)
    assert [plan[before + number] for number in range(len(groups))] == groups
    first = epoch * len(lengths)
    assert sorted(place.number for group in groups for place in group) == list(
        range(first, first + len(lengths))
    ), "an epoch's numbers are its own"
    for group in groups:
        longest = max(lengths[place.number - first] for place in group)
        assert len(group) == 1 or longest * len(group) <= most
    assert all(place.set == 0 for group in groups for place in group)


def test_by_duration_a_batch_does_not_depend_on_what_was_asked_before():
    lengths = np.random.default_rng(0).uniform(1, 15, 100).tolist()
    plan = ByDuration(lengths, 40, seed=1)
    forth = [plan[number] for number in range(90)]
    assert [ByDuration(lengths, 40, seed=1)[number] for number in reversed(range(90))] == forth[::-1]
    assert [ByDuration(lengths, 40, seed=2)[number] for number in range(90)] != forth
    assert pickle.loads(pickle.dumps(plan))[57] == forth[57]


def test_by_duration_items_are_beside_their_like_and_not_always_the_same():
    lengths = np.random.default_rng(0).uniform(1, 15, 400).tolist()
    plan = ByDuration(lengths, 40, seed=1)
    first, second = plan.groups(0), plan.groups(1)
    seconds = sum(lengths)
    for groups in (first, second):
        longest = [max(lengths[place.number % 400] for place in group) for group in groups]
        assert sum(map(np.multiply, longest, map(len, groups))) < 1.15 * seconds
        assert longest != sorted(longest), "in no order"
    together = [
        {frozenset(place.number % 400 for place in group) for group in each} for each in (first, second)
    ]
    assert not together[0] >= together[1]


def test_by_share_batches_are_of_one_set_as_often_as_asked_for():
    plan = ByShare([Plain(2, 0), Plain(2, 1)], [3.0, 1.0], seed=5)
    batches = [plan[number] for number in range(2000)]
    assert all(len({place.set for place in batch}) == 1 for batch in batches)
    assert abs(np.mean([batch[0].set for batch in batches]) - 0.25) < 0.03
    assert batches[1234] == plan[1234]
    assert len({batch[0] for batch in batches}) == 2000, "no item comes twice"


def test_by_stage_a_set_stands_in_for_another():
    plan = ByStage([Plain(2, 0), Plain(2, 1), Plain(2, 2)], [3, 2])
    assert [plan[batch][0] for batch in range(7)] == [
        Place(0, 0), Place(0, 2), Place(0, 4), Place(1, 6), Place(1, 8), Place(2, 10), Place(2, 12)
    ]  # fmt: skip
