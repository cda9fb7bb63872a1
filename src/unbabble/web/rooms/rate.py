"""Rate, for who listens: the open studies, the way in, the headphone check, trials and votes.

POST /api/rate/STUDY/headphones {answers}                 one round of the headphone check
POST /api/rate/STUDY/next                                 the trial that is to be answered, which counts as opened
GET  /api/rate/trials/TRIAL/clips/N                       its N-th recording
POST /api/rate/trials/TRIAL/votes {values, played}        its answers, once
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException, Path, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy import func, select

from unbabble.web.pages import page, stored_file
from unbabble.web.rate import tones
from unbabble.web.rate.listeners import (
    answer_headphones,
    begin,
    headphone_seed,
    is_full,
    link,
    next_trial,
    vote,
)
from unbabble.web.rate.listening import BANDS, KINDS, LEAST_PLAYED, QUESTIONS, TRAP_WORDS, WORDS, rated
from unbabble.web.tables.people import Visit
from unbabble.web.tables.rate import Clip, Listener, Stimulus, Study, Trial
from unbabble.web.visitors import Visitor, limited

router = APIRouter()
Slug = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,64}$")]
Key = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
Provided = Annotated[str, Form(max_length=128, pattern=r"^[^\x00]*$")]
PROVIDED = {
    "participant": ("PROLIFIC_PID", "participant"),
    "study": ("STUDY_ID", "study"),
    "session": ("SESSION_ID", "session"),
}
"""Names under which providers' links bring their ids."""


class HeadphoneAnswers(BaseModel):
    """Which of the three tones was the quietest, in each trial."""

    answers: list[Annotated[int, Field(ge=1, le=3)]] = Field(
        min_length=tones.HEADPHONE_TRIALS, max_length=tones.HEADPHONE_TRIALS
    )


class HeadphonesChecked(BaseModel):
    """How it went."""

    passed: bool
    correct: int
    rounds_left: int


class Votes(BaseModel):
    """The answers to a trial, and how much of each recording was heard, both in the order of presentation."""

    values: list[Annotated[int, Field(ge=0, le=100)]] = Field(min_length=1, max_length=64)
    played: list[Annotated[float, Field(ge=0, le=1)]] = Field(min_length=1, max_length=64)


class TrialClip(BaseModel):
    """A recording of a trial; ``part`` is ``mixture``, ``reference``, ``rated``, ``a`` or ``b``."""

    url: str
    label: str
    part: str


class TrialShown(BaseModel):
    """A trial. ``questions`` are the numbers of the recordings that are rated; of a pair, there is one question, -1."""

    id: str
    clips: list[TrialClip]
    questions: list[int]


class Next(BaseModel):
    """What is to be done next: nothing where ``trial`` is none."""

    answered: int
    total: int
    trial: TrialShown | None


@router.get("/rate", include_in_schema=False)
def studies(request: Request, visit: Visitor) -> Response:
    """The open studies."""
    with request.app.state.database.reading() as session:
        open_studies = session.scalars(
            select(Study).where(Study.state == "open").order_by(Study.created.desc())
        ).all()
        own = {
            listener.study_id: listener
            for listener in session.scalars(select(Listener).where(Listener.visit_id == visit.id))
        }
    return page(request, "rate/index.html", studies=open_studies, own=own, kinds=KINDS)


