"""Whether a sentence was read, alone and while somebody else reads another one."""

import numpy as np
import pytest
import torch

from unbabble.base import audio
from unbabble.base.errors import UsageError
from unbabble.data import corpora
from unbabble.pipelines.read_aloud import OTHERS, Reader, evidence, load_reader
from unbabble.pipelines.recording import Recording
from unbabble.web.collect.prompts import english

RATE = 16000


@pytest.fixture(scope="module")
def reader() -> Reader:
    return load_reader(device="cpu")


def frames(row: list[int], tokens: int = 6) -> np.ndarray:
    """Each phone for two frames, a blank between."""
    path = [symbol for phone in row for symbol in (phone, phone, 0)]
    return np.log(0.01 / (tokens - 1) + (0.99 - 0.01 / (tokens - 1)) * np.eye(tokens)[path])


def test_evidence_is_for_what_is_there():
    others = np.random.default_rng(0).integers(1, 6, 5 * OTHERS).tolist()
    row = [1, 2, 3, 4, 5, 1, 3, 5]
    read = frames(row)
    assert evidence(read, row, others) > 2
    assert evidence(read, [2, 1, 4, 3, 2, 5, 4, 2], others) < 0.5
    assert evidence(read, row * 4, others) == -np.inf  # too short for it
    assert evidence(read, row, [1, 2]) > 0  # however few the others


def test_evidence_does_not_depend_on_how_clearly_all_is_said():
    """What makes all sentences less probable alike, tells them apart no less."""
    others = np.random.default_rng(0).integers(1, 6, 5 * OTHERS).tolist()
    row = [1, 2, 3, 4, 5, 1, 3, 5]
    assert evidence(frames(row) - 1.5, row, others) == pytest.approx(evidence(frames(row), row, others))


def test_who_reads_is_followed_alone_and_beside_another(reader, data_folder):
    said = [
        each
        for each in corpora.speech(data_folder / "speech.csv", "dev")
        if 8 <= len(each.text.split()) <= 14
    ]
    first, second = said[0], next(each for each in said if each.speaker != said[0].speaker)
    third = next(each for each in said if each.speaker not in (first.speaker, second.speaker))
    samples = [audio.read(each.path).samples[0] for each in (first, second)]
    length = max(map(len, samples))
    voices = [torch.nn.functional.pad(each / each.std(), (0, length - len(each))) for each in samples]
    texts = [first.text, second.text, third.text]
    alone = reader(Recording.of(0.05 * voices[0][None], RATE), texts, english())
    assert alone[0] > max(alone[1:])
    both = reader(Recording.of(0.05 * (voices[0] + voices[1])[None], RATE), texts, english())
    assert min(both[:2]) > both[2]


def test_a_recording_that_is_too_short_for_a_sentence_did_not_hold_it(reader):
    noise = 0.1 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    assert reader(Recording.of(noise, RATE), ["a very long sentence " * 9], english()) == [-np.inf]


@pytest.mark.parametrize(("sentence", "others"), [("...", english()), (english()[0], english()[:1])])
def test_what_cannot_be_followed_is_a_sentence(reader, sentence, others):
    noise = 0.1 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    with pytest.raises(UsageError, match="have words"):
        reader(Recording.of(noise, RATE), [sentence], others)
