"""Networks of other toolkits; the fixtures are described in tests/fixtures/README.md."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from unbabble.base.errors import InputError, UsageError
from unbabble.networks import load as networks
from unbabble.networks.foreign import is_foreign, load_foreign, open_foreign
from unbabble.networks.foreign.speechbrain import read_hyperparameters

FIXTURES = Path(__file__).parents[1] / "fixtures"
TOLERANCE = 1e-5
"""Relative to the largest sample: float32 in another order."""

HYPERPARAMETERS = """
sample_rate: 8000
num_spks: {num_spks}
width: {N}
nothing: !PLACEHOLDER
doomed: !apply:os.system ["touch {trap}"]
Encoder: !new:speechbrain.lobes.models.dual_path.Encoder
    kernel_size: {kernel}
    out_channels: !ref <width>
SBtfintra: !new:speechbrain.lobes.models.dual_path.SBTransformerBlock
    num_layers: {layers}
    d_model: !ref <width>
    nhead: {nhead}
    d_ffn: {d_ffn}
    use_positional_encoding: True
    norm_before: True
SBtfinter: !new:speechbrain.lobes.models.dual_path.SBTransformerBlock
    num_layers: {layers}
    nhead: {nhead}
    norm_before: {norm_before}
MaskNet: !new:speechbrain.lobes.models.dual_path.Dual_Path_Model
    num_spks: !ref <num_spks>
    num_layers: {repeats}
    K: {K}
    intra_model: !ref <SBtfintra>
    inter_model: !ref <SBtfinter>
    norm: ln
    skip_around_intra: True
modules:
    masknet: !ref <MaskNet>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        masknet: !ref <MaskNet>
