"""How good separated voices are, without the true ones: a score with its interval, and a word.

``BlindScorer("auto")("meeting.wav", ["anna.wav", "ben.wav"])`` takes whatever holds samples, ``.files(...)`` files of
any length, in bounded memory.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base import audio as audio_files
from unbabble.base.audio import Audio, Source
from unbabble.base.errors import InputError, UsageError
from unbabble.base.weights import packaged
from unbabble.base.words import counted
from unbabble.networks import load as networks
from unbabble.nn.kinds.scorer import LEAST_SECONDS, WINDOW_SECONDS, Scores, unit
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.pipelines.recording import Recording
from unbabble.signal.rumble import without_rumble

Samples: TypeAlias = Recording | Tensor | Audio | Source
AUTO = "auto"
DEFAULT_SCORER = "blind_sisnr_bands.8k"
LENGTH_TOLERANCE_SECONDS = 0.05
"""Files that differ less are cut to the shortest: codecs and resamplers leave such differences."""
CONTAINER_TOLERANCE_SECONDS = 0.5
"""The same for the sound of videos, of which headers do not tell the very length."""
MOST_HEARD = 40
"""Recordings that a ``Listener`` listens to."""
WORDS = ("bad", "poor", "fair", "good", "excellent")
BOUNDS_DB = (0.0, 7.5, 13.5, 23.5)
"""Between the words: opinion as PESQ predicts it passes from a fifth of its range to the next (`verdicts.py`)."""
UNSURE = "don't know"
MOST_WORDS = 3
"""An interval that reaches over more words says nothing."""


@dataclass(frozen=True)
class VoiceScore:
    """What is said of one voice.

    Attributes:
        si_snr_db: estimated.
        low_db: of the interval that holds the true one nine times in ten.
        high_db: of that interval.
        doubt: what is said in place of a word, where it is not certain that this is the voice that was asked for.
        verdict: ``doubt``, else one of ``WORDS``, or ``UNSURE`` where the interval reaches too far.
    """

    si_snr_db: float
    low_db: float
    high_db: float
    doubt: str = ""

    @property
    def verdict(self) -> str:
        """In a word, or a few."""
        if self.doubt:
            return self.doubt
        if _word(self.high_db) - _word(self.low_db) >= MOST_WORDS:
            return UNSURE
        return WORDS[_word(self.si_snr_db)]

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        numbers = {name: round(getattr(self, name), 2) for name in ("si_snr_db", "low_db", "high_db")}
        return numbers | {"verdict": self.verdict}


def _word(db: float) -> int:
    return sum(db >= bound for bound in BOUNDS_DB)


def has_scorer() -> bool:
    """Whether the packaged scorer is here."""
    return DEFAULT_SCORER in packaged()


class BlindScorer:
    """A scorer for recordings as they come.

    Args:
        name: a packaged scorer, its weights' file or folder, or ``org/name`` on the Hub; ``auto`` for the packaged one.
        device: where it computes.

    Raises:
        InputError: weights that are missing or damaged.
        UsageError: no such model, or one that does not score.
    """

    def __init__(self, name: str = AUTO, device: str = "cpu") -> None:
        if name == AUTO and not has_scorer():
            raise InputError(
                "No scorer is installed: train one (configs/blind_sisnr_bands.yaml) and name it with --model, "
                "or name the true voices with --references."
            )
        self.name = DEFAULT_SCORER if name == AUTO else name
        self.device = torch.device(device)
        self.network = networks.ready(self.name, self.device, "scorer")

    def __call__(
        self,
        mixture: Samples,
        estimates: Samples | list[Samples] | tuple[Samples, ...],
        sample_rate: int | None = None,
    ) -> list[VoiceScore]:
        """Score what was separated from ``mixture``.

        Args:
            mixture: (channel, time) or (time,) as a tensor or array, or a path, bytes, file object, Audio or Recording;
                voices are as its first channel that carries sound hears them.
            estimates: the same, one or a list of several: each channel is a voice.
            sample_rate: Hz; needed for tensors. Where the mixture brings its own, that is meant by default.

        Raises:
            InputError: one that cannot be read; not finite, silent, too short, or of different lengths.
            UsageError: a tensor without its rate; no estimates.
        """
        recording = Recording.of(mixture, sample_rate)
        several = list(estimates) if isinstance(estimates, list | tuple) else [estimates]
        if not several:
            raise UsageError("There are no estimates to score.")
        voices = [Recording.of(each, sample_rate or recording.sample_rate) for each in several]
        for voice in voices:
            if abs(voice.seconds - recording.seconds) >= LENGTH_TOLERANCE_SECONDS:
                raise InputError(
                    f"The mixture lasts {recording.seconds:.2f} s and an estimate {voice.seconds:.2f} s: "
                    "they are not of one recording."
                )
        parts = [self._heard(recording)[None]]
        parts += [self._audible(voice.samples, voice.sample_rate) for voice in voices]
        length = min(part.shape[1] for part in parts)
        m, *e = (part[:, :length] for part in parts)
        return self._scored(m[0], torch.cat(e))

    def of(
        self, recording: Recording, estimates: Float[Tensor, "source time"] | None = None, channel: int = 0
    ) -> list[VoiceScore]:
        """Score what was separated from ``recording``.

        Args:
            recording: in memory.
            estimates: at its rate; None for the recording itself, taken for a voice.
            channel: of the recording, from 0, in which they are heard; another one stands in where it is dead.

        Raises:
            InputError: not finite, silent, too short, or of different lengths.
        """
        m = self._heard(recording, channel)
        return self._scored(
            m, m[None] if estimates is None else self._audible(estimates, recording.sample_rate)
        )

    def files(
        self, mixture: str | os.PathLike[str], estimates: Sequence[str | os.PathLike[str]], channel: int = 1
    ) -> list[VoiceScore]:
        """Score files of any length, in bounded memory.

        Args:
            mixture: the recording.
            estimates: what was separated from it.
            channel: which microphone, from 1, of files that have several.

        Raises:
            InputError: files that cannot be read or do not belong together.
        """
        paths = [mixture, *estimates]
        opened = [Recording.open(path) for path in paths]
        for path, recording in zip(paths, opened, strict=True):
            if 1 < recording.channels < channel:
                raise InputError(
                    f"'{path}' has {counted(recording.channels, 'channel')}, there is no channel {channel}."
                )
        infos = [recording.info for recording in opened]
        known = [(info.seconds, str(path)) for info, path in zip(infos, paths, strict=True) if info.seconds]
        exact = all(info.frames is not None for info in infos)
        tolerance = LENGTH_TOLERANCE_SECONDS if exact else CONTAINER_TOLERANCE_SECONDS
        if known and max(known)[0] - min(known)[0] >= tolerance:
            (short, first), (long, second) = min(known), max(known)
            raise InputError(
                f"'{first}' lasts {short:.2f} s and '{second}' {long:.2f} s: they are not of one recording."
            )
        channels = [channel - 1 if each.channels > 1 else 0 for each in opened]
        if opened[0].live:  # silence is refused by the network
            channels[0] = opened[0].live[opened[0].place(channels[0])]
        if all(each.held for each in opened):
            m, e = self._together([each.samples for each in opened], opened, channels)
            return _voice_scores(self.network.scores(m, e))
        blocks = zip(*(each.blocks(WINDOW_SECONDS) for each in opened), strict=False)
        return _voice_scores(
            self.network.scores_of(self._together(each, opened, channels) for each in blocks)
        )

    def _heard(self, recording: Recording, channel: int = 0) -> Float[Tensor, " time"]:
        """One channel of a mixture, at the network's rate; the first that carries sound stands in for a dead one."""
        if not recording.live:
            raise InputError("The mixture is silent: there is nothing to score.")
        return recording.at(self.network.sample_rate)[recording.place(channel)]

    def _scored(
        self, mixture: Float[Tensor, " time"], estimates: Float[Tensor, "source time"]
    ) -> list[VoiceScore]:
        """At the network's rate."""
        return _voice_scores(
            self.network.scores(mixture[None].to(self.device), estimates[None].to(self.device))
        )

    def _audible(self, samples: Float[Tensor, "channel time"], rate: int) -> Float[Tensor, "channel time"]:
        """At the network's rate, without an offset or rumble that matters."""
        return audio_files.resample(without_rumble(samples, rate)[0], rate, self.network.sample_rate)

    def _together(
        self, parts: Sequence[Tensor], recordings: Sequence[Recording], channels: Sequence[int]
    ) -> tuple[Float[Tensor, "1 time"], Float[Tensor, "1 source time"]]:
        """The mixture and its estimates out of parts of their recordings, at the network's rate, equally long."""
        excerpts = [
            self._audible(part[channel][None], recording.sample_rate)[0]
            for part, recording, channel in zip(parts, recordings, channels, strict=True)
        ]
        length = min(map(len, excerpts))
        mixture, *estimates = (each[:length].to(self.device) for each in excerpts)
        return mixture[None], torch.stack(estimates)[None]


