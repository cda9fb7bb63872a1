"""Networks into folders and back, by the command line."""

import json
import os

import pytest
import torch

import unbabble
from unbabble import cli
from unbabble.base import weights
from unbabble.networks import hub


@pytest.fixture
def call(tmp_path, monkeypatch, capsys, package):
    """Run a command line where one network is packaged: exit code, stderr."""
    package(two={})
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = cli.run([str(argument) for argument in arguments])
        return code, capsys.readouterr().err

    return run


def test_there_and_back(call, tmp_path, generator):
    code, text = call("push", "conv_tasnet.two", "shared/mine")
    assert code == 0
    assert "conv_tasnet.two is in shared/mine (SHA-256 " in text
    assert call("pull", "./shared/mine", "--out", "copy", "--quiet") == (0, "")
    names = ["README.md", "config.json", "model.safetensors"]
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == names
    packaged = weights.packaged()["conv_tasnet.two"].read_bytes()
    assert (tmp_path / "copy" / "model.safetensors").read_bytes() == packaged
    mixture = torch.randn(1, 3000, generator=generator)
    expected = unbabble.load("conv_tasnet.two", device="cpu")(mixture, sample_rate=8000).sources
    assert torch.equal(unbabble.load("copy", device="cpu")(mixture, sample_rate=8000).sources, expected)
    assert "$ unbabble separate meeting.wav --model copy\n" in (tmp_path / "copy" / "README.md").read_text()


@pytest.mark.skipif(os.name == "nt", reason="names there are always Unicode")
def test_a_folder_whose_name_is_no_utf8(call, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    assert call("push", "conv_tasnet.two", folder)[0] == 0
    assert "caf\\udce9" in (folder / "README.md").read_text(encoding="utf-8")


def test_what_is_there_stays_unless_asked(call, tmp_path):
    assert call("push", "conv_tasnet.two", "mine")[0] == 0
    before = (tmp_path / "mine" / "config.json").stat().st_mtime_ns
    code, text = call("push", "conv_tasnet.two", "mine")
    assert code == 2
    assert text.endswith("has a model.safetensors already; --overwrite replaces it.\n")
    assert (tmp_path / "mine" / "config.json").stat().st_mtime_ns == before
    assert call("push", "conv_tasnet.two", "mine", "--overwrite")[0] == 0


def test_to_the_hub(call, monkeypatch):
    uploaded = {}

    def upload(folder, repository, private):
        uploaded["private"] = private
        for path in folder.iterdir():
            uploaded[path.name] = path.read_bytes()
        return f"https://huggingface.co/{repository}"

    monkeypatch.setattr(hub, "upload", upload)
    code, text = call("push", "conv_tasnet.two", "hub:some/network", "--private")
    assert code == 0
    assert "https://huggingface.co/some/network" in text
    assert uploaded["private"] is True
    assert json.loads(uploaded["config.json"])["method"] == "conv_tasnet"
    assert b'unbabble.load("some/network")' in uploaded["README.md"]


def test_damage_on_the_way_is_seen_and_leaves_nothing(call, tmp_path):
    assert call("push", "conv_tasnet.two", "mine")[0] == 0
    content = (tmp_path / "mine" / "model.safetensors").read_bytes()
    (tmp_path / "mine" / "model.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    code, text = call("pull", "mine", "--out", "copy")
    assert code == 1
    assert "SHA-256" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        ("push auxiva.ipa here", 2, "Model 'auxiva.ipa' has no weights: it separates talkers without any."),
        ("push conv_tasnet.tow here", 2, "There is no model 'conv_tasnet.tow'. Did you mean 'conv_tasnet.two'?"),
        ("push conv_tasnet.two hub:nonsense", 2, "is hub:org/name, not 'hub:nonsense'"),
        ("push conv_tasnet.two here --private", 2, "Only a repository on the Hugging Face Hub"),
        ("push conv_tasnet.two", 2, "requires an argument"),
        ("push conv_tasnet.two text.txt", 2, "is not a folder"),
        ("push text.txt here", 2, "There is no model 'text.txt'"),
        ("push text.safetensors here", 1, "'text.safetensors' is not a file of weights"),
        ("pull conv_tasnet.two", 2, "'conv_tasnet.two' is neither a folder nor a name on the Hugging Face Hub"),
        ("pull .", 1, "holds no model"),
        ("pull ./missing/folder", 1, "There is no folder './missing/folder'"),
        ("pull mine/ --out text.txt", 2, "is not a folder"),
    ],
)  # fmt: skip
def test_wrong_requests(call, tmp_path, command, code, sentence):
    call("push", "conv_tasnet.two", "mine")
    (tmp_path / "text.txt").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    found, text = call(*command.split())
    assert sentence in text
    assert found == code
    assert text.count("\n") == 1
    names = ["mine", "text.safetensors", "text.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
