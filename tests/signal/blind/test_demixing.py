"""The reference updates, against the problem they solve, brute force, the papers' formulas and the authors' code."""

from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from unbabble.signal.blind import demixing
from unbabble.signal.blind.demixing import UPDATES, Demixer, largest_root, pairs, sweep
from unbabble.signal.blind.source_models import contrast, weights

FIXTURES = Path(__file__).parents[2] / "fixtures"


def gauss(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def problem(bins: int, sources: int, channels: int, seed: int = 0, log_condition: float = 1.0) -> Tensor:
    """Random covariances in the coordinates of random outputs, and the Gram matrix of these."""
    q, _ = torch.linalg.qr(gauss(bins, sources, channels, channels, seed=seed))
    values = torch.logspace(0, -log_condition, channels, dtype=torch.float64)
    covariances = (q * values) @ q.mH
    matrix = torch.linalg.qr(gauss(bins, channels, channels, seed=seed + 1))[0]
    matrix = matrix * torch.logspace(0, 0.5, channels, dtype=torch.float64)
    outputs = torch.cat(
        [matrix[:, None] @ covariances @ matrix[:, None].mH, (matrix @ matrix.mH)[:, None]], 1
    )
    return (outputs + outputs.mH) / 2


def surrogate(covariances: Tensor, step: Tensor) -> Tensor:
    """(1) at y <- step y, for each frequency; on the sources' rows where there is background."""
    sources = covariances.shape[1] - 1
    rows = step[:, :sources]
    quadratic = torch.einsum("fki,fkij,fkj->f", rows, covariances[:, :-1], rows.conj()).real
    return quadratic - torch.linalg.slogdet(rows @ covariances[:, -1] @ rows.mH)[1]


def eye_like(covariances: Tensor) -> Tensor:
    return torch.eye(covariances.shape[-1], dtype=covariances.dtype).expand(len(covariances), -1, -1)


def whitened(bins: int, channels: int, frames: int, seed: int = 0) -> Tensor:
    """Super-Gaussian sources, mixed, with exactly white channels."""
    generator = torch.Generator().manual_seed(seed)
    envelope = torch.randn(channels, frames, dtype=torch.float64, generator=generator).exp()
    x = gauss(bins, channels, channels, seed=seed + 1) @ (
        gauss(bins, channels, frames, seed=seed + 2) * envelope
    )
    values, vectors = torch.linalg.eigh(x @ x.mH / frames)
    return (vectors * values.rsqrt()[:, None]).mH @ x


def up_to_phase(rows: Tensor) -> Tensor:
    """Rank-one matrices w w^H: what is left of rows when their phase does not matter."""
    return rows[..., :, None] * rows[..., None, :].conj()


@pytest.mark.parametrize("update", UPDATES)
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), channels=st.integers(2, 6), log_condition=st.floats(0, 8))
@example(seed=0, channels=2, log_condition=0.0)
def test_no_sweep_raises_the_surrogate(update, seed, channels, log_condition):
    covariances = problem(2, channels, channels, seed, log_condition)
    before = surrogate(covariances, eye_like(covariances))
    step = sweep(update, covariances)
    after = surrogate(covariances, step)
    # Rounding of the solves grows with the condition: 1e-16 x 10^log_condition, and a margin for several steps.
    slack = (1e-11 + 1e-14 * 10**log_condition) * (1 + before.abs())
    assert torch.isfinite(step.abs()).all()
    assert (after <= before + slack).all()


@pytest.mark.parametrize("update", ["ip", "ip2"])
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), channels=st.integers(3, 6), data=st.data())
def test_no_sweep_raises_the_surrogate_with_background(update, seed, channels, data):
    sources = data.draw(st.integers(2 if update == "ip2" else 1, channels - 1))
    covariances = problem(2, sources, channels, seed, 3)
    before = surrogate(covariances, eye_like(covariances))
    assert (surrogate(covariances, sweep(update, covariances)) <= before + 1e-9 * (1 + before.abs())).all()


