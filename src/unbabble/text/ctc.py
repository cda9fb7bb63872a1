r"""Connectionist temporal classification: what the frames of a recording say about a row of tokens.

    A. Graves, S. Fernández, F. Gomez, J. Schmidhuber, "Connectionist temporal classification: labelling unsegmented
    sequence data with recurrent neural networks", ICML 2006.
    S. Watanabe, T. Hori, S. Kim, J. R. Hershey, T. Hayashi, "Hybrid CTC/attention architecture for end-to-end speech
    recognition", IEEE J. Sel. Top. Signal Process. 11(8), 2017: algorithm 2.

A network gives each frame a distribution over the tokens and the *blank*. A *path* is one symbol a frame, and its
probability the product over the frames; ``collapse`` makes a row of tokens of it. The probability of a row is the sum
over all of the paths that collapse to it.

**As a hidden Markov model** (``states``): the row ``a b b`` has the states ``- a - b - b -``, blanks around every
token. At each frame one stays in a state or goes to the next; a blank may be jumped over, unless the tokens on both
sides are equal, for these would collapse to one. One starts in one of the first two states and ends in one of the last
two. The state ``s`` emits its symbol ``z_s``, so that, with the log-probability ``x_t(z)`` of the symbol ``z`` in frame
``t``,

    α_t(s) = x_t(z_s) + log(exp α_{t-1}(s) + exp α_{t-1}(s-1) + [jump to s] exp α_{t-1}(s-2))    ``forward``
    β_t(s) = log(Σ over s' = s, s+1, and s+2 where one may jump: exp(x_{t+1}(z_{s'}) + β_{t+1}(s')))    ``backward``
    log p(row) = log(exp α_T(S) + exp α_T(S-1))    ``log_probability``
    γ_t(s) = exp(α_t(s) + β_t(s) - log p(row))    ``occupation``

γ is how probable it is that the path is in state ``s`` at frame ``t``, given the row. The derivative of
``-log p(row)`` by the network's logits is the softmax minus γ, summed over the states of a symbol (``gradient``). With
the maximum in place of the sum, the best path comes out (``align``).

All log-probabilities are natural, arrays are (frame, token) with the blank in column 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from unbabble.base.errors import InputError
from unbabble.text.tokens import BLANK


def collapse(path: Iterable[int]) -> list[int]:
    """The row of tokens of a path: repeated symbols once, then without blanks.

    >>> collapse([0, 3, 3, 0, 3, 5, 0, 0])
    [3, 3, 5]
    """
    row, last = [], BLANK
    for symbol in path:
        if symbol not in (BLANK, last):
            row.append(int(symbol))
        last = symbol
    return row


def frames_needed(row: Sequence[int]) -> int:
    """How many frames the shortest path of a row has: one for each token, and a blank between equal neighbours.

    >>> frames_needed([3, 3, 5])
    4
    """
    return len(row) + sum(one == other for one, other in pairwise(row))


def infeasible(rows: Iterable[Sequence[int]], frames: Iterable[int]) -> int:
    """How many rows have no path, as their recording has too few frames: their loss is infinite, whatever is learnt.

    Args:
        rows: of tokens.
        frames: of each row's recording.
    """
    return sum(frames_needed(row) > count for row, count in zip(rows, frames, strict=True))


def states(row: Sequence[int]) -> tuple[Int[np.ndarray, " state"], Bool[np.ndarray, " state"]]:
    """The hidden Markov model of a row: the symbol of each of its 2 U + 1 states, and whether one may jump to it.

    >>> symbols, jump = states([7, 7, 2])
    >>> symbols.tolist()
    [0, 7, 0, 7, 0, 2, 0]
    >>> jump.nonzero()[0].tolist()
    [5]
    """
    symbols = np.full(2 * len(row) + 1, BLANK)
    symbols[1::2] = row
    jump = np.zeros(len(symbols), bool)
    jump[2:] = (symbols[2:] != BLANK) & (symbols[2:] != symbols[:-2])
    return symbols, jump


def forward(
    log_probs: Float[np.ndarray, "frame token"], row: Sequence[int]
) -> Float[np.ndarray, "frame state"]:
    """α: log-probability of all beginnings of paths that are in a state at a frame, the frame's symbol included."""
    symbols, jump = states(row)
    emitted = log_probs[:, symbols].astype(np.float64)
    alpha = np.full(emitted.shape, -np.inf)
    alpha[:1, :2] = emitted[:1, :2]
    for t in range(1, len(alpha)):
        before = alpha[t - 1]
        arrived = before.copy()
        arrived[1:] = np.logaddexp(arrived[1:], before[:-1])
        arrived[2:] = np.where(jump[2:], np.logaddexp(arrived[2:], before[:-2]), arrived[2:])
        alpha[t] = arrived + emitted[t]
    return alpha


