"""Embedders that learn to name people, or to compare them."""

import numpy as np
import pytest
import soundfile
import torch

from unbabble.base import registry, weights
from unbabble.base.errors import UsageError
from unbabble.networks import load as networks
from unbabble.training.begin import fresh, run_of
from unbabble.training.recipe import read_recipe
from unbabble.training.tasks import create
from unbabble.training.tasks.speakers import Speakers

RATE = 8000
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create", "ignore:.*pin_memory")


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Three speakers, each a noise of another colour that pulses at its own rate."""
    folder, rng = tmp_path_factory.mktemp("speech"), np.random.default_rng(0)
    for number, speaker in enumerate(("ann", "bob", "cat")):
        for take in range(4):
            spectrum = np.fft.rfft(rng.standard_normal(2 * RATE))
            spectrum *= np.abs(np.linspace(0, 3, len(spectrum)) - number - 0.5) < 0.5
            pulse = np.sin(np.pi * np.arange(2 * RATE) / RATE * (3 + number)) ** 2
            (folder / speaker).mkdir(exist_ok=True)
            soundfile.write(folder / speaker / f"{take}.wav", 0.1 * np.fft.irfft(spectrum) * pulse, RATE)
    return folder


def run(speech, folder, **changes):
    mixing = {"speech": str(speech), "talkers": [1], "seconds": 0.3, "cache": str(speech / "cache")}
    section = {"kind": "speakers", "utterances": 2, "speakers": 3, "mixing": mixing}
    recipe = {
        "method": "ecapa_tdnn",
        "options": registry.method("ecapa_tdnn").TINY | {"sample_rate": RATE},
        "task": {"kind": "speakers"},
        "train": {**section, "voices": [0.9, 1.0]},
        "validation": section,
        "validation_items": 2,
        "steps": 6,
        "batch": 2,
        "validate_every": 3,
        "save_every": 3,
        "workers": 0,
    }
    checked = read_recipe(recipe | changes)
    return run_of(checked, fresh(checked), folder, "cpu")


def embedder(options=()):
    torch.manual_seed(0)
    return registry.create("ecapa_tdnn", **registry.method("ecapa_tdnn").TINY | dict(options)).train()


@pytest.mark.parametrize("loss", ["margin", "end_to_end", "prototypes"])
def test_six_steps_leave_an_embedder_and_nothing_else(speech, tmp_path, loss):
    job = run(speech, tmp_path, task={"kind": "speakers", "loss": loss})
    said = []
    job.train(said.append)
    loaded = networks.load(str(tmp_path / "best.safetensors"), "embedder")
    assert "equal error rate" in said[0]
    assert set(weights.read_tensors(tmp_path / "last.safetensors")) == set(loaded.network.state_dict())
    assert "equal_error_rate" in loaded.card.scores["validation"]
    again = run(speech, tmp_path, task={"kind": "speakers", "loss": loss})
    again.resume()
    for name, tensor in job.task.network.state_dict().items():
        assert torch.equal(tensor, again.task.network.state_dict()[name]), name


def test_each_speaker_at_each_speed_has_a_direction(speech, tmp_path):
    assert run(speech, tmp_path).task.network.head.directions.shape == (3 * 2, 6)


def test_it_learns_a_teachers_vectors(speech, tmp_path):
    """Of three people, a direction each: those that the teacher gives, less their mean."""
    names = [f"{who}/{take}.wav" for who in ("ann", "bob", "cat") for take in range(4)]
    np.savez(tmp_path / "teacher.npz", names=names, vectors=np.eye(6)[np.repeat(np.arange(3), 4)])
    section = {"kind": "speakers", "speakers": 3, "teacher": [str(tmp_path / "teacher.npz")]}
    section["mixing"] = {
        "speech": str(speech),
        "talkers": [1],
        "seconds": 0.3,
        "cache": str(speech / "cache"),
    }
    options = registry.method("ecapa_tdnn").TINY | {"sample_rate": RATE}
    changes = {"task": {"kind": "speakers", "loss": "distillation"}, "train": section, "validation": section}
    changes |= {"steps": 40, "learning_rate": 0.02, "average": 0.5, "validate_every": 40, "save_every": 40}
    job = run(speech, tmp_path / "run", **changes)
    batch = job.task.collate([job.items[number] for number in range(8)])
    with torch.no_grad():
        before = float(job.task.losses("network", batch, 0)["loss"])
    job.train(lambda words: None)
    with torch.no_grad():
        after = float(job.task.losses("network", batch, 0)["loss"])
    assert after < 0.5 * before
    with pytest.raises(UsageError, match=r"have 6 numbers and the embedder's 5: set options\.dimension"):
        run(speech, tmp_path / "other", **changes, options=options | {"dimension": 5})
    with pytest.raises(UsageError, match="needs the vectors of a teacher"):
        run(speech, tmp_path / "none", task={"kind": "speakers", "loss": "distillation"})


def test_it_learns_to_name_people(speech, tmp_path):
    job = run(speech, tmp_path, steps=40, learning_rate=0.02, average=0.5, validate_every=40, save_every=40)
    batch = job.task.collate([job.items[number] for number in range(8)])
    job.task.network.eval()
    with torch.no_grad():
        before = float(job.task.losses("network", batch, 0)["loss"])
    job.train(print)
    job.task.network.eval()
    with torch.no_grad():
        after = float(job.task.losses("network", batch, 0)["loss"])
    assert after < before / 3


def test_the_margin_rises_between_its_steps():
    task = Speakers(embedder(), margin=0.3, margin_steps=(100, 300))
    assert [task.margin_at(step) for step in (0, 100, 150, 300, 999)] == pytest.approx(
        [0, 0, 0.075, 0.3, 0.3]
    )
    assert Speakers(embedder()).margin_at(0) == 0.2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"loss": "guess"}, "loss"),
        ({"margin": 2.0}, "margin"),
        ({"margin_steps": [300, 100]}, "do not go back"),
        ({"marginn": 0.2}, "marginn"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        create(embedder(), {"kind": "speakers"} | changes)


def test_what_is_no_embedder_and_data_without_speakers_are_refused(speech, tmp_path):
    counter = registry.create("countnet", **registry.method("countnet").TINY)
    with pytest.raises(UsageError, match="counts talkers"):
        create(counter, {"kind": "speakers"})
    mixtures = {"kind": "mixtures", "speech": str(speech), "talkers": [1], "cache": str(speech / "cache")}
    with pytest.raises(UsageError, match="utterances by speaker"):
        run(speech, tmp_path, train=mixtures)
