"""``unbabble extract``: enrollments that are refused, recordings of all kinds, what is told."""

import json
import math

import numpy as np
import pytest
import soundfile
import torch

from unbabble import cli
from unbabble.base import audio, weights
from unbabble.base.kinds import KINDS
from unbabble.base.registry import create, method
from unbabble.base.weights import WeightsCard
from unbabble.networks import load as networks
from unbabble.networks.load import Weighted
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.nn.kinds.extractor import NeuralExtractor
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.pipelines import extract as extracting
from unbabble.pipelines.extract import counted_by_array, likeness_of_parts
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.score import VoiceScore

RATE = 8000


@pytest.fixture
def tiny(tmp_path):
    """An extractor with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = create("personal_bsrnn", **method("personal_bsrnn").TINY)
    path = tmp_path / "tiny.safetensors"
    weights.save(
        path, network.state_dict(), weights.WeightsCard("personal_bsrnn", network.resolved_options())
    )
    return path


@pytest.fixture
def call(tmp_path, monkeypatch, capsys, tiny):
    """Run ``unbabble extract``: exit code, entries of the report, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(extracting, "has_scorer", lambda: False)
    monkeypatch.setattr(extracting, "probability_of_several", lambda recording: 0.1)
    monkeypatch.setattr(extracting, "likeness_of_parts", lambda embedder, heard, rate: 0.9)
    extracting._kept.cache_clear()

    def run(*arguments, enroll="me.wav", model=tiny):
        (tmp_path / "r.json").unlink(missing_ok=True)
        words = [*map(str, arguments), "--enroll", enroll, "--model", str(model), "--report", "r.json"]
        code = cli.run(["extract", *words])
        report = tmp_path / "r.json"
        entries = json.loads(report.read_text())["files"] if report.is_file() else []
        return code, entries, capsys.readouterr().err

    make(tmp_path / "me.wav", seconds=2, seed=9)
    return run


def make(path, seconds=1.5, channels=1, rate=RATE, seed=0, gain=0.05):
    samples = np.random.default_rng(seed).laplace(size=(int(rate * seconds), channels)) * gain
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return audio.read(path).samples


def voice(tmp_path, stem, suffix="wav"):
    return audio.read(tmp_path / "extracted" / stem / f"voice.{suffix}")


@pytest.mark.parametrize(
    ("channels", "rate", "format"), [(1, 8000, "wav"), (2, 44100, "flac"), (3, 16000, "wav")]
)
def test_one_voice_at_the_rate_of_the_recording(call, tmp_path, channels, rate, format):
    make(tmp_path / "talk.wav", channels=channels, rate=rate)
    code, (entry,), text = call("talk.wav", "--format", format)
    assert code == 0
    found = voice(tmp_path, "talk", format)
    assert (found.sample_rate, found.samples.shape) == (rate, (1, int(1.5 * rate)))
    assert found.samples.any()
    assert f"Listen: extracted/talk/voice.{format}" in text
    assert any("above 4 kHz is lost" in each for each in entry["warnings"]) == (rate > 8000)
    assert call("talk.wav", "--format", format)[1][0]["outcome"] == "skipped"


def test_a_long_recording_is_what_its_pieces_are(call, tmp_path, monkeypatch):
    make(tmp_path / "long.wav", seconds=6)
    asked = []
    monkeypatch.setattr("unbabble.pipelines.pieces.PIECE_SECONDS", 2.0)
    monkeypatch.setattr("unbabble.pipelines.pieces.SHARED_SECONDS", 0.25)
    monkeypatch.setattr(
        NeuralExtractor, "_voice", lambda self, channel, person: asked.append(len(channel)) or 0.5 * channel
    )
    assert call("long.wav")[0] == 0
    assert max(asked) <= 2.25 * RATE
    torch.testing.assert_close(
        voice(tmp_path, "long").samples, 0.5 * audio.read(tmp_path / "long.wav").samples, rtol=0, atol=1e-6
    )


