"""A sparse ensemble: several tiny specialists, and a gate that hears which one fits; only that one runs.

A. Sivaraman, M. Kim, "Sparse mixture of local experts for efficient speech enhancement", Interspeech 2020 (specialists
for input SNRs or for women and men); "Zero-shot personalized speech enhancement through speaker-informed model
selection", WASPAA 2021 (for groups of speakers, with a ``siamese_gru`` as the gate's ear).

======== ================== ================================================================
papers   code               meaning
======== ================== ================================================================
K        ``specialists``    masks of two recurrent layers each, as ``gru``
z        ``gate``           a recurrent ear, and a linear layer on its last state
p        ``shares``         softmax(gamma z); at inference, unless ``soft``, all of it is the largest one's
M        ``masks``          sum_k p_k M_k while all learn together
gamma    ``sharpness``      5 + 5 sigmoid(0.01 (n - 500)) at step n of that, 10 in the end
======== ================== ================================================================

Learns in two runs. *Apart* (``joint=False``): items come with the label of their specialist (``data.speakers``,
``labels``), which learns from them alone, and the gate learns the labels. *Together* (``joint=True``, from the weights
of the first): nothing but the voice is known, and the gate's shares weigh the masks; as gamma rises the mixture becomes
a choice.

``soft=True`` keeps the shares at inference, as the mixture of local experts that the papers compare with does
(Interspeech 2020, section 2.2): all specialists run.

The gate hears the whole recording before it chooses. *Live* (``live=True``, and in a stream) it chooses at the first
frame and again every second, by what it has heard so far, and stays where the gain is small: a specialist that takes
over begins as at the start of a recording, since those that are not chosen do not run.
"""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.live_masks import LiveMasks, LiveStep, Recurrence, recurrent_step
from unbabble.nn.losses import SOFT_DB, separation_loss

FIRST_SHARPNESS, LAST_SHARPNESS = 5.0, 10.0
ANNEALING, ANNEALED_STEPS = 0.01, 500
CHOICE_SECONDS = 1.0
"""Between the choices of a live gate."""
MARGIN = 1.0
"""By which another specialist's score must be higher to take over. On dev speakers (benchmark ``ensembles``, ``--split
dev``) 0 lost 0.2 dB in 6 s and 0.5 dB in 20 s, in which the gate wavered 2 and 4 times."""
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
    """Scores of the specialists."""

    def __init__(self, bins: int, hidden: int, layers: int, specialists: int) -> None:
        super().__init__()
        self.recurrence = Recurrence(bins, hidden, layers)
        self.choice = nn.Linear(hidden, specialists)

    def forward(self, features: Features) -> Float[Tensor, "batch specialist"]:
        """z, for a whole recording."""
        return self.choice(self.recurrence(features)[:, -1])

    def so_far(self, features: Features) -> Float[Tensor, "batch frame specialist"]:
        """z, of what was heard up to each frame."""
        return self.choice(self.recurrence(features))


class Turns(nn.Module):
    """Which specialist has each frame, live.

    Args:
        every: frames between choices; the first frame has one.
    """

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every
        self.remembers, self.heard, self.last = False, 0, 0

    def remember(self) -> None:
        """From now on, calls go on where the last one ended."""
        self.remembers, self.heard, self.last = True, 0, 0

    def forward(self, scores: Float[Tensor, "batch frame specialist"]) -> list[list[int]]:
        """From z of what was heard up to each frame; of one recording, in a stream."""
        found = []
        for row in scores:
            last, turns = self.last, []
            for place in range(self.heard, self.heard + len(row)):
                if place % self.every == 0:
                    now = row[place - self.heard]
                    best = int(now.argmax())
                    last = best if not place or now[best] - now[last] > MARGIN else last
                turns.append(last)
            found.append(turns)
        if self.remembers:
            self.heard, self.last = self.heard + scores.shape[1], found[0][-1]
        return found


