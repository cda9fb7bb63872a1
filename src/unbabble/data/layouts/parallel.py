"""Corpora with one folder for each kind of signal, in which the files of one mixture have the same name.

    wav8k/min/tr/mix_both/ID.wav   wav8k/min/tr/s1/ID.wav   wav8k/min/tr/s2/ID.wav   wav8k/min/tr/noise/ID.wav

- wsj0-2mix, wsj0-3mix: Hershey, Chen, Le Roux & Watanabe, ICASSP 2016.
- WHAM!: Wichern et al., Interspeech 2019. WHAMR!: Maciejewski, Wichern, McQuinn & Le Roux, ICASSP 2020.
- Libri2Mix, Libri3Mix: Cosentino et al., 2020. Their lists (``metadata/mixture_SPLIT_CONDITION.csv``) hold
  absolute paths of the machine on which they were made; only the mixtures' names are used, to know what is missing.
"""

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from unbabble.base.inputs import SUFFIXES
from unbabble.data.layouts.part import Layout, Part
from unbabble.data.manifest import Entry

DEPTH = 6
"""How many folders below the one that was named a split may lie."""
WSJ_SPLITS = {"tr": "train", "cv": "dev", "tt": "test"}
LIBRIMIX_SPLITS = {
    "train-100": "train-100",
    "train-360": "train-360",
    "dev": "dev",
    "test": "test",
    "train": "train",  # MiniLibriMix
    "val": "dev",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A kind of mixture: its folder and those of what belongs to it."""

    name: str
    mixture: str
    sources: tuple[str, ...]
    noise: str | None = None


@dataclass(frozen=True, slots=True)
class Corpus:
    """What the folders of a corpus are called.

    Attributes:
        splits: folder to name.
        absent: a folder that tells a corpus of more talkers from this one.
        speaker: the speaker's part of an utterance's name.
    """

    splits: dict[str, str]
    conditions: tuple[Condition, ...]
    absent: str
    utterances: str
    speaker: str


def find(corpus: Corpus, folder: Path) -> list[Part]:
    """Every split in every condition, at every rate and length."""
    parts = []
    for place in _splits(corpus, folder, DEPTH):
        for condition in corpus.conditions:
            if (place / condition.mixture).is_dir() and (place / condition.sources[0]).is_dir():
                parts.append(_part(corpus, condition, place))
    return parts


def _splits(corpus: Corpus, folder: Path, depth: int) -> Iterator[Path]:
    """Folders of splits in ``folder``, itself included."""
    with os.scandir(folder) as entries:  # which knows folders from files without asking for each
        children = {child.name: folder / child.name for child in sorted(entries, key=_name) if child.is_dir()}
    mixtures = {condition.mixture for condition in corpus.conditions}
    if mixtures & children.keys():
        sources = corpus.conditions[0].sources
        if (
            folder.absolute().name in corpus.splits
            and corpus.absent not in children
            and set(sources) <= children.keys()
        ):
            yield folder
        return
    if depth:
        for child in children.values():
            if not child.name.startswith("."):
                yield from _splits(corpus, child, depth - 1)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _variant(place: Path) -> tuple[str | None, str | None]:
    """Rate and length, which stand above the split: ``wav8k/min``."""
    above = place.absolute().parts[-3:-1]
    rate = next((part.removeprefix("wav") for part in above if re.fullmatch(r"wav\d+k", part)), None)
    mode = next((part for part in above if part in ("min", "max")), None)
    return rate, mode


def _part(corpus: Corpus, condition: Condition, place: Path) -> Part:
    noise = condition.noise if condition.noise and (place / condition.noise).is_dir() else None
    names = (condition.mixture, *condition.sources, *([noise] if noise else []))
    files = [_files(place / name) for name in names]
    split = corpus.splits[place.absolute().name]
    listed = _listed(place, condition)
    entries, missing = [], []
    for name in sorted(set(files[0]) | set(files[1]) | listed):
        lacking = [kind for kind, paths in zip(names, files, strict=True) if name not in paths]
        if lacking:
            missing.append(f"There is no '{place / lacking[0] / name}.wav'.")
            continue
        paths = [each[name] for each in files]
        entries.append(
            Entry(
                id=name,
                mixture=paths[0],
                sources=tuple(paths[1 : 1 + len(condition.sources)]),
                noise=paths[-1] if noise else None,
                speakers=_speakers(corpus, name)[: len(condition.sources)],
                split=split,
            )
        )
    rate, mode = _variant(place)
    label = "-".join(filter(None, (rate, mode, condition.name, split)))
    sample_rate = 1000 * int(rate.removesuffix("k")) if rate else None
    return Part(label, split, tuple(entries), tuple(missing), sample_rate)


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {
        file.stem: file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and file.name[0] != "."
    }


def _listed(place: Path, condition: Condition) -> set[str]:
    """The mixtures that LibriMix's own list names."""
    place = place.absolute()
    table = place.parent / "metadata" / f"mixture_{place.name}_{condition.mixture}.csv"
    try:
        with open(table, newline="", encoding="utf-8") as file:
            return {row["mixture_ID"] for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, KeyError, csv.Error):
        return set()


def _speakers(corpus: Corpus, name: str) -> tuple[str, ...]:
    """Who speaks, in the order of the sources; unknown where the file is not called as in the corpus."""
    if re.fullmatch(corpus.utterances, name) is None:
        return ()
    return tuple(re.findall(corpus.speaker, name))


def _talkers(count: int, suffix: str = "") -> tuple[str, ...]:
    return tuple(f"s{k}{suffix}" for k in range(1, count + 1))


def _noisy(count: int) -> tuple[Condition, ...]:
    return (
        Condition("mix_clean", "mix_clean", _talkers(count)),
        Condition("mix_both", "mix_both", _talkers(count), "noise"),
        Condition("mix_single", "mix_single", ("s1",), "noise"),
    )


def _whamr() -> tuple[Condition, ...]:
    parts = []
    for kind in ("clean", "both", "single"):
        noise = None if kind == "clean" else "noise"
        for room, sources, name in (
            ("anechoic", "anechoic", ""),
            ("reverb", "reverb", ""),
            ("reverb", "anechoic", "_dry"),
        ):
            mixture = f"mix_{kind}_{room}"
            talkers = _talkers(1 if kind == "single" else 2, f"_{sources}")
            parts.append(Condition(mixture + name, mixture, talkers, noise))
    return tuple(parts)


WSJ_UTTERANCE = r"[0-9a-z]{3}[0-9a-z]{5}"
# An utterance, its level in dB, the next utterance, its level ...: 011a0101_0.061105_401c020r_-0.061105
_WSJ = {
    "splits": WSJ_SPLITS,
    "utterances": rf"({WSJ_UTTERANCE}_-?[\d.e-]+_?)+",
    "speaker": r"(?:^|_)([0-9a-z]{3})[0-9a-z]{5}(?=_)",
}
# Utterances of LibriSpeech: 1320-122617-0025_260-123440-0019
_LIBRI = {"splits": LIBRIMIX_SPLITS, "utterances": r"(\d+-\d+-\d+_?)+", "speaker": r"(?:^|_)(\d+)-\d+-\d+"}


def _layout(
    name: str, summary: str, looks: str, wanted: str, corpus: Corpus, splits: tuple[str, ...]
) -> Layout:
    return Layout(name, summary, looks, wanted, splits, partial(find, corpus))


def _wsj0_mix(count: int) -> Layout:
    talkers = _talkers(count)
    corpus = Corpus(conditions=(Condition("mix", "mix", talkers),), absent=f"s{count + 1}", **_WSJ)
    return _layout(
        f"wsj0-{count}mix",
        f"{count} talkers",
        f"{count}speakers/wav8k/min/{{tr,cv,tt}}/{{mix,{','.join(talkers)}}}/*.wav",
        f"folders tr, cv, tt with the folders mix and {', '.join(talkers)} in them",
        corpus,
        tuple(WSJ_SPLITS.values()),
    )


def _librimix(count: int) -> Layout:
    talkers = _talkers(count)
    corpus = Corpus(conditions=_noisy(count), absent=f"s{count + 1}", **_LIBRI)
    return _layout(
        f"libri{count}mix",
        f"{count} talkers, clean and in noise",
        f"Libri{count}Mix/wav8k/min/{{train-100,train-360,dev,test}}/"
        f"{{mix_clean,mix_both,mix_single,{','.join(talkers)},noise}}/*.wav",
        f"folders train-100, train-360, dev, test with mix_clean, mix_both or mix_single and "
        f"{', '.join(talkers)} in them",
        corpus,
        ("train-100", "train-360", "dev", "test"),
    )


LAYOUTS = (
    _wsj0_mix(2),
    _wsj0_mix(3),
    _layout(
        "wham",
        "WHAM!: 2 talkers in noise",
        "wav8k/min/{tr,cv,tt}/{mix_clean,mix_both,mix_single,s1,s2,noise}/*.wav",
        "folders tr, cv, tt with mix_clean, mix_both or mix_single and s1, s2 in them",
        Corpus(conditions=_noisy(2), absent="s3", **_WSJ),
        tuple(WSJ_SPLITS.values()),
    ),
    _layout(
        "whamr",
        "WHAMR!: 2 talkers in noise and rooms",
        "wav8k/min/{tr,cv,tt}/{mix_clean_anechoic,mix_both_reverb,...,s1_anechoic,s1_reverb,...,noise}/*.wav",
        "folders tr, cv, tt with mix_clean_anechoic, mix_both_reverb ... and s1_anechoic, s2_anechoic in them",
        Corpus(conditions=_whamr(), absent="s3_anechoic", **_WSJ),
        tuple(WSJ_SPLITS.values()),
    ),
    _librimix(2),
    _librimix(3),
)
