"""An index of recordings: the vectors of all their windows in one file, which is searched by a matrix product.

The file is safetensors: ``vectors`` (row, dimension) in half precision, ``starts`` of the windows in seconds, ``file``
of each row; its header says, as JSON, which model made them and of which files they are. A file whose size and time of
change are those of the index is not embedded again.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from unbabble.base.errors import InputError, UsageError
from unbabble.base.files import as_utf8, atomic
from unbabble.base.spans import Span
from unbabble.base.weights import SUFFIX, read_header
from unbabble.pipelines.sounds import Windows

FILE_NAME = f".unbabble-index{SUFFIX}"
"""Of the index of a folder, in that folder."""
KEY = "unbabble index"
MOST_BY_NUMPY = 1_000_000
"""Rows; more are searched in half precision by usearch, where that is installed."""
TENSORS = ("vectors", "starts", "file")


@dataclass(frozen=True)
class Maker:
    """What decides the vectors of a recording.

    Attributes:
        model: its name.
        sha256: of its weights.
        window_seconds: how much of a recording a vector is of.
        step_seconds: from one window to the next.
    """

    model: str
    sha256: str
    window_seconds: float
    step_seconds: float


@dataclass(frozen=True)
class Indexed:
    """A file, as it was when it was embedded.

    Attributes:
        bytes: its size.
        changed: when it was written to, in ns.
        seconds: its duration.
        windows: its vectors, and where in the file they are.
    """

    bytes: int
    changed: int
    seconds: float
    windows: Windows


@dataclass(frozen=True)
class Match:
    """Where in a recording something is that is like what is sought.

    Attributes:
        path: of the recording.
        span: the best window; its ``score`` is the likeness, a cosine.
    """

    path: Path
    span: Span

    def to_dict(self) -> dict[str, object]:
        """Plain content for JSON."""
        return {
            "path": str(self.path),
            "start": self.span.start,
            "end": self.span.end,
            "likeness": self.span.score,
        }


@dataclass
class Index:
    """Vectors of recordings.

    Attributes:
        maker: what made them.
        files: by path.
    """

    maker: Maker
    files: dict[Path, Indexed] = field(default_factory=dict)

    def is_current(self, path: Path) -> bool:
        """Whether the file has not changed since it was embedded."""
        known = self.files.get(path)
        return known is not None and (known.bytes, known.changed) == state_of(path)

    def search(
        self, query: Float[np.ndarray, " dimension"], top: int, among: Iterable[Path] | None = None
    ) -> list[Match]:
        """The recordings with a window that is most like the query, the best first, each once.

        Args:
            query: of unit norm.
            top: so many recordings at most.
            among: these recordings alone; all if not given.

        Raises:
            UsageError: a query of another dimension.
        """
        return Searchable.of(self, among).search(query, top)

    def save(self, path: Path) -> None:
        """Write the index, all of it or nothing. Paths are kept relative to its folder, which may move.

        Raises:
            OutputError: it cannot be written.
        """
        from safetensors.numpy import save

        names, rows = list(self.files), [self.files[each].windows for each in self.files]
        dimension = max((each.vectors.shape[1] for each in rows), default=0)
        filled = [each for each in rows if len(each.vectors)]
        tensors = {
            "vectors": np.concatenate([each.vectors for each in filled] or [np.zeros((0, dimension))]).astype(
                np.float16
            ),
            "starts": np.concatenate([each.starts for each in filled] or [np.zeros(0)]).astype(np.float32),
            "file": np.repeat(np.arange(len(rows)), [len(each.vectors) for each in rows]).astype(np.int32),
        }
        folder = path.absolute().parent
        about = {
            "maker": asdict(self.maker),
            "files": [
                [
                    relative(each, folder),
                    self.files[each].bytes,
                    self.files[each].changed,
                    self.files[each].seconds,
                ]
                for each in names
            ],
        }
        with atomic(path) as temporary:
            text = as_utf8(json.dumps(about, ensure_ascii=False)).decode()
            temporary.write_bytes(save(tensors, {KEY: text}))

    @classmethod
    def load(cls, path: Path, maker: Maker | None = None) -> "Index":
        """Read an index.

        Args:
            path: its file.
            maker: by which its vectors have to be made.

        Raises:
            InputError: missing, damaged, or by another model; the sentence says what helps.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            about = json.loads((read_header(path).get("__metadata__") or {})[KEY])
            made = Maker(**about["maker"])
            files = [(path.absolute().parent / name, *rest) for name, *rest in about["files"]]
            tensors = load(path.read_bytes())
            vectors, starts, file = (tensors[name] for name in TENSORS)
            bounds = np.searchsorted(file, np.arange(len(files) + 1))
            if not len(vectors) == len(starts) == len(file) == bounds[-1] or (np.diff(file) < 0).any():
                raise ValueError
        except InputError:
            if not path.is_file():
                raise
            raise damaged(path) from None
        except (SafetensorError, OSError, ValueError, KeyError, TypeError):
            raise damaged(path) from None
        if maker is not None and made != maker:
            same = made.model == maker.model
            other = "an earlier version of it" if same else f"'{made.model}'"
            raise InputError(
                f"'{path}' is an index by {other}, not by '{maker.model}': --rebuild makes it anew, or name another "
                "file with --index."
            )
        indexed = {}
        for number, (name, size, changed, seconds) in enumerate(files):
            rows = slice(bounds[number], bounds[number + 1])
            windows = Windows(starts[rows], vectors[rows])
            indexed[Path(os.path.normpath(name))] = Indexed(size, changed, seconds, windows)
        return cls(made, indexed)


