"""SpeechBrain's classifiers of sounds: the same logits as its layout computed plainly, without any class of ours.

The reference below was written from SpeechBrain's description of the network (``lobes.models.Cnn14`` and ``PIQ``), by
name of tensor: convolutions, batch norm, pooling and features are PyTorch's functions.
"""

import pytest
import torch
from torch.nn import functional

from unbabble.base.errors import InputError
from unbabble.networks import load as networks
from unbabble.networks.foreign import is_foreign, kinds_in
from unbabble.nn.kinds.classifier import PEAK, STEEPNESS

TOLERANCE = 1e-5
"""Of logits of about unit size: float32 in another order."""
YAML = """
sample_rate: 16000
use_melspectra: {mel}
use_log1p_mel: True
n_fft: 1024
spec_mag_power: 0.5
hop_length: 11.6099
win_length: 23.2199
compute_stft: !new:speechbrain.processing.features.STFT
    n_fft: !ref <n_fft>
    hop_length: !ref <hop_length>
    win_length: !ref <win_length>
    sample_rate: !ref <sample_rate>
compute_fbank: !new:speechbrain.processing.features.Filterbank
    n_mels: 32
    n_fft: !ref <n_fft>
    sample_rate: !ref <sample_rate>
    log_mel: False
embedding_model: !new:speechbrain.lobes.models.{network}
    {size}: 6
"""
NETWORKS = {"cnn14": ("Cnn14.Cnn14", "emb_dim", True), "conv2d": ("PIQ.Conv2dEncoder_v2", "dim", False)}
WIDTH, DIMENSION, CLASSES, HIDDEN = 2, 6, 4, 5


def norm_tensors(name, channels):
    return {
        f"{name}.weight": torch.rand(channels) + 0.5,
        f"{name}.bias": torch.randn(channels) / 5,
        f"{name}.running_mean": torch.randn(channels) / 5,
        f"{name}.running_var": torch.rand(channels) + 0.5,
        f"{name}.num_batches_tracked": torch.tensor(7),
    }


def cnn14_tensors():
    tensors, widths = norm_tensors("norm0", 32), [1, *(WIDTH * 2**n for n in range(5)), DIMENSION]
    for number in range(6):
        inputs, outputs = widths[number], widths[number + 1]
        for layer, came in ((1, inputs), (2, outputs)):
            weight = torch.randn(outputs, came, 3, 3) / (3 * came**0.5)
            tensors[f"conv_block{number + 1}.conv{layer}.weight"] = weight
            tensors |= norm_tensors(f"conv_block{number + 1}.norm{layer}", outputs)
    return tensors


def conv2d_tensors():
    tensors = {}
    for number in range(1, 5):
        inputs = 1 if number == 1 else DIMENSION
        tensors[f"conv{number}.weight"] = torch.randn(DIMENSION, inputs, 4, 4) / (4 * inputs**0.5)
        tensors[f"conv{number}.bias"] = torch.randn(DIMENSION)
        tensors |= norm_tensors(f"bn{number}", DIMENSION)
    for place, kernel in ((0, 3), (3, 1)):
        weight = torch.randn(DIMENSION, DIMENSION, kernel, kernel) / (kernel * DIMENSION**0.5)
        tensors[f"resblock.block.{place}.weight"] = weight
        tensors[f"resblock.block.{place}.bias"] = torch.randn(DIMENSION)
        tensors |= norm_tensors(f"resblock.block.{place + 1}", DIMENSION)
    return tensors


def head_tensors(kind):
    if kind == "linear":
        return {"weight": torch.randn(CLASSES, DIMENSION), "bias": torch.randn(CLASSES)}
    if kind == "cosine":
        return {"weight": torch.randn(CLASSES, DIMENSION)}
    return {
        **norm_tensors("blocks.0.norm", DIMENSION),
        "blocks.1.w.weight": torch.randn(HIDDEN, DIMENSION),
        "blocks.1.w.bias": torch.randn(HIDDEN),
        "weight": torch.randn(CLASSES, HIDDEN),
    }


def folder_of(folder, kind, head="linear", labels=True, **changes):
    torch.manual_seed(0)
    network, size, mel = NETWORKS[kind]
    said = YAML.format(network=network, size=size, mel=mel)
    for old, new in changes.items():
        said = said.replace(f"{old}: ", f"{old}: {new} #")
    (folder / "hyperparams.yaml").write_text(said)
    embedding = cnn14_tensors() if kind == "cnn14" else conv2d_tensors()
    torch.save(embedding, folder / "embedding_model.ckpt")
    torch.save(head_tensors(head), folder / "classifier.ckpt")
    if labels:
        names = "".join(f"'{name}' => {n}\n" for n, name in enumerate(("dog", "rain", "sea waves", "hen")))
        (folder / "label_encoder.txt").write_text(names + "================\n'starting_index' => 0\n")


