"""`unbabble export`: the file and what it says, and what is refused."""

import json
import logging

import pytest
import torch

from unbabble.base import registry, weights
from unbabble.base.errors import InputError
from unbabble.cli import run
from unbabble.networks import load as networks

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run a command line: exit code, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        return run(["export", *map(str, arguments)]), capsys.readouterr().err

    return call


def test_a_network(call, tmp_path, save):
    from unbabble.networks.onnx import OnnxEstimate

    file = save(tmp_path / "mine.safetensors", blocks=1, repeats=1)
    code, text = call(file, "--out", "exported/mine.onnx", "--opset", "20")
    assert code == 0, text
    assert "exported/mine.onnx" in text
    model = onnx.load("exported/mine.onnx")
    assert max(each.version for each in model.opset_import if not each.domain) == 20
    card = json.loads({each.key: each.value for each in model.metadata_props}["unbabble"])
    assert (card["method"], card["licence"]) == ("conv_tasnet", "CC BY 4.0")
    mixture = torch.randn(1, 1000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = networks.load(str(file)).network.estimate(mixture)
    assert torch.allclose(OnnxEstimate("exported/mine.onnx")(mixture), wanted, atol=1e-5)
    code, text = call(file, "--out", "exported/mine.onnx")
    assert (code, "--overwrite" in text) == (2, True)


@pytest.fixture
def enhancer(tmp_path):
    """A tiny untrained enhancer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = registry.create("gru", hidden=8, layers=2)
    path = tmp_path / "gru.safetensors"
    weights.save(path, network.state_dict(), weights.WeightsCard("gru", network.resolved_options()))
    return path


def test_one_step_of_a_live_network(call, enhancer, tmp_path):
    from unbabble.networks.onnx_step import OnnxStep, streamed

    code, text = call(enhancer, "--out", "step.onnx", "--streaming", "--opset", "20")
    assert code == 0, text
    model = onnx.load("step.onnx")
    state = ["frames.level.mean", "frames.level.count", "recurrence.units"]
    assert [each.name for each in model.graph.input] == ["frame", *state]
    assert [each.name for each in model.graph.output] == ["piece", *(f"next_{name}" for name in state)]
    assert max(each.version for each in model.opset_import if not each.domain) == 20
    network = networks.load(str(enhancer)).network
    mixture = torch.randn(9000, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = network.estimate(mixture[None])[0, 0]
    torch.testing.assert_close(streamed(OnnxStep("step.onnx"), mixture)[0], wanted, rtol=0, atol=1e-5)


def test_one_step_of_a_separator_of_two(call, tmp_path, save):
    from unbabble.networks.onnx_step import OnnxStep, streamed

    file = save(tmp_path / "live.safetensors", causal=True, levels="kept", blocks=2, repeats=1)
    code, text = call(file, "--out", "step.onnx", "--streaming")
    assert code == 0, text
    mixture = torch.randn(2000, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = networks.load(str(file)).network.estimate(mixture[None])[0]
    torch.testing.assert_close(streamed(OnnxStep("step.onnx"), mixture), wanted, rtol=0, atol=1e-5)


def test_one_step_of_an_ensemble(call, tmp_path):
    from unbabble.networks.onnx_step import OnnxStep, streamed

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = registry.create("sparse_ensemble", specialists=3, hidden=8, gate_hidden=4, joint=True)
    file = tmp_path / "ensemble.safetensors"
    weights.save(
        file, network.state_dict(), weights.WeightsCard("sparse_ensemble", network.resolved_options())
    )
    code, text = call(file, "--out", "step.onnx", "--streaming")
    assert code == 0, text
    network = networks.load(str(file)).network
    mixture = torch.randn(40000, generator=torch.Generator().manual_seed(1))
    mixture[20000:] *= 1e-3
    wanted = streamed(network, mixture)
    torch.testing.assert_close(streamed(OnnxStep("step.onnx"), mixture), wanted, rtol=0, atol=1e-5)
    assert call(file, "--out", "small.onnx", "--streaming", "--int8")[0] == 0
    assert (tmp_path / "small.onnx").stat().st_size < 0.6 * (tmp_path / "step.onnx").stat().st_size
    code, text = call(file, "--out", "whole.onnx")
    assert (code, "--streaming" in text, len(text.splitlines())) == (2, True, 1), text
    for options in ((), ("--streaming",)):
        code, text = call(file, "--out", "whole.onnx", "--set", "soft=true", *options)
        assert (code, "A soft ensemble" in text, len(text.splitlines())) == (2, True, 1), text
    assert call(file, "--out", "one.onnx", "--set", "chosen=2")[0] == 0


@pytest.mark.parametrize("options", [(), ("--streaming",)])
def test_the_packaged_enhancer(call, tmp_path, options):
    """Its features take the 0.15th power of next to nothing, where rounding is not small."""
    code, text = call("gru.2x64", "--out", "gru.onnx", *options)
    assert code == 0, text
    assert float(text.split()[-1].rstrip(".")) < 2e-5


def test_in_eight_bits_it_is_smaller_and_nearly_the_same(call, enhancer, tmp_path):
    assert call(enhancer, "--out", "step.onnx", "--streaming")[0] == 0
    code, text = call(enhancer, "--out", "small.onnx", "--streaming", "--int8")
    assert code == 0, text
    assert (tmp_path / "small.onnx").stat().st_size < 0.6 * (tmp_path / "step.onnx").stat().st_size
    assert 0 < float(text.split()[-1].rstrip(".")) < 0.1


def test_what_cannot_be_exported_step_by_step(call, enhancer, save, tmp_path):
    code, text = call(save(tmp_path / "whole.safetensors"), "--out", "x.onnx", "--streaming")
    assert (code, "only causal" in text) == (2, True)
    code, text = call("bsrnn.2talkers_8k", "--out", "x.onnx", "--streaming")
    assert (code, "step by step" in text) == (2, True)
    code, text = call(enhancer, "--out", "x.onnx", "--int8")
    assert (code, "--int8 is for --streaming" in text) == (2, True)
    assert not (tmp_path / "x.onnx").exists()


def test_a_step_as_version_0_wrote_it(tmp_path, monkeypatch):
    """A state that has no batch, a piece of one source; no word on the silence around a recording."""
    from onnx import TensorProto, helper

    from unbabble.networks.onnx_step import OnnxStep, streamed

    monkeypatch.chdir(tmp_path)
    shapes = {"frame": (1, 8), "count": (1, 1), "state": (3, 2), "piece": (1, 4)}
    shapes |= {"next_count": (1, 1), "next_state": (3, 2)}
    value = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()
    }
    constants = {"one": [1.0], "half": [0.5]}
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["count", "one"], ["next_count"]),
            helper.make_node("Add", ["state", "half"], ["next_state"]),
            helper.make_node("ReduceSum", ["next_state"], ["total"], keepdims=0),
            helper.make_node("Slice", ["frame", "four", "eight", "axis"], ["last"]),
            helper.make_node("Mul", ["last", "total"], ["piece"]),
        ],
        "step",
        [value[name] for name in ("frame", "count", "state")],
        [value[name] for name in ("piece", "next_count", "next_state")],
        [
            *(helper.make_tensor(name, TensorProto.FLOAT, [1], one) for name, one in constants.items()),
            *(
                helper.make_tensor(name, TensorProto.INT64, [1], [one])
                for name, one in {"four": 4, "eight": 8, "axis": 1}.items()
            ),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {"sample_rate": "100", "hop_length": "2", "heard_length": "4"})
    onnx.save(model, "old.onnx")
    step = OnnxStep("old.onnx")
    assert (step.sources, step.windows.before, step.windows.after) == (1, 6, 2)
    # Window n has the factor 3 n; each sample is in two windows, the first two of which begin before the recording.
    expected = 3.0 * torch.tensor([[3, 3, 5, 5, 7, 7]])
    assert torch.equal(streamed(step, torch.ones(6)), expected)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), "x.onnx")
    with pytest.raises(InputError, match="no step of a network"):
        OnnxStep("x.onnx")


@pytest.mark.parametrize("options", [(), ("--streaming",)])
def test_an_opset_that_cannot_be_had(call, enhancer, options, tmp_path, caplog):
    """PyTorch's exporter takes another one, and says why in a traceback; here it is one sentence."""
    code, text = call(enhancer, "--out", "x.onnx", "--opset", "3", *options)
    assert (code, "opset 3;" in text, len(text.splitlines())) == (2, True, 1), text
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert not (tmp_path / "x.onnx").exists()


def test_what_is_refused(call, tmp_path, save):
    file = save(tmp_path / "mine.safetensors")
    for arguments, sentence, expected in (
        (("auxiva", "--out", "x.onnx"), "not a network", 2),
        ((file, "--out", "x.pt"), "ends in .onnx", 2),
        (("absent.safetensors", "--out", "x.onnx"), "no file", 1),
        ((file, "--out", "x.onnx", "--set", "nonsense=1"), "nonsense", 2),
        ((file,), "out", 2),
    ):
        code, text = call(*arguments)
        assert (code, sentence in text) == (expected, True), text
    assert not list(tmp_path.glob("*.onnx"))
