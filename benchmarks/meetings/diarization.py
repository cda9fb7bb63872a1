"""Who speaks when in made conversations, by embedders and clusterings, and by `diarize`?

Two to four speakers of a split take turns for two minutes in a measured room, two at once for none to 40 % of the time
with speech; or turns are long. DER: missed, false and confused speech over all speech, no collar, overlap counted;
intervals are bootstrapped by conversation. *True speech*: it is known where anybody speaks; vectors of 1.6 s, one every
.4 s, are clustered, and each tenth of a second is theirs whose vector is nearest. *Known*: so is the number of talkers.
*One at a time*: `diarize` without ears for two at once; or the right talker, where only one can be named. Thresholds of
clusterings are chosen with `--split dev` (`--thresholds`). Others' weights are peers: an embedder (`--models`), a
segmenter that hears where somebody speaks and where two do (`--segmenters`), by their files.

    bash benchmarks/peers.sh
    python -m benchmarks diarization --split dev --name diarization_dev --thresholds .2 .3 .4 .5 .6 .7 .8
    python -m benchmarks diarization                                     # ten minutes on one core
    python -m benchmarks diarization --split dev --name diarization_dev --models CAM++=campplus_cn_en_common.pt \
        --segmenters segmentation-3.0=pytorch_model.bin --only "*CAM++*" "*segmentation-3.0*"
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from fnmatch import fnmatch
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, linkage

from benchmarks.kit import peers
from benchmarks.kit.conversations import (
    COUNT,
    LONG,
    SEED,
    condition,
    conversations,
    labelled,
    one_at_a_time,
    speech_of,
    windows,
)
from benchmarks.kit.table import grid, made_by, page
from unbabble.base.audio import resample
from unbabble.base.spans import Span
from unbabble.base.weights import packaged
from unbabble.data.conversations import Conversation
from unbabble.networks import load as networks
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.pipelines.diarize import diarize
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.talkers_heard import Ears
from unbabble.signal.diarization import TurnErrors, compare
from unbabble.signal.statistics import ratio

DIGITS = 5
QUICK = {"count": 2, "peer": False}
NAMES = ("diarization", "diarization_dev")
THRESHOLDS = {"xvector.8k": 0.5, "resemblyzer": 0.4}
"""Cosine distances above which clusters are two talkers, by embedder; best on dev."""
PEER = "diarization"
CONDITIONS = ("0%", "10%", "20%", "40%", LONG)
PARTS = ("missed", "false_alarm", "confusion")
TRUE = "true speech"
ARRAYS = (1, 7)


class Heard:
    """One conversation, and what is worked out of it once."""

    def __init__(self, made: Conversation) -> None:
        self.made, self.talkers = made, len(made.references)
        self.sound = torch.from_numpy(made.mixture)
        self.speech = speech_of(made.turns)
        self.windows = windows(self.speech)
        self._vectors: dict[str, np.ndarray] = {}
        self._answer: dict = {}

    def asked(self, peer: peers.Process) -> dict:
        """What other toolkits make of it."""
        if not self._answer:
            speech, parts = (
                [(each.start, each.end) for each in some] for some in (self.speech, self.windows)
            )
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "given.npz"
                np.savez(path, sound=self.made.mixture[0], talkers=self.talkers, speech=speech, windows=parts)
                self._answer = peer.request(data=str(path))
        return self._answer

    def vectors(self, name: str, network: NeuralEmbedder) -> np.ndarray:
        """Of each window by a network."""
        if name not in self._vectors:
            rate = network.sample_rate
            sound = resample(self.sound[0], self.made.sample_rate, rate)
            parts = [sound[round(each.start * rate) : round(each.end * rate)] for each in self.windows]
            self._vectors[name] = np.concatenate([network(part[None]).numpy() for part in parts])
        return self._vectors[name]

    def by_labels(self, labels: Sequence[int]) -> list[Span]:
        """Turns by labels of windows."""
        return labelled(self.speech, self.windows, labels)

    def drawn(self) -> list[Span]:
        """Anybody in each window."""
        rng = np.random.default_rng([SEED, self.made.metadata["index"]])
        return self.by_labels(rng.integers(self.talkers, size=len(self.windows)).tolist())

    def clustered(self, vectors: np.ndarray, threshold: float | None = None) -> list[Span]:
        """By average linkage of cosine distances: as many as there are, or as a distance says."""
        tree = linkage(vectors, "average", metric="cosine")
        how = (self.talkers, "maxclust") if threshold is None else (threshold, "distance")
        return self.by_labels(fcluster(tree, *how).tolist())


Way = Callable[[Heard], list[Span]]


def baselines() -> dict[str, Way]:
    """What needs no ears."""
    return {
        f"one talker, {TRUE}": lambda heard: heard.by_labels([0] * len(heard.windows)),
        f"random talkers, {TRUE}, known": Heard.drawn,
        f"the right talker, one at a time, {TRUE}": lambda heard: one_at_a_time(heard.made.turns),
    }


def by_vectors(
    name: str, vectors: Callable[[Heard], np.ndarray], thresholds: Sequence[float]
) -> dict[str, Way]:
    """Clustered vectors of an embedder, with the number of talkers and without it."""
    ways: dict[str, Way] = {f"{name}, {TRUE}, known": lambda heard: heard.clustered(vectors(heard))}
    for threshold in thresholds or filter(None, [THRESHOLDS.get(name)]):
        way = f"{name}, {TRUE}" + f", threshold {threshold:g}" * bool(thresholds)
        ways[way] = lambda heard, at=threshold: heard.clustered(vectors(heard), at)
    return ways


def by_peer(peer: peers.Process, thresholds: Sequence[float]) -> dict[str, Way]:
    """Resemblyzer with spectral clustering, and behind Silero's detector of speech."""
    ways = by_vectors("resemblyzer", lambda heard: np.array(heard.asked(peer)["vectors"]), thresholds)
    return ways | {
        f"resemblyzer + spectral, {TRUE}, known": lambda heard: heard.by_labels(heard.asked(peer)["known"]),
        f"resemblyzer + spectral, {TRUE}": lambda heard: heard.by_labels(heard.asked(peer)["estimated"]),
        "silero + resemblyzer + spectral": lambda heard: [
            Span(begin, end, speaker=str(label)) for begin, end, label in heard.asked(peer)["turns"]
        ],
    }


