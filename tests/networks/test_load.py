"""Networks by name: files, folders and the Hub, and what is wrong with those that cannot be used."""

import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import errors

import unbabble
from unbabble.base import weights
from unbabble.base.errors import InputError, OutputError, UsageError
from unbabble.networks import hub
from unbabble.networks import load as networks
from unbabble.networks.folder import write_folder
from unbabble.verbs.pull import pull

CPU = torch.device("cpu")
FIXTURE = Path(__file__).parents[1] / "fixtures" / "asteroid_conv_tasnet.npz"


def same(first, second):
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in pairs)


@pytest.fixture
def folder(tmp_path, save):
    """A folder in our layout."""
    found = networks.load(str(save(tmp_path / "some.safetensors")))
    write_folder(tmp_path / "model", found.network, found.card, title="model", source=found.path)
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def nothing_kept():
    hub.download.cache_clear()
    networks._kept.cache_clear()


def test_the_same_network_by_every_name(tmp_path, folder, package, save, monkeypatch):
    package(two={}, other={"blocks": 3})
    expected = networks.load("conv_tasnet.two").network
    assert not expected.training
    monkeypatch.chdir(tmp_path)
    for name in ("conv_tasnet.two", str(tmp_path / "some.safetensors"), str(folder), "model", "./model"):
        assert networks.is_network(name)
        assert same(networks.load(name).network, expected), name
    other = networks.load("conv_tasnet.other").network
    assert not same(other, expected)
    assert same(networks.load("conv_tasnet").network, other), "the first one"
    assert not networks.is_network("auxiva")
    assert not networks.is_network("nowhere")


def test_weights_changed_on_disk_are_read_again(tmp_path, save):
    path = save(tmp_path / "a.safetensors", seed=1)
    first = networks.ready(str(path), CPU)
    assert next(first.parameters()) is next(networks.ready(str(path), CPU).parameters())
    save(path, seed=2)
    assert not same(first, networks.ready(str(path), CPU))


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("auxiva.ipa", UsageError, "'auxiva.ipa' has no weights"),
        ("conv_tasnet", UsageError, "no weights for 'conv_tasnet' yet: train them"),
        ("conv_tasnet.none", UsageError, "no model 'conv_tasnet.none'"),
        ("missing.safetensors", InputError, "no file 'missing.safetensors'"),
        ("text.safetensors", InputError, "not a file of weights"),
        ("cut.safetensors", InputError, "damaged"),
        ("bare.safetensors", InputError, "does not say which network"),
        ("future.safetensors", InputError, "'tomorrow_net', a network that this version does not have"),
        ("newer.safetensors", InputError, "no option 'wings'"),
        ("wider.safetensors", InputError, r"do not fit conv_tasnet: .*has shape \(16, 1, 16\)"),
        ("deeper.safetensors", InputError, "do not fit conv_tasnet: .* lacks"),
        ("empty", InputError, "holds no model"),
        ("a/b/c", InputError, "no folder 'a/b/c'"),
        ("hub:nonsense", InputError, "no folder 'hub:nonsense'"),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded(tmp_path, monkeypatch, save, package, name, kind, sentence):
    package()
    monkeypatch.chdir(tmp_path)
    good = save(tmp_path / "good.safetensors")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.safetensors").write_text("Weights? None.")
    (tmp_path / "cut.safetensors").write_bytes(good.read_bytes()[:-100])
    tensors, card = weights.read_tensors(good), weights.read_card(good)
    from safetensors.torch import save_file

    save_file(tensors, tmp_path / "bare.safetensors")

    def claim(file, method=card.method, **options):
        about = weights.WeightsCard(method, card.options | options)
        weights.save(tmp_path / f"{file}.safetensors", tensors, about)

    claim("future", "tomorrow_net")
    claim("newer", wings=2)
    claim("wider", filters=32)
    claim("deeper", repeats=3)
    with pytest.raises(kind, match=sentence):
        networks.load(name)
    with pytest.raises(kind):
        networks.ready(name, CPU)