@register(
    name="sparse_ensemble",
    contract="enhancer",
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
        live: whether the gate chooses again and again, as in a stream, rather than once by all of a recording.
        soft: whether all specialists run, and the gate weighs their masks.
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
        live: bool = False,
        soft: bool = False,
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
        self.joint, self.chosen, self.live, self.soft = joint, chosen, live, soft
        self.ITEM = ("mixture", "sources") if joint else ("mixture", "sources", "label")
        self.specialists = nn.ModuleList(Specialist(bins, hidden, layers) for _ in range(specialists))
        self.gate = Gate(bins, gate_hidden, gate_layers, specialists)
        self.turns = Turns(max(1, round(CHOICE_SECONDS * sample_rate / hop_length)))
        self.running = -1
        """The specialist that had the last frame of a stream."""
        self.register_buffer("annealed", torch.zeros((), dtype=torch.int64))

    @property
    def sharpness(self) -> float:
        """gamma, after the steps that all have learnt together (Interspeech 2020, section 2.3)."""
        rise = 1 / (1 + math.exp(-ANNEALING * (int(self.annealed) - ANNEALED_STEPS)))
        return FIRST_SHARPNESS + (LAST_SHARPNESS - FIRST_SHARPNESS) * rise

    def masks(self, features: Features) -> Features:
        """By the specialist that the gate takes for each recording, or live for each second; no other runs.

        Raises:
            UsageError: to export it, without one chosen.
        """
        if self.chosen >= 0:
            return self.specialists[self.chosen](features)
        if self.soft:
            return self._weighed(
                self.gate.so_far(features) if self.live else self.gate(features)[:, None], features
            )
        if torch.compiler.is_exporting():
            raise UsageError(
                "A whole ensemble cannot be exported, as only the specialist that its gate chooses runs: export one "
                "step of it (--streaming), or a specialist (--set chosen=0)."
            )
        if not self.live:
            return self._by(self.gate(features).argmax(-1), features)
        turns = self.turns(self.gate.so_far(features))
        rows = zip(turns, features.split(1), strict=True)
        return torch.cat([self._in_turns(turn, row) for turn, row in rows])

    def remember(self) -> None:
        """From now on, calls go on where the last one ended, and the gate chooses live."""
        self.live, self.running = True, -1

    def step(self) -> "EnsembleStep":
        """One frame of a stream, with all that is remembered as arguments: for programs without PyTorch.

        Raises:
            UsageError: all specialists run.
        """
        if self.soft:
            raise UsageError("One step of an ensemble runs one specialist: export it without soft=true.")
        return EnsembleStep(self)

    def _weighed(self, scores: Float[Tensor, "batch #frame specialist"], features: Features) -> Features:
        """All specialists, each by its share."""
        shares = (self.sharpness * scores.float()).softmax(-1)
        each = torch.stack([specialist(features) for specialist in self.specialists], -1)
        return (shares[:, :, None] * each).sum(-1)

    def _in_turns(self, turns: Sequence[int], features: Features) -> Features:
        """One recording by one specialist after the other."""
        found, begin = [], 0
        for number, frames in groupby(turns):
            specialist: Specialist = self.specialists[number]  # type: ignore[assignment]
            if number != self.running:
                specialist.recurrence.forget()
            end = begin + len(list(frames))
            found.append(specialist(features[:, begin:end]))
            self.running, begin = number, end
        return torch.cat(found, 1)

    def _by(self, choice: Int[Tensor, " batch"], features: Features) -> Features:
        """Each recording by its specialist."""
        found = torch.zeros_like(features)
        for number in choice.unique().tolist():
            rows = (choice == number).nonzero()[:, 0]
            masks = self.specialists[number](features[rows])
            found = found.to(masks).index_copy(0, rows, masks)
        return found

    def loss(  # type: ignore[override]
        self,
        mixture: Float[Tensor, "batch time"],
        sources: Float[Tensor, "batch 1 time"],
        label: Int[Tensor, " batch"] | None = None,
        *,
        soft_db: float = SOFT_DB,
    ) -> Float[Tensor, " batch"]:
        """Of the voice, and with labels the gate's cross-entropy besides."""
        spectra = self.frames.spectra(self.frames.cut(mixture))
        features = self.frames.features(spectra)
        scores = self.gate(features)
        if label is None:
            masks = self._weighed(scores[:, None], features)
            wrong = scores.new_zeros(())
        else:
            masks = self._by(label, features)
            wrong = nn.functional.cross_entropy(scores.float(), label, reduction="none")
        pieces = self.frames.pieces(masks.float()[..., None] * spectra)
        voice = self.frames.join(pieces, mixture.shape[-1])[:, None]
        return wrong + separation_loss(voice, sources, mixture, scale_invariance=0.5, soft_db=soft_db)

    def after(self, step: int) -> None:
        """One more step has been made together: gamma rises."""
        if self.joint:
            self.annealed += 1

    def figure(  # type: ignore[override]
        self,
        mixture: Float[Tensor, "1 time"],
        sources: Float[Tensor, "1 1 time"],
        label: Int[Tensor, " 1"] | None = None,
    ) -> float:
        """SI-SNR improvement in dB, by the specialist that the gate takes."""
        return super().figure(mixture, sources)


class EnsembleStep(LiveStep):
    """See ``LiveStep``.

    ``state`` is the units of the specialist that runs, ``gate_state`` those of the gate, ``chosen`` the specialist's
    number, and ``since`` the frames since it was chosen. The weights of the specialist that runs are looked up among
    those of all, so that one is computed.
    """

    INPUTS: ClassVar[tuple[str, ...]] = ("frame", "mean", "count", "state", "gate_state", "chosen", "since")

    def __init__(self, network: SparseEnsemble) -> None:
        super().__init__(network.frames)
        self.gate, self.fixed, self.every = network.gate, network.chosen, network.turns.every
        specialists: list[Specialist] = list(network.specialists)  # type: ignore[arg-type]
        layers = specialists[0].recurrence.layers
        self.shape = layers.num_layers, layers.hidden_size
        alike = zip(*(_weights_of(each) for each in specialists), strict=True)
        self.weights = nn.ParameterList(torch.stack([each.detach() for each in same]) for same in alike)

    def start(self) -> tuple[Tensor, ...]:
        """Arguments for silence, before anything was heard."""
        layers = self.gate.recurrence.layers
        one = torch.zeros(1, 1)
        gate_state = torch.zeros(layers.num_layers, layers.hidden_size)
        frame = torch.zeros(1, self.frames.window_length)
        return frame, one, one.clone(), torch.zeros(self.shape), gate_state, one.clone(), one.clone()

    def forward(
        self,
        frame: Float[Tensor, "1 time"],
        mean: Tensor,
        count: Tensor,
        state: Float[Tensor, "layer unit"],
        gate_state: Float[Tensor, "gate_layer gate_unit"],
        chosen: Float[Tensor, "1 1"],
        since: Float[Tensor, "1 1"],
    ) -> tuple[Tensor, ...]:
        """(1, heard), and the next of all others."""
        spectrum, features, mean, count = self.heard(frame, mean, count)
        gate_state = recurrent_step(features, gate_state, self.gate.recurrence.weights)
        now = self._chosen(gate_state, chosen, count == 1, since == 0)
        state = state * (now == chosen)
        place = now[0].to(torch.int64)
        *recurrent, mask_weight, mask_bias = [each.index_select(0, place)[0] for each in self.weights]
        layers = [recurrent[first : first + 4] for first in range(0, len(recurrent), 4)]
        state = recurrent_step(features, state, layers)
        mask = nn.functional.linear(state[-1:], mask_weight, mask_bias).sigmoid()
        since = torch.where(since + 1 == self.every, torch.zeros_like(since), since + 1)
        return self.piece(mask, spectrum), mean, count, state, gate_state, now, since

    def _chosen(self, gate_state: Tensor, chosen: Tensor, first: Tensor, due: Tensor) -> Tensor:
        """The specialist that runs now, as in ``Turns``."""
        if self.fixed >= 0:
            return torch.full_like(chosen, self.fixed)
        scores = self.gate.choice(gate_state[-1:])
        highest, best = scores.max(-1, keepdim=True)
        better = highest - scores.gather(-1, chosen.to(torch.int64)) > MARGIN
        return torch.where(first | due & better, best.to(chosen), chosen)


def _weights_of(specialist: Specialist) -> list[Tensor]:
    """Of all layers one after the other, then of the mask."""
    layers = [each for layer in specialist.recurrence.weights for each in layer]
    return [*layers, specialist.to_mask.weight, specialist.to_mask.bias]
