"""Whoever falls, and however many workers there are: each job is done once, in a fair order."""

import threading
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings, strategies
from sqlalchemy import select

from tests.web.conftest import visit
from unbabble.web.database import now
from unbabble.web.queue import disposal, queue
from unbabble.web.tables.jobs import Doomed, Job
from unbabble.web.tables.people import Visit


@pytest.fixture
def database(site):
    return site.state.database


@pytest.fixture
def later(monkeypatch):
    """Moves the clock of the queue on, by seconds."""
    shift = timedelta()

    def move(seconds: float) -> None:
        nonlocal shift
        shift += timedelta(seconds=seconds)

    for module in (queue, disposal):
        monkeypatch.setattr(module, "now", lambda: now() + shift)
    return move


def add(database, count: int = 1, visit_id: str | None = None) -> list[str]:
    keys = []
    for _ in range(count):
        with database.writing() as session:
            keys.append(queue.enqueue(session, "score", visit_id, {}, []).id)
    return keys


def job(database, key: str) -> Job:
    with database.reading() as session:
        return session.get_one(Job, key)


def test_no_two_workers_get_the_same_job(database):
    keys, taken, lock = add(database, 12), [], threading.Lock()
    start = threading.Barrier(6)

    def work(name: str) -> None:
        start.wait()
        while (found := queue.claim(database, name)) is not None:
            with lock:
                taken.append(found.id)

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(keys)


def test_a_lost_lease_is_taken_again_and_the_late_workers_word_counts_no_more(database, later):
    (key,) = add(database)
    late = queue.claim(database, "late")
    assert late
    assert queue.claim(database, "other") is None
    later(queue.LEASE_SECONDS + 1)
    other = queue.claim(database, "other")
    assert other
    assert (other.id, other.attempt) == (key, 2)
    assert not queue.keep(database, late, 0.5)
    assert not queue.about_to_store(database, late, ["jobs/late"])
    assert not queue.finish(database, late, {"of": "late"}, [{"name": "a", "key": "jobs/late", "bytes": 1}])
    assert not queue.refuse(database, late, "No.")
    assert not queue.retry(database, late, "No.")
    assert not queue.hand_back(database, late)
    assert queue.finish(database, other, {"of": "other"}, [])
    assert not queue.finish(database, late, {"of": "late"}, [])
    done = job(database, key)
    assert (done.state, done.result, done.outputs) == ("done", {"of": "other"}, [])
    with database.reading() as session:  # what the late one stored is going to be deleted
        assert session.scalars(select(Doomed.key)).all() == ["jobs/late"]


def test_who_is_heard_of_keeps_the_job(database, later):
    add(database)
    claimed = queue.claim(database, "w")
    assert claimed
    for share in (0.1, 0.5, 0.9):
        later(queue.LEASE_SECONDS * 0.8)
        assert queue.keep(database, claimed, share, "Separating")
        assert queue.claim(database, "other") is None
    found = job(database, claimed.id)
    assert (found.progress, found.stage) == (0.9, "Separating")


def test_a_job_that_ends_every_worker_fails_with_a_sentence(database, later):
    (key,) = add(database)
    for attempt in range(1, queue.MOST_ATTEMPTS + 1):
        claimed = queue.claim(database, "w")
        assert claimed
        assert claimed.attempt == attempt
        later(queue.LEASE_SECONDS + 1)
    (next_one,) = add(database)
    after = queue.claim(database, "w")  # it does not stand in the way of others
    assert after
    assert after.id == next_one
    failed = job(database, key)
    assert failed.state == "failed"
    assert failed.error == "What worked on this ended every time, perhaps for lack of memory."


def test_attempts_that_fail_are_repeated_later_and_not_for_ever(database, later):
    (key,) = add(database)
    for _ in range(queue.MOST_ATTEMPTS - 1):
        claimed = queue.claim(database, "w")
        assert claimed
        assert queue.retry(database, claimed, "The storage is full.")
        assert queue.claim(database, "w") is None
        later(queue.RETRY_SECONDS * 2**queue.MOST_ATTEMPTS)
    claimed = queue.claim(database, "w")
    assert claimed
    assert queue.retry(database, claimed, "The storage is full.")
    later(1e6)
    assert queue.claim(database, "w") is None
    assert (job(database, key).state, job(database, key).error) == ("failed", "The storage is full.")


def test_a_worker_that_stops_gives_the_job_back_at_once_and_uncounted(database):
    (key,) = add(database)
    claimed = queue.claim(database, "w")
    assert claimed
    assert queue.hand_back(database, claimed)
    again = queue.claim(database, "other")
    assert again
    assert (again.id, again.attempt) == (key, 1)


