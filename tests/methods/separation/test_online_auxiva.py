"""Online AuxIVA: pieces do not matter, it converges, follows, waits in silence and never explodes."""

import itertools
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbabble.base.errors import InputError, UsageError
from unbabble.methods.separation.online_auxiva import OnlineAuxIVA
from unbabble.signal.blind.demixing import Demixer
from unbabble.signal.kernels.online import OnlineDemixer
from unbabble.signal.level import loudest_first
from unbabble.signal.metrics import pairwise, si_sdr
from unbabble.signal.permutation import best_permutation

RATE = 4000
WINDOW = 256
HOP = WINDOW // 4


@cache
def _voices(seconds: float = 8.0, count: int = 2) -> torch.Tensor:
    """Coloured noises that come and go, (source, time)."""
    generator = torch.Generator().manual_seed(1)
    samples = int(seconds * RATE)
    white = torch.randn(count, samples + 15, generator=generator).unfold(-1, 16, 1)
    colours = torch.randn(count, 16, generator=generator)
    syllables = torch.rand(count, samples // 500 + 2, generator=generator) ** 3
    envelopes = torch.nn.functional.interpolate(syllables[None], size=samples, mode="linear")[0]
    return 0.05 * torch.einsum("stk,sk->st", white, colours) * envelopes


def _images(seed: int, channels: int = 2) -> torch.Tensor:
    """(source, channel, time), each source by its own echoes to each microphone."""
    generator = torch.Generator().manual_seed(seed)
    voices = _voices()
    taps = torch.randn(len(voices), channels, 24, generator=generator) * 0.8 ** torch.arange(24)
    padded = torch.nn.functional.pad(voices, (23, 0)).unfold(-1, 24, 1).flip(-1)
    return torch.einsum("stk,sck->sct", padded, taps)


def _mixture(channels: int = 2) -> torch.Tensor:
    noise = torch.randn(channels, _voices().shape[-1], generator=torch.Generator().manual_seed(9))
    return _images(3, channels).sum(0) + 1e-4 * noise


def _method(**options) -> OnlineAuxIVA:
    return OnlineAuxIVA(
        **{"window_length": WINDOW, "warmup": 0.5, "time_constant": 1.0, "recent": 1.0} | options
    )


def _joined(
    method: OnlineAuxIVA, mixture: torch.Tensor, sizes: list[int], images: bool = False
) -> torch.Tensor:
    streamer = method.stream(RATE, len(mixture), images=images)
    pieces = [streamer.push(piece) for piece in mixture.split(sizes, dim=1)]
    return torch.cat([*pieces, streamer.flush()], -1)


def _gains(estimates: torch.Tensor, references: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """SI-SDR improvement of the estimates in their own order, (source, source)."""
    return pairwise(estimates, references, si_sdr) - pairwise(mixture[None], references, si_sdr)


@settings(max_examples=10, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 3000), max_size=12),
    length=st.integers(WINDOW, 3000),
    options=st.sampled_from([{}, {"warmup": 0.0}, {"warmup": 9.0}, {"sources": 1}]),
    images=st.booleans(),
)
def test_pieces_of_any_size_give_the_same_samples(cuts, length, options, images):
    mixture = _mixture()[:, 3000 : 3000 + length]
    edges = sorted({0, length, *(cut for cut in cuts if cut < length)})
    joined = _joined(_method(**options), mixture, [b - a for a, b in itertools.pairwise(edges)], images)
    assert joined.shape[-1] == length
    heard = joined[:, 0] if images else joined
    whole = _method(**options)(mixture[None], sample_rate=RATE, images=images)[0]
    assert torch.equal(joined[loudest_first(heard)], whole)


def test_output_is_one_window_less_a_hop_behind_input():
    streamer = _method(warmup=0.0).stream(RATE, 2)
    assert streamer.latency == WINDOW - HOP
    given = 0
    for taken in range(HOP, 20 * HOP, HOP):
        given += streamer.push(_mixture()[:, taken - HOP : taken]).shape[-1]
        assert given == max(0, taken - streamer.latency)


def test_what_a_streamer_keeps_does_not_grow():
    streamer = _method().stream(RATE, 2)
    for piece in _mixture()[:, :6000].split(700, dim=1):
        streamer.push(piece)
        assert streamer._input.shape[1] < WINDOW
        assert streamer._tail.shape[-1] == WINDOW - HOP
        assert len(streamer._held or []) <= 0.5 * RATE / HOP


@pytest.mark.parametrize(
    "options", [{}, {"warmup": 0.0}, {"source_model": "gauss"}, {"iterations": 1, "recent": 0.0}]
)
def test_separates(options):
    mixture, references = _mixture(), _images(3)[:, 0]
    half = mixture.shape[-1] // 2
    y = _method(**options)(mixture[None], sample_rate=RATE)[0]
    table = _gains(y[:, half:], references[:, half:], mixture[0, half:])
    order = best_permutation(table)
    assert float(table[order, torch.arange(2)].mean()) > 8


def test_more_microphones_than_sources():
    mixture, references = _mixture(4), _images(3, 4)[:, 0]
    half = mixture.shape[-1] // 2
    y = _method(sources=2)(mixture[None], sample_rate=RATE)[0]
    table = _gains(y[:, half:], references[:, half:], mixture[0, half:])
    assert float(table[best_permutation(table), torch.arange(2)].mean()) > 8


