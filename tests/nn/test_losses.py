"""Training losses against closed forms, brute force and properties."""

from itertools import permutations, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbabble.nn.losses import mixit_loss, separation_loss
from unbabble.signal.metrics import si_sdr, snr

TIME = 400


def _noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def _cost(estimate, source, mixture, scale_invariance, soft_db):
    """Of one estimate for one source, or for nobody where it is silent."""
    estimate, source, mixture = (each - each.mean() for each in (estimate, source, mixture))
    cost = 0.0
    for share, ratio in ((scale_invariance, si_sdr), (1 - scale_invariance, snr)):
        if source.any():
            inverse = 10 ** (-ratio(estimate, source) / 10)
        else:
            inverse = estimate.square().sum() / mixture.square().sum()
        cost += share * float(10 * torch.log10(inverse + 10 ** (-soft_db / 10)))
    return cost


def _brute_force(estimates, sources, mixture, *how):
    """The definition, for one item: every estimate has a source, or nobody."""
    nobody = [torch.zeros_like(mixture)] * (len(estimates) - len(sources))
    costs = [[_cost(each, source, mixture, *how) for source in [*sources, *nobody]] for each in estimates]
    orders = permutations(range(len(estimates)))
    return min(sum(costs[number][place] for place, number in enumerate(order)) for order in orders) / len(
        costs
    )


@pytest.mark.parametrize("scale_invariance", [1.0, 0.5, 0.0])
@pytest.mark.parametrize(
    ("count", "places", "talkers"), [(1, 1, 1), (2, 2, 2), (3, 2, 2), (3, 3, 1), (5, 5, 5)]
)
def test_agrees_with_the_definition_over_all_permutations(count, places, talkers, scale_invariance):
    sources = _noise(2, places, TIME, seed=1) * torch.linspace(0.3, 2, places)[:, None]
    sources[:, talkers:] = 0
    mixture = sources.sum(1)
    mixing = _noise(2, count, places, seed=2)
    estimates = mixing @ sources + 0.1 * _noise(2, count, TIME, seed=3) + 0.5
    for soft_db in (30.0, 60.0):
        found = separation_loss(
            estimates, sources, mixture, scale_invariance=scale_invariance, soft_db=soft_db
        )
        expected = [
            _brute_force(*item, scale_invariance, soft_db)
            for item in zip(estimates, sources, mixture, strict=True)
        ]
        assert found.tolist() == pytest.approx(expected, abs=1e-4)


def test_closed_form_for_a_known_share_of_an_orthogonal_disturbance():
    """s + n / 10, with n orthogonal to s and as strong: 20 dB."""
    basis = torch.linalg.qr(_noise(TIME, 3) - _noise(TIME, 3).mean(0))[0].T
    basis = basis - basis.mean(-1, keepdim=True)
    source, disturbance = basis[:1], basis[1:2]
    estimate = 3 * (source + 0.1 * disturbance)
    loss = separation_loss(estimate[None], source[None], source, soft_db=100)
    assert float(loss) == pytest.approx(-20, abs=1e-3)
    kept = separation_loss(estimate[None] / 3, source[None], source, soft_db=100, scale_invariance=0.0)
    assert float(kept) == pytest.approx(-20, abs=1e-3)
    wrong_level = separation_loss(2 * source[None], source[None], source, soft_db=100, scale_invariance=0.0)
    assert float(wrong_level) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("scale_invariance", "expected"), [(1.0, 0.0), (0.5, -1.505), (0.0, -3.01)])
