"""The leaderboard: test sets, how systems did on them, and outputs that anybody sends to be scored."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, File, HTTPException, Request, UploadFile
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field, field_validator
from sqlalchemy import select
from sqlalchemy.orm import Session

from unbabble.web.leaderboard import standings
from unbabble.web.leaderboard.board import METRICS, read_table
from unbabble.web.leaderboard.board_work import MOST_TALKERS
from unbabble.web.pages import page, stored_file
from unbabble.web.tables.board import Entry, TestSet
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.people import User, Visit
from unbabble.web.tables.uploads import Upload
from unbabble.web.uploads import ARCHIVE
from unbabble.web.visitors import Administrator, Visitor, limited, log

MOST_WAITING = 5
"""Entries of one visitor that are not scored yet."""
MOST_FULL = 3
"""Sets that are shown with all measures on the first page; of more, those that are open."""


def _settled(request: Request) -> None:
    """Results of jobs are written down before anything is shown or changed."""
    standings.settle(request.app.state.database)


pages = APIRouter(prefix="/leaderboard", include_in_schema=False, dependencies=[Depends(_settled)])
api = APIRouter(prefix="/api/leaderboard", tags=["leaderboard"], dependencies=[Depends(_settled)])
Line = Annotated[str, Field(min_length=1, max_length=120)]
Text = Annotated[str, Field(max_length=2000)]


class NewSet(BaseModel):
    """A test set, whose archive has been uploaded. ``talkers`` counts where the archive holds no true voices."""

    upload: str = Field(max_length=32)
    name: Line
    description: Text = ""
    licence: str = Field("", max_length=120)
    talkers: int = Field(2, ge=1, le=MOST_TALKERS)
    study: str = Field("", max_length=64)
    made: Text = ""


class NewEntry(BaseModel):
    """A system's outputs, whose archive has been uploaded."""

    upload: str = Field(max_length=32)
    system: Line
    contact: Line
    link: str = Field("", max_length=300)
    description: Text = ""

    @field_validator("link")
    @classmethod
    def _leads_to_the_web(cls, link: str) -> str:
        if link and not link.startswith(("https://", "http://")):
            raise ValueError("A link begins with https://")
        return link


@pages.get("")
def board_page(request: Request) -> Response:
    """Separators and test sets."""
    tables = standings.tables(request.app.state.database)
    systems = sorted({row.entry.system for table in tables for row in table.rows})
    cells = {(row.entry.system, table.test_set.id): row for table in tables for row in table.rows}
    return page(request, "board/board.html", tables=tables, systems=systems, cells=cells, most_full=MOST_FULL)


@pages.get("/manage")
def manage(request: Request, user: Administrator) -> Response:
    """Test sets and entries, for administrators."""
    database = request.app.state.database
    with database.reading() as session:
        sets = session.scalars(select(TestSet).order_by(TestSet.created.desc())).all()
        sent = select(Entry).where(Entry.kind == "submission").order_by(Entry.created.desc())
        entries = session.scalars(sent).unique().all()
    return page(request, "board/manage.html", sets=sets, entries=entries, most_talkers=MOST_TALKERS)


@pages.post("/manage/load")
def load(request: Request, user: Administrator, file: Annotated[UploadFile, File()]) -> Response:
    """Enter a table that was made elsewhere."""
    try:
        content = json.loads(file.file.read())
    except (ValueError, RecursionError):
        raise HTTPException(422, "This file is not JSON.") from None
    tables = read_table(content, (file.filename or "table").rsplit(".", 1)[0][:60])
    with request.app.state.database.writing() as session:
        for test_set in standings.load(session, tables):
            log(session, user, "loaded numbers", test_set.name)
    return RedirectResponse("/leaderboard/manage", 303)


@pages.post("/manage/sets/{key}/{action}")
def change_set(
    request: Request, user: Administrator, key: str, action: Literal["open", "close", "remove"]
) -> Response:
    """Take outputs, or no more; or delete a set with its entries."""
    with request.app.state.database.writing() as session:
        test_set = session.get(TestSet, key)
        if test_set is None:
            raise HTTPException(404, "There is no such test set.")
        log(session, user, f"{action} test set", test_set.name)
        if action == "remove":
            standings.remove_set(session, test_set)
        elif test_set.key is None:
            raise HTTPException(409, "There are no mixtures of this set here.")
        else:
            test_set.state = "open" if action == "open" else "closed"
    return RedirectResponse("/leaderboard/manage", 303)


@pages.post("/manage/entries/{key}/{action}")
def change_entry(
    request: Request, user: Administrator, key: str, action: Literal["publish", "hide", "remove"]
) -> Response:
    """Show an entry to everybody, or not; or delete it."""
    with request.app.state.database.writing() as session:
        entry = session.get(Entry, key)
        if entry is None:
            raise HTTPException(404, "There is no such entry.")
        log(session, user, f"{action} entry", entry.system, test_set=entry.test_set.name)
        if action == "remove":
            standings.remove_entry(session, entry)
        elif entry.state != "scored":
            raise HTTPException(409, "This entry has no scores.")
        else:
            entry.published = action == "publish"
    return RedirectResponse("/leaderboard/manage", 303)


@pages.get("/entries/{key}")
def entry_page(request: Request, key: str, visit: Visitor) -> Response:
    """An entry: how far it is for who sent it, and how it was made for everybody once it is shown."""
    with request.app.state.database.reading() as session:
        entry = _seen(session, key, visit)
    scored = [(metric, entry.scores[metric.key]) for metric in METRICS if metric.key in entry.scores]
    return page(request, "board/entry.html", entry=entry, scored=scored, own=entry.visit_id == visit.id)


