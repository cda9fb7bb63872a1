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
from unbabble.nn.filterbank import Decoder, Encoder
from unbabble.nn.prelu import PReLU
from unbabble.nn.state import Memory, part
from unbabble.nn.streaming import LiveSeparator, Windows
from unbabble.nn.tcn import NORMS, Block, Pointwise


@register(
    name="conv_tasnet",
    contract="separator",
    summary="Masks on a learned filterbank from dilated convolutions: small and quick, also causal.",
    citation="Luo, Mesgarani, Conv-TasNet, IEEE/ACM TASLP 2019",
    network=True,
)
class ConvTasNet(LiveSeparator):
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
        self.bottleneck = nn.Sequential(NORMS[norm](filters), Pointwise(filters, bottleneck))
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
        self, frames: Float[Tensor, "batch filter frame"], memory: Memory | None = None
    ) -> Float[Tensor, "batch source filter frame"]:
        """Mask the mixture's frames (eqs. 2, 4, 5)."""
        if self.encoder_relu:
            frames = frames.relu()
        return self.masks(frames, memory) * frames[:, None]

    def masks(
        self, frames: Float[Tensor, "batch filter frame"], memory: Memory | None = None
    ) -> Float[Tensor, "batch source filter frame"]:
        """The separation network (figure 1 B)."""
        norm, project = self.bottleneck
        x = project(norm(frames.mT, part(memory, "bottleneck.0")))
        total = None
        for number, block in enumerate(self.blocks):
            x, skip = block(x, memory=part(memory, f"blocks.{number}"))
            total = skip if total is None else total + skip
        scores = self.to_masks((x if total is None else total).mT)
        scores = scores.unflatten(1, (self.sources, -1))
        if self.mask == "softmax":
            return scores.softmax(1)
        return scores.sigmoid() if self.mask == "sigmoid" else scores.relu()

    @property
    def windows(self) -> Windows:
        """Those of the filterbank."""
        kernel = self.encoder.kernel_size[0]
        return Windows(kernel, kernel, self.encoder.stride[0])

    def advance(
        self, samples: Float[Tensor, "batch time"], memory: Memory
    ) -> Float[Tensor, "batch source time"]:
        """``estimate`` of the next windows."""
        return self.decoder(self.separate(self.encoder(samples), memory), samples.shape[-1])

    def check_live(self) -> None:
        """Whether it can be streamed.

        Raises:
            UsageError: it is not causal.
        """
        if not self.causal:
            raise UsageError("This Conv-TasNet needs the whole recording: only causal ones can stream.")
