"""The contributors' way: a campaign's door, questions, consent, recording, a work stamp; and their personal link."""

import io
from functools import cache
from typing import Annotated, Any, Literal

import numpy as np
import soundfile
from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from unbabble.web.collect import campaigns, contributing
from unbabble.web.collect.campaigns import Full, Ids, Taken
from unbabble.web.pages import HERE, page
from unbabble.web.tables.collect import Campaign, Contribution, Participant, WorkStamp
from unbabble.web.visitors import Visitor, limited

router = APIRouter(prefix="/collect", include_in_schema=False)
DEMO = HERE.parent / "demo"
EXAMPLE_SECONDS, EXAMPLE_PEAK = 7.0, 0.6
Id = Annotated[str, Field(max_length=128)]
TALKERS = (0, 1)
NOT_TAKEN = (
    "Somebody has begun under this participant's number, in another browser. "
    "Go on there, or use the personal link that was shown there."
)


class EntryIds(BaseModel):
    """What a provider's link brings, under Prolific's names or plain ones."""

    PROLIFIC_PID: Id = ""
    STUDY_ID: Id = ""
    SESSION_ID: Id = ""
    participant: Id = ""
    study: Id = ""
    session: Id = ""

    def ids(self) -> Ids:
        """Without what is missing."""
        return Ids(
            self.PROLIFIC_PID or self.participant or None,
            self.STUDY_ID or self.study or None,
            self.SESSION_ID or self.session or None,
        )


class Questions(BaseModel):
    """What is asked of the two talkers."""

    together: Literal["yes", "no"]
    sex_0: Literal["female", "male", "other"]
    sex_1: Literal["female", "male", "other"]
    native_0: Literal["yes", "no"]
    native_1: Literal["yes", "no"]
    languages_0: str = Field("", max_length=100)
    languages_1: str = Field("", max_length=100)

    def answers(self) -> dict[str, Any]:
        """As they are kept; see ``tables.collect.Participant``."""
        return {
            "talkers": [
                {
                    "sex": getattr(self, f"sex_{each}"),
                    "native": getattr(self, f"native_{each}") == "yes",
                    "languages": getattr(self, f"languages_{each}").strip(),
                }
                for each in TALKERS
            ]
        }


@router.get("")
def door(request: Request) -> Response:
    """The campaigns that are open."""
    with request.app.state.database.reading() as session:
        every = session.scalars(select(Campaign).where(Campaign.open).order_by(Campaign.created.desc())).all()
    return page(request, "collect/door.html", campaigns=every)


@router.get("/{slug}")
def entry(request: Request, slug: str, visit: Visitor, ids: Annotated[EntryIds, Query()]) -> Response:
    """What a campaign is about, with an example; who has begun here goes on."""
    with request.app.state.database.reading() as session:
        campaign = _campaign(session, slug)
        if ids.ids().participant is not None:
            mine = Participant.provider_participant == ids.ids().participant
        else:
            mine = Participant.provider_participant.is_(None)
        begun = session.scalar(
            select(Participant)
            .where(Participant.campaign_id == campaign.id, Participant.visit_id == visit.id, mine)
            .order_by(Participant.created.desc())
            .limit(1)
        )
        places = campaigns.places(session, campaign) if campaign.open else 0
    if begun is None and places < 1:
        return _ended(request, campaign, "full", ids.ids())
    return page(request, "collect/entry.html", campaign=campaign, ids=ids.ids(), begun=begun, places=places)


@router.get("/{slug}/example.flac")
def example(request: Request, slug: str) -> Response:
    """Two voices at once, to listen to."""
    with request.app.state.database.reading() as session:
        _campaign(session, slug)
    return Response(_example(), media_type="audio/flac")


