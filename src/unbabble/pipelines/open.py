"""A model's name -> what takes recordings as they come: ``load("auto")("meeting.wav")``, by kind."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, overload

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base import kinds
from unbabble.base.audio import Audio, Source
from unbabble.base.config import check_names
from unbabble.base.errors import UsageError
from unbabble.networks import load as networks
from unbabble.networks.device import choose_device
from unbabble.nn.kinds.network import Network
from unbabble.pipelines import choose, enhance, extract, recognize
from unbabble.pipelines.choose import AutoModel
from unbabble.pipelines.embed import Embedder, load_embedder
from unbabble.pipelines.extract import Extractor
from unbabble.pipelines.recognize import Recognizer, load_recognizer
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.score import BlindScorer
from unbabble.pipelines.separate import Model
from unbabble.pipelines.sounds import SoundEmbedder, load_sounds
from unbabble.pipelines.transcribe import Transcription, transcribe

AUTO = "auto"
Name: TypeAlias = str | os.PathLike[str]


@overload
def load(
    name: Name = AUTO,
    kind: Literal["separator"] | None = None,
    device: str = "auto",
    **options: Any,
) -> "Model | AutoModel": ...
@overload
def load(name: Name, kind: Literal["enhancer"], device: str = "auto", **options: Any) -> Model: ...
@overload
def load(name: Name, kind: Literal["extractor"], device: str = "auto", **options: Any) -> Extractor: ...
@overload
def load(name: Name, kind: Literal["scorer"], device: str = "auto", **options: Any) -> BlindScorer: ...
@overload
def load(name: Name, kind: Literal["recognizer"], device: str = "auto", **options: Any) -> "Transcriber": ...
@overload
def load(name: Name, kind: Literal["embedder"], device: str = "auto", **options: Any) -> Embedder: ...
@overload
def load(
    name: Name, kind: Literal["joint embedder"], device: str = "auto", **options: Any
) -> SoundEmbedder: ...
@overload
def load(name: Name, kind: str | None = None, device: str = "auto", **options: Any) -> Any: ...
def load(name: Name = AUTO, kind: str | None = None, device: str = "auto", **options: Any) -> Any:
    """Make a model ready for use.

    Args:
        name: ``auxiva.ipa``, ``conv_tasnet.2talkers_8k`` and the like (see ``unbabble models``); for a network
            also its weights: a ``.safetensors`` file, a folder of ours or of SpeechBrain's or Asteroid's, or
            ``org/name[@revision]`` on the Hugging Face Hub; or ``auto`` for the best that is installed, which separates
            where no kind is named.
        kind: what is wanted of it: ``separator``, ``enhancer``, ``extractor``, ``scorer``, ``recognizer``, ``counter``,
            ``classifier``, ``meter``, ``embedder`` or ``joint embedder``; by default what the model can do. A separator
            also extracts, where an extractor is wanted.
        device: ``auto``, ``cpu``, ``cuda`` ...
        options: of the model: ``sources=2``, ``iterations=50`` ...; of separators and enhancers also ``dereverb``
            (``none``, ``wpe``, ``joint``) and ``runtime`` (``torch``, ``onnx``, ``auto``); of recognisers
            ``language_model`` (``auto``, ``none``, a name or file) and ``hotwords``.

    Returns:
        What can be called with a path, bytes, file object, Audio, or a tensor and its rate. Separators and enhancers
        return a ``Separation``; extractors, which are also given an enrollment, too; scorers, which are given the
        mixture and its estimates, a score for each; recognisers a ``Transcription``; counters, meters and embedders a
        tensor.

    Raises:
        InputError: weights that are missing, damaged, or those of another architecture; nothing installed for ``auto``.
        UsageError: no such model, kind, device or option, or a model of another kind.
    """
    name = os.fspath(name)
    if kind is None:
        kind = "separator" if name == AUTO else networks.check_kind(name).name
    if kind not in OPENERS:
        command = kinds.find(kind).command(name)
        users = f"`{command}` uses it" if command else "other models use it"
        raise UsageError(f"Model '{name}' takes no recordings by itself: {users}.")
    return OPENERS[kind](name, device, **options)


@dataclass(frozen=True)
class OneMicrophone:
    """A network that says something of what one microphone heard: how many talk, how good it sounds.

    Attributes:
        network: (batch, time) to (batch, ...).
    """

    network: Network

    @torch.no_grad()
    def __call__(
        self, source: Recording | Tensor | Audio | Source, sample_rate: int | None = None
    ) -> Float[Tensor, "..."]:
        """What the network says of the loudest channel.

        Args:
            source: (channel, time) or (time,) as a tensor or array, or a path, bytes, file object, Audio or Recording.
            sample_rate: Hz; needed for tensors.

        Raises:
            InputError: the recording cannot be read, or is silent.
            UsageError: a tensor without its rate.
        """
        recording = Recording.of(source, sample_rate)
        loudest = recording.heard.square().sum(1).argmax()
        samples = recording.at(self.network.sample_rate)[loudest]
        return self.network(samples[None].to(next(self.network.parameters()).device))[0].cpu()


@dataclass(frozen=True)
class Transcriber:
    """A recogniser that takes recordings of any length.

    Attributes:
        recognizer: with its search.
    """

    recognizer: Recognizer

    def __call__(
        self, source: Recording | Tensor | Audio | Source, sample_rate: int | None = None
    ) -> Transcription:
        """What is said: words with their times, and how sure each is.

        Args:
            source: (channel, time) or (time,) as a tensor or array, or a path, bytes, file object, Audio or Recording.
            sample_rate: Hz; needed for tensors.

        Raises:
            InputError: the recording cannot be read.
            UsageError: a tensor without its rate.
        """
        return transcribe(self.recognizer, Recording.of(source, sample_rate))


def _transcriber(
    name: str,
    device: str,
    language_model: str = recognize.AUTO,
    hotwords: Sequence[str] = (),
    **options: Any,
) -> Transcriber:
    return Transcriber(load_recognizer(name, device, language_model, tuple(hotwords), **options))


def _extractor(name: str, device: str, **options: Any) -> Extractor:
    return Extractor(*extract.load_extractor(name, device, **options))


def _scorer(name: str, device: str, **options: Any) -> BlindScorer:
    check_names(options, [], f"Model '{name}'")
    return BlindScorer(name, str(choose_device(device)))


def _one_microphone(kind: str, packaged: str | None) -> Callable[..., OneMicrophone]:
    """What opens networks of a kind; ``packaged`` is the one that ``auto`` means."""

    def opened(name: str, device: str, **options: Any) -> OneMicrophone:
        if name == AUTO and packaged is None:
            raise UsageError(f"No {kind} is packaged: name a file or a folder.")
        name = packaged if packaged and name == AUTO else name
        return OneMicrophone(networks.ready(name, choose_device(device), kind, **options))

    return opened


OPENERS: dict[str, Callable[..., Any]] = {
    "separator": choose.load,
    "enhancer": enhance.load_enhancer,
    "extractor": _extractor,
    "recognizer": _transcriber,
    "scorer": _scorer,
    "counter": _one_microphone("counter", "countnet.3talkers_8k"),
    "meter": _one_microphone("meter", "quality_net.16k"),
    "segmenter": _one_microphone("segmenter", None),
    "classifier": _one_microphone("classifier", None),
    "embedder": load_embedder,
    "joint embedder": load_sounds,
}
"""By kind: from a name, a device and options to what takes recordings."""