def test_options_in_place_of_those_of_the_training(tmp_path, save):
    name = str(save(tmp_path / "a.safetensors"))
    assert networks.load(name, levels="kept").network.levels == "kept"
    with pytest.raises(InputError, match="with blocks changed"):
        networks.load(name, blocks=3)
    with pytest.raises(UsageError, match=r"no option 'block'. Did you mean 'blocks'"):
        networks.load(name, block=3)
    with pytest.raises(UsageError, match=r"^Model '.*' cannot be built with hidden=1000000000000000\.$"):
        networks.load(name, hidden=10**15)


def test_damaged_folders(folder):
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x99")
    with pytest.raises(InputError, match="SHA-256"):
        networks.load(str(folder))
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config.json' cannot be read as JSON"):
        networks.load(str(folder))


def test_a_folder_of_weights_alone_will_do(folder):
    (folder / "config.json").unlink()
    assert networks.load(str(folder)).card.method == "conv_tasnet"


def test_from_the_hub(tmp_path, folder, monkeypatch):
    asked = []

    def snapshot_download(repository, revision=None, *, allow_patterns, **options):
        asked.append((repository, revision))
        assert "*.safetensors" in allow_patterns
        assert "*.bin" not in allow_patterns  # the same once more
        return shutil.copytree(folder, tmp_path / f"cache{len(asked)}")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    expected = networks.load(str(folder)).network
    for name in ("some/network", "hub:some/network", "some/network@v1.0", "some/network"):
        assert same(networks.ready(name, CPU), expected)
    assert asked == [("some/network", None), ("some/network", "v1.0")]


def response(status):
    return SimpleNamespace(status_code=status, headers={}, request=None)  # whatever its HTTP library is


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            errors.RepositoryNotFoundError("404", response=response(404)),
            "no such repository, or it is private",
        ),
        (errors.GatedRepoError("403", response=response(403)), "its owners want to be asked"),
        (errors.RevisionNotFoundError("404", response=response(404)), "no such revision"),
        (errors.LocalEntryNotFoundError("offline"), "the Hub cannot be reached"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (errors.HFValidationError("Repo id is odd: 'x'.\nMore."), "Repo id is odd: 'x'"),
    ],
)
def test_what_cannot_be_fetched(monkeypatch, error, sentence):
    def snapshot_download(*arguments, **options):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(InputError, match=sentence) as caught:
        networks.load("some/network@v1")
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(". ") == 0


def test_offline_and_never_downloaded(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"no folder 'some/network'.*cannot be fetched"):
        networks.load("some/network")


def test_uploading(folder, monkeypatch):
    done = []

    class Api:
        def create_repo(self, name, private, exist_ok):
            done.append((name, private))
            return f"https://huggingface.co/{name}"

        def upload_folder(self, repo_id, folder_path, commit_message):
            done.append(sorted(path.name for path in folder_path.iterdir()))

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert hub.upload(folder, "some/network", private=True) == "https://huggingface.co/some/network"
    assert done == [("some/network", True), ["README.md", "config.json", "model.safetensors"]]
    for error, sentence in (
        (errors.HfHubHTTPError("401 Client Error", response=response(401)), "hf auth login"),
        (errors.LocalTokenNotFoundError("no token"), "hf auth login"),
        (ConnectionError("Name or service not known"), "Name or service not known"),
    ):

        def fail(*arguments, error=error, **options):
            raise error

        monkeypatch.setattr(Api, "create_repo", fail)
        with pytest.raises(OutputError, match=sentence):
            hub.upload(folder, "some/network")


