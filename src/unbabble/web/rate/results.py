"""What a listening study found: its raw votes, who is left out and why, and the numbers of the results page."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select

from unbabble.web.database import Database
from unbabble.web.rate.listening import MADE, REFERENCE
from unbabble.web.rate.opinions import Correlation, Opinion, Preference, correlation, opinion, preference
from unbabble.web.rate.screening import Answer, Record, Screened, outliers, screen
from unbabble.web.rate.tones import HEADPHONE_CORRECT
from unbabble.web.tables.rate import Clip, Listener, Stimulus, Study, Trial, Vote

COLUMNS = (
    "study", "kind", "listener", "participant", "trial", "position", "role", "item", "system", "source", "order",
    "value", "preferred", "over", "expected", "played", "seconds", "voted", "blind_db", "counts", "why_not",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets run text that begins so."""


def raw_votes(database: Database, study: Study) -> list[dict[str, Any]]:
    """One row a vote: by whom, on what, how, after how long, whether it counts and if not why.

    ``source`` is the number of the voice; ``order`` the place in which the clip was presented (of a pair, ``system``
    is the one that came first, ``over`` the other). ``played`` is the least share of any clip of the trial.
    """
    rows, records = _rows(database, study)
    screened = screen(records, study.kind)
    _mark(study, rows, screened)
    return rows


def records_of(database: Database, study: Study) -> list[Record]:
    """What is known of each listener, for screening."""
    return _rows(database, study)[1]


def _rows(database: Database, study: Study) -> tuple[list[dict[str, Any]], list[Record]]:
    with database.reading() as session:
        listeners = session.scalars(
            select(Listener)
            .where(Listener.study_id == study.id, Listener.state != "full")
            .order_by(Listener.number)
        ).all()
        votes = session.execute(
            select(Vote, Trial, Stimulus)
            .join(Trial, Trial.id == Vote.trial_id)
            .join(Stimulus, Stimulus.id == Trial.stimulus_id)
            .join(Listener, Listener.id == Trial.listener_id)
            .where(Listener.study_id == study.id)
            .order_by(Listener.number, Trial.position, Vote.place)
        ).all()
        clips = {clip.id: clip for clip in session.scalars(select(Clip).where(Clip.study_id == study.id))}
    own: dict[str, list[Answer]] = {listener.id: [] for listener in listeners}
    known = {listener.id: listener for listener in listeners}
    rows = []
    for vote, trial, stimulus in votes:
        if (listener := known.get(trial.listener_id)) is None:
            continue
        row, answer = _row(study, listener, vote, trial, stimulus, clips)
        rows.append(row)
        own[listener.id].append(answer)
    return rows, [_record(listener, own[listener.id], study) for listener in listeners]


def _row(
    study: Study, listener: Listener, vote: Vote, trial: Trial, stimulus: Stimulus, clips: Mapping[str, Clip]
) -> tuple[dict[str, Any], Answer]:
    clip = clips.get(vote.clip_id or "")
    order = trial.order
    if clip is not None:
        place = next(k for k, each in enumerate(order) if each["clip"] == clip.id and each["part"] == "rated")
        system, over, number, expected = order[place]["system"], "", clip.number, clip.expected
    else:
        sides = {each["side"]: each["system"] for each in order if each.get("side")}
        place, system, over, number = 0, sides[1], sides[2], 0
        expected = stimulus.expected[0] if stimulus.expected else None
    played = min(trial.played, default=0.0)
    took = (trial.voted - trial.opened).total_seconds() if trial.voted and trial.opened else None
    row = dict.fromkeys(COLUMNS, None) | {
        "study": study.slug,
        "kind": study.kind,
        "listener": listener.number,
        "participant": listener.provider_participant,
        "trial": trial.id,
        "position": trial.position,
        "role": stimulus.role,
        "item": stimulus.item,
        "system": system,
        "source": number,
        "order": place,
        "value": vote.value,
        "preferred": vote.preferred,
        "over": over,
        "expected": expected,
        "played": played,
        "seconds": round(took, 1) if took is not None else None,
        "voted": trial.voted.isoformat(timespec="seconds") if trial.voted else None,
        "blind_db": clip.blind_db if clip else None,
        "clip": vote.clip_id,
    }
    by_name = clip is None and stimulus.role == "gold"  # of a pair, the better system is known
    value = vote.preferred if by_name else vote.value
    reference = study.kind == "mushra" and system == REFERENCE
    return row, Answer(
        stimulus.role, value, system, trial.id, vote.clip_id or "", expected, played, reference
    )


