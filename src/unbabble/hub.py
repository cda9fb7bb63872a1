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
from unbabble.base import registry
from unbabble.base.audio import Audio, Source
from unbabble.base.config import check_arguments
from unbabble.base.contracts import SAMPLE_RATE_ANY
from unbabble.base.errors import InputError, UsageError
from unbabble.base.registry import models

__all__ = ["Model", "Separation", "choose_model", "load", "models"]

AUTO = "auto"
DEFAULT_MULTICHANNEL = "ilrma.ip"
JOINT_MODEL = "tiss"
CLIPPED_SHARE = 1e-5
CLIPPED_PEAK = 0.5
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

    def save(self, folder: str | os.PathLike[str], format: Literal["wav", "flac"] = "wav") -> list[Path]:
        """Write ``source1.wav`` ... (and ``source1_image.wav`` ...); returns the paths.

        Raises:
            OutputError: they cannot be written.
        """
        folder = Path(folder)
        files = {folder / f"source{i}.{format}": voice for i, voice in enumerate(self.sources, 1)}
        for i, image in enumerate(self.images if self.images is not None else (), 1):
            files[folder / f"source{i}_image.{format}"] = image
        gain = 1.0
        if format == "flac":
            gain = audio_files.flac_gain(max(float(each.abs().max()) for each in files.values()))
        if gain < 1:
            self.warnings.append(f"Scaled by {gain:.3f}, all alike, so that no FLAC file clips.")
        for path, samples in files.items():
            audio_files.write(path, samples * gain if gain < 1 else samples, self.sample_rate)
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
    """The model behind ``auto``.

    Raises:
        InputError: nothing fits.
    """
    if channels < 2:
        raise InputError(
            "A recording of one microphone needs a neural model, which comes with a later version, "
            "or 'nmf' with dictionaries trained on its sources."
        )
    return DEFAULT_MULTICHANNEL


def choose_device(name: str) -> torch.device:
    """The device behind ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps`` ...

    Raises:
        UsageError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"There is no device '{name}' here; `unbabble doctor` lists them.") from error
    return device


def load(
    name: str = AUTO, device: str = "auto", dereverb: Dereverberation = "none", **options: Any
) -> "Model":
    """Make a model ready for use.

    Args:
        name: ``auxiva.ipa`` and the like (see ``unbabble models``), or ``auto`` to choose by recording.
        device: ``auto``, ``cpu``, ``cuda`` ...
        dereverb: ``wpe`` removes reverberation first; ``joint`` takes the method that does both.
        options: of the method: ``sources=2``, ``iterations=50`` ...

    Raises:
        UsageError: no such model, device or option.
    """
    if dereverb not in ("none", "wpe", "joint"):
        raise UsageError(f"Dereverberation is none, wpe or joint, not '{dereverb}'.")
    if dereverb == "joint":
        name = JOINT_MODEL if name == AUTO else name
        if name.partition(".")[0] != JOINT_MODEL:
            raise UsageError(f"Joint dereverberation is model '{JOINT_MODEL}'; '{name}' has --dereverb wpe.")
    model = Model(name, choose_device(device), dereverb, options)
    model.separator(DEFAULT_MULTICHANNEL if name == AUTO else name)  # a wrong option is said before any work
    return model


@dataclass(frozen=True)
class Model:
    """A separator that takes recordings as they come: a tensor, a path, a file object, bytes or an Audio."""

    name: str
    device: torch.device
    dereverb: Dereverberation = "none"
    options: dict[str, Any] = field(default_factory=dict)

    def separator(self, name: str, **changes: Any) -> Any:
        """The method itself, freshly built."""
        options = check_arguments(registry.method(name), self.options | changes, f"Model '{name}'")
        return registry.create(name, **options)

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
        recording = as_audio(source, sample_rate)
        warnings: list[str] = []
        samples, live = usable_channels(recording, warnings)
        name = self.name
        if name == AUTO:
            name = choose_model(len(samples), self.options.get("sources"))
        separator = self.separator(name, **self._reference(live, recording.channels, warnings))
        if len(samples) < separator.min_channels:
            raise InputError(
                f"Model '{name}' needs at least {separator.min_channels} microphones; "
                f"the recording has {len(samples)}"
                + (" that are not silent." if len(live) < recording.channels else ".")
            )
        wanted = self.options.get("sources")
        if separator.max_sources and wanted and wanted > separator.max_sources:
            raise UsageError(f"Model '{name}' gives at most {separator.max_sources} sources, not {wanted}.")
        started = time.perf_counter()
        rate = separator.sample_rate if separator.sample_rate != SAMPLE_RATE_ANY else recording.sample_rate
        mixture = audio_files.resample(samples, recording.sample_rate, rate)
        if self.dereverb == "wpe":
            from unbabble.signal.dereverberation import wpe

            mixture = wpe(mixture, rate)
        with torch.no_grad():
            batch = mixture.to(self.device)[None]
            result = separator(batch, sample_rate=rate, **({"images": True} if images else {}))[0].cpu()
        result = audio_files.resample(result, rate, recording.sample_rate)
        result = _fit(result, recording.samples.shape[-1])
        warnings += [text for text in getattr(separator, "warnings", []) if text not in warnings]
        heard = None
        if images:
            reference = getattr(separator, "reference", 0)
            heard = result.new_zeros(len(result), recording.channels, result.shape[-1])
            heard[:, live] = result
            result = result[:, reference].clone()
        spent = time.perf_counter() - started
        return Separation(result, recording.sample_rate, name, heard, warnings, spent)

    def _reference(self, live: list[int], channels: int, warnings: list[str]) -> dict[str, int]:
        """The reference microphone's place among those that are not dead."""
        wanted = self.options.get("reference")
        if wanted is None or len(live) == channels or not 0 <= wanted < channels:
            return {}
        if wanted in live:
            return {"reference": live.index(wanted)}
        warnings.append(f"The reference microphone is silent: microphone {live[0] + 1} takes its place.")
        return {"reference": 0}


