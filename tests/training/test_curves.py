"""The loop computes what the loops before it computed: losses by step and last weights of every kind of task.

``curves.json`` was recorded with the code of November 2026, before there were tasks: a trainer of separators with
exceptions, and a second loop for adaptation.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from unbabble.base import registry, weights
from unbabble.training import personal
from unbabble.training.progress import Progress
from unbabble.verbs.train import train

RATE, STEPS, KILLED_AT = 8000, 6, 5
BEFORE = json.loads((Path(__file__).parents[1] / "fixtures" / "curves.json").read_text())
HERE = {"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability()}
pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory")

TWO, ONE = {"kind": "mixtures", "talkers": [2]}, {"kind": "mixtures", "talkers": [1]}
NOISY = ONE | {"noise": "noise", "noise_share": 1.0, "snr_db": [-10, 15]}
LIVE = {"window_length": 64, "heard_length": 32, "hop_length": 16, "hidden": 8}
ALONE = {"talkers": [1]}
CASES = {
    "separator": {"method": "bsrnn", "train": TWO, "optimizer": "adamw", "schedule": "plateau"},
    "separator by sex, soft, bfloat16": {
        "method": "conv_tasnet",
        "train": TWO,
        "task": {"fixed_order_steps": 3, "soft_db": 15.0},
        "optimizer": "muon",
        "options": {"filters": 16, "bottleneck": 16, "hidden": 16, "skip": 16, "blocks": 2, "repeats": 1},
        "precision": "bfloat16",
        "schedule": "cosine",
        "warmup_steps": 2,
    },
    "separator of mixtures that nobody knows": {
        "method": "bsrnn",
        "train": TWO,
        "options": {"sources": 4},
        "task": {"mixit": True},
    },
    "enhancer of recordings that nobody knows": {
        "method": "conv_tasnet",
        "train": NOISY,
        "options": {"sources": 3},
        "task": {"mixit": True},
    },
    "deep clustering": {"method": "deep_clustering", "train": TWO, "task": {"fixed_order_steps": 3}},
    "huang2014": {"method": "huang2014", "train": TWO},
    "counter": {
        "method": "countnet",
        "train": TWO | {"talkers": [1, 2], "seconds": 0.5},
        "options": {"sources": 2},
    },
    "enhancer": {"method": "gru", "train": NOISY, "options": LIVE},
    "autoencoder": {"method": "adaptive_dae", "train": NOISY},
    "meter": {"method": "frame_snr", "train": NOISY},
    "ensemble together": {"method": "sparse_ensemble", "train": NOISY},
    "ensemble apart": {
        "method": "sparse_ensemble",
        "options": {"joint": False},
        "train": {"kind": "labelled", "labels": "snr", "levels_db": [0.0, 10.0], "mixing": NOISY},
    },
    "embedder": {
        "method": "xvector",
        "train": {"kind": "speakers", "utterances": 2, "speakers": 2, "mixing": ALONE | {"seconds": 0.5}},
        "batch": 1,
    },
    "extractor": {
        "method": "personal_bsrnn",
        "train": {"kind": "enrolled", "absent_share": 0.3, "mixing": {"talkers": [2]}, "enrollment": ALONE},
    },
    "scorer": {
        "method": "blind_sisnr_bands",
        "options": {"bands": 8},
        "train": {
            "kind": "separated",
            "untouched_share": 0.5,
            "degraded_share": 0.5,
            "parts": {"all": {"items": 4, "separators": ["unchanged"], "mixing": {"talkers": [2]}}},
        },
    },
}


def sounds(folder):
    """A woman who hums and a man who hisses, and noise."""
    rng, time = np.random.default_rng(0), np.arange(RATE) / RATE
    rows = ["file,speaker,sex"]
    for number in range(6):
        hum = np.sin(2 * np.pi * rng.uniform(150, 300) * time)
        wave = (hum if number % 2 else rng.standard_normal(RATE)) * np.sin(np.pi * time * rng.integers(1, 4))
        soundfile.write(folder / f"{number}.wav", 0.1 * wave, RATE)
        rows.append(f"{number}.wav,{'hum' if number % 2 else 'hiss'},{'F' if number % 2 else 'M'}")
    (folder / "speech.csv").write_text("\n".join(rows))
    (folder / "noise").mkdir()
    soundfile.write(folder / "noise" / "noise.wav", 0.1 * rng.laplace(size=2 * RATE), RATE)
    recording = np.random.default_rng(1).laplace(size=24 * 16000) * 0.05
    soundfile.write(folder / "mine.wav", recording, 16000, subtype="FLOAT")
    clean = np.diff(recording[: 4 * 16000], prepend=0)  # without rumble, which would be removed
    soundfile.write(folder / "clean.wav", clean, 16000, subtype="FLOAT")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Drawing takes longer than learning here."""
    monkeypatch.setattr(Progress, "plot", lambda self, path: None)


