"""Workers: what they make is what the command line makes, and whoever is killed, each job is finished exactly once."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest
import soundfile
from sqlalchemy import select, update

from tests.web.conftest import DEMO, visit, wav
from unbabble.web.database import now
from unbabble.web.queue import queue
from unbabble.web.queue.disposal import sweep
from unbabble.web.tables.jobs import Doomed, Job
from unbabble.web.tables.uploads import Upload
from unbabble.web.worker import FELL, Hands, Worker

FAST = {"model": "auxiva.iss", "sources": 2, "iterations": 3}
SLOW = FAST | {"model": "ilrma.ip", "iterations": 1_000_000}
"""Of a minute of sound, so that it is not done before it is interrupted: what has converged stops early."""
LONG = 6
"""Demo recordings, that make a minute."""
PATIENCE_SECONDS = 120.0


@pytest.fixture(scope="module")
def hands():
    """The process that computes, for several tests: it takes seconds to begin."""
    hands = Hands()
    yield hands
    hands.end()


@pytest.fixture
def worker(light_site, hands):
    worker = Worker(light_site.state.settings)
    worker._hands = hands
    yield worker
    worker._hands = None
    worker.close()


@pytest.fixture
def other_worker(light_site):
    """One whose other process may be killed."""
    worker = Worker(light_site.state.settings)
    yield worker
    worker.close()


def flac(
    name: str = "mixture",
    seconds: float | None = None,
    channels: int | None = None,
    noise: int = 0,
    repeats: int = 1,
) -> bytes:
    """Of the demo recording, so many times, with noise of so many steps of 16 bits."""
    samples, rate = soundfile.read(DEMO / f"{name}.flac", always_2d=True, dtype="int16")
    samples = np.tile(samples[: None if seconds is None else round(seconds * rate), :channels], (repeats, 1))
    samples = samples + np.random.default_rng(0).integers(-noise, noise + 1, samples.shape, dtype="int16")
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def asked(site, parameters: dict, kind: str = "separate", **files: bytes | list[bytes]) -> str:
    """A job on uploads, by their roles."""
    browser, inputs = visit(site), []
    for role, contents in (files or {"mixture": flac()}).items():
        for content in contents if isinstance(contents, list) else [contents]:
            sent = browser.upload(content, f"my {role}.flac")
            with site.state.database.reading() as session:
                inputs.append(queue.as_input(session.get_one(Upload, sent["id"]), role))
    with site.state.database.writing() as session:
        return queue.enqueue(session, kind, None, parameters, inputs).id


def job(site, key: str) -> Job:
    with site.state.database.reading() as session:
        return session.get_one(Job, key)


def until(condition, what: str) -> None:
    """Wait for something that must come."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def lapse(site, key: str) -> None:
    """As if the lease's time were over."""
    with site.state.database.writing() as session:
        session.execute(update(Job).where(Job.id == key).values(due=now(), parameters=FAST))


def begun(site) -> subprocess.Popen:
    """A worker process."""
    settings = site.state.settings
    command = [
        sys.executable,
        "-m",
        "unbabble.web.worker",
        settings.data,
        settings.database,
        settings.storage,
    ]
    return subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)


def children(process: subprocess.Popen) -> list[int]:
    import psutil

    return [each.pid for each in psutil.Process(process.pid).children(recursive=True)]


