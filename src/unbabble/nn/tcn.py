"""Temporal convolutional networks: separable, dilated convolutions over frames, channels last.

Y. Luo, N. Mesgarani, "Conv-TasNet: surpassing ideal time-frequency magnitude masking for speech separation",
IEEE/ACM TASLP 27(8), 2019, section II.
"""

from jaxtyping import Float
from torch import Tensor, nn

from unbabble.nn.cumulative_norm import CumulativeNorm
from unbabble.nn.prelu import PReLU
from unbabble.nn.state import Memory, Past, part

EPS = 1e-8
Frames = Float[Tensor, "batch frame channel"]


class Pointwise(nn.Conv1d):
    """A 1x1 convolution, channels last."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, x: Frames) -> Frames:  # type: ignore[override]
        """The same number of frames."""
        return nn.functional.linear(x, self.weight[..., 0], self.bias)


class Depthwise(nn.Conv1d):
    """Each channel by itself, with ``dilation``, channels last.

    In rows of as many frames as the dilation, what is combined stands in one column: an ordinary convolution down the
    rows, for which processors have fast code, as they have not for dilated ones.
    """

    def __init__(self, channels: int, kernel: int, dilation: int, causal: bool) -> None:
        super().__init__(channels, channels, kernel, dilation=dilation, groups=channels)
        self.rows = 0 if causal else kernel // 2

    def forward(self, x: Frames) -> Frames:  # type: ignore[override]
        """As many frames; where causal, fewer by those that the first output looks back on."""
        row, reach = self.dilation[0], self.kernel_size[0] - 1 - 2 * self.rows
        length = x.shape[1] - reach * row
        x = nn.functional.pad(x, (0, 0, 0, -x.shape[1] % row)).unflatten(1, (-1, row)).permute(0, 3, 1, 2)
        x = nn.functional.conv2d(
            x, self.weight[..., None], self.bias, padding=(self.rows, 0), groups=self.groups
        )
        return x.permute(0, 2, 3, 1).flatten(1, 2)[:, :length]


class GlobalNorm(nn.GroupNorm):
    """gLN: mean and variance over all channels of all frames (eqs. 8-10)."""

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels, eps=EPS)

    def forward(self, x: Frames, memory: Memory | None = None) -> Frames:  # type: ignore[override]
        """The same shape; all frames are looked at, so that it cannot be streamed."""
        return super().forward(x.mT[:, :, None])[:, :, 0].mT  # as an image, it may have channels last


class BatchNorm(nn.BatchNorm1d):
    """BN, channels last."""

    def forward(self, x: Frames, memory: Memory | None = None) -> Frames:  # type: ignore[override]
        """The same shape; it takes nothing from a memory: its statistics are those of training."""
        return super().forward(x.mT).mT


class ChannelNorm(nn.LayerNorm):
    """Mean and variance over the channels of each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPS)

    def forward(self, x: Frames, memory: Memory | None = None) -> Frames:  # type: ignore[override]
        """The same shape; it takes nothing from a memory: every frame is by itself."""
        return super().forward(x)


NORMS = {"global": GlobalNorm, "cumulative": CumulativeNorm, "batch": BatchNorm, "channel": ChannelNorm}
"""Normalisations of (batch, frame, channel), by the names that options give them."""


class Block(nn.Module):
    """A separable convolution between two 1x1 convolutions (section II-C, figure 1 C).

    Attributes:
        residual: None where nothing follows.
    """

    def __init__(
        self,
        bottleneck: int,
        hidden: int,
        skip: int,
        conv_kernel: int,
        dilation: int,
        norm: str,
        causal: bool,
        last: bool,
    ) -> None:
        super().__init__()
        self.past = Past((conv_kernel - 1) * dilation if causal else 0, hidden)
        self.expand = Pointwise(bottleneck, hidden)
        self.act1 = PReLU()
        self.norm1 = NORMS[norm](hidden)
        self.depthwise = Depthwise(hidden, conv_kernel, dilation, causal)
        self.act2 = PReLU()
        self.norm2 = NORMS[norm](hidden)
        self.skip = Pointwise(hidden, skip) if skip else None
        self.residual = None if skip and last else Pointwise(hidden, bottleneck)  # nothing follows the last

    def forward(
        self, x: Frames, gains: tuple[Tensor, Tensor] | None = None, memory: Memory | None = None
    ) -> tuple[Frames, Frames | None]:
        """What goes to the next block, and what to the mask.

        Args:
            x: what comes from the block before.
            gains: of what is added to x, and of what goes to the mask, (batch, 1, channel) each.
            memory: of a stream, where causal.
        """
        inner = self.norm1(self.act1(self.expand(x)), part(memory, "norm1"))
        inner = self.depthwise(self.past(inner, part(memory, "past")))
        inner = self.norm2(self.act2(inner), part(memory, "norm2"))
        skip = None if self.skip is None else self.skip(inner)
        residual = None if self.residual is None else self.residual(inner)
        if gains is not None:
            residual = None if residual is None else gains[0] * residual
            skip = None if skip is None else gains[1] * skip
        return x if residual is None else x + residual, skip
