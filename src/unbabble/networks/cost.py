"""How many multiplications with addition a network takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from unbabble.nn.kinds.separator import NeuralSeparator


def macs_per_second(network: NeuralSeparator, seconds: float = 4.0) -> float:
    """Multiply-accumulate operations of matrix products, convolutions and attention, per second of audio.

    Sums, norms and activations are left out, as is usual.

    Args:
        network: is run on noise.
        seconds: of noise; the operations of attention grow with it.
    """
    generator = torch.Generator().manual_seed(0)
    mixture = torch.randn(1, round(seconds * network.sample_rate), generator=generator)
    mixture = mixture.to(next(network.parameters()).device)
    training = network.training
    network.eval()
    counter = FlopCounterMode(display=False)
    # Fused kernels, which the counter does not know, are for inference; attention is taken apart.
    with (
        torch.enable_grad(),
        sdpa_kernel(SDPBackend.MATH),
        _recurrent_layers_counted(network) as recurrent,
        counter,
    ):
        network.estimate(mixture)
    network.train(training)
    return (counter.get_total_flops() / 2 + sum(recurrent)) / seconds


def parameter_count(network: nn.Module) -> int:
    """Numbers that training sets."""
    return sum(parameter.numel() for parameter in network.parameters())


@contextmanager
def _recurrent_layers_counted(network: nn.Module) -> Iterator[list[float]]:
    """Recurrent layers add to a list what they would take, each weight once a step, and return zeros."""
    counts: list[float] = []

    def stand_in(layer: nn.RNNBase):
        weights = sum(each.numel() for name, each in layer.named_parameters() if "weight" in name)

        def forward(x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
            counts.append(weights * x.numel() / layer.input_size)
            return x.new_zeros(*x.shape[:-1], layer.hidden_size * (1 + layer.bidirectional)), state

        return forward

    layers = [module for module in network.modules() if isinstance(module, nn.RNNBase)]
    for layer in layers:
        layer.forward = stand_in(layer)
    try:
        yield counts
    finally:
        for layer in layers:
            del layer.forward