"""


def fixture(name):
    with np.load(FIXTURES / f"{name}.npz") as file:
        content = dict(file)
    tensors = {k.removeprefix("tensor/"): torch.from_numpy(v) for k, v in content.items() if "/" in k}
    options = json.loads(str(content["options"]))
    return options, tensors, torch.from_numpy(content["mixture"]), torch.from_numpy(content["found"])


def speechbrain_folder(folder, name="speechbrain_sepformer_2", **changes):
    options, tensors, mixture, found = fixture(name)
    for number in range(options["repeats"]):
        for path in ("intra", "inter"):
            tensors[f"masknet.dual_mdl.{number}.{path}_mdl.pos_enc.pe"] = torch.zeros(1, 2500, options["N"])
    for part in ("encoder", "masknet", "decoder"):
        content = {k.partition(".")[2]: v for k, v in tensors.items() if k.startswith(part)}
        torch.save(content, folder / f"{part}.ckpt")
    said = {"trap": folder / "trap", "norm_before": True} | options | changes
    (folder / "hyperparams.yaml").write_text(HYPERPARAMETERS.format(**said))
    return mixture, found


def asteroid_file(path, name, **changes):
    said, tensors, mixture, found = fixture(name)
    infos = {
        "software_versions": {"torch_version": torch.__version__, "asteroid_version": "0.7.0"},
        "final_results": {"si_sdr": np.float64(14.7), "stoi": np.float32(0.9), "steps": np.int64(3)},
    }
    said["model_args"] |= changes
    torch.save(said | {"state_dict": tensors, "infos": infos}, path)
    return mixture, found


def agrees(network, mixture, found):
    with torch.no_grad():
        error = (network.estimate(mixture) - found).abs().max()
    return error <= TOLERANCE * found.abs().max()


@pytest.mark.parametrize("sources", [1, 2, 3])
def test_sepformer_of_speechbrain_gives_the_same_output(tmp_path, sources):
    mixture, found = speechbrain_folder(tmp_path, f"speechbrain_sepformer_{sources}")
    assert is_foreign(tmp_path)
    network = load_foreign(tmp_path)
    assert (network.sources, network.sample_rate, network.levels) == (sources, 8000, "fitted")
    assert agrees(network, mixture, found)
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize(
    "name", ["conv_tasnet", "conv_tasnet_no_skip", "conv_tasnet_causal", "dprnn", "dprnn_causal"]
)
def test_networks_of_asteroid_give_the_same_output(tmp_path, name):
    mixture, found = asteroid_file(tmp_path / "pytorch_model.bin", f"asteroid_{name}", sample_rate=16000.0)
    assert is_foreign(tmp_path)
    for place in (tmp_path, tmp_path / "pytorch_model.bin"):
        network = load_foreign(place)
        assert network.sample_rate == 16000
        assert agrees(network, mixture, found)


def test_options_of_ours_can_be_given(tmp_path):
    mixture, found = speechbrain_folder(tmp_path)
    network = load_foreign(tmp_path, precision="bfloat16")
    with torch.no_grad():
        estimate = network.estimate(mixture)
    assert 1e-4 < (estimate - found).norm() / found.norm() < 5e-2
    with pytest.raises(UsageError, match="precision"):
        load_foreign(tmp_path, precison="bfloat16")


def test_hyperparameters_are_plain_data(tmp_path):
    path = tmp_path / "hyperparams.yaml"
    path.write_text(
        "a: !new:os.system\n  command: touch x\nb: !ref <c>\nc: 3\nd: !!python/object:os.system {}\n"
    )
    said = read_hyperparameters(path)
    assert said.content["a"] == {"!": "!new:os.system", "command": "touch x"}
    assert said.resolve(said.content["b"], None) == 3
    path.write_text("a: <b>\nb: <a>\n")
    read_hyperparameters(path).resolve("<a>", None)  # a circle ends
    path.write_text("a: [")
    with pytest.raises(InputError, match="not a valid YAML"):
        read_hyperparameters(path)


class Malicious:
    def __init__(self, trap):
        self.trap = trap

    def __reduce__(self):
        return Path.touch, (self.trap,)


def test_pickled_code_is_refused(tmp_path):
    asteroid_file(tmp_path / "pytorch_model.bin", "asteroid_dprnn")
    content = torch.load(tmp_path / "pytorch_model.bin", weights_only=False)
    content["infos"] = Malicious(tmp_path / "trap")
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"more than tensors and plain data \('pathlib.Path.touch'|getattr"):
        load_foreign(tmp_path)
    speechbrain_folder(tmp_path)
    (tmp_path / "masknet.ckpt").write_bytes(pickle.dumps(Malicious(tmp_path / "trap")))
    with pytest.raises(InputError, match=r"masknet\.ckpt"):
        load_foreign(tmp_path)
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_damaged_files_are_named(tmp_path, kept):
    speechbrain_folder(tmp_path)
    path = tmp_path / "masknet.ckpt"
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(InputError, match=r"'masknet\.ckpt' is damaged"):
        load_foreign(tmp_path)


def test_missing_files_are_named(tmp_path):
    speechbrain_folder(tmp_path)
    (tmp_path / "decoder.ckpt").unlink()
    with pytest.raises(InputError, match=r"decoder\.ckpt"):
        load_foreign(tmp_path)
    speechbrain_folder(tmp_path)
    (tmp_path / "hyperparams.yaml").unlink()
    with pytest.raises(InputError, match=r"hyperparams\.yaml"):
        load_foreign(tmp_path)
    (tmp_path / "masknet.ckpt").unlink()
    assert not is_foreign(tmp_path)


def test_differences_of_architecture_are_said(tmp_path):
    speechbrain_folder(tmp_path, norm_before=False)
    with pytest.raises(InputError, match="norm_before: False"):
        load_foreign(tmp_path)
    speechbrain_folder(tmp_path)
    tensors = torch.load(tmp_path / "masknet.ckpt", weights_only=True)
    torch.save(tensors | {"dual_mdl.0.intra_linear.w.weight": torch.zeros(16, 16)}, tmp_path / "masknet.ckpt")
    with pytest.raises(InputError, match=r"has, which the network lacks, 'masknet\.blocks\.0\.intra_linear"):
        load_foreign(tmp_path)
    del tensors["dual_mdl.1.inter_mdl.mdl.layers.1.norm1.norm.bias"]
    torch.save(tensors, tmp_path / "masknet.ckpt")
    with pytest.raises(
        InputError, match=r"lacks 'masknet\.blocks\.1\.inter\.layers\.1\.attention_norm\.bias'"
    ):
        load_foreign(tmp_path)
    text = (
        (tmp_path / "hyperparams.yaml").read_text().replace("Dual_Path_Model", "ResourceEfficientSeparator")
    )
    (tmp_path / "hyperparams.yaml").write_text(text)
    with pytest.raises(InputError, match="describes no Dual_Path_Model"):
        load_foreign(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rnn_type": "GRU"}, "rnn_type=GRU"),
        ({"fb_name": "stft"}, "fb_name=stft"),
        ({"hop_size": 3}, "10 frames every 3"),
        ({"stride": 2}, "stride 2"),
        ({"norm_type": "fgLN"}, "norm fgLN"),
        ({"n_src": 3}, "to_sources.1.weight"),
    ],
)
def test_what_our_networks_lack_is_said(tmp_path, changes, said):
    asteroid_file(tmp_path / "pytorch_model.bin", "asteroid_dprnn", **changes)
    with pytest.raises(InputError, match=said):
        load_foreign(tmp_path)


def test_other_files_of_tensors_are_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="no network of Asteroid"):
        open_foreign(tmp_path)
    torch.save({"model_name": "DCUNet", "model_args": {}, "state_dict": {}}, path)
    with pytest.raises(InputError, match="is a DCUNet"):
        open_foreign(tmp_path)
    torch.save({"model_name": "ConvTasNet", "model_args": {}, "state_dict": {}}, path)
    with pytest.raises(InputError, match=r"encoder\.weight"):
        open_foreign(tmp_path)


REALM = """
sample_rate: 8000
snrmin: 0
snrmax: 10
separation_norm_type: {norm}
encoder: !new:speechbrain.nnet.containers.Sequential
    input_shape: [null, 2, null]
"""


def realm_folder(folder, norm="stnorm"):
    _, tensors, mixture, found = fixture("speechbrain_realm")
    for part in ("encoder", "encoder_out"):
        content = {k.partition(".")[2]: v for k, v in tensors.items() if k.partition(".")[0] == part}
        torch.save(content, folder / f"{part}.ckpt")
    (folder / "hyperparams.yaml").write_text(REALM.format(norm=norm))
    with np.load(FIXTURES / "speechbrain_realm.npz") as file:
        return mixture, torch.from_numpy(file["estimates"]), found


def test_realm_estimator_tells_what_speechbrain_tells(tmp_path):
    mixture, estimates, found = realm_folder(tmp_path)
    assert is_foreign(tmp_path)
    network = load_foreign(tmp_path)
    with torch.no_grad():
        told = network.predict(mixture, estimates).db
    torch.testing.assert_close(told, found, rtol=0, atol=1e-5)
    assert network.resolved_options() == {"channels": 8, "low_db": 0.0, "high_db": 10.0, "sample_rate": 8000}


def test_realm_estimator_with_another_normalisation_is_refused(tmp_path):
    realm_folder(tmp_path, norm="max")
    with pytest.raises(InputError, match="separation_norm_type: max"):
        load_foreign(tmp_path)


def test_realm_estimator_does_not_separate(tmp_path):
    realm_folder(tmp_path)
    with pytest.raises(UsageError, match="does not separate"):
        networks.load(str(tmp_path), "separator")
