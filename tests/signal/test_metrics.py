"""Metrics against closed forms, other implementations and their own invariances."""

import builtins
import warnings

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbabble.base.errors import MissingExtraError
from unbabble.signal.metrics import (
    PESQ_LOWEST,
    _one_thread,
    estoi,
    pairwise,
    pesq,
    sdr_sir_sar,
    si_sdr,
    si_sdr_matrix,
    snr,
    stoi,
)

INF = float("inf")
RATE = 16000


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture(scope="module")
def speech(data_folder):
    """Two talkers, 4 s at 16 kHz, and estimates with crosstalk and noise."""
    names = ("2609-156975-0007.flac", "3080-5032-0009.flac")
    voices = [soundfile.read(data_folder / "speech" / "test" / name, frames=4 * RATE)[0] for name in names]
    references = torch.from_numpy(np.stack(voices))
    estimates = references + 0.1 * references.flip(0) + 0.003 * noise(*references.shape)
    return estimates, references


def test_si_sdr_closed_form():
    source, error = torch.zeros(2, 4).double()
    source[0], error[1] = 3.0, 0.3  # orthogonal: 10 log10(9 / 0.09)
    for gain in (1, -1, 5):  # the sign does not matter
        assert si_sdr(gain * (source + error), source) == pytest.approx(20.0)
    assert snr(source + error, source) == pytest.approx(20.0)
    assert snr(2 * source, source) == pytest.approx(0.0)


def test_si_sdr_removes_the_mean_only_on_request():
    references = noise(1, 4000)
    estimates = references + 0.1 * noise(1, 4000, seed=1)
    plain = si_sdr(estimates, references, zero_mean=True)
    assert torch.allclose(si_sdr(estimates + 3, references - 7, zero_mean=True), plain)
    assert si_sdr(estimates + 3, references) < 0


@pytest.mark.parametrize("shape", [(800,), (2, 800), (3, 2, 800)])
def test_shapes_and_broadcasting(shape):
    references, estimates = noise(*shape), noise(*shape, seed=1)
    for metric in (si_sdr, snr):
        assert metric(estimates, references).shape == shape[:-1]
    matrix = si_sdr_matrix(noise(3, 4, 800), noise(3, 2, 800, seed=1))
    assert matrix.shape == (3, 4, 2)
    assert matrix[1, 3, 0] == si_sdr(noise(3, 4, 800)[1, 3], noise(3, 2, 800, seed=1)[1, 0])
    assert pairwise(noise(2, 9), noise(3, 9), snr).shape == (2, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=50, deadline=None)
@given(
    estimate_gain=st.floats(-6, 6),
    reference_gain=st.floats(-6, 6),
    sign=st.sampled_from([-1, 1]),
    level=st.floats(-3, 3),
)
def test_si_sdr_is_the_same_at_any_level(dtype, estimate_gain, reference_gain, sign, level):
    references = noise(2, 500, dtype=dtype)
    estimates = references + 10**level * noise(2, 500, seed=1, dtype=dtype)
    changed = si_sdr(sign * 10**estimate_gain * estimates, 10**reference_gain * references)
    # 24-bit rounding at up to 60 dB SI-SDR: 1e-7 * 1e3 relative in the residual's amplitude
    assert torch.allclose(
        changed, si_sdr(estimates, references), atol=5e-3 if dtype == torch.float32 else 1e-9
    )


@pytest.mark.parametrize("gain", [1e-30, 1e-18, 1e18])
def test_levels_that_square_beyond_float32(gain):
    references = noise(1, 500, dtype=torch.float32)
    estimates = references + 0.1 * noise(1, 500, seed=1, dtype=torch.float32)
    for metric in (si_sdr, snr):
        scaled = metric(gain * estimates, gain * references)
        assert torch.allclose(scaled, metric(estimates, references), atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(4)))
def test_matrix_follows_a_permutation(order):
    references, estimates = noise(4, 300), noise(4, 300, seed=1)
    assert torch.equal(
        si_sdr_matrix(estimates[order], references), si_sdr_matrix(estimates, references)[order]
    )


def test_silence_and_perfection():
    references = noise(3, 500)
    references[0] = 0
    estimates = references.clone()
    estimates[1] = 0
    estimates[0] = 1
    scores = si_sdr(estimates, references)
    assert scores[0].isnan()
    assert scores[1:].tolist() == [-INF, INF]
    scores = snr(estimates, references)
    assert scores[0].isnan()
    assert scores[1:].tolist() == [0, INF]
    assert si_sdr(torch.zeros(1, 5), torch.zeros(1, 5)).isnan()
    for perfect in (-2 * references[2], references[2] / 3):
        assert si_sdr(perfect, references[2]) > 200


