"""The studio's jobs: what may be asked for, how they are shown, and their files in one archive."""

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from fastapi import HTTPException, Request
from pydantic import BaseModel, Discriminator, Field, Tag
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from unbabble.web.database import now
from unbabble.web.queue import queue
from unbabble.web.studio import enrolled
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.people import Visit
from unbabble.web.tables.uploads import Upload
from unbabble.web.work import STUDIO_KINDS
from unbabble.web.work.diarize import NAMED, TURNS
from unbabble.web.work.enroll import PERSON
from unbabble.web.work.kind import Asked
from unbabble.web.work.transcribe import WORDS

MOST_WAITING = 20
"""Jobs of one visitor that are not yet done."""
SHARED = ("mixture",)
"""Inputs that everybody who has the link may hear; nobody's enrollment."""
INNER = ("model", PERSON)
"""Inputs that nobody fetches."""
TABLES = {WORDS: "words", TURNS: "turns"}
"""Outputs that are no voices, and what they are."""
BLOCK_BYTES = 1 << 18
LATEST_RATES = 20
"""Jobs by which the duration of the next is estimated."""
OF_STUDIO = (Job.expires.is_not(None), Job.of_id.is_(None), Job.kind.in_(STUDIO_KINDS))
"""Jobs that the studio shows by themselves."""
NO_NAMES: Mapping[str, str] = {}
NO_INDEX = {"x-robots-tag": "noindex", "cache-control": "private, no-store"}

Upload_ID = Field(min_length=1, max_length=32)
Key = str


def _kind_of(data: Any) -> str | None:
    return data.get("kind", "separate") if isinstance(data, dict) else getattr(data, "kind", None)


if TYPE_CHECKING:
    NewJob = Asked
else:
    _requests = Union[tuple(Annotated[kind.Request, Tag(name)] for name, kind in STUDIO_KINDS.items())]  # noqa: UP007
    NewJob = Annotated[_requests, Discriminator(_kind_of)]
    """What is asked for, by any kind of the studio; a separation where none is named."""


class JobFile(BaseModel):
    """A file of a job: what it is called, what it is (``mixture``, ``voice`` ...), and where to fetch it."""

    name: str
    role: str
    address: str
    bytes: int | None = None


class JobState(BaseModel):
    """How far a job is, and what came of it."""

    id: str
    kind: str
    state: Literal["waiting", "running", "done", "failed"]
    name: str
    ahead: int
    progress: float | None
    stage: str
    expected_seconds: float | None
    error: str | None
    result: dict[str, Any]
    files: list[JobFile]
    archive: str | None
    shared: str | None
    sample_rate: int
    channels: int
    created: datetime
    expires: datetime | None


def ask(request: Request, visit: Visit, new: NewJob) -> Job:
    """Put a job in the queue.

    Raises:
        HTTPException: 404 for uploads that are not this visitor's; 409 where nobody is enrolled who is to be named;
            429 for too many jobs.
        InputError: what makes no sense.
    """
    kind = STUDIO_KINDS[new.kind]
    kind.check(new)
    expires = now() + timedelta(days=request.app.state.settings.kept_days)
    wanted, parameters = kind.uploads(new), new.options()
    with request.app.state.database.writing() as session:
        own = (Job.visit_id == visit.id, Job.state.in_(("waiting", "running")))
        if (session.scalar(select(func.count()).where(*own)) or 0) >= MOST_WAITING:
            raise HTTPException(429, "Too many jobs at once: wait until some are done.")
        inputs = [queue.as_input(_own_upload(session, visit, key, expires), role) for role, key in wanted]
        if new.adapted is not None:
            inputs.append(_adapted(session, visit, new.adapted))
            parameters["adapted"] = new.adapted
        if new.enrolled:
            persons = enrolled.as_inputs(session, visit)
            if not persons:
                raise HTTPException(409, "No voice is enrolled yet: enroll one first.")
            inputs += persons
            parameters["people"] = enrolled.people(persons)
        parameters |= _known(session, new.recordings)
        return queue.enqueue(session, new.kind, visit.id, parameters, inputs, expires)


def own_job(request: Request, visit: Visit, key: str) -> Job:
    """This visitor's job of the studio.

    Raises:
        HTTPException: 404, also for somebody else's, and for jobs of other rooms.
    """
    with request.app.state.database.reading() as session:
        job = session.scalar(select(Job).where(Job.id == key, Job.visit_id == visit.id, *OF_STUDIO))
    if job is None:
        raise HTTPException(404, "There is no such job here: it was deleted, or it is somebody else's.")
    return job


def shared_job(request: Request, token: str) -> Job:
    """The job whose link was given away.

    Raises:
        HTTPException: 404, the link leads nowhere.
    """
    with request.app.state.database.reading() as session:
        job = session.scalar(select(Job).where(Job.share == token))
    if job is None or job.state != "done":
        raise HTTPException(404, "This link leads nowhere: it was withdrawn, or the recording was deleted.")
    return job


def _own_upload(session: Session, visit: Visit, key: str, expires: datetime) -> Upload:
    """This visitor's upload, which stays as long as the job does."""
    upload = own_stored_upload(session, visit, key)
    if upload.expires is not None:
        upload.expires = max(upload.expires, expires)
    return upload


def own_stored_upload(session: Session, visit: Visit, key: str) -> Upload:
    """This visitor's upload that has finished.

    Raises:
        HTTPException: 404, also for somebody else's; 409, it has not finished, was refused, or is no recording.
    """
    upload = session.get(Upload, key)
    if upload is None or upload.visit_id != visit.id:
        raise HTTPException(404, "There is no such upload.")
    if upload.state != "stored":
        raise HTTPException(409, upload.error or "This upload has not finished.")
    if upload.heard_key is None:
        raise HTTPException(409, "This upload is no recording.")
    return upload


