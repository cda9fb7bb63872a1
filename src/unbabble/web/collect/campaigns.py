"""Campaigns and those who take part, as transactions: making one, entering, agreeing, getting sentences, ending.

Nothing here knows of pages or requests; who may do what is decided by the rooms that call it.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from sqlalchemy import and_, delete, func, or_, select
from sqlalchemy.orm import Session

from unbabble.base.errors import UsageError
from unbabble.base.words import counted
from unbabble.web.collect import stamps
from unbabble.web.collect.pairing import plan
from unbabble.web.collect.prompts import sentences
from unbabble.web.database import Database, now
from unbabble.web.tables.collect import (
    Assignment,
    Campaign,
    Consent,
    Contribution,
    Participant,
    Prompt,
    WorkStamp,
)
from unbabble.web.tables.people import User
from unbabble.web.visitors import log

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{1,47}")
RESERVED = {"campaigns", "stamps", "at"}
LINK = re.compile(r"https?://\S+")
MOST_PAIRS_EACH, MOST_PAIRS_TOTAL = stamps.MOST_COUNT, 1_000_000
MOST_STAMP_DAYS = 3650
HOLD = timedelta(hours=2)
"""Sentences that were handed out are waited for so long; then others get them, too."""
UNDECIDED = timedelta(days=7)
"""Who has not agreed by then is forgotten, with their answers."""
COUNTED = ("pending", "accepted")
TOKEN_BYTES = 16


@dataclass(frozen=True)
class Rules:
    """What an administrator decides of a campaign; see ``tables.collect.Campaign``."""

    name: str
    slug: str
    text: str
    consent: str
    pairs_each: int
    pairs_total: int
    language: str = "English"
    licence: str = "CC BY 4.0"
    link_completed: str = ""
    link_screened: str = ""
    link_full: str = ""
    stamp_days: int = 30
    native: bool = False


@dataclass(frozen=True)
class Ids:
    """What a provider's link says about who comes: any part may be missing, and none of it proves anything."""

    participant: str | None = None
    study: str | None = None
    session: str | None = None


class Taken(Exception):
    """Another browser has begun under the same provider's id."""


class Full(Exception):
    """A campaign needs nobody now: it is closed, or has enough."""


def make(database: Database, user: User, rules: Rules) -> Campaign:
    """A new campaign, with the first version of its consent.

    Raises:
        UsageError: rules that make no sense, or an address that is taken.
    """
    texts = sentences(rules.text)
    _check(rules, len(texts))
    campaign = Campaign(
        slug=rules.slug,
        name=rules.name.strip(),
        language=rules.language.strip(),
        licence=rules.licence.strip(),
        pairs_each=rules.pairs_each,
        pairs_total=rules.pairs_total,
        link_completed=rules.link_completed,
        link_screened=rules.link_screened,
        link_full=rules.link_full,
        stamp_days=rules.stamp_days,
        seed=secrets.randbelow(1 << 31),
        rules={"native": rules.native},
    )
    with database.writing() as session:
        if session.scalar(select(Campaign.id).where(Campaign.slug == rules.slug)) is not None:
            raise UsageError(f"There is a campaign '{rules.slug}' already.")
        session.add(campaign)
        session.flush()
        session.add_all(
            Prompt(campaign_id=campaign.id, number=number, text=text) for number, text in enumerate(texts)
        )
        session.flush()
        add_consent(session, campaign, rules.consent)
        log(session, user, "made campaign", campaign.slug, sentences=len(texts))
    return campaign


def add_consent(session: Session, campaign: Campaign, text: str) -> Consent:
    """Another version of what contributors agree to; those of before stay as they were.

    Raises:
        UsageError: there is no text, or it is that of the version before.
    """
    text = "\n".join(line.rstrip() for line in text.strip().splitlines())
    latest = current_consent(session, campaign.id)
    if not text or (latest is not None and latest.text == text):
        raise UsageError("A new version of the consent has a text, and another one than before.")
    consent = Consent(
        campaign_id=campaign.id,
        version=latest.version + 1 if latest else 1,
        text=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )
    session.add(consent)
    session.flush()
    return consent


def current_consent(session: Session, campaign_id: str) -> Consent | None:
    """The newest version."""
    newest = select(Consent).where(Consent.campaign_id == campaign_id).order_by(Consent.version.desc())
    return session.scalar(newest.limit(1))


