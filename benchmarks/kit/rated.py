"""Mixtures of test speakers, separated by every separator of ``configs/corpora/separated.yaml``, beside the truth."""

from pathlib import Path

import numpy as np
import torch

from benchmarks.kit.scenes import drawn
from unbabble.base.config import load_yaml
from unbabble.nn.kinds.scorer import HIGHEST_DB, LOWEST_DB, true_db
from unbabble.training.sets.separated import ScoredItem, Separated, SeparatedMixtures, SeparatedPart

CORPUS = Path(__file__).resolve().parents[2] / "configs" / "corpora" / "separated.yaml"
SEED, TEST_ITEMS, SECONDS = 0, 30, 4.0
SINGLE = "sepformer.2talkers_8k"
FAMILIES = ("huang2014", "deep_clustering", "conv_tasnet", "sepformer", "bsrnn", "blind")
CONDITIONS = {"clean": ("clean",), "noisy, reverberant": ("noisy, reverberant",)}
ARRAYS = ("two microphones", "three microphones", "seven microphones")
PARTS = {1: "one_microphone", 2: "two_microphones", 3: "three_microphones", 7: "seven_microphones"}


def parts_of(corpus: Path = CORPUS) -> dict[str, dict]:
    """What estimators learn from."""
    return load_yaml(corpus)["train"]["parts"]


def family(separator: str) -> str:
    """The method behind a separator's name."""
    name = Path(separator).parent.name.partition("-")[0] if "/" in separator else separator.partition(".")[0]
    return "blind" if name in ("auxiva", "ilrma", "tiss") else name


def sets_to_test(
    items: int = TEST_ITEMS, seconds: float = SECONDS, corpus: Path = CORPUS
) -> dict[str, SeparatedMixtures]:
    """By condition."""
    parts = parts_of(corpus)

    def made(talkers: int, noisy: float, echoing: float, count: int, microphones: int = 1):
        snr_db = (0.0, 15.0) if microphones == 1 else (5.0, 25.0)
        options = {"seconds": seconds, "overlap": (0.7, 1.0), "microphones": microphones}
        part = parts[PARTS[microphones]]
        return SeparatedMixtures(
            SeparatedPart(
                drawn("test", talkers, noisy, echoing, snr_db, **options),
                tuple(part["separators"]),
                items=count,
                options=part.get("options", {}),
            ),
            SEED,
        )

    return {
        "clean": made(2, 0, 0, items),
        "noisy, reverberant": made(2, 1, 1, items),
        "three talkers": made(3, 0.5, 0.5, items // 2),
        "one talker": made(1, 0.7, 0.5, items // 3),
        "two microphones": made(2, 0.5, 1, items // 2, 2),
        "three microphones": made(3, 0.5, 1, items // 3, 3),
        "seven microphones": made(2, 0.5, 1, items // 3, 7),
    }


def truth(item: Separated | ScoredItem) -> np.ndarray:
    """SI-SNR of each estimate against the talker that the best assignment gives it, within bounds, in dB."""
    true, _ = true_db(torch.from_numpy(item.estimates)[None], torch.from_numpy(item.references)[None])
    return true[0].clamp(LOWEST_DB, HIGHEST_DB).numpy()
