"""Separate and listen: recordings in, voices out, with a score for each; nobody else hears them.

POST   /api/studio/jobs {kind, recordings, model, ...}   ask for work on uploads
GET    /api/studio/jobs                                  one's own jobs
GET    /api/studio/jobs/ID                               how far it is, what came of it, where the files are
DELETE /api/studio/jobs/ID                               delete it, with its files
POST   /api/studio/jobs/ID/share                         a link that lasts as long as the job; DELETE ends it
GET    /api/studio/models?kind=separate                  what can be chosen
DELETE /api/studio/everything                            delete all that this visitor has here
"""

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import BaseModel
from sqlalchemy import select

from unbabble.base.files import DEMO_FOLDER
from unbabble.web.pages import page, stored_file
from unbabble.web.queue import expiry
from unbabble.web.queue.disposal import sweep
from unbabble.web.studio import enrolled, meeting, talkers, words
from unbabble.web.studio.studio_jobs import (
    INNER,
    NO_INDEX,
    OF_STUDIO,
    SHARED,
    JobState,
    NewJob,
    archive,
    ask,
    own_job,
    shared_job,
    state,
    stem,
)
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.people import Visit
from unbabble.web.visitors import Visitor, limited
from unbabble.web.work import STUDIO_KINDS

DEMO = DEMO_FOLDER / "mixture.flac"
LATEST = 100
"""Jobs in the list."""
KINDS_OF_FILE = {".flac": "audio/flac", ".zip": "application/zip"}
ASKED_AGAIN = ("mixture", "enrollment")
"""Inputs with which a job is done another way."""

router = APIRouter()
pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api/studio", tags=["studio"])
Key = Annotated[str, InPath(max_length=64)]


class ModelChoice(BaseModel):
    """A model that can be named."""

    name: str
    summary: str
    group: str


class Link(BaseModel):
    """Where anybody who knows it may listen."""

    address: str


@pages.get("/studio")
def studio(request: Request, visit: Visitor) -> Response:
    """Bring a recording; what there is already."""
    return page(
        request,
        "studio/studio.html",
        jobs=(jobs := _own_jobs(request, visit)),
        adapted=_adapted(jobs),
        enrolled=_enrolled(request, visit),
        kinds=STUDIO_KINDS,
        settings=request.app.state.settings,
    )


@pages.get("/studio/demo.flac")
def demo(request: Request) -> Response:
    """A recording for who has none at hand: three talkers, four microphones."""
    return FileResponse(DEMO, media_type="audio/flac")


@pages.get("/studio/jobs/{key}")
def job_page(request: Request, visit: Visitor, key: Key) -> Response:
    """One job: how far it is, then its voices."""
    job = own_job(request, visit, key)
    state = _state(request, job)
    adapted = _adapted(_own_jobs(request, visit))
    kind = STUDIO_KINDS[job.kind]
    shown = {
        "words": words.shown(request, job),
        "meeting": meeting.shown(request, job),
        "enrolled": _enrolled(request, visit),
        **_shown(job),
    }
    return page(request, "studio/job.html", job=state, kind=kind, mine=True, adapted=adapted, **shown)


@pages.get("/studio/shared/{token}")
def shared_page(request: Request, token: Key) -> Response:
    """The same, for everybody who has the link."""
    job = shared_job(request, token)
    state = _state(request, job, f"/studio/shared/{token}", mine=False)
    known = {
        "words": words.shown(request, job),
        "meeting": meeting.shown(request, job),
        "kind": STUDIO_KINDS[job.kind],
    }
    answer = page(request, "studio/job.html", job=state, mine=False, **known)
    answer.headers.update(NO_INDEX)
    return answer


@pages.get("/studio/jobs/{key}/inputs/{number}")
def own_input(request: Request, visit: Visitor, key: Key, number: int) -> Response:
    """A recording that a job is about."""
    return _input(request, own_job(request, visit, key), number, mine=True)


@pages.get("/studio/shared/{token}/inputs/{number}")
def shared_input(request: Request, token: Key, number: int) -> Response:
    """The mixture, for everybody who has the link."""
    return _input(request, shared_job(request, token), number, mine=False)


@pages.get("/studio/jobs/{key}/files/{name}")
def own_output(request: Request, visit: Visitor, key: Key, name: Key) -> Response:
    """A voice, or whatever the job made."""
    return _output(request, own_job(request, visit, key), name)


@pages.get("/studio/shared/{token}/files/{name}")
def shared_output(request: Request, token: Key, name: Key) -> Response:
    """A voice, for everybody who has the link."""
    return _output(request, shared_job(request, token), name)


@pages.get("/studio/jobs/{key}/all.zip")
def own_archive(request: Request, visit: Visitor, key: Key) -> Response:
    """All that the job made."""
    return _archive(request, own_job(request, visit, key))


@pages.get("/studio/shared/{token}/all.zip")
def shared_archive(request: Request, token: Key) -> Response:
    """The same, for everybody who has the link."""
    return _archive(request, shared_job(request, token))


@api.get("/models")
def models(kind: str = "separate") -> list[ModelChoice]:
    """What jobs of a kind may be done by."""
    if kind not in STUDIO_KINDS:
        raise HTTPException(422, f"The studio does these: {', '.join(STUDIO_KINDS)}.")
    return [ModelChoice(**vars(each)) for each in STUDIO_KINDS[kind].choices()]


