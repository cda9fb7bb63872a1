"""Stretches of a recording that mean something: words, phones, turns, events; and what was said, as a row of them."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Span:
    """A stretch of a recording.

    Attributes:
        start: seconds from the recording's beginning.
        end: seconds.
        text: what it is: a word, a phone, a label; empty where the stretch alone is meant.
        speaker: whose it is; None where nobody asked.
        score: from 0 to 1, how sure that is; None where nobody knows.
    """

    start: float
    end: float
    text: str = ""
    speaker: str | None = None
    score: float | None = None

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.end - self.start

    def later(self, seconds: float) -> "Span":
        """The same, so many seconds later."""
        return Span(self.start + seconds, self.end + seconds, self.text, self.speaker, self.score)

    def to_dict(self) -> dict[str, Any]:
        """What is known of it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Transcript:
    """What was said in a recording, or in a part of it.

    Attributes:
        words: in the order of their beginnings; ``score`` is the confidence.
        score: log-probability of the whole by whatever made it; comparable between hypotheses of one recording.
    """

    words: tuple[Span, ...]
    score: float = 0.0

    @property
    def text(self) -> str:
        """The words.

        >>> Transcript((Span(0.0, 0.4, "good"), Span(0.4, 0.9, "morning"))).text
        'good morning'
        """
        return " ".join(word.text for word in self.words)

    def later(self, seconds: float) -> "Transcript":
        """The same, so many seconds later."""
        return Transcript(tuple(word.later(seconds) for word in self.words), self.score)
