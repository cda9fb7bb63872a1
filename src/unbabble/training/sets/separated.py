"""Mixtures, what separators made of them, and the truth: what scorers learn from and are tested on.

Separating is slow and training fast: every mixture is separated once and kept in the cache, in blocks, so that a run
that was interrupted goes on and a longer one adds to what is there. Mixture ``i`` of a part, and which separators get
it, depend on the seed and ``i`` alone.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soxr
import torch
from jaxtyping import Float

from unbabble.base.errors import InputError, UsageError
from unbabble.base.files import atomic, user_cache
from unbabble.base.report import FileReport, plain
from unbabble.data.degrade import degraded
from unbabble.data.dynamic import COLOUR_BANDS, DynamicMixing, DynamicMixtures, coloured
from unbabble.data.sets import Data, data
from unbabble.jobs.processes import in_processes
from unbabble.jobs.threads import available_cores
from unbabble.networks import load as networks
from unbabble.pipelines.separate import load
from unbabble.signal.metrics import si_sdr_matrix
from unbabble.signal.permutation import NONE, best_permutation

logger = logging.getLogger(__name__)
BLOCK_ITEMS = 25
FULL_SCALE = 32767
MOST_VARIED, VARIED_DB = 1.1, 6.0
ALL = 0


class Separated(NamedTuple):
    """A mixture and what one separator made of it.

    Attributes:
        mixture: as the first microphone hears it.
        estimates: the separator's, as they come.
        references: the true voice of each estimate, see ``matched``.
        sources: all true voices.
        separator: its name.
    """

    mixture: Float[np.ndarray, " time"]
    estimates: Float[np.ndarray, "source time"]
    references: Float[np.ndarray, "source time"]
    sources: Float[np.ndarray, "talker time"]
    separator: str


class ScoredItem(NamedTuple):
    """One item of training; rows that are all zeros fill up estimates and references."""

    mixture: Float[np.ndarray, " time"]
    estimates: Float[np.ndarray, "source time"]
    references: Float[np.ndarray, "source time"]


@dataclass(frozen=True)
class SeparatedPart:
    """Mixtures of one kind and the separators that get them.

    Args:
        mixing: the mixtures.
        separators: names that ``unbabble separate --model`` takes.
        items: how many mixtures.
        each: how many separators get each mixture, drawn; 0 for all.
        options: of the separators.

    Raises:
        UsageError: none of them.
    """

    mixing: DynamicMixing
    separators: tuple[str, ...]
    items: int = 100
    each: int = ALL
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.separators or self.items < 1 or not 0 <= self.each <= len(self.separators):
            raise UsageError(
                "Separated mixtures: there is at least 1 item and 1 separator, and `each` of those."
            )

    def drawn(self, seed: int, number: int) -> list[str]:
        """The separators of mixture ``number``."""
        if self.each == ALL:
            return list(self.separators)
        rng = np.random.default_rng([seed, number, 2])
        return [self.separators[i] for i in sorted(rng.permutation(len(self.separators))[: self.each])]


@data("separated")
@dataclass(frozen=True)
class SeparatedData(Data):
    """Separated mixtures for a scorer.

    Args:
        parts: by name; each is drawn as often as its number of mixtures says.
        sample_rate: Hz, that of all parts.
        leave_out: separators that are left out.
        degraded_share: share of the items whose estimates are made better or worse (``data.degrade``).
        untouched_share: share of the items of which nothing is separated, after some of their talkers were silenced:
            so that one talker and several are told apart.
        varied_share: share of the items that are played faster or slower, up to a tenth, and through a filter: mixture,
            estimates and voices alike.
        alike: how many items in a row have one duration: a divisor of the batch, where parts differ in it.
        sources: most estimates of an item.
        cache: folder of the separated mixtures, the user's cache by default.

    Raises:
        UsageError: no parts, or parts at another rate; fewer than one alike.
    """

    parts: dict[str, SeparatedPart]
    sample_rate: int = 8000
    leave_out: tuple[str, ...] = ()
    degraded_share: float = 0.0
    untouched_share: float = 0.0
    varied_share: float = 0.0
    alike: int = 1
    sources: int = 3
    cache: Path | None = None

    def __post_init__(self) -> None:
        if not self.parts or any(part.mixing.sample_rate != self.sample_rate for part in self.parts.values()):
            raise UsageError(
                f"Separated mixtures: there is at least one part, and all have {self.sample_rate} Hz."
            )
        if self.alike < 1:
            raise UsageError("Separated mixtures: at least 1 item is alike.")

    def open(self, seed: int) -> "ScoredItems":
        """An endless row of items."""
        return ScoredItems(self, seed)


class SeparatedMixtures:
    """Separated mixtures, made where they are not in the cache yet.

    Args:
        part: which.
        seed: of all draws.
        cache: folder, the user's cache by default.

    Raises:
        InputError: recordings or weights that cannot be used.
        UsageError: no such separator.
    """

    def __init__(self, part: SeparatedPart, seed: int = 0, cache: Path | None = None) -> None:
        self.part, self.seed, self.folder = part, seed, (cache or user_cache()) / "separated"
        numbers = range(-(-part.items // BLOCK_ITEMS))
        self.paths = [self.folder / f"{self._key(number)}.npy" for number in numbers]
        missing = [
            number for number, path in enumerate(self.paths) if not path.with_suffix(".json").is_file()
        ]
        if missing:
            self._make(missing)
        self.index = [json.loads(path.with_suffix(".json").read_text("utf-8")) for path in self.paths]

    def __len__(self) -> int:
        return self.part.items

    def of(self, number: int) -> list[Separated]:
        """Mixture ``number``, by each separator that got it."""
        block, place = divmod(number, BLOCK_ITEMS)
        entry = self.index[block]["items"][place]
        return [self._read(block, entry, name) for name in entry["separated"]]

    def drawn(self, rng: np.random.Generator, leave_out: tuple[str, ...] = ()) -> Separated:
        """One of them, drawn, by a separator that is not left out; there must be one."""
        while True:
            block, place = divmod(int(rng.integers(len(self))), BLOCK_ITEMS)
            entry = self.index[block]["items"][place]
            if names := [name for name in entry["separated"] if name not in leave_out]:
                return self._read(block, entry, names[rng.integers(len(names))])

    def __iter__(self) -> Iterator[Separated]:
        for number in range(len(self)):
            yield from self.of(number)

    def _read(self, block: int, entry: dict[str, Any], name: str) -> Separated:
        rows, peaks = self._samples[block], self.index[block]["peaks"]

        def waveforms(numbers: list[int]) -> np.ndarray:
            return np.stack([rows[n].astype(np.float32) * np.float32(peaks[n] / FULL_SCALE) for n in numbers])

        voices = entry["separated"][name]
        sources, estimates = waveforms(entry["sources"]), waveforms(voices["estimates"])
        return Separated(
            waveforms([entry["mixture"]])[0], estimates, sources[voices["references"]], sources, name
        )

    @cached_property
    def _samples(self) -> list[np.ndarray]:
        return [np.load(path, mmap_mode="r") for path in self.paths]

    def __getstate__(self) -> dict[str, Any]:
        """A worker maps the files itself: no samples travel."""
        return {name: value for name, value in self.__dict__.items() if name != "_samples"}

    def _key(self, number: int) -> str:
        part = _chosen(replace(self.part, items=1, mixing=replace(self.part.mixing, cache=None)))
        versions = [_version(name) for name in self.part.separators]
        text = json.dumps([plain(part), versions, self.seed, number], sort_keys=True)
        return f"{hashlib.sha256(text.encode()).hexdigest()[:20]}"

    def _make(self, numbers: list[int]) -> None:
        """All blocks that are missing, on all cores."""
        logger.warning("Separating %d mixtures once, for the cache.", len(numbers) * BLOCK_ITEMS)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in self.part.separators:
            load(name, "cpu", **self.part.options)  # says what is wrong before any work
        DynamicMixtures(self.part.mixing, self.seed)  # decodes once what all of them need
        work = partial(_make_block, self.part, self.seed)
        blocks = [_Block(number, self.paths[number]) for number in numbers]
        processes = min(available_cores(), len(blocks))
        if processes == 1:
            for block in blocks:
                work(block)
            return
        with closing(in_processes(work, blocks, processes)) as made:
            for _, report in made:
                if report.error:
                    raise InputError(report.error)


@dataclass(frozen=True)
class _Block:
    """Mixtures that are made and kept together."""

    number: int
    path: Path

    @property
    def name(self) -> str:
        """In reports."""
        return f"block {self.number}"


def _chosen(part: Any) -> dict[str, Any]:
    """What was set of a dataclass: an option that is new tomorrow, and left alone, changes nothing."""
    values = ((each, getattr(part, each.name)) for each in fields(part))
    return {
        each.name: _chosen(value) if is_dataclass(value) else value
        for each, value in values
        if value != each.default
    }


def _version(name: str) -> str:
    """What changes when the separator does: the digest of a network's weights, else its name."""
    if not networks.is_network(name):
        return name
    place = networks.locate(name)
    return hashlib.sha256(place.read_bytes()).hexdigest() if place.is_file() else str(place)


