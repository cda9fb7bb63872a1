"""Networks that other toolkits trained: read from their files, as networks of ours.

- SpeechBrain's SepFormer: ``encoder.ckpt``, ``masknet.ckpt``, ``decoder.ckpt`` and ``hyperparams.yaml``; REAL-M's
  SI-SNR estimator: ``encoder.ckpt``, ``encoder_out.ckpt`` and ``hyperparams.yaml``.
- Asteroid's ConvTasNet and DPRNNTasNet: ``pytorch_model.bin``, or a single such file under any name.
- SpeechBrain's embedders, ECAPA-TDNN and x-vector: ``embedding_model.ckpt`` and ``hyperparams.yaml``.
- SpeechBrain's classifiers of sounds, CNN14 and ``Conv2dEncoder_v2``: the same files, ``classifier.ckpt`` and
  ``label_encoder.txt``.
- Resemblyzer's d-vector: ``pretrained.pt``; WeSpeaker's ResNets: ``avg_model.pt``, or pyannote's ``pytorch_model.bin``;
  3D-Speaker's CAM++: ``campplus_cn_en_common.pt``; or a single such file under any name.
- H. Dinkel's taggers of the sounds of AudioSet: ``model.pth``, and the names of its classes, ``teacher.pth``.
- pyannote's segmentation networks from version 3 on, which say who talks when: ``pytorch_model.bin``.
- SpeechBrain's recognisers: ``asr.ckpt``, ``normalizer.ckpt``, ``tokenizer.ckpt`` and ``hyperparams.yaml``, with
  their language model, ``lm.ckpt``.
- Hugging Face's sentence encoders that are a BERT, as all-MiniLM-L6-v2: ``config.json``, weights, ``tokenizer.json``.
- Hugging Face's CLAP, which finds sounds by words, computed by transformers.
- Hugging Face's wav2vec 2.0, HuBERT, WavLM and Whisper, and CTranslate2's Whisper: recognisers that the libraries which
  made them compute (``recognizer``).

Files of tensors are read with an unpickler that makes tensors, numbers, text and containers of these, and refuses
everything else; YAML as plain data, whatever its tags ask for. Nothing in them is ever executed.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from unbabble.base import registry
from unbabble.base.config import check_arguments
from unbabble.base.errors import InputError
from unbabble.base.kinds import Kind
from unbabble.base.registry import Card
from unbabble.base.weights import describe_difference
from unbabble.networks.foreign import campplus, gpvad, hugging_face_clap, resemblyzer, wespeaker, whisper
from unbabble.networks.foreign.asteroid import FILE, open_asteroid
from unbabble.networks.foreign.by_ctranslate2 import is_ctranslate2, load_faster_whisper
from unbabble.networks.foreign.campplus import CAMPlusPlus, is_campplus, load_campplus
from unbabble.networks.foreign.gpvad import Tagger, is_gpvad, load_gpvad
from unbabble.networks.foreign.hugging_face import CTC, ctc_card, load_ctc, model_type
from unbabble.networks.foreign.hugging_face_clap import HuggingFaceCLAP, load_clap
from unbabble.networks.foreign.pyannote import PyanNet, is_pyannote, load_pyannote
from unbabble.networks.foreign.reading import Foreign, read_pickled
from unbabble.networks.foreign.resemblyzer import Resemblyzer, is_resemblyzer, load_resemblyzer
from unbabble.networks.foreign.sentence_bert import MODEL_TYPE as BERT
from unbabble.networks.foreign.sentence_bert import open_sentence_bert
from unbabble.networks.foreign.speechbrain import (
    is_estimator,
    is_speechbrain,
    open_estimator,
    open_speechbrain,
)
from unbabble.networks.foreign.speechbrain_classifier import is_speechbrain_classifier, open_classifier
from unbabble.networks.foreign.speechbrain_embedder import (
    SpeechBrainXVector,
    is_speechbrain_embedder,
    is_speechbrain_xvector,
    load_xvector,
    open_ecapa,
)
from unbabble.networks.foreign.speechbrain_recognizer import (
    card_of,
    is_speechbrain_recognizer,
    load_speechbrain_recognizer,
)
from unbabble.networks.foreign.wespeaker import WeSpeakerResNet, is_wespeaker, load_wespeaker
from unbabble.nn.kinds.network import Network

QUANTILES = "quantiles"
"""Of our scorers' intervals: other toolkits have none."""
__all__ = ["is_foreign", "kinds_in", "load_foreign", "open_foreign"]


def is_foreign(place: str | os.PathLike[str]) -> bool:
    """Whether ``place`` is a folder in one of the layouts, or a file of tensors that is not safetensors."""
    path = Path(place)
    if path.is_dir():
        return (
            is_speechbrain(path)
            or is_estimator(path)
            or is_speechbrain_embedder(path)
            or _single(path) is not None
            or is_speechbrain_recognizer(path)
            or is_ctranslate2(path)
            or model_type(path) is not None
        )
    return path.is_file() and path.suffix in (".bin", ".pth", ".pt", ".ckpt")


