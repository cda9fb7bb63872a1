"""What was done is known again, and anything that decides it makes it new work."""

import json
import os
from pathlib import Path

import pytest

from unbabble.base.errors import OutputError
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
    records.record_done(folder, source, "separate", {"model": "ica"}, report)
    return source, folder, {"model": "ica"}


def test_done_work_is_known(finished):
    source, folder, config = finished
    earlier = records.done_before(folder, source, config)
    assert earlier is not None
    assert (earlier.outcome, earlier.model) == ("skipped", "ica")
    assert earlier.outputs == [str(folder / "source1.wav")]
    os.utime(source, (1, 1))  # a copy of the same content
    assert records.done_before(folder, source, config)


@pytest.mark.parametrize(
    "change", ["config", "content", "same time", "size", "output", "record", "nothing there"]
)
def test_changed_work_is_done_again(finished, change, tmp_path):
    source, folder, config = finished
    if change == "config":
        config = {"model": "nmf"}
    elif change == "content":
        source.write_bytes(b"noise")
        os.utime(source, (1, 1))
    elif change == "same time":
        status = source.stat()
        source.write_bytes(b"noise")
        os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
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


def test_forgetting_stays_within_the_folder(finished):
    _, folder, _ = finished
    (folder.parent / "theirs.wav").touch()
    (folder / "ilrma").mkdir()
    (folder / "ilrma" / "source1.wav").touch()
    record = {"outputs": ["ilrma/source1.wav", "../theirs.wav", 7, ""]}
    (folder / records.RECORD_NAME).write_text(json.dumps(record))
    records.forget(folder)
    assert sorted(each.name for each in folder.parent.rglob("*")) == ["source1.wav", "theirs.wav", "x"]


def test_what_another_run_put_there_meanwhile_is_not_replaced(finished, tmp_path):
    _, folder, config = finished
    other = tmp_path / "other.wav"
    other.write_bytes(b"other")
    report = FileReport("other.wav", "done")
    with records.in_the_making(folder) as temporary:
        (temporary / "source1.wav").touch()
        with pytest.raises(OutputError, match="taken by another run"):
            records.keep(temporary, folder, other, "separate", config, report)
    assert (folder / "source1.wav").read_bytes() == b"voice"
    assert [each.name for each in folder.parent.iterdir()] == ["x"]


def test_folders_of_results_have_one_owner(tmp_path, finished):
    source, folder, _ = finished
    folders = records.ResultFolders(folder.parent, "separate")
    assert folders.of(source, "whatever") == folder
    assert folders.of(tmp_path / "gone.wav", "X").name.startswith("X-")  # some disks know no case
    assert folders.of(None, "x").name == "x-2"
    (folder.parent / "empty").mkdir()
    assert folders.of(None, "empty").name == "empty"
    assert records.ResultFolders(folder.parent, "enhance").of(source, "x").name.startswith("x-")


def test_the_recording_is_found_where_it_was_or_moved_with_its_results(tmp_path, finished):
    source, folder, _ = finished
    assert records.recording_of(folder) == source.resolve()
    (tmp_path / "project").mkdir()
    moved, results = source.rename(tmp_path / "project" / "x.wav"), tmp_path / "project" / "out"
    folder.parent.rename(results)
    found = records.recording_of(results / "x")
    assert found is not None
    assert found.samefile(moved)
    moved.unlink()
    assert records.recording_of(results / "x") is None


def test_digests_of_whatever_names_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "b.wav", "folder/c.wav"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(name)
    options = [{"dictionaries": "a.wav,b.wav"}, ["folder", 3, "nothing"], Path("a.wav"), "auto"]
    first = records.digests(options)
    assert list(first) == ["a.wav", "b.wav", "folder"]
    Path("folder/c.wav").write_text("other")
    second = records.digests(options)
    assert [first[name] == second[name] for name in first] == [True, True, False]
