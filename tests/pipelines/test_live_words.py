"""Words while a recording arrives: the same in whatever pieces, settled ones for good; a network knows tones."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from tests.pipelines.test_recognize import unigrams
from unbabble.base.audio import read, resample
from unbabble.base.errors import UsageError
from unbabble.base.files import DEMO_FOLDER
from unbabble.nn.kinds.recognizer import Posteriors
from unbabble.pipelines import live_words as module
from unbabble.pipelines.live_words import LiveTranscriber, Timing
from unbabble.pipelines.recognize import Recognizer, load_recognizer
from unbabble.text.errors import word_errors
from unbabble.text.phones import PHONES
from unbabble.text.tokens import Symbols

RATE = 16000
FRAME = 640
NUMBERS = {phone: number for number, phone in enumerate(PHONES, 1)}
MODEL = unigrams(two=0.3, too=0.1, toe=0.3, eat=0.2)
SAID = {"two": ("T", "UW"), "toe": ("T", "OW"), "eat": ("IY", "T")}


class KnowsTones(torch.nn.Module):
    """A phone is a tone of 100 Hz times its number; what it says of the last half second of a window is mistaken."""

    sample_rate = RATE

    def __init__(self) -> None:
        super().__init__()
        self.targets = {"phones": Symbols(PHONES)}
        self.anything = torch.nn.Parameter(torch.zeros(1))
        self.longest = 0

    def posteriors(self, waveform, lengths):
        self.longest = max(self.longest, waveform.shape[1])
        return [{"phones": self._of(each[:length])} for each, length in zip(waveform, lengths, strict=True)]

    def _of(self, samples):
        frames = torch.nn.functional.pad(samples, (0, -len(samples) % FRAME)).reshape(-1, FRAME)
        heard = (torch.fft.rfft(frames).abs().argmax(1) * RATE / FRAME / 100).round().long()
        heard[frames.square().mean(1) < 1e-4] = 0
        probs = torch.full((len(frames), len(PHONES) + 1), 0.1 / len(PHONES))
        probs[torch.arange(len(frames)), heard.clamp(max=len(PHONES))] = 0.9
        probs[-12:] = probs[-12:].flip(0)
        prior = np.zeros(len(PHONES) + 1, np.float32)
        return Posteriors(probs.log().numpy(), self.targets["phones"], FRAME / RATE, prior)


def loud(samples, rate):
    """Stands in for the speech detector: speech is what is not soft, and the tenth of a second around it."""
    frame = round(module.FRAME_SECONDS * rate)
    power = samples[: len(samples) // frame * frame].reshape(-1, frame).square().mean(1)
    return (
        torch.nn.functional.max_pool1d((power > 1e-4).float()[None], 11, 1, 5)[0] > 0
        if len(power)
        else power > 0
    )


@pytest.fixture
def recognizer(monkeypatch) -> Recognizer:
    monkeypatch.setattr(module, "is_speech", loud)
    network: Any = KnowsTones()
    return Recognizer(network, MODEL)


def spoken(text: str, pause: float = 2.0, rate: int = RATE) -> torch.Tensor:
    """A recording: 80 ms of tone for each phone, 80 ms between two of them; a bar is a pause."""
    parts, time = [torch.zeros(rate // 2)], torch.arange(round(0.08 * rate)) / rate
    for word in text.split():
        if word == "|":
            parts.append(torch.zeros(round(pause * rate)))
            continue
        for phone in SAID[word]:
            parts += [0.1 * torch.sin(2 * torch.pi * 100 * NUMBERS[phone] * time), torch.zeros(len(time))]
    return torch.cat([*parts, torch.zeros(rate // 4)])


def random_text(words: int, seed: int = 0) -> str:
    return " ".join(np.random.default_rng(seed).choice(list(SAID), words))


def listened(recognizer, samples, sizes, rate=RATE, **timing):
    """All that is said of a recording in pieces of these sizes, over and over, with the second of each."""
    live, place, number, changes = LiveTranscriber(recognizer, rate, timing=Timing(**timing)), 0, 0, []
    while place < len(samples):
        size = sizes[number % len(sizes)]
        changes += live.push(samples[place : place + size])
        place, number = place + size, number + 1
    return changes + live.flush()


TEXT = "two toe eat | toe toe | eat two eat two"


@pytest.mark.parametrize("rate", [RATE, 44100])
def test_the_same_words_come_in_whatever_pieces_the_recording_arrives(recognizer, rate):
    samples = spoken(TEXT, rate=rate)
    whole = listened(recognizer, samples, [len(samples)], rate)
    assert [each.text for each in whole if each.ended] == TEXT.split(" | ")
    assert any(not each.ended for each in whole)
    for sizes in ([160], [1, 2, 7001, 3], [40000]):
        assert listened(recognizer, samples, sizes, rate) == whole
    short = spoken("two", rate=rate)
    assert listened(recognizer, short, [1], rate) == listened(recognizer, short, [len(short)], rate)


def test_settled_words_stay_as_they_are(recognizer):
    text = random_text(40)
    changes = listened(recognizer, spoken(text), [1600])
    assert changes[-1].ended
    assert changes[-1].text == text
    assert [each.ended for each in changes[:-1]] == [False] * (len(changes) - 1)
    for before, after in pairwise(changes):
        assert after.words[: before.settled] == before.words[: before.settled]
        assert before.settled <= after.settled
    settled = [each.settled for each in changes[:-1]]
    assert max(settled) > 30, "words settle while more are said"
    wrong = [each for each in changes if not text.startswith(each.text)]
    assert wrong, "what the network says of the end of a window is shown"
    starts = [word.start for word in changes[-1].words]
    assert starts == pytest.approx(0.5 + 0.32 * np.arange(40), abs=0.05)


@pytest.mark.parametrize("unripe", [0.0, 0.6])
def test_what_was_said_just_now_is_not_shown_yet(recognizer, unripe):
    live, samples, youngest = (
        LiveTranscriber(recognizer, RATE, timing=Timing(unripe=unripe)),
        spoken(TEXT),
        [],
    )
    for place in range(1600, len(samples) + 1600, 1600):
        changes = live.push(samples[place - 1600 : place])
        youngest += [place / RATE - each.words[-1].end for each in changes if each.words and not each.ended]
    assert youngest
    assert (min(youngest) >= 0.6 - 1e-6) == bool(unripe)
    assert live.flush()[-1].text == TEXT.split(" | ")[-1], "at the end all are"


def test_an_utterance_without_end_ends(recognizer):
    text = random_text(75)
    changes = listened(recognizer, spoken(text), [1600], long=4.0, most=6.0)
    ended = [each for each in changes if each.ended]
    assert [round(each.words[-1].end - each.words[0].start) for each in ended[:4]] == [6, 6, 6, 6]
    errors = word_errors(text, " ".join(each.text for each in ended))
    assert errors.count <= 6, "two words at each cut"
    assert recognizer.network.longest <= 9 * RATE  # pyright: ignore[reportAttributeAccessIssue]


def test_a_long_utterance_ends_with_a_short_pause(recognizer):
    text = "two toe two toe | " + "eat two " * 6 + "| toe two | toe"
    changes = listened(recognizer, spoken(text, pause=1.0), [1600], long=4.0)
    ended = [each.text for each in changes if each.ended]
    assert ended == ["two toe two toe" + " eat two" * 6, "toe two toe"]


def test_what_is_remembered_does_not_grow(recognizer):
    live = LiveTranscriber(recognizer, RATE)
    samples = spoken("two toe | eat | two toe two | toe", pause=2.0)
    for _ in range(4):
        live.push(samples)
    assert len(live._kept) == 20 * RATE
    assert len(live._arrived) < 0.4 * RATE
    live.push(torch.zeros(2 * RATE))
    assert live._speech is None


@pytest.mark.parametrize(
    "samples", [torch.zeros(0), torch.zeros(1), torch.zeros(3 * RATE), torch.full((RATE,), 0.3)]
)
def test_of_nothing_comes_nothing(samples):
    network: Any = KnowsTones()
    live = LiveTranscriber(Recognizer(network, MODEL), RATE)
    assert live.push(samples) + live.flush() == []


def test_what_is_unsure_is_not_shown(recognizer, monkeypatch):
    monkeypatch.setattr(recognizer, "confidence", lambda word: 0.3)
    assert listened(recognizer, spoken("two toe eat"), [1600]) == []


def test_recognisers_of_other_kinds_are_refused():
    network: Any = KnowsTones()
    with pytest.raises(UsageError, match="writes phones"):
        LiveTranscriber(Recognizer(network), RATE)


def test_the_packaged_recogniser_says_what_it_says_of_the_whole_recording():
    recognizer = load_recognizer("auto", "cpu")
    audio = read(DEMO_FOLDER / "reference2.flac")
    samples = audio.samples[0]
    changes = listened(recognizer, samples, [4000], audio.sample_rate)
    assert [each.ended for each in changes] == [False] * (len(changes) - 1) + [True]
    for before, after in pairwise(changes):
        assert after.words[: before.settled] == before.words[: before.settled]
    (at_once,) = recognizer(resample(samples, audio.sample_rate, RATE)[None])
    assert word_errors(at_once.text, changes[-1].text).hits > len(at_once.words) / 3, (
        "as a voice goes that it knows not"
    )