@router.get("/rate/{slug}", include_in_schema=False)
def study_page(request: Request, slug: Slug, visit: Visitor) -> Response:
    """Wherever this listener is: the way in, the headphone check, the trials, or the end."""
    study, listener = _place(request, slug, visit)
    if listener is not None and listener.state in ("done", "screened out", "full"):
        return _end(request, study, listener, listener.state)
    if study.state == "closed":
        return _end(request, study, listener, "closed")
    shown: dict[str, Any] = {
        "study": study,
        "rehearsal": study.state == "draft",
        "words": WORDS,
        "bands": BANDS,
    }
    if listener is None:
        provider = {
            name: next((request.query_params[key][:128] for key in keys if key in request.query_params), "")
            for name, keys in PROVIDED.items()
        }
        with request.app.state.database.reading() as session:
            if session.scalar(select(Stimulus.id).where(Stimulus.study_id == study.id).limit(1)) is None:
                raise HTTPException(409, "There is nothing to listen to in this study yet.")
            if is_full(session, study):
                return _end(request, study, Listener(**_provided(provider)), "full")
        return page(request, "rate/welcome.html", **shown, provider=provider, trap=_trap(study))
    if listener.state == "headphones":
        numbers = range(1, tones.HEADPHONE_TRIALS + 1)
        return page(
            request, "rate/headphones.html", **shown, numbers=numbers, rounds=listener.headphone_rounds
        )
    shown |= {"question": QUESTIONS[study.kind], "trap": _trap(study), "least_played": LEAST_PLAYED}
    return page(request, "rate/trial.html", **shown)


@router.post("/rate/{slug}/begin", include_in_schema=False, dependencies=[Depends(limited("rate", 30))])
def agree(
    request: Request,
    slug: Slug,
    visit: Visitor,
    hearing: Annotated[bool, Form()],
    quiet: Annotated[bool, Form()],
    agreed: Annotated[bool, Form()] = False,
    participant: Provided = "",
    provider_study: Provided = "",
    provider_session: Provided = "",
) -> Response:
    """Take part."""
    study, listener = _place(request, slug, visit)
    if listener is None:
        if study.state == "closed":
            raise HTTPException(409, "This study is closed.")
        if not agreed:
            raise HTTPException(422, "Agree to take part, or close this page.")
        provider = {"participant": participant, "study": provider_study, "session": provider_session}
        begin(request.app.state.database, study, visit.id, provider, {"hearing": hearing, "quiet": quiet})
    return RedirectResponse(f"/rate/{slug}", 303)


@router.get("/rate/{slug}/tones/{number}", include_in_schema=False)
def tone(
    request: Request,
    slug: Slug,
    number: Annotated[int, Path(ge=0, le=tones.HEADPHONE_TRIALS)],
    visit: Visitor,
) -> Response:
    """The sound of one trial of the headphone check; 0 is noise to set the volume by."""
    _, listener = _place(request, slug, visit)
    if listener is None or listener.state != "headphones":
        raise HTTPException(404, "There is no headphone check for you here.")
    if number == 0:
        return Response(tones.level_wav(), media_type="audio/wav")
    trial = tones.headphone_trials(headphone_seed(listener))[number - 1]
    return Response(tones.headphone_wav(trial), media_type="audio/wav", headers={"cache-control": "no-store"})


@router.post("/api/rate/{slug}/headphones", tags=["rate"])
def check_headphones(
    request: Request, slug: Slug, given: HeadphoneAnswers, visit: Visitor
) -> HeadphonesChecked:
    """One round of the headphone check."""
    study, listener = _taking_part(request, slug, visit)
    return HeadphonesChecked(**answer_headphones(request.app.state.database, study, listener, given.answers))


@router.post("/api/rate/{slug}/next", tags=["rate"])
def next_one(request: Request, slug: Slug, visit: Visitor) -> Next:
    """The trial that is to be answered; it counts as opened from now on."""
    study, listener = _taking_part(request, slug, visit)
    if listener.state not in ("rating", "done"):
        raise HTTPException(409, "This page is out of date: load it again.")
    trial, answered, total = next_trial(request.app.state.database, listener)
    return Next(answered=answered, total=total, trial=_shown(study, trial) if trial else None)


@router.get("/api/rate/trials/{key}/clips/{place}", tags=["rate"])
def clip(request: Request, key: Key, place: Annotated[int, Path(ge=0, le=1000)], visit: Visitor) -> Response:
    """A recording of an opened trial, which says nothing of where it is from."""
    with request.app.state.database.reading() as session:
        trial, _, _ = _own_trial(session, key, visit)
        if trial.opened is None or place >= len(trial.order):
            raise HTTPException(404, "There is no such recording.")
        stored = session.get_one(Clip, trial.order[place]["clip"])
    return stored_file(request.app.state.storage, stored.key, "audio/flac")


