"""Independent component analysis of instantaneous mixtures, in the time domain.

For recordings whose channels are plain sums of the sources, without delays or echoes: a mixing desk,
electrodes, coincident microphones. (In a room, use ``auxiva``.) At least as many channels as sources; the
channels' mean is removed. Two ways to the same end:

- ``ica.fastica``: whitening, then the fixed-point iteration on orthogonal matrices, all sources together.
  A. Hyvärinen, "Fast and robust fixed-point algorithms for independent component analysis", IEEE Trans.
  Neural Networks 10(3), 1999.
- ``ica.infomax``: whitening, then natural-gradient ascent of the likelihood (A. J. Bell & T. J. Sejnowski,
  Neural Computation 7(6), 1995; S. Amari, A. Cichocki & H. H. Yang, NIPS 1996), by default with the switch
  between super- and sub-Gaussian sources (T.-W. Lee, M. Girolami & T. J. Sejnowski, Neural Computation 11(2),
  1999). The papers' learning rate is replaced by a backtracking line search, so that the cost never rises.

================ ==================== =====================================================================
paper            code                 meaning
================ ==================== =====================================================================
x                ``mixture``          observed channels, (channel, time), zero mean
V                ``whitening``        (source, channel): z = V x has unit covariance
z = V x          ``z``                whitened channels
w_i, W           ``rotation``         rows w_i^T of the orthogonal matrix (FastICA); W V is the unmixing
s = W V x        ``unmixing @ x``     sources, unit variance until they are projected back
g, g'            ``NONLINEARITIES``   contrast's first and second derivative
k_i              ``signs``            +1 where source i is super-Gaussian, -1 where it is sub-Gaussian
phi              ``score``            - d log p(y) / dy
A                ``mixing``           (channel, source): how each source is heard at each channel
================ ==================== =====================================================================

All statistics are sums over blocks of samples in float64: memory stays at one copy of the input.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.contracts import SAMPLE_RATE_ANY
from unbabble.base.errors import InputError, UsageError
from unbabble.base.registry import register
from unbabble.base.words import counted
from unbabble.signal.level import check_mixture, live_channel, restore_level, unit_level

Square = Float[Tensor, "source source"]
Blocks = Callable[[], Iterator[Tensor]]
"""Yields the zero-mean channels, (channel, samples) in float64, block by block; called once per pass."""

BLOCK_SAMPLES = 1 << 15
RANK_TOLERANCE = 1e-12
"""A direction whose power is below this fraction of the strongest counts as absent. Copies of a channel
that were rounded to float32 leave about 1e-15; a true channel 100 dB below the loudest leaves 1e-10."""
UNHEARD = 1e-12
"""A source that does not reach the reference at all is kept at this level, so that its images stay finite."""
SMALLEST_STEP = 2.0**-20
SIGN_INTERVAL = 5


def _cube(y: Tensor) -> tuple[Tensor, Tensor]:
    return y**3, 3 * y.square()


def _gauss(y: Tensor) -> tuple[Tensor, Tensor]:
    bell = torch.exp(-y.square() / 2)
    return y * bell, (1 - y.square()) * bell


def _logcosh(y: Tensor) -> tuple[Tensor, Tensor]:
    tanh = torch.tanh(y)
    return tanh, 1 - tanh.square()


def _skew(y: Tensor) -> tuple[Tensor, Tensor]:
    return y.square(), 2 * y


NONLINEARITIES: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "logcosh": _logcosh,  # Hyvarinen 1999, G1: the general-purpose choice
    "gauss": _gauss,  # G2: very heavy tails, outliers
    "cube": _cube,  # G3: kurtosis, for sub-Gaussian sources without outliers
    "skew": _skew,  # for asymmetric distributions only
}
"""g and g' of FastICA's contrasts, both from one pass."""


def blocks_of(mixture: Float[Tensor, "channel time"]) -> Blocks:
    """The channels without their mean, in float64, in blocks that stay in the processor's cache."""
    mean = mixture.mean(-1, keepdim=True, dtype=torch.float64)

    def blocks() -> Iterator[Tensor]:
        for block in mixture.split(BLOCK_SAMPLES, dim=-1):
            yield block.double() - mean

    return blocks


def covariance(blocks: Blocks) -> Float[Tensor, "channel channel"]:
    """E[x x^T]."""
    products, count = [], 0
    for x in blocks():
        products.append(x @ x.T)
        count += x.shape[-1]
    return torch.stack(products).sum(0) / count


