"""SpeechBrain's embedders: ``embedding_model.ckpt`` and ``hyperparams.yaml``.

Its ECAPA-TDNN (``spkrec-ecapa-voxceleb``) is our method under other names. Its x-vector (``spkrec-xvect-voxceleb``)
differs from ours in features, activations and edges, and is computed here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.config import check_names
from unbabble.base.errors import InputError
from unbabble.base.registry import Card
from unbabble.base.weights import describe_difference
from unbabble.methods.representation import ecapa_tdnn
from unbabble.networks.foreign.reading import Foreign, need, read_pickled, read_tensors, rename
from unbabble.networks.foreign.speechbrain import YAML, Hyperparameters, read_hyperparameters
from unbabble.nn.decibel_mel import CentredMel
from unbabble.nn.kinds.embedder import NeuralEmbedder

WEIGHTS = "embedding_model.ckpt"
ECAPA, XVECTOR = "ECAPA_TDNN", "Xvector"
SAMPLE_RATE = 16000
"""Hz, unless the hyper-parameters say otherwise; so has its log mel."""
POOLING_EPS = 1e-5
_WRAPPED = ((r"\.(conv|norm)\.(\w+)$", r".\2"),)
"""Each of its convolutions and norms lies within another."""
_XVECTOR = ((r"^blocks\.(\d+)\.(conv|norm)\.", r"blocks.\1."), (r"^blocks\.(\d+)\.w\.", "projection."))


def is_speechbrain_embedder(folder: Path) -> bool:
    """Whether ``folder`` has the layout."""
    return (folder / WEIGHTS).is_file() and (folder / YAML).is_file()


def is_speechbrain_xvector(folder: Path) -> bool:
    """Whether ``folder`` has the layout, and an x-vector in it.

    Raises:
        InputError: its hyper-parameters cannot be read.
    """
    return is_speechbrain_embedder(folder) and read_hyperparameters(folder / YAML).has(XVECTOR)


def open_ecapa(folder: Path) -> Foreign:
    """The ECAPA-TDNN in ``folder``.

    Raises:
        InputError: damaged, unsafe, or another network, and what differs.
    """
    said, path = read_hyperparameters(folder / YAML), folder / WEIGHTS
    if not said.has(ECAPA):
        raise InputError(
            f"'{YAML}' describes neither an {ECAPA} nor an {XVECTOR}: Unbabble reads these embedders."
        )
    about = said.tagged(ECAPA)
    rate = _sample_rate(said)
    kernels, spacings = (5.0, 3.0, 3.0, 3.0, 1.0), (1.0, *map(float, ecapa_tdnn.SPACINGS), 1.0)
    for name, wanted in (("kernel_sizes", kernels), ("dilations", spacings), ("groups", (1.0,) * 5)):
        if (value := tuple(map(float, said.row(about.get(name), wanted)))) != wanted:
            raise InputError(f"'{YAML}' says {name}: {value}, but Unbabble's ECAPA-TDNN has {wanted} there.")
    _check_activation(said, about, "ReLU")
    tensors = {rename(name, _WRAPPED): each for name, each in read_tensors(path, read_pickled(path)).items()}
    first = need(tensors, "blocks.0.conv.weight", path, 3)
    aggregated = need(tensors, "mfa.conv.weight", path, 3)
    parts = need(tensors, "blocks.1.res2net_block.blocks.0.conv.weight", path, 3)
    options = {
        "bands": first.shape[1],
        "channels": len(first),
        "scale": len(first) // len(parts),
        "squeeze": len(need(tensors, "blocks.1.se_block.conv1.weight", path, 3)),
        "aggregated": len(aggregated),
        "attention": len(need(tensors, "asp.tdnn.conv.weight", path, 3)),
        "dimension": len(need(tensors, "fc.weight", path, 3)),
        "sample_rate": rate,
    }
    return Foreign("ecapa_tdnn", options, tensors, str(folder))


class SpeechBrainXVector(NeuralEmbedder):
    """SpeechBrain's x-vector, without the noise that its pooling adds to means.

    Convolutions over mirrored frames, LeakyReLU and batch norm; mean and deviation; a matrix.

    Args:
        bands: mel bands.
        widths: channels of each layer.
        kernels: frames that each looks at.
        spacings: of these frames.
        dimension: numbers of an embedding.
        sample_rate: Hz.
    """

    card: ClassVar[Card] = Card(
        "speechbrain_xvector",
        "embedder",
        "Tells speakers apart with convolutions over time, and mean and deviation of what they find.",
        "Snyder et al.: X-vectors, ICASSP 2018; Ravanelli et al.: SpeechBrain, arXiv 2106.04624",
        network=True,
    )

    def __init__(
        self,
        *,
        bands: int,
        widths: tuple[int, ...],
        kernels: tuple[int, ...],
        spacings: tuple[int, ...],
        dimension: int,
        sample_rate: int,
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        self.blocks = nn.Sequential()
        edges = [spacing * (kernel // 2) for kernel, spacing in zip(kernels, spacings, strict=True)]
        inputs = bands
        for width, kernel, spacing, edge in zip(widths, kernels, spacings, edges, strict=True):
            self.blocks += nn.Sequential(
                nn.Conv1d(inputs, width, kernel, dilation=spacing, padding=edge, padding_mode="reflect"),
                nn.LeakyReLU(),
                nn.BatchNorm1d(width),
            )
            inputs = width
        self.mel = CentredMel(bands, sample_rate, max(edges) + 1)
        self.projection = nn.Linear(2 * inputs, dimension)

    def embed(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """From the statistics of the whole recording."""
        frames = self.blocks(self.mel(waveform).mT)
        statistics = torch.cat([frames.mean(2), frames.std(2) + POOLING_EPS], 1)
        return nn.functional.normalize(self.projection(statistics), dim=-1)


def load_xvector(folder: Path, given: Mapping[str, Any]) -> SpeechBrainXVector:
    """The x-vector in ``folder``.

    Raises:
        InputError: missing or damaged files; a network that is built in another way, and what differs.
        UsageError: an option, of which it has none.
    """
    check_names(given, [], f"Model '{folder}'")
    said, path = read_hyperparameters(folder / YAML), folder / WEIGHTS
    about = said.tagged(XVECTOR)
    rate = _sample_rate(said)
    _check_activation(said, about, "LeakyReLU")
    tensors = {rename(name, _XVECTOR): each for name, each in read_tensors(path, read_pickled(path)).items()}
    convolutions = [each for name, each in tensors.items() if name.startswith("blocks.") and each.ndim == 3]
    if not convolutions:
        raise InputError(f"'{path.name}' holds no convolutions.")
    spacings = said.row(about.get("tdnn_dilations"), (1, 2, 3, 1, 1))
    if len(spacings) != len(convolutions):
        raise InputError(
            f"'{YAML}' says {len(spacings)} tdnn_dilations, '{path.name}' has {len(convolutions)} layers."
        )
    network = SpeechBrainXVector(
        bands=convolutions[0].shape[1],
        widths=tuple(len(each) for each in convolutions),
        kernels=tuple(each.shape[2] for each in convolutions),
        spacings=tuple(int(each) for each in spacings),
        dimension=len(need(tensors, "projection.weight", path, 2)),
        sample_rate=rate,
    )
    theirs, ours = ({n: tuple(t.shape) for n, t in each.items()} for each in (tensors, network.state_dict()))
    if problem := describe_difference(str(folder), theirs, ours):
        raise InputError(problem)
    network.load_state_dict(tensors)
    return network.eval()


def _sample_rate(said: Hyperparameters) -> int:
    """Hz, of features as ours.

    Raises:
        InputError: other features, and what differs.
    """
    bands = said.tagged("Fbank")
    norm = said.tagged("InputNormalization")
    for where, name, wanted, default in (
        (bands, "deltas", False, False),
        (bands, "context", False, False),
        (bands, "f_min", 0, 0),
        (bands, "filter_shape", "triangular", "triangular"),
        (bands, "n_fft", 400, 400),
        (bands, "win_length", 25, 25),
        (bands, "hop_length", 10, 10),
        (norm, "norm_type", "sentence", "global"),
        (norm, "std_norm", False, True),
    ):
        if (value := said.resolve(where.get(name), default)) != wanted:
            raise InputError(f"'{YAML}' says {name}: {value}, but Unbabble's embedders have {wanted} there.")
    rate = said.resolve(bands.get("sample_rate"), SAMPLE_RATE)
    top = said.resolve(bands.get("f_max"), rate // 2)
    if top != rate // 2:
        raise InputError(f"'{YAML}' says f_max: {top}, but Unbabble's embedders hear up to {rate // 2} Hz.")
    return int(rate)


def _check_activation(said: Hyperparameters, about: Mapping[str, Any], wanted: str) -> None:
    kind = said.class_of(about.get("activation", wanted))
    if (kind or wanted) != wanted:
        raise InputError(f"'{YAML}' says activation: {kind}, but Unbabble's network has {wanted} there.")
