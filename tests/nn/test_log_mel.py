"""What recognisers hear: the same at any level and in any company; masks are zeros, and not too many."""

import pytest
import torch

from unbabble.nn.log_mel import MASKED_BANDS, LogMel, inside, masked

RATE = 16000
LENGTHS = torch.tensor([16000, 9001, 400, 1, 0])


def recordings() -> torch.Tensor:
    noise = torch.randn(len(LENGTHS), 16000, generator=torch.Generator().manual_seed(0))
    swelling = noise * torch.linspace(0.1, 1, 16000)
    return swelling * (torch.arange(16000) < LENGTHS[:, None])


@pytest.mark.parametrize("gain", [1e-6, -1.0, 1e4])
def test_the_level_changes_nothing(gain):
    log_mel = LogMel(24, RATE)
    torch.testing.assert_close(
        log_mel(gain * recordings(), LENGTHS), log_mel(recordings(), LENGTHS), rtol=0, atol=1e-4
    )


def test_padding_changes_nothing_and_is_zero():
    log_mel = LogMel(24, RATE)
    together, counts = log_mel(recordings(), LENGTHS), log_mel.count(LENGTHS)
    assert counts.tolist() == [100, 56, 2, 1, 1]
    assert not together[~inside(counts, 100)].any()
    for number, (length, count) in enumerate(zip(LENGTHS.tolist(), counts.tolist(), strict=True)):
        alone = log_mel(recordings()[number : number + 1, :length], torch.tensor([length]))
        assert alone.shape == (1, count, 24)
        torch.testing.assert_close(alone[0], together[number, :count], rtol=0, atol=1e-5)


def test_each_band_has_no_mean_and_all_have_one_spread():
    bands = LogMel(24, RATE)(recordings()[:1], LENGTHS[:1])[0]
    torch.testing.assert_close(bands.mean(0), torch.zeros(24), rtol=0, atol=1e-4)
    assert float(bands.square().mean()) == pytest.approx(1.0, rel=1e-4)


def test_silence_is_not_made_loud():
    nothing = LogMel(24, RATE)(torch.zeros(1, 16000), torch.tensor([16000]))
    torch.testing.assert_close(nothing, torch.zeros_like(nothing), rtol=0, atol=1e-4)
    click = torch.zeros(1, 16000)
    click[0, 8000] = 1.0
    assert LogMel(24, RATE)(click, torch.tensor([16000])).isfinite().all()


def test_a_tone_is_in_its_band():
    tone = torch.sin(2 * torch.pi * 2000 * torch.arange(16000) / RATE) * (torch.arange(16000) >= 8000)
    log_mel = LogMel(24, RATE)
    bands = log_mel(tone[None], torch.tensor([16000]))[0]
    middle = int(log_mel.filters[:, round(2000 / RATE * log_mel.points)].argmax())
    assert int((bands[60:90].mean(0) - bands[10:40].mean(0)).argmax()) == middle


def test_masks_are_zeros_of_bands_and_stretches():
    torch.manual_seed(0)
    ones, counts = torch.ones(40, 600, 80), torch.tensor([600] * 20 + [100] * 20)
    found = masked(ones, counts)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    bands, frames = (found == 0).all(1), (found == 0).all(2)
    assert (bands.sum(1) <= 2 * MASKED_BANDS).all()
    assert bands.any(1).float().mean() > 0.8
    assert frames[:20].any(1).float().mean() > 0.8
    kept = ~bands[:, None] & ~frames[:, :, None]
    assert torch.equal(found, kept.float()), "rectangles from edge to edge"
    assert not frames[20:, 100:].any()
