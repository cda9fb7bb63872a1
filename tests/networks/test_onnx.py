"""ONNX files: the same as the network at any length; what is refused; the runtime and its cache."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from unbabble.base import registry
from unbabble.base.errors import InputError, MissingExtraError, UsageError
from unbabble.base.weights import WeightsCard
from unbabble.methods.separation.conv_tasnet import ConvTasNet
from unbabble.networks import onnx as onnx_networks
from unbabble.networks.onnx import OnnxEstimate, export, with_runtime
from unbabble.nn.kinds.separator import NeuralSeparator

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


class Recurrent(NeuralSeparator):
    """As little as has everything that is hard: LSTMs over time, several layers, both ways, without biases."""

    card = registry.Card("recurrent", "separator", "", "")

    def __init__(self, **options):
        super().__init__(**options)
        torch.manual_seed(0)
        self.first = nn.LSTM(1, 3, num_layers=2, bidirectional=True, batch_first=True)
        self.second = nn.LSTM(6, self.sources, bias=False)

    def estimate(self, mixture):
        found, _ = self.first(mixture[..., None])
        found, _ = self.second(found.transpose(0, 1))
        return found.permute(1, 2, 0)


@pytest.fixture(scope="module")
def network():
    return Recurrent().eval()


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "recurrent.onnx"
    return path, export(network, path, card=WeightsCard("recurrent", summary="Größe"))


def noise(*shape):
    return torch.from_numpy(np.random.default_rng(0).normal(size=shape)).float()


def test_recurrent_layers_of_any_length(network, exported):
    path, difference = exported
    estimate = OnnxEstimate(path)
    assert difference < 1e-5
    for shape in ((1, 1), (1, 2), (4, 33), (1, 12345)):
        with torch.no_grad():
            assert torch.allclose(estimate(noise(*shape)), network.estimate(noise(*shape)), atol=1e-5)


def test_the_file_says_what_it_is(exported):
    import onnx

    model = onnx.load(exported[0])
    onnx.checker.check_model(model)
    about = {each.key: each.value for each in model.metadata_props}
    assert json.loads(about["unbabble"])["summary"] == "Größe"
    assert (about["sample_rate"], about["levels"]) == ("8000", "fitted")
    assert [each.name for each in (*model.graph.input, *model.graph.output)] == ["mixture", "estimates"]
    for each in (*model.graph.input, *model.graph.output):
        sizes = each.type.tensor_type.shape.dim
        assert [size.dim_value for size in sizes] == ([0, 0] if len(sizes) == 2 else [0, 2, 0])


def test_a_causal_network(tmp_path):
    options = ConvTasNet.TINY | {"blocks": 1, "repeats": 1, "causal": True}
    torch.manual_seed(0)
    assert export(ConvTasNet(**options).eval(), tmp_path / "tiny.onnx") < 1e-4


def test_means_over_long_recordings_are_exact(tmp_path):
    """ONNX Runtime's own sums of so many numbers are wrong in the fourth digit."""

    class Normalised(Recurrent):
        def __init__(self, **options):
            super().__init__(**options)
            self.group = nn.GroupNorm(1, 32)
            self.gains = nn.Parameter(torch.linspace(0.5, 1.5, 32))

        def estimate(self, mixture):
            wide = self.group(mixture[:, None] * self.gains[:, None] + 1)
            wide = wide * wide.square().mean((1, 2), keepdim=True)
            return wide[:, :2] - wide.square().mean((1, -1))[:, None, None]

    network = Normalised().eval()
    with torch.no_grad():
        network.group.weight.uniform_(0.5, 2)
        network.group.bias.uniform_(0, 1)
    export(network, tmp_path / "x.onnx")
    mixture = noise(1, 200000)
    with torch.no_grad():
        wanted = network.estimate(mixture)
    assert torch.allclose(OnnxEstimate(tmp_path / "x.onnx")(mixture), wanted, atol=2e-5)


def test_what_keeps_silence_from_nothing_is_not_left_out(tmp_path):
    """ONNX Script's optimizer takes 1e-8 for zero: in silence that would be 0 in place of 0.06, or NaN."""

    class Compressed(Recurrent):
        def estimate(self, mixture):
            power = mixture[:, None].repeat(1, 2, 1).square()
            return (power + 1e-8) ** 0.15 + power / (1e-9 + power)

    network = Compressed().eval()
    export(network, tmp_path / "x.onnx")
    silent = torch.zeros(1, 100)
    torch.testing.assert_close(OnnxEstimate(tmp_path / "x.onnx")(silent), network.estimate(silent))


def test_a_network_that_depends_on_the_length_leaves_no_file(tmp_path):
    class Odd(Recurrent):
        def estimate(self, mixture):
            sign = 1 if mixture.shape[-1] % 2 else -1
            return sign * torch.stack([mixture, mixture], 1)

    with pytest.raises(UsageError, match=r"differ.*was not written"):
        export(Odd(), tmp_path / "odd.onnx")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_one_sentence(tmp_path):
    class Learned(Recurrent):
        def estimate(self, mixture):
            return mixture[:, None].repeat(1, int(mixture.abs().sum()), 1)

    class State(Recurrent):
        def estimate(self, mixture):
            state = mixture.new_zeros(4, len(mixture), 3)
            return self.first(mixture[..., None], (state, state))[0].mT

    for network, sentence in ((Learned(), "cannot be exported to ONNX: "), (State(), "start from a state")):
        with pytest.raises(UsageError, match=sentence):
            export(network, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_what_is_no_onnx_file(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"cannot read 'x\.onnx'"):
        OnnxEstimate(tmp_path / "x.onnx")


def test_without_the_extra(tmp_path, network, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="onnx"):
        export(network, tmp_path / "x.onnx")
    with pytest.raises(MissingExtraError, match="onnx"):
        with_runtime(network, "onnx")
    monkeypatch.setattr(onnx_networks, "FASTER", {"recurrent"})
    assert with_runtime(network, "auto") is network


def test_the_runtime_and_its_cache(network, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_networks, "user_cache", lambda: tmp_path)
    monkeypatch.setattr(onnx_networks, "FASTER", {"recurrent"})
    made = []

    def copy_instead(network, path):
        made.append(path)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(exported[0].read_bytes())

    monkeypatch.setattr(onnx_networks, "export", copy_instead)
    assert with_runtime(network, "torch") is network
    assert with_runtime(network, "auto") is network  # no file yet
    twin = with_runtime(network, "onnx")
    assert isinstance(twin.estimate, OnnxEstimate)
    assert not isinstance(network.estimate, OnnxEstimate)
    assert isinstance(with_runtime(network, "auto").estimate, OnnxEstimate)
    mixture = 0.01 * noise(1, 2, 500)
    assert torch.allclose(twin(mixture), network(mixture), atol=1e-6)
    monkeypatch.setattr(onnx_networks, "FASTER", frozenset())
    assert with_runtime(network, "auto") is network
    with pytest.raises(UsageError, match="runtime is"):
        with_runtime(network, "fast")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="on the CPU"):
        with_runtime(Recurrent().to("meta"), "onnx")
    assert len(made) == 1


def test_the_fingerprint_changes_with_what_decides_the_file():
    names = {onnx_networks.fingerprint(Recurrent())}
    assert onnx_networks.fingerprint(Recurrent()) in names
    names.add(onnx_networks.fingerprint(Recurrent(levels="kept")))
    other = Recurrent()
    with torch.no_grad():
        other.first.weight_hh_l0[0, 0] += 1
    names.add(onnx_networks.fingerprint(other))
    assert len(names) == 3
