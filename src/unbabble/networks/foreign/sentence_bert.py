"""Sentence encoders of Hugging Face's: a folder with ``config.json`` (a BERT), ``model.safetensors`` or
``pytorch_model.bin``, and ``tokenizer.json`` or ``vocab.txt``, as all-MiniLM-L6-v2 has it.

Differences of use: words that cannot be read are left out, where BERT has a piece for them.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unbabble.base.errors import InputError
from unbabble.base.weights import read_tensors as read_safetensors
from unbabble.networks.foreign.reading import Foreign, read_pickled, read_tensors, rename
from unbabble.text.wordpiece import WordPieces

MODEL_TYPE = "bert"
CONFIG = "config.json"
RULES = (
    (r"^bert\.", ""),
    (r"^embeddings\.word_embeddings\.", "words."),
    (r"^embeddings\.position_embeddings\.", "places."),
    (r"^embeddings\.LayerNorm\.", "norm."),
    (r"^encoder\.layer\.", "layers."),
    (r"\.attention\.self\.", "."),
    (r"\.attention\.output\.dense\.", ".mixed."),
    (r"\.attention\.output\.LayerNorm\.", ".mixed_norm."),
    (r"\.intermediate\.dense\.", ".wide."),
    (r"(\d)\.output\.dense\.", r"\1.narrow."),
    (r"(\d)\.output\.LayerNorm\.", r"\1.norm."),
)
SENTENCES = "embeddings.token_type_embeddings.weight"
UNUSED = ("pooler.", "embeddings.position_ids")


def open_sentence_bert(path: Path) -> Foreign:
    """The sentence encoder in the folder ``path``, in our terms.

    Raises:
        InputError: missing or damaged files, or a network of another shape.
    """
    config = read_json(path / CONFIG)
    pieces = WordPieces(read_vocabulary(path))
    tensors: dict[str, Tensor] = {}
    for name, tensor in read_weights(path).items():
        name = name.removeprefix("bert.")
        if name == SENTENCES:
            tensors["first_sentence"] = tensor[0]
        elif not name.startswith(UNUSED):
            tensors[rename(name, RULES)] = tensor
    tensors["vocabulary"] = torch.tensor(list(pieces.written()), dtype=torch.uint8)
    try:
        options: dict[str, Any] = {
            "letters": len(tensors["vocabulary"]),
            "pieces": config["vocab_size"],
            "width": config["hidden_size"],
            "layers": config["num_hidden_layers"],
            "heads": config["num_attention_heads"],
            "inner": config["intermediate_size"],
            "places": config["max_position_embeddings"],
        }
    except KeyError as missing:
        raise InputError(f"'{path / CONFIG}' does not say {missing}.") from None
    return Foreign("sentence_bert", options, tensors, str(path))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors in a folder of Hugging Face's.

    Raises:
        InputError: they are missing or damaged.
    """
    if (path / "model.safetensors").is_file():
        return read_safetensors(path / "model.safetensors")
    file = path / "pytorch_model.bin"
    return read_tensors(file, read_pickled(file))


def read_vocabulary(path: Path) -> list[str]:
    """The pieces of words in the order of their numbers.

    Raises:
        InputError: they are missing or damaged.
    """
    if (path / "vocab.txt").is_file():
        return (path / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
    tokenizer = read_json(path / "tokenizer.json")
    try:
        numbers: dict[str, int] = tokenizer["model"]["vocab"]
        return sorted(numbers, key=numbers.__getitem__)
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"'{path / 'tokenizer.json'}' holds no pieces of words.") from None


def read_json(path: Path) -> dict[str, Any]:
    """An object of JSON.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"There is no file '{path}'.") from None
    except (OSError, ValueError):
        raise InputError(f"'{path}' is damaged.") from None
    if not isinstance(content, dict):
        raise InputError(f"'{path}' is damaged.")
    return content
