"""Test speakers who read at the same time in a measured room, and what separators make of it, for ``crowd.py``."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.kit.kept import kept
from benchmarks.kit.scenes import MICROPHONES, RATE, room, speech
from unbabble.base.audio import Audio
from unbabble.data import corpora
from unbabble.data.mixing import mix
from unbabble.pipelines import choose
from unbabble.pipelines.score import BlindScorer
from unbabble.text.normalise import words

SNR_DB = 30.0
LEAST_SECONDS, MOST_SECONDS = 4.0, 9.0
MOST_TOLD_APART = 3
"""Voices that packaged networks tell apart in what one microphone heard."""
NETWORKS, BLIND = ("sepformer", "bsrnn", "conv_tasnet"), ("auxiva", "ilrma", "tiss")
MIXTURE, ALONE, AUTO = "mixture", "voices alone", "auto"


@dataclass(frozen=True)
class Scene:
    """Talkers at once.

    Attributes:
        mixture: (microphone, time).
        alone: (talker, time), at the first microphone.
        said: words of each talker.
    """

    mixture: np.ndarray
    alone: np.ndarray
    said: list[list[str]]


def scene(talkers: int, number: int, seed: int) -> Scene:
    """Each talker reads one utterance."""
    rng = np.random.default_rng([seed, talkers, number])
    speakers: dict[str, list[corpora.Utterance]] = {}
    for each in speech("test"):
        if LEAST_SECONDS <= each.seconds <= MOST_SECONDS:
            speakers.setdefault(each.speaker, []).append(each)
    drawn = [speakers[name] for name in rng.choice(sorted(speakers), talkers, replace=False)]
    said = [mine[rng.integers(len(mine))] for mine in drawn]
    voices = [corpora.resample(*corpora.read(each.path), RATE).mean(0) for each in said]
    drawn_room = room("test").draw(rng, talkers, len(MICROPHONES), RATE)
    samples = max(map(len, voices)) + RATE // 2
    mixed = mix(voices, drawn_room.responses, samples=samples, sample_rate=RATE, snr_db=SNR_DB, rng=rng)
    return Scene(mixed.mixture, mixed.references, [words(each.text) for each in said])


def separators(talkers: int, microphones: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """By name: the model, and what it is told.

    How many talk is known to all; networks have an output for each of two or three.
    """
    if talkers == 1:
        return {}
    if microphones > 1:
        told = {"sources": min(talkers, microphones)}
        return {name: (name, told) for name in (AUTO, *BLIND)}
    voices = min(talkers, MOST_TOLD_APART)
    named = {name: min(voices, 2 if name == "conv_tasnet" else voices) for name in NETWORKS}
    models = {name: (f"{name}.{count}talkers_8k", {}) for name, count in named.items()}
    return {AUTO: (AUTO, {"sources": voices})} | models


def separated(mixture: np.ndarray, model: str, told: dict[str, Any]) -> dict[str, np.ndarray]:
    """The voices (voice, time), and the blind score of each, in dB."""
    voices = choose.load(model, "cpu", **told)(Audio(torch.from_numpy(mixture), RATE)).sources
    scores = BlindScorer()(torch.from_numpy(mixture[0]), voices, RATE)
    return {"voices": voices.numpy(), "scores": np.array([each.si_snr_db for each in scores])}


def recordings(
    heard: Scene, key: str, microphones: int, folder: Path | None
) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """All that is there to be recognised: voices (voice, time), and their scores where they were separated.

    What hangs on no separator is there once, with one microphone.

    Args:
        heard: with all microphones.
        key: tells the scene from others.
        folder: where separated voices are kept.
    """
    result: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
    if microphones == 1:
        result = {MIXTURE: (heard.mixture[:1], None), ALONE: (heard.alone, None)}
    for name, given in separators(len(heard.said), microphones).items():
        make = partial(separated, heard.mixture[:microphones], *given)
        arrays = kept(folder, f"{key}_{microphones}_{name}", make)
        result[name] = arrays["voices"], arrays["scores"]
    return result
