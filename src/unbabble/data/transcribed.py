"""Speech with what is said in it: what recognisers learn from.

An item is an utterance at one of a recipe's speeds, with its text and, where there is a dictionary, its phones; in
noise and in a room, if the recipe has any; or noise alone, in which nothing is said.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import soxr
from jaxtyping import Float
from scipy.signal import oaconvolve

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
    """Words, lower case, between spaces; empty where nothing is said."""
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
        noise: tables or folders of noise; rows of ``split`` only, of tables.
        noise_share: share of the utterances that noise is added to, drawn anew in each epoch.
        snr_db: power of an utterance over that of the noise: drawn between these two.
        nobody_share: so many items of noise alone, over those with speech: where nothing is to be written down.
        rooms: tables of measured impulse responses; rows of ``split`` only.
        room_share: share of the utterances that are spoken in a room, at one of its microphones.
        sample_rate: Hz.

    Raises:
        UsageError: numbers that make no sense, or shares of what is not there.
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
    noise: tuple[Path, ...] = ()
    noise_share: float = 0.0
    snr_db: tuple[float, float] = (5.0, 25.0)
    nobody_share: float = 0.0
    rooms: tuple[Path, ...] = ()
    room_share: float = 0.0
    sample_rate: int = 16000

    def __post_init__(self) -> None:
        if not self.speeds or min(self.speeds) <= 0:
            raise UsageError("Transcribed speech: speeds are above 0.")
        if not 0 <= self.seconds[0] < self.seconds[1]:
            raise UsageError("Transcribed speech: the bounds of seconds rise, from 0 on.")
        shares = self.noise_share, self.nobody_share, self.room_share
        if min(shares) < 0 or max(shares) > 1 or self.snr_db[0] > self.snr_db[1]:
            raise UsageError("Transcribed speech: shares are 0 to 1, and the bounds of snr_db rise.")
        if (self.noise_share or self.nobody_share) and not self.noise:
            raise UsageError("Transcribed speech: noise_share and nobody_share need noise.")
        if self.room_share and not self.rooms:
            raise UsageError("Transcribed speech: a room_share needs rooms.")

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
        """Each utterance at each speed, then noise alone."""
        return SpokenItems(self, seed)


class SpokenItems:
    """``items[i]``: utterance ``i`` modulo their number, at the speed of the rest; ``i`` may be any number.

    Behind the utterances come items of noise alone, each as long as one of them. What is drawn, rooms and noise,
    depends on the seed and on ``i``, and so is new in each epoch.
    """

    def __init__(self, described: Transcribed, seed: int) -> None:
        self.described, self.seed = described, seed
        self.utterances, self.speeds = described.utterances, described.speeds
        self.rate = described.sample_rate
        self.store = Store([each.path for each in self.utterances], self.rate)
        self.lengths = [each.seconds / speed for speed in self.speeds for each in self.utterances]
        self.spoken = len(self.lengths)
        nobody = np.random.default_rng(seed).choice(
            self.spoken, round(described.nobody_share * self.spoken), replace=False
        )
        self.lengths += [self.lengths[number] for number in nobody]
        self.batch_length = described.batch_seconds
        self.phones = Phones(described.dictionary)
        self.noise = _noise(described) if described.noise_share or described.nobody_share else None
        self.rooms = _responses(described) if described.room_share else []

    def __getitem__(self, number: int) -> Spoken:
        rng = np.random.default_rng([self.seed, number])
        place = number % len(self.lengths)
        if place >= self.spoken:
            return Spoken(self._excerpt(rng, round(self.lengths[place] * self.rate)), "", "", "")
        repetition, place = divmod(place, len(self.utterances))
        utterance, speed = self.utterances[place], self.speeds[repetition]
        waveform = self.store[place]
        if speed != 1:
            waveform = soxr.resample(waveform, self.rate, self.rate / speed, quality="MQ")
        text = self.described.text(utterance)
        return Spoken(self._recorded(rng, waveform), text, self.phones(text), utterance.speaker)

    def written(self) -> Iterator[dict[str, str]]:
        """Each different word, and its phones.

        Raises:
            InputError: a word that cannot be spoken.
        """
        texts = (self.described.text(each) for each in self.utterances)
        for word in sorted({word for text in texts for word in text.split()}):
            yield {"text": word, "phones": self.phones(word)}

    def _recorded(
        self, rng: np.random.Generator, waveform: Float[np.ndarray, " time"]
    ) -> Float[np.ndarray, " time"]:
        """In a room and in noise, or not."""
        if self.rooms and rng.random() < self.described.room_share:
            response = self.rooms[rng.integers(len(self.rooms))]
            waveform = oaconvolve(waveform, response)[: len(waveform)].astype(np.float32)
        if self.noise is not None and rng.random() < self.described.noise_share:
            noise = self._excerpt(rng, len(waveform))
            power = float(np.mean(noise**2))
            wanted = float(np.mean(waveform**2)) * 10 ** (-rng.uniform(*self.described.snr_db) / 10)
            waveform = waveform + noise * np.float32(np.sqrt(wanted / power) if power > 0 else 0)
        return waveform

    def _excerpt(self, rng: np.random.Generator, samples: int) -> Float[np.ndarray, " time"]:
        """Of one noise from a moment on, both drawn; where it ends, it begins again."""
        assert self.noise is not None
        noise = self.noise[int(rng.integers(len(self.noise)))]
        return np.take(noise, np.arange(samples) + rng.integers(len(noise)), mode="wrap")


def _noise(described: Transcribed) -> Store:
    found = [
        each.path
        for path in described.noise
        for each in corpora.noises(path, None if path.is_dir() else described.split)
    ]
    return Store(found, described.sample_rate)


def _responses(described: Transcribed) -> list[Float[np.ndarray, " tap"]]:
    """Each microphone of each room; the direct sound is as loud in all, and comes first."""
    found = []
    for path in described.rooms:
        for response in corpora.responses(path, described.split):
            samples, rate = corpora.read_response(response)
            for channel in corpora.resample(samples, rate, described.sample_rate):
                direct = int(np.abs(channel).argmax())
                found.append((channel[direct:] / np.abs(channel[direct])).astype(np.float32))
    return found


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
