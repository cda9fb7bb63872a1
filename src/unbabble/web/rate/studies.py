"""Listening studies in the database and the storage: filling one with recordings, and deleting it."""

import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import soundfile
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from unbabble.base.errors import InputError
from unbabble.web.archives import extract_archive
from unbabble.web.database import Database, now
from unbabble.web.decoding import decode
from unbabble.web.queue import queue
from unbabble.web.queue.disposal import doom, spare
from unbabble.web.rate import tones
from unbabble.web.rate.layouts import StudyFile, read_folder
from unbabble.web.rate.listening import Sound, plan
from unbabble.web.settings import Settings
from unbabble.web.storage import Storage
from unbabble.web.tables.base import new_key
from unbabble.web.tables.rate import Clip, Listener, Stimulus, Study

MOST_FILES = 3000
UNPACKED_FACTOR = 5
"""An archive may unpack to so many times what an upload may have."""
MOST_CLIP_SECONDS = 120.0
MOST_SOURCES = 8
FILL_SECONDS = 4.0
"""After which a call that fills a study answers how far it is; it is called again for the rest."""
CHECKED_ITEMS = 6
"""Items from which golds and trapping clips are made."""
MOST_BEEPS = 5
STORING_HOURS = 24.0
KEPT_UNPACKED_SECONDS = 86400.0
SLUG_LENGTH = 48


@dataclass(frozen=True)
class Progress:
    """How far a study is filled: groups of files (one system's voices of one item, say), and files not understood."""

    done: int
    total: int
    left_out: list[str]


def slug_for(session: Session, name: str) -> str:
    """An address for a study of this name, which no other has."""
    base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:SLUG_LENGTH].strip("-") or "study"
    base = f"{base}-1" if base == "studies" else base
    taken = set(session.scalars(select(Study.slug).where(Study.slug.startswith(base))))
    return (
        base
        if base not in taken
        else next(f"{base}-{k}" for k in range(2, len(taken) + 3) if f"{base}-{k}" not in taken)
    )


def unpacked(storage: Storage, settings: Settings, upload_id: str, key: str) -> Path:
    """The folder in which an uploaded archive lies unpacked; made when it is first asked for.

    Raises:
        InputError: it is no archive that may be unpacked.
    """
    partial = settings.data / "partial"
    folder = partial / f"study-{upload_id}"
    if folder.is_dir():
        return folder
    for old in partial.glob("study-*"):
        if time.time() - old.stat().st_mtime > KEPT_UNPACKED_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix="study-new-", dir=partial))
    try:
        archive = storage.fetch(key, work / "archive.zip")
        (work / "files").mkdir()
        extract_archive(archive, work / "files", UNPACKED_FACTOR * settings.most_upload_bytes, MOST_FILES)
        try:
            (work / "files").rename(folder)
        except OSError:
            if not folder.is_dir():  # nobody else was faster
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def fill(
    database: Database,
    storage: Storage,
    settings: Settings,
    study: Study,
    folder: Path,
    seconds: float | None = FILL_SECONDS,
) -> Progress:
    """Take the recordings in ``folder`` (``layouts``) into a study; what it has already is left as it is.

    Args:
        seconds: after which to stop, to be called again for the rest; None to go on to the end.

    Returns:
        How far it is; at the end the stimuli are there.

    Raises:
        InputError: nothing is laid out as it should be, a recording cannot be read, or the study needs others.
    """
    started = time.monotonic()
    files, left_out = read_folder(folder)
    groups: dict[tuple[str, str, str], list[StudyFile]] = {}
    for each in files:
        groups.setdefault((each.item, each.role, each.system), []).append(each)
    order = ("mixture", "reference", "estimate", "gold")
    wanted = sorted(groups, key=lambda group: (order.index(group[1]), group))
    with database.reading() as session:
        there = {
            (clip.item, clip.role, clip.system)
            for clip in session.scalars(select(Clip).where(Clip.study_id == study.id))
        }
    done = sum(group in there for group in wanted)
    for group in wanted:
        if group not in there:
            _take_group(database, storage, settings, study, groups[group])
            done += 1
            if done < len(wanted) and seconds is not None and time.monotonic() - started > seconds:
                return Progress(done, len(wanted), left_out)
    make_stimuli(database, storage, settings, study)
    return Progress(done, len(wanted), left_out)


