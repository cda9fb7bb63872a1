"""A tiny CLAP that tells low tones from high ones, and recordings of both."""

import math
from pathlib import Path

import numpy as np
import soundfile
import torch

from unbabble.base import weights
from unbabble.base.registry import method
from unbabble.text.wordpiece import WordPieces

RATE = 16000
PITCHES = (200, 250, 300, 350, 400, 450, 1500, 2000, 2500, 3000, 3500, 4500)
PIECES = ("low", "high", "tone", "##s", "hiss")


def tone(hertz: float, seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """With a little noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.1 * np.sin(math.tau * hertz * time) + 0.001 * rng.standard_normal(len(time))).astype(np.float32)


def write(path: Path, *tones: np.ndarray) -> Path:
    """Tones one after another."""
    soundfile.write(path, np.concatenate(tones), RATE)
    return path


def vocabulary(pieces: tuple[str, ...] = PIECES) -> torch.Tensor:
    return torch.tensor(list(WordPieces(pieces).written()), dtype=torch.uint8)


def tiny_clap(path: Path, words: str = "low,high") -> Path:
    """Learnt by heart: tones of 200 to 400 Hz are low, of 2 to 4 kHz high."""
    options = {
        "text_options": {"letters": len(vocabulary()), "pieces": len(PIECES), "dimension": 8},
        "bands": 16,
        "channels": 4,
        "layers": 3,
        "dimension": 8,
        "dropout": 0.0,
        "window_seconds": 1.0,
        "words": words,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = method("clap")(**options)
        network.text.vocabulary.copy_(vocabulary())
        waveform = torch.stack([torch.from_numpy(tone(hertz)) for hertz in PITCHES])
        high = torch.tensor(PITCHES) > 1000
        same = high[:, None] == high
        tokens = network.text.tokens(["high" if each else "low" for each in high])
        optimiser = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=0.02)
        from unbabble.nn.contrast import contrastive_loss

        for _ in range(40):
            loss = contrastive_loss(
                network.embed(10 * waveform), network.describe(tokens), network.scale(), same
            ).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    network.eval()
    weights.save(path, network.state_dict(), weights.WeightsCard("clap", options))
    return path
