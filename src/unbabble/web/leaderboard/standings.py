"""The leaderboard in the database: what jobs have found is written down, and tables are made of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, joinedload

from unbabble.web.database import Database
from unbabble.web.leaderboard.board import BY_KEY, METRICS, Figure, Loaded, Metric, ranks
from unbabble.web.queue import queue
from unbabble.web.queue.disposal import doom
from unbabble.web.queue.expiry import remove_upload
from unbabble.web.tables.board import Entry, TestSet
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.uploads import Upload

OPINION_STUDIES = ("realm", "acr")
RESERVED = ("manage", "entries")
ABOUT = {
    "mixture": "The mixture itself in place of every voice: what doing nothing scores.",
    "ideal ratio mask": "The best that masks of magnitudes can do, made from the true voices.",
}


@dataclass(frozen=True)
class Row:
    """A system in a table: its figures and ranks by metric, and the opinion of listeners among them."""

    entry: Entry
    figures: dict[str, Figure]
    ranks: dict[str, int]


@dataclass(frozen=True)
class Table:
    """A test set with the metrics that some system has, and its systems, best first."""

    test_set: TestSet
    metrics: list[Metric]
    rows: list[Row]


def slug_of(name: str) -> str:
    """Letters, digits and hyphens for an address."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48].strip("-") or "set"
    return f"{slug}-set" if slug in RESERVED else slug


def ask_set(session: Session, test_set: TestSet, upload: Upload, by: str | None) -> None:
    """Have an archive read as a test set. It belongs to the set from now on."""
    given = {"role": "archive", "name": upload.name, "key": upload.key}
    job = queue.enqueue(session, "board", by, {"talkers": test_set.talkers}, [given])
    test_set.upload_id, test_set.job_id, upload.expires = upload.id, job.id, None
    session.add(test_set)
    session.flush()


def ask_entry(session: Session, entry: Entry, test_set: TestSet, upload: Upload, by: str | None) -> None:
    """Have outputs scored."""
    given = [
        {"role": "set", "name": test_set.name, "key": test_set.key},
        {"role": "outputs", "name": upload.name, "key": upload.key},
    ]
    job = queue.enqueue(session, "board", by, {"talkers": test_set.talkers}, given)
    entry.upload_id, entry.job_id, upload.expires = upload.id, job.id, None
    session.add(entry)
    session.flush()


def settle(database: Database) -> None:
    """Write down what jobs have found; what was sent for them is not needed any more."""
    ended = Job.state.in_(("done", "failed"))
    sets = select(TestSet, Job).join(Job, TestSet.job_id == Job.id).where(TestSet.state == "preparing", ended)
    entries = select(Entry, Job).join(Job, Entry.job_id == Job.id).where(Entry.state == "waiting", ended)
    with database.reading() as session:  # mostly there is nothing, and nobody needs to wait
        if (
            session.execute(sets.limit(1)).first() is None
            and session.execute(entries.limit(1)).first() is None
        ):
            return
    with database.writing() as session:
        for test_set, job in session.execute(sets.with_for_update(of=TestSet, skip_locked=True)).all():
            _settle_set(session, test_set, job)
        for entry, job in session.execute(entries.with_for_update(of=Entry, skip_locked=True)).unique().all():
            _settle_entry(session, entry, job)


def _settle_set(session: Session, test_set: TestSet, job: Job) -> None:
    if test_set.upload_id is not None:
        remove_upload(session, test_set.upload_id)
    if job.state == "failed":
        test_set.state, test_set.error = "failed", job.error
        return
    result, files = job.result, {each["name"]: each for each in job.outputs}
    test_set.synthetic, test_set.talkers = result["synthetic"], result["talkers"]
    test_set.items, test_set.seconds = result["items"], result["seconds"]
    test_set.key, test_set.mixtures_key = files["set.zip"]["key"], files["mixtures.zip"]["key"]
    test_set.mixtures_bytes, test_set.state = files["mixtures.zip"]["bytes"], "open"
    for name, figures in result["baselines"].items():
        made = {"by": "this site", "scorer": result["scorer"], "date": f"{job.finished:%Y-%m-%d}"}
        entry = Entry(set_id=test_set.id, system=name, kind="baseline", description=ABOUT[name], made=made)
        entry.state, entry.published, entry.scores, entry.items = (
            "scored",
            True,
            figures["scores"],
            figures["items"],
        )
        session.add(entry)


def _settle_entry(session: Session, entry: Entry, job: Job) -> None:
    if entry.upload_id is not None:
        remove_upload(session, entry.upload_id)
    if job.state == "failed":
        entry.state, entry.error = "failed", job.error
        return
    entry.state, entry.scores, entry.items = "scored", job.result["scores"], job.result["items"]
    entry.made = entry.made | {
        "by": "this site, from outputs that were sent",
        "scorer": job.result["scorer"],
        "date": f"{job.finished:%Y-%m-%d}",
    }


