"""Who speaks when: turns, numbers of talkers, long recordings, nobody; with an embedder that knows tones."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from unbabble.base.audio import read
from unbabble.base.errors import InputError
from unbabble.base.spans import Span, Transcript
from unbabble.pipelines import talkers_heard, transcribe
from unbabble.pipelines.diarize import Diarization, diarize, likeliest_path
from unbabble.pipelines.embed import Voice
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.talker_voices import Separated, gain, write_voices
from unbabble.pipelines.talkers_heard import Ears, parts
from unbabble.pipelines.verify import Verifier
from unbabble.pipelines.who_said_what import transcribe_talkers, widened
from unbabble.signal.activity import FRAME_SECONDS, runs
from unbabble.signal.diarization import compare

RATE = 8000
HERTZ = {"anna": 300, "ben": 700, "carl": 1500}
NAMES = list(HERTZ)


class Tones:
    """What it hears of three tones, and a little of something else, as of any voice."""

    sample_rate = RATE

    def __call__(self, waveform):
        spectrum = torch.fft.rfft(waveform * torch.hann_window(waveform.shape[1])).abs()
        bins = [round(hertz * waveform.shape[1] / RATE) for hertz in HERTZ.values()]
        vectors = spectrum[:, bins].square().float() + 0.05 * spectrum[:, bins].square().sum(1, keepdim=True)
        return torch.nn.functional.normalize(vectors)


class Counts:
    """How many tones sound most of the time."""

    sample_rate = RATE

    def __call__(self, mixture):
        frames = mixture.unfold(1, RATE // 10, RATE // 10)
        sounds = bands(frames).square().mean(-2) > 1e-3  # (batch, frame, band)
        several = (sounds.sum(-1) > 1).float().mean(1)
        return torch.stack([1 - several, several], 1)


class Splits:
    """Two voices: what lies below 500 Hz, and above; which comes first, chance says."""

    sample_rate = RATE

    def __init__(self):
        self.seconds, self.rng = 0.0, np.random.default_rng(0)

    def __call__(self, mixture, **side):
        self.seconds += mixture.shape[-1] / RATE
        order = self.rng.permutation(2).tolist()
        return bands(mixture[:, 0]).movedim(-1, 1)[:, order]


class Segments:
    """Which tones sound, every sixteenth of a second."""

    sample_rate, seconds = RATE, 5.0
    frame_seconds, first_seconds = 1 / 16, 1 / 32

    def __call__(self, waveform):
        spectrum = torch.fft.rfft(waveform.unfold(1, RATE // 16, RATE // 16)).abs() / (RATE // 16)
        rows = [round(hertz / 16) for hertz in HERTZ.values()]
        return (spectrum[..., rows] > 0.02).float()


def bands(samples):
    """(..., time) to (..., time, 2)."""
    spectrum = torch.fft.rfft(samples)
    low = torch.fft.rfftfreq(samples.shape[-1], 1 / RATE) < 500
    return torch.stack([torch.fft.irfft(spectrum * part, samples.shape[-1]) for part in (low, ~low)], -1)


@pytest.fixture(autouse=True)
def speech(monkeypatch):
    """Stands in for the speech detector: speech is what is not soft."""

    def loud(samples, rate, possible=None):
        frame = round(FRAME_SECONDS * rate)
        return samples[: len(samples) // frame * frame].reshape(-1, frame).square().mean(1) > 1e-4

    monkeypatch.setattr(talkers_heard, "is_speech", loud)
    monkeypatch.setattr(transcribe, "is_speech", loud)


def recording(turns, seconds, rate=RATE):
    samples, time = torch.zeros(round(seconds * rate)), torch.arange(round(seconds * rate)) / rate
    for turn in turns:
        begin, end = round(turn.start * rate), round(turn.end * rate)
        samples[begin:end] += 0.1 * torch.sin(2 * torch.pi * HERTZ[turn.speaker] * time[begin:end])
    return Recording.of(samples, rate)


def conversation(seconds, talkers=3, seed=0, pause=0.5):
    rng, start, turns = np.random.default_rng(seed), 0.3, []
    while start < seconds - 3:
        length = float(rng.uniform(1, 5))
        who = NAMES[int(rng.integers(talkers))]
        turns.append(Span(start, min(start + length, seconds - 0.3), speaker=who))
        start = turns[-1].end + float(rng.uniform(0.1, 2 * pause))
    return turns


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("talkers", [1, 2, 3])
def test_turns_are_found_and_talkers_counted(talkers, rate):
    turns = conversation(90, talkers)
    made = diarize(recording(turns, 90, rate), Ears(Tones()), threshold=0.5)
    assert len(made.speakers) == talkers
    assert compare(turns, made.turns).errors.rate < 0.04
    assert made.audio_seconds == pytest.approx(90, abs=0.01)
    assert made.speech_seconds == pytest.approx(sum(turn.seconds for turn in turns), rel=0.03)


def test_who_talks_most_comes_first():
    turns = [Span(0.5, 11, speaker="ben"), Span(12, 27, speaker="carl"), Span(27.2, 39, speaker="anna")]
    made = diarize(recording(turns, 40), Ears(Tones()), threshold=0.5)
    assert made.speakers == ["speaker1", "speaker2", "speaker3"]
    assert compare(turns, made.turns).speakers == {"carl": "speaker1", "anna": "speaker2", "ben": "speaker3"}
    assert [turn.start for turn in made.turns] == sorted(turn.start for turn in made.turns)


def test_turns_are_as_sure_as_vectors_are_near():
    pure = [Span(0.5, 10, speaker="anna"), Span(10.8, 20, speaker="ben"), Span(20.8, 30, speaker="anna")]
    vectors = [voice(name).vector for name in ("anna", "ben")]
    for scale in (1.0, 4.0):
        expected = 1 / (1 + np.exp(-scale * (1 - vectors[0] @ vectors[1])))
        scores = [turn.score for turn in diarize(recording(pure, 31), Ears(Tones(), scale=scale)).turns]
        assert scores == pytest.approx([expected] * 3, abs=0.02)
    # the longer somebody else sounds, too, the less sure
    beside = [*pure, Span(21, 22.5, speaker="ben"), Span(2, 2.5, speaker="ben")]
    turns = diarize(recording(beside, 31), Ears(Tones()), talkers=(2, 2)).turns
    first, _, last = (turn.score or 0 for turn in turns)
    assert 0.5 < last < first < 1
    assert {turn.score for turn in diarize(recording(pure[:1], 11), Ears(Tones())).turns} == {None}


def test_as_many_talkers_as_asked():
    sound = recording(conversation(60, 3), 60)
    for asked in (1, 2, 3):
        assert len(diarize(sound, Ears(Tones()), talkers=(asked, asked)).speakers) == asked
    assert len(diarize(sound, Ears(Tones()), talkers=(1, 2), threshold=0.99).speakers) == 2
    assert len(diarize(sound, Ears(Tones()), talkers=(2, 5), threshold=-1).speakers) == 2


def test_turns_from_one_to_another_without_a_pause():
    turns = [Span(float(k), k + 3.0, speaker=NAMES[k // 3 % 2]) for k in range(0, 30, 3)]
    made = diarize(recording(turns, 31), Ears(Tones()), threshold=0.5)
    assert compare(turns, made.turns).errors.rate < 0.05


OVERLAPPING = [
    Span(0.5, 9.0, speaker="anna"),
    Span(6.0, 14.0, speaker="ben"),
    Span(14.5, 24.0, speaker="anna"),
    Span(17.0, 20.0, speaker="ben"),
    Span(24.5, 30.0, speaker="ben"),
    Span(30.2, 37.0, speaker="anna"),
]


def test_two_at_once_are_both_found_and_each_has_a_voice(tmp_path):
    sound, splits = recording(OVERLAPPING, 38), Splits()
    ears = Ears(Tones(), Counts(), splits)
    one_at_a_time = compare(OVERLAPPING, diarize(sound, Ears(Tones()), threshold=0.5).turns).errors
    made = diarize(sound, ears, threshold=0.5, folder=tmp_path)
    errors = compare(OVERLAPPING, made.turns).errors
    assert one_at_a_time.missed > 5.5  # of six seconds
    assert errors.rate < 0.08
    assert 0 < splits.seconds <= 38
    assert [part.start for part in made.separated] == pytest.approx([6.0, 17.0], abs=0.5)
    files = write_voices(sound, made.turns, made.separated, tmp_path, speakers=made.speakers, warnings=[])
    for name, file in zip(("anna", "ben"), files, strict=True):
        voice, own = read(file).samples[0], NAMES.index(name)
        for second in (7, 18):  # both speak
            energies = bands(voice[second * RATE : (second + 1) * RATE]).square().sum(0)
            assert energies[own] > 100 * energies[1 - own]


def test_several_microphones_separate_by_themselves(monkeypatch, tmp_path):
    """Of three voices that of noise is nobody's, and one that is dead is not separated."""
    own = [
        3 * recording([turn for turn in OVERLAPPING if turn.speaker == who], 38).samples[0]
        for who in ("ben", "anna")
    ]
    noise = 1e-4 * torch.randn(len(own[0]), generator=torch.Generator().manual_seed(0))
    heard = Recording.of(torch.stack([own[0], noise, torch.zeros_like(noise), own[1]]), RATE)
    asked = []

    def blind(voices):
        asked.append(voices)
        return lambda samples, rate: SimpleNamespace(sources=samples)

    monkeypatch.setattr(talkers_heard, "blind", blind)
    split = Splits()
    made = diarize(heard, Ears(Tones(), Counts(), split), threshold=0.5, folder=tmp_path)
    compared = compare(OVERLAPPING, made.turns)
    assert compared.errors.rate < 0.08
    assert [part.start for part in made.separated] == pytest.approx([6.0, 17.0], abs=0.5)
    for part in made.separated:
        assert part.speakers == (compared.speakers["ben"], None, compared.speakers["anna"])
    assert set(asked) == {3}
    assert not split.seconds


