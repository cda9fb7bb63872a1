"""Ours, inside the same worker: every method of the registry that the comparison needs, with its whole loop."""

import os

import numpy as np
import torch
from worker import nothing, serve

import unbabble
from unbabble.base import registry
from unbabble.signal.blind.whitening import Whitened

ALGORITHMS = {
    **{update: f"auxiva.{update}" for update in ("ip", "ip2", "iss", "iss2", "ipa")},
    "ilrma": "ilrma.ip",
    "ilrma_iss": "ilrma.iss",
}
AS_PUBLISHED = {"rank": 2, "warm_up": 0}
"""ILRMA as the other packages have it."""


def run(algorithm, data, iterations, tick, seed):
    options = AS_PUBLISHED if algorithm.startswith("ilrma") else {}
    name = ALGORITHMS[algorithm]
    separator = registry.create(name, iterations=iterations, tolerance=0.0, seed=seed, **options)
    if tick is not nothing:
        descend = separator._descend

        def descend_watched(spectrogram, sources, problem):
            def watched(demixer):
                iterate, objective = problem(demixer)
                count = 0

                def counted():
                    nonlocal count
                    iterate()
                    count += 1
                    tick(count, lambda: demixer.outputs.numpy())

                tick(0, lambda: demixer.outputs.numpy())
                return counted, objective

            return descend(spectrogram, sources, watched)

        separator._descend = descend_watched
    whitened = data["whitened"]
    separator._demix(whitened, whitened.spectrogram.shape[1])


def prepare(raw):
    x = torch.from_numpy(raw["whitened"])
    return {"whitened": Whitened(x, torch.eye(x.shape[1]).expand(len(x), -1, -1), torch.arange(len(x)))}


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serve(
        run, tuple(ALGORITHMS), {"unbabble": unbabble.__version__, "numpy": np.__version__}, prepare=prepare
    )
