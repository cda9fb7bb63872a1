"""Networks in processes of their own, theirs and ours by turns, for ``neural.py``."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.kit.claim import rounded
from benchmarks.kit.peers import OURS, Process
from benchmarks.kit.timing import by_turns
from benchmarks.neural._tables import LOW, OWN, PEER_OF, THEIRS, THREADS, WHO
from unbabble.methods.separation.sepformer import COMPACT, SepFormer
from unbabble.networks.cost import macs_per_second
from unbabble.networks.foreign import load_foreign

RATE, LONG_SECONDS = 8000, 100
KEYS = ("seconds", "extra_bytes")


@contextmanager
def runners(name: str, folder: Path, who: Sequence[str]) -> Iterator[dict[str, Process]]:
    """Theirs first: it writes into the folder what ours reads."""
    with ExitStack() as stack:
        processes = {}
        for each in who:
            python = PEER_OF[name] if each == THEIRS else OURS
            process = Process(python, "run_network.py", each, name, folder, THREADS, threads=THREADS)
            processes[each] = stack.enter_context(process)
        yield processes


def noise(folder: Path, seconds: float) -> str:
    path = folder / "mixture.npy"
    np.save(path, np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype(np.float32))
    return str(path)


def medians(replies: list[dict]) -> dict:
    """Of all rounds, or the error that one of them ended with."""
    failed = [reply for reply in replies if "error" in reply]
    return failed[0] if failed else {key: float(np.median([reply[key] for reply in replies])) for key in KEYS}


def compare(rows: dict[str, dict], outputs: dict[str, np.ndarray]) -> None:
    """Puts into the rows how near the outputs are."""
    if {THEIRS, OWN} <= outputs.keys():
        difference = np.abs(outputs[OWN] - outputs[THEIRS]).max() / np.abs(outputs[THEIRS]).max()
        rows[OWN]["largest_difference"] = float(difference)
    if {LOW, OWN} <= outputs.keys():
        reference = outputs[OWN].astype(float)
        error = np.square(reference - outputs[LOW]).sum()
        rows[LOW]["agreement_db"] = float(10 * np.log10(np.square(reference).sum() / max(error, 1e-300)))


def running(name: str, lengths: Sequence[float], rounds: int, folder: Path) -> dict:
    """Everything about one network: by length, then by who."""
    low = name in ("sepformer", "compact")
    who = [each for each in WHO if (name in PEER_OF or each != THEIRS) and (low or each != LOW)]
    with runners(name, folder, who) as processes:
        network = SepFormer(**COMPACT) if name == "compact" else load_foreign(folder)
        result: dict = {"macs_per_second": macs_per_second(network), "lengths": {}}
        for length in lengths:
            mixture, out = noise(folder, length), {each: folder / f"{each}.npy" for each in who}
            calls = {
                each: partial(process.request, input=mixture, out=str(out[each]))
                for each, process in processes.items()
            }
            long = length > LONG_SECONDS
            replies = by_turns(calls, 1 if long else rounds, warm_up=not long)
            rows = {each: medians(its) for each, its in replies.items()}
            compare(rows, {each: np.load(out[each]) for each in who if "error" not in rows[each]})
            result["lengths"][f"{length:g}"] = rows
            print(name, length, json.dumps(rounded(rows, 3)), flush=True)
    return result


def learning(name: str, seconds: float, rounds: int, folder: Path) -> dict:
    """Seconds and memory of a training step on one mixture."""
    with runners(name, folder, [each for each in WHO if name in PEER_OF or each != THEIRS]) as processes:
        given = {"input": noise(folder, seconds), "out": None, "learn": True}
        calls = {each: partial(process.request, **given) for each, process in processes.items()}
        replies = by_turns(calls, rounds)
    return {"audio_seconds": seconds} | {each: medians(rows) for each, rows in replies.items()}
