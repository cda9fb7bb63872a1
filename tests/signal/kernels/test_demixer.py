"""The compiled kernels against the reference in double precision."""

import pytest
import torch
from torch import Tensor

from unbabble.signal.blind.demixing import UPDATES, Demixer
from unbabble.signal.blind.scaling import images
from unbabble.signal.blind.source_models import contrast, weights
from unbabble.signal.kernels.demixer import FastDemixer

ITERATIONS = 10
TOLERANCE = 1e-4
"""Relative, after projection back: float32's 6e-8 times the condition of covariances that are averages of a few
dozen frames (up to some 100), carried through ten iterations."""


def mixture(bins: int, channels: int, frames: int, seed: int = 0) -> Tensor:
    """White channels made of sources with envelopes of their own, (frequency, channel, frame), complex128."""
    generator = torch.Generator().manual_seed(seed)
    envelope = torch.rand(channels, frames, dtype=torch.float64, generator=generator) ** 3 + 0.02
    sources = envelope * torch.randn(bins, channels, frames, dtype=torch.complex128, generator=generator)
    mixing = torch.randn(bins, channels, channels, dtype=torch.complex128, generator=generator)
    x = (torch.eye(channels) + 0.4 * mixing) @ sources
    values, vectors = torch.linalg.eigh(x @ x.mH / frames)
    return (vectors * values.rsqrt()[:, None]).mH @ x


def error(ours: Tensor, expected: Tensor) -> float:
    return float((ours - expected).norm() / expected.norm())


def assert_agree(fast: Demixer, reference: Demixer, x: Tensor, tolerance: float = TOLERANCE) -> None:
    """Outputs as heard at the first channel, rows up to their phase, powers, determinants."""
    heard = [images(demixer.outputs.to(x), x[:, :1]) for demixer in (fast, reference)]
    assert error(*heard) < tolerance
    rows = [demixer.matrix[:, : fast.sources].to(x) for demixer in (fast, reference)]
    assert error(*(r[..., None] * r[..., None, :].conj() for r in rows)) < 2 * tolerance
    assert error(fast.power().double(), reference.power()) < tolerance
    scale = reference.matrix.shape[0] * reference.sources
    assert fast.log_determinant() == pytest.approx(reference.log_determinant(), abs=tolerance * scale)
    assert error(fast.outputs.to(x), fast.matrix[:, : fast.sources].to(x) @ x) < tolerance


def descend(demixer: Demixer, update: str, model: str, bins: int, iterations: int = ITERATIONS) -> None:
    for _ in range(iterations):
        demixer.step(update, weights(model, demixer.power(), bins))


def pair(x: Tensor, sources: int, threads: int = 1, load: float = 1e-6) -> tuple[FastDemixer, Demixer]:
    return FastDemixer(x.to(torch.complex64), sources, load, threads), Demixer(x, sources, load)


@pytest.mark.parametrize("model", ["laplace", "gauss"])
@pytest.mark.parametrize("channels", range(2, 9))
@pytest.mark.parametrize("update", UPDATES)
def test_agrees_with_the_reference(update, channels, model):
    x = mixture(20, channels, 150)
    fast, reference = pair(x, channels)
    descend(fast, update, model, 20)
    descend(reference, update, model, 20)
    assert_agree(fast, reference, x)


@pytest.mark.parametrize(("sources", "channels"), [(1, 2), (1, 5), (2, 3), (2, 7), (3, 4), (5, 8)])
@pytest.mark.parametrize("update", ["ip", "ip2"])
def test_agrees_where_there_is_background(update, sources, channels):
    x = mixture(20, channels, 150)
    fast, reference = pair(x, sources)
    descend(fast, update, "gauss", 20)
    descend(reference, update, "gauss", 20)
    assert_agree(fast, reference, x)
    gram = fast.matrix @ fast.matrix.mH
    assert float(gram[:, sources:, :sources].abs().max()) < 1e-3 * float(gram.abs().max())


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("update", UPDATES)
def test_one_source(update, channels):
    x = mixture(5, channels, 60)
    fast, reference = pair(x, 1)
    descend(fast, update, "laplace", 5)
    descend(reference, update, "laplace", 5)
    assert_agree(fast, reference, x)


