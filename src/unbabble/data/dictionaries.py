"""Spectral dictionaries on disk, and what a user may name in place of one: a recording to train it on.

A dictionary file is a NumPy ``.npz`` without pickled objects: the spectra, and the transform that they belong
to.
"""

import os
import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base import audio
from unbabble.base.errors import InputError
from unbabble.base.files import atomic

SUFFIX = ".npz"


def save_dictionary(
    path: str | os.PathLike[str],
    dictionary: Float[Tensor, "frequency basis"],
    *,
    sample_rate: int,
    window_length: int,
    divergence: str,
) -> None:
    """Write ``dictionary`` (see ``nmf.train_dictionary``) with what it was trained for.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            dictionary=dictionary.double().cpu().numpy(),
            sample_rate=sample_rate,
            window_length=window_length,
            divergence=divergence,
        )


def load_dictionary(
    path: str | os.PathLike[str], *, sample_rate: int, window_length: int, divergence: str
) -> Float[Tensor, "frequency basis"]:
    """Read what ``save_dictionary`` wrote, columns adding up to 1.

    Raises:
        InputError: not such a file, or trained for another rate, window or divergence.
    """
    name = Path(path).name
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            dictionary = file["dictionary"].astype(np.float64)
            settings = (int(file["sample_rate"]), int(file["window_length"]), str(file["divergence"]))
    except FileNotFoundError as error:
        raise InputError(f"There is no file '{path}'.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"'{name}' is not a dictionary that Unbabble saved.") from error
    wanted = (sample_rate, window_length, divergence)
    if settings != wanted:
        raise InputError(
            f"Dictionary '{name}' was trained for {_describe(*settings)}, but {_describe(*wanted)} is needed."
        )
    sound = dictionary.ndim == 2 and dictionary.shape[0] == window_length // 2 + 1 and dictionary.shape[1] > 0
    if (
        not sound
        or not np.isfinite(dictionary).all()
        or (dictionary < 0).any()
        or not dictionary.sum(0).all()
    ):
        raise InputError(f"Dictionary '{name}' is damaged: it has values that no spectrum has.")
    return torch.from_numpy(dictionary / dictionary.sum(0))


def read_entry(
    path: str | os.PathLike[str], *, sample_rate: int, window_length: int, divergence: str
) -> Float[Tensor, " time"] | Float[Tensor, "frequency basis"]:
    """A saved dictionary, or a recording: its channels' mean at ``sample_rate``.

    Raises:
        InputError: neither.
    """
    if Path(path).suffix == SUFFIX:
        return load_dictionary(
            path, sample_rate=sample_rate, window_length=window_length, divergence=divergence
        )
    recording = audio.read(path)
    return audio.resample(recording.samples.mean(0), recording.sample_rate, sample_rate)


def _describe(sample_rate: int, window_length: int, divergence: str) -> str:
    return f"{sample_rate} Hz, windows of {window_length} samples and '{divergence}'"