def enter(session: Session, campaign: Campaign, visit_id: str, ids: Ids) -> Participant:
    """The participant that this browser is in this campaign: who began here goes on, anybody else begins.

    A provider's ids stand in addresses, so they prove nothing: who knows another's gets to see nothing of theirs. An id
    that somebody began with elsewhere is free as long as they have not agreed to anything; after that, their personal
    link (``token``) leads to another browser.

    Raises:
        Full: newcomers are not needed.
        Taken: see above.
    """
    before_consent = Participant.state.in_(("questions", "consent"))
    undecided = (Participant.campaign_id == campaign.id, before_consent)
    session.execute(delete(Participant).where(*undecided, Participant.created < now() - UNDECIDED))
    mine = select(Participant).where(Participant.campaign_id == campaign.id)
    if ids.participant is not None:
        known = session.scalar(mine.where(Participant.provider_participant == ids.participant))
        if known is not None and known.visit_id == visit_id:
            return known
        if known is not None and known.state not in ("questions", "consent"):
            raise Taken
        if known is not None:
            session.delete(known)
            session.flush()
    else:
        unknown = mine.where(Participant.visit_id == visit_id, Participant.provider_participant.is_(None))
        going_on = unknown.where(Participant.state.in_(("questions", "consent", "recording")))
        if (known := session.scalar(going_on.order_by(Participant.created.desc()).limit(1))) is not None:
            return known
    if not campaign.open or places(session, campaign) < 1:
        raise Full
    participant = Participant(
        campaign_id=campaign.id,
        visit_id=visit_id,
        provider_participant=ids.participant,
        provider_study=ids.study,
        provider_session=ids.session,
    )
    session.add(participant)
    session.flush()
    return participant


def places(session: Session, campaign: Campaign) -> int:
    """How many pairs are still wanted, beyond those that are there or handed out."""
    taken = session.scalar(
        select(func.count())
        .select_from(Assignment)
        .join(Participant, Assignment.participant_id == Participant.id)
        .outerjoin(Contribution, Contribution.assignment_id == Assignment.id)
        .where(Participant.campaign_id == campaign.id, _counts())
    )
    return campaign.pairs_total - (taken or 0)


def agree(session: Session, participant: Participant, consent: Consent) -> None:
    """Write down what was agreed to, and hand out sentences.

    Raises:
        Full: all places were taken meanwhile.
    """
    campaign = session.scalar(
        select(Campaign).where(Campaign.id == participant.campaign_id).with_for_update()
    )  # so that two who agree at once do not get the same sentences
    assert campaign is not None
    pairs = min(campaign.pairs_each, places(session, campaign))
    if pairs < 1:
        raise Full
    prompts = session.scalars(
        select(Prompt).where(Prompt.campaign_id == campaign.id).order_by(Prompt.number)
    ).all()
    uses = _uses(session, campaign.id)
    counts = [(uses["first"].get(each.id, 0), uses["second"].get(each.id, 0)) for each in prompts]
    seed = int.from_bytes(hashlib.sha256(f"{campaign.seed} {participant.id}".encode()).digest()[:8])
    for position, (first, second) in enumerate(plan(counts, pairs, seed)):
        session.add(
            Assignment(
                participant_id=participant.id,
                position=position,
                first_id=prompts[first].id,
                second_id=prompts[second].id,
            )
        )
    participant.consent_id, participant.consent_sha256 = consent.id, consent.sha256
    participant.consented, participant.state = now(), "recording"


@dataclass(frozen=True)
class Pair:
    """An assignment with its sentences, and what was contributed to it."""

    assignment: Assignment
    first: str
    second: str
    contribution: Contribution | None


def pairs_of(session: Session, participant_id: str) -> list[Pair]:
    """What somebody is asked to read, in order."""
    rows = session.execute(
        select(Assignment, Contribution)
        .outerjoin(Contribution, Contribution.assignment_id == Assignment.id)
        .where(Assignment.participant_id == participant_id)
        .order_by(Assignment.position)
    ).all()
    wanted = {key for row in rows for key in (row[0].first_id, row[0].second_id)}
    found = session.execute(select(Prompt.id, Prompt.text).where(Prompt.id.in_(wanted)))
    texts = {row[0]: row[1] for row in found}
    return [Pair(each, texts[each.first_id], texts[each.second_id], made) for each, made in rows]


