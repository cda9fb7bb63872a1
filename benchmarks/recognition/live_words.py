"""How late are words written while a recording arrives, how many of them change, and how many are wrong?

Utterances of speakers that nothing has learnt from, one after another with pauses of 1 to 3 s of soft noise, arrive in
pieces of .1 s. A word's delay is from its end, by the recogniser's own times, to the arrival of the sound with which it
is *shown* (the first time, there and as it stays) or *settled*, and the processor time of that step. *Changed*: of all
words that are shown, those that do not stay. Errors, with intervals drawn by speaker, beside those of ``transcribe`` on
the same recording. With ``--others``: what each of the times of ``Timing`` is good for.

    python -m benchmarks live_words
    python -m benchmarks live_words --split dev --count 12 --others --name live_words_dev
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.kit.table import grid, made_by, page
from benchmarks.recognition._heard import RATE, utterances_of
from unbabble.base import audio
from unbabble.base.spans import Span
from unbabble.data.corpora import Utterance as Read
from unbabble.pipelines.live_words import LiveTranscriber, Timing, Utterance
from unbabble.pipelines.recognize import Recognizer, load_recognizer
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.transcribe import transcribe
from unbabble.signal.statistics import ratio
from unbabble.text.errors import Errors, word_errors
from unbabble.text.normalise import words

QUICK = {"count": 2}
NAMES = ["live_words", "live_words_dev"]
SEED = 0
PAUSE_SECONDS, NOISE = (1.0, 3.0), 0.003
"""Noise is so much softer than the utterance before it."""
BLOCK_SECONDS = 0.1
PLACE_SECONDS = 0.3
"""A word that begins so much earlier or later is the same word at the same place."""
OTHERS = {
    "as it is": Timing(),
    "4 s of context": Timing(context=4.0),
    "16 s of context": Timing(context=16.0),
    "0.4 s ahead": Timing(ahead=0.4),
    "1.2 s ahead": Timing(ahead=1.2),
    "shown at once": Timing(unripe=0.0),
    "shown 0.6 s later": Timing(unripe=0.6),
    "no first seconds": Timing(first=0.0),
    "a pause of 0.8 s": Timing(pause=0.8),
}


@dataclass(frozen=True)
class Joined:
    """Utterances one after another."""

    samples: Tensor
    parts: list[tuple[float, Read]]
    """Where each begins, in seconds."""

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE

    def errors(self, said: list[Span]) -> tuple[float, float, float]:
        """In per cent, of the words of each speaker's utterances and the pauses behind them."""
        starts = np.array([start for start, _ in self.parts])
        texts = defaultdict(list)
        for word in said:
            texts[max(0, int(np.searchsorted(starts, (word.start + word.end) / 2)) - 1)].append(word.text)
        sums: defaultdict[str, Errors] = defaultdict(Errors)
        for number, (_, each) in enumerate(self.parts):
            sums[each.speaker] += word_errors(" ".join(words(each.text)), " ".join(texts[number]))
        return ratio([100 * each.count for each in sums.values()], [each.reference for each in sums.values()])


