"""Files, folders, globs, manifests and standard input, as one list."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from unbabble.base.errors import InputError, UsageError
from unbabble.base.inputs import RECORD_NAME, expand, read_manifest, result_name


@pytest.fixture
def tree(tmp_path):
    for name in ("a/x.wav", "a/._x.wav", "a/notes.pdf", "b/x.wav", "b/deep/y.FLAC", "b/.hidden/z.wav"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound")
    return tmp_path / "in"


def listed(inputs, spool):
    return [(Path(item.name).name, item.stem) for item in expand(inputs, spool)]


def test_folders_are_searched_and_results_called_after_them(tree, tmp_path):
    assert listed([tree], tmp_path) == [("x.wav", "a-x"), ("y.FLAC", "b-deep-y"), ("x.wav", "b-x")]


def test_a_file_comes_once_in_the_order_typed(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tree)
    inputs = ["b/x.wav", "./b/x.wav", str(tree / "b/x.wav"), "b", "*/x.wav"]
    items = expand(inputs, tmp_path)
    assert [item.name for item in items] == ["b/x.wav", "b/deep/y.FLAC", "a/x.wav"]


def test_results_are_recordings_only_where_they_are_named(tree, tmp_path, monkeypatch):
    (tree / "b" / RECORD_NAME).write_text("{}")
    assert listed([tree], tmp_path) == [("x.wav", "a-x")]
    monkeypatch.chdir(tree)
    assert listed(["*/x.wav"], tmp_path) == [("x.wav", "a-x")]
    assert listed(["b/x.wav"], tmp_path) == [("x.wav", "x")]
    with pytest.raises(UsageError, match="Folder 'b' holds results"):
        expand(["b"], tmp_path)
    for pattern in ("b/*.wav", "**/y.FLAC"):
        with pytest.raises(UsageError, match="Only results match"):
            expand([pattern], tmp_path)


def test_linked_folders_are_searched_and_links_to_one_file_named(tree, tmp_path):
    (tree / "c").symlink_to(tree / "b")
    (tree / "circle").symlink_to(tree)
    (tree / "z.wav").symlink_to(tree / "a" / "x.wav")
    (tree / "gone.wav").symlink_to(tree / "nothing.wav")
    items = expand([tree], tmp_path)
    names = {str(Path(item.name).relative_to(tree)): item for item in items}
    assert list(names) == ["a/x.wav", "b/deep/y.FLAC", "b/x.wav", "gone.wav"]
    assert names["a/x.wav"].links == (str(tree / "z.wav"),)
    assert names["b/x.wav"].links == (str(tree / "c" / "x.wav"),)
    (alone,) = expand([tree / "a"], tmp_path)
    assert alone.links == ()


def test_a_folder_that_cannot_be_searched(tree, tmp_path, monkeypatch):
    def refused(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(InputError, match=r"in' cannot be searched: Permission denied\."):
        expand([tree], tmp_path)


def test_of_simulated_folders_only_the_mixtures_are_inputs(tree, tmp_path):
    for name in ("mixture.wav", "image1.wav", "reference12.wav"):
        (tree / "b" / name).write_bytes(b"sound")
    assert len(listed([tree / "b"], tmp_path)) == 5
    (tree / "b" / "metadata.json").write_text("{}")
    names = [("y.FLAC", "deep-y"), ("mixture.wav", "mixture"), ("x.wav", "x")]  # x.wav is none of simulate's
    assert listed([tree / "b"], tmp_path) == names
    assert listed([tree / "b/mixture.wav"], tmp_path) == [("mixture.wav", "b")], (
        "as its turns and words call it"
    )
    assert listed([tree / "b/image1.wav"], tmp_path) == [("image1.wav", "image1")]


def test_paths_may_be_text(tree, tmp_path):
    (tree / "list.txt").write_text("a/x.wav\n")
    assert listed([str(tree)], str(tmp_path)) == listed([tree], tmp_path)
    assert read_manifest(str(tree / "list.txt")) == [tree / "a/x.wav"]


def test_missing_files_stay_in_the_list(tree, tmp_path):
    assert listed([tree / "none.wav", tree / "a/x.wav"], tmp_path)[0] == ("none.wav", "none")


def test_manifests(tree, tmp_path):
    (tree / "list.txt").write_text("# two\n\na/x.wav\nb/x.wav\n")
    lines = [{"mixture": "a/x.wav", "talkers": 2}, {"path": "b/deep/y.FLAC"}]
    (tree / "list.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    (tree / "m").mkdir()
    (tree / "m" / "other.txt").write_text("../a/x.wav\n../b/x.wav\n")
    assert listed([tree / "m" / "other.txt"], tmp_path) == [("x.wav", "a-x"), ("x.wav", "b-x")]
    assert listed([tree / "list.txt"], tmp_path) == [("x.wav", "a-x"), ("x.wav", "b-x")]
    assert listed([tree / "list.jsonl"], tmp_path) == [("x.wav", "a-x"), ("y.FLAC", "b-deep-y")]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("m.txt", "# nothing\n", "names no files"),
        ("m.jsonl", "not json\n", "Line 1 of manifest .* is not JSON"),
        ("m.jsonl", '{"speaker": 3}\n', "Line 1 of manifest .* names no file"),
        ("m.txt", b"\xff\xfe\x00", "cannot be read as text"),
    ],
)
def test_broken_manifests(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=sentence):
        expand([tmp_path / name], tmp_path)


def test_nothing_to_do_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match="Name at least one"):
        expand([], tmp_path)
    with pytest.raises(UsageError, match="holds no recordings"):
        expand([tmp_path], tmp_path)
    with pytest.raises(UsageError, match="No file matches"):
        expand([str(tmp_path / "*.wav")], tmp_path)


@pytest.mark.parametrize("given", [["a.wav"], 3, b"a.wav", np.zeros((2, 9))])
def test_what_is_no_path_is_no_name_of_a_recording(tmp_path, given):
    with pytest.raises(UsageError, match="A recording is named by its path, not by"):
        expand([given], tmp_path)


def test_a_file_whose_name_has_brackets_is_no_pattern(tmp_path):
    (tmp_path / "take[1].wav").write_bytes(b"sound")
    assert listed([tmp_path / "take[1].wav"], tmp_path) == [("take[1].wav", "take[1]")]


def test_standard_input(tmp_path, monkeypatch):
    class Pipe:
        buffer = io.BytesIO(b"sound")

        def isatty(self):
            return False

    monkeypatch.setattr(sys, "stdin", Pipe())
    (item,) = expand(["-", "-"], tmp_path)
    assert (item.name, item.stem, item.path.read_bytes()) == ("-", "stdin", b"sound")
    item.path.unlink()
    with pytest.raises(InputError, match="Standard input is empty"):
        expand(["-"], tmp_path)


@pytest.mark.parametrize(
    ("path", "below", "name"),
    [
        ("/a/x.wav", None, "x"),
        ("a/b/x.tar.wav", "a", "b-x.tar"),
        ("a/x.wav", ".", "a-x"),
        ("../up/x.wav", ".", "x"),
        ("in/../a/x.wav", ".", "a-x"),
        ("...wav", None, "recording"),
        ("..wav", None, "recording"),
        (".wav", None, "wav"),
        (".hidden/x.wav", ".", "hidden-x"),
        (f"{'long' * 60}/x.wav", ".", "x"),
        (f"{'ü' * 120}.wav", None, "ü" * 80),
    ],
)
def test_what_results_are_called(path, below, name):
    assert result_name(Path(path), below and Path(below)) == name
