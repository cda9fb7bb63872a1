import pytest
import torch

from unbabble.signal.blind.whitening import whiten


def mixture(channels: int = 3, bins: int = 5, frames: int = 200, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    sources = torch.randn(bins, channels, frames, dtype=torch.complex128, generator=generator)
    mixing = torch.randn(bins, channels, channels, dtype=torch.complex128, generator=generator)
    return (mixing @ sources).transpose(0, 1)


def test_the_covariance_is_the_identity():
    x = mixture()
    white = whiten(x)
    covariance = white.spectrogram @ white.spectrogram.mH / 200
    eye = torch.eye(3, dtype=covariance.dtype).expand(5, -1, -1)
    torch.testing.assert_close(covariance, eye, rtol=0, atol=1e-10, check_layout=False)
    torch.testing.assert_close(white.spectrogram, white.transform @ x.transpose(0, 1))
    assert white.bins.tolist() == [0, 1, 2, 3, 4]


def test_the_strongest_component_comes_first():
    white = whiten(mixture())
    gains = white.transform.norm(dim=2)
    assert (gains.diff(dim=1) > 0).all(), "the stronger a component, the less it is amplified"


def test_components_can_be_left_out():
    x = mixture(4)
    kept, whole = whiten(x, 2), whiten(x)
    assert kept.spectrogram.shape == (5, 2, 200)
    torch.testing.assert_close(kept.spectrogram, whole.spectrogram[:, :2])


def test_precision_is_kept():
    x = mixture().to(torch.complex64)
    white = whiten(x)
    assert white.spectrogram.dtype == white.transform.dtype == torch.complex64
    covariance = white.spectrogram @ white.spectrogram.mH / 200
    assert float((covariance - torch.eye(3)).abs().max()) < 1e-4


def test_inaudible_bins_are_left_out():
    x = mixture()
    x[:, 1] = 0
    x[:, 3] *= 1e-6
    x[:, 4] *= 1e-3
    assert whiten(x).bins.tolist() == [0, 2, 4]


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("gains", [(1.0,), (0.3,), (0.3, -0.7), (1e-3, 0.9), (-1.7, 2.2)])
def test_channels_that_depend_on_others_do_not_count(dtype, gains, seed):
    """A copy, a quieter copy, a sum: rounding is not a microphone."""
    x = mixture(2, bins=30, seed=seed)
    extra = sum(gain * channel for gain, channel in zip(gains, x, strict=False))
    whole = torch.cat([x, extra[None]]).to(dtype)
    white = whiten(whole)
    assert white.spectrogram.shape[1] == 2
    assert torch.isfinite(white.spectrogram.abs()).all()


def test_a_channel_that_is_dead_in_a_few_bins_counts():
    x = mixture(3, bins=9)
    x[2, :3] = 0
    white = whiten(x)
    assert white.spectrogram.shape == (9, 3, 200)
    assert torch.isfinite(white.spectrogram.abs()).all()
    assert float(white.spectrogram.abs().square().mean(-1).max()) < 1 + 1e-9


def test_there_are_no_more_components_than_frames():
    white = whiten(mixture(6, frames=4))
    assert white.spectrogram.shape[1] <= 4
    assert torch.isfinite(white.spectrogram.abs()).all()


@pytest.mark.parametrize("gain", [1e-12, 1e12])
def test_level_does_not_matter(gain):
    x = mixture()
    torch.testing.assert_close(whiten(x).spectrogram.abs(), whiten(gain * x).spectrogram.abs())
