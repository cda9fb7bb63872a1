"""Other toolkits' networks, built inside their own environments: whole or small, with random weights.

    ~/.cache/unbabble-peers/speechbrain/bin/python benchmarks/peers/networks.py tests/fixtures
    ~/.cache/unbabble-peers/asteroid/bin/python benchmarks/peers/networks.py tests/fixtures

writes the fixtures of tests/test_foreign.py that this environment can make: options, tensors, an input, its output.
Knows no code of this project. SpeechBrain imports torchaudio, which has no CPU build, and uses none of it here.
"""

import json
import sys
import types
from pathlib import Path

import numpy as np
import torch

SPEECHBRAIN = {
    "N": 256,
    "kernel": 16,
    "K": 250,
    "layers": 8,
    "nhead": 8,
    "d_ffn": 1024,
    "repeats": 2,
    "num_spks": 2,
}
SMALL_SPEECHBRAIN = {"N": 16, "kernel": 8, "K": 10, "layers": 2, "nhead": 4, "d_ffn": 24, "repeats": 2}
ASTEROID = {
    "conv_tasnet": ("ConvTasNet", {"n_src": 2}),
    "dprnn_16": ("DPRNNTasNet", {"n_src": 2}),
    "dprnn_2": ("DPRNNTasNet", {"n_src": 2, "kernel_size": 2, "stride": 1, "chunk_size": 250}),
}
HYPERPARAMETERS = """
sample_rate: 8000
num_spks: {num_spks}
Transformer: &transformer !new:speechbrain.lobes.models.dual_path.SBTransformerBlock
    num_layers: {layers}
    d_model: {N}
    nhead: {nhead}
    d_ffn: {d_ffn}
    use_positional_encoding: True
    norm_before: True
MaskNet: !new:speechbrain.lobes.models.dual_path.Dual_Path_Model
    num_spks: !ref <num_spks>
    in_channels: {N}
    out_channels: {N}
    num_layers: {repeats}
    K: {K}
    intra_model: !ref <Transformer>
    inter_model: !ref <Transformer>
    norm: ln
    skip_around_intra: True
"""


def without_torchaudio():
    for name in ("", ".transforms", ".functional", ".compliance", ".compliance.kaldi"):
        sys.modules["torchaudio" + name] = types.ModuleType("torchaudio" + name)
    sys.modules["torchaudio"].__version__ = "2.8.0"
    sys.modules["torchaudio"].list_audio_backends = lambda: ["soundfile"]


class SepFormer(torch.nn.Module):
    """SpeechBrain's three parts, put together as its SepformerSeparation.separate_batch does."""

    def __init__(self, N, kernel, K, layers, nhead, d_ffn, repeats, num_spks):
        super().__init__()
        without_torchaudio()
        from speechbrain.lobes.models import dual_path

        def transformer():
            return dual_path.SBTransformerBlock(
                num_layers=layers,
                d_model=N,
                nhead=nhead,
                d_ffn=d_ffn,
                dropout=0,
                use_positional_encoding=True,
                norm_before=True,
            )

        self.num_spks = num_spks
        self.encoder = dual_path.Encoder(kernel_size=kernel, out_channels=N)
        self.masknet = dual_path.Dual_Path_Model(
            num_spks=num_spks,
            in_channels=N,
            out_channels=N,
            num_layers=repeats,
            K=K,
            intra_model=transformer(),
            inter_model=transformer(),
            norm="ln",
            linear_layer_after_inter_intra=False,
            skip_around_intra=True,
        )
        self.decoder = dual_path.Decoder(
            in_channels=N, out_channels=1, kernel_size=kernel, stride=kernel // 2, bias=False
        )

    def forward(self, mix):
        mix_w = self.encoder(mix)
        est_mask = self.masknet(mix_w)
        sep_h = torch.stack([mix_w] * self.num_spks) * est_mask
        sources = [self.decoder(sep_h[i]) for i in range(self.num_spks)]
        found = torch.stack([each.reshape(len(mix), -1) for each in sources], 1)
        missing = mix.shape[1] - found.shape[2]
        return torch.nn.functional.pad(found, (0, missing)) if missing > 0 else found[..., : mix.shape[1]]


