"""Scores of recordings as they come."""

import numpy as np
import pytest
import soundfile
import torch

from unbabble.base import audio
from unbabble.base.audio import Audio
from unbabble.base.errors import InputError, UsageError
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.score import BOUNDS_DB, UNSURE, WORDS, BlindScorer, VoiceScore

RATE = 16000


@pytest.fixture
def scorer(scorer_file):
    return BlindScorer(str(scorer_file))


def voices(seconds=2.0, rate=RATE, seed=0):
    rng = np.random.default_rng(seed)
    low = np.cumsum(rng.standard_normal((2, round(seconds * rate))), axis=1)
    return (low - np.roll(low, 40, axis=1)).astype(np.float32) / 100


def write(path, samples, rate=RATE):
    soundfile.write(path, np.asarray(samples).T, rate, subtype="FLOAT")
    return path


def test_words_lie_between_their_bounds():
    assert len(WORDS) == len(BOUNDS_DB) + 1
    assert list(BOUNDS_DB) == sorted(BOUNDS_DB)
    for bound, below, above in zip(BOUNDS_DB, WORDS[:-1], WORDS[1:], strict=True):
        assert VoiceScore(bound - 0.1, bound - 0.2, bound).verdict == below
        assert VoiceScore(bound, bound, bound).verdict == above


def test_an_interval_over_too_many_words_says_nothing():
    assert VoiceScore(5.0, BOUNDS_DB[0] - 1, BOUNDS_DB[-1] + 1).verdict == UNSURE
    assert VoiceScore(5.0, BOUNDS_DB[0] - 1, BOUNDS_DB[1] + 1).to_dict()["verdict"] in WORDS


def test_files_score_as_their_samples_do(scorer, tmp_path):
    sources = voices()
    mixture, estimates = sources.sum(0), sources + 0.2 * sources[::-1]
    paths = [write(tmp_path / f"{k}.wav", each) for k, each in enumerate([mixture, *estimates])]
    told = scorer(torch.from_numpy(mixture), torch.from_numpy(estimates), RATE)
    read = scorer.files(paths[0], paths[1:])
    for one, other in zip(told, read, strict=True):
        assert one.si_snr_db == pytest.approx(other.si_snr_db, abs=1e-3)
        assert one.low_db <= one.high_db


def test_whatever_holds_samples_is_scored_alike(scorer, tmp_path):
    sources = voices()
    mixture, estimates = sources.sum(0), sources + 0.2 * sources[::-1]
    paths = [write(tmp_path / f"{k}.wav", each) for k, each in enumerate([mixture, *estimates])]
    both = write(tmp_path / "both.wav", estimates)
    wanted = [each.si_snr_db for each in scorer(torch.from_numpy(mixture), torch.from_numpy(estimates), RATE)]
    with paths[0].open("rb") as file:
        for given in (
            (mixture, estimates, RATE),
            (mixture, list(estimates), RATE),
            (paths[0], [str(path) for path in paths[1:]]),
            (str(paths[0]), both),
            (file, torch.from_numpy(estimates)),
            (audio.read(paths[0]), [audio.read(paths[1]), paths[2].read_bytes()]),
            (Recording.open(paths[0]), tuple(map(Recording.open, paths[1:]))),
            (np.stack([np.zeros_like(mixture), mixture]), estimates, RATE),
        ):
            assert [each.si_snr_db for each in scorer(*given)] == pytest.approx(wanted, abs=1e-3)
    assert len(scorer(paths[0], paths[1])) == 1


def test_an_estimate_at_another_rate_or_some_samples_shorter_is_of_the_same_recording(scorer, tmp_path):
    sources = voices(rate=8000)
    up = audio.resample(torch.from_numpy(sources[:1]), 8000, RATE)
    same, other = (
        scorer(torch.from_numpy(sources.sum(0)), Audio(each, rate), 8000)[0].si_snr_db
        for each, rate in ((torch.from_numpy(sources[:1]), 8000), (up[:, :-100], RATE))
    )
    assert same == pytest.approx(other, abs=1.0)


@pytest.mark.parametrize(
    ("mixture", "estimates", "rate", "kind", "sentence"),
    [
        (np.zeros(RATE, np.float32), voices(1.0), RATE, InputError, "The mixture is silent"),
        (voices(1.0)[0], voices(0.5), RATE, InputError, "lasts 1.00 s and an estimate 0.50 s"),
        (voices(1.0)[0], voices(1.0) * np.nan, RATE, InputError, "not numbers"),
        (voices(1.0)[0], voices(1.0), None, UsageError, "needs its sample_rate"),
        (voices(1.0)[0], [], RATE, UsageError, "no estimates"),
        (voices(1.0)[0], "none.wav", RATE, InputError, "There is no file 'none.wav'"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(scorer, mixture, estimates, rate, kind, sentence):
    with pytest.raises(kind, match=sentence):
        scorer(mixture, estimates, rate)


def test_another_rate_is_nearly_the_same(scorer, tmp_path):
    sources = voices(rate=8000)
    mixture = write(tmp_path / "mixture.wav", sources.sum(0), 8000)
    same = write(tmp_path / "a.wav", sources[0], 8000)
    up = torch.nn.functional.interpolate(torch.from_numpy(sources[:1])[None], scale_factor=2, mode="linear")
    other = write(tmp_path / "b.wav", up[0, 0].numpy(), RATE)
    first, second = (scorer.files(mixture, [path])[0].si_snr_db for path in (same, other))
    assert first == pytest.approx(second, abs=1.0)


def test_a_channel_of_many(scorer, tmp_path):
    sources = voices()
    noise = np.random.default_rng(1).standard_normal(sources.shape[1]) * 0.1
    both = write(tmp_path / "both.wav", np.stack([noise, sources.sum(0)]))
    alone = write(tmp_path / "alone.wav", sources.sum(0))
    voice = write(tmp_path / "voice.wav", sources[0])
    assert scorer.files(both, [voice], channel=2) == scorer.files(alone, [voice])
    assert scorer.files(both, [voice], channel=1) != scorer.files(alone, [voice])
    with pytest.raises(InputError, match="no channel 3"):
        scorer.files(both, [voice], channel=3)


@pytest.mark.parametrize("difference", [-0.5, 0.5])
def test_files_of_other_lengths_are_refused(scorer, tmp_path, difference):
    mixture = write(tmp_path / "mixture.wav", voices().sum(0))
    voice = write(tmp_path / "voice.wav", voices(2.0 + difference)[0])
    with pytest.raises(InputError, match="not of one recording"):
        scorer.files(mixture, [voice])


def test_some_samples_more_are_not(scorer, tmp_path):
    sources = voices()
    mixture = write(tmp_path / "mixture.wav", sources.sum(0))
    assert scorer.files(mixture, [write(tmp_path / "voice.wav", sources[0, :-30])])


def test_what_cannot_be_scored(scorer, tmp_path):
    short = write(tmp_path / "short.wav", voices(0.01).sum(0))
    silent = write(tmp_path / "silent.wav", np.zeros(RATE))
    voice = write(tmp_path / "voice.wav", voices(1.0)[0])
    with pytest.raises(InputError, match=r"at least 0\.25"):
        scorer.files(short, [short])
    with pytest.raises(InputError, match="silent"):
        scorer.files(silent, [voice])
    with pytest.raises(InputError, match="There is no file"):
        scorer.files(tmp_path / "none.wav", [voice])


def test_a_separator_does_not_score(save, tmp_path):
    with pytest.raises(UsageError, match="does not say how well talkers were separated"):
        BlindScorer(str(save(tmp_path / "network.safetensors")))
