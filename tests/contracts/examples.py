"""For each kind of model: how the contract suite uses one, what its networks learn from, and when they have learnt."""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from unbabble.base.kinds import Kind
from unbabble.base.registry import cards, create, method
from unbabble.nn.kinds.classifier import NeuralClassifier
from unbabble.nn.kinds.counter import NeuralCounter
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.nn.kinds.extractor import NeuralExtractor
from unbabble.nn.kinds.joint_embedder import NeuralJointEmbedder
from unbabble.nn.kinds.meter import NeuralMeter
from unbabble.nn.kinds.network import Network
from unbabble.nn.kinds.recognizer import NeuralRecognizer
from unbabble.nn.kinds.scorer import NeuralScorer
from unbabble.nn.kinds.separator import NeuralSeparator

SAMPLE_RATE = 16000
SAMPLES = 6000
LESSON_SAMPLES = 800
CHEAP = {"iterations": 4, "window_length": 256, "hop_length": 64, "sources": 2, "seed": 0}
"""Given to every method without weights that has such an option."""
SPECIAL: dict[str, dict[str, Any]] = {"nmf": {"rank": 3}}
"""Further options of these by method."""
BOUNDS = {"quality_net": 0.3}
"""Of methods whose numbers have a scale of their own, in place of their kind's."""
ELSEWHERE = ("segmenter", "text encoder")
"""Kinds whose networks were trained by other toolkits alone, or hear nothing: their own tests use them."""
VARIANTS = {"td_speakerbeam with an embedder": {"embedder_channels": 4, "embedder_dimension": 6}}
"""Further tiny networks: a method's name comes first."""


@dataclass(frozen=True)
class Example:
    """How models of one kind are used and taught.

    Attributes:
        base: class of its networks.
        use: from a model and a recording, (batch, channel, time), to what it says of each.
        shape: of that, without the batch, from a model and the number of samples.
        item: what a network learns from: a batch of two; or of one, easy enough to be learnt by heart.
        learnt: of a network and such an item, a number that falls as it learns.
        bound: below which that falls in ``steps``; of some methods ``BOUNDS``.
        steps: at a learning rate of 0.02.
        keeps_level: whether what it says gets louder with the recording; else it does not change.
        refuses_silence: whether silence is refused; else it is answered.
        shortest: seconds from which on every recording is answered.
    """

    base: type[Network]
    use: Callable[[Any, Tensor], Tensor]
    shape: Callable[[Any, int], tuple[int, ...]]
    item: Callable[[Network, bool], tuple[Tensor, ...]]
    learnt: Callable[[Network, tuple[Tensor, ...]], float]
    bound: float
    steps: int = 40
    keeps_level: bool = False
    refuses_silence: bool = True
    shortest: float = 2 / SAMPLE_RATE


