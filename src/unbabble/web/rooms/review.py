"""The reviewers' room: listen to contributions, accept or reject them, see who contributes what.

GET  /review                            the queue, and what has been decided
GET  /review/next                       to the next that waits
GET  /review/contributions/ID           one, to be heard and decided
GET  /review/contributions/ID/skip      to the next behind it
GET  /review/contributions/ID/audio, /voices/N
GET  /review/contributors               everybody, with what became of their recordings
GET  /review/decisions                  the audit log of decisions
GET  /api/review/contributions[/ID]     the same for programs
POST /api/review/contributions/ID/decision   409 where somebody was first
POST /api/review/contributions/ID/score      have it judged (again)
"""

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from unbabble.web.collect import reading
from unbabble.web.pages import page, stored_file
from unbabble.web.review import judging, reviewing
from unbabble.web.review.reviewing import MOST_SHOWN, Wanted
from unbabble.web.review.splits import pseudonym
from unbabble.web.tables.collect import Campaign, Consent, Contribution, Participant
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.people import Event
from unbabble.web.tables.review import Judgement
from unbabble.web.tables.uploads import Upload
from unbabble.web.visitors import Reviewer, limited

PROCESSED = ("echoCancellation", "noiseSuppression", "autoGainControl")
"""What a browser does to a track, and should not have done."""
LATEST_DECISIONS = 200
MOST_LISTED = 500

Key = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
Identifier = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_-]{0,64}$")]
Status = Literal["pending", "accepted", "rejected"]
pages = APIRouter(include_in_schema=False)
calls = APIRouter(prefix="/api/review", tags=["review"])


class Decision(BaseModel):
    """What a reviewer says of a contribution."""

    status: Literal["accepted", "rejected"]
    reason: str = Field("", max_length=500, pattern=r"^[^\x00]*$")
    seen: AwareDatetime | None = Field(
        None, description="`decided` of the contribution as you saw it; null for one that waited."
    )


class ContributionState(BaseModel):
    """A contribution as reviewers see it."""

    id: str
    campaign: str
    participant: str
    status: str
    seconds: float
    sentences: list[str]
    checks: list[dict[str, Any]]
    track: dict[str, Any]
    blind: dict[str, Any]
    judging: str = Field(description="Of the blind score: none, waiting, running, done or failed.")
    reviewer: str | None
    reason: str | None
    decided: AwareDatetime | None
    created: AwareDatetime


class Decided(BaseModel):
    """What a decision led to."""

    status: str
    decided: AwareDatetime
    next: str | None = Field(description="Id of the next that waits.")


@pages.get("/review")
def queue(
    request: Request,
    user: Reviewer,
    campaign: Identifier = None,
    status: Literal["pending", "accepted", "rejected", "all", ""] = "pending",
    participant: Identifier = None,
    after: Identifier = None,
) -> Response:
    """What waits, or what was decided."""
    database = request.app.state.database
    judging.settle(database)
    reading.settle(database)
    wanted = Wanted(campaign or None, status if status in reviewing.STATUSES else None, participant or None)
    with database.reading() as session:
        page_of = reviewing.find(session, wanted, after or None, MOST_SHOWN + 1)
        counts = reviewing.count(session, wanted)
        campaigns = session.scalars(select(Campaign).order_by(Campaign.created)).all()
    shown = page_of[:MOST_SHOWN]
    return page(
        request,
        "review/queue.html",
        shown=shown,
        more=shown[-1].id if len(page_of) > MOST_SHOWN else None,
        counts=counts,
        campaigns={each.id: each for each in campaigns},
        wanted=wanted,
        chosen=status or "all",
        failed=reviewing.failed_checks,
        score=reviewing.mean_score,
        called=_namer(request),
    )


@pages.get("/review/next")
def go_on(
    request: Request, user: Reviewer, campaign: Identifier = None, participant: Identifier = None
) -> Response:
    """To the oldest that waits, or to the queue if nothing does."""
    wanted = Wanted(campaign or None, "pending", participant or None)
    with request.app.state.database.reading() as session:
        key = reviewing.next_pending(session, wanted)
    return RedirectResponse(_address(key, wanted), 303)


