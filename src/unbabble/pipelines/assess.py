"""What a speaker makes of the phones of a prompt, beside what the recogniser makes of typical speakers.

A recogniser errs too: what it takes for another phone may have been said well. So each rate of errors stands beside
that of speakers without any disorder, measured on recordings that the recogniser has not learnt from; it is kept in the
card of its weights (``typical_errors``).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unbabble.base.errors import InputError, UsageError
from unbabble.networks import load as networks
from unbabble.networks.device import choose_device
from unbabble.nn.kinds.recognizer import NeuralRecognizer, Posteriors
from unbabble.pipelines.recognize import KIND, recognizer_name
from unbabble.pipelines.recording import Recording
from unbabble.signal.statistics import bootstrap
from unbabble.text import language_models
from unbabble.text.goodness import goodness
from unbabble.text.normalise import words
from unbabble.text.prompt import Said, align_prompt
from unbabble.text.pronounce import Pronouncer, read_dictionary

MOST_SECONDS = 120.0
"""Of a recording: a prompt is a few sentences."""
UNFIT = 0.75
"""Share of phones that are wrong, above which a prompt may be that of another recording. (Of 24 utterances of dev
speakers at most .24 are wrong with their own prompts, and in 99 of 100 cases more than .76 with each other's.)"""
WEAKEST = 5
"""Phones that are named."""


@dataclass(frozen=True)
class PhoneErrors:
    """What became of one phone of a prompt, wherever it stood.

    Attributes:
        phone: of CMUdict.
        count: how often it was to be said.
        right: how often it was.
        substituted: how often each other phone stood in its place.
        deleted: how often nothing did.
        goodness: mean, from 0 to 1 (``text.goodness``).
        typical: share of errors that the recogniser finds in typical speakers; None where nobody measured it.
    """

    phone: str
    count: int
    right: int
    substituted: dict[str, int]
    deleted: int
    goodness: float
    typical: float | None


@dataclass(frozen=True)
class Assessment:
    """How a prompt was said.

    Attributes:
        prompt: its words.
        phones: of the prompt and beside it, in order.
        goodness: of each of ``phones`` that was expected, from 0 to 1; None for what was said too much.
        error_rate: substitutions, deletions and insertions over phones of the prompt.
        interval: that holds it 95 times in 100, by bootstrap over words.
        typical: the same rate for typical speakers; None where nobody measured it.
        typical_phones: by phone, as ``PhoneErrors.typical``.
    """

    prompt: tuple[str, ...]
    phones: tuple[Said, ...]
    goodness: tuple[float | None, ...]
    error_rate: float
    interval: tuple[float, float]
    typical: float | None = None
    typical_phones: Mapping[str, float] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether it seems to be what was to be said, well or badly."""
        return self.error_rate <= UNFIT

    def weakest(self, most: int = WEAKEST) -> list[dict[str, Any]]:
        """The phones of the prompt that were said worst: each with its word, what came out, and its goodness."""
        rows = [
            {"word": self.prompt[each.word], "phone": each.expected, "said": each.said, "goodness": good}
            for each, good in zip(self.phones, self.goodness, strict=True)
            if good is not None
        ]
        return sorted(rows, key=lambda row: row["goodness"])[:most]

    @property
    def inserted(self) -> dict[str, int]:
        """How often each phone was said where nothing was expected."""
        return dict(Counter(each.said for each in self.phones if each.expected is None and each.said))

    def by_phone(self) -> list[PhoneErrors]:
        """Of each phone of the prompt, those with most errors first."""
        rows = []
        for phone in sorted({each.expected for each in self.phones if each.expected}):
            here = [
                (each, good)
                for each, good in zip(self.phones, self.goodness, strict=True)
                if each.expected == phone
            ]
            others = Counter(each.said for each, _ in here if each.said and not each.right)
            rows.append(
                PhoneErrors(
                    phone,
                    len(here),
                    sum(each.right for each, _ in here),
                    dict(others.most_common()),
                    sum(each.said is None for each, _ in here),
                    float(np.mean([good for _, good in here if good is not None])),
                    self.typical_phones.get(phone),
                )
            )
        return sorted(rows, key=lambda row: (row.right - row.count, row.phone))

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        phones = [
            asdict(each) | {"goodness": good} for each, good in zip(self.phones, self.goodness, strict=True)
        ]
        return {
            "prompt": " ".join(self.prompt),
            "phone_error_rate": self.error_rate,
            "interval": list(self.interval),
            "typical_phone_error_rate": self.typical,
            "weakest": self.weakest(),
            "by_phone": [asdict(row) for row in self.by_phone()],
            "inserted": self.inserted,
            "phones": phones,
        }


@dataclass(frozen=True)
class Assessor:
    """A recogniser of phones that assesses recordings.

    Attributes:
        name: of the recogniser.
        network: on its device.
        pronouncer: how words are spoken.
        typical: what its card says of typical speakers.
    """

    name: str
    network: NeuralRecognizer
    pronouncer: Pronouncer
    typical: Mapping[str, float]

    def __call__(self, recording: Recording, prompt: str) -> Assessment:
        """How a prompt was said: ``assess``."""
        return assess(recording, prompt, self.network, self.pronouncer, self.typical)


@lru_cache(maxsize=2)
def load_assessor(name: str, device: str = "auto", dictionary: Path | None = None) -> Assessor:
    """What assesses recordings.

    Args:
        name: of a recogniser of phones, or ``auto``.
        device: auto, cpu, cuda ...
        dictionary: pronunciations, as CMUdict is written; those of the packaged language model where there is none.

    Raises:
        InputError: weights or pronunciations that are missing or damaged.
        UsageError: no such model or device, or one that knows no phones.
    """
    name = recognizer_name(name)
    weighted = networks.load(name, KIND)
    if "phones" not in weighted.network.targets:
        raise UsageError(f"Model '{name}' knows no phones: assess by one that does.")
    spoken = language_models.dictionary() if dictionary is None else read_dictionary(dictionary)
    return Assessor(
        name,
        weighted.network.to(choose_device(device)),
        Pronouncer({word: list(rows) for word, rows in spoken.items()}),
        weighted.card.typical_errors,
    )


def assess(
    recording: Recording,
    prompt: str,
    network: NeuralRecognizer,
    pronouncer: Pronouncer,
    typical: Mapping[str, float] | None = None,
) -> Assessment:
    """How a prompt was said.

    Args:
        recording: of one speaker; of several microphones the loudest is heard.
        prompt: what was to be said.
        network: a recogniser of phones, that has them among its ``targets``.
        pronouncer: how words are spoken.
        typical: share of phones that are wrong of typical speakers, by phone and of ``all``.

    Raises:
        InputError: the recording is longer than ``MOST_SECONDS``, or too short for the prompt.
        UsageError: a prompt without words.
    """
    prompted = tuple(words(prompt))
    if not prompted:
        raise UsageError("The prompt has no words.")
    if recording.seconds > MOST_SECONDS:
        raise InputError(
            f"A prompt lasts at most {MOST_SECONDS:g} s; the recording is {recording.seconds:.0f} s long."
        )
    heard = _phones(recording, network)
    said = _greedy(heard)
    row = align_prompt([pronouncer.of(word) for word in prompted], said)
    numbers = {phone: number for number, phone in enumerate(heard.tokens.inventory, 1)}
    good = iter(goodness(heard.log_probs, [numbers[each.expected] for each in row if each.expected]).tolist())
    rate, low, high = _error_rate(row, len(prompted))
    typical = typical or {}
    return Assessment(
        prompted,
        tuple(row),
        tuple(next(good) if each.expected else None for each in row),
        rate,
        (low, high),
        typical.get("all"),
        typical,
    )


@torch.no_grad()
def _phones(recording: Recording, network: NeuralRecognizer) -> Posteriors:
    samples = recording.at(network.sample_rate)
    loudest = samples[recording.heard.square().sum(1).argmax()][None]
    device = next(network.parameters()).device
    (posteriors,) = network.posteriors(loudest.to(device), torch.tensor([loudest.shape[1]], device=device))
    return posteriors["phones"]


def _greedy(heard: Posteriors) -> list[str]:
    best = heard.log_probs.argmax(1)
    kept = best[np.concatenate([[True], best[1:] != best[:-1]])]
    return [heard.tokens.inventory[number - 1] for number in kept if number]


def _error_rate(row: Sequence[Said], count: int) -> tuple[float, float, float]:
    """Errors over phones of the prompt, and the interval by bootstrap over its words."""
    expected, wrong = np.zeros(count), np.zeros(count)
    for each in row:
        word = max(each.word, 0)
        expected[word] += each.expected is not None
        wrong[word] += not each.right
    return bootstrap(np.stack([wrong, expected], 1), _share)


def _share(drawn: np.ndarray, axis: int) -> np.ndarray:
    wrong, expected = np.moveaxis(drawn.sum(axis), -1, 0)
    return wrong / np.maximum(expected, 1)
