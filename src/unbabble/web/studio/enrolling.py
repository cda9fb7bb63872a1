"""Enrolling a voice: what the person has to agree to, where recordings come from, and the name.

A voice is enrolled by uploads, by voices that a job of the studio has brought out, or by a talker of a meeting. Who
enrolls somebody states that this person has agreed to a text that says what is kept, for how long and for whom; the
call names the text by its SHA-256, so that nobody agrees to another one than was shown.
"""

import hashlib
import re
from datetime import datetime
from typing import Literal

from fastapi import HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from unbabble.web.queue import queue
from unbabble.web.studio import enrolled
from unbabble.web.studio.enrolled import folded, owned_by
from unbabble.web.studio.studio_jobs import own_job, own_stored_upload, voice_files
from unbabble.web.studio.talkers import MOST_LETTERS, one_line
from unbabble.web.tables.enrolled import EnrolledVoice
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.people import User, Visit
from unbabble.web.visitors import VISIT_DAYS, log
from unbabble.web.work.enroll import KEPT_SECONDS, PRINT, VOICE, Enroll
from unbabble.web.work.kind import MOST_FILES

MOST_VOICES = 50
"""Of one account, or one visit."""
NUMBERED = re.compile(r"speaker_?\d+")
"""What talkers are called whom nobody has named."""
CONSENT = """\
Of this person the server keeps {kept}. Only {whom} can use it, to name this person in meetings; whoever runs the \
server can reach it. It is kept until it is deleted here, or until {end}. Whoever agreed may take that back at any \
time: all of it is then deleted at once. Meetings in which this person was named keep the name."""
KEPT = {
    False: "a voice print, the numbers by which this voice is recognised, and nothing of what was said: a recording "
    "that is sent for it is deleted as soon as the print is made",
    True: "a voice print, the numbers by which this voice is recognised, and of each recording up to "
    f"{KEPT_SECONDS:g} seconds of what was said, to hear whose voice it is and to make the print anew when the "
    "network changes",
}
ACCOUNT = {"whom": "this account", "end": "the account is removed"}
BROWSER = {
    "whom": "this browser, or the account that logs in here,",
    "end": f"the browser's visit is over, {VISIT_DAYS} days after it began at the latest, or the account is removed",
}


