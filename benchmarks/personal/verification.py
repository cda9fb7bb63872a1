"""How well do embedders tell people apart who were not in training, and are their probabilities right?

All 474 utterances of the test speakers, whole, in all pairs; pairs of one person from two chapters, and pairs of one
sex, by themselves; scores less those of 277 training speakers (as-norm); identification of each utterance among the
fifteen, who are each known by three. What a likeness means is a line fitted on pieces of 1.5, 3 and 6 s and whole
utterances of the four dev speakers, the training speakers as further strangers; how good these probabilities are is
shown on test, by duration. Then utterances of 4 s, clean, and in test noises and rooms. Equal error rate in per cent:
where as many pairs of one person are refused as pairs of two are accepted. Intervals are of drawing speakers again.

    python -m benchmarks verification                       # all that are packaged, Resemblyzer, the mean spectrum
    python -m benchmarks verification --models ecapa_tdnn.16k --cards
    python -m benchmarks verification --models runs/ecapa/best.safetensors --split dev --name verification_dev
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.kit import cards as kit_cards
from benchmarks.kit.peers import PEERS
from benchmarks.kit.scenes import by_speaker, drawn
from benchmarks.kit.table import grid, made_by, page
from unbabble.base import registry
from unbabble.base.weights import packaged
from unbabble.data import corpora
from unbabble.data.dynamic import DynamicMixtures
from unbabble.networks import load as networks
from unbabble.networks.cost import parameter_count
from unbabble.nn.decibel_mel import DecibelMel
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.pipelines.embed import Embedder, Voice
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.verify import SURE
from unbabble.signal.calibration import Calibration, Errors, calibrate, log_odds, trial_seconds
from unbabble.signal.verification import (
    Application,
    Cohort,
    actual_cost,
    bootstrap_by_speaker,
    equal_error_rate,
    least_cost,
    ratio_cost,
    symmetric_norm,
)

SEED, DIGITS = 0, 4
SECONDS = 4.0
CONDITIONS = ("clean", "noisy, reverberant", "clean against noisy")
PIECES = (1.5, 3.0, 6.0)
"""Seconds of the pieces by which it is calibrated and tested, besides whole utterances."""
PRIORS = (0.01, 0.05)
TOP, OF_COHORT = 100, 2
"""Training speakers who count for as-norm, and utterances of each."""
ENROLLED, ROUNDS = 3, 20
THRESHOLDS = tuple(np.arange(-7.0, 7.01, 0.5).tolist())
"""Log-likelihood ratios at which cards state errors."""
SPECTRUM, RESEMBLYZER = "mean spectrum", "resemblyzer"
QUICK = {"each": 2, "draws": 3, "models": ("xvector.8k",)}


class MeanSpectrum(NeuralEmbedder):
    """The mean of 40 log mel bands over time, less its own mean: what anything that learns should beat."""

    def __init__(self) -> None:
        super().__init__(sample_rate=16000)
        self.mel = DecibelMel(40, 16000)
        self.nothing = torch.nn.Parameter(torch.zeros(0))  # a network is where its parameters are

    def embed(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """See the class."""
        mean = self.mel(waveform).mean(1)
        return torch.nn.functional.normalize(mean - mean.mean(1, keepdim=True), dim=-1)


class Voices(NamedTuple):
    """What several people said, as an embedder hears it."""

    vectors: Float[np.ndarray, "utterance dimension"]
    seconds: Float[np.ndarray, " utterance"]
    speaker: np.ndarray
    chapter: np.ndarray
    sex: np.ndarray
    utterance: np.ndarray

    def scores(self) -> "Trials":
        """All pairs of two utterances."""
        one, other = np.triu_indices(len(self.vectors), 1)
        apart = self.utterance[one] != self.utterance[other]
        return Trials(self, one[apart], other[apart], (self.vectors @ self.vectors.T)[one, other][apart])


class Trials(NamedTuple):
    """Pairs of utterances, by their numbers."""

    voices: Voices
    one: np.ndarray
    other: np.ndarray
    scores: Float[np.ndarray, " trial"]

    @property
    def same(self) -> np.ndarray:
        return self.voices.speaker[self.one] == self.voices.speaker[self.other]

    @property
    def seconds(self) -> np.ndarray:
        return trial_seconds(self.voices.seconds[self.one], self.voices.seconds[self.other])

    def where(self, kept: np.ndarray) -> "Trials":
        return Trials(self.voices, self.one[kept], self.other[kept], self.scores[kept])

    @property
    def across_chapters(self) -> "Trials":
        """Without the pairs of one person from one chapter, which share a microphone and a day."""
        chapter = self.voices.chapter
        return self.where(~self.same | (chapter[self.one] != chapter[self.other]))

    @property
    def same_sex(self) -> "Trials":
        return self.where(self.voices.sex[self.one] == self.voices.sex[self.other])

    def drawn(self, statistic, draws: int) -> tuple[float, ...]:
        """A figure and its interval."""
        who = self.voices.speaker
        return tuple(
            bootstrap_by_speaker(
                statistic, self.scores, who[self.one], who[self.other], seed=SEED, number=draws
            )
        )


@cache
def waveforms(split: str, most: int | None = None) -> list[tuple[corpora.Utterance, Tensor, int]]:
    """Utterances, of each speaker the first ``most``, with samples and rate."""
    chosen = []
    for _, said in by_speaker(split).items():
        chosen += said[:most]
    read = ((each, *corpora.read(each.path)) for each in chosen)
    return [(each, torch.from_numpy(samples[0].copy()), rate) for each, samples, rate in read]


def voices(embedder: Embedder, split: str, piece: float | None = None, most: int | None = None) -> Voices:
    """What is said in a split, or a piece of each utterance that is as long.

    Args:
        piece: seconds; None: whole utterances.
        most: utterances of each speaker.
    """
    rng, rows, heard = np.random.default_rng([SEED, round(10 * (piece or 0))]), [], []
    for number, (said, samples, rate) in enumerate(waveforms(split, most)):
        length = len(samples) if piece is None else round(piece * rate)
        if len(samples) < length:
            continue
        start = int(rng.integers(len(samples) - length + 1))
        heard.append(embedder.voice(Recording.of(samples[start : start + length], rate)))
        rows.append((said.speaker, said.path.stem.split("-")[1], said.sex or "", number))
    return Voices(
        np.stack([voice.vector for voice in heard]),
        np.array([voice.speech_seconds for voice in heard]),
        *(np.array(column) for column in zip(*rows, strict=True)),
    )


def together(parts: Sequence[Voices]) -> Voices:
    return Voices(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def cohort_of(embedder: Embedder) -> Float[np.ndarray, "speaker dimension"]:
    """The mean of two utterances of each training speaker."""
    heard = voices(embedder, "train", most=OF_COHORT)
    means = [
        Voice.mean(Voice(vector, 1.0) for vector in heard.vectors[heard.speaker == name]).vector
        for name in np.unique(heard.speaker)
    ]
    return np.stack(means)


def calibrated(embedder: Embedder, strangers: Float[np.ndarray, "speaker dimension"]) -> Calibration:
    """The line of dev speakers; the training speakers are strangers to all of them."""
    heard = together([voices(embedder, "dev", piece) for piece in (*PIECES, None)])
    trials = heard.scores()
    with_others = heard.vectors @ strangers.T
    seconds = np.repeat(heard.seconds, len(strangers))
    return calibrate(
        np.concatenate([trials.scores, with_others.ravel()]),
        np.concatenate([trials.same, np.zeros(with_others.size, bool)]),
        np.concatenate([trials.seconds, seconds]),
    )


def identified(heard: Voices) -> float:
    """Share of utterances that go to the right one of all speakers, each known by three others of theirs."""
    rng, right = np.random.default_rng(SEED), []
    for _ in range(ROUNDS):
        known, names = np.zeros(len(heard.speaker), bool), np.unique(heard.speaker)
        means = []
        for name in names:
            chosen = rng.choice(np.flatnonzero(heard.speaker == name), ENROLLED, replace=False)
            known[chosen] = True
            means.append(heard.vectors[chosen].sum(0))
        directions = np.stack(means) / np.linalg.norm(means, axis=1, keepdims=True)
        guessed = names[(heard.vectors[~known] @ directions.T).argmax(1)]
        right.append((guessed == heard.speaker[~known]).mean())
    return float(np.mean(right))


def percent(statistic, *arguments) -> float:
    return 100 * statistic(*arguments)


def of_utterances(embedder: Embedder, split: str, draws: int) -> dict:
    """All figures of whole utterances and of pieces; what a card says of verification is in ``verification``."""
    strangers = cohort_of(embedder)
    line = calibrated(embedder, strangers)
    began = time.process_time()
    heard = voices(embedder, split)
    spent = time.process_time() - began
    trials = heard.scores()
    cohort = Cohort.of(heard.vectors @ strangers.T, TOP)
    normed = symmetric_norm(trials.scores, trials.one, trials.other, cohort)
    ratios = trials._replace(scores=line.ratios(trials.scores, trials.seconds))
    error = partial(percent, equal_error_rate)
    result = {
        "pairs": len(trials.scores),
        "same": int(trials.same.sum()),
        "error": trials.drawn(error, draws),
        "error_across": trials.across_chapters.drawn(error, draws),
        "error_same_sex": error(trials.same_sex.scores, trials.same_sex.same),
        "error_normed": error(normed, trials.same),
        "identified": identified(heard),
        "real_time_factor": spent / sum(len(samples) / rate for _, samples, rate in waveforms(split)),
        "ratio_cost": trials_ratio_cost(ratios, draws),
    }
    for prior in PRIORS:
        cost = partial(costs, application=Application(prior))
        at = f"{100 * prior:02.0f}"
        result[f"least_cost_{at}"] = (
            trials.drawn(cost, draws) if prior == PRIORS[0] else cost(trials.scores, trials.same, None)
        )
        result[f"normed_cost_{at}"] = cost(normed, trials.same, None)
        result[f"actual_cost_{at}"] = actual_cost(ratios.scores, trials.same, Application(prior))
    rows, tested = {"whole": answers(ratios)}, {}
    for piece in PIECES:
        short = voices(embedder, split, piece).scores()
        meant = short._replace(scores=line.ratios(short.scores, short.seconds))
        rows[f"{piece:g} s"] = answers(meant) | {"error": error(short.scores, short.same)}
        tested[round(float(np.median(short.seconds)), 1)] = (meant.scores, short.same)
    result["by_duration"] = rows
    result["verification"] = {"calibration": asdict(line), "errors": asdict(Errors.of(tested, THRESHOLDS))}
    return result


def costs(
    scores: np.ndarray, same: np.ndarray, weights: np.ndarray | None, application: Application
) -> float:
    return least_cost(scores, same, application, weights)


def trials_ratio_cost(ratios: Trials, draws: int) -> tuple[float, ...]:
    """Cllr; pairs of a speaker who was drawn twice count twice."""

    def cost(scores: np.ndarray, same: np.ndarray, weights: np.ndarray) -> float:
        bits = np.logaddexp(0, np.where(same, -scores, scores)) / np.log(2)
        return float(
            (np.average(bits[same], weights=weights[same]) + np.average(bits[~same], weights=weights[~same]))
            / 2
        )

    return ratios.drawn(cost, draws)


def answers(ratios: Trials) -> dict[str, float]:
    """How good the probabilities are, and what is answered at an even prior."""
    surely, same = log_odds(SURE), ratios.same
    return {
        "error": 100 * equal_error_rate(ratios.scores, same),
        "ratio_cost": ratio_cost(ratios.scores, same),
        "wrongly_same": 100 * float((ratios.scores[~same] >= surely).mean()),
        "wrongly_different": 100 * float((ratios.scores[same] <= -surely).mean()),
        "right_same": 100 * float((ratios.scores[same] >= surely).mean()),
        "right_different": 100 * float((ratios.scores[~same] <= -surely).mean()),
    }


def recorded(rate: int, each: int, split: str, noisy: bool) -> Tensor:
    """(speaker, utterance, time), of 4 s."""
    mixing = drawn(split, 1, noisy, noisy, (5.0, 20.0), seconds=SECONDS, sample_rate=rate)
    made, result = DynamicMixtures(mixing, SEED), []
    for number, name in enumerate(made.names):
        rng, taken = np.random.default_rng([SEED, number]), []
        for _ in range(each):
            item = made.drawn(rng, [str(name)], taken)
            taken += item.excerpts
            result.append(item.item.mixture)
    return torch.from_numpy(np.stack(result)).unflatten(0, (-1, each))


def in_conditions(network: NeuralEmbedder, each: int, split: str) -> dict[str, float]:
    """Equal error rates by condition, per cent."""
    both = [recorded(network.sample_rate, each, split, noisy) for noisy in (False, True)]
    clean, noisy = (network(sounds.flatten(0, 1)) for sounds in both)
    speaker = torch.arange(len(both[0])).repeat_interleave(each)
    same, result = speaker[:, None] == speaker, {}
    above = torch.ones_like(same).triu(1)
    apart = ~torch.eye(len(speaker), dtype=torch.bool)  # the same draw may be the same words
    trials = ((clean, clean, above), (noisy, noisy, above), (clean, noisy, apart))
    for condition, (one, other, pairs) in zip(CONDITIONS, trials, strict=True):
        result[condition] = 100 * equal_error_rate((one @ other.T)[pairs].numpy(), same[pairs].numpy())
    return result


def embedders(models: Sequence[str]) -> Iterator[tuple[str, Embedder]]:
    """By name; Resemblyzer, whose wheel has its weights, where ``peers.sh`` has installed it."""
    installed = [name for name in packaged() if registry.kinds_of(name)[0].name == "embedder"]
    for name in models or (*installed, RESEMBLYZER, SPECTRUM):
        if name == SPECTRUM:
            yield name, Embedder(name, MeanSpectrum().eval())
        elif name == RESEMBLYZER:
            for path in list(PEERS.glob("*/lib/python*/site-packages/resemblyzer/pretrained.pt"))[:1]:
                yield name, Embedder(name, networks.load(str(path), "embedder").network.eval())
        else:
            yield name, Embedder(name, networks.load(name, "embedder").network.eval())


def measure(
    models: Sequence[str] = (),
    each: int = 8,
    draws: int = 200,
    split: str = "test",
    cards: bool = False,
    before: dict | None = None,
) -> Iterator[dict]:
    """Model by model, beside those that were measured before.

    Args:
        models: the packaged ones, resemblyzer and the mean spectrum by default.
        each: utterances of 4 s of a speaker.
        draws: of the intervals.
        cards: put scores, calibration and errors into the packaged networks' cards.
    """
    rows = dict((before or {}).get("models", {}))
    for name, embedder in embedders(models):
        row: dict[str, Any] = {**in_conditions(embedder.network, each, split)}
        row["parameters"] = parameter_count(embedder.network)
        row |= of_utterances(embedder, split, draws)
        if cards and name in packaged():
            path = packaged()[name]
            percents = {key: {"equal_error_percent": round(row[key], 1)} for key in CONDITIONS}
            percents["all pairs of test utterances"] = {
                "equal_error_percent": round(row["error"][0], 1),
                "least_cost_0.01": round(row["least_cost_01"][0], 3),
            }
            percents["across chapters"] = {"equal_error_percent": round(row["error_across"][0], 1)}
            kit_cards.put_scores(path, percents)
            kit_cards.put(path, verification=rounded(row["verification"]))
        rows[name] = row
        yield {"each": each, "split": split, "models": rows}


def rounded(value):
    """Numbers of a card, short."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else round(value, 4)


