"""People in noise: what enhancers are measured on, whether they know the person or not.

``recordings`` are short, of many test speakers at four input SNRs. A ``Person`` is one speaker in one place: what they
say, in parts (a test, clean speech, recordings of their own), and the noise around them, whose first half is in their
recordings and whose second half is in the test.
"""

import hashlib
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from benchmarks.kit.scenes import DATA, by_speaker, drawn, speech
from unbabble.base import audio
from unbabble.base.weights import packaged
from unbabble.data import corpora
from unbabble.data.dynamic import DynamicMixtures
from unbabble.networks import load as networks
from unbabble.networks.cost import macs_per_second, parameter_count
from unbabble.pipelines import separate as separating
from unbabble.signal.metrics import estoi, pesq, si_sdr
from unbabble.signal.statistics import Estimate, bootstrap
from unbabble.signal.stft import Stft
from unbabble.training import personal

SEED, RATE, SECONDS = 0, 16000, 6.0
SNRS_DB = (-5.0, 0.0, 5.0, 10.0)
SNR_NAMES = tuple(f"{each:g}" for each in SNRS_DB)
NOISY, IDEAL = "noisy", "ideal ratio mask"
EXAMPLES, EXAMPLE_SECONDS = 20, 20.0
SEXES, WORST_SHARE = ("F", "M"), 0.1
FAIRNESS = "{F:.2f} | {M:.2f} | {worst:.2f}"
"""Cells of a table, of what ``fairness`` says."""
PIECE_SECONDS, LEAST_NOISE_SECONDS, BATCH = 4.0, 10.0, 5
KIM = (
    "Published (Kim & Kim, WASPAA 2021; LibriSpeech in WHAM! noises of 10 places; student 2x32, teacher 3x1024, 0 dB): "
    "4.51 dB before, 7.34 dB after, teacher 8.61 dB."
)
Enhance = Callable[[Tensor], Tensor]
"""From a recording (time,) to the voice in it."""


# --- many speakers ---


def recordings(split: str, each: int, snr_db: float) -> Iterator[tuple[Tensor, Tensor, dict[str, Any]]]:
    """(noisy, voice, about) of one speaker each."""
    mixing = drawn(split, 1, noisy=1, snr_db=(snr_db, snr_db), seconds=SECONDS, sample_rate=RATE)
    made = DynamicMixtures(mixing, SEED)
    for index in range(each):
        item = made.drawn(np.random.default_rng([SEED, index]))
        speaker = str(item.speakers[0])
        about = {"snr_db": snr_db, "speaker": speaker, "sex": made.sex_of(speaker)}
        yield torch.from_numpy(item.item.mixture), torch.from_numpy(item.item.sources[0]), about


def all_recordings(split: str, each: int) -> Iterator[tuple[Tensor, Tensor, dict[str, Any]]]:
    """At every input SNR."""
    for snr_db in SNRS_DB:
        yield from recordings(split, each, snr_db)


def examples() -> list[Tensor]:
    """Clean speech of training speakers."""
    speakers = by_speaker("train")
    longest = sorted(speakers, key=lambda name: -sum(each.seconds for each in speakers[name]))[:EXAMPLES]
    voices = ([audio.read(each.path).samples[0] for each in speakers[name][:4]] for name in longest)
    return [torch.cat(each)[: round(EXAMPLE_SECONDS * RATE)] for each in voices]


