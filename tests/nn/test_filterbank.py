"""Learned filterbanks."""

import pytest
import torch

from unbabble.nn.filterbank import Decoder, Encoder


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (16, 8), (5, 3), (2, 1), (4, 4), (3, 5)])
def test_frames_are_windows_times_filters(kernel, stride):
    encoder = Encoder(6, kernel, stride)
    assert encoder.weight.shape == (6, 1, kernel)
    for length in (1, 2, 3, kernel, kernel + 1, 40, 41, 42):
        waveform = torch.randn(2, length, generator=torch.Generator().manual_seed(length))
        frames = encoder(waveform)
        reach = (frames.shape[-1] - 1) * stride + kernel
        assert length <= reach < length + max(kernel, stride), "all samples, no window without any"
        padded = torch.nn.functional.pad(waveform, (0, reach - length))
        windows = padded.unfold(-1, kernel, stride)
        torch.testing.assert_close(frames, torch.einsum("btk,fk->bft", windows, encoder.weight[:, 0]))


@pytest.mark.parametrize("length", [1, 5, 8, 40, 43])
def test_filters_that_are_an_identity_give_the_waveform_back(length):
    """With half overlap every inner sample comes twice, those at the ends once."""
    encoder, decoder = Encoder(8, 8, 4), Decoder(8, 8, 4)
    with torch.no_grad():
        encoder.weight.copy_(torch.eye(8)[:, None])
        decoder.weight.copy_(torch.eye(8)[:, None])
    waveform = torch.randn(2, length, generator=torch.Generator().manual_seed(length))
    frames = encoder(waveform)
    counts = decoder(encoder(torch.ones_like(waveform)), length).detach()
    torch.testing.assert_close(decoder(frames, length), waveform * counts)
    assert 1 <= float(counts.min()) <= float(counts.max()) <= 2
    per_source = torch.stack((frames, 2 * frames), 1)
    torch.testing.assert_close(decoder(per_source, length)[:, 1], 2 * waveform * counts)


def test_decoder_fills_up_with_zeros():
    decoder = Decoder(3, 4, 2)
    waveform = decoder(torch.ones(1, 3, 2), 10)
    assert waveform.shape == (1, 10)
    assert not waveform[:, 6:].any()
