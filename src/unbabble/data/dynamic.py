"""Mixtures made while training: talkers, levels, overlap, speed, rooms and noise, drawn anew for every item.

    mixture = sum over talkers of (voice at its level, heard in the room) + noise

Item ``i`` depends on the seed and on ``i`` alone, whatever was drawn before and in whichever process: any number of
workers gives the same data, and a run that goes on from item ``i`` sees what it would have seen.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soxr
from jaxtyping import Float
from scipy.fft import next_fast_len
from scipy.signal import oaconvolve

from unbabble.base.errors import InputError, UsageError
from unbabble.base.files import atomic, user_cache
from unbabble.base.words import counted
from unbabble.data import corpora
from unbabble.data.mixing import EARLY_SECONDS, Reference
from unbabble.data.rooms import simulate
from unbabble.data.sets import Data, data
from unbabble.data.store import Store

SPEAKER_SHARE = 0.5
"""Share of draws that choose among speakers first; the others choose among utterances. Many speakers have one
utterance, few have many: the one alone would wear out few sentences, the other few voices."""
SILENT_RMS = 1e-4
DRAWS = 100
HELD_OUT_EVERY = 5
SIMULATED_PLACES = 4
COLOUR_BANDS = 8


class Item(NamedTuple):
    """One item of training: a mixture of unit level, and its talkers, all zeros for who does not speak."""

    mixture: Float[np.ndarray, "*microphone time"]
    sources: Float[np.ndarray, "source time"]


class Excerpt(NamedTuple):
    """Samples ``start`` to ``end`` of an utterance of a ``Store``."""

    utterance: int
    start: int
    end: int


class Drawn(NamedTuple):
    """An item, who talks in it, and what was taken of them."""

    item: Item
    speakers: Sequence[str]
    excerpts: Sequence[Excerpt]


@data("mixtures")
@dataclass(frozen=True)
class DynamicMixing(Data):
    """What mixtures are made of.

    Args:
        speech: table or folder of clean utterances (see ``data.corpora.speech``).
        more_speech: tables or folders of more utterances, of these speakers or of others.
        split: of the tables.
        talkers: how many speak, each number equally often.
        seconds: duration of an item.
        sample_rate: Hz.
        level_spread_db: talkers are at most this much louder or softer than their common level.
        overlap: share of a talker's turn in which others talk too: drawn between these two; 1 is all the time.
        same_sex_share: of the items with two talkers or more, where all are women or all are men; None leaves it to
            chance. They are what is hard.
        by_sex: a woman and a man talk in every item, in this order: what a network learns quickly.
        speed: factors between which each voice's speed (and pitch) is drawn.
        colour_db: each voice is filtered by a smooth curve of its own, drawn between so much softer and louder. Few
            speakers, each with one microphone, are otherwise known by their spectra.
        noise: table or folder of noise.
        noise_split: of its table, where that has not the speech's.
        noise_share: share of the items that have noise.
        noise_colour_db: as ``colour_db``, of the noise.
        noises: how many noises sound at once, each number equally often.
        snr_db: power of all talkers over that of the noise: drawn between these two.
        rooms: table of measured impulse responses.
        simulated_rooms: how many rooms are simulated besides (needs the extra ``rooms``).
        room_share: share of the items that are in a room.
        microphones: of the room's array, how many hear it. With several, all items are in rooms, mixtures have their
            axis, and sources are heard by the first.
        reference: what a network is to return: the whole image, its first 50 ms, or the direct sound.
        held_out: use every fifth utterance of each speaker alone (true), or the others (false), or all (null).
        cache: folder of the decoded recordings, the user's cache by default.

    Raises:
        UsageError: a number that makes no sense.
    """

    speech: Path
    split: str | None = None
    talkers: tuple[int, ...] = (2,)
    seconds: float = 4.0
    sample_rate: int = 8000
    level_spread_db: float = 2.5
    overlap: tuple[float, float] = (1.0, 1.0)
    same_sex_share: float | None = None
    by_sex: bool = False
    speed: tuple[float, float] = (1.0, 1.0)
    colour_db: float = 0.0
    noise: Path | None = None
    noise_split: str | None = None
    noise_share: float = 0.0
    noise_colour_db: float = 0.0
    noises: tuple[int, ...] = (1,)
    snr_db: tuple[float, float] = (0.0, 20.0)
    rooms: Path | None = None
    simulated_rooms: int = 0
    room_share: float = 0.0
    microphones: int = 1
    reference: Reference = "image"
    held_out: bool | None = None
    cache: Path | None = None
    more_speech: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        for name, (low, high), least, most in (
            ("overlap", self.overlap, 0.0, 1.0),
            ("speed", self.speed, 0.5, 2.0),
            ("snr_db", self.snr_db, -50.0, 100.0),
            ("colour_db", (self.colour_db,) * 2, 0.0, 40.0),
            ("noise_colour_db", (self.noise_colour_db,) * 2, 0.0, 40.0),
            ("noise_share", (self.noise_share,) * 2, 0.0, 1.0),
            ("room_share", (self.room_share,) * 2, 0.0, 1.0),
            ("same_sex_share", (self.same_sex_share or 0.0,) * 2, 0.0, 1.0),
        ):
            if not least <= low <= high <= most:
                raise UsageError(f"Dynamic mixing: {name} lies between {least:g} and {most:g}.")
        if not self.talkers or min(self.talkers) < 1:
            raise UsageError("Dynamic mixing: the number of talkers is at least 1.")
        if self.by_sex and self.talkers != (2,):
            raise UsageError("Dynamic mixing: by_sex needs two talkers.")
        if not self.noises or min(self.noises) < 1:
            raise UsageError("Dynamic mixing: the number of noises is at least 1.")
        if not (0 < self.seconds < np.inf and self.sample_rate > 0 and self.level_spread_db >= 0):
            raise UsageError("Dynamic mixing: seconds, sample_rate and level_spread_db are positive numbers.")
        if self.noise_share and self.noise is None:
            raise UsageError("Dynamic mixing: a noise_share needs noise.")
        if self.room_share and self.rooms is None and not self.simulated_rooms:
            raise UsageError("Dynamic mixing: a room_share needs rooms or simulated_rooms.")
        if self.microphones < 1 or (self.microphones > 1 and self.room_share < 1):
            raise UsageError(
                "Dynamic mixing: there is at least 1 microphone, and several need a room_share of 1."
            )

    def open(self, seed: int) -> "DynamicMixtures":
        """An endless row of mixtures."""
        return DynamicMixtures(self, seed)


class DynamicMixtures:
    """``mixtures[i]`` makes item ``i``; there is no end to them.

    Args:
        mixing: what they are made of.
        seed: of all draws.

    Raises:
        InputError: too few speakers, or recordings that cannot be read.
        UsageError: voices are asked for by sex, and nobody's is known.
    """

    def __init__(self, mixing: DynamicMixing, seed: int = 0) -> None:
        self.mixing, self.seed = mixing, seed
        tables = (mixing.speech, *mixing.more_speech)
        utterances = [each for table in tables for each in corpora.speech(table, mixing.split)]
        utterances = _part(utterances, mixing.held_out)
        self.speech = Store([each.path for each in utterances], mixing.sample_rate, folder=mixing.cache)
        usable = [i for i in range(len(utterances)) if self.speech.length(i)]
        self.speakers = np.array([utterances[i].speaker for i in usable])
        self.utterances = np.array(usable)
        self.names = np.unique(self.speakers)
        if len(self.names) < max(mixing.talkers):
            raise InputError(
                f"Mixtures of {counted(max(mixing.talkers), 'talker')} are asked for, but '{mixing.speech}' has "
                f"{counted(len(self.names), 'speaker')}."
            )
        self.sexes = np.array([utterances[i].sex for i in usable])
        least = 1 if mixing.by_sex else 0
        if mixing.same_sex_share is not None:
            least = max(mixing.talkers)
        if self._of_each_sex() < least:
            raise UsageError(
                f"Learning by sex needs speech whose table has a column 'sex' (F, M), and {least} or more of each."
            )
        self.noise = None
        if mixing.noise is not None and mixing.noise_share:
            split = (mixing.noise_split or mixing.split) if mixing.noise.is_file() else None
            noises = corpora.noises(mixing.noise, split)
            self.noise = Store([each.path for each in noises], mixing.sample_rate, folder=mixing.cache)
        self.rooms = response_bank(mixing, seed) if mixing.room_share else []
        if any(room.shape[1] < mixing.microphones for room in self.rooms):
            raise InputError(f"There are rooms with fewer than {counted(mixing.microphones, 'microphone')}.")

    def __getitem__(self, index: int) -> Item:
        return self.drawn(np.random.default_rng([self.seed, index])).item

    def drawn(
        self,
        rng: np.random.Generator,
        speakers: Sequence[str] | None = None,
        apart_from: Sequence[Excerpt] = (),
    ) -> Drawn:
        """An item, and what it was made of.

        Args:
            rng: of its draws.
            speakers: who talks; None draws them.
            apart_from: what must not be heard in it, as far as its speakers have said anything else.
        """
        mixing = self.mixing
        samples = round(mixing.seconds * mixing.sample_rate)
        count = int(mixing.talkers[rng.integers(len(mixing.talkers))]) if speakers is None else len(speakers)
        overlap = rng.uniform(*mixing.overlap)
        turn = min(samples, round(samples / (1 + (count - 1) * (1 - overlap))))
        responses = None
        if self.rooms and rng.random() < mixing.room_share:
            room = self.rooms[rng.integers(len(self.rooms))]
            places = rng.permutation(len(room))
            responses = room[places[:, None], self._microphones(rng, room.shape[1])]
        sources = np.zeros((max(*mixing.talkers, count), samples), np.float32)
        mixture = np.zeros((mixing.microphones, samples), np.float32)
        if speakers is None:
            speakers = self._speakers(rng, count, self._sexes(rng, count))
        excerpts = []
        for k, speaker in enumerate(speakers):
            start = round(k * (1 - overlap) * turn)
            voice = np.zeros(samples, np.float32)
            said, excerpt = self._voice(rng, speaker, min(turn, samples - start), apart_from)
            excerpts.append(excerpt)
            voice[start : start + len(said)] = said * 10 ** (
                rng.uniform(-mixing.level_spread_db, mixing.level_spread_db) / 20
            )
            if responses is None:
                sources[k], image = voice, voice
            else:
                sources[k], image = self._in_room(voice, responses[k % len(responses)])
            mixture += image
        if self.noise is not None and rng.random() < mixing.noise_share:
            mixture = mixture + self._noise(rng, mixture, responses)
        level = np.sqrt(np.mean(mixture[0] ** 2)) or np.float32(1)
        item = Item((mixture if mixing.microphones > 1 else mixture[0]) / level, sources / level)
        return Drawn(item, speakers, excerpts)

    def _microphones(self, rng: np.random.Generator, there: int) -> np.ndarray:
        if self.mixing.microphones == 1:
            return rng.integers(there, size=1)
        return rng.permutation(there)[: self.mixing.microphones]

    def _of_each_sex(self) -> int:
        """Number of women or of men, whichever are fewer."""
        speakers = Counter(self.sex_of(str(name)) for name in self.names)
        return min(speakers["F"], speakers["M"])

    def _sexes(self, rng: np.random.Generator, count: int) -> str:
        """Of each talker, F or M; empty where it is left to chance."""
        if self.mixing.by_sex:
            return "FM"
        if self.mixing.same_sex_share is None or count == 1:
            return ""
        if rng.random() < self.mixing.same_sex_share:
            return "FM"[rng.integers(2)] * count
        while len({*(sexes := "".join(rng.choice(["F", "M"], count)))}) == 1:
            pass
        return sexes

    def _speakers(self, rng: np.random.Generator, count: int, sexes: str) -> Sequence[str]:
        chosen: list[str] = []
        while len(chosen) < count:
            if rng.random() < SPEAKER_SHARE:
                name = str(self.names[rng.integers(len(self.names))])
            else:
                name = str(self.speakers[rng.integers(len(self.speakers))])
            if name not in chosen and (not sexes or self.sex_of(name) == sexes[len(chosen)]):
                chosen.append(name)
        return chosen

    def sex_of(self, speaker: str) -> str:
        """F, M or unknown."""
        return str(self.sexes[(self.speakers == speaker).argmax()])

    def _voice(
        self, rng: np.random.Generator, speaker: str, samples: int, apart_from: Sequence[Excerpt] = ()
    ) -> tuple[Float[np.ndarray, " voice"], Excerpt]:
        """An excerpt of one utterance, of unit level, that is not silent; at a random place where it is shorter."""
        mine = self.utterances[self.speakers == speaker]
        factor = rng.uniform(*self.mixing.speed)
        wanted = round(samples * factor) + 1
        voice, taken = np.zeros(0, np.float32), Excerpt(0, 0, 0)
        for attempt in range(DRAWS):
            index = int(mine[rng.integers(len(mine))])
            first, last = self._free(index, apart_from if attempt < DRAWS // 2 else (), rng)
            spare = last - first - wanted
            start = first + (int(rng.integers(spare + 1)) if spare > 0 else 0)
            taken = Excerpt(index, start, min(start + wanted, last))
            voice = self.speech.excerpt(index, start, taken.end - start)
            if len(voice) and np.sqrt(np.mean(voice**2)) > SILENT_RMS:
                break
        else:
            raise InputError(f"Speaker '{speaker}' has no utterance that is not silent.")
        if factor != 1:
            rate = self.mixing.sample_rate
            voice = soxr.resample(voice, rate * factor, rate, quality="MQ")
        voice = voice[:samples]
        if self.mixing.colour_db:
            limit = self.mixing.colour_db
            voice = coloured(voice, rng.uniform(-limit, limit, COLOUR_BANDS), self.mixing.sample_rate)
        voice = voice / np.sqrt(np.mean(voice**2))
        before = int(rng.integers(samples - len(voice) + 1))
        return np.pad(voice, (before, 0)), taken

    def _free(
        self, utterance: int, apart_from: Sequence[Excerpt], rng: np.random.Generator
    ) -> tuple[int, int]:
        """From where to where there is none of ``apart_from``: of the gaps one, the longer the likelier."""
        whole = self.speech.length(utterance)
        taken = sorted(each for each in apart_from if each.utterance == utterance)
        if not taken:
            return 0, whole
        ends, starts = [0, *(each.end for each in taken)], [*(each.start for each in taken), whole]
        lengths = np.maximum(np.array(starts) - ends, 0)
        if not lengths.any():
            return 0, 0
        gap = int(rng.choice(len(lengths), p=lengths / lengths.sum()))
        return ends[gap], starts[gap]

    def _in_room(self, voice: np.ndarray, responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is to be returned of a talker, and its whole image at each microphone."""
        image = _in_room(voice, responses)
        gain = np.sqrt(np.mean(voice**2) / max(float(np.mean(image[0] ** 2)), 1e-20))
        if self.mixing.reference == "image":
            return gain * image[0], gain * image
        response = responses[0]
        kept = round(EARLY_SECONDS[self.mixing.reference] * self.mixing.sample_rate)
        early = response[: int(np.abs(response).argmax()) + kept + 1]
        return gain * oaconvolve(voice, early)[: len(voice)].astype(np.float32), gain * image

    def _noise(
        self, rng: np.random.Generator, speech: np.ndarray, responses: np.ndarray | None
    ) -> np.ndarray:
        samples = speech.shape[-1]
        noise = self._excerpt(rng, samples)
        if self.mixing.noises != (1,):
            for _ in range(int(rng.choice(self.mixing.noises)) - 1):
                noise = noise + self._excerpt(rng, samples)
        if self.mixing.noise_colour_db:
            limit = self.mixing.noise_colour_db
            noise = coloured(noise, rng.uniform(-limit, limit, COLOUR_BANDS), self.mixing.sample_rate)
        if responses is not None:
            noise = _in_room(noise[0], responses[-1])
        power = float(np.mean(noise[0] ** 2))
        wanted = float(np.mean(speech[0] ** 2)) * 10 ** (-rng.uniform(*self.mixing.snr_db) / 10)
        return noise * np.float32(np.sqrt(wanted / power)) if power > 0 else noise

    def _excerpt(self, rng: np.random.Generator, samples: int) -> Float[np.ndarray, "1 time"]:
        """Of one noise, drawn; where it is shorter, again and again."""
        assert self.noise is not None
        index = int(rng.integers(len(self.noise)))
        start = int(rng.integers(max(self.noise.length(index) - samples, 0) + 1))
        return np.resize(self.noise.excerpt(index, start, samples), (1, samples))


