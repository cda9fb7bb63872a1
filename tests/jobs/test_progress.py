"""The progress bar on a terminal."""

import re
from pathlib import Path
from types import SimpleNamespace

from unbabble.base.report import FileReport
from unbabble.jobs import progress
from unbabble.jobs.progress import report_progress, report_stage
from unbabble.jobs.run import run


def test_progress_within_a_long_task_is_shown_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")

    def work(task):
        report_stage("ilrma.ip")
        report_progress(1830, 3600)
        report_progress(3540, None)
        return FileReport(task.name, "done", audio_seconds=3600)

    run(work, [Path("long")], title="Separating")
    shown = capsys.readouterr().err
    assert re.search(r"0:30:30 of 1:00:00 of sound, [\d.]+ x real time", shown)
    assert "0:59:00 of sound" in shown
    assert "Separating: ilrma.ip" in shown
    run(work, [Path("long")], title="Separating", quiet=True)
    report_progress(1, 2)  # nobody listens any more
    assert capsys.readouterr().err == ""


def test_each_stage_has_a_speed_of_its_own(capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    clock = iter([0.0, 0.0, 10.0, 100.0, 110.0, 110.0, 110.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: next(clock)))

    def work(task):
        report_stage("who speaks when")
        report_progress(60, 600)
        report_stage("speaker1")
        report_progress(30, 600)
        return FileReport(task.name, "done", audio_seconds=600)

    run(work, [Path("meeting")], title="Transcribing")
    shown = capsys.readouterr().err
    assert re.search(r"who speaks when .*0:01:00 of 0:10:00 of sound, 6.0 x real time", shown)
    assert re.search(r"speaker1 .*0:00:30 of 0:10:00 of sound, 3.0 x real time", shown)
