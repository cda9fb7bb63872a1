"""One task: its report, whatever it raises."""

import logging
import time
import traceback
from collections.abc import Callable
from typing import Any, Protocol

from unbabble.base.errors import UnbabbleError
from unbabble.base.report import FileReport

logger = logging.getLogger(__name__)

INTERRUPTED = "Interrupted before it was done."
NO_MEMORY = "There is not enough memory for this recording."


class Named(Protocol):
    """A task; must be picklable where there are several workers."""

    @property
    def name(self) -> str:
        """The input, as reports call it."""
        ...


def attempt(function: Callable[[Any], FileReport], task: Named) -> FileReport:
    """Apply ``function`` to ``task``; what it raises becomes a report of failure, in one sentence."""
    started = time.perf_counter()
    try:
        return function(task)
    except UnbabbleError as error:
        report = FileReport(task.name, "failed", str(error))
    except MemoryError:
        report = FileReport(task.name, "failed", NO_MEMORY)
    except Exception as error:
        logger.debug("unexpected error", exc_info=True)
        text = f"Unexpected {type(error).__name__}: {next(iter(str(error).splitlines()), '')}".rstrip(" :")
        if "out of memory" in str(error).lower() or "not enough memory" in str(
            error
        ):  # torch has no type for it
            text = NO_MEMORY
        report = FileReport(task.name, "failed", text, details={"traceback": traceback.format_exc()})
    report.seconds = time.perf_counter() - started
    return report