@pages.get("/review/contributions/{key}")
def contribution_page(
    request: Request, user: Reviewer, key: Key, campaign: Identifier = None, participant: Identifier = None
) -> Response:
    """One contribution; with ``campaign`` or ``participant``, the next one is of these."""
    database = request.app.state.database
    judging.settle(database)
    reading.settle(database)
    wanted = Wanted(campaign or None, "pending", participant or None)
    with database.reading() as session:
        contribution = _contribution(session, key)
        participant_row = session.get_one(Participant, contribution.participant_id)
        context = {
            "contribution": contribution,
            "participant": participant_row,
            "campaign": session.get_one(Campaign, contribution.campaign_id),
            "consent": session.get(Consent, participant_row.consent_id)
            if participant_row.consent_id
            else None,
            "upload": session.get_one(Upload, contribution.upload_id),
            "judging": _judging(session, contribution),
            "decisions": session.scalars(
                select(Event).where(Event.subject == contribution.id).order_by(Event.id.desc())
            ).all(),
            "counts": reviewing.count(session, wanted),
            "theirs": reviewing.count(session, Wanted(participant=contribution.participant_id)),
        }
    return page(
        request,
        "review/contribution.html",
        wanted=wanted,
        reasons=reviewing.REASONS,
        word=reviewing.first_word(contribution) if contribution.decided else None,
        processed=[name for name in PROCESSED if contribution.track.get(name)],
        called=_namer(request),
        **context,
    )


@pages.get("/review/contributions/{key}/skip")
def skip(
    request: Request, user: Reviewer, key: Key, campaign: Identifier = None, participant: Identifier = None
) -> Response:
    """To the next that waits behind this one."""
    wanted = Wanted(campaign or None, "pending", participant or None)
    with request.app.state.database.reading() as session:
        following = reviewing.next_pending(session, wanted, _contribution(session, key))
    return RedirectResponse(_address(following, wanted), 303)


@pages.get("/review/contributions/{key}/audio")
def recording(request: Request, user: Reviewer, key: Key) -> Response:
    """The recording."""
    with request.app.state.database.reading() as session:
        upload = session.get_one(Upload, _contribution(session, key).upload_id)
    return _sound(request, upload.heard_key)


@pages.get("/review/contributions/{key}/voices/{number}")
def voice(request: Request, user: Reviewer, key: Key, number: Annotated[int, Path(ge=1, le=99)]) -> Response:
    """What was separated from it."""
    with request.app.state.database.reading() as session:
        voices = _contribution(session, key).blind.get("voices") or []
    return _sound(request, voices[number - 1] if number <= len(voices) else None)


@pages.get("/review/contributors")
def contributors(request: Request, user: Reviewer, campaign: Identifier = None) -> Response:
    """Who has contributed what."""
    judging.settle(request.app.state.database)
    with request.app.state.database.reading() as session:
        people = reviewing.contributors(session, campaign or None)
        campaigns = session.scalars(select(Campaign).order_by(Campaign.created)).all()
    return page(
        request,
        "review/contributors.html",
        contributors=people,
        campaigns=campaigns,
        chosen=campaign or "",
        called=_namer(request),
    )


@pages.get("/review/decisions")
def decisions(request: Request, user: Reviewer) -> Response:
    """What was decided by whom, latest first; of every reviewer, so that they can agree."""
    actions = [f"{status} recording" for status in reviewing.STATUSES]
    with request.app.state.database.reading() as session:
        events = session.scalars(
            select(Event).where(Event.action.in_(actions)).order_by(Event.id.desc()).limit(LATEST_DECISIONS)
        ).all()
        there = set(
            session.scalars(
                select(Contribution.id).where(Contribution.id.in_([event.subject for event in events]))
            )
        )
    return page(request, "review/decisions.html", events=events, there=there, called=_namer(request))


@calls.get("/contributions")
def contributions(
    request: Request,
    user: Reviewer,
    campaign: Identifier = None,
    status: Status | None = None,
    participant: Identifier = None,
    after: Identifier = None,
    most: Annotated[int, Query(ge=1, le=MOST_LISTED)] = MOST_SHOWN,
) -> list[ContributionState]:
    """Contributions, oldest first; `after` is the id of the last that you have."""
    with request.app.state.database.reading() as session:
        wanted = Wanted(campaign or None, status, participant or None)
        rows = reviewing.find(session, wanted, after or None, most)
        return [_state(session, each) for each in rows]


