"""What recognisers make of test speech: errors of each speaker, which add up, and how long it took."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.kit.scenes import DATA, RATE
from unbabble.base.spans import Transcript
from unbabble.data.transcribed import Spoken, Transcribed
from unbabble.nn.kinds.recognizer import NeuralRecognizer
from unbabble.signal.statistics import Estimate, ratio
from unbabble.text.errors import Errors, character_errors, word_errors

BOUNDS_SECONDS = (0.3, 60.0)
UNITS = ("words", "characters", "phones")
Counts = dict[str, dict[str, list[int]]]
"""By unit and speaker: errors, and units of the reference."""


def spoken(split: str, most: int, dictionary: str | None = None) -> list[Spoken]:
    """The first utterances of a split, with their phones where there is a dictionary."""
    items = Transcribed((DATA / "speech.csv",), split, BOUNDS_SECONDS, dictionary=dictionary).open(0)
    return [items[number] for number in range(min(most, len(items.lengths)))]


@torch.no_grad()
def recognized(
    recognise: Callable[[Tensor], list[Transcript]],
    utterances: Sequence[Spoken],
    network: NeuralRecognizer | None = None,
) -> tuple[Counts, float]:
    """Errors, and processor seconds for each second of speech.

    Args:
        recognise: from (1, time) to a transcript.
        utterances: at least one.
        network: is asked for its phones, too.
    """
    errors: dict[str, defaultdict[str, Errors]] = {unit: defaultdict(Errors) for unit in UNITS}
    took = 0.0
    for each in utterances:
        waveform = torch.from_numpy(each.waveform)[None]
        began = time.process_time()
        (transcript,) = recognise(waveform)
        took += time.process_time() - began
        errors["words"][each.speaker] += word_errors(each.text, transcript.text)
        errors["characters"][each.speaker] += character_errors(each.text, transcript.text)
        if network is not None and "phones" in network.targets:
            (written,) = network.hypotheses(waveform, torch.tensor([waveform.shape[1]]))["phones"]
            phones = " ".join(phone.token for phone in written)
            errors["phones"][each.speaker] += word_errors(each.phones, phones)
    counts = {
        unit: {speaker: [each.count, each.reference] for speaker, each in of_all.items()}
        for unit, of_all in errors.items()
        if of_all
    }
    return counts, took * RATE / sum(len(each.waveform) for each in utterances)


def error_rate(counts: Counts, unit: str) -> Estimate:
    """In per cent, of draws of speakers."""
    wrong, all_ = np.array(list(counts[unit].values()), float).T
    return ratio(100 * wrong, all_)


def gain(worse: Counts, better: Counts, unit: str = "words") -> Estimate:
    """By how many per cent fewer units are wrong, of draws of speakers: those that both have."""
    speakers = worse[unit].keys() & better[unit].keys()
    wrong = [worse[unit][speaker][0] - better[unit][speaker][0] for speaker in sorted(speakers)]
    return ratio(100 * np.array(wrong, float), [worse[unit][speaker][1] for speaker in sorted(speakers)])
