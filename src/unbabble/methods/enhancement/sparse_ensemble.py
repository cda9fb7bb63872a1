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
frame and again every second, by all frames so far, and stays where the gain is small: a specialist that takes
over begins as at the start of a recording, since those that are not chosen do not run.
"""

import math
from itertools import groupby
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.live_masks import LiveMasks, Recurrence
from unbabble.nn.losses import SOFT_DB, separation_loss
from unbabble.nn.state import Memory, State, Stateful, part, start

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

    def forward(self, features: Features, memory: Memory | None = None) -> Features:
        """Between 0 and 1."""
        return self.to_mask(self.recurrence(features, part(memory, "recurrence"))).sigmoid()


class Gate(nn.Module):
    """Scores of the specialists."""

    def __init__(self, bins: int, hidden: int, layers: int, specialists: int) -> None:
        super().__init__()
        self.recurrence = Recurrence(bins, hidden, layers)
        self.choice = nn.Linear(hidden, specialists)

    def forward(self, features: Features) -> Float[Tensor, "batch specialist"]:
        """z, for a whole recording."""
        return self.choice(self.recurrence(features)[:, -1])

    def so_far(
        self, features: Features, memory: Memory | None = None
    ) -> Float[Tensor, "batch frame specialist"]:
        """z, of the frames up to each."""
        return self.choice(self.recurrence(features, part(memory, "recurrence")))


class Turns(Stateful):
    """Which specialist has each frame, live.

    Args:
        every: frames between choices; the first frame has one.
    """

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every

    def initial(self, batch: int) -> State:
        """``running``, the specialist that had the last frame, and ``frames``, how many there were, (batch,)."""
        return {name: torch.zeros(batch, dtype=torch.int64) for name in ("running", "frames")}

    def forward(
        self, scores: Float[Tensor, "batch frame specialist"], memory: Memory
    ) -> Int[Tensor, "batch frame"]:
        """From z of the frames up to each."""
        running, frames, turns = memory["running"], memory["frames"], []
        numbers = None if torch.compiler.is_exporting() else frames.tolist()
        for place, now in enumerate(scores.unbind(1)):
            if numbers is None or any((number + place) % self.every == 0 for number in numbers):
                due, first = (frames + place) % self.every == 0, frames + place == 0
                highest, best = now.max(-1)
                better = highest - now.gather(-1, running[:, None])[:, 0] > MARGIN
                running = torch.where(first | due & better, best, running)
            turns.append(running)
        memory["running"], memory["frames"] = running, frames + len(turns)
        return torch.stack(turns, 1)


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
        self.register_buffer("annealed", torch.zeros((), dtype=torch.int64))

    @property
    def sharpness(self) -> float:
        """gamma, after the steps that all have learnt together (Interspeech 2020, section 2.3)."""
        rise = 1 / (1 + math.exp(-ANNEALING * (int(self.annealed) - ANNEALED_STEPS)))
        return FIRST_SHARPNESS + (LAST_SHARPNESS - FIRST_SHARPNESS) * rise

    def start(self, batch: int = 1) -> State:
        """The state of ``batch`` streams before their first step: of the gate and of the one specialist that runs.

        Softly all specialists run; where one is chosen there is no gate.
        """
        parts: dict[str, nn.Module] = {"frames": self.frames}
        if self.chosen >= 0:
            return start(parts | {"specialist": self.specialists[self.chosen]}, batch)
        parts |= {"gate": self.gate}
        if self.soft:
            return start(parts | {"specialists": self.specialists}, batch)
        return start(parts | {"turns": self.turns, "specialist": self.specialists[0]}, batch)

    def masks(self, features: Features, memory: Memory | None = None) -> Features:
        """By the specialist that the gate takes for each recording, or live for each second; no other runs.

        Raises:
            UsageError: to export it whole or soft, without one chosen.
        """
        if self.chosen >= 0:
            return self.specialists[self.chosen](features, part(memory, "specialist"))
        if self.soft and torch.compiler.is_exporting():
            raise UsageError(
                "A soft ensemble, of which all specialists run, cannot be exported: leave out soft=true, or export "
                "one specialist (--set chosen=0)."
            )
        if self.live and memory is None:
            memory = Memory(self.start(len(features)))
        if memory is None:
            return self._at_once(features)
        scores = self.gate.so_far(features, memory.part("gate"))
        if self.soft:
            return self._weighed(scores, features, memory)
        running = memory.part("turns")["running"]
        turns = self.turns(scores, memory.part("turns"))
        if torch.compiler.is_exporting():
            return self._looked_up(turns, running, features, memory)
        return self._in_turns(turns, running, features, memory)

    def _at_once(self, features: Features) -> Features:
        """By what the gate says of the whole recording."""
        scores = self.gate(features)
        if self.soft:
            return self._weighed(scores[:, None], features)
        if torch.compiler.is_exporting():
            raise UsageError(
                "A whole ensemble cannot be exported, as only the specialist that its gate chooses runs: export one "
                "step of it (--streaming), or a specialist (--set chosen=0)."
            )
        return self._by(scores.argmax(-1), features)

    def _weighed(
        self,
        scores: Float[Tensor, "batch #frame specialist"],
        features: Features,
        memory: Memory | None = None,
    ) -> Features:
        """All specialists, each by its share."""
        shares = (self.sharpness * scores.float()).softmax(-1)
        each = [
            specialist(features, part(memory, f"specialists.{number}"))
            for number, specialist in enumerate(self.specialists)
        ]
        return (shares[:, :, None] * torch.stack(each, -1)).sum(-1)

    def _in_turns(
        self,
        turns: Int[Tensor, "batch frame"],
        running: Int[Tensor, " batch"],
        features: Features,
        memory: Memory,
    ) -> Features:
        """Each recording by one specialist after the other; who takes over begins anew."""
        units = "specialist.recurrence.units"
        rows, states = [], []
        for numbers, last, frames, state in zip(
            turns.tolist(), running.tolist(), features.split(1), memory[units].split(1), strict=True
        ):
            masks, own, begin = [], Memory({"recurrence.units": state}), 0
            for number, run in groupby(numbers):
                if number != last:
                    own["recurrence.units"] = torch.zeros_like(state)
                last, end = number, begin + len(list(run))
                masks.append(self.specialists[number](frames[:, begin:end], own))
                begin = end
            rows.append(torch.cat(masks, 1))
            states.append(own["recurrence.units"])
        memory[units] = torch.cat(states)
        return torch.cat(rows)

    def _looked_up(
        self,
        turns: Int[Tensor, "1 1"],
        running: Int[Tensor, " 1"],
        features: Features,
        memory: Memory,
    ) -> Features:
        """As ``_in_turns``, of one frame, in a program that knows no branches: one specialist, by weights looked up."""
        specialists: list[Specialist] = list(self.specialists)  # type: ignore[arg-type]
        layers = [each.recurrence.layers for each in specialists]
        weights = [
            [*layer.parameters(), *each.to_mask.parameters()]
            for layer, each in zip(layers, specialists, strict=True)
        ]
        *recurrent, mask_weight, mask_bias = [
            torch.stack(same).index_select(0, turns[0])[0] for same in zip(*weights, strict=True)
        ]
        units = memory["specialist.recurrence.units"] * (turns == running)[..., None]
        options = (True, layers[0].num_layers, 0.0, False, False, True)  # as ``nn.GRU`` calls it, batch first
        last, units = torch.gru(features, units.transpose(0, 1), recurrent, *options)
        memory["specialist.recurrence.units"] = units.transpose(0, 1)
        return nn.functional.linear(last, mask_weight, mask_bias).sigmoid()

    def _by(self, choice: Int[Tensor, " batch"], features: Features) -> Features:
        """Each recording by its specialist."""
        together = torch.zeros_like(features)
        for number in choice.unique().tolist():
            rows = (choice == number).nonzero()[:, 0]
            masks = self.specialists[number](features[rows])
            together = together.to(masks).index_copy(0, rows, masks)
        return together

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
