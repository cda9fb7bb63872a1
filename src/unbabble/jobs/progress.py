"""How far a run is: tasks done, and seconds of audio within one."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from unbabble.base.report import FileReport

Listener = Callable[[float, float | None], None]
_listeners: list[Listener] = []
"""Called with the progress within a task, where this process does the work: the bar, and every ``listening``."""
_stage_listeners: list[Callable[[str], None]] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Meanwhile, call ``listener`` with the seconds of audio that are done of the task at hand, and all, if known."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def report_progress(done: float, total: float | None) -> None:
    """Say how many seconds of audio of the task at hand are done, of how many, if known."""
    for listener in _listeners:
        listener(done, total)


@contextmanager
def watching_stages(listener: Callable[[str], None]) -> Iterator[None]:
    """Meanwhile, call ``listener`` with what is being done to the task at hand, in a word or two."""
    _stage_listeners.append(listener)
    try:
        yield
    finally:
        _stage_listeners.remove(listener)


def report_stage(stage: str) -> None:
    """Say what is being done to the task at hand: ``ilrma.ip, 1 of 4``."""
    for listener in _stage_listeners:
        listener(stage)


@contextmanager
def progress_bar(total: int, title: str, quiet: bool) -> Iterator[Callable[[FileReport], None]]:
    """A bar on stderr with the speed so far, within a task that of its stage; nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    speed = TextColumn("{task.fields[speed]}")
    started = begun = time.perf_counter()
    audio = 0.0
    bar = Progress(*columns, speed, console=console, disable=quiet or not console.is_terminal, transient=True)
    with bar:
        line = bar.add_task(title, total=total, speed="")

        def advance(report: FileReport) -> None:
            nonlocal audio, begun
            begun = time.perf_counter()
            if report.outcome == "done":
                audio += report.audio_seconds or 0.0
            factor = audio / (time.perf_counter() - started)
            bar.update(line, advance=1, speed=f"{factor:.1f} x real time" if audio else "")
            bar.update(line, description=title)

        def show_part(done: float, whole: float | None) -> None:
            factor = done / max(time.perf_counter() - begun, 1e-3)
            of = f" of {_clock(whole)}" if whole else ""
            speed = f"{_clock(done)}{of} of sound, {factor:.1f} x real time"
            bar.update(line, speed=speed, refresh=True)

        def show_stage(stage: str) -> None:
            nonlocal begun
            begun = time.perf_counter()
            bar.update(line, description=f"{title}: {stage}", speed="", refresh=True)

        with listening(show_part), watching_stages(show_stage):
            yield advance


def _clock(seconds: float) -> str:
    """As ``1:02:03``."""
    return str(timedelta(seconds=round(seconds)))
