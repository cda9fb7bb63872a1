"""What is said in a recording of any length, in memory of one window: its words, when and how surely.

    recording -> windows of at most 20 s, cut at their longest pause -> speech? -> recogniser -> words of the recording

A recording that fits a window is recognised as it is. A window in which nobody speaks is never recognised, and a word
that was recognised where nobody speaks is left out: recognisers, those with a decoder above all, write words into
silence and noise. So are all words of a window of which the recogniser itself is not sure. What a decoder repeats
without end is cut. No window knows what was recognised in others.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unbabble.base import notes
from unbabble.base.contracts import Recognizer
from unbabble.base.spans import Span
from unbabble.jobs.progress import report_stage
from unbabble.pipelines import choose, pieces, separate
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.tracks import separate_long
from unbabble.pipelines.traits import load_traits
from unbabble.signal.activity import FRAME_SECONDS, is_speech, runs
from unbabble.signal.rumble import without_rumble

WINDOW_SECONDS, LEAST_WINDOW_SECONDS = 20.0, 8.0
SOFT_SECONDS = 0.3
"""Of the part of a window that is looked for to cut it; pauses have at least this length, too."""
MARGIN_SECONDS = 0.3
"""So far from speech a recognised word may lie: the times of both are inexact."""
LEAST_CONFIDENCE = 0.4
"""Mean over the words of a window, below which it is no speech, for recognisers whose confidences are not calibrated.
Others bring their own (``text.confidence.Calibration.least``)."""
NOBODY_SPEAKS = "Nobody speaks in the recording."
MOST_REPEATS = {1: 8}
OTHERS_REPEATED = 4
"""How often one word, and how often a phrase of several, is written in a row."""
LONGEST_PHRASE = 10
"""Words of a phrase that is looked for again."""


@dataclass
class Transcription:
    """What is said in a recording.

    Attributes:
        words: of each speaker in the order of time, times in seconds of the recording.
        audio_seconds: duration of the recording.
        speech_seconds: of it in which somebody speaks.
        left_out: how many words were recognised in windows that are too unsure, or again and again.
        warnings: what the user should know.
    """

    words: list[Span]
    audio_seconds: float = 0.0
    speech_seconds: float = 0.0
    left_out: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The words."""
        return " ".join(word.text for word in self.words)


Progress = Callable[[float, float | None], None]


def transcribe(
    recognizer: Recognizer,
    recording: Recording,
    *,
    speaker: str | None = None,
    progress: Progress | None = None,
) -> Transcription:
    """What is said in a recording, all its channels together.

    Args:
        recognizer: a network that is ready, or whatever keeps the contract.
        recording: of any length; of silence, noise and what is too short to hold a word comes no word.
        speaker: to whom all words belong, if that is known.
        progress: called after each window with the seconds that are done, and those of the recording if known.

    Raises:
        InputError: the recording cannot be read.
    """
    result, rate, least = Transcription([]), recognizer.sample_rate, least_confidence(recognizer)
    for start, samples in windows(mono(recording, rate), rate):
        recognized, spoken = of_window(recognizer, samples)
        words = without_loops(recognized) if confidence(recognized) >= least else []
        result.words += [word.later(start) for word in words]
        result.left_out += len(recognized) - len(words)
        result.speech_seconds += float(spoken.sum()) * FRAME_SECONDS
        result.audio_seconds = start + len(samples) / rate
        if progress is not None:
            progress(result.audio_seconds, recording.info.seconds)
    if speaker is not None:
        result.words = [Span(each.start, each.end, each.text, speaker, each.score) for each in result.words]
    notes.add(result.warnings, recording.info.warnings)
    if not result.speech_seconds:
        result.warnings.append(NOBODY_SPEAKS)
    return result


def transcribe_separated(
    recognizer: Recognizer,
    recording: Recording,
    separator: "separate.Model | choose.AutoModel",
    progress: Progress | None = None,
) -> Transcription:
    """What each voice of a recording says: it is separated first, and each voice recognised by itself.

    Returns:
        The words of ``speaker1``, whose voice is the loudest, then those of ``speaker2`` ...

    Raises:
        InputError: the recording cannot be read.
    """
    if not recording.live:
        return transcribe(recognizer, recording)
    with tempfile.TemporaryDirectory(prefix="unbabble-") as folder:
        report_stage("separating")
        voices, warnings = _voices(recording, separator, Path(folder))
        parts = []
        for number, voice in enumerate(voices, 1):
            report_stage(f"speaker{number} of {len(voices)}")
            parts.append(transcribe(recognizer, voice, speaker=f"speaker{number}", progress=progress))
    result = Transcription([word for part in parts for word in part.words], warnings=warnings)
    result.audio_seconds = max(part.audio_seconds for part in parts)
    result.speech_seconds = sum(part.speech_seconds for part in parts)
    result.left_out = sum(part.left_out for part in parts)
    return result


def _voices(recording: Recording, separator: Any, folder: Path) -> tuple[list[Recording], list[str]]:
    """Each voice as a recording, and what the user should know; those of long recordings are in ``folder``."""
    piece = separator.piece_seconds(recording)
    if not pieces.is_long(recording.info, piece):
        separation = separator(recording)
        return [
            Recording.of(voice, separation.sample_rate) for voice in separation.sources
        ], separation.warnings
    model = separator.decided(recording)[0] if isinstance(separator, choose.AutoModel) else separator
    segment = pieces.segment_seconds(recording.info, piece)
    long = separate_long(model, recording, folder, segment=segment, embedder=load_traits(str(model.device)))
    return [Recording.open(path) for path in long.outputs], long.warnings


