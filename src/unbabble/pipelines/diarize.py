"""Who speaks when: the turns of each talker of a recording of any length, in memory of one window.

    recording -> windows of at most 20 s, cut at pauses -> speech -> vectors of 1.6 s of it -> clusters -> turns

A vector says who speaks; those that are alike are one talker's (``signal.clustering``). The turns then go from talker
to talker as the vectors say, but not for less than a syllable (a Viterbi path, in which a change of talker costs).
Talkers are called ``speaker1``, who talks most, ``speaker2`` ...
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unbabble.base import notes
from unbabble.base.contracts import Embedder
from unbabble.base.errors import InputError
from unbabble.base.spans import Span
from unbabble.base.weights import packaged
from unbabble.base.words import counted
from unbabble.networks import load as networks
from unbabble.networks.device import choose_device
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.transcribe import mono, windows
from unbabble.signal.activity import FRAME_SECONDS, is_speech, runs
from unbabble.signal.clustering import cluster

AUTO, KIND = "auto", "embedder"
VECTOR_SECONDS, HOP_SECONDS, LEAST_VECTOR_SECONDS = 1.6, 0.4, 0.4
"""What a vector is of, from one to the next, and the shortest speech of which there is one."""
CELL_FRAMES = 5
"""Frames of speech that are decided about at once: a tenth of a second."""
THRESHOLD = 0.3
"""Mean cosine of two clusters below which they are two talkers."""
LEAST_VECTORS = 6
"""Who has fewer, about four seconds of speech, is taken for one of the others."""
CHANGE_COST = 0.4
"""What a change of talker costs, in cosines summed over cells."""
GAP_SECONDS, LEAST_TURN_SECONDS = 0.3, 0.2
"""A shorter pause does not end a turn; a shorter turn is none."""
AT_ONCE = 16


@dataclass
class Diarization:
    """Who speaks when in a recording.

    Attributes:
        turns: in the order of their beginnings; ``speaker`` is whose each is, ``score`` how sure that is.
        audio_seconds: duration of the recording.
        speech_seconds: of it in which somebody speaks.
        warnings: what the user should know.
    """

    turns: list[Span]
    audio_seconds: float = 0.0
    speech_seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)

    @property
    def speakers(self) -> list[str]:
        """Their names, who talks most first."""
        seconds: dict[str, float] = {}
        for turn in self.turns:
            seconds[turn.speaker or ""] = seconds.get(turn.speaker or "", 0.0) + turn.seconds
        return sorted(seconds, key=lambda name: -seconds[name])


Progress = Callable[[float, float | None], None]


def load_embedder(name: str, device: str = AUTO) -> tuple[str, Embedder]:
    """What tells talkers apart, ready for use, and its name; by ``auto`` the first packaged one that does.

    Raises:
        InputError: its weights are missing or damaged; none is installed.
        UsageError: no such model or device, or a model of another kind.
    """
    if name == AUTO:
        fitting = [each for each in packaged() if any(kind.name == KIND for kind in networks.kinds_of(each))]
        if not fitting:
            raise InputError(
                "No embedder is installed: train one (configs/ecapa_tdnn.yaml), and name it with --model."
            )
        name = fitting[0]
    return name, networks.ready(name, choose_device(device), KIND)


def diarize(
    recording: Recording,
    embedder: Embedder,
    *,
    talkers: tuple[int, int | None] = (1, None),
    threshold: float | None = None,
    progress: Progress | None = None,
) -> Diarization:
    """The turns of each talker of a recording, all its channels together.

    Args:
        recording: of any length.
        embedder: a network that is ready, or whatever keeps the contract.
        talkers: how many there are at least and at most; None for any number.
        threshold: mean cosine of two clusters below which they are two talkers; that of the embedder if not given.
        progress: called after each window with the seconds that are done, and those of the recording if known.

    Raises:
        InputError: the recording cannot be read; nobody speaks in it, or too little for so many talkers.
    """
    result, heard = Diarization([]), _Heard()
    rate = embedder.sample_rate
    for start, samples in windows(mono(recording, rate), rate):
        heard.add(embedder, samples)
        result.audio_seconds = start + len(samples) / rate
        if progress is not None:
            progress(result.audio_seconds, recording.info.seconds)
    notes.add(result.warnings, recording.info.warnings)
    speech = heard.speech()
    result.speech_seconds = float(speech.sum()) * FRAME_SECONDS
    if not heard.vectors:
        raise InputError(
            "Nobody speaks in the recording." if not speech.any() else "Too little is said in the recording."
        )
    vectors, places = np.concatenate(heard.vectors), np.concatenate(heard.places)
    fewest, most = talkers
    if fewest > len(vectors):
        raise InputError(f"The recording has too little speech for {counted(fewest, 'talker')}.")
    clusters = cluster(
        vectors,
        threshold=THRESHOLD if threshold is None else threshold,
        least=LEAST_VECTORS,
        fewest=fewest,
        most=most,
    )
    likeness = _by_cell(vectors @ clusters.centroids.T, places, len(speech))
    path = np.repeat(likeliest_path(likeness, CHANGE_COST), CELL_FRAMES)[: len(speech)]
    result.turns = _named(_turns(path, speech, len(clusters.centroids)))
    if len(result.speakers) < fewest:
        result.warnings.append(f"Turns of {counted(len(result.speakers), 'talker')} are left of {fewest}.")
    return result


class _Heard:
    """What is kept of the windows of a recording."""

    def __init__(self) -> None:
        self.frames = 0
        self.flags: list[Bool[Tensor, " frame"]] = []
        self.vectors: list[Float[np.ndarray, "vector dimension"]] = []
        self.places: list[Int[np.ndarray, "vector 2"]] = []
        """Frames at which what the vectors are of begins and ends."""

    def add(self, embedder: Embedder, samples: Float[Tensor, " time"]) -> None:
        """Listen to the next window."""
        rate = embedder.sample_rate
        # a window is cut at a frame; what is left at the recording's end is shorter than one
        flags = is_speech(samples, rate)
        self.flags.append(flags)
        places = [place for begin, end in runs(flags) for place in parts(begin, end)]
        for some in _alike(places):
            batch = torch.stack([samples[_at(begin, rate) : _at(end, rate)] for begin, end in some])
            self.vectors.append(embedder(batch).cpu().numpy())
            self.places.append(np.array(some) + self.frames)
        self.frames += len(flags)

    def speech(self) -> Bool[Tensor, " frame"]:
        """Of each frame so far whether somebody speaks."""
        return torch.cat(self.flags) if self.flags else torch.zeros(0, dtype=torch.bool)


def _at(frame: int, rate: int) -> int:
    return round(frame * FRAME_SECONDS * rate)


def parts(begin: int, end: int) -> list[tuple[int, int]]:
    """What vectors are made of in a stretch of speech, in frames: pieces of one length, the last up to its end.

    >>> parts(0, 130)
    [(0, 80), (20, 100), (40, 120), (50, 130)]
    >>> parts(0, 30), parts(0, 10)
    ([(0, 30)], [])
    """
    length, hop = round(VECTOR_SECONDS / FRAME_SECONDS), round(HOP_SECONDS / FRAME_SECONDS)
    if end - begin < round(LEAST_VECTOR_SECONDS / FRAME_SECONDS):
        return []
    if end - begin <= length:
        return [(begin, end)]
    starts = [*range(begin, end - length, hop), end - length]
    return [(start, start + length) for start in starts]


def _alike(places: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Those of one length together, as many as are embedded at once."""
    by_length: dict[int, list[tuple[int, int]]] = {}
    for begin, end in places:
        by_length.setdefault(end - begin, []).append((begin, end))
    for some in by_length.values():
        yield from (some[start : start + AT_ONCE] for start in range(0, len(some), AT_ONCE))


