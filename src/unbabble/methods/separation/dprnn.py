"""DPRNN: long sequences at a fine time scale, by LSTMs along chunks and across chunks in turn.

Y. Luo, Z. Chen, T. Yoshioka, "Dual-path RNN: efficient long sequence modeling for time-domain single-channel speech
separation", ICASSP 2020.

======= ============== ======================================================================
paper   code           meaning
======= ============== ======================================================================
window  ``kernel``     samples of a filter; the stride is half of it
N       ``bottleneck`` channels of the blocks; ``filters`` those of the encoder, as many
K       ``pipelines.tracks``      frames of a chunk; the next one begins after half of them
S       chunk          (axis) number of chunks
B       ``blocks``     each an intra-chunk and an inter-chunk part
H       ``hidden``     units of an LSTM, in each direction
C       ``sources``
T_b     ``x``          what goes from block to block, (chunk, batch, frame, channel)
======= ============== ======================================================================

With chunks first and channels last, the same memory is a batch of chunks, frame by frame, and a sequence of chunks:
neither LSTM needs a copy.
"""

from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.chunking import Padding, overlap_add, segment
from unbabble.nn.filterbank import Decoder, Encoder
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.prelu import PReLU

EPS = 1e-8
Chunks = Float[Tensor, "chunk batch frame channel"]


class GlobalNorm(nn.Module):
    """Mean and variance over all of a mixture (eqs. 5-7); batch is the second axis, channels the last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "first batch ... channel"]) -> Tensor:
        """The same shape, float32."""
        x = x.float()
        axes = [axis for axis in range(x.ndim) if axis != 1]
        centred = x - x.mean(axes, keepdim=True)
        variance = centred.square().mean(axes, keepdim=True)  # several times faster than var_mean
        return torch.addcmul(self.bias, centred, self.weight * (variance + EPS).rsqrt())


def make_norm(kind: str, channels: int) -> nn.Module:
    """Normalisation of (..., batch, ..., channel)."""
    return GlobalNorm(channels) if kind == "global" else nn.LayerNorm(channels, eps=EPS)


class Part(nn.Module):
    """LSTM, projection, normalisation, around which the input is added (eqs. 2-4, and 8 for the other axis)."""

    def __init__(self, channels: int, hidden: int, norm: str, across: bool, bidirectional: bool) -> None:
        super().__init__()
        self.across = across
        self.lstm = nn.LSTM(channels, hidden, batch_first=not across, bidirectional=bidirectional)
        self.project = nn.Linear(hidden * (1 + bidirectional), channels)
        self.norm = make_norm(norm, channels)

    def forward(self, x: Chunks) -> Chunks:
        """Along the frames of each chunk, or ``across`` the chunks."""
        sequences = x.flatten(1, 2) if self.across else x.flatten(0, 1)
        hidden = self.project(self.lstm(sequences)[0])
        return x + self.norm(hidden.reshape(x.shape))


@register(
    name="dprnn",
    contract="separator",
    summary="Masks on a learned filterbank from LSTMs along and across chunks: accurate, with few parameters.",
    citation="Luo, Chen, Yoshioka, Dual-path RNN, ICASSP 2020",
    network=True,
)
class DPRNN(NeuralSeparator):
    """Encoder, dual-path recurrent network, decoder.

    Args:
        filters: of the filterbanks.
        kernel: samples of a filter, even.
        bottleneck: channels of the blocks.
        hidden: units of an LSTM, in each direction.
        chunk: frames of a chunk, even.
        blocks: each an intra-chunk and an inter-chunk part.
        norm: ``global`` over the mixture, ``channel`` over each frame.
        mask: nonlinearity of the masks.
        encoder_relu: frames are not negative.
        bidirectional: across chunks; without it, and with norm=channel, a sample depends on nothing that comes
            later than a chunk.
        padding: zeros on both sides of the frames, ``half`` a chunk or a ``full`` one.

    Raises:
        UsageError: an odd kernel or chunk.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "filters": 8, "kernel": 8, "bottleneck": 8, "hidden": 8, "chunk": 20, "blocks": 2,
    }  # fmt: skip

    def __init__(
        self,
        *,
        filters: int = 64,
        kernel: int = 2,
        bottleneck: int = 64,
        hidden: int = 128,
        chunk: int = 250,
        blocks: int = 6,
        norm: Literal["global", "channel"] = "global",
        mask: Literal["sigmoid", "relu"] = "sigmoid",
        encoder_relu: bool = False,
        bidirectional: bool = True,
        padding: Padding = "half",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if min(filters, kernel, bottleneck, hidden, chunk, blocks) < 1 or kernel % 2 or chunk % 2:
            raise UsageError("DPRNN needs at least one of everything, and an even kernel and chunk.")
        self.chunk = chunk
        self.padding: Padding = padding
        self.mask, self.encoder_relu = mask, encoder_relu
        self.encoder = Encoder(filters, kernel, kernel // 2)
        self.bottleneck = nn.Sequential(make_norm(norm, filters), nn.Linear(filters, bottleneck))
        parts = ((False, True), (True, bidirectional))
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Part(bottleneck, hidden, norm, across, both) for across, both in parts))
            for _ in range(blocks)
        )
        self.to_sources = nn.Sequential(PReLU(), nn.Linear(bottleneck, self.sources * bottleneck))
        self.output = nn.Conv1d(bottleneck, bottleneck, 1)
        self.gate = nn.Conv1d(bottleneck, bottleneck, 1)
        self.to_masks = nn.Conv1d(bottleneck, filters, 1, bias=False)
        self.decoder = Decoder(filters, kernel, kernel // 2)

    def estimate(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch source time"]:
        """Mask the mixture's frames."""
        frames = self.encoder(mixture)
        if self.encoder_relu:
            frames = frames.relu()
        return self.decoder(self.masks(frames) * frames[:, None], mixture.shape[-1])

    def masks(
        self, frames: Float[Tensor, "batch filter frame"]
    ) -> Float[Tensor, "batch source filter frame"]:
        """Segmentation, blocks, overlap-add (sections 2.1-2.3), and a gate in front of the masks."""
        length = frames.shape[-1]
        x = self.bottleneck(frames.permute(2, 0, 1)).permute(1, 2, 0)
        x = segment(x, self.chunk, padding=self.padding).permute(3, 0, 2, 1).contiguous().float()
        for block in self.blocks:
            x = block(x)
        x = self.to_sources(x).permute(1, 3, 2, 0)  # (batch, source and channel, frame, chunk)
        x = overlap_add(x, length, padding=self.padding)
        x = x.reshape(-1, self.gate.in_channels, length)  # (batch and source, channel, frame)
        scores = self.to_masks(self.output(x).tanh() * self.gate(x).sigmoid())
        scores = scores.unflatten(0, (-1, self.sources))
        return scores.sigmoid() if self.mask == "sigmoid" else scores.relu()
