"""What jobs of kind ``board`` do: read a test set, or score what a system made of one.

Archives come from strangers: unpacked by ``archives``, every file in them read by ``decoding``. A set is kept as

    ITEM/mixture.wav  ITEM/reference1.wav  ITEM/reference2.wav ...      32-bit float, as in the files that were sent

and a system's outputs are looked for as ITEM/source1.wav ..., or as `unbabble separate` names folders.
"""

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unbabble.base.errors import InputError
from unbabble.base.words import counted
from unbabble.jobs.progress import report_progress
from unbabble.web.archives import extract_archive
from unbabble.web.decoding import decode
from unbabble.web.leaderboard.board import IN_DB, limited_db, summary
from unbabble.web.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from unbabble.pipelines.score import BlindScorer

MOST_FILES = 5000
UNPACKED = 8
"""How much larger than an upload its archive may become."""
MOST_TALKERS = 8
LENGTH_TOLERANCE_SECONDS = 0.05
MIXTURE, MASK = "mixture", "ideal ratio mask"
"""Baselines: the mixture in place of each voice; the best that masks of magnitudes can do (Wang, 2005)."""
MASK_SECONDS, MASK_OVERLAP = 0.032, 4
VOICE = re.compile(r"(?:source|s|voice|estimate|enhanced)_?(\d+)", re.I)


@dataclass(frozen=True)
class Item:
    """One mixture of a set, with its true voices where they are known."""

    name: str
    mixture: Path
    references: tuple[Path, ...]
    seconds: float


def board(
    folder: Path, parameters: dict[str, Any], roles: dict[str, list[Path]]
) -> tuple[dict[str, Any], list[Path]]:
    """Read the set in ``archive``, or score the ``outputs`` of a system on the set in ``set``.

    Args:
        folder: for what is made on the way.
        parameters: ``site`` (settings); ``talkers`` of a set without true voices.
        roles: the files.

    Returns:
        Of a set: ``synthetic``, ``talkers``, ``items`` (names), ``seconds``, ``baselines`` (as below, by name), and
        the files ``set.zip`` and ``mixtures.zip``. Of outputs: ``scores`` (figures), ``items`` (scores of each) and
        ``scorer``.

    Raises:
        InputError: an archive that cannot be used, and why.
    """
    settings = parameters["site"]
    if "archive" in roles:
        (archive,) = roles["archive"]
        return _prepare(archive, folder, settings, parameters["talkers"])
    (known,), (outputs,) = roles["set"], roles["outputs"]
    items = _known_items(_unpacked(known, folder / "set", settings))
    submitted = _outputs_of(
        items, _inner(_unpacked(outputs, folder / "outputs", settings)), parameters["talkers"]
    )
    scores, scorer = {}, _scorer()
    for number, (item, voices) in enumerate(zip(items, submitted, strict=True)):
        report_progress(number, len(items))
        place = folder / "decoded"
        place.mkdir(exist_ok=True)
        decoded = [
            _decoded(voice, place / f"source{k}.wav", settings, f"{item.name}/{voice.name}")[0]
            for k, voice in enumerate(voices, 1)
        ]
        scores[item.name] = score_item(item, decoded, scorer)
    return {"scores": summary(scores), "items": scores, "scorer": scorer.name}, []


def _prepare(
    archive: Path, folder: Path, settings: Settings, talkers: int
) -> tuple[dict[str, Any], list[Path]]:
    entries = _entries(_inner(_unpacked(archive, folder / "sent", settings)))
    counts = {len(sources) for _, _, sources in entries}
    if len(counts) > 1:
        raise InputError(
            "Some mixtures have more true voices than others: make a set for each number of talkers."
        )
    (count,) = counts
    talkers = count or talkers
    if talkers > MOST_TALKERS:
        raise InputError(f"A set has at most {MOST_TALKERS} talkers.")
    items = []
    for number, (name, mixture, sources) in enumerate(entries):
        report_progress(number, 2 * len(entries))
        place = folder / "set" / name
        place.mkdir(parents=True)
        samples, seconds = _decoded(mixture, place / "mixture.wav", settings, f"{name}/{mixture.name}")
        references = []
        for k, source in enumerate(sources, 1):
            path, length = _decoded(source, place / f"reference{k}.wav", settings, f"{name}/{source.name}")
            if abs(length - seconds) >= LENGTH_TOLERANCE_SECONDS:
                raise InputError(f"'{name}/{source.name}' lasts {length:.2f} s, its mixture {seconds:.2f} s.")
            references.append(path)
        items.append(Item(name, samples, tuple(references), seconds))
    baselines: dict[str, dict[str, Any]] = {MIXTURE: {}} | ({MASK: {}} if count else {})
    scorer = _scorer()
    for number, item in enumerate(items, len(items)):
        report_progress(number, 2 * len(items))
        for name, items_of in baselines.items():
            made = _masked(item, folder) if name == MASK else [item.mixture] * talkers
            items_of[item.name] = score_item(item, made, scorer)
    result = {
        "synthetic": count > 0,
        "talkers": talkers,
        "items": [item.name for item in items],
        "seconds": sum(item.seconds for item in items),
        "scorer": scorer.name,
        "baselines": {name: {"scores": summary(each), "items": each} for name, each in baselines.items()},
    }
    everything = [path for item in items for path in (item.mixture, *item.references)]
    packed = [_packed(folder / "set.zip", folder / "set", everything)]
    packed.append(_packed(folder / "mixtures.zip", folder / "set", [item.mixture for item in items]))
    return result, packed


