"""What a search returns: rows of tokens, the words that they spell, and where these are in the recording."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import accumulate
from operator import attrgetter

import numpy as np
from jaxtyping import Float

from unbabble.base.spans import Span, Transcript
from unbabble.text import ctc
from unbabble.text.tokens import WORD_START


@dataclass(frozen=True)
class Hypothesis:
    """What a search thinks was said.

    Attributes:
        tokens: numbers from 1.
        words: none where the tokens spell none.
        lengths: how many tokens each word has; together they are all tokens.
        score: as the search had it, in nats; comparable within one search.
        posteriors: of each word, from 0 to 1, its share of what the search held possible; empty where it kept none.
    """

    tokens: tuple[int, ...]
    words: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    score: float = 0.0
    posteriors: tuple[float, ...] = ()

    @property
    def text(self) -> str:
        """The words."""
        return " ".join(self.words)


def ranked(found: Sequence[tuple[float, tuple[int, ...]]], inventory: Sequence[str] = ()) -> list[Hypothesis]:
    """Hypotheses from scores and rows of tokens, the best first; the words of the first have their ``shares``.

    Args:
        found: of one search.
        inventory: pieces; empty where tokens spell no words.
    """
    spelled = [spell(tokens, inventory) if inventory else ((), ()) for _, tokens in found]
    each = [Hypothesis(row, *words, score=score) for (score, row), words in zip(found, spelled, strict=True)]
    return [replace(each[0], posteriors=shares(each)), *each[1:]]


@dataclass(frozen=True)
class Word:
    """A word, its place, and what its confidence can be computed from.

    Attributes:
        text: the word.
        tokens: numbers from 1.
        start: its first frame.
        end: the frame after its last.
        posterior: its share of what the search held possible, from 0 to 1.
        evidence: the mean over its tokens of the log-probability of each in its best frame.
        weakest: the least of these.
    """

    text: str
    tokens: tuple[int, ...]
    start: int
    end: int
    posterior: float
    evidence: float
    weakest: float


def spell(tokens: Sequence[int], inventory: Sequence[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The words that pieces spell, and how many pieces each has.

    Args:
        tokens: numbers from 1.
        inventory: pieces; ``WORD_START`` stands before the first letter of a word.

    >>> spell([1, 2, 3, 1], ["▁go", "ing", "▁"])
    (('going', 'go'), (2, 2))
    """
    words: list[str] = []
    lengths: list[int] = []
    for token in tokens:
        piece = inventory[token - 1]
        if (piece.startswith(WORD_START) and (not words or words[-1])) or not words:
            words.append("")
            lengths.append(0)
        words[-1] += piece.removeprefix(WORD_START)
        lengths[-1] += 1
    if words and not words[-1]:  # a beginning without a word
        words.pop()
        extra = lengths.pop()
        if lengths:
            lengths[-1] += extra
    return tuple(words), tuple(lengths)


def place(log_probs: Float[np.ndarray, "frame token"], hypothesis: Hypothesis) -> tuple[Word, ...]:
    """Words with their frames, by the best path of the hypothesis.

    Args:
        log_probs: of CTC.
        hypothesis: of the same tokens.

    Raises:
        InputError: the tokens do not fit into the frames.
    """
    if not hypothesis.words:
        return ()
    spans = ctc.align(log_probs, hypothesis.tokens).spans
    best = [
        float(log_probs[start:end, token].max())
        for token, (start, end) in zip(hypothesis.tokens, spans, strict=True)
    ]
    posteriors = hypothesis.posteriors or (1.0,) * len(hypothesis.words)
    ends = list(accumulate(hypothesis.lengths))
    return tuple(
        Word(
            text,
            hypothesis.tokens[end - length : end],
            spans[end - length][0],
            spans[end - 1][1],
            posterior,
            float(np.mean(best[end - length : end])),
            min(best[end - length : end]),
        )
        for text, length, end, posterior in zip(
            hypothesis.words, hypothesis.lengths, ends, posteriors, strict=True
        )
    )


def transcript(
    words: Sequence[Word],
    frame_seconds: float,
    score: float = 0.0,
    confidence: Callable[[Word], float] = attrgetter("posterior"),
) -> Transcript:
    """Words in seconds.

    Args:
        words: in the order of time.
        frame_seconds: from one frame to the next.
        score: of the whole, in nats.
        confidence: the scores of the spans; a word's posterior where nothing else is known.
    """
    return Transcript(
        tuple(
            Span(word.start * frame_seconds, word.end * frame_seconds, word.text, score=confidence(word))
            for word in words
        ),
        score,
    )


def shares(hypotheses: Sequence[Hypothesis], scale: float = 1.0) -> tuple[float, ...]:
    """How probable each word of the first hypothesis is, if one of the hypotheses is what was said.

    A hypothesis counts by the exponential of its score; it has a word where the longest common stretches of words, as
    ``difflib`` finds them, say so.

    Args:
        hypotheses: of one search.
        scale: multiplies the scores; less than one trusts them less.

    >>> one, two = Hypothesis((1, 2), ("a", "b"), (1, 1), 0.0), Hypothesis((1, 3), ("a", "c"), (1, 1), 0.0)
    >>> shares([one, two])
    (1.0, 0.5)
    """
    scores = scale * np.array([each.score for each in hypotheses])
    whole = np.logaddexp.reduce(scores)
    weights = np.exp(scores - whole) if whole > -np.inf else np.zeros(len(scores))
    best = hypotheses[0].words
    result = np.zeros(len(best))
    for weight, other in zip(weights, hypotheses, strict=True):
        for block in SequenceMatcher(None, best, other.words, autojunk=False).get_matching_blocks():
            result[block.a : block.a + block.size] += weight
    return tuple(np.minimum(result, 1.0).tolist())
