"""How well turns tell who speaks when: the diarization error rate and its parts, and the Jaccard error rate.

    DER = (missed + false alarm + confusion) / speech

in seconds, where talkers who speak at once count one each. Names of talkers mean nothing: each talker of the reference
is given one of the hypothesis, so that they speak together for as long as possible in all.

    J. Fiscus et al., The Rich Transcription 2006 Spring Meeting Recognition Evaluation, MLMI 2006 (DER)
    N. Ryant et al., The Second DIHARD Diarization Challenge, Interspeech 2019 (JER)

Without a collar nothing is forgiven. A collar of c leaves out c seconds before and after each boundary of the
reference, as NIST's md-eval does; ``collar`` of pyannote.metrics is the whole width, 2 c.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment

from unbabble.base.spans import Span

Activity = Bool[np.ndarray, "talker stretch"]


@dataclass(frozen=True)
class TurnErrors:
    """Seconds of one recording, or of many together.

    Attributes:
        speech: of the reference, of each talker by himself.
        missed: of these, what no talker of the hypothesis speaks.
        false_alarm: that a talker of the hypothesis speaks beside, or where nobody does.
        confusion: that are spoken by another.
    """

    speech: float = 0.0
    missed: float = 0.0
    false_alarm: float = 0.0
    confusion: float = 0.0

    @property
    def seconds(self) -> float:
        """Of all errors together."""
        return self.missed + self.false_alarm + self.confusion

    @property
    def rate(self) -> float:
        """The diarization error rate: 0 where nobody speaks and nothing is wrong, infinite where only that is so.

        >>> TurnErrors(speech=10.0, missed=1.0, false_alarm=0.5, confusion=1.0).rate
        0.25
        """
        if not self.speech:
            return np.inf if self.seconds else 0.0
        return self.seconds / self.speech

    def __add__(self, other: "TurnErrors") -> "TurnErrors":
        return TurnErrors(
            self.speech + other.speech,
            self.missed + other.missed,
            self.false_alarm + other.false_alarm,
            self.confusion + other.confusion,
        )


class Comparison(NamedTuple):
    """What a hypothesis is against a reference.

    Attributes:
        errors: in seconds.
        speakers: of each talker of the reference the talker of the hypothesis, where one speaks together with them.
        jaccard: of each talker of the reference who speaks, the Jaccard error rate: of the time in which this talker or
            that of the hypothesis speaks, the share, from 0 to 1, in which not both do.
    """

    errors: TurnErrors
    speakers: dict[str, str]
    jaccard: dict[str, float]


def compare(
    reference: Sequence[Span],
    hypothesis: Sequence[Span],
    within: Sequence[Span] | None = None,
    collar: float = 0.0,
) -> Comparison:
    """Compare turns with the true ones; turns of one talker that overlap are one, those that last no time are none.

    Args:
        reference: true turns; each has a speaker.
        hypothesis: turns, by any names.
        within: stretches that are scored; everything if not given.
        collar: seconds on either side of each boundary of the reference that are not scored.

    Raises:
        ValueError: a turn without a speaker, or a negative collar.
    """
    if collar < 0:
        raise ValueError(f"a collar of {collar} s")
    mine, theirs = _by_speaker(reference), _by_speaker(hypothesis)
    bounds = [edge for spans in mine.values() for span in _merged(spans) for edge in (span.start, span.end)]
    forgiven = [Span(edge - collar, edge + collar) for edge in bounds] if collar else []
    everything = (*reference, *hypothesis, *(within or ()), *forgiven)
    edges = np.unique([edge for span in everything for edge in (span.start, span.end)])
    scored = ~_active([forgiven], edges)[0]
    if within is not None:
        scored &= _active([within], edges)[0]
    seconds = np.diff(edges) * scored
    true, said = _active(list(mine.values()), edges), _active(list(theirs.values()), edges)

    together = (true * seconds) @ said.T  # (talker of the reference, of the hypothesis), seconds
    rows, columns = linear_sum_assignment(together, maximize=True)
    matched = float(together[rows, columns].sum())
    count, other = true.sum(0), said.sum(0)
    errors = TurnErrors(
        speech=float(seconds @ count),
        missed=float(seconds @ np.maximum(count - other, 0)),
        false_alarm=float(seconds @ np.maximum(other - count, 0)),
        confusion=max(float(seconds @ np.minimum(count, other)) - matched, 0.0),
    )
    names = list(mine), list(theirs)
    speakers = {
        names[0][row]: names[1][column]
        for row, column in zip(rows, columns, strict=True)
        if together[row, column] > 0
    }
    spoken, given = true @ seconds, said @ seconds
    jaccard = {name: 1.0 for name, length in zip(names[0], spoken, strict=True) if length > 0}
    for row, column in zip(rows, columns, strict=True):
        if both := together[row, column]:
            jaccard[names[0][row]] = 1 - float(both / (spoken[row] + given[column] - both))
    return Comparison(errors, speakers, jaccard)


def overlap_share(turns: Sequence[Span]) -> float:
    """Of the time in which anybody speaks, how much is spoken by two or more.

    Args:
        turns: each has a speaker.

    >>> overlap_share([Span(0.0, 3.0, speaker="anna"), Span(2.0, 4.0, speaker="ben")])
    0.25
    """
    edges = np.unique([edge for span in turns for edge in (span.start, span.end)])
    talking = _active(list(_by_speaker(turns).values()), edges).sum(0)
    seconds = np.diff(edges)
    speech = float(seconds @ (talking > 0))
    return float(seconds @ (talking > 1)) / speech if speech else 0.0


def _by_speaker(turns: Sequence[Span]) -> dict[str, list[Span]]:
    """The turns of each talker, but for those that last no time: whoever has no others does not speak."""
    speakers: dict[str, list[Span]] = {}
    for turn in turns:
        if turn.speaker is None:
            raise ValueError(f"the turn at {turn.start} s has no speaker")
        if turn.end > turn.start:
            speakers.setdefault(turn.speaker, []).append(turn)
    return speakers


def _merged(turns: Sequence[Span]) -> list[Span]:
    """The same without boundaries inside."""
    result: list[Span] = []
    for turn in sorted(turns, key=lambda turn: turn.start):
        if result and turn.start <= result[-1].end:
            turn = Span(result[-1].start, max(result.pop().end, turn.end))
        result.append(turn)
    return result


def _active(groups: Sequence[Sequence[Span]], edges: Float[np.ndarray, " edge"]) -> Activity:
    """Whether a group has a span in each stretch between two edges; the ends of its spans are among these."""
    changes = np.zeros((len(groups), max(len(edges), 1)), int)
    for row, spans in enumerate(groups):
        starts, ends = (
            np.searchsorted(edges, [getattr(span, side) for span in spans]) for side in ("start", "end")
        )
        np.add.at(changes[row], starts, 1)
        np.add.at(changes[row], ends, -1)
    return changes.cumsum(1)[:, :-1] > 0
