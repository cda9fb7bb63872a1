"""pyroomacoustics: AuxIVA (ip), ILRMA and FastMNMF2, started from the identity. Complex128, its usual precision."""

import numpy as np
import pyroomacoustics as pra
from worker import serve


def run(algorithm, data, iterations, tick, seed):
    np.random.seed(seed)
    if algorithm == "ip":
        ip(data["whitened"], iterations, tick)
    elif algorithm == "ilrma":
        x = data["whitened"]
        callback, last = tens(tick)
        y = pra.bss.ilrma(x, n_iter=iterations, n_components=2, proj_back=False, callback=callback)
        last(iterations, y)
    else:  # its outputs are images at a microphone, so it gets the mixture as it is
        callback, last = tens(tick)
        y = pra.bss.fastmnmf2(
            data["mixture"], n_iter=iterations, n_components=8, mic_index=0, callback=callback
        )
        last(iterations, y)


def ip(x, iterations, tick):
    """Between checkpoints the run is restarted from its own demixing matrix, which changes nothing."""
    checkpoints = sorted(getattr(tick, "checkpoints", {iterations}) | {iterations})
    w, done = None, 0
    tick(0, lambda: x.transpose(1, 2, 0))
    for checkpoint in checkpoints:
        if 0 < checkpoint <= iterations:
            y, w = pra.bss.auxiva(x, n_iter=checkpoint - done, proj_back=False, W0=w, return_filters=True)
            done = checkpoint
            tick(done, lambda y=y: y.transpose(1, 2, 0))


def tens(tick):
    """pyroomacoustics calls back before iterations 0, 10, 20, ..."""
    count = [0]

    def callback(y):
        tick(count[0], lambda: y.transpose(1, 2, 0))
        count[0] += 10

    return (callback if hasattr(tick, "checkpoints") else None), lambda i, y: tick(
        i, lambda: y.transpose(1, 2, 0)
    )


def prepare(raw):
    return {name: np.ascontiguousarray(x.transpose(2, 0, 1).astype(np.complex128)) for name, x in raw.items()}


if __name__ == "__main__":
    serve(
        run,
        ("ip", "ilrma", "fastmnmf2"),
        {"pyroomacoustics": pra.__version__, "numpy": np.__version__},
        ticks_every=lambda algorithm: 10,
        nonlinear=("fastmnmf2",),
        prepare=prepare,
    )
