"""What networks that know people learn from: utterances by speaker, mixtures with an enrollment, mixtures with a label.

All of it is drawn as ``data.dynamic`` draws mixtures: item ``i`` depends on the seed and on ``i`` alone.
"""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soxr
from jaxtyping import Float, Int

from unbabble.base.errors import InputError, UsageError
from unbabble.base.words import counted
from unbabble.data import corpora
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.data.sets import Data, data


class Utterances(NamedTuple):
    """Of several speakers as many utterances each, of unit level, and the speakers' numbers in the whole set."""

    utterances: Float[np.ndarray, "speaker utterance time"]
    person: Int[np.ndarray, " speaker"]


class TaughtUtterances(NamedTuple):
    """Utterances, their speakers' numbers, and the vector that a teacher gives the recording each is taken from.

    Of utterances that the teacher has not heard at that speed it is all zeros.
    """

    utterances: Float[np.ndarray, "speaker utterance time"]
    person: Int[np.ndarray, " speaker"]
    vectors: Float[np.ndarray, "speaker utterance dimension"]


class EnrolledItem(NamedTuple):
    """A mixture of unit level, another recording of one person, and that person's voice in the mixture (or zeros)."""

    mixture: Float[np.ndarray, " time"]
    enrollment: Float[np.ndarray, " sample"]
    sources: Float[np.ndarray, "1 time"]


class LabelledItem(NamedTuple):
    """A mixture of unit level, its voice, and the class that both belong to."""

    mixture: Float[np.ndarray, " time"]
    sources: Float[np.ndarray, "source time"]
    label: Int[np.ndarray, ""]


@data("speakers")
@dataclass(frozen=True)
class SpeakerGroups(Data):
    """What embedders learn from.

    Args:
        utterances: of each speaker.
        speakers: of an item.
        prolific: speakers are drawn in proportion to the number of their utterances to this power: 0 for all alike; .5
            where most have one, which teaches nothing of what changes from one recording of somebody to another.
        mixing: how an utterance is recorded: its one talker, its noise, its room, its duration.
        voices: everything that a speaker of an item says is played at one of these speeds, drawn: who is faster and
            higher is somebody else (H. Yamamoto et al., "Speaker augmentation and bandwidth extension for deep speaker
            embedding", Interspeech 2019).
        leak_share: share of the utterances into which another speaker of the item leaks, as a separator leaves it.
        leak_db: bounds of how much softer that is.
        narrow_share: share of the utterances whose upper half of the spectrum is missing, as telephones and separators
            at half the rate leave them.
        teacher: vectors of all these recordings by another embedder, as ``unbabble embed`` writes them, known by
            their files' and folders' names: what the task ``speakers`` learns by its loss ``distillation``. Further
            files hold vectors of any of them at other speeds (``embed --speed``).

    Raises:
        UsageError: fewer than two speakers or utterances, several talkers, speeds that are none, a share beyond 0 to 1.
    """

    mixing: DynamicMixing
    utterances: int = 2
    speakers: int = 8
    voices: tuple[float, ...] = (1.0,)
    leak_share: float = 0.0
    leak_db: tuple[float, float] = (3.0, 20.0)
    prolific: float = 0.0
    narrow_share: float = 0.0
    teacher: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if not (0 <= self.leak_share <= 1 and 0 <= self.narrow_share <= 1):
            raise UsageError("Speakers: leak_share and narrow_share lie between 0 and 1.")
        if self.prolific < 0:
            raise UsageError("Speakers: prolific is 0 or more.")
        if not self.voices or min(self.voices) <= 0:
            raise UsageError("Speakers: the speeds of voices are above 0.")
        if min(self.utterances, self.speakers) < 2 or self.mixing.talkers != (1,):
            raise UsageError(
                "Speakers: an item has at least two speakers with two utterances, one talks in each."
            )

    @property
    def sample_rate(self) -> int:  # type: ignore[override]
        """Hz."""
        return self.mixing.sample_rate

    def open(self, seed: int) -> "SpeakerItems":
        """An endless row of items."""
        return SpeakerItems(self, seed)