@pytest.mark.parametrize("update", UPDATES)
def test_each_single_step_lowers_the_surrogate(update):
    covariances = problem(20, 4, 4, seed=3)
    value = surrogate(covariances, eye_like(covariances))
    for step in UPDATES[update](4):
        matrix = step(covariances)
        covariances = matrix[:, None] @ covariances @ matrix[:, None].mH
        moved = surrogate(covariances, eye_like(covariances))
        assert (moved <= value + 1e-10).all()
        assert (moved < value).any()
        value = moved


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("update", UPDATES)
def test_sweeps_end_where_the_gradient_vanishes(update, channels):
    """HEAD problem: w_l^H V_k w_k = [k == l] for every k and l."""
    covariances = problem(3, channels, channels, seed=5)
    for _ in range(80):
        step = sweep(update, covariances)
        covariances = step[:, None] @ covariances @ step[:, None].mH
    columns = torch.stack([covariances[:, k, :, k] for k in range(channels)], 2)
    torch.testing.assert_close(columns, eye_like(covariances).clone(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("update", ["ip2", "iss2"])
def test_a_pair_is_solved_in_one_sweep(update):
    """Two sources: the pairwise updates reach the global minimum at once (no local one is lower)."""
    covariances = problem(20, 2, 2, seed=1, log_condition=2)
    step = sweep(update, covariances)
    solved = step[:, None] @ covariances @ step[:, None].mH
    columns = torch.stack([solved[:, k, :, k] for k in range(2)], 2)
    torch.testing.assert_close(columns, eye_like(solved).clone(), rtol=0, atol=1e-10)
    for start in range(5):
        other = gauss(20, 2, 2, seed=100 + start)
        moved = other[:, None] @ covariances @ other[:, None].mH
        for _ in range(50):
            more = sweep("ip", moved)
            other, moved = more @ other, more[:, None] @ moved @ more[:, None].mH
        lowest = surrogate(covariances, other)
        assert (surrogate(covariances, step) <= lowest + 1e-9).all()


def lowest_by_brute_force(covariances: Tensor, k: int, starts: int = 5) -> float:
    """Least surrogate over all steps that are the identity but for row k and column k, found by L-BFGS."""
    u, channels = covariances[0, :-1].numpy(), covariances.shape[-1]
    others = [m for m in range(channels) if m != k]

    def value(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        numbers = parameters.view(np.complex128)
        step = np.eye(channels, dtype=np.complex128)
        step[k], step[others, k] = numbers[:channels], numbers[channels:]
        moved = np.einsum("ki,kij->kj", step, u)
        loss = np.einsum("kj,kj->", moved, step.conj()).real - 2 * np.linalg.slogdet(step)[1]
        gradient = 2 * (moved - np.linalg.inv(step).conj().T)
        return loss, np.concatenate([gradient[k], gradient[others, k]]).view(np.float64)

    rng = np.random.default_rng(0)
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 2000}
    runs = (
        scipy.optimize.minimize(
            value, rng.standard_normal(4 * channels - 2), jac=True, method="L-BFGS-B", options=options
        )
        for _ in range(starts)
    )
    return min(run.fun for run in runs)


def diagonal_problem(rows: list[list[float]]) -> Tensor:
    """One frequency whose outputs are uncorrelated under all weights: the hard case v = 0."""
    matrices = [torch.tensor(row, dtype=torch.complex128).diag() for row in rows]
    return torch.stack([*matrices, torch.eye(len(rows), dtype=torch.complex128)])[None]


def top_vanishes() -> Tensor:
    """Only the component of v on the top eigenvalue is zero."""
    covariances = diagonal_problem([[9.0, 1.0, 0.2], [1.0, 1.0, 1.0], [0.5, 1.0, 1.0]])
    covariances[0, 0, 0, 1] = covariances[0, 0, 1, 0] = 0.7
    covariances[0, 1, 0, 1] = covariances[0, 1, 1, 0] = -0.4
    return covariances


HARD = {
    "z below": diagonal_problem([[10.0, 0.1], [0.1, 1.0]]),
    "z above": diagonal_problem([[0.1, 2.0], [3.0, 1.0]]),
    "z equal": diagonal_problem([[2.0, 1.0], [2.0, 1.0]]),
    "three, z below": diagonal_problem([[4.0, 0.3, 1.0], [0.2, 1.0, 1.0], [1.0, 1.0, 3.0]]),
    "three, equal tops": diagonal_problem([[4.0, 0.5, 0.5], [0.5, 1.0, 1.0], [0.5, 1.0, 3.0]]),
    "only the top vanishes": top_vanishes(),
}
CASES = {f"{channels} channels, {seed}": problem(1, channels, channels, seed, 1.5)
         for channels in (2, 3, 4) for seed in (0, 1)} | HARD  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_ipa_finds_the_minimum_of_its_subproblem(case):
    covariances = CASES[case]
    step = demixing.ipa(covariances, 0)
    others = list(range(1, covariances.shape[-1]))
    assert torch.equal(step[0][others][:, others], torch.eye(len(others), dtype=step.dtype))
    found = float(surrogate(covariances, step) + torch.linalg.slogdet(covariances[:, -1])[1])
    lowest = lowest_by_brute_force(covariances, 0)
    assert found <= lowest + 1e-7
    assert found >= lowest - 1e-5, "brute force failed: the test is not to be trusted"


@settings(deadline=None, max_examples=200)
@given(
    phi=st.lists(st.floats(1e-6, 1), min_size=0, max_size=5),
    exponents=st.lists(st.floats(-8, 2), min_size=6, max_size=6),
    z=st.floats(1e-6, 1e4),
)
@example(phi=[1.0], exponents=[-3.0] * 6, z=1.0)
@example(phi=[], exponents=[-8.0] * 6, z=1.0)
@example(phi=[], exponents=[2.0] * 6, z=1e4)
@example(phi=[1e-6, 1e-6], exponents=[2.0] * 6, z=1e-6)
def test_largest_root_is_that_of_bisection(phi, exponents, z):
    phi = np.sort([*phi, 1.0])
    v = 10.0 ** np.array(exponents[: len(phi)]) * np.exp(1j * np.arange(len(phi)))
    root, ratio = largest_root(
        torch.from_numpy(phi)[None], torch.from_numpy(v)[None].clone(), torch.tensor([z], dtype=torch.float64)
    )

    def f(beyond: float) -> float:
        return float(
            (1 + beyond) ** 2 * (np.abs(v) ** 2 / (phi * (beyond + 1 - phi) ** 2)).sum() - beyond - 1 + z
        )

    high = 1.0
    while f(high) > 0:
        high *= 2
    low = 1.0
    while f(low) < 0:
        low /= 2
    beyond = scipy.optimize.brentq(f, low, high, xtol=1e-300, rtol=1e-14)
    # ``root`` itself is rounded at 1, so its distance from the pole is read off the ratios.
    assert float(root) == pytest.approx(1 + beyond, rel=1e-9)
    np.testing.assert_allclose(ratio[0].numpy(), v / (beyond + 1 - phi), rtol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_largest_root_is_that_of_the_polynomial(seed):
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 5)
    phi = np.sort(np.append(rng.uniform(0.1, 0.9, n - 1), 1.0))
    v = rng.standard_normal(n) + 1j * rng.standard_normal(n)
    z = rng.uniform(0.01, 3)
    poly = np.polynomial.Polynomial
    squares = [poly([-p, 1]) ** 2 for p in phi]
    whole = np.prod(squares) * poly([z, -1])
    for i in range(n):
        rest = [square for j, square in enumerate(squares) if j != i]
        whole = whole + poly([0, 0, abs(v[i]) ** 2 / phi[i]]) * (np.prod(rest) if rest else 1)
    roots = whole.roots()
    largest = roots[np.abs(roots.imag) < 1e-6].real.max()
    root, _ = largest_root(
        torch.from_numpy(phi)[None], torch.from_numpy(v)[None], torch.tensor([z], dtype=torch.float64)
    )
    assert float(root) == pytest.approx(largest, rel=1e-8)


@pytest.mark.parametrize(("sources", "channels"), [(1, 2), (1, 4), (2, 3), (2, 5), (3, 4)])
def test_overiva_is_the_published_update(sources, channels):
    """Scheibler & Ono 2019: J from the orthogonality constraint, then w_k = (W_hat V_k)^-1 e_k, normalised."""
    frames = 80
    x = whitened(3, channels, frames)
    demixer = Demixer(x, sources, load=0.0)
    rows = torch.eye(channels, dtype=x.dtype).repeat(3, 1, 1)[:, :sources].clone()
    for _ in range(5):
        phi = weights("laplace", demixer.power(), 3)
        demixer.step("ip", phi)
        for k in range(sources):
            v = (x * phi[k]) @ x.mH / frames
            # W_s C [J, -I]^H = 0 with C = I.
            j = torch.linalg.solve(rows[:, :, :sources], rows[:, :, sources:]).mH
            minus = -torch.eye(channels - sources, dtype=x.dtype).expand(3, -1, -1)
            whole = torch.cat([rows, torch.cat([j, minus], 2)], 1)
            unit = torch.eye(channels, dtype=x.dtype)[:, k].expand(3, -1)
            w = torch.linalg.solve(whole @ v, unit)
            rows[:, k] = (w / torch.einsum("fi,fij,fj->f", w.conj(), v, w).real.sqrt()[:, None]).conj()
        torch.testing.assert_close(demixer.matrix[:, :sources], rows, rtol=1e-8, atol=1e-8)
        background = demixer.matrix[:, sources:] @ demixer.matrix[:, :sources].mH
        assert float(background.abs().max()) < 1e-10


def test_overiva_pairs_are_the_published_update():
    """ip2 with background: P_i = (W_hat V_i)^-1 [e_k, e_l], eigenvectors of P_k^H V_k P_k against P_l^H V_l P_l."""
    sources, channels, frames = 2, 4, 80
    x = whitened(3, channels, frames)
    demixer = Demixer(x, sources, load=0.0)
    rows = torch.eye(channels, dtype=x.dtype).repeat(3, 1, 1)[:, :sources].clone()
    for _ in range(5):
        phi = weights("laplace", demixer.power(), 3)
        demixer.step("ip2", phi)
        j = torch.linalg.solve(rows[:, :, :sources], rows[:, :, sources:]).mH
        minus = -torch.eye(channels - sources, dtype=x.dtype).expand(3, -1, -1)
        whole = torch.cat([rows, torch.cat([j, minus], 2)], 1)
        for f in range(3):
            v = [(x[f] * phi[k]) @ x[f].mH / frames for k in range(2)]
            p = [np.linalg.solve((whole[f] @ v[k]).numpy(), np.eye(channels)[:, :2]) for k in range(2)]
            g = [p[k].conj().T @ v[k].numpy() @ p[k] for k in range(2)]
            _, h = scipy.linalg.eigh(g[0], g[1])
            for k, vector in enumerate((h[:, 1], h[:, 0])):
                scale = np.sqrt((vector.conj() @ g[k] @ vector).real)
                rows[f, k] = torch.from_numpy((p[k] @ vector / scale).conj())
        torch.testing.assert_close(
            up_to_phase(demixer.matrix[:, :sources]), up_to_phase(rows), rtol=1e-7, atol=1e-7
        )


def test_iss_is_the_published_time_domain_update():
    """Scheibler & Ono 2020, eq. 9-10: y <- y - v y_k."""
    x = whitened(3, 3, 50)
    phi = torch.rand(3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.1
    demixer = Demixer(x, 3, load=0.0)
    demixer.step("iss", phi)
    y = x.clone()
    for k in range(3):
        correlation = (phi * y * y[:, k, None].conj()).sum(-1)
        power = (phi * y[:, k, None].abs().square()).sum(-1)
        v = correlation / power
        v[:, k] = 1 - (power[:, k] / 50).rsqrt()
        y = y - v[:, :, None] * y[:, k, None]
    torch.testing.assert_close(demixer.outputs, y, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("sources", [2, 4])
@pytest.mark.parametrize("update", ["ip", "ip2"])
def test_outputs_matrix_power_and_determinant_belong_together(update, sources):
    x = whitened(5, 4, 60)
    demixer = Demixer(x, sources, load=1e-3)
    for _ in range(3):
        demixer.step(update, weights("gauss", demixer.power(), 5))
    rows = demixer.matrix[:, :sources]
    torch.testing.assert_close(demixer.outputs, rows @ x, rtol=1e-10, atol=1e-10)
    noise = 1e-3 * rows.abs().square().sum(-1)[..., None]
    expected = (demixer.outputs.abs().square() + noise).sum(0)
    torch.testing.assert_close(demixer.power(), expected, rtol=1e-12, atol=1e-12)
    gram = torch.linalg.slogdet(rows @ rows.mH)[1].sum() / 2
    assert demixer.log_determinant() == pytest.approx(float(gram), abs=1e-10)
    if sources == 4:
        assert demixer.log_determinant() == pytest.approx(
            float(torch.linalg.slogdet(rows)[1].sum()), abs=1e-10
        )


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("model", ["laplace", "gauss"])
@pytest.mark.parametrize("load", [0.0, 1e-6, 1.0])
def test_the_likelihood_never_falls(update, model, load):
    x = whitened(6, 3, 50)
    demixer = Demixer(x, 3, load=load)

    def objective() -> float:
        return contrast(model, demixer.power(), 6) - 2 * demixer.log_determinant()

    history = [objective()]
    for _ in range(30):
        demixer.step(update, weights(model, demixer.power(), 6))
        history.append(objective())
    rises = np.diff(history)
    assert rises.max() <= 1e-9 * np.abs(history).max()
    assert rises[0] < 0


@pytest.mark.parametrize("update", UPDATES)
def test_weights_may_differ_by_frequency(update):
    x = whitened(4, 3, 60)
    phi = torch.rand(4, 3, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.1
    together = Demixer(x, 3)
    together.step(update, phi)
    for f in range(4):
        alone = Demixer(x[f : f + 1], 3)
        alone.step(update, phi[f])
        torch.testing.assert_close(
            up_to_phase(alone.matrix[0]), up_to_phase(together.matrix[f]), rtol=1e-8, atol=1e-8
        )


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("frames", [1, 2, 4, 30])
def test_rank_deficient_input_stays_finite(update, frames):
    x = whitened(3, 4, 30)[..., :frames].clone()
    x[0] = 0
    x[1, 1] = x[1, 0]
    demixer = Demixer(x, 4)
    for _ in range(5):
        demixer.step(update, weights("laplace", demixer.power(), 3))
    assert torch.isfinite(demixer.outputs.abs()).all()
    assert torch.isfinite(demixer.matrix.abs()).all()


@pytest.mark.parametrize("update", UPDATES)
def test_one_source_among_several_channels_or_alone(update):
    x = whitened(3, 3, 50)
    for spectrogram in (x[:, :1], x):
        if update in ("iss", "iss2", "ipa") and len(spectrogram[0]) > 1:
            continue
        demixer, ip = Demixer(spectrogram, 1), Demixer(spectrogram, 1)
        for _ in range(3):
            demixer.step(update, weights("laplace", demixer.power(), 3))
            ip.step("ip", weights("laplace", ip.power(), 3))
        assert torch.isfinite(demixer.outputs.abs()).all()
        torch.testing.assert_close(
            up_to_phase(demixer.matrix[:, 0]), up_to_phase(ip.matrix[:, 0]), rtol=1e-8, atol=1e-8
        )


def test_a_ring_of_pairs_visits_every_source():
    assert pairs(2) == [(0, 1)]
    for sources in range(3, 9):
        assert sorted(k for pair in pairs(sources) for k in pair) == sorted([*range(sources)] * 2)
        assert all(k != m for k, m in pairs(sources))


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("update", ["ip", "ip2", "iss", "ipa"])
def test_one_sweep_is_that_of_the_authors(update, channels):
    """Numbers in ``auxiva_authors.npz`` (see the README beside it).

    1e-9 for closed forms, up to the phase of each row; 1e-4 for ipa, whose authors stop Newton's method at 1e-5.
    """
    data = np.load(FIXTURES / "auxiva_authors.npz")
    x, phi, start = (torch.from_numpy(data[f"{name}{channels}"]) for name in ("x", "phi", "start"))
    expected = torch.from_numpy(data[f"{update}{channels}"])
    demixer = Demixer(start @ x, channels, load=0.0)
    demixer.step(update, phi)
    tolerance = 1e-4 if update == "ipa" else 1e-9
    ours, theirs = up_to_phase(demixer.matrix @ start), up_to_phase(expected)
    assert float((ours - theirs).norm() / theirs.norm()) < tolerance
    if update == "iss":
        torch.testing.assert_close(demixer.matrix @ start, expected, rtol=1e-9, atol=1e-9)