def whiten(spread: Float[Tensor, "channel channel"]) -> Float[Tensor, "rank channel"]:
    """Whitening V = D^-1/2 E^T from the covariance E D E^T.

    Rows go from the strongest direction to the weakest; directions that are absent (``RANK_TOLERANCE``: dead,
    repeated or linearly dependent channels) are left out, so the number of rows is the numerical rank.
    """
    powers, directions = torch.linalg.eigh(spread)
    present = powers > RANK_TOLERANCE * powers[-1].clamp(min=0)
    return directions[:, present].flip(1).T / powers[present].flip(0).sqrt()[:, None]


def decorrelate(matrix: Square) -> Square:
    """Symmetric decorrelation W <- (W W^T)^-1/2 W (Hyvärinen 1999): the nearest orthogonal matrix."""
    left, _, right = torch.linalg.svd(matrix)
    return left @ right


def fastica_step(blocks: Blocks, whitening: Tensor, rotation: Square, nonlinearity: str) -> Square:
    """w_i <- E[z g(w_i^T z)] - E[g'(w_i^T z)] w_i, then symmetric decorrelation."""
    unmixing = rotation @ whitening
    gradient, slope, count = torch.zeros_like(unmixing), torch.zeros_like(unmixing[:, 0]), 0
    for x in blocks():
        g, derivative = NONLINEARITIES[nonlinearity](unmixing @ x)
        gradient += g @ x.T
        slope += derivative.sum(-1)
        count += x.shape[-1]
    return decorrelate(gradient @ whitening.T / count - (slope / count)[:, None] * rotation)


def fastica(
    blocks: Blocks, whitening: Tensor, start: Square, nonlinearity: str, iterations: int, tolerance: float
) -> tuple[Square, bool]:
    """Iterate ``fastica_step`` until no row turns any more: 1 - min_i |<w_i, w_i'>| below ``tolerance``.

    Returns:
        The orthogonal matrix W, and whether it converged.
    """
    rotation = start
    for _ in range(iterations):
        previous, rotation = rotation, fastica_step(blocks, whitening, rotation, nonlinearity)
        if (1 - (rotation * previous).sum(-1).abs()).max() < tolerance:
            return rotation, True
    return rotation, False


def infomax_score(y: Tensor, signs: Tensor | None) -> tuple[Tensor, Tensor]:
    """-log p(y) up to a constant, and its derivative phi(y).

    Without ``signs`` the logistic density of Bell & Sejnowski, phi = tanh(y / 2); with them Lee, Girolami &
    Sejnowski's pair, phi = y + k tanh(y): super-Gaussian N(0, 1) sech(y) for k = 1, sub-Gaussian
    N(1, 1) + N(-1, 1) for k = -1.
    """
    if signs is None:
        log_cosh, tanh = _log_cosh(y / 2)
        return 2 * log_cosh, tanh
    log_cosh, tanh = _log_cosh(y)
    return y.square() / 2 + signs[:, None] * log_cosh, y + signs[:, None] * tanh


def _log_cosh(y: Tensor) -> tuple[Tensor, Tensor]:
    """log cosh and its derivative tanh, without overflow, from one exponential."""
    decay = torch.exp(-2 * y.abs())
    return y.abs() + torch.log1p(decay) - math.log(2), y.sign() * (1 - decay) / (1 + decay)


def source_signs(blocks: Blocks, unmixing: Tensor) -> Tensor:
    """k_i = sign(E[sech^2 y_i] E[y_i^2] - E[y_i tanh y_i]) (Lee et al. 1999)."""
    sums, count = unmixing.new_zeros(3, len(unmixing)), 0
    for x in blocks():
        y = unmixing @ x
        tanh = torch.tanh(y)
        sums += torch.stack([(1 - tanh.square()).sum(-1), y.square().sum(-1), (y * tanh).sum(-1)])
        count += x.shape[-1]
    sech2, power, product = sums / count
    return torch.where(sech2 * power >= product, 1.0, -1.0)


def infomax_cost(
    blocks: Blocks, whitening: Tensor, matrix: Square, signs: Tensor | None
) -> tuple[Tensor, Square]:
    """Negative log-likelihood per sample of y = W V x, and its relative gradient E[phi(y) y^T] - I."""
    unmixing = matrix @ whitening
    total, product, count = matrix.new_zeros(()), torch.zeros_like(matrix), 0
    for x in blocks():
        y = unmixing @ x
        cost, score = infomax_score(y, signs)
        total += cost.sum()
        product += score @ y.T
        count += x.shape[-1]
    identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    return total / count - torch.linalg.slogdet(matrix).logabsdet, product / count - identity


