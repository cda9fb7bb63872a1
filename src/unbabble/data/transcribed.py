"""Speech with what is said in it: what recognisers learn from.

An item is an utterance at one of a recipe's speeds, with its text and, where there is a dictionary, its phones.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import soxr
from jaxtyping import Float

from unbabble.base.errors import InputError, UsageError
from unbabble.data import corpora
from unbabble.data.sets import Data, data
from unbabble.data.store import Store
from unbabble.text import language_models
from unbabble.text.normalise import words
from unbabble.text.pronounce import Pronouncer, read_dictionary
from unbabble.text.tokens import byte_pairs, characters

HELD_OUT_EVERY = 5
PACKAGED = "packaged"


class Spoken(NamedTuple):
    """An utterance."""

    waveform: Float[np.ndarray, " time"]
    text: str
    """Words, lower case, between spaces."""
    phones: str
    """With spaces between them; of each word its usual pronunciation. Empty without a dictionary."""
    speaker: str


@data("transcribed")
@dataclass(frozen=True)
class Transcribed(Data):
    """Transcribed speech.

    Args:
        speech: tables with the columns ``file``, ``speaker`` and ``text``, those of Common Voice, manifests of
            utterances, folders in LibriSpeech's layout, or folders of recordings each of which has its text beside it
            (``a.wav``, ``a.txt``).
        split: rows of this split only, of tables.
        seconds: bounds; what is shorter or longer is left out.
        held_out: every fifth utterance alone (true), or the others (false), or all (null).
        speeds: each utterance is learnt from at each of them (T. Ko et al., "Audio augmentation for speech
            recognition", Interspeech 2015: 0.9, 1 and 1.1).
        batch_seconds: of a batch, padding included.
        dictionary: pronunciations, as CMUdict is written, or ``packaged`` for those of the packaged language model;
            what is not in it is guessed by rules. None: no phones.
        tokens: what texts are written with: characters, or so many pieces of words.
        language: code of two letters, by which texts become words.
        sample_rate: Hz.

    Raises:
        UsageError: bounds or speeds that make no sense.
    """

    speech: tuple[Path, ...]
    split: str | None = None
    seconds: tuple[float, float] = (0.3, 20.0)
    held_out: bool | None = None
    speeds: tuple[float, ...] = (1.0,)
    batch_seconds: float = 36.0
    dictionary: Path | Literal["packaged"] | None = None
    tokens: Literal["characters"] | int = "characters"
    language: str = "en"
    sample_rate: int = 16000

    def __post_init__(self) -> None:
        if not self.speeds or min(self.speeds) <= 0:
            raise UsageError("Transcribed speech: speeds are above 0.")
        if not 0 <= self.seconds[0] < self.seconds[1]:
            raise UsageError("Transcribed speech: the bounds of seconds rise, from 0 on.")

    def text(self, utterance: corpora.Utterance) -> str:
        """Its words, between spaces."""
        return " ".join(words(utterance.text, self.language))

    @cached_property
    def _all(self) -> list[corpora.Utterance]:
        """Those that have a text, and last neither too short nor too long."""
        least, most = self.seconds
        return [
            each
            for path in self.speech
            for each in corpora.speech(path, None if path.is_dir() else self.split)
            if least <= each.seconds <= most and self.text(each)
        ]

    @cached_property
    def utterances(self) -> list[corpora.Utterance]:
        """Those that it is made of.

        Raises:
            InputError: there is none.
        """
        found = [
            each
            for number, each in enumerate(self._all, 1)
            if self.held_out in (None, number % HELD_OUT_EVERY == 0)
        ]
        if not found:
            names = ", ".join(f"'{path}'" for path in self.speech)
            few = "" if self.held_out is None else f", or fewer than {HELD_OUT_EVERY}"
            least, most = self.seconds
            raise InputError(
                f"No recording with a text that lasts {least:g} to {most:g} s is in {names}{few}."
            )
        return found

    def decides(self) -> dict[str, Any]:
        """Options of a network that are the data's affair: its inventory of tokens, for what is held out too."""
        texts = [self.text(each) for each in self._all]
        if self.tokens == "characters":
            return {"tokens": characters(texts)}
        return {"tokens": byte_pairs(texts, self.tokens)}

    def open(self, seed: int) -> "SpokenItems":
        """Each utterance at each speed."""
        return SpokenItems(self)


class SpokenItems:
    """``items[i]``: utterance ``i`` modulo their number, at the speed of the rest; ``i`` may be any number."""

    def __init__(self, described: Transcribed) -> None:
        self.utterances, self.speeds = described.utterances, described.speeds
        self.rate, self.text_of = described.sample_rate, described.text
        self.store = Store([each.path for each in self.utterances], self.rate)
        self.lengths = [each.seconds / speed for speed in self.speeds for each in self.utterances]
        self.batch_length = described.batch_seconds
        self.phones = Phones(described.dictionary)

    def __getitem__(self, number: int) -> Spoken:
        repetition, place = divmod(number % len(self.lengths), len(self.utterances))
        utterance, speed = self.utterances[place], self.speeds[repetition]
        waveform = self.store[place]
        if speed != 1:
            waveform = soxr.resample(waveform, self.rate, self.rate / speed, quality="MQ")
        text = self.text_of(utterance)
        return Spoken(waveform, text, self.phones(text), utterance.speaker)


class Phones:
    """Phones of texts, by a dictionary; none without one."""

    def __init__(self, dictionary: Path | Literal["packaged"] | None) -> None:
        self.pronouncer = None
        if dictionary == PACKAGED:
            spoken = language_models.dictionary()
            self.pronouncer = Pronouncer({word: list(rows) for word, rows in spoken.items()})
        elif dictionary is not None:
            self.pronouncer = Pronouncer(read_dictionary(dictionary))

    def __call__(self, text: str) -> str:
        """Of each word the usual ones."""
        if self.pronouncer is None:
            return ""
        return " ".join(phone for word in text.split() for phone in self.pronouncer.of(word)[0])