class SpeakerItems:
    """``items[i]``: an endless row; the utterances of a speaker do not overlap, as far as there is enough of them.

    Attributes:
        people: how many there are; a speaker at another speed is another one.
        vectors: of a teacher by the utterance's number and its speed, less the mean of those at their own speed and of
            unit norm; none without a teacher.

    Raises:
        InputError: too few speakers, or a teacher that has not heard all that they say.
    """

    def __init__(self, data: SpeakerGroups, seed: int = 0) -> None:
        self.data, self.seed = data, seed
        longer = replace(data.mixing, seconds=data.mixing.seconds * max(data.voices))
        self.mixtures = DynamicMixtures(longer, seed)
        if len(self.mixtures.names) < data.speakers:
            raise InputError(
                f"Batches of {counted(data.speakers, 'speaker')} are asked for, but '{data.mixing.speech}' has "
                f"{len(self.mixtures.names)}."
            )
        self.people = len(self.mixtures.names) * len(data.voices)
        counts = np.unique(self.mixtures.speakers, return_counts=True)[1] ** data.prolific
        self.shares = counts / counts.sum() if data.prolific else None
        self.vectors: dict[tuple[int, float], Float[np.ndarray, " dimension"]] = {}
        if data.teacher:
            heard = {
                number: self.mixtures.speech.files[number] for number in self.mixtures.utterances.tolist()
            }
            self.vectors = _taught(data.teacher, heard)

    @property
    def directions(self) -> Float[np.ndarray, "person dimension"]:
        """The mean of the teacher's vectors of each person, of unit norm; of no numbers without a teacher.

        Somebody whom the teacher has not heard at a speed has that of their own speed there: a place to begin from.
        """
        if not self.vectors:
            return np.zeros((self.people, 0), np.float32)
        means = []
        for name in self.mixtures.names:
            said = self.mixtures.utterances[self.mixtures.speakers == name].tolist()
            for speed in self.data.voices:
                heard = [self.vectors[each, speed] for each in said if (each, speed) in self.vectors]
                means.append(np.mean(heard or [self.vectors[each, 1.0] for each in said], axis=0))
        return np.stack(means) / np.linalg.norm(means, axis=1, keepdims=True)

    def __getitem__(self, index: int) -> Utterances | TaughtUtterances:
        rng = np.random.default_rng([self.seed, index])
        chosen = rng.choice(self.mixtures.names, self.data.speakers, replace=False, p=self.shares)
        drawn = [self._said_by(rng, str(speaker)) for speaker in chosen]
        utterances = np.stack([said for said, _, _ in drawn])
        known = np.searchsorted(self.mixtures.names, chosen)
        person = known * len(self.data.voices) + [voice for _, voice, _ in drawn]
        leaking = rng.random(utterances.shape[:2]) < self.data.leak_share
        if leaking.any():
            gains = 10 ** (-rng.uniform(*self.data.leak_db, utterances.shape[:2]) / 20) * leaking
            shift = int(rng.integers(1, len(utterances)))
            utterances = utterances + (gains[..., None] * np.roll(utterances, shift, 0)).astype(
                utterances.dtype
            )
        narrow = rng.random(utterances.shape[:2]) < self.data.narrow_share
        if narrow.any():
            utterances[narrow] = _narrowed(utterances[narrow])
        if not self.vectors:
            return Utterances(utterances, person)
        nothing = np.zeros_like(next(iter(self.vectors.values())))
        vectors = [
            [self.vectors.get((each, self.data.voices[voice]), nothing) for each in said]
            for _, voice, said in drawn
        ]
        return TaughtUtterances(utterances, person, np.array(vectors))

    def _said_by(
        self, rng: np.random.Generator, speaker: str
    ) -> tuple[Float[np.ndarray, "utterance time"], int, list[int]]:
        """Utterances, the number of the speed at which they are played, and theirs in the set."""
        utterances, taken = [], []
        voice, rate = int(rng.integers(len(self.data.voices))), self.data.sample_rate
        speed = self.data.voices[voice]
        samples = round(self.data.mixing.seconds * rate)
        for _ in range(self.data.utterances):
            drawn = self.mixtures.drawn(rng, [speaker], taken)
            utterances.append(_played(drawn.item.mixture, speed, rate, samples))
            taken += drawn.excerpts
        return np.stack(utterances), voice, [each.utterance for each in taken]