def score_item(item: Item, voices: Sequence[Path], scorer: "BlindScorer") -> dict[str, float]:
    """The mean over the voices of an item, of each metric that can be computed.

    Raises:
        InputError: voices that do not belong to this mixture.
    """
    from unbabble.signal.metrics import available
    from unbabble.verbs.score import score_recording
    from unbabble.verbs.score_files import Task

    scores: dict[str, list[float]] = {}
    try:
        if item.references:
            metrics = ("si_sdr", "si_sdri", *(name for name in ("pesq", "estoi") if available(name)))
            task = Task(item.name, item.mixture, item.references, tuple(voices))
            for row in score_recording(task, metrics, 1).details["voices"]:
                for name in metrics[1:]:
                    scores.setdefault(name, []).append(row[name])
        scores["blind"] = [score.si_snr_db for score in scorer.files(item.mixture, voices)]
    except InputError as error:
        reason = str(error)
        for path in (item.mixture, *item.references, *voices):
            reason = reason.replace(str(path), f"{item.name}/{path.name}")
        raise InputError(reason if item.name in reason else f"'{item.name}': {reason}") from error
    means = {}
    for name, values in scores.items():
        kept = [limited_db(value) if name in IN_DB else value for value in values]
        kept = [value for value in kept if value == value]  # not undefined, as against a silent voice
        if kept:
            means[name] = sum(kept) / len(kept)
    return means


def ideal_ratio_masks(mixture: "Tensor", references: "Tensor", sample_rate: int) -> "Tensor":
    """Voices (source, time) of ``mixture`` (time) by masks |S_k| / (sum of |S_j| + |rest|)."""
    from unbabble.signal.stft import Stft

    hop = max(1, round(MASK_SECONDS * sample_rate / MASK_OVERLAP))
    hop += hop % 2
    stft = Stft(MASK_OVERLAP * hop, hop)
    spectra = stft.analyse(references).abs()
    rest = stft.analyse(mixture - references.sum(0)).abs()
    masks = spectra / (spectra.sum(0) + rest).clamp(min=1e-12)
    return stft.synthesise(masks * stft.analyse(mixture), mixture.shape[-1])


def _masked(item: Item, folder: Path) -> list[Path]:
    import torch

    from unbabble.base.audio import write
    from unbabble.verbs.score_files import read_all

    (mixture, *references), rate = read_all([item.mixture, *item.references], 1, [])
    voices = ideal_ratio_masks(mixture, torch.stack(references), rate)
    paths = []
    for k, voice in enumerate(voices, 1):
        path = folder / f"masked{k}.wav"
        write(path, voice.float(), rate)
        paths.append(path)
    return paths


def _scorer() -> "BlindScorer":
    from unbabble.pipelines.score import BlindScorer

    return BlindScorer()


def _unpacked(archive: Path, folder: Path, settings: Settings) -> Path:
    folder.mkdir()
    extract_archive(archive, folder, UNPACKED * settings.most_upload_bytes, MOST_FILES)
    return folder


def _inner(folder: Path) -> Path:
    """The folder within, where an archive was made of one folder that holds the others."""
    children = list(folder.iterdir())
    while (
        len(children) == 1 and children[0].is_dir() and any(child.is_dir() for child in children[0].iterdir())
    ):
        folder = children[0]
        children = list(folder.iterdir())
    return folder


def _entries(folder: Path) -> list[tuple[str, Path, tuple[Path, ...]]]:
    """Name, mixture and true voices, in any of the layouts that other commands read."""
    from unbabble.data.layouts.own import FOLDER

    parts = FOLDER.find(folder)
    if len(parts) > 1:
        raise InputError("The archive holds several splits: pack one of them.")
    if parts and parts[0].missing:
        raise InputError(parts[0].missing[0].replace(f"{folder}/", ""))
    if not parts or not parts[0].entries:
        raise InputError("The archive holds no recordings: pack ITEM/mixture.wav and ITEM/source1.wav ...")
    return [
        (entry.id, Path(entry.mixture or ""), tuple(map(Path, entry.sources))) for entry in parts[0].entries
    ]


def _known_items(folder: Path) -> list[Item]:
    """Of the archive that ``_prepare`` made."""
    items = []
    for mixture in sorted(folder.rglob("mixture.wav")):
        references = sorted(mixture.parent.glob("reference*.wav"), key=lambda path: int(path.stem[9:]))
        items.append(Item(mixture.parent.relative_to(folder).as_posix(), mixture, tuple(references), 0.0))
    return items


def _outputs_of(items: Sequence[Item], folder: Path, talkers: int) -> list[list[Path]]:
    outputs, missing = [], []
    for item in items:
        places = (folder / item.name, folder / f"{item.name}-mixture", folder / item.name / "mixture")
        voices = next((each for each in map(_voices, places) if each), [])
        if not voices:
            missing.append(item.name)
        elif len(voices) != talkers:
            raise InputError(
                f"'{item.name}' has {counted(len(voices), 'voice')} of {talkers} that are expected."
            )
        outputs.append(voices)
    if missing:
        several = f" and {counted(len(missing) - 1, 'other')}" if len(missing) > 1 else ""
        raise InputError(
            f"There are no voices of '{missing[0]}'{several}: pack {missing[0]}/source1.wav, source2.wav ..."
        )
    return outputs


def _voices(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    numbered = [(match, path) for path in folder.iterdir() if (match := VOICE.fullmatch(path.stem))]
    return [path for _, path in sorted(numbered, key=lambda pair: int(pair[0][1])) if path.is_file()]


def _decoded(source: Path, target: Path, settings: Settings, name: str) -> tuple[Path, float]:
    try:
        return target, decode(source, target, settings, exact=True).seconds
    except InputError as error:
        raise InputError(f"'{name}': {str(error)[0].lower()}{str(error)[1:]}") from error


def _packed(path: Path, folder: Path, files: Sequence[Path]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to(folder).as_posix())
    return path
