"""3D-Speaker's CAM++: ``campplus_cn_en_common.pt`` and its siblings, tensors by name, of embeddings of any size.

H. Wang, S. Zheng, Y. Chen, L. Cheng, Q. Chen, "CAM++: a fast and efficient network for speaker verification using
context-aware masking", Interspeech 2023. Kaldi's log mel bands less their mean over the recording; residual
convolutions over bands and frames, which leave an eighth of the bands and every frame (``Front``); layers over frames,
each of which adds some channels to all before it and hears how its stretch and the whole recording sound (``Masked``);
mean and deviation over frames; a matrix.
"""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.config import check_names
from unbabble.base.errors import InputError
from unbabble.base.registry import Card
from unbabble.base.weights import describe_difference
from unbabble.networks.foreign.kaldi import SAMPLE_RATE, KaldiMel, povey_window
from unbabble.networks.foreign.reading import count, need, read_pickled, read_tensors
from unbabble.nn.kinds.embedder import NeuralEmbedder

FILE = "campplus_cn_en_common.pt"
DILATIONS = (1, 2, 2)
"""Of the three blocks; nothing in the file says them."""
STRETCH_FRAMES = 100
"""Whose mean a mask hears beside that of the recording: 2 s."""
LEAST_FRAMES = 8
"""A shorter recording is repeated: a deviation is of several frames."""
_HEAD = {"head.conv1.weight", "xvector.tdnn.linear.weight", "xvector.dense.linear.weight"}


def is_campplus(content: Any) -> bool:
    """Whether what a file holds is such a network."""
    return isinstance(content, dict) and content.keys() >= _HEAD


def normed(channels: int, affine: bool = True, rectified: bool = True) -> nn.Sequential:
    """A batch norm over frames, under 3D-Speaker's name, and behind it what is above 0."""
    norm = OrderedDict[str, nn.Module](batchnorm=nn.BatchNorm1d(channels, affine=affine))
    return nn.Sequential(norm | {"relu": nn.ReLU()} if rectified else norm)


class Residual(nn.Module):
    """Two convolutions, added to what came in, or to a convolution of single places where there are fewer bands."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, (stride, 1), padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride > 1:
            single = nn.Conv2d(channels, channels, 1, (stride, 1), bias=False)
            self.shortcut = nn.Sequential(single, nn.BatchNorm2d(channels))

    def forward(
        self, x: Float[Tensor, "batch channel band frame"]
    ) -> Float[Tensor, "batch channel out frame"]:
        """Bands over the stride, rounded up; as many frames."""
        inner = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (inner + self.shortcut(x)).relu()


class Front(nn.Module):
    """Convolutions over bands and frames.

    Args:
        channels: of each band.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, (2, 1), padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.layer1 = nn.Sequential(Residual(channels, 2), Residual(channels, 1))
        self.layer2 = nn.Sequential(Residual(channels, 2), Residual(channels, 1))

    def forward(self, bands: Float[Tensor, "batch band frame"]) -> Float[Tensor, "batch channel frame"]:
        """The channels of all bands that are left, one after another."""
        x = self.layer2(self.layer1(self.bn1(self.conv1(bands[:, None])).relu()))
        return self.bn2(self.conv2(x)).relu().flatten(1, 2)


class Masked(nn.Module):
    """A convolution over frames, times a mask by what is around: the paper's context-aware mask.

    Args:
        inputs: channels.
        hidden: of the network that makes the mask.
        outputs: channels.
        taps: of the convolution.
        dilation: frames from one to the next.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, taps: int, dilation: int) -> None:
        super().__init__()
        padding = (taps - 1) // 2 * dilation
        self.linear_local = nn.Conv1d(inputs, outputs, taps, padding=padding, dilation=dilation, bias=False)
        self.linear1, self.linear2 = nn.Conv1d(inputs, hidden, 1), nn.Conv1d(hidden, outputs, 1)

    def forward(self, x: Float[Tensor, "batch inputs frame"]) -> Float[Tensor, "batch outputs frame"]:
        """As many frames; the last stretch may be shorter than the others."""
        stretches = nn.functional.avg_pool1d(x, STRETCH_FRAMES, STRETCH_FRAMES, ceil_mode=True)
        around = x.mean(2, keepdim=True) + stretches.repeat_interleave(STRETCH_FRAMES, 2)[..., : x.shape[2]]
        return self.linear_local(x) * self.linear2(self.linear1(around).relu()).sigmoid()


class Dense(nn.Module):
    """One layer of a block: what it adds to the channels.

    Args:
        inputs: channels of all layers before.
        width: channels that these become first.
        hidden, outputs, taps, dilation: as of ``Masked``.
    """

    def __init__(self, inputs: int, width: int, hidden: int, outputs: int, taps: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1, self.linear1 = normed(inputs), nn.Conv1d(inputs, width, 1, bias=False)
        self.nonlinear2, self.cam_layer = normed(width), Masked(width, hidden, outputs, taps, dilation)

    def forward(self, x: Float[Tensor, "batch inputs frame"]) -> Float[Tensor, "batch outputs frame"]:
        """The channels that are added."""
        return self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))


class Layer(nn.Module):
    """A convolution over frames with a norm before it or behind it, under 3D-Speaker's names."""

    def __init__(self, linear: nn.Conv1d, nonlinear: nn.Module, first: bool = False) -> None:
        super().__init__()
        self.linear, self.nonlinear, self.first = linear, nonlinear, first

    def forward(self, x: Float[Tensor, "batch inputs frame"]) -> Float[Tensor, "batch outputs out"]:
        """As the convolution has them."""
        return self.linear(self.nonlinear(x)) if self.first else self.nonlinear(self.linear(x))


