"""Mixtures of two talkers, and an enrollment of each: what extraction is measured on."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from benchmarks.kit.scenes import drawn
from unbabble.data.dynamic import DynamicMixtures

SEED, RATE, SECONDS = 0, 8000, 4.0
SEPARATOR = "bsrnn.2talkers_8k"


def recordings(
    each: int, split: str
) -> Iterator[tuple[str, list[dict[str, str]], Tensor, Tensor, list[Tensor]]]:
    """(condition, who talks, mixture, voices, enrollments)."""
    options = {"seconds": SECONDS, "sample_rate": RATE}
    alone = DynamicMixtures(drawn(split, 1, snr_db=(0.0, 20.0), **options), SEED)
    for condition, share in (("clean", 0), ("noisy, reverberant", 1)):
        mixing = drawn(split, 2, share, share, (5.0, 20.0), overlap=(0.8, 1.0), **options)
        mixtures = DynamicMixtures(mixing, SEED)
        for index in range(each):
            rng = np.random.default_rng([SEED, index])
            made = mixtures.drawn(rng)
            names = [str(name) for name in made.speakers]
            enrolled = [alone.drawn(rng, [name], made.excerpts).item.mixture for name in names]
            people = [{"speaker": name, "sex": mixtures.sex_of(name)} for name in names]
            sounds = (torch.from_numpy(each) for each in (made.item.mixture, made.item.sources))
            yield condition, people, *sounds, [torch.from_numpy(sound) for sound in enrolled]