def infomax(
    blocks: Blocks, whitening: Tensor, start: Square, extended: bool, iterations: int, tolerance: float
) -> tuple[Square, bool, list[float]]:
    """Natural-gradient descent W <- (I - mu (E[phi(y) y^T] - I)) W (Amari et al. 1996).

    mu is halved until the cost falls enough (Armijo) and doubled after each success. Stops where the squared
    relative gradient, per source, is below ``tolerance``.

    Returns:
        W, whether it converged, and the cost at each iteration: it rises only where a source changes sign.
    """
    matrix, step, costs = start, 0.5, []
    signs = source_signs(blocks, matrix @ whitening) if extended else None
    cost, gradient = infomax_cost(blocks, whitening, matrix, signs)
    for iteration in range(iterations):
        costs.append(float(cost))
        slope = gradient.square().sum()
        if slope < tolerance * len(matrix):
            return matrix, True, costs
        while step > SMALLEST_STEP:
            trial = matrix - step * gradient @ matrix
            lower, change = infomax_cost(blocks, whitening, trial, signs)
            if lower <= cost - 1e-4 * step * slope:
                break
            step /= 2
        else:
            return matrix, False, costs
        matrix, cost, gradient, step = trial, lower, change, min(2 * step, 1.0)
        if signs is not None and iteration % SIGN_INTERVAL == 0:
            latest = source_signs(blocks, matrix @ whitening)
            if not torch.equal(latest, signs):
                signs = latest
                cost, gradient = infomax_cost(blocks, whitening, matrix, signs)
    return matrix, False, costs


@dataclass
class Unmixed:
    """What is known of one recording after ICA: (source, channel), (channel, source), what to say."""

    unmixing: Tensor
    mixing: Tensor
    warnings: list[str] = field(default_factory=list)


