import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbabble.signal.stft import Stft

SIZES = [(2, 1), (4, 1), (6, 3), (6, 2), (10, 5), (16, 4), (24, 8), (64, 32), (64, 16), (96, 12), (256, 64)]


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@settings(deadline=None, max_examples=40)
@given(
    size=st.sampled_from(SIZES),
    length=st.integers(0, 600),
    batch=st.sampled_from([(), (1,), (2,), (2, 3)]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_synthesis_inverts_analysis(size, length, batch, dtype):
    stft = Stft(*size)
    waveform = noise(*batch, length, dtype=dtype)
    spectrogram = stft.analyse(waveform)
    assert spectrogram.shape == (*batch, stft.bins, stft.frames(length))
    assert spectrogram.dtype == dtype.to_complex()
    again = stft.synthesise(spectrogram, length)
    assert again.shape == waveform.shape
    assert again.dtype == dtype
    # A few roundings of numbers near one: the FFT's log2(256) stages and the sum over the overlap.
    torch.testing.assert_close(again, waveform, rtol=0, atol=50 * torch.finfo(dtype).eps)


@settings(deadline=None, max_examples=30)
@given(size=st.sampled_from(SIZES), length=st.integers(1, 400))
def test_energy_is_the_sum_over_frames(size, length):
    """Parseval for a frame: every sample lies under all shifts of the window, the ends included."""
    stft = Stft(*size)
    waveform = noise(length)
    power = stft.analyse(waveform).abs().square().sum(-1)
    both_sides = 2 * power.sum() - power[0] - power[-1]
    squares = stft.window.square().reshape(-1, stft.hop_length).sum(0)
    under = squares[torch.arange(length) % stft.hop_length]
    expected = stft.window_length * (under * waveform.square()).sum()
    torch.testing.assert_close(both_sides, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("window_length", "hop_length"), [(64, 16), (64, 32), (96, 12)])
def test_frames_are_those_of_torch_and_scipy(window_length, hop_length):
    stft = Stft(window_length, hop_length)
    waveform = noise(1000)
    ours = stft.analyse(waveform)
    theirs = torch.stft(
        waveform, window_length, hop_length, window=stft.window, center=False, return_complex=True
    )
    before = window_length // hop_length - 1  # frames that begin before the first sample
    torch.testing.assert_close(ours[:, before : before + theirs.shape[1]], theirs, rtol=1e-12, atol=1e-12)

    peer = scipy.signal.ShortTimeFFT(stft.window.numpy(), hop_length, fs=1.0, phase_shift=None)
    middle = window_length // 2 // hop_length  # scipy's frame p begins half a window before sample p hop
    first, last = peer.lower_border_end[1], peer.upper_border_begin(1000)[1]
    theirs = peer.stft(waveform.numpy(), first, last)
    start = before + first - middle
    ours = ours[:, start : start + last - first].numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_the_synthesis_is_the_least_squares_one():
    """Griffin & Lim 1984: what is no one's spectrogram becomes the nearest signal's."""
    stft = Stft(16, 4)
    length = 50
    target = torch.complex(
        noise(stft.bins, stft.frames(length), seed=1), noise(stft.bins, stft.frames(length), seed=2)
    )
    target[[0, -1]] = target[[0, -1]].real.to(target.dtype)

    def distance(waveform: torch.Tensor) -> torch.Tensor:
        error = (stft.analyse(waveform) - target).abs().square().sum(-1)
        return 2 * error.sum() - error[0] - error[-1]

    waveform = stft.synthesise(target, length).requires_grad_()
    (gradient,) = torch.autograd.grad(distance(waveform), waveform)
    assert float(gradient.abs().max()) < 1e-10


def test_is_linear_and_differentiable():
    stft = Stft(16, 4)
    one, other = noise(40, seed=1), noise(40, seed=2)
    torch.testing.assert_close(
        stft.analyse(2 * one - 3 * other), 2 * stft.analyse(one) - 3 * stft.analyse(other)
    )
    assert torch.autograd.gradcheck(
        lambda x: stft.synthesise(stft.analyse(x), 40), one.requires_grad_(), check_batched_grad=False
    )


@pytest.mark.parametrize("size", [(15, 5), (16, 5), (16, 16), (16, 12), (16, 32)])
def test_a_hop_that_loses_samples_is_refused(size):
    with pytest.raises(ValueError, match="hop"):
        Stft(*size)
