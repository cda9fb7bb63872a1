"""The part that every runner shares: read requests, measure time and memory, note demixing matrices.

Standard library and numpy only, because it runs inside each peer's own environment. A runner calls
``serve(run, ...)`` with

    run(algorithm, data, iterations, tick, seed)

``data["whitened"]`` and ``data["mixture"]`` are (frequency, channel, frame), complex64. ``tick(i, outputs)`` is to be
called after ``i`` iterations for as many i as the package allows, 0 included; ``outputs()`` gives the current
(frequency, source, frame). Requests come as JSON lines on stdin, answers go as JSON lines to stdout.
"""

import ctypes
import gc
import json
import os
import sys
import time

import numpy as np

CLEAR_PEAK = "5"


class Clock:
    """Wall and CPU time at each tick."""

    def __init__(self):
        self.marks = []

    def __call__(self, iteration, outputs):
        self.marks.append((iteration, time.perf_counter(), time.process_time()))

    def per_iteration(self):
        """Seconds of each interval between ticks divided by its iterations: wall, CPU."""
        steps = [
            (b[0] - a[0], b[1] - a[1], b[2] - a[2]) for a, b in zip(self.marks, self.marks[1:], strict=False)
        ]
        steps = [step for step in steps if step[0] > 0]
        return [s[1] / s[0] for s in steps], [s[2] / s[0] for s in steps]


class Trace:
    """Demixing matrices (or, where there is none, spectrograms) at chosen iterations."""

    def __init__(self, data, checkpoints, linear):
        self.mixture = data["whitened"] if linear else None
        self.checkpoints, self.found = set(checkpoints), {}

    def __call__(self, iteration, outputs):
        if iteration in self.checkpoints:
            y = np.asarray(outputs())
            if self.mixture is not None:  # the mixture is white: W = mean_t y x^H, and y = W x exactly
                y = y @ self.mixture.conj().swapaxes(1, 2) / y.shape[-1]
            self.found[str(iteration)] = y.astype(np.complex64)


def nothing(iteration, outputs):
    """A tick that costs nothing."""


def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name)) * 1024


def measure_memory(run, *arguments):
    """How far resident memory rises above its level before ``run(*arguments)``, in bytes."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = status("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write(CLEAR_PEAK)
    run(*arguments)
    return status("VmHWM") - before


def serve(run, algorithms, versions, ticks_every=None, nonlinear=(), prepare=None):
    """Answer requests until stdin closes.

    Args:
        run: see the module.
        algorithms: names that ``run`` knows.
        versions: of the packages that matter.
        ticks_every: function of the algorithm: iterations between its ticks; where that is not 1, time is taken
            as the difference of a long run and one of a single iteration.
        nonlinear: algorithms whose outputs are no linear function of the mixture.
        prepare: changes the data once after loading (precision, layout), outside all measurements.
    """
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a package prints goes to stderr
    loaded = (None, None)

    def answer(**fields):
        print(json.dumps(fields), file=out, flush=True)

    answer(algorithms=list(algorithms), versions=versions)
    for line in sys.stdin:
        request = json.loads(line)
        algorithm, iterations = request["algorithm"], request["iterations"]
        seed = request.get("seed", 0)
        if loaded[0] != request["data"]:
            with np.load(request["data"]) as file:
                raw = {name: file[name] for name in ("whitened", "mixture")}
            loaded = (request["data"], (raw, prepare(raw) if prepare else raw))
        raw, data = loaded[1]
        every = ticks_every(algorithm) if ticks_every else 1
        try:
            if request["mode"] == "time":
                if every == 1:
                    clock = Clock()
                    run(algorithm, data, iterations, clock, seed)
                    wall, cpu = clock.per_iteration()
                    if len(wall) > 2:
                        wall, cpu = wall[1:], cpu[1:]
                else:
                    spans = []
                    for count in (1, 1 + iterations):
                        start = time.perf_counter(), time.process_time()
                        run(algorithm, data, count, nothing, seed)
                        spans.append((time.perf_counter() - start[0], time.process_time() - start[1]))
                    wall = [(spans[1][0] - spans[0][0]) / iterations]
                    cpu = [(spans[1][1] - spans[0][1]) / iterations]
                answer(wall=float(np.median(wall)), cpu=float(np.median(cpu)), intervals=len(wall))
            elif request["mode"] == "memory":
                run(algorithm, data, 1, nothing, seed)
                extra = measure_memory(run, algorithm, data, iterations, nothing, seed)
                answer(extra_bytes=extra)
            else:
                trace = Trace(raw, request["checkpoints"], algorithm not in nonlinear)
                run(algorithm, data, iterations, trace, seed)
                np.savez(request["out"], **trace.found)
                answer(checkpoints=sorted(map(int, trace.found)))
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}")
