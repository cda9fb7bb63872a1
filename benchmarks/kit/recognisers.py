"""Ours and others' recognisers, on short recordings: the words of each."""

import json

import numpy as np
import torch

from benchmarks.kit import peers
from unbabble.pipelines.recognize import load_recognizer
from unbabble.text.normalise import words

OURS = "ours"
PEERS = {"PocketSphinx": ("recogniser", "run_recogniser.py"), "hama": ("hama", "run_hama.py")}
"""By name: environment and runner."""
RECOGNISERS = (OURS, *PEERS)


def recognised(recogniser: str, given: dict[str, np.ndarray], model: str) -> dict[str, list[str]]:
    """Words of each recording.

    Args:
        recogniser: one of ``RECOGNISERS``.
        given: samples at 16 kHz, by name.
        model: ours.
    """
    return {name: said for name, (said, _) in with_confidence(recogniser, given, model).items()}


def with_confidence(
    recogniser: str, given: dict[str, np.ndarray], model: str
) -> dict[str, tuple[list[str], list[float]]]:
    """Words of each recording, and how sure ours is of what it says; of others nothing is known. As ``recognised``."""
    if recogniser == OURS:
        call = load_recognizer(model, "cpu")
        said = {name: call(torch.from_numpy(each)[None].float())[0] for name, each in given.items()}
        return {
            name: (words(each.text), [word.score or 0.0 for word in each.words])
            for name, each in said.items()
        }
    texts = peers.run(*PEERS[recogniser], given, (), lambda path: json.loads(path.read_text()))
    return {name: (words(text), []) for name, text in texts.items()}