class Listener:
    """Real recordings of several talkers, by which a separator can be judged while it learns.

    Args:
        files: recordings; of many, ``MOST_HEARD``, evenly spread, are heard, ``WINDOW_SECONDS`` of each.
        sample_rate: Hz, that of the separator.
        scorer: as for ``BlindScorer``.

    Raises:
        InputError: a recording that cannot be read, or none that sounds.
    """

    def __init__(self, files: Sequence[str | os.PathLike[str]], sample_rate: int, scorer: str = AUTO) -> None:
        self.scorer, self.sample_rate = BlindScorer(scorer), sample_rate
        count = min(MOST_HEARD, len(files))
        self.mixtures = []
        for path in (files[number * len(files) // count] for number in range(count)):
            first = next(audio_files.read_blocks(path, WINDOW_SECONDS))[0]
            first = audio_files.resample(first, audio_files.probe(path).sample_rate, sample_rate)
            if len(first) >= LEAST_SECONDS * sample_rate and first.any():
                self.mixtures.append(unit(first))
        if not self.mixtures:
            raise InputError("None of the recordings to validate on has a sound of a quarter of a second.")

    @torch.no_grad()
    def __call__(self, network: NeuralSeparator) -> float:
        """Mean estimated SI-SNR in dB of the voices that ``network`` separates."""
        training, device = network.training, next(network.parameters()).device
        network.eval()
        results = []
        for mixture in self.mixtures:
            voices = network.estimate(mixture[None].to(device))[0].float().cpu()
            scores = self.scorer(mixture, voices, self.sample_rate)
            results.append(sum(score.si_snr_db for score in scores) / len(scores))
        network.train(training)
        return sum(results) / len(results)


def _voice_scores(scores: Scores) -> list[VoiceScore]:
    columns = (each[0].double().tolist() for each in scores)
    return [VoiceScore(*each) for each in zip(*columns, strict=True)]
