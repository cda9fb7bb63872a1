"""The administrators' side of "Collect": campaigns, versions of their consent, work stamps."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from unbabble.base.errors import UsageError
from unbabble.web.collect import campaigns, stamps
from unbabble.web.collect.prompts import HERE as PROMPTS
from unbabble.web.collect.prompts import english
from unbabble.web.database import now
from unbabble.web.pages import page
from unbabble.web.tables.collect import Campaign, Consent, Contribution, Participant, Prompt, WorkStamp
from unbabble.web.visitors import Administrator, log

router = APIRouter(prefix="/collect", include_in_schema=False)
MOST_STAMPS_AT_ONCE = 500
Word = Annotated[str, Field(max_length=200)]
Address = Annotated[str, Field(max_length=2000)]


class CampaignForm(BaseModel):
    """As it is filled in; ``campaigns.Rules`` says what of it makes sense."""

    name: Word = ""
    slug: Word = ""
    text: str = Field("", max_length=2_000_000)
    consent: str = Field("", max_length=100_000)
    pairs_each: int = 5
    pairs_total: int = 500
    language: Word = "English"
    licence: Word = "CC BY 4.0"
    link_completed: Address = ""
    link_screened: Address = ""
    link_full: Address = ""
    stamp_days: int = 30
    native: bool = False


class ChangeForm(BaseModel):
    """What may change while a campaign runs."""

    pairs_total: int = Field(ge=1, le=campaigns.MOST_PAIRS_TOTAL)
    stamp_days: int = Field(ge=1, le=campaigns.MOST_STAMP_DAYS)
    link_completed: Address = ""
    link_screened: Address = ""
    link_full: Address = ""


def blank() -> CampaignForm:
    """Ready to be sent as it is."""
    return CampaignForm(
        name="Two voices, English",
        slug="english",
        text="\n".join(english()),
        consent=(PROMPTS / "consent.txt").read_text(encoding="utf-8"),
    )


@router.get("/campaigns")
def overview(request: Request, user: Administrator) -> Response:
    """All campaigns, and a form for another."""
    return _overview(request, blank())


@router.post("/campaigns")
def make(request: Request, user: Administrator, form: Annotated[CampaignForm, Form()]) -> Response:
    """A new campaign."""
    try:
        campaign = campaigns.make(request.app.state.database, user, campaigns.Rules(**form.model_dump()))
    except UsageError as error:
        return _overview(request, form, 422, str(error))
    return RedirectResponse(f"/collect/campaigns/{campaign.id}", 303)


@router.get("/campaigns/{key}")
def one(request: Request, user: Administrator, key: str) -> Response:
    """A campaign: where it is entered, how far it is, what can be changed."""
    with request.app.state.database.reading() as session:
        campaign = _campaign(session, key)
        consents = session.scalars(
            select(Consent).where(Consent.campaign_id == key).order_by(Consent.version.desc())
        ).all()
        sentences = session.scalars(
            select(Prompt.text).where(Prompt.campaign_id == key).order_by(Prompt.number)
        ).all()
        people, made = (
            _counts(session, Participant, "state", key),
            _counts(session, Contribution, "status", key),
        )
    address = f"{request.app.state.settings.address}/collect/{campaign.slug}"
    return page(
        request,
        "collect/campaign.html",
        campaign=campaign,
        consents=consents,
        sentences=sentences,
        people=people,
        made=made,
        address=address,
    )


@router.post("/campaigns/{key}")
def change(request: Request, user: Administrator, key: str, form: Annotated[ChangeForm, Form()]) -> Response:
    """Change how much is wanted, and where people are led back to."""
    try:
        campaigns.check_links((form.link_completed, form.link_screened, form.link_full))
    except UsageError as error:
        raise HTTPException(422, str(error)) from None
    with request.app.state.database.writing() as session:
        campaign = _campaign(session, key)
        for name, value in form.model_dump().items():
            setattr(campaign, name, value)
        log(session, user, "changed campaign", campaign.slug, **form.model_dump())
    return RedirectResponse(f"/collect/campaigns/{key}", 303)


@router.post("/campaigns/{key}/open")
def open_or_close(
    request: Request, user: Administrator, key: str, state: Annotated[Literal["open", "closed"], Form()]
) -> Response:
    """Let newcomers in, or not; who has begun may finish."""
    with request.app.state.database.writing() as session:
        campaign = _campaign(session, key)
        campaign.open = state == "open"
        log(session, user, "opened campaign" if campaign.open else "closed campaign", campaign.slug)
    return RedirectResponse(f"/collect/campaigns/{key}", 303)


@router.post("/campaigns/{key}/consent")
def another_consent(
    request: Request, user: Administrator, key: str, text: Annotated[str, Form(max_length=100_000)]
) -> Response:
    """Another version of the consent, which newcomers are asked for from now on."""
    with request.app.state.database.writing() as session:
        campaign = _campaign(session, key)
        try:
            consent = campaigns.add_consent(session, campaign, text)
        except UsageError as error:
            raise HTTPException(422, str(error)) from None
        log(session, user, "added consent", campaign.slug, version=consent.version, sha256=consent.sha256)
    return RedirectResponse(f"/collect/campaigns/{key}", 303)


@router.get("/stamps")
def stamps_page(request: Request, user: Administrator) -> Response:
    """Where stamps are verified."""
    return page(request, "collect/stamps.html", text="", found=None)


@router.post("/stamps")
def check_stamps(
    request: Request,
    user: Administrator,
    text: Annotated[str, Form(max_length=100_000)],
    action: Annotated[Literal["verify", "use"], Form()] = "verify",
) -> Response:
    """Verify stamps, one a line, perhaps with the session after it; ``use`` also marks the genuine ones as used."""
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    if len(lines) > MOST_STAMPS_AT_ONCE:
        raise HTTPException(422, f"At most {MOST_STAMPS_AT_ONCE} stamps at a time.")
    secret = request.app.state.settings.secret
    checked = []
    with request.app.state.database.writing() as session:
        for line in lines:
            stamp = _verified(session, secret, line[0], line[1].strip() if len(line) > 1 else None)
            if action == "use" and stamp["stamp"] is not None:
                row = stamp["row"]
                row.used, row.used_by = now(), user.name
                log(session, user, "used work stamp", stamp["slug"], serial=row.serial, count=row.count)
                stamp["used"] = True
            checked.append(stamp)
    return page(request, "collect/stamps.html", text=text, found=checked)


def _verified(session: Session, secret: bytes, code: str, given: str | None) -> dict[str, Any]:
    """What a code is worth; its row is locked, so that it is used once."""
    stamp: dict[str, Any] = {
        "code": code,
        "stamp": None,
        "row": None,
        "slug": "",
        "used": False,
        "session": given,
    }
    try:
        row = session.get(WorkStamp, stamps.read(code).serial, with_for_update=True)
        if row is None:
            raise stamps.StampError("This site has given no such stamp.")
        slug = session.get_one(Campaign, row.campaign_id).slug
        stamp |= {"slug": slug, "row": row, "session": given or row.session}
        if not stamp["session"]:
            raise stamps.StampError(
                "Who earned this has withdrawn since: type the session after the stamp to verify it."
            )
        used = {row.serial} if row.used else ()
        stamp["stamp"] = stamps.verify(
            stamps.stamp_key(secret), code, slug, stamp["session"], now().date(), used
        )
    except stamps.StampError as error:
        stamp["error"] = str(error)
    return stamp


def _overview(request: Request, form: CampaignForm, status: int = 200, sentence: str = "") -> Response:
    with request.app.state.database.reading() as session:
        every = session.scalars(select(Campaign).order_by(Campaign.created.desc())).all()
        counts = session.execute(
            select(Contribution.campaign_id, Contribution.status, func.count()).group_by(
                Contribution.campaign_id, Contribution.status
            )
        ).all()
    made: dict[str, dict[str, int]] = {each.id: {} for each in every}
    for campaign_id, state, count in counts:
        made[campaign_id][state] = count
    return page(
        request, "collect/campaigns.html", status, campaigns=every, made=made, form=form, sentence=sentence
    )


def _campaign(session: Session, key: str) -> Campaign:
    if (campaign := session.get(Campaign, key)) is None:
        raise HTTPException(404, "There is no such campaign.")
    return campaign


def _counts(session: Session, table: Any, column: str, campaign_id: str) -> dict[str, int]:
    grouped = getattr(table, column)
    rows = session.execute(
        select(grouped, func.count()).where(table.campaign_id == campaign_id).group_by(grouped)
    )
    return {row[0]: row[1] for row in rows}
