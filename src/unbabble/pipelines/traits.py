"""What tells a separated voice from others wherever it is heard again: vectors of an embedder, and how low it is."""

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.audio import resample
from unbabble.base.contracts import Embedder
from unbabble.base.errors import InputError
from unbabble.networks import load as networks
from unbabble.networks.device import choose_device
from unbabble.pipelines.embed import embedder_name

WINDOW_SECONDS = 3.0
SILENT_DB = 20.0
"""A voice that is softer than the loudest of its piece by this tells nothing in that window."""
LOW_HERTZ = 200.0
AT_ONCE = 16


def load_traits(device: str = "auto") -> Embedder | None:
    """The packaged embedder; None where none is installed.

    Raises:
        UsageError: no such device.
    """
    try:
        name = embedder_name()
    except InputError:
        return None
    return networks.ready(name, choose_device(device), "embedder")


@torch.no_grad()
def traits(
    voices: Float[Tensor, "voice time"], sample_rate: int, embedder: Embedder
) -> Float[Tensor, "window voice dimension"]:
    """Vectors of each voice in windows of a piece, zeros where it is as good as silent.

    Args:
        voices: of a piece; of one that is shorter than a window, the whole is the window.
        sample_rate: in Hz.
        embedder: says who speaks.
    """
    samples = resample(voices, sample_rate, embedder.sample_rate)
    count = max(1, round(samples.shape[-1] / (WINDOW_SECONDS * embedder.sample_rate)))
    windows = samples[:, : samples.shape[-1] // count * count].unflatten(-1, (count, -1)).transpose(0, 1)
    powers = windows.square().mean(-1)
    heard = powers > powers.max() * 10 ** (-SILENT_DB / 10)
    vectors = [embedder(some).cpu() for some in windows[heard].split(AT_ONCE)] if heard.any() else []
    result = torch.zeros(*heard.shape, vectors[0].shape[-1] if vectors else 1)
    if vectors:
        result[heard] = torch.cat(vectors)
    return result


def low_share(voices: Float[Tensor, "voice time"], sample_rate: int) -> Float[Tensor, " voice"]:
    """Logarithm of the share of each voice's power that is below ``LOW_HERTZ``."""
    if not voices.numel():
        return torch.zeros(len(voices))
    powers = torch.fft.rfft(voices).abs().square()
    below = torch.fft.rfftfreq(voices.shape[-1], 1 / sample_rate) < LOW_HERTZ
    floor = 1e-6 * powers.sum(-1) + 1e-30
    return ((powers[:, below].sum(-1) + floor) / (powers.sum(-1) + floor)).log()