def test_a_folder_appears_whole_or_not_at_all(tmp_path, folder, monkeypatch):
    found = networks.load(str(folder))
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(OutputError, match="already"):
        write_folder(folder, found.network, found.card, title="again")
    (folder / "notes.txt").write_text("mine")
    write_folder(folder, found.network, found.card, title="again", overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "README.md").read_bytes() != files["README.md"]
    assert same(networks.load(str(folder)).network, found.network)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OutputError, match="No space left"):
        write_folder(tmp_path / "new", found.network, found.card, title="new", source=found.path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "some.safetensors"]
    with pytest.raises(OutputError, match="it is a file"):
        write_folder(tmp_path / "some.safetensors", found.network, found.card, title="new")


def test_the_configuration_says_what_the_weights_say(folder):
    content = json.loads((folder / "config.json").read_text())
    card = weights.read_card(folder / "model.safetensors")
    assert content["library_name"] == "unbabble"
    assert weights.WeightsCard(**{name: content[name] for name in card.to_dict()}) == card
    network = networks.load(str(folder)).network
    assert content["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert content["bytes"] == (folder / "model.safetensors").stat().st_size


def test_the_model_card_is_one_the_hub_understands(folder):
    card = huggingface_hub.ModelCard.load(folder / "README.md")
    data = card.data.to_dict()
    assert (data["license"], data["library_name"], data["pipeline_tag"]) == (
        "cc-by-4.0",
        "unbabble",
        "audio-to-audio",
    )
    assert data["datasets"] == ["librispeech_asr"]
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert results == {"si_snr_i": 10.25, "sdr_i": 10.5}
    for said in (
        "| test_clean | 10.25 | 10.5 |",
        "Knows nothing.",
        "unbabble train configs/nothing.yaml",
        "8 kHz",
    ):
        assert said in card.text


def test_weights_of_other_toolkits_become_safetensors(tmp_path):
    """The fixture is described in tests/fixtures/README.md."""
    with np.load(FIXTURE) as file:
        content = dict(file)
    tensors = {k.removeprefix("tensor/"): torch.from_numpy(v) for k, v in content.items() if "/" in k}
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    torch.save(json.loads(str(content["options"])) | {"state_dict": tensors}, theirs / "pytorch_model.bin")
    (theirs / "config.json").write_text('{"library_name": "asteroid"}')
    pull(str(theirs), out=tmp_path / "ours", quiet=True)
    mixture, found = (torch.from_numpy(content[name]) for name in ("mixture", "found"))
    for place in (theirs, theirs / "pytorch_model.bin", tmp_path / "ours"):
        network = networks.ready(str(place), CPU)
        assert torch.allclose(network.estimate(mixture), found, atol=1e-5 * float(found.abs().max()))
    assert weights.read_card(tmp_path / "ours" / "model.safetensors").method == "conv_tasnet"
    assert networks.ready(str(theirs), CPU, levels="kept").levels == "kept"
    with pytest.raises(UsageError, match="no option 'iterations'"):
        networks.ready(str(theirs), CPU, iterations=3)
    with pytest.raises(InputError, match=r"no file '.*missing\.bin'"):
        networks.ready(str(theirs / "missing.bin"), CPU)


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text there")
def test_names_that_are_no_utf8(tmp_path, monkeypatch):
    """Models are pushed to folders of such names, loaded from them, exported from and to them."""
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"m\xffdel")
    unbabble.push("gru.2x32", name, quiet=True)
    assert same(networks.load(name).network, networks.load("gru.2x32").network)
    assert unbabble.load(name, "enhancer", "cpu").name == name
    assert unbabble.pull(name, out=f"{name}2", quiet=True).sha256
    exported = unbabble.export(name, out=f"{name}.onnx", streaming=True, quiet=True)
    assert exported.difference < 1e-4
    exported.save("exported.json")
    assert json.loads(Path("exported.json").read_text())["path"] == f"{name}.onnx"


def test_a_repository_without_safetensors_is_fetched_whole(tmp_path, monkeypatch):
    asked = []

    def snapshot_download(repository, revision=None, *, allow_patterns, **options):
        asked.append("*.bin" in allow_patterns)
        return tmp_path

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert hub.download("some/older-network") == tmp_path
    assert asked == [False, True]
