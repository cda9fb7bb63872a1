"""What every separator does with levels: refuse what has none, work at unit level, put the loudest first."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unbabble.base.errors import InputError
from unbabble.base.words import counted

SILENT = 1e-6
"""A channel whose level is below this fraction (-120 dB) of the loudest channel's counts as dead."""


def check_mixture(mixture: Tensor, min_channels: int = 1, min_samples: int = 1) -> None:
    """Refuse, in one sentence, what cannot be separated.

    Args:
        mixture: (batch, channel, time).
        min_channels: fewest microphones.
        min_samples: fewest samples.

    Raises:
        InputError: wrong shape, too few channels, too short, not finite, or silent.
    """
    check_samples(mixture, min_channels, min_samples)
    if (mixture.abs().amax((1, 2)) == 0).any():
        raise InputError("The recording is silent.")


def check_samples(mixture: Tensor, min_channels: int = 1, min_samples: int = 1) -> None:
    """As ``check_mixture``, but silence will do.

    Raises:
        InputError: wrong shape, too few channels, too short, or not finite.
    """
    if mixture.ndim != 3:
        raise InputError(f"A mixture has the shape (batch, channel, time), not {tuple(mixture.shape)}.")
    batch, channels, samples = mixture.shape
    if batch == 0 or channels < max(min_channels, 1):
        raise InputError(
            f"The recording has {counted(channels, 'channel')}; this method needs at least {min_channels}."
        )
    if samples < min_samples:
        raise InputError(
            f"The recording is too short: {counted(samples, 'sample')} of at least {min_samples}."
        )
    if not torch.isfinite(mixture).all():
        raise InputError("The recording contains samples that are not finite (NaN or infinite).")


def unit_level(
    mixture: Float[Tensor, "batch channel time"],
) -> tuple[Float[Tensor, "batch channel time"], Int[Tensor, " batch"]]:
    """``mixture`` with its peak in [0.5, 1), and the exponents that take it back.

    The gain is a power of two, hence exact: methods that work at unit level return, for an input that is
    louder by a power of two, the same bits louder by the same power of two.

    Returns:
        The scaled copy, and e such that ``restore_level(copy, e)`` is ``mixture``.
    """
    exponents = torch.frexp(mixture.abs().amax((1, 2))).exponent
    return restore_level(mixture, -exponents), exponents


def restore_level(waveform: Float[Tensor, "batch ..."], exponents: Int[Tensor, " batch"]) -> Tensor:
    """``waveform`` times 2^e, in two exact halves, because 2^e alone may overflow for subnormal input."""
    exponents = exponents.reshape(-1, *[1] * (waveform.ndim - 1))
    half = exponents.div(2, rounding_mode="floor")
    return torch.ldexp(torch.ldexp(waveform, half), exponents - half)


def live_channel(channels: Float[Tensor, "channel time"], reference: int) -> int:
    """``reference``, or the first channel that is not dead when ``reference`` is (see ``SILENT``)."""
    levels = (channels - channels.mean(-1, keepdim=True)).abs().amax(-1)
    if levels[reference] > SILENT * levels.max():
        return reference
    return int((levels > SILENT * levels.max()).nonzero()[0]) if levels.max() > 0 else reference


def loudest_first(sources: Float[Tensor, "source time"]) -> Int[Tensor, " source"]:
    """The order that puts the loudest source first; equals keep their order."""
    return torch.argsort(sources.square().sum(-1), descending=True, stable=True)
