"""Recurrent encoders of padded batches: LSTMs in both directions, and several frames as one.

A. Graves, J. Schmidhuber, "Framewise phoneme classification with bidirectional LSTM and other neural network
architectures", Neural Networks 18, 2005. H. Sak, A. Senior, K. Rao, F. Beaufays, "Fast and accurate recurrent neural
network acoustic models for speech recognition", Interspeech 2015: frames are joined, so that there are fewer steps.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.nn.log_mel import LogMel, inside, masked


class BothWays(nn.Module):
    """One LSTM from the beginning of each row to its end, one from there to its beginning; padding changes nothing.

    Rows are turned round by hand: on processors several times faster than to pack them.

    Args:
        width: numbers of a place.
        hidden: units in each direction.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.onwards = nn.LSTM(width, hidden, batch_first=True)
        self.backwards = nn.LSTM(width, hidden, batch_first=True)

    def forward(
        self, x: Float[Tensor, "batch place width"], counts: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch place twice_hidden"]:
        """States of both, side by side; zeros beyond ``counts``."""
        place = torch.arange(x.shape[1], device=x.device)
        last = counts[:, None] - 1
        turned = torch.where(place <= last, last - place, place)[..., None]
        earlier = self.onwards(x)[0]
        later = self.backwards(x.take_along_dim(turned, 1))[0].take_along_dim(turned, 1)
        return torch.cat([earlier, later], -1) * inside(counts, x.shape[1])[..., None]


def joined(
    x: Float[Tensor, "batch place width"], counts: Int[Tensor, " batch"], many: int
) -> tuple[Float[Tensor, "batch fewer wider"], Int[Tensor, " batch"]]:
    """So many places in a row as one, zeros after the last, and how many there are then.

    Args:
        x: zeros beyond ``counts``.
        counts: places of each item.
        many: that become one.
    """
    x = nn.functional.pad(x, (0, 0, 0, -x.shape[1] % many))
    return x.unflatten(1, (-1, many)).flatten(2), (counts + many - 1) // many


class RecurrentEncoder(nn.Module):
    """Log mel bands, of which bands and stretches are masked while it learns; frames joined; LSTMs in both directions.

    Args:
        bands: of the mel scale.
        hidden: units of an LSTM, in each direction.
        layers: one after another.
        dropout: share of what goes into a layer but the first that is left out while learning.
        joins: how many frames, or states of the layer before, become one in front of each layer but the last ones,
            for which nothing is said.
        sample_rate: Hz.
    """

    def __init__(
        self, bands: int, hidden: int, layers: int, dropout: float, joins: tuple[int, ...], sample_rate: int
    ) -> None:
        super().__init__()
        self.joins = (*joins, *[1] * (layers - len(joins)))
        self.log_mel = LogMel(bands, sample_rate)
        widths = [bands, *[2 * hidden] * (layers - 1)]
        self.layers = nn.ModuleList(
            BothWays(many * width, hidden) for many, width in zip(self.joins, widths, strict=True)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch place twice_hidden"], Int[Tensor, " batch"]]:
        """States of the last layer, zeros in the padding, and how many each utterance has.

        Args:
            waveform: zeros beyond its length; any level.
            lengths: samples of each.
        """
        x, counts = self.log_mel(waveform, lengths), self.log_mel.count(lengths)
        if self.training:
            x = masked(x, counts)
        for number, (many, layer) in enumerate(zip(self.joins, self.layers, strict=True)):
            x, counts = joined(self.dropout(x) if number else x, counts, many)
            x = layer(x, counts)
        return x, counts
