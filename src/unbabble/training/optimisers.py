"""Optimisers of a recipe. Muon: the momentum of every matrix is made orthogonal, so that all directions learn alike.

    K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; steps of the size that Adam's
    have: J. Liu et al., "Muon is scalable for LLM training", arXiv 2502.16982, equation 4.

``torch.optim.Muon`` takes matrices alone; here a convolution is one too, its kernel flattened.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

if TYPE_CHECKING:
    from unbabble.training.recipe import Updates

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the iteration's odd polynomial: its slope at 0 is steep, so that small singular values grow in few steps."""
ITERATIONS = 5
ADAM_RMS = 0.2
"""Root mean square of a usual update of Adam, at learning rate 1."""
LEAST_ROWS = 16
SGD_MOMENTUM = 0.9


def is_matrix(weight: Tensor) -> bool:
    """Whether Muon is for this weight: gains, biases, filters of one channel and narrow layers are for Adam."""
    return weight.ndim >= 2 and min(weight.shape[0], weight[0].numel()) >= LEAST_ROWS


def orthogonalise(
    matrix: Float[Tensor, "row column"], precision: torch.dtype | None = None
) -> Float[Tensor, "row column"]:
    """Nearly U V' of the matrix U S V': all singular values between about 0.7 and 1.2 (Newton and Schulz).

    Args:
        matrix: any.
        precision: of the products, the matrix's own by default; 16 bits are enough, as singular values need not be
            exact.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = (x / x.norm().clamp(min=1e-7)).to(precision or matrix.dtype)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    x = x.to(matrix.dtype)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """See the module.

    Args:
        weights: those for which ``is_matrix`` holds, or groups of them with options of their own.
        lr: learning rate.
        momentum: of the gradients, with Nesterov's look ahead.
        weight_decay: as AdamW's.
        precision: of the products that make updates orthogonal.
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        precision: torch.dtype | None = None,
    ) -> None:
        self.precision = precision
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update; ``closure``, if there is one, makes the gradients and returns the loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                mean = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                looked_ahead = weight.grad.lerp(mean, group["momentum"]).flatten(1)
                update = orthogonalise(looked_ahead, self.precision)
                size = ADAM_RMS * max(update.shape) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update.view_as(weight), alpha=-group["lr"] * size)
        return loss


def optimisers(network: nn.Module, updates: "Updates") -> list[torch.optim.Optimizer]:
    """One, or for Muon a second one for all that is no matrix; ``share`` is of the recipe's learning rate."""
    weights, rate, decay = list(network.parameters()), updates.learning_rate, updates.weight_decay
    if updates.optimizer == "adam":
        return [torch.optim.Adam([{"params": weights, "share": 1.0}], rate, weight_decay=decay)]
    if updates.optimizer == "sgd":
        return [torch.optim.SGD([{"params": weights, "share": 1.0}], rate, SGD_MOMENTUM, weight_decay=decay)]
    matrices = [each for each in weights if updates.optimizer == "muon" and is_matrix(each)]
    others = [each for each in weights if not any(each is matrix for matrix in matrices)]
    made: list[torch.optim.Optimizer] = []
    if matrices:
        groups, precision = (
            [{"params": matrices, "share": updates.matrix_share}],
            getattr(torch, updates.matrix_precision),
        )
        made.append(Muon(groups, rate, weight_decay=decay, precision=precision))
    if others:
        made.append(torch.optim.AdamW([{"params": others, "share": 1.0}], rate, weight_decay=decay))
    return made