def test_two_speak_where_a_second_voice_is_hardly_softer():
    constant, counted, level = talkers_heard.LEVEL_ODDS
    voices = torch.ones(3, 5 * RATE) * torch.tensor([0.1, 1.0, 1e-3])[:, None]
    odds = torch.tensor([-3.0, 1.0, talkers_heard.NOT_COUNTED]).repeat_interleave(80)
    combined = talkers_heard._both_heard(odds, voices, RATE)
    assert combined[:80].tolist() == pytest.approx([constant - 3 * counted - 20 * level] * 80, abs=1e-4)
    assert combined[80:160].tolist() == pytest.approx([constant + counted - 20 * level] * 80, abs=1e-4)
    assert combined[160:].eq(talkers_heard.NOT_COUNTED).all()


def test_a_segmenter_says_where_somebody_speaks_and_where_two_do(monkeypatch):
    monkeypatch.setattr(talkers_heard, "is_speech", None)
    sound, splits = recording(OVERLAPPING, 38), Splits()
    made = diarize(sound, Ears(Tones(), None, splits, Segments()), threshold=0.5)
    assert compare(OVERLAPPING, made.turns).errors.rate < 0.08
    assert 0 < splits.seconds <= 38
    alone = diarize(sound, Ears(Tones(), segmenter=Segments()), threshold=0.5)
    errors = compare(OVERLAPPING, alone.turns).errors
    assert errors.missed == pytest.approx(6, abs=0.5)  # seconds in which two speak, of which one is named
    assert errors.confusion + errors.false_alarm < 1.5