@router.post("/{slug}/begin", dependencies=[Depends(limited("collect", 60))])
def begin(request: Request, slug: str, visit: Visitor, ids: Annotated[EntryIds, Form()]) -> Response:
    """Begin, or go on."""
    with request.app.state.database.reading() as session:
        campaign = _campaign(session, slug)
    try:
        with request.app.state.database.writing() as session:
            participant = campaigns.enter(session, campaign, visit.id, ids.ids())
    except Full:
        return _ended(request, campaign, "full", ids.ids())
    except Taken:
        raise HTTPException(409, NOT_TAKEN) from None
    return RedirectResponse(f"/collect/at/{participant.id}", 303)


@router.get("/at/{key}")
def step(request: Request, key: str, visit: Visitor) -> Response:
    """Where this participant is on the way."""
    with request.app.state.database.reading() as session:
        participant, campaign = own(session, visit.id, key)
        consent = campaigns.current_consent(session, campaign.id)
        pairs = campaigns.pairs_of(session, key)
        stamp = session.scalar(select(WorkStamp).where(WorkStamp.participant_id == key))
    secret = request.app.state.settings.secret
    known: dict[str, Any] = {"campaign": campaign, "participant": participant, "pairs": pairs}
    known["own_link"] = _own_link(request, campaign, key)
    if participant.state == "questions":
        return page(request, "collect/questions.html", **known)
    if participant.state == "consent":
        return page(request, "collect/consent.html", consent=consent, **known)
    if participant.state == "recording":
        return page(request, "collect/record.html", **known)
    if participant.state == "screened out":
        return _ended(request, campaign, "screened out", campaigns.ids_of(participant))
    code = campaigns.code_of(secret, stamp, campaign.slug) if stamp else ""
    whole = stamp is not None and stamp.count >= len(pairs)
    link = campaign.link_completed if whole else ""
    link = campaigns.filled(link, campaigns.ids_of(participant), code)
    return page(request, "collect/done.html", stamp=stamp, code=code, link=link, **known)


@router.post("/at/{key}/answers")
def answer(request: Request, key: str, visit: Visitor, form: Annotated[Questions, Form()]) -> Response:
    """Keep the answers; who does not fit is screened out, and then nothing but that is kept."""
    with request.app.state.database.writing() as session:
        participant, campaign = own(session, visit.id, key)
        if participant.state in ("questions", "consent"):
            answers = form.answers()
            native = all(each["native"] for each in answers["talkers"])
            fits = form.together == "yes" and (native or not campaign.rules.get("native"))
            participant.answers = answers if fits else {}
            participant.state = "consent" if fits else "screened out"
    return RedirectResponse(f"/collect/at/{key}", 303)


@router.post("/at/{key}/consent")
def agree(
    request: Request,
    key: str,
    visit: Visitor,
    sha256: Annotated[str, Form(max_length=64)],
    agreed: Annotated[Literal["yes", "no"], Form()],
) -> Response:
    """Agree to the text that was shown, or leave; a text that has changed meanwhile is shown again."""
    with request.app.state.database.reading() as session:
        before, campaign = own(session, visit.id, key)
    try:
        with request.app.state.database.writing() as session:
            participant, _ = own(session, visit.id, key)
            consent = campaigns.current_consent(session, campaign.id)
            if participant.state == "consent" and agreed == "no":
                participant.state, participant.answers = "screened out", {}
            elif participant.state == "consent" and consent is not None and consent.sha256 == sha256:
                campaigns.agree(session, participant, consent)
    except Full:
        return _ended(request, campaign, "full", campaigns.ids_of(before))
    return RedirectResponse(f"/collect/at/{key}", 303)


@router.post("/at/{key}/back")
def back(request: Request, key: str, visit: Visitor) -> Response:
    """Back to the questions."""
    with request.app.state.database.writing() as session:
        participant, _ = own(session, visit.id, key)
        if participant.state == "consent":
            participant.state = "questions"
    return RedirectResponse(f"/collect/at/{key}", 303)


