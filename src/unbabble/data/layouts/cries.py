"""CryCeleb: cries of newborns, in the first hours of life and when they leave the hospital.

A manifest for each split and period, so that a recipe learns from cries at birth (``cryceleb-train-B``) and chooses by
those of the same infants at discharge (``cryceleb-train-D``), as the authors' does.
"""

from collections import defaultdict
from pathlib import Path

from unbabble.data.cries import Cry, cryceleb
from unbabble.data.layouts.part import Layout, Part
from unbabble.data.manifest import Entry


def find(folder: Path) -> list[Part]:
    """Utterances, of which the infants are the speakers."""
    parts: dict[tuple[str, str], list[Cry]] = defaultdict(list)
    for cry in cryceleb(folder):
        parts[cry.split, cry.period].append(cry)
    return [
        Part(
            f"{split}-{period}",
            split,
            tuple(
                Entry(cry.path.stem, None, (cry.path,), speakers=(cry.infant,), split=split) for cry in cries
            ),
        )
        for (split, period), cries in parts.items()
    ]


LAYOUT = Layout(
    "cryceleb",
    "cries of newborns, at birth and at discharge",
    "audio/{train,dev,test}/BABY/{B,D}/BABY_B_001.wav",
    "folders audio/train/BABY/B and the like with recordings in them",
    ("train", "dev", "test"),
    find,
)
