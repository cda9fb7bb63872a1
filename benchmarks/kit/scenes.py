"""Recordings that claims share: real voices in a real room before a real array, or drawn as for training.

Speech of ``speech/test`` (LibriSpeech, FLAC) is convolved with impulse responses measured with seven microphones
(``rir.csv``, split test: panel states 050 and RBL); talkers 1.5 or 2 m away, white sensor noise 30 dB below. Item ``i``
is the same scene whatever the number of microphones and the count.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch

from unbabble.data import corpora
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.data.mixing import Mixture, MixtureSet, Reference
from unbabble.data.rooms import MeasuredRooms
from unbabble.signal.blind.whitening import Whitened, whiten
from unbabble.signal.metrics import si_sdr_matrix
from unbabble.signal.permutation import best_permutation
from unbabble.signal.stft import Stft

DATA = Path(os.environ.get("UNBABBLE_DATA", Path(__file__).resolve().parents[2] / "../shared/data"))
MICROPHONES = (0, 1, 2, 5, 3, 4, 6)
"""Order in which microphones join. The array is three orthogonal pairs of 9.4 cm, (0, 1) (2, 5) (3, 4), and
a centre microphone 6: the first pair is horizontal, each further pair opens a new direction, the centre is
last. (From the direct sound's delays over the measured directions.)"""
DISTANCE_M = (1.5, 2.0)
PANELS = ("050", "RBL")
SECONDS, RATE = 12.0, 16000
STFT = Stft(4096, 1024)


# --- real voices in a measured room ---


@cache
def speech(split: str) -> tuple[corpora.Utterance, ...]:
    return tuple(corpora.speech(DATA / "speech.csv", split))


def by_speaker(split: str) -> dict[str, list[corpora.Utterance]]:
    """What each speaker says."""
    result: dict[str, list[corpora.Utterance]] = {}
    for utterance in speech(split):
        result.setdefault(utterance.speaker, []).append(utterance)
    return result


@cache
def room(split: str, distance_m: tuple[float, float] = DISTANCE_M) -> MeasuredRooms:
    """The measured room, of the test split in two of its states."""
    places = corpora.responses(DATA / "rir.csv", split)
    there = tuple(place for place in places if split != "test" or place.room.endswith(PANELS))
    return MeasuredRooms(there, channels=MICROPHONES, distance_m=distance_m)


def mixtures(
    talkers: int,
    count: int,
    seed: int = 0,
    seconds: float = SECONDS,
    split: str = "test",
    reference: Reference = "image",
) -> MixtureSet:
    """As all microphones hear them."""
    return MixtureSet(
        speech=speech(split),
        room=room(split),
        talkers=talkers,
        microphones=len(MICROPHONES),
        seconds=seconds,
        count=count,
        seed=seed,
        reference=reference,
    )


def load_mixtures(talkers: int, microphones: int, count: int = 25, seed: int = 0, **options) -> list[Mixture]:
    """The first ``count``, as the first microphones hear them; the reference of talker k is ``images[k, 0]``."""
    return [
        replace(
            item,
            mixture=item.mixture[:microphones].copy(),
            images=item.images[:, :microphones].copy(),
            noise=item.noise[:microphones].copy(),
        )
        for item in mixtures(talkers, count, seed, **options)
    ]


def said(utterances: Sequence[corpora.Utterance], samples: int, rng: np.random.Generator) -> np.ndarray:
    """Utterances one after another, drawn until there are so many samples at 16 kHz."""
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < samples:
        sound, rate = corpora.read(utterances[rng.integers(len(utterances))].path)
        parts.append(corpora.resample(sound.mean(axis=0), rate, RATE))
    return np.concatenate(parts)[:samples]


def improvement(
    estimates: torch.Tensor, references: torch.Tensor, mixture: torch.Tensor, zero_mean: bool = False
) -> float:
    """Mean SI-SDR over the talkers less that of one microphone's ``mixture`` (time,), best assignment, in dB."""
    after = si_sdr_matrix(estimates.double(), references.double(), zero_mean)
    before = si_sdr_matrix(mixture[None].double(), references.double(), zero_mean)[0]
    return float((after[best_permutation(after), torch.arange(len(references))] - before).mean())


def by_window(scores: torch.Tensor, before: torch.Tensor, whole: torch.Tensor) -> dict[str, list[float]]:
    """Mean improvement of the talkers in each window, by either way to pair estimates and talkers.

    Args:
        scores: of the windows (window, estimate, talker), in dB.
        before: of what one microphone hears (window, talker).
        whole: of the recording (estimate, talker): by these is ``fixed``, one pairing; ``free`` is the best of each.
    """
    talkers = torch.arange(scores.shape[-1])
    pairings = {"fixed": [best_permutation(whole)] * len(scores), "free": map(best_permutation, scores)}
    return {
        how: [
            float((score[order, talkers] - own).mean())
            for score, own, order in zip(scores, before, orders, strict=True)
        ]
        for how, orders in pairings.items()
    }


# --- drawn as for training ---


def drawn(
    split: str,
    talkers: int,
    noisy: float = 0.0,
    echoing: float = 0.0,
    snr_db: tuple[float, float] = (0.0, 15.0),
    **options,
) -> DynamicMixing:
    """Mixtures of a split, with these shares in noise and in a measured room; dev has no noises, and takes train's."""
    return DynamicMixing(
        DATA / "speech.csv",
        split,
        talkers=(talkers,),
        noise=DATA / "noise.csv" if noisy else None,
        noise_split="test" if split == "test" else "train",
        noise_share=float(noisy),
        snr_db=snr_db,
        rooms=DATA / "rir.csv" if echoing else None,
        room_share=float(echoing),
        **options,
    )


def items(mixing: DynamicMixing, count: int, seed: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The first so many: mixtures (microphone, time), and the voices in it (talker, time)."""
    mixtures = DynamicMixtures(mixing, seed)
    for index in range(count):
        item = mixtures[index]
        yield torch.from_numpy(np.atleast_2d(item.mixture)), torch.from_numpy(item.sources)


# --- white, for blind methods ---


_temporary = tempfile.TemporaryDirectory(prefix="unbabble-benchmark-")


@dataclass
class Scene:
    """A mixture at its audible frequencies, white; and what was in it."""

    mixture: torch.Tensor  # (microphone, frequency, frame)
    whitened: Whitened
    references: torch.Tensor | None  # (talker, time), as the first microphone hears them
    waveforms: torch.Tensor  # (microphone, time)

    @cached_property
    def file(self) -> Path:
        """The npz that workers read."""
        path = Path(_temporary.name) / f"{id(self)}.npz"
        mixture = self.mixture[:, self.whitened.bins].transpose(0, 1).contiguous()
        np.savez(path, whitened=self.whitened.spectrogram.numpy(), mixture=mixture.numpy())
        return path

    def beside(self, name: str) -> Path:
        """Where a worker may write."""
        return Path(_temporary.name) / name

    def improvement(self, estimate: np.ndarray, linear: bool = True) -> float:
        """Mean SI-SDR improvement in dB, best permutation; ``estimate`` as workers trace it.

        A demixing matrix (in white coordinates) is followed by projection back to the first microphone; a
        spectrogram is taken as an image there.
        """
        bins, y = self.whitened.bins, torch.from_numpy(estimate)
        if linear:
            total = y.to(torch.complex128) @ self.whitened.transform.to(torch.complex128)
            scale = torch.linalg.inv(total)[:, 0, :, None]
            y = (scale * total).to(torch.complex64) @ self.mixture[:, bins].transpose(0, 1)
        spectrogram = torch.zeros((y.shape[1], *self.mixture.shape[1:]), dtype=torch.complex64)
        spectrogram[:, bins] = y.transpose(0, 1)
        return self.improvement_of(STFT.synthesise(spectrogram, self.waveforms.shape[-1]))

    def improvement_of(self, estimates: torch.Tensor) -> float:
        """Mean SI-SDR improvement over the mixture at the first microphone, best permutation."""
        assert self.references is not None
        return improvement(estimates, self.references, self.waveforms[0], zero_mean=True)

    @property
    def mixture_si_sdr(self) -> float:
        """Mean SI-SDR of the unprocessed first microphone."""
        assert self.references is not None
        return float(si_sdr_matrix(self.waveforms[:1], self.references, True).mean())


def scene(waveforms: np.ndarray, references: np.ndarray | None) -> Scene:
    x = torch.from_numpy(np.ascontiguousarray(waveforms)).float()
    mixture = STFT.analyse(x)
    known = None if references is None else torch.from_numpy(np.ascontiguousarray(references)).float()
    return Scene(mixture, whiten(mixture, channels=len(x)), known, x)


def scenes(talkers: int, count: int, seed: int, seconds: float = SECONDS) -> list[Scene]:
    """Real voices in a real room, as many microphones as talkers; with more than the array has, synthetic sources."""
    if talkers > len(MICROPHONES):
        return [instantaneous_scene(talkers, seconds, seed) for _ in range(count)]
    items = load_mixtures(talkers, talkers, count, seed, seconds=seconds)
    return [scene(item.mixture, item.images[:, 0]) for item in items]


def instantaneous_scene(channels: int, seconds: float, seed: int) -> Scene:
    """Laplacian sources with a common envelope, mixed at random at each frequency: for timing at any size."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    envelopes = np.repeat(rng.exponential(size=(channels, samples // 1600 + 1)), 1600, axis=1)[:, :samples]
    sources = rng.laplace(size=(channels, samples)) * envelopes
    taps = rng.standard_normal((channels, channels, 8))
    mixed = sum(
        np.stack([np.convolve(source, taps[m, k])[:samples] for m in range(channels)])
        for k, source in enumerate(sources)
    )
    return scene(mixed / np.abs(mixed).max(), None)