def test_finds_talkers_again_who_moved():
    half = _mixture().shape[-1] // 2
    images = torch.cat([_images(3)[..., :half], _images(4)[..., half:]], -1)
    mixture, references = images.sum(0), images[:, 0]
    y = _method()(mixture[None], sample_rate=RATE)[0]
    end = slice(half + half // 2, None)
    table = _gains(y[:, end], references[:, end], mixture[0, end])
    assert float(table[best_permutation(table), torch.arange(2)].mean()) > 6


@pytest.mark.parametrize("warmup", [0.0, 0.5])
def test_silence_changes_nothing_but_the_time(warmup):
    """After a pause without any sound the sources go on as they were, however long it was."""
    mixture = _mixture()
    third = mixture.shape[-1] // 3
    pause = torch.zeros(2, 4 * RATE // HOP * HOP)
    third = third // HOP * HOP
    paused = torch.cat([mixture[:, :third], pause, mixture[:, third:]], -1)
    y = _joined(_method(warmup=warmup), paused, [paused.shape[-1]])
    assert float(y[:, third + WINDOW : third + pause.shape[1] - WINDOW].abs().max()) == 0
    steady = _joined(_method(warmup=warmup), mixture, [mixture.shape[-1]])
    after = y[:, third + pause.shape[1] :]
    table = pairwise(after, steady[:, third:], si_sdr)
    assert table.diagonal().min() > 10
    assert (table.diagonal() > table.fliplr().diagonal() + 3).all()


@pytest.mark.parametrize("warmup", [0.0, 0.5])
def test_filters_never_explode(warmup):
    """Neither at the start, nor after next to nothing, nor when everything stops."""
    mixture = _mixture()
    quiet = 1e-5 * torch.randn(2, RATE, generator=torch.Generator().manual_seed(4))
    recording = torch.cat(
        [torch.zeros(2, 500), 1e-6 * quiet, quiet, mixture[:, :RATE], quiet, mixture[:, RATE:]], 1
    )
    y = _joined(_method(warmup=warmup), recording, [recording.shape[-1]])
    assert torch.isfinite(y).all()
    for start in range(0, y.shape[-1] - RATE // 4, RATE // 4):
        part = slice(max(0, start - WINDOW), start + RATE // 4 + WINDOW)
        loudest = recording[:, part].norm(dim=-1).max()
        assert y[:, start : start + RATE // 4].norm(dim=-1).max() <= 4 * loudest


def test_ends_of_a_stream():
    streamer = _method().stream(RATE, 2)
    assert streamer.flush().shape == (2, 0)
    streamer = _method(sources=1).stream(RATE, 2, images=True)
    assert streamer.push(torch.zeros(2, 0)).shape == (1, 2, 0)
    streamer.push(_mixture()[:, :1])
    assert streamer.flush().shape == (1, 2, 1)


def test_what_is_refused():
    with pytest.raises(InputError, match="at least 2"):
        _method().stream(RATE, 1)
    with pytest.raises(InputError, match="at least 3"):
        _method(sources=3).stream(RATE, 2)
    with pytest.raises(InputError, match="shape"):
        _method().stream(RATE, 2).push(torch.zeros(3, 10))
    with pytest.raises(InputError, match="not finite"):
        _method().stream(RATE, 2).push(torch.full((2, 10), torch.nan))
    with pytest.raises(UsageError, match="microphone 5"):
        _method(reference=5).stream(RATE, 2)
    for options in ({"time_constant": 0.0}, {"warmup": -1.0}, {"iterations": 0}, {"window_length": 6}):
        with pytest.raises(UsageError):
            _method(**options)


@pytest.mark.parametrize("recent", [1, 7, 40])
def test_kernels_do_what_equation_1_says(generator, recent):
    """Against the torch reference: all frames with equal weight are one sweep of the batch."""
    bins, channels, frames = 20, 3, 40
    x = torch.randn(bins, channels, frames, dtype=torch.complex64, generator=generator)
    phi = 0.1 + torch.rand(channels, frames, generator=generator)
    online = OnlineDemixer(bins, channels, channels, 1e9, recent)
    for t in range(frames):
        online.take(x[..., t].T, phi[:, max(0, t - recent)])
    online.step(phi[:, -recent:])
    batch = Demixer(x.to(torch.complex128), channels, load=0)
    batch.step("ip", phi.double())
    difference = online.matrix - batch.matrix
    assert float(difference.abs().max()) < 2e-3 * float(batch.matrix.abs().max())


def test_forgets_at_the_time_constant(generator):
    """What was heard ``memory_frames`` ago counts 1/e: the same matrices as from weighted frames."""
    bins, frames, memory = 5, 60, 20.0
    x = torch.randn(bins, 2, frames, dtype=torch.complex64, generator=generator)
    online = OnlineDemixer(bins, 2, 2, memory, recent_frames=3)
    for t in range(frames):
        online.take(x[..., t].T, torch.ones(2))
    online.step(torch.ones(2, 3))
    shares = torch.exp(-torch.arange(frames - 1, -1, -1) / memory)
    batch = Demixer(x.to(torch.complex128), 2, load=0)
    batch.step("ip", (shares / shares.mean()).double().expand(2, -1))
    assert torch.allclose(online.matrix, batch.matrix.to(torch.complex64), atol=2e-3)
