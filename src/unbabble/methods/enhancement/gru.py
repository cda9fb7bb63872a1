"""Masks from gated recurrent units: a personal enhancer's tiny network, and at full size its teacher.

The network of personalised speech enhancement at Indiana: A. Sivaraman, M. Kim, "Sparse mixture of local experts for
efficient speech enhancement", Interspeech 2020; S. Kim, M. Kim, "Test-time adaptation toward personalized speech
enhancement: zero-shot learning with knowledge distillation", WASPAA 2021. Students have two layers of 32 to 1024
units, the teacher three of 1024, a mask in [0, 1] for each of 513 frequencies of frames of 64 ms every 16 ms.

======== ===================== ============================================================================
papers   code                  meaning
======== ===================== ============================================================================
X        ``spectrum``          noisy, (batch, frame, frequency)
\\|X\\|    ``features``          magnitudes, here over the level so far and to the power of 0.3
M        ``mask``              (batch, frame, frequency)
S_hat    ``mask * spectrum``   enhanced
======== ===================== ============================================================================

Differences from the papers, all so that it can run live: the frames of ``nn.live_masks``, of which only the last 32 ms
are written and waited for, and features without the level of what came before.
"""

from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.live_masks import LiveMasks, Recurrence
from unbabble.nn.state import Memory, part


@register(
    name="gru",
    contract="enhancer",
    summary="Takes noise off speech with masks from gated recurrent units: tiny, live, made for one voice.",
    citation="Kim & Kim, WASPAA 2021; Sivaraman & Kim, Interspeech 2020",
    network=True,
    default="2x64",
)
class GRU(LiveMasks):
    """See the module.

    Args:
        hidden: units of a layer: 32 to 1024 of students, 1024 of the teacher.
        layers: 2 of students, 3 of the teacher.
        window_length: samples that a frame looks at.
        heard_length: samples at its end that it writes, and the delay of a stream.
        hop_length: samples between frames.
        sample_rate: Hz, that of its training data.
        reference: see ``NeuralSeparator``.

    Raises:
        UsageError: sizes that make no sense.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "hidden": 8, "layers": 2, "window_length": 64, "heard_length": 32, "hop_length": 16,
    }  # fmt: skip

    def __init__(
        self,
        *,
        hidden: int = 64,
        layers: int = 2,
        window_length: int = 1024,
        heard_length: int = 512,
        hop_length: int = 256,
        sample_rate: int = 16000,
        reference: int = 0,
    ) -> None:
        super().__init__(
            window_length=window_length,
            heard_length=heard_length,
            hop_length=hop_length,
            sample_rate=sample_rate,
            reference=reference,
        )
        if min(hidden, layers) < 1:
            raise UsageError("A GRU has at least one unit and one layer.")
        self.recurrence = Recurrence(self.frames.bins, hidden, layers)
        self.to_mask = nn.Linear(hidden, self.frames.bins)

    def masks(
        self, features: Float[Tensor, "batch frame frequency"], memory: Memory | None = None
    ) -> Float[Tensor, "batch frame frequency"]:
        """From the last layer's units."""
        return self.to_mask(self.recurrence(features, part(memory, "recurrence"))).sigmoid()