def test_where_one_talks_at_a_time_nobody_else_is_found():
    sound = recording(conversation(50, 2), 50)
    ears = Ears(Tones(), Counts(), Splits())
    assert diarize(sound, ears, threshold=0.5).turns == diarize(sound, Ears(Tones()), threshold=0.5).turns


def test_speech_that_is_known_is_not_looked_for():
    turns = conversation(45, 2)
    known = [Span(turn.start + 0.2, turn.end) for turn in turns]
    made = diarize(recording(turns, 45), Ears(Tones()), speech=known, threshold=0.5)
    assert made.speech_seconds == pytest.approx(sum(span.seconds for span in known), rel=0.02)


def test_times_do_not_drift_in_a_long_recording():
    turns = conversation(300, 2, pause=1.0)
    made = diarize(recording(turns, 300), Ears(Tones()), threshold=0.5)
    late = [[turn for turn in some if turn.start > 280] for some in (turns, made.turns)]
    assert compare(*late).errors.rate < 0.04


@pytest.mark.parametrize("seconds", [0.01, 1.0, 30.0])
def test_nobody_speaks(seconds):
    for talkers in ((1, None), (2, 4)):
        made = diarize(recording([], seconds), Ears(Tones()), talkers=talkers)
        assert (made.turns, made.voices, made.speech_seconds) == ([], {}, 0.0)
        assert made.warnings == ["Nobody speaks in the recording."]


def test_too_little_speech_for_what_is_asked():
    with pytest.raises(InputError, match="too little speech for 5 talkers"):
        diarize(recording([Span(1, 2, speaker="anna")], 3), Ears(Tones()), talkers=(5, 5))


def test_who_says_too_little_to_be_known_again_has_a_number():
    made = diarize(recording([Span(1, 1.2, speaker="anna")], 3), Ears(Tones()))
    assert [turn.speaker for turn in made.turns] == ["speaker1"]
    assert made.turns[0].start == pytest.approx(1, abs=0.3)
    assert made.voices == {}


def test_parts_cover_the_speech_and_are_no_longer():
    for begin, end in ((0, 20), (7, 86), (3, 84), (5, 1000)):
        found = parts(begin, end)
        assert {frame for first, last in found for frame in range(first, last)} == set(range(begin, end))