def _take_group(
    database: Database, storage: Storage, settings: Settings, study: Study, files: Sequence[StudyFile]
) -> None:
    """Decode, level and store the voices of one system and item (or its references, or its mixture)."""
    first = files[0]
    if len(files) > MOST_SOURCES:
        raise InputError(f"'{first.item}' has more than {MOST_SOURCES} voices of one kind.")
    sounds = [_decoded(each, settings) for each in files]
    numbers = [each.number for each in files]
    if first.role == "estimate":
        references = clips_of(database, study, item=first.item, role="reference")
        waves = [read_wave(storage, settings, clip.key) for clip in references]
        if waves and {rate for _, rate in waves} == {rate for _, rate in sounds}:
            places = tones.matched([wave for wave, _ in waves], [wave for wave, _ in sounds])
            spare_number = max((clip.number for clip in references), default=0) + 1
            numbers = [
                references[place].number
                if place < len(references)
                else spare_number + place - len(references)
                for place in places
            ]
    expected = int(first.system.removeprefix("gold ")) if first.role == "gold" else None
    made = [
        (
            Clip(
                study_id=study.id,
                item=first.item,
                role=first.role,
                system=first.system,
                number=number,
                expected=expected,
            ),
            *sound,
        )
        for number, sound in zip(numbers, sounds, strict=True)
    ]
    if first.role == "reference" and study.kind == "mushra":
        made += [
            (
                Clip(study_id=study.id, item=first.item, role="anchor", number=number),
                tones.low_anchor(wave, rate),
                rate,
            )
            for number, (wave, rate) in zip(numbers, sounds, strict=True)
        ]
    with suppress(IntegrityError):  # another call was faster: what this one stored is doomed
        store_clips(database, storage, settings, made)


def _decoded(file: StudyFile, settings: Settings) -> tuple[tones.Wave, int]:
    bounded = replace(settings, most_seconds=min(settings.most_seconds, MOST_CLIP_SECONDS))
    with tempfile.TemporaryDirectory(dir=settings.data / "partial") as folder:
        target = Path(folder) / "heard.flac"
        try:
            decode(file.path, target, bounded)
        except InputError as error:
            raise InputError(f"'{file.item}', {file.path.name}: {error}") from None
        return _read(target)


def _read(path: Path) -> tuple[tones.Wave, int]:
    """The first channel."""
    samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    return np.array(samples[:, 0], dtype=np.float64), rate


def read_wave(storage: Storage, settings: Settings, key: str) -> tuple[tones.Wave, int]:
    """Samples and rate of a stored clip."""
    if (path := storage.local(key)) is not None and path.is_file():
        return _read(path)
    with tempfile.TemporaryDirectory(dir=settings.data / "partial") as folder:
        return _read(storage.fetch(key, Path(folder) / "clip.flac"))


def store_clips(
    database: Database,
    storage: Storage,
    settings: Settings,
    clips: Sequence[tuple[Clip, tones.Wave, int]],
) -> None:
    """Store waveforms at the common level, then their rows, all or none."""
    for clip, wave, rate in clips:
        clip.id = new_key()
        clip.key = f"studies/{clip.study_id}/{clip.id}.flac"
        clip.seconds = len(wave) / rate
    keys = [clip.key for clip, *_ in clips]
    with database.writing() as session:
        doom(session, keys, now() + timedelta(hours=STORING_HOURS))
    with tempfile.TemporaryDirectory(dir=settings.data / "partial") as folder:
        for clip, wave, rate in clips:
            path = Path(folder) / "clip.flac"
            soundfile.write(path, tones.levelled(wave, rate), rate, format="FLAC", subtype="PCM_16")
            storage.put(clip.key, path)
    with database.writing() as session:
        session.add_all(clip for clip, *_ in clips)
        session.flush()
        spare(session, keys)


def make_stimuli(database: Database, storage: Storage, settings: Settings, study: Study) -> None:
    """Golds and trapping clips, then what trials present, from all clips; what rehearsals voted is gone.

    Raises:
        InputError: what this kind of study needs is not there.
    """
    own = [clip for clip in clips_of(database, study) if not _made(clip)]
    plan(study.kind, [_sound(clip) for clip in own])  # before anything is changed
    checks = _checks(storage, settings, study, own)
    with database.writing() as session:
        old = [clip for clip in session.scalars(select(Clip).where(Clip.study_id == study.id)) if _made(clip)]
        doom(session, [clip.key for clip in old])
        for clip in old:
            session.delete(clip)
        session.execute(delete(Listener).where(Listener.study_id == study.id))
        session.execute(delete(Stimulus).where(Stimulus.study_id == study.id))
    store_clips(database, storage, settings, checks)
    plans = plan(study.kind, [_sound(clip) for clip in clips_of(database, study)])
    with database.writing() as session:
        session.execute(delete(Stimulus).where(Stimulus.study_id == study.id))
        session.add_all(Stimulus(study_id=study.id, **vars(each)) for each in plans)


