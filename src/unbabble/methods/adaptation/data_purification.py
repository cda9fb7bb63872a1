"""Data purification: pseudo speech enhancement that trusts a recording where little noise is in it.

A. Sivaraman, S. Kim, M. Kim, "Personalized speech enhancement through self-supervised data augmentation and
purification", Interspeech 2021: the loss of each frame counts as much as the frame of the recording is clean,

    L = mean_t w_t E(y_t, p_t),    w_t = sigmoid(a_t),

a_t the frame's SNR. There a network predicts it (here ``frame_snr``); without one it is what the large network says:
its voice over what it takes off.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.registry import register
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.live_masks import Frames
from unbabble.nn.material import EPS, MIXED_SNR_DB, AdaptationTask, Material, batched, mixed

WINDOW, HOP = 1024, 256
"""Of frames, as in ``frame_snr``."""
LIMIT_DB = 30.0
"""Of E of a frame: silence would count without end."""


@register(
    name="data_purification",
    contract="adaptation",
    summary="Adapts an enhancer as pseudo_enhancement, by the frames of the recordings that are clean.",
    citation="Sivaraman, Kim, Kim, Interspeech 2021",
)
class DataPurification(AdaptationTask):
    """See the module.

    Args:
        material: of the person.
        network: that is adapted.
        predictor: gives (batch, frame) SNRs in dB of (batch, time); None for the large network's word.
    """

    def __init__(
        self,
        material: Material,
        network: NeuralSeparator,
        predictor: Callable[[Float[Tensor, "batch time"]], Float[Tensor, "batch frame"]] | None = None,
    ) -> None:
        super().__init__(material, network)
        self.predictor = predictor

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, ...]:
        """x, p and what the large network makes of p."""
        excerpts = []
        for _ in range(count):
            recording, estimate = self.material.excerpt(rng)
            mixture = mixed(recording, self.material.noise(rng), rng.uniform(*MIXED_SNR_DB))
            excerpts.append((mixture, recording, estimate))
        return batched(excerpts)

    def loss(self, *drawn: Tensor) -> Float[Tensor, ""]:
        """L."""
        mixture, target, estimate = drawn
        with torch.no_grad():
            snr_db = self.predictor(target) if self.predictor else frame_snr_db(estimate, target - estimate)
        return weighted(self.network.estimate(mixture)[:, 0], target, snr_db.sigmoid()).mean()


def frames(samples: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frame sample"]:
    """Windowed, those that ``frame_snr`` tells the SNR of."""
    return torch.hann_window(WINDOW, device=samples.device) * Frames(WINDOW, WINDOW, HOP).cut(samples)


def frame_snr_db(
    voice: Float[Tensor, "batch time"], noise: Float[Tensor, "batch time"]
) -> Float[Tensor, "batch frame"]:
    """a_t, of a voice and a noise that are believed to be in a recording."""
    voice_power, noise_power = (frames(each).square().sum(-1) for each in (voice, noise))
    return 10 * torch.log10((voice_power + EPS) / (noise_power + EPS))


def weighted(
    estimate: Float[Tensor, "batch time"],
    target: Float[Tensor, "batch time"],
    weights: Float[Tensor, "batch frame"],
) -> Float[Tensor, " batch"]:
    """L."""
    error, power = (frames(each).square().sum(-1) for each in (target - estimate, target))
    negative_db = 10 * torch.log10((error + EPS) / (power + EPS))
    return (weights * negative_db.clamp(-LIMIT_DB, LIMIT_DB)).mean(-1)
