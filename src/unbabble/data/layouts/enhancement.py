"""Corpora of enhancement: noisy and clean speech in pairs, and collections of noise.

- VoiceBank-DEMAND: Valentini-Botinhao et al., Interspeech 2016. Pairs in two folders, files of the same name.
- DNS Challenge: Reddy et al., Interspeech 2020. Pairs of which the file number is the same.
- MUSAN: Snyder, Chen & Povey, 2015. FSD50K: Fonseca et al., IEEE/ACM TASLP 30, 2022. WHAM!'s noise: Wichern et al.,
  Interspeech 2019. Noise alone; its manifests stand where ``--noise`` takes a table.
"""

import csv
import re
from collections.abc import Callable
from pathlib import Path

from unbabble.base.inputs import SUFFIXES
from unbabble.data.layouts.part import Layout, Part
from unbabble.data.manifest import Entry

VOICEBANK = re.compile(r"noisy_(trainset|testset)(?:_(\d+spk))?_wav")
FILE_ID = re.compile(r"fileid_(\d+)$")
MUSAN = ("noise", "music", "speech")
MUSAN_SPLITS = {"free-sound": "train", "sound-bible": "test"}
"""As papers on personal enhancement divide its noise."""
WHAM_SPLITS = {"tr": "train", "cv": "dev", "tt": "test"}
FSD50K_SPLITS = {"train": "train", "val": "dev"}
VOICES = frozenset({"Speech", "Human_voice", "Singing", "Conversation", "Whispering"})
"""Labels of FSD50K whose recordings are no noise to take off voices."""


def voicebank(folder: Path) -> list[Part]:
    """Pairs of the training sets and of the test set."""
    parts = []
    for place in sorted(folder.iterdir()):
        named = VOICEBANK.fullmatch(place.name)
        clean = folder / place.name.replace("noisy_", "clean_")
        if not named or not place.is_dir() or not clean.is_dir():
            continue
        split = "train" if named[1] == "trainset" else "test"
        name = "-".join(filter(None, (split, named[2])))
        noisy, voices = _by(lambda file: file.stem, place), _by(lambda file: file.stem, clean)
        parts.append(_pairs(name, split, noisy, voices, {}, clean, _speaker))
    return parts


def dns(folder: Path) -> list[Part]:
    """Every folder with ``noisy`` and ``clean`` in it, below ``folder`` or that itself."""
    parts = []
    for noisy in sorted({*folder.glob("noisy"), *folder.glob("**/noisy")}):
        clean, noise = noisy.with_name("clean"), noisy.with_name("noise")
        if not clean.is_dir():
            continue
        files = [_by(_file_id, each) if each.is_dir() else {} for each in (noisy, clean, noise)]
        if not files[0]:
            continue
        below = noisy.parent.relative_to(folder).parts
        split = "test" if any(each.startswith("test") for each in below or (folder.name,)) else "train"
        name = "-".join(below).replace("_", "-") or split
        parts.append(_pairs(name, split, files[0], files[1], files[2], clean, lambda file: ""))
    return parts


def musan(folder: Path) -> list[Part]:
    """Its three kinds of sound; of noise, each collection is a split."""
    folder = next((place for place in (folder / "musan", folder) if place.is_dir()), folder)
    if not any((folder / "noise" / each).is_dir() for each in MUSAN_SPLITS):
        return []
    parts = [
        _noises(f"noise-{split}", split, _files(folder / "noise" / name))
        for name, split in MUSAN_SPLITS.items()
        if (folder / "noise" / name).is_dir()
    ]
    return parts + [
        _noises(kind, "", _files(folder / kind)) for kind in MUSAN[1:] if (folder / kind).is_dir()
    ]


