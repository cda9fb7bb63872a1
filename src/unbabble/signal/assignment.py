"""Which voice of each piece of a long recording is whose: the likeliest assignment over all of it.

Pieces are separated by themselves, so their voices come in any order. Two things tell whose each is: what neighbouring
pieces share is the same sound, and every voice has traits (vectors of an embedder), alike wherever its talker speaks.
Of one piece neither is sure; of an hour both together are, once it is known which traits are the talkers'.

Voices that were separated badly differ by something else most: one has the low frequencies, the other the high ones.
So from the traits, less the mean of a piece, what goes along with the share of low frequencies is taken out; then they
are measured by how much they vary within pieces (``WITHIN``), which is what is said and not who says it; and what is
left is looked at along the axes in which pieces differ most, one fewer than there are talkers.

There a talker is a mean ``m``, and the assignment ``a`` of tracks to voices is that of the largest

    sum_pieces sum_talkers  -|x[a(piece)] - m|^2 / 2 + w C[a(piece), a(piece before)]

with the likeness ``C`` of sound in what is shared: first ``a`` and ``m`` by turns without ``C``, from several
beginnings, then ``a`` by the Viterbi algorithm over the orders of a piece's voices. ``w`` are the log-odds that what is
shared is right, by how often it agrees with the traits alone.
"""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from unbabble.signal.permutation import NONE, best_permutation

WITHIN = 3.0
"""Of the mean variance within pieces that is added to that of each axis. Chosen, as all here, on dev speakers in the
manner of benchmark ``long``; 1 to 10 are as good."""
MOST_VOICES = 5
"""Of more, whose orders would be too many, what pieces share decides alone."""
BEGINNINGS, STRETCH_PIECES, ROUNDS = 12, 20, 20
SUREST = 0.99
"""As often as this, at most, what is shared is taken to be right."""
SAME_SOUND, SAME_SOUND_WEIGHT = 0.7, 50.0
"""Mean difference between the likeness in the best order and in the worst from which on voices are taken to be
separated well (these have 1, two in a room that one microphone heard 0.3), and what likeness counts for then."""


def assign(
    traits: Sequence[Float[np.ndarray, "window voice dimension"]],
    low: Sequence[Float[np.ndarray, " voice"]],
    shared: Sequence[Float[np.ndarray, "voice voice_before"]],
) -> Int[np.ndarray, "piece track"]:
    """Of each piece the number of every track's voice, ``NONE`` where it has none.

    There are as many tracks as the piece of most voices has.

    Args:
        traits: of each piece's voices in windows of it; zeros where nothing is known of a voice.
        low: logarithm of the share that low frequencies have of each voice's power.
        shared: likeness of each piece's voices, but for the first, to those of the piece before in what both share:
            inner products, as shares of the power there.
    """
    counts = np.array([len(each) for each in low])
    tracks = int(counts.max(initial=0))
    seams = np.zeros((max(0, len(counts) - 1), tracks, tracks))
    for each, matrix in zip(seams, shared, strict=True):
        each[: matrix.shape[0], : matrix.shape[1]] = matrix
    orders = _followed(seams, tracks)
    if 1 < tracks <= MOST_VOICES:
        places = talkers_places(traits, low, tracks)
        if places is not None:
            orders = _likeliest(places, seams, orders)
    return np.where(orders < counts[:, None], orders, NONE)


def talkers_places(
    traits: Sequence[Float[np.ndarray, "window voice dimension"]],
    low: Sequence[Float[np.ndarray, " voice"]],
    tracks: int,
) -> Float[np.ndarray, "piece voice axis"] | None:
    """Where each voice is in the space in which talkers differ; 0 for what nothing is known of, None if that is all."""
    dimension = max((each.shape[-1] for each in traits if each.size), default=0)
    means, shares = np.zeros((len(traits), tracks, dimension)), np.zeros((len(traits), tracks))
    known = np.zeros((len(traits), tracks), bool)
    within, windows = np.zeros((dimension, dimension)), 0
    for piece, (some, lows) in enumerate(zip(traits, low, strict=True)):
        for voice in range(some.shape[1]):
            rows = some[some[:, voice].any(-1), voice]
            if not len(rows):
                continue
            known[piece, voice], means[piece, voice], shares[piece, voice] = True, rows.mean(0), lows[voice]
            within += (rows - rows.mean(0)).T @ (rows - rows.mean(0))
            windows += len(rows) - 1
    if known.sum() < 2 * tracks:
        return None
    means, shares = _centred(means, known), _centred(shares[..., None], known)
    flat, share = means[known], shares[known]
    means[known] = flat - share * (share.T @ flat) / max(float(np.square(share).sum()), 1e-12)
    if windows:
        within += WITHIN * np.trace(within) / dimension * np.eye(dimension)
        variances, axes = np.linalg.eigh(within / windows)
        means = means @ (axes / np.sqrt(np.maximum(variances, 1e-12))) @ axes.T
    _, axes = np.linalg.eigh(means[known].T @ means[known])
    return means @ axes[:, -(tracks - 1) :]