@api.post("/jobs", status_code=201, dependencies=[Depends(limited("jobs", 30))])
def new_job(request: Request, visit: Visitor, new: NewJob) -> JobState:
    """Ask for work."""
    return _state(request, ask(request, visit, new))


@api.get("/jobs")
def jobs(request: Request, visit: Visitor) -> list[JobState]:
    """One's own, the latest first."""
    return _own_jobs(request, visit)


@api.get("/jobs/{key}")
def job_state(request: Request, visit: Visitor, key: Key) -> JobState:
    """How far it is."""
    return _state(request, own_job(request, visit, key))


@api.delete("/jobs/{key}", status_code=204)
def delete_job(request: Request, visit: Visitor, key: Key) -> Response:
    """Delete it, what it made, and the recordings that no other job is about."""
    job = own_job(request, visit, key)
    with request.app.state.database.writing() as session:
        expiry.remove_job(session, job)
    sweep(request.app.state.database, request.app.state.storage)
    return Response(status_code=204)


@api.delete("/everything", status_code=204)
def delete_everything(request: Request, visit: Visitor) -> Response:
    """Delete all that this visitor has in the studio, and all voices that they have enrolled."""
    with request.app.state.database.writing() as session:
        expiry.remove_everything(session, visit.id)
        enrolled.remove_all(session, visit)
    sweep(request.app.state.database, request.app.state.storage)
    return Response(status_code=204)


@api.post("/jobs/{key}/share")
def share(request: Request, visit: Visitor, key: Key) -> Link:
    """Make the link; asked again, it is the same."""
    job = own_job(request, visit, key)
    if job.state != "done" or not STUDIO_KINDS[job.kind].voices:
        raise HTTPException(409, "Voices can be shared, once they are there.")
    with request.app.state.database.writing() as session:
        job = session.get(Job, key, with_for_update=True)
        if job is None:
            raise HTTPException(404, "There is no such job.")
        job.share = job.share or secrets.token_urlsafe(24)
    return Link(address=f"/studio/shared/{job.share}")


@api.delete("/jobs/{key}/share", status_code=204)
def stop_sharing(request: Request, visit: Visitor, key: Key) -> Response:
    """The link leads nowhere any more."""
    own_job(request, visit, key)
    with request.app.state.database.writing() as session:
        if (job := session.get(Job, key, with_for_update=True)) is not None:
            job.share = None
    return Response(status_code=204)


def _own_jobs(request: Request, visit: Visit) -> list[JobState]:
    with request.app.state.database.reading() as session:
        own = (Job.visit_id == visit.id, *OF_STUDIO)
        jobs = session.scalars(select(Job).where(*own).order_by(Job.created.desc()).limit(LATEST)).all()
        return [state(session, job, f"/studio/jobs/{job.id}") for job in jobs]


def _state(request: Request, job: Job, address: str | None = None, mine: bool = True) -> JobState:
    with request.app.state.database.reading() as session:
        return state(session, job, address or f"/studio/jobs/{job.id}", mine)


def _shown(job: Job) -> dict[str, Any]:
    """What only the page needs."""
    inputs = {role: [each["upload"] for each in job.inputs if each["role"] == role] for role in ASKED_AGAIN}
    return {
        "upload": next(iter(inputs["mixture"]), None),
        "enrollments": inputs["enrollment"],
        "parameters": job.parameters,
    }


def _adapted(jobs: list[JobState]) -> list[JobState]:
    """Those that made a model that is better for somebody."""
    return [job for job in jobs if job.kind == "adapt" and job.state == "done" and job.result["kept"]]


def _enrolled(request: Request, visit: Visit) -> int:
    """How many voices can be named in a meeting."""
    with request.app.state.database.reading() as session:
        return len(enrolled.people(enrolled.as_inputs(session, visit)))


def _input(request: Request, job: Job, number: int, mine: bool) -> Response:
    if not 0 <= number < len(job.inputs):
        raise HTTPException(404, "There is no such recording.")
    entry = job.inputs[number]
    if entry["role"] in INNER or not (mine or entry["role"] in SHARED):
        raise HTTPException(404, "There is no such recording.")
    return _sent(request, entry["key"], f"{entry['role']}{number + 1}.flac")


def _output(request: Request, job: Job, name: str) -> Response:
    for each in job.outputs:
        if each["name"] == name:
            return _sent(request, each["key"], _names(request, job).get(name, name))
    raise HTTPException(404, "There is no such file.")


def _names(request: Request, job: Job) -> dict[str, str]:
    with request.app.state.database.reading() as session:
        return talkers.file_names(session, job)


def _sent(request: Request, key: str, name: str) -> Response:
    kind = KINDS_OF_FILE.get(f".{name.rsplit('.', 1)[-1]}", "application/octet-stream")
    answer = stored_file(
        request.app.state.storage, key, kind, name if "save" in request.query_params else None
    )
    answer.headers.update(NO_INDEX)
    return answer


def _archive(request: Request, job: Job) -> Response:
    if not job.outputs:
        raise HTTPException(404, "There are no voices yet.")
    texts = words.texts(request, job, stem(job)) | meeting.texts(request, job, stem(job))
    headers = {"content-disposition": f'attachment; filename="{stem(job)}-{job.kind}.zip"', **NO_INDEX}
    content = archive(request.app.state.storage, job, texts, _names(request, job))
    return StreamingResponse(content, media_type="application/zip", headers=headers)


router.include_router(pages)
router.include_router(api)