def test_the_loudest_living_microphone_is_heard(call, tmp_path, monkeypatch):
    samples = np.random.default_rng(0).laplace(size=(RATE, 3)) * [0.0, 0.01, 0.1]
    soundfile.write(tmp_path / "array.wav", samples, RATE, subtype="FLOAT")
    monkeypatch.setattr(NeuralExtractor, "_voice", lambda self, channel, person: channel)
    call("array.wav")
    assert torch.equal(voice(tmp_path, "array").samples, audio.read(tmp_path / "array.wav").samples[2:])


def test_a_part_of_a_recording_in_16_bits(call, tmp_path, monkeypatch):
    make(tmp_path / "talk.wav", seconds=2)
    monkeypatch.setattr(NeuralExtractor, "_voice", lambda self, channel, person: channel)
    _, (entry,), _ = call("talk.wav", "--start", "0.5", "--duration", "1", "--format", "wav16")
    assert entry["audio_seconds"] == 1.0
    found = voice(tmp_path, "talk")
    assert found.subtype == "PCM_16"
    expected = audio.read(tmp_path / "talk.wav").samples[:, RATE // 2 : 3 * RATE // 2]
    torch.testing.assert_close(found.samples, expected, rtol=0, atol=2.0**-16 + 1e-6)


def test_who_is_not_there_is_told(call, tmp_path, monkeypatch):
    make(tmp_path / "talk.wav")
    monkeypatch.setattr(NeuralExtractor, "_voice", lambda self, channel, person: 1e-3 * channel)
    code, (entry,), _ = call("talk.wav")
    assert code == 0
    assert any("Nothing was found of this person" in each for each in entry["warnings"])
    assert entry["details"]["level_db"] == pytest.approx(-60, abs=0.1)


def test_another_enrollment_is_another_voice(call, tmp_path):
    make(tmp_path / "talk.wav")
    make(tmp_path / "other.wav", seconds=2, seed=10)
    call("talk.wav")
    first = voice(tmp_path, "talk").samples
    _, (entry,), _ = call("talk.wav", enroll="other.wav")
    assert entry["outcome"] == "done", "no longer what an earlier run has done"
    assert not torch.equal(voice(tmp_path, "talk").samples, first)


def test_a_batch_goes_on(call, tmp_path):
    make(tmp_path / "talk.wav")
    (tmp_path / "broken.wav").write_bytes(b"RIFF no")
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    code, entries, _ = call("talk.wav", "broken.wav", "silent.wav")
    assert code == 1
    assert [entry["outcome"] for entry in entries] == ["done", "failed", "failed"]
    assert "nobody talks" in entries[2]["error"]
    assert not (tmp_path / "extracted" / "broken" / "voice.wav").exists()


def silent(path):
    soundfile.write(path, np.zeros(2 * RATE), RATE)


def clipped(path):
    samples = np.clip(np.random.default_rng(0).normal(size=2 * RATE) * 2, -0.9, 0.9)
    soundfile.write(path, samples, RATE, subtype="FLOAT")


def pauses(path):
    """Five seconds, of which half a second is speech."""
    samples = np.zeros(5 * RATE)
    samples[: RATE // 2] = np.random.default_rng(0).laplace(size=RATE // 2) * 0.1
    soundfile.write(path, samples, RATE, subtype="FLOAT")


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (silent, "is silent"),
        (clipped, "is clipped in"),
        (pauses, "0.5 seconds of speech to enroll by"),
        (lambda path: path.write_bytes(b"no"), "is a text file"),
        (lambda path: None, "bad.wav"),
    ],
)
def test_enrollments_that_are_refused(call, tmp_path, write, told):
    make(tmp_path / "talk.wav")
    write(tmp_path / "bad.wav")
    code, entries, text = call("talk.wav", enroll="bad.wav")
    assert code == 1
    assert told in text
    assert len(text.strip().splitlines()) == 1
    assert not entries
    assert not (tmp_path / "extracted").exists()


