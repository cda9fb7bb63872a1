"""A site for each test, on SQLite and on PostgreSQL; browsers and servers for those that need them.

PostgreSQL is the one at ``UNBABBLE_TEST_POSTGRES``, or one that is started here where its programs are installed.
Chromium is Debian's, or the one at ``UNBABBLE_TEST_CHROMIUM``.
"""

import glob
import io
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi", reason="the extra 'web' is not installed")

import uvicorn
from fastapi.testclient import TestClient

from unbabble.web.app import create_app
from unbabble.web.rooms.accounts import add_user
from unbabble.web.settings import Settings

PASSWORD = "correct horse battery"
DEMO = Path(__file__).parents[2] / "src" / "unbabble" / "demo"
CHROMIUM = os.environ.get("UNBABBLE_TEST_CHROMIUM", "/usr/bin/chromium")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-device-for-media-stream --use-fake-ui-for-media-stream "
    "--autoplay-policy=no-user-gesture-required"
)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory) -> Iterator[str]:
    """URL of a PostgreSQL server in which databases may be made."""
    if given := os.environ.get("UNBABBLE_TEST_POSTGRES"):
        yield given.rstrip("/")
        return
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not found:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    programs, folder = Path(found[-1]), Path(f"/tmp/unbabble-postgres-{os.getpid()}")
    folder.mkdir(mode=0o700)
    as_whom: list[str] = []
    if os.geteuid() == 0:  # its programs refuse to run as root
        shutil.chown(folder, "postgres", "postgres")
        as_whom = ["runuser", "-u", "postgres", "--"]

    def run(*command: str) -> None:
        subprocess.run([*as_whom, *command], check=True, capture_output=True, cwd="/")

    try:
        run(f"{programs}/initdb", "-D", f"{folder}/data", "-U", "postgres", "--auth=trust", "--no-sync")
        options = (
            f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c max_connections=200"
        )
        run(f"{programs}/pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o", options, "start")
        yield f"postgresql://postgres@/{{name}}?host={folder}"
    finally:
        subprocess.run(
            [*as_whom, f"{programs}/pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop"],
            capture_output=True,
            check=False,
            cwd="/",
        )
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'unbabble.db'}"
        return
    import psycopg

    server = request.getfixturevalue("postgres")
    name = "t" + re.sub(r"\W", "", tmp_path.name.lower())[-40:] + str(time.monotonic_ns() % 1_000_000)
    with psycopg.connect(server.format(name="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield server.format(name=name)
    with psycopg.connect(server.format(name="postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(tmp_path, database_url) -> Settings:
    """Of a site without limits on calls."""
    return replace(Settings.of(tmp_path / "site", database_url, address="http://testserver"), limits=False)


@pytest.fixture
def light_settings(tmp_path) -> Settings:
    """The same, on SQLite alone, for tests to which the database makes no difference."""
    return replace(Settings.of(tmp_path / "site", address="http://testserver"), limits=False)


class Browser(TestClient):
    """A visitor: as a browser, it keeps cookies, and brings the page's token with every call that changes something."""

    def request(self, method: str, url, **options):  # type: ignore[override]
        headers = dict(options.pop("headers", None) or {})
        if method.upper() not in ("GET", "HEAD") and "x-csrf-token" not in headers and self.with_token:
            headers["x-csrf-token"] = self.token()
        return super().request(method, url, headers=headers, **options)

    with_token = True

    def token(self) -> str:
        page = super().request("GET", "/", headers={"accept": "text/html"})
        found = re.search(r'name="csrf" content="([^"]+)"', page.text)
        assert found
        return found[1]

    def upload(
        self, content: bytes, name: str = "a.wav", purpose: str = "studio", piece: int = 1 << 20
    ) -> dict:
        """Send a file in pieces."""
        import hashlib

        state = self.post(
            "/api/uploads", json={"name": name, "bytes": len(content), "purpose": purpose}
        ).json()
        for start in range(0, len(content), piece):
            answer = self.put(
                f"/api/uploads/{state['id']}?offset={start}", content=content[start : start + piece]
            )
            assert answer.status_code == 200, answer.text
        digest = hashlib.sha256(content).hexdigest()
        answer = self.post(f"/api/uploads/{state['id']}/finish", json={"sha256": digest})
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def site(settings):
    """The app."""
    app = create_app(settings)
    yield app
    app.state.database.close()


@pytest.fixture
def light_site(light_settings):
    """The app on SQLite."""
    app = create_app(light_settings)
    yield app
    app.state.database.close()


def visit(app) -> Browser:
    """A new visitor."""
    return Browser(app, raise_server_exceptions=False, follow_redirects=False)


def log_in(app, role: str = "administrator", name: str | None = None) -> Browser:
    """A visitor with an account of this role."""
    name = name or role
    add_user(app.state.database, name, PASSWORD, role)
    browser = visit(app)
    answer = browser.post("/login", data={"name": name, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    return browser


def wav(
    seconds: float = 1.0, rate: int = 8000, channels: int = 1, seed: int = 0, level: float = 0.1
) -> bytes:
    """A recording of noise, of 16 bits."""
    samples = level * np.random.default_rng(seed).standard_normal((round(seconds * rate), channels))
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.fixture(scope="session")
def chromium() -> Callable:
    """Starts a real browser: ``chromium(microphone=FILE, **context options)`` gives a context."""
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed (Debian: chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = []

        def start(microphone: Path | None = None, **options):
            flags = FLAGS.split()
            if microphone is not None:
                flags.append(f"--use-file-for-fake-audio-capture={microphone}")
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
            opened.append(browser)
            return browser.new_context(**options)

        yield start
        for browser in opened:
            browser.close()


@pytest.fixture
def live(tmp_path) -> Iterator[Callable]:
    """Serves an app on a port of this machine: ``live(**settings)`` gives its address and the app."""
    running = []

    def start(**changes):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address = f"http://127.0.0.1:{port}"
        app = create_app(
            replace(Settings.of(tmp_path / f"live{port}", address=address), **({"limits": False} | changes))
        )
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        running.append((server, thread, app))
        return address, app

    yield start
    for server, thread, app in running:
        server.should_exit = True
        thread.join(10)
        app.state.database.close()
