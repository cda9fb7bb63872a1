"""Conv-TasNet: masks on a learned filterbank, from dilated convolutions; small, quick, and causal where asked for.

Y. Luo, N. Mesgarani, "Conv-TasNet: surpassing ideal time-frequency magnitude masking for speech separation",
IEEE/ACM TASLP 27(8), 2019.

======== ================= =================================================================
paper    code              meaning
======== ================= =================================================================
N        ``filters``       filters of the encoder and of the decoder
L        ``kernel``        their length in samples; the stride is half of it
B        ``bottleneck``    channels between the blocks
H        ``hidden``        channels inside a block
Sc       ``skip``          channels to the mask; 0 for none, as in the paper's first version
P        ``conv_kernel``   taps of the depthwise convolutions
X        ``blocks``        of a repeat, with dilations 1, 2, 4 ... 2^(X-1)
R        ``repeats``
C        ``sources``
gLN, cLN ``norm``          ``global``, ``cumulative``; BN is ``batch``
H(.)     ``encoder_relu``  nonlinearity of the encoder
sigma    ``mask``          nonlinearity of the masks
w, d     ``mixture``, ...  frames of the mixture, and of each source
======== ================= =================================================================
"""

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.cumulative_norm import CumulativeNorm
from unbabble.nn.filterbank import Decoder, Encoder
from unbabble.nn.prelu import PReLU
from unbabble.nn.separator import NeuralSeparator
from unbabble.nn.streaming import NetworkStreamer, Past, RecordingStreamer

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

    def forward(self, x: Frames) -> Frames:  # type: ignore[override]
        """The same shape."""
        return super().forward(x.mT[:, :, None])[:, :, 0].mT  # as an image, it may have channels last


class BatchNorm(nn.BatchNorm1d):
    """BN, channels last."""

    def forward(self, x: Frames) -> Frames:  # type: ignore[override]
        """The same shape."""
        return super().forward(x.mT).mT


def make_norm(kind: str, channels: int) -> nn.Module:
    """Normalisation of (batch, frame, channel)."""
    if kind == "channel":
        return nn.LayerNorm(channels, eps=EPS)
    return {"global": GlobalNorm, "cumulative": CumulativeNorm, "batch": BatchNorm}[kind](channels)


class Block(nn.Module):
    """A separable convolution between two 1x1 convolutions (section II-C, figure 1 C)."""

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
        self.past = Past((conv_kernel - 1) * dilation if causal else 0)
        self.expand = Pointwise(bottleneck, hidden)
        self.act1 = PReLU()
        self.norm1 = make_norm(norm, hidden)
        self.depthwise = Depthwise(hidden, conv_kernel, dilation, causal)
        self.act2 = PReLU()
        self.norm2 = make_norm(norm, hidden)
        self.skip = Pointwise(hidden, skip) if skip else None
        self.residual = None if skip and last else Pointwise(hidden, bottleneck)  # nothing follows the last

    def forward(self, x: Frames) -> tuple[Frames, Frames | None]:
        """What goes to the next block, and what to the mask."""
        inner = self.norm1(self.act1(self.expand(x)))
        inner = self.norm2(self.act2(self.depthwise(self.past(inner))))
        skip = None if self.skip is None else self.skip(inner)
        return x if self.residual is None else x + self.residual(inner), skip


