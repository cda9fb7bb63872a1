"""How good estimates are, given the true voices. Arguments always in the order (estimates, references).

Every metric takes waveforms with time last and returns one score per waveform; leading dimensions broadcast.
None has an absolute epsilon: scores are the same at any level of either argument (except ``snr``, which is
about levels).

What has no answer is not made up:

- a silent reference: NaN, nothing can be scored against it;
- a silent estimate: the lowest value of the scale (-inf dB, 0 for STOI, raw score -0.5 for PESQ);
- a perfect estimate: +inf dB.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.audio import resample
from unbabble.base.extras import missing_extra

FILTER_LENGTH = 512
"""Taps of the distortion filter that BSS Eval allows."""
DIAGONAL_LOAD = 1e-10
"""Relative to the reference's power; used only where references are linearly dependent."""
PESQ_SECONDS = 20.0
"""The reference code keeps at most 50 utterances, of at least 0.4 s with their pauses, and overruns its
memory beyond."""
PESQ_LOWEST = {"wb": 1.0416, "nb": 1.0178}
"""Raw score -0.5 by the mappings of P.862.2 and P.862.1."""

Metric = Callable[[Tensor, Tensor], Tensor]


def si_sdr(
    estimates: Float[Tensor, "*batch time"], references: Float[Tensor, "*batch time"], zero_mean: bool = False
) -> Float[Tensor, "*batch"]:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., "SDR - half-baked or well done?", 2019).

    10 log10(|a s|^2 / |a s - s_hat|^2) with a = <s_hat, s> / |s|^2. Differentiable, but for what
    is infinite or undefined, which has no gradient: a silent estimate gets -inf, a perfect one inf.

    Args:
        estimates: s_hat.
        references: s.
        zero_mean: remove the mean of both first.

    Raises:
        ValueError: shapes that do not fit, or no samples.
    """
    estimates, references = _checked(estimates, references)
    if zero_mean:
        estimates = estimates - estimates.mean(-1, keepdim=True)
        references = references - references.mean(-1, keepdim=True)
    estimates, references = _unit(estimates), _unit(references)
    power = references.square().sum(-1, keepdim=True)
    target = (estimates * references).sum(-1, keepdim=True) / _nonzero(power) * references
    ratio = _decibels(target, target - estimates)
    return ratio.masked_fill(power.squeeze(-1) == 0, torch.nan)


def snr(
    estimates: Float[Tensor, "*batch time"], references: Float[Tensor, "*batch time"]
) -> Float[Tensor, "*batch"]:
    """Signal-to-noise ratio in dB, 10 log10(|s|^2 / |s - s_hat|^2): a wrong level counts as noise.

    A silent estimate has 0 dB: all of the reference is missing.

    Raises:
        ValueError: shapes that do not fit, or no samples.
    """
    estimates, references = _checked(estimates, references)
    peak = torch.maximum(*(x.detach().abs().amax(-1, keepdim=True) for x in (estimates, references)))
    estimates, references = estimates / _nonzero(peak), references / _nonzero(peak)
    ratio = _decibels(references, references - estimates)
    return ratio.masked_fill((references == 0).all(-1), torch.nan)


def pairwise(
    estimates: Float[Tensor, "*batch estimate time"],
    references: Float[Tensor, "*batch reference time"],
    metric: Metric = si_sdr,
) -> Float[Tensor, "*batch estimate reference"]:
    """``metric`` of every estimate against every reference."""
    if references.ndim < 2 or estimates.ndim < 2:
        raise ValueError("estimates and references have the shape (..., source, time)")
    columns = [metric(estimates, references[..., k : k + 1, :]) for k in range(references.shape[-2])]
    return torch.stack(columns, -1)


def si_sdr_matrix(
    estimates: Float[Tensor, "*batch estimate time"],
    references: Float[Tensor, "*batch reference time"],
    zero_mean: bool = False,
) -> Float[Tensor, "*batch estimate reference"]:
    """``si_sdr`` of every estimate against every reference."""
    return pairwise(estimates, references, lambda e, r: si_sdr(e, r, zero_mean))


def sdr_sir_sar(
    estimates: Float[Tensor, "*batch source time"],
    references: Float[Tensor, "*batch source time"],
    filter_length: int = FILTER_LENGTH,
) -> tuple[Float[Tensor, "*batch source"], Float[Tensor, "*batch source"], Float[Tensor, "*batch source"]]:
    """BSS Eval (version 3): distortion, interference and artifacts of each estimate, in dB, in float64.

    Estimate k is scored against reference k (``permutation.align`` first); the others are the interference.
    A reference filtered by ``filter_length`` taps still counts as the reference (Vincent et al., 2006).
    Computed by fast_bss_eval (Scheibler, 2022). References that are silent neither count as interference nor
    get a score; a silent estimate has no SIR and SAR (NaN). Linearly dependent references (the same
    voice twice) are told apart by nothing: they are solved with a diagonal load of ``DIAGONAL_LOAD``.

    Raises:
        ValueError: shapes that differ, or no samples.
        MissingExtraError: fast_bss_eval is not installed.
    """
    with _extra("SDR, SIR and SAR"):
        from fast_bss_eval.torch import bss_eval_sources
    if estimates.shape != references.shape or estimates.ndim < 2:
        raise ValueError(
            "estimates and references have the same shape (..., source, time), "
            f"not {tuple(estimates.shape)} and {tuple(references.shape)}"
        )
    estimates, references = _checked(estimates.double(), references.double())
    estimates, references = _unit(estimates), _unit(references)
    shape = (*estimates.shape[:-1], 3)
    pad = (0, max(0, filter_length - estimates.shape[-1]))  # shorter ones fast_bss_eval cannot take
    estimates, references = (torch.nn.functional.pad(x, pad) for x in (estimates, references))
    estimates, references = (x.reshape(-1, *x.shape[-2:]) for x in (estimates, references))
    scores = estimates.new_full((*estimates.shape[:-1], 3), torch.nan)
    for item, (estimate, reference) in enumerate(zip(estimates, references, strict=True)):
        live = (reference != 0).any(-1)
        if not live.any() or not (torch.isfinite(estimate).all() and torch.isfinite(reference).all()):
            continue
        evaluate = partial(
            bss_eval_sources, reference[live], estimate[live], filter_length, compute_permutation=False
        )
        with _one_thread():
            try:
                ratios = evaluate()
            except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]
                ratios = evaluate(load_diag=DIAGONAL_LOAD)
        silent = (estimate[live] == 0).all(-1, keepdim=True)
        nothing = estimate.new_tensor([-torch.inf, torch.nan, torch.nan])
        scores[item, live] = torch.where(silent, nothing, torch.stack(list(ratios), -1))  # type: ignore[arg-type]
    sdr, sir, sar = scores.reshape(shape).unbind(-1)
    return sdr, sir, sar


def pesq_mode(sample_rate: int) -> tuple[str, int]:
    """How a recording of this rate is scored: wide band at 16 kHz, or narrow band at 8 kHz below that."""
    return ("wb", 16000) if sample_rate >= 16000 else ("nb", 8000)


def pesq(
    estimates: Float[Tensor, "*batch time"], references: Float[Tensor, "*batch time"], sample_rate: int
) -> Float[Tensor, "*batch"]:
    """Perceived quality, MOS-LQO: ITU-T P.862.2 (wide band) from 16 kHz on, P.862.1 (narrow band) below.

    Other rates than 16 and 8 kHz are resampled to those. What is longer than ``PESQ_SECONDS`` is scored in
    equal pieces and averaged: the reference code is made for sentences and crashes on longer recordings. NaN
    where the reference holds no utterance, or less than 0.25 s.

    Raises:
        ValueError: shapes that do not fit, or no samples.
        MissingExtraError: pesq is not installed.
    """
    with _extra("PESQ"):
        from pesq import BufferTooShortError, NoUtterancesError
        from pesq import pesq as reference_code
    mode, rate = pesq_mode(sample_rate)

    def score(estimate: np.ndarray, reference: np.ndarray) -> float:
        pieces = max(1, -(-len(reference) // int(PESQ_SECONDS * rate)))
        scores = []
        for degraded, clean in zip(
            np.array_split(estimate, pieces), np.array_split(reference, pieces), strict=True
        ):
            if not clean.any():
                continue
            if not degraded.any():
                scores.append(PESQ_LOWEST[mode])
                continue
            try:
                scores.append(reference_code(rate, clean, degraded, mode))
            except (BufferTooShortError, NoUtterancesError):
                continue
        return float(np.mean(scores)) if scores else np.nan

    return _each(score, estimates, references, sample_rate, rate)


def stoi(
    estimates: Float[Tensor, "*batch time"],
    references: Float[Tensor, "*batch time"],
    sample_rate: int,
    extended: bool = False,
) -> Float[Tensor, "*batch"]:
    """Short-time objective intelligibility, 0 to 1 (Taal et al., 2011), at 10 kHz, by pystoi.

    NaN where less than about 0.4 s of the reference is not silence.

    Raises:
        ValueError: shapes that do not fit, or no samples.
        MissingExtraError: pystoi is not installed.
    """
    with _extra("STOI"):
        from pystoi import stoi as reference_code

    def score(estimate: np.ndarray, reference: np.ndarray) -> float:
        if not estimate.any():
            return 0.0
        state = np.random.get_state()
        try:
            np.random.seed(0)  # pystoi dithers eSTOI
            with warnings.catch_warnings():
                warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
                return float(reference_code(reference, estimate, sample_rate, extended))
        except (RuntimeWarning, ValueError):  # too short: a warning, or an array without frames
            return np.nan
        finally:
            np.random.set_state(state)

    return _each(score, estimates, references, sample_rate, sample_rate)


def estoi(
    estimates: Float[Tensor, "*batch time"], references: Float[Tensor, "*batch time"], sample_rate: int
) -> Float[Tensor, "*batch"]:
    """Extended STOI (Jensen and Taal, 2016), which also suits fluctuating maskers such as other talkers.

    Raises:
        ValueError: shapes that do not fit, or no samples.
        MissingExtraError: pystoi is not installed.
    """
    return stoi(estimates, references, sample_rate, extended=True)


REQUIRES = {
    "sdr": "fast_bss_eval",
    "sir": "fast_bss_eval",
    "sar": "fast_bss_eval",
    "pesq": "pesq",
    "stoi": "pystoi",
    "estoi": "pystoi",
}
"""The module, of the extra, behind each metric that needs one."""


@contextmanager
def _one_thread() -> Iterator[None]:
    """Several threads solve batches of more than 150 unknowns wrongly in torch 2.5 to 2.13 (pytorch issue 142815)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def available(metric: str) -> bool:
    """Whether what ``metric`` needs is installed."""
    return metric not in REQUIRES or find_spec(REQUIRES[metric]) is not None


