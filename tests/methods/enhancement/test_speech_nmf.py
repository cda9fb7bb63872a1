"""Enhancement by dictionaries of speech and a noise that is learnt."""

import pytest
import torch

from unbabble.base import audio
from unbabble.base.errors import InputError, UsageError
from unbabble.data import corpora
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.methods.enhancement.speech_nmf import (
    SpeechNmf,
    clustered,
    cost,
    learnt,
    shrunk,
    updated_activations,
    updated_dictionary,
)
from unbabble.signal.metrics import si_sdr

RATE = 16000


def positive(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.01


def voice(pitch: float, seconds: float = 2.0, seed: int = 0) -> torch.Tensor:
    """Harmonics that come and go."""
    time = torch.arange(round(seconds * RATE)) / RATE
    tones = sum(torch.sin(2 * torch.pi * pitch * k * time + k) / k for k in range(1, 12))
    return (tones * torch.sin(2 * torch.pi * (1.3 + 0.2 * seed) * time + seed) ** 2).float()


def noise(seconds: float = 2.0, seed: int = 0) -> torch.Tensor:
    """Steady, from 2 to 6 kHz."""
    white = torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(seed))
    spectrum = torch.fft.rfft(white)
    hertz = torch.arange(len(spectrum)) * RATE / len(white)
    return torch.fft.irfft(spectrum * ((hertz > 2000) & (hertz < 6000)), n=len(white))


def test_updates_never_raise_the_cost():
    spectrogram, dictionary, activations = positive(30, 40), positive(30, 5, seed=1), positive(5, 40, seed=2)
    dictionary = dictionary / dictionary.sum(0)
    before = cost(spectrogram, dictionary @ activations)
    for _ in range(10):
        activations = updated_activations(spectrogram, dictionary, activations)
        after = cost(spectrogram, dictionary @ activations)
        assert after <= before + 1e-9
        changed = updated_dictionary(spectrogram, dictionary, activations)
        assert torch.allclose(changed.sum(0), torch.ones(5, dtype=torch.float64))
        dictionary, before = changed, after
    assert cost(spectrogram, spectrogram) == pytest.approx(0, abs=1e-9)


def test_a_dictionary_finds_what_a_spectrogram_is_made_of():
    parts = torch.eye(12, dtype=torch.float64)[:, [1, 5, 9]] + 1e-6
    spectrogram = parts @ (positive(3, 60) ** 4)
    found = learnt(spectrogram, 3, seed=0)
    assert (found / found.norm(dim=0)).T.matmul(parts).max(0).values.min() > 0.98
    pulled = learnt(spectrogram, 3, seed=0, pull=0.5)
    assert pulled.std(1).sum() < found.std(1).sum()


def test_the_penalty_leaves_what_is_strong_and_thins_out_the_rest():
    activations = torch.ones(6, 4, dtype=torch.float64)
    activations[:2] *= 10
    found = shrunk(activations, 3, 0.5, each_frame=False)
    assert (found[:2] / activations[:2]).min() > 0.75
    assert (found[2:] / activations[2:]).max() < 0.5
    activations[4:, 0] = 100.0
    frames = shrunk(activations, 3, 0.5, each_frame=True)
    assert (frames[4:, 0] / 100).min() > 0.75
    assert (frames[:2, 0] / 10).max() < (frames[:2, 1] / 10).min(), (
        "a block counts for less where another is strong"
    )
    assert torch.equal(shrunk(activations, 3, 0.0, each_frame=True), activations)


def test_frames_that_are_alike_lie_together():
    shapes = torch.eye(8, dtype=torch.float64)[:, [0, 3, 6]] + 0.01
    spectrogram = shapes[:, torch.arange(30) % 3] * positive(1, 30)
    parts = clustered(spectrogram, 3, seed=1)
    for part in parts:
        assert len(set(part.argmax(0).tolist())) == 1
    assert sum(part.shape[1] for part in parts) == 30


