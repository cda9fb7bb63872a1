"""PReLU whose gradient is quick on a CPU, where torch's own is slow."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PReLU(nn.PReLU):
    """One learned slope for all below zero; weights, results and gradients are those of ``torch.nn.PReLU``."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """The same shape."""
        if input.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            return _PReLU.apply(input, self.weight)
        return F.prelu(input, self.weight.to(input.dtype))


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return F.prelu(x, slope.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        x, slope = ctx.saved_tensors
        of_slope = (gradient * x.clamp(max=0)).sum(dtype=torch.promote_types(x.dtype, torch.float32))
        of_x = torch.ops.aten.leaky_relu_backward(gradient, x, slope.item(), False)
        return of_x, of_slope.to(slope.dtype).view_as(slope)