@dataclass(frozen=True)
class Searchable:
    """Vectors of many recordings, ready to be searched again and again.

    Attributes:
        paths: of the recordings.
        seconds: their durations.
        file: of each row; rows of one recording follow one another.
        starts: of each row, in seconds.
        vectors: (row, dimension); in half precision where usearch computes.
        window_seconds: of a row.
    """

    paths: Sequence[Path]
    seconds: Sequence[float]
    file: Int[np.ndarray, " row"]
    starts: Float[np.ndarray, " row"]
    vectors: Float[np.ndarray, "row dimension"]
    window_seconds: float

    @classmethod
    def of(cls, index: Index, among: Iterable[Path] | None = None) -> "Searchable":
        """What is searched of an index."""
        paths = [path for path in (index.files if among is None else among) if path in index.files]
        rows = [index.files[path].windows for path in paths]
        filled = [each for each in rows if len(each.vectors)]
        vectors = np.concatenate([each.vectors for each in filled] or [np.zeros((0, 0))])
        if len(vectors) <= MOST_BY_NUMPY:
            vectors = vectors.astype(np.float32)
        return cls(
            paths,
            [index.files[path].seconds for path in paths],
            np.repeat(np.arange(len(rows)), [len(each.vectors) for each in rows]),
            np.concatenate([each.starts for each in filled] or [np.zeros(0)]),
            vectors,
            index.maker.window_seconds,
        )

    def search(self, query: Float[np.ndarray, " dimension"], top: int) -> list[Match]:
        """See ``Index.search``.

        Raises:
            UsageError: a query of another dimension.
        """
        if not len(self.vectors):
            return []
        if self.vectors.shape[1] != len(query):
            raise UsageError(
                f"The index has vectors of {self.vectors.shape[1]} numbers, and the query {len(query)}."
            )
        firsts = np.flatnonzero(np.diff(self.file, prepend=-1))
        likeness = self._likeness(query)
        best = np.maximum.reduceat(likeness, firsts)
        most = min(top, len(best))
        chosen = np.argpartition(-best, most - 1)[:most]
        chosen = chosen[np.argsort(-best[chosen], kind="stable")]
        return [self._match(place, firsts, likeness) for place in chosen]

    def _likeness(self, query: Float[np.ndarray, " dimension"]) -> Float[np.ndarray, " row"]:
        if self.vectors.dtype == np.float32:
            return self.vectors @ query.astype(np.float32)
        return half_products(self.vectors, query)

    def _match(
        self, place: int, firsts: Int[np.ndarray, " file"], likeness: Float[np.ndarray, " row"]
    ) -> Match:
        end = firsts[place + 1] if place + 1 < len(firsts) else len(likeness)
        row = firsts[place] + int(likeness[firsts[place] : end].argmax())
        number, start = int(self.file[row]), float(self.starts[row])
        until = min(start + self.window_seconds, self.seconds[number])
        return Match(self.paths[number], Span(start, until, score=float(likeness[row])))


def half_products(
    vectors: Float[np.ndarray, "row dimension"], query: Float[np.ndarray, " dimension"]
) -> Float[np.ndarray, " row"]:
    """Products of rows in half precision with a query, without a copy of all in full precision."""
    return np.concatenate(
        [
            vectors[start : start + MOST_BY_NUMPY // 8].astype(np.float32) @ query.astype(np.float32)
            for start in range(0, len(vectors), MOST_BY_NUMPY // 8)
        ]
    )


def state_of(path: Path) -> tuple[int, int]:
    """Size, and time of change in ns.

    Raises:
        InputError: there is no such file.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror or error}.") from None
    return state.st_size, state.st_mtime_ns


def damaged(path: Path) -> InputError:
    """The error of an index that cannot be read."""
    return InputError(f"'{path}' is no index of recordings, or it is damaged: --rebuild makes it anew.")


def relative(path: Path, folder: Path) -> str:
    """How an index in ``folder`` calls a file."""
    try:
        return os.path.relpath(path.absolute(), folder)
    except ValueError:  # on another drive
        return str(path.absolute())


def absolute(paths: Iterable[Path]) -> Mapping[Path, Path]:
    """By the place that an index knows a file by, the file."""
    return {Path(os.path.normpath(path.absolute())): path for path in paths}
