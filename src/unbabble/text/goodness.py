"""How well each phone of a prompt was said, by what CTC says of the recording; no phone is put to any stretch of it.

    X. Cao, Z. Fan, T. Svendsen, G. Salvi, "A framework for phoneme-level pronunciation assessment using CTC",
    Interspeech 2024: the goodness of phone i of a row is the probability of the row over that of all rows in which
    something else, or nothing, stands in its place.

A forced alignment gives every phone a stretch, and so a score, also those that were never said. Here such a phone
competes with the row that lacks it.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from unbabble.base.errors import InputError
from unbabble.text.ctc import BLANK, backward, forward, frames_needed, log_probability


def goodness(log_probs: Float[np.ndarray, "frame token"], row: Sequence[int]) -> Float[np.ndarray, " place"]:
    """Of each place of a row how probable its token is, from 0 to 1, against any other one and none.

    Args:
        log_probs: natural, the blank in column 0.
        row: of tokens, one at least.

    Raises:
        InputError: the row has no path, as the recording is too short for it.
    """
    if frames_needed(row) > len(log_probs):
        raise InputError(f"The recording is too short for the prompt: {len(row)} phones do not fit into it.")
    others = np.logaddexp.reduce(replaced(log_probs, row), axis=1)
    left_out = [log_probability(log_probs, [*row[:place], *row[place + 1 :]]) for place in range(len(row))]
    return np.exp(log_probability(log_probs, row) - np.logaddexp(others, left_out))


def replaced(
    log_probs: Float[np.ndarray, "frame token"], row: Sequence[int]
) -> Float[np.ndarray, "place token"]:
    """Log-probability of a row with each token at each place in turn; -inf for the blank.

    For the token q at place i, paths come from the states before i (their α), stay in q, and go on to the states
    behind i (their β); one pass over the frames does it for all i and q.

    Args:
        log_probs: natural, the blank in column 0.
        row: of tokens, one at least.
    """
    logs = log_probs.astype(np.float64)
    frames, tokens = logs.shape
    places, width = np.arange(len(row)), np.arange(tokens)
    alpha, beta = forward(logs, row), backward(logs, row)
    # the state before place i: its blank 2 i, and the token 2 i - 1 where it is another one than q
    before, ahead = np.array([BLANK, *row[:-1]]), np.array([*row[1:], BLANK])
    new_after = np.where(width == before[:, None], -np.inf, 0.0)
    new_before = np.where(width == ahead[:, None], -np.inf, 0.0)
    inside = np.full((len(row), tokens), -np.inf)
    total = np.full((len(row), tokens), -np.inf)
    for frame in range(frames):
        enter = np.full((len(row), tokens), -np.inf)
        if frame == 0:
            enter[0] = 0.0
        else:
            enter = np.logaddexp(enter, alpha[frame - 1, 2 * places][:, None])
            enter[1:] = np.logaddexp(enter[1:], alpha[frame - 1, 2 * places[1:] - 1][:, None] + new_after[1:])
        inside = np.logaddexp(inside, enter) + logs[frame]
        leave = np.full((len(row), tokens), -np.inf)
        if frame == frames - 1:
            leave[-1] = 0.0
        else:
            blank = logs[frame + 1, BLANK] + beta[frame + 1, 2 * places + 2]
            leave = np.logaddexp(leave, blank[:, None])
            token = logs[frame + 1, ahead[:-1]] + beta[frame + 1, 2 * places[:-1] + 3]
            leave[:-1] = np.logaddexp(leave[:-1], token[:, None] + new_before[:-1])
        total = np.logaddexp(total, inside + leave)
    total[:, BLANK] = -np.inf
    return total
