"""Who takes part in a listening study, their trials and votes, in the database."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from fastapi import HTTPException
from sqlalchemy import and_, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from unbabble.web.database import Database, now
from unbabble.web.rate import tones
from unbabble.web.rate.listening import Choice, draw, least_seconds, listener_seed, rated, whats_wrong
from unbabble.web.tables.rate import Clip, Listener, Stimulus, Study, Trial, Vote

ABANDONED_HOURS = 3.0
"""After which the trials of a listener who has not been seen are given to others."""
FULL = "full"


def begin(
    database: Database, study: Study, visit_id: str, provider: Mapping[str, str | None], answers: dict
) -> Listener:
    """Take somebody in who has agreed.

    Raises:
        HTTPException: 409 for a provider's participant who has taken part from another browser.
    """
    fit = answers["hearing"] and answers["quiet"]
    state = "screened out" if not fit else "headphones" if study.headphones else "rating"
    consent = hashlib.sha256(study.consent.encode()).hexdigest()
    try:
        with database.writing() as session:
            session.execute(select(Study.id).where(Study.id == study.id).with_for_update())
            known = session.scalar(
                select(Listener).where(Listener.study_id == study.id, Listener.visit_id == visit_id)
            )
            if known is not None:
                return known
            last = session.scalar(select(func.max(Listener.number)).where(Listener.study_id == study.id))
            number = 0 if last is None else last + 1
            listener = Listener(
                study_id=study.id,
                visit_id=visit_id,
                number=number,
                seed=listener_seed(study.seed, number),
                state=state,
                answers=answers,
                consent_sha256=consent,
                **{f"provider_{name}": value or None for name, value in provider.items()},
            )
            session.add(listener)
            session.flush()
            if state == "rating":
                _give_trials(session, study, listener)
    except IntegrityError:
        raise HTTPException(409, "You have taken part in this study already, from another browser.") from None
    return listener


def answer_headphones(
    database: Database, study: Study, listener: Listener, answers: Sequence[int]
) -> dict[str, Any]:
    """Check one round of the headphone check; passed or failed for good, the listener goes on.

    Raises:
        HTTPException: 409 where there is nothing to check.
    """
    with database.writing() as session:
        session.execute(select(Study.id).where(Study.id == study.id).with_for_update())
        known = session.get_one(Listener, listener.id, with_for_update=True, populate_existing=True)
        if known.state != "headphones":
            raise HTTPException(409, "The headphone check is over: load the page again.")
        rounds = list(known.headphone_rounds)
        right = tones.headphone_answers(headphone_seed(known))
        correct = sum(given == wanted for given, wanted in zip(answers, right, strict=True))
        known.headphone_rounds = [*rounds, {"answers": list(answers), "correct": correct}]
        passed = correct >= tones.HEADPHONE_CORRECT
        left = tones.HEADPHONE_ROUNDS - len(rounds) - 1
        if passed:
            known.state = "rating"
            _give_trials(session, study, known)
        elif left <= 0:
            known.state = "screened out"
        return {"passed": passed, "correct": correct, "rounds_left": 0 if passed else left}


def headphone_seed(listener: Listener) -> int:
    """Of the round that comes next: each has tones of its own."""
    return listener.seed + 1 + len(listener.headphone_rounds)


def given(session: Session, study: Study) -> dict[str, int]:
    """How often each stimulus has been given to somebody who finished, or still may."""
    recently = now() - timedelta(hours=ABANDONED_HOURS)
    counted = or_(Listener.state == "done", and_(Listener.state == "rating", Listener.seen > recently))
    rows = session.execute(
        select(Trial.stimulus_id, func.count())
        .join(Listener, Listener.id == Trial.listener_id)
        .where(Listener.study_id == study.id, counted)
        .group_by(Trial.stimulus_id)
    )
    return {row[0]: row[1] for row in rows}


def is_full(session: Session, study: Study) -> bool:
    """Whether every stimulus has been given as often as is wanted."""
    counts = given(session, study)
    keys = session.scalars(select(Stimulus.id).where(Stimulus.study_id == study.id, Stimulus.role == "rate"))
    return all(counts.get(key, 0) >= study.ratings_wanted for key in keys)


def _give_trials(session: Session, study: Study, listener: Listener) -> None:
    """Draw, under the study's lock: what is drawn depends on what the others have got."""
    stimuli = session.scalars(select(Stimulus).where(Stimulus.study_id == study.id)).all()
    choices = [Choice(each.id, each.item, each.group, each.role, each.clips) for each in stimuli]
    counts = given(session, study)
    listener.drawn_from = counts
    drawn = draw(
        listener.seed,
        listener.number,
        choices,
        counts,
        study.ratings_wanted,
        study.trials_each,
        study.golds_each,
        study.traps_each,
    )
    for position, (stimulus, order) in enumerate(drawn):
        session.add(Trial(listener_id=listener.id, stimulus_id=stimulus, position=position, order=order))
    if not drawn:
        listener.state = FULL


