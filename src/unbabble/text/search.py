"""The search of recognisers that write one token after another: a beam over whatever scores tokens and words.

    S. Watanabe, T. Hori, S. Kim, J. R. Hershey, T. Hayashi, "Hybrid CTC/attention architecture for end-to-end speech
    recognition", IEEE J. Sel. Top. Signal Process. 11(8), 2017: sections III.B and III.C.

The text Y of a recording X is the one with the greatest

    attention_weight log p_attention(Y | X) + ctc_weight log p_CTC(Y | X)      ctc_weight = 1 - attention_weight
        + token_language_weight log p_tokens(Y)                              a language model of tokens
        + token_bonus · tokens of Y
        + language_weight log p_words(Y) + word_bonus · words of Y           ``word_scores``, with hotwords

Papers, ESPnet and SpeechBrain write λ for the weight of CTC; lectures write it for the weight of attention. Here it has
no letter.

Hypotheses of one length are extended together. What scores every token at once (attention, CTC, a language model of
tokens) chooses the ``pre_beam`` best tokens of each, and what scores words is asked for these alone. CTC keeps
attention from repeating and from skipping what was said; without it attention, and a language model even more, prefers
short texts.

Searches of CTC alone, frame by frame, are in ``ctc_search`` and ``lexicon_search``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unbabble.base.errors import UsageError
from unbabble.text import ctc
from unbabble.text.hypothesis import Hypothesis, ranked
from unbabble.text.tokens import BLANK
from unbabble.text.word_scores import PieceScores, Spelled

END = BLANK
"""The token that ends a text, and that comes before its first."""

Logs: TypeAlias = Float[np.ndarray, "hypothesis token"]
Numbers: TypeAlias = Int[np.ndarray, " chosen"]


class TokenModel(Protocol):
    """What writes one token after another: an attention decoder that has its recording, or a language model.

    A state is a dictionary of tensors with the hypothesis first, so that hypotheses are picked out row by row.
    """

    def start(self, batch: int) -> Mapping[str, Tensor]:
        """The state of so many hypotheses before their first token."""
        ...

    def step(self, x: Int[Tensor, " batch"], state: Any) -> tuple[Float[Tensor, "batch token"], Any]:
        """Natural log-probabilities of the tokens after tokens ``x``, and the state then; ``END`` comes first."""
        ...


class Scorer(Protocol):
    """What scores all tokens after all hypotheses at once. A state belongs to a batch of hypotheses."""

    def start(self) -> Any:
        """The state of the one hypothesis without tokens."""
        ...

    def scores(self, state: Any) -> Logs:
        """What each token adds; in column 0, that the hypothesis ends."""
        ...

    def extend(self, state: Any, rows: Numbers, tokens: Numbers) -> Any:
        """The state of hypotheses with one token more: of ``rows`` of the batch, with ``tokens``."""
        ...


class Step(NamedTuple):
    """A ``TokenModel`` after some tokens: its state, and log-probabilities of the next."""

    state: Any
    log_probs: Logs


class Writing:
    """A ``TokenModel`` as a scorer."""

    def __init__(self, model: TokenModel) -> None:
        self._model = model

    def start(self) -> Step:
        """Before the first token."""
        return self._step(np.array([END]), self._model.start(1))

    def scores(self, state: Step) -> Logs:
        """Log-probabilities of the next tokens."""
        return state.log_probs

    def extend(self, state: Step, rows: Numbers, tokens: Numbers) -> Step:
        """After one token more."""
        chosen = torch.from_numpy(rows)
        return self._step(tokens, {name: tensor[chosen] for name, tensor in state.state.items()})

    @torch.inference_mode()
    def _step(self, tokens: Numbers, state: Any) -> Step:
        log_probs, after = self._model.step(torch.from_numpy(tokens), state)
        return Step(after, log_probs.double().cpu().numpy())


class Frames(NamedTuple):
    """What CTC knows of hypotheses, and the log-probabilities ψ of all that go on with one token more."""

    prefixes: ctc.Prefixes
    scores: Logs


class CtcPrefixes:
    """CTC as a scorer: by how much a token more changes log ψ, the log-probability of all that begins so."""

    def __init__(self, log_probs: Float[np.ndarray, "frame token"]) -> None:
        self._scorer = ctc.PrefixScores(log_probs)

    def start(self) -> Frames:
        """Before the first token."""
        return self._scored(self._scorer.start())

    def scores(self, state: Frames) -> Logs:
        """Changes of log ψ: cumulative ψ after less cumulative ψ before."""
        return state.scores - state.prefixes.score[:, None]

    def extend(self, state: Frames, rows: Numbers, tokens: Numbers) -> Frames:
        """After one token more."""
        scores = state.scores[rows, tokens]
        return self._scored(self._scorer.extend(state.prefixes, rows, tokens, scores))

    def _scored(self, prefixes: ctc.Prefixes) -> Frames:
        return Frames(prefixes, self._scorer.scores(prefixes))


def joint_beam(
    attention: TokenModel | None,
    log_probs: Float[np.ndarray, "frame token"] | None,
    inventory: Sequence[str] = (),
    *,
    attention_weight: float = 0.6,
    token_language_model: TokenModel | None = None,
    token_language_weight: float = 0.0,
    token_bonus: float = 0.0,
    words: PieceScores | None = None,
    beam: int = 8,
    pre_beam: int = 16,
    margin: float = 10.0,
    end_threshold: float | None = None,
    longest: int | None = None,
) -> list[Hypothesis]:
    """Texts by attention, CTC, or both, and language models; see the module for what is greatest.

    Args:
        attention: a decoder that has its recording; None for CTC alone.
        log_probs: CTC's; None for attention alone.
        inventory: pieces, for the words of the result; empty where tokens spell none.
        attention_weight: of attention; the rest to one is CTC's. Without one of the two, the other's weight is 1.
        token_language_model: of the same tokens.
        token_language_weight: of its log-probabilities.
        token_bonus: for each token, in nats.
        words: what pieces of words add.
        beam: hypotheses that are kept of each length.
        pre_beam: tokens that words are asked for, of each hypothesis.
        margin: the search ends when all open hypotheses are so many nats worse than the best that has ended.
        end_threshold: a text may end only where attention's log-probability of the end is greater than this multiple of
            its best other token's; 1.5 is usual, None for anywhere.
        longest: tokens; by default as many as there are frames, or 500 without any.

    Returns:
        The best that ended, at most ``beam``, best first; where none did, the best open one. Never empty.

    Raises:
        UsageError: neither attention nor CTC, or a weight that is not from 0 to 1.
    """
    if not 0 <= attention_weight <= 1:
        raise UsageError(f"The weight of attention is from 0 to 1, not {attention_weight:g}.")
    if attention is None and log_probs is None:
        raise UsageError("A search needs attention or CTC.")
    share = attention_weight if log_probs is not None else 1.0
    scorers: list[tuple[float, Scorer]] = []
    threshold = None
    if attention is not None and share:
        scorers.append((share, Writing(attention)))
        threshold = end_threshold
    if log_probs is not None and (attention is None or share < 1):
        scorers.append((1 - share if attention is not None else 1.0, CtcPrefixes(log_probs)))
    if token_language_model is not None and token_language_weight:
        scorers.append((token_language_weight, Writing(token_language_model)))
    if longest is None:
        longest = 500 if log_probs is None else len(log_probs)
    search = _Beam(scorers, words, token_bonus, beam, pre_beam, margin, threshold, longest)
    found = search.run()
    return ranked(found, inventory)


@dataclass(frozen=True)
class _Beam:
    """One search; its fields are the arguments of ``joint_beam``."""

    scorers: Sequence[tuple[float, Scorer]]
    words: PieceScores | None
    token_bonus: float
    beam: int
    pre_beam: int
    margin: float
    end_threshold: float | None
    longest: int

    def run(self) -> list[tuple[float, tuple[int, ...]]]:
        states = [scorer.start() for _, scorer in self.scorers]
        spelled = [self.words.start()] if self.words else []
        rows: list[tuple[int, ...]] = [()]
        totals, ended = np.zeros(1), []
        for length in range(self.longest + 1):
            added = self._added(states)
            ends = totals + added[:, END] + self._ends(spelled)
            ended += [(float(ends[row]), rows[row]) for row in np.flatnonzero(ends > -np.inf)]
            ended = sorted(ended, key=lambda each: -each[0])[: self.beam]
            if length == self.longest:
                break
            added[:, END] = -np.inf
            tokens = self._best_tokens(added)
            grown = totals[:, None] + np.take_along_axis(added, tokens, 1) + self.token_bonus
            after = self._spell(spelled, tokens, grown) if self.words else {}
            flat = np.argsort(-grown, axis=None, kind="stable")[: self.beam]
            flat = flat[grown.ravel()[flat] > -np.inf]
            if not len(flat) or (ended and grown.ravel()[flat[0]] < ended[0][0] - self.margin):
                break
            parents, columns = np.unravel_index(flat, grown.shape)
            chosen = tokens[parents, columns]
            totals = grown[parents, columns]
            rows = [(*rows[parent], int(token)) for parent, token in zip(parents, chosen, strict=True)]
            spelled = (
                [after[place] for place in zip(parents.tolist(), columns.tolist(), strict=True)]
                if after
                else []
            )
            states = [
                scorer.extend(state, parents, chosen)
                for (_, scorer), state in zip(self.scorers, states, strict=True)
            ]
        return ended or [(float(totals[0]), rows[0])]

    def _added(self, states: Sequence[Any]) -> Logs:
        """What every token adds by all that scores all tokens; -inf for an end that comes too early."""
        scored = [scorer.scores(state) for (_, scorer), state in zip(self.scorers, states, strict=True)]
        added = sum(weight * scores for (weight, _), scores in zip(self.scorers, scored, strict=True))
        assert isinstance(added, np.ndarray)
        if self.end_threshold is not None:
            attention = scored[0]
            early = attention[:, END] < self.end_threshold * attention[:, END + 1 :].max(1)
            added[early, END] = -np.inf
        return added

    def _ends(self, spelled: Sequence[Spelled]) -> np.ndarray | float:
        return np.array([self.words.end(state) for state in spelled]) if self.words else 0.0

    def _best_tokens(self, added: Logs) -> Int[np.ndarray, "hypothesis candidate"]:
        count = added.shape[1]
        keep = min(self.pre_beam if self.words else self.beam, count - 1)
        return np.argpartition(-added, keep - 1, axis=1)[:, :keep] if keep < count - 1 else _all(added)

    def _spell(
        self, spelled: Sequence[Spelled], tokens: np.ndarray, grown: np.ndarray
    ) -> dict[tuple[int, int], Spelled]:
        """States after tokens, by hypothesis and column; what they add goes into ``grown``."""
        assert self.words
        after = {}
        for row, column in np.argwhere(grown > -np.inf).tolist():
            added, after[row, column] = self.words.score(spelled[row], int(tokens[row, column]))
            grown[row, column] += added
        return after


def _all(added: Logs) -> Int[np.ndarray, "hypothesis candidate"]:
    return np.broadcast_to(np.arange(1, added.shape[1]), (len(added), added.shape[1] - 1))