def _centred(
    values: Float[np.ndarray, "piece voice dimension"], known: Bool[np.ndarray, "piece voice"]
) -> Float[np.ndarray, "piece voice dimension"]:
    """Less the mean over a piece's voices; of a voice alone in it, less that over all."""
    several = known.sum(1) > 1
    mean = np.where(
        several[:, None],
        (values * known[..., None]).sum(1) / np.maximum(1, known.sum(1))[:, None],
        values[known].mean(0),
    )
    return (values - mean[:, None]) * known[..., None]


def _followed(
    likeness: Float[np.ndarray, "seam voice before"], tracks: int
) -> Int[np.ndarray, "piece track"]:
    """Each piece's voices in the order of those before, by what they share alone."""
    orders = [np.arange(tracks)]
    for each in likeness if tracks else ():
        orders.append(best_permutation(torch.from_numpy(each[:, orders[-1]])).numpy())
    return np.stack(orders) if tracks else np.zeros((len(likeness) + 1, 0), int)


def _likeliest(
    places: Float[np.ndarray, "piece voice axis"],
    seams: Float[np.ndarray, "seam voice before"],
    followed: Int[np.ndarray, "piece track"],
) -> Int[np.ndarray, "piece track"]:
    pieces, tracks, _ = places.shape
    states = np.array(list(permutations(range(tracks))))
    # (seam, state, state before)
    alike = sum((seams[:, states[:, None, k], states[None, :, k]] for k in range(tracks)), np.zeros(()))
    starts = np.linspace(0, max(0, pieces - STRETCH_PIECES), BEGINNINGS).round().astype(int)
    fits = []
    for start in np.unique(starts):
        stretch = slice(start, start + STRETCH_PIECES)
        fits.append(_fitted(places, states, _means(places[stretch], followed[stretch])))
    means, path = max(fits, key=lambda fit: float(np.square(fit[0]).sum()))
    variance = np.square(np.take_along_axis(places, states[path][..., None], 1) - means).mean()
    own = _likeness(places, states, means) / max(float(variance), 1e-12)
    return states[_likeliest_path(own, _odds(alike, path, own) * alike)]


def _means(
    places: Float[np.ndarray, "piece voice axis"], orders: Int[np.ndarray, "piece track"]
) -> Float[np.ndarray, "track axis"]:
    return np.take_along_axis(places, orders[..., None], 1).mean(0)


def _likeness(
    places: Float[np.ndarray, "piece voice axis"],
    states: Int[np.ndarray, "state track"],
    means: Float[np.ndarray, "track axis"],
) -> Float[np.ndarray, "piece state"]:
    products = places @ means.T
    return np.stack([products[:, state, np.arange(len(means))].sum(1) for state in states], 1)


def _fitted(
    places: Float[np.ndarray, "piece voice axis"],
    states: Int[np.ndarray, "state track"],
    means: Float[np.ndarray, "track axis"],
) -> tuple[Float[np.ndarray, "track axis"], Int[np.ndarray, " piece"]]:
    """Means, and each piece's state, by the traits alone."""
    path = np.full(len(places), NONE)
    for _ in range(ROUNDS):
        before, path = path, _likeness(places, states, means).argmax(1)
        means = _means(places, states[path])
        if (path == before).all():
            break
    return means, path


def _odds(
    alike: Float[np.ndarray, "seam state before"],
    path: Int[np.ndarray, " piece"],
    own: Float[np.ndarray, "piece state"],
) -> float:
    """What a likeness of what is shared counts for, by how often the likest state is also that of the traits.

    That is as often as both are right, or both wrong in the same way; how often the traits are, they say themselves.
    """
    here = np.take_along_axis(alike, path[:-1, None, None], 2)[..., 0]  # (seam, state)
    spread = np.ptp(here, axis=1)
    told = spread > 0
    if not told.any():
        return 0.0
    if spread[told].mean() > SAME_SOUND:
        return SAME_SOUND_WEIGHT
    others = alike.shape[1] - 1
    likely = 1 / np.exp(own - own.max(1, keepdims=True)).sum(1)
    both = (likely[1:] * likely[:-1] + (1 - likely[1:]) * (1 - likely[:-1]) / others)[told].mean()
    by_chance = (1 - both) / others
    agree = (here.argmax(1) == path[1:])[told].mean()
    right = (agree - by_chance) / (both - by_chance) if both > by_chance else SUREST
    right = min(max(float(right), 1 / (1 + others)), SUREST)
    return float(np.log(right * others / (1 - right)) / spread[told].mean())


def _likeliest_path(
    own: Float[np.ndarray, "piece state"], seams: Float[np.ndarray, "seam state before"]
) -> Int[np.ndarray, " piece"]:
    """The states of the largest sum (the Viterbi algorithm)."""
    best, before = own[0], []
    for score, seam in zip(own[1:], seams, strict=True):
        reached = seam + best
        before.append(reached.argmax(1))
        best = reached.max(1) + score
    path = [int(best.argmax())]
    for each in reversed(before):
        path.append(int(each[path[-1]]))
    return np.array(path[::-1])
