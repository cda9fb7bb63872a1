"""An encoder of sounds: CNN14's blocks alone, which learn without labels and say how alike recordings are.

Convolutions: Q. Kong et al., "PANNs: large-scale pretrained audio neural networks for audio pattern recognition",
IEEE/ACM TASLP 28, 2020 (``nn.cnn14``). How they learn from recordings that arrive group after group, without labels and
without forgetting: Z. Wang et al., "Learning representations for new sound classes with continual self-supervised
learning", IEEE SPL 29, 2022 (``training.tasks.continual``). A classifier takes them over by
``parts: {trunk: FILE}`` in its recipe.
"""

from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.cnn14 import LEAST_FRAMES, Cnn14Trunk
from unbabble.nn.decibel_mel import CentredMel
from unbabble.nn.kinds.embedder import NeuralEmbedder


@register(
    name="sound_encoder",
    contract="embedder",
    summary="Says which recordings sound alike, whatever they are of; learns without labels, batch after batch.",
    citation="Wang et al.: Continual self-supervised learning of sound classes, IEEE SPL 2022",
    network=True,
)
class SoundEncoder(NeuralEmbedder):
    """See the module.

    Args:
        width: channels of the first block, see ``nn.cnn14``.
        dimension: numbers of a vector; 0 for 32 times the width.
        bands: of the mel scale, at least 32.
        hop_ms: milliseconds between frames.
        dropped: share of the numbers between blocks that is left out while it learns.
        sample_rate: Hz, that of its training data.

    Raises:
        UsageError: sizes that make no sense.
    """

    TINY: ClassVar[dict[str, Any]] = {"width": 3, "bands": 32, "dimension": 24}
    TASK: ClassVar[str] = "continual"
    EVERYTHING: ClassVar[bool] = True

    def __init__(
        self,
        *,
        width: int = 16,
        dimension: int = 0,
        bands: int = 80,
        hop_ms: float = 10.0,
        dropped: float = 0.0,
        sample_rate: int = 16000,
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        if width < 1 or dimension < 0 or bands < LEAST_FRAMES or hop_ms < 1 or not 0 <= dropped < 1:
            raise UsageError(
                f"sound_encoder has a width of at least 1, {LEAST_FRAMES} bands and more, at least 1 ms from frame to "
                "frame, and drops a share below 1."
            )
        self.dimension = dimension or 32 * width
        self.mel = CentredMel(bands, sample_rate, LEAST_FRAMES, hop_ms / 1000)
        self.trunk = Cnn14Trunk(bands, width, self.dimension, dropped)

    def embed(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """The trunk's vector, of unit norm."""
        return nn.functional.normalize(self.trunk(self.mel(waveform)), dim=-1)
