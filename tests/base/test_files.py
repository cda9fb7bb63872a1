"""Files appear when they are complete, devices are written to, and what cannot be written is said before any work."""

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from unbabble.base.errors import OutputError
from unbabble.base.files import (
    PARTIAL_SUFFIX,
    atomic,
    check_output,
    is_stream,
    partial_name,
    remove_partial,
    write_json,
)

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="devices of Linux")


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "r.json"
    with atomic(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    with suppress(ZeroDivisionError), atomic(path) as temporary:
        temporary.write_text("broken")
        raise ZeroDivisionError
    assert path.read_text() == "half"
    assert [each.name for each in path.parent.iterdir()] == ["r.json"]


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    path, received = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: received.append(path.read_text()))
    reader.start()
    check_output(path)
    write_json(path, [1])
    reader.join()
    assert json.loads(received[0]) == [1]
    assert path.is_fifo()


@LINUX
def test_devices_and_open_files_stay_what_they_are(tmp_path):
    for name in ("/dev/null", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/2"):
        assert is_stream(Path(name)), name
    write_json("/dev/null", {})
    assert Path("/dev/null").is_char_device()
    with pytest.raises(OutputError, match=r"Cannot write '/dev/full': No space left on device\."):
        write_json("/dev/full", {})
    code = (
        "from unbabble.base.files import write_json\n"
        "print('before'); write_json('/dev/stdout', [1]); print('after')"
    )
    with (tmp_path / "out").open("wb") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert (tmp_path / "out").read_text().split() == ["before", "[", "1", "]", "after"]
    assert Path("/dev/stdout").is_symlink()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder", "it is a folder"),
        ("file/r.json", "'.*file' is not a folder"),
        ("file/in/r.json", "not a folder"),
        ("mixture.WAV", "called like a recording"),
    ],
)
def test_what_cannot_be_written_is_said_before(tmp_path, name, reason):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=reason):
        check_output(tmp_path / name)
    check_output(tmp_path / "new" / "folder" / "r.json")
    check_output(tmp_path / "file")
    check_output(None)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


def test_names_that_are_no_utf8_come_back_from_json(tmp_path):
    name = os.fsdecode(b"caf\xe9.wav")
    write_json(tmp_path / "r.json", {"input": name, "word": "café"})
    assert json.loads((tmp_path / "r.json").read_text("utf-8")) == {"input": name, "word": "café"}


def test_what_a_killed_run_left_is_removed_and_what_another_makes_is_not(tmp_path):
    code = "from unbabble.base.files import partial_name; print(partial_name('x'))"
    dead = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    (tmp_path / dead).mkdir()
    (tmp_path / dead / "0.wav").touch()
    elsewhere, old = tmp_path / f".y.elsewhere.7{PARTIAL_SUFFIX}", tmp_path / f".z{PARTIAL_SUFFIX}"
    for path in (tmp_path / partial_name("mine"), elsewhere, old):
        path.touch()
    os.utime(old, (1, 1))
    remove_partial(tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == {partial_name("mine"), elsewhere.name}