class NewVoice(BaseModel):
    """Somebody to enroll.

    Attributes:
        name: what the person is called.
        recordings: uploads.
        job: of the studio, whose ``files`` are this person's voice.
        files: outputs of ``job``, by their names.
        keep_recording: whether more than the print may be kept.
        consent: SHA-256 of the text to which the person has agreed.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=1000)
    recordings: list[str] = Field(default=[], max_length=MOST_FILES)
    job: str | None = Field(default=None, max_length=64)
    files: list[str] = Field(default=[], max_length=MOST_FILES)
    keep_recording: bool = False
    consent: str = Field(pattern="^[0-9a-f]{64}$")


class VoiceState(BaseModel):
    """A voice that is enrolled, or is going to be.

    Attributes:
        id: of the voice.
        name: of the person.
        state: ``done`` where the voice can be used.
        error: why it could not be enrolled.
        warnings: what is doubtful.
        speech_seconds: by which the voice is known.
        recordings: addresses of what is kept to be heard.
        keeps_recording: whether more than the print may be kept.
        consent: to what the person has agreed.
        created: when.
    """

    id: str
    name: str
    state: Literal["waiting", "running", "done", "failed"]
    error: str | None
    warnings: list[str]
    speech_seconds: float | None
    recordings: list[str]
    keeps_recording: bool
    consent: str
    created: datetime


def consents(visit: Visit) -> dict[bool, tuple[str, str]]:
    """The texts to which people may agree, with their SHA-256: without and with a recording that is kept."""
    whose = BROWSER if visit.user_id is None else ACCOUNT
    texts = {keep: CONSENT.format(kept=kept, **whose) for keep, kept in KEPT.items()}
    return {keep: (text, hashlib.sha256(text.encode()).hexdigest()) for keep, text in texts.items()}


def state(voice: EnrolledVoice, job: Job) -> VoiceState:
    """What is shown of a voice to its owner."""
    recordings = sorted(each["name"] for each in job.outputs if each["name"] != PRINT)
    return VoiceState(
        id=voice.id,
        name=voice.name,
        state=job.state,  # type: ignore[arg-type]
        error=job.error,
        warnings=job.result.get("warnings", []),
        speech_seconds=job.result.get("speech_seconds"),
        recordings=[f"/studio/voices/{voice.id}/{name}" for name in recordings],
        keeps_recording=voice.keeps_recording,
        consent=voice.consent,
        created=voice.created,
    )


def ask(request: Request, visit: Visit, new: NewVoice) -> VoiceState:
    """Enroll somebody.

    Raises:
        HTTPException: 404 for uploads, jobs and files that are not this visitor's; 409 for a name that is taken, a text
            that has changed, or too many voices; 422 for a name that is none, or where there is no recording.
    """
    text, sha256 = consents(visit)[new.keep_recording]
    if new.consent != sha256:
        raise HTTPException(409, "The text to agree to has changed: load the page again, and read it.")
    inputs = [] if new.job is None else brought_out(own_job(request, visit, new.job), new.files)
    if not new.recordings and not inputs:
        raise HTTPException(422, "A voice is enrolled by a recording: choose one.")
    with request.app.state.database.writing() as session:
        name = _free_name(session, visit, new.name)
        if len(enrolled.voices(session, visit)) >= MOST_VOICES:
            raise HTTPException(409, f"At most {MOST_VOICES} voices are enrolled: delete one first.")
        inputs += [
            queue.as_input(own_stored_upload(session, visit, key), VOICE)
            for key in dict.fromkeys(new.recordings)
        ]
        job = queue.enqueue(session, Enroll.name, visit.id, {"keep": new.keep_recording}, inputs)
        voice = EnrolledVoice(
            user_id=visit.user_id,
            visit_id=None if visit.user_id else visit.id,
            job_id=job.id,
            name=name,
            keeps_recording=new.keep_recording,
            consent=text,
        )
        session.add(voice)
        session.flush()
        if visit.user is not None:  # without the name, which is to go when the voice does
            log(session, visit.user, "enrolled voice", voice.id, keeps_recording=new.keep_recording)
        return state(voice, job)


def rename(session: Session, visit: Visit, voice: EnrolledVoice, name: str) -> None:
    """Call a person by another name, in meetings to come.

    Raises:
        HTTPException: 409, another has that name; 422, it is none, or too long.
    """
    voice.name = _free_name(session, visit, name, voice)


def remove(session: Session, visit: Visit, voice: EnrolledVoice) -> None:
    """Delete a voice, and all that is kept of it."""
    if visit.user is not None:
        log(session, visit.user, "deleted voice", voice.id)
    enrolled.remove(session, voice)


def own_voice(session: Session, visit: Visit, key: str) -> tuple[EnrolledVoice, Job]:
    """A voice of who is there, and the job that holds what is kept of it.

    Raises:
        HTTPException: 404, also for somebody else's.
    """
    rows = select(EnrolledVoice, Job).join(Job, EnrolledVoice.job_id == Job.id)
    found = session.execute(rows.where(EnrolledVoice.id == key, owned_by(visit))).first()
    if found is None:
        raise HTTPException(404, "There is no such voice here: it was deleted, or it is somebody else's.")
    voice, job = found
    return voice, job


def brought_out(job: Job, names: list[str]) -> list[dict[str, str]]:
    """Voices that a job has brought out, as inputs.

    Raises:
        HTTPException: 404, it has none of these names.
    """
    known = {each["name"]: each for each in voice_files(job) if each["name"].endswith(".flac")}
    if not names or any(name not in known for name in names):
        raise HTTPException(404, "There is no such voice in this recording.")
    return [{"role": VOICE, "name": name, "key": known[name]["key"]} for name in dict.fromkeys(names)]


def _free_name(session: Session, visit: Visit, name: str, but: EnrolledVoice | None = None) -> str:
    """A name as it is kept; whoever else wants one meanwhile waits."""
    table, key = (User, visit.user_id) if visit.user_id else (Visit, visit.id)
    session.get(table, key, with_for_update={"of": table})
    name = one_line(name)
    if not name:
        raise HTTPException(422, "Say what this person is called.")
    if len(name) > MOST_LETTERS:
        raise HTTPException(422, f"A name has at most {MOST_LETTERS} letters.")
    if NUMBERED.fullmatch(folded(name)):
        raise HTTPException(422, f"Talkers whom nobody knows are called {name}: choose another name.")
    others = [voice for voice, _ in enrolled.voices(session, visit) if but is None or voice.id != but.id]
    if any(folded(voice.name) == folded(name) for voice in others):
        raise HTTPException(409, f"A voice is enrolled as {name}: delete it first, or choose another name.")
    return name