@pytest.mark.parametrize(("several", "code"), [(0.95, 1), (0.6, 0), (0.2, 0)])
def test_an_enrollment_of_several_people(call, tmp_path, monkeypatch, several, code):
    make(tmp_path / "talk.wav")
    monkeypatch.setattr(extracting, "probability_of_several", lambda recording: several)
    found, entries, text = call("talk.wav")
    assert found == code
    assert ("record one person alone" in text) == (code == 1)
    doubted = [text for entry in entries for text in entry["warnings"] if "Perhaps several" in text]
    assert bool(doubted) == (several == 0.6)


@pytest.mark.parametrize(
    ("several", "counted", "code", "doubted"),
    [
        (0.45, 3, 1, False),
        (0.45, 2, 0, True),
        (0.75, 2, 1, False),
        (0.2, 4, 0, False),
        (0.75, 1, 0, False),
        (0.95, 1, 0, True),
    ],
)
def test_an_enrollment_by_an_array(call, tmp_path, monkeypatch, several, counted, code, doubted):
    """Where microphones count several, less probability is enough; where they hear one, more is needed."""
    make(tmp_path / "talk.wav")
    monkeypatch.setattr(extracting, "probability_of_several", lambda recording: several)
    monkeypatch.setattr(extracting, "counted_by_array", lambda recording: counted)
    found, entries, text = call("talk.wav")
    assert found == code
    assert (f"its microphones hear {counted}" in text) == (code == 1)
    assert any("Perhaps several" in text for entry in entries for text in entry["warnings"]) == doubted