class RealM(torch.nn.Module):
    """REAL-M's estimator of SpeechBrain's parts, put together as its SNREstimator.estimate_batch does.

    The noise of at most 9e-5 that its pooling adds to means, in use too, is left out: it is there for training.
    """

    STRIDES = (1, 2, 2, 2, 2)

    def __init__(self, channels, snrmin, snrmax):
        super().__init__()
        without_torchaudio()
        from speechbrain.nnet.CNN import Conv1d
        from speechbrain.nnet.containers import Sequential
        from speechbrain.nnet.linear import Linear
        from speechbrain.nnet.pooling import StatisticsPooling

        def convolution(inputs, stride):
            options = {"kernel_size": 4, "skip_transpose": True, "padding": "valid"}
            return Conv1d(in_channels=inputs, out_channels=channels, stride=stride, **options)

        layers = {}
        for number, stride in enumerate(self.STRIDES, 1):
            layers[f"cnn{number}"] = convolution(2 if number == 1 else channels, stride)
            if number < len(self.STRIDES):
                layers[f"relu{number}"] = torch.nn.ReLU()
        self.encoder = Sequential(input_shape=[None, 2, None], **layers)
        self.encoder_out = Sequential(
            input_shape=[None, 2 * channels],
            layer1=Linear(input_size=2 * channels, n_neurons=2 * channels),
            relu=torch.nn.ReLU(),
            layer2=Linear(input_size=2 * channels, n_neurons=1),
            sigm=torch.nn.Sigmoid(),
        )
        self.pooling = StatisticsPooling()
        self.pooling._get_gauss_noise = lambda size, device: torch.zeros(size, device=device)
        self.low, self.high = snrmin, snrmax

    def forward(self, mixture, estimates):
        def normalised(x):
            return (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)

        repeated = mixture.repeat_interleave(estimates.shape[1], 0)
        both = torch.stack([normalised(estimates.flatten(0, 1)), normalised(repeated)], 1)
        found = self.encoder_out(self.pooling(self.encoder(both).permute(0, 2, 1)))
        return self.low + (self.high - self.low) * found.reshape(estimates.shape[:2])


def asteroid(kind, **arguments):
    from asteroid import models

    return getattr(models, kind)(**arguments)


def randomise(network, seed):
    """Weights of about the size of trained ones, gains and offsets included, so that none can be taken for another."""
    torch.manual_seed(seed)
    for name, parameter in network.named_parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 25
        offset = 1.0 if parameter.ndim == 1 and name.endswith(("norm.weight", "gamma")) else 0.0
        parameter.data = offset + torch.randn_like(parameter) / fan_in**0.5
    return network.eval()


def build(name, seed=0):
    """A network of the benchmark, with random weights."""
    if name == "sepformer":
        return randomise(SepFormer(**SPEECHBRAIN), seed)
    return randomise(asteroid(*ASTEROID[name][:1], **ASTEROID[name][1]), seed)


def save(network, name, folder):
    """In the layout in which its toolkit publishes networks."""
    if name == "sepformer":
        for part in ("encoder", "masknet", "decoder"):
            torch.save(getattr(network, part).state_dict(), folder / f"{part}.ckpt")
        (folder / "hyperparams.yaml").write_text(HYPERPARAMETERS.format(**SPEECHBRAIN))
    else:
        said = {"model_name": ASTEROID[name][0], "model_args": network.get_model_args()}
        torch.save(said | {"state_dict": network.state_dict()}, folder / "pytorch_model.bin")


def fixtures(folder):
    try:
        import asteroid as _  # noqa: F401
    except ImportError:
        for sources in (1, 2, 3):
            options = SMALL_SPEECHBRAIN | {"num_spks": sources}
            network = randomise(SepFormer(**options), sources)
            tensors = {name: each for name, each in network.state_dict().items() if not name.endswith(".pe")}
            write(folder / f"speechbrain_sepformer_{sources}.npz", network, options, tensors, 4 * 60)
        options = {"channels": 8, "snrmin": 0, "snrmax": 10}
        network = randomise(RealM(**options), 4)
        write(folder / "speechbrain_realm.npz", network, options, network.state_dict(), 400, estimates=2)
        return
    small = {"n_src": 2, "n_filters": 16, "kernel_size": 8, "stride": 4, "bn_chan": 8}
    tcn = small | {"hid_chan": 12, "n_blocks": 3, "n_repeats": 2}
    dprnn = small | {"hid_size": 6, "n_repeats": 2, "chunk_size": 10}
    for name, kind, options in (
        (
            "conv_tasnet",
            "ConvTasNet",
            tcn | {"skip_chan": 10, "encoder_activation": "relu", "mask_act": "relu"},
        ),
        ("conv_tasnet_no_skip", "ConvTasNet", tcn | {"skip_chan": 0, "n_src": 3, "mask_act": "softmax"}),
        ("conv_tasnet_causal", "ConvTasNet", tcn | {"skip_chan": 10, "causal": True, "norm_type": "cgLN"}),
        ("dprnn", "DPRNNTasNet", dprnn | {"encoder_activation": "relu"}),
        (
            "dprnn_causal",
            "DPRNNTasNet",
            dprnn | {"bidirectional": False, "norm_type": "cLN", "mask_act": "relu"},
        ),
    ):
        network = randomise(asteroid(kind, **options), 7)
        said = {"model_name": kind, "model_args": network.get_model_args()}
        write(folder / f"asteroid_{name}.npz", network, said, network.state_dict(), 4 * 60)


def write(path, network, options, tensors, samples, estimates=0):
    mixture = torch.randn(2, samples)
    content = {f"tensor/{name}": each.numpy() for name, each in tensors.items()}
    with torch.no_grad():
        if estimates:
            made = mixture[:, None] + torch.randn(2, estimates, samples)
            content["estimates"] = made.numpy()
            found = network(mixture, made)
        else:
            found = network(mixture[:, None] if hasattr(network, "get_model_args") else mixture)
    content |= {"mixture": mixture.numpy(), "found": found.numpy(), "options": np.array(json.dumps(options))}
    np.savez_compressed(path, **content)
    print(path, path.stat().st_size)


if __name__ == "__main__":
    torch.set_num_threads(1)
    fixtures(Path(sys.argv[1]))
