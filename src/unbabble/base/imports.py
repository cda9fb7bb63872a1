"""Large imports, without what Python does meanwhile for nothing."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Search for no garbage among what is imported here, then or later: modules stay.

    Torch makes so many objects that going through them, again and again, takes a fifth of its import. Where it is there
    already, nothing is done: then other things live, too, that may become garbage.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
