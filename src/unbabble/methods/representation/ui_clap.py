"""UI-CLAP: a CLAP that goes on learning from recordings and texts that do not belong together.

Z. Wang, C. Subakan, K. Subramani, J. Wu, T. Tavares, F. Ayres, P. Smaragdis, "Unsupervised improvement of audio-text
cross-modal representations", WASPAA 2023; the authors' code is zhepeiw/clap_curation. A CLAP that has learnt from a few
pairs, the teacher, says which of many unpaired recordings fit which of many unpaired texts (*curation*); a student
learns from these pairs and, by turns, from the true ones, with targets that are softer where the teacher finds things
alike (SL).

=========== ======================= ===================================================================
paper       code                    meaning
=========== ======================= ===================================================================
SL          ``soft_targets``        (1 - b) I + b Z Z', Z the teacher's vectors of one modality
DU          ``unlabelled``          domain unspecific: all recordings x all texts
DS          ``domain_specific``     texts that are near to a name of a class of the domain
ADS         ``audio_of_domain``     recordings x the texts of DS
=========== ======================= ===================================================================

Difference: with b = .3 the published targets can fall below 0 (to -.13, where a logarithm then has no value) and do not
add up to 1. Here they are made probabilities, and items of equal texts fit one another.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unbabble.nn.contrast import targets

SOFTNESS = 0.3


class Curated(NamedTuple):
    """Pairs that a teacher has made.

    Attributes:
        audio: numbers of the recordings; one may come several times.
        text: numbers of their texts.
    """

    audio: Int[np.ndarray, " pair"]
    text: Int[np.ndarray, " pair"]


def soft_targets(
    vectors: Float[Tensor, "item dimension"],
    softness: float = SOFTNESS,
    same: Bool[Tensor, "item item"] | None = None,
) -> Float[Tensor, "item item"]:
    """SL: each item fits itself, those of the same text, and, less, those that the teacher finds alike.

    Args:
        vectors: the teacher's, of unit norm.
        softness: b.
        same: which items have the same text.
    """
    own = torch.eye(len(vectors), device=vectors.device) if same is None else same
    return targets((1 - softness) * targets(own) + softness * vectors @ vectors.T)


def unlabelled(
    audio: Float[np.ndarray, "recording dimension"], text: Float[np.ndarray, "text dimension"], least: float
) -> Curated:
    """DU: every recording with every text that the teacher finds at least so near.

    Args:
        audio: the teacher's vectors, of unit norm.
        text: likewise.
        least: cosine.
    """
    return Curated(*np.nonzero(audio @ text.T >= least))


def domain_specific(
    text: Float[np.ndarray, "text dimension"], names: Float[np.ndarray, "class dimension"], least: float
) -> Int[np.ndarray, " text"]:
    """DS: numbers of the texts that are at least so near to the name of some class of the domain."""
    return np.flatnonzero((text @ names.T).max(1) >= least)


def audio_of_domain(
    audio: Float[np.ndarray, "recording dimension"],
    text: Float[np.ndarray, "text dimension"],
    names: Float[np.ndarray, "class dimension"],
    least_of_text: float,
    least: float,
) -> Curated:
    """ADS: recordings with the texts of DS that the teacher finds near enough."""
    chosen = domain_specific(text, names, least_of_text)
    recordings, numbers = unlabelled(audio, text[chosen], least)
    return Curated(recordings, chosen[numbers])
