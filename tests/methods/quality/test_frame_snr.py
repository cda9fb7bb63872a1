"""How much noise is in each frame."""

import pytest
import torch

from unbabble.base.errors import InputError
from unbabble.methods.quality.frame_snr import LIMIT_DB, FrameSnr


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FrameSnr(**FrameSnr.TINY).eval()


def test_the_loss_is_zero_for_who_says_the_truth(network, monkeypatch):
    voice, sound = noise(2, 1, 8000), 0.1 * noise(2, 8000, seed=1)
    voice[..., 4000:] *= 0.01
    true = []
    for item in range(2):
        powers = [
            network.frames.cut(each[item : item + 1]).square().mean(-1) for each in (voice[:, 0], sound)
        ]
        true.append(10 * torch.log10(powers[0] / powers[1]))
    monkeypatch.setattr(network, "snr_db", lambda mixture: torch.cat(true).clamp(-LIMIT_DB, LIMIT_DB))
    assert (network.loss(voice[:, 0] + sound, voice) < 1e-2).all()
    monkeypatch.setattr(network, "snr_db", lambda mixture: torch.cat(true).clamp(-LIMIT_DB, LIMIT_DB) + 3)
    torch.testing.assert_close(
        network.loss(voice[:, 0] + sound, voice), torch.full((2,), 3.0), rtol=0, atol=0.05
    )


def test_silent_frames_do_not_count(network):
    voice = noise(1, 1, 8000)
    voice[..., 4000:] = 0
    loss = network.loss(voice[:, 0], voice)
    assert loss.isfinite().all()
    assert network.loss(torch.zeros(1, 8000), torch.zeros(1, 1, 8000)) == 0


@pytest.mark.parametrize("length", [1, 255, 1024, 5000])
def test_any_length_and_level(network, length):
    recording = noise(3, length) + 0.1
    found = network(recording)
    assert found.shape == (3,)
    torch.testing.assert_close(network(1000 * recording), found, rtol=0, atol=1e-2)
    with pytest.raises(InputError):
        network(torch.full((1, length), float("nan")))


def test_a_few_steps_tell_loud_noise_from_soft(network):
    network.train()
    tone = torch.sin(torch.arange(6000) * 0.2).expand(4, 1, 6000)
    mixture = tone[:, 0] + noise(4, 6000) * torch.tensor([0.01, 0.03, 1.0, 3.0])[:, None]
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(60):
        loss = network.loss(mixture, tone).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = network.eval()(mixture)
    assert found[:2].min() > found[2:].max() + 10
