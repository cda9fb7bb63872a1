"""A folder of one's own mixtures, with the true voices or without.

Three forms, in the folder itself or in folders named after splits (``train``, ``dev``, ``test`` and the like):

    mixture/a.wav  source1/a.wav  source2/a.wav      a folder for each kind of signal
    a/mixture.wav  a/source1.wav  a/source2.wav      a folder for each mixture, as ``simulate`` writes
    a.wav  b.wav                                     recordings alone: no voices are known
"""

import re
from pathlib import Path

from unbabble.base.inputs import SUFFIXES
from unbabble.data.layouts.part import Layout, Part
from unbabble.data.manifest import Entry

SPLITS = {
    "train": "train",
    "tr": "train",
    "training": "train",
    "dev": "dev",
    "cv": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
    "tt": "test",
    "eval": "test",
}
MIXTURE = re.compile(r"mix|mixed|mixtures?|noisy", re.I)
SOURCE = re.compile(r"(?:s|spk|source|reference|ref|speaker|voice)_?(\d+)|clean", re.I)
NOISE = re.compile(r"noise", re.I)
PART_OF_MIXTURE = re.compile(r"image\d+", re.I)


def find(folder: Path) -> list[Part]:
    """A part for each folder that is named after a split, or one for all."""
    children = [child for child in sorted(folder.iterdir()) if child.is_dir()]
    splits = [child for child in children if child.name.lower() in SPLITS]
    if not splits:
        part = _part(folder, "", folder.absolute().name)
        return [part] if part.entries or part.missing else []
    return [_part(child, SPLITS[child.name.lower()], child.name.lower()) for child in splits]


def _part(folder: Path, split: str, name: str) -> Part:
    entries, missing = _by_kind(folder, split)
    if not entries and not missing:
        entries, missing = _by_mixture(folder, split)
    return Part(split or name, split, tuple(entries), tuple(missing))


def _by_kind(folder: Path, split: str) -> tuple[list[Entry], list[str]]:
    kinds = {child.name: child for child in sorted(folder.iterdir()) if child.is_dir()}
    mixture = next((name for name in kinds if MIXTURE.fullmatch(name)), None)
    if mixture is None:
        return [], []
    sources = sorted((name for name in kinds if SOURCE.fullmatch(name)), key=_number)
    noise = next((name for name in kinds if NOISE.fullmatch(name)), None)
    names = [mixture, *sources, *([noise] if noise else [])]
    files = [{file.stem: file for file in _audio(kinds[name])} for name in names]
    entries, missing = [], []
    for stem in sorted(set().union(*files)):
        lacking = [name for name, paths in zip(names, files, strict=True) if stem not in paths]
        if lacking:
            missing.append(f"There is no '{stem}' in '{kinds[lacking[0]]}'.")
            continue
        paths = [each[stem] for each in files]
        noise_files = paths.pop() if noise else None
        entries.append(Entry(stem, paths[0], tuple(paths[1:]), noise_files, split=split))
    return entries, missing


def _by_mixture(folder: Path, split: str) -> tuple[list[Entry], list[str]]:
    """A folder with a file called mixture is one item, with the voices beside it; other files are mixtures alone."""
    entries, missing = [], []
    for place in (folder, *sorted(child for child in folder.rglob("*") if child.is_dir())):
        relative = place.relative_to(folder)
        if any(part.startswith(".") for part in relative.parts):
            continue
        files = _audio(place)
        mixture = next((file for file in files if MIXTURE.fullmatch(file.stem)), None)
        if mixture is None:
            voices = [file for file in files if _number(file.stem)]
            if voices:
                missing.append(f"There is no mixture beside '{voices[0]}'.")
            entries += [
                Entry((relative / file.stem).as_posix(), file, split=split)
                for file in files
                if not voices and not PART_OF_MIXTURE.fullmatch(file.stem)
            ]
            continue
        sources = [file for file in files if SOURCE.fullmatch(file.stem)]
        true = [file for file in sources if file.stem.lower().startswith("ref")]  # the others are estimates
        sources = sorted(true or sources, key=lambda file: _number(file.stem))
        noise = next((file for file in files if NOISE.fullmatch(file.stem)), None)
        name = relative.as_posix() if relative.parts else folder.absolute().name
        entries.append(Entry(name, mixture, tuple(sources), noise, split=split))
    return entries, missing


def _audio(folder: Path) -> list[Path]:
    files = (file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
    return sorted(file for file in files if file.is_file())


def _number(name: str) -> int:
    """Which source a name means, 0 where none is numbered: source2 comes before source10."""
    match = SOURCE.fullmatch(name)
    return int(match[1]) if match and match[1] else 0


FOLDER = Layout(
    "folder",
    "your own mixtures, with or without the true voices",
    "{mixture,source1,source2}/*.wav, or */{mixture,source1,source2}.wav, or *.wav; in train/ dev/ test/ or not",
    "recordings",
    (),
    find,
)