@contextmanager
def _extra(feature: str):
    try:
        yield
    except ImportError as error:
        raise missing_extra("metrics", feature) from error


def _checked(estimates: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    shapes = f"{tuple(estimates.shape)} and {tuple(references.shape)}"
    if not (estimates.ndim and references.ndim) or estimates.shape[-1] != references.shape[-1]:
        raise ValueError(f"estimates and references must have equally many samples, not {shapes}")
    if not estimates.shape[-1]:
        raise ValueError("estimates and references have no samples")
    if not (estimates.is_floating_point() and references.is_floating_point()):
        raise ValueError("estimates and references must be floating point, full scale 1")
    try:
        estimates, references = torch.broadcast_tensors(estimates, references)
    except RuntimeError:
        raise ValueError(f"estimates and references do not fit: {shapes}") from None
    return estimates, references


def _unit(waveform: Tensor) -> Tensor:
    """Peak 1, so that squares neither overflow nor vanish; silence stays silent."""
    return waveform / _nonzero(waveform.detach().abs().amax(-1, keepdim=True))


def _nonzero(value: Tensor) -> Tensor:
    return torch.where(value == 0, torch.ones_like(value), value)


def _decibels(target: Tensor, residual: Tensor) -> Tensor:
    """10 log10 of the power ratio; -inf where there is no target, else inf where nothing is left, without gradient."""
    powers = [x.square().sum(-1) for x in (target, residual)]
    nothing = [
        power == 0 for power in powers
    ]  # masked before the logarithm, whose gradient would be infinite
    levels = [power.masked_fill(none, 1.0).log10() for power, none in zip(powers, nothing, strict=True)]
    return (
        (10 * (levels[0] - levels[1])).masked_fill(nothing[1], torch.inf).masked_fill(nothing[0], -torch.inf)
    )


def _each(
    score: Callable[[np.ndarray, np.ndarray], float],
    estimates: Tensor,
    references: Tensor,
    sample_rate: int,
    target_rate: int,
) -> Tensor:
    """``score`` of each pair, at peak 1 and ``target_rate``; NaN for silent references and what is not finite."""
    estimates, references = _checked(estimates.detach(), references.detach())
    shape, like = estimates.shape[:-1], estimates
    pairs = []
    for waveforms in (estimates, references):
        flat = waveforms.double().cpu().reshape(-1, waveforms.shape[-1])
        pairs.append(_unit(resample(_unit(flat), sample_rate, target_rate)).numpy())
    scores = [
        score(e, r) if r.any() and np.isfinite(r).all() and np.isfinite(e).all() else np.nan
        for e, r in zip(*pairs, strict=True)
    ]
    return torch.tensor(scores, dtype=like.dtype, device=like.device).reshape(shape)