def test_half_of_the_mixture_for_each(scale_invariance, expected):
    basis = torch.linalg.qr(_noise(TIME, 2) - _noise(TIME, 2).mean(0))[0].T
    mixture = basis.sum(0)
    estimates = torch.stack([mixture, mixture]) / 2
    loss = separation_loss(
        estimates[None], basis[None], mixture[None], soft_db=100, scale_invariance=scale_invariance
    )
    assert float(loss) == pytest.approx(expected, abs=1e-3)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1000),
    order=st.permutations(range(3)),
    gain=st.floats(0.01, 100),
    scale_invariance=st.sampled_from([1.0, 0.5, 0.0]),
    offset=st.floats(-1, 1),
)
def test_order_sign_offset_and_level_do_not_matter(seed, order, gain, scale_invariance, offset):
    sources = _noise(1, 3, TIME, seed=seed)
    mixture = sources.sum(1)
    estimates = sources + 0.3 * _noise(1, 3, TIME, seed=seed + 1)
    expected = separation_loss(estimates, sources, mixture, scale_invariance=scale_invariance)
    places = list(order)
    reordered = separation_loss(estimates[:, places], sources, mixture, scale_invariance=scale_invariance)
    assert float(reordered) == pytest.approx(float(expected), abs=1e-6)
    moved = separation_loss(
        estimates + offset, sources[:, places], mixture, scale_invariance=scale_invariance
    )
    assert float(moved) == pytest.approx(float(expected), abs=1e-6)
    if scale_invariance == 1:
        changed = separation_loss(-gain * estimates, sources, mixture)
    else:
        changed = separation_loss(
            gain * estimates, gain * sources, gain * mixture, scale_invariance=scale_invariance
        )
    assert float(changed) == pytest.approx(float(expected), abs=1e-4)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1000), amount=st.floats(0.0, 3.0), scale_invariance=st.sampled_from([1.0, 0.5, 0.0])
)
def test_never_below_the_softening_nor_better_with_more_noise(seed, amount, scale_invariance):
    sources = _noise(1, 2, TIME, seed=seed)
    disturbance = _noise(1, 2, TIME, seed=seed + 1)
    costs = [
        float(
            separation_loss(
                sources + more * disturbance, sources, sources.sum(1), scale_invariance=scale_invariance
            )
        )
        for more in (amount, 2 * amount + 0.5)
    ]
    assert costs[0] >= -30.001
    assert costs[1] > costs[0]


@pytest.mark.parametrize("scale_invariance", [1.0, 0.5, 0.0])
def test_silence_is_no_answer_where_somebody_talks(scale_invariance):
    """Estimates that vanish must not score: a network would learn to say nothing."""
    sources = _noise(1, 2, TIME, seed=1)
    mixture = sources.sum(1)
    for level in (0.0, 1e-30, 1e-10, 1e-7):
        estimates = (level * _noise(1, 2, TIME, seed=2)).requires_grad_()
        loss = separation_loss(estimates, sources, mixture, scale_invariance=scale_invariance)
        assert float(loss.detach()) > -0.5
        loss.sum().backward()
        assert estimates.grad is not None
        assert estimates.grad.isfinite().all()


@pytest.mark.parametrize("silent", [0.0, 0.25])
def test_a_source_without_sound_asks_for_silence(silent):
    """All zeros, or constant: what is left of an offset is no talker."""
    talker = _noise(1, 1, TIME, seed=1).float()
    sources = torch.cat((talker, torch.full_like(talker, silent)), 1)
    mixture = talker[:, 0]
    good = separation_loss(torch.cat((talker, 0 * talker), 1), sources, mixture)
    copied = separation_loss(torch.cat((talker, talker), 1), sources, mixture)
    assert float(good) == pytest.approx(-30, abs=0.01)
    assert float(copied) == pytest.approx(-15, abs=0.01)


def test_silence_everywhere_is_finite():
    nothing = torch.zeros(2, 2, TIME)
    estimates = nothing.clone().requires_grad_()
    loss = separation_loss(estimates, nothing, nothing[:, 0])
    loss.sum().backward()
    assert loss.isfinite().all()
    assert estimates.grad is not None
    assert estimates.grad.isfinite().all()


