"""Five ways to lower the surrogate of independent vector analysis, without a step size.

Every frequency has a demixing matrix ``W`` (row k is w_k^H) with outputs y = W x. Majorising the likelihood leaves,
for each frequency, the problem that all of AuxIVA, OverIVA and ILRMA share:

    minimise  sum_k w_k^H V_k w_k - 2 log|det W|,     V_k = mean_t phi_kt x x^H.            (1)

Everything here is written in the coordinates of the *current outputs*: the covariances that come in are
U_k = W V_k W^H = mean_t phi_kt y y^H, and each step is a matrix T with y <- T y, W <- T W, U_m <- T U_m T^H. The
steps are then short (the k-th unit vector stands for w_k), well conditioned, and the same for every method.

With more channels than sources (OverIVA) the remaining outputs are background. Eliminating it from the likelihood
turns w_k = (W U_k)^-1 e_k of Scheibler & Ono (WASPAA 2019) into w_k = V_k^-1 a_k, with a_k the k-th column of the
pseudo-inverse of the sources' rows, so that only the Gram matrix G = W W^H of the whitened channels is needed.
It travels with the covariances as the last of them, and -2 log|det W| reads -log det G on the sources.

====== ====================================================================== ==================================
update step                                                                    source
====== ====================================================================== ==================================
ip     row k solves (1) given the other rows                                   Ono, WASPAA 2011
ip2    rows k, l solve (1) jointly: a generalised eigenproblem of two          Ono, ASJ 2012; Scheibler & Ono 2020
iss    the k-th steering vector moves, no inverse                              Scheibler & Ono, ICASSP 2020
iss2   two steering vectors move                                               Ikeshita & Nakatani, Interspeech 2022
ipa    row k and the k-th steering vector jointly: a quadratic with a log      Scheibler, IEEE TSP 2021 (2008.10048)
       penalty, solved exactly by one root of a convex function
====== ====================================================================== ==================================

These torch functions are the reference, for any device and precision; ``signal.kernels`` does the same on CPUs.
"""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from unbabble.signal.blind.small_matrices import (
    abreast,
    congruent,
    hermitian,
    identities,
    products,
    real_form,
    solve,
    times,
)

Covariances = Complex[Tensor, "frequency source+1 channel channel"]
Steps = Complex[Tensor, "frequency channel channel"]
AT_ONCE = 4096
"""Frequencies whose outputs are multiplied by one another at once, so that this takes bounded memory."""
LONGEST_STEP = 1e6
"""By the norm of its matrix; nobody is that much louder in a recording than before."""


class Demixer:
    """Demixing matrices of all frequencies, their outputs, and the steps that improve them.

    Args:
        spectrogram: whitened mixture.
        sources: the first so many outputs are sources, the others background.
        load: power of imagined white noise in every whitened channel. It enters covariances and powers alike, so
            that no matrix is ever singular and the objective still cannot rise.
    """

    def __init__(
        self, spectrogram: Complex[Tensor, "frequency channel frame"], sources: int, load: float = 1e-6
    ) -> None:
        bins, channels, self.frames = spectrogram.shape
        self.sources, self.load = sources, load
        self._all_outputs = spectrogram
        eye = torch.eye(channels, dtype=spectrogram.dtype, device=spectrogram.device)
        self._matrix = eye.repeat(bins, 1, 1)

    @property
    def matrix(self) -> Complex[Tensor, "frequency channel channel"]:
        """Demixing matrices: rows of the sources, then of the background."""
        return self._matrix

    @property
    def _all_outputs(self) -> Complex[Tensor, "frequency channel frame"]:
        """Sources, then background; kept as real parts above imaginary parts, whose products are much faster."""
        return torch.complex(*self._parts.chunk(2, 1))

    @_all_outputs.setter
    def _all_outputs(self, outputs: Complex[Tensor, "frequency channel frame"]) -> None:
        self._parts = torch.cat([outputs.real, outputs.imag], 1)

    @property
    def outputs(self) -> Complex[Tensor, "frequency source frame"]:
        """The current sources."""
        return self._all_outputs[:, : self.sources]

    def bin_power(self) -> Float[Tensor, "frequency source frame"]:
        """|y|^2 of every source, with the imagined noise."""
        real, imaginary = (part[:, : self.sources] for part in self._parts.chunk(2, 1))
        noise = squared(self.matrix[:, : self.sources]).sum(-1)
        return real.square().addcmul_(imaginary, imaginary).add_(self.load * noise[..., None])

    def power(self) -> Float[Tensor, "source frame"]:
        """|y|^2 summed over frequencies."""
        return self.bin_power().sum(0)

    def log_determinant(self) -> float:
        """Sum over frequencies of log|det W|, or of log det(W W^H) / 2 on the sources."""
        rows = self.matrix[:, : self.sources]
        return float(torch.linalg.slogdet(rows @ rows.mH)[1].sum() / 2)

    def step(self, update: str, weights: Float[Tensor, "*frequency source frame"]) -> None:
        """Lower (1) by one pass of ``update`` over the sources.

        Args:
            update: one of ``UPDATES``.
            weights: phi_kt, or phi_kft with the frequency first.

        Raises:
            ValueError: an update that knows no background, and fewer sources than channels.
        """
        matrix = abreast(self._matrix)
        update = applicable(update, self.sources, matrix.shape[-1])
        step = finite(sweep(update, self._covariances(matrix, weights.expand(len(matrix), -1, -1))))
        self._parts = real_form(step) @ self._parts
        self._matrix = times(step, matrix).contiguous()

    def _covariances(self, matrix: Steps, phi: Float[Tensor, "frequency source frame"]) -> Covariances:
        """U_k with the imagined noise, then the Gram matrix: products of outputs, summed under all weights at once."""
        pieces = zip(self._parts.split(AT_ONCE), phi.split(AT_ONCE), strict=True)
        sums = torch.cat([products(outputs) @ weight.mT for outputs, weight in pieces])
        gram = times(matrix, matrix.mH)[:, None]
        noise = abreast(self.load * phi.mean(-1))[..., None, None] * gram
        covariances = hermitian(sums / self.frames, matrix.shape[-1]) + noise
        return abreast(torch.cat([covariances, gram], 1))


