"""Running over many files: failures stay alone, runs resume, dead workers are replaced."""

import importlib
import os
import sys
from dataclasses import dataclass

import pytest

from unbabble.base.errors import InputError, UsageError
from unbabble.base.report import FileReport
from unbabble.jobs.attempt import INTERRUPTED
from unbabble.jobs.run import run
from unbabble.jobs.threads import available_cores

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
    reports, interrupted = run(module.work, [module.Task(name) for name in ("a", "bad", "bug", "b")])
    assert not interrupted
    assert outcomes(reports) == [("a", "done"), ("bad", "failed"), ("bug", "failed"), ("b", "done")]
    assert reports[1].error == "'bad' is empty."
    assert reports[2].error == "Unexpected ZeroDivisionError: oops"
    assert "Traceback" in reports[2].details["traceback"]
    assert reports[0].details["pid"] == os.getpid()


def test_workers_that_die_are_replaced(module):
    names = ["slow", "killed", "a", "crash", "bad", "threads", "b"]
    reports, interrupted = run(module.work, [module.Task(name) for name in names], jobs=2)
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
    assert int(reports[5].details["threads"]) <= max(1, available_cores() // 2)


def test_an_interruption_reports_what_was_done():
    def work(task):
        if task.name == "b":
            raise KeyboardInterrupt
        return FileReport(task.name, "done")

    reports, interrupted = run(work, [Task(name) for name in "abc"])
    assert interrupted
    assert outcomes(reports) == [("a", "done"), ("b", "failed"), ("c", "failed")]
    assert reports[2].error == INTERRUPTED


def test_no_workers_is_wrong_usage():
    with pytest.raises(UsageError):
        run(lambda task: task, [], jobs=0)


def test_an_error_of_ours_is_its_sentence():
    def work(task):
        raise InputError("It is silent.")

    (report,), _ = run(work, [Task("a")])
    assert report.error == "It is silent."