def alive(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_the_voices_are_those_of_the_command_line(light_site, worker, tmp_path):
    from unbabble.verbs.separate import separate

    key = asked(light_site, FAST)
    assert worker.step()
    done = job(light_site, key)
    assert (done.state, done.error, done.attempts) == ("done", None, 1)
    report = separate(DEMO / "mixture.flac", out=tmp_path / "cli", format="flac", quiet=True, **FAST)
    assert [each["name"] for each in done.outputs] == ["source1.flac", "source2.flac"]
    for each in done.outputs:
        stored = light_site.state.storage.open(each["key"]).read()
        assert stored == (tmp_path / "cli" / "mixture" / each["name"]).read_bytes()
        assert len(stored) == each["bytes"]
    assert done.result["scores"] == report.files[0].details["scores"]
    assert done.result["model"] == "auxiva.iss"
    with light_site.state.database.reading() as session:
        assert session.scalars(select(Doomed)).all() == []


def test_each_kind_leaves_what_it_promises(light_site, worker):
    enhanced = asked(
        light_site, {"model": "gru.2x64", "strength": 12}, "enhance", mixture=flac("reference1", 3)
    )
    extracted = asked(
        light_site,
        {"model": "conv_tasnet.2talkers_8k"},
        "extract",
        mixture=flac("mixture", 3, 1),
        enrollment=flac("reference1"),
    )
    refused = asked(light_site, {}, "extract", mixture=flac("mixture", 3, 1), enrollment=wav(2, level=0.0))
    scored = asked(
        light_site,
        {},
        "score",
        mixture=flac("mixture", None, 1),
        estimate=[flac("reference2", noise=3), flac("reference1", noise=3)],
        reference=[flac("reference1"), flac("reference2")],
    )
    alone = asked(light_site, {}, "score", mixture=flac("reference1"))
    short = asked(light_site, {}, "score", mixture=wav(0.1))
    while worker.step():
        pass

    found = job(light_site, enhanced)
    assert [each["name"] for each in found.outputs] == ["enhanced.flac"]
    assert (found.result["model"], found.result["strength_db"]) == ("gru.2x64", 12.0)
    assert {len(found.result["scores"]), len(found.result["before"])} == {1}

    found = job(light_site, extracted)
    assert [each["name"] for each in found.outputs] == ["voice.flac"]
    assert len(found.result["scores"]) == 1

    found = job(light_site, refused)
    assert (found.state, found.attempts) == ("failed", 1)
    assert found.error == "The enrollment 'my enrollment.flac' is silent."

    found = job(light_site, scored)
    assert len(found.result["scores"]) == 2
    assert [each["estimate"] for each in found.result["metrics"]["voices"]] == ["my estimate.flac"] * 2
    assert min(each["si_sdr"] for each in found.result["metrics"]["voices"]) > 30  # each has its reference

    found = job(light_site, alone)
    assert found.result["scores"][0]["si_snr_db"] > 5
    assert found.outputs == []
    assert job(light_site, short).state == "failed"


def test_how_far_it_is_is_told_while_it_goes_on(light_site, worker, monkeypatch):
    told = []
    keep = queue.keep

    def noted(database, claimed, share, stage):
        told.append(share)
        return keep(database, claimed, share, stage)

    monkeypatch.setattr(queue, "keep", noted)
    monkeypatch.setattr("unbabble.web.worker.HEARTBEAT_SECONDS", 0.1)
    voice = soundfile.read(DEMO / "reference1.flac", dtype="float32")[0]
    file = io.BytesIO()
    soundfile.write(file, np.tile(voice, 5), 16000, format="FLAC")
    key = asked(light_site, {"model": "gru.2x64", "strength": 12}, "enhance", mixture=file.getvalue())
    assert worker.step()
    assert job(light_site, key).state == "done"
    shares = [share for share in told if share is not None]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 1


def test_an_adapted_model_takes_noise_off(light_site, worker):
    voice = soundfile.read(DEMO / "reference1.flac", dtype="float32")[0]
    noise = np.random.default_rng(0).standard_normal(len(voice)).astype("float32")
    noisy = io.BytesIO()
    soundfile.write(noisy, np.tile(voice + 0.01 * noise, 3), 16000, format="FLAC")
    key = asked(light_site, {"steps": 1}, "adapt", recording=noisy.getvalue())
    assert worker.step()
    made = job(light_site, key)
    assert made.state == "done", made.error
    assert made.result["kept"] == (made.result["gain_db"][1] > 0)
    (zipped,) = made.outputs
    with zipfile.ZipFile(light_site.state.storage.open(zipped["key"])) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"me.unbabble"}
    with light_site.state.database.reading() as session:
        inputs = [made.inputs[0] | {"role": "mixture"}]
    inputs.append({"role": "model", "name": "the adapted model", "key": zipped["key"]})
    with light_site.state.database.writing() as session:
        key = queue.enqueue(session, "enhance", None, {}, inputs).id
    assert worker.step()
    found = job(light_site, key)
    assert (found.state, found.error, found.result["model"]) == ("done", None, "me.unbabble")
    assert not list(worker.folder.iterdir())  # nothing of anybody's recordings stays here


