"""Contributions as reviewers see them: found, decided, counted."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import Session

from unbabble.web.database import Database, now
from unbabble.web.tables.collect import Campaign, Contribution, Participant
from unbabble.web.tables.people import User
from unbabble.web.visitors import log

STATUSES: tuple[str, ...] = ("pending", "accepted", "rejected")
REASONS = (
    "One voice only",
    "They do not talk at the same time",
    "Not the sentences",
    "Distorted, or too noisy",
    "A recording is played: nobody speaks",
)
"""For which most rejections happen; others are typed."""
MOST_SHOWN = 50
MOST_IN_A_QUERY = 500


class Decided(Exception):
    """Somebody was first, or the contribution has changed since it was looked at."""

    def __init__(self, contribution: Contribution) -> None:
        super().__init__(first_word(contribution))


@dataclass(frozen=True)
class Wanted:
    """Which contributions: of a campaign (its address), with a status, of a participant; all where None."""

    campaign: str | None = None
    status: str | None = None
    participant: str | None = None

    def conditions(self) -> list[Any]:
        """For a query that joins ``Campaign``."""
        asked = {
            Campaign.slug: self.campaign,
            Contribution.status: self.status,
            Contribution.participant_id: self.participant,
        }
        return [column == value for column, value in asked.items() if value is not None]


def find(
    session: Session, wanted: Wanted, after: str | None = None, most: int = MOST_SHOWN
) -> list[Contribution]:
    """At most so many, oldest first, from behind the contribution ``after`` on."""
    query = _ordered(select(Contribution), wanted)
    if after is not None and (last := session.get(Contribution, after)) is not None:
        query = query.where(_behind(last))
    return list(session.scalars(query.limit(most)))


def next_pending(session: Session, wanted: Wanted, after: Contribution | None = None) -> str | None:
    """The next that waits for review behind ``after``, or, if there is none, from the beginning on."""
    waiting = Wanted(wanted.campaign, "pending", wanted.participant)
    query = _ordered(select(Contribution.id), waiting).limit(1)
    if after is None:
        return session.scalar(query)
    behind = session.scalar(query.where(_behind(after)))
    return behind or session.scalar(query.where(Contribution.id != after.id))


def count(session: Session, wanted: Wanted) -> dict[str, int]:
    """How many there are of each status, whatever status is wanted."""
    everything = Wanted(wanted.campaign, None, wanted.participant)
    query = select(Contribution.status, func.count()).join(Campaign, Contribution.campaign_id == Campaign.id)
    counts: dict[str, int] = dict.fromkeys(STATUSES, 0)
    for status, number in session.execute(
        query.where(*everything.conditions()).group_by(Contribution.status)
    ):
        counts[status] = number
    return counts


def decide(
    session: Session, user: User, contribution_id: str, status: str, reason: str, seen: datetime | None
) -> Contribution:
    """Accept or reject, in a writing transaction; written to the audit log.

    Args:
        session: a writing one.
        user: who decides.
        contribution_id: of what.
        status: ``accepted`` or ``rejected``.
        reason: why; is shown to other reviewers.
        seen: when the decision was made that the user saw; None for what waited.

    Raises:
        KeyError: there is no such contribution, or no longer.
        Decided: somebody else has decided since.
    """
    contribution = session.scalar(
        select(Contribution).where(Contribution.id == contribution_id).with_for_update()
    )
    if contribution is None:
        raise KeyError(contribution_id)
    if contribution.decided != seen:
        raise Decided(contribution)
    before = contribution.status
    contribution.status, contribution.reason, contribution.reviewer, contribution.decided = (
        status,
        reason,
        user.name,
        now(),
    )
    log(session, user, f"{status} recording", contribution.id, reason=reason, before=before)
    return contribution


def first_word(contribution: Contribution) -> str:
    """Who decided last, and what."""
    if contribution.decided is None:
        return "This recording waits for review again: look at it once more."
    reason = f" ({contribution.reason})" if contribution.reason else ""
    moment = contribution.decided.strftime("%Y-%m-%d %H:%M UTC")
    return f"{contribution.reviewer} {contribution.status} this recording{reason}, {moment}: you have not changed that."


@dataclass
class Contributor:
    """What somebody has contributed.

    Attributes:
        participant: who.
        campaign: to what.
        statuses: how many recordings of each status.
        seconds: how long all of them are.
        failed: how often each check was not passed.
        scores: mean score in dB of each recording that has one.
    """

    participant: Participant
    campaign: Campaign
    statuses: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATUSES, 0))
    seconds: float = 0.0
    failed: dict[str, int] = field(default_factory=dict)
    scores: list[float] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Of recordings."""
        return sum(self.statuses.values())

    @property
    def accepted_share(self) -> float | None:
        """Of what has been decided."""
        decided = self.count - self.statuses["pending"]
        return self.statuses["accepted"] / decided if decided else None

    @property
    def score(self) -> float | None:
        """Mean over recordings, in dB."""
        return sum(self.scores) / len(self.scores) if self.scores else None


