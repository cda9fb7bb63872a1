"""Who speaks when: the turns of each talker of a recording of any length, in memory of one window.

    recording -> windows of at most 20 s, cut at pauses -> what is heard in each (``talkers_heard``) -> clusters of
    vectors, each a talker -> the likeliest path through talkers, and pairs of these -> turns

A vector says who speaks in 1.6 s; those that are alike are one talker's (``signal.clustering``), where one speaks at a
time. Then each tenth of a second is one talker's, or two talkers': by the likeness of its vector to the talker, or of
the vectors of two separated voices to the two, by the odds that two speak, and by what a change costs, which counts who
begins and who ends. So who interrupts is likely somebody who spoke just before, or goes on afterwards.

Talkers are called ``speaker1``, who talks most, ``speaker2`` ...
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from unbabble.base import notes
from unbabble.base.errors import InputError
from unbabble.base.spans import Span
from unbabble.base.words import counted
from unbabble.pipelines.embed import Voice
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.talker_voices import Separated
from unbabble.pipelines.talkers_heard import Ears, Heard
from unbabble.pipelines.transcribe import NOBODY_SPEAKS, live, mono, windows
from unbabble.signal.activity import FRAME_SECONDS, runs
from unbabble.signal.clustering import cluster

CELL_FRAMES = 5
"""Frames that are decided about at once: a tenth of a second."""
EVIDENCE = 8.0
"""What it costs at least, in vectors, to take two talkers for one (``signal.clustering``): who says less than some ten
seconds is taken for another. As all that follows, chosen on made conversations of dev speakers (benchmark
``diarization``)."""
LEAST_ALONE = 20
"""Vectors in whose stretch one speaks; where there are fewer, all vectors say what talkers there are."""
ALONE = 0.0
"""Mean log-odds that two speak in a vector's stretch, below which it says something of one talker."""
CHANGE_COST = 1.0
"""Of each talker who begins and each who ends, in the mean difference of likeness to the right talker and to others."""
ODDS_WEIGHT, ODDS_BIAS = 1.0, -0.5
"""What the log-odds that two speak count for, in the same unit, and from where on they do."""
MOST_IN_PAIRS = 12
"""Of more talkers, only those who talk most speak two at once."""
GAP_SECONDS, LEAST_TURN_SECONDS = 0.3, 0.2
"""A shorter pause does not end a turn; a shorter turn is none."""


@dataclass
class Diarization:
    """Who speaks when in a recording.

    Attributes:
        turns: in the order of their beginnings, none where nobody speaks; ``speaker`` is whose each is, ``score`` how
            sure that is, from 0 to 1; None where there is one talker alone.
        audio_seconds: duration of the recording.
        speech_seconds: of it in which somebody speaks.
        separated: stretches in which two speak at once, where their voices were kept.
        voices: of each talker, by name; none of who says too little for a vector.
        warnings: what the user should know.
    """

    turns: list[Span]
    audio_seconds: float = 0.0
    speech_seconds: float = 0.0
    separated: list[Separated] = field(default_factory=list)
    voices: dict[str, Voice] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def speakers(self) -> list[str]:
        """Their names, who talks most first."""
        seconds: dict[str, float] = {}
        for turn in self.turns:
            seconds[turn.speaker or ""] = seconds.get(turn.speaker or "", 0.0) + turn.seconds
        return sorted(seconds, key=lambda name: -seconds[name])


Progress = Callable[[float, float | None], None]


