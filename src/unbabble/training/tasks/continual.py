"""An encoder that learns group after group of recordings, and forgets little of the groups before.

Recordings arrive as a stream (``data.clips.ClipStream``). Within a group the encoder learns by an objective, a method
of ``methods.representation``; what it was before the group is kept by distillation (``nn.distillation``). After

    Z. Wang et al., "Learning representations for new sound classes with continual self-supervised learning", IEEE
    SPL 29, 2022.

Which group a step belongs to follows from its number; what the encoder was, a teacher that follows it and a queue of
its keys are in every checkpoint: so a run that was killed goes on bit by bit.
"""

import copy
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base import registry
from unbabble.base.errors import UsageError
from unbabble.data.clips import ClipStream
from unbabble.data.sets import Data, Items
from unbabble.methods.representation.sound_encoder import SoundEncoder
from unbabble.nn.distillation import Distillation, bridge, logits_kept, vectors_kept
from unbabble.nn.objective import Objective
from unbabble.nn.spec_augment import augmented
from unbabble.nn.task import moved
from unbabble.training.tasks.plain import Plain

MEASURED_AT_ONCE = 32
"""Items of a batch of validation: contrastive losses depend on it."""


class Learner(nn.Module):
    """An encoder and what learns with it.

    Args:
        encoder: that is kept.
        objective: with its heads.
    """

    def __init__(self, encoder: SoundEncoder, objective: Objective) -> None:
        super().__init__()
        self.encoder, self.objective = encoder, objective
        self.bridge = bridge(encoder.dimension)

    def forward(self, bands: Float[Tensor, "batch frame band"]) -> Float[Tensor, "batch dimension"]:
        """The encoder's vectors, of any norm."""
        return self.encoder.trunk(bands).float()