def backward(
    log_probs: Float[np.ndarray, "frame token"], row: Sequence[int]
) -> Float[np.ndarray, "frame state"]:
    """β: log-probability of all endings of paths that are in a state at a frame, the frame's symbol excluded."""
    symbols, jump = states(row)
    emitted = log_probs[:, symbols].astype(np.float64)
    beta = np.full(emitted.shape, -np.inf)
    beta[-1:, -2:] = 0.0
    for t in range(len(beta) - 2, -1, -1):
        after = emitted[t + 1] + beta[t + 1]
        left = after.copy()
        left[:-1] = np.logaddexp(left[:-1], after[1:])
        left[:-2] = np.where(jump[2:], np.logaddexp(left[:-2], after[2:]), left[:-2])
        beta[t] = left
    return beta


def log_probability(log_probs: Float[np.ndarray, "frame token"], row: Sequence[int]) -> float:
    """Of a row: the sum over all of its paths; -inf where it has none. CTC's loss is this, negative."""
    if not len(log_probs):
        return -np.inf if len(row) else 0.0
    return float(np.logaddexp.reduce(forward(log_probs, row)[-1, -2:]))


def log_probabilities(
    log_probs: Float[np.ndarray, "frame token"], rows: Int[np.ndarray, "row token"]
) -> Float[np.ndarray, " row"]:
    """``log_probability`` of many rows of one length at once."""
    symbols = np.zeros((len(rows), 2 * rows.shape[1] + 1), int)
    symbols[:, 1::2] = rows
    jump = np.zeros(symbols.shape, bool)
    jump[:, 2:] = (symbols[:, 2:] != BLANK) & (symbols[:, 2:] != symbols[:, :-2])
    alpha = np.full(symbols.shape, -np.inf)
    alpha[:, 0] = 0.0
    for frame, emitted in enumerate(log_probs[:, symbols].astype(np.float64)):
        before = alpha
        alpha = before.copy()
        alpha[:, 1:] = np.logaddexp(alpha[:, 1:], before[:, :-1])
        if frame:
            skipping = np.where(jump[:, 2:], before[:, :-2], -np.inf)
            alpha[:, 2:] = np.logaddexp(alpha[:, 2:], skipping)
        alpha += emitted
    return np.logaddexp.reduce(alpha[:, -2:], axis=1)


def occupation(
    log_probs: Float[np.ndarray, "frame token"], row: Sequence[int]
) -> Float[np.ndarray, "frame state"]:
    """γ: how probable it is that the path is in a state at a frame, given the row; each frame sums to one.

    Raises:
        InputError: the row has no path.
    """
    alpha = forward(log_probs, row)
    total = np.logaddexp.reduce(alpha[-1:, -2:], axis=None, initial=-np.inf)
    if total == -np.inf:
        raise _no_path(log_probs, row)
    return np.exp(alpha + backward(log_probs, row) - total)