@pages.post("/entries/{key}/withdraw")
def withdraw(request: Request, key: str, visit: Visitor) -> Response:
    """Delete one's own entry with what was sent for it."""
    with request.app.state.database.writing() as session:
        entry = session.get(Entry, key)
        if entry is None or entry.visit_id != visit.id:
            raise HTTPException(404, "There is no such entry.")
        slug = entry.test_set.slug
        standings.remove_entry(session, entry)
    return RedirectResponse(f"/leaderboard/{slug}", 303)


@pages.get("/{slug}")
def set_page(request: Request, slug: str, visit: Visitor) -> Response:
    """One test set: all metrics, how it was made, and where outputs are sent."""
    table = _table(request, slug)
    with request.app.state.database.reading() as session:
        sent = select(Entry).where(Entry.set_id == table.test_set.id, Entry.visit_id == visit.id)
        own = session.scalars(sent.order_by(Entry.created.desc())).unique().all()
    return page(request, "board/set.html", table=table, test_set=table.test_set, own=own)


@pages.get("/{slug}/mixtures.zip")
def mixtures(request: Request, slug: str) -> Response:
    """The mixtures, to be separated."""
    test_set = _table(request, slug).test_set
    if test_set.state != "open" or test_set.mixtures_key is None:
        raise HTTPException(404, "The mixtures of this set cannot be downloaded.")
    return stored_file(
        request.app.state.storage, test_set.mixtures_key, "application/zip", f"{test_set.slug}.zip"
    )


@api.get("")
def standings_as_json(request: Request) -> list[dict[str, Any]]:
    """All tables."""
    return [_plain(table) for table in standings.tables(request.app.state.database)]


@api.post("/sets", status_code=201)
def add_set(request: Request, new: NewSet, user: Administrator, visit: Visitor) -> dict[str, str]:
    """Make a test set of an archive."""
    with request.app.state.database.writing() as session:
        upload = _archive(session, new.upload, visit)
        test_set = TestSet(
            slug=standings.free_slug(session, new.name),
            name=new.name,
            description=new.description,
            licence=new.licence,
            talkers=new.talkers,
            study_slug=new.study,
            synthetic=False,
            made={"command": new.made} if new.made else {},
        )
        standings.ask_set(session, test_set, upload, visit.id)
        log(session, user, "made test set", new.name)
        return {"id": test_set.id, "slug": test_set.slug}


@api.post("/{slug}/entries", status_code=201, dependencies=[Depends(limited("board", 20))])
def add_entry(request: Request, slug: str, new: NewEntry, visit: Visitor) -> dict[str, str]:
    """Have a system's outputs scored."""
    with request.app.state.database.writing() as session:
        test_set = session.scalar(select(TestSet).where(TestSet.slug == slug))
        if test_set is None or test_set.state not in ("open", "closed"):
            raise HTTPException(404, "There is no such test set.")
        if test_set.state != "open":
            raise HTTPException(409, "This test set takes no outputs.")
        waiting = select(Entry.id).where(Entry.visit_id == visit.id, Entry.state == "waiting")
        if len(session.scalars(waiting).all()) >= MOST_WAITING:
            raise HTTPException(429, "Too many entries at once: wait until some are scored.")
        entry = Entry(
            set_id=test_set.id,
            system=new.system,
            kind="submission",
            link=new.link,
            description=new.description,
            contact=new.contact,
            visit_id=visit.id,
        )
        standings.ask_entry(session, entry, test_set, _archive(session, new.upload, visit), visit.id)
        return {"id": entry.id}


@api.get("/entries/{key}")
def entry_state(request: Request, key: str, visit: Visitor) -> dict[str, Any]:
    """How far an entry is, for who sent it."""
    with request.app.state.database.reading() as session:
        entry = _seen(session, key, visit)
        job = session.get(Job, entry.job_id) if entry.job_id else None
    progress = job.progress if job is not None else None
    return {"state": entry.state, "error": entry.error, "progress": progress, "published": entry.published}


def _seen(session: Session, key: str, visit: Visit) -> Entry:
    entry = session.get(Entry, key)
    if entry is None or not (entry.published or entry.visit_id == visit.id or _administers(visit.user)):
        raise HTTPException(404, "There is no such entry.")
    return entry


def _administers(user: User | None) -> bool:
    return user is not None and user.role == "administrator"


def _archive(session: Session, key: str, visit: Visit) -> Upload:
    """An archive that this visitor has uploaded, and that is of no use to anything yet."""
    upload = session.get(Upload, key)
    if upload is None or upload.visit_id != visit.id or upload.purpose != ARCHIVE or upload.state != "stored":
        raise HTTPException(404, "There is no such upload.")
    if upload.expires is None:
        raise HTTPException(409, "This upload has been used already.")
    return upload


def _table(request: Request, slug: str) -> standings.Table:
    tables = standings.tables(request.app.state.database, slug)
    if not tables:
        raise HTTPException(404, "There is no such test set.")
    return tables[0]


def _plain(table: standings.Table) -> dict[str, Any]:
    test_set = table.test_set
    return {
        "name": test_set.name,
        "slug": test_set.slug,
        "synthetic": test_set.synthetic,
        "recordings": len(test_set.items),
        "made": test_set.made,
        "systems": [
            {
                "system": row.entry.system,
                "kind": row.entry.kind,
                "scores": {key: figure.to_dict() for key, figure in row.figures.items()},
                "ranks": row.ranks,
                "made": row.entry.made,
            }
            for row in table.rows
        ],
    }


router = APIRouter()
router.include_router(pages)
router.include_router(api)
