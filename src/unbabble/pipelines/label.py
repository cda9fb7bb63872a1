"""What is heard in a recording, of several words: which of them describes it best, and when."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from unbabble.base.errors import InputError, UsageError
from unbabble.base.spans import Span
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.sounds import SoundEmbedder, Windows


@dataclass(frozen=True)
class Labelled:
    """What is heard in a recording.

    Attributes:
        shares: by word, how probable it is that it describes the recording, if one of them does; the best first.
        events: the word that fits best at each time, in order; ``score`` is its share there.
    """

    shares: dict[str, float]
    events: tuple[Span, ...]


@dataclass(frozen=True)
class Vocabulary:
    """Words, and what they are in the space of a model.

    Attributes:
        words: as they were given, or as the model has learnt them.
        vectors: of each.
        guessed: those that the model has not learnt by name, and compares by their meaning.
    """

    words: tuple[str, ...]
    vectors: Float[np.ndarray, "word dimension"]
    guessed: tuple[str, ...] = ()

    @classmethod
    def of(cls, embedder: SoundEmbedder, words: Sequence[str] = ()) -> "Vocabulary":
        """Several words; without any, all that the model has learnt.

        Raises:
            InputError: a word of which nothing can be read.
            UsageError: a model that reads no words, or has learnt none by name; a word that comes twice; a single one.
        """
        learnt = tuple(getattr(embedder.network, "words", ()))
        if not words and not learnt:
            raise UsageError(f"Model '{embedder.name}' has learnt no words by name: say which, by --words.")
        chosen: tuple[str, ...] = tuple(words) or learnt
        if twice := next((word for word in chosen if chosen.count(word) > 1), None):
            raise UsageError(f"'{twice}' comes twice among the words.")
        if len(chosen) < 2:
            alone = "".join(chosen)
            raise UsageError(
                f"With '{alone}' alone nothing is told apart: name several words, or sort recordings by "
                f'`unbabble find "{alone}"`.'
            )
        return cls(chosen, embedder.words(chosen), guessed(embedder, chosen))


def guessed(embedder: SoundEmbedder, words: Sequence[str]) -> tuple[str, ...]:
    """Those of the words that a model has not learnt by name; none where it has learnt from sentences of all kinds."""
    learnt = {word.lower() for word in getattr(embedder.network, "words", ())}
    return tuple(word for word in words if learnt and word.lower() not in learnt)


def label(embedder: SoundEmbedder, vocabulary: Vocabulary, recording: Recording) -> Labelled:
    """What is heard in a recording, window by window.

    Raises:
        InputError: the recording cannot be read, or is silent.
    """
    windows = embedder.windows(recording)
    if not len(windows.starts):
        raise InputError("The recording is silent.")
    shares = embedder.network.shares(
        *(torch.from_numpy(v).float() for v in (windows.vectors, vocabulary.vectors))
    )
    by_window = shares.cpu().numpy()
    mean = by_window.mean(0)
    order = np.argsort(-mean, kind="stable")
    events = joined(windows, by_window, vocabulary.words, embedder.window_seconds, recording.seconds)
    return Labelled({vocabulary.words[place]: float(mean[place]) for place in order}, events)


def joined(
    windows: Windows,
    shares: Float[np.ndarray, "window word"],
    words: Sequence[str],
    window_seconds: float,
    seconds: float,
) -> tuple[Span, ...]:
    """The best word of each window, windows of the same word that follow one another as one event.

    Where two windows overlap, the first holds until the middle of what they share.
    """
    ends = np.minimum(windows.starts + window_seconds, seconds)
    middles = (ends[:-1] + windows.starts[1:]) / 2
    meet = ends[:-1] >= windows.starts[1:]
    begins = np.append(windows.starts[:1], np.where(meet, middles, windows.starts[1:]))
    stops = np.append(np.where(meet, middles, ends[:-1]), ends[-1:])
    best = shares.argmax(1)
    new = np.append(True, (np.diff(best) != 0) | ~meet)
    firsts = np.flatnonzero(new)
    lasts = np.append(firsts[1:], len(best)) - 1
    return tuple(
        Span(
            round(float(begins[first]), 3),
            round(float(stops[last]), 3),
            words[int(best[first])],
            score=float(shares[first : last + 1, best[first]].mean()),
        )
        for first, last in zip(firsts, lasts, strict=True)
    )
