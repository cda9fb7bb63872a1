"""Taggers of everyday sounds by H. Dinkel, as RicherMans/Datadriven-GPVAD has them: ``pretrained_models/teacher2``.

Of each, ``model.pth``; the names of its classes, the 527 of AudioSet, are in ``labelencoders/teacher.pth`` beside it.

H. Dinkel, S. Wang, X. Xu, M. Wu, K. Yu, "Voice activity detection in the wild: a data-driven approach using
teacher-student training", IEEE/ACM TASLP 29, 2021. Log mel bands; convolutions that are pooled by their fourth norm; a
recurrent layer; of each frame the probability of every class; over time their mean, weighed by themselves.

As a joint embedder, a recording is the square root of its probabilities, of unit norm, and a text is the classes whose
names are most like it, by a text encoder: UrbanSound8K and ESC-50 were found better so than in the encoder's own space.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base.config import check_names
from unbabble.base.errors import InputError
from unbabble.base.registry import Card
from unbabble.base.weights import describe_difference
from unbabble.networks.foreign.reading import Inert, need, read_pickled, read_tensors
from unbabble.networks.foreign.resemblyzer import slaney_filters
from unbabble.nn.kinds.joint_embedder import NeuralJointEmbedder
from unbabble.nn.kinds.text_encoder import NeuralTextEncoder

FILE, LABELS = "model.pth", Path("labelencoders/teacher.pth")
SAMPLE_RATE, POINTS, FRAME_LENGTH, HOP, BANDS = 22050, 2048, 882, 441, 64
FLOOR = 2.0**-52
LEVEL = 0.1
"""Root mean square of what the network hears: .74 mean average precision on UrbanSound8K, .73 at the levels of its
recordings (``teacher2``)."""
SHARPNESS = 0.05
"""Cosines below the most similar name, at which a class counts 1/e of it."""
TEXT = "word_vectors.english"
WINDOW_SECONDS = 5.0
WIDTHS = (32, 128, 128, 128, 128)
POOLED = {1: (2, 4), 4: (2, 4), 7: (1, 4)}
"""By place among the layers, over how many frames and bands."""
NORM = 4.0
_KEYS = {"features.0.block.1.weight", "gru.weight_ih_l0", "outputlayer.weight"}


def is_gpvad(content: Any) -> bool:
    """Whether what a file holds is such a network."""
    return isinstance(content, dict) and content.keys() >= _KEYS


class Block(nn.Module):
    """A convolution over bands and frames, normed before."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.block = nn.Sequential(nn.BatchNorm2d(inputs), convolution, nn.LeakyReLU(0.1))

    def forward(
        self, x: Float[Tensor, "batch inputs frame band"]
    ) -> Float[Tensor, "batch outputs frame band"]:
        """As many frames and bands."""
        return self.block(x)


