"""Segmentation and overlap-add of dual-path networks."""

import pytest
import torch
from torch.nn.functional import fold, unfold

from unbabble.nn.chunking import overlap_add, segment


def _frames(length: int, features: int = 3) -> torch.Tensor:
    return torch.randn(2, features, length, generator=torch.Generator().manual_seed(length))


@pytest.mark.parametrize("padding", ["half", "full"])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33])
def test_every_frame_is_in_two_overlapping_chunks(length, padding):
    frames = _frames(length)
    chunks = segment(frames, 8, padding=padding)
    assert torch.equal(chunks[:, :, 4:, :-1], chunks[:, :, :4, 1:])
    torch.testing.assert_close(overlap_add(chunks, length, padding=padding), 2 * frames)


@pytest.mark.parametrize("length", [1, 7, 8, 9, 32])
def test_chunks_without_overlap_follow_one_another(length):
    frames = _frames(length)
    chunks = segment(frames, 8, overlap=False)
    assert chunks.shape[-1] == -(-length // 8)
    assert torch.equal(overlap_add(chunks, length, overlap=False), frames)


@pytest.mark.parametrize("length", [1, 5, 6, 7, 11, 12, 13, 24])
def test_half_padding_as_the_authors_publish_it(length):
    """``split_feature`` and ``merge_feature`` of their code: two interleaved cuts, an even number of chunks."""
    size, hop = 12, 6
    frames = _frames(length)
    rest = size - (hop + length % size) % size
    padded = torch.nn.functional.pad(frames, (hop, rest + hop))
    even = padded[..., :-hop].reshape(2, 3, -1, size)
    odd = padded[..., hop:].reshape(2, 3, -1, size)
    expected = torch.stack((even, odd), 3).flatten(2, 3).mT
    assert torch.equal(segment(frames, size), expected)


@pytest.mark.parametrize("length", [1, 5, 6, 7, 11, 12, 13, 24])
def test_full_padding_is_unfold_and_fold(length):
    size, hop = 12, 6
    frames = _frames(length)
    window = {"kernel_size": (size, 1), "padding": (size, 0), "stride": (hop, 1)}
    expected = unfold(frames[..., None], **window)
    chunks = segment(frames, size, padding="full")
    assert torch.equal(chunks, expected.reshape(2, 3, size, -1))
    changed = torch.randn(chunks.shape, generator=torch.Generator().manual_seed(0))
    back = fold(changed.reshape(2, 3 * size, -1), (length, 1), **window)[..., 0]
    torch.testing.assert_close(overlap_add(changed, length, padding="full"), back)


def test_an_odd_size_cannot_overlap():
    with pytest.raises(ValueError, match="even"):
        segment(_frames(10), 5)
