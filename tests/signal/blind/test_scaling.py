import pytest
import torch
from torch import Tensor

from unbabble.signal.blind.scaling import images, steering_vectors


def gauss(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def outputs() -> Tensor:
    return gauss(4, 3, 100, seed=0)


def test_steering_vectors_undo_the_demixing(outputs):
    mixing = gauss(4, 3, 3, seed=1)
    torch.testing.assert_close(steering_vectors(outputs, mixing @ outputs), mixing, rtol=1e-8, atol=1e-8)


def test_images_are_the_sources_at_the_microphones(outputs):
    mixing = gauss(4, 5, 3, seed=1)
    heard = images(outputs, mixing @ outputs)
    assert heard.shape == (4, 3, 5, 100)
    for k in range(3):
        expected = mixing[:, :, k, None] * outputs[:, k, None]
        torch.testing.assert_close(heard[:, k], expected, rtol=1e-7, atol=1e-7)


def test_as_many_images_as_microphones_add_up(outputs):
    mixture = gauss(4, 3, 3, seed=2) @ outputs
    torch.testing.assert_close(images(outputs, mixture).sum(1), mixture, rtol=1e-8, atol=1e-8)


def test_fewer_images_are_the_least_squares_fit(outputs):
    mixture = gauss(4, 3, 100, seed=3)
    fit = images(outputs[:, :2], mixture).sum(1)
    residual = (mixture - fit) @ outputs[:, :2].mH / 100
    assert float(residual.abs().max()) < 1e-8


@pytest.mark.parametrize("scale", [1e-15, 1e15, 1j])
def test_the_scale_of_the_outputs_does_not_matter(outputs, scale):
    mixture = gauss(4, 3, 3, seed=2) @ outputs
    gains = torch.tensor([scale, 1, 3], dtype=torch.complex128)[:, None]
    torch.testing.assert_close(
        images(gains * outputs, mixture), images(outputs, mixture), rtol=1e-6, atol=1e-8
    )


def test_a_silent_or_doubled_output_stays_finite(outputs):
    mixture = gauss(4, 3, 3, seed=2) @ outputs
    outputs[:, 1] = 0
    heard = images(outputs.to(torch.complex64), mixture.to(torch.complex64))
    assert torch.isfinite(heard.abs()).all()
    assert float(heard[:, 1].abs().max()) == 0
    outputs[:, 1] = outputs[:, 0]
    heard = images(outputs.to(torch.complex64), mixture.to(torch.complex64))
    assert torch.isfinite(heard.abs()).all()
    assert float(heard.abs().max()) < 100 * float(mixture.abs().max())


def test_precision_is_that_of_the_outputs(outputs):
    single = outputs.to(torch.complex64)
    assert images(single, single).dtype == torch.complex64
    assert images(outputs, outputs).dtype == torch.complex128