@pytest.mark.parametrize("update", ["iss", "iss2", "ipa"])
def test_updates_that_know_no_background_say_so(update):
    for demixer in pair(mixture(5, 3, 60), 2):
        with pytest.raises(ValueError, match=f"{update} needs as many sources as channels"):
            demixer.step(update, demixer.power())


@pytest.mark.parametrize("bins", [1, 15, 16, 17, 33])
@pytest.mark.parametrize("update", UPDATES)
def test_any_number_of_bins_and_weights_of_their_own(update, bins):
    x = mixture(bins, 3, 50)
    fast, reference = pair(x, 3)
    generator = torch.Generator().manual_seed(5)
    for _ in range(3):
        phi = torch.rand(bins, 3, 50, generator=generator) + 0.05
        fast.step(update, phi)
        reference.step(update, phi.double())
    assert_agree(fast, reference, x)


@pytest.mark.parametrize("frames", [7, 15, 16, 17, 31])
@pytest.mark.parametrize("update", UPDATES)
def test_any_number_of_frames(update, frames):
    x = mixture(3, 2, frames)
    fast, reference = pair(x, 2)
    descend(fast, update, "laplace", 3, 4)
    descend(reference, update, "laplace", 3, 4)
    assert_agree(fast, reference, x)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("update", UPDATES)
def test_threads_change_nothing_but_the_order_of_sums(update, shared):
    bins = 70  # five blocks, the last not full
    x = mixture(bins, 3, 40)
    phi = torch.rand(*(() if shared else (bins,)), 3, 40, generator=torch.Generator().manual_seed(5)) + 0.05
    alone = FastDemixer(x, 3, threads=1)
    for threads in (2, 3, 5, 16):
        fast = FastDemixer(x, 3, threads=threads)
        torch.testing.assert_close(fast.power(), FastDemixer(x, 3, threads=1).power())
        if threads == 2:
            alone.step(update, phi)
        fast.step(update, phi)
        assert torch.equal(fast.outputs, alone.outputs)
        assert torch.equal(fast.matrix, alone.matrix)
        torch.testing.assert_close(fast.power(), alone.power(), rtol=1e-5, atol=0)
        assert fast.log_determinant() == pytest.approx(alone.log_determinant(), rel=1e-12)


@pytest.mark.parametrize("update", UPDATES)
def test_the_same_input_gives_the_same_bits(update):
    x = mixture(18, 3, 40)
    results = []
    for _ in range(2):
        fast = FastDemixer(x, 3, threads=2)
        descend(fast, update, "laplace", 18, 3)
        results.append(fast.outputs)
    assert torch.equal(*results)


def test_the_input_is_copied():
    x = mixture(3, 2, 30).to(torch.complex64)
    before = x.clone()
    fast = FastDemixer(x, 2)
    first = fast.outputs
    descend(fast, "iss", "laplace", 3)
    assert torch.equal(x, before)
    assert torch.equal(first, before), "outputs handed out earlier changed"


