"""Embedders of other toolkits; the fixtures are described in tests/fixtures/README.md."""

import json
import math
import sys
from enum import Enum
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from unbabble.base.errors import InputError, UsageError
from unbabble.networks import load as networks
from unbabble.networks.foreign import is_foreign, kinds_in, load_foreign
from unbabble.networks.foreign.resemblyzer import slaney_filters, window_starts
from unbabble.verbs.models import options
from unbabble.verbs.push import push

FIXTURES = Path(__file__).parents[1] / "fixtures"
TOLERANCE = 1e-5
"""Of vectors of unit norm: float32 in another order."""


def speechbrain_folder(folder, kind, *changes, without=""):
    """A folder as SpeechBrain publishes it; two recordings, and what its library makes of them, of unit norm."""
    with np.load(FIXTURES / f"speechbrain_{kind}.npz") as file:
        content = {name: file[name] for name in file.files}
    said = str(content["hyperparameters"])
    for old, new in changes:
        assert old in said
        said = said.replace(old, new)
    (folder / "hyperparams.yaml").write_text(said)
    tensors = {
        name.removeprefix("tensor/"): torch.from_numpy(each) for name, each in content.items() if "/" in name
    }
    tensors.pop(without, None)
    torch.save(tensors, folder / "embedding_model.ckpt")
    found = torch.from_numpy(content["found"])
    return torch.from_numpy(content["waveform"]), found / found.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("kind", ["ecapa", "xvector"])
def test_speechbrains_embedders_give_the_same_vectors(tmp_path, kind):
    waveform, vectors = speechbrain_folder(tmp_path, kind)
    assert is_foreign(tmp_path)
    assert kinds_in(tmp_path)[0].name == "embedder"
    network = networks.load(str(tmp_path), "embedder").network
    assert (network.sample_rate, network.training) == (16000, False)
    with torch.no_grad():
        found = network.embed(waveform)
    torch.testing.assert_close(found, vectors, rtol=0, atol=TOLERANCE)
    cosines = (network(100 * waveform) * vectors).sum(
        1
    )  # centred and of one level, which these features hardly hear
    assert (cosines > 0.999).all()
    assert network(waveform[:, :3]).isfinite().all()


def test_ecapa_of_speechbrain_is_ours_and_can_be_kept(tmp_path):
    waveform, vectors = speechbrain_folder(tmp_path, "ecapa")
    push(str(tmp_path), str(tmp_path / "ours"), quiet=True)
    kept = networks.load(str(tmp_path / "ours"), "embedder")
    assert kept.card.method == "ecapa_tdnn"
    with torch.no_grad():
        torch.testing.assert_close(kept.network.embed(waveform), vectors, rtol=0, atol=TOLERANCE)


def test_an_x_vector_of_speechbrain_is_used_as_it_is(tmp_path):
    speechbrain_folder(tmp_path, "xvector")
    with pytest.raises(UsageError, match="another library's"):
        push(str(tmp_path), str(tmp_path / "ours"), quiet=True)
    with pytest.raises(UsageError, match="channels"):
        load_foreign(tmp_path, channels=3)


@pytest.mark.parametrize(
    ("kind", "changes", "sentence"),
    [
        ("ecapa", [("dilations: [1, 2, 3, 4, 1]", "dilations: [1, 2, 2, 2, 1]")], "says dilations"),
        ("ecapa", [("norm_type: sentence", "norm_type: global")], "norm_type: global"),
        ("ecapa", [("std_norm: False", "std_norm: True")], "std_norm: True"),
        ("xvector", [("n_mels: !ref <n_mels>", "n_mels: !ref <n_mels>\n    n_fft: 512")], "n_fft: 512"),
        ("xvector", [("torch.nn.LeakyReLU", "torch.nn.GELU")], "activation: GELU"),
        ("xvector", [("tdnn_dilations: [1, 2, 3, 1, 1]", "tdnn_dilations: [1, 2, 3]")], "3 tdnn_dilations"),
        ("ecapa", [("ECAPA_TDNN.ECAPA_TDNN", "ResNet.ResNet")], "neither an ECAPA_TDNN nor an Xvector"),
    ],
)
def test_what_differs_is_said(tmp_path, kind, changes, sentence):
    speechbrain_folder(tmp_path, kind, *changes)
    with pytest.raises(InputError, match=sentence):
        load_foreign(tmp_path)


@pytest.mark.parametrize(
    ("kind", "without", "sentence"),
    [
        ("ecapa", "asp_bn.norm.bias", r"lacks 'asp_bn\.bias'"),
        ("ecapa", "fc.conv.weight", r"lacks what becomes 'fc\.weight'"),
        ("xvector", "blocks.16.w.bias", r"lacks 'projection\.bias'"),
    ],
)
def test_missing_tensors_are_named(tmp_path, kind, without, sentence):
    speechbrain_folder(tmp_path, kind, without=without)
    with pytest.raises(InputError, match=sentence):
        load_foreign(tmp_path)


def recording(samples):
    """A tone that rises and swells, of unit level, as benchmarks/peers/embedders.py makes it."""
    time = np.arange(samples) / 16000
    tone = np.sin(2 * np.pi * (150 * time + 400 * time**2)) + 0.5 * np.sin(2 * np.pi * 1900 * time)
    tone *= 1.2 + np.sin(2 * np.pi * 3 * time)
    return torch.from_numpy((tone / np.sqrt(np.mean(tone**2))).astype(np.float32))[None]


