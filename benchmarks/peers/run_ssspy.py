"""ssspy: AuxIVA with every update, and ILRMA. Complex128 (its only precision), loss recording off.

Pairs are those of our own sweep: one pair for two sources, else neighbours in a ring (its default visits both
(0, 1) and (1, 0) of two sources). Newton's method in its IPA makes one step by default: that is what runs.
"""

import numpy as np
import ssspy
from ssspy.bss.ilrma import GaussILRMA
from ssspy.bss.iva import AuxLaplaceIVA
from worker import nothing, serve

NAMES = {"ip": "IP1", "ip2": "IP2", "iss": "ISS1", "iss2": "ISS2", "ipa": "IPA"}


def pairs(n_sources, sort=False):
    return [(0, 1)] if n_sources == 2 else [(k, (k + 1) % n_sources) for k in range(n_sources)]


def run(algorithm, data, iterations, tick, seed):
    count = [0]

    def callback(method):
        w, x = method.demix_filter, method.input

        def outputs():
            y = method.output.transpose(1, 0, 2) if w is None else w @ x.transpose(1, 0, 2)
            return y

        tick(count[0], outputs)
        count[0] += 1

    options = {
        "callbacks": None if tick is nothing else callback,
        "scale_restoration": False,
        "record_loss": False,
    }
    if algorithm.endswith("2"):
        options["pair_selector"] = pairs
    if algorithm == "ilrma":
        method = GaussILRMA(n_basis=2, spatial_algorithm="IP", rng=np.random.default_rng(seed), **options)
    else:
        method = AuxLaplaceIVA(spatial_algorithm=NAMES[algorithm], **options)
    method(data["whitened"], n_iter=iterations)


def prepare(raw):
    return {"whitened": np.ascontiguousarray(raw["whitened"].transpose(1, 0, 2).astype(np.complex128))}


if __name__ == "__main__":
    serve(run, (*NAMES, "ilrma"), {"ssspy": ssspy.__version__, "numpy": np.__version__}, prepare=prepare)
