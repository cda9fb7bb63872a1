"""Recordings to words: windows, silence and noise, loops, several talkers; with a recogniser that knows tones."""

import resource
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch

from unbabble.base.files import DEMO_FOLDER
from unbabble.base.spans import Span, Transcript
from unbabble.pipelines import transcribe as module
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.transcribe import transcribe, transcribe_separated, windows, without_loops

RATE = 16000
LEVEL = 0.01


def loud(samples, rate):
    """Stands in for the speech detector: speech is what is not soft."""
    frame = round(module.FRAME_SECONDS * rate)
    return samples[: len(samples) // frame * frame].reshape(-1, frame).square().mean(1) > LEVEL**2


class Tones:
    """Recognises each tone as its frequency in hundreds of Hz, where it sounds."""

    sample_rate = RATE

    def __init__(self):
        self.lengths = []

    def __call__(self, waveform, lengths=None):
        self.lengths.append(waveform.shape[1])
        return [Transcript(tuple(self.words(each))) for each in waveform]

    def words(self, samples):
        frame = round(module.FRAME_SECONDS * RATE)
        for begin, end in module.runs(loud(samples, RATE)):
            spectrum = torch.fft.rfft(samples[begin * frame : end * frame]).abs()
            hundreds = round(float(spectrum.argmax()) / (end - begin) / module.FRAME_SECONDS / 100)
            yield Span(begin * module.FRAME_SECONDS, end * module.FRAME_SECONDS, str(hundreds), score=0.9)


@pytest.fixture
def recognizer(monkeypatch):
    monkeypatch.setattr(module, "is_speech", loud)
    return Tones()


def tones(words, seconds, rate=RATE):
    """A recording with a tone of .4 s at each of these times."""
    samples, time = torch.zeros(round(seconds * rate)), torch.arange(round(0.4 * rate)) / rate
    for start, hundreds in words:
        begin = round(start * rate)
        samples[begin : begin + len(time)] = (
            0.1 * torch.sin(2 * torch.pi * 100 * hundreds * time)[: len(samples) - begin]
        )
    return samples


def random_tones(seconds, seed=0, pause=0.3):
    generator, start, words = np.random.default_rng(seed), 0.2, []
    while start < seconds - 0.5:
        words.append((round(start, 2), int(generator.integers(2, 30))))
        start += 0.4 + float(generator.uniform(0.1, 2 * pause))
    return words


def checked(found, expected):
    assert [word.text for word in found] == [str(hundreds) for _, hundreds in expected]
    assert [word.start for word in found] == pytest.approx([start for start, _ in expected], abs=0.03)


def test_a_short_recording_is_recognised_as_it_is(recognizer):
    expected = random_tones(15)
    result = transcribe(recognizer, Recording.of(tones(expected, 15), RATE))
    checked(result.words, expected)
    assert recognizer.lengths == [15 * RATE]
    assert result.audio_seconds == 15
    assert result.speech_seconds == pytest.approx(0.4 * len(expected), abs=0.5)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_no_word_is_lost_or_cut_in_a_long_recording(recognizer, rate):
    expected = random_tones(90)
    result = transcribe(recognizer, Recording.of(tones(expected, 90, rate), rate))
    checked(result.words, expected)
    assert max(recognizer.lengths) <= 20 * RATE
    assert len(recognizer.lengths) < 12, "windows are not needlessly short"
    assert result.audio_seconds == pytest.approx(90, abs=0.01)


def test_windows_cut_at_the_longest_pause(recognizer):
    """A pause of 1 s after 12 s, shorter ones everywhere else."""
    words = [(start, 5) for start in np.arange(0, 40, 0.6) if not 11.9 < start < 13.1]
    found = list(windows(iter([tones(words, 40)]), RATE))
    assert found[1][0] == pytest.approx(12.5, abs=0.35)
    assert all(8 <= len(samples) / RATE <= 20 for _, samples in found[:-1])
    assert all(
        before + len(samples) / RATE == pytest.approx(start)
        for (before, samples), (start, _) in pairwise(found)
    )
    assert sum(len(samples) for _, samples in found) == 40 * RATE


def test_without_a_pause_it_is_cut_where_it_is_softest(recognizer):
    samples = 0.1 * torch.sin(torch.arange(30 * RATE) / 5)
    samples[17 * RATE : 17 * RATE + 400] *= 0.5
    (_, first), _ = windows(iter(samples.split(7 * RATE)), RATE)
    assert len(first) / RATE == pytest.approx(17, abs=0.05)


def test_channels_are_mixed(recognizer):
    """As of an interview with one microphone for each."""
    one, other = [(1.0, 5), (3.0, 7)], [(2.0, 6), (4.0, 9)]
    result = transcribe(recognizer, Recording.of(2 * torch.stack([tones(one, 5), tones(other, 5)]), RATE))
    checked(result.words, sorted(one + other))


@pytest.mark.parametrize(
    "samples",
    [
        torch.zeros(2 * RATE),
        torch.zeros(160),
        torch.zeros(1),
        torch.full((RATE,), 0.3),
        0.1 * torch.randn(160, generator=torch.Generator().manual_seed(0)),
        0.1 * torch.randn(45 * RATE, generator=torch.Generator().manual_seed(0)),
        0.1 * torch.sin(torch.arange(5 * RATE) * 0.3),
    ],
    ids=["silence", "10 ms of silence", "one sample", "constant", "10 ms of noise", "noise", "a tone"],
)
def test_where_nobody_speaks_no_recogniser_is_asked(samples):
    def invents(waveform, lengths=None):
        raise AssertionError("asked")

    invents.sample_rate = RATE
    result = transcribe(invents, Recording.of(samples, RATE))
    assert (result.words, result.speech_seconds) == ([], 0)
    assert result.audio_seconds == len(samples) / RATE


def test_speech_is_not_taken_for_silence():
    found = transcribe(Tones(), Recording.open(DEMO_FOLDER / "reference1.flac"))
    assert found.speech_seconds > 0.5 * found.audio_seconds


def test_words_that_are_invented_beside_speech_are_left_out(recognizer):
    class Invents(Tones):
        def words(self, samples):
            return [Span(0.0, 0.3, "thanks"), *super().words(samples), Span(8.0, 9.0, "bye")]

    result = transcribe(Invents(), Recording.of(tones([(2.0, 5), (4.0, 6)], 10), RATE))
    assert result.text == "5 6"


def test_windows_of_which_the_recogniser_is_not_sure_are_left_out(recognizer):
    class Unsure(Tones):
        least_confidence: float | None = None

        def words(self, samples):
            scores = {"5": 0.9, "6": 0.2, "7": 0.3, "9": 0.2}
            return [Span(w.start, w.end, w.text, score=scores.get(w.text)) for w in super().words(samples)]

    def text(*said):
        words = [(0.5 + k, hundreds) for k, hundreds in enumerate(said)]
        result = transcribe(Unsure(), Recording.of(tones(words, 6), RATE))
        assert result.left_out == len(said) - len(result.words)
        return result.text

    assert text(5, 6) == "5 6", "sure enough as a whole"
    Unsure.least_confidence = 0.6
    assert text(5, 6) == "", "not as sure as this recogniser is of speech"
    Unsure.least_confidence = None
    assert text(7, 9, 6) == ""
    assert text(4, 3) == "4 3", "nobody knows how sure these are"


def test_what_is_repeated_without_end_is_cut():
    def said(text):
        return [Span(k, k + 1, word) for k, word in enumerate(text.split())]

    def kept(text):
        return " ".join(word.text for word in without_loops(said(text)))

    assert kept("so " * 30 + "long") == "so " * 8 + "long"
    assert kept("well thank you " * 9 + "bye") == "well thank you " * 4 + "bye"
    for text in ("no no no no no", "a b a b a b c", "the cat sat on the cat"):
        assert kept(text) == text


def test_the_memory_of_hours_is_that_of_a_window(tmp_path, recognizer):
    path = tmp_path / "zeros.flac"
    with soundfile.SoundFile(path, "w", RATE, 1, format="FLAC") as file:
        for _ in range(30):
            file.write(np.zeros(60 * RATE, np.int16))
    recording = Recording.open(path)
    transcribe(recognizer, Recording.of(torch.zeros(60 * RATE), RATE))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = transcribe(recognizer, recording)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert result.audio_seconds == 1800
    assert grown < 50_000, "kB: all samples have 115,000"
    assert recognizer.lengths == []


def test_progress_ends_with_the_recording(recognizer):
    done = []
    recording = Recording.of(tones(random_tones(50), 50), RATE)
    transcribe(recognizer, recording, progress=lambda seconds, whole: done.append((seconds, whole)))
    assert done[-1] == (50, 50)
    assert done == sorted(done)


class Halves:
    """Separates tones below 1 kHz from those above; the second voice is the louder one."""

    def __init__(self):
        self.name, self.options = "halves", {}

    def piece_seconds(self, recording):
        return None

    def __call__(self, recording, sample_rate=None, images=False):
        from unbabble.pipelines.separate import Separation

        samples = Recording.of(recording, sample_rate).samples[0]
        spectrum = torch.fft.rfft(samples)
        low = torch.arange(len(spectrum)) * RATE / len(samples) < 1000
        voices = [torch.fft.irfft(spectrum * each, len(samples)) for each in (~low, low)]
        return Separation(torch.stack(voices), RATE, self.name)


def test_voices_are_recognised_one_by_one(recognizer):
    first, second = [(0.5, 20), (2.0, 15), (4.0, 18)], [(0.6, 5), (3.0, 7)]
    mixture = Recording.of(tones(first, 5) + tones(second, 5), RATE)
    result = transcribe_separated(recognizer, mixture, Halves())
    assert [(word.speaker, word.text) for word in result.words] == [
        ("speaker1", "20"),
        ("speaker1", "15"),
        ("speaker1", "18"),
        ("speaker2", "5"),
        ("speaker2", "7"),
    ]
    assert result.audio_seconds == 5


def test_silence_is_not_separated(recognizer):
    assert transcribe_separated(recognizer, Recording.of(torch.zeros(RATE), RATE), Halves()).words == []
