"""Reading what strangers send: in a process of its own, with little time and memory, by no library of ours.

A file that makes the decoder grow, loop or fall ends that process, not the site. Starting Python and its libraries for
each file would take longer than to read it, so there is one process that has them loaded and touches no file; for each
file it forks one that does, under limits, and ends.
"""

import atexit
import contextlib
import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from unbabble.base import notes
from unbabble.base.errors import InputError
from unbabble.base.words import counted
from unbabble.web.settings import Settings

FLAC_CHANNELS = 8
CLIPPED = 0.999
LOST_SECONDS = 0.1
"""A wav file may lack so much of what its header promises: recorders round."""
WAIT_FACTOR = 4
"""Wall time over processor time, for a busy machine."""
MESSAGE_BYTES = 1 << 16
LIMITED = (errno.EFBIG,)
"""What the operating system says of a file that reached its own limit; everything else means the disk."""
_turns = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))


@dataclass(frozen=True)
class Decoded:
    """What an upload holds: Hz, microphones, duration, highest magnitude (full scale is 1), share that is clipped, and
    what is to be known of the file.
    """

    sample_rate: int
    channels: int
    seconds: float
    peak: float
    clipped_share: float
    warnings: tuple[str, ...] = ()


def decode(source: Path, target: Path, settings: Settings, exact: bool = False) -> Decoded:
    """Write the recording in ``source`` to ``target`` as FLAC of 24 bits, within full scale.

    Args:
        source: what was sent.
        target: is written.
        settings: for their limits.
        exact: as WAV of 32-bit float instead, beyond full scale where the recording is.

    Raises:
        InputError: it is no recording, too long, or takes too much to read.
        OSError: ``target`` cannot be written, for want of space say.
    """
    wall = WAIT_FACTOR * settings.decode_seconds
    request = {
        "source": os.path.abspath(source),  # the process that reads it may be in another folder
        "target": os.path.abspath(target),
        "most_seconds": settings.most_seconds,
        "exact": exact,
        "cpu": round(settings.decode_seconds),
        "bytes": settings.decode_bytes,
        "wall": round(wall),
    }
    with _turns:
        begun = time.monotonic()
        answer = _readers.ask(json.dumps(request).encode(), wall)
        late = time.monotonic() - begun >= wall
    if answer is None:
        reason = "takes too long to read" if late else "takes too much memory or time, or is damaged"
        raise InputError(f"This file cannot be read: it {reason}.")
    if "errno" in answer:
        raise OSError(answer["errno"], os.strerror(answer["errno"]))
    if "refused" in answer:
        raise InputError(answer["refused"])
    return Decoded(**answer)


class _Readers:
    """The process that forks readers, started when it is first needed, and again should it have ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._control: socket.socket | None = None
        atexit.register(self.close)

    def ask(self, request: bytes, seconds: float) -> dict[str, Any] | None:
        """What a reader says; None if it ended without a word, or is not done after ``seconds``."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with here:
            with there:
                self._send(request, there)
            here.settimeout(seconds + 1)
            try:
                answer = here.recv(MESSAGE_BYTES)
            except (TimeoutError, ConnectionError):
                return None
        return json.loads(answer) if answer else None

    def _send(self, request: bytes, channel: socket.socket) -> None:
        with self._lock:
            for last in (False, True):
                control = self._running()
                try:
                    socket.send_fds(control, [request], [channel.fileno()])
                    return
                except OSError:  # it was killed, by lack of memory say
                    if last:
                        raise
                    self._stop()

    def _running(self) -> socket.socket:
        if self._control is None:
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
            environment |= {
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
            }
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "unbabble.web.decoding", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=environment,
                    start_new_session=True,  # Ctrl-C is for the site, which closes this one
                )
        return self._control

    def _stop(self) -> None:
        if self._control is not None and self._process is not None:
            self._control.close()
            self._process.kill()
            self._process.wait()
        self._control = self._process = None

    def close(self) -> None:
        """End it; readers that are at work come to their end."""
        with self._lock:
            self._stop()


_readers = _Readers()


