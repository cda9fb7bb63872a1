"""How fast and how lean are our networks beside SpeechBrain's and Asteroid's?

Seconds, memory, arithmetic, and whether outputs agree. SpeechBrain's SepFormer and Asteroid's Conv-TasNet and DPRNN
(kernels of 16 and 2 samples) are built with random weights in their own environments and saved in the layout of
published models; ours are read from those files. All run by turns, the median of the rounds is taken. The compact
SepFormer is ours alone.

    python -m benchmarks neural                                         # idle machine; 4, 10, 30 and 300 seconds
    python -m benchmarks neural --lengths 4 10 --networks sepformer     # a part; results of parts are merged
    python -m benchmarks neural --quick                                 # a minute, not saved
    python -m benchmarks neural --loss WEIGHTS.safetensors              # what bfloat16 costs a trained network, in dB
    python -m benchmarks neural --training                              # steps of training
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from benchmarks.kit.machine import limits
from benchmarks.kit.peers import there
from benchmarks.kit.scenes import DATA
from benchmarks.neural._processes import learning, running
from benchmarks.neural._tables import PEER_OF, THREADS, TITLES
from benchmarks.neural._tables import table as table
from unbabble.data.librimix import LibriMixSet
from unbabble.networks.load import load
from unbabble.signal.permutation import align
from unbabble.signal.statistics import bootstrap

LOSS_MIXTURES = 50
QUICK = {"lengths": [2.0], "rounds": 1, "networks": ["compact", "conv_tasnet", "dprnn_16", "sepformer"]}


def loss_of_bfloat16(weights: Path) -> dict:
    """SI-SNR of a trained SepFormer in both precisions on the first mixtures of the Libri2Mix subset."""
    mixtures = LibriMixSet(DATA / "libri2mix_test_subset.csv", DATA / "speech" / "test")
    loaded = {each: load(str(weights), precision=each).network for each in ("float32", "bfloat16")}
    scores: dict[str, list[float]] = {each: [] for each in loaded}
    for number in range(min(LOSS_MIXTURES, len(mixtures))):
        example = mixtures[number]
        for each, network in loaded.items():
            estimates = network(torch.as_tensor(example.mixture)[None, None])[0]
            scores[each].append(float(align(estimates, torch.as_tensor(example.sources)).scores.mean()))
    losses = np.subtract(scores["float32"], scores["bfloat16"])
    means = {each: float(np.mean(values)) for each, values in scores.items()}
    about = {"weights": weights.name, "mixtures": len(losses), "si_snr_db": means}
    return about | {"loss_db": bootstrap(losses), "largest_loss_db": float(losses.max())}


def measure(
    before: dict,
    networks: Annotated[Sequence[str], tuple(TITLES)] = tuple(TITLES),
    lengths: Sequence[float] = (4.0, 10.0, 30.0, 300.0),
    rounds: int = 5,
    loss: Path | None = None,
    training: bool = False,
) -> Iterator[dict]:
    """Running, unless something else is asked for.

    Args:
        loss: trained weights of a SepFormer.
        training: steps of training, 4 s, all but DPRNN's kernel 2.
    """
    if loss:
        before.setdefault("loss", {})[loss.name] = loss_of_bfloat16(loss)
        yield before
        return
    if not training:
        before.pop("machine", None)  # the one of the last run is named
        rates = limits(THREADS, 3.0 if max(lengths) > 2 else 0.5)
        before["gemm_flops"] = {"float32": rates["gemm_f32_flops"], "bfloat16": rates["gemm_bf16_flops"]}
    for name in networks:
        if name in PEER_OF and not there(PEER_OF[name]):
            print(f"{PEER_OF[name]} is not installed: {name} left out (benchmarks/peers.sh)")
            continue
        with tempfile.TemporaryDirectory() as folder:
            if not training:
                result, old = running(name, lengths, rounds, Path(folder)), before.setdefault("networks", {})
                result["lengths"] = old.get(name, {}).get("lengths", {}) | result["lengths"]
                old[name] = result
            elif name != "dprnn_2":
                before.setdefault("training", {})[name] = learning(name, 4.0, rounds, Path(folder))
        yield before