def fsd50k(folder: Path) -> list[Part]:
    """Its three splits, without what is called a voice."""
    parts = []
    for kind in ("dev", "eval"):
        sounds = folder / f"FSD50K.{kind}_audio"
        table = folder / "FSD50K.ground_truth" / f"{kind}.csv"
        if not (sounds.is_dir() and table.is_file()):
            continue
        with open(table, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if not VOICES & set(row["labels"].split(","))]
        there = {file.stem: file for file in _files(sounds)}
        for key in FSD50K_SPLITS if kind == "dev" else ("",):
            wanted = [row["fname"] for row in rows if not key or row["split"] == key]
            split = FSD50K_SPLITS.get(key, "test")
            missing = tuple(f"There is no '{sounds / name}.wav'." for name in wanted if name not in there)
            parts.append(_noises(split, split, [there[name] for name in wanted if name in there], missing))
    return parts


def wham_noise(folder: Path) -> list[Part]:
    """Its three splits."""
    folder = next((place for place in (folder / "wham_noise", folder) if place.is_dir()), folder)
    if any((folder / "tr" / each).is_dir() for each in ("s1", "mix_both", "mix")):
        return []  # mixtures, not noise
    return [
        _noises(split, split, files)
        for name, split in WHAM_SPLITS.items()
        if (folder / name).is_dir() and (files := _files(folder / name))
    ]


def _files(folder: Path) -> list[Path]:
    return [
        file for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES and file.name[0] != "."
    ]


def _speaker(file: Path) -> str:
    """Of VoiceBank: ``p226_001``."""
    return file.stem.partition("_")[0]


def _file_id(file: Path) -> str:
    match = FILE_ID.search(file.stem)
    return match[1] if match else ""


def _by(key: Callable[[Path], str], folder: Path) -> dict[str, Path]:
    return {name: file for file in _files(folder) if (name := key(file))}


def _pairs(
    name: str,
    split: str,
    noisy: dict[str, Path],
    clean: dict[str, Path],
    noise: dict[str, Path],
    folder: Path,
    speaker: Callable[[Path], str],
) -> Part:
    entries, missing = [], []
    for key, file in sorted(noisy.items()):
        if key not in clean:
            missing.append(f"There is nothing in '{folder}' that belongs to '{file.name}'.")
            continue
        who = speaker(file)
        entries.append(
            Entry(
                file.stem,
                file,
                (clean[key],),
                noise=noise.get(key),
                speakers=(who,) if who else (),
                split=split,
            )
        )
    return Part(name, split, tuple(entries), tuple(missing))


def _noises(name: str, split: str, files: list[Path], missing: tuple[str, ...] = ()) -> Part:
    return Part(
        name, split, tuple(Entry(file.stem, None, noise=file, split=split) for file in files), missing
    )


LAYOUTS = (
    Layout(
        "voicebank-demand",
        "one talker in noise, noisy and clean",
        "{noisy,clean}_{trainset_28spk,trainset_56spk,testset}_wav/p226_001.wav",
        "folders called noisy_testset_wav, clean_testset_wav and the like",
        ("train", "test"),
        voicebank,
    ),
    Layout(
        "dns",
        "DNS Challenge: one talker in noise, noisy and clean",
        "{noisy,clean,noise}/..._fileid_12.wav",
        "folders noisy and clean, whose files end in fileid_ and a number",
        (),
        dns,
    ),
    Layout(
        "musan",
        "noise, music and speech",
        "musan/{noise/{free-sound,sound-bible},music,speech}/*.wav",
        "the folders noise/free-sound and noise/sound-bible",
        ("train", "test"),
        musan,
    ),
    Layout(
        "fsd50k",
        "sounds of all kinds; what is called a voice is left out",
        "FSD50K.{dev,eval}_audio/*.wav, FSD50K.ground_truth/{dev,eval}.csv",
        "the folders FSD50K.dev_audio, FSD50K.eval_audio and FSD50K.ground_truth",
        ("train", "dev", "test"),
        fsd50k,
    ),
    Layout(
        "wham-noise",
        "WHAM!'s noise alone",
        "wham_noise/{tr,cv,tt}/*.wav",
        "folders tr, cv, tt with recordings in them",
        ("train", "dev", "test"),
        wham_noise,
    ),
)