class CAMPlusPlus(NeuralEmbedder):
    """See the module.

    Args:
        bands: mel bands, a multiple of 8.
        front: channels of the convolutions over bands and frames.
        channels: of the first layer over frames.
        taps: of that layer's convolution, and of those in the blocks.
        layers: of each block.
        width: channels inside a layer.
        hidden: of a mask's network.
        growth: channels that a layer adds.
        dimension: numbers of an embedding.
    """

    card: ClassVar[Card] = Card(
        "campplus",
        "embedder",
        "Tells speakers apart with densely connected layers that hear the context.",
        "Wang et al.: CAM++, Interspeech 2023",
        network=True,
    )

    def __init__(
        self,
        *,
        bands: int,
        front: int,
        channels: int,
        taps: tuple[int, int],
        layers: tuple[int, int, int],
        width: int,
        hidden: int,
        growth: int,
        dimension: int,
    ) -> None:
        super().__init__(sample_rate=SAMPLE_RATE)
        self.mel = KaldiMel(bands, povey_window(), full_scale=1.0, least_frames=LEAST_FRAMES)
        self.head = Front(front)
        first = nn.Conv1d(front * (bands // 8), channels, taps[0], 2, padding=(taps[0] - 1) // 2, bias=False)
        self.xvector = nn.ModuleDict({"tdnn": Layer(first, normed(channels))})
        for number, (count_, dilation) in enumerate(zip(layers, DILATIONS, strict=True), 1):
            block = nn.ModuleDict()
            for layer in range(count_):
                block[f"tdnnd{layer + 1}"] = Dense(channels, width, hidden, growth, taps[1], dilation)
                channels += growth
            self.xvector[f"block{number}"] = block
            half = nn.Conv1d(channels, channels // 2, 1, bias=False)
            self.xvector[f"transit{number}"] = Layer(half, normed(channels), first=True)
            channels //= 2
        self.xvector["out_nonlinear"] = normed(channels)
        last = nn.Conv1d(2 * channels, dimension, 1, bias=False)
        self.xvector["dense"] = Layer(last, normed(dimension, affine=False, rectified=False))

    def embed(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """From the statistics of the whole recording."""
        x = self.xvector["tdnn"](self.head(self.mel(waveform).mT))
        for number in range(1, len(DILATIONS) + 1):
            block = self.xvector[f"block{number}"]
            assert isinstance(block, nn.ModuleDict)
            for layer in block.values():
                x = torch.cat([x, layer(x)], 1)
            x = self.xvector[f"transit{number}"](x)
        x = self.xvector["out_nonlinear"](x)
        statistics = torch.cat([x.mean(2), x.std(2)], 1)[..., None]
        return nn.functional.normalize(self.xvector["dense"](statistics)[..., 0], dim=-1)


def load_campplus(path: Path, given: Mapping[str, Any]) -> CAMPlusPlus:
    """The network in the file ``path``.

    Raises:
        InputError: damaged, unsafe, or another network, and what differs.
        UsageError: an option, of which it has none.
    """
    check_names(given, [], f"Model '{path}'")
    tensors = read_tensors(path, read_pickled(path))
    front = len(need(tensors, "head.conv1.weight", path, 4))
    first = need(tensors, "xvector.tdnn.linear.weight", path, 3)
    layer = "xvector.block1.tdnnd1"
    local = need(tensors, f"{layer}.cam_layer.linear_local.weight", path, 3)
    one, two, three = (max(1, count(tensors, f"xvector.block{number}.")) for number in (1, 2, 3))
    network = CAMPlusPlus(
        bands=8 * (first.shape[1] // front),
        front=front,
        channels=len(first),
        taps=(first.shape[2], local.shape[2]),
        layers=(one, two, three),
        width=local.shape[1],
        hidden=len(need(tensors, f"{layer}.cam_layer.linear1.weight", path, 3)),
        growth=len(local),
        dimension=len(need(tensors, "xvector.dense.linear.weight", path, 2)),
    )
    theirs, ours = ({n: tuple(t.shape) for n, t in each.items()} for each in (tensors, network.state_dict()))
    if problem := describe_difference(str(path), theirs, ours):
        raise InputError(problem)
    network.load_state_dict(tensors)
    return network.eval()