def joined(split: str, count: int) -> Joined:
    """So many utterances of a split, from all its speakers."""
    every = [each for each, _ in utterances_of(split)]
    rng, parts, pieces, length = np.random.default_rng(SEED), [], [], 0
    for each in every[:: max(1, len(every) // count)][:count]:
        read = audio.read(each.path)
        samples = audio.resample(read.samples[0], read.sample_rate, RATE)
        pause = round(rng.uniform(*PAUSE_SECONDS) * RATE)
        noise = torch.from_numpy(rng.normal(0, NOISE * float(samples.std()), pause)).float()
        parts.append((length / RATE, each))
        pieces += [samples, noise]
        length += len(samples) + pause
    return Joined(torch.cat(pieces), parts)


Change = tuple[float, Utterance]
"""What is shown, and when."""


def listened(recognizer: Recognizer, recording: Joined, timing: Timing) -> tuple[list[Change], float]:
    """All that is shown, and the processor time."""
    live, changes, spent, place = LiveTranscriber(recognizer, RATE, timing=timing), [], 0.0, 0
    for block in [*recording.samples.split(round(BLOCK_SECONDS * RATE)), None]:
        place += 0 if block is None else len(block)
        began = time.process_time()
        made = live.flush() if block is None else live.push(block)
        took = time.process_time() - began
        spent += took
        changes += [(place / RATE + took, each) for each in made]
    return changes, spent


def same(one: Span, other: Span) -> bool:
    return one.text == other.text and abs(one.start - other.start) <= PLACE_SECONDS


def row(recognizer: Recognizer, recording: Joined, timing: Timing) -> dict:
    changes, spent = listened(recognizer, recording, timing)
    said, shown, settled, count, gone, going_on = [], [], [], 0, 0, []
    for moment, change in changes:
        going_on.append((moment, change))
        if not change.ended:
            continue
        before: tuple[Span, ...] = ()
        for _, each in going_on:
            new = [word for word in each.words if not any(same(word, other) for other in before)]
            count, before = count + len(new), each.words
            gone += sum(not any(same(word, other) for other in change.words) for word in new)
        for number, word in enumerate(change.words):
            first = next(when for when, each in going_on if any(same(word, other) for other in each.words))
            shown.append(first - word.end)
            settled.append(next(when for when, each in going_on if each.settled > number) - word.end)
        said += change.words
        going_on = []
    return {
        "wer": recording.errors(said),
        "words": len(said),
        "utterances": sum(each.ended for _, each in changes),
        "shown": spread(shown),
        "settled": spread(settled),
        "changed": gone / max(1, count),
        "x_real_time": spent / recording.seconds,
    }


def spread(seconds: list[float]) -> tuple[float, float]:
    """The mean, and what 95 in 100 do not exceed."""
    return (float(np.mean(seconds)), float(np.quantile(seconds, 0.95))) if seconds else (0.0, 0.0)


def measure(
    model: str = "auto", split: str = "test", count: int = 40, others: bool = False
) -> Iterator[dict]:
    """Row by row.

    Args:
        model: a recogniser of phones.
        count: utterances.
        others: also measure other times than those that were chosen.
    """
    recognizer, recording = load_recognizer(model, "cpu"), joined(split, count)
    result: dict = {
        "split": split,
        "seconds": recording.seconds,
        "utterances": len(recording.parts),
        "rows": {},
    }
    began = time.process_time()
    whole = transcribe(recognizer, Recording.of(recording.samples, RATE))
    result["transcribe"] = {
        "wer": recording.errors(whole.words),
        "x_real_time": (time.process_time() - began) / recording.seconds,
    }
    for name, timing in OTHERS.items() if others else list(OTHERS.items())[:1]:
        result["rows"][name] = row(recognizer, recording, timing)
        print(name, result["rows"][name], flush=True)
        yield result


def table(result: dict) -> str:
    cells = "{name} | {wer[0]:.1f} ({wer[1]:.1f} to {wer[2]:.1f}) | {shown[0]:.2f}, {shown[1]:.2f} | "
    cells += "{settled[0]:.2f}, {settled[1]:.2f} | {changed:.1f} | {x_real_time:.3f}"
    rows = {name: each | {"changed": 100 * each["changed"]} for name, each in result["rows"].items()}
    whole = result["transcribe"]
    wer = "{:.1f} ({:.1f} to {:.1f})".format(*whole["wer"])
    return page(
        f"{result['utterances']} utterances of speakers of {result['split']} one after another, "
        f"{result['seconds'] / 60:.1f} minutes with their pauses. `transcribe`, which has the whole recording, has "
        f"{wer} % of the words wrong, and takes {whole['x_real_time']:.3f} of real time.",
        grid(
            "stream --transcribe | words wrong, % | shown after, s: mean, 95 % | settled after, s: mean, 95 % "
            "| changed, % | x real time",
            rows,
            cells,
        ),
        made_by(result),
    )
