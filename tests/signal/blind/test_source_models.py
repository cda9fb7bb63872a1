import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbabble.signal.blind.source_models import FLOOR, SOURCE_MODELS, contrast, weights

BINS = 7
powers = st.floats(-25, 8).map(lambda exponent: 10.0**exponent)


def at(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


@pytest.mark.parametrize("model", SOURCE_MODELS)
@settings(deadline=None)
@given(here=powers, there=powers)
def test_the_majoriser_lies_above_and_touches(model, here, there):
    """G(p) <= G(p0) + phi(p0) (p - p0), also across the floor."""
    line = contrast(model, at(here), BINS) + float(weights(model, at(here), BINS)) * (there - here)
    value = contrast(model, at(there), BINS)
    assert value <= line + 1e-9 * (1 + abs(line) + abs(value))


@pytest.mark.parametrize("model", SOURCE_MODELS)
@pytest.mark.parametrize("power", [1e-12, 1e-6, 0.3, 5.0, 1e4])
def test_the_weight_is_the_slope(model, power):
    step = 1e-5 * power
    slope = (contrast(model, at(power + step), BINS) - contrast(model, at(power - step), BINS)) / (2 * step)
    assert float(weights(model, at(power), BINS)) == pytest.approx(slope, rel=1e-4)


def test_values_are_those_of_the_table():
    power = torch.tensor([[4.0, 9.0], [1.0, 16.0]], dtype=torch.float64)
    assert contrast("laplace", power, BINS) == pytest.approx((2 + 3 + 1 + 4) / 2)
    assert contrast("gauss", power, BINS) == pytest.approx(
        BINS / 2 * sum(math.log(p / BINS) for p in (4, 9, 1, 16))
    )
    torch.testing.assert_close(weights("laplace", power, BINS), 0.5 / power.sqrt())
    torch.testing.assert_close(weights("gauss", power, BINS), BINS / power)


@pytest.mark.parametrize("model", SOURCE_MODELS)
def test_silence_has_finite_weights(model):
    silent, floor = weights(model, at(0.0), BINS), weights(model, at(FLOOR * BINS), BINS)
    assert torch.isfinite(silent).all()
    assert torch.equal(silent, floor)
    assert math.isfinite(contrast(model, at(0.0), BINS))


@pytest.mark.parametrize("model", SOURCE_MODELS)
def test_weights_keep_the_precision_of_the_powers(model):
    assert weights(model, at(1.0).float(), BINS).dtype == torch.float32
