"""Separation: voices in a fixed order at first, mixtures of which nobody knows the voices, one's own real recordings.

``mixit``: what stands for voices are recordings of several, or noisy ones, and the network learns by mixture invariant
training (S. Wisdom et al., "Unsupervised sound separation using mixture invariant training", NeurIPS 2020). Where one
recording is known and noise was put to it, the first output is the voice, and is what is saved.
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.config import keyword_parameters
from unbabble.base.errors import UsageError
from unbabble.data.dynamic import DynamicMixing
from unbabble.data.sets import Data, Items, Several
from unbabble.nn.filterbank import Decoder
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.losses import SOFT_DB, mixit_loss
from unbabble.training.tasks.plain import Plain

LEVEL_MIXTURES = 10
"""Of the validation set: the level of weights is settled over so many."""


class Separation(Plain):
    """A network that separates.

    Args:
        network: to be trained.
        fixed_order_steps: for so many steps at first, a woman and a man talk, and each output learns one of them: a
            network that need not find out who is who leaves the plateau of permutation-invariant training sooner.
        mixit: nobody knows what the sources are made of: learn by mixture invariance.
        options: of the network's loss. ``soft_db`` is the ratio beyond which a voice's loss gains little: where few
            may talk, silence is easy, and with 30 dB it outweighs the separation of those who do talk.

    Raises:
        UsageError: options that the network cannot learn with.
    """

    judge: Callable[[NeuralSeparator], float] | None = None
    """Says in dB how well a network separates real recordings: then that decides which weights are best."""

    def __init__(
        self,
        network: NeuralSeparator,
        *,
        fixed_order_steps: int = 0,
        mixit: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(network, **options)
        self.fixed_order_steps, self.mixit = fixed_order_steps, mixit
        self.orders = "fixed_order" in keyword_parameters(network.loss)
        if mixit and type(network).loss is not NeuralSeparator.loss:
            raise UsageError(f"A {self.name} has a loss of its own: it cannot learn by mixture invariance.")
        self.voice_first = False
        """Noise was put to noisy speech: the first output is the voice, the others are noise."""

    def judged_by(self, judge: Callable[[NeuralSeparator], float]) -> None:
        """From now on a judge decides which weights are best: see ``judge``."""
        self.judge = judge
        self.measures = ("loss", self.figure_name, "blind_db")

    def curriculum(self, described: Data) -> Data:
        """At first a woman and a man in every mixture.

        Raises:
            UsageError: the mixtures are not made on the way.
        """
        if not self.fixed_order_steps:
            return described
        if not isinstance(described, DynamicMixing):
            raise UsageError(
                "A task with fixed_order_steps needs mixtures made on the way (train.kind: mixtures)."
            )
        sets: dict[str, Data] = {"by sex": replace(described, by_sex=True), "all": described}
        return Several(sets, {}, {"by sex": self.fixed_order_steps})

    def check(self, item: Any, section: str) -> None:
        """By mixture invariance, there are more outputs than recordings, and the first can stand alone."""
        super().check(item, section)
        if not self.mixit:
            return
        recordings = len(item.sources)
        self.voice_first = recordings == 1
        if self.voice_first and self.network.sources > 1:
            first_source(self.network)
        if self.network.sources <= recordings:
            raise UsageError(
                "Mixture invariant training takes more outputs than there are recordings in a mixture: set "
                "options.sources."
            )

    def each(self, batch: Any, step: int | None = None) -> Float[Tensor, " batch"]:
        """In a fixed order at first; or by mixture invariance."""
        mixture, sources = batch[:2]
        if self.mixit:
            mixtures = torch.cat([sources, mixture[:, None] - sources], 1) if self.voice_first else sources
            return mixit_loss(
                self.network.estimate(mixture),
                mixtures,
                soft_db=self.options.get("soft_db", SOFT_DB),
                first_to_first=self.voice_first,
            )
        if self.orders and step is not None and step < self.fixed_order_steps:
            return self.network.loss(*batch, **self.options | {"fixed_order": True})
        return super().each(batch, step)

    def figure(self, batch: Any) -> float:
        """SI-SNR improvement in dB."""
        return self.network.figure(*batch, outputs=1) if self.voice_first else super().figure(batch)

    def measure(self, items: Items, count: int) -> dict[str, float]:
        """Also by the judge."""
        measured = super().measure(items, count)
        return measured | ({"blind_db": self.judge(self.network)} if self.judge else {})

    def regret(self, measured: Any) -> float:
        """The judge decides, where there is one."""
        return -measured["blind_db"] if self.judge else measured["loss"]

    def reported(self, measured: Any) -> str:
        """With what the judge says."""
        judged = f", real recordings {measured['blind_db']:.2f} dB" if self.judge else ""
        return super().reported(measured) + judged

    def product(self, network: NeuralSeparator) -> NeuralSeparator:
        """The voice alone, where noise was put to recordings."""
        return first_source(network) if self.voice_first else network

    def settle_level(self, items: Items, count: int) -> None:
        """Before the first step: weights that learnt with levels open have one of their own, not that of mixtures."""
        mixtures = (torch.from_numpy(items[number].mixture) for number in range(min(LEVEL_MIXTURES, count)))
        settle_level(self.network, mixtures)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"judge": None}


@torch.no_grad()
def first_source(network: NeuralSeparator) -> NeuralSeparator:
    """A network whose one source is the first of ``network``'s.

    Raises:
        UsageError: a network whose sources depend on how many there are.
    """
    options: dict[str, Any] = network.resolved_options() | {"sources": 1}
    alone, own = type(network)(**options), network.state_dict()
    fitting = {
        name: own[name] if own[name].shape == tensor.shape else own[name][: len(tensor)]
        for name, tensor in alone.state_dict().items()
    }
    alone.load_state_dict(fitting)
    several = copy.deepcopy(network).cpu().eval()
    mixture = torch.randn(1, network.sample_rate // 4, generator=torch.Generator().manual_seed(0))
    if not torch.allclose(alone.eval().estimate(mixture), several.estimate(mixture)[:, :1], atol=1e-4):
        raise UsageError(
            f"The first output of a {network.card.name} cannot stand alone: it depends on the others."
        )
    return alone


@torch.no_grad()
def settle_level(network: NeuralSeparator, mixtures: Iterable[Float[Tensor, " time"]]) -> None:
    """Scale a learned decoder so that voices add up to mixtures, as nearly as one number for all can have it."""
    decoder = getattr(network, "decoder", None)
    if not isinstance(decoder, Decoder):
        return
    shared = total = torch.zeros(())
    for mixture in mixtures:
        mixture = mixture.to(decoder.weight)
        voices = network.estimate(mixture[None])[0].sum(0)
        shared, total = shared + voices @ mixture, total + voices @ voices
    if total > 0:
        decoder.weight.mul_(shared / total)
