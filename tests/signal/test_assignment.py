"""Whose the voices of each piece are, where neither their sound in the overlap nor their traits are sure."""

import numpy as np
import pytest

from unbabble.signal.assignment import assign, talkers_places
from unbabble.signal.permutation import NONE

PIECES, WINDOWS, DIMENSION = 120, 3, 16


def recording(tracks: int, agreeing: float, seed: int = 0, artefact: float = 0.0):
    """Traits, low shares and likeness in overlaps of pieces whose voices come in any order, and these orders.

    Args:
        tracks: talkers.
        agreeing: share of the overlaps that say the right thing; the others say it of a wrong order.
        seed: of all that is drawn.
        artefact: how far what has the low frequencies, which is no talker's, moves the traits.
    """
    rng = np.random.default_rng(seed)
    talkers = rng.standard_normal((tracks, DIMENSION))
    colour = rng.standard_normal(DIMENSION)
    orders = np.stack(
        [rng.permutation(tracks) for _ in range(PIECES)]
    )  # of each talker the number of its voice
    traits, low, shared = [], [], []
    for piece, order in enumerate(orders):
        lows = rng.standard_normal(tracks)
        means = talkers + 0.5 * rng.standard_normal((tracks, DIMENSION)) + artefact * lows[:, None] * colour
        noise = rng.standard_normal((WINDOWS, tracks, DIMENSION))
        voices = np.empty((WINDOWS, tracks, DIMENSION))
        voices[:, order] = means + noise
        traits.append(voices)
        low.append(lows[order.argsort()])
        if piece:
            said = order if rng.random() < agreeing else np.roll(order, 1)
            matrix = np.zeros((tracks, tracks))
            matrix[said, orders[piece - 1]] = (1.0 if agreeing == 1 else 0.3) / tracks
            shared.append(matrix)
    return traits, low, shared, orders


def right(result: np.ndarray, orders: np.ndarray) -> float:
    """Share of the pieces that are in order, by the best naming of the tracks."""
    names = {}
    for one, true in zip(result, orders, strict=True):
        key = tuple(np.argsort(true)[one])
        names[key] = names.get(key, 0) + 1
    return max(names.values()) / len(orders)


@pytest.mark.parametrize("tracks", [2, 3, 4])
def test_traits_say_whose_voices_are(tracks):
    traits, low, shared, orders = recording(tracks, agreeing=0.6)
    assert right(assign(traits, low, shared), orders) > 0.95
    nothing = [np.zeros((WINDOWS, tracks, 1))] * PIECES
    assert right(assign(nothing, low, shared), orders) < 0.7, "what is shared, alone, soon goes wrong"


@pytest.mark.parametrize("tracks", [1, 2, 5, 7])
def test_what_is_shared_says_it_alone_where_it_is_right(tracks):
    _, low, shared, orders = recording(tracks, agreeing=1.0)
    nothing = [np.zeros((WINDOWS, tracks, 1))] * PIECES
    assert right(assign(nothing, low, shared), orders) == 1


def test_voices_that_are_separated_well_are_followed_whatever_their_traits():
    traits, low, shared, orders = recording(2, agreeing=1.0)
    blurred = [
        each + 6 * np.random.default_rng(i).standard_normal(each.shape) for i, each in enumerate(traits)
    ]
    alone = assign(blurred, low, [0 * each for each in shared])
    assert right(alone, orders) < 0.97
    assert right(assign(blurred, low, shared), orders) == 1


def test_the_share_of_low_frequencies_is_not_taken_for_a_talker():
    traits, low, shared, orders = recording(2, agreeing=0.6, artefact=3.0)
    assert right(assign(traits, low, shared), orders) > 0.95
    assert right(assign(traits, [0 * each for each in low], shared), orders) < 0.7


def test_pieces_without_voices_and_with_fewer():
    traits, low, shared, orders = recording(2, agreeing=1.0)
    traits[50], low[50], shared[49], shared[50] = (
        np.zeros((1, 0, 1)),
        np.zeros(0),
        np.zeros((0, 2)),
        np.zeros((2, 0)),
    )
    first = orders[70].argsort()[0]  # whose the first voice is
    traits[70], low[70], shared[69], shared[70] = (
        traits[70][:, :1],
        low[70][:1],
        shared[69][:1],
        shared[70][:, :1],
    )
    result = assign(traits, low, shared)
    assert (result[50] == NONE).all()
    assert sorted(result[70]) == [NONE, 0]
    kept = [piece for piece in range(PIECES) if piece not in (50, 70)]
    assert right(result[kept], orders[kept]) > 0.95, "it goes on behind the silence"
    talker = np.argsort(orders[69])[result[69]]
    assert talker[list(result[70]).index(0)] == first


def test_nothing():
    assert assign([], [], []).shape == (0, 0)
    assert assign([np.zeros((1, 0, 1))], [np.zeros(0)], []).shape == (1, 0)
    assert talkers_places([np.zeros((1, 2, 4))], [np.zeros(2)], 2) is None
