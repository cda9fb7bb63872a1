"""Corpora of single voices: LibriSpeech, and the tables that ``simulate`` reads.

Their manifests hold utterances, to mix from (``--speech MANIFEST``), not mixtures.
"""

from pathlib import Path

from unbabble.base.inputs import SUFFIXES
from unbabble.data import corpora
from unbabble.data.layouts.part import Layout, Part
from unbabble.data.manifest import Entry

LIBRISPEECH_SPLITS = (
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
)


def librispeech(folder: Path) -> list[Part]:
    """Every subset in ``folder`` or one folder below, or ``folder`` itself where its files are so called."""
    places = [folder, *(child for child in sorted(folder.iterdir()) if child.is_dir())]
    subsets = [place / name for place in places for name in LIBRISPEECH_SPLITS if (place / name).is_dir()]
    if not subsets and (folder.name in LIBRISPEECH_SPLITS or _is_librispeech(folder)):
        subsets = [folder]
    return [_subset(subset) for subset in subsets]


def _is_librispeech(folder: Path) -> bool:
    first = next((file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES), None)
    return first is not None and corpora.LIBRISPEECH_NAME.fullmatch(first.stem) is not None


def _subset(folder: Path) -> Part:
    split = folder.absolute().name
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in SUFFIXES and corpora.LIBRISPEECH_NAME.fullmatch(file.stem)
    ]
    texts = corpora.librispeech_texts(folder)
    entries = (
        Entry(
            file.stem,
            None,
            (file,),
            speakers=(file.stem.partition("-")[0],),
            split=split,
            transcripts=tuple(filter(None, [texts.get(file.stem)])),
        )
        for file in files
    )
    return Part(split, split, tuple(entries))


def tables(folder: Path) -> list[Part]:
    """The splits of ``speech.csv`` and ``noise.csv``."""
    parts = []
    for kind in ("speech", "noise"):
        table = folder / f"{kind}.csv"
        if not table.is_file():
            continue
        for split in _table_splits(table):
            if kind == "speech":
                entries = tuple(
                    Entry(
                        utterance.path.stem,
                        None,
                        (utterance.path,),
                        speakers=(utterance.speaker,),
                        split=split or "",
                        transcripts=tuple(filter(None, [utterance.text])),
                    )
                    for utterance in corpora.speech(table, split)
                )
            else:
                entries = tuple(
                    Entry(noise.path.stem, None, noise=noise.path, split=split or "")
                    for noise in corpora.noises(table, split)
                )
            parts.append(Part("-".join(filter(None, (kind, split))), split or "", entries))
    return parts


def _table_splits(table: Path) -> list[str | None]:
    """The splits in the order in which they come, or no split."""
    rows = corpora.read_table(table, ("file",))
    return list(dict.fromkeys(row["split"] for row in rows)) if "split" in rows[0] else [None]


LAYOUTS = (
    Layout(
        "librispeech",
        "utterances of many speakers",
        "{train-clean-100,...,dev-clean,test-clean}/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac",
        f"the folders {', '.join(LIBRISPEECH_SPLITS)}, or files called SPEAKER-CHAPTER-NUMBER",
        (),
        librispeech,
    ),
    Layout(
        "tables",
        "tables of speech and noise",
        "speech.csv (file, speaker, split ...), noise.csv (file, split ...), and the files they name",
        "the tables speech.csv and noise.csv",
        (),
        tables,
    ),
)
