"""`unbabble export`: the file and what it says, and what is refused."""

import json

import pytest
import torch

from unbabble.cli import run
from unbabble.networks import load_network

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
    from unbabble.onnx_networks import OnnxEstimate

    weights = save(tmp_path / "mine.safetensors", blocks=1, repeats=1)
    code, text = call(weights, "--out", "exported/mine.onnx", "--opset", "20")
    assert code == 0, text
    assert "exported/mine.onnx" in text
    model = onnx.load("exported/mine.onnx")
    assert max(each.version for each in model.opset_import if not each.domain) == 20
    card = json.loads({each.key: each.value for each in model.metadata_props}["unbabble"])
    assert (card["method"], card["licence"]) == ("conv_tasnet", "CC BY 4.0")
    mixture = torch.randn(1, 1000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = load_network(str(weights)).network.estimate(mixture)
    assert torch.allclose(OnnxEstimate("exported/mine.onnx")(mixture), wanted, atol=1e-5)
    code, text = call(weights, "--out", "exported/mine.onnx")
    assert (code, "--overwrite" in text) == (2, True)


def test_what_is_refused(call, tmp_path, save):
    weights = save(tmp_path / "mine.safetensors")
    for arguments, sentence, expected in (
        (("auxiva", "--out", "x.onnx"), "not a network", 2),
        ((weights, "--out", "x.pt"), "ends in .onnx", 2),
        (("absent.safetensors", "--out", "x.onnx"), "no file", 1),
        ((weights, "--out", "x.onnx", "--set", "nonsense=1"), "nonsense", 2),
        ((weights,), "out", 2),
    ):
        code, text = call(*arguments)
        assert (code, sentence in text) == (expected, True), text
    assert not list(tmp_path.glob("*.onnx"))