def gradient(
    log_probs: Float[np.ndarray, "frame token"], row: Sequence[int]
) -> Float[np.ndarray, "frame token"]:
    """Of the loss ``-log p(row)`` by the logits whose log-softmax ``log_probs`` is.

    Raises:
        InputError: the row has no path.
    """
    symbols, _ = states(row)
    softmax = np.exp(log_probs.astype(np.float64))
    return softmax - occupation(log_probs, row) @ np.eye(log_probs.shape[1])[symbols]


@dataclass(frozen=True)
class Alignment:
    """The most probable path of a row.

    Attributes:
        path: the symbol of each frame.
        spans: of each token, its first frame and the one after its last.
        score: log-probability of the path.
    """

    path: Int[np.ndarray, " frame"]
    spans: tuple[tuple[int, int], ...]
    score: float


def align(log_probs: Float[np.ndarray, "frame token"], row: Sequence[int]) -> Alignment:
    """Viterbi: each token of a row gets one frame at least, in the row's order.

    Raises:
        InputError: the row has no path.
    """
    symbols, jump = states(row)
    emitted = log_probs[:, symbols].astype(np.float64)
    frames, count = emitted.shape
    if frames_needed(row) > frames or not frames:
        raise _no_path(log_probs, row)
    came_from = np.zeros((frames, count), np.int8)  # how many states back
    best = np.full(count, -np.inf)
    best[:2] = emitted[0, :2]
    reachable = np.full((3, count), -np.inf)  # staying, from the state before, jumping
    for t in range(1, frames):
        reachable[0] = best
        reachable[1, 1:] = best[:-1]
        reachable[2, 2:] = np.where(jump[2:], best[:-2], -np.inf)
        came_from[t] = reachable.argmax(0)
        best = reachable.max(0) + emitted[t]
    state = count - 1 - int(best[-2:][::-1].argmax())  # the better of the last two
    score = float(best[state])
    if score == -np.inf:
        raise _no_path(log_probs, row)
    visited = np.empty(frames, int)
    for t in range(frames - 1, -1, -1):
        visited[t] = state
        state -= int(came_from[t, state])
    firsts = np.searchsorted(visited, np.arange(1, count, 2))
    ends = np.searchsorted(visited, np.arange(1, count, 2), side="right")
    return Alignment(symbols[visited], tuple(zip(firsts.tolist(), ends.tolist(), strict=True)), score)


def _no_path(log_probs: np.ndarray, row: Sequence[int]) -> InputError:
    return InputError(
        f"{len(row)} tokens do not fit into {len(log_probs)} frames: "
        f"{frames_needed(row)} are needed, each possible where it is."
    )


class Prefixes(NamedTuple):
    """Hypotheses of a search, as CTC sees them: rows of tokens that may go on.

    Attributes:
        nonblank: (frame, hypothesis), log γⁿ: all beginnings of paths that have collapsed to the hypothesis after so
            many frames (0 is before the first) and end in its last token.
        blank: (frame, hypothesis), log γᵇ: those that end in a blank.
        last: (hypothesis,), last tokens; ``BLANK`` where there is none yet.
        score: (hypothesis,), log ψ: the probability of all rows that begin so.
    """

    nonblank: Float[np.ndarray, "frame_after hypothesis"]
    blank: Float[np.ndarray, "frame_after hypothesis"]
    last: Int[np.ndarray, " hypothesis"]
    score: Float[np.ndarray, " hypothesis"]


