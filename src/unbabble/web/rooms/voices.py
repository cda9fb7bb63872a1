"""The studio's enrolled voices: people whom talkers of a meeting can be named after.

GET    /studio/voices                  the list, and a form to enroll somebody; ?job=ID&file=NAME by a studio's voice
GET    /api/studio/voices              the list
POST   /api/studio/voices              {name, recordings | job, files, keep_recording, consent}: enroll somebody
GET    /api/studio/voices/ID           how far that is
PUT    /api/studio/voices/ID           {name}: call the person otherwise
DELETE /api/studio/voices/ID           delete the voice, and all that is kept of it
GET    /studio/voices/ID/NAME          what was said, where it is kept
"""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi import Path as InPath
from fastapi.responses import Response
from pydantic import BaseModel, Field

from unbabble.web.pages import page, stored_file
from unbabble.web.queue.disposal import sweep
from unbabble.web.studio import enrolled, enrolling, talkers
from unbabble.web.studio.enrolling import NewVoice, VoiceState
from unbabble.web.studio.studio_jobs import NO_INDEX, own_job, title, voice_files
from unbabble.web.tables.people import Visit
from unbabble.web.visitors import Visitor, limited
from unbabble.web.work.enroll import PRINT
from unbabble.web.work.kind import MOST_FILES

router = APIRouter()
pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api/studio/voices", tags=["studio"])
Key = Annotated[str, InPath(max_length=64)]


class Renamed(BaseModel):
    """What the person is called."""

    name: str = Field(max_length=1000)


class Source(BaseModel):
    """A voice of the studio by which somebody can be enrolled: whose it is so far, and where it comes from."""

    job: str
    files: list[str]
    recording: str
    name: str


@pages.get("/studio/voices")
def voices_page(
    request: Request,
    visit: Visitor,
    job: Annotated[str | None, Query(max_length=64)] = None,
    file: Annotated[list[str], Query(max_length=MOST_FILES)] = [],  # noqa: B006
) -> Response:
    """Who is enrolled; a form to enroll somebody."""
    context = {
        "voices": _voices(request, visit),
        "consents": enrolling.consents(visit),
        "source": None if job is None else _source(request, visit, job, file),
        "most_letters": talkers.MOST_LETTERS,
    }
    return page(request, "studio/voices.html", settings=request.app.state.settings, **context)


@pages.get("/studio/voices/{key}/{name}")
def recording(request: Request, visit: Visitor, key: Key, name: Key) -> Response:
    """What was said, where it is kept."""
    with request.app.state.database.reading() as session:
        _, job = enrolling.own_voice(session, visit, key)
    for each in job.outputs:
        if each["name"] == name and name != PRINT:
            answer = stored_file(request.app.state.storage, each["key"], "audio/flac")
            answer.headers.update(NO_INDEX)
            return answer
    raise HTTPException(404, "There is no such recording.")


@api.get("")
def voices(request: Request, visit: Visitor) -> list[VoiceState]:
    """One's own, in the order in which they were enrolled."""
    return _voices(request, visit)


@api.post("", status_code=201, dependencies=[Depends(limited("jobs", 30))])
def enroll(request: Request, visit: Visitor, new: NewVoice) -> VoiceState:
    """Enroll somebody who has agreed to it."""
    return enrolling.ask(request, visit, new)


@api.get("/{key}")
def voice(request: Request, visit: Visitor, key: Key) -> VoiceState:
    """How far it is."""
    with request.app.state.database.reading() as session:
        return enrolling.state(*enrolling.own_voice(session, visit, key))


@api.put("/{key}")
def rename(request: Request, visit: Visitor, key: Key, renamed: Renamed) -> VoiceState:
    """Call a person otherwise, in meetings to come."""
    with request.app.state.database.writing() as session:
        own, job = enrolling.own_voice(session, visit, key)
        enrolling.rename(session, visit, own, renamed.name)
        return enrolling.state(own, job)


@api.delete("/{key}", status_code=204)
def delete(request: Request, visit: Visitor, key: Key) -> Response:
    """Delete a voice, with its print and its recordings."""
    with request.app.state.database.writing() as session:
        own, _ = enrolling.own_voice(session, visit, key)
        enrolling.remove(session, visit, own)
    sweep(request.app.state.database, request.app.state.storage)
    return Response(status_code=204)


def _voices(request: Request, visit: Visit) -> list[VoiceState]:
    if enrolled.settle(request.app.state.database):
        sweep(request.app.state.database, request.app.state.storage)
    with request.app.state.database.reading() as session:
        return [enrolling.state(*each) for each in enrolled.voices(session, visit)]


def _source(request: Request, visit: Visit, key: str, files: list[str]) -> Source:
    """What the form is about, as a link of the studio has it.

    Raises:
        HTTPException: 404, it is not there.
    """
    job = own_job(request, visit, key)
    enrolling.brought_out(job, files)
    with request.app.state.database.reading() as session:
        names = dict(
            zip((each["name"] for each in voice_files(job)), talkers.names(session, job), strict=False)
        )
    known = names.get(files[0], "")
    name = "" if enrolling.NUMBERED.fullmatch(enrolled.folded(known)) else known
    return Source(job=key, files=files, recording=title(job), name=name)


router.include_router(pages)
router.include_router(api)