def by_diarize(models: Mapping[str, str], segmenters: Mapping[str, str]) -> dict[str, Way]:
    """``unbabble diarize``: with ears for two at once and without, and with more and more that is known."""
    ways: dict[str, Way] = {}
    for name, model in models.items():
        kinds = {"": Ears.load(model, "cpu"), ", one at a time": Ears.load(model, "cpu", together=False)}
        kinds |= {f", {each}": Ears.load(model, "cpu", segmenter=file) for each, file in segmenters.items()}
        for (what, ears), true, known, microphones in product(
            kinds.items(), (True, False), (True, False), ARRAYS
        ):
            if microphones > 1 and (true or known):
                continue
            way = f"diarize, {name}{what}" + f", {TRUE}" * true + ", known" * known
            way += f", {microphones} microphones" * (microphones > 1)
            ways[way] = partial(diarized, ears=ears, true=true, known=known, microphones=microphones)
    return ways


def diarized(heard: Heard, ears: Ears, true: bool, known: bool, microphones: int) -> list[Span]:
    """The turns that the pipeline says."""
    return diarize(
        Recording.of(heard.sound[:microphones], heard.made.sample_rate),
        ears,
        speech=heard.speech if true else None,
        talkers=(heard.talkers, heard.talkers) if known else (1, None),
    ).turns


def by_embedders(models: Mapping[str, str], thresholds: Sequence[float]) -> dict[str, Way]:
    """Clustered vectors of networks."""
    names = {name: name for name in packaged() if networks.kinds_of(name)[0].name == "embedder"} | dict(
        models
    )
    ways: dict[str, Way] = {}
    for name, model in names.items():
        network = networks.load(model, "embedder").network
        ways |= by_vectors(name, partial(Heard.vectors, name=name, network=network), thresholds)
    return ways


def row(heard: Heard, turns: Sequence[Span]) -> list[float]:
    """Seconds: speech, missed, false alarm, confusion; talkers there are, and that were told apart."""
    errors = compare(heard.made.turns, turns).errors
    told_apart = len({turn.speaker for turn in turns})
    return [errors.speech, errors.missed, errors.false_alarm, errors.confusion, heard.talkers, told_apart]


