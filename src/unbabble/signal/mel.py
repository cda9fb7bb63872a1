"""Mel bands."""

import torch
from jaxtyping import Float
from torch import Tensor

LOWEST_HERTZ = 60.0


def mel_filters(bands: int, window_length: int, sample_rate: int) -> Float[Tensor, "band frequency"]:
    """Triangles that are equally wide on the mel scale, from 60 Hz up to half the sample rate."""
    frequencies = mel(torch.linspace(0, sample_rate / 2, window_length // 2 + 1))
    corners = torch.linspace(
        float(mel(torch.tensor(LOWEST_HERTZ))), float(mel(torch.tensor(sample_rate / 2))), bands + 2
    )
    rising = (frequencies - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - frequencies) / (corners[2:] - corners[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0)


def mel(hertz: Tensor) -> Tensor:
    """O'Shaughnessy's scale."""
    return 2595 * torch.log10(1 + hertz / 700)
