"""The progress bar on a terminal."""

import re
from pathlib import Path

from unbabble.base.report import FileReport
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