def test_said_twice_because_the_answer_was_lost_it_is_done_once(database):
    add(database)
    claimed = queue.claim(database, "w")
    assert claimed
    outputs = [{"name": "a.flac", "key": "jobs/a.flac", "bytes": 1}]
    assert queue.about_to_store(database, claimed, ["jobs/a.flac"])
    assert queue.finish(database, claimed, {}, outputs)
    assert queue.finish(database, claimed, {}, outputs)
    with database.reading() as session:
        assert session.scalars(select(Doomed)).all() == []


def test_turns_are_fair(site, database):
    for _ in range(3):
        visit(site).get("/studio")
    with database.reading() as session:
        first, second, third = session.scalars(select(Visit.id).order_by(Visit.created)).all()
    a1, a2, a3 = add(database, 3, first)
    (b1,) = add(database, 1, second)
    claimed = queue.claim(database, "w")
    assert claimed
    assert claimed.id == a1
    (c1,) = add(database, 1, third)
    expected = [b1, c1, a2, a3]
    with database.reading() as session:
        assert [queue.position(session, session.get_one(Job, key)) for key in expected] == [0, 1, 2, 3]
    assert [found.id for _ in expected if (found := queue.claim(database, "w"))] == expected


def test_what_was_removed_is_nobodys_and_its_files_go(site, database):
    (key,) = add(database)
    claimed = queue.claim(database, "w")
    assert claimed
    path = site.state.settings.data / "file"
    path.write_bytes(b"voice")
    outputs = [{"name": "a", "key": f"jobs/{name}", "bytes": 5} for name in "ab"]
    assert queue.about_to_store(database, claimed, [each["key"] for each in outputs])
    for each in outputs:
        site.state.storage.put(each["key"], path)
    assert disposal.sweep(database, site.state.storage) == 0  # not while they may become visible
    with database.writing() as session:
        queue.remove(session, key)
        queue.remove(session, key)
    assert not queue.keep(database, claimed, 1.0)
    assert not queue.finish(database, claimed, {}, outputs)
    disposal.sweep(database, site.state.storage)
    assert [site.state.storage.size(each["key"]) for each in outputs] == [None, None]


def test_files_of_a_killed_attempt_are_deleted_in_the_end(site, database, later):
    add(database)
    claimed = queue.claim(database, "w")
    assert claimed
    path = site.state.settings.data / "file"
    path.write_bytes(b"voice")
    assert queue.about_to_store(database, claimed, ["jobs/x/1/a.flac"])
    site.state.storage.put("jobs/x/1/a.flac", path)
    later(3600 * queue.STORING_HOURS + 1)
    assert disposal.sweep(database, site.state.storage) == 1
    assert site.state.storage.size("jobs/x/1/a.flac") is None


STEPS = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(["claim", "finish", "retry", "hand_back", "keep", "lapse", "refuse"]),
        strategies.integers(0, 2),
    ),
    max_size=25,
)


@given(steps=STEPS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_however_workers_stumble_a_job_has_one_end_and_one_owner(light_site, steps):
    """Three workers that also speak when they have lost the job: at most one end is accepted for each job."""
    database, shift = light_site.state.database, timedelta()
    held: dict[int, queue.Claim | None] = {0: None, 1: None, 2: None}
    ends: dict[str, int] = dict.fromkeys(add(database, 3), 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "now", lambda: now() + shift)
        for action, worker in steps:
            claimed = held[worker]
            if action == "lapse":
                shift += timedelta(seconds=queue.LEASE_SECONDS + 1)
            elif action == "claim":
                held[worker] = queue.claim(database, str(worker)) or claimed
            elif claimed is None:
                continue
            elif action == "keep":
                queue.keep(database, claimed, 0.5)
            elif action == "finish":
                before = job(database, claimed.id).state
                accepted = queue.finish(database, claimed, {"by": claimed.lease}, [])
                ends[claimed.id] += accepted and before != "done"
                assert not accepted or job(database, claimed.id).result == {"by": claimed.lease}
            elif action == "refuse":
                ends[claimed.id] += queue.refuse(database, claimed, "No.")
            elif action == "retry":
                queue.retry(database, claimed, "Again.")
            else:
                queue.hand_back(database, claimed)
        for key, count in ends.items():
            assert count <= 1
            assert job(database, key).attempts <= queue.MOST_ATTEMPTS
            assert (job(database, key).state == "done") <= (count == 1)
        with database.writing() as session:
            for key in ends:
                queue.remove(session, key)