def test_an_array_counts(tmp_path):
    """Two who come and go, each at another place; copies of one microphone, and short recordings, tell nothing."""
    rng = np.random.default_rng(0)
    gates = np.repeat(rng.random((2, 24)) > 0.4, RATE // 4, 1)
    voices = rng.laplace(size=gates.shape) * gates
    delays = np.array([[0, 2, 5], [6, 3, 0]])
    heard = sum(np.stack([np.roll(voices[k], delay) for delay in delays[k]]) for k in range(2))
    array = Recording.of(torch.from_numpy(heard + 0.01 * rng.normal(size=heard.shape)).float(), RATE)
    assert counted_by_array(array) == 2
    one = np.stack([np.roll(voices[0], delay) for delay in delays[0]])
    assert (
        counted_by_array(
            Recording.of(torch.from_numpy(one + 0.01 * rng.normal(size=one.shape)).float(), RATE)
        )
        == 1
    )
    assert counted_by_array(Recording.of(array.samples[:2], RATE)) is None
    assert counted_by_array(Recording.of(array.samples[[0, 1, 0, 1]], RATE)) is None
    assert counted_by_array(Recording.of(array.samples[:, :500], RATE)) is None


@pytest.mark.parametrize(("alike", "code"), [(0.05, 1), (0.3, 0), (0.9, 0)])
def test_an_enrollment_of_people_who_take_turns(call, tmp_path, tones, monkeypatch, alike, code):
    monkeypatch.setattr(extracting, "likeness_of_parts", lambda embedder, heard, rate: alike)
    found, entries, text = call("low.wav", enroll="low.wav", model="separator")
    assert found == code
    assert ("record one person alone" in text) == (code == 1)
    doubted = [text for entry in entries for text in entry["warnings"] if "by turns" in text]
    assert bool(doubted) == (alike == 0.3)


def test_likeness_of_parts(tones):
    size = round(extracting.PART_SECONDS * RATE)
    low, high = (torch.from_numpy(np.resize(tones[name], 2 * size)).float() for name in ("low", "high"))
    across = math.cos(3 * math.pi * 2 * (2000 - 100) / 16000)
    found = likeness_of_parts(Pitch(), torch.cat([low, high]), RATE)
    assert found == pytest.approx((2 + 4 * across) / 6, abs=0.02), "two pairs of one tone, four of two"
    assert likeness_of_parts(Pitch(), torch.cat([low, low]), RATE) == pytest.approx(1, abs=0.01)
    assert likeness_of_parts(Pitch(), low[: 3 * size // 2], RATE) == 1.0


class TwoTones(NeuralSeparator):
    """Knows of two tones; which comes first changes."""

    def estimate(self, mixture):
        low = torch.nn.functional.avg_pool1d(mixture[:, None], 8, 1, 4)[..., : mixture.shape[-1]]
        voices = torch.cat([low, mixture[:, None] - low], 1)
        return voices.flip(1) if mixture.shape[-1] % 2 else voices


class NoSeparator(NeuralSeparator):
    """Leaves the recording as it is, twice."""

    def estimate(self, mixture):
        return mixture[:, None].expand(-1, 2, -1)


class Pitch(NeuralEmbedder):
    """Turns with the rate of zero crossings."""

    def __init__(self):
        super().__init__(sample_rate=16000)
        self.turn = torch.nn.Parameter(torch.tensor(3 * torch.pi))

    def embed(self, waveform):
        angle = (waveform[:, 1:].sign() != waveform[:, :-1].sign()).float().mean(1) * self.turn
        return torch.stack([angle.cos(), angle.sin()], -1)

    def loss(self, *item):
        raise NotImplementedError


@pytest.fixture
def tones(tmp_path, monkeypatch):
    """A separator and an embedder of tones in place of those with weights; tones of 100, 2000 and 3500 Hz."""
    made = {"separator": TwoTones(sources=2, levels="kept"), extracting.EMBEDDER: Pitch()}
    made["none"] = NoSeparator(sources=2, levels="kept")
    made["extractor"] = create("voicefilter", **method("voicefilter").TINY)
    kinds = {extracting.EMBEDDER: KINDS["embedder"], "extractor": KINDS["extractor"]}
    monkeypatch.setattr(networks, "last_change", lambda name: 0)
    monkeypatch.setattr(networks, "check_kind", lambda name, *wanted: kinds.get(name, KINDS["separator"]))
    monkeypatch.setattr(
        networks,
        "load",
        lambda name, *wanted: Weighted(made[name], WeightsCard(name), kinds.get(name, KINDS["separator"])),
    )
    monkeypatch.setattr(extracting, "packaged", lambda: {extracting.EMBEDDER: None})
    found = {}
    for name, pitch, gain in (("low", 100, 0.1), ("high", 2000, 0.05), ("third", 3500, 0.1)):
        found[name] = gain * np.sin(2 * np.pi * pitch * np.arange(2 * RATE) / RATE)
        soundfile.write(tmp_path / f"{name}.wav", found[name], RATE, subtype="FLOAT")
    return found


@pytest.mark.parametrize("samples", [2 * RATE, 2 * RATE - 1])
@pytest.mark.parametrize("who", ["low", "high"])
def test_of_separated_voices_the_one_like_the_enrollment(call, tmp_path, tones, who, samples):
    soundfile.write(tmp_path / "both.wav", (tones["low"] + tones["high"])[:samples], RATE, subtype="FLOAT")
    code, (entry,), _ = call("both.wav", enroll=f"{who}.wav", model="separator")
    assert code == 0
    assert not entry["warnings"]
    found, right = voice(tmp_path, "both").samples[0].numpy(), tones[who][:samples]
    assert np.square(found - right).mean() < 0.1 * np.square(right).mean()


@pytest.mark.parametrize("models", ["separator,none", "none, separator"])
@pytest.mark.parametrize("samples", [2 * RATE, RATE // 8])
def test_of_several_separators_the_one_that_scores_best(call, tmp_path, tones, monkeypatch, models, samples):
    def scorer():
        return lambda mixture, voices, rate: [VoiceScore(float((voices[0] - voices[1]).norm()), 0, 0)]

    monkeypatch.setattr(extracting, "BlindScorer", scorer)
    soundfile.write(tmp_path / "both.wav", (tones["low"] + tones["high"])[:samples], RATE, subtype="FLOAT")
    code, (entry,), _ = call("both.wav", enroll="high.wav", model=models)
    assert (code, entry["model"]) == (0, models)
    found, right = voice(tmp_path, "both").samples[0].numpy(), tones["high"][:samples]
    separated = np.square(found - right).mean() < 0.2 * np.square(right).mean()
    too_short_to_score = samples < RATE // 4
    assert separated == (not too_short_to_score or models.startswith("separator"))


def test_several_that_do_not_all_separate_are_refused(call, tmp_path, tones):
    for models, reason in (
        ("separator,,none", "has no name"),
        ("separator,extractor", "not all"),
    ):
        code, _, text = call("low.wav", model=models)
        assert code == 2
        assert reason in text


def test_a_voice_unlike_all_others_is_not_there(call, tmp_path, tones):
    soundfile.write(tmp_path / "both.wav", tones["low"] + tones["high"], RATE, subtype="FLOAT")
    code, (entry,), _ = call("both.wav", enroll="third.wav", model="separator")
    assert code == 0
    assert any("Nothing was found of this person" in each for each in entry["warnings"])
    assert not voice(tmp_path, "both").samples.any()


def test_a_separator_needs_something_that_tells_speakers_apart(call, tmp_path, save, monkeypatch):
    make(tmp_path / "talk.wav")
    monkeypatch.setattr(extracting, "packaged", dict)
    code, _, text = call("talk.wav", model=save(tmp_path / "other.safetensors"))
    assert code == 1
    assert "tells speakers apart" in text


def test_what_is_no_extractor_is_refused(call, tmp_path):
    make(tmp_path / "talk.wav")
    code, _, text = call("talk.wav", model="gru.2x64")
    assert code == 2
    assert "Model 'gru.2x64' does not bring out one enrolled person: it takes noise off" in text
    for wrong in ("colour=7", "blocks=[1]"):
        code, _, text = call("talk.wav", "--set", wrong)
        assert code == 2
        assert wrong.partition("=")[0] in text
        assert len(text.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("likeness", "said"),
    [
        (0.95, "excellent"),
        (0.7, "perhaps somebody else"),
        (0.1, "probably somebody else"),
        (None, "don't know"),
    ],
)
def test_no_good_word_for_a_voice_that_may_be_wrong(call, tmp_path, monkeypatch, likeness, said):
    class Scorer:
        def of(self, recording, estimates, channel):
            return [VoiceScore(25.0, 24.0, 26.0)]

    monkeypatch.setattr(extracting, "has_scorer", lambda: True)
    monkeypatch.setattr(extracting, "BlindScorer", Scorer)
    monkeypatch.setattr(extracting, "likeness", lambda *arguments: likeness)
    monkeypatch.setattr(extracting, "ABSENT_DB", -200.0)
    make(tmp_path / "x.wav")
    code, (entry,), text = call("x.wav")
    assert code == 0
    assert entry["details"]["likeness"] == likeness
    assert entry["details"]["scores"][0]["verdict"] == said
    assert said in " ".join(text.split())


def test_a_voice_is_like_itself_at_any_level_and_rate():
    voice = torch.from_numpy(np.random.default_rng(0).laplace(size=2 * RATE)).float()
    assert extracting.likeness(voice, RATE, 0.01 * voice, RATE) == pytest.approx(1.0, abs=1e-3)
    twice = audio.resample(voice, RATE, 2 * RATE)
    assert extracting.likeness(twice, 2 * RATE, voice, RATE) == pytest.approx(1.0, abs=0.02)
    assert extracting.likeness(0 * voice, RATE, voice, RATE) is None
