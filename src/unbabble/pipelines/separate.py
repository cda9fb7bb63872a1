"""Names to models that are ready to use: ``load("auxiva.iss")("meeting.wav")``."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
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
from unbabble.base.registry import models
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.networks.device import choose_device
from unbabble.networks.onnx import Runtime
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.pipelines.recording import as_audio, is_one_microphone, usable_channels
from unbabble.signal.counting import most_talkers, windows

__all__ = ["Model", "Separation", "choose_model", "load", "models"]

AUTO = "auto"
SEPARATING: tuple[Literal["separator", "enhancer"], ...] = ("separator", "enhancer")
"""Kinds whose models split a recording into voices: several, or one and what is left out."""
DEFAULT_MULTICHANNEL = "ilrma.ip"
DEFAULT_SINGLE = {2: "sepformer.2talkers_8k", 3: "sepformer.3talkers_8k"}
"""By number of talkers, the packaged network that separates best what one microphone heard."""
LIVE_SINGLE = "conv_tasnet.2talkers_8k_live"
"""The packaged network that separates two talkers as one microphone hears them."""
COUNTER = "countnet.3talkers_8k"
"""The packaged network that tells how many talkers one microphone hears."""
WINDOWS_AT_ONCE = 16
UNCOUNTED = 2
"""Talkers that one microphone is taken to hear where no network is here to count them."""
SAY = "--sources says how many there are."
UNCHANGED = "unchanged"
"""What stands for the model where there is one talker, whose voice is the recording itself."""
JOINT_MODEL = "tiss"
NETWORK_SECONDS = 30.0
"""What networks separate at once: more makes them no better, and takes more memory."""
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
    """

    sources: Float[Tensor, "source time"]
    sample_rate: int
    model: str
    images: Float[Tensor, "source channel time"] | None = None
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def audio_seconds(self) -> float:
        """Duration of the recording."""
        return self.sources.shape[-1] / self.sample_rate

    def save(self, folder: str | os.PathLike[str], format: Format = "wav") -> list[Path]:
        """Write ``source1.wav`` ... (and ``source1_image.wav`` ...), all scaled alike where one would clip.

        Args:
            folder: where they are put; missing ones are made.
            format: ``wav`` of 32-bit floats, ``wav16`` or ``flac``.

        Returns:
            The paths.

        Raises:
            OutputError: they cannot be written.
        """
        folder, suffix = Path(folder), formats.KINDS[format].suffix
        files = {folder / f"source{i}{suffix}": voice for i, voice in enumerate(self.sources, 1)}
        for i, image in enumerate(self.images if self.images is not None else (), 1):
            files[folder / f"source{i}_image{suffix}"] = image
        gain = formats.fitting_gain(max(float(each.abs().max()) for each in files.values()), format)
        if gain < 1:
            self.warnings.append(formats.scaled(gain))
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


def choose_model(channels: int, sources: int | None = None) -> str:
    """The model behind ``auto``, for a known number of talkers where there is one microphone.

    Args:
        channels: independent microphones.
        sources: talkers; None to count them.

    Raises:
        InputError: nothing fits.
    """
    here = {count: name for count, name in DEFAULT_SINGLE.items() if name in packaged()}
    if channels > 1 and (not sources or sources <= channels or sources not in here):
        return DEFAULT_MULTICHANNEL
    if sources == 1:
        return UNCHANGED
    if (sources or UNCOUNTED) in here:
        return here[sources or UNCOUNTED]
    counts = " or ".join(str(count) for count in sorted(here))
    what = (
        f"for {sources} talkers heard by one microphone (only for {counts})" if here else "for one microphone"
    )
    raise InputError(
        f"No network {what} is installed: name one that you trained or downloaded with --model, "
        "or 'nmf' with dictionaries of its voices."
    )


