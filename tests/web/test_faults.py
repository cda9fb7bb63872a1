"""No space, no database, killed processes: what was acknowledged is there, and what follows works again."""

import hashlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import select

from tests.web.conftest import Browser, visit, wav
from tests.web.test_uploads import PIECE, begun, finish, put, steady, stored, token_of
from unbabble.web import database as database_module
from unbabble.web.app import create_app
from unbabble.web.database import Database
from unbabble.web.serve import VENDOR
from unbabble.web.settings import Settings
from unbabble.web.tables.uploads import Upload

PATIENCE_SECONDS = 60.0
FULL = Path("/dev/full")
"""A device on which there is never any space."""


def sent(browser: Browser, content: bytes) -> str:
    """All pieces of an upload that has not been finished."""
    key = begun(browser, content)
    assert put(browser, key, 0, content).status_code == 200
    return key


def files(app) -> set[str]:
    folder = Path(app.state.settings.storage)
    return {path.name for path in folder.rglob("*") if path.is_file() or path.is_symlink()}


# --- no space ---


def test_without_space_for_a_piece_nothing_is_acknowledged_and_it_is_sent_again(light_site):
    browser, content = visit(light_site), wav(1.0)
    key = begun(browser, content)
    place = light_site.state.settings.data / "partial" / f"{key}.sent"
    place.symlink_to(FULL)
    answer = put(browser, key, 0, content[:PIECE])
    assert answer.status_code == 507
    assert "retry-after" in answer.headers
    assert browser.get(f"/api/uploads/{key}").json()["received"] == 0
    place.unlink()
    assert put(browser, key, 0, content[:PIECE]).status_code == 200
    assert put(browser, key, PIECE, content[PIECE:]).status_code == 200
    assert finish(browser, key, content).json()["state"] == "stored"


def test_without_space_for_what_is_heard_the_upload_stays_open(light_site):
    browser, content = visit(light_site), wav(1.0)
    key = sent(browser, content)
    (light_site.state.settings.data / "partial" / f"{key}.flac").symlink_to(FULL)
    assert finish(browser, key, content).status_code == 507
    assert browser.get(f"/api/uploads/{key}").json()["state"] == "open"
    assert files(light_site) == set()
    assert finish(browser, key, content).json()["state"] == "stored"


@pytest.mark.parametrize("which", ["sent", "flac"])
def test_without_space_in_the_storage_nothing_half_written_appears(light_site, which):
    browser, content = visit(light_site), wav(1.0)
    key = sent(browser, content)
    folder = Path(light_site.state.settings.storage) / "uploads" / key[:2].replace(".", "_")
    folder.mkdir(parents=True)
    (folder / f"{key}.{which}.partial").symlink_to(FULL)
    assert finish(browser, key, content).status_code == 507
    assert browser.get(f"/api/uploads/{key}").json()["state"] == "open"
    assert f"{key}.flac" not in files(light_site)
    assert finish(browser, key, content).json()["state"] == "stored"
    assert files(light_site) == {f"{key}.sent", f"{key}.flac"}


# --- no database ---


def test_a_database_that_goes_away_and_comes_back(postgres, tmp_path):
    """PostgreSQL ends all connections and takes no more, as when it is started again."""
    import psycopg

    name = f"gone{time.monotonic_ns()}"
    with psycopg.connect(postgres.format(name="postgres"), autocommit=True) as control:
        control.execute(f"CREATE DATABASE {name}")
        settings = Settings.of(tmp_path / "site", postgres.format(name=name), address="http://testserver")
        app = create_app(replace(settings, limits=False))
        browser, content = visit(app), wav(1.0)
        steady(browser)
        key = begun(browser, content)
        assert put(browser, key, 0, content[:PIECE]).status_code == 200

        control.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        control.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        for answer in (
            browser.get("/health"),
            browser.get(f"/api/uploads/{key}"),
            put(browser, key, PIECE, content[PIECE:]),
            finish(browser, key, content),
        ):
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
        page = browser.get("/", headers={"accept": "text/html"})
        assert page.status_code == 503
        assert "try again" in page.text

        control.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert browser.get(f"/api/uploads/{key}").json()["received"] == PIECE
        assert put(browser, key, PIECE, content[PIECE:]).status_code == 200
        assert finish(browser, key, content).json()["state"] == "stored"
        app.state.database.close()
        control.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_that_is_lost_while_an_upload_is_finished(light_site, monkeypatch):
    """All is stored, and the last transaction fails: the upload is open, and finished by the next call."""
    from sqlalchemy.exc import OperationalError

    browser, content = visit(light_site), wav(1.0)
    key = sent(browser, content)
    steady(browser)
    writing = Database.writing

    def lost(self):
        raise OperationalError("COMMIT", {}, Exception("gone"))

    monkeypatch.setattr(Database, "writing", lost)
    assert finish(browser, key, content).status_code == 503
    monkeypatch.setattr(Database, "writing", writing)
    assert (
        browser.get(f"/api/uploads/{key}").json() | {"state": "open", "received": len(content)}
        == browser.get(f"/api/uploads/{key}").json()
    )
    assert finish(browser, key, content).json()["state"] == "stored"


