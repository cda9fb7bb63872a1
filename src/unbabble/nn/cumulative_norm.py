"""Normalisation by all frames so far, for causal networks; quick to train on a CPU, where torch is slow."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.nn.state import Memory, State, Stateful

EPS = 1e-8

Frames = Float[Tensor, "batch frame channel"]
Each = Float[Tensor, "batch frame 1"]


class CumulativeNorm(Stateful):
    """Mean and variance over all channels of all frames so far: cLN.

    Y. Luo, N. Mesgarani, "Conv-TasNet", IEEE/ACM TASLP 27(8), 2019, section II-D, eqs. 11-13.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def initial(self, batch: int) -> State:
        """``sums`` of ones, means and powers of all frames so far, (batch, 1, 3)."""
        return {"sums": torch.zeros(batch, 1, 3, dtype=torch.float64)}  # endless: float32 would stop growing

    def forward(self, x: Frames, memory: Memory | None = None) -> Frames:
        """The same shape."""
        if memory is None and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            return _CumulativeNorm.apply(x, self.weight, self.bias)
        mean, power = _moments(x)
        if memory is None:
            mean, power = mean.cumsum(1) / _counts(mean), power.cumsum(1) / _counts(power)
        else:
            new = torch.cat([torch.ones_like(mean), mean, power], -1).double()
            sums = memory["sums"] + new.cumsum(1)
            memory["sums"] = sums[:, -1:].clone()
            count, mean, power = sums.split(1, -1)
            mean, power = mean / count, power / count
        return _normalise(x, mean, _scale(mean, power), self.weight, self.bias)


class _CumulativeNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Frames, weight: Tensor, bias: Tensor) -> Frames:
        mean, power = (each.cumsum(1) / _counts(each) for each in _moments(x))
        scale = _scale(mean, power)
        ctx.save_for_backward(x, mean, scale, power > mean.square(), weight)
        return _normalise(x, mean, scale, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Frames) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        x, mean, scale, varies, weight = ctx.saved_tensors
        wide, gradient = _wide(x), _wide(gradient)
        products = gradient * wide
        of_weight = torch.einsum("btc,btx->c", products, scale) - torch.einsum(
            "btc,btx->c", gradient, scale * mean
        )
        # Of mean and scale at each frame, then of what each frame adds to all frames after it.
        weight = weight.to(wide)
        total, along = (gradient @ weight)[..., None], (products @ weight)[..., None]
        of_power = -0.5 * scale**3 * (along - mean * total) * varies
        of_mean = -scale * total - 2 * mean * of_power
        of_mean, of_power = (
            (each / _counts(each)).flip(1).cumsum(1).flip(1) / x.shape[-1] for each in (of_mean, of_power)
        )
        of_x = torch.addcmul(of_mean, wide, 2 * of_power).addcmul_(gradient * weight, scale)
        return of_x.to(x.dtype), of_weight, gradient.sum((0, 1))


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))  # half precision cannot hold the sums


def _counts(x: Each) -> Float[Tensor, "frame 1"]:
    return torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]


def _moments(x: Frames) -> tuple[Each, Each]:
    wide = _wide(x)
    norm = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    return wide.mean(-1, keepdim=True), norm.square() / x.shape[-1]


def _scale(mean: Each, power: Each) -> Each:
    return (power - mean.square()).clamp(min=0).add(EPS).rsqrt()


def _normalise(x: Frames, mean: Each, scale: Each, weight: Tensor, bias: Tensor) -> Frames:
    wide = _wide(x)
    centred = torch.addcmul(-(mean * scale).to(wide), wide, scale.to(wide))
    return torch.addcmul(bias.to(wide), centred, weight.to(wide)).to(x.dtype)
