"""A command that is asked to end, by a signal, ends as by Ctrl-C: what is under way is put away, and reported."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

ASKING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What asks a process to end: whoever manages it, and a terminal that is closed."""
STANDARD_STREAMS = (0, 1, 2)


@contextmanager
def as_by_ctrl_c() -> Iterator[list[int]]:
    """Meanwhile, a signal that asks this process to end interrupts it as Ctrl-C does: once, however often it comes.

    Only in the main thread. A signal that is ignored stays so, as under ``nohup``.

    Yields:
        Its number, once it has come.
    """
    received: list[int] = []
    terminals = [number for number in STANDARD_STREAMS if _is_terminal(number)]

    def interrupt(number: int, _: object) -> None:
        if received:
            return
        received.append(number)
        if number != signal.SIGTERM:  # the terminal is gone: printing to it would be an error
            for terminal in terminals:
                os.dup2(os.open(os.devnull, os.O_RDWR), terminal)
        raise KeyboardInterrupt

    previous = {number: signal.getsignal(number) for number in ASKING}
    for number, handler in previous.items():
        if handler == signal.SIG_DFL:
            signal.signal(number, interrupt)
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _is_terminal(number: int) -> bool:
    with suppress(OSError):  # it may be closed
        return os.isatty(number)
    return False
