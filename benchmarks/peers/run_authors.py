"""The code of the paper on IPA (Scheibler 2021), unmodified: ip, ip2, iss, ipa. Complex128.

Its ip2 visits every source twice per iteration, as a ring of pairs does.
"""

import sys
from pathlib import Path

import numpy as np
from worker import nothing, serve

sys.path.insert(0, str(Path(sys.prefix) / "code"))
import bss

NAMES = {"ip": "auxiva", "ip2": "auxiva2", "iss": "auxiva-iss", "ipa": "auxiva-ipa"}


def run(algorithm, data, iterations, tick, seed):
    x = data["whitened"]
    checkpoints = [] if tick is nothing else sorted(getattr(tick, "checkpoints", range(1, iterations + 1)))
    count = iter(checkpoints)
    tick(0, lambda: x.transpose(1, 2, 0))
    if checkpoints and checkpoints[0] == 0:
        next(count)

    def callback(y, model):
        tick(next(count), lambda: y.transpose(1, 2, 0))

    bss.separate(
        x,
        algorithm=NAMES[algorithm],
        n_iter=iterations,
        proj_back=False,
        model="laplace",
        callback=callback if checkpoints else None,
        callback_checkpoints=checkpoints,
    )


def prepare(raw):
    return {"whitened": np.ascontiguousarray(raw["whitened"].transpose(2, 0, 1).astype(np.complex128))}


if __name__ == "__main__":
    serve(run, tuple(NAMES), {"auxiva-ipa": "ec9d17c", "numpy": np.__version__}, prepare=prepare)
