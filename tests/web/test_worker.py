"""Workers: what they make is what the command line makes, and whoever is killed, each job is finished exactly once."""

import os
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import select, update

from tests.web.conftest import DEMO, visit
from unbabble.web import queue
from unbabble.web.database import now
from unbabble.web.disposal import sweep
from unbabble.web.tables.jobs import Doomed, Job
from unbabble.web.tables.uploads import Upload
from unbabble.web.worker import Worker

FAST = {"model": "auxiva.iss", "sources": 2, "iterations": 3}
SLOW = {"model": "auxiva.iss", "sources": 2, "iterations": 500_000}


@pytest.fixture
def worker(light_site):
    worker = Worker(light_site.state.settings)
    yield worker
    worker.close()


def asked(site, parameters, content: bytes | None = None, kind: str = "separate") -> str:
    """A job on the demo recording."""
    browser = visit(site)
    sent = browser.upload(content or (DEMO / "mixture.flac").read_bytes(), "mixture.flac", piece=1 << 20)
    with site.state.database.writing() as session:
        upload = session.get_one(Upload, sent["id"])
        return queue.enqueue(session, kind, upload.visit_id, parameters, [queue.heard(upload)]).id


def job(site, key: str) -> Job:
    with site.state.database.reading() as session:
        return session.get_one(Job, key)


def test_voices_are_those_of_the_command_line(light_site, worker, tmp_path):
    from unbabble.verbs.separate import separate

    key = asked(light_site, FAST)
    assert worker.step()
    done = job(light_site, key)
    assert (done.state, done.error, done.attempts) == ("done", None, 1)
    assert done.result["model"] == "auxiva.iss" and len(done.result["scores"]) == 2
    report = separate(DEMO / "mixture.flac", out=tmp_path / "cli", format="flac", quiet=True, **FAST)
    assert len(done.outputs) == 2
    for each in done.outputs:
        stored = light_site.state.storage.open(each["key"]).read()
        assert stored == (tmp_path / "cli" / "mixture" / each["name"]).read_bytes()
    assert done.result["scores"] == report.files[0].details["scores"]
    with light_site.state.database.reading() as session:
        assert session.scalars(select(Doomed)).all() == []
