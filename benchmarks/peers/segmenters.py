r"""pyannote's segmentation network, built inside its own environment: small, with random weights.

    ~/.cache/unbabble-peers/embedders/bin/python benchmarks/peers/segmenters.py tests/fixtures

writes the fixture of tests/networks/test_segmenters_elsewhere.py: tensors, in half precision so that the file is small,
two recordings, and log-probabilities of each frame. The network's own files run; what they inherit from is training
alone, which a module of plain PyTorch stands for here. Knows no code of this project.
"""

import sys
import types
from importlib.metadata import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

HIDDEN, WIDTH, CLASSES, SAMPLES = 3, 5, 7, 9000


class Model(torch.nn.Module):
    """In place of the one that knows of training: keeps options where the network looks for them."""

    def __init__(self, **_):
        super().__init__()

    def save_hyperparameters(self, *names):
        given = sys._getframe(1).f_locals
        self.hparams = types.SimpleNamespace(**{name: given[name] for name in names})


def network_class():
    """``PyanNet``, without the imports of the whole toolkit."""
    place = next(each for each in files("pyannote.audio") if str(each).endswith("pyannote/audio/__init__.py"))
    root = Path(place.locate()).parent
    stand_ins = {
        "pyannote.core.utils.generators": {"pairwise": pairwise},
        "pyannote.audio.core.model": {"Model": Model},
        "pyannote.audio.core.task": {"Task": object},
    }
    for name in ("pyannote.audio", "pyannote.audio.models", "pyannote.audio.models.segmentation"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(root.joinpath(*name.split(".")[2:]))]
    for name, content in stand_ins.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(content)
    from pyannote.audio.models.segmentation.PyanNet import PyanNet

    return PyanNet


def main(folder):
    torch.manual_seed(0)
    sizes = {"lstm": {"hidden_size": HIDDEN}, "linear": {"hidden_size": WIDTH}}
    network = network_class()(**sizes).eval()
    network.classifier = torch.nn.Linear(WIDTH, CLASSES)
    network.activation = torch.nn.LogSoftmax(dim=-1)
    with torch.no_grad():
        for name, each in network.named_parameters():
            if "norm" in name:
                each.add_(0.3 * torch.randn_like(each))
            elif "lstm" in name or "linear" in name or "classifier" in name:
                each.mul_(2)
            each.copy_(each.half().float())
        time = torch.arange(SAMPLES) / 16000
        waveform = torch.stack(
            [(300 * time + 900 * time**2).sin() * time, torch.randn(SAMPLES) * (5 * time).sin()]
        )
        waveform = waveform.half().float()
        probabilities = network(waveform[:, None])
    tensors = {f"tensor/{name}": each.numpy() for name, each in network.state_dict().items()}
    fixed = ("window_", "n_")
    halves = {
        name: each if name.endswith(fixed) else each.astype(np.float16) for name, each in tensors.items()
    }
    np.savez_compressed(
        Path(folder) / "pyannote_segmentation.npz",
        waveform=waveform.numpy().astype(np.float16),
        log_probs=probabilities.numpy(),
        **halves,
    )


if __name__ == "__main__":
    main(sys.argv[1])