def finish(session: Session, participant: Participant) -> WorkStamp | None:
    """End the work and give the stamp for it; None where nothing was recorded. Called again, it gives the same."""
    known = session.scalar(select(WorkStamp).where(WorkStamp.participant_id == participant.id))
    if known is not None:
        return known
    campaign = session.get_one(Campaign, participant.campaign_id)
    made = session.scalar(select(func.count()).where(Contribution.participant_id == participant.id))
    if not made:
        return None
    serial = secrets.token_bytes(stamps.SERIAL_BYTES).hex()
    while session.get(WorkStamp, serial) is not None:
        serial = secrets.token_bytes(stamps.SERIAL_BYTES).hex()
    stamp = WorkStamp(
        serial=serial,
        campaign_id=campaign.id,
        participant_id=participant.id,
        session=participant.provider_session or participant.provider_participant or participant.id,
        count=made,
        expires=now() + timedelta(days=campaign.stamp_days),
    )
    session.add(stamp)
    participant.state = "done"
    session.flush()
    return stamp


def code_of(secret: bytes, stamp: WorkStamp, slug: str) -> str:
    """A stamp as it is shown: made again from what is known of it."""
    key, serial = stamps.stamp_key(secret), bytes.fromhex(stamp.serial)
    return stamps.issue(key, slug, stamp.session, stamp.count, stamp.expires.date(), serial)


def filled(link: str, ids: Ids, stamp: str = "") -> str:
    """A provider's link with what it asks for in place; values cannot change anything else in it."""
    values = {"stamp": stamp, "participant": ids.participant, "study": ids.study, "session": ids.session}
    for name, value in values.items():
        link = link.replace("{" + name + "}", quote(value or "", safe=""))
    return link


def ids_of(participant: Participant) -> Ids:
    """As the provider's link gave them."""
    return Ids(participant.provider_participant, participant.provider_study, participant.provider_session)


def token(secret: bytes, participant_id: str) -> str:
    """What the personal link proves itself by: it goes on in another browser, and withdraws."""
    signature = hmac.digest(secret, f"collect: own {participant_id}".encode(), "sha256")[:TOKEN_BYTES]
    return f"{participant_id}.{urlsafe_b64encode(signature).decode().rstrip('=')}"


def participant_of(secret: bytes, given: str) -> str | None:
    """Whose personal link this is; None where it is nobody's."""
    participant_id, _, _ = given.partition(".")
    return (
        participant_id
        if hmac.compare_digest(given.encode(), token(secret, participant_id).encode())
        else None
    )


def _uses(session: Session, campaign_id: str) -> dict[str, dict[str, int]]:
    uses = {}
    for name, column in (("first", Assignment.first_id), ("second", Assignment.second_id)):
        rows = session.execute(
            select(column, func.count())
            .select_from(Assignment)
            .join(Participant, Assignment.participant_id == Participant.id)
            .outerjoin(Contribution, Contribution.assignment_id == Assignment.id)
            .where(Participant.campaign_id == campaign_id, _counts())
            .group_by(column)
        )
        uses[name] = {row[0]: row[1] for row in rows}
    return uses


def _counts(at: datetime | None = None) -> Any:
    """An assignment that was recorded and not rejected, or was handed out not long ago."""
    held = and_(
        Contribution.id.is_(None),
        Participant.state == "recording",
        Assignment.created > (at or now()) - HOLD,
    )
    return or_(Contribution.status.in_(COUNTED), held)


def _check(rules: Rules, sentence_count: int) -> None:
    if not SLUG.fullmatch(rules.slug) or rules.slug in RESERVED:
        raise UsageError(
            "An address has small letters, digits and hyphens, 2 to 48, and is not one of this site's own."
        )
    if not rules.name.strip() or not rules.language.strip() or not rules.licence.strip():
        raise UsageError("A campaign has a name, a language and a licence.")
    if not 1 <= rules.pairs_each <= min(MOST_PAIRS_EACH, sentence_count // 2):
        most = min(MOST_PAIRS_EACH, sentence_count // 2)
        raise UsageError(
            f"With {counted(sentence_count, 'sentence')} a contributor reads 1 to {most} pairs, none twice."
        )
    if not 1 <= rules.pairs_total <= MOST_PAIRS_TOTAL:
        raise UsageError(f"A campaign wants 1 to {MOST_PAIRS_TOTAL} pairs.")
    if not 1 <= rules.stamp_days <= MOST_STAMP_DAYS:
        raise UsageError(f"Stamps count for 1 to {MOST_STAMP_DAYS} days.")
    check_links((rules.link_completed, rules.link_screened, rules.link_full))


def check_links(links: Sequence[str]) -> None:
    """Refuse what is no address to lead people to.

    Raises:
        UsageError: not http or https.
    """
    for link in links:
        if link and not LINK.fullmatch(link):
            raise UsageError(f"'{link[:80]}' is no address: it begins with https://, and has no spaces.")
