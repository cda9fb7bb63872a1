"""Names to models that are ready to use: ``load("auxiva.iss")("meeting.wav")``."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base import audio as audio_files
from unbabble.base import formats, registry
from unbabble.base.audio import Audio, Source
from unbabble.base.config import check_arguments
from unbabble.base.contracts import SAMPLE_RATE_ANY
from unbabble.base.errors import InputError, UsageError
from unbabble.base.formats import Format
from unbabble.base.words import counted
from unbabble.networks import load as networks
from unbabble.networks.device import choose_device
from unbabble.networks.onnx import Runtime
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.pipelines.pieces import NETWORK_SECONDS
from unbabble.pipelines.recording import Recording

SEPARATING: tuple[Literal["separator", "enhancer"], ...] = ("separator", "enhancer")
"""Kinds whose models split a recording into voices: several, or one and what is left out."""
UNCHANGED = "unchanged"
"""The name of the model for one talker, whose voice is the recording itself."""
JOINT_MODEL = "tiss"
Dereverberation = Literal["none", "wpe", "joint"]


@dataclass
class Separation:
    """The voices of one recording.

    Attributes:
        sources: (source, time), each as heard at the reference microphone, loudest first.
        sample_rate: Hz, that of the recording.
        model: what separated it.
        images: (source, channel, time), each source at every microphone, where asked for.
        warnings: what the user should know of this recording.
        seconds: wall time that the separation took.
        recorded: (time,), what the reference microphone recorded.
    """

    sources: Float[Tensor, "source time"]
    sample_rate: int
    model: str
    images: Float[Tensor, "source channel time"] | None = None
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    recorded: Float[Tensor, " time"] | None = None

    @property
    def residual(self) -> Float[Tensor, " time"]:
        """What is in no voice: what the reference microphone recorded, less the sum of the voices."""
        recorded = self.sources.new_zeros(()) if self.recorded is None else self.recorded
        return recorded - self.sources.sum(0)

    @property
    def audio_seconds(self) -> float:
        """Duration of the recording."""
        return self.sources.shape[-1] / self.sample_rate

    def save(
        self, folder: str | os.PathLike[str], format: Format = "wav", residual: bool = False
    ) -> list[Path]:
        """Write ``source1.wav`` ... (and ``source1_image.wav`` ...), all scaled alike where one would clip.

        Args:
            folder: where they are put; missing ones are made.
            format: ``wav`` of 32-bit floats, ``wav16`` or ``flac``.
            residual: also write ``residual.wav``, what is in no voice.

        Returns:
            The paths.

        Raises:
            OutputError: they cannot be written.
        """
        folder, suffix = Path(folder), formats.KINDS[format].suffix
        files = {folder / f"source{i}{suffix}": voice for i, voice in enumerate(self.sources, 1)}
        for i, image in enumerate(self.images if self.images is not None else (), 1):
            files[folder / f"source{i}_image{suffix}"] = image
        if residual:
            files[folder / f"residual{suffix}"] = self.residual
        peak = max(float(each.abs().max()) for each in files.values())
        gain = formats.fitting_gain(peak, format)
        self.warnings += formats.fitting_notes(peak, format)
        for path, samples in files.items():
            audio_files.write(path, samples * gain if gain < 1 else samples, self.sample_rate, format)
        return list(files)

    def to_dict(self) -> dict[str, Any]:
        """What is known besides the samples, plain."""
        return {
            "model": self.model,
            "sources": len(self.sources),
            "sample_rate": self.sample_rate,
            "audio_seconds": self.audio_seconds,
            "seconds": self.seconds,
            "warnings": list(self.warnings),
        }


def load(
    name: str,
    device: str = "auto",
    dereverb: Dereverberation = "none",
    runtime: Runtime = "auto",
    **options: Any,
) -> "Model":
    """Make a model ready for use.

    Args:
        name: ``auxiva.ipa``, ``conv_tasnet.2talkers_8k`` and the like (see ``unbabble models``); for a network
            also its weights: a ``.safetensors`` file, a folder of ours or of SpeechBrain's or Asteroid's, or
            ``org/name[@revision]`` on the Hugging Face Hub.
        device: ``auto``, ``cpu``, ``cuda`` ...
        dereverb: ``wpe`` removes reverberation first; ``joint`` is for the method that does both.
        runtime: what computes a network: ``torch``, ``onnx`` (ONNX Runtime), or ``auto`` for the faster one.
        options: of the method: ``sources=2``, ``iterations=50`` ...

    Raises:
        InputError: weights that are missing, damaged, or those of another architecture.
        UsageError: no such model, device or option.
    """
    if dereverb not in ("none", "wpe", "joint"):
        raise UsageError(f"Dereverberation is none, wpe or joint, not '{dereverb}'.")
    if runtime == "onnx" and not networks.is_network(name):
        raise UsageError(f"ONNX Runtime computes networks, and '{name}' is none.")
    if dereverb == "joint" and name.partition(".")[0] != JOINT_MODEL:
        raise UsageError(f"Joint dereverberation is model '{JOINT_MODEL}'; '{name}' has --dereverb wpe.")
    model = Model(name, choose_device(device), dereverb, options, runtime)
    model.separator()  # a wrong option is said before any work
    return model


def neural_separator(
    name: str,
    device: torch.device,
    runtime: Runtime,
    *,
    reference: int = 0,
    sources: int | None = None,
    **options: Any,
) -> NeuralSeparator:
    """A network that separates, kept in memory, for one recording.

    Args:
        name: as for ``networks.load``.
        device: where it computes.
        runtime: what computes it.
        reference: the microphone that is separated, from 0.
        sources: how many voices are wanted of it, at most as many as it has.
        options: of the constructor, in place of those with which it was trained.

    Raises:
        InputError: the weights are missing, damaged, or those of another architecture.
        MissingExtraError: ``onnx`` without its extra.
        UsageError: no such model or option; one of another kind; more voices than it has; a runtime that does not fit.
    """
    network = networks.ready(name, device, *SEPARATING, runtime=runtime, **options)
    if sources is not None and not 1 <= sources <= network.sources:
        raise UsageError(f"Model '{name}' gives at most {counted(network.sources, 'source')}, not {sources}.")
    network.reference, network.warnings = reference, []
    return network


@dataclass(frozen=True)
class Model:
    """A separator that takes recordings as they come: a tensor, a path, a file object, bytes or an Audio."""

    name: str
    device: torch.device
    dereverb: Dereverberation = "none"
    options: dict[str, Any] = field(default_factory=dict)
    runtime: Runtime = "auto"
    notes: tuple[str, ...] = ()
    """What the user should know of every recording."""

    def separator(self, **changes: Any) -> Any:
        """The method itself, freshly built; of a network a copy that shares its weights with all others."""
        name, options = self.name, self.options | changes
        if name == UNCHANGED:
            return Unchanged(options.get("reference") or 0)
        if networks.is_network(name):
            options = check_arguments(neural_separator, options, f"Model '{name}'")
            return neural_separator(name, self.device, self.runtime, **options)
        networks.check_kind(name, *SEPARATING)
        options = check_arguments(registry.method(name), options, f"Model '{name}'")
        return registry.create(name, **options)

    def piece_seconds(self, recording: Recording) -> float | None:
        """How much of a recording is best separated at once; None: as much as memory allows."""
        return NETWORK_SECONDS if networks.is_network(self.name) else None

    def __call__(
        self,
        source: Recording | Tensor | Audio | Source,
        sample_rate: int | None = None,
        images: bool = False,
    ) -> Separation:
        """Separate a recording.

        Args:
            source: (channel, time) or (time,) as a tensor or array, or a path, bytes, file object, Audio or Recording.
            sample_rate: Hz; needed for tensors.
            images: also return each source as every microphone hears it.

        Raises:
            InputError: the recording cannot be read or separated.
            UsageError: a tensor without a rate; more sources than the model can give.
        """
        started = time.perf_counter()
        recording = Recording.of(source, sample_rate)
        warnings = [*self.notes, *recording.warnings, *([] if self._keeps_all else recording.removed)]
        reference = self._reference(recording, warnings)
        sources = self._run(recording, reference, images, warnings)
        everywhere = None
        if images:
            everywhere = sources.new_zeros(len(sources), recording.channels, sources.shape[-1])
            everywhere[:, recording.live] = sources
            sources = sources[:, reference.get("reference", 0)].clone()
        spent = time.perf_counter() - started
        recorded = recording.recorded[reference.get("reference", 0)]
        return Separation(sources, recording.sample_rate, self.name, everywhere, warnings, spent, recorded)

    @property
    def _keeps_all(self) -> bool:
        """Whether the recording comes back, not a sample changed."""
        return self.name == UNCHANGED and self.dereverb == "none"

    def _run(
        self, recording: Recording, reference: dict[str, int], images: bool, warnings: list[str]
    ) -> Float[Tensor, "source ..."]:
        """The voices at the recording's rate, (source, time), or with ``images`` (source, live channel, time)."""
        separator, name = self.separator(**reference), self.name
        live = len(recording.live)
        if live < separator.min_channels:
            raise InputError(
                f"Model '{name}' needs at least {counted(separator.min_channels, 'microphone')}; "
                f"the recording has {live}" + (" that are not silent." if live < recording.channels else ".")
            )
        wanted = self.options.get("sources")
        if separator.max_sources and wanted and wanted > separator.max_sources:
            raise UsageError(
                f"Model '{name}' gives at most {counted(separator.max_sources, 'source')}, not {wanted}."
            )
        rate = separator.sample_rate if separator.sample_rate != SAMPLE_RATE_ANY else recording.sample_rate
        if rate < recording.sample_rate:
            warnings.append(
                f"Model '{name}' works at {rate / 1000:g} kHz: what the recording has above "
                f"{rate / 2000:g} kHz is lost."
            )
        mixture = recording.recorded if self._keeps_all else recording.at(rate)
        if self.dereverb == "wpe":
            from unbabble.signal.dereverberation import wpe

            mixture = wpe(mixture, rate)
        with torch.no_grad():
            batch = mixture.to(self.device)[None]
            result = separator(batch, sample_rate=rate, **({"images": True} if images else {}))[0].cpu()
        result = _fit(audio_files.resample(result, rate, recording.sample_rate), recording.samples.shape[-1])
        warnings.extend(text for text in getattr(separator, "warnings", []) if text not in warnings)
        if wanted and wanted < len(result):
            warnings.append(f"Model '{name}' gives {len(result)} voices: the weakest are left out.")
            result = result[:wanted]
        return result

    def _reference(self, recording: Recording, warnings: list[str]) -> dict[str, int]:
        """The option that names the reference microphone's place among those that are not dead."""
        wanted = self.options.get("reference")
        if wanted is None or not 0 <= wanted < recording.channels:
            return {}
        if wanted not in recording.live:
            stand_in = recording.live[recording.place(wanted)] + 1
            warnings.append(f"The reference microphone is silent: microphone {stand_in} takes its place.")
        return {"reference": recording.place(wanted)}


class Unchanged:
    """Where there is one talker: what the reference microphone hears is the voice."""

    sample_rate = SAMPLE_RATE_ANY
    min_channels = 1
    max_sources = 1

    def __init__(self, reference: int = 0) -> None:
        self.reference = reference

    def __call__(
        self, mixture: Float[Tensor, "batch channel time"], *, images: bool = False, **side: object
    ) -> Float[Tensor, "batch source ..."]:
        """(batch, 1, time), or with ``images`` (batch, 1, channel, time).

        Raises:
            InputError: there is no such microphone.
        """
        if not 0 <= self.reference < mixture.shape[1]:
            raise InputError(
                f"There is no microphone {self.reference}: the recording has {mixture.shape[1]}."
            )
        return mixture[:, None] if images else mixture[:, self.reference, None]


def _fit(samples: Tensor, length: int) -> Tensor:
    """Cut or pad by the few samples that resampling there and back may add or lose."""
    return torch.nn.functional.pad(samples, (0, length - samples.shape[-1]))
