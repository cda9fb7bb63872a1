"""Other toolkits' embedders, built inside their own environments: small, with random weights.

    ~/.cache/unbabble-peers/speechbrain/bin/python benchmarks/peers/embedders.py tests/fixtures

writes the fixtures of tests/networks/test_embedders_elsewhere.py: hyper-parameters, tensors, two recordings, and the
vector that the toolkit makes of each. Knows no code of this project.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from networks import randomise, without_torchaudio

COMMON = """
n_mels: 20
compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False
"""
NETWORKS = {
    "speechbrain_ecapa": COMMON
    + """
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
    channels: [16, 16, 16, 16, 24]
    kernel_sizes: [5, 3, 3, 3, 1]
    dilations: [1, 2, 3, 4, 1]
    attention_channels: 10
    res2net_scale: 4
    se_channels: 6
    lin_neurons: 12
""",
    "speechbrain_xvector": COMMON
    + """
embedding_model: !new:speechbrain.lobes.models.Xvector.Xvector
    in_channels: !ref <n_mels>
    activation: !name:torch.nn.LeakyReLU
    tdnn_blocks: 5
    tdnn_channels: [16, 16, 16, 16, 24]
    tdnn_kernel_sizes: [5, 3, 3, 1, 1]
    tdnn_dilations: [1, 2, 3, 1, 1]
    lin_neurons: 12
""",
}
"""As published, but for the sizes."""


def measured_before(network, seed):
    """Means and variances of batch norms as training leaves them."""
    torch.manual_seed(seed)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(0.3 * torch.randn_like(buffer))
        elif name.endswith("running_var"):
            buffer.copy_(0.5 + torch.rand_like(buffer))
    return network


def speechbrain(folder):
    without_torchaudio()
    from hyperpyyaml import load_hyperpyyaml
    from speechbrain.nnet.pooling import StatisticsPooling

    # The noise of at most 9e-5 that pooling adds to means, in use too, is left out: it is there for training.
    StatisticsPooling._get_gauss_noise = lambda self, size, device: torch.zeros(size, device=device)
    for seed, (name, text) in enumerate(NETWORKS.items()):
        parts = load_hyperpyyaml(text)
        network = measured_before(randomise(parts["embedding_model"], seed), seed)
        waveform = torch.randn(2, 6400) * torch.sin(torch.arange(6400) / 300).abs()
        lengths = torch.ones(2)
        with torch.no_grad():
            bands = parts["mean_var_norm"].eval()(parts["compute_features"](waveform), lengths)
            found = network(bands, lengths)[:, 0]
        content = {f"tensor/{key}": each.numpy() for key, each in network.state_dict().items()}
        content |= {"hyperparameters": np.array(text), "waveform": waveform.numpy(), "found": found.numpy()}
        path = folder / f"{name}.npz"
        np.savez_compressed(path, **content)
        print(path, path.stat().st_size)


if __name__ == "__main__":
    torch.set_num_threads(1)
    speechbrain(Path(sys.argv[1]))
