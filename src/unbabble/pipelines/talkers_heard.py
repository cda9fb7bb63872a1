"""What is kept of a recording to tell its talkers apart: where somebody speaks, whether two do, vectors of who it is.

    window of at most 20 s -> speech -> vectors of 1.6 s of it
                                     -> log-odds that two or more speak, by a network that counts (``pipelines.count``)
                                        or a segmenter, which then says where somebody speaks, too
                                     -> where two may speak: two voices -> vectors of each

One microphone's voices are separated by a network; several microphones', blindly, into more voices than two, of which
the two that are loudest count. By how much the second is softer also says whether two speak.

That is some kilobytes a minute, whatever the recording; separated voices go to files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unbabble.base.audio import resample
from unbabble.base.contracts import Counter, Embedder, Segmenter, Separator
from unbabble.base.spans import Span
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.networks.device import choose_device
from unbabble.pipelines.choose import DEFAULT_MULTICHANNEL, DEFAULT_SINGLE
from unbabble.pipelines.count import COUNTER
from unbabble.pipelines.embed import AUTO
from unbabble.pipelines.separate import Model
from unbabble.pipelines.separate import load as load_separator
from unbabble.pipelines.verify import load_verifier
from unbabble.signal.activity import FRAME_SECONDS, is_speech, runs

VECTOR_SECONDS, HOP_SECONDS, LEAST_VECTOR_SECONDS = 1.6, 0.4, 0.4
"""What a vector is of, from one to the next, and the shortest speech of which there is one."""
POSSIBLY_SPEECH = 0.1
"""Probability from which a frame beside speech is speech, too (``signal.activity``): less than where words are looked
for, as the errors are fewest so (on dev 5.3 % of the speech, 6.2 with the usual one)."""
COUNTED_SECONDS, COUNTED_HOP_SECONDS = 1.5, 0.25
"""What the talkers are counted in, and from one to the next."""
SEGMENTED_HOPS, SEGMENTED = 4, 0.3
"""How often a segmenter hears each moment, and its probability from which a frame is speech."""
POSSIBLE = -2.0
"""Log-odds from which somewhere in its stretch two may speak."""
NOT_COUNTED = -20.0
"""Log-odds where nothing was counted."""
ARRAY_VOICES = 4
"""Into which what several microphones heard is separated, if they are so many: of talkers, and of noise."""
LEVEL_SECONDS = 1.0
LEVEL_ODDS = (2.7, 0.735, 0.27)
"""Log-odds that two speak, of several microphones: a constant, times what was counted, and times the level of the
second voice less that of the first, in dB over so many seconds. (Logistic regression on seven made conversations of dev
speakers: 11 % of the frames wrong, 15 % by what is counted alone.)"""
AT_ONCE = 16
THRESHOLD, THRESHOLDS = 0.65, {"xvector.8k": 0.75}
"""Cosine of the means of two clusters below which they are two talkers; of embedders by name that need another. Chosen
on made conversations of dev speakers (benchmark ``diarization``)."""
SCALE = 10.0
"""What a difference of cosines of 1 means as log-likelihood ratio, of embedders that nobody has calibrated."""


@dataclass(frozen=True)
class Ears:
    """The networks that listen.

    Attributes:
        embedder: says who speaks.
        counter: says how many do; None to take it that one does.
        separator: gives two voices; None likewise.
        segmenter: says where somebody speaks and where several do, in place of the counter; None for none.
        threshold: cosine of the means of two clusters of vectors below which they are two talkers.
        scale: what a difference of cosines of 1 means as log-likelihood ratio.
    """

    embedder: Embedder
    counter: Counter | None = None
    separator: Separator | None = None
    segmenter: Segmenter | None = None
    threshold: float = THRESHOLD
    scale: float = SCALE

    @classmethod
    def load(
        cls, name: str = AUTO, device: str = "auto", together: bool = True, segmenter: str | None = None
    ) -> "Ears":
        """An embedder with what is known of it.

        Args:
            name: as for ``pipelines.embed.load_embedder``.
            device: where the networks compute.
            together: with the packaged networks that hear two talkers at once, where they are installed.
            segmenter: a file or folder.

        Raises:
            InputError: weights that are missing or damaged; nothing installed for ``auto``.
            UsageError: no such model or device, or one that does something else.
        """
        verifier = load_verifier(name, device)
        name, line = verifier.embedder.name, verifier.calibration
        scale = (
            SCALE if line is None else float(np.diff(line.ratios(np.array([0.0, 1.0]), VECTOR_SECONDS))[0])
        )
        chosen = choose_device(device)
        ears = cls(
            verifier.embedder.network,
            segmenter=None if segmenter is None else networks.ready(segmenter, chosen, "segmenter"),
            threshold=THRESHOLDS.get(name, THRESHOLD),
            scale=scale,
        )
        separator = DEFAULT_SINGLE[2]
        if not together or not {COUNTER, separator} <= packaged().keys():
            return ears
        return replace(
            ears,
            counter=networks.ready(COUNTER, chosen, "counter"),
            separator=networks.ready(separator, chosen, "separator"),
        )


class Heard:
    """What was heard of a recording so far, window by window; frames are those of ``signal.activity``.

    Args:
        ears: the networks.
        folder: for the voices of windows that were separated, as they are needed afterwards; None where they are not.
    """

    def __init__(self, ears: Ears, folder: Path | None = None) -> None:
        self.ears, self.folder = ears, folder
        self.frames = 0
        self.files: list[tuple[int, int, Path, int]] = []
        """Of windows that were separated the first frame, and that behind them, the voices (voice, time), and their
        rate."""
        self._speech: list[Tensor] = []
        self._odds: list[Tensor] = []
        self._vectors: list[np.ndarray] = []
        self._places: list[tuple[int, int]] = []
        self._pairs: list[int] = []
        self._voices: list[np.ndarray] = []
        self._which: list[np.ndarray] = []

    @property
    def speech(self) -> Bool[np.ndarray, " frame"]:
        """Of each frame whether somebody speaks."""
        return torch.cat(self._speech).numpy() if self._speech else np.zeros(0, bool)

    @property
    def odds(self) -> Float[np.ndarray, " frame"]:
        """Of each frame the log-odds that two or more speak."""
        return torch.cat(self._odds).numpy() if self._odds else np.zeros(0)

    @property
    def vectors(self) -> Float[np.ndarray, "vector dimension"]:
        """Who speaks, as if one did, of unit norm."""
        return np.concatenate(self._vectors) if self._vectors else np.zeros((0, 1))

    @property
    def places(self) -> Int[np.ndarray, "vector 2"]:
        """At which frames what the vectors are of begins and ends."""
        return np.array(self._places, int).reshape(-1, 2)

    @property
    def pairs(self) -> Int[np.ndarray, " pair"]:
        """Numbers of the vectors in whose stretch two may speak."""
        return np.array(self._pairs, int)

    @property
    def voices(self) -> Float[np.ndarray, "pair 2 dimension"]:
        """Vectors of the two voices there."""
        return np.concatenate(self._voices) if self._voices else np.zeros((0, 2, 1))

    @property
    def which(self) -> Int[np.ndarray, "pair 2"]:
        """Their numbers among the voices of the window."""
        return np.concatenate(self._which) if self._which else np.zeros((0, 2), int)

    @torch.no_grad()
    def add(self, samples: Float[Tensor, "*channel time"], spoken: Sequence[Span] | None = None) -> None:
        """Listen to the next window.

        Args:
            samples: at the embedder's rate, of one microphone or of several.
            spoken: where somebody speaks in it, if that is known.
        """
        embedder, channels = self.ears.embedder, samples
        samples = samples if samples.ndim == 1 else samples.mean(0)
        if self.ears.segmenter is not None:
            speech, odds = _segmented(self.ears.segmenter, samples, embedder.sample_rate)
        else:
            speech, odds = is_speech(samples, embedder.sample_rate, POSSIBLY_SPEECH), None
        if spoken is not None:
            speech = _flags(spoken, len(speech))
        array = channels.ndim > 1 and self.ears.separator is not None and bool(speech.any())
        voices, rate = self._separated(channels) if array else (None, 0)
        if odds is None:
            odds = self._counted(samples, speech)
            odds = odds if voices is None else _both_heard(odds, voices, rate)
        places = sorted((place for begin, end in runs(speech) for place in parts(begin, end)), key=_length)
        first = len(self._places)
        self._vectors += _embedded(embedder, samples, places)
        possible = [place for place, (begin, end) in enumerate(places) if odds[begin:end].max() > POSSIBLE]
        if possible and self.ears.separator is not None:
            if voices is None:
                voices, rate = self._separated(channels)
            if self.folder is not None:
                file = self.folder / f"{len(self.files)}.npy"
                np.save(file, voices.numpy())
                self.files.append((self.frames, self.frames + len(speech), file, rate))
            voices = resample(voices, rate, embedder.sample_rate)
            stretches = [places[place] for place in possible]
            which = np.stack([_loudest(voices, place, embedder.sample_rate) for place in stretches])
            vectors = np.zeros((*which.shape, self._vectors[-1].shape[-1]), np.float32)
            for number, voice in enumerate(voices):
                rows, columns = np.nonzero(which == number)
                if len(rows):
                    some = _embedded(embedder, voice, [stretches[row] for row in rows])
                    vectors[rows, columns] = np.concatenate(some)
            self._voices.append(vectors)
            self._which.append(which)
            self._pairs += [first + place for place in possible]
        self._places += [(begin + self.frames, end + self.frames) for begin, end in places]
        self._speech.append(speech)
        self._odds.append(odds)
        self.frames += len(speech)

    def _counted(
        self, samples: Float[Tensor, " time"], speech: Bool[Tensor, " frame"]
    ) -> Float[Tensor, " frame"]:
        """Log-odds that two or more speak: the mean over what was counted, what is near its middle counting more."""
        counter = self.ears.counter
        if counter is None or not speech.any():
            return torch.full((len(speech),), NOT_COUNTED)
        length, hop = (round(each / FRAME_SECONDS) for each in (COUNTED_SECONDS, COUNTED_HOP_SECONDS))
        length = min(length, len(speech))
        starts = [*range(0, len(speech) - length, hop), len(speech) - length]
        starts = [start for start in starts if speech[start : start + length].any()]
        samples = resample(samples, self.ears.embedder.sample_rate, counter.sample_rate)
        total, weight = torch.zeros(len(speech)), torch.zeros(len(speech))
        near = torch.hann_window(length + 2, periodic=False)[1:-1]
        for some in (starts[place : place + AT_ONCE] for place in range(0, len(starts), AT_ONCE)):
            batch = [_cut(samples, start, start + length, counter.sample_rate) for start in some]
            likely = counter(torch.stack(batch)).cpu().clamp(min=1e-6)
            for start, value in zip(some, (likely[:, 1:].sum(1) / likely[:, 0]).log(), strict=True):
                total[start : start + length] += value * near
                weight[start : start + length] += near
        return torch.where(weight > 0, total / weight.clamp(min=1e-9), NOT_COUNTED)

    def _separated(self, samples: Float[Tensor, "*channel time"]) -> tuple[Float[Tensor, "voice time"], int]:
        """Two voices or more, and their rate."""
        separator = self.ears.separator
        assert separator is not None
        if samples.ndim > 1:
            rate = self.ears.embedder.sample_rate
            return blind(min(len(samples), ARRAY_VOICES))(samples, rate).sources, rate
        rate = separator.sample_rate
        mixture = resample(samples, self.ears.embedder.sample_rate, rate)
        return separator(mixture[None, None], sample_rate=rate)[0].cpu(), rate


@cache
def blind(voices: int) -> Model:
    """What separates what several microphones heard."""
    return load_separator(DEFAULT_MULTICHANNEL, "cpu", sources=voices)


def _both_heard(
    odds: Float[Tensor, " frame"], voices: Float[Tensor, "voice time"], rate: int
) -> Float[Tensor, " frame"]:
    """Log-odds that two speak by what was counted and by how much softer the second loudest voice is."""
    frame, near = round(FRAME_SECONDS * rate), round(LEVEL_SECONDS / FRAME_SECONDS)
    powers = voices[:, : len(odds) * frame].reshape(len(voices), len(odds), frame).square().mean(2)
    weights = torch.hann_window(near + 3, periodic=False)[1:-1]  # as many before as after
    around = torch.nn.functional.conv1d(powers[:, None], weights[None, None], padding="same")[:, 0]
    levels = 10 * (around.sort(0, descending=True).values[:2] + 1e-12).log10()
    constant, counted, level = LEVEL_ODDS
    return torch.where(
        odds > NOT_COUNTED, constant + counted * odds + level * (levels[1] - levels[0]), NOT_COUNTED
    )


def _loudest(voices: Float[Tensor, "voice time"], place: tuple[int, int], rate: int) -> Int[np.ndarray, " 2"]:
    """Numbers of the two voices that are loudest in a stretch, in their order."""
    start, stop = (round(frame * FRAME_SECONDS * rate) for frame in place)
    powers = voices[:, start:stop].square().sum(1)
    return powers.topk(2).indices.sort().values.numpy()


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


def _segmented(
    segmenter: Segmenter, samples: Float[Tensor, " time"], sample_rate: int
) -> tuple[Bool[Tensor, " frame"], Float[Tensor, " frame"]]:
    """Where somebody speaks, and the log-odds that several do.

    Each moment is heard several times; how probable talkers are, as if each spoke by himself, is averaged, and what is
    near the middle of what is heard counts more.
    """
    frames = int(len(samples) / (FRAME_SECONDS * sample_rate) + 1e-6)
    if not frames:
        return torch.zeros(0, dtype=torch.bool), torch.zeros(0)
    samples = resample(samples, sample_rate, segmenter.sample_rate)
    length = min(round(segmenter.seconds * segmenter.sample_rate), len(samples))
    starts = [*range(0, len(samples) - length, max(1, length // SEGMENTED_HOPS)), len(samples) - length]
    talks = segmenter(torch.stack([samples[start : start + length] for start in starts])).cpu()
    anybody = 1 - (1 - talks).prod(2)
    likely = torch.stack([anybody, talks.sum(2) - anybody], 2)
    near = torch.hann_window(likely.shape[1] + 2, periodic=False)[1:-1, None]
    total, weight = torch.zeros(frames, 2), torch.zeros(frames, 1)
    middles = FRAME_SECONDS * (torch.arange(frames) + 0.5) - segmenter.first_seconds
    for start, each in zip(starts, likely, strict=True):
        nearest = ((middles - start / segmenter.sample_rate) / segmenter.frame_seconds).round().long()
        inside = (nearest >= 0) & (nearest < len(each))
        total[inside] += (each * near)[nearest[inside]]
        weight[inside] += near[nearest[inside]]
    anybody, several = (total / weight.clamp(min=1e-9)).clamp(min=0).unbind(1)
    odds = (several.clamp(min=1e-4) / (anybody - several).clamp(min=1e-4)).log()
    return anybody > SEGMENTED, odds


def _flags(spans: Sequence[Span], frames: int) -> Bool[Tensor, " frame"]:
    flags = torch.zeros(frames, dtype=torch.bool)
    for span in spans:
        flags[max(0, round(span.start / FRAME_SECONDS)) : max(0, round(span.end / FRAME_SECONDS))] = True
    return flags


def _length(place: tuple[int, int]) -> int:
    return place[1] - place[0]


def _cut(samples: Float[Tensor, " time"], begin: int, end: int, rate: int) -> Float[Tensor, " time"]:
    """What is between two frames; never silent, so that networks have something to hear."""
    start = round(begin * FRAME_SECONDS * rate)
    length = round((end - begin) * FRAME_SECONDS * rate)
    piece = torch.nn.functional.pad(
        samples[start : start + length], (0, max(0, start + length - len(samples)))
    )
    return (
        piece
        if piece.any()
        else piece + 1e-6 * torch.randn(length, generator=torch.Generator().manual_seed(0))
    )


def _embedded(
    embedder: Embedder, samples: Float[Tensor, " time"], places: list[tuple[int, int]]
) -> list[Float[np.ndarray, "vector dimension"]]:
    """Vectors of these places, which come in the order of their lengths, those of one length some at once."""
    vectors, start = [], 0
    while start < len(places):
        some = [
            place for place in places[start : start + AT_ONCE] if _length(place) == _length(places[start])
        ]
        batch = torch.stack([_cut(samples, begin, end, embedder.sample_rate) for begin, end in some])
        vectors.append(embedder(batch).cpu().numpy())
        start += len(some)
    return vectors
