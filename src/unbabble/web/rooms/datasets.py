"""Data sets of what was accepted, for administrators: asked for here, made by a worker, downloaded when they are whole.

GET    /review/datasets              those there are, and a form for another
GET    /review/datasets/ID/file      the tar file; 410 where somebody in it has withdrawn
GET    /api/review/datasets[/ID]     the same for programs
POST   /api/review/datasets          ask for one
DELETE /api/review/datasets/ID       remove it
"""

from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, Field, model_validator
from sqlalchemy import func, select

from unbabble.web.database import Database, now
from unbabble.web.pages import page, stored_file
from unbabble.web.queue.queue import enqueue, remove
from unbabble.web.review.reviewing import allowed, gone
from unbabble.web.review.splits import DEV_SHARE, TEST_SHARE, fingerprint
from unbabble.web.tables.collect import Campaign, Contribution, Participant
from unbabble.web.tables.jobs import Job
from unbabble.web.visitors import Administrator, limited, log

KIND = "export"
KEPT_DAYS = 7
MOST_SEED = 2**31 - 1

Key = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
pages = APIRouter(include_in_schema=False)
calls = APIRouter(prefix="/api/review/datasets", tags=["review"])


class NewDataset(BaseModel):
    """What a data set should hold."""

    title: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")
    campaign: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Its address; all of them where null."
    )
    layout: Literal["manifest", "realm"] = "manifest"
    shards: bool = False
    seed: int = Field(0, ge=0, le=MOST_SEED)
    dev: float = Field(DEV_SHARE, ge=0, lt=1)
    test: float = Field(TEST_SHARE, ge=0, lt=1)

    @model_validator(mode="after")
    def _leaves_some(self) -> "NewDataset":
        if self.dev + self.test >= 1:
            raise ValueError("the shares of dev and test must be below 1 together")
        return self


class DatasetState(BaseModel):
    """How far a data set is, and what is in it."""

    id: str
    title: str
    campaign: str | None
    layout: str
    shards: bool
    seed: int
    state: Literal["waiting", "running", "done", "failed"]
    progress: float | None
    error: str | None
    bytes: int | None
    recordings: int | None
    contributors: int | None
    seconds: float | None
    splits: dict[str, int] | None
    missing: list[str] | None
    created: AwareDatetime
    expires: AwareDatetime | None


@pages.get("/review/datasets")
def datasets_page(request: Request, user: Administrator) -> Response:
    """What there is, and a form."""
    with request.app.state.database.reading() as session:
        accepted = dict(
            session.execute(
                select(Campaign.slug, func.count(Contribution.id))
                .join(Contribution, Contribution.campaign_id == Campaign.id)
                .join(Participant, Contribution.participant_id == Participant.id)
                .where(*allowed())
                .group_by(Campaign.slug)
            ).all()
        )
        campaigns = session.scalars(select(Campaign).order_by(Campaign.created)).all()
    return page(
        request,
        "review/datasets.html",
        datasets=_all(request.app.state.database),
        campaigns=campaigns,
        accepted=accepted,
        days=KEPT_DAYS,
    )


@pages.get("/review/datasets/{key}/file")
def download(request: Request, user: Administrator, key: Key) -> Response:
    """The tar file, written to the audit log."""
    database = request.app.state.database
    with database.reading() as session:
        job = _job(session, key)
    if job.state != "done":
        raise HTTPException(409, "This data set is not finished.")
    if withdrawn := _withdrawn(database, job):
        with database.writing() as session:
            remove(session, key)
        recordings = "One of its recordings was" if withdrawn == 1 else f"{withdrawn} of its recordings were"
        raise HTTPException(
            410, f"{recordings} withdrawn or rejected since: this data set is removed. Make it again."
        )
    (output,) = job.outputs
    with database.writing() as session:
        log(session, user, "downloaded data set", job.parameters["title"], job=key)
    return stored_file(request.app.state.storage, output["key"], "application/x-tar", output["name"])


@calls.get("")
def datasets(request: Request, user: Administrator) -> list[DatasetState]:
    """Those there are, latest first."""
    return _all(request.app.state.database)


@calls.post("", status_code=202, dependencies=[Depends(limited("datasets", 20))])
def begin(request: Request, user: Administrator, new: NewDataset) -> DatasetState:
    """Ask for one."""
    settings = request.app.state.settings
    with request.app.state.database.writing() as session:
        if (
            new.campaign is not None
            and session.scalar(select(Campaign.id).where(Campaign.slug == new.campaign)) is None
        ):
            raise HTTPException(422, f"There is no campaign '{new.campaign}'.")
        parameters = new.model_dump() | {"secret": fingerprint(settings.secret)}
        expires = now() + timedelta(days=KEPT_DAYS)
        job = enqueue(session, KIND, None, parameters, [], expires=expires)
        log(session, user, "asked for data set", new.title, campaign=new.campaign, layout=new.layout)
    return _state(job)


@calls.get("/{key}")
def dataset(request: Request, user: Administrator, key: Key) -> DatasetState:
    """How far it is."""
    with request.app.state.database.reading() as session:
        return _state(_job(session, key))


@calls.delete("/{key}", status_code=204)
def remove_dataset(request: Request, user: Administrator, key: Key) -> None:
    """Remove it."""
    with request.app.state.database.writing() as session:
        job = _job(session, key)
        remove(session, key)
        log(session, user, "removed data set", job.parameters["title"])


def _all(database: Database) -> list[DatasetState]:
    with database.reading() as session:
        jobs = session.scalars(select(Job).where(Job.kind == KIND).order_by(Job.created.desc(), Job.id)).all()
    return [_state(job) for job in jobs]


def _job(session: Any, key: str) -> Job:
    job = session.get(Job, key)
    if job is None or job.kind != KIND:
        raise HTTPException(404, "There is no such data set.")
    return job


def _withdrawn(database: Database, job: Job) -> int:
    """How many of its recordings may no longer be given away."""
    return len(gone(database, job.result["contributions"]))


def _state(job: Job) -> DatasetState:
    known = ("recordings", "contributors", "seconds", "splits", "missing")
    asked = ("title", "campaign", "layout", "shards", "seed")
    state = {name: getattr(job, name) for name in ("id", "state", "progress", "error", "created", "expires")}
    state |= {name: job.parameters[name] for name in asked} | {name: job.result.get(name) for name in known}
    return DatasetState(bytes=job.outputs[0]["bytes"] if job.outputs else None, **state)


router = APIRouter()
router.include_router(pages)
router.include_router(calls)