def remove_entry(session: Session, entry: Entry) -> None:
    """Delete an entry, and its job and outputs if they are there."""
    if entry.upload_id is not None:
        remove_upload(session, entry.upload_id)
    job = entry.job_id
    session.execute(delete(Entry).where(Entry.id == entry.id))
    if job is not None:
        queue.remove(session, job)


def remove_set(session: Session, test_set: TestSet) -> None:
    """Delete a test set with its entries and files."""
    for entry in session.scalars(select(Entry).where(Entry.set_id == test_set.id)).all():
        remove_entry(session, entry)
    if test_set.upload_id is not None:
        remove_upload(session, test_set.upload_id)
    job = test_set.job_id
    doom(session, [test_set.key, test_set.mixtures_key])
    session.execute(delete(TestSet).where(TestSet.id == test_set.id))
    if job is not None:
        queue.remove(session, job)


def load(session: Session, tables: Sequence[Loaded]) -> list[TestSet]:
    """Enter numbers that were made elsewhere; those of a set of the same name are replaced."""
    sets = []
    for table in tables:
        known = session.scalar(select(TestSet).where(TestSet.name == table.name, TestSet.key.is_(None)))
        if known is None:
            known = TestSet(slug=free_slug(session, table.name), name=table.name, talkers=0, state="closed")
        known.synthetic, known.made = table.synthetic, table.made
        known.items = []
        session.add(known)
        session.flush()
        session.execute(delete(Entry).where(Entry.set_id == known.id, Entry.kind == "loaded"))
        for system, scores in table.systems.items():
            about = ABOUT["mixture"] if system in ("mixture", "unchanged") else ""
            entry = Entry(set_id=known.id, system=system, kind="loaded", description=about, scores=scores)
            entry.state, entry.published, entry.made = "scored", True, table.made
            session.add(entry)
        sets.append(known)
    return sets


def free_slug(session: Session, name: str) -> str:
    """Of a new test set."""
    wanted = slug_of(name)
    taken = set(session.scalars(select(TestSet.slug).where(TestSet.slug.startswith(wanted))))
    return next(
        slug for k in range(len(taken) + 1) if (slug := f"{wanted}-{k + 1}" if k else wanted) not in taken
    )


def tables(database: Database, slug: str | None = None) -> list[Table]:
    """What everybody may see: of all sets that have an entry, or of the one with this ``slug``."""
    shown = select(TestSet).where(TestSet.state.in_(("open", "closed"))).order_by(TestSet.created)
    if slug is not None:
        shown = shown.where(TestSet.slug == slug)
    with database.reading() as session:
        sets = session.scalars(shown).all()
        entries = session.scalars(
            select(Entry)
            .options(joinedload(Entry.test_set))
            .where(Entry.published, Entry.state == "scored", Entry.set_id.in_([each.id for each in sets]))
        ).all()
    opinions = {each.id: opinions_of(database, each.study_slug) for each in sets if each.study_slug}
    own = {each.id: [entry for entry in entries if entry.set_id == each.id] for each in sets}
    return [
        table(each, own[each.id], opinions.get(each.id, {}))
        for each in sets
        if own[each.id] or each.state == "open" or slug
    ]


def opinions_of(database: Database, slug: str) -> dict[str, Figure]:
    """Of each system in a listening study that has ended, on the scale of 1 to 5; nothing of any other."""
    from unbabble.web.rate.results import summary
    from unbabble.web.tables.rate import Study

    with database.reading() as session:
        study = session.scalar(select(Study).where(Study.slug == slug, Study.state == "closed"))
    if study is None or study.kind not in OPINION_STUDIES:
        return {}
    opinions = {}
    for opinion in summary(database, study)["opinions"]:
        low, high = opinion.by_listeners or opinion.by_votes or (None, None)
        opinions[opinion.system] = Figure(opinion.mean, low, high, opinion.votes)
    return opinions


def table(test_set: TestSet, entries: Sequence[Entry], opinions: dict[str, Figure]) -> Table:
    """Of one set; the first metric that there is decides the order."""
    shown = []
    for entry in entries:
        figures = {key: Figure(**scores) for key, scores in entry.scores.items() if key in BY_KEY}
        if entry.system in opinions:
            figures["opinion"] = opinions[entry.system]
        shown.append(figures)
    metrics = [metric for metric in METRICS if any(metric.key in figures for figures in shown)]
    placed = {metric.key: ranks([figures.get(metric.key) for figures in shown]) for metric in metrics}
    rows = []
    for k, (entry, figures) in enumerate(zip(entries, shown, strict=True)):
        own = {key: rank for key, column in placed.items() if (rank := column[k]) is not None}
        rows.append(Row(entry, figures, own))
    if metrics:
        first = metrics[0].key
        rows.sort(key=lambda row: -(row.figures[first].mean if first in row.figures else float("-inf")))
    return Table(test_set, metrics, rows)
