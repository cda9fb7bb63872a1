"""Tar files that hold recordings, as WebDataset reads them: NAME.wav and NAME.json one after the other."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any, Protocol

SHARD_BYTES = 256_000_000
BLOCK_BYTES = 512
"""Of tar: a header, and what contents are filled up to."""


class Sink(Protocol):
    """Where files go."""

    def add(self, name: str, content: bytes | Path) -> None:
        """Write a file: these bytes, or those of another file, which is used up."""
        ...


class FolderSink:
    """A folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, content: bytes | Path) -> None:
        """Write a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            content.replace(path)
        else:
            path.write_bytes(content)


class TarSink:
    """A folder in a tar file."""

    def __init__(self, archive: tarfile.TarFile, folder: str) -> None:
        self.archive, self.folder = archive, folder

    def add(self, name: str, content: bytes | Path) -> None:
        """Append a file."""
        add_to_tar(self.archive, f"{self.folder}/{name}", content)
        if isinstance(content, Path):
            content.unlink()


class Shards:
    """The shards of one split.

    Args:
        sink: where they go, as ``shards/SPLIT-000000.tar`` and so on.
        spool: folder for the one that is being made.
        split: its name.
        most_bytes: no shard is larger, unless one recording is.
    """

    def __init__(self, sink: Sink, spool: Path, split: str, most_bytes: int = SHARD_BYTES) -> None:
        self.sink, self.split, self.most_bytes = sink, split, most_bytes
        self.path = spool / f"{split}.tar"
        self.count, self.bytes = 0, 0
        self.archive: tarfile.TarFile | None = None

    def add(self, name: str, recording: bytes, about: dict[str, Any]) -> None:
        """Append a recording, and its metadata."""
        parts = {f"{name}.wav": recording, f"{name}.json": json_line(about).encode()}
        size = sum(BLOCK_BYTES + -(-len(part) // BLOCK_BYTES) * BLOCK_BYTES for part in parts.values())
        if self.archive is not None and self.bytes + size > self.most_bytes - tarfile.RECORDSIZE:
            self.close()
        if self.archive is None:
            self.archive, self.bytes = open_tar(self.path), 0
        for each, content in parts.items():
            add_to_tar(self.archive, each, content)
        self.bytes += size

    def close(self) -> None:
        """Finish the last one."""
        if self.archive is not None:
            self.archive.close()
            self.archive = None
            self.sink.add(f"shards/{self.split}-{self.count:06}.tar", self.path)
            self.count += 1


def open_tar(path: Path) -> tarfile.TarFile:
    """For writing, in a format that every reader knows."""
    return tarfile.open(path, "w", format=tarfile.GNU_FORMAT)


def add_to_tar(archive: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    """Append a file that belongs to nobody and has no time: equal contents give equal archives."""
    about = tarfile.TarInfo(name)
    if isinstance(content, Path):
        about.size = content.stat().st_size
        with open(content, "rb") as file:
            archive.addfile(about, file)
    else:
        about.size = len(content)
        archive.addfile(about, io.BytesIO(content))


def json_line(content: dict[str, Any]) -> str:
    """As one line of a manifest."""
    return json.dumps(content, ensure_ascii=False) + "\n"