def mono(recording: Recording, rate: int) -> Iterator[Float[Tensor, " time"]]:
    """The mean of all channels, resampled, piece by piece."""
    stream = soxr.ResampleStream(recording.sample_rate, rate, 1, dtype="float32")
    for block in recording.blocks(WINDOW_SECONDS):
        mean = block.mean(0).numpy()
        yield torch.from_numpy(stream.resample_chunk(mean) if rate != recording.sample_rate else mean)
    if rate != recording.sample_rate:
        yield torch.from_numpy(stream.resample_chunk(np.zeros(0, np.float32), last=True))


def live(recording: Recording, rate: int) -> Iterator[Float[Tensor, "channel time"]]:
    """The channels that carry sound, resampled, piece by piece."""
    channels = recording.live
    stream = soxr.ResampleStream(recording.sample_rate, rate, len(channels), dtype="float32")
    for block in recording.blocks(WINDOW_SECONDS):
        block = block[channels]
        if rate != recording.sample_rate:
            block = torch.from_numpy(stream.resample_chunk(block.T.contiguous().numpy())).T
        yield block
    if rate != recording.sample_rate:
        rest = stream.resample_chunk(np.zeros((0, len(channels)), np.float32), last=True)
        yield torch.from_numpy(rest).T


def windows(
    blocks: Iterator[Float[Tensor, "*channel time"]], rate: int
) -> Iterator[tuple[float, Float[Tensor, "*channel time"]]]:
    """A recording in windows of at most 20 s, each with the second at which it begins; nothing is lost or comes twice.

    Args:
        blocks: the recording, in pieces of any length.
        rate: in Hz.
    """
    held, start = None, 0
    length = round(WINDOW_SECONDS * rate)
    for block in blocks:
        held = block if held is None else torch.cat([held, block], -1)
        while held.shape[-1] > length:
            piece = held[..., :length]
            cut = _cut(piece if piece.ndim == 1 else piece.mean(0), rate)
            yield start / rate, held[..., :cut].clone()
            held, start = held[..., cut:], start + cut
    if held is not None and held.shape[-1]:
        yield start / rate, held


def _cut(samples: Float[Tensor, " time"], rate: int) -> int:
    """Where a window ends: in the middle of its longest pause, or of its softest part if there is none."""
    frame = round(FRAME_SECONDS * rate)
    least, soft = round(LEAST_WINDOW_SECONDS / FRAME_SECONDS), round(SOFT_SECONDS / FRAME_SECONDS)
    if pauses := runs(~is_speech(samples, rate)[least:]):
        begin, end = max(pauses, key=lambda pause: (pause[1] - pause[0], pause[0]))
        if end - begin >= soft:
            return (least + (begin + end) // 2) * frame
    powers = samples[: len(samples) // frame * frame].reshape(-1, frame).square().mean(1)[least:]
    return (least + int(powers.unfold(0, soft, 1).mean(1).argmin()) + soft // 2) * frame


def of_window(
    recognizer: Recognizer, samples: Float[Tensor, " time"]
) -> tuple[list[Span], Bool[Tensor, " frame"]]:
    """Words that a recogniser writes into a window where somebody speaks, and where that is (``signal.activity``).

    Args:
        recognizer: is not asked where nobody speaks.
        samples: at its rate.
    """
    spoken = is_speech(samples, recognizer.sample_rate)
    if not spoken.any():
        return [], spoken
    (transcript,) = recognizer(without_rumble(samples[None], recognizer.sample_rate)[0])

    def frame(seconds: float) -> int:
        return max(0, round(seconds / FRAME_SECONDS))

    words = [
        word
        for word in transcript.words
        if spoken[frame(word.start - MARGIN_SECONDS) : frame(word.end + MARGIN_SECONDS) + 1].any()
    ]
    return words, spoken


def least_confidence(recognizer: Recognizer) -> float:
    """The mean confidence of a window below which a recogniser's words are no speech."""
    chosen = getattr(recognizer, "least_confidence", None)
    return LEAST_CONFIDENCE if chosen is None else chosen


def confidence(words: Sequence[Span]) -> float:
    """The mean over words; 1 where nothing is known of any."""
    scores = [word.score for word in words if word.score is not None]
    return sum(scores) / len(scores) if scores else 1.0


def without_loops(words: Sequence[Span]) -> list[Span]:
    """Words without what is said again and again in a row: one word eight times, and a phrase four times, are left.

    >>> " ".join(
    ...     word.text for word in without_loops([Span(k, k + 1, "so on"[k % 2 * 3 :][:2]) for k in range(20)])
    ... )
    'so on so on so on so on'
    """
    kept: list[Span] = []
    for word in words:
        kept.append(word)
        for length in range(1, LONGEST_PHRASE + 1):
            most = MOST_REPEATS.get(length, OTHERS_REPEATED)
            last = [each.text for each in kept[-length * (most + 1) :]]
            if len(last) == length * (most + 1) and last == last[:length] * (most + 1):
                del kept[-length:]
                break
    return kept
