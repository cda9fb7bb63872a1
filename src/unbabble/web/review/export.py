"""A data set out of accepted recordings: files that ``score``, ``bench`` and ``train --validate-blind`` read.

    README.md                                             what it is: counts, hours, licence, consent, how to use it
    manifest.jsonl, train.jsonl, dev.jsonl, test.jsonl    one line a recording (``data/manifest.py``)
    audio/CONTRIBUTOR/NAME.wav                            the recording, sample by sample
    voices/CONTRIBUTOR/NAME/source1.flac ...              what the site's separator made of it, where it did
    consent/VERSION.txt                                   what was agreed to
    shards/train-000000.tar ...                           on demand: NAME.wav and NAME.json of each (``shards``)

In REAL-M's layout (``data/layouts/real_m.py``) the recordings have 8 kHz and lie in
``audio_files_converted_8000Hz/CAMPAIGN``, and ``transcriptions/CAMPAIGN.csv`` tells what was read.

Equal recordings give equal bytes: no times, no accounts, sorted by name.
"""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from jaxtyping import Integer

from unbabble.base.errors import InputError
from unbabble.data.layouts import real_m
from unbabble.web.review.card import How, card
from unbabble.web.review.shards import Shards, Sink, json_line
from unbabble.web.review.splits import SPLITS
from unbabble.web.storage import Storage

REAL_M_RATE = 8000
REAL_M_COLUMNS = ("", "sentence1", "sentence2", "WorkerId", "filename")
Samples = Integer[np.ndarray, "time channel"]


@dataclass(frozen=True)
class Take:
    """One accepted recording, with what may be published of it.

    Attributes:
        id: of the contribution inside the site; never written.
        name: pseudonym of the recording.
        contributor: pseudonym.
        campaign: its name, fit for a file's.
        split: ``train``, ``dev`` or ``test``.
        key: of the recording in the storage.
        sentences: what each reader read.
        licence: under which it was given.
        consent: version that was agreed to.
        voices: keys of what was separated from it.
        about: whatever else is published of it.
    """

    id: str
    name: str
    contributor: str
    campaign: str
    split: str
    key: str
    sentences: tuple[str, ...]
    licence: str
    consent: str
    voices: tuple[str, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)


@dataclass
class Written:
    """What an export holds: a line of the manifest for each take, by its id, and by name why others are missing."""

    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def export(
    takes: Sequence[Take],
    consents: dict[str, str],
    how: How,
    storage: Storage,
    sink: Sink,
    spool: Path,
    progress: Callable[[float], None] = lambda share: None,
) -> Written:
    """Write a data set.

    Args:
        takes: what goes into it.
        consents: the text of each version.
        how: in which form.
        storage: where the recordings lie.
        sink: where the files go.
        spool: a folder for what is made on the way.
        progress: called with the share that is done.

    Raises:
        InputError: no recording, or none that can be read.
        OSError: files cannot be written.
    """
    written, done = Written(), []
    shards = {split: Shards(sink, spool, split, how.shard_bytes) for split in SPLITS if how.shards}
    for number, take in enumerate(sorted(takes, key=lambda each: each.name), 1):
        try:
            samples, rate = read_stored(storage, take.key)
            voices = [_stored(storage, key) for key in take.voices]
        except InputError as error:
            written.missing[take.name] = str(error)
            continue
        folder = f"audio/{take.contributor}"
        if how.layout == "realm":
            samples, rate = _converted(samples, rate), REAL_M_RATE
            folder = f"{real_m.AUDIO}/{take.campaign}"
        names = [
            f"voices/{take.contributor}/{take.name}/source{number}.flac"
            for number in range(1, len(voices) + 1)
        ]
        recording, line = wav(samples, rate), _line(take, rate, len(samples) / rate)
        placed = {"id": take.name, "mixture": f"{folder}/{take.name}.wav", "sources": []}
        sink.add(placed["mixture"], recording)
        for name, voice in zip(names, voices, strict=True):
            sink.add(name, voice)
        written.lines[take.id] = placed | ({"estimates": names} if names else {}) | line
        done.append(take)
        if how.shards:
            shards[take.split].add(take.name, recording, {"id": take.name} | line)
        progress(number / len(takes))
    if not done:
        raise InputError(next(iter(written.missing.values()), "There are no accepted recordings."))
    for each in shards.values():
        each.close()
    _write_texts(done, written, consents, how, sink)
    return written


def read_stored(storage: Storage, key: str) -> tuple[Samples, int]:
    """The samples of a stored recording, as 32-bit integers, and its rate in Hz.

    Raises:
        InputError: it is not there, or damaged.
    """
    try:
        return soundfile.read(io.BytesIO(_stored(storage, key)), dtype="int32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InputError(f"A stored recording is damaged: {error.error_string}") from None


def _stored(storage: Storage, key: str) -> bytes:
    with storage.open(key) as file:
        return file.read()


def wav(samples: Samples, rate: int) -> bytes:
    """As a WAV file, of 16 bits where these hold every sample, or else of 24, as many as are stored."""
    file, whole = io.BytesIO(), not (samples & 0xFFFF).any()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16" if whole else "PCM_24")
    return file.getvalue()


def _converted(samples: Samples, rate: int) -> Samples:
    """The first microphone at REAL-M's rate, in 16 bits."""
    mono = samples[:, 0] / 2**31
    if rate != REAL_M_RATE:
        mono = soxr.resample(mono, rate, REAL_M_RATE)
    return ((mono * 2**15).round().clip(-(2**15), 2**15 - 1).astype(np.int32) << 16)[:, None]


def _line(take: Take, rate: int, seconds: float) -> dict[str, Any]:
    """What a manifest tells of a recording, but for where it lies."""
    return {
        "sample_rate": rate,
        "seconds": round(seconds, 4),
        "speakers": [f"{take.contributor}-{number}" for number in range(1, len(take.sentences) + 1)],
        "split": take.split,
        "transcripts": list(take.sentences),
        "recipe": {
            "contributor": take.contributor,
            "campaign": take.campaign,
            "licence": take.licence,
            "consent": take.consent,
            **take.about,
        },
    }


def _write_texts(
    takes: Sequence[Take], written: Written, consents: dict[str, str], how: How, sink: Sink
) -> None:
    for split in ("manifest", *SPLITS):
        lines = [written.lines[take.id] for take in takes if split in ("manifest", take.split)]
        if lines:
            sink.add(f"{split}.jsonl", "".join(map(json_line, lines)).encode())
    if how.layout == "realm":
        for campaign in sorted({take.campaign for take in takes}):
            table = _transcriptions([take for take in takes if take.campaign == campaign])
            sink.add(f"{real_m.TEXTS}/{campaign}.csv", table.encode())
    versions = sorted({take.consent for take in takes})
    for version in versions:
        sink.add(f"consent/{version}.txt", consents[version].encode())
    sink.add("README.md", card(how, list(written.lines.values()), versions).encode())


def _transcriptions(takes: Sequence[Take]) -> str:
    """As REAL-M's tables have it."""
    file = io.StringIO(newline="")
    table = csv.writer(file, lineterminator="\n")
    table.writerow(REAL_M_COLUMNS)
    for number, take in enumerate(takes):
        first, second = (*take.sentences, "", "")[:2]
        table.writerow((number, first, second, take.contributor, f"{take.name}.wav"))
    return file.getvalue()
