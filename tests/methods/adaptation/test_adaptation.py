"""Tasks that adapt an enhancer: what each of them asks for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from unbabble.base.errors import InputError
from unbabble.base.registry import create, of_kind
from unbabble.methods.adaptation import contrastive_mixtures
from unbabble.methods.adaptation.data_purification import DataPurification, frame_snr_db, weighted
from unbabble.methods.adaptation.noisy2noisy import Noisy2Noisy
from unbabble.methods.adaptation.pseudo_enhancement import PseudoEnhancement
from unbabble.methods.adaptation.remixit import EVERY, KEPT, RemixIT
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.material import Material, batched, mixed, negative_snr_db

SAMPLES = 4000
TASKS = of_kind("adaptation")


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Gain(NeuralSeparator):
    """An enhancer with one weight."""

    def __init__(self) -> None:
        super().__init__(sources=1, sample_rate=16000, levels="kept")
        self.gain = torch.nn.Parameter(torch.tensor(0.5))
        self.heard: list[torch.Tensor] = []

    def estimate(self, mixture):
        self.heard.append(mixture.detach())
        return self.gain * mixture[:, None]


@pytest.fixture
def material():
    """A tone in noise, and the tone."""
    tone = torch.sin(torch.arange(5 * SAMPLES) * 0.3)
    return Material([tone + 0.3 * noise(5 * SAMPLES)], [tone], SAMPLES, [noise(SAMPLES // 2, seed=3)])


@pytest.mark.parametrize("name", TASKS)
def test_a_loss_is_a_number_with_a_gradient_and_repeats(name, material):
    network = Gain()
    task = create(name, material=material, network=network)
    batch = task.draw(np.random.default_rng(7), 6)
    first, second = (task.loss(*batch) for _ in range(2))
    assert first.shape == ()
    assert torch.equal(first, second)
    assert first.isfinite()
    first.backward()
    assert network.gain.grad is not None
    assert network.gain.grad.isfinite()
    assert network.gain.grad != 0


@pytest.mark.parametrize("gain", [0.0, 1.0])
@pytest.mark.parametrize("name", TASKS)
def test_estimates_that_are_exact_or_silent_have_a_gradient_that_is_a_number(name, gain, material):
    network = Gain()
    with torch.no_grad():
        network.gain.fill_(gain)
    material = replace(material, recordings=material.estimates)
    task = create(name, material=material, network=network)
    loss = task.loss(*task.draw(np.random.default_rng(7), 4))
    assert loss.isfinite()
    loss.backward()
    assert network.gain.grad is not None
    assert network.gain.grad.isfinite()


def test_half_of_a_batch_is_clean_speech_where_there_is_some(material):
    task = create("distillation", material=material, network=Gain())
    batch = task.drawn(np.random.default_rng(0), 6)
    assert [len(each) for each in (*batch.recordings, *batch.clean)] == [3] * 4
    losses = task.losses("network", batch, 0)
    assert losses["recordings"] == task.loss(*batch.recordings) / 2
    without = create("distillation", material=replace(material, voices=()), network=Gain())
    batch = without.drawn(np.random.default_rng(0), 6)
    assert batch.clean is None
    assert without.losses("network", batch, 0) == {"recordings": without.loss(*batch.recordings)}


def test_what_is_mixed_has_its_ratio():
    voice, sound = noise(1000), noise(1000, seed=1)
    rest = mixed(voice, sound, 6.0) - voice
    assert 10 * torch.log10(voice.square().sum() / rest.square().sum()) == pytest.approx(6.0, abs=1e-3)


def test_material_gives_excerpts_of_what_belongs_together(material):
    rng = np.random.default_rng(0)
    for _ in range(5):
        noisy, estimate = material.excerpt(rng)
        assert len(noisy) == len(estimate) == SAMPLES
        assert (noisy - estimate).std() == pytest.approx(0.3, abs=0.03)
        assert material.noise(rng).std() == pytest.approx(0.3, abs=0.03)
    voice = material.voice(rng)
    assert len(voice) == SAMPLES
    assert not voice[SAMPLES // 2 :].any(), "short clean speech has silence behind it"
    with pytest.raises(InputError):
        Material([noise(10)], [noise(10)], SAMPLES)
    others = Material(material.recordings, material.estimates, SAMPLES, noises=[torch.ones(100)])
    assert torch.equal(others.noise(rng), torch.ones(SAMPLES)), "it begins again where it ends"


def test_excerpts_are_where_somebody_speaks():
    speaking = torch.cat([torch.zeros(20 * SAMPLES), noise(10 * SAMPLES)])
    material = Material([speaking + 0.01 * noise(30 * SAMPLES, seed=1)], [speaking], SAMPLES)
    rng = np.random.default_rng(0)
    assert np.mean([material.excerpt(rng)[1].std() > 0.2 for _ in range(50)]) > 0.9


def asked(task, network, monkeypatch):
    """What the network is to return, as its own loss gets it."""
    found = []
    monkeypatch.setattr(
        network, "loss", lambda mixture, wanted: found.append((mixture, wanted)) or mixture[:, 0]
    )
    task.loss(*task.draw(np.random.default_rng(0), 3))
    return found[0]


def test_pseudo_enhancement_asks_for_the_recording(material, monkeypatch):
    network = Gain()
    mixture, wanted = asked(PseudoEnhancement(material, network), network, monkeypatch)
    share = wanted[:, 0].square().sum(-1) / (mixture - wanted[:, 0]).square().sum(-1)
    assert ((share > 10**-0.55) & (share < 10**0.55)).all()
    tone = (torch.fft.rfft(wanted[:, 0]).abs() ** 2).max(-1).values / (
        torch.fft.rfft(wanted[:, 0]).abs() ** 2
    ).sum(-1)
    assert (tone > 0.5).all(), "the tone, with the noise that it came with"


def test_noisy2noisy_asks_for_the_recording_in_another_noise(material, monkeypatch):
    network = Gain()
    mixture, wanted = asked(Noisy2Noisy(material, network), network, monkeypatch)
    assert not torch.equal(mixture, wanted[:, 0])
    likeness = torch.nn.functional.cosine_similarity(mixture, wanted[:, 0])
    assert ((likeness > 0.2) & (likeness < 0.95)).all()


def test_purification_counts_frames_by_their_snr():
    voice, sound = noise(1, 8192), noise(1, 8192, seed=1)
    voice[:, 4096:] = 0
    snr_db = frame_snr_db(voice, sound)
    assert (snr_db[:, 3:16].abs() < 3).all()
    assert (snr_db[:, 19:] < -60).all()
    target, estimate = noise(1, 8192, seed=2), noise(1, 8192, seed=3)
    only_first = torch.zeros_like(snr_db)
    only_first[:, 0] = 1
    changed = estimate.clone()
    changed[:, 2048:] = 0
    assert torch.equal(weighted(estimate, target, only_first), weighted(changed, target, only_first))
    assert weighted(0.9 * target, target, torch.ones_like(snr_db)) == pytest.approx(-20, abs=0.1)


def test_purification_asks_a_predictor(material):
    network, heard = Gain(), []

    def predictor(recording):
        heard.append(recording)
        return frame_snr_db(recording, recording) - 100  # nothing is to be trusted

    task = DataPurification(material, network, predictor)
    loss = task.loss(*task.draw(np.random.default_rng(0), 2))
    assert len(heard) == 1
    assert loss.abs() < 1e-6


def test_a_predictor_and_the_loss_mean_the_same_frames(material):
    """A loud click is in as many frames, and in the same ones, for both."""
    predictor = create("frame_snr", hidden=4, layers=1)
    silence = torch.zeros(1, SAMPLES)
    click = silence.clone()
    click[0, 2000] = 1
    heard = predictor.frames.cut(click).square().sum(-1) > 0
    assert torch.equal(frame_snr_db(click, silence) > 0, heard)
    task = DataPurification(material, Gain(), predictor.snr_db)
    assert task.loss(*task.draw(np.random.default_rng(0), 2)).isfinite()


def test_contrastive_mixtures_are_the_formula(material, monkeypatch):
    network, batches = Gain(), []
    monkeypatch.setattr(
        contrastive_mixtures, "batched", lambda pairs: batches.append(batched(pairs)) or batches[0]
    )
    task = contrastive_mixtures.ContrastiveMixtures(material, network)
    with torch.no_grad():
        found = task.loss(*task.draw(np.random.default_rng(4), 8))
    one, other, p1, p2 = batches[0]
    expected = 0.0
    for number in range(4):
        x1, x2, s1, s2 = (each[number : number + 1] for each in (one, other, p1, p2))
        n1, n2 = x1 - s1, x2 - s2
        positive = torch.equal(s1, s2)
        assert positive == (number % 2 == 1)
        alike = torch.nn.functional.cosine_similarity(n1, n2)
        assert (alike < 0.9) if positive else (alike > 0.999), "one noise where there are two recordings"
        y1, y2 = 0.5 * x1, 0.5 * x2
        expected += (negative_snr_db(y1, s1) + negative_snr_db(y2, s2)) / 2
        if positive:
            expected += contrastive_mixtures.AGREEMENT * negative_snr_db(y1, y2)
        else:
            apart = negative_snr_db(y1, y2) - negative_snr_db(s1, s2)
            expected += contrastive_mixtures.DISAGREEMENT * apart**2
    torch.testing.assert_close(found[None], expected / 4)


def test_remixit_learns_from_what_its_teacher_takes_apart(material):
    network = Gain()
    task = RemixIT(material, network)
    with torch.no_grad():
        network.gain.fill_(0.9)
    teacher = task.networks["teacher"]
    task.loss(*task.draw(np.random.default_rng(0), 4))
    (mixtures,) = network.heard
    (recordings,) = teacher.heard
    assert mixtures.shape == recordings.shape
    assert not torch.allclose(mixtures, recordings), "voices have other noises"
    torch.testing.assert_close(mixtures.square().mean(-1), torch.ones(4), rtol=1e-4, atol=0)
    task.after(EVERY - 1, None)
    assert teacher.gain == 0.5
    task.after(EVERY, None)
    torch.testing.assert_close(teacher.gain, torch.tensor(KEPT * 0.5 + (1 - KEPT) * 0.9))
    assert float(network.gain.detach()) == pytest.approx(0.9)


def test_batches_have_unit_level():
    first, second = batched([(3 * noise(100), noise(100)), (0.1 * noise(100), noise(100))])
    torch.testing.assert_close(first.square().mean(-1), torch.ones(2))
    assert second[1].std() > 5
