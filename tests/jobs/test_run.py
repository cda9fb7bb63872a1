"""Running over many files: failures stay alone, runs resume, dead workers are replaced."""

import importlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from unbabble.base.errors import InputError, UsageError
from unbabble.base.report import FileReport
from unbabble.jobs import run as jobs

WORK = '''
"""What worker processes import."""

import os
import signal
import time
from dataclasses import dataclass

from unbabble.base.errors import InputError
from unbabble.base.report import FileReport


@dataclass(frozen=True)
class Task:
    name: str


def work(task):
    if task.name == "bad":
        raise InputError("'bad' is empty.")
    if task.name == "bug":
        raise ZeroDivisionError("oops")
    if task.name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.name == "crash":
        os._exit(7)
    if task.name == "slow":
        time.sleep(0.3)
    threads = os.environ["OMP_NUM_THREADS"] if task.name == "threads" else ""
    return FileReport(task.name, "done", audio_seconds=2.0, details={"pid": os.getpid(), "threads": threads})
'''


@dataclass(frozen=True)
class Task:
    name: str


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that worker processes can import too."""
    (tmp_path / "work_of_test_jobs.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("work_of_test_jobs")
    del sys.modules["work_of_test_jobs"]


def outcomes(reports):
    return [(report.input, report.outcome) for report in reports]


def test_one_bad_file_does_not_stop_the_rest(module):
    reports, interrupted = jobs.run(module.work, [module.Task(name) for name in ("a", "bad", "bug", "b")])
    assert not interrupted
    assert outcomes(reports) == [("a", "done"), ("bad", "failed"), ("bug", "failed"), ("b", "done")]
    assert reports[1].error == "'bad' is empty."
    assert reports[2].error == "Unexpected ZeroDivisionError: oops"
    assert "Traceback" in reports[2].details["traceback"]
    assert reports[0].details["pid"] == os.getpid()


def test_workers_that_die_are_replaced(module):
    names = ["slow", "killed", "a", "crash", "bad", "threads", "b"]
    reports, interrupted = jobs.run(module.work, [module.Task(name) for name in names], jobs=2)
    assert not interrupted
    assert [report.outcome for report in reports] == [
        "done",
        "failed",
        "done",
        "failed",
        "failed",
        "done",
        "done",
    ]
    assert [report.input for report in reports] == names
    assert "SIGKILL (perhaps for lack of memory)" in str(reports[1].error)
    assert "exit code 7" in str(reports[3].error)
    assert reports[0].details["pid"] != os.getpid()
    assert int(reports[5].details["threads"]) <= max(1, jobs.available_cores() // 2)


def test_an_interruption_reports_what_was_done():
    def work(task):
        if task.name == "b":
            raise KeyboardInterrupt
        return FileReport(task.name, "done")

    reports, interrupted = jobs.run(work, [Task(name) for name in "abc"])
    assert interrupted
    assert outcomes(reports) == [("a", "done"), ("b", "failed"), ("c", "failed")]
    assert reports[2].error == jobs.INTERRUPTED


def test_no_workers_is_wrong_usage():
    with pytest.raises(UsageError):
        jobs.run(lambda task: task, [], jobs=0)


@pytest.fixture
def finished(tmp_path):
    """A source, a folder with its result, and the config that made it."""
    source, folder = tmp_path / "x.wav", tmp_path / "out" / "x"
    source.write_bytes(b"sound")
    folder.mkdir(parents=True)
    (folder / "source1.wav").write_bytes(b"voice")
    report = FileReport("x.wav", "done", model="ica", outputs=[str(folder / "source1.wav")])
    jobs.record_done(folder, source, {"model": "ica"}, report)
    return source, folder, {"model": "ica"}


def test_done_work_is_known(finished):
    source, folder, config = finished
    earlier = jobs.done_before(folder, source, config)
    assert earlier is not None
    assert (earlier.outcome, earlier.model) == ("skipped", "ica")
    assert earlier.outputs == [str(folder / "source1.wav")]
    os.utime(source, (1, 1))  # a copy of the same content
    assert jobs.done_before(folder, source, config)


@pytest.mark.parametrize("change", ["config", "content", "size", "output", "record", "nothing there"])
def test_changed_work_is_done_again(finished, change, tmp_path):
    source, folder, config = finished
    if change == "config":
        config = {"model": "nmf"}
    elif change == "content":
        source.write_bytes(b"noise")
        os.utime(source, (1, 1))
    elif change == "size":
        source.write_bytes(b"sounds")
    elif change == "output":
        (folder / "source1.wav").unlink()
    elif change == "record":
        (folder / jobs.RECORD_NAME).write_text("{broken")
    else:
        folder = tmp_path / "elsewhere"
    assert jobs.done_before(folder, source, config) is None


def test_forgetting_removes_results_and_nothing_else(finished):
    source, folder, config = finished
    (folder / "mine.txt").touch()
    jobs.forget(folder)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    assert jobs.done_before(folder, source, config) is None
    jobs.forget(Path(folder / "none"))


def test_an_error_of_ours_is_its_sentence():
    def work(task):
        raise InputError("It is silent.")

    (report,), _ = jobs.run(work, [Task("a")])
    assert report.error == "It is silent."


def test_progress_within_a_long_task_is_shown_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")

    def work(task):
        jobs.report_progress(1830, 3600)
        jobs.report_progress(3540, None)
        return FileReport(task.name, "done", audio_seconds=3600)

    jobs.run(work, [Task("long")], title="Separating")
    shown = capsys.readouterr().err
    assert re.search(r"0:30:30 of 1:00:00 of sound, [\d.]+ x real time", shown)
    assert "0:59:00 of sound" in shown
    jobs.run(work, [Task("long")], title="Separating", quiet=True)
    jobs.report_progress(1, 2)  # nobody listens any more
    assert capsys.readouterr().err == ""