def _taught(
    files: Sequence[Path], recordings: Mapping[int, Path]
) -> dict[tuple[int, float], Float[np.ndarray, " dimension"]]:
    """What a teacher thinks of recordings at speeds: less the mean of all at their own, which tells nobody apart."""
    taught: dict[tuple[int, float], Float[np.ndarray, " dimension"]] = {}
    for file in files:
        speed, vectors = _heard(file)
        known = {
            (number, speed): vectors[_short(each)]
            for number, each in recordings.items()
            if _short(each) in vectors
        }
        if speed == 1 and (
            unknown := [each for number, each in recordings.items() if (number, speed) not in known]
        ):
            more = f" and {counted(len(unknown) - 1, 'other')}" if len(unknown) > 1 else ""
            raise InputError(f"'{file}' has no vector of '{unknown[0]}'{more}.")
        if twice := taught.keys() & known.keys():
            raise InputError(
                f"'{file}' and another teacher have a vector each of '{recordings[min(twice)[0]]}'."
            )
        taught |= known
    own = [vector for (_, speed), vector in taught.items() if speed == 1]
    if not own:
        raise InputError(f"'{files[0]}' has no vectors of voices at their own speed, 1.")
    if len({len(vector) for vector in taught.values()}) > 1:
        raise InputError("The teacher's files have vectors of different lengths.")
    mean = np.mean(own, axis=0)
    return {which: (each - mean) / np.linalg.norm(each - mean) for which, each in taught.items()}


def _heard(file: Path) -> tuple[float, dict[tuple[str, str], Float[np.ndarray, " dimension"]]]:
    """A speed, and vectors of recordings that were played at it."""
    if not file.is_file():
        raise InputError(f"'{file}' does not exist.")
    try:
        with np.load(file) as kept:
            names, vectors = [_short(Path(str(name))) for name in kept["names"]], kept["vectors"]
            speed = float(kept["speed"]) if "speed" in kept else 1.0
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"'{file}' holds no vectors as 'unbabble embed' writes them.") from error
    if len(set(names)) < len(names):
        raise InputError(f"'{file}' has two recordings of one name in folders of one name: which is which?")
    if vectors.ndim != 2 or len(vectors) != len(names) or not np.isfinite(vectors).all():
        raise InputError(f"'{file}' has not a row of finite numbers for each of its names.")
    return speed, dict(zip(names, vectors.astype(np.float32), strict=True))


def _short(path: Path) -> tuple[str, str]:
    """What a recording is known by wherever its corpus lies."""
    return path.parent.name, path.name


def _narrowed(sounds: Float[np.ndarray, "sound time"]) -> Float[np.ndarray, "sound time"]:
    """The lower half of their spectrum."""
    halved = soxr.resample(sounds.T, 2, 1, quality="MQ")
    return soxr.resample(halved, 1, 2, quality="MQ").T[:, : sounds.shape[1]]


def _played(
    sound: Float[np.ndarray, " time"], speed: float, rate: int, samples: int
) -> Float[np.ndarray, " sample"]:
    """Faster and higher by ``speed``, ``samples`` of it."""
    if speed != 1:
        sound = soxr.resample(sound, speed * rate, rate, quality="MQ")
    return np.pad(sound, (0, max(0, samples - len(sound))), "wrap")[:samples]


@data("enrolled")
@dataclass(frozen=True)
class EnrolledMixing(Data):
    """What extractors learn from.

    Args:
        enrollment: how the person is enrolled: alone, with its noise, its room, its duration.
        mixing: mixtures in which the person is one of the talkers.
        absent_share: share of the mixtures in which the person does not talk.
        voices: mixture and enrollment are played at one of these speeds, drawn: see ``SpeakerGroups``.

    Raises:
        UsageError: several talkers enroll, several microphones hear, rates differ, or speeds that are none.
    """

    mixing: DynamicMixing
    enrollment: DynamicMixing
    absent_share: float = 0.0
    voices: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not self.voices or min(self.voices) <= 0:
            raise UsageError("Enrolled mixtures: the speeds of voices are above 0.")
        if self.enrollment.talkers != (1,) or self.mixing.microphones > 1 or self.enrollment.microphones > 1:
            raise UsageError("Enrolled mixtures: one talker enrolls, and one microphone hears.")
        if self.enrollment.sample_rate != self.mixing.sample_rate:
            raise UsageError("Enrolled mixtures: enrollment and mixture have one sample rate.")
        if not 0 <= self.absent_share < 1:
            raise UsageError("Enrolled mixtures: absent_share lies between 0 and 1, 1 excluded.")

    @property
    def sample_rate(self) -> int:  # type: ignore[override]
        """Hz."""
        return self.mixing.sample_rate

    def open(self, seed: int) -> "EnrolledMixtures":
        """An endless row of items."""
        return EnrolledMixtures(self, seed)


