"""What archives from strangers may not do."""

import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unbabble.base.errors import InputError
from unbabble.web.archives import extract_archive

MOST_BYTES, MOST_FILES = 1_000_000, 20


def pack(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def extract(path: Path, most_bytes: int = MOST_BYTES, most_files: int = MOST_FILES) -> list[Path]:
    folder = path.parent / "unpacked"
    folder.mkdir(exist_ok=True)
    return extract_archive(path, folder, most_bytes, most_files)


def test_files_come_out_as_they_went_in_without_what_systems_add(tmp_path):
    files = {"b/mixture.wav": b"1" * 70_000, "a/mixture.wav": os.urandom(70_000), "c.txt": b""}
    path = pack(
        tmp_path / "a.zip", files | {"__MACOSX/a/._mixture.wav": b"x", "a/.DS_Store": b"x", "d/": b""}
    )
    found = extract(path)
    folder = tmp_path / "unpacked"
    assert {file.relative_to(folder).as_posix(): file.read_bytes() for file in found} == files
    assert found == sorted(found)


@pytest.mark.parametrize(
    "name",
    [
        "../evil", "a/../../evil", "/etc/evil", "a//b", "a/./b", "..\\evil", "C:\\evil", "c:evil", "a\nb", "/",
        "a/" * 9 + "b", "x" * 201,
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_or_cannot_be_used_are_refused(tmp_path, name):
    path = pack(tmp_path / "a.zip", {"good.wav": b"1", name: b"2"})
    before = {file for file in tmp_path.rglob("*") if "unpacked" not in file.parts}
    with pytest.raises(InputError, match="cannot be used"):
        extract(path)
    assert {file for file in tmp_path.rglob("*") if "unpacked" not in file.parts} == before


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path, kind):
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(InputError, match="link or a device"):
        extract(tmp_path / "a.zip")


def test_a_bomb_is_refused_by_what_it_declares(tmp_path):
    path = pack(tmp_path / "a.zip", {f"{k}.wav": bytes(200_000) for k in range(6)})
    assert path.stat().st_size < 5000
    with pytest.raises(InputError, match="larger than 1 MB"):
        extract(path)
    assert not list((tmp_path / "unpacked").iterdir())


def test_a_bomb_that_lies_about_its_size_writes_no_more_than_it_may(tmp_path):
    path = pack(tmp_path / "a.zip", {"a.wav": bytes(20_000_000)})
    content = path.read_bytes().replace(struct.pack("<I", 20_000_000), struct.pack("<I", 1000))
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged|larger"):
        extract(path)
    assert sum(file.stat().st_size for file in (tmp_path / "unpacked").rglob("*")) <= MOST_BYTES


def test_files_that_lie_on_one_another_are_counted_each(tmp_path):
    """As in bombs whose files share their packed bytes: what is declared for all is what counts."""
    pack(tmp_path / "one.zip", {"a.wav": bytes(90_000)})
    content = (tmp_path / "one.zip").read_bytes()
    start = content.index(b"PK\1\2")
    end = content.index(b"PK\5\6")
    entry, count = content[start:end], 19
    entries = b"".join(entry.replace(b"a.wav", b"%c.wav" % (97 + k)) for k in range(count))
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(entries), start, 0)
    (tmp_path / "a.zip").write_bytes(content[:start] + entries + tail)
    with pytest.raises(InputError, match="larger than 1 MB"):
        extract(tmp_path / "a.zip")


def test_too_many_files_are_refused_before_their_names_are_read(tmp_path):
    path = pack(tmp_path / "a.zip", {f"{k}": b"" for k in range(21)})
    with pytest.raises(InputError, match="more than 20 files"):
        extract(path)
    many = pack(tmp_path / "b.zip", {f"{k:0150}": b"" for k in range(1000)})
    with pytest.raises(InputError, match="more than 20 files"):
        extract(many)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_that_takes_memory_at_will_is_refused(tmp_path, method):
    with pytest.raises(InputError, match="unusual"):
        extract(pack(tmp_path / "a.zip", {"a.wav": b"1"}, method))


def test_what_is_there_twice_or_as_file_and_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="twice"):
        extract(pack(tmp_path / "a.zip", {"a/B.wav": b"1", "a/b.wav": b"2"}))
    with pytest.raises(InputError, match="one name"):
        extract(pack(tmp_path / "b.zip", {"a": b"1", "a/b.wav": b"2"}))


def test_encrypted_archives_are_refused(tmp_path):
    path = pack(tmp_path / "a.zip", {"a.wav": b"123456"}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    content[6] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="encrypted"):
        extract(path)


@given(at=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.integers(0, 400))
def test_a_damaged_archive_is_a_refusal_or_harmless(tmp_path_factory, at, value, cut):
    folder = tmp_path_factory.mktemp("damaged")
    path = pack(folder / "a.zip", {"a/mixture.wav": b"abc" * 100, "a/source1.wav": b"de" * 50})
    content = bytearray(path.read_bytes())
    content[at % len(content)] = value
    path.write_bytes(content[: len(content) - (cut if cut < 200 else 0)])
    inside = folder / "unpacked"
    try:
        found = extract(path)
    except InputError:
        found = []
    for file in found:
        assert file.resolve().is_relative_to(inside.resolve())
        assert not file.is_symlink()
    assert {file.name for file in folder.iterdir()} == {"a.zip", "unpacked"}


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\5\6", b"RIFF" + bytes(500), b"PK\5\6" + bytes(17)])
def test_what_is_no_archive_is_said(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"no zip archive|damaged"):
        extract(tmp_path / "a.zip")