def _record(listener: Listener, answers: Sequence[Answer], study: Study) -> Record:
    rounds = listener.headphone_rounds
    passed = max((each["correct"] for each in rounds), default=0) >= HEADPHONE_CORRECT
    return Record(
        str(listener.number),
        listener.state == "done",
        answers,
        passed if rounds else None,
        bool(listener.answers.get("hearing", True)),
        bool(listener.answers.get("quiet", True)),
    )


def _mark(study: Study, rows: list[dict[str, Any]], screened: Screened) -> None:
    """Say of each row whether it counts: its listener stays, it is no check, and no outlier of its system."""
    reasons = {record.listener: "; ".join(why) for record, why in screened.left_out}
    by_system: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        why = reasons.get(str(row["listener"]), "")
        if not why and row["role"] != "rate":
            why = f"{row['role']} question"
        row["counts"], row["why_not"] = not why, why
        if row["counts"] and study.kind != "ab":
            by_system.setdefault(row["system"], []).append(row)
    for own in by_system.values():
        for row, out in zip(own, outliers([row["value"] for row in own]), strict=True):
            if out:
                row["counts"], row["why_not"] = (
                    False,
                    "more than 3.29 standard deviations from the mean of the system",
                )


def summary(database: Database, study: Study) -> dict[str, Any]:
    """All numbers of the results page.

    ``opinions`` (best first) or ``preferences``; ``points`` (per separated voice: system, item, source, mean
    opinion, blind score, votes) and ``correlation``; ``listeners``, ``kept``, ``left_out`` (who, why),
    ``reasons`` (how many for each), ``votes``, ``counted``, ``outliers``.
    """
    rows, records = _rows(database, study)
    screened = screen(records, study.kind)
    _mark(study, rows, screened)
    counted = [row for row in rows if row["counts"]]
    result: dict[str, Any] = {
        "listeners": len(records),
        "kept": len(screened.kept),
        "left_out": [(record.listener, why) for record, why in screened.left_out],
        "reasons": Counter(
            reason.split(" (")[0] for _, why in screened.left_out for reason in why
        ).most_common(),
        "votes": sum(row["role"] == "rate" for row in rows),
        "counted": len(counted),
        "outliers": sum("standard deviations" in row["why_not"] for row in rows),
        "opinions": [],
        "preferences": [],
        "points": [],
        "correlation": None,
    }
    if study.kind == "ab":
        result["preferences"] = preferences(counted)
    else:
        result["opinions"] = opinions(counted)
        result["points"] = points(counted)
        result["correlation"] = blind_correlation(result["points"])
    return result


def opinions(rows: Iterable[Mapping[str, Any]]) -> list[Opinion]:
    """Of each system, best first."""
    votes: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        votes.setdefault(row["system"], {}).setdefault(row["listener"], []).append(row["value"])
    means = [opinion(system, {str(who): own for who, own in by.items()}) for system, by in votes.items()]
    return sorted(means, key=lambda each: -each.mean)


def preferences(rows: Iterable[Mapping[str, Any]]) -> list[Preference]:
    """Of each pair of systems, in the order of their names."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        first, second = sorted((row["system"], row["over"]))
        counts.setdefault((first, second), Counter())[row["preferred"]] += 1
    return [preference(a, b, won[a], won[b], won[""]) for (a, b), won in sorted(counts.items())]


def points(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each separated voice that was rated: its mean opinion, and its blind score if there is one."""
    by_clip: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["system"] not in MADE:
            by_clip.setdefault(row["clip"], []).append(row)
    return [
        {
            "system": own[0]["system"],
            "item": own[0]["item"],
            "source": own[0]["source"],
            "opinion": sum(row["value"] for row in own) / len(own),
            "votes": len(own),
            "blind_db": own[0]["blind_db"],
        }
        for own in by_clip.values()
    ]


def blind_correlation(points: Iterable[Mapping[str, Any]]) -> Correlation | None:
    """Between blind scores and mean opinions, over separated voices that have both."""
    both = [each for each in points if each["blind_db"] is not None]
    return correlation([each["blind_db"] for each in both], [each["opinion"] for each in both])


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows under their names; text that a spreadsheet would run gets an apostrophe before it."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_harmless(row[name]) for name in COLUMNS])
    return file.getvalue()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
