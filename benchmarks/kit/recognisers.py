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
    if recogniser == OURS:
        call = load_recognizer(model, "cpu")
        tensors = {name: torch.from_numpy(samples)[None].float() for name, samples in given.items()}
        return {name: words(call(tensor)[0].text) for name, tensor in tensors.items()}
    texts = peers.run(*PEERS[recogniser], given, (), lambda path: json.loads(path.read_text()))
    return {name: words(text) for name, text in texts.items()}
