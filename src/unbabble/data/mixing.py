"""Mixtures of several talkers in a room: one pure function, and a set that draws its items from a seed.

    mixture = sum of images + noise
    image of talker k at microphone m = level of k * (voice of k convolved with the response from k to m)

Item ``i`` of a set depends on the seed and on ``i`` alone: it is the same whatever was drawn before it, in
whichever process, so that any number of workers gives the same data.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy.signal import oaconvolve

from unbabble.base.errors import InputError, UsageError
from unbabble.base.words import counted
from unbabble.data.corpora import Noise, Utterance, read, resample
from unbabble.data.rooms import Room

Reference = Literal["image", "early", "direct"]
EARLY_SECONDS = {"early": 0.05, "direct": 0.0025}
"""How much of a response after its direct sound a reference keeps."""
TALKER_RMS = 0.05
PEAK = 0.9


@dataclass(frozen=True, slots=True)
class Mixture:
    """One recording and what it was made of.

    Attributes:
        mixture: what the microphones recorded.
        images: each talker alone at each microphone, with all reverberation.
        references: each talker at the first microphone: what a separator is scored against.
        noise: ``mixture`` less the sum of ``images``.
        metadata: how it was made, ready for JSON.
    """

    mixture: Float[np.ndarray, "microphone time"]
    images: Float[np.ndarray, "talker microphone time"]
    references: Float[np.ndarray, "talker time"]
    noise: Float[np.ndarray, "microphone time"]
    sample_rate: int
    metadata: dict[str, Any] = field(default_factory=dict)


def mix(
    voices: Sequence[Float[np.ndarray, "voice"]],
    responses: Float[np.ndarray, "talker microphone tap"],
    *,
    samples: int,
    sample_rate: int,
    starts: Sequence[int] | None = None,
    levels_db: Sequence[float] | None = None,
    noise: Float[np.ndarray, "microphone time"] | None = None,
    snr_db: float | None = None,
    rng: np.random.Generator | None = None,
    reference: Reference = "image",
) -> Mixture:
    """Mix voices as an array in a room hears them.

    Every talker's image has the same power at the first microphone, over the time that its voice lasts, but
    for ``levels_db``. The microphones keep their levels relative to one another.

    Args:
        voices: clean speech, one array a talker.
        responses: impulse responses from each talker to each microphone.
        samples: length of the mixture; what sounds longer is cut.
        starts: first sample of each voice, 0 if not given.
        levels_db: level of each talker relative to the common one.
        noise: noise at each microphone, scaled to ``snr_db``; white and independent if it is not given.
        snr_db: power of all talkers over that of the noise at the first microphone; None for no noise.
        rng: draws the white noise.
        reference: the whole image, its first 50 ms, or the direct sound.

    Returns:
        The mixture, scaled down as a whole where it would exceed full scale.

    Raises:
        InputError: a voice is silent.
        UsageError: contradictory arguments.
    """
    talkers, microphones = len(responses), responses.shape[1]
    starts = [0] * talkers if starts is None else starts
    levels_db = [0.0] * talkers if levels_db is None else levels_db
    if not len(voices) == len(starts) == len(levels_db) == talkers:
        raise UsageError(
            f"{counted(talkers, 'response')} and {counted(len(voices), 'voice')}, "
            f"{counted(len(starts), 'start')}, {counted(len(levels_db), 'level')}: these do not fit."
        )
    if snr_db is not None and np.isnan(snr_db):
        raise UsageError("The signal-to-noise ratio must be a number of dB.")

    images = np.zeros((talkers, microphones, samples))
    references = np.zeros((talkers, samples))
    for k, (voice, start, level_db) in enumerate(zip(voices, starts, levels_db, strict=True)):
        voice = voice[: samples - start].astype(np.float64)
        images[k, :, start:] = _hear(voice, responses[k], samples - start)
        power = np.sum(images[k, 0] ** 2) / max(len(voice), 1)
        if not power > 0:
            raise InputError(f"The voice of talker {k + 1} is silent.")
        gain = TALKER_RMS * 10 ** (level_db / 20) / np.sqrt(power)
        images[k] *= gain
        references[k] = images[k, 0]
        if reference != "image":
            kept = _early(responses[k, :1], round(EARLY_SECONDS[reference] * sample_rate))
            references[k, start:] = gain * _hear(voice, kept, samples - start)[0]

    clean = images.sum(axis=0)
    if snr_db is None or np.isposinf(snr_db):
        noise = np.zeros((microphones, samples))
    else:
        if noise is None:
            noise = (rng or np.random.default_rng(0)).standard_normal((microphones, samples))
        noise = noise.astype(np.float64)
        power = np.mean(noise[0] ** 2)
        if not power > 0:
            raise InputError("The noise is silent.")
        noise = noise * np.sqrt(np.mean(clean[0] ** 2) / power * 10 ** (-snr_db / 10))
    peak = np.abs(clean + noise).max()
    scale = min(1.0, PEAK / peak)
    images, references, noise = ((scale * part).astype(np.float32) for part in (images, references, noise))
    return Mixture(images.sum(axis=0) + noise, images, references, noise, sample_rate)


@dataclass(frozen=True)
class MixtureSet:
    """Mixtures drawn at random from speech, rooms and noise: ``set[i]`` builds item ``i``.

    Args:
        speech: utterances; those of one speaker are joined in random order until they fill the time.
        room: measured or simulated rooms.
        noise: recordings played from the room's places of noise; white noise if there are none.
        snr_db: see ``mix``.
        overlap: 1 for talkers who speak all the time; 0 for one after another; between, each talker's turn
            begins when this part of the turn before is left.
        level_spread_db: talkers are at most this much louder or softer than their common level.

    Raises:
        UsageError: a number that makes no sense.
        InputError: too few speakers with enough speech, or too few places or microphones.
    """

    speech: tuple[Utterance, ...]
    room: Room
    talkers: int = 2
    microphones: int = 2
    seconds: float = 12.0
    count: int = 20
    seed: int = 0
    noise: tuple[Noise, ...] = ()
    snr_db: float | None = 30.0
    overlap: float = 1.0
    level_spread_db: float = 2.5
    sample_rate: int = 16000
    reference: Reference = "image"

    def __post_init__(self) -> None:
        for name in ("talkers", "microphones", "mixtures"):
            if getattr(self, "count" if name == "mixtures" else name) < 1:
                raise UsageError(f"The number of {name} is at least 1.")
        if not 0 <= self.overlap <= 1:
            raise UsageError("The overlap must lie between 0 and 1.")
        check_numbers(self.sample_rate, self.seconds, self.level_spread_db, self.snr_db, self.seed)
        if len(self._speakers) < self.talkers:
            raise InputError(
                f"Mixtures of {counted(self.talkers, 'talker')} are asked for, of "
                f"{counted(len(self._speakers), 'speaker')} with {self.turn_seconds:g} s of speech."
            )

    @property
    def turn_seconds(self) -> float:
        """How long each talker speaks: the turns, overlapping as asked, fill the mixture."""
        return self.seconds / (1 + (self.talkers - 1) * (1 - self.overlap))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Mixture:
        if not 0 <= index < self.count:
            raise IndexError(index)
        room_rng, voice_rng, level_rng, noise_rng = (
            np.random.default_rng([self.seed, index, stream]) for stream in range(4)
        )
        samples = round(self.seconds * self.sample_rate)
        turn = min(samples, round(self.turn_seconds * self.sample_rate))
        starts = [round(k * (1 - self.overlap) * turn) for k in range(self.talkers)]
        responses = self.room.draw(room_rng, self.talkers, self.microphones, self.sample_rate)
        speakers = [
            str(name) for name in voice_rng.choice(sorted(self._speakers), self.talkers, replace=False)
        ]
        spoken = [self._speak(voice_rng, speaker, turn) for speaker in speakers]
        levels_db = level_rng.uniform(-self.level_spread_db, self.level_spread_db, self.talkers).tolist()
        noise, noises = None, []
        if self.noise and self.snr_db is not None:
            noise, noises = surround(
                noise_rng, self.noise, responses.background, self.microphones, samples, self.sample_rate
            )
        mixed = mix(
            [voice for voice, _ in spoken],
            responses.responses,
            samples=samples,
            sample_rate=self.sample_rate,
            starts=starts,
            levels_db=levels_db,
            noise=noise,
            snr_db=self.snr_db,
            rng=noise_rng,
            reference=self.reference,
        )
        room = dict(responses.metadata)
        places = room.pop("places")
        used = [utterance for _, utterances in spoken for utterance in utterances]
        metadata = {
            "index": index,
            "seed": self.seed,
            "sample_rate": self.sample_rate,
            "seconds": samples / self.sample_rate,
            "snr_db": self.snr_db,
            "noise": [noise.path.name for noise in noises] or ("white" if self.snr_db is not None else None),
            "reference": self.reference,
            "licence": {
                "speech": licences(used),
                "room": room.pop("licence"),
                "noise": licences(noises),
            },
            **room,
            "talkers": [
                {
                    "speaker": speaker,
                    "files": [utterance.path.name for utterance in utterances],
                    "texts": [utterance.text for utterance in utterances],
                    "start_seconds": start / self.sample_rate,
                    "level_db": round(level_db, 3),
                    **place,
                }
                for speaker, (_, utterances), start, level_db, place in zip(
                    speakers, spoken, starts, levels_db, places, strict=True
                )
            ],
        }
        return Mixture(mixed.mixture, mixed.images, mixed.references, mixed.noise, self.sample_rate, metadata)

    @cached_property
    def _speakers(self) -> dict[str, list[Utterance]]:
        everyone: dict[str, list[Utterance]] = {}
        for utterance in self.speech:
            everyone.setdefault(utterance.speaker, []).append(utterance)
        return {
            speaker: utterances
            for speaker, utterances in everyone.items()
            if sum(utterance.seconds for utterance in utterances) >= self.turn_seconds
        }

    def _speak(
        self, rng: np.random.Generator, speaker: str, samples: int
    ) -> tuple[np.ndarray, list[Utterance]]:
        utterances, parts, used = self._speakers[speaker], [], []
        for index in rng.permutation(len(utterances)):
            if sum(map(len, parts)) >= samples:
                break
            recording, rate = read(utterances[index].path)
            parts.append(resample(recording.mean(axis=0), rate, self.sample_rate))
            used.append(utterances[index])
        return np.concatenate(parts)[:samples], used


def check_numbers(
    sample_rate: int, seconds: float, level_spread_db: float, snr_db: float | None, seed: int
) -> None:
    """Raise UsageError where one of those that every set has makes no sense."""
    if sample_rate < 1:
        raise UsageError("The sample rate is at least 1 Hz.")
    if not 0 < seconds < np.inf:
        raise UsageError("The duration must be a positive number of seconds.")
    if not 0 <= level_spread_db < np.inf:
        raise UsageError("The spread of levels must not be negative.")
    if snr_db is not None and (np.isnan(snr_db) or snr_db < -100):
        raise UsageError(f"An SNR of {snr_db:g} dB makes no sense.")
    if seed < 0:
        raise UsageError("The seed must not be negative.")


def surround(
    rng: np.random.Generator,
    noises: Sequence[Noise],
    places: Float[np.ndarray, "place microphone tap"],
    microphones: int,
    samples: int,
    sample_rate: int,
) -> tuple[Float[np.ndarray, "microphone time"], list[Noise]]:
    """One of the noises from all places of noise at once, each with another excerpt: it surrounds the array."""
    chosen = noises[int(rng.integers(len(noises)))]
    recording, rate = read(chosen.path)
    whole = resample(recording.mean(axis=0), rate, sample_rate)
    if len(places) == 0:  # nowhere to put it: each microphone hears an excerpt of its own
        return np.stack([_excerpt(rng, whole, samples) for _ in range(microphones)]), [chosen]
    images = [_hear(_excerpt(rng, whole, samples), place, samples) for place in places]
    return np.sum(images, axis=0), [chosen]


def _hear(
    voice: Float[np.ndarray, "voice"], responses: Float[np.ndarray, "microphone tap"], samples: int
) -> Float[np.ndarray, "microphone time"]:
    image = oaconvolve(voice[None], responses.astype(np.float64), axes=-1)[:, :samples]
    return np.pad(image, ((0, 0), (0, samples - image.shape[1])))


def _early(response: np.ndarray, samples: int) -> np.ndarray:
    return response[:, : int(np.abs(response[0]).argmax()) + samples + 1]


def _excerpt(rng: np.random.Generator, noise: np.ndarray, samples: int) -> np.ndarray:
    if len(noise) == 0:
        raise InputError("The noise is empty.")
    start = (
        rng.integers(max(len(noise) - samples, 0) + 1) if len(noise) > samples else rng.integers(len(noise))
    )
    return np.resize(np.roll(noise, -start), samples)


def licences(recordings: Sequence[Utterance] | Sequence[Noise]) -> list[str]:
    """Of all of them, each once."""
    return sorted({recording.licence or "not stated" for recording in recordings})