def table(result: dict) -> str:
    models = result["models"]
    first = next(iter(models.values()))
    durations = [
        row | {"name": f"{name}, {duration}"}
        for name, its in models.items()
        for duration, row in its["by_duration"].items()
    ]
    return page(
        "# How well people are told apart who were not in training",
        f"All {first['pairs']} pairs of {result['split']} utterances, {first['same']} of one person. Equal error rates "
        "in per cent (chance 50), least cost (minDCF, chance 1) at a prior of .01, identification among all speakers, "
        "each known by three utterances (chance 1 of 15). What the mean spectrum reaches, microphones tell as well as "
        "voices do: utterances of one chapter share theirs, and of one person they often are alike.",
        grid(
            "model | parameters | error | across chapters | same sex | as-norm | least cost | as-norm | identified | "
            "CPU s per s",
            models,
            "{name} | {parameters} | {error:.1f} | {error_across:.1f} | {error_same_sex:.1f} | {error_normed:.1f} | "
            "{least_cost_01:.3f} | {normed_cost_01:.3f} | {identified:.1%} | {real_time_factor:.4f}",
        ),
        "Are probabilities right? Cllr in bits (chance 1); costs at priors of .01 and .05, least and actual, which is "
        "that at the threshold that the prior implies.",
        grid(
            "model | Cllr | least .01 | actual .01 | least .05 | actual .05",
            models,
            "{name} | {ratio_cost:.3f} | {least_cost_01:.3f} | {actual_cost_01:.3f} | {least_cost_05:.3f} | "
            "{actual_cost_05:.3f}",
        ),
        f"What `unbabble verify` answers (same from {100 * SURE:.0f} % on, different up to {100 - 100 * SURE:.0f} %, "
        "prior one half), in per cent of the pairs of one person or of two.",
        grid(
            "model, recordings | error | Cllr | two called the same | one called different | one called the same | "
            "two called different",
            durations,
            "{name} | {error:.1f} | {ratio_cost:.3f} | {wrongly_same:.1f} | {wrongly_different:.1f} | "
            "{right_same:.1f} | {right_different:.1f}",
        ),
        f"{result['each']} utterances of {SECONDS:g} s of each speaker, equal error rate:",
        grid(
            ["model", *CONDITIONS],
            models,
            "{name} | " + " | ".join(f"{{{each}:.1f}}" for each in CONDITIONS),
        ),
        "Published, of other data: SpeechBrain's ECAPA-TDNN of 20.8 million parameters, which 7,205 people of VoxCeleb "
        "taught (ours: 277 of LibriSpeech and 2,336 of Common Voice, 17 hours, and CAM++ its vectors), .90 % on "
        "VoxCeleb1-O, .80 % with s-norm. Resemblyzer's weights are those of its wheel, by our loader; LibriSpeech and "
        "VoxCeleb taught it.",
        made_by(result),
    )
