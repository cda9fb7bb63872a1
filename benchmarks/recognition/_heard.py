"""Utterances, and all that a network says of them, computed once for every search."""

from dataclasses import dataclass

import torch

from benchmarks.kit.scenes import DATA, speech
from unbabble.base import audio
from unbabble.data import corpora
from unbabble.data.corpora import Utterance
from unbabble.nn.kinds.recognizer import NeuralRecognizer, Posteriors
from unbabble.text.normalise import words
from unbabble.text.search import TokenModel

RATE = 16000
OTHER = "test-other"


@dataclass
class Heard:
    """An utterance, and all that the network says of it."""

    utterance: Utterance
    half: str
    seconds: float
    said: dict[str, Posteriors]
    writer: TokenModel

    @property
    def text(self) -> str:
        return " ".join(words(self.utterance.text))


@torch.inference_mode()
def heard(network: NeuralRecognizer, utterance: Utterance, half: str) -> Heard:
    samples = audio.resample(
        audio.read(utterance.path).samples[:1], audio.probe(utterance.path).sample_rate, RATE
    )
    lengths = torch.tensor([samples.shape[1]])
    (said,), (writer,) = network.posteriors(samples, lengths), network.writers(samples, lengths)
    return Heard(utterance, half, samples.shape[1] / RATE, said, writer)


def utterances_of(split: str) -> list[tuple[Utterance, str]]:
    """With the half of LibriSpeech that each is of, clean or other."""
    halves = [
        "other" if OTHER in each["origin"] else "clean"
        for each in corpora.read_table(DATA / "speech.csv", ("origin",), split)
    ]
    return list(zip(speech(split), halves, strict=True))