def test_not_finite_gives_nan():
    references = noise(1, 500)
    for bad in (torch.nan, torch.inf):
        broken = references.clone()
        broken[0, 7] = bad
        assert si_sdr(broken, references).isnan()
        assert si_sdr(references, broken).isnan()


def test_gradients():
    references = noise(2, 20)
    estimates = noise(2, 20, seed=1).requires_grad_()
    for metric in (si_sdr, snr):
        assert torch.autograd.gradcheck(lambda x, metric=metric: metric(x, references), estimates)
        assert torch.autograd.gradcheck(
            lambda x, metric=metric: metric(estimates.detach(), x), references.clone().requires_grad_()
        )


@pytest.mark.parametrize("metric", [si_sdr, snr])
def test_what_is_infinite_or_undefined_has_no_gradient(metric):
    """Of waveforms that are silent, perfect, orthogonal to the reference, judged by silence, and like any other."""
    references, estimates = noise(5, 20), noise(5, 20, seed=1)
    estimates[0] = 0
    estimates[1] = references[1]
    references[2, 10:], estimates[2, :10] = 0, 0
    references[3] = 0
    estimates[4] += 2 * references[4]
    estimates.requires_grad_()
    scores = metric(estimates, references)
    scores.nan_to_num(0, 0, 0).clamp(-30, 30).sum().backward()
    grad = estimates.grad
    assert grad is not None
    assert grad.isfinite().all()
    assert (grad[[1, 3]] == 0).all()
    assert (grad[4] != 0).any()
    alone = estimates[4:].detach().clone().requires_grad_()
    metric(alone, references[4:]).sum().backward()
    assert alone.grad is not None
    assert torch.allclose(alone.grad[0], grad[4])


@pytest.mark.parametrize("metric", [si_sdr, snr, si_sdr_matrix, sdr_sir_sar])
def test_what_does_not_fit_is_refused(metric):
    for estimates, references in (
        (noise(2, 100), noise(2, 99)),
        (noise(2, 2, 100), noise(3, 2, 100)),
        (noise(2, 0), noise(2, 0)),
        (torch.ones(2, 100, dtype=torch.int16), torch.ones(2, 100, dtype=torch.int16)),
    ):
        if metric is sdr_sir_sar and not estimates.is_floating_point():
            continue
        with pytest.raises(ValueError, match="estimates and references"):
            metric(estimates, references)
    with pytest.raises(ValueError, match="shape"):
        sdr_sir_sar(noise(3, 100), noise(2, 100))


def parity(estimates, references):
    from fast_bss_eval import bss_eval_sources, si_sdr_loss

    found = sdr_sir_sar(estimates, references)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mir_eval calls its separation module deprecated
        from mir_eval.separation import bss_eval_sources as original

        old = original(references.numpy(), estimates.numpy(), compute_permutation=False)
    with _one_thread():
        fast = bss_eval_sources(references, estimates, compute_permutation=False)
    for ours, theirs, oldest in zip(found, fast, old, strict=False):
        assert torch.allclose(ours, theirs, atol=1e-6)  # the same code at another level
        assert ours.numpy() == pytest.approx(oldest, abs=1e-4)  # another solver in double precision
    # through 1 - cos^2 there, which loses digits
    assert torch.allclose(si_sdr(estimates, references), -si_sdr_loss(estimates, references), atol=1e-6)


def test_parity_on_noise():
    references = noise(3, 8000)
    parity(references + 0.3 * references.roll(1, 0) + 0.1 * noise(3, 8000, seed=1), references)


def test_parity_on_speech(speech):
    parity(*speech)


def test_sdr_is_the_same_at_any_level(speech):
    """fast_bss_eval itself has an absolute epsilon: 1e-9 costs it 56 dB."""
    estimates, references = (x[:, 16000:32000] for x in speech)
    expected = sdr_sir_sar(estimates, references)
    for gain in (1e-9, 1e-6, 1e6):
        for ours, known in zip(sdr_sir_sar(gain * estimates, references / gain), expected, strict=True):
            assert torch.allclose(ours, known, atol=1e-6)


def test_sdr_is_the_same_with_several_threads():
    """Batches of large systems, solved by several threads, fail in torch, or come out wrong (pytorch issue 142815)."""
    references = noise(2, 4000)
    estimates = references + 0.1 * noise(2, 4000, seed=1)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(torch.stack(sdr_sir_sar(estimates, references)))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-6)


def test_sdr_forgives_a_short_filter(speech):
    references = speech[1].clone()
    references[:, -512:] = 0  # nothing falls off the end
    delayed = references.roll(40, -1)
    assert (sdr_sir_sar(delayed, references)[0] > 30).all()
    assert (si_sdr(delayed, references) < 0).all()


