"""Groups of speakers for an ensemble of specialists, by how alike a network hears them.

    unbabble train configs/siamese_gru.yaml configs/corpora/speakers_16k.yaml --out runs/siamese
    python benchmarks/speaker_groups.py --embedders siamese_gru=runs/siamese/best.safetensors xvector=xvector.8k

k-means (spherical) of the mean embeddings of the training speakers' utterances; speakers of the other splits are of
the group whose centre is nearest. *noisy*: utterances in noises at 0 dB, as the papers compare. The groups by
clean speech of the last embedder go into ``configs/corpora/labelled_group_16k.yaml``, as runs/groups5.csv for five.

A gate hears noise: the table says how often a test speaker's noisy speech falls into the same group as the clean.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

import common
import numpy as np
import torch

from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.networks import load as networks
from unbabble.nn.kinds.embedder import NeuralEmbedder

DATA = Path(os.environ.get("UNBABBLE_DATA", "../shared/data"))
NAME = "speaker_groups"
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
        noise_split="test" if split == "test" else "train",
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


def groups_of(vectors: dict[str, np.ndarray], centres: np.ndarray) -> dict[str, int]:
    """The nearest centre of each speaker."""
    return {name: int((centres @ vector).argmax()) for name, vector in vectors.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embedders", nargs="+", default=["xvector=xvector.8k"], metavar="NAME=WEIGHTS")
    parser.add_argument("--groups", type=int, nargs="+", default=[2, 5, 10])
    parser.add_argument("--out", default="runs/groups{}.csv", help="{}: the number of groups")
    parser.add_argument("--name", default=NAME)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, weights in (each.split("=", 1) for each in arguments.embedders):
        network = networks.load(weights).network
        assert isinstance(network, NeuralEmbedder)
        clean, noisy = (
            {split: embedded(network, split, kind) for split in ("train", "dev", "test")}
            for kind in (False, True)
        )
        for count in arguments.groups:
            for kind, learnt in (("clean", clean), ("noisy", noisy)):
                centres = clustered(np.stack(list(learnt["train"].values())), count, SEED)
                groups = {split: groups_of(speakers, centres) for split, speakers in clean.items()}
                if kind == "clean":
                    write(Path(arguments.out.format(count)), groups)
                found = groups_of(noisy["test"], centres)
                same = [groups["test"][speaker] == group for speaker, group in found.items()]
                train = np.bincount(list(groups["train"].values()), minlength=count)
                test = np.bincount(list(groups["test"].values()), minlength=count)
                rows.append(
                    {"embedder": name, "groups": count, "centres": kind, "train": train.tolist()}
                    | {"same": common.interval(same), "largest": float(test.max() / test.sum())}
                )
    result = {"machine": common.machine(), "command": common.command(), "seed": SEED, "rows": rows}
    result = common.rounded(result | {"speakers": len(same)}, 3)
    common.save(arguments.name, result)
    text = text_of(result)
    (common.RESULTS / f"{arguments.name}.md").write_text(text)
    print(text)


def write(path: Path, groups: dict[str, dict[str, int]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["speaker", "group", "split"])
        for split, speakers in groups.items():
            writer.writerows([name, group, split] for name, group in speakers.items())


def text_of(result: dict) -> str:
    """The table."""
    lines = [
        f"How many of {result['speakers']} test speakers are, by {UTTERANCES} utterances of {SECONDS:g} s in noises "
        "of the test (0 dB), of the same group as by clean ones; *largest*: what the largest group alone would reach.",
        "",
        "| embedder | K | centres of | training speakers in each | same group | largest |",
        "|-|-|-|-|-|-|",
    ]
    for row in result["rows"]:
        mean, low, high = (100 * value for value in row["same"])
        lines.append(
            f"| {row['embedder']} | {row['groups']} | {row['centres']} speech | {', '.join(map(str, row['train']))} "
            f"| {mean:.0f} % ({low:.0f} to {high:.0f}) | {100 * row['largest']:.0f} % |"
        )
    lines += [
        "",
        f"{result['machine']['cpu']}, {result['machine']['date']}; seed {result['seed']}. Made by",
        "",
    ]
    return "\n".join([*lines, f"    {result['command']}"]) + "\n"


if __name__ == "__main__":
    main()
