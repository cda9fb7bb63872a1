"""Which sounds are found by words: those that were learnt, those that never were, and how fast?

- *Unseen classes*: a ridge map from statistics of mel bands to vectors of texts, over many choices of five classes of
  ESC-50 that nothing was learnt of (UrbanSound8K's classes of the same sound are left out, too), beside the same with
  the texts of the five shuffled: chance is .200.
- *Classes that were learnt*: mean average precision of finding ESC-50's fold 5 by the names of its 21 classes, and
  accuracy of naming: the ridge map on folds 1 to 4, and networks, also those that have learnt nothing of ESC-50.
- *Speed*: a search among 100,000 clips, and seconds of recordings embedded a second, on one core.

    python -m benchmarks words_and_sounds --text word_vectors.english all-MiniLM-L6-v2 \\
        --models clap.sounds_16k gpvad=Datadriven-GPVAD/pretrained_models/teacher2
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float

from benchmarks.kit.table import grid, made_by, page
from benchmarks.sounds._data import Clip, averaged, clips, embedded, judged, texts_of, waveform
from unbabble.data.captioned import PROMPTS, readable
from unbabble.networks.load import load
from unbabble.nn.kinds.joint_embedder import at_unit_level
from unbabble.pipelines.sound_index import Searchable
from unbabble.signal.mel import mel_filters

RATE, SECONDS, POINTS, BANDS = 16000, 5.0, 512, 64
FLOOR, RIDGE, MODULATIONS = 1e-4, 300.0, 20
HELD_OUT, WAYS = 5, 60
SAME = {"dog_bark": "dog", "siren": "siren", "engine_idling": "engine", "children_playing": "laughing"}
"""UrbanSound8K's classes of the same sound as one of ESC-50."""
SEARCHED, DIMENSION, QUERIES = 100_000, 256, 20
QUICK = {"choices": 3}


@cache
def of_both() -> Float[np.ndarray, "clip statistic"]:
    """Statistics of ESC-50, then of UrbanSound8K."""
    return statistics(clips("esc50") + clips("us8k"))


def statistics(some: Sequence[Clip]) -> Float[np.ndarray, "clip statistic"]:
    """Of log mel bands below their maximum: mean, deviation, maximum, mean change; and how the level is modulated."""
    filters, window = mel_filters(BANDS, POINTS, RATE), torch.hann_window(POINTS)
    rows = []
    for clip in some:
        samples = at_unit_level(torch.from_numpy(waveform(clip, RATE, SECONDS))[None])[0]
        power = torch.stft(samples, POINTS, POINTS, window=window, return_complex=True).abs().square()
        bands = (filters @ power + FLOOR).log()
        bands = bands - bands.amax()
        modulation = torch.fft.rfft(bands.mean(0)).abs()[1:MODULATIONS].log1p()
        rows.append(
            torch.cat(
                [bands.mean(1), bands.std(1), bands.amax(1), bands.diff(dim=1).abs().mean(1), modulation]
            )
        )
    return torch.stack(rows).numpy()


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)


