"""A first run goes on without compiled kernels, and what is compiled afterwards is what the default needs."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unbabble.signal.kernels import afterwards
from unbabble.signal.kernels.cache import digest

Ended = list[Callable[[], None]]
ENOUGH = """
import torch
from numba.core import event
import unbabble
from unbabble.signal.kernels.afterwards import compile_default
compile_default()
compiled = []
class Listener(event.Listener):
    def on_start(self, event): compiled.append(event.data["dispatcher"].py_func.__name__)
    def on_end(self, event): pass
event.register("numba:compile", Listener())
mixture = torch.randn(3, 20000, generator=torch.Generator().manual_seed(0))
for name, options in (("ilrma.ip", {}), ("ilrma.ip", {"sources": 2}), ("auxiva.ipa", {"sources": 3})):
    unbabble.load(name, iterations=5, **options)(mixture, 8000)
print(compiled)
"""
FIRST = """
import sys
import torch
import unbabble
mixture = torch.randn(3, 20000, generator=torch.Generator().manual_seed(0))
unbabble.load("ilrma.ip", iterations=5, sources=2)(mixture, 8000)
print("numba" in sys.modules)
"""
SMALL = """
import numpy as np
from unbabble.signal.kernels.small_matrices import copy
copy(np.zeros((2, 2, 2, 16), np.float32), np.zeros((2, 2, 2, 16), np.float32))
"""


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | environment
    )


def test_default_needs_nothing_that_was_not_compiled_afterwards() -> None:
    assert python(ENOUGH).stdout.split("\n")[-2] == "[]"


def test_a_first_run_does_not_wait_for_numba(tmp_path: Path) -> None:
    cold = {"UNBABBLE_KERNELS": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    (tmp_path / f"{digest()}.begun").touch()  # nothing is to be compiled for this
    assert python(FIRST, **cold).stdout == "False\n"


def test_compilation_is_announced_once_for_each_cache(tmp_path: Path) -> None:
    first, second = (python(SMALL, NUMBA_CACHE_DIR=str(tmp_path)).stderr for _ in range(2))
    assert first == "First run: compiling the inner loops, which takes ten to twenty seconds, once.\n"
    assert second == ""


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Ended:
    """What is done when the process ends."""
    registered: Ended = []
    monkeypatch.setattr(afterwards.atexit, "register", registered.append)
    return registered


@pytest.fixture
def cold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: Ended) -> list[Path]:
    """No kernels are compiled; what would be started is listed."""
    started: list[Path] = []
    monkeypatch.delenv("UNBABBLE_KERNELS")
    monkeypatch.setattr(afterwards, "_left", float(afterwards.PATIENCE))
    monkeypatch.setattr(afterwards, "mark", lambda name: tmp_path / name)
    monkeypatch.setattr(
        afterwards.subprocess, "Popen", lambda command, **options: started.append(command) or Process()
    )
    return started


class Process:
    returncode: int | None = None


def test_small_work_goes_on_and_one_process_compiles_afterwards(cold: list[Path], ended: Ended) -> None:
    assert all(afterwards.reference_is_sooner(afterwards.PATIENCE // 3) for _ in range(3))
    assert not cold
    assert len(ended) == 1
    ended[0]()
    assert len(cold) == 1
    assert not afterwards.reference_is_sooner(
        afterwards.PATIENCE // 3
    )  # as much again would have been compiled by now
    assert not afterwards.reference_is_sooner(1)  # and then there are kernels


def test_large_work_waits_for_the_kernels(cold: list[Path]) -> None:
    assert not afterwards.reference_is_sooner(afterwards.PATIENCE + 1)
    assert not cold


def test_compiled_kernels_are_used(cold: list[Path], tmp_path: Path) -> None:
    (tmp_path / "compiled").touch()
    assert not afterwards.reference_is_sooner(1)


def test_two_commands_do_not_both_compile(cold: list[Path], ended: Ended, tmp_path: Path) -> None:
    (tmp_path / "begun").touch()
    assert afterwards.reference_is_sooner(1)
    ended[0]()
    assert not cold


def test_a_cache_that_cannot_be_written_to_is_done_without(
    cold: list[Path], ended: Ended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(afterwards, "mark", lambda name: tmp_path / "file" / name)
    assert afterwards.reference_is_sooner(1)
    ended[0]()
    assert not cold