def _make_block(part: SeparatedPart, seed: int, block: _Block) -> FileReport:
    mixtures = DynamicMixtures(part.mixing, seed)
    rows: list[np.ndarray] = []
    peaks: list[float] = []

    def keep(waveforms: np.ndarray) -> list[int]:
        first = len(rows)
        for waveform in waveforms:
            peak = float(np.abs(waveform).max()) or 1.0
            rows.append(np.round(waveform * (FULL_SCALE / peak)).astype(np.int16))
            peaks.append(peak)
        return list(range(first, len(rows)))

    places = range(block.number * BLOCK_ITEMS, (block.number + 1) * BLOCK_ITEMS)
    recordings, voices, items = [], [], []
    for place in places:
        item = mixtures[place]
        recordings.append(np.atleast_2d(item.mixture))
        voices.append(item.sources[np.abs(item.sources).max(-1) > 0])
        items.append({"mixture": keep(recordings[-1][:1])[0], "sources": keep(voices[-1]), "separated": {}})
    for name in part.separators:
        separator = load(name, "cpu", runtime="torch", **part.options)
        for place, recording, sources, entry in zip(places, recordings, voices, items, strict=True):
            if name not in part.drawn(seed, place):
                continue
            try:
                estimates = separator(torch.from_numpy(recording), part.mixing.sample_rate).sources.numpy()
            except InputError as error:
                logger.warning("Left out: %s on mixture %d: %s", name, place, error)
                continue
            entry["separated"][name] = {
                "estimates": keep(estimates),
                "references": matched(estimates, sources),
            }
    with atomic(block.path) as temporary, open(temporary, "wb") as file:
        np.save(file, np.stack(rows))
    with atomic(block.path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({"items": items, "peaks": peaks}), encoding="utf-8")
    return FileReport(block.name, "done")