def test_a_database_that_somebody_holds_is_a_busy_one(light_settings, monkeypatch):
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.2)
    app = create_app(light_settings)
    browser, content = visit(app), wav(1.0)
    steady(browser)
    holder = sqlite3.connect(light_settings.data / "unbabble.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert browser.post("/api/uploads", json={"name": "a", "bytes": 9}).status_code == 503
    assert browser.get("/health").status_code == 200  # readers do not wait
    holder.execute("ROLLBACK")
    holder.close()
    assert stored(app, sent(browser, content)).state == "open"
    app.state.database.close()


# --- killed ---


PROGRAM = "from unbabble.cli import main; main()"


class Served:
    """``unbabble serve`` as a process, which can be killed and started again."""

    def __init__(self, data: Path, database: str, workers: int = 0) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.command = [
            sys.executable, "-c", PROGRAM, "serve", "--data", os.fspath(data), "--database", database,
            "--port", str(self.port), "--workers", str(workers), "--quiet",
        ]  # fmt: skip
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            try:
                if httpx.get(f"{self.address}/health", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_workers_end_with_the_server_however_it_ends(tmp_path, number, code):
    if not (VENDOR / "wavesurfer.js").is_file():
        pytest.skip("the player is not built (make web)")
    server = Served(tmp_path / "site", f"sqlite:///{tmp_path / 'unbabble.db'}", workers=1)
    try:
        workers = psutil.Process(server.process.pid).children(recursive=True)
        assert len(workers) >= 1
        server.process.send_signal(number)
        assert server.process.wait(PATIENCE_SECONDS) == code
        assert not psutil.wait_procs(workers, timeout=PATIENCE_SECONDS)[1]
    finally:
        server.kill()


@pytest.fixture
def served(tmp_path, database_url):
    if not (VENDOR / "wavesurfer.js").is_file():
        pytest.skip("the player is not built (make web)")
    server = Served(tmp_path / "site", database_url)
    yield server
    server.kill()


class Client(httpx.Client):
    """A visitor of a server that may be killed; remembers what was acknowledged."""

    def __init__(self, address: str, content: bytes, piece: int) -> None:
        super().__init__(base_url=address, timeout=30)
        self.headers["x-csrf-token"] = token_of(self.get("/").text)
        self.content, self.piece, self.acknowledged = content, piece, 0
        self.key = self.post("/api/uploads", json={"name": "a.wav", "bytes": len(content)}).json()["id"]

    def transmit(self) -> None:
        """The pieces, until all are there or nobody answers."""
        while self.acknowledged < len(self.content):
            start = self.acknowledged
            piece = self.content[start : start + self.piece]
            try:
                answer = self.put(f"/api/uploads/{self.key}?offset={start}", content=piece)
            except httpx.TransportError:
                return
            assert answer.status_code == 200, answer.text
            self.acknowledged = answer.json()["received"]

    def state(self) -> dict:
        return self.get(f"/api/uploads/{self.key}").json()

    def complete(self) -> dict:
        digest = hashlib.sha256(self.content).hexdigest()
        return self.post(f"/api/uploads/{self.key}/finish", json={"sha256": digest}).json()


def test_killed_in_the_middle_of_uploads_every_acknowledged_piece_is_there(served, tmp_path, database_url):
    clients = [Client(served.address, wav(6.0, rate=48000, seed=seed), PIECE) for seed in range(4)]
    threads = [threading.Thread(target=client.transmit) for client in clients]
    for thread in threads:
        thread.start()
    while sum(client.acknowledged for client in clients) < 40 * PIECE:
        time.sleep(0.005)
    served.kill()
    for thread in threads:
        thread.join()
    assert any(client.acknowledged < len(client.content) for client in clients), "killed too late"
    served.start()
    for client in clients:
        received = client.state()["received"]
        assert received >= client.acknowledged > 0
        arrived = (tmp_path / "site" / "partial" / f"{client.key}.sent").read_bytes()
        assert arrived == client.content[:received]
        client.acknowledged = received
        client.transmit()
        assert client.complete()["state"] == "stored"
        client.close()
    database = Database(database_url)
    with database.reading() as session:
        for upload in session.scalars(select(Upload)):
            content = (tmp_path / "site" / "recordings" / upload.key).read_bytes()
            assert hashlib.sha256(content).hexdigest() == upload.sha256
    database.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_killed_while_an_upload_is_finished_it_is_stored_whole_or_still_open(served, tmp_path):
    content = wav(20.0, rate=48000)
    outcomes = []
    for wait in (0.0, 0.1):
        client = Client(served.address, content, 1 << 20)
        client.transmit()

        def call(client: Client = client) -> None:
            with suppress(httpx.TransportError):
                client.complete()

        thread = threading.Thread(target=call)
        thread.start()
        time.sleep(wait)
        served.kill()
        thread.join()
        served.start()
        state = client.state()
        outcomes.append(state["state"])
        assert (state["state"], state["received"]) in (("open", len(content)), ("stored", len(content)))
        assert client.complete()["state"] == "stored"
        (file,) = (tmp_path / "site" / "recordings").rglob(f"{client.key}.sent")
        assert file.read_bytes() == content
        client.close()
    assert "open" in outcomes, "killed too late every time"