class PrefixScores:
    """How probable it is that what was said begins with a row of tokens: algorithm 2 of Watanabe et al. (2017).

    For the hypothesis ``h = g c``, a row ``g`` and one token ``c`` more,

        ψ(h) = Σ_t φ_{t-1}(g) p_t(c),    φ_t(g) = γᵇ_t(g) + [last(g) ≠ c] γⁿ_t(g)
        γⁿ_t(h) = (γⁿ_{t-1}(h) + φ_{t-1}(g)) p_t(c)
        γᵇ_t(h) = (γᵇ_{t-1}(h) + γⁿ_{t-1}(h)) p_t(blank)
        p(g) = γⁿ_T(g) + γᵇ_T(g)    it ends here

    so that ψ(g) = Σ_c ψ(g c) + p(g). ψ needs γ of ``g`` only: over all tokens it is one product of matrices, and the
    recursions are for the hypotheses that stay in the search. Divided by the product P_t of the factors p up to ``t``,
    a recursion is a running sum,

        γⁿ_t(h) / P_t = γⁿ_{t-1}(h) / P_{t-1} + φ_{t-1}(g) / P_{t-1}

    which has no loop over frames in Python.

    Args:
        log_probs: a recording's, natural, the blank in column 0.
    """

    LEAST = -1e6
    """Stands for -inf where sums of logs are subtracted; what is below half of it is impossible."""

    def __init__(self, log_probs: Float[np.ndarray, "frame token"]) -> None:
        self._log = np.maximum(log_probs.astype(np.float64), self.LEAST)
        self._probs = np.exp(log_probs.astype(np.float64))
        self._products = np.concatenate([np.zeros((1, self._log.shape[1])), self._log.cumsum(0)])  # log P_t

    def start(self) -> Prefixes:
        """The hypothesis that nothing was said yet."""
        blank = self._products[:, [BLANK]]
        return Prefixes(np.full(blank.shape, -np.inf), _impossible(blank), np.array([BLANK]), np.zeros(1))

    def scores(self, prefixes: Prefixes) -> Float[np.ndarray, "hypothesis token"]:
        """log ψ of every hypothesis with every token after it; in the column of the blank, log p: it ends here."""
        either = np.logaddexp(prefixes.nonblank, prefixes.blank)
        result = _log_product(either[:-1], self._probs)
        same = _log_product(prefixes.blank[:-1], self._probs[:, prefixes.last], paired=True)
        result[np.arange(len(result)), prefixes.last] = same
        result[:, BLANK] = either[-1]
        return _impossible(result)

    def extend(
        self,
        prefixes: Prefixes,
        rows: Int[np.ndarray, " chosen"],
        tokens: Int[np.ndarray, " chosen"],
        scores: Float[np.ndarray, " chosen"],
    ) -> Prefixes:
        """Hypotheses with one token more.

        Args:
            prefixes: the hypotheses before.
            rows: which of them go on.
            tokens: with what; none is the blank.
            scores: of these, as ``scores`` gave them.
        """
        blank, nonblank = prefixes.blank[:, rows], prefixes.nonblank[:, rows]
        before = np.where(prefixes.last[rows] == tokens, blank, np.logaddexp(blank, nonblank))
        here = _running(before, self._products[:, tokens])
        return Prefixes(here, _running(here, self._products[:, [BLANK]]), tokens, scores)


def _running(
    added: Float[np.ndarray, "frame_after hypothesis"], products: Float[np.ndarray, "frame_after hypothesis"]
) -> Float[np.ndarray, "frame_after hypothesis"]:
    """Log of γ_t = (γ_{t-1} + exp(added_{t-1})) p_t from γ_0 = 0, with the logs of the products of p."""
    result = np.full(added.shape, -np.inf)
    result[1:] = np.logaddexp.accumulate(added[:-1] - products[:-1], axis=0) + products[1:]
    return _impossible(result)


def _log_product(
    logs: Float[np.ndarray, "frame hypothesis"], probs: Float[np.ndarray, "frame token"], paired: bool = False
) -> np.ndarray:
    """Log of exp(logs)ᵀ probs, (hypothesis, token); paired: of hypothesis and token of the same number alone."""
    top = logs.max(0, initial=PrefixScores.LEAST)
    scaled = np.exp(logs - top)
    with np.errstate(divide="ignore"):
        if paired:
            return np.log((scaled * probs).sum(0)) + top
        return np.log(scaled.T @ probs) + top[:, None]


def _impossible(logs: np.ndarray) -> np.ndarray:
    """The same with -inf for what only ``LEAST`` made possible."""
    return np.where(logs < PrefixScores.LEAST / 2, -np.inf, logs)
