"""A worker: takes jobs from the queue and has them done.

    python -m unbabble.web.worker DATA DATABASE STORAGE [until-input-ends]

This process holds the lease, fetches, stores and tells; the computing is done by another one (``work.serve``), which
may run out of memory, crash or hang: its job is tried again, and this process goes on. It survives a database that goes
away and comes back. In between it deletes what has expired.
"""

import fcntl
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from unbabble.base.errors import InputError
from unbabble.web.collect import reading
from unbabble.web.database import Database
from unbabble.web.queue import queue
from unbabble.web.queue.disposal import sweep
from unbabble.web.queue.expiry import purge
from unbabble.web.queue.process import File, Message, serve
from unbabble.web.queue.queue import Claim
from unbabble.web.review import judging
from unbabble.web.settings import UNTIL_INPUT_ENDS, Settings
from unbabble.web.storage import Storage
from unbabble.web.studio import enrolled
from unbabble.web.work import KINDS

logger = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 2.0
IDLE_SECONDS = 0.5
AGAIN_SECONDS = 2.0
"""Between calls to a database that does not answer."""
SWEEP_SECONDS, PURGE_SECONDS = 60.0, 600.0
MOST_HOURS = 6.0
"""That a job may take."""
FELL = "What worked on this ended unexpectedly, perhaps for lack of memory."
_T = TypeVar("_T")


class Stopping(Exception):
    """The worker was asked to end."""


class Worker:
    """One worker.

    Args:
        settings: of the site.
        name: of this worker, for its administrator.
    """

    def __init__(self, settings: Settings, name: str | None = None) -> None:
        self.settings = settings
        self.database, self.storage = Database(settings.database), Storage(settings.storage)
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self.stopping = threading.Event()
        self.folder, self._lock = _own_folder(settings.data / "work")
        self._hands: Hands | None = None
        self._next_sweep = self._next_purge = 0.0

    def run(self) -> None:
        """Work until ``stopping``."""
        while not self.stopping.is_set():
            try:
                self._tidy()
                if not self.step():
                    self.stopping.wait(IDLE_SECONDS)
            except SQLAlchemyError as error:
                logger.warning("The database does not answer: %s", type(error).__name__)
                self.stopping.wait(AGAIN_SECONDS)
            except Stopping:
                break

    def step(self) -> bool:
        """Take one job and see it through; False if there is none.

        Raises:
            SQLAlchemyError: the database does not answer.
            Stopping: while it was at it.
        """
        claimed = queue.claim(self.database, self.name)
        if claimed is None:
            return False
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            try:
                self._see_through(claimed, Path(folder))
            except Stopping:
                self._let_go()
                queue.hand_back(self.database, claimed)
                raise
        return True

    def close(self) -> None:
        """End the other process, and remove what lies about."""
        self._let_go()
        self.database.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def _see_through(self, claimed: Claim, folder: Path) -> None:
        try:
            files = self._fetch(claimed, folder)
        except InputError as error:
            self._insist(queue.refuse, claimed, str(error))
            return
        except OSError as error:
            logger.error("Cannot fetch: %s", error.strerror or type(error).__name__)
            self._insist(queue.retry, claimed, "The recording could not be read from the storage.")
            return
        message = self._computed(claimed, folder, files)
        if message is None:
            return
        if message.what == "refused":
            self._insist(queue.refuse, claimed, message.sentence)
        elif message.what == "failed":
            self._insist(queue.retry, claimed, message.sentence)
        else:
            self._store(claimed, message)

    def _fetch(self, claimed: Claim, folder: Path) -> list[File]:
        files = []
        for number, each in enumerate(claimed.inputs, 1):
            suffix = Path(each["key"]).suffix
            path = folder / f"input{number}" / f"recording{number}{suffix}"
            path.parent.mkdir()
            self.storage.fetch(each["key"], path)
            files.append(File(each["role"], each["name"], path, tuple(each.get("warnings", ()))))
        return files

    def _computed(self, claimed: Claim, folder: Path, files: list[File]) -> Message | None:
        """How it ended; None where this worker has nothing more to say of the job."""
        if self._hands is None:
            self._hands = Hands()
        parameters = claimed.parameters | ({"site": self.settings} if KINDS[claimed.kind].of_site else {})
        self._hands.begin(claimed.kind, folder, parameters, files)
        deadline, share, beat = time.monotonic() + 3600 * MOST_HOURS, None, 0.0
        while True:
            if self.stopping.is_set():
                raise Stopping
            if time.monotonic() >= deadline:
                self._let_go()
                return Message("refused", sentence=f"This takes longer than {MOST_HOURS:g} hours.")
            try:
                message = self._hands.message(HEARTBEAT_SECONDS / 2)
            except (EOFError, OSError):
                self._let_go()
                return Message("failed", sentence=FELL)
            if message is not None and message.what != "progress":
                return message
            share = message.share if message is not None else share
            if time.monotonic() - beat >= HEARTBEAT_SECONDS:
                beat = time.monotonic()
                try:
                    if not queue.keep(self.database, claimed, share, KINDS[claimed.kind].stage):
                        logger.info("Job %s is no longer ours.", claimed.id)
                        self._let_go()
                        return None
                except SQLAlchemyError as error:  # the work goes on; it is reported when the database answers
                    logger.warning("The database does not answer: %s", type(error).__name__)

    def _store(self, claimed: Claim, message: Message) -> None:
        place = f"jobs/{claimed.id[:2]}/{claimed.id}/{claimed.attempt}"
        outputs = [
            {"name": path.name, "key": f"{place}/{path.name}", "bytes": path.stat().st_size}
            for path in message.outputs
        ]
        if not self._insist(queue.about_to_store, claimed, [each["key"] for each in outputs]):
            return
        try:
            for path, each in zip(message.outputs, outputs, strict=True):
                self.storage.put(each["key"], path)
        except OSError as error:
            logger.error("Cannot store: %s", error.strerror or type(error).__name__)
            self._insist(queue.retry, claimed, "The server could not store the result.")
            return
        if not self._insist(queue.finish, claimed, message.result or {}, outputs):
            logger.info("Job %s was finished by another.", claimed.id)

    def _insist(self, call: Callable[..., _T], *arguments: Any) -> _T:
        """Until the database answers."""
        while True:
            try:
                return call(self.database, *arguments)
            except SQLAlchemyError as error:
                logger.warning("The database does not answer: %s", type(error).__name__)
                if self.stopping.wait(AGAIN_SECONDS):
                    raise

    def _let_go(self) -> None:
        if self._hands is not None:
            self._hands.end()
            self._hands = None

    def _tidy(self) -> None:
        at = time.monotonic()
        if at >= self._next_purge:
            self._next_purge = at + PURGE_SECONDS
            purge(self.database, self.settings.data)
            self._next_sweep = 0.0
        if at >= self._next_sweep:
            self._next_sweep = at + SWEEP_SECONDS
            judging.settle(self.database)
            reading.settle(self.database)
            enrolled.settle(self.database)
            sweep(self.database, self.storage)


