"""The optional parts of an installation: one table for ``pyproject.toml``, ``unbabble doctor`` and error sentences."""

import importlib.util
from dataclasses import dataclass

from unbabble.base.errors import MissingExtraError


@dataclass(frozen=True)
class Extra:
    """Libraries that one feature needs and others do not: ``pip install 'unbabble[NAME]'``.

    Attributes:
        name: as in ``pyproject.toml``.
        feature: what needs it, as an error says it: "Training needs the extra 'train'".
        modules: what is imported.
    """

    name: str
    feature: str
    modules: tuple[str, ...]

    def missing(self) -> list[str]:
        """The modules that are not installed; none of them is imported to find out."""
        return [module for module in self.modules if importlib.util.find_spec(module) is None]


EXTRAS = {
    extra.name: extra
    for extra in (
        Extra("metrics", "This metric", ("fast_bss_eval", "pesq", "pystoi")),
        Extra("dereverb", "WPE dereverberation", ("nara_wpe",)),
        Extra("rooms", "A simulated room", ("pyroomacoustics",)),
        Extra("live", "The microphone", ("sounddevice",)),
        Extra("text", "A number in words", ("num2words",)),
        Extra("hf", "A recogniser in Hugging Face's layout", ("transformers",)),
        Extra("speechbrain", "A recogniser of SpeechBrain's", ("sentencepiece",)),
        Extra("whisper", "Whisper by CTranslate2", ("ctranslate2", "faster_whisper")),
        Extra("train", "Training", ("accelerate", "matplotlib")),
        Extra("onnx", "ONNX", ("onnx", "onnxruntime", "onnxscript")),
        Extra(
            "web",
            "The site",
            ("alembic", "argon2", "fastapi", "fsspec", "itsdangerous", "jinja2", "sqlalchemy", "uvicorn"),
        ),
    )
}


def missing_extra(name: str, feature: str = "") -> MissingExtraError:
    """The error that says what to install.

    Args:
        name: of the extra.
        feature: what needs it, if more exact than the table's.
    """
    return MissingExtraError(feature or EXTRAS[name].feature, name)


def require(name: str, feature: str = "") -> None:
    """Refuse what cannot work without an extra.

    Raises:
        MissingExtraError: some of its modules are not installed.
    """
    if EXTRAS[name].missing():
        raise missing_extra(name, feature)
