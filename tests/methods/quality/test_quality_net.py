"""Quality-Net: its size, its loss, what it learns from."""

import numpy as np
import pytest
import soundfile
import torch

from unbabble.base import weights
from unbabble.base.errors import UsageError
from unbabble.base.registry import create
from unbabble.data.dynamic import DynamicMixing
from unbabble.methods.quality.quality_net import QualityNet
from unbabble.networks.cost import parameter_count
from unbabble.signal.metrics import pesq
from unbabble.training.sets.rated import RatedItems, RatedMixing

RATE = 16000


def test_its_size_is_the_published_one():
    """296,501, as one bias for each gate; PyTorch has two."""
    assert parameter_count(QualityNet()) == 296_501 + 2 * 4 * 100


def test_the_loss_is_the_formula(monkeypatch):
    network = QualityNet(**QualityNet.TINY)
    frames = torch.tensor([[1.0, 2.0, 3.0], [4.0, 4.0, 4.5]])
    monkeypatch.setattr(network, "qualities", lambda waveform: frames)
    found = network.loss(torch.randn(2, 500), torch.tensor([2.5, 4.5], dtype=torch.float64))
    first = (2.5 - 2.0) ** 2 + 10 ** (2.5 - 4.5) * (1.5**2 + 0.5**2 + 0.5**2) / 3
    second = (4.5 - 12.5 / 3) ** 2 + (0.25 + 0.25 + 0) / 3
    torch.testing.assert_close(found, torch.tensor([first, second]))


def test_forget_gates_start_closed():
    network = QualityNet()
    for direction in ("", "_reverse"):
        biases = [getattr(network.lstm, f"bias_{kind}_l0{direction}") for kind in ("ih", "hh")]
        assert torch.equal((biases[0] + biases[1])[100:200], torch.full((100,), -3.0))


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    time = np.arange(2 * RATE) / RATE
    for speaker in range(2):
        path = tmp_path / "speech" / str(speaker) / "0.wav"
        path.parent.mkdir(parents=True)
        voice = np.sin(2 * np.pi * 150 * time) * (1 + np.sin(2 * np.pi * 4 * time)) + 0.3 * rng.laplace(
            size=len(time)
        )
        soundfile.write(path, 0.1 * voice, RATE)
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "a.wav", 0.1 * rng.standard_normal(4 * RATE), RATE)
    network = create("gru", hidden=2, layers=1)
    weights.save(
        tmp_path / "e.safetensors",
        network.state_dict(),
        weights.WeightsCard("gru", network.resolved_options()),
    )
    mixing = DynamicMixing(
        tmp_path / "speech",
        talkers=(1,),
        seconds=1.0,
        sample_rate=RATE,
        noise=tmp_path / "noise",
        noise_share=1.0,
        snr_db=(-5.0, 30.0),
        cache=tmp_path / "cache",
    )
    return RatedMixing(mixing, (str(tmp_path / "e.safetensors"),), untouched_share=0.5)


def test_ratings_are_those_of_pesq(data):
    items = RatedItems(data, 3)
    found = [items[index] for index in range(6)]
    assert all(1 <= each.rating <= 4.65 for each in found)
    assert len({round(float(each.rating), 3) for each in found}) > 3
    again = RatedItems(data, 3)[2]
    assert np.array_equal(again.waveform, found[2].waveform)
    untouched = RatedItems(RatedMixing(data.mixing, data.enhancers, untouched_share=1.0), 0)
    rng = np.random.default_rng([0, 0])
    item = untouched.mixtures.drawn(rng).item
    expected = pesq(torch.from_numpy(item.mixture)[None], torch.from_numpy(item.sources), RATE)[0]
    assert untouched[0].rating == pytest.approx(float(expected))
    assert np.array_equal(untouched[0].waveform, item.mixture)


def test_what_makes_no_sense(data, save, tmp_path):
    with pytest.raises(UsageError, match="an enhancer"):
        RatedMixing(data.mixing, ())
    two = save(tmp_path / "two.safetensors")
    with pytest.raises(UsageError, match="does not take noise off"):
        RatedItems(RatedMixing(data.mixing, (str(two),)))