class Hands:
    """The process that computes; it ends with this one."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=serve, args=(there,), daemon=True)
        self._process.start()
        there.close()

    def begin(self, kind: str, folder: Path, parameters: dict[str, Any], files: list[File]) -> None:
        """Ask for one job."""
        self._here.send((kind, folder, parameters, files))

    def message(self, seconds: float) -> Message | None:
        """What it says next, if it does so in time.

        Raises:
            EOFError: it has ended.
            OSError: it has ended.
        """
        return self._here.recv() if self._here.poll(seconds) else None

    def end(self) -> None:
        """At once."""
        self._here.close()
        self._process.kill()
        self._process.join()


def _own_folder(root: Path) -> tuple[Path, Any]:
    """A folder for what is being worked on, and the lock that says that somebody is; those of the dead are removed."""
    root.mkdir(parents=True, exist_ok=True)
    with open(root / ".lock", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for other in root.glob("[!.]*.lock"):
            with open(other) as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    continue
            shutil.rmtree(other.with_suffix(""), ignore_errors=True)
            other.unlink()
        folder = Path(tempfile.mkdtemp(dir=root))
        lock = open(folder.with_suffix(".lock"), "w")  # noqa: SIM115
        fcntl.flock(lock, fcntl.LOCK_EX)
    return folder, lock


def main(data: str, database: str, storage: str, until: str = "") -> None:
    """Work until stopped (SIGTERM, Ctrl-C), or, where that is asked for, until standard input ends."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker: %(message)s")
    worker = Worker(Settings.of(Path(data), database, storage))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stopping.set())
    if until == UNTIL_INPUT_ENDS:
        threading.Thread(target=lambda: (os.read(0, 1), worker.stopping.set()), daemon=True).start()
    try:
        worker.run()
    finally:
        worker.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