def ideal(noisy: Tensor, voice: Tensor, window: int = 1024) -> Tensor:
    """What a mask of power ratios makes of a recording, that of the truth."""
    transform = Stft(window, window // 4)
    mine, rest = (transform.analyse(each).abs().square() for each in (voice, noisy - voice))
    return transform.synthesise(mine / (mine + rest).clamp(min=1e-12) * transform.analyse(noisy), len(noisy))


def enhancers(names: Sequence[str]) -> dict[str, Enhance]:
    """By name; ``METHOD, online`` is the method recording as it comes. The noisy recording itself is one."""
    result: dict[str, Enhance] = {NOISY: lambda noisy: noisy}
    voices = examples() if any(name.startswith("speech_nmf") for name in names) else []
    for name in names:
        model, _, online = name.partition(", ")
        options: dict[str, Any] = {}
        if model.startswith("speech_nmf"):
            options = {"speech": voices, "online": bool(online), "rank": 100 if ".semi" in name else 10}
        separator = separating.Model(model, torch.device("cpu"), options=options).separator()
        result[name] = lambda noisy, call=separator: call(noisy[None, None], sample_rate=RATE)[0, 0]
    return result


def gained(voice: Tensor, noisy: Tensor, true: Tensor) -> float:
    """SI-SDR improvement in dB."""
    return float(si_sdr(voice[None], true[None]) - si_sdr(noisy[None], true[None]))


def measured(estimate: Tensor, noisy: Tensor, voice: Tensor) -> dict[str, float]:
    return {
        "si_sdri_db": gained(estimate, noisy, voice),
        "pesq": float(pesq(estimate[None], voice[None], RATE)),
        "estoi": float(estoi(estimate[None], voice[None], RATE)),
    }


def fairness(rows: Sequence[dict]) -> dict[str, float]:
    """Mean SI-SDR improvement of women, of men, and of the least lucky tenth of the speakers."""
    result, speakers = {}, defaultdict(list)
    for row in rows:
        speakers[row["speaker"]].append(row["si_sdri_db"])
    for sex in SEXES:
        if there := [row["si_sdri_db"] for row in rows if row["sex"] == sex]:
            result[sex] = float(np.mean(there))
    means = sorted(map(np.mean, speakers.values()))
    return result | {"worst": float(np.mean(means[: max(1, round(WORST_SHARE * len(means)))]))}


def by_snr(rows: Sequence[dict]) -> dict[str, Estimate]:
    """SI-SDR improvement by input SNR."""
    return {
        name: bootstrap([row["si_sdri_db"] for row in rows if row["snr_db"] == snr_db])
        for name, snr_db in zip(SNR_NAMES, SNRS_DB, strict=True)
    }


def means(rows: Sequence[dict], *keys: str) -> dict[str, Estimate]:
    """With their intervals over recordings."""
    return {key: bootstrap([row[key] for row in rows]) for key in keys}


# --- one person in one place ---


def at_snr(voice: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """A voice in a noise that is repeated as long as it speaks."""
    noise = np.resize(noise, voice.shape)
    gain = np.sqrt(np.mean(voice**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)
    return (voice + gain * noise).astype(np.float32)


def pieces(mixture: np.ndarray, voice: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
    """Of a test, where there is a voice: what is heard and what is true, (1, time) each."""
    length = round(PIECE_SECONDS * RATE)
    for start in range(0, len(voice) - length + 1, length):
        heard, true = (torch.from_numpy(each[start : start + length])[None] for each in (mixture, voice))
        if true.square().mean().sqrt() >= 1e-3:
            yield heard, true


@torch.no_grad()
def gained_by(network, mixture: np.ndarray, voice: np.ndarray) -> float:
    """Mean SI-SDR improvement over the pieces of a test."""
    heard, true = (torch.cat(each) for each in zip(*pieces(mixture, voice), strict=True))
    level = heard.square().mean(-1, keepdim=True).sqrt()
    estimate = torch.cat([network.estimate(each)[:, 0] for each in (heard / level).split(BATCH)])
    return float((si_sdr(estimate, true) - si_sdr(heard, true)).mean())


@dataclass(frozen=True)
class Person:
    """A speaker in a place."""

    about: dict[str, Any]
    test: np.ndarray
    clean: np.ndarray
    own: np.ndarray
    noise: np.ndarray

    def tested(self, snr_db: float) -> np.ndarray:
        """The test as it is heard: in the second half of the noise."""
        return at_snr(self.test, np.array_split(self.noise, 2)[1], snr_db)

    def recorded(self, snrs_db: Sequence[float]) -> list[np.ndarray]:
        """Their own recordings: equal parts, each at an SNR of its own, the noise going on through all of them."""
        first = np.resize(np.array_split(self.noise, 2)[0], self.own.shape)
        parts = (np.array_split(sound, len(snrs_db)) for sound in (self.own, first))
        return [at_snr(*sounds, snr_db) for *sounds, snr_db in zip(*parts, snrs_db, strict=True)]


def people(split: str, count: int, seconds: tuple[float, float, float]) -> list[Person]:
    """Those who say most; those of dev are among noises that are known from training.

    Args:
        split: of the speakers.
        count: how many.
        seconds: of the test, of clean speech, and of what is in recordings, one after another of what they say.
    """
    spoken = by_speaker(split)
    noises = corpora.noises(DATA / "noise.csv", "test" if split == "test" else "train")
    places = [each for each in noises if each.seconds > LEAST_NOISE_SECONDS]
    last = {each.speaker: each for each in speech(split)}
    total = {name: sum(each.seconds for each in spoken[name]) for name in last}
    ends, result = np.cumsum([round(each * RATE) for each in seconds]), []
    for number, name in enumerate(sorted(last, key=lambda name: -total[name])[:count]):
        place = places[number % len(places)]
        about = {"split": split, "speaker": name, "sex": last[name].sex, "noise": place.label}
        voice = np.concatenate([audio.read(each.path).samples[0].numpy() for each in spoken[name]])
        noise = audio.read(place.path).samples[0].numpy()
        result.append(Person(about, *np.split(voice, ends)[:3], noise))
    return result


def adapted(own: Sequence[np.ndarray], clean: np.ndarray | None = None, **options):
    """What ``adapt`` makes of recordings (and clean speech): the network, kept in any case, and what it says of it."""
    with tempfile.TemporaryDirectory() as folder:
        files = {Path(folder) / f"{number}.wav": samples for number, samples in enumerate(own)}
        given = {} if clean is None or not len(clean) else {Path(folder) / "clean.wav": clean}
        for path, samples in (files | given).items():
            soundfile.write(path, samples, RATE, subtype="FLOAT")
        options |= {"seed": SEED, "keep": True, "report": lambda text: None}
        return personal.adapt(list(files), list(given), **options)


def own_cache() -> None:
    """A cache of this process alone: what one forgets may be another's work."""
    os.environ["UNBABBLE_CACHE"] = tempfile.mkdtemp(prefix="unbabble-benchmark-")


def card_of(name: str, network) -> dict[str, Any]:
    """Size and operations of a network."""
    gmacs = round(macs_per_second(network) / 1e9, 4)
    return {"name": name, "parameters": parameter_count(network), "gmacs_per_second": gmacs}


def sha256(name: str) -> str:
    """Of the weights that a name or a file stands for: rows of other weights are not these."""
    return hashlib.sha256(Path(packaged().get(name, name)).read_bytes()).hexdigest()[:12]


def cards(named: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Of enhancers with these weights: size, operations, training, and which weights they are."""
    result = {}
    for name, weights in named.items():
        loaded = networks.load(weights, "enhancer")
        about = {"training": loaded.card.training, "sha256": sha256(weights)}
        result[name] = card_of(weights, loaded.network) | about
    return result