def squared(values: Complex[Tensor, "..."]) -> Float[Tensor, "..."]:
    """|z|^2, without the root that ``abs`` takes."""
    return values.real.square() + values.imag.square()


def finite(steps: Steps) -> Steps:
    """The steps, but none where rounding has left no direction to go.

    Where hardly anyone sounds, weights lie so far apart that a covariance in single precision need not be positive
    definite; such a frequency stays as it is.
    """
    fine = squared(steps).sum((1, 2)) < LONGEST_STEP**2  # what is no number is not
    return steps.where(fine[:, None, None], torch.eye(steps.shape[-1]).to(steps))


def applicable(update: str, sources: int, channels: int) -> str:
    """The update itself, or ``ip`` where there is only one source: nothing is jointly updated with it.

    Raises:
        ValueError: an update that knows no background, and fewer sources than channels.
    """
    if sources == 1:
        return "ip"
    if sources < channels and update not in WITH_BACKGROUND:
        raise ValueError(f"{update} needs as many sources as channels, not {sources} of {channels}.")
    return update


def sweep(update: str, covariances: Covariances) -> Steps:
    """One pass of ``update`` over all sources.

    Args:
        update: one of ``UPDATES``; with background (fewer sources than channels) one of ``WITH_BACKGROUND``.
        covariances: U_k in the coordinates of the current outputs, positive definite, and the Gram matrix last.

    Returns:
        The product T of all steps: apply it to the outputs and to the demixing matrix.
    """
    total = identities(covariances[:, -1])
    sources = covariances.shape[1] - 1
    for step in [*UPDATES[update](sources), *([background] if sources < covariances.shape[-1] else [])]:
        matrix = step(covariances)
        covariances = congruent(matrix, covariances)
        total = times(matrix, total)
    return total


def background(covariances: Covariances) -> Steps:
    """Make the background outputs orthonormal and orthogonal to the sources; any basis of that space will do."""
    sources = covariances.shape[1] - 1
    gram = covariances[:, -1]
    step = identities(covariances[:, -1])
    step[:, sources:, :sources] = -torch.linalg.solve(
        gram[:, :sources, :sources], gram[:, sources:, :sources], left=False
    )
    rest = (step @ gram @ step.mH)[:, sources:, sources:]
    step[:, sources:] = torch.linalg.solve_triangular(
        torch.linalg.cholesky(rest), step[:, sources:], upper=False
    )
    return step


def ip(covariances: Covariances, k: int) -> Steps:
    """Iterative projection (Ono 2011, eq. 34-35): w_k = U_k^-1 a_k, scaled so that w_k^H U_k w_k = 1."""
    steering = _steering(covariances, [k])
    row = solve(covariances[:, k], steering)
    step = identities(covariances[:, -1])
    step[:, k] = (row / (steering.mH @ row).real.sqrt())[..., 0].conj()
    return step


