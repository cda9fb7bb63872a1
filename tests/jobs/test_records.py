"""What was done is known again, and anything that decides it makes it new work."""

import os
from pathlib import Path

import pytest

from unbabble.base.report import FileReport
from unbabble.jobs import records


@pytest.fixture
def finished(tmp_path):
    """A source, a folder with its result, and the config that made it."""
    source, folder = tmp_path / "x.wav", tmp_path / "out" / "x"
    source.write_bytes(b"sound")
    folder.mkdir(parents=True)
    (folder / "source1.wav").write_bytes(b"voice")
    report = FileReport("x.wav", "done", model="ica", outputs=[str(folder / "source1.wav")])
    records.record_done(folder, source, {"model": "ica"}, report)
    return source, folder, {"model": "ica"}


def test_done_work_is_known(finished):
    source, folder, config = finished
    earlier = records.done_before(folder, source, config)
    assert earlier is not None
    assert (earlier.outcome, earlier.model) == ("skipped", "ica")
    assert earlier.outputs == [str(folder / "source1.wav")]
    os.utime(source, (1, 1))  # a copy of the same content
    assert records.done_before(folder, source, config)


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
        (folder / records.RECORD_NAME).write_text("{broken")
    else:
        folder = tmp_path / "elsewhere"
    assert records.done_before(folder, source, config) is None


def test_forgetting_removes_results_and_nothing_else(finished):
    source, folder, config = finished
    (folder / "mine.txt").touch()
    records.forget(folder)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    assert records.done_before(folder, source, config) is None
    records.forget(Path(folder / "none"))
