"""Groups of speakers for an ensemble of specialists, by how alike a network hears them.

    unbabble train configs/siamese_gru.yaml configs/corpora/speakers_16k.yaml --out runs/siamese
    python benchmarks/speaker_groups.py --embedder runs/siamese/best.safetensors --groups 5 --out runs/groups.csv

k-means (spherical) of the mean embeddings of the training speakers' utterances; speakers of the other splits are of
the group whose centre is nearest. *noisy*: utterances in training noises at 0 dB, as the papers compare. The table
goes into ``configs/corpora/labelled_group_16k.yaml``.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

import numpy as np
import torch

from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.networks import load_network
from unbabble.nn.embedder import NeuralEmbedder

DATA = Path(os.environ.get("UNBABBLE_DATA", "../shared/data"))
SECONDS, UTTERANCES, SEED, ROUNDS, STARTS = 3.0, 6, 0, 50, 10


def embedded(network: NeuralEmbedder, split: str, noisy: bool) -> dict[str, np.ndarray]:
    """The mean embedding of each speaker, of unit norm."""
    mixing = DynamicMixing(
        DATA / "speech.csv",
        split,
        talkers=(1,),
        seconds=SECONDS,
        sample_rate=network.sample_rate,
        noise=DATA / "noise.csv" if noisy else None,
        noise_split="train",
        noise_share=float(noisy),
        snr_db=(0.0, 0.0),
    )
    mixtures, found = DynamicMixtures(mixing, SEED), {}
    for name in map(str, mixtures.names):
        rng = np.random.default_rng([SEED, int(name) if name.isdigit() else 0])
        heard = [mixtures.drawn(rng, [name]).item.mixture for _ in range(UTTERANCES)]
        vector = network(torch.from_numpy(np.stack(heard))).mean(0)
        found[name] = (vector / vector.norm()).numpy()
    return found


def clustered(vectors: np.ndarray, groups: int, seed: int) -> np.ndarray:
    """Centres of unit norm: the best of several starts."""
    best, centres = -np.inf, vectors[:groups]
    for start in range(STARTS):
        rng = np.random.default_rng([seed, start])
        found = vectors[rng.choice(len(vectors), groups, replace=False)]
        for _ in range(ROUNDS):
            nearest = (vectors @ found.T).argmax(1)
            sums = np.stack([vectors[nearest == group].sum(0) for group in range(groups)])
            empty = np.linalg.norm(sums, axis=1) == 0
            sums[empty] = vectors[rng.choice(len(vectors), int(empty.sum()))]
            found = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        score = (vectors @ found.T).max(1).sum()
        if score > best:
            best, centres = score, found
    return centres


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embedder", required=True)
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--noisy", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/groups.csv"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = load_network(arguments.embedder).network
    assert isinstance(network, NeuralEmbedder)
    splits = {split: embedded(network, split, arguments.noisy) for split in ("train", "dev", "test")}
    centres = clustered(np.stack(list(splits["train"].values())), arguments.groups, SEED)
    with open(arguments.out, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["speaker", "group", "split"])
        for split, speakers in splits.items():
            groups = {name: int((centres @ vector).argmax()) for name, vector in speakers.items()}
            writer.writerows([name, group, split] for name, group in groups.items())
            print(split, np.bincount(list(groups.values()), minlength=arguments.groups).tolist())


if __name__ == "__main__":
    main()