def load(
    name: str = AUTO,
    device: str = "auto",
    dereverb: Dereverberation = "none",
    runtime: Runtime = "auto",
    **options: Any,
) -> "Model":
    """Make a model ready for use.

    Args:
        name: ``auxiva.ipa``, ``conv_tasnet.2talkers_8k`` and the like (see ``unbabble models``); for a network
            also its weights: a ``.safetensors`` file, a folder of ours or of SpeechBrain's or Asteroid's, or
            ``org/name[@revision]`` on the Hugging Face Hub; or ``auto`` to choose by recording.
        device: ``auto``, ``cpu``, ``cuda`` ...
        dereverb: ``wpe`` removes reverberation first; ``joint`` takes the method that does both.
        runtime: what computes a network: ``torch``, ``onnx`` (ONNX Runtime), or ``auto`` for the faster one.
        options: of the method: ``sources=2``, ``iterations=50`` ...

    Raises:
        InputError: weights that are missing, damaged, or those of another architecture.
        UsageError: no such model, device or option.
    """
    if dereverb not in ("none", "wpe", "joint"):
        raise UsageError(f"Dereverberation is none, wpe or joint, not '{dereverb}'.")
    if runtime == "onnx" and name != AUTO and not networks.is_network(name):
        raise UsageError(f"ONNX Runtime computes networks, and '{name}' is none.")
    if dereverb == "joint":
        name = JOINT_MODEL if name == AUTO else name
        if name.partition(".")[0] != JOINT_MODEL:
            raise UsageError(f"Joint dereverberation is model '{JOINT_MODEL}'; '{name}' has --dereverb wpe.")
    model = Model(name, choose_device(device), dereverb, options, runtime)
    model.separator(DEFAULT_MULTICHANNEL if name == AUTO else name)  # a wrong option is said before any work
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
        raise UsageError(f"Model '{name}' gives at most {network.sources} sources, not {sources}.")
    network.reference, network.warnings = reference, []
    return network


