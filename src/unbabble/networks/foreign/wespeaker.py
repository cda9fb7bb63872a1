"""WeSpeaker's ResNets of 18 and 34 layers: ``avg_model.pt``, or pyannote's copy, ``pytorch_model.bin``.

H. Wang et al., "Wespeaker: a research and production oriented speaker embedding learning toolkit", ICASSP 2023; K. He,
X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016. Kaldi's log mel bands less their
mean over the recording; convolutions over bands and frames, with half as many of both from stage to stage; mean and
deviation over what frames are left; a matrix. What only training needs, the names of its speakers, is left out.
"""

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
from unbabble.networks.foreign.kaldi import SAMPLE_RATE, KaldiMel, hamming_window
from unbabble.networks.foreign.reading import count, need, read_pickled, read_tensors
from unbabble.nn.kinds.embedder import NeuralEmbedder

FILE = "avg_model.pt"
INERT = ("pyannote.", "pytorch_lightning.", "lightning.", "omegaconf.")
"""Objects that pyannote's copy holds beside tensors, of which nothing is needed."""
FULL_SCALE = 32768.0
LEAST_FRAMES = 16
"""A shorter recording is repeated: two frames have to be left behind all stages."""
POOLING_EPS = 1e-7
_PREFIX, _HEAD, _TRAINING_ONLY = (
    "resnet.",
    {"conv1.weight", "layer4.0.conv1.weight", "seg_1.weight"},
    "projection.",
)


def is_wespeaker(content: Any) -> bool:
    """Whether what a file holds is such a network."""
    return _state(content).keys() >= _HEAD


def _state(content: Any) -> dict[str, Any]:
    """Tensors by name, as WeSpeaker calls them."""
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    if not isinstance(state, dict):
        return {}
    return {str(name).removeprefix(_PREFIX): each for name, each in state.items() if torch.is_tensor(each)}


class Block(nn.Module):
    """Two convolutions, added to what came in, or to a convolution of single places where shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(
        self, x: Float[Tensor, "batch inputs band frame"]
    ) -> Float[Tensor, "batch outputs band frame"]:
        """Bands and frames over the stride, rounded up."""
        inner = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (inner + self.shortcut(x)).relu()


class WeSpeakerResNet(NeuralEmbedder):
    """See the module.

    Args:
        bands: mel bands, a multiple of 8.
        channels: of the first stage; each of the others has twice those of the one before.
        blocks: in each of the four stages.
        dimension: numbers of an embedding.
    """

    card: ClassVar[Card] = Card(
        "wespeaker_resnet",
        "embedder",
        "Tells speakers apart with a residual network over bands and frames.",
        "Wang et al.: Wespeaker, ICASSP 2023; He et al., CVPR 2016",
        network=True,
    )

    def __init__(
        self,
        *,
        bands: int,
        channels: int,
        blocks: tuple[int, ...],
        dimension: int,
    ) -> None:
        super().__init__(sample_rate=SAMPLE_RATE)
        self.mel = KaldiMel(bands, hamming_window(), full_scale=FULL_SCALE, least_frames=LEAST_FRAMES)
        self.conv1, self.bn1 = nn.Conv2d(1, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.layer1 = self._stage(channels, channels, blocks[0], 1)
        self.layer2 = self._stage(channels, 2 * channels, blocks[1], 2)
        self.layer3 = self._stage(2 * channels, 4 * channels, blocks[2], 2)
        self.layer4 = self._stage(4 * channels, 8 * channels, blocks[3], 2)
        self.seg_1 = nn.Linear(2 * 8 * channels * (bands // 8), dimension)

    @staticmethod
    def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
        rest = (Block(outputs, outputs, 1) for _ in range(blocks - 1))
        return nn.Sequential(Block(inputs, outputs, stride), *rest)

    def embed(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """From the statistics of the whole recording."""
        x = self.bn1(self.conv1(self.mel(waveform).mT[:, None])).relu()
        x = self.layer4(self.layer3(self.layer2(self.layer1(x)))).flatten(1, 2)
        statistics = torch.cat([x.mean(2), (x.var(2) + POOLING_EPS).sqrt()], 1)
        return nn.functional.normalize(self.seg_1(statistics), dim=-1)


def load_wespeaker(path: Path, given: Mapping[str, Any]) -> WeSpeakerResNet:
    """The network in the file ``path``.

    Raises:
        InputError: damaged, unsafe, or another network, and what differs.
        UsageError: an option, of which it has none.
    """
    check_names(given, [], f"Model '{path}'")
    state = read_tensors(path, _state(read_pickled(path, INERT)))
    tensors = {name: each for name, each in state.items() if not name.startswith(_TRAINING_ONLY)}
    if "layer1.0.conv3.weight" in tensors:
        raise InputError(
            f"'{path.name}' is made of bottlenecks: of WeSpeaker's ResNets, Unbabble reads those of 18 and 34 layers."
        )
    channels = len(need(tensors, "conv1.weight", path, 4))
    last = need(tensors, "seg_1.weight", path, 2)
    network = WeSpeakerResNet(
        bands=8 * (last.shape[1] // (2 * 8 * channels)),
        channels=channels,
        blocks=tuple(max(1, count(tensors, f"layer{stage}.")) for stage in (1, 2, 3, 4)),
        dimension=len(last),
    )
    theirs, ours = ({n: tuple(t.shape) for n, t in each.items()} for each in (tensors, network.state_dict()))
    if problem := describe_difference(str(path), theirs, ours):
        raise InputError(problem)
    network.load_state_dict(tensors)
    return network.eval()
