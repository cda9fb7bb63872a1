"""Whether both sentences were read: asked of the queue when a recording is kept, and written to its checks when known.

A contributor need not wait: the page asks how the last recordings fared while the next one is made. Recognition is of
English; of campaigns in other languages nothing is asked.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from unbabble.web.collect.checks import both_sentences
from unbabble.web.database import Database
from unbabble.web.queue.queue import as_input, enqueue, remove
from unbabble.web.tables.collect import Campaign, Contribution
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.uploads import Upload

LANGUAGE = "english"
MOST_SETTLED = 500
"""At a time."""


def ask(session: Session, contribution: Contribution) -> None:
    """Have it found out of a contribution that has just been made."""
    campaign = session.get_one(Campaign, contribution.campaign_id)
    if campaign.language.strip().lower() != LANGUAGE:
        return
    upload = session.get_one(Upload, contribution.upload_id)
    sentences = {"sentences": [contribution.first_text, contribution.second_text]}
    contribution.reading_id = enqueue(session, "read", None, sentences, [as_input(upload)]).id


def settle(database: Database) -> None:
    """Write down what is known by now; of a recording that could not be read along, nothing."""
    ended = (
        select(Contribution, Job)
        .join(Job, Contribution.reading_id == Job.id)
        .where(Job.state.in_(("done", "failed")))
        .limit(MOST_SETTLED)
    )
    with database.reading() as session:  # mostly there is nothing, and nobody needs to wait
        if session.execute(ended.limit(1)).first() is None:
            return
    with database.writing() as session:
        taken = ended.with_for_update(of=Contribution, skip_locked=True)
        for contribution, job in session.execute(taken).all():
            if job.state == "done":
                check = both_sentences(job.result["read"], job.result["evidence"])
                contribution.checks = [*contribution.checks, check.to_dict()]
            forget(session, contribution)


def forget(session: Session, contribution: Contribution) -> None:
    """Let go of the job, if there is one."""
    if (job := contribution.reading_id) is not None:
        contribution.reading_id = None
        session.flush()
        remove(session, job)