def windows_to_count(
    samples: Float[Tensor, "channel time"], sample_rate: int, wanted_rate: int
) -> Float[Tensor, "window time"]:
    """What a network that counts hears: windows of the loudest channel, at its rate."""
    heard = audio_files.resample(samples[samples.abs().amax(1).argmax()], sample_rate, wanted_rate)
    return windows(heard, wanted_rate) if len(heard) else heard[None][:0]


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

    def separator(self, name: str, **changes: Any) -> Any:
        """The method itself, freshly built; of a network a copy that shares its weights with all others."""
        options = self.options | changes
        if name == UNCHANGED:
            return Unchanged(options.get("reference") or 0)
        if networks.is_network(name):
            options = check_arguments(neural_separator, options, f"Model '{name}'")
            return neural_separator(name, self.device, self.runtime, **options)
        networks.check_kind(name, *SEPARATING)
        options = check_arguments(registry.method(name), options, f"Model '{name}'")
        return registry.create(name, **options)

    def piece_seconds(self, path: str | os.PathLike[str]) -> float | None:
        """How much of the recording in ``path`` is best separated at once; None: as much as memory allows.

        Raises:
            InputError: the recording cannot be read.
        """
        if self.name == AUTO:
            one = audio_files.probe(path).channels == 1 or all(
                is_one_microphone(block) for block in audio_files.read_blocks(path, NETWORK_SECONDS)
            )
            return NETWORK_SECONDS if one else None
        return NETWORK_SECONDS if networks.is_network(self.name) else None

    def __call__(
        self, source: Tensor | Audio | Source, sample_rate: int | None = None, images: bool = False
    ) -> Separation:
        """Separate a recording.

        Args:
            source: (channel, time) or (time,) as a tensor or array, or a path, bytes, file object or Audio.
            sample_rate: Hz; needed for tensors.
            images: also return each source as every microphone hears it.

        Raises:
            InputError: the recording cannot be read or separated.
            UsageError: a tensor without a rate; more sources than the model can give.
        """
        started = time.perf_counter()
        recording = as_audio(source, sample_rate)
        warnings = [*recording.warnings, *self.notes]
        samples, live = usable_channels(recording, warnings)
        place = self._reference(live, recording.channels, warnings)
        job = _Job(recording, samples, place, images, warnings)
        name = self._choose(job) if self.name == AUTO else self.name
        heard = self._run(name, job)
        everywhere = None
        if images:
            everywhere = heard.new_zeros(len(heard), recording.channels, heard.shape[-1])
            everywhere[:, live] = heard
            heard = heard[:, place.get("reference", self.options.get("reference") or 0)].clone()
        spent = time.perf_counter() - started
        return Separation(heard, recording.sample_rate, name, everywhere, warnings, spent)

    def counted(self, path: str | os.PathLike[str]) -> "Model":
        """This model, told how many talk in the recording in ``path``, for all its pieces, where nobody said.

        Raises:
            InputError: the recording cannot be read.
        """
        if self.name != AUTO or self.options.get("sources") is not None:
            return self
        rate = audio_files.probe(path).sample_rate
        found = self._count(audio_files.read_blocks(path, NETWORK_SECONDS), rate)
        if found is None:
            return self
        talkers, said = found
        return replace(self, options=self.options | {"sources": talkers}, notes=(*self.notes, said))

    def _choose(self, job: "_Job") -> str:
        """The model for a recording."""
        talkers, channels = self.options.get("sources"), len(job.samples)
        if is_one_microphone(job.samples):
            channels = 1
            if talkers is None and (found := self._count([job.samples], job.recording.sample_rate)):
                talkers, said = found
                job.warnings.append(said)
        return choose_model(channels, talkers)

    def _count(self, blocks: Iterable[Float[Tensor, "channel time"]], rate: int) -> tuple[int, str] | None:
        """How many talk in a recording, and what to say of that; None where several microphones heard it."""
        here = COUNTER in packaged()
        counter = networks.ready(COUNTER, self.device, "counter") if here else None
        probabilities, powers = [], []
        for block in blocks:
            if not is_one_microphone(block):
                return None
            if counter is None:
                continue
            heard = windows_to_count(block, rate, counter.sample_rate)
            for parts in heard.split(WINDOWS_AT_ONCE) if len(heard) else ():
                probabilities.append(counter(parts.to(self.device)).cpu())
                powers.append(parts.square().mean(-1))
        if counter is None:
            return (
                UNCOUNTED,
                f"The talkers of one microphone cannot be counted here: taken to be {UNCOUNTED}; {SAY}",
            )
        talkers = most_talkers(torch.cat(probabilities), torch.cat(powers)) if probabilities else 1
        number = "1 talker was" if talkers == 1 else f"{talkers} talkers were"
        return talkers, f"{number} counted, which one microphone does not always tell: {SAY}"

    def _run(self, name: str, job: "_Job") -> Float[Tensor, "source ..."]:
        """The voices by one model, (source, time) or (source, live channel, time), at the recording's rate."""
        separator = self.separator(name, **job.place)
        recording, samples = job.recording, job.samples
        if len(samples) < separator.min_channels:
            raise InputError(
                f"Model '{name}' needs at least {separator.min_channels} microphones; "
                f"the recording has {len(samples)}"
                + (" that are not silent." if len(samples) < recording.channels else ".")
            )
        wanted = self.options.get("sources")
        if separator.max_sources and wanted and wanted > separator.max_sources:
            raise UsageError(f"Model '{name}' gives at most {separator.max_sources} sources, not {wanted}.")
        rate = separator.sample_rate if separator.sample_rate != SAMPLE_RATE_ANY else recording.sample_rate
        if rate < recording.sample_rate:
            job.warnings.append(
                f"Model '{name}' works at {rate / 1000:g} kHz: what the recording has above "
                f"{rate / 2000:g} kHz is lost."
            )
        mixture = audio_files.resample(samples, recording.sample_rate, rate)
        if self.dereverb == "wpe":
            from unbabble.signal.dereverberation import wpe

            mixture = wpe(mixture, rate)
        with torch.no_grad():
            batch = mixture.to(self.device)[None]
            result = separator(batch, sample_rate=rate, **({"images": True} if job.images else {}))[0].cpu()
        result = _fit(audio_files.resample(result, rate, recording.sample_rate), recording.samples.shape[-1])
        said = getattr(separator, "warnings", [])
        job.warnings.extend(text for text in said if text not in job.warnings)
        if wanted and wanted < len(result):
            job.warnings.append(f"Model '{name}' gives {len(result)} voices: the weakest are left out.")
            result = result[:wanted]
        return result

    def _reference(self, live: list[int], channels: int, warnings: list[str]) -> dict[str, int]:
        """The reference microphone's place among those that are not dead."""
        wanted = self.options.get("reference")
        if wanted is None or len(live) == channels or not 0 <= wanted < channels:
            return {}
        if wanted in live:
            return {"reference": live.index(wanted)}
        warnings.append(f"The reference microphone is silent: microphone {live[0] + 1} takes its place.")
        return {"reference": 0}


@dataclass(frozen=True)
class _Job:
    """One recording on its way through models.

    Attributes:
        recording: as it came.
        samples: its channels that are not dead.
        place: of the reference microphone among them, as an option of methods.
        images: whether each source is wanted at every microphone.
        warnings: what the user should know; models add to it.
    """

    recording: Audio
    samples: Float[Tensor, "channel time"]
    place: dict[str, int]
    images: bool
    warnings: list[str]


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
        """(batch, 1, time), or with ``images`` (batch, 1, channel, time)."""
        return mixture[:, None] if images else mixture[:, self.reference, None]


def _fit(samples: Tensor, length: int) -> Tensor:
    """Cut or pad by the few samples that resampling there and back may add or lose."""
    return torch.nn.functional.pad(samples, (0, length - samples.shape[-1]))
