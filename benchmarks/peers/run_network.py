"""Runs one network in its own process: theirs in their environment, or ours from the files that theirs were saved in.

    PYTHON run_network.py theirs|ours|ours-bfloat16 NAME FOLDER THREADS

Requests are JSON lines on stdin: {"input": FILE.npy, "out": FILE.npy or null, "learn": true or absent}; answers
{"seconds", "extra_bytes"} or {"error"}. ``extra_bytes`` is how far resident memory rises above its level with network
and input loaded. ``learn`` is a step of training without the optimiser, ours in bfloat16 by autocast, as
``unbabble train`` has it: forward, and back from the power of the output.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from worker import measure_memory

MOST_BYTES = 20 * 2**30
"""A run that asks for more is stopped and noted, not left to exhaust the machine."""


def load(who, name, folder):
    """The module, and a function from (time,) to (source, time)."""
    if who == "theirs":
        import networks

        network = networks.build(name)
        networks.save(network, name, folder)
        return network, lambda mixture: network(mixture[None])[0]
    from unbabble.methods.separation.sepformer import COMPACT, SepFormer
    from unbabble.networks.foreign import load_foreign

    options = {"precision": "bfloat16"} if who == "ours-bfloat16" and name in ("sepformer", "compact") else {}
    network = SepFormer(**COMPACT, **options).eval() if name == "compact" else load_foreign(folder, **options)
    return network, lambda mixture: network.estimate(mixture[None])[0]


def learning(who, name, folder):
    """A function from (time,) to nothing: gradients of all weights."""
    network, run = load("ours" if who == "ours-bfloat16" else who, name, folder)
    network.train()

    def step(mixture):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=who == "ours-bfloat16"):
            loss = run(mixture).float().square().mean()
        loss.backward()

    return step


def main():
    who, name, folder, threads = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a package prints goes to stderr
    _, run = load(who, name, folder)
    learn = None
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))

    def answer(**fields):
        print(json.dumps(fields), file=answers, flush=True)

    answer(torch=torch.__version__)
    for line in sys.stdin:
        request = json.loads(line)
        mixture = torch.from_numpy(np.load(request["input"]))
        found, seconds = [], []
        learns = request.get("learn", False)
        if learns and learn is None:
            learn = learning(who, name, folder)

        def once(mixture=mixture, found=found, seconds=seconds, do=learn if learns else run, learns=learns):
            with torch.set_grad_enabled(learns):
                start = time.perf_counter()
                found.append(do(mixture))
                seconds.append(time.perf_counter() - start)

        try:
            extra = measure_memory(once)
        except (RuntimeError, MemoryError) as error:
            answer(error=str(error).splitlines()[0])
            continue
        if request.get("out"):
            np.save(request["out"], found[0].numpy())
        answer(seconds=seconds[0], extra_bytes=extra)


if __name__ == "__main__":
    main()
