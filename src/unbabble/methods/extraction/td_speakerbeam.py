"""Time-domain SpeakerBeam: a Conv-TasNet directed by an enrollment.

M. Delcroix et al., "Improving speaker discrimination of target speech extraction with time-domain SpeakerBeam", ICASSP
2020; K. Zmolikova et al., "SpeakerBeam", IEEE JSTSP 13(4), 2019. An auxiliary network of one repeat hears the
enrollment; the mean of its output over time multiplies what the last block of the main network's first repeat says.
Or, where there is too little speech to learn voices from anew, an embedder that already tells them apart (``xvector``)
hears it in the auxiliary network's place, stays as it is, and one layer makes the gains of what it says.

========== =================== ====================================================================
paper      code                meaning
========== =================== ====================================================================
y, a       mixture, enrollment (batch, time), (batch, sample)
e          ``person``          two gains: of the residual, and of what goes to the mask
(8)        ``adapted``         the block whose output they multiply, from 1
M          ``mask``            of the frames of y
========== =================== ====================================================================
"""

from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import create, register
from unbabble.nn.filterbank import Decoder, Encoder
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.nn.kinds.extractor import NeuralExtractor, Person
from unbabble.nn.prelu import PReLU
from unbabble.nn.tcn import Block, GlobalNorm, Pointwise


class Stack(nn.Module):
    """Blocks of a Conv-TasNet behind their bottleneck, and what all of them say together."""

    def __init__(
        self, filters: int, bottleneck: int, hidden: int, blocks: int, repeats: int, outputs: int
    ) -> None:
        super().__init__()
        self.bottleneck = nn.Sequential(GlobalNorm(filters), Pointwise(filters, bottleneck))
        dilations = [2**power for power in range(blocks)] * repeats
        self.blocks = nn.ModuleList(
            Block(bottleneck, hidden, bottleneck, 3, dilation, "global", False, number == len(dilations))
            for number, dilation in enumerate(dilations, 1)
        )
        self.output = nn.Sequential(PReLU(), Pointwise(bottleneck, outputs))

    def forward(
        self,
        frames: Float[Tensor, "batch frame filter"],
        person: Person | None = None,
        adapted: int = 0,
    ) -> Float[Tensor, "batch frame output"]:
        """Where block ``adapted`` speaks, ``person`` weighs it."""
        x, total = self.bottleneck(frames), None
        for number, block in enumerate(self.blocks, 1):
            adapts = person is not None and number == adapted
            first, second = person.chunk(2, -1) if person is not None and adapts else (None, None)
            x, skip = block(x, (first, second) if adapts else None)
            total = skip if total is None else total + skip
        return self.output(total)


@register(
    name="td_speakerbeam",
    contract="extractor",
    summary="Extracts an enrolled person: a Conv-TasNet whose blocks are weighed by what it knows of that voice.",
    citation="Delcroix et al., Time-domain SpeakerBeam, ICASSP 2020",
    network=True,
)
class TDSpeakerBeam(NeuralExtractor):
    """See the module.

    Args:
        filters: of the filterbanks.
        kernel: samples of a filter, even.
        bottleneck: channels between blocks, to the mask, and numbers of each gain.
        hidden: channels inside a block.
        blocks: in a repeat; each has twice the dilation of the one before.
        repeats: of the blocks.
        adapted: the block that is weighed, from 1; 0 for the last of the first repeat.
        embedder_channels: of the ``xvector`` that hears the enrollment, whose weights the recipe's ``parts`` give; 0
            for an auxiliary network, as published.
        embedder_dimension: numbers of its embedding.
        sample_rate: Hz, that of its training data.
        reference: see ``NeuralExtractor``.

    Raises:
        UsageError: sizes that make no sense.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "filters": 16, "bottleneck": 8, "hidden": 16, "blocks": 2, "repeats": 2,
    }  # fmt: skip

    def __init__(
        self,
        *,
        filters: int = 512,
        kernel: int = 16,
        bottleneck: int = 128,
        hidden: int = 512,
        blocks: int = 8,
        repeats: int = 3,
        adapted: int = 0,
        embedder_channels: int = 0,
        embedder_dimension: int = 64,
        sample_rate: int = 8000,
        reference: int = 0,
    ) -> None:
        super().__init__(sample_rate=sample_rate, reference=reference)
        if min(filters, kernel, bottleneck, hidden, blocks, repeats) < 1 or kernel % 2:
            raise UsageError("TD-SpeakerBeam needs at least one of everything, and an even kernel.")
        if not 0 <= adapted <= blocks * repeats:
            raise UsageError(f"TD-SpeakerBeam has no block {adapted}: it has {blocks * repeats}.")
        self.adapted = adapted or blocks
        self.encoder = Encoder(filters, kernel, kernel // 2)
        self.separator = Stack(filters, bottleneck, hidden, blocks, repeats, filters)
        self.decoder = Decoder(filters, kernel, kernel // 2)
        self.embedder: NeuralEmbedder | None = None
        if embedder_channels:
            self.embedder = create(
                "xvector", channels=embedder_channels, dimension=embedder_dimension, sample_rate=sample_rate
            ).requires_grad_(False)
            self.gains = nn.Linear(embedder_dimension, 2 * bottleneck)
            # At first what a separator's blocks say is left as it is on average, but differs from voice to voice.
            nn.init.ones_(self.gains.bias)
            nn.init.normal_(self.gains.weight, std=0.5)
        else:
            self.enrollment_encoder = Encoder(filters, kernel, kernel // 2)
            self.auxiliary = Stack(filters, bottleneck, hidden, blocks, 1, 2 * bottleneck)

    def train(self, mode: bool = True) -> "TDSpeakerBeam":
        """The embedder does not learn, nor do its running means."""
        super().train(mode)
        if self.embedder is not None:
            self.embedder.eval()
        return self

    def enroll(self, enrollment: Float[Tensor, "batch time"]) -> Person:
        """e, (batch, 1, 2 gain)."""
        if self.embedder is not None:
            return self.gains(self.embedder.embed(enrollment))[:, None]
        return self.auxiliary(self.enrollment_encoder(enrollment).mT).mean(1, keepdim=True)

    def extract(self, mixture: Float[Tensor, "batch time"], person: Person) -> Float[Tensor, "batch time"]:
        """Mask the mixture's frames."""
        frames = self.encoder(mixture)
        mask = self.separator(frames.mT, person, self.adapted).sigmoid()
        return self.decoder(mask.mT * frames, mixture.shape[-1])