def _checks(
    storage: Storage, settings: Settings, study: Study, clips: Sequence[Clip]
) -> list[tuple[Clip, tones.Wave, int]]:
    """Golds and trapping clips of a few items."""
    if study.kind == "mushra":  # there the hidden reference is the check
        return []
    random = np.random.default_rng(study.seed)
    items: dict[str, list[Clip]] = {}
    for clip in clips:
        items.setdefault(clip.item, []).append(clip)
    usable = sorted(item for item, own in items.items() if any(clip.role == "estimate" for clip in own))
    checks: list[tuple[Clip, tones.Wave, int]] = []
    for index in random.permutation(len(usable))[:CHECKED_ITEMS]:
        own = items[usable[index]]
        systems = sorted({clip.system for clip in own if clip.role == "estimate"})
        system = systems[random.integers(len(systems))]
        voices = [clip for clip in own if clip.role == "estimate" and clip.system == system]
        checks += _item_checks(storage, settings, study, own, voices, random)
    return checks


def _item_checks(
    storage: Storage,
    settings: Settings,
    study: Study,
    own: Sequence[Clip],
    voices: Sequence[Clip],
    random: np.random.Generator,
) -> list[tuple[Clip, tones.Wave, int]]:
    """Of one item. Known answers: 1 for the mixture under noise as loud as it, 5 for the true voices; of a pair, a
    separation is better than itself under such noise. Unless the administrator gave some for this item."""

    def made(role: str, system: str, number: int, expected: int, sound: tuple[tones.Wave, int]):
        clip = Clip(
            study_id=study.id, item=own[0].item, role=role, system=system, number=number, expected=expected
        )
        return clip, *sound

    def wave(clip: Clip) -> tuple[tones.Wave, int]:
        return read_wave(storage, settings, clip.key)

    def under_noise(clip: Clip) -> tuple[tones.Wave, int]:
        samples, rate = wave(clip)
        return tones.noisy(samples, int(random.integers(1 << 31))), rate

    checks = []
    given = any(clip.role == "gold" for clip in own)
    mixture = next((clip for clip in own if clip.role == "mixture"), None)
    references = [clip for clip in own if clip.role == "reference"]
    few = voices[:1] if study.kind == "acr" else voices
    if not given and study.kind == "ab":
        checks += [made("gold", "made: as it is", clip.number, 5, wave(clip)) for clip in few]
        checks += [made("gold", "made: under noise", clip.number, 1, under_noise(clip)) for clip in few]
    elif not given:
        checks += [
            made("gold", "made: mixture under noise", clip.number, 1, under_noise(mixture or clip))
            for clip in few
        ]
        true_ones = references[:1] if study.kind == "acr" else references
        checks += [made("gold", "made: true voice", clip.number, 5, wave(clip)) for clip in true_ones]
    if study.kind == "ab":
        beeps = int(random.integers(1, 3))
        samples, rate = wave(voices[0])
        sound = tones.trapping(samples, rate, beeps), rate
        checks += [made("trap", f"made: beeps {side}", 1, beeps, sound) for side in "ab"]
    else:
        for clip in few:
            beeps = int(random.integers(1, MOST_BEEPS + 1))
            samples, rate = wave(clip)
            checks.append(
                made("trap", "made: beeps", clip.number, beeps, (tones.trapping(samples, rate, beeps), rate))
            )
    return checks


def delete_study(session: Session, study: Study) -> None:
    """With its clips, listeners and votes."""
    clips = session.scalars(select(Clip).where(Clip.study_id == study.id)).all()
    doom(session, [clip.key for clip in clips])
    jobs = {clip.blind_job for clip in clips if clip.blind_job}
    for key in jobs:
        queue.remove(session, key)
    session.delete(study)


def clips_of(database: Database, study: Study, **wanted: str) -> list[Clip]:
    """Of a study, in order."""
    with database.reading() as session:
        query = (
            select(Clip)
            .where(Clip.study_id == study.id)
            .order_by(Clip.item, Clip.role, Clip.system, Clip.number)
        )
        return list(session.scalars(query.filter_by(**wanted)))


def _made(clip: Clip) -> bool:
    return clip.role in ("gold", "trap") and clip.system.startswith("made: ")


def _sound(clip: Clip) -> Sound:
    return Sound(clip.id, clip.item, clip.role, clip.system, clip.number, clip.seconds, clip.expected)
