"""Embedders of other toolkits; the fixtures are described in tests/fixtures/README.md."""

from pathlib import Path

import numpy as np
import pytest
import torch

from unbabble.base.errors import InputError, UsageError
from unbabble.networks import load as networks
from unbabble.networks.foreign import is_foreign, kinds_in, load_foreign
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