@router.post("/api/rate/trials/{key}/votes", tags=["rate"], status_code=201)
def votes(request: Request, key: Key, given: Votes, visit: Visitor) -> dict[str, str]:
    """The answers to a trial, once."""
    database = request.app.state.database
    with database.reading() as session:
        _, listener, study = _own_trial(session, key, visit)
    if study.state == "closed":
        raise HTTPException(409, "This study is closed.")
    vote(database, study, listener, key, given.values, given.played)
    return {"state": "taken"}


def _place(request: Request, slug: str, visit: Visit) -> tuple[Study, Listener | None]:
    """The study, and this visitor in it; drafts are for administrators."""
    with request.app.state.database.reading() as session:
        study = session.scalar(select(Study).where(Study.slug == slug))
        if study is None or (study.state == "draft" and not _administers(visit)):
            raise HTTPException(404, "There is no such study.")
        listener = session.scalar(
            select(Listener).where(Listener.study_id == study.id, Listener.visit_id == visit.id)
        )
    return study, listener


def _taking_part(request: Request, slug: str, visit: Visit) -> tuple[Study, Listener]:
    study, listener = _place(request, slug, visit)
    if listener is None:
        raise HTTPException(404, "You take no part in this study.")
    if study.state == "closed":
        raise HTTPException(409, "This study is closed.")
    return study, listener


def _own_trial(session: Any, key: str, visit: Visit) -> tuple[Trial, Listener, Study]:
    row = session.execute(
        select(Trial, Listener, Study)
        .join(Listener, Listener.id == Trial.listener_id)
        .join(Study, Study.id == Listener.study_id)
        .where(Trial.id == key, Listener.visit_id == visit.id)
    ).first()
    if row is None:
        raise HTTPException(404, "There is no such trial.")
    return row[0], row[1], row[2]


def _administers(visit: Visit) -> bool:
    return visit.user is not None and visit.user.role == "administrator"


def _provided(provider: dict[str, str]) -> dict[str, str | None]:
    return {f"provider_{name}": value or None for name, value in provider.items()}


def _trap(study: Study) -> str:
    return TRAP_WORDS.get(study.kind, "") if study.traps_each else ""


def _shown(study: Study, trial: Trial) -> TrialShown:
    clips, voices = [], 0
    sides: dict[int, int] = {}
    for place, each in enumerate(trial.order):
        if each["part"] == "rated":
            voices += 1
        side = each.get("side", 0)
        sides[side] = sides.get(side, 0) + 1
        label = {
            "mixture": "Mixture",
            "reference": "Reference",
            "a": f"{('First', 'Second')[side - 1]}, voice {sides[side]}",
            "b": f"{('First', 'Second')[side - 1]}, voice {sides[side]}",
            "rated": {"acr": "Recording", "mushra": f"Sound {chr(64 + voices)}"}.get(
                study.kind, f"Voice {voices}"
            ),
        }[each["part"]]
        clips.append(
            TrialClip(url=f"/api/rate/trials/{trial.id}/clips/{place}", label=label, part=each["part"])
        )
    questions = [place for place, each in enumerate(trial.order) if each["part"] == "rated"]
    assert len(rated(trial.order)) == max(1, len(questions))
    return TrialShown(id=trial.id, clips=clips, questions=questions or [-1])


def _end(request: Request, study: Study, listener: Listener | None, state: str) -> Response:
    template = {"done": study.link_completed, "screened out": study.link_screened}.get(state, study.link_full)
    with request.app.state.database.reading() as session:
        own = select(func.count()).where(Trial.listener_id == (listener.id if listener else None))
        trials = session.scalar(own) if listener is not None and listener.id else 0
    target = link(template, listener) if template else ""
    return page(request, "rate/end.html", study=study, state=state, link=target, trials=trials)