def norm(x, tensors, name):
    parts = (tensors[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return functional.batch_norm(x, *parts)


def features(waveform, mel):
    """Of SpeechBrain's STFT, spectral_magnitude and Filterbank."""
    window = torch.hamming_window(372)
    spectra = torch.stft(waveform, 1024, 186, 372, window, True, "constant", False, True, return_complex=True)
    magnitudes = (spectra.real**2 + spectra.imag**2 + 1e-14).pow(0.5).transpose(1, 2)
    if not mel:
        return magnitudes.log1p()
    hertz = torch.linspace(0, 8000, 513)
    top = 2595 * torch.log10(torch.tensor(1 + 8000 / 700))
    corners = 700 * (10 ** (torch.linspace(0, float(top), 34) / 2595) - 1)
    width = corners[1:-1] - corners[:-2]
    filters = torch.stack(
        [
            (1 - (hertz - middle).abs() / wide).clamp(min=0)
            for middle, wide in zip(corners[1:-1], width, strict=True)
        ]
    )
    return (magnitudes @ filters.T).log1p()


def reference(kind, head, waveform):
    torch.manual_seed(0)
    tensors = cnn14_tensors() if kind == "cnn14" else conv2d_tensors()
    last, x = head_tensors(head), features(waveform, kind == "cnn14")[:, None]
    if kind == "cnn14":
        x = norm(x.transpose(1, 3), tensors, "norm0").transpose(1, 3)
        for block in range(1, 7):
            for layer in (1, 2):
                x = functional.conv2d(x, tensors[f"conv_block{block}.conv{layer}.weight"], padding=1)
                x = norm(x, tensors, f"conv_block{block}.norm{layer}").relu()
            x = functional.avg_pool2d(x, 2 if block < 6 else 1)
        x = x.mean(3)
        x = x.max(2).values + x.mean(2)
    else:
        for layer in range(1, 5):
            x = functional.conv2d(x, tensors[f"conv{layer}.weight"], tensors[f"conv{layer}.bias"], 2, 1)
            x = norm(x, tensors, f"bn{layer}").relu()
        y, block = x, "resblock.block"
        y = functional.conv2d(y, tensors[f"{block}.0.weight"], tensors[f"{block}.0.bias"], 1, 1)
        y = norm(y, tensors, f"{block}.1").relu()
        y = functional.conv2d(y, tensors[f"{block}.3.weight"], tensors[f"{block}.3.bias"])
        x = (x + norm(y, tensors, f"{block}.4")).mean((-1, -2))
    if head == "linear":
        return functional.linear(x, last["weight"], last["bias"])
    if head == "projected":
        x = norm(x, last, "blocks.0.norm")
        x = functional.linear(x, last["blocks.1.w.weight"], last["blocks.1.w.bias"])
    return functional.linear(functional.normalize(x), functional.normalize(last["weight"]))


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("head", ["linear", "cosine", "projected"])
def test_logits_are_those_of_the_layout(tmp_path, kind, head):
    folder_of(tmp_path, kind, head)
    waveform = torch.randn(2, 16000, generator=torch.Generator().manual_seed(1))
    waveform -= waveform.mean(1, keepdim=True)
    waveform *= PEAK / waveform.abs().amax(1, keepdim=True)
    expected = reference(kind, head, waveform)
    assert is_foreign(tmp_path)
    assert [each.name for each in kinds_in(tmp_path)] == ["classifier"]
    network = networks.load(str(tmp_path), "classifier").network
    assert network.labels == ("dog", "rain", "sea waves", "hen")
    found = network(waveform) / (1 if head == "linear" else STEEPNESS)
    assert float(expected.std()) > 0.01
    torch.testing.assert_close(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_classes_without_names_have_numbers(tmp_path):
    folder_of(tmp_path, "conv2d", labels=False)
    assert networks.load(str(tmp_path), "classifier").network.labels[1] == "class 1"


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("cnn14", {"use_log1p_mel": "False"}, "use_log1p_mel: False"),
        ("cnn14", {"use_melspectra": "False"}, "hears mel bands"),
        ("conv2d", {"hop_length": "10.0"}, "hop_length: 10.0"),
        ("conv2d", {"spec_mag_power": "1"}, "spec_mag_power: 1"),
    ],
)
def test_other_features_are_refused_in_a_sentence(tmp_path, kind, changes, words):
    folder_of(tmp_path, kind, **changes)
    with pytest.raises(InputError, match=words):
        networks.load(str(tmp_path), "classifier")


def test_what_is_damaged_is_refused_in_a_sentence(tmp_path):
    folder_of(tmp_path, "cnn14")
    (tmp_path / "label_encoder.txt").write_text("'dog' => 0\n")
    with pytest.raises(InputError, match="does not name the 4 classes"):
        networks.load(str(tmp_path), "classifier")
    torch.save({"weight": torch.zeros(4, 7), "bias": torch.zeros(4)}, tmp_path / "classifier.ckpt")
    (tmp_path / "label_encoder.txt").unlink()
    with pytest.raises(InputError, match=r"head\.weight"):
        networks.load(str(tmp_path), "classifier")
