"""LSTMs in both directions over padded rows: those of PyTorch on packed rows, without the packing."""

import pytest
import torch
from torch import nn

from unbabble.nn.recurrent import BothWays, RecurrentEncoder, joined

COUNTS = torch.tensor([7, 4, 1])


def rows(width: int = 3) -> torch.Tensor:
    """Random, zeros beyond ``COUNTS``."""
    x = torch.randn(3, 7, width, generator=torch.Generator().manual_seed(0))
    return x * (torch.arange(7) < COUNTS[:, None])[..., None]


def test_both_ways_are_those_of_packed_rows():
    torch.manual_seed(1)
    peer, ours = nn.LSTM(3, 5, batch_first=True, bidirectional=True), BothWays(3, 5)
    weights = peer.state_dict()
    for name, layer in (("", ours.onwards), ("_reverse", ours.backwards)):
        layer.load_state_dict({key: weights[key + name] for key in layer.state_dict()})
    packed = nn.utils.rnn.pack_padded_sequence(rows(), COUNTS, batch_first=True)
    expected, _ = nn.utils.rnn.pad_packed_sequence(peer(packed)[0], batch_first=True)
    torch.testing.assert_close(ours(rows(), COUNTS), expected)


@pytest.mark.parametrize("many", [1, 2, 3, 8])
def test_places_are_joined_in_their_order(many):
    x, counts = joined(rows(2), COUNTS, many)
    assert counts.tolist() == [-(-count // many) for count in COUNTS.tolist()]
    assert x.shape == (3, int(counts[0]), 2 * many)
    torch.testing.assert_close(x.reshape(3, -1, 2)[:, :7], rows(2))
    assert not x.reshape(3, -1, 2)[:, 7:].any()


def test_an_encoder_has_as_many_places_as_it_says():
    encoder = RecurrentEncoder(8, 4, 3, 0.0, (2, 2), 16000).eval()
    lengths = torch.tensor([16000, 5000, 3])
    waveform = torch.randn(3, 16000) * (torch.arange(16000) < lengths[:, None])
    states, counts = encoder(waveform, lengths)
    assert counts.tolist() == [25, 8, 1]
    assert states.shape == (3, 25, 8)
    for state, count in zip(states, counts, strict=True):
        assert state[:count].any(1).all()
        assert not state[count:].any()