@register(
    name="conv_tasnet",
    contract="separator",
    summary="Masks on a learned filterbank from dilated convolutions: small and quick, also causal.",
    citation="Luo, Mesgarani, Conv-TasNet, IEEE/ACM TASLP 2019",
    network=True,
)
class ConvTasNet(NeuralSeparator):
    """Encoder, temporal convolutional network, decoder.

    Args:
        filters: of the filterbanks.
        kernel: samples of a filter, even.
        bottleneck: channels between blocks.
        hidden: channels inside a block.
        skip: channels to the mask; 0 takes the mask from the last block's output.
        conv_kernel: taps of the depthwise convolutions; odd unless causal.
        blocks: in a repeat; each has twice the dilation of the one before.
        repeats: of the blocks.
        norm: ``global`` over all frames, ``cumulative`` over those so far, ``batch``, ``channel`` over each frame;
            ``auto`` is global, or cumulative where causal.
        mask: nonlinearity of the masks; softmax makes them add up to one.
        encoder_relu: frames are not negative.
        causal: a sample depends on no more than the ``kernel`` - 1 samples after it.

    Raises:
        UsageError: an odd kernel, or a normalisation that looks ahead where causal.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "filters": 16, "kernel": 16, "bottleneck": 8, "hidden": 16, "skip": 8, "blocks": 2, "repeats": 2,
    }  # fmt: skip

    def __init__(
        self,
        *,
        filters: int = 512,
        kernel: int = 16,
        bottleneck: int = 128,
        hidden: int = 512,
        skip: int = 128,
        conv_kernel: int = 3,
        blocks: int = 8,
        repeats: int = 3,
        norm: Literal["auto", "global", "cumulative", "batch", "channel"] = "auto",
        mask: Literal["sigmoid", "softmax", "relu"] = "sigmoid",
        encoder_relu: bool = False,
        causal: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if (
            min(filters, kernel, bottleneck, hidden, conv_kernel, blocks, repeats) < 1
            or skip < 0
            or kernel % 2
        ):
            raise UsageError("Conv-TasNet needs at least one of everything, and an even kernel.")
        if causal and norm == "global":
            raise UsageError("A causal Conv-TasNet cannot have norm=global, which looks at all frames.")
        if not causal and conv_kernel % 2 == 0:
            raise UsageError("Only a causal Conv-TasNet can have an even conv_kernel.")
        if norm == "auto":
            norm = "cumulative" if causal else "global"
        self.mask, self.encoder_relu, self.causal = mask, encoder_relu, causal
        self.encoder = Encoder(filters, kernel, kernel // 2)
        self.bottleneck = nn.Sequential(make_norm(norm, filters), Pointwise(filters, bottleneck))
        dilations = [2**power for power in range(blocks)] * repeats
        self.blocks = nn.ModuleList(
            Block(bottleneck, hidden, skip, conv_kernel, dilation, norm, causal, number == len(dilations))
            for number, dilation in enumerate(dilations, 1)
        )
        self.to_masks = nn.Sequential(PReLU(), nn.Conv1d(skip or bottleneck, self.sources * filters, 1))
        self.decoder = Decoder(filters, kernel, kernel // 2)

    def estimate(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch source time"]:
        """From the mixture's frames to those of the sources, and back (eq. 6)."""
        return self.decoder(self.separate(self.encoder(mixture)), mixture.shape[-1])

    def separate(
        self, frames: Float[Tensor, "batch filter frame"]
    ) -> Float[Tensor, "batch source filter frame"]:
        """Mask the mixture's frames (eqs. 2, 4, 5)."""
        if self.encoder_relu:
            frames = frames.relu()
        return self.masks(frames) * frames[:, None]

    def masks(
        self, frames: Float[Tensor, "batch filter frame"]
    ) -> Float[Tensor, "batch source filter frame"]:
        """The separation network (figure 1 B)."""
        x = self.bottleneck(frames.mT)
        total = None
        for block in self.blocks:
            x, skip = block(x)
            total = skip if total is None else total + skip
        scores = self.to_masks((x if total is None else total).mT)
        scores = scores.unflatten(1, (self.sources, -1))
        if self.mask == "softmax":
            return scores.softmax(1)
        return scores.sigmoid() if self.mask == "sigmoid" else scores.relu()

    def streamer(self) -> NetworkStreamer:
        """``estimate`` in pieces.

        Raises:
            UsageError: the network is not causal.
        """
        if not self.causal:
            raise UsageError("This Conv-TasNet needs the whole recording: only causal ones can stream.")
        return NetworkStreamer(self)

    def stream(self, sample_rate: int, channels: int) -> RecordingStreamer:
        """A separation that takes its recording piece by piece.

        Raises:
            InputError: no such microphone.
            UsageError: the network is not causal, or leaves the voices' levels open.
        """
        return RecordingStreamer(self, sample_rate, channels)