def diarize(
    recording: Recording,
    ears: Ears,
    *,
    speech: Sequence[Span] | None = None,
    talkers: tuple[int, int | None] = (1, None),
    threshold: float | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Diarization:
    """The turns of each talker of a recording: by the mean of its channels, and by what they separate.

    Args:
        recording: of any length.
        ears: the networks that listen.
        speech: where somebody speaks, if that is known.
        talkers: how many there are at least and at most; None for any number.
        threshold: cosine of the means of two clusters below which they are two talkers; that of ``ears`` if not given.
        folder: for the voices where two speak at once; None where they are not needed.
        progress: called after each window with the seconds that are done, and those of the recording if known.

    Raises:
        InputError: the recording cannot be read, or has too little speech for so many talkers.
    """
    result, heard = Diarization([]), Heard(ears, folder)
    rate = ears.embedder.sample_rate
    several = recording.channels > 1 and recording.microphones > 1
    for start, samples in windows((live if several else mono)(recording, rate), rate):
        heard.add(samples, None if speech is None else [span.later(-start) for span in speech])
        result.audio_seconds = start + samples.shape[-1] / rate
        if progress is not None:
            progress(result.audio_seconds, recording.info.seconds)
    notes.add(result.warnings, recording.info.warnings)
    result.speech_seconds = float(heard.speech.sum()) * FRAME_SECONDS
    if not heard.speech.any():
        result.warnings.append(NOBODY_SPEAKS)
        return result
    fewest, most = talkers
    if len(heard.vectors) < fewest > 1:
        raise InputError(f"The recording has too little speech for {counted(fewest, 'talker')}.")
    if not len(heard.vectors):
        result.turns, _ = _named(_turns(heard.speech[:, None], None))
        return result
    centroids = told_apart(heard, ears.threshold if threshold is None else threshold, fewest, most)
    decided, sure = decide(heard, centroids)
    result.turns, names = _named(_turns(decided, sure))
    result.separated = separated(heard, decided, centroids, names)
    seconds = decided.sum(0) * FRAME_SECONDS
    result.voices = {
        name: Voice(centroids[number].astype(np.float32), float(seconds[number]))
        for number, name in names.items()
    }
    if len(result.speakers) < fewest:
        result.warnings.append(f"Turns of {counted(len(result.speakers), 'talker')} are left of {fewest}.")
    return result


def told_apart(
    heard: Heard, threshold: float, fewest: int = 1, most: int | None = None
) -> Float[np.ndarray, "talker dimension"]:
    """What the vectors of each talker have in common, by those in whose stretch one speaks, if these are enough."""
    odds = np.array([heard.odds[begin:end].mean() for begin, end in heard.places])
    alone = np.flatnonzero(odds < ALONE)
    if len(alone) < max(fewest, LEAST_ALONE):
        alone = np.arange(len(odds))
    in_time = alone[heard.places[alone].sum(1).argsort(kind="stable")]
    return cluster(
        heard.vectors[in_time], threshold=threshold, evidence=EVIDENCE, fewest=fewest, most=most
    ).centroids


def decide(
    heard: Heard, centroids: Float[np.ndarray, "talker dimension"]
) -> tuple[Bool[np.ndarray, "frame talker"], Float[np.ndarray, "frame talker"] | None]:
    """Of each frame with speech who speaks, one or two; and how sure each talker's is, None where there is one."""
    talkers, frames = len(centroids), len(heard.speech)
    if talkers == 1:
        return heard.speech[:, None], None
    states = [(talker,) for talker in range(talkers)]
    likeness = heard.vectors @ centroids.T
    unit = _unit(likeness)
    scores = _by_cell(likeness / unit, heard.places, frames)
    if len(heard.pairs):
        pairs = list(combinations(range(min(talkers, MOST_IN_PAIRS)), 2))
        one, other = (np.array(each) for each in zip(*pairs, strict=True))
        first, second = (heard.voices @ centroids.T).transpose(1, 0, 2)
        both = np.maximum(first[:, one] + second[:, other], first[:, other] + second[:, one]) / 2
        together = _by_cell(both, heard.places[heard.pairs], frames, -np.inf)
        odds = heard.odds[::CELL_FRAMES][: len(scores), None]
        together = together / unit + ODDS_WEIGHT * (odds - ODDS_BIAS)
        scores = np.concatenate([scores, together], 1)
        states += pairs
    member = np.zeros((len(states), talkers))
    for state, some in enumerate(states):
        member[state, list(some)] = 1
    cost = CHANGE_COST * np.abs(member[:, None] - member[None]).sum(-1)
    path = np.repeat(likeliest_path(scores, cost), CELL_FRAMES)[:frames]
    sure = np.repeat(sureness(scores * unit * heard.ears.scale, member), CELL_FRAMES, 0)[:frames]
    return (member[path] > 0) & heard.speech[:, None], sure


def sureness(
    ratios: Float[np.ndarray, "cell state"], member: Float[np.ndarray, "state talker"]
) -> Float[np.ndarray, "cell talker"]:
    """How probable it is that each talker speaks in a cell, by that cell alone.

    Args:
        ratios: log-likelihoods of the states, but for a constant.
        member: 1 where a talker speaks in a state.

    >>> sureness(np.log([[3.0, 1.0, 4.0]]), np.array([[1, 0], [0, 1], [1, 1]]))
    array([[0.875, 0.625]])
    """
    shares = np.exp(ratios - ratios.max(1, keepdims=True))
    return shares @ member / shares.sum(1, keepdims=True)


def _unit(likeness: Float[np.ndarray, "vector talker"]) -> float:
    """Median difference of likeness to the likest talker and to the others."""
    ordered = np.sort(likeness, 1)
    return max(float(np.median(ordered[:, -1] - ordered[:, :-1].mean(1))), 1e-3)


def _by_cell(
    likeness: Float[np.ndarray, "vector state"],
    places: Int[np.ndarray, "vector 2"],
    frames: int,
    nothing: float = 0.0,
) -> Float[np.ndarray, "cell state"]:
    """Mean over the vectors of each cell, those whose middle is near counting more; ``nothing`` where there is none."""
    cells = -(-frames // CELL_FRAMES)
    total, weight = np.zeros((cells, likeness.shape[1])), np.zeros((cells, 1))
    for each, (begin, end) in zip(likeness, places, strict=True):
        first, last = begin // CELL_FRAMES, -(-end // CELL_FRAMES)
        near = np.hanning(last - first + 2)[1:-1, None]
        total[first:last] += near * each
        weight[first:last] += near
    return np.where(weight > 0, total / np.maximum(weight, 1e-9), nothing)


def likeliest_path(
    scores: Float[np.ndarray, "step state"], cost: Float[np.ndarray, "state state"]
) -> Int[np.ndarray, " step"]:
    """The state of each step, so that the sum of their scores, less what the changes cost, is largest.

    >>> scores = np.array([[1.0, 0.0], [0.0, 0.5], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> likeliest_path(scores, 0.4 * (1 - np.eye(2)))
    array([0, 0, 0, 1, 1])
    """
    steps, states = scores.shape
    best, before = np.zeros(states), np.zeros((steps, states), np.int16)
    every = np.arange(states)
    for step, row in enumerate(scores):
        reached = best - cost
        before[step] = reached.argmax(1)
        best = reached[every, before[step]] + row
    path = np.zeros(steps, int)
    state = int(best.argmax())
    for step in range(steps - 1, -1, -1):
        path[step] = state
        state = int(before[step, state])
    return path


def _turns(
    decided: Bool[np.ndarray, "frame talker"], sure: Float[np.ndarray, "frame talker"] | None
) -> list[Span]:
    """Stretches of each talker, numbered from 0, without short pauses in them and without those that are short.

    A turn is as sure as its frames are on average.
    """
    turns = []
    for talker, flags in enumerate(decided.T):
        joined: list[list[int]] = []
        for begin, end in runs(torch.from_numpy(flags.copy())):
            if joined and (begin - joined[-1][1]) * FRAME_SECONDS < GAP_SECONDS:
                joined[-1][1] = end
            else:
                joined.append([begin, end])
        turns += [
            Span(
                begin * FRAME_SECONDS,
                end * FRAME_SECONDS,
                speaker=str(talker),
                score=None if sure is None else float(sure[begin:end, talker][flags[begin:end]].mean()),
            )
            for begin, end in joined
            if (end - begin) * FRAME_SECONDS >= LEAST_TURN_SECONDS
        ]
    return sorted(turns, key=lambda turn: turn.start)


def _named(turns: list[Span]) -> tuple[list[Span], dict[int, str]]:
    """The same with names, ``speaker1`` for who talks most, and the name of each number."""
    order = Diarization(turns).speakers
    names = {int(number): f"speaker{place}" for place, number in enumerate(order, 1)}
    return [replace(turn, speaker=names[int(turn.speaker or 0)]) for turn in turns], names


def separated(
    heard: Heard,
    decided: Bool[np.ndarray, "frame talker"],
    centroids: Float[np.ndarray, "talker dimension"],
    names: Mapping[int, str],
) -> list[Separated]:
    """Stretches of two talkers, and which of the voices that were separated there is whose."""
    parts: list[Separated] = []
    together = decided.sum(1) > 1
    for first, last, file, rate in heard.files:
        for begin, end in runs(torch.from_numpy(together[first:last])):
            talkers = np.flatnonzero(decided[first + begin : first + end].sum(0) * 2 > end - begin)[:2]
            starts, ends = heard.places[heard.pairs].T
            near = (starts < first + end) & (ends > first + begin)
            if len(talkers) < 2 or not near.any():
                continue
            alike = np.zeros((1 + heard.which[near].max(), len(talkers)))  # each talker has another voice
            np.add.at(alike, heard.which[near], heard.voices[near] @ centroids[talkers].T)
            whose = dict(zip(*linear_sum_assignment(alike, maximize=True), strict=True))
            speakers = tuple(
                names.get(int(talkers[whose[voice]])) if voice in whose else None
                for voice in range(len(alike))
            )
            start, stop, file_start = (frame * FRAME_SECONDS for frame in (first + begin, first + end, first))
            parts.append(Separated(start, stop, file_start, file, rate, speakers))
    return parts