def _adapted(session: Session, visit: Visit, key: str) -> dict[str, Any]:
    job = session.get(Job, key)
    if job is None or job.visit_id != visit.id or job.kind != "adapt" or job.state != "done":
        raise HTTPException(404, "There is no such adapted model.")
    return {"role": "model", "name": "the adapted model", "key": job.outputs[0]["key"]}


def _known(session: Session, keys: list[str]) -> dict[str, Any]:
    """What is known of the recordings: seconds of all; rate and channels of the first."""
    uploads = [session.get_one(Upload, key) for key in keys]
    seconds = sum(upload.seconds or 0.0 for upload in uploads)
    return {"seconds": seconds, "sample_rate": uploads[0].sample_rate, "channels": uploads[0].channels}


def state(session: Session, job: Job, address: str, mine: bool = True) -> JobState:
    """What is shown of a job, to its owner or to who has the link.

    Args:
        session: a reading one.
        job: of the studio.
        address: under which its files are: ``/studio/jobs/ID`` or ``/studio/shared/TOKEN``.
        mine: whether it is the owner who asks.
    """
    files = [
        JobFile(name=each["name"], role=each["role"], address=f"{address}/inputs/{number}")
        for number, each in enumerate(job.inputs)
        if each["role"] in SHARED or (mine and each["role"] not in INNER)
    ]
    files += [
        JobFile(
            name=each["name"],
            role=TABLES.get(each["name"], "voice"),
            address=f"{address}/files/{each['name']}",
            bytes=each["bytes"],
        )
        for each in job.outputs
    ]
    return JobState(
        id=job.id if mine else "",
        kind=job.kind,
        state=job.state,  # type: ignore[arg-type]
        name=title(job),
        ahead=queue.position(session, job),
        progress=job.progress,
        stage=job.stage,
        expected_seconds=_expected(session, job) if job.state in ("waiting", "running") else None,
        error=job.error,
        result=told(job),
        files=files,
        archive=f"{address}/all.zip" if job.outputs else None,
        shared=f"/studio/shared/{job.share}" if mine and job.share else None,
        sample_rate=job.parameters["sample_rate"],
        channels=job.parameters["channels"],
        created=job.created,
        expires=job.expires,
    )


def told(job: Job) -> dict[str, Any]:
    """What came of it; whom a voice was recognised as is told as the name of a talker, which its owner may change."""
    return {name: value for name, value in job.result.items() if name != NAMED}


def voice_files(job: Job) -> list[dict[str, Any]]:
    """Its outputs that can be heard."""
    return [each for each in job.outputs if each["name"] not in TABLES]


def title(job: Job) -> str:
    """What the job is about, by its first recording."""
    names = [each["name"] for each in job.inputs if each["role"] in ("mixture", "recording")]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}" if names else "Recording"


def _expected(session: Session, job: Job) -> float | None:
    """How long such jobs take, by those of late; None where there were none."""
    same = (Job.kind == job.kind, Job.state == "done")
    late = session.scalars(select(Job).where(*same).order_by(Job.finished.desc()).limit(LATEST_RATES)).all()
    rates = sorted(
        (each.finished - each.started).total_seconds() / max(1.0, each.parameters["seconds"])
        for each in late
        if each.parameters.get("model") == job.parameters.get("model")
        and each.parameters.get("seconds")
        and each.finished
        and each.started
    )
    if not rates or not job.parameters.get("seconds"):
        return None
    return rates[len(rates) // 2] * max(1.0, job.parameters["seconds"])


def stem(job: Job) -> str:
    """What its files are called in a header."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", title(job).rsplit(".", 1)[0]).strip("._") or "recording"
    return plain[:80]


def archive(
    storage: Any, job: Job, texts: dict[str, bytes], names: Mapping[str, str] = NO_NAMES
) -> Iterator[bytes]:
    """A zip of all voices, of texts by their names, and of what is known of them (``unbabble.json``); made while it is
    sent.

    Args:
        storage: where the voices are.
        job: whose they are.
        texts: by the names of their files.
        names: of voices that are called otherwise in the zip.

    Raises:
        InputError: an output is no longer there.
    """
    outputs = [each | {"name": names.get(each["name"], each["name"])} for each in voice_files(job)]
    first = storage.open(outputs[0]["key"]) if outputs else None  # what has begun cannot turn into a sentence
    return _zipped(storage, job, outputs, first, texts)


def _zipped(
    storage: Any, job: Job, outputs: list[dict[str, Any]], first: Any, texts: dict[str, bytes]
) -> Iterator[bytes]:
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as packed:
        for number, each in enumerate(outputs):
            info = zipfile.ZipInfo(each["name"], job.created.timetuple()[:6])
            with first if number == 0 else storage.open(each["key"]) as file, packed.open(info, "w") as into:
                while block := file.read(BLOCK_BYTES):
                    into.write(block)
                    yield pipe.taken()
        known = {"recording": title(job), "kind": job.kind, **told(job)}
        known_file = {"unbabble.json": (json.dumps(known, indent=2, ensure_ascii=False) + "\n").encode()}
        for name, content in (texts | known_file).items():
            packed.writestr(zipfile.ZipInfo(name, job.created.timetuple()[:6]), content)
    yield pipe.taken()


class _Pipe(io.RawIOBase):
    """What is written can be taken once; it cannot be sought in, and zipfile knows how to do without."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(data)

    def taken(self) -> bytes:
        held, self._held = bytes(self._held), bytearray()
        return held
