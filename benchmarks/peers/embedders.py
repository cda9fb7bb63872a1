r"""Other toolkits' embedders, built inside their own environments: small, with random weights.

    ~/.cache/unbabble-peers/speechbrain/bin/python benchmarks/peers/embedders.py tests/fixtures
    PYTHONPATH=~/.cache/unbabble-peers/embedders/wespeaker:~/.cache/unbabble-peers/embedders/3D-Speaker \
        ~/.cache/unbabble-peers/embedders/bin/python benchmarks/peers/embedders.py tests/fixtures

writes the fixtures of tests/networks/test_embedders_elsewhere.py: hyper-parameters, tensors, two recordings, and the
vector that the toolkit makes of each. The second environment has Resemblyzer, WeSpeaker and 3D-Speaker. Knows
no code of this project.
"""

import importlib.util
import json
import sys
import tempfile
import types
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


def recording(samples):
    """A tone that rises and swells, of unit level: the tests make it again."""
    time = np.arange(samples) / 16000
    tone = np.sin(2 * np.pi * (150 * time + 400 * time**2)) + 0.5 * np.sin(2 * np.pi * 1900 * time)
    tone *= 1.2 + np.sin(2 * np.pi * 3 * time)
    return (tone / np.sqrt(np.mean(tone**2))).astype(np.float32)


LENGTHS = (9000, 40000, 62400)


def write(path, network, vectors):
    content = {f"tensor/{key}": each.numpy() for key, each in network.state_dict().items()}
    content |= {f"found/{length}": vector for length, vector in zip(LENGTHS, vectors, strict=True)}
    np.savez_compressed(path, **content)
    print(path, path.stat().st_size)


def resemblyzer(folder):
    """At its own level of -30 dB, and without the detector of speech, which another library has."""
    sys.modules["webrtcvad"] = types.ModuleType("webrtcvad")
    sys.modules["scipy.ndimage.morphology"] = types.ModuleType("scipy.ndimage.morphology")  # gone from scipy
    sys.modules["scipy.ndimage.morphology"].binary_dilation = None
    from resemblyzer import audio, voice_encoder

    audio.mel_n_channels = voice_encoder.mel_n_channels = 20
    voice_encoder.model_hidden_size = voice_encoder.model_embedding_size = 12
    voice_encoder.model_num_layers = 2
    with tempfile.NamedTemporaryFile() as file:
        torch.save({"model_state": {}}, file.name)
        network = randomise(voice_encoder.VoiceEncoder("cpu", verbose=False, weights_fpath=file.name), 0)
    network.lstm.weight_ih_l0.data *= 30  # mel powers at that level are small
    vectors = [network.embed_utterance(10**-1.5 * recording(length)) for length in LENGTHS]
    write(folder / "resemblyzer.npz", network, vectors)


def kaldi_bands(length, window, bands, full_scale):
    """kaldi-native-fbank's in place of torchaudio's, which copies the same of Kaldi's."""
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither, options.frame_opts.window_type = 0, window
    options.mel_opts.num_bins = bands
    made = kaldi_native_fbank.OnlineFbank(options)
    made.accept_waveform(16000, (full_scale * recording(length)).tolist())
    features = torch.from_numpy(np.stack([made.get_frame(each) for each in range(made.num_frames_ready)]))[
        None
    ]
    return features - features.mean(1, keepdim=True)


def wespeaker(folder):
    from wespeaker.models import resnet

    network = resnet.ResNet(resnet.BasicBlock, [1, 2, 1, 1], m_channels=4, feat_dim=16, embed_dim=12)
    network = measured_before(randomise(network, 0), 0)
    with torch.no_grad():
        vectors = [network(kaldi_bands(length, "hamming", 16, 32768))[-1][0].numpy() for length in LENGTHS]
    write(folder / "wespeaker.npz", network, vectors)


def campplus(folder):
    """All of its many small tensors in one row, so that the file is small."""
    from speakerlab.models.campplus import DTDNN

    DTDNN.FCM.__init__.__defaults__ = (DTDNN.BasicResBlock, [2, 2], 4, 16)  # 4 channels in place of 32
    network = DTDNN.CAMPPlus(feat_dim=16, embedding_size=12, growth_rate=2, bn_size=2, init_channels=6)
    network = measured_before(randomise(network, 0), 0)
    with torch.no_grad():
        vectors = [network(kaldi_bands(length, "povey", 16, 1))[0].numpy() for length in LENGTHS]
    state = network.state_dict()
    content = {f"found/{length}": vector for length, vector in zip(LENGTHS, vectors, strict=True)}
    content["shapes"] = np.array(json.dumps({name: list(each.shape) for name, each in state.items()}))
    content["row"] = torch.cat([each.flatten().float() for each in state.values()]).numpy()
    path = folder / "campplus.npz"
    np.savez_compressed(path, **content)
    print(path, path.stat().st_size)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if importlib.util.find_spec("speechbrain"):
        speechbrain(Path(sys.argv[1]))
    else:
        resemblyzer(Path(sys.argv[1]))
        wespeaker(Path(sys.argv[1]))
        campplus(Path(sys.argv[1]))
