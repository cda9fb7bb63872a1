"""A sparse ensemble: several tiny specialists, and a gate that hears which one fits; only that one runs.

A. Sivaraman, M. Kim, "Sparse mixture of local experts for efficient speech enhancement", Interspeech 2020 (specialists
for input SNRs or for women and men); "Zero-shot personalized speech enhancement through speaker-informed model
selection", WASPAA 2021 (for groups of speakers, with a ``siamese_gru`` as the gate's ear).

======== ================== ================================================================
papers   code               meaning
======== ================== ================================================================
K        ``specialists``    masks of two recurrent layers each, as ``gru``
z        ``gate``           a recurrent ear, and a linear layer on its last state
p        ``shares``         softmax(gamma z); at inference all of it is the largest one's
M        ``masks``          sum_k p_k M_k while all learn together
gamma    ``sharpness``      5 + 5 sigmoid(0.01 (n - 500)) at step n of that, 10 in the end
======== ================== ================================================================

Learns in two runs. *Apart* (``joint=False``): items come with the label of their specialist (``data.speakers``,
``labels``), which learns from them alone, and the gate learns the labels. *Together* (``joint=True``, from the weights
of the first): nothing but the voice is known, and the gate's shares weigh the masks; as gamma rises the mixture becomes
a choice. The gate hears the whole recording before it chooses, so this is no live method.
"""

import math
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.live_masks import LiveMasks, Recurrence
from unbabble.nn.losses import separation_loss

FIRST_SHARPNESS, LAST_SHARPNESS = 5.0, 10.0
ANNEALING, ANNEALED_STEPS = 0.01, 500
Features = Float[Tensor, "batch frame frequency"]


class Specialist(nn.Module):
    """Masks of one expert."""

    def __init__(self, bins: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.recurrence = Recurrence(bins, hidden, layers)
        self.to_mask = nn.Linear(hidden, bins)

    def forward(self, features: Features) -> Features:
        """Between 0 and 1."""
        return self.to_mask(self.recurrence(features)).sigmoid()


class Gate(nn.Module):
    """Scores of the specialists for a whole recording."""

    def __init__(self, bins: int, hidden: int, layers: int, specialists: int) -> None:
        super().__init__()
        self.recurrence = Recurrence(bins, hidden, layers)
        self.choice = nn.Linear(hidden, specialists)

    def forward(self, features: Features) -> Float[Tensor, "batch specialist"]:
        """z."""
        return self.choice(self.recurrence(features)[:, -1])


@register(
    name="sparse_ensemble",
    contract="separator",
    summary="Takes noise off speech with the one of several tiny specialists that a gate chooses.",
    citation="Sivaraman & Kim, Interspeech 2020 and WASPAA 2021",
    network=True,
)
class SparseEnsemble(LiveMasks):
    """See the module.

    Args:
        specialists: how many.
        hidden: units of a specialist's layer.
        layers: of a specialist.
        gate_hidden: units of the gate's layers.
        gate_layers: of the gate.
        joint: whether all learn together, which is the second run.
        chosen: the specialist that is taken, from 0; -1 leaves that to the gate.
        window_length: samples that a frame looks at.
        heard_length: samples at its end that it writes.
        hop_length: samples between frames.
        sample_rate: Hz, that of its training data.
        reference: see ``NeuralSeparator``.

    Raises:
        UsageError: sizes that make no sense, or no such specialist.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "specialists": 2, "hidden": 8, "gate_hidden": 4, "joint": True,
        "window_length": 64, "heard_length": 32, "hop_length": 16,
    }  # fmt: skip
    annealed: Tensor

    def __init__(
        self,
        *,
        specialists: int = 5,
        hidden: int = 64,
        layers: int = 2,
        gate_hidden: int = 32,
        gate_layers: int = 2,
        joint: bool = False,
        chosen: int = -1,
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
        if min(specialists, hidden, layers, gate_hidden, gate_layers) < 1:
            raise UsageError("An ensemble has at least one of everything.")
        if not -1 <= chosen < specialists:
            raise UsageError(f"There is no specialist {chosen}: they are 0 to {specialists - 1}.")
        bins = self.frames.bins
        self.joint, self.chosen = joint, chosen
        self.ITEM = ("mixture", "sources") if joint else ("mixture", "sources", "label")
        self.specialists = nn.ModuleList(Specialist(bins, hidden, layers) for _ in range(specialists))
        self.gate = Gate(bins, gate_hidden, gate_layers, specialists)
        self.register_buffer("annealed", torch.zeros((), dtype=torch.int64))

    @property
    def sharpness(self) -> float:
        """gamma, after the steps that all have learnt together (Interspeech 2020, section 2.3)."""
        rise = 1 / (1 + math.exp(-ANNEALING * (int(self.annealed) - ANNEALED_STEPS)))
        return FIRST_SHARPNESS + (LAST_SHARPNESS - FIRST_SHARPNESS) * rise

    def masks(self, features: Features) -> Features:
        """By the specialist that the gate takes for each recording; no other runs."""
        if self.chosen >= 0:
            return self.specialists[self.chosen](features)
        return self._by(self.gate(features).argmax(-1), features)

    def _by(self, choice: Int[Tensor, " batch"], features: Features) -> Features:
        """Each recording by its specialist."""
        found = torch.zeros_like(features)
        for number in choice.unique().tolist():
            rows = (choice == number).nonzero()[:, 0]
            masks = self.specialists[number](features[rows])
            found = found.to(masks).index_copy(0, rows, masks)
        return found

    def loss(
        self,
        mixture: Float[Tensor, "batch time"],
        sources: Float[Tensor, "batch 1 time"],
        label: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, " batch"]:
        """Of the voice, and with labels the gate's cross-entropy besides."""
        spectra = self.frames.spectra(self.frames.cut(mixture))
        features = self.frames.features(spectra)
        scores = self.gate(features)
        if label is None:
            shares = (self.sharpness * scores.float()).softmax(-1)
            each = torch.stack([specialist(features) for specialist in self.specialists], 1)
            masks = (shares[:, :, None, None] * each).sum(1)
            wrong = scores.new_zeros(())
            if self.training:
                self.annealed += 1
        else:
            masks = self._by(label, features)
            wrong = nn.functional.cross_entropy(scores.float(), label, reduction="none")
        pieces = self.frames.pieces(masks.float()[..., None] * spectra)
        voice = self.frames.join(pieces, mixture.shape[-1])[:, None]
        return wrong + separation_loss(voice, sources, mixture, scale_invariance=0.5, soft_db=self.soft_db)

    def figure(
        self,
        mixture: Float[Tensor, "1 time"],
        sources: Float[Tensor, "1 1 time"],
        label: Int[Tensor, " 1"] | None = None,
    ) -> float:
        """SI-SNR improvement in dB, by the specialist that the gate takes."""
        return super().figure(mixture, sources)
