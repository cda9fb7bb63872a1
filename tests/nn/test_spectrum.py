"""The transform inside networks: against two other transforms, reconstruction, gradients, mixed precision."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbabble.base.errors import UsageError
from unbabble.nn.spectrum import Spectrum
from unbabble.signal.stft import Stft

SIZES = [(8, 4), (32, 8), (256, 128), (512, 64)]


def test_agrees_with_the_complex_transform(generator: torch.Generator) -> None:
    waveform = torch.randn(2, 1003, generator=generator)
    for window, hop in SIZES:
        real, imaginary = Spectrum(window, hop).analyse(waveform).unbind(1)
        expected = Stft(window, hop).analyse(waveform).mT
        torch.testing.assert_close(torch.complex(real, imaginary), expected, atol=1e-4, rtol=0)


def test_agrees_with_torch(generator: torch.Generator) -> None:
    window, hop, length = 256, 64, 2048
    spectrum = Spectrum(window, hop, square_root=True)
    waveform = torch.randn(2, length, generator=generator)
    taper = torch.hann_window(window).sqrt()
    expected = torch.stft(waveform, window, hop, window=taper, center=False, return_complex=True).mT
    inside = spectrum.analyse(waveform)[:, :, window // hop - 1 :]
    inside = torch.complex(*inside[:, :, : expected.shape[1]].unbind(1))
    torch.testing.assert_close(inside, expected, atol=1e-4, rtol=0)

    # Of a spectrogram that no signal has: the inverse is the nearest one (least squares) in both.
    noise = torch.randn(2, 2, spectrum.frames(length), spectrum.bins, generator=generator)
    pieces = torch.complex(*noise.unbind(1)).mT
    nearest = torch.istft(pieces, window, hop, window=taper, center=True, length=(pieces.shape[-1] - 1) * hop)
    overlap = window - hop
    start = overlap - window // 2
    found = spectrum.synthesise(noise, length)
    torch.testing.assert_close(found, nearest[:, start : start + length], atol=1e-5, rtol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(SIZES), st.integers(1, 1200), st.booleans(), st.integers(0, 2**31))
def test_reconstructs_every_sample(size: tuple[int, int], length: int, root: bool, seed: int) -> None:
    waveform = torch.randn(2, length, generator=torch.Generator().manual_seed(seed))
    spectrum = Spectrum(*size, square_root=root)
    analysed = spectrum.analyse(waveform)
    assert analysed.shape == (2, 2, spectrum.frames(length), spectrum.bins)
    found = spectrum.synthesise(analysed, length)
    torch.testing.assert_close(found, waveform, atol=1e-5, rtol=0)


def test_square_root_window_is_its_own_inverse() -> None:
    spectrum = Spectrum(64, 32, square_root=True)
    energy = torch.eye(64)  # unit pulses: Parseval for a tight frame
    analysed = spectrum.analyse(energy).square()
    analysed[..., 1:-1] *= 2
    torch.testing.assert_close(analysed.sum((1, 2, 3)) / 64, torch.ones(64))


def test_gradient_is_the_adjoint(generator: torch.Generator) -> None:
    spectrum = Spectrum(32, 8)
    waveform = torch.randn(1, 101, generator=generator, requires_grad=True)
    analysed = spectrum.analyse(waveform)
    cotangent = torch.randn(analysed.shape, generator=generator)
    (gradient,) = torch.autograd.grad(analysed, waveform, cotangent)
    direction = torch.randn(1, 101, generator=generator)
    torch.testing.assert_close((gradient * direction).sum(), (cotangent * spectrum.analyse(direction)).sum())
    masked = cotangent.clone().requires_grad_()
    spectrum.synthesise(masked, 101).square().sum().backward()
    assert masked.grad is not None
    assert masked.grad.isfinite().all()
    assert masked.grad.any()


def test_keeps_its_precision_in_mixed_precision(generator: torch.Generator) -> None:
    spectrum = Spectrum(256, 64)
    waveform = torch.randn(1, 1000, generator=generator)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = spectrum.synthesise(spectrum.analyse(waveform), 1000)
        low = spectrum.synthesise(spectrum.analyse(waveform.bfloat16()).bfloat16(), 1000)
    torch.testing.assert_close(found, waveform, atol=1e-5, rtol=0)
    assert low.dtype == torch.float32


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # within torch.export
def test_exports_for_any_length(generator: torch.Generator, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")

    class Halved(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.spectrum = Spectrum(32, 8)

        def forward(self, waveform: torch.Tensor) -> torch.Tensor:
            return self.spectrum.synthesise(0.5 * self.spectrum.analyse(waveform), waveform.shape[-1])

    path = tmp_path / "spectrum.onnx"
    time = torch.export.Dim("time", min=1, max=100_000)
    torch.onnx.export(
        Halved().eval(), (torch.randn(2, 101),), path, dynamo=True, dynamic_shapes=({1: time},), verbose=False
    )
    session = onnxruntime.InferenceSession(path)
    for length in (1, 37, 1003):
        waveform = torch.randn(2, length, generator=generator)
        (found,) = session.run(None, {session.get_inputs()[0].name: waveform.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), 0.5 * waveform, atol=1e-5, rtol=0)


def test_holds_nothing_to_train_or_save() -> None:
    spectrum = Spectrum(32, 8)
    assert not spectrum.state_dict()
    assert not list(spectrum.parameters())


@pytest.mark.parametrize("size", [(32, 12), (33, 11), (32, 32), (0, 0), (32, 0)])
def test_refuses_what_cannot_be_inverted(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError):
        Spectrum(*size)