class Continual(Plain):
    """An encoder of sounds that learns from a stream of recordings.

    Args:
        network: to be trained.
        objective: what it learns by: ``simclr``, ``barlow_twins`` or ``moco``, or by labels ``csup``.
        distillation: how what it was before a group is kept: ``none``, ``mse``, ``similarity``, or by labels ``kld``.
        weight: of what is kept, beside what is learnt.
        has_learnt: the weights that it begins with have learnt something that is to be kept from the first step on.

    Raises:
        UsageError: another network, no such objective, or one that has no logits to keep.
    """

    def __init__(
        self,
        network: SoundEncoder,
        *,
        objective: Literal["simclr", "barlow_twins", "moco", "csup"] = "simclr",
        distillation: Distillation = "none",
        weight: float = 1.0,
        has_learnt: bool = False,
    ) -> None:
        if not isinstance(network, SoundEncoder):
            raise UsageError(f"A {network.card.name} is no sound_encoder: the task 'continual' is for that.")
        if distillation == "kld" and objective != "csup":
            raise UsageError(
                f"'{objective}' has no logits that distillation by kld could keep: mse, similarity do."
            )
        if weight < 0:
            raise UsageError("The task 'continual' has a weight of 0 or more.")
        super().__init__(network)
        self.objective, self.weight = objective, weight
        self.distillation: Distillation = distillation
        self.has_learnt = has_learnt
        self.needs, self.measures = ("views", "label"), ("loss", "steps")
        self.group_steps = 0
        self.steps = torch.zeros((), dtype=torch.long)
        self._build(network, 0)

    def _build(self, encoder: SoundEncoder, classes: int) -> None:
        objective = registry.method(self.objective)(encoder.dimension, classes)
        learner = Learner(encoder, objective)
        self.networks = {"network": learner}
        if self.distillation != "none":
            self.networks["before"] = _frozen(learner).eval()
        if objective.FOLLOWED:
            self.networks["teacher"] = _frozen(learner).train()

    def curriculum(self, described: Data) -> Data:
        """The stream.

        Raises:
            InputError: its recordings cannot be used.
            UsageError: another kind of data, or labels that are missing.
        """
        if not isinstance(described, ClipStream):
            raise UsageError("The task 'continual' learns from a stream of recordings (train.kind: stream).")
        classes = len(described.known)
        if self.network.objective.LABELS and not classes:
            raise UsageError(f"'{self.objective}' learns by labels, and '{described.clips.clips}' has none.")
        self._build(self.network.encoder, classes)
        self.group_steps = described.group_steps if described.groups else 0
        self.groups = max(1, len(described.groups))
        return described

    def check(self, item: Any, section: str) -> None:
        """Fields."""
        super(Plain, self).check(item, section)

    def group(self, step: int) -> int:
        """Which group step ``step`` learns from, 0 for the first."""
        return min(step // self.group_steps, self.groups - 1) if self.group_steps else 0

    def losses(self, player: str, batch: Any, step: int) -> dict[str, Tensor]:
        """What is learnt, and what is kept."""
        bands, label = self._bands(batch, step), batch[1]
        learner, count = self.network, len(label)
        vectors = learner(bands)
        losses = {"loss": learner.objective.loss(vectors.unflatten(0, (2, count)), label, self._keys(bands))}
        if self.distillation != "none" and (self.has_learnt or self.group(step)):
            losses["kept"] = self.weight * self._kept(bands, vectors)
        return losses

    def _bands(self, batch: Any, step: int) -> Float[Tensor, "two_batch frame band"]:
        """Of all first views, then of all second ones; masks are drawn by the step alone."""
        bands = self.network.encoder.mel(batch[0].transpose(0, 1).flatten(0, 1))
        return augmented(bands, torch.Generator().manual_seed(step))

    @torch.no_grad()
    def _keys(self, bands: Tensor) -> Tensor | None:
        teacher: Any = self.networks.get("teacher")
        return teacher.objective.key(teacher(bands[len(bands) // 2 :])) if teacher is not None else None

    def _kept(self, bands: Tensor, vectors: Tensor) -> Tensor:
        before: Any = self.networks["before"]
        with torch.no_grad():
            known = before(bands)
            logits = before.objective.logits(known) if self.distillation == "kld" else None
        if logits is not None:
            return logits_kept(self.network.objective.logits(vectors), logits)
        mapped = self.network.bridge(vectors)
        kept = zip(mapped.chunk(2), known.chunk(2), strict=True)
        return torch.stack([vectors_kept(self.distillation, *each) for each in kept]).mean()

    @torch.no_grad()
    def after(self, step: int, batch: Any) -> None:
        """The teacher follows and its keys are kept; where a group ends, what the encoder is by now is what it was."""
        self.steps.fill_(step)
        teacher: Any = self.networks.get("teacher")
        if teacher is not None:
            keys = self._keys(self._bands(batch, step - 1))
            assert keys is not None
            self.network.objective.remember(keys)
            theirs = self.network.state_dict()
            for name, tensor in teacher.named_parameters():
                tensor.lerp_(theirs[name], 1 - self.network.objective.FOLLOWED)
            for name, tensor in teacher.named_buffers():
                tensor.copy_(dict(self.network.named_buffers())[name])
        if "before" in self.networks and self.group(step) != self.group(step - 1):
            self.networks["before"].load_state_dict(self.network.state_dict())
            for layer in self.network.bridge:
                if isinstance(layer, nn.Linear):
                    layer.reset_parameters()

    def measure(self, items: Items, count: int) -> dict[str, float]:
        """The mean loss of batches; how many steps were made, for of a stream the last weights are the best."""
        losses = []
        for first in range(0, max(2, count), MEASURED_AT_ONCE):
            several = range(first, max(first + 2, min(count, first + MEASURED_AT_ONCE)))
            batch = moved(self.collate([items[number] for number in several]), self.device)
            losses.append(float(self.losses("network", batch, 0)["loss"]))
        return {"loss": float(np.mean(losses)), "steps": float(self.steps)}

    def regret(self, measured: Mapping[str, float]) -> float:
        """Less with each step."""
        return -measured["steps"]

    def reported(self, measured: Mapping[str, float]) -> str:
        """In words."""
        return f"validation loss {measured['loss']:.3f}"

    def state(self) -> dict[str, Tensor]:
        """How many steps were made."""
        return {"steps": self.steps}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take it back."""
        self.steps = state["steps"].cpu()

    def product(self, network: Learner) -> SoundEncoder:
        """The encoder alone."""
        return network.encoder


def _frozen(learner: Learner) -> Learner:
    return copy.deepcopy(learner).requires_grad_(False)