def matched(
    estimates: Float[np.ndarray, "source time"], sources: Float[np.ndarray, "talker time"]
) -> list[int]:
    """The true voice of each estimate: by the best assignment, and for those left over the nearest."""
    scores = si_sdr_matrix(torch.from_numpy(estimates), torch.from_numpy(sources)).nan_to_num(-300)
    nearest = scores.argmax(-1).tolist()
    for talker, estimate in enumerate(best_permutation(scores).tolist()):
        if estimate != NONE:
            nearest[estimate] = talker
    return nearest


class ScoredItems:
    """``items[i]``: an endless row for training, or to validate; see ``SeparatedData``."""

    def __init__(self, data: SeparatedData, seed: int = 0) -> None:
        self.data, self.seed = data, seed
        self.parts = [
            SeparatedMixtures(part, seed, data.cache)
            for part in data.parts.values()
            if set(part.separators) - set(data.leave_out)
        ]
        if not self.parts:
            raise UsageError("Separated mixtures: all separators are left out.")

    def _drawn(self, rng: np.random.Generator, index: int) -> Separated:
        """Of a part that has the duration of this item and those beside it, each as often as it has mixtures."""
        parts, durations = self.parts, [part.part.mixing.seconds for part in self.parts]
        if len(set(durations)) > 1:
            beside = np.random.default_rng([self.seed, index // self.data.alike, 3])
            seconds = durations[_by_size(beside, parts)]
            parts = [part for part in parts if part.part.mixing.seconds == seconds]
        return parts[_by_size(rng, parts)].drawn(rng, self.data.leave_out)

    def __getitem__(self, index: int) -> ScoredItem:
        rng = np.random.default_rng([self.seed, index])
        item = self._drawn(rng, index)
        mixture, estimates, references = item.mixture, item.estimates, item.references
        if rng.random() < self.data.untouched_share:
            talking = rng.permutation(item.sources)[: 1 + rng.integers(len(item.sources))]
            mixture = mixture - item.sources.sum(0) + talking.sum(0)
            estimates = mixture[None]
            references = talking[matched(estimates, talking)]
        elif rng.random() < self.data.degraded_share:
            estimates = degraded(rng, mixture, estimates, references)
            references = item.sources[matched(estimates, item.sources)]
        if rng.random() < self.data.varied_share:
            waveforms = varied(rng, np.stack([mixture, *estimates, *references]), self.data.sample_rate)
            mixture, estimates, references = np.split(waveforms, [1, 1 + len(estimates)])
            mixture = mixture[0]
        order = rng.permutation(len(estimates))[: self.data.sources]
        spare = ((0, self.data.sources - len(order)), (0, 0))
        return ScoredItem(mixture, np.pad(estimates[order], spare), np.pad(references[order], spare))


def _by_size(rng: np.random.Generator, parts: list[SeparatedMixtures]) -> int:
    sizes = np.array([len(part) for part in parts])
    return int(rng.choice(len(parts), p=sizes / sizes.sum()))


def varied(
    rng: np.random.Generator, waveforms: Float[np.ndarray, "waveform time"], sample_rate: int
) -> Float[np.ndarray, "waveform time"]:
    """All at another speed and through one filter, both drawn; what they then lack is their beginning again."""
    samples = waveforms.shape[-1]
    factor = rng.uniform(1 / MOST_VARIED, MOST_VARIED)
    played = soxr.resample(waveforms.T, sample_rate * factor, sample_rate, quality="MQ").T
    played = np.pad(played, ((0, 0), (0, max(0, samples - played.shape[-1]))), "wrap")[:, :samples]
    return coloured(played, rng.uniform(-VARIED_DB, VARIED_DB, COLOUR_BANDS), sample_rate)