def measure(
    split: str = "test",
    count: int = COUNT,
    models: Mapping[str, str] | None = None,
    segmenters: Mapping[str, str] | None = None,
    thresholds: Sequence[float] = (),
    only: Sequence[str] = (),
    peer: bool = True,
    seed: int = SEED,
    before: dict | None = None,
) -> Iterator[dict]:
    """Conversation by conversation; those that a way has had are not done again.

    Args:
        count: conversations of turns, at most.
        models: more embedders.
        segmenters: that `diarize` hears with, too.
        thresholds: of clusterings, to choose from; those that are chosen if not given.
        only: ways whose names are as one of these patterns; all if not given.
        peer: also by other toolkits.
    """
    result = before or {}
    result["split"] = split
    done = result.setdefault("ways", {})
    named = {name: name for name in packaged() if networks.kinds_of(name)[0].name == "embedder"} | dict(
        models or {}
    )
    ways = baselines() | by_embedders(named, thresholds) | by_diarize(named, segmenters or {})
    with ExitStack() as stack:
        if peer and peers.present([PEER]):
            ways |= by_peer(stack.enter_context(peers.Process(PEER, "run_diarization.py")), thresholds)
        ways = {way: how for way, how in ways.items() if not only or any(fnmatch(way, each) for each in only)}
        for long_turns in (False, True):
            made = conversations(split, max(ARRAYS), long_turns, seed)
            for number in range(min(count, len(made))):
                kind = condition(made, number)
                left = [way for way in ways if str(number) not in done.get(way, {}).get(kind, {})]
                if not left:
                    continue
                heard = Heard(made[number])
                for way in left:
                    done.setdefault(way, {}).setdefault(kind, {})[str(number)] = row(heard, ways[way](heard))
                print(split, kind, number, len(left), flush=True)
                yield result


def rate(rows: Sequence[Sequence[float]]) -> list[float] | float:
    """DER in per cent, and the interval by conversation, where there are several."""
    speech, *parts = np.array(rows).T[: 1 + len(PARTS)]
    rates = [100 * each for each in ratio(np.sum(parts, axis=0), speech)]
    return rates if len(rows) > 1 else rates[0]


def summary(way: str, by_kind: Mapping[str, Mapping[str, Sequence[float]]]) -> dict:
    """A line of the tables."""
    turns = [each for kind, rows in by_kind.items() if kind != LONG for each in rows.values()]
    everything = [each for rows in by_kind.values() for each in rows.values()]
    total = sum((TurnErrors(*each[:4]) for each in turns), TurnErrors())
    parts = {name: 100 * getattr(total, name) / total.speech for name in PARTS}
    right = sum(each[4] == each[5] for each in everything)
    off = float(np.mean([abs(each[4] - each[5]) for each in everything]))
    rates = {kind: rate(list(rows.values())) for kind, rows in by_kind.items()}
    about = {"way": way, "all": rate(turns), "right": f"{right} of {len(everything)}", "off": off}
    return about | parts | rates


def table(result: dict) -> str:
    lines = [summary(way, by_kind) for way, by_kind in result["ways"].items()]
    kinds = [kind for kind in CONDITIONS if any(kind in line for line in lines)]
    count = len({(k, n) for by_kind in result["ways"].values() for k, rows in by_kind.items() for n in rows})
    return page(
        f"DER in per cent (95 % interval by conversation), split {result['split']}, one microphone if not said, by the "
        f"share of the time with speech in which two speak; {LONG}: turns of 20 to 40 s, without overlap.",
        grid(
            ["", *kinds],
            lines,
            "{way} | " + " | ".join(f"{{{kind}:.1f}}" for kind in kinds),
        ),
        f"Of turns with every overlap together: missed speech, false alarms and confusion, per cent. Of all {count} "
        "conversations: in how many the number of talkers is right, and by how many it is wrong on average.",
        grid(
            "| DER | missed | false alarm | confusion | talkers right | wrong by",
            lines,
            "{way} | {all:.1f} | {missed:.1f} | {false_alarm:.1f} | {confusion:.1f} | {right} | {off:.2f}",
        ),
        made_by(result),
    )
