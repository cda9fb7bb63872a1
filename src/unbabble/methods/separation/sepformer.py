"""SepFormer: transformers within and across chunks of a learned time-frequency representation, one microphone.

C. Subakan, M. Ravanelli, S. Cornell, M. Bronzi, J. Zhong, "Attention is all you need in speech separation", ICASSP
2021, arXiv 2010.13154. As an enhancer or dereverberator (one source): Subakan et al., "Exploring self-attention
mechanisms for speech separation", TASLP 31, 2023. 25.7 million parameters.

========= ===================== ==========================================================
paper     code                  meaning
========= ===================== ==========================================================
x         ``mixture``           (batch, time)
h         ``features``          encoder's output, eq. 1, (batch, frame, width)
m_k       ``masks``             one for each source, (batch, source, frame, width)
s_k       returned              decoder's output, eq. 2, (batch, source, time)
h'        ``chunks``            half overlapping, (batch, chunk, frame, width)
IntraT    ``block.intra``       transformer along the frames of each chunk
InterT    ``block.inter``       transformer along the chunks, for each place in them
F         ``width``             filters of the encoder, and width of the transformers
C         ``pipelines.tracks``             frames of a chunk
K         ``layers``            of one transformer
N         ``repeats``           blocks of IntraT and InterT
========= ===================== ==========================================================

With ``inter="means"`` the chunks do not overlap and InterT sees one mean vector of each: C. Subakan, M. Ravanelli, S.
Cornell, F. Grondin, "Resource-efficient separation transformer", arXiv 2206.09507. Ours besides: the chunks of every
block begin half a chunk before those of the last, so that no border stays one. ``COMPACT`` is our variant of that kind
for two cores.

Inference passes groups of sequences through a whole transformer, which bounds memory and stays within the caches.
"""

import copy
import math
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.filterbank import Decoder, Encoder
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.prelu import PReLU

COMPACT: dict[str, Any] = {
    "width": 128,
    "kernel": 32,
    "stride": 16,
    "chunk": 64,
    "layers": 3,
    "inter_layers": 1,
    "heads": 4,
    "hidden": 384,
    "repeats": 3,
    "inter": "means",
}
"""2.1 million parameters, 0.9 GMAC per second of audio at 8 kHz."""

GROUP_ROWS = 2048
"""Frames that inference passes through a transformer at a time: their activations fit the second-level caches."""
FUSED = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
_LAYER_EPS = 1e-6
_GLOBAL_EPS = 1e-8


class Layer(nn.Module):
    """One layer of a transformer, normalised before each part: eqs. 7 and 8."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width, eps=_LAYER_EPS)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width, eps=_LAYER_EPS)
        self.feed_in = nn.Linear(width, hidden)
        self.feed_out = nn.Linear(hidden, width)
        nn.init.xavier_uniform_(self.attention_in.weight)
        nn.init.zeros_(self.attention_in.bias)
        nn.init.zeros_(self.attention_out.bias)

    def forward(self, x: Float[Tensor, "sequence time width"]) -> Float[Tensor, "sequence time width"]:
        """Add attention, then the feed-forward part."""
        x = _add(x, self._attend(self.attention_norm(x)))
        return _add(x, linear(self.feed_out, linear(self.feed_in, self.feed_norm(x), "relu")))

    def _attend(self, x: Tensor) -> Tensor:
        heads = linear(self.attention_in, x).unflatten(-1, (3, self.heads, -1))
        query, key, value = heads.permute(
            2, 0, 3, 1, 4
        ).unbind()  # views: (sequence, head, time, width / heads)
        return linear(self.attention_out, attention(query, key, value).transpose(1, 2).flatten(2))


def attention(
    query: Float[Tensor, "sequence head time width"], key: Tensor, value: Tensor
) -> Float[Tensor, "sequence head time width"]:
    """Softmax of the scaled products of queries and keys, over the values.

    Learning in half precision on a CPU multiplies matrices one by one: the gradient of the fused kernel is slow there.
    """
    learns = torch.is_grad_enabled() and query.dtype == torch.bfloat16 and query.device.type == "cpu"
    if learns and not torch.compiler.is_compiling():
        scores = (query * query.shape[-1] ** -0.5) @ key.mT
        return scores.softmax(-1).to(value.dtype) @ value
    return F.scaled_dot_product_attention(query, key, value)


def linear(layer: nn.Linear, x: Tensor, activation: Literal["none", "relu"] = "none") -> Tensor:
    """``layer`` in the precision of its weights, then ``activation``.

    Inference on a CPU has both in one kernel where PyTorch brings it: oneDNN's, on AMD up to a fifth faster in float32.
    """
    x = x.to(layer.weight.dtype)
    if FUSED and x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling():
        return FUSED(x, layer.weight, layer.bias, activation, [], "")
    y = layer(x)
    return y.relu() if activation == "relu" else y


def _add(x: Tensor, y: Tensor) -> Tensor:
    """Their sum; in the place of y, a linear layer's output, where precisions agree and nothing learns."""
    return x + y if torch.is_grad_enabled() or y.dtype != x.dtype else y.add_(x)