def single_file(name):
    """Tensors by name, and the vector of each recording by its length, of unit norm."""
    with np.load(FIXTURES / f"{name}.npz") as file:
        shapes = json.loads(str(file["shapes"])) if "shapes" in file else {}
        content = {key: torch.from_numpy(file[key]) for key in file.files if key != "shapes"}
    parts = content.pop("row", torch.zeros(0)).split([math.prod(shape) for shape in shapes.values()])
    found = {
        int(key.removeprefix("found/")): each for key, each in content.items() if key.startswith("found/")
    }
    tensors = {
        key.removeprefix("tensor/"): each for key, each in content.items() if key.startswith("tensor/")
    }
    tensors |= {key: each.reshape(shapes[key]) for key, each in zip(shapes, parts, strict=True)}
    return tensors, {length: each / each.norm() for length, each in found.items()}


def resemblyzer_file(path):
    tensors, found = single_file("resemblyzer")
    extra = {"similarity_weight": torch.ones(1), "similarity_bias": torch.zeros(1)}
    torch.save({"step": 7, "model_state": tensors | extra, "optimizer_state": {"state": {}}}, path)
    return found


def wespeaker_file(path, **changes):
    tensors, found = single_file("wespeaker")
    torch.save(tensors | {"projection.weight": torch.zeros(3, 12)} | changes, path)
    return found


def campplus_file(path, **changes):
    tensors, found = single_file("campplus")
    torch.save(tensors | changes, path)
    return found


def check_vectors(place, found):
    assert is_foreign(place)
    assert kinds_in(place)[0].name == "embedder"
    network = networks.load(str(place), "embedder").network
    for length, vector in found.items():
        with torch.no_grad():
            made = network.embed(recording(length))[0]
        torch.testing.assert_close(made, vector, rtol=0, atol=TOLERANCE)
    assert network(recording(9000)[:, :5]).isfinite().all()
    assert options(type(network)) == {}, "sizes are in the file"


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("pretrained.pt", resemblyzer_file),
        ("avg_model.pt", wespeaker_file),
        ("campplus_cn_en_common.pt", campplus_file),
    ],
)
def test_single_files_give_the_same_vectors_alone_and_in_their_folder(tmp_path, name, write):
    check_vectors(tmp_path, write(tmp_path / name))
    check_vectors(tmp_path / name, write(tmp_path / name))


def test_the_windows_of_a_recording():
    """1.6 s every .77 s; the last one is left out where the recording has less than three quarters of it."""
    assert window_starts(1) == window_starts(160 * 160) == [0]
    assert window_starts(77 * 160 + 120 * 160 - 1) == [0]
    assert window_starts(77 * 160 + 120 * 160) == [0, 77]


def test_slaneys_filters_are_of_unit_area_where_bins_are_dense():
    filters = slaney_filters(20, 16000, 16000)  # bins of 1 Hz
    torch.testing.assert_close(filters.sum(1), torch.ones(20), rtol=0, atol=2e-3)


class Problem(Enum):
    MONO_LABEL = 1

    def __reduce_ex__(self, protocol: int):
        """By its value, as pyannote's file has it; some Pythons from 3.11 to 3.11.3 say ``getattr``."""
        return type(self), (self.value,)


class Specifications:
    def __init__(self):
        self.problem = Problem.MONO_LABEL


def test_objects_that_pyannote_adds_are_not_built(tmp_path, monkeypatch):
    """Its copy of WeSpeaker's network has them beside the tensors; other objects are refused as ever."""
    module = ModuleType("pyannote.task")
    for kind in (Problem, Specifications):
        monkeypatch.setattr(kind, "__module__", module.__name__)
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "pyannote", ModuleType("pyannote"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    tensors, found = single_file("wespeaker")
    path = tmp_path / "pytorch_model.bin"
    state = {f"resnet.{name}": each for name, each in tensors.items()}
    content = {"state_dict": state, "pyannote.audio": {"specifications": Specifications()}}
    torch.save(content, path)
    torch.save(content | {"more": tmp_path}, tmp_path / "more.bin")
    monkeypatch.delitem(sys.modules, module.__name__)
    check_vectors(tmp_path, found)
    with pytest.raises(InputError, match="more than tensors"):
        load_foreign(tmp_path / "more.bin")


def test_other_residual_networks_are_refused(tmp_path):
    wespeaker_file(tmp_path / "avg_model.pt", **{"layer1.0.conv3.weight": torch.zeros(1)})
    with pytest.raises(InputError, match="bottlenecks"):
        load_foreign(tmp_path)
    wespeaker_file(tmp_path / "avg_model.pt", **{"seg_2.weight": torch.zeros(12, 12)})
    with pytest.raises(InputError, match=r"which the network lacks, 'seg_2\.weight'"):
        load_foreign(tmp_path)
    wespeaker_file(tmp_path / "avg_model.pt")
    with pytest.raises(UsageError, match="channels"):
        load_foreign(tmp_path, channels=3)


def test_what_differs_from_campplus_is_said(tmp_path):
    path = tmp_path / "campplus_cn_en_common.pt"
    campplus_file(path, **{"xvector.dense.linear.weight": torch.zeros(12, 5, 1)})
    with pytest.raises(InputError, match=r"xvector\.dense\.linear\.weight"):
        load_foreign(path)
    campplus_file(path, **{"xvector.dense.nonlinear.batchnorm.weight": torch.ones(12)})
    with pytest.raises(InputError, match=r"which the network lacks"):
        load_foreign(path)
    campplus_file(path)
    with pytest.raises(UsageError, match="channels"):
        load_foreign(path, channels=3)