def test_a_killed_workers_job_is_finished_exactly_once(light_site):
    key = asked(light_site, SLOW, mixture=flac(repeats=LONG))
    first = begun(light_site)
    second = None
    try:
        until(lambda: job(light_site, key).stage == "Separating", "the first worker is at it")
        hands = children(first)
        first.send_signal(signal.SIGKILL)
        first.wait()
        until(lambda: not any(alive(pid) for pid in hands), "its other process ends with it")
        assert (job(light_site, key).state, job(light_site, key).outputs) == ("running", [])
        left_by_first = list((light_site.state.settings.data / "work").glob("*/*"))
        assert left_by_first
        lapse(light_site, key)
        second = begun(light_site)
        until(lambda: job(light_site, key).state == "done", "the second worker finishes it")
        done = job(light_site, key)
        assert (done.attempts, len(done.outputs)) == (2, 2)
        assert not any(path.exists() for path in left_by_first)  # what the first had fetched is gone
    finally:
        for process in (first, second):
            if process is not None:
                process.send_signal(signal.SIGTERM)
                process.wait(20)


def test_a_worker_that_is_told_to_stop_gives_its_job_back(light_site):
    key = asked(light_site, SLOW, mixture=flac(repeats=LONG))
    process = begun(light_site)
    try:
        until(lambda: job(light_site, key).stage == "Separating", "the worker is at it")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
    found = job(light_site, key)
    assert (found.state, found.attempts, found.lease) == ("waiting", 0, None)


def test_a_job_that_falls_is_tried_again_and_a_deleted_one_is_stopped(light_site, other_worker):
    worker = other_worker
    key = asked(light_site, SLOW, mixture=flac(repeats=LONG))
    thread = threading.Thread(target=worker.step)
    thread.start()
    until(lambda: job(light_site, key).stage == "Separating", "the worker is at it")
    os.kill(worker._hands._process.pid, signal.SIGKILL)  # as the kernel does where memory runs out
    thread.join(PATIENCE_SECONDS)
    found = job(light_site, key)
    assert (found.state, found.attempts) == ("waiting", 1)
    assert found.due > now()

    lapse(light_site, key)
    with light_site.state.database.writing() as session:
        session.execute(update(Job).values(parameters=SLOW, attempts=queue.MOST_ATTEMPTS - 1))
    thread = threading.Thread(target=worker.step)
    thread.start()
    until(lambda: job(light_site, key).stage == "Separating", "the worker is at it again")
    os.kill(worker._hands._process.pid, signal.SIGKILL)
    thread.join(PATIENCE_SECONDS)
    assert (job(light_site, key).state, job(light_site, key).error) == ("failed", FELL)

    key = asked(light_site, SLOW, mixture=flac(repeats=LONG))
    thread = threading.Thread(target=worker.step)
    thread.start()
    until(lambda: job(light_site, key).stage == "Separating", "the worker is at another")
    with light_site.state.database.writing() as session:
        queue.remove(session, key)
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert not list((light_site.state.settings.data / "recordings").glob("jobs/**/*.flac"))


def test_a_disk_that_is_full_for_a_while(light_site, worker, monkeypatch):
    key = asked(light_site, {}, "adapt", recording=wav(1))
    with light_site.state.database.writing() as session:
        session.execute(update(Job).values(kind="separate", parameters=FAST))
        found = session.get_one(Job, key)
        found.inputs = [found.inputs[0] | {"role": "mixture"}]
    light_site.state.storage.put(job(light_site, key).inputs[0]["key"], DEMO / "mixture.flac")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(worker.storage, "put", full)
        assert worker.step()
    assert (job(light_site, key).state, job(light_site, key).outputs) == ("waiting", [])
    lapse(light_site, key)
    assert worker.step()
    assert job(light_site, key).state == "done"
    sweep(light_site.state.database, light_site.state.storage)
    assert all(light_site.state.storage.size(each["key"]) for each in job(light_site, key).outputs)


def test_a_database_that_goes_away_and_comes_back(site, request):
    """The server ends every connection and takes none, while the worker is at it; it tells when it can."""
    if site.state.database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite does not go away")
    import psycopg

    server = request.getfixturevalue("postgres").format(name="postgres")
    name = site.state.database.engine.url.database
    key = asked(site, FAST | {"iterations": 300})
    worker = Worker(site.state.settings)
    thread = threading.Thread(target=worker.run)
    try:
        thread.start()
        until(lambda: job(site, key).state == "running", "the worker is at it")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
            gone = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(gone, [name])
            assert visit(site).get("/studio").status_code == 503
            time.sleep(3)  # the worker notices
            connection.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
        until(lambda: job(site, key).state == "done", "the worker goes on")
        assert job(site, key).attempts == 1
    finally:
        worker.stopping.set()
        thread.join(PATIENCE_SECONDS)
        worker.close()


def test_only_the_process_that_computes_imports_torch():
    code = (
        "import sys; import unbabble.web.app, unbabble.web.worker, unbabble.web.rooms.studio; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
