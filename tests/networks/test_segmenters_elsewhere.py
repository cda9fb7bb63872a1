"""Segmentation networks of other toolkits; the fixture is described in tests/fixtures/README.md."""

import sys
from itertools import permutations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import unbabble
from unbabble.base.contracts import Segmenter
from unbabble.base.errors import InputError, UsageError
from unbabble.networks import load as networks
from unbabble.networks.foreign import is_foreign, kinds_in

FIXTURE = Path(__file__).parents[1] / "fixtures" / "pyannote_segmentation.npz"
TOLERANCE = 2e-5
"""Of log-probabilities: float32 in another order."""


class Specifications:
    """An object of pyannote's, of which nothing is needed."""


def published(folder, **changes):
    """A file as pyannote publishes it, with objects of its own beside the tensors; recordings and log-probabilities."""
    with np.load(FIXTURE) as file:
        content = {name: torch.from_numpy(file[name].copy()).float() for name in file.files}
    tensors = {name.removeprefix("tensor/"): each for name, each in content.items() if "/" in name} | changes
    content_of_file = {"state_dict": tensors, "pyannote.audio": {"specifications": Specifications()}}
    with pytest.MonkeyPatch.context() as patch:
        module = ModuleType("pyannote.task")
        patch.setattr(Specifications, "__module__", module.__name__)
        module.Specifications = Specifications
        patch.setitem(sys.modules, "pyannote", ModuleType("pyannote"))
        patch.setitem(sys.modules, module.__name__, module)
        torch.save(content_of_file, folder / "pytorch_model.bin")
    return content["waveform"], content["log_probs"]


def test_pyannotes_network_gives_the_same_probabilities(tmp_path):
    waveform, log_probs = published(tmp_path)
    assert is_foreign(tmp_path)
    assert kinds_in(tmp_path)[0].name == "segmenter"
    network = networks.load(str(tmp_path), "segmenter").network
    assert isinstance(network, Segmenter)
    with torch.no_grad():
        torch.testing.assert_close(network.log_probs(waveform), log_probs, rtol=0, atol=TOLERANCE)
    activity = network(waveform)
    probs = log_probs.exp()
    first = probs[..., 1] + probs[..., 4] + probs[..., 5]  # alone, with the second, with the third
    torch.testing.assert_close(activity[..., 0], first, rtol=0, atol=TOLERANCE)
    assert (network.seconds, network.frame_seconds) == (10.0, 270 / 16000)
    assert network(waveform[:, :5]).isfinite().all()


def test_a_recording_is_opened_with_it(tmp_path):
    waveform, _ = published(tmp_path)
    activity = unbabble.load(tmp_path, "segmenter", "cpu")(waveform[0].numpy(), 16000)
    assert activity.shape[1] == 3
    assert ((activity >= 0) & (activity <= 1 + 1e-6)).all()


def test_a_frame_is_where_the_network_says(tmp_path):
    """The middle frame changes most when the sample changes that it is said to be at."""
    waveform, _ = published(tmp_path)
    network = networks.load(str(tmp_path), "segmenter").network
    frames = network.sincnet(waveform[:1])
    reached = waveform[:1].clone().requires_grad_()
    middle = frames.shape[2] // 2
    network.sincnet.wav_norm1d.forward = lambda x: x  # norms hear the whole recording
    for norm in network.sincnet.norm1d:
        norm.forward = lambda x: x
    network.sincnet(reached)[0, :, middle].sum().backward()
    heard = reached.grad[0].nonzero()[:, 0]
    seconds = (int(heard.min()) + int(heard.max())) / 2 / network.sample_rate
    said = network.first_seconds + middle * network.frame_seconds
    assert seconds == pytest.approx(said, abs=network.frame_seconds / 2)


def test_what_is_no_such_network_is_said(tmp_path):
    published(tmp_path, **{"classifier.weight": torch.zeros(6, 5), "classifier.bias": torch.zeros(6)})
    with pytest.raises(InputError, match="6 classes"):
        networks.load(str(tmp_path), "segmenter")
    published(tmp_path, **{"lstm.weight_hh_l0": torch.zeros(12, 4)})
    with pytest.raises(InputError, match=r"pytorch_model\.bin"):
        networks.load(str(tmp_path), "segmenter")
    published(tmp_path)
    with pytest.raises(UsageError, match="says who talks when"):
        networks.load(str(tmp_path), "embedder")


def test_the_loss_does_not_ask_for_an_order_of_talkers(tmp_path):
    waveform, log_probs = published(tmp_path)
    network = networks.load(str(tmp_path), "segmenter").network
    frames = log_probs.shape[1]
    activity = torch.zeros(2, frames, 3)
    activity[:, : frames // 2, 0] = activity[:, frames // 3 :, 1] = 1
    losses = [network.loss(waveform, activity[..., list(order)]) for order in permutations(range(3))]
    for loss in losses[1:]:
        torch.testing.assert_close(loss, losses[0])
    # who talks as the network has it: the sum of its own likeliest log-probabilities
    likeliest = network.classes[log_probs.argmax(2)]
    torch.testing.assert_close(
        network.loss(waveform, likeliest), -log_probs.amax(2).mean(1), rtol=0, atol=1e-4
    )
    assert network.figure(waveform[:1], likeliest[:1]) == 0
    assert network.figure(waveform[:1], likeliest[:1, :, [2, 0, 1]]) == 0
    three = torch.ones(1, frames, 3)
    assert network.loss(waveform[:1], three).isfinite().all()