def placed(section, folder):
    """A section whose recordings are in the folder."""
    section = dict(section)
    for name in ("mixing", "enrollment"):
        if name in section:
            section[name] = placed(section[name], folder)
            section[name].pop("kind", None)
    if "parts" in section:
        section["parts"] = {
            name: part | {"mixing": placed(part["mixing"], folder)} for name, part in section["parts"].items()
        }
        return section | {"cache": str(folder / "cache")}
    if "noise" in section:
        section["noise"] = str(folder / section["noise"])
    if "talkers" in section:
        section = {
            "speech": str(folder / "speech.csv"),
            "seconds": 0.25,
            "cache": str(folder / "cache"),
        } | section
    return section


def content(name, folder):
    """A whole recipe of a case."""
    case = CASES[name]
    tiny = registry.method(case["method"]).TINY | {"sample_rate": RATE} | case.get("options", {})
    section = placed(case["train"], folder)
    common = {
        "steps": STEPS,
        "batch": 2,
        "validation_items": 2,
        "validate_every": 2,
        "save_every": 2,
        "average": 0.9,
    }
    common |= {"workers": 0, "seed": 3, "learning_rate": 0.01}
    return common | case | {"options": tiny, "train": section, "validation": section}


def digest(tensors):
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


class Killed(Exception):
    pass


def noting(monkeypatch, losses, killed_at=None):
    """Note every loss that gradients are taken of."""
    original = torch.Tensor.backward

    def backward(self, *arguments, **options):
        if len(losses) == killed_at:
            raise Killed
        losses.append(float(self.detach()))
        original(self, *arguments, **options)

    monkeypatch.setattr(torch.Tensor, "backward", backward)


def learnt(content, out, monkeypatch, killed=False):
    """What one run measured."""
    config, losses = out.with_suffix(".yaml"), []
    config.write_text(yaml.safe_dump(content))
    if killed:
        with monkeypatch.context() as patch:
            noting(patch, losses, KILLED_AT)
            with pytest.raises(Killed):
                train(config, out=out, device="cpu", quiet=True)
        del losses[KILLED_AT // 2 * 2 :]
    with monkeypatch.context() as patch:
        noting(patch, losses)
        validations = train(config, out=out, device="cpu", quiet=True, resume=killed).validations
    tensors = [digest(weights.read_tensors(out / f"{name}.safetensors")) for name in ("last", "best")]
    return {"losses": losses, "validation": [each["loss"] for each in validations], "sha256": tensors}


WAYS = [*personal.ways(), "distillation and clean speech", "distillation in bfloat16"]


def students(folder):
    """A student that knows nothing, and a teacher that takes away what lies above 2 kHz."""
    for seed, name in enumerate(("student", "teacher")):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = registry.create("gru", hidden=4, layers=1)
        if seed:
            with torch.no_grad():
                network.to_mask.weight.zero_()
                network.to_mask.bias.copy_(torch.where(torch.arange(513) < 128, 5.0, -5.0))
        card = weights.WeightsCard("gru", network.resolved_options(), training={"steps": 1})
        weights.save(folder / f"{name}.safetensors", network.state_dict(), card)
    return {name: str(folder / f"{name}.safetensors") for name in ("student", "teacher")}


def adapted(way, folder, tmp_path, monkeypatch):
    """What one adaptation measured."""
    losses, name = [], way.split()[0]
    clean = [folder / "clean.wav"] if "clean" in way or name == "fine_tuning" else []
    monkeypatch.setenv("UNBABBLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(personal, "has_scorer", lambda: False)
    monkeypatch.setattr(personal, "packaged", lambda: ())
    noting(monkeypatch, losses)
    network, _ = personal.adapt(
        [folder / "mine.wav"],
        clean,
        method=name,
        steps=STEPS,
        seed=3,
        precision="bfloat16" if "bfloat16" in way else "float32",
        keep=True,
        **students(tmp_path),
    )
    return {"losses": losses, "sha256": [digest(network.state_dict())]}


def compare(found, before):
    """Bits, where the machine is the one that recorded them; elsewhere products of matrices are rounded otherwise."""
    if {name: BEFORE[name] for name in HERE} == HERE:
        assert found == before
    else:
        for name in found.keys() - {"sha256"}:
            assert found[name] == pytest.approx(before[name], rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("killed", [False, True], ids=["whole", "killed"])
@pytest.mark.parametrize("name", CASES)
def test_a_network_learns_as_before(name, killed, folder, tmp_path, monkeypatch):
    found = learnt(content(name, folder), tmp_path / "run", monkeypatch, killed)
    compare(found, BEFORE["curves"][name])


@pytest.mark.parametrize("way", WAYS)
def test_an_enhancer_adapts_as_before(way, folder, tmp_path, monkeypatch):
    compare(adapted(way, folder, tmp_path, monkeypatch), BEFORE["curves"][way])
