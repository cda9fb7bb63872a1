"""Were these sentences read aloud, perhaps all at once? By recognition, of a recording of one or two people.

    recording -> itself, and two voices -> phones' posteriors -> how probable is a sentence, by CTC?
                                                                 and as many phones of other sentences?

*Evidence* for a sentence is by how much its phones are more probable than as many phones of other sentences, in nats a
phone, in the voice in which that is most. So neither the room nor the separator matters much, both of which make all
sentences less probable. No word is searched for: what overlaps is recognised badly, and yet better as what it is than
as anything else.

A frame in which another voice is left over would rule out any sentence; so all probabilities are mixed with a little of
the phones' mean ones. The least evidence was chosen on dev speakers (``benchmarks/results/both_sentences_dev.md``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.errors import UsageError
from unbabble.nn.kinds.recognizer import NeuralRecognizer, Posteriors
from unbabble.pipelines import separate
from unbabble.pipelines.assess import load_assessor
from unbabble.pipelines.recording import Recording
from unbabble.text.ctc import frames_needed, log_probabilities
from unbabble.text.normalise import words
from unbabble.text.pronounce import Pronouncer

SEPARATOR = "sepformer.2talkers_8k"
LEAST_EVIDENCE = 0.5
"""In nats a phone; with less, a sentence was not read."""
MEAN_SHARE = 0.05
"""Of the phones' mean probabilities in those of each frame."""
OTHERS = 40
"""Rows of phones of other sentences."""


@dataclass(frozen=True)
class Reader:
    """Follows sentences in recordings.

    Attributes:
        network: a recogniser of phones, on its device.
        pronouncer: how words are spoken.
        separator: of two voices.
    """

    network: NeuralRecognizer
    pronouncer: Pronouncer
    separator: separate.Model

    def __call__(self, recording: Recording, sentences: Sequence[str], others: Sequence[str]) -> list[float]:
        """Evidence for each sentence, in nats a phone; -inf where the recording is too short for it.

        Args:
            recording: of one person or two, who may speak at once.
            sentences: what was to be read, at least a word each.
            others: sentences that were not read; at least one.

        Raises:
            InputError: the recording cannot be read or separated.
            UsageError: a sentence without words, or no other ones.
        """
        rows = [self._phones(sentence) for sentence in sentences]
        given = [words(sentence) for sentence in sentences]
        rest = [phone for each in others if words(each) not in given for phone in self._phones(each)]
        if not all(rows) or not rest:
            raise UsageError("Sentences are followed that have words, and beside others.")
        voices = [self._heard(voice) for voice in self._voices(recording)]
        return [max(evidence(voice, row, rest) for voice in voices) for row in rows]

    def _phones(self, sentence: str) -> list[int]:
        """Numbers of the phones of a sentence, each word in its first pronunciation."""
        numbers = {phone: number for number, phone in enumerate(self._inventory, 1)}
        return [numbers[phone] for word in words(sentence) for phone in self.pronouncer.of(word)[0]]

    @property
    def _inventory(self) -> tuple[str, ...]:
        return tuple(self.network.targets["phones"].inventory)

    def _voices(self, recording: Recording) -> list[Float[Tensor, " time"]]:
        """The recording as it is, and its voices, at the recogniser's rate."""
        rate = self.network.sample_rate
        separated = self.separator(recording)
        apart = Recording.of(separated.sources, separated.sample_rate)
        return [recording.at(rate).mean(0), *apart.at(rate)]

    @torch.no_grad()
    def _heard(self, voice: Float[Tensor, " time"]) -> Float[np.ndarray, "frame phone"]:
        """Log-probabilities of the phones, none of which is ruled out by a frame."""
        device = next(self.network.parameters()).device
        length = torch.tensor([len(voice)], device=device)
        (posteriors,) = self.network.posteriors(voice[None].to(device), length)
        return softened(posteriors["phones"])


def load_reader(model: str = "auto", device: str = "auto") -> Reader:
    """What follows sentences.

    Args:
        model: a recogniser of phones.
        device: auto, cpu, cuda ...

    Raises:
        InputError: weights or pronunciations that are missing or damaged.
        UsageError: no such model or device, or one that knows no phones.
    """
    recogniser = load_assessor(model, device)
    return Reader(recogniser.network, recogniser.pronouncer, separate.load(SEPARATOR, device))


def softened(heard: Posteriors) -> Float[np.ndarray, "frame phone"]:
    """Log-probabilities with a share of the phones' mean ones in each frame."""
    mean = np.exp(heard.log_prior.astype(np.float64))
    probabilities = np.exp(heard.log_probs.astype(np.float64))
    return np.log((1 - MEAN_SHARE) * probabilities + MEAN_SHARE * mean / mean.sum())


def evidence(log_probs: Float[np.ndarray, "frame phone"], row: Sequence[int], others: Sequence[int]) -> float:
    """By how much a row of phones is more probable than rows of others of the same length, in nats a phone.

    Args:
        log_probs: natural, the blank in column 0.
        row: at least one phone.
        others: phones of other sentences one after the other, from which the other rows are cut.

    Returns:
        -inf where the recording is too short for the row.
    """
    if frames_needed(row) > len(log_probs):
        return -np.inf
    length = len(row)
    many = np.resize(np.array(others), max(len(others), length + OTHERS))
    starts = np.linspace(0, len(many) - length, OTHERS).astype(int)
    rows = np.array([row, *(many[start : start + length] for start in starts)])
    own, *rest = log_probabilities(log_probs, rows)
    possible = [each for each in rest if np.isfinite(each)]
    return float(own - np.mean(possible)) / length if possible else -np.inf
