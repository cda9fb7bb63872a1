"""The packaged scorer on real voices: what it must not get wrong, whatever else it does."""

import numpy as np
import pytest
import soundfile
import torch
from scipy.signal import resample_poly
from scipy.stats import binomtest

from unbabble.base.errors import InputError
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.nn.kinds.scorer import LOWEST_DB
from unbabble.pipelines.score import BlindScorer
from unbabble.signal.metrics import si_sdr, si_sdr_matrix

RATE, COUNT, MANY = 8000, 12, 40


@pytest.fixture(scope="module")
def scorer():
    return BlindScorer()


@pytest.fixture(scope="module")
def scenes(data_folder):
    """Clean mixtures of two test speakers, and their voices."""
    made = DynamicMixtures(DynamicMixing(data_folder / "speech.csv", "test", talkers=(2,), seconds=4.0), 5)
    items = [made[number] for number in range(COUNT)]
    return [(torch.from_numpy(item.mixture), torch.from_numpy(item.sources)) for item in items]


def told(scorer, mixture, estimates, rate=RATE):
    return np.array([score.si_snr_db for score in scorer(mixture, estimates, rate)])


@pytest.mark.parametrize("split", ["dev", "test"])
def test_leaks_lower_the_score_as_they_lower_the_truth(scorer, data_folder, split):
    """In the mean by half of what the truth falls, or more; of the scenes so many as by chance 1 time in 1000."""
    made = DynamicMixtures(DynamicMixing(data_folder / "speech.csv", split, talkers=(2,), seconds=4.0), 5)
    found, true = [], []
    for number in range(MANY):
        mixture, sources = (torch.from_numpy(each) for each in (made[number].mixture, made[number].sources))
        leaked = [sources + leak * sources.flip(0) for leak in (0.03, 0.3, 0.7)]
        found.append([told(scorer, mixture, estimates).mean() for estimates in leaked])
        true.append([float(si_sdr(estimates, sources).mean()) for estimates in leaked[1:]])
    falls = -np.diff(found)
    for fallen in (falls > 0).sum(0):
        assert binomtest(int(fallen), MANY, alternative="greater").pvalue < 1e-3
    assert 0.5 < falls[:, 1].mean() / -np.diff(true).mean() < 1.5


def test_the_mixture_in_place_of_every_voice_is_not_taken_for_one(scorer, scenes):
    errors = []
    for mixture, sources in scenes:
        true = si_sdr_matrix(mixture[None], sources)[0].mean()
        errors.append(told(scorer, mixture, mixture.expand(2, -1)).mean() - float(true))
    assert abs(np.mean(errors)) < 3


def test_a_recording_of_one_talker_scores_higher_than_one_of_two(scorer, scenes):
    two = [told(scorer, mixture, mixture[None])[0] for mixture, _ in scenes]
    one = [told(scorer, source, source[None])[0] for _, sources in scenes for source in sources]
    assert np.median(one) > np.median(two) + 5


def test_what_is_no_separation_scores_lower_than_the_voices(scorer, scenes):
    found = {"voices": [], "one of them twice": [], "changing places": []}
    for mixture, sources in scenes:
        half = sources.shape[-1] // 2
        swapped = torch.cat([sources[:, :half], sources.flip(0)[:, half:]], -1)
        for name, estimates in zip(found, (sources, sources[:1].expand(2, -1), swapped), strict=True):
            found[name].append(told(scorer, mixture, estimates).mean())
    assert np.mean(found["voices"]) > np.mean(found["one of them twice"])
    assert np.mean(found["voices"]) > np.mean(found["changing places"])


def test_clipped_voices_are_worse(scorer, scenes):
    found = []
    for mixture, sources in scenes:
        peak = sources.abs().amax(-1, keepdim=True)
        found.append(told(scorer, mixture, sources.clamp(-0.1 * peak, 0.1 * peak)).mean())
    assert np.mean(found) < np.mean([told(scorer, *scene).mean() for scene in scenes])


@pytest.mark.parametrize(("suffix", "subtype"), [("mp3", None), ("ogg", "OPUS"), ("wav", "ULAW")])
def test_a_codec_changes_the_score_about_as_it_changes_the_truth(scorer, scenes, tmp_path, suffix, subtype):
    errors = []
    for mixture, sources in scenes[:6]:
        estimates, paths, read = sources + 0.3 * sources.flip(0), [], []
        for name, samples in (("mixture", mixture), ("one", estimates[0]), ("two", estimates[1])):
            paths.append(tmp_path / f"{name}.{suffix}")
            samples = samples / samples.abs().max() / 2
            soundfile.write(paths[-1], samples.numpy(), RATE, subtype=subtype)
            read.append(torch.from_numpy(soundfile.read(paths[-1])[0][: len(mixture)]))
        samples = min(map(len, read))
        decoded, voices = torch.stack([each[:samples] for each in read[1:]]), sources[:, :samples].double()
        true = si_sdr(decoded, voices).mean() - si_sdr(estimates, sources).mean()
        found = np.array([score.si_snr_db for score in scorer.files(paths[0], paths[1:])])
        errors.append(found.mean() - told(scorer, mixture, estimates).mean() - float(true))
    assert np.abs(errors).mean() < 2.5


def test_another_rate_and_level_say_the_same(scorer, scenes):
    for mixture, sources in scenes[:4]:
        estimates = sources + 0.3 * sources.flip(0)
        double = [
            torch.from_numpy(resample_poly(each.numpy(), 2, 1, axis=-1)) for each in (mixture, estimates)
        ]
        here = told(scorer, mixture, estimates)
        np.testing.assert_allclose(told(scorer, double[0], 0.01 * double[1], 2 * RATE), here, atol=1.5)
        np.testing.assert_allclose(told(scorer, 50 * mixture, estimates.flip(0))[::-1], here, atol=0.01)


def test_intervals_hold_what_they_promise(scorer, scenes):
    held = []
    for number, (mixture, sources) in enumerate(scenes):
        leak = 10 ** (-(3 * number % 20) / 20)
        estimates = sources + leak * sources.flip(0)
        true = torch.diagonal(si_sdr_matrix(estimates, sources))
        scores = scorer(mixture, estimates, RATE)
        held += [s.low_db <= float(t) <= s.high_db for s, t in zip(scores, true, strict=True)]
    assert np.mean(held) > 0.7


def test_silence_and_ten_milliseconds(scorer, scenes):
    mixture, sources = scenes[0]
    estimates = torch.stack([sources[0], torch.zeros_like(mixture)])
    assert told(scorer, mixture, estimates)[1] == LOWEST_DB
    with pytest.raises(InputError, match="silent"):
        scorer(torch.zeros_like(mixture), estimates, RATE)
    with pytest.raises(InputError, match=r"0\.01 seconds"):
        scorer(mixture[:80], sources[:, :80], RATE)
    with pytest.raises(InputError, match="not of one recording"):
        scorer(mixture[:-RATE], sources, RATE)


def test_an_hour_costs_no_more_memory_than_a_piece(scorer, scenes):
    mixture, sources = (torch.cat(list(each), -1)[..., : 20 * RATE] for each in zip(*scenes, strict=True))
    piece = mixture[None], sources[None]
    once, hour = (scorer.network.scores_of(piece for _ in range(count)) for count in (1, 180))
    torch.testing.assert_close(hour.db, once.db, rtol=0, atol=0.01)