def test_gradient_is_that_of_the_definition():
    sources = _noise(1, 3, 30, seed=1)
    sources[:, 2] = 0
    mixture = sources.sum(1)
    estimates = (sources + 0.5 * _noise(1, 3, 30, seed=2)).requires_grad_()
    for scale_invariance in (1.0, 0.5, 0.0):
        assert torch.autograd.gradcheck(
            lambda each, kind=scale_invariance: separation_loss(
                each, sources, mixture, scale_invariance=kind
            ),
            (estimates,),
        )


def test_half_precision_outside_does_not_make_it_coarse():
    sources = _noise(1, 2, 8000, seed=1).float()
    estimates = sources + 0.02 * _noise(1, 2, 8000, seed=2).float()
    expected = separation_loss(estimates, sources, sources.sum(1))
    with torch.autocast("cpu", torch.bfloat16):
        found = separation_loss(estimates, sources, sources.sum(1))
    assert float(found) == pytest.approx(float(expected), abs=1e-4)
    assert found.dtype == torch.float32


def test_too_few_estimates_are_refused():
    with pytest.raises(ValueError, match="cannot stand for"):
        separation_loss(_noise(1, 2, TIME), _noise(1, 3, TIME), _noise(1, TIME))


def test_a_fixed_order_is_not_searched_for():
    torch.manual_seed(0)
    sources = torch.randn(3, 2, 400)
    mixture = sources.sum(1)
    estimates = sources + 0.1 * torch.randn_like(sources)
    best = separation_loss(estimates, sources, mixture)
    assert torch.allclose(separation_loss(estimates, sources, mixture, fixed_order=True), best)
    swapped = separation_loss(estimates.flip(1), sources, mixture, fixed_order=True)
    assert (swapped > best + 10).all()


def mixit_by_hand(estimates, mixtures, first_to_first):
    """All assignments in turn, as the paper writes them."""
    costs = []
    for choice in product(range(len(mixtures)), repeat=len(estimates)):
        if first_to_first and choice[0]:
            continue
        cost = 0.0
        for number, mixture in enumerate(mixtures):
            chosen = [each for each, place in zip(estimates, choice, strict=True) if place == number]
            error = (mixture - sum(chosen, torch.zeros_like(mixture))).square().sum()
            cost += 10 * torch.log10(error / mixture.square().sum() + 1e-3) / len(mixtures)
        costs.append(cost)
    return min(costs)


@pytest.mark.parametrize("first_to_first", [False, True])
@pytest.mark.parametrize(("estimates", "mixtures"), [(2, 2), (4, 2), (3, 3), (1, 2)])
def test_mixit_is_the_best_of_all_assignments(estimates, mixtures, first_to_first):
    generator = torch.Generator().manual_seed(estimates)
    found, true = (torch.randn(3, count, 200, generator=generator) for count in (estimates, mixtures))
    found, true = (each - each.mean(-1, keepdim=True) for each in (found, true))
    loss = mixit_loss(found, true, first_to_first=first_to_first)
    expected = [mixit_by_hand(*pair, first_to_first) for pair in zip(found, true, strict=True)]
    torch.testing.assert_close(loss, torch.stack(expected), rtol=1e-4, atol=1e-4)


def test_mixit_is_lowest_for_the_true_sources():
    sources = torch.randn(2, 4, 500, generator=torch.Generator().manual_seed(0))
    mixtures = torch.stack([sources[:, [0, 2]].sum(1), sources[:, [1, 3]].sum(1)], 1)
    assert (mixit_loss(sources, mixtures) < -29).all()
    assert (mixit_loss(sources.flip(1), mixtures) < -29).all()
    assert (mixit_loss(sources, mixtures.flip(1)) < -29).all()
    voice_first = torch.stack([sources[:, :2].sum(1), sources[:, 2]], 1)
    assert (mixit_loss(sources[:, :3], voice_first, first_to_first=True) < -29).all()
    assert (mixit_loss(sources[:, [2, 0, 1]], voice_first, first_to_first=True) > -20).all()
