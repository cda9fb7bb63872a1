"""ECAPA-TDNN: who speaks, from convolutions over time that see the whole recording, and attention to telling frames.

B. Desplanques, J. Thienpondt, K. Demuynck, "ECAPA-TDNN: emphasized channel attention, propagation and aggregation in
TDNN based speaker verification", Interspeech 2020. Features and details are those of SpeechBrain, whose published
weights load (``spkrec-ecapa-voxceleb``): log mel in dB less its mean over the recording, edges mirrored.

=================== ================= ======================================================================
paper               code              meaning
=================== ================= ======================================================================
Conv1D + ReLU + BN  ``Layer``         a convolution over frames, at a spacing
Res2                ``Res2``          channels in groups, each group hears the one before too         (fig. 2)
SE (eqs. 4, 5)      ``Squeeze``       channels weighed by what the whole recording has of them
SE-Res2Block        ``Block``         the three together, added to what came in                       (fig. 2)
eqs. 1 to 3, 2.1    ``Attention``     mean and deviation of each channel over the frames that matter to it
2.3, MFA            ``mfa``           all three blocks together
=================== ================= ======================================================================

Learns to name the people of its training set with a margin (``training.tasks.speakers``); by itself, GE2E. While it
learns, some bands and frames are masked (section 3.2). A difference that SpeechBrain has, too: a block hears the block
before it, not the sum of all before (section 2.3).
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.decibel_mel import CentredMel
from unbabble.nn.kinds.embedder import NeuralEmbedder

SPACINGS = (2, 3, 4)
"""Frames between those that the blocks look at."""
EPS = 1e-12
MASKED_BANDS, MASKED_FRAMES = 10, 5
"""At most so many next to each other."""


@register(
    name="ecapa_tdnn",
    contract="embedder",
    summary="Tells speakers apart with attention over channels and frames; reads SpeechBrain's weights.",
    citation="Desplanques, Thienpondt, Demuynck: ECAPA-TDNN, Interspeech 2020",
    network=True,
)
class EcapaTDNN(NeuralEmbedder):
    """See the module.

    Args:
        bands: mel bands.
        channels: C, of the blocks.
        scale: groups of channels in a block, 2 or more.
        squeeze: units that weigh channels.
        aggregated: channels of all blocks together.
        attention: units that weigh frames.
        dimension: numbers of an embedding.
        sample_rate: Hz, that of its training data.
        unit_db: decibels of the mel bands that are one unit of what the first layer hears. 1 as published; where little
            is learnt from, biases of the first layer stay too small for numbers of that size, and 13 learns more.

    Raises:
        UsageError: sizes that make no sense.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "bands": 8, "channels": 8, "scale": 2, "squeeze": 4, "aggregated": 8, "attention": 4, "dimension": 6,
    }  # fmt: skip

    def __init__(
        self,
        *,
        bands: int = 80,
        channels: int = 512,
        scale: int = 8,
        squeeze: int = 128,
        aggregated: int = 1536,
        attention: int = 128,
        dimension: int = 192,
        sample_rate: int = 16000,
        unit_db: float = 1.0,
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        if min(bands, channels, squeeze, aggregated, attention, dimension) < 1 or unit_db <= 0:
            raise UsageError("An ECAPA-TDNN has at least one of everything.")
        if scale < 2 or channels % scale:
            raise UsageError(f"ECAPA-TDNN: {channels} channels do not fall into {scale} groups, 2 or more.")
        self.unit_db = unit_db
        self.mel = CentredMel(bands, sample_rate, max(SPACINGS) + 1)
        blocks = (Block(channels, scale, squeeze, spacing) for spacing in SPACINGS)
        self.blocks = nn.ModuleList([Layer(bands, channels, 5), *blocks])
        self.mfa = Layer(len(SPACINGS) * channels, aggregated)
        self.asp = Attention(aggregated, attention)
        self.asp_bn = nn.BatchNorm1d(2 * aggregated)
        self.fc = nn.Conv1d(2 * aggregated, dimension, 1)

    def embed(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """From the whole recording."""
        bands = self.mel(waveform).mT / self.unit_db
        return nn.functional.normalize(self.vectors(masked(bands) if self.training else bands), dim=-1)

    def vectors(self, bands: Float[Tensor, "batch band frame"]) -> Float[Tensor, "batch dimension"]:
        """The network proper: embeddings of any norm."""
        outputs = [bands]
        for block in self.blocks:
            outputs.append(block(outputs[-1]))
        statistics = self.asp(self.mfa(torch.cat(outputs[2:], 1)))
        return self.fc(self.asp_bn(statistics))[..., 0]


class Layer(nn.Module):
    """A convolution over ``kernel`` frames, each ``spacing`` after the one before; ReLU; batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, spacing: int = 1) -> None:
        super().__init__()
        padding = spacing * (kernel // 2)
        self.conv = nn.Conv1d(
            inputs, outputs, kernel, dilation=spacing, padding=padding, padding_mode="reflect"
        )
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, x: Float[Tensor, "batch inputs frame"]) -> Float[Tensor, "batch outputs frame"]:
        """As many frames."""
        return self.norm(self.conv(x).relu())


class Res2(nn.Module):
    """y_0 = x_0, y_1 = K_1(x_1), y_i = K_i(x_i + y_{i-1}): later groups of channels hear more frames."""

    def __init__(self, channels: int, scale: int, spacing: int) -> None:
        super().__init__()
        width = channels // scale
        self.blocks = nn.ModuleList(Layer(width, width, 3, spacing) for _ in range(scale - 1))

    def forward(self, x: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch channel frame"]:
        """As many channels and frames."""
        first, *groups = x.chunk(len(self.blocks) + 1, 1)
        outputs = [first]
        for number, (block, group) in enumerate(zip(self.blocks, groups, strict=True)):
            outputs.append(block(group + outputs[-1] if number else group))
        return torch.cat(outputs, 1)


class Squeeze(nn.Module):
    """Channels times weights between 0 and 1 that come from the means of all of them over time."""

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(channels, squeeze, 1), nn.Conv1d(squeeze, channels, 1)

    def forward(self, x: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch channel frame"]:
        """As many channels and frames."""
        return x * self.conv2(self.conv1(x.mean(2, keepdim=True)).relu()).sigmoid()


class Block(nn.Module):
    """x + SE(layer(Res2(layer(x))))."""

    def __init__(self, channels: int, scale: int, squeeze: int, spacing: int) -> None:
        super().__init__()
        self.tdnn1, self.tdnn2 = Layer(channels, channels), Layer(channels, channels)
        self.res2net_block = Res2(channels, scale, spacing)
        self.se_block = Squeeze(channels, squeeze)

    def forward(self, x: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch channel frame"]:
        """As many channels and frames."""
        return x + self.se_block(self.tdnn2(self.res2net_block(self.tdnn1(x))))


class Attention(nn.Module):
    """Mean and deviation of each channel over time, weighed by frames as that channel, and all of them, ask for."""

    def __init__(self, channels: int, attention: int) -> None:
        super().__init__()
        self.tdnn, self.conv = Layer(3 * channels, attention), nn.Conv1d(attention, channels, 1)

    def forward(self, x: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch 2*channel 1"]:
        """Means, then deviations."""
        context = statistics(x, torch.full_like(x, 1 / x.shape[2]))
        asked = torch.cat([x, *(each.expand_as(x) for each in context)], 1)
        return torch.cat(statistics(x, self.conv(self.tdnn(asked).tanh()).softmax(2)), 1)


def statistics(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation over frames whose weights add up to 1, (batch, channel, 1) each."""
    mean = (weights * x).sum(2, keepdim=True)
    variance = (weights * (x - mean).square()).sum(2, keepdim=True)
    return mean, variance.clamp(min=EPS).sqrt()


def masked(bands: Float[Tensor, "batch band frame"]) -> Float[Tensor, "batch band frame"]:
    """Of each recording a few bands and a few frames next to each other become 0, the mean of all."""
    for axis, most in ((1, MASKED_BANDS), (2, MASKED_FRAMES)):
        size = bands.shape[axis]
        width = torch.randint(min(most, size // 4) + 1, (len(bands), 1), device=bands.device)
        first = (torch.rand(len(bands), 1, device=bands.device) * (size - width + 1)).floor()
        place = torch.arange(size, device=bands.device)
        chosen = (place >= first) & (place < first + width)
        bands = bands.masked_fill(chosen.unsqueeze(3 - axis), 0.0)
    return bands