def ip2(covariances: Covariances, k: int, m: int) -> Steps:
    """Pairwise iterative projection: rows k and m from the eigenvectors of G_k h = lambda G_m h.

    P_i = U_i^-1 [a_k, a_m], G_i = P_i^H U_i P_i; w_i = P_i h_i with h_i^H G_i h_i = 1. Source k takes the largest
    eigenvalue.
    """
    steering = _steering(covariances, [k, m])[:, None]
    bases = solve(covariances[:, [k, m]], steering)
    blocks = steering.mH @ bases
    values, vectors = _generalised_eigenvectors(blocks[:, 0], blocks[:, 1])
    step = identities(covariances[:, -1])
    step[:, k] = (bases[:, 0] @ vectors[..., 1:] * values[:, 1, None, None].rsqrt())[..., 0].conj()
    step[:, m] = (bases[:, 1] @ vectors[..., :1])[..., 0].conj()
    return step


def iss(covariances: Covariances, k: int) -> Steps:
    """Iterative source steering (eq. 9-10): y <- y - v y_k, each v_m in closed form.

    v_m = [U_m]_mk / [U_m]_kk for m != k and v_k = 1 - [U_k]_kk^(-1/2).
    """
    diagonal = covariances[:, :-1, k, k].real
    v = torch.diagonal(covariances[:, :-1, :, k], dim1=1, dim2=2) / diagonal
    v[:, k] = 1 - diagonal[:, k].rsqrt()
    step = identities(covariances[:, -1])
    step[:, :, k] -= v
    return step


def iss2(covariances: Covariances, k: int, m: int) -> Steps:
    """Pairwise source steering (Ikeshita & Nakatani 2022, alg. 2).

    With G_i = [U_i] on rows and columns k, m and f_i = [U_i] on rows k, m, column i: every other output moves by
    -(G_i^-1 f_i)^H [y_k, y_m]; the pair itself becomes h_i^H [y_k, y_m], G_k h = lambda G_m h, source k with the
    smallest eigenvalue.
    """
    pair = [k, m]
    blocks = covariances[:, :, pair][..., pair]
    step = identities(covariances[:, -1])
    for i in range(covariances.shape[1] - 1):
        if i not in pair:
            right = covariances[:, i, pair, i, None]
            step[:, i, pair] = -solve(blocks[:, i], right)[..., 0].conj()
    _, vectors = _generalised_eigenvectors(blocks[:, k], blocks[:, m])
    h = vectors[..., :1]  # h^H G_k h is its eigenvalue, with the digits that the smaller of two may have lost
    step[:, k, pair] = (h * (h.mH @ blocks[:, k] @ h).real.rsqrt())[..., 0].conj()
    step[:, m, pair] = vectors[..., 1].conj()
    return step


def ipa(covariances: Covariances, k: int) -> Steps:
    """Iterative projection with adjustment (2008.10048, section IV): row k and steering vector k jointly.

    The minimiser is that of the log-quadratically penalised quadratic |q - ...|^2: with M = U_k^-1, o all indices
    but k, a_m = [U_m]_kk, b_m = [U_m]_km,

        C = A^-1/2 conj(M_oo) A^-1/2 = S diag(phi) S^H,   v = -S^H (C A^-1/2 b + A^-1/2 conj(M_ok)),
        z = 1 / [U_k]_kk,   lambda: largest root of  lambda^2 sum_i |v_i|^2 / (phi_i (lambda - phi_i)^2) - lambda + z,
        q = A^-1/2 S [v_i / (lambda - phi_i)] - b / a,

    then row k of the step is (M [1, -conj(q)])^H / sqrt(lambda) and output m gains conj(q_m) y_k.
    """
    others = [m for m in range(covariances.shape[1] - 1) if m != k]
    inverse = solve(covariances[:, k], identities(covariances[:, k]))
    root_a = covariances[:, others, k, k].real.sqrt()
    b = torch.stack([covariances[:, m, k, m] for m in others], -1)
    scale = 1 / root_a
    c = inverse[:, others][:, :, others].conj() * scale[:, :, None] * scale[:, None, :]
    phi, s = torch.linalg.eigh(c)
    target = c @ (scale * b)[..., None] + (scale * inverse[:, others, k].conj())[..., None]
    v = -(s.mH @ target)[..., 0]
    z = 1 / covariances[:, k, k, k].real

    top = phi[:, -1:]
    root, ratio = largest_root(phi / top, v / top, z / top[:, 0])
    q = scale * (s @ ratio[..., None])[..., 0] - b * scale.square()
    x = torch.ones_like(inverse[:, :, 0])
    x[:, others] = -q.conj()
    row = (inverse @ x[..., None])[..., 0] / (root * top[:, 0]).sqrt()[:, None]
    step = identities(covariances[:, -1])
    step[:, others, k] = q.conj()
    step[:, k] = row.conj()
    return step