def _by_cell(
    likeness: Float[np.ndarray, "vector talker"], places: Int[np.ndarray, "vector 2"], frames: int
) -> Float[np.ndarray, "cell talker"]:
    """Mean over the vectors of each cell, those whose middle is near counting more; zeros where there is none."""
    cells = -(-frames // CELL_FRAMES)
    total, weight = np.zeros((cells, likeness.shape[1])), np.zeros((cells, 1))
    for each, (begin, end) in zip(likeness, places, strict=True):
        first, last = begin // CELL_FRAMES, -(-end // CELL_FRAMES)
        near = np.hanning(last - first + 2)[1:-1, None]
        total[first:last] += near * each
        weight[first:last] += near
    return total / np.maximum(weight, 1e-9)


def likeliest_path(scores: Float[np.ndarray, "step talker"], cost: float) -> Int[np.ndarray, " step"]:
    """The talker of each step, so that the sum of their scores, less what each change costs, is largest.

    >>> likeliest_path(np.array([[1.0, 0.0], [0.0, 0.5], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), 0.4)
    array([0, 0, 0, 1, 1])
    """
    steps, talkers = scores.shape
    best, before = np.zeros(talkers), np.zeros((steps, talkers), int)
    for step, row in enumerate(scores):
        top = int(best.argmax())
        changed = best[top] - cost > best
        before[step] = np.where(changed, top, np.arange(talkers))
        best = np.where(changed, best[top] - cost, best) + row
    path = np.zeros(steps, int)
    last = int(best.argmax())
    for step in range(steps - 1, -1, -1):
        path[step] = last
        last = before[step, last]
    return path


def _turns(path: Int[np.ndarray, " frame"], speech: Bool[Tensor, " frame"], talkers: int) -> list[Span]:
    """Stretches of one talker, numbered from 0, without short pauses in them and without those that are short."""
    turns = []
    for talker in range(talkers):
        joined: list[list[int]] = []
        for begin, end in runs(speech & (torch.from_numpy(path) == talker)):
            if joined and (begin - joined[-1][1]) * FRAME_SECONDS < GAP_SECONDS:
                joined[-1][1] = end
            else:
                joined.append([begin, end])
        turns += [
            Span(begin * FRAME_SECONDS, end * FRAME_SECONDS, speaker=str(talker))
            for begin, end in joined
            if (end - begin) * FRAME_SECONDS >= LEAST_TURN_SECONDS
        ]
    return sorted(turns, key=lambda turn: turn.start)


def _named(turns: list[Span]) -> list[Span]:
    """The same with names, ``speaker1`` for who talks most."""
    order = Diarization(turns).speakers
    return [
        Span(turn.start, turn.end, turn.text, f"speaker{order.index(turn.speaker or '') + 1}", turn.score)
        for turn in turns
    ]
