"""Recordings of every kind that ``--model auto`` chooses for, and what its candidates make of them."""

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from benchmarks.kit.scenes import drawn, items
from unbabble.pipelines import choose
from unbabble.pipelines.recording import Recording
from unbabble.signal.metrics import si_sdr_matrix
from unbabble.signal.permutation import NONE, best_permutation

SEED, RATE, SECONDS, LIMIT_DB = 0, 8000, 6.0, 30.0
CONDITIONS = {"clean": (0, 0), "noisy": (1, 0), "reverberant": (0, 1), "both": (1, 1)}
ARRAYS, TALKERS = (2, 3, 7), (1, 2, 3)
Scene = tuple[str, Tensor, Tensor]
"""(label, recording, sources)."""


def scenes(split: str, each: int, array: int) -> Iterator[Scene]:
    """For one microphone by talkers and condition, for arrays by talkers and noise."""
    for talkers in TALKERS:
        for name, shares in CONDITIONS.items():
            yield from made(f"{talkers}, {name}", split, talkers, shares, 1, each)
        for microphones in ARRAYS:
            for name in ("reverberant", "both"):
                label = f"{talkers}, {name}, {microphones} microphones"
                yield from made(label, split, talkers, CONDITIONS[name], microphones, array)


def made(
    label: str,
    split: str,
    talkers: int,
    shares: tuple[int, int],
    microphones: int,
    count: int,
    seed: int = SEED,
) -> Iterator[Scene]:
    options = {"seconds": SECONDS, "overlap": (0.7, 1.0), "microphones": microphones}
    for mixture, sources in items(drawn(split, talkers, *shares, **options), count, seed):
        yield label, mixture, sources


def improvement(voices: Tensor, sources: Tensor, mixture: Tensor) -> float:
    """Mean over the talkers of the SI-SDR improvement of the voice that the best assignment gives them, in dB.

    A talker without a voice of his own keeps the mixture; SI-SDR is taken to lie within -30 and 30 dB.
    """
    scores = si_sdr_matrix(voices, sources).nan_to_num(-LIMIT_DB).clamp(-LIMIT_DB, LIMIT_DB)
    own = si_sdr_matrix(mixture[None], sources)[0].clamp(-LIMIT_DB, LIMIT_DB)
    order = enumerate(best_permutation(scores).tolist())
    gained = [float(scores[one, talker] if one != NONE else own[talker]) for talker, one in order]
    return float(np.mean(gained) - own.mean())


def tried(auto: choose.AutoModel, scene: Scene) -> tuple[list[choose.Candidate], list[float]]:
    """The candidates that there are for a recording, and what each gains."""
    _, mixture, sources = scene
    separations, candidates = auto.tried(Recording.of(mixture, RATE), everything=True)
    gains = [improvement(separation.sources, sources, mixture[0]) for separation in separations]
    return candidates[: len(gains)], gains


def chooser() -> choose.AutoModel:
    """``auto``, that scores blindly."""
    auto = choose.load("auto", device="cpu")
    assert isinstance(auto, choose.AutoModel)
    return auto
