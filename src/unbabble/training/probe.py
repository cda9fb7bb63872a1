"""What an encoder knows: how well a fresh linear classifier names classes by its vectors.

The two protocols of Z. Wang et al., "Learning representations for new sound classes with continual self-supervised
learning", IEEE SPL 29, 2022: LEP, whose classifier sees the labels of all clips of the classes so far, and SLEP, whose
classifier sees those of a share of them. Either way it sees data of earlier groups again: it says what an encoder could
tell, not what a network that was never trained again would say.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base.errors import InputError

DECAY, ITERATIONS = 1e-3, 200


class LinearProbe:
    """Multinomial logistic regression on standardised vectors; the same vectors always give the same classifier.

    Args:
        vectors: of clips, by any encoder.
        label: of each.

    Raises:
        InputError: fewer than two classes.
    """

    def __init__(self, vectors: Float[np.ndarray, "clip dimension"], label: Int[np.ndarray, " clip"]) -> None:
        self.classes = np.unique(label)
        if len(self.classes) < 2:
            raise InputError("A probe tells classes apart: it needs clips of two at least.")
        x = torch.from_numpy(np.asarray(vectors, np.float32))
        self.mean, self.deviation = x.mean(0), x.std(0).clamp(min=1e-6)
        self.layer = nn.Linear(x.shape[1], len(self.classes))
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)
        wanted = torch.from_numpy(np.searchsorted(self.classes, label))
        x = self._standardised(x)
        optimizer = torch.optim.LBFGS(
            self.layer.parameters(), max_iter=ITERATIONS, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.layer(x), wanted)
            loss = loss + DECAY / 2 * self.layer.weight.square().sum()
            loss.backward()
            return loss

        with torch.enable_grad():
            optimizer.step(closure)  # type: ignore[arg-type]

    def _standardised(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation

    @torch.no_grad()
    def __call__(self, vectors: Float[np.ndarray, "clip dimension"]) -> Int[np.ndarray, " clip"]:
        """The class of each."""
        logits = self.layer(self._standardised(torch.from_numpy(np.asarray(vectors, np.float32))))
        return self.classes[logits.argmax(-1).numpy()]


def share_of_each(label: Int[np.ndarray, " clip"], share: float, seed: int) -> Int[np.ndarray, " chosen"]:
    """Numbers of clips: of each class so large a share, one at least, drawn."""
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(np.flatnonzero(label == each))[: max(1, round(share * int(np.sum(label == each))))]
        for each in np.unique(label)
    ]
    return np.sort(np.concatenate(chosen))
