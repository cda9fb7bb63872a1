"""SpecAugment: bands and frames of a spectrogram are masked, and its time is warped, so that no view is like another.

D. S. Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition", Interspeech 2019.
The numbers are those of Z. Wang et al., "Learning representations for new sound classes with continual self-supervised
learning", IEEE SPL 29, 2022: two masks of at most 10 bands, two of at most 10 frames, a warp of at most 8 frames. All
draws are the generator's.
"""

import torch
from jaxtyping import Float
from torch import Tensor

MASKS, WIDEST, WARP = 2, 10, 8
SHARE = 4
"""A mask is at most one in so many bands, or frames, wide."""


def augmented(
    bands: Float[Tensor, "batch frame band"], generator: torch.Generator
) -> Float[Tensor, "batch frame band"]:
    """Each recording's spectrogram warped and masked; what is masked is 0, which is each band's mean.

    Args:
        bands: each less its mean over the recording.
        generator: on the CPU.
    """
    return _masked(_masked(_warped(bands, generator), generator).mT, generator).mT


def _masked(x: Float[Tensor, "batch place other"], generator: torch.Generator) -> Tensor:
    """Of each recording, two stretches of places are 0."""
    batch, places, _ = x.shape
    widest = min(WIDEST, places // SHARE)
    wide = torch.randint(widest + 1, (batch, MASKS, 1), generator=generator)
    first = (torch.rand(batch, MASKS, 1, generator=generator) * (places - wide + 1)).long()
    place = torch.arange(places)
    masked = ((place >= first) & (place < first + wide)).any(1)
    return x.masked_fill(masked.to(x.device)[..., None], 0)


def _warped(x: Float[Tensor, "batch frame band"], generator: torch.Generator) -> Tensor:
    """A frame of each recording is moved by up to ``WARP``; what is before and behind is stretched or squeezed."""
    batch, frames, bands = x.shape
    if frames <= 2 * WARP:
        return x
    middle = torch.randint(WARP, frames - WARP, (batch, 1), generator=generator).float()
    moved = middle + (2 * torch.rand(batch, 1, generator=generator) - 1) * (WARP - 1)
    place, last = torch.arange(frames).float(), frames - 1
    before = place * middle / moved
    behind = middle + (place - moved) * (last - middle) / (last - moved)
    source = torch.where(place < moved, before, behind).clamp(0, last)
    low = source.long().clamp(max=last - 1)
    share = (source - low).to(x)[..., None]
    low = low.to(x.device)[..., None].expand(-1, -1, bands)
    return torch.lerp(x.gather(1, low), x.gather(1, low + 1), share)