class Tagger(NeuralJointEmbedder):
    """See the module.

    Args:
        labels: names of the classes.
        text: reads texts, and the names of the classes.
    """

    card: ClassVar[Card] = Card(
        "gpvad",
        "joint embedder",
        "Finds sounds by words: those of the classes of AudioSet that are most like them.",
        "Dinkel, Wang, Xu, Wu, Yu: Voice activity detection in the wild, IEEE/ACM TASLP 29, 2021",
        network=True,
    )
    window: Tensor
    filters: Tensor

    def __init__(self, *, labels: Sequence[str], text: NeuralTextEncoder) -> None:
        super().__init__(sample_rate=SAMPLE_RATE, window_seconds=WINDOW_SECONDS, words=",".join(labels))
        widths = iter(zip((1, *WIDTHS[:-1]), WIDTHS, strict=True))
        places = range(len(WIDTHS) + len(POOLED))
        self.features = nn.Sequential(
            *(nn.LPPool2d(NORM, POOLED[at]) if at in POOLED else Block(*next(widths)) for at in places)
        )
        self.gru = nn.GRU(WIDTHS[-1], 128, bidirectional=True, batch_first=True)
        self.outputlayer = nn.Linear(256, len(labels))
        self.register_buffer("window", torch.hann_window(FRAME_LENGTH), persistent=False)
        self.register_buffer("filters", slaney_filters(BANDS, POINTS, SAMPLE_RATE), persistent=False)
        self.text = text.requires_grad_(False)
        with torch.no_grad():
            self.register_buffer("names", text.encode_text(list(labels)), persistent=False)

    def probabilities(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch label"]:
        """Of each class, anywhere in a recording at about unit level."""
        at_least = HOP * 4 + POINTS
        waveform = nn.functional.pad(LEVEL * waveform, (0, max(0, at_least - waveform.shape[1])))
        spectra = torch.stft(waveform, POINTS, HOP, FRAME_LENGTH, self.window, return_complex=True)
        return self.of_bands((self.filters @ spectra.abs().square() + FLOOR).log().mT)

    def of_bands(self, bands: Float[Tensor, "batch frame band"]) -> Float[Tensor, "batch label"]:
        """The network of the paper."""
        frames = self.features(bands[:, None]).transpose(1, 2).flatten(2)
        of_frames = self.outputlayer(self.gru(frames)[0]).sigmoid().clamp(1e-7, 1)
        return of_frames.square().sum(1) / of_frames.sum(1)

    def embed(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch label"]:
        """Square roots of the probabilities, of unit norm."""
        return nn.functional.normalize(self.probabilities(waveform).sqrt(), dim=-1)

    def describe(self, tokens: Int[Tensor, "text token"]) -> Float[Tensor, "text label"]:
        """How much each class is meant, of unit norm."""
        likeness = self.text(tokens) @ self.names.T
        return nn.functional.normalize((likeness / SHARPNESS).softmax(1), dim=-1)

    def scale(self) -> Float[Tensor, ""]:
        """None is learnt; shares are made otherwise."""
        return self.outputlayer.bias.new_ones(())

    def shares(
        self, audio: Float[Tensor, "recording label"], text: Float[Tensor, "text label"]
    ) -> Float[Tensor, "recording text"]:
        """By the probabilities, of which vectors are the square roots."""
        weights = (audio @ text.T).square()
        return weights / weights.sum(1, keepdim=True).clamp(min=1e-12)


class Binarizer(Inert):
    """What stands for scikit-learn's object that holds the names of classes: its attributes, and nothing else."""

    classes_: Any = ()

    def __setstate__(self, state: Any) -> None:
        self.classes_ = state.get("classes_", ()) if isinstance(state, dict) else ()


def read_labels(path: Path, count: int) -> list[str]:
    """The names of the classes, in order.

    Raises:
        InputError: missing, damaged, or not as many as the network has outputs.
    """
    arrays = [
        (np._core.multiarray._reconstruct, f"numpy.{core}.multiarray._reconstruct")  # type: ignore[attr-defined]
        for core in ("core", "_core")
    ]
    allowed = [
        (Binarizer, "sklearn.preprocessing.label.MultiLabelBinarizer"),
        (Binarizer, "sklearn.preprocessing._label.MultiLabelBinarizer"),
        *arrays, np.ndarray, type(np.dtype("O")),
    ]  # fmt: skip
    with torch.serialization.safe_globals(allowed):
        labels = [str(name).replace("_", " ") for name in getattr(read_pickled(path), "classes_", ())]
    if len(labels) != count:
        raise InputError(f"'{path}' names {len(labels)} classes, and the network has {count}.")
    return labels


def load_gpvad(path: Path, given: Mapping[str, Any]) -> Tagger:
    """The network in the file ``path``; ``text`` names another text encoder than the packaged one.

    Raises:
        InputError: damaged, unsafe, or another network, and what differs; no text encoder is installed.
        UsageError: an option that it does not have.
    """
    from unbabble.base.weights import packaged
    from unbabble.networks.load import load

    check_names(given, ["text"], f"Model '{path}'")
    tensors = read_tensors(path, read_pickled(path))
    outputs = len(need(tensors, "outputlayer.weight", path, 2))
    text = str(given.get("text", TEXT))
    if text == TEXT and TEXT not in packaged():
        raise InputError(f"'{TEXT}' is not installed: name a text encoder by --set text=FOLDER.")
    folder = path.parent
    labels = read_labels(
        folder / LABELS.name if (folder / LABELS.name).is_file() else folder.parent / LABELS, outputs
    )
    network = Tagger(labels=labels, text=load(text, "text encoder").network)
    own = {name: each for name, each in network.state_dict().items() if not name.startswith("text.")}
    theirs, ours = ({n: tuple(t.shape) for n, t in each.items()} for each in (tensors, own))
    if problem := describe_difference(str(path), theirs, ours):
        raise InputError(problem)
    network.load_state_dict(tensors, strict=False)
    return network.eval()
