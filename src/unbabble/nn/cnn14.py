"""The convolutions of CNN14 (``methods.classification.cnn14``), which encoders of sounds share."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

LEAST_FRAMES = 32
"""Five times, two frames become one."""
DROPPED = 0.2


class Block(nn.Module):
    """Two convolutions of 3 x 3, each with batch norm and ReLU; then the mean over squares of ``pool`` by ``pool``.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        pool: frames, and bands, that become one.
    """

    def __init__(self, inputs: int, outputs: int, pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        for convolution in (self.conv1, self.conv2):
            nn.init.xavier_uniform_(convolution.weight)

    def forward(self, x: Float[Tensor, "batch inputs frame band"]) -> Float[Tensor, "batch outputs f b"]:
        """Fewer frames and bands, more channels."""
        x = self.norm1(self.conv1(x)).relu()
        return nn.functional.avg_pool2d(self.norm2(self.conv2(x)).relu(), self.pool)


class Cnn14Trunk(nn.Module):
    """From mel bands to one vector: six blocks, then over bands the mean, over frames mean and maximum together.

    Args:
        bands: of the mel scale, at least 32.
        width: channels of the first block; each of the next four has twice as many. 64 is the published size.
        dimension: channels of the last block, numbers of the vector; 32 times the width is the published size.
        dropped: share of the numbers between blocks that is left out while it learns.
    """

    def __init__(self, bands: int, width: int, dimension: int, dropped: float = DROPPED) -> None:
        super().__init__()
        self.dropped = dropped
        self.norm0 = nn.BatchNorm2d(bands)
        widths = [1, *(width * 2**number for number in range(5)), dimension]
        self.blocks = nn.ModuleList(
            Block(inputs, outputs, 1 if number == 5 else 2)
            for number, (inputs, outputs) in enumerate(pairwise(widths))
        )

    def forward(self, bands: Float[Tensor, "batch frame band"]) -> Float[Tensor, "batch dimension"]:
        """A vector of each recording, of which there are at least ``LEAST_FRAMES`` frames."""
        x = self.norm0(bands[:, None].transpose(1, 3)).transpose(1, 3)
        for block in self.blocks:
            x = nn.functional.dropout(block(x), self.dropped, self.training)
        x = x.mean(3)
        return x.amax(2) + x.mean(2)