def contributors(session: Session, campaign: str | None = None) -> list[Contributor]:
    """Everybody who has sent a recording, most recordings first."""
    of = Contribution
    query = (  # not whole contributions: there are many
        select(of.participant_id, of.status, of.seconds, of.checks, of.blind)
        .join(Campaign, Contribution.campaign_id == Campaign.id)
        .where(*Wanted(campaign).conditions())
    )
    people = (
        select(Participant, Campaign)
        .join(Campaign, Participant.campaign_id == Campaign.id)
        .where(*Wanted(campaign).conditions())
    )
    senders_by_id = {person.id: Contributor(person, to) for person, to in session.execute(people)}
    for participant_id, status, seconds, checks, blind in session.execute(query):
        if (sender := senders_by_id.get(participant_id)) is None:
            continue  # came in between
        sender.statuses[status] += 1
        sender.seconds += seconds
        for check in failed_checks(checks):
            sender.failed[check["name"]] = sender.failed.get(check["name"], 0) + 1
        if (score := mean_score(blind)) is not None:
            sender.scores.append(score)
    senders = (each for each in senders_by_id.values() if each.count)
    return sorted(senders, key=lambda each: (-each.count, each.participant.created))


def failed_checks(checks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a contribution: those that a reviewer should look at."""
    return [check for check in checks if not check.get("passed")]


def mean_score(blind: dict[str, Any]) -> float | None:
    """Of a contribution, in dB, over its voices; None where it is not known of each."""
    scores: Sequence[float | None] = blind.get("scores") or [None]
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if len(known) == len(scores) else None


def allowed() -> tuple[Any, ...]:
    """Conditions on ``Contribution`` and ``Participant`` for what may be given away."""
    return Contribution.status == "accepted", Participant.state != "withdrawn"


def gone(database: Database, contributions: Collection[str]) -> set[str]:
    """Those that may no longer be given away: withdrawn, deleted or not accepted any more."""
    left, identifiers = set(contributions), sorted(contributions)
    asked = select(Contribution.id).join(Participant, Contribution.participant_id == Participant.id)
    with database.reading() as session:
        for start in range(0, len(identifiers), MOST_IN_A_QUERY):
            some = identifiers[start : start + MOST_IN_A_QUERY]
            left -= set(session.scalars(asked.where(*allowed(), Contribution.id.in_(some))))
    return left


def _ordered(query: Select[Any], wanted: Wanted) -> Select[Any]:
    joined = query.join(Campaign, Contribution.campaign_id == Campaign.id).where(*wanted.conditions())
    return joined.order_by(Contribution.created, Contribution.id)


def _behind(last: Contribution) -> Any:
    later = Contribution.created > last.created
    return or_(later, and_(Contribution.created == last.created, Contribution.id > last.id))