def as_audio(source: Tensor | Audio | Source, sample_rate: int | None) -> Audio:
    """Whatever was given, as an Audio of finite samples.

    Raises:
        InputError: it cannot be read, is empty, or has samples that are not finite.
        UsageError: a tensor without its rate, or of another shape than (channel, time) or (time,).
    """
    if isinstance(source, Audio):
        recording = source
    elif isinstance(source, str | os.PathLike | bytes) or hasattr(source, "read"):
        return audio_files.read(source)  # type: ignore[arg-type]
    else:
        samples = torch.atleast_2d(torch.as_tensor(source, dtype=torch.float32).detach().cpu())
        if sample_rate is None or sample_rate <= 0:
            raise UsageError("A tensor of samples needs its sample_rate in Hz.")
        if samples.ndim != 2:
            raise UsageError("A tensor of samples is (channel, time) or (time,).")
        recording = Audio(samples, sample_rate)
    if not recording.samples.numel():
        raise InputError("The recording has no samples.")
    if not recording.samples.isfinite().all():
        raise InputError("The recording contains samples that are not numbers (NaN or infinity).")
    return recording


def usable_channels(recording: Audio, warnings: list[str]) -> tuple[Float[Tensor, "channel time"], list[int]]:
    """The channels that carry sound, and their numbers; says in ``warnings`` what is wrong with the others.

    Raises:
        InputError: every channel is silent.
    """
    samples = recording.samples
    lowest, highest = samples.aminmax(dim=1)
    dead = (highest == lowest) if samples.shape[1] > 1 else (highest == 0)
    live = (~dead).nonzero().flatten().tolist()
    if not live:
        raise InputError("The recording is silent: there is nothing to separate.")
    if len(live) < len(samples):
        numbers = [str(i + 1) for i in range(len(samples)) if i not in live]
        word = "Microphone" if len(numbers) == 1 else "Microphones"
        warnings.append(f"{word} {', '.join(numbers)} of {len(samples)}: silent, left out.")
        samples = samples[live]
    share = clipped_share(samples)
    if share > CLIPPED_SHARE:
        warnings.append(f"{100 * share:.2g} % of the samples are clipped: separation suffers.")
    return samples, live


def clipped_share(samples: Float[Tensor, "channel time"]) -> float:
    """Share of samples in runs of three or more at their channel's own extreme, where that is loud."""
    count = 0
    for channel in samples:
        if len(channel) < 3 or channel.abs().max() < CLIPPED_PEAK:
            continue
        extreme = (channel == channel.max()) | (channel == channel.min())
        runs = extreme[:-2] & extreme[1:-1] & extreme[2:]
        member = torch.zeros_like(extreme)
        for shift in range(3):
            member[shift : len(channel) - 2 + shift] |= runs
        count += int(member.sum())
    return count / samples.numel()


def _fit(samples: Tensor, length: int) -> Tensor:
    """Cut or pad by the few samples that resampling there and back may add or lose."""
    return torch.nn.functional.pad(samples, (0, length - samples.shape[-1]))