def load_foreign(place: str | os.PathLike[str], **options: Any) -> Network:
    """The network in ``place``, ready for use.

    Args:
        place: a folder or file, see ``is_foreign``.
        options: of our network, in place of those that its files imply: ``precision="bfloat16"``, ``levels="kept"``;
            of those that other libraries compute, their own: ``language="de"``.

    Raises:
        InputError: damaged, unsafe, or a network that Unbabble does not have, and what differs.
        MissingExtraError: computed by a library that is not installed.
        UsageError: no such option.
    """
    if (elsewhere := _computed_elsewhere(Path(place))) is not None:
        return elsewhere[1](options).eval()
    method, implied, tensors, source = open_foreign(place)
    implied |= check_arguments(registry.method(method), options, f"Model '{place}'")
    network: Network = registry.create(method, **implied)
    shapes = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    tensors = {name: each for name, each in network.state_dict().items() if name == QUANTILES} | tensors
    problem = describe_difference(source, {name: tuple(each.shape) for name, each in tensors.items()}, shapes)
    if problem:
        raise InputError(problem)
    network.load_state_dict(tensors)
    return network.eval()


def kinds_in(place: str | os.PathLike[str]) -> tuple[Kind, ...]:
    """What the network in ``place`` can do, its own kind first.

    Raises:
        InputError: damaged, unsafe, or a kind of network that Unbabble does not have.
    """
    if (elsewhere := _computed_elsewhere(Path(place))) is not None:
        return elsewhere[0].kinds({})
    method, options, *_ = open_foreign(place)
    return registry.find(method)[0].kinds(options)


def open_foreign(place: str | os.PathLike[str]) -> Foreign:
    """What is in ``place``, in our terms.

    Raises:
        InputError: damaged, unsafe, or a kind of network that Unbabble does not have.
    """
    path = Path(place)
    if path.is_dir() and is_speechbrain(path):
        return open_speechbrain(path)
    if path.is_dir() and is_estimator(path):
        return open_estimator(path)
    if path.is_dir() and is_speechbrain_classifier(path):
        return open_classifier(path)
    if path.is_dir() and is_speechbrain_embedder(path):
        return open_ecapa(path)
    if path.is_dir() and model_type(path) == BERT:
        return open_sentence_bert(path)
    return open_asteroid(path / FILE if path.is_dir() else path)


SINGLE = (resemblyzer.FILE, wespeaker.FILE, campplus.FILE, gpvad.FILE, FILE)
"""Files that hold a whole network."""


def _single(path: Path) -> Path | None:
    """The file that holds the whole of the network in ``path``, if there is one."""
    if not path.is_dir():
        return path
    return next((path / name for name in SINGLE if (path / name).is_file()), None)


Loader = Callable[[Mapping[str, Any]], Network]


def _computed_elsewhere(path: Path) -> tuple[Card, Loader] | None:
    """What a listing shows of the network in ``path``, and what loads it, if it is no method of ours.

    Raises:
        InputError: a network of Hugging Face's that is no recogniser.
    """
    if not path.is_dir():
        return _whole_in(path)
    if is_speechbrain_classifier(path):
        return None
    if is_speechbrain_xvector(path):
        return SpeechBrainXVector.card, partial(load_xvector, path)
    if is_speechbrain_recognizer(path):
        return card_of(path), partial(load_speechbrain_recognizer, path)
    if is_ctranslate2(path):
        return whisper.CARD, partial(load_faster_whisper, path)
    kind = model_type(path)
    if kind == whisper.CARD.name:
        return whisper.CARD, partial(whisper.load_whisper, path)
    if kind in CTC:
        return ctc_card(kind), partial(load_ctc, path, kind)
    if kind == BERT:
        return None
    if kind == hugging_face_clap.MODEL_TYPE:
        return HuggingFaceCLAP.card, partial(load_clap, path)
    if kind is not None:
        raise InputError(
            f"Folder '{path}' holds a '{kind}': of Hugging Face's networks, Unbabble uses {', '.join(CTC)}, whisper, "
            "clap and bert."
        )
    if is_speechbrain(path) or is_estimator(path) or is_speechbrain_embedder(path):
        return None
    file = _single(path)
    return _whole_in(file) if file is not None else None


def _whole_in(file: Path) -> tuple[Card, Loader] | None:
    content = read_pickled(file, wespeaker.INERT)
    if is_resemblyzer(content):
        return Resemblyzer.card, partial(load_resemblyzer, file)
    if is_wespeaker(content):
        return WeSpeakerResNet.card, partial(load_wespeaker, file)
    if is_campplus(content):
        return CAMPlusPlus.card, partial(load_campplus, file)
    if is_gpvad(content):
        return Tagger.card, partial(load_gpvad, file)
    if is_pyannote(content):
        return PyanNet.card, partial(load_pyannote, file)
    return None