class EnrolledMixtures:
    """``mixtures[i]``: an endless row; the enrollment is of something else that the person said.

    Two that follow one another are the same mixture, and of several talkers one and another is enrolled: what differs
    between the two is whom to keep, and nothing else.
    """

    def __init__(self, data: EnrolledMixing, seed: int = 0) -> None:
        self.data, self.seed = data, seed
        self.mixtures, self.enrollments = (
            DynamicMixtures(replace(part, seconds=part.seconds * max(data.voices)), seed)
            for part in (data.mixing, data.enrollment)
        )
        if list(self.mixtures.speech.files) != list(self.enrollments.speech.files):
            raise UsageError("Enrolled mixtures: enrollment and mixture are of one table of speech.")

    def __getitem__(self, index: int) -> EnrolledItem:
        rng = np.random.default_rng([self.seed, index // 2])
        drawn, speed = self.mixtures.drawn(rng), float(rng.choice(self.data.voices))
        place = (int(rng.integers(len(drawn.speakers))) + index) % len(drawn.speakers)
        person, target = drawn.speakers[place], drawn.item.sources[place : place + 1]
        rng = np.random.default_rng([self.seed, index, 1])
        if rng.random() < self.data.absent_share:
            others = np.setdiff1d(self.mixtures.names, drawn.speakers)
            if len(others):
                person, target = str(rng.choice(others)), np.zeros_like(target)
        enrolled = self.enrollments.drawn(rng, [person], drawn.excerpts).item.mixture
        rate, length = self.data.sample_rate, round(self.data.mixing.seconds * self.data.sample_rate)
        return EnrolledItem(
            _played(drawn.item.mixture, speed, rate, length),
            _played(enrolled, speed, rate, round(self.data.enrollment.seconds * rate)),
            _played(target[0], speed, rate, length)[None],
        )


@data("labelled")
@dataclass(frozen=True)
class LabelledMixing(Data):
    """What ensembles of specialists learn from: noisy voices, and which specialist's they are.

    Args:
        labels: ``snr`` for the nearest of ``levels_db``; ``sex``; ``group`` for those of a table.
        mixing: of one talker in noise.
        levels_db: input SNR of each specialist.
        groups: table with the columns ``speaker`` and ``group`` (0, 1 ...).

    Raises:
        UsageError: groups without their table, or several talkers.
    """

    mixing: DynamicMixing
    labels: Literal["snr", "sex", "group"]
    levels_db: tuple[float, ...] = (-5.0, 0.0, 5.0, 10.0)
    groups: Path | None = None

    def __post_init__(self) -> None:
        if self.labels == "group" and self.groups is None:
            raise UsageError("Labelled mixtures: labels by group need a table of groups.")
        if self.mixing.talkers != (1,) or self.mixing.microphones > 1:
            raise UsageError("Labelled mixtures: one talks, and one microphone hears.")

    @property
    def sample_rate(self) -> int:  # type: ignore[override]
        """Hz."""
        return self.mixing.sample_rate

    def open(self, seed: int) -> "LabelledMixtures":
        """An endless row of items."""
        return LabelledMixtures(self, seed)


class LabelledMixtures:
    """``mixtures[i]``: an endless row, as ``DynamicMixtures`` makes it."""

    def __init__(self, data: LabelledMixing, seed: int = 0) -> None:
        self.data, self.seed, self.mixtures = data, seed, DynamicMixtures(data.mixing, seed)
        self.groups: dict[str, int] = {}
        if data.labels == "group" and data.groups is not None:
            rows = corpora.read_table(data.groups, ("speaker", "group"))
            self.groups = {row["speaker"]: int(row["group"]) for row in rows}
        elif data.labels == "sex":
            self.groups = {
                str(name): "FM".index(sex)
                for name, sex in zip(self.mixtures.speakers, self.mixtures.sexes, strict=True)
                if sex in ("F", "M")
            }
        if data.labels != "snr" and (unknown := set(map(str, self.mixtures.names)) - self.groups.keys()):
            raise InputError(f"Labelled mixtures: no label is known of speaker '{min(unknown)}'.")

    def __getitem__(self, index: int) -> LabelledItem:
        drawn = self.mixtures.drawn(np.random.default_rng([self.seed, index]))
        label = self.groups.get(str(drawn.speakers[0]), 0)
        if self.data.labels == "snr":
            voice = drawn.item.sources[0]
            noise = float(np.mean((drawn.item.mixture - voice) ** 2))
            snr_db = 10 * np.log10(max(float(np.mean(voice**2)), 1e-20) / max(noise, 1e-20))
            label = int(np.abs(np.array(self.data.levels_db) - snr_db).argmin())
        return LabelledItem(drawn.item.mixture, drawn.item.sources, np.array(label))