class Transformer(nn.Module):
    """Positions, layers, a last norm: eqs. 5 to 8, without the skip around all, which ``Block`` has."""

    def __init__(self, layers: int, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(width, heads, hidden) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, eps=_LAYER_EPS)

    def forward(self, x: Float[Tensor, "sequence time width"]) -> Float[Tensor, "sequence time width"]:
        """Each sequence for itself."""
        where = positions(x.shape[1], x.shape[2]).to(x)
        if torch.is_grad_enabled():
            return self._layers(x, where)
        group = max(1, GROUP_ROWS // x.shape[1])
        y = torch.empty_like(x)
        for part, place in zip(x.split(group), y.split(group), strict=True):
            place.copy_(self._layers(part, where))
        return y

    def _layers(self, x: Tensor, where: Tensor) -> Tensor:
        x = x.clone(memory_format=torch.contiguous_format).add_(where)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


def positions(count: int, width: int) -> Float[Tensor, "count width"]:
    """Sines at even places, cosines at odd ones, wavelengths from 2 pi to 10000 * 2 pi."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000) / width))
    angles = torch.arange(count)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


class GlobalNorm(nn.Module):
    """Over everything of an item of the batch; then a gain and an offset for each channel, which come last."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(
        self, x: Float[Tensor, "batch ... width"], in_place: bool = False
    ) -> Float[Tensor, "batch ... width"]:
        """Normalise each item, ``in_place`` where no gradient needs ``x``."""
        variance, mean = torch.var_mean(x, tuple(range(1, x.ndim)), correction=0, keepdim=True)
        gain = self.weight * (variance + _GLOBAL_EPS).rsqrt()
        offset = self.bias - mean * gain
        return x.mul_(gain).add_(offset) if in_place else torch.addcmul(offset, x, gain)


class Block(nn.Module):
    """IntraT, then InterT, eq. 4, each normalised over everything and with a skip around it."""

    def __init__(
        self, layers: int, inter_layers: int, width: int, heads: int, hidden: int, means: bool
    ) -> None:
        super().__init__()
        self.means = means
        self.intra = Transformer(layers, width, heads, hidden)
        self.intra_norm = GlobalNorm(width)
        self.inter = Transformer(inter_layers, width, heads, hidden)
        self.inter_norm = GlobalNorm(width)

    def forward(
        self, chunks: Float[Tensor, "batch chunk frame width"]
    ) -> Float[Tensor, "batch chunk frame width"]:
        """Refine the chunks."""
        batch, _, frames, _ = chunks.shape
        in_place = not torch.is_grad_enabled()
        within = self.intra(chunks.flatten(0, 1)).unflatten(0, (batch, -1))
        chunks = self.intra_norm(within, in_place).add_(chunks)
        if self.means:
            return chunks + self.inter_norm(self.inter(chunks.mean(2)), in_place)[:, :, None]
        across = (
            self.inter(chunks.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, frames)).transpose(1, 2)
        )
        return self.inter_norm(across, in_place).add_(chunks)


class MaskNetwork(nn.Module):
    """From the encoder's features to one mask for each source: Fig. 2."""

    def __init__(
        self, sources: int, chunk: int, repeats: int, width: int, means: bool, **transformers: int
    ) -> None:
        super().__init__()
        self.sources, self.chunk, self.means = sources, chunk, means
        self.norm = GlobalNorm(width)
        self.bottleneck = nn.Linear(width, width, bias=False)
        self.blocks = nn.ModuleList([Block(width=width, means=means, **transformers) for _ in range(repeats)])
        self.activation = PReLU()
        self.split = nn.Linear(width, sources * width)
        self.output = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        self.last = nn.Linear(width, width, bias=False)

    def forward(self, features: Float[Tensor, "batch frame width"], blocks: nn.ModuleList) -> Tensor:
        """What ``masks`` takes, frame by frame: the blocks' output, chunks laid over one another again."""
        count, half = features.shape[1], self.chunk // 2
        x = self.bottleneck(self.norm(features))
        if self.means:
            chunks = F.pad(x, (0, 0, 0, -count % self.chunk)).unflatten(1, (-1, self.chunk))
            for number, block in enumerate(blocks):
                if number:
                    chunks = F.pad(chunks.flatten(1, 2), (0, 0, half, half)).unflatten(1, (-1, self.chunk))
                chunks = block(chunks)
            start = half * (len(blocks) - 1)
            return self.activation(chunks.flatten(1, 2)[:, start : start + count])
        # at least one frame is added, so that the first and the last half chunk cover none of the others
        added = self.chunk - (half + count) % self.chunk
        chunks = F.pad(x, (0, 0, half, half + added)).unfold(1, self.chunk, half).transpose(2, 3)
        for block in blocks:
            chunks = block(chunks)
        early, late = self.activation(chunks).unflatten(2, (2, half)).unbind(2)
        return (late[:, :-1] + early[:, 1:]).flatten(1, 2)[:, :count]

    def masks(self, x: Float[Tensor, "batch frame width"]) -> Float[Tensor, "batch source frame width"]:
        """The head, which works frame by frame.

        In the paper the layer ``split`` precedes overlap-add. It is linear, so it may follow at half the price; its
        bias is then added once for each chunk of a frame.
        """
        copies = 1 if self.means else 2
        x = F.linear(x, self.split.weight, copies * self.split.bias)
        x = x.unflatten(-1, (self.sources, -1)).transpose(1, 2)
        return self.last(self.output(x).tanh() * self.gate(x).sigmoid()).relu()


