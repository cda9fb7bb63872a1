"""A first run that does not wait: it goes on without the default's kernels, which are compiled when it is over.

Compiling takes ten to twenty seconds, once for each version of the kernels. A separation that PyTorch's reference does
sooner than that is done by the reference; when the process ends, another of low priority compiles (both at once would
take the processor's cache from one another). What takes longer waits for the kernels. Results agree to rounding.
``UNBABBLE_KERNELS=first`` always compiles first.
"""

import atexit
import logging
import os
import subprocess
import sys
import time

from unbabble.signal.kernels.cache import mark

logger = logging.getLogger(__name__)

PATIENCE = 15_000_000
"""Frequencies times frames times channels times sources that a process separates by the reference, in all: where that
takes about as long as to compile. Ten seconds of three talkers are three million, and take two seconds."""
STALE_SECONDS = 120.0
"""After so long, a process that has not finished compiling is taken to have been killed."""

_left = float(PATIENCE)


def reference_is_sooner(work: int) -> bool:
    """Whether so much ``work`` is done before the kernels would be compiled; if so, they are when this process ends.

    Args:
        work: frequencies times frames times channels times sources.
    """
    global _left
    if os.environ.get("UNBABBLE_KERNELS") == "first" or mark("compiled").exists() or work > _left:
        _left = 0.0  # from now on this process has kernels
        return False
    if _left == PATIENCE:
        logger.warning("First run: the inner loops are compiled afterwards; later runs are faster.")
        atexit.register(_start)
    _left -= work
    return True


def compile_default() -> None:
    """Compile what AuxIVA, ILRMA and counting run by default: as many channels as sources, single precision."""
    import torch

    from unbabble.signal.kernels.demixer import FastDemixer
    from unbabble.signal.kernels.low_rank import FastLowRank

    generator = torch.Generator().manual_seed(0)
    demixer = FastDemixer(torch.randn(16, 2, 8, dtype=torch.complex64, generator=generator), 2)
    for update in ("ip", "ipa"):
        demixer.step(update, torch.ones(2, 8))
    model = FastLowRank(demixer, 2, 0)
    model.update()
    demixer.step("ip", model.weights())
    model.cost()


def _start() -> None:
    """Compile in a process of its own, which outlives this one, unless another does already."""
    begun = mark("begun")
    try:
        begun.parent.mkdir(parents=True, exist_ok=True)
        if begun.exists() and time.time() - begun.stat().st_mtime < STALE_SECONDS:
            return
        begun.touch()
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        process = subprocess.Popen([sys.executable, "-m", __name__], **quiet)
    except OSError:
        return  # a cache that cannot be written to, or no processes: the reference does without
    process.returncode = 0  # nobody waits for it


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(19)
    compile_default()
    mark("compiled").touch()
