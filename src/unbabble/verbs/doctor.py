"""``unbabble doctor``: what works on this machine, each part checked for itself."""

import contextlib
import importlib
import importlib.util
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from unbabble.base.extras import EXTRAS
from unbabble.base.report import Result
from unbabble.base.words import counted
from unbabble.jobs.threads import available_cores
from unbabble.verbs.frame import Frame, stdout
from unbabble.verbs.options import AnyPath, as_path

State = Literal["ok", "missing", "broken"]
PYTHON = (3, 11)


@dataclass
class Check:
    """One line of the diagnosis.

    Attributes:
        part: what was looked at.
        state: ``ok``, ``missing`` (optional) or ``broken``.
        note: version, place, or what to do.
        necessary: without it nothing works.
    """

    part: str
    state: State
    note: str
    necessary: bool = False


@dataclass
class Diagnosis(Result):
    """All checks."""

    checks: list[Check] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """1 if something necessary is broken."""
        return int(any(check.necessary and check.state != "ok" for check in self.checks))


def doctor(*, report: AnyPath | None = None, quiet: bool = False) -> Diagnosis:
    """Check what works on this machine; exit code 1 if something necessary is broken.

    Args:
        report: Also write the findings to this file, as JSON.
        quiet: Show only what is missing or broken.
    """
    frame = Frame(report=as_path(report), quiet=quiet)
    diagnosis = Diagnosis(
        [_python(), *_packages(), *_extras(), _threads(), *_torch(), _kernel_cache(), _microphone()]
    )
    frame.conclude(diagnosis, partial(_print, diagnosis, quiet))
    return diagnosis


def _python() -> Check:
    enough = sys.version_info >= PYTHON
    note = f"{platform.python_version()} ({sys.platform}, {platform.machine()})"
    return Check("python", "ok" if enough else "broken", note, necessary=True)


def _packages() -> list[Check]:
    modules = {
        "torch": "torch",
        "numba": "numba",
        "soundfile": "soundfile",
        "soxr": "soxr",
        "av": "av",
        "scipy": "scipy",
    }
    return [_attempt(part, lambda module=module: _version(module), True) for part, module in modules.items()]


def _version(module: str) -> str:
    importlib.import_module(module)
    return metadata.version(module)


def _attempt(part: str, look: Callable[[], str], necessary: bool = False) -> Check:
    try:
        return Check(part, "ok", look(), necessary)
    except Exception as error:  # whatever is wrong with a library is the finding
        return Check(part, "broken", f"{type(error).__name__}: {error}", necessary)


def _extras() -> list[Check]:
    checks = []
    for extra in EXTRAS.values():
        absent = extra.missing()
        note = f"needs {', '.join(absent)}: pip install 'unbabble[{extra.name}]'"
        note = note if absent else ", ".join(extra.modules)
        checks.append(Check(f"extra {extra.name}", "missing" if absent else "ok", note))
    return checks


def _threads() -> Check:
    limit = os.environ.get("OMP_NUM_THREADS")
    return Check("cores", "ok", f"{available_cores()}" + (f" (OMP_NUM_THREADS={limit})" if limit else ""))


def _torch() -> list[Check]:
    def compute() -> str:
        import torch

        signal = torch.randn(4, 256)
        back = torch.fft.irfft(torch.fft.rfft(signal))
        if not torch.allclose(back, signal, atol=1e-5):
            raise ArithmeticError("a Fourier transform and its inverse do not give the signal back")
        torch.linalg.eigh(torch.eye(3, dtype=torch.complex64))
        return f"computes on {torch.get_num_threads()} threads"

    def devices() -> str:
        import torch

        names = ["cpu"]
        for index in range(torch.cuda.device_count()):
            names.append(f"cuda:{index} ({torch.cuda.get_device_name(index)})")
        if torch.backends.mps.is_available():
            names.append("mps")
        return ", ".join(names)

    return [_attempt("torch computes", compute, True), _attempt("devices", devices)]


def _kernel_cache() -> Check:
    """Compiled kernels go to NUMBA_CACHE_DIR, or to the user's cache folder."""
    from unbabble.signal.kernels.cache import cache_folder

    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder())
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return Check("kernel cache", "ok", str(folder))
    return Check(
        "kernel cache", "missing", "no folder can be written: set NUMBA_CACHE_DIR, or runs start slowly"
    )


def _microphone() -> Check:
    if EXTRAS["live"].missing():
        return Check("microphone", "missing", "needs pip install 'unbabble[live]'")
    try:
        import sounddevice  # pyright: ignore[reportMissingImports]

        device: Any = sounddevice.query_devices(kind="input")
        return Check(
            "microphone", "ok", f"{device['name']}, {counted(device['max_input_channels'], 'channel')}"
        )
    except Exception as error:  # no PortAudio, no device: the sentence says which
        return Check("microphone", "missing", str(error))


def _print(diagnosis: Diagnosis, quiet: bool) -> None:
    console = stdout()
    styles = {"ok": "green", "missing": "yellow", "broken": "red"}
    for check in diagnosis.checks:
        if not quiet or check.state != "ok":
            console.print(f"{check.state:8}{check.part:16}{check.note}", style=styles[check.state])
    if not quiet:
        console.print(
            "Something necessary is broken." if diagnosis.exit_code else "Everything necessary works."
        )
