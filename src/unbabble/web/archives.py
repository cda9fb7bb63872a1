"""Zip archives from strangers: unpacked with nothing written outside, nothing larger or more than was allowed."""

import errno
import re
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from unbabble.base.errors import InputError

BLOCK_BYTES = 1 << 20
MOST_DEPTH, MOST_NAME_BYTES = 8, 200
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How files may be packed; others can ask for gigabytes of memory in a few bytes."""
ENTRY_BYTES = 400
"""Of the table of contents, for each file that is allowed: it is read as a whole."""
END, END_BYTES, MOST_COMMENT_BYTES = b"PK\5\6", 22, 1 << 16
LARGE_END, LARGE_END_BYTES = b"PK\6\7", 20
CONTROL = re.compile(r"[\x00-\x1f\x7f\\:]")
IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")


def extract_archive(path: Path, folder: Path, most_bytes: int, most_files: int) -> list[Path]:
    """Unpack the zip archive at ``path`` into ``folder``, which is there and empty.

    Folders are made as needed; hidden files and what systems add by themselves are left out. After a refusal
    ``folder`` may hold a part, and is the caller's to remove.

    Args:
        most_bytes: of all files together, unpacked: as declared and as they really are.
        most_files: how many.

    Returns:
        The files, sorted by their paths.

    Raises:
        InputError: no zip archive, a damaged or encrypted one, too large, too many files, links, names that lead
            elsewhere.
        OSError: nothing can be written there.
    """
    _check_contents_table(path, most_files)
    try:
        with zipfile.ZipFile(path) as archive:
            wanted = _wanted(archive, most_bytes, most_files)
            left = most_bytes
            for name, entry in wanted.items():
                left -= _unpack(archive, entry, folder / name, left)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, RuntimeError) as error:
        # All that zipfile says of damage: of headers that are no text or number, too, and of flags it does not know.
        raise InputError("The archive is damaged.") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # which is what a place before the start of the file gives
            raise
        raise InputError("The archive is damaged.") from error
    return sorted(folder / name for name in wanted)


def _check_contents_table(path: Path, most_files: int) -> None:
    """Its table of contents is no larger than that of the files that are allowed, before a library reads all of it."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(max(0, size - END_BYTES - MOST_COMMENT_BYTES - LARGE_END_BYTES))
        tail = file.read()
    start = len(tail) - END_BYTES  # as zipfile looks for it
    if start < 0 or not (tail.startswith(END, start) and tail.endswith(b"\0\0")):
        start = tail.rfind(END)
    if start < 0 or len(tail) - start < END_BYTES:
        raise InputError("This is no zip archive.")
    if tail.startswith(LARGE_END, start - LARGE_END_BYTES) and start >= LARGE_END_BYTES:
        raise InputError("This is a zip archive of the kind for over 4 GB: pack fewer files.")
    if int.from_bytes(tail[start + 12 : start + 16], "little") > most_files * ENTRY_BYTES:
        raise InputError(f"The archive holds more than {most_files} files.")


def _wanted(archive: zipfile.ZipFile, most_bytes: int, most_files: int) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    for entry in archive.infolist():
        name = _safe_name(entry.filename)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"'{entry.filename}' in the archive is a link or a device: pack plain files.")
        parts = PurePosixPath(name).parts
        if entry.is_dir() or any(part.startswith(".") or part in IGNORED for part in parts):
            continue
        if entry.flag_bits & 1:
            raise InputError("The archive is encrypted.")
        if entry.compress_type not in METHODS:
            raise InputError("The archive is packed in an unusual way: use the ordinary one (deflate).")
        if name.casefold() in seen:
            raise InputError(f"'{name}' is in the archive twice.")
        seen.add(name.casefold())
        members[name] = entry
    if len(members) > most_files:
        raise InputError(f"The archive holds more than {most_files} files.")
    if any(
        parent.as_posix().casefold() in seen for name in members for parent in PurePosixPath(name).parents
    ):
        raise InputError("The archive holds a file and a folder of one name.")
    if sum(entry.file_size for entry in members.values()) > most_bytes:
        raise InputError(f"The archive is larger than {most_bytes / 1e6:.0f} MB when unpacked.")
    return members


def _safe_name(name: str) -> str:
    parts = name.rstrip("/").split("/")
    usable = not CONTROL.search(name) and len(parts) <= MOST_DEPTH
    if not usable or any(part in ("", ".", "..") or len(part.encode()) > MOST_NAME_BYTES for part in parts):
        raise InputError(f"The archive holds a name that cannot be used: {name[:80]!r}.")
    return "/".join(parts)


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, most_bytes: int) -> int:
    """Returns how many bytes were written, whatever the archive says of that."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(entry) as packed, open(target, "xb") as file:
        while block := packed.read(BLOCK_BYTES):
            written += len(block)
            if written > most_bytes:
                raise InputError("The archive is larger when unpacked than it says.")
            file.write(block)
    return written