@calls.get("/contributions/{key}")
def contribution(request: Request, user: Reviewer, key: Key) -> ContributionState:
    """One of them."""
    judging.settle(request.app.state.database)
    with request.app.state.database.reading() as session:
        return _state(session, _contribution(session, key))


@calls.post("/contributions/{key}/decision")
def decide(
    request: Request,
    user: Reviewer,
    key: Key,
    decision: Decision,
    campaign: Identifier = None,
    participant: Identifier = None,
) -> Decided:
    """Accept or reject; 409 where it is not as you saw it, because somebody else has decided."""
    reason = decision.reason.strip()
    if decision.status == "rejected" and not reason:
        raise HTTPException(422, "Say why it is rejected.")
    try:
        with request.app.state.database.writing() as session:
            contribution = reviewing.decide(session, user, key, decision.status, reason, decision.seen)
            wanted = Wanted(campaign or None, "pending", participant or None)
            session.flush()
            following = reviewing.next_pending(session, wanted, contribution)
    except KeyError:
        raise HTTPException(404, "There is no such recording: perhaps it was withdrawn.") from None
    except reviewing.Decided as error:
        raise HTTPException(409, str(error)) from None
    assert contribution.decided is not None
    return Decided(status=contribution.status, decided=contribution.decided, next=following)


@calls.post(
    "/contributions/{key}/score", status_code=202, dependencies=[Depends(limited("review-score", 60))]
)
def score(request: Request, user: Reviewer, key: Key) -> ContributionState:
    """Have it separated and scored, unless that has been done; what failed is tried again."""
    with request.app.state.database.writing() as session:
        contribution = _contribution(session, key, lock=True)
        judging.ask(session, contribution)
        session.flush()
        return _state(session, contribution)


def _address(key: str | None, wanted: Wanted) -> str:
    """Of a contribution, with what is wanted next; of the queue where there is none."""
    asked = {"campaign": wanted.campaign, "participant": wanted.participant}
    query = urlencode({name: value for name, value in asked.items() if value})
    return (f"/review/contributions/{key}" if key else "/review") + (f"?{query}" if query else "")


def _contribution(session: Session, key: str, lock: bool = False) -> Contribution:
    query = select(Contribution).where(Contribution.id == key)
    contribution = session.scalar(query.with_for_update() if lock else query)
    if contribution is None:
        raise HTTPException(404, "There is no such recording: perhaps it was withdrawn.")
    return contribution


def _judging(session: Session, contribution: Contribution) -> str:
    """How far the blind score is."""
    if contribution.blind:
        return "failed" if "error" in contribution.blind else "done"
    query = select(Job.state).join(Judgement, Judgement.job_id == Job.id)
    return session.scalar(query.where(Judgement.contribution_id == contribution.id)) or "none"


def _state(session: Session, contribution: Contribution) -> ContributionState:
    campaign = session.get_one(Campaign, contribution.campaign_id)
    return ContributionState(
        id=contribution.id,
        campaign=campaign.slug,
        participant=contribution.participant_id,
        status=contribution.status,
        seconds=contribution.seconds,
        sentences=[contribution.first_text, contribution.second_text],
        checks=contribution.checks,
        track=contribution.track,
        blind={name: value for name, value in contribution.blind.items() if name != "voices"},
        judging=_judging(session, contribution),
        reviewer=contribution.reviewer,
        reason=contribution.reason,
        decided=contribution.decided,
        created=contribution.created,
    )


def _sound(request: Request, key: str | None) -> Response:
    if key is None:
        raise HTTPException(404, "There is no such recording.")
    return stored_file(request.app.state.storage, key, "audio/flac")


def _namer(request: Request):
    """How people and recordings are called in exports, and here."""
    secret = request.app.state.settings.secret
    return lambda kind, identifier: pseudonym(secret, kind, identifier)


router = APIRouter()
router.include_router(pages)
router.include_router(calls)
