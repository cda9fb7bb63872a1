"""Losses of separation networks, with the order of the voices left open (PIT)."""

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.signal.level import SILENT
from unbabble.signal.permutation import best_permutation

SOFT_DB = 30.0
"""Beyond this ratio, estimates gain little from being better still (Wisdom et al., ICASSP 2021, tau = 1e-3)."""
_EPS = 1e-8


def separation_loss(
    estimates: Float[Tensor, "batch estimate time"],
    sources: Float[Tensor, "batch source time"],
    mixture: Float[Tensor, "batch time"],
    *,
    scale_invariance: float = 1.0,
    soft_db: float = SOFT_DB,
    fixed_order: bool = False,
) -> Float[Tensor, " batch"]:
    """Negative SI-SNR, SNR or some of both in dB, mean over the estimates, for their best assignment to the sources.

    An estimate s_hat of the talker s costs 10 log10(|s - s_hat|^2 / |s|^2 + tau); one that stands for nobody (its
    source is silent, or there are fewer sources than estimates) costs 10 log10(|s_hat|^2 / |x|^2 + tau), so that it
    learns silence whoever talks. PIT: Yu et al., ICASSP 2017; Kolbaek et al., TASLP 2017. The variable number of
    talkers: Wisdom et al., "What's all the FUSS about free universal sound separation data?", ICASSP 2021, eqs. 1-3.

    Args:
        estimates: at least as many as talkers.
        sources: all zeros for a talker that is not there.
        mixture: what was separated; the measure of silence.
        scale_invariance: how much of SI-SNR, the rest is SNR: 1 leaves the level of an estimate open (not that of
            silence, which has one). With 0, half of the mixture for each of two talkers is 3 dB already, where a
            network that has just begun may rest.
        soft_db: -10 log10 tau.
        fixed_order: estimate k stands for source k.

    Raises:
        ValueError: fewer estimates than sources.
    """
    count, places = estimates.shape[1], sources.shape[1]
    if count < places:
        raise ValueError(f"{count} estimates cannot stand for {places} sources")
    sources = torch.nn.functional.pad(sources, (0, 0, 0, count - places))
    with torch.autocast(estimates.device.type, enabled=False):  # half precision is too coarse for 30 dB
        estimates, sources, mixture = (_centred(each) for each in (estimates, sources, mixture))
        power = _power(sources)[:, None]  # (batch, 1, source)
        energy = _power(estimates)[..., None]  # (batch, estimate, 1)
        loudness = _power(mixture)[:, None, None]
        cross = estimates @ sources.mT  # (batch, estimate, source)
    explained = cross.square() / (power + _EPS)
    any_level = ((energy - explained).clamp(min=0) + _EPS) / (explained + _EPS)  # no reward for no estimate
    its_level = (energy - 2 * cross + power).clamp(min=0) / (power + _EPS)
    present, silence = power > SILENT**2 * loudness, energy / (loudness + _EPS)
    cost = torch.zeros(())
    for share, error in ((scale_invariance, any_level), (1 - scale_invariance, its_level)):
        if share:
            softened = torch.where(present, error, silence) + 10 ** (-soft_db / 10)
            cost = cost + share * 10 * softened.log10()
    if fixed_order:
        return cost.diagonal(dim1=1, dim2=2).mean(-1)
    order = best_permutation(-cost)
    chosen = torch.take_along_dim(cost, order[:, None], 1).squeeze(1)
    return chosen.mean(-1)


def mixit_loss(
    estimates: Float[Tensor, "batch estimate time"],
    mixtures: Float[Tensor, "batch mixture time"],
    *,
    soft_db: float = SOFT_DB,
    first_to_first: bool = False,
) -> Float[Tensor, " batch"]:
    """MixIT: mixtures from what was separated of their sum, each estimate in one of them, as is best.

    min over A of the mean over i of 10 log10(|x_i - [A s_hat]_i|^2 / |x_i|^2 + tau), A with a single 1 in each column.
    S. Wisdom et al., "Unsupervised sound separation using mixture invariant training", NeurIPS 2020, eqs. 1-3.

    Args:
        estimates: of the sum of all mixtures.
        mixtures: real recordings: nobody knows what they are made of.
        soft_db: -10 log10 tau.
        first_to_first: the first estimate is in the first mixture: the voice in the noisy one, where the others are
            noise alone (the same, section 4.4).
    """
    count, places = estimates.shape[1], mixtures.shape[1]
    choices = torch.cartesian_prod(*[torch.arange(places)] * count).reshape(-1, count)
    if first_to_first:
        choices = choices[choices[:, 0] == 0]
    with torch.autocast(estimates.device.type, enabled=False):
        estimates, mixtures = _centred(estimates), _centred(mixtures)
        assigned = torch.nn.functional.one_hot(choices, places).mT.to(
            estimates
        )  # (choice, mixture, estimate)
        # |x - A s|^2 from the products of all pairs: no sum over time for each choice.
        power, cross = _power(mixtures)[:, None], mixtures @ estimates.mT
        gram = estimates @ estimates.mT
        explained = torch.einsum("cme,bme->bcm", assigned, cross)
        energy = torch.einsum("cme,bef,cmf->bcm", assigned, gram, assigned)
        error = (power - 2 * explained + energy).clamp(min=0) / (power + _EPS)
        cost = 10 * (error + 10 ** (-soft_db / 10)).log10()
    return cost.mean(-1).amin(-1)


def _centred(waveform: Tensor) -> Tensor:
    waveform = waveform.to(torch.promote_types(waveform.dtype, torch.float32))
    return waveform - waveform.mean(-1, keepdim=True)


def _power(waveform: Tensor) -> Tensor:
    return waveform.square().sum(-1)