@register(
    name="ica",
    contract="separator",
    summary="Independent component analysis of instantaneous mixtures (no delays, no echoes).",
    citation="Hyvärinen, IEEE Trans. Neural Networks 10(3), 1999; Bell & Sejnowski, Neural Computation 7(6), "
    "1995; Amari, Cichocki & Yang, NIPS 1996",
    tags=("fastica", "infomax"),
)
class Ica:
    """Separator for instantaneous mixtures with at least as many channels as sources.

    Args:
        tag: ``fastica`` or ``infomax``.
        sources: how many; None for as many as there are independent channels. With fewer sources than
            channels the strongest directions are kept (principal components).
        iterations: the most; both stop when converged and say so when they are not.
        nonlinearity: of FastICA: ``logcosh``, ``gauss``, ``cube`` or ``skew``.
        extended: infomax: also find sub-Gaussian sources.
        tolerance: when to stop, see ``fastica`` and ``infomax``.
        reference: the microphone at which the sources are heard, from 0.
        seed: of the random orthogonal start.

    Attributes:
        unmixing: after a call, (batch, source, channel): ``unmixing @ (mixture - mean)`` are the sources.
        mixing: after a call, (batch, channel, source): source times column is its image at every channel.
        warnings: after a call, what the user should know.
    """

    sample_rate = SAMPLE_RATE_ANY
    min_channels = 2
    max_sources = 0

    def __init__(
        self,
        tag: str = "fastica",
        *,
        sources: int | None = None,
        iterations: int = 500,
        nonlinearity: str = "logcosh",
        extended: bool = True,
        tolerance: float = 1e-8,
        reference: int = 0,
        seed: int = 0,
    ) -> None:
        if tag not in ("fastica", "infomax"):
            raise UsageError(f"ICA has no variant '{tag}': choose fastica or infomax.")
        if nonlinearity not in NONLINEARITIES:
            raise UsageError(
                f"There is no nonlinearity '{nonlinearity}': choose {', '.join(NONLINEARITIES)}."
            )
        if sources is not None and sources < 1:
            raise UsageError("The number of sources is at least 1.")
        self.tag, self.sources, self.iterations = tag, sources, iterations
        self.nonlinearity, self.extended, self.tolerance = nonlinearity, extended, tolerance
        self.reference, self.seed = reference, seed
        self.unmixing = torch.zeros(0, 0, 0)
        self.mixing = torch.zeros(0, 0, 0)
        self.warnings: list[str] = []

    def __call__(
        self, mixture: Float[Tensor, "batch channel time"], *, images: bool = False, **side: object
    ) -> Tensor:
        """Separate; ``images=True`` gives (batch, source, channel, time), each source at every microphone.

        Raises:
            InputError: not finite, silent, too few channels, or fewer independent channels than sources.
        """
        check_mixture(mixture, self.min_channels)
        last = mixture.shape[1] - 1
        if not 0 <= self.reference <= last:
            raise UsageError(f"There is no microphone {self.reference}: counted from 0, the last is {last}.")
        level, exponents = unit_level(mixture)
        items = [self._unmix(item) for item in level]
        counts = sorted({len(item.unmixing) for item in items})
        if len(counts) > 1:
            raise InputError(
                f"The recordings of this batch have {counts[0]} to {counts[-1]} independent channels: give "
                "the number of sources, or separate them one by one."
            )
        self.unmixing = torch.stack([item.unmixing for item in items])
        self.mixing = torch.stack([item.mixing for item in items])
        self.warnings = list(dict.fromkeys(text for item in items for text in item.warnings))
        estimates = torch.stack([_apply(item.unmixing, x) for item, x in zip(items, level, strict=True)])
        estimates = restore_level(estimates, exponents)
        if images:
            estimates = torch.einsum("bcs,bst->bsct", self.mixing.to(level.dtype), estimates)
        return estimates

    def _unmix(self, mixture: Float[Tensor, "channel time"]) -> Unmixed:
        """Everything but the multiplication, for one recording at unit level."""
        blocks, warnings = blocks_of(mixture), []
        spread = covariance(blocks)
        whitening = whiten(spread)
        rank, channels = len(whitening), len(mixture)
        if rank == 0:
            raise InputError("The recording is constant: there is nothing to separate.")
        count = rank if self.sources is None else self.sources
        if count > rank:
            raise InputError(
                f"{count} sources are more than the {counted(rank, 'independent channel')}; the others are "
                "dead, repeated or sums of these."
                if rank < channels
                else f"{count} sources are more than the {counted(channels, 'channel')}."
            )
        if self.sources is None and rank < channels:
            warnings.append(f"Independent channels: {rank} of {channels}, hence {counted(rank, 'source')}.")
        whitening = whitening[:count]
        generator = torch.Generator().manual_seed(self.seed)
        start = decorrelate(
            torch.randn(count, count, generator=generator, dtype=torch.float64).to(whitening.device)
        )
        if self.tag == "fastica":
            matrix, converged = fastica(
                blocks, whitening, start, self.nonlinearity, self.iterations, self.tolerance
            )
        else:
            matrix, converged, _ = infomax(
                blocks, whitening, start, self.extended, self.iterations, self.tolerance
            )
        if not converged:
            warnings.append(
                f"ICA did not converge in {counted(self.iterations, 'iteration')}; the sources may still be mixed."
            )
        reference = live_channel(mixture, self.reference)
        if reference != self.reference:
            warnings.append(
                f"Microphone {self.reference + 1} is silent: sources are as heard at {reference + 1}."
            )
        return _project_back(matrix @ whitening, spread, reference, warnings)


def _apply(unmixing: Float[Tensor, "source channel"], mixture: Float[Tensor, "channel time"]) -> Tensor:
    return torch.cat([(unmixing @ x).to(mixture.dtype) for x in blocks_of(mixture)()], dim=-1)


def _project_back(unmixing: Tensor, spread: Tensor, reference: int, warnings: list[str]) -> Unmixed:
    """Scale each source as it is heard at ``reference``, loudest first.

    The mixing matrix is the least-squares one, A = E[x y^T] E[y y^T]^-1: the sources add up to the reference
    channel wherever it lies in their span.
    """
    outputs = unmixing @ spread @ unmixing.T
    mixing = torch.linalg.solve(outputs, unmixing @ spread).T
    gains = mixing[reference]
    order = torch.argsort(gains.square() * outputs.diagonal(), descending=True, stable=True)
    unmixing, mixing, gains = unmixing[order], mixing[:, order], gains[order]
    gains = torch.where(gains.abs() < UNHEARD * gains.abs().max(), UNHEARD * gains.abs().max(), gains)
    return Unmixed(unmixing * gains[:, None], mixing / gains, warnings)
