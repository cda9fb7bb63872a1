"""The studio's meetings: who speaks when, what the talkers are called, and which two are one person.

GET    /api/studio/jobs/ID/meeting                          talkers and turns
PUT    /api/studio/jobs/ID/meeting/talkers/N                {name}: call talker N so, everywhere; empty: as before
PUT    /api/studio/jobs/ID/meeting/talkers/N/same-as/M      they are one person; DELETE .../same-as: they are not
GET    /studio/jobs/ID/meeting.rttm                         as a file, also .json .html
"""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Request
from fastapi import Path as InPath
from fastapi.responses import Response
from pydantic import BaseModel, Field

from unbabble.web.studio import meeting, talkers
from unbabble.web.studio.meeting import Meeting, MeetingFormat
from unbabble.web.studio.studio_jobs import NO_INDEX, own_job, shared_job, stem
from unbabble.web.tables.jobs import Job
from unbabble.web.visitors import Visitor

MEDIA: dict[MeetingFormat, str] = {"rttm": "text/plain", "json": "application/json", "html": "text/html"}
MOST_SENT = 1000
"""Letters of a name that are read at all."""
NONE_YET = "There is no meeting here, or not yet."

router = APIRouter()
pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api/studio", tags=["studio"])
Key = Annotated[str, InPath(max_length=64)]
Number = Annotated[int, InPath(ge=0, le=1000)]


class Named(BaseModel):
    """What a talker is called; empty for what the job calls them."""

    name: str = Field(max_length=MOST_SENT)


@api.get("/jobs/{key}/meeting")
def who_speaks_when(request: Request, visit: Visitor, key: Key) -> Meeting:
    """Talkers and turns."""
    return _meeting(request, own_job(request, visit, key))


@api.put("/jobs/{key}/meeting/talkers/{number}")
def rename(request: Request, visit: Visitor, key: Key, number: Number, named: Named) -> Meeting:
    """Call a talker by another name, here and in every file."""
    job = own_job(request, visit, key)
    talkers.rename(request, job, number, named.name)
    return _meeting(request, job)


@api.put("/jobs/{key}/meeting/talkers/{number}/same-as/{other}")
def merge(request: Request, visit: Visitor, key: Key, number: Number, other: Number) -> Meeting:
    """Two talkers are one person, who is called as the second."""
    job = own_job(request, visit, key)
    talkers.merge(request, job, number, other)
    return _meeting(request, job)


@api.delete("/jobs/{key}/meeting/talkers/{number}/same-as")
def part(request: Request, visit: Visitor, key: Key, number: Number) -> Meeting:
    """A talker is nobody else."""
    job = own_job(request, visit, key)
    talkers.merge(request, job, number, None)
    return _meeting(request, job)


@pages.get("/studio/jobs/{key}/meeting.{format}")
def own_file(request: Request, visit: Visitor, key: Key, format: MeetingFormat) -> Response:
    """The meeting as a file."""
    return _file(request, own_job(request, visit, key), format)


@pages.get("/studio/shared/{token}/meeting.{format}")
def shared_file(request: Request, token: Key, format: MeetingFormat) -> Response:
    """The same, for everybody who has the link."""
    return _file(request, shared_job(request, token), format)


def _meeting(request: Request, job: Job) -> Meeting:
    if (made := meeting.shown(request, job)) is None:
        raise HTTPException(404, NONE_YET)
    return made


def _file(request: Request, job: Job, format: MeetingFormat) -> Response:
    name = f"{stem(job)}.{format}"
    if not (content := meeting.texts(request, job, stem(job), (format,))):
        raise HTTPException(404, NONE_YET)
    headers = {"content-disposition": f'attachment; filename="{name}"', **NO_INDEX}
    return Response(content[name], media_type=MEDIA[format], headers=headers)


router.include_router(pages)
router.include_router(api)
