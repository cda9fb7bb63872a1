"""How many multiplications with addition a network takes."""

import warnings

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from unbabble.nn.separator import NeuralSeparator


def macs_per_second(network: NeuralSeparator, seconds: float = 4.0) -> float:
    """Multiply-accumulate operations of matrix products, convolutions and attention, per second of audio.

    Counted while the network runs on ``seconds`` of noise, without oneDNN, whose recurrent layers cannot be looked
    into. Sums, norms and activations are left out, as is usual.
    """
    device = next(network.parameters()).device
    mixture = torch.randn(
        1, round(seconds * network.sample_rate), generator=torch.Generator().manual_seed(0)
    ).to(device)
    training = network.training
    network.eval()
    counter = FlopCounterMode(display=False)
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.filterwarnings("ignore", "TF32 acceleration")  # said of a flag that is not touched here
        with torch.backends.mkldnn.flags(enabled=False), counter:
            network.estimate(mixture)
    network.train(training)
    return counter.get_total_flops() / 2 / seconds


def parameter_count(network: nn.Module) -> int:
    """Numbers that training sets."""
    return sum(parameter.numel() for parameter in network.parameters())
