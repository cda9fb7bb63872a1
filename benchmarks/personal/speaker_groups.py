"""Does noisy speech fall into the group of its speaker's clean speech?

Groups of speakers for an ensemble of specialists, by how alike a network hears them: k-means (spherical) of the mean
embeddings of the training speakers' utterances; speakers of the other splits are of the group whose centre is nearest.
*noisy*: utterances in noises at 0 dB, as the papers compare. The groups by clean speech of the last embedder go into
``configs/corpora/labelled_group_16k.yaml``, as runs/groups5.csv for five. A gate hears noise: the table says how often
a test speaker's noisy speech falls into the same group as the clean.

    unbabble train configs/siamese_gru.yaml configs/corpora/speakers_16k.yaml --out runs/siamese
    python -m benchmarks speaker_groups --embedders siamese_gru=runs/siamese/best.safetensors xvector=xvector.8k
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.kit.scenes import drawn
from benchmarks.kit.table import grid, made_by, page
from unbabble.data.dynamic import DynamicMixtures
from unbabble.networks import load as networks
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.signal.statistics import bootstrap

SECONDS, UTTERANCES, SEED, ROUNDS, STARTS, DIGITS = 3.0, 6, 0, 50, 10, 3
SPLITS = ("train", "dev", "test")


def embedded(network: NeuralEmbedder, split: str, noisy: bool) -> dict[str, np.ndarray]:
    """The mean embedding of each speaker, of unit norm."""
    mixing = drawn(split, 1, noisy, snr_db=(0.0, 0.0), seconds=SECONDS, sample_rate=network.sample_rate)
    mixtures, result = DynamicMixtures(mixing, SEED), {}
    for name in map(str, mixtures.names):
        rng = np.random.default_rng([SEED, int(name) if name.isdigit() else 0])
        utterances = [mixtures.drawn(rng, [name]).item.mixture for _ in range(UTTERANCES)]
        vector = network(torch.from_numpy(np.stack(utterances))).mean(0)
        result[name] = (vector / vector.norm()).numpy()
    return result


def clustered(vectors: np.ndarray, groups: int, seed: int) -> np.ndarray:
    """Centres of unit norm: the best of several starts."""
    best, centres = -np.inf, vectors[:groups]
    for start in range(STARTS):
        rng = np.random.default_rng([seed, start])
        tried = vectors[rng.choice(len(vectors), groups, replace=False)]
        for _ in range(ROUNDS):
            nearest = (vectors @ tried.T).argmax(1)
            sums = np.stack([vectors[nearest == group].sum(0) for group in range(groups)])
            empty = np.linalg.norm(sums, axis=1) == 0
            sums[empty] = vectors[rng.choice(len(vectors), int(empty.sum()))]
            tried = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        score = (vectors @ tried.T).max(1).sum()
        if score > best:
            best, centres = score, tried
    return centres


def groups_of(vectors: dict[str, np.ndarray], centres: np.ndarray) -> dict[str, int]:
    """The nearest centre of each speaker."""
    return {name: int((centres @ vector).argmax()) for name, vector in vectors.items()}


def write(path: Path, groups: dict[str, dict[str, int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["speaker", "group", "split"])
        for split, speakers in groups.items():
            writer.writerows([name, group, split] for name, group in speakers.items())


def measure(
    embedders: Mapping[str, str] = {"xvector": "xvector.8k"},
    groups: Sequence[int] = (2, 5, 10),
    out: str = "runs/groups{}.csv",
) -> dict:
    """Embedder by embedder.

    Args:
        embedders: weights by name.
        groups: how many, each in turn.
        out: where groups are written; {} is their number.
    """
    rows = []
    for name, weights in embedders.items():
        network = networks.load(weights, "embedder").network
        clean, noisy = ({split: embedded(network, split, kind) for split in SPLITS} for kind in (False, True))
        for count in groups:
            for kind, learnt in (("clean", clean), ("noisy", noisy)):
                centres = clustered(np.stack(list(learnt["train"].values())), count, SEED)
                members = {split: groups_of(speakers, centres) for split, speakers in clean.items()}
                if kind == "clean":
                    write(Path(out.format(count)), members)
                among_noise = groups_of(noisy["test"], centres)
                same = [members["test"][who] == group for who, group in among_noise.items()]
                train, _, test = (
                    np.bincount(list(its.values()), minlength=count) for its in members.values()
                )
                about = {"embedder": name, "groups": count, "centres": kind, "train": train.tolist()}
                rows.append(about | {"same": bootstrap(same), "largest": float(test.max() / test.sum())})
    return {"rows": rows, "speakers": len(same)}


def table(result: dict) -> str:
    rows = [
        row | {"trained": ", ".join(map(str, row["train"])), "same": [100 * each for each in row["same"]]}
        for row in result["rows"]
    ]
    return page(
        f"How many of {result['speakers']} test speakers are, by {UTTERANCES} utterances of {SECONDS:g} s in noises "
        "of the test (0 dB), of the same group as by clean ones; *largest*: what the largest group alone would reach.",
        grid(
            "embedder | K | centres of | training speakers in each | same group | largest",
            [row | {"largest": 100 * row["largest"]} for row in rows],
            "{embedder} | {groups} | {centres} speech | {trained} | {same[0]:.0f} % ({same[1]:.0f} to {same[2]:.0f}) "
            "| {largest:.0f} %",
        ),
        made_by(result),
    )