@pytest.mark.parametrize(
    ("tag", "options"),
    [("semi", {}), ("semi", {"online": True}), ("universal", {}), ("local", {"blocks": 4, "rank": 4})],
)
def test_noise_is_taken_off(tag, options):
    examples = [voice(pitch, seed=seed) for seed, pitch in enumerate((100, 140, 200, 230))]
    true = voice(140, seed=5)
    mixture = true + 0.7 * noise() * true.std() / noise().std()
    model = SpeechNmf(tag, speech=examples, noise_rank=4, iterations=40, **options)
    found = model(mixture[None, None])
    assert found.shape == (1, 1, len(true))
    gain = si_sdr(found[0], true[None]) - si_sdr(mixture[None], true[None])
    assert float(gain) > 5


def test_online_knows_nothing_of_what_comes():
    examples = [voice(100), voice(200, seed=1)]
    first, second = voice(150) + noise(), voice(150) + noise()
    second[RATE:] = noise(1.0, seed=3)
    model = SpeechNmf("semi", speech=examples, online=True, noise_rank=3, rank=6)
    one, other = (model.mask(model._magnitudes(each)) for each in (first, second))
    frames = (RATE - 1024) // 256
    torch.testing.assert_close(one[:, :frames], other[:, :frames], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(one[:, frames + 8 :], other[:, frames + 8 :], atol=1e-2)


@pytest.mark.parametrize("gain", [1e-5, 1e4])
def test_the_level_makes_no_difference(gain):
    model = SpeechNmf("universal", speech=[voice(100), voice(200)], iterations=5)
    mixture = (voice(150) + noise())[None, None]
    torch.testing.assert_close(model(gain * mixture), gain * model(mixture), rtol=1e-4, atol=1e-5 * gain)


def test_every_microphone_is_filtered_alike():
    model = SpeechNmf("semi", speech=[voice(100)], iterations=5)
    mixture = torch.stack([voice(150) + noise(), noise(seed=2)])[None]
    images = model(mixture, images=True)
    assert images.shape == (1, 1, 2, mixture.shape[-1])
    torch.testing.assert_close(images[:, :, 0], model(mixture), rtol=1e-4, atol=1e-5)


def test_what_is_refused(tmp_path):
    with pytest.raises(InputError, match="clean speech of some people"):
        SpeechNmf()(torch.randn(1, 1, 4000))
    with pytest.raises(InputError, match="no file"):
        SpeechNmf(speech=str(tmp_path / "nobody.wav"))(torch.randn(1, 1, 4000))
    with pytest.raises(InputError):
        SpeechNmf(speech=[torch.zeros(4000)])(torch.randn(1, 1, 4000))
    with pytest.raises(UsageError, match="online"):
        SpeechNmf("local", online=True)
    for wrong in ({"rank": 0}, {"noise_rank": 0}, {"sparsity": -1.0}, {"iterations": 0}):
        with pytest.raises(UsageError):
            SpeechNmf(**wrong)


@pytest.mark.parametrize("tag", ["universal", "local"])
def test_a_voice_that_is_nearly_clean_stays(data_folder, tag):
    """The noise's dictionary must not take what others' dictionaries do not have: that cost 6 to 9 dB."""
    speech = corpora.speech(data_folder / "speech.csv", "train")
    longest = {each.speaker: each for each in sorted(speech, key=lambda each: each.seconds)}
    examples = [audio.read(each.path).samples[0] for each in list(longest.values())[:10]]
    options = {"noise": data_folder / "noise.csv", "noise_split": "train", "noise_share": 1.0}
    mixing = DynamicMixing(
        data_folder / "speech.csv", "dev", talkers=(1,), sample_rate=RATE, snr_db=(10.0, 10.0), **options
    )
    scenes = DynamicMixtures(mixing, 0)
    model, gains = SpeechNmf(tag, speech=examples), []
    for number in range(4):
        mixture, true = torch.from_numpy(scenes[number].mixture), torch.from_numpy(scenes[number].sources)
        gains.append(float(si_sdr(model(mixture[None, None])[0], true) - si_sdr(mixture[None], true)))
    assert sum(gains) / len(gains) > -1