def largest_root(
    phi: Float[Tensor, "frequency other"],
    v: Complex[Tensor, "frequency other"],
    z: Float[Tensor, " frequency"],
) -> tuple[Float[Tensor, " frequency"], Complex[Tensor, "frequency other"]]:
    """Largest root of f(x) = x^2 sum_i |v_i|^2 / (phi_i (x - phi_i)^2) - x + z, and v_i / (x - phi_i) there.

    ``phi`` is ascending with maximum 1. On (1, inf) f is convex and decreasing, so Newton's method climbs to the
    root monotonically from any point below it; one is max(z, phi_i + |v_i|), since f >= 0 there for each term
    alone. Where |v| vanishes on the top eigenvalue (the paper's hard case) the root may be 1 and the top component
    free but for its length: a tiny |v| gives it that length. The unknown is x - 1, which cancels nothing.
    """
    tiny = torch.finfo(z.dtype).eps ** 2
    magnitude = v.abs()
    magnitude[:, -1].clamp_min_(tiny)
    weight = magnitude.square() / phi
    beyond = torch.maximum(z - 1, (phi - 1 + magnitude).amax(1))
    for _ in range(NEWTON_STEPS):
        x, distance = 1 + beyond, beyond[:, None] + (1 - phi)
        terms = weight / distance.square()
        value = x.square() * terms.sum(1) - x + z
        slope = -1 - 2 * x * (terms * phi / distance).sum(1)
        rise = (-value / slope).clamp_min(0)
        beyond = beyond + rise
        if (rise <= 1e-3 * tiny**0.25 * beyond).all():
            break
    ratio = torch.where(v == 0, 1, v / v.abs()) * magnitude / (beyond[:, None] + (1 - phi))
    return 1 + beyond, ratio


NEWTON_STEPS = 60
"""Enough for the slowest start (a factor 1.5 a step next to a pole); a handful is usual."""


def _steering(covariances: Covariances, columns: list[int]) -> Tensor:
    """Columns of the sources' pseudo-inverse, in output coordinates: unit vectors, plus a part in the background."""
    sources = covariances.shape[1] - 1
    gram = covariances[:, -1, :, :sources]
    unit = torch.eye(sources, dtype=gram.dtype, device=gram.device)[:, columns]
    if sources == covariances.shape[-1]:  # no background: G G^-1 is the identity
        return unit.expand(len(gram), -1, -1)
    return gram @ torch.linalg.solve(gram[:, :sources], unit.expand(len(gram), -1, -1))


def _generalised_eigenvectors(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Solve first h = lambda second h for 2 x 2 blocks: lambda ascending, h as columns with h^H second h = 1."""
    lower = torch.linalg.cholesky(second)
    half = torch.linalg.solve_triangular(lower, first, upper=False)
    reduced = torch.linalg.solve_triangular(lower, half.mH, upper=False)
    values, vectors = torch.linalg.eigh(reduced)
    return values, torch.linalg.solve_triangular(lower.mH, vectors, upper=True)


def _each(step: Callable[..., Steps]) -> Callable[[int], Iterator[Callable[[Covariances], Steps]]]:
    return lambda sources: ((lambda u, k=k: step(u, k)) for k in range(sources))


def _pairs(step: Callable[..., Steps]) -> Callable[[int], Iterator[Callable[[Covariances], Steps]]]:
    return lambda sources: ((lambda u, k=k, m=m: step(u, k, m)) for k, m in pairs(sources))


def pairs(sources: int) -> list[tuple[int, int]]:
    """The pairs that one sweep of a pairwise update visits: neighbours in a ring, one pair for two sources."""
    if sources == 2:
        return [(0, 1)]
    return [(k, (k + 1) % sources) for k in range(sources)]


WITH_BACKGROUND = ("ip", "ip2")
"""Updates for fewer sources than channels."""

UPDATES: dict[str, Callable[[int], Iterator[Callable[[Covariances], Steps]]]] = {
    "ip": _each(ip),
    "ip2": _pairs(ip2),
    "iss": _each(iss),
    "iss2": _pairs(iss2),
    "ipa": _each(ipa),
}