@register(
    name="sepformer",
    contract="separator",
    summary="Transformers within and across chunks; also an enhancer and dereverberator with one source.",
    citation="Subakan, Ravanelli, Cornell, Bronzi, Zhong, Attention is all you need in speech separation, ICASSP 2021",
    network=True,
)
class SepFormer(NeuralSeparator):
    """Separates by masks on a learned representation.

    Args:
        width: filters of the encoder, F.
        kernel: samples of a filter.
        stride: samples from one frame to the next.
        chunk: frames of a chunk, C, an even number.
        layers: of each transformer, K.
        inter_layers: of each transformer across chunks, where not ``layers`` too (0).
        heads: of each attention.
        hidden: width of the feed-forward parts.
        repeats: blocks, N.
        inter: across chunks, attend from every frame to those at its place in the other chunks, or between the chunks'
            means, with chunks that do not overlap.
        precision: of the transformers' matrix products in inference; training and everything else is float32. bfloat16
            is quicker where the processor multiplies in it (AVX512-BF16, AMX, GPUs), and slower elsewhere.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "width": 16,
        "chunk": 20,
        "layers": 1,
        "heads": 2,
        "hidden": 32,
        "repeats": 2,
    }

    def __init__(
        self,
        *,
        width: int = 256,
        kernel: int = 16,
        stride: int = 8,
        chunk: int = 250,
        layers: int = 8,
        inter_layers: int = 0,
        heads: int = 8,
        hidden: int = 1024,
        repeats: int = 2,
        inter: Literal["frames", "means"] = "frames",
        precision: Literal["float32", "bfloat16"] = "float32",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if (
            min(width, stride, chunk, layers, heads, hidden, repeats) < 1
            or kernel < stride
            or inter_layers < 0
        ):
            raise UsageError(
                "SepFormer needs at least one of everything, and a kernel no shorter than its stride."
            )
        if chunk % 2 or width % 2 or width % heads:
            raise UsageError("SepFormer needs an even chunk and width, and heads that divide the width.")
        self.precision = precision
        self.encoder = Encoder(width, kernel, stride)
        self.masknet = MaskNetwork(
            self.sources,
            chunk,
            repeats,
            width,
            inter == "means",
            layers=layers,
            inter_layers=inter_layers or layers,
            heads=heads,
            hidden=hidden,
        )
        self.decoder = Decoder(width, kernel, stride)

    def estimate(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch source time"]:
        """Encoder, masks, decoder."""
        features = self.encoder(mixture).relu_().mT
        blocks = self.masknet.blocks
        if self.precision == "bfloat16" and not torch.is_grad_enabled():
            blocks = in_bfloat16(blocks)
        x = self.masknet(features, blocks)
        if torch.is_grad_enabled():
            masked = [self.masknet.masks(x) * features[:, None]]
        else:
            step = 2 * GROUP_ROWS
            masked = [
                self.masknet.masks(part) * frames[:, None]
                for part, frames in zip(x.split(step, 1), features.split(step, 1), strict=True)
            ]
        return self.decoder(torch.cat(masked, 2).mT, mixture.shape[-1])


def in_bfloat16(blocks: nn.ModuleList) -> nn.ModuleList:
    """A copy with the transformers' matrices in bfloat16; norms, and so what is added up, stay in float32."""
    matrices = [
        each for module in blocks.modules() if isinstance(module, nn.Linear) for each in module.parameters()
    ]
    rounded = {id(each): nn.Parameter(each.bfloat16(), requires_grad=False) for each in matrices}
    return copy.deepcopy(blocks, rounded)
