"""``unbabble serve``: the site. ``unbabble administrator``: the first account."""

import getpass
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

from unbabble.base.errors import InputError, UsageError
from unbabble.base.extras import require
from unbabble.verbs.options import AnyPath
from unbabble.web.settings import UNTIL_INPUT_ENDS

EXTRA = "web"
LIBRARIES = (
    "alembic", "argon2", "fastapi", "fsspec", "jinja2", "psycopg", "python_multipart", "sqlalchemy", "uvicorn",
)  # fmt: skip
RESTART_SECONDS = 2.0
VENDOR = Path(__file__).parent / "static" / "vendor"
"""Filled when the package is built."""
LEAST_PORT, MOST_PORT = 1, 65535


def serve(
    *,
    data: AnyPath = Path("unbabble-data"),
    database: str | None = None,
    storage: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    address: str | None = None,
    proxy: str = "",
    workers: int = 1,
    kept_days: float = 30.0,
    most_minutes: float = 60.0,
    most_megabytes: float = 200.0,
    quiet: bool = False,
) -> None:
    """Serve the studio, the recorder, listening studies and the leaderboard to browsers.

    Make the first account with `unbabble administrator NAME`. Stop it with Ctrl-C; nothing that it has acknowledged is
    lost, even if it is killed.

    Args:
        data: Folder for what is kept on this machine.
        database: SQLAlchemy URL, postgresql://user@host/name say; SQLite in the data folder by default.
        storage: Folder or fsspec URL for recordings, s3://bucket/folder say; in the data folder by default.
        host: Where to listen; 0.0.0.0 for every network.
        port: Where to listen.
        address: Under which browsers reach it; microphones need https, or this machine.
        proxy: Address of a proxy whose word on who calls is trusted.
        workers: Processes that separate; 0 where they run elsewhere (`python -m unbabble.web.worker`).
        kept_days: Recordings of the studio are deleted after so many days.
        most_minutes: Duration of a recording.
        most_megabytes: Size of a file.
        quiet: Do not log calls.

    Raises:
        InputError: the database cannot be used, or the package was built without npm.
        MissingExtraError: without the extra.
        OutputError: the data folder cannot be written to.
        UsageError: settings that make no sense.
    """
    require("web")
    import uvicorn

    from unbabble.web.app import create_app
    from unbabble.web.settings import MEGABYTE, Settings

    if not LEAST_PORT <= port <= MOST_PORT:
        raise UsageError(f"A port is between {LEAST_PORT} and {MOST_PORT}.")
    if workers < 0 or min(kept_days, most_minutes, most_megabytes) <= 0:
        raise UsageError("The number of workers is 0 or more; days, minutes and megabytes are above 0.")
    settings = Settings.of(
        Path(data),
        database,
        storage,
        address or f"http://{f'[{host}]' if ':' in host else host}:{port}",
        workers=workers,
        kept_days=kept_days,
        most_seconds=60 * most_minutes,
        most_upload_bytes=round(most_megabytes * MEGABYTE),
    )
    if not (VENDOR / "wavesurfer.js").is_file():
        raise InputError(
            "The site's pages lack their player: install npm, then install Unbabble again (make web)."
        )
    logging.getLogger().setLevel(logging.WARNING if quiet else logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        log_level="warning" if quiet else "info",
        access_log=False,  # ours has no keys in it
        server_header=False,
        proxy_headers=bool(proxy),
        forwarded_allow_ips=proxy or None,
        timeout_graceful_shutdown=5,
    )
    with closing(_open(host, port)) as door, Workers(settings_arguments(settings), workers):
        print(f"Serving at {settings.address}", file=sys.stderr)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[door])


def _open(host: str, port: int) -> socket.socket:
    """Where calls arrive.

    Raises:
        UsageError: somebody else listens there, or it is no address of this machine.
    """
    door = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))
    except OSError as error:
        door.close()
        raise UsageError(f"Cannot listen at {host}:{port}: {error.strerror}.") from error
    return door


def settings_arguments(settings) -> list[str]:
    """The arguments of a worker process."""
    return [os.fspath(settings.data), settings.database, settings.storage]


class Workers:
    """Processes that do the jobs; one that falls is started again. All end with this one, however that ends."""

    def __init__(self, arguments: list[str], count: int) -> None:
        self.command = [sys.executable, "-m", "unbabble.web.worker", *arguments, UNTIL_INPUT_ENDS]
        self.count, self.stopping = count, threading.Event()
        self.theirs, self.ours = os.pipe()  # their standard input, which ends with this process
        self.processes: list[subprocess.Popen] = []
        self.watch = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Workers":
        self.processes = [self._start() for _ in range(self.count)]
        self.watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.watch.join()
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        os.close(self.theirs)
        os.close(self.ours)

    def _start(self) -> subprocess.Popen:
        threads = max(1, (os.cpu_count() or 1) // self.count)
        environment = {"OMP_NUM_THREADS": str(threads)} | os.environ
        return subprocess.Popen(self.command, stdin=self.theirs, env=environment)

    def _watch(self) -> None:
        while not self.stopping.wait(RESTART_SECONDS):
            for number, process in enumerate(self.processes):
                if process.poll() is not None:
                    logging.getLogger(__name__).warning(
                        "A worker ended (%s): another begins.", process.returncode
                    )
                    self.processes[number] = self._start()


def administrator(
    name: str,
    *,
    data: AnyPath = Path("unbabble-data"),
    database: str | None = None,
    password_file: AnyPath | None = None,
) -> None:
    """Make an administrator's account for the site, or give it another password.

    Args:
        name: To log in with.
        data: The site's folder.
        database: As for `unbabble serve`.
        password_file: Read the password from the first line of this file; otherwise it is asked for.

    Raises:
        InputError: the database cannot be used.
        MissingExtraError: without the extra.
        UsageError: a password that is too short, or not the same twice.
    """
    require("web")
    from unbabble.web.database import Database
    from unbabble.web.rooms.accounts import add_user
    from unbabble.web.settings import Settings

    settings = Settings.of(Path(data), database)
    store = Database(settings.database)
    store.migrate()
    if password_file is not None:
        try:
            password = (Path(password_file).read_text().splitlines() or [""])[0]
        except OSError as error:
            raise UsageError(f"Cannot read '{password_file}': {error.strerror}.") from None
    else:
        try:
            password = getpass.getpass("Password: ")
            if getpass.getpass("Again: ") != password:
                raise UsageError("The two passwords differ.")
        except EOFError:
            raise UsageError("No password was typed; --password-file names a file that holds it.") from None
    add_user(store, name, password, "administrator")
    store.close()
    print(f"'{name}' may log in as administrator.")