def _serve(control: socket.socket) -> None:
    """Fork a reader for each request, until the site is gone."""
    import av  # noqa: F401  (so that no reader has to load it)
    import numpy as np  # noqa: F401
    import soundfile  # noqa: F401

    from unbabble.base import containers  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for readers
    while True:
        request, channels, _, _ = socket.recv_fds(control, MESSAGE_BYTES, 1)
        if not channels:
            return
        channel = socket.socket(fileno=channels[0])
        if os.fork() == 0:
            try:
                control.close()
                _limit(asked := json.loads(request))
                answer = _read(asked)
                channel.send(json.dumps(answer).encode())
            finally:
                os._exit(0)
        channel.close()


def _limit(asked: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (asked["bytes"], asked["bytes"]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (asked["bytes"], asked["bytes"]))
    resource.setrlimit(resource.RLIMIT_CPU, (asked["cpu"], asked["cpu"] + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(asked["wall"])  # which ends this process


def _read(asked: dict[str, Any]) -> dict[str, Any]:
    """The answer to the site: the fields of ``Decoded``, or why not."""
    try:
        raw = open(asked["target"], "wb", buffering=0)  # noqa: SIM115
    except OSError as error:
        return {"errno": error.errno}
    with raw:
        file = _Target(raw)
        try:
            answer = _convert(Path(asked["source"]), file, asked["most_seconds"], asked["exact"])
        except InputError as refusal:
            answer = {"refused": str(refusal)}
        except Exception:
            if file.failed is None:
                raise
            answer = {}
    if file.failed is None:
        return answer
    return {"refused": "The recording is too large."} if file.failed in LIMITED else {"errno": file.failed}


class _Target:
    """A file for libsndfile that remembers why it could not be written."""

    def __init__(self, file: FileIO) -> None:
        self.file = file
        self.failed: int | None = None
        self.seek, self.tell, self.read = file.seek, file.tell, file.read

    def write(self, data: Any) -> int:
        left = memoryview(data)
        try:
            while left:
                left = left[self.file.write(left) :]
        except OSError as error:
            self.failed = error.errno or errno.EIO
        return len(data) - len(left)


def _convert(source: Path, target: Any, most_seconds: float, exact: bool) -> dict[str, Any]:
    import numpy as np
    import soundfile

    from unbabble.base.decoding import open_decoder

    with open_decoder(source, "The file") as decoder:
        info = decoder.info
        if info.channels > FLAC_CHANNELS:
            raise InputError(
                f"The file has {info.channels} channels; at most {FLAC_CHANNELS} are taken here."
            )
        most, count, peak, clipped = round(most_seconds * info.sample_rate), 0, 0.0, 0
        long = InputError(f"The recording is longer than {counted(most_seconds / 60, 'minute')}.")
        if (info.seconds or 0.0) > most_seconds:
            raise long
        if info.lost_seconds > LOST_SECONDS:
            raise InputError(f"The file is cut short: {info.lost_seconds:.2f} s of it are missing.")
        options: dict[str, Any] = {"format": "FLAC", "subtype": "PCM_24"}
        if exact:
            options = {"format": "WAV", "subtype": "FLOAT"}
        with soundfile.SoundFile(target, "w", info.sample_rate, info.channels, **options) as file:
            for block in decoder.blocks():
                count += block.shape[1]
                if count > most:
                    raise long
                if not np.isfinite(block).all():
                    raise InputError("The file contains samples that are not numbers (NaN or infinity).")
                magnitudes = np.abs(block)
                peak = max(peak, float(magnitudes.max(initial=0)))
                clipped += int((magnitudes >= CLIPPED).sum())
                file.write(block.T if exact else block.T.clip(-1, 1))
        if not count:
            raise InputError("The file has no samples.")
    return {
        "sample_rate": info.sample_rate,
        "channels": info.channels,
        "seconds": count / info.sample_rate,
        "peak": peak,
        "clipped_share": clipped / (count * info.channels),
        "warnings": [notes.without_options(text) for text in info.warnings],
    }


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _serve(socket.socket(fileno=int(sys.argv[1])))
