"""REAL-M: mixtures that people recorded for real, two reading at once; nobody knows the clean voices.

Subakan et al., "REAL-M: Towards Speech Separation on Real Mixtures", ICASSP 2022. What each reader read is known:

    audio_files_converted_8000Hz/SESSION/FILE.wav
    transcriptions/SESSION.csv        (index), sentence1, sentence2, (WorkerId), filename

Early sessions name the files by the .mp3 that they were converted from.
"""

import csv
from pathlib import Path

from unbabble.data.layouts.part import Layout, Part
from unbabble.data.manifest import Entry

AUDIO, TEXTS = "audio_files_converted_8000Hz", "transcriptions"
NAME = "real-m"


def find(folder: Path) -> list[Part]:
    """All sessions, as one part, of ``folder`` or the one folder below that holds them."""
    places = [folder, *(child for child in sorted(folder.iterdir()) if child.is_dir())]
    place = next((each for each in places if (each / AUDIO).is_dir() and (each / TEXTS).is_dir()), None)
    if place is None:
        return []
    entries, missing = [], []
    for table in sorted((place / TEXTS).glob("*.csv")):
        with open(table, encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                name = (row.get("filename") or "").strip()
                texts = tuple((row.get(f"sentence{k}") or "").strip() for k in (1, 2))
                if not name:
                    missing.append(f"A line of '{table}' names no file.")
                    continue
                path = (place / AUDIO / table.stem / Path(name).name).with_suffix(".wav")
                if not path.is_file():
                    missing.append(f"There is no '{path}'.")
                    continue
                entries.append(Entry(f"{table.stem}/{path.stem}", path, transcripts=texts))
    return [Part("all", "", tuple(entries), tuple(missing), 8000)] if entries or missing else []


LAYOUT = Layout(
    NAME,
    "REAL-M: real mixtures of two readers, whose clean voices nobody knows",
    f"{AUDIO}/SESSION/*.wav, {TEXTS}/SESSION.csv",
    f"{AUDIO}/ and {TEXTS}/",
    (),
    find,
)