def mapped(features: np.ndarray, texts: np.ndarray, new: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Likeness of new features to names, by the ridge map that was learnt from features and their texts."""
    centre = texts.mean(0)
    weights = np.linalg.solve(
        features.T @ features + RIDGE * np.eye(features.shape[1]), features.T @ (texts - centre)
    )
    return unit(names - centre) @ unit(new @ weights).T


class Ridge:
    """The statistics of both corpora, and the texts of their labels."""

    def __init__(self, encoder: Any) -> None:
        self.esc, self.urban = clips("esc50"), clips("us8k")
        both = of_both()
        both = (both - both[: len(self.esc)].mean(0)) / both[: len(self.esc)].std(0)
        self.of_esc, self.of_urban = both[: len(self.esc)], both[len(self.esc) :]
        labels = sorted({clip.label for clip in self.esc + self.urban})
        self.texts = {
            label: encoder.encode_text([each.format(readable(label)) for each in PROMPTS]).mean(0).numpy()
            for label in labels
        }

    def learnt(self, clips_: Sequence[bool], urban: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
        features = np.concatenate([self.of_esc[np.array(clips_)], self.of_urban[np.array(urban)]])
        chosen = [c for c, kept in zip(self.esc, clips_, strict=True) if kept]
        chosen += [c for c, kept in zip(self.urban, urban, strict=True) if kept]
        return features, np.stack([self.texts[clip.label] for clip in chosen])

    def unseen(self, choices: int) -> dict[str, list[float]]:
        rng, classes = np.random.default_rng(0), sorted({clip.label for clip in self.esc})
        found: dict[str, list[float]] = {"accuracy": [], "shuffled": []}
        for _ in range(choices):
            out = list(rng.choice(classes, HELD_OUT, replace=False))
            features, texts = self.learnt(
                [clip.label not in out for clip in self.esc],
                [SAME.get(clip.label) not in out for clip in self.urban],
            )
            new = [clip for clip in self.esc if clip.label in out]
            rows = self.of_esc[np.array([clip.label in out for clip in self.esc])]
            names = np.stack([self.texts[name] for name in out])
            for key, order in (("accuracy", np.arange(HELD_OUT)), ("shuffled", rng.permutation(HELD_OUT))):
                likeness = mapped(features, texts, rows, names[order])
                found[key].append(judged(likeness, new, out)["accuracy"])
        return found

    def seen(self) -> dict[str, float]:
        features, texts = self.learnt([clip.fold < 5 for clip in self.esc], [True] * len(self.urban))
        new = [clip for clip in self.esc if clip.fold == 5]
        names = sorted({clip.label for clip in new})
        rows = self.of_esc[np.array([clip.fold == 5 for clip in self.esc])]
        return judged(
            mapped(features, texts, rows, np.stack([self.texts[name] for name in names])), new, names
        )


def of_network(name: str) -> dict[str, float]:
    """How well a network finds fold 5, and how many seconds of it are decoded and embedded a processor second."""
    network = load(name, "joint embedder").network
    test = clips("esc50", (5,))
    names = sorted({clip.label for clip in test})
    began = time.process_time()
    audio = embedded(network, test)
    seconds = time.process_time() - began
    return judged(texts_of(network, list(map(readable, names))) @ audio.T, test, names) | {
        "x_real_time": len(test) * network.window_seconds / seconds
    }


def search_seconds() -> float:
    """Median time of a search among clips of one window each."""
    rng = np.random.default_rng(0)
    vectors = unit(rng.standard_normal((SEARCHED, DIMENSION)).astype(np.float32))
    paths = [Path(str(number)) for number in range(SEARCHED)]
    searchable = Searchable(paths, [5.0] * SEARCHED, np.arange(SEARCHED), np.zeros(SEARCHED), vectors, 5.0)
    times = []
    for query in unit(rng.standard_normal((QUERIES, DIMENSION)).astype(np.float32)):
        began = time.perf_counter()
        searchable.search(query, 10)
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def measure(
    text: Sequence[str] = ("word_vectors.english",),
    models: Annotated[Mapping[str, str], "joint embedders"] = {},
    choices: int = WAYS,
) -> Iterator[dict]:
    """All of it.

    Args:
        text: text encoders for the ridge map.
        models: joint embedders by name.
        choices: of five unseen classes.
    """
    result: dict[str, Any] = {
        "choices": choices,
        "search_seconds": search_seconds(),
        "ridge": {},
        "networks": {},
    }
    for name, place in models.items():
        result["networks"][name] = of_network(place)
        yield result
    for name in text:
        ridge = Ridge(load(name, "text encoder").network)
        result["ridge"][Path(name).name] = {"unseen": ridge.unseen(choices), "seen": ridge.seen()}
        yield result


def table(result: dict) -> str:
    """Unseen classes, classes that were learnt, speed."""
    unseen = [
        (
            name,
            averaged(each["unseen"]["accuracy"]),
            f"{np.std(each['unseen']['accuracy'], ddof=1) / np.sqrt(result['choices']):.3f}",
            averaged(each["unseen"]["shuffled"]),
        )
        for name, each in result["ridge"].items()
    ]
    seen = [
        (f"ridge map to {name}", f"{each['seen']['map']:.3f}", f"{each['seen']['accuracy']:.3f}", "")
        for name, each in result["ridge"].items()
    ]
    seen += [
        (name, f"{each['map']:.3f}", f"{each['accuracy']:.3f}", f"{each['x_real_time']:.0f}")
        for name, each in result["networks"].items()
    ]
    return page(
        "# Words and sounds",
        f"## Classes of which nothing was learnt: {result['choices']} choices of {HELD_OUT}, chance .200",
        grid("ridge map to | accuracy (± over choices) | standard error | texts shuffled", unseen),
        "## ESC-50's fold 5 by the names of 21 classes",
        grid("what | mAP | accuracy | x real time, one core", seen),
        "gpvad has learnt from AudioSet alone, the ridge maps and clap.sounds_16k also from other folds of ESC-50.",
        f"## A search among {SEARCHED:,} clips of {DIMENSION} numbers",
        f"{1000 * result['search_seconds']:.1f} ms.",
        made_by(result),
    )