@pytest.mark.parametrize("model", ["laplace", "gauss"])
@pytest.mark.parametrize("update", UPDATES)
def test_the_objective_rises_by_rounding_at_most(update, model):
    bins, channels = 33, 4
    x = mixture(bins, channels, 120)
    fast = FastDemixer(x, channels)

    def objective() -> float:
        return contrast(model, fast.power(), bins) - 2 * fast.log_determinant()

    history = [objective()]
    for _ in range(60):
        fast.step(update, weights(model, fast.power(), bins))
        history.append(objective())
    rises = torch.tensor(history).diff()
    # Each of the bins x channels terms of the determinant is of order one and known to float32's 1e-7.
    assert float(rises.max()) < 1e-6 * bins * channels
    assert history[-1] < history[0]


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(
    "spoil",
    [
        "silent bin",
        "silent channel",
        "copied channel",
        "one frame",
        "fewer frames than channels",
        "tiny",
        "huge",
    ],
)
def test_degenerate_input_stays_finite(update, spoil):
    frames = {"one frame": 1, "fewer frames than channels": 3}.get(spoil, 40)
    x = mixture(17, 4, 40)[..., :frames].clone()
    x /= x.abs().square().mean((1, 2), keepdim=True).sqrt()
    if spoil == "silent bin":
        x[5] = 0
    elif spoil == "silent channel":
        x[:, 2] = 0
    elif spoil == "copied channel":
        x[:, 2] = x[:, 1]
    elif spoil in ("tiny", "huge"):
        x[3] *= {"tiny": 1e-5, "huge": 1e5}[spoil]
    fast = FastDemixer(x, 4)
    for _ in range(20):
        fast.step(update, weights("laplace", fast.power(), 17))
    assert torch.isfinite(torch.view_as_real(fast.outputs)).all()
    assert torch.isfinite(torch.view_as_real(fast.matrix)).all()
    assert torch.isfinite(fast.power()).all()
    assert torch.isfinite(torch.tensor(fast.log_determinant()))


@pytest.mark.parametrize("swapped", [True, False])
def test_ipa_where_outputs_are_exactly_uncorrelated(swapped):
    """The hard case v = 0: sources that never sound together, weights that want them swapped or as they are."""
    frames, channels = 48, 3
    active = torch.arange(frames) % channels == torch.arange(channels)[:, None]
    x = (active * channels**0.5).to(torch.complex128).repeat(4, 1, 1)
    order = [1, 2, 0] if swapped else [0, 1, 2]
    phi = torch.where(active[order], 0.1, 3.0)
    fast, reference = pair(x, channels)
    values = []
    for demixer in (fast, reference):
        for _ in range(2):
            demixer.step("ipa", phi.to(demixer.power()))
        quadratic = (phi * demixer.outputs.abs().square()).sum() / frames
        values.append(float(quadratic) - 2 * demixer.log_determinant())
    assert values[0] == pytest.approx(values[1], rel=1e-4)


@pytest.mark.parametrize("update", ["ip", "ip2"])
def test_weights_that_lie_far_apart_leave_numbers(update):
    """Both sources chase one talker who hardly speaks: in single precision no covariance stays positive definite."""
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        demixer = FastDemixer(mixture(4, 7, 60, seed).to(torch.complex64), 3, threads=1)
        phi = torch.rand(4, 1, 60, generator=generator)
        phi[..., :1] *= 1e8
        phi = phi * (1 + 1e-4 * torch.rand(4, 3, 60, generator=generator))
        for _ in range(20):
            demixer.step(update, phi)
        assert demixer.outputs.abs().isfinite().all()
        assert demixer.matrix.abs().isfinite().all()


@pytest.mark.parametrize("update", ["ip", "ip2", "iss2", "ipa"])
def test_a_frequency_without_a_step_stays_as_it_is(update):
    x = mixture(20, 3, 50)
    phi = torch.rand(20, 3, 50, generator=torch.Generator().manual_seed(5)) + 0.05
    spoilt = phi.clone()
    spoilt[17, 1] = torch.nan
    rest = torch.arange(20) != 17
    demixers = zip(pair(x, 3), pair(x, 3), strict=True)
    for broken, whole in demixers if update in ("ip", "ipa") else list(demixers)[:1]:
        whole.step(update, phi.to(x.real.dtype))
        broken.step(update, spoilt.to(x.real.dtype))
        torch.testing.assert_close(broken.outputs[rest].abs(), whole.outputs[rest].abs())  # phases are free
        torch.testing.assert_close(broken.outputs[17].to(x), x[17])