def _in_room(
    voice: Float[np.ndarray, " time"], responses: Float[np.ndarray, "microphone tap"]
) -> Float[np.ndarray, "microphone time"]:
    return oaconvolve(voice[None], responses, axes=-1)[:, : len(voice)].astype(np.float32)


def coloured(
    voices: Float[np.ndarray, "*voice time"], gains_db: Float[np.ndarray, " band"], sample_rate: int
) -> Float[np.ndarray, "*voice time"]:
    """Voices through a filter without phase; gains at frequencies that are equally far apart on the mel scale."""
    samples = voices.shape[-1]
    length = int(next_fast_len(samples + sample_rate // 20, real=True) or 0)
    mels = np.log1p(np.fft.rfftfreq(length, 1 / sample_rate) / 700)
    gain = 10 ** (np.interp(mels, np.linspace(0, mels[-1], len(gains_db)), gains_db) / 20)
    return np.fft.irfft(gain * np.fft.rfft(voices, length), length)[..., :samples].astype(np.float32)


def _part(utterances: list[corpora.Utterance], held_out: bool | None) -> list[corpora.Utterance]:
    if held_out is None:
        return utterances
    seen: Counter[str] = Counter()
    kept = []
    for utterance in utterances:
        seen[utterance.speaker] += 1
        if (seen[utterance.speaker] % HELD_OUT_EVERY == 0) == held_out:
            kept.append(utterance)
    return kept


def response_bank(mixing: DynamicMixing, seed: int) -> list[Float[np.ndarray, "place microphone tap"]]:
    """Impulse responses by room, measured and simulated, each from at least one place more than there are talkers.

    Raises:
        InputError: rooms with too few places.
        MissingExtraError: simulated rooms without pyroomacoustics.
    """
    bank: list[np.ndarray] = []
    least = max(mixing.talkers) + 1
    if mixing.rooms is not None:
        by_room: dict[str, list[np.ndarray]] = {}
        for response in corpora.responses(mixing.rooms, mixing.split):
            samples, rate = corpora.read_response(response)
            by_room.setdefault(response.room, []).append(corpora.resample(samples, rate, mixing.sample_rate))
        for room, places in by_room.items():
            if len(places) < least:
                raise InputError(
                    f"Room '{room}' has {counted(len(places), 'place')} of {least} that are needed."
                )
            taps, microphones = max(p.shape[1] for p in places), min(p.shape[0] for p in places)
            padded = [np.pad(p[:microphones], ((0, 0), (0, taps - p.shape[1]))) for p in places]
            bank.append(np.stack(padded).astype(np.float32))
    if mixing.simulated_rooms:
        bank += _simulated_rooms(mixing, max(least, SIMULATED_PLACES), seed)
    return bank


def _simulated_rooms(mixing: DynamicMixing, places: int, seed: int) -> list[np.ndarray]:
    """Simulated once, some seconds each, then kept in the cache."""
    name = f"rooms-{mixing.simulated_rooms}-{places}-{mixing.sample_rate}-{seed}.npz"
    path = (mixing.cache or user_cache()) / name
    if not path.is_file():
        rooms: dict[str, Any] = {
            str(number): _simulated_room(np.random.default_rng([seed, number, 1]), places, mixing)
            for number in range(mixing.simulated_rooms)
        }
        with atomic(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **rooms)
    with np.load(path, allow_pickle=False) as rooms:
        return [rooms[str(number)] for number in range(mixing.simulated_rooms)]


def _simulated_room(
    rng: np.random.Generator, places: int, mixing: DynamicMixing
) -> Float[np.ndarray, "place microphone tap"]:
    """A living room to a small hall, RT60 0.15 to 0.6 s, talkers half a metre to the far wall away."""
    while True:
        size = (float(rng.uniform(3, 8)), float(rng.uniform(3, 7)), float(rng.uniform(2.4, 3.5)))
        inside = np.array(size) - 0.8
        microphone = 0.4 + rng.uniform(0, 1, 3) * inside
        sources = 0.4 + rng.uniform(0, 1, (places, 3)) * inside
        if np.linalg.norm(sources - microphone, axis=1).min() < 0.5:
            continue
        try:
            return simulate(
                size, float(rng.uniform(0.15, 0.6)), sources, microphone[:, None], mixing.sample_rate
            )
        except UsageError:  # walls that give this room so short a reverberation do not exist
            continue