def next_trial(database: Database, listener: Listener) -> tuple[Trial | None, int, int]:
    """The first unanswered one, which counts as opened from now on; how many were answered, and how many there are."""
    with database.writing() as session:
        trials = session.scalars(
            select(Trial).where(Trial.listener_id == listener.id).order_by(Trial.position)
        ).all()
        upcoming = next((trial for trial in trials if trial.voted is None), None)
        if upcoming is not None:
            upcoming.opened = upcoming.opened or now()
            session.get_one(Listener, listener.id).seen = now()
        return upcoming, sum(trial.voted is not None for trial in trials), len(trials)


def vote(
    database: Database,
    study: Study,
    listener: Listener,
    trial_id: str,
    values: Sequence[int],
    played: Sequence[float],
) -> None:
    """Take the answers to one trial, once.

    Raises:
        HTTPException: 404 for a trial that is not this listener's, 409 for one that was answered, has not been
            opened, or was answered faster than it can be heard, 422 for answers that cannot be.
    """
    with database.writing() as session:
        trial = session.get(Trial, trial_id, with_for_update=True, populate_existing=True)
        if trial is None or trial.listener_id != listener.id:
            raise HTTPException(404, "There is no such trial.")
        if trial.voted is not None:
            raise HTTPException(409, "This trial is answered already.")
        if trial.opened is None:
            raise HTTPException(409, "This trial has not been opened yet.")
        if wrong := whats_wrong(study.kind, trial.order, values, played):
            raise HTTPException(422, wrong)
        keys = [clip["clip"] for clip in trial.order]
        rows = session.execute(select(Clip.id, Clip.seconds).where(Clip.id.in_(keys)))
        seconds: dict[str, float] = {row[0]: row[1] for row in rows}
        if (now() - trial.opened).total_seconds() < least_seconds([seconds[key] for key in keys]):
            raise HTTPException(
                409, "That was faster than the recordings last: listen to every one to its end."
            )
        for place, (clip, value) in enumerate(zip(rated(trial.order), values, strict=True)):
            preferred = "" if clip is not None else preferred_of(trial.order, value)
            clip_id = clip["clip"] if clip is not None else None
            session.add(
                Vote(trial_id=trial.id, place=place, clip_id=clip_id, value=value, preferred=preferred)
            )
        voted = now()
        trial.voted, trial.played = voted, [round(float(share), 3) for share in played]
        known = session.get_one(Listener, listener.id)
        known.seen = voted
        session.flush()
        left = select(func.count()).where(Trial.listener_id == listener.id, Trial.voted.is_(None))
        if not session.scalar(left):
            known.state, known.finished = "done", voted


def preferred_of(order: Sequence[dict[str, Any]], value: int) -> str:
    """The system that was presented as the first or the second; empty for no difference."""
    return next((clip["system"] for clip in order if clip.get("side") == value), "") if value else ""


def link(template: str, listener: Listener | None) -> str:
    """A provider's link with the ids that it brought, each encoded for an address."""
    from urllib.parse import quote

    for name in ("participant", "study", "session"):
        value = getattr(listener, f"provider_{name}", None) or ""
        template = template.replace(f"{{{name}}}", quote(value, safe=""))
    return template