def test_the_path_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores = rng.normal(size=(6, 3))
        every = np.stack(np.meshgrid(*[range(3)] * 6, indexing="ij"), -1).reshape(-1, 6)
        values = scores[np.arange(6), every].sum(1) - 0.7 * (np.diff(every, axis=1) != 0).sum(1)
        assert likeliest_path(scores, 0.7 * (1 - np.eye(3))).tolist() == every[values.argmax()].tolist()


def test_voices_add_up_to_what_is_said(tmp_path):
    turns = conversation(45, 2)
    sound = recording(turns, 45, 16000)
    made = Diarization(turns)
    warnings: list[str] = []
    files = write_voices(sound, turns, [], tmp_path, speakers=made.speakers, warnings=warnings)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(f"{name}.wav" for name in made.speakers)
    voices = [read(file) for file in files]
    torch.testing.assert_close(sum(voice.samples for voice in voices), sound.samples, atol=1e-6, rtol=0)
    for name, voice in zip(made.speakers, voices, strict=True):
        own = gain([turn for turn in turns if turn.speaker == name], 0.0, 45 * 16000, 16000)
        assert float((voice.samples[0] * (own == 0)).abs().max()) == 0
    assert warnings == []


def test_where_two_talk_at_once_voices_are_what_was_separated(tmp_path):
    turns = [Span(1, 30, speaker="anna"), Span(19, 22, speaker="ben")]
    sound, file = recording(turns, 32), tmp_path / "0.npy"
    alone = [recording([turn], 32).samples[0, 18 * RATE : 23 * RATE] for turn in turns]
    np.save(file, torch.stack([alone[1], alone[0]]).numpy())
    part = Separated(19.0, 22.0, 18.0, file, RATE, ("ben", "anna"))
    files = write_voices(sound, turns, [part], tmp_path / "out", speakers=["anna", "ben"], warnings=[])
    for file, turn in zip(files, turns, strict=True):
        expected = recording([turn], 32).samples
        assert float((read(file).samples - expected).abs()[:, 100:].mean()) < 1e-3


class Names:
    """Writes whose tone is loudest, for each stretch of sound."""

    sample_rate = RATE

    def __call__(self, waveform, lengths=None):
        words = []
        for begin, end in runs(transcribe.is_speech(waveform[0], RATE)):
            spectrum = torch.fft.rfft(waveform[0, begin * RATE // 50 : end * RATE // 50]).abs()
            hertz = float(spectrum.argmax()) / (end - begin) / FRAME_SECONDS
            name = min(HERTZ, key=lambda each: abs(HERTZ[each] - hertz))
            words.append(Span(begin * FRAME_SECONDS, end * FRAME_SECONDS, name, score=0.9))
        return [Transcript(tuple(words))]


def voice(name):
    return Voice(Tones()(recording([Span(0, 2, speaker=name)], 2).samples)[0].numpy(), 2.0)


def right_share(words, **expected):
    """Of the time of all words, how much is of those that their speaker says."""
    right = [each.seconds for each in words if expected[each.speaker] == each.text]
    return sum(right) / sum(each.seconds for each in words)


def test_words_are_those_of_each_talker_also_where_two_speak():
    sound, ears = recording(OVERLAPPING, 38), Ears(Tones(), Counts(), Splits())
    result = transcribe_talkers(Names(), sound, ears, talkers=(2, 2))
    assert right_share(result.words, speaker1="anna", speaker2="ben") > 0.95
    said = [Span(word.start, word.end, speaker=word.text) for word in result.words]
    assert compare(OVERLAPPING, said).errors.rate < 0.1
    assert result.audio_seconds == pytest.approx(38)


def test_who_is_enrolled_has_a_name_and_nobody_else():
    sound, ears = recording(OVERLAPPING, 38), Ears(Tones(), Counts(), Splits())
    people = {"Ben Smith/2": voice("ben"), "carl": voice("carl")}
    result = transcribe_talkers(
        Names(),
        sound,
        ears,
        talkers=(2, 2),
        enrolled=(people, Verifier(None)),  # type: ignore[arg-type]
    )
    assert right_share(result.words, **{"speaker1": "anna", "Ben Smith/2": "ben"}) > 0.95


def test_turns_grow_into_silence_alone():
    turns = [Span(1.0, 2.0), Span(2.1, 3.0), Span(2.5, 5.0)]
    grown = widened(turns, 0.2)
    assert [each.start for each in grown] == pytest.approx([0.8, 2.05, 2.3])
    assert [each.end for each in grown] == pytest.approx([2.05, 3.2, 5.2])