def noise(*shape: int, seed: int = 0) -> Tensor:
    """White, of unit power."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@cache
def talkers() -> Tensor:
    """Two coloured, pausing sources, (2, time)."""
    white = noise(2, SAMPLES + 8, seed=1).unfold(-1, 9, 1)
    colours = torch.stack(
        [torch.hann_window(9), torch.hann_window(9) * torch.tensor([1.0, -1.0] * 4 + [1.0])]
    )
    time = torch.arange(SAMPLES) / SAMPLES
    envelopes = torch.stack([torch.sin(9 * torch.pi * time) ** 4, torch.sin(13 * torch.pi * time + 1) ** 4])
    return torch.einsum("stk,sk->st", white, colours) * envelopes * torch.tensor([[0.2], [0.1]])


@cache
def _mixture(channels: int) -> Tensor:
    gains = 0.5 + torch.rand(channels, 2, generator=torch.Generator().manual_seed(2))
    gains[1::2, 1] *= -1
    here = torch.einsum("cs,st->ct", gains, talkers())
    later = torch.einsum("cs,st->ct", 0.3 * gains.flip(0), talkers().roll(3, dims=-1))
    return (here + later + 1e-3 * noise(channels, SAMPLES, seed=3))[None]


def mixture_for(model: Any, channels: int = 2) -> Tensor:
    """(1, channel, time): each source by its own path, and a little noise at each microphone."""
    return _mixture(max(channels, getattr(model, "min_channels", 1))).clone()


def tones(samples: int = LESSON_SAMPLES) -> Tensor:
    """Three, that swell, each of a pitch of its own, (3, time): as different as voices can be."""
    time, number = torch.arange(samples) / 8000, torch.arange(3)[:, None]
    pitches = torch.tensor([[300.0], [1700.0], [2900.0]])
    return torch.sin(math.tau * pitches * time) * (
        1.1 + torch.sin(math.tau * (7 + 5 * number) * time + number)
    )


def estimates_of(mixture: Tensor) -> Tensor:
    """What may have been separated from (batch, time): the mixture itself, and what is high in it."""
    return torch.stack([mixture, mixture - 0.7 * mixture.roll(1, -1)], 1)


def _voices(network: Network, easy: bool) -> tuple[Tensor, ...]:
    if easy:
        sources = tones()[None, : network.sources]
        return sources.sum(1) + (noise(1, LESSON_SAMPLES) if network.sources == 1 else 0), sources
    sources = noise(2, network.sources, 1500, seed=1)
    return sources.sum(1) + (noise(2, 1500) if network.sources == 1 else 0), sources


def _counted(network: Network, easy: bool) -> tuple[Tensor, ...]:
    sources = torch.cat([tones()[:2], torch.zeros(network.sources - 2, LESSON_SAMPLES)])[None]
    if not easy:
        sources = torch.cat([sources, noise(1, network.sources, LESSON_SAMPLES)])
    return sources.sum(1), sources


def _enrolled(network: Network, easy: bool) -> tuple[Tensor, ...]:
    if easy:
        return tones()[:2].sum(0)[None], tones(1000)[:1], tones()[None, :1]
    sources = noise(2, 1, 2000)
    return sources[:, 0] + noise(2, 2000, seed=1), noise(2, 2500, seed=2), sources


def scored(batch: int = 1, sources: int = 2, samples: int = 8000, seed: int = 0) -> tuple[Tensor, ...]:
    """Mixtures, estimates, and the truth."""
    references = noise(batch, sources, samples, seed=seed)
    mixture = references.sum(1)
    return mixture, references + 0.3 * mixture[:, None], references


def _scored(network: Network, easy: bool) -> tuple[Tensor, ...]:
    if not easy:
        return scored(batch=2)
    one, other = tones(4000)[:2]
    return (
        (one + other)[None],
        torch.stack([one + 0.4 * other, other + 0.7 * one])[None],
        tones(4000)[None, :2],
    )


def _measured(network: Network, easy: bool) -> tuple[Tensor, ...]:
    if "rating" in network.ITEM:
        return noise(1 if easy else 2, 4000), torch.tensor([3.5, 1.5][: 1 if easy else 2])
    return _voices(network, easy)


def _told_apart(network: Network, easy: bool) -> tuple[Tensor, ...]:
    if not easy:
        return (noise(2, 3, 2, 4000),)
    pitches = torch.tensor([200.0, 900.0, 3000.0])[:, None, None]
    time = torch.arange(2000) / 16000 + noise(3, 3, 1)
    return (torch.sin(math.tau * pitches * time)[None],)


def _labelled(network: Network, easy: bool) -> tuple[Tensor, ...]:
    if easy:
        return tones(4000), torch.tensor([0, 1, 2])
    return noise(2, 6000), torch.tensor([1, 2])


def _described(network: Network, easy: bool) -> tuple[Tensor, ...]:
    """Tones of three pitches, each with a text of its own; or noise."""
    if not easy:
        return noise(2, 4000), torch.tensor([[1, 2], [3, 0]])
    return tones(4000), torch.tensor([[1, 0], [2, 3], [4, 5]])


def _spoken(network: Network, easy: bool) -> tuple[Tensor, ...]:
    """Three tones, one after another, that are called "dog"; or noise."""
    waveform = tones(4000).flatten()[None] if easy else noise(2, 16000)
    rows = {"text": "dog", "phones": "D AO G"}
    targets = (torch.tensor(tokens.encode(rows[field])) for field, tokens in network.targets.items())
    lengths = torch.tensor([waveform.shape[1]] * len(waveform))
    return waveform, lengths, *(each.expand(len(waveform), -1) for each in targets)


def _written(model: Any, mixture: Tensor) -> Tensor:
    """How likely it finds a text, once it has written down what it hears."""
    waveform = mixture[:, 0]
    model(waveform)
    lengths = torch.tensor([waveform.shape[1]] * len(waveform))
    targets = [each[:1].expand(len(waveform), -1) for each in _spoken(model, True)[2:]]
    with torch.no_grad():
        return model.loss(waveform, lengths, *targets)


def _figure(network: Network, item: tuple[Tensor, ...]) -> float:
    return network.figure(*item)


def _less_figure(network: Network, item: tuple[Tensor, ...]) -> float:
    return -network.figure(*item)


def _loss(network: Network, item: tuple[Tensor, ...]) -> float:
    return float(network.loss(*item).mean())


def _microphone(model: Any, mixture: Tensor) -> Tensor:
    return model(mixture[:, 0])


def _array(model: Any, mixture: Tensor) -> Tensor:
    return model(mixture, sample_rate=SAMPLE_RATE)


def _sources(model: Any, samples: int) -> tuple[int, ...]:
    return (1 if model.max_sources == 1 else 2, samples)


EXAMPLES = {
    "separator": Example(
        NeuralSeparator,
        _array,
        _sources,
        _voices,
        _less_figure,
        -15,
        keeps_level=True,
        shortest=300 / SAMPLE_RATE,
    ),
    "enhancer": Example(
        NeuralSeparator,
        _array,
        _sources,
        _voices,
        _less_figure,
        -6,
        keeps_level=True,
        shortest=300 / SAMPLE_RATE,
    ),
    "extractor": Example(
        NeuralExtractor,
        lambda model, mixture: model(mixture, enrollment=noise(4000, seed=9)),
        lambda model, samples: (1, samples),
        _enrolled,
        _less_figure,
        -12,
        keeps_level=True,
    ),
    "counter": Example(
        NeuralCounter,
        _microphone,
        lambda model, samples: (model.sources,),
        _counted,
        _loss,
        0.1,
        refuses_silence=False,
    ),
    "classifier": Example(
        NeuralClassifier,
        _microphone,
        lambda model, samples: (len(model.labels),),
        _labelled,
        _loss,
        0.1,
        steps=60,
    ),
    "scorer": Example(
        NeuralScorer,
        lambda model, mixture: model(mixture[:, 0], estimates_of(mixture[:, 0])),
        lambda model, samples: (2,),
        _scored,
        _figure,
        1,
        shortest=0.3,
    ),
    "meter": Example(NeuralMeter, _microphone, lambda model, samples: (), _measured, _figure, 4.5),
    "recognizer": Example(
        NeuralRecognizer,
        _written,
        lambda model, samples: (),
        _spoken,
        _loss,
        0.8,
        steps=120,
        refuses_silence=False,
    ),
    "embedder": Example(
        NeuralEmbedder,
        _microphone,
        lambda model, samples: tuple(model(noise(1, 4000)).shape[1:]),
        _told_apart,
        lambda network, item: _loss(network, item) + network.figure(*item),
        0.1,
    ),
    "joint embedder": Example(
        NeuralJointEmbedder,
        _microphone,
        lambda model, samples: tuple(model(noise(1, 4000)).shape[1:]),
        _described,
        lambda network, item: _loss(network, item) + 1 - network.figure(*item),
        0.1,
    ),
}
"""By kind; adaptations use nothing and are trained by nobody: see ``tests/methods/adaptation``."""


def _listed() -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for card in cards().values():
        names = [card.name] if card.network else card.models
        found |= dict.fromkeys(names, card.kinds({})[0])
    found |= {variant: found[variant.partition(" ")[0]] for variant in VARIANTS}
    return {name: kind for name, kind in found.items() if kind.name in EXAMPLES}


MODELS = _listed()
"""Every model, with its kind: of a network its tiny variant, with random weights, stands for it."""
NETWORKS = [name for name in MODELS if cards()[name.partition(" ")[0].partition(".")[0]].network]


def of_kind(*names: str, networks: bool = False) -> list[str]:
    """The models of these kinds."""
    return [
        name for name, kind in MODELS.items() if kind.name in names and (name in NETWORKS or not networks)
    ]


def example(model: str) -> Example:
    """That of the model's kind."""
    return EXAMPLES[MODELS[model].name]


def build(model: str, seed: int = 0, **changes: Any) -> Any:
    """The model, newly built; of a network its tiny variant, with weights that depend on the seed."""
    if model not in NETWORKS:
        return create(model, **_options(model, **changes))
    name = model.partition(" ")[0]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return create(name, **method(name).TINY | VARIANTS.get(model, {}) | changes).eval()


def use(model: str, mixture: Tensor, **changes: Any) -> Tensor:
    """What the model, newly built, says of (batch, channel, time)."""
    return example(model).use(build(model, **changes), mixture)


def _options(model: str, **changes: Any) -> dict[str, Any]:
    name = model.partition(".")[0]
    special = dict(SPECIAL.get(name, {}))
    for option in ("dictionaries", "speech"):
        special[option] = list(talkers())
    accepted = _accepted(type(create(model)).__mro__)
    return {key: value for key, value in (CHEAP | special | changes).items() if key in accepted}


def _accepted(classes: Sequence[type]) -> set[str]:
    return {
        option
        for cls in classes
        if "__init__" in vars(cls)
        for option in inspect.signature(cls.__init__).parameters
    }