def test_sdr_of_silence_and_of_equal_references():
    references = noise(3, 4000)
    references[2] = 0
    estimates = references + 0.1 * noise(3, 4000, seed=1)
    estimates[1] = 0
    sdr, sir, sar = sdr_sir_sar(estimates, references)
    assert sdr[0] == pytest.approx(20, abs=1)
    assert sdr[1] == -INF
    assert sir[1].isnan()
    assert sar[1].isnan()
    assert sdr[2].isnan()
    assert all(x.isnan().all() for x in sdr_sir_sar(references, torch.zeros_like(references)))
    batch = sdr_sir_sar(torch.stack([estimates, references]), torch.stack([references, references]))[0]
    assert torch.equal(batch[0].nan_to_num(), sdr.nan_to_num())
    twins = noise(1, 4000).expand(2, -1)
    assert (sdr_sir_sar(twins + 0.1 * noise(2, 4000, seed=1), twins)[0] - 20).abs().max() < 1


@pytest.mark.parametrize("samples", [1, 100, 511])
def test_sdr_of_less_than_a_filter(samples):
    references = noise(2, samples)
    for score in sdr_sir_sar(references + noise(2, samples, seed=1), references):
        assert not score.isnan().any()


@pytest.mark.parametrize(("rate", "mode"), [(16000, "wb"), (8000, "nb")])
def test_pesq_is_that_of_the_reference_code(speech, rate, mode):
    from pesq import pesq as reference_code

    estimates, references = (x[..., :: RATE // rate] for x in speech)
    found = pesq(estimates, references, rate)
    expected = [
        reference_code(rate, r.numpy(), e.numpy(), mode) for e, r in zip(estimates, references, strict=True)
    ]
    assert found.numpy() == pytest.approx(expected, abs=1e-3)  # float32 inside
    assert torch.allclose(pesq(1e-6 * estimates, 1e6 * references, rate), found, atol=1e-3)


def test_pesq_of_other_rates_long_recordings_and_silence(speech):
    estimates, references = speech
    assert torch.isfinite(pesq(estimates[:1], references[:1], 44100)).all()
    assert torch.isfinite(pesq(estimates[:1], references[:1], 11025)).all()
    # the reference code alone ends the process on this many utterances
    pauses = (torch.arange(100 * RATE) // 6000 % 2).double()
    long = references[0].repeat(25) * pauses
    score = pesq(long + 0.01 * noise(*long.shape), long, RATE)
    assert 1 < score < 4.7
    assert pesq(0 * estimates[0], references[0], RATE) == pytest.approx(PESQ_LOWEST["wb"])
    assert pesq(estimates[0], 0 * references[0], RATE).isnan()
    assert pesq(estimates[0, :2000], references[0, :2000], RATE).isnan()


def test_stoi_is_that_of_pystoi(speech):
    from pystoi import stoi as reference_code

    estimates, references = speech
    for extended in (False, True):
        found = stoi(estimates, references, RATE, extended)
        expected = [
            reference_code(r.numpy(), e.numpy(), RATE, extended)
            for e, r in zip(estimates, references, strict=True)
        ]
        assert found.numpy() == pytest.approx(expected, abs=1e-6)  # theirs is dithered
        assert torch.allclose(stoi(1e-6 * estimates, 1e6 * references, RATE, extended), found, atol=1e-6)
    assert torch.equal(estoi(estimates, references, RATE), found)
    assert found.shape == (2,)


def test_stoi_leaves_the_random_state_alone_and_repeats(speech):
    estimates, references = (x[:1] for x in speech)
    state = np.random.get_state()[1].copy()
    assert torch.equal(estoi(estimates, references, RATE), estoi(estimates, references, RATE))
    assert (np.random.get_state()[1] == state).all()


def test_stoi_of_silence_and_of_too_little(speech):
    estimates, references = speech
    assert stoi(0 * estimates[0], references[0], RATE) == 0
    assert estoi(0 * estimates[0], references[0], RATE) == 0
    assert stoi(estimates[0], 0 * references[0], RATE).isnan()
    for samples in (1, 100, 3000):
        assert stoi(estimates[0, :samples], references[0, :samples], RATE).isnan()
        assert estoi(estimates[0, :samples], references[0, :samples], RATE).isnan()


@pytest.mark.parametrize(("module", "call"), [("fast_bss_eval", "sdr"), ("pesq", "pesq"), ("pystoi", "stoi")])
def test_a_missing_library_is_named_with_its_extra(monkeypatch, module, call):
    original = builtins.__import__

    def without(name, *rest, **options):
        if name.split(".")[0] == module:
            raise ImportError(name)
        return original(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    x = noise(1, 100)
    with pytest.raises(MissingExtraError, match=r"unbabble\[metrics\]"):
        {
            "sdr": lambda: sdr_sir_sar(x, x),
            "pesq": lambda: pesq(x, x, RATE),
            "stoi": lambda: stoi(x, x, RATE),
        }[call]()