@router.post("/at/{key}/finish")
def finish(request: Request, key: str, visit: Visitor) -> Response:
    """End the work; the stamp is on the next page."""
    with request.app.state.database.writing() as session:
        participant, _ = own(session, visit.id, key)
        if participant.state == "recording" and campaigns.finish(session, participant) is None:
            raise HTTPException(409, "Nothing has been recorded yet.")
    return RedirectResponse(f"/collect/at/{key}", 303)


@router.get("/{slug}/own")
def own_page(request: Request, slug: str) -> Response:
    """Where a personal link leads: its token stands behind the ``#``, which browsers send to nobody."""
    with request.app.state.database.reading() as session:
        campaign = _campaign(session, slug)
    return page(request, "collect/own.html", campaign=campaign, participant=None)


@router.post("/{slug}/own", dependencies=[Depends(limited("collect", 60))])
def use_own_link(
    request: Request,
    slug: str,
    visit: Visitor,
    token: Annotated[str, Form(max_length=200)],
    action: Annotated[Literal["look", "resume", "withdraw"], Form()] = "look",
) -> Response:
    """Look at what is kept, go on in this browser, or delete it all."""
    state = request.app.state
    key = campaigns.participant_of(state.settings.secret, token.strip())
    with state.database.reading() as session:
        campaign = _campaign(session, slug)
        participant = session.get(Participant, key) if key else None
        made = session.scalar(select(func.count()).where(Contribution.participant_id == key))
    if participant is None or participant.campaign_id != campaign.id:
        raise HTTPException(404, "This is nobody's personal link in this campaign: copy all of it.")
    if action == "resume" and participant.state != "withdrawn":
        with state.database.writing() as session:
            session.get_one(Participant, key).visit_id = visit.id
        return RedirectResponse(f"/collect/at/{key}", 303)
    if action == "withdraw" and participant.state != "withdrawn":
        made = contributing.withdraw(
            state.database, state.storage, state.settings.data / "partial", participant.id
        )
        return page(request, "collect/withdrawn.html", campaign=campaign, made=made)
    return page(
        request,
        "collect/own.html",
        campaign=campaign,
        participant=participant,
        made=made,
        token=token.strip(),
    )


def own(session: Session, visit_id: str, key: str) -> tuple[Participant, Campaign]:
    """This visitor's participant and its campaign.

    Raises:
        HTTPException: 404, also for somebody else's, and for who has withdrawn.
    """
    participant = session.get(Participant, key)
    if participant is None or participant.visit_id != visit_id:
        raise HTTPException(404, "There is nobody of this number here: use your personal link.")
    return participant, session.get_one(Campaign, participant.campaign_id)


@cache
def _example() -> bytes:
    """Two talkers of the demo recording, mixed; FLAC."""
    voices = [soundfile.read(DEMO / f"reference{each}.flac", dtype="float32") for each in (1, 2)]
    rate = voices[0][1]
    mixture = np.sum([samples for samples, _ in voices], 0)[: round(EXAMPLE_SECONDS * rate)]
    file = io.BytesIO()
    soundfile.write(file, mixture * EXAMPLE_PEAK / np.abs(mixture).max(), rate, format="FLAC")
    return file.getvalue()


def _campaign(session: Session, slug: str) -> Campaign:
    campaign = session.scalar(select(Campaign).where(Campaign.slug == slug))
    if campaign is None:
        raise HTTPException(404, "There is no such campaign.")
    return campaign


def _ended(request: Request, campaign: Campaign, why: str, ids: Ids) -> Response:
    link = campaign.link_full if why == "full" else campaign.link_screened
    return page(request, "collect/ended.html", campaign=campaign, why=why, link=campaigns.filled(link, ids))


def _own_link(request: Request, campaign: Campaign, key: str) -> str:
    settings = request.app.state.settings
    return f"{settings.address}/collect/{campaign.slug}/own#{campaigns.token(settings.secret, key)}"
