"""Recordings decoded once: one file of 16-bit samples at the training rate, shared by all workers as a memory map.

Decoding Opus or FLAC and resampling cost far more than mixing. A store is made on first use, in the user's cache
folder, under a name that depends on its files (path, size, time of change) and the rate, and used again ever after.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from jaxtyping import Float

from unbabble.base import audio
from unbabble.base.errors import InputError
from unbabble.base.files import atomic, user_cache
from unbabble.base.words import counted

logger = logging.getLogger(__name__)
FULL_SCALE = 32768
MAX_BAD_SHARE = 0.01
"""More unreadable files than this are no accident."""


class Store:
    """Mono recordings at one rate: ``store[i]`` is the samples of file ``i``, empty where it could not be read.

    Args:
        files: recordings; several channels are averaged.
        sample_rate: Hz.
        max_bad_share: share of the files that may be unreadable; they are named in the log and left empty.
        folder: where to keep the decoded samples, the user's cache by default.

    Raises:
        InputError: too many files that cannot be read.
        OutputError: the cache cannot be written.
    """

    def __init__(
        self,
        files: Sequence[Path],
        sample_rate: int,
        max_bad_share: float = MAX_BAD_SHARE,
        folder: Path | None = None,
    ) -> None:
        self.files, self.sample_rate = tuple(files), sample_rate
        key = hashlib.sha256(json.dumps([sample_rate, [_identity(file) for file in files]]).encode())
        self.path = (folder or user_cache()) / f"decoded-{key.hexdigest()[:20]}.npy"
        index = self.path.with_suffix(".json")
        if not (self.path.is_file() and index.is_file()):
            self._decode(index, max_bad_share)
        self.ends = np.cumsum(json.loads(index.read_text(encoding="utf-8"))["lengths"])

    def __len__(self) -> int:
        return len(self.files)

    def length(self, index: int) -> int:
        """Samples of file ``index``."""
        return int(self.ends[index] - (self.ends[index - 1] if index else 0))

    def __getitem__(self, index: int) -> Float[np.ndarray, " time"]:
        return self.excerpt(index, 0, self.length(index))

    def excerpt(self, index: int, start: int, samples: int) -> Float[np.ndarray, " time"]:
        """``samples`` of file ``index`` from ``start`` on, or fewer where it ends, full scale 1."""
        begin = int(self.ends[index - 1]) if index else 0
        end = min(begin + start + samples, int(self.ends[index]))
        return self._samples[begin + start : end].astype(np.float32) / np.float32(FULL_SCALE)

    @cached_property
    def _samples(self) -> np.ndarray:
        return np.load(self.path, mmap_mode="r")

    def __getstate__(self) -> dict[str, Any]:
        """A worker maps the file itself: no samples travel."""
        return {name: value for name, value in self.__dict__.items() if name != "_samples"}

    def _decode(self, index: Path, max_bad_share: float) -> None:
        bad: list[str] = []
        lengths: list[int] = []
        with atomic(self.path) as temporary, open(temporary, "wb") as file:
            # The header is written twice: the length is known only at the end, and has the same width then.
            _header(file, 0)
            for path in self.files:
                try:
                    recording = audio.read(path)
                    mono = audio.resample(recording.samples.mean(0), recording.sample_rate, self.sample_rate)
                except InputError as error:
                    bad.append(str(error))
                    logger.warning("Left out: %s", error)
                    mono = torch.zeros(0)
                samples = (mono.numpy() * FULL_SCALE).round().clip(-FULL_SCALE, FULL_SCALE - 1).astype("<i2")
                file.write(samples.tobytes())
                lengths.append(len(samples))
            if len(bad) > max_bad_share * len(self.files):
                raise InputError(
                    f"{len(bad)} of {counted(len(self.files), 'recording')} cannot be used, the first: {bad[0]}"
                )
            file.seek(0)
            _header(file, sum(lengths))
        with atomic(index) as temporary:
            temporary.write_text(json.dumps({"lengths": lengths}), encoding="utf-8")


def _header(file: BinaryIO, samples: int) -> None:
    """A ``.npy`` header of 128 bytes, whatever the number of samples."""
    content = f"{{'descr': '<i2', 'fortran_order': False, 'shape': ({samples},), }}".ljust(117) + "\n"
    file.write(b"\x93NUMPY\x01\x00" + np.uint16(len(content)).astype("<u2").tobytes() + content.encode())


def _identity(path: Path) -> list[object]:
    try:
        status = path.stat()
        return [str(path.resolve()), status.st_size, status.st_mtime_ns]
    except OSError:
        return [str(path), None, None]
