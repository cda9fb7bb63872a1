"""Whisper by CTranslate2 and faster-whisper (extra ``whisper``): made for speed, and for numbers of eight bits.

A folder in CTranslate2's layout has ``model.bin``, ``config.json``, a vocabulary, and ``tokenizer.json``. A Whisper in
Hugging Face's layout is converted once (``--runtime ctranslate2``), and kept in the user's cache.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from unbabble.base.config import check_names
from unbabble.base.errors import UsageError
from unbabble.base.extras import require
from unbabble.base.files import user_cache
from unbabble.base.spans import Span, Transcript
from unbabble.networks.folder import new_folder
from unbabble.networks.foreign.hugging_face import without_bars
from unbabble.networks.foreign.recognizer import ForeignRecognizer, in_one_sentence, need_files
from unbabble.networks.foreign.whisper import (
    CARD,
    NO_REPEAT,
    NO_SPEECH,
    UNSURE,
    HuggingFaceWhisper,
    check_language,
)
from unbabble.nn.kinds.network import Network

WEIGHTS = "model.bin"
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
SAMPLE_RATE = 16000


def is_ctranslate2(folder: Path) -> bool:
    """Whether ``folder`` has the layout of a Whisper of CTranslate2's."""
    return (folder / WEIGHTS).is_file() and any((folder / name).is_file() for name in VOCABULARIES)


def load_faster_whisper(folder: Path, given: Mapping[str, Any]) -> ForeignRecognizer:
    """The Whisper in ``folder``.

    Args:
        folder: its files.
        given: options of ``FasterWhisper``.

    Raises:
        InputError: missing or damaged files.
        MissingExtraError: without the extra ``whisper``.
        UsageError: no such option, or a language that it does not know.
    """
    check_names(given, ["language", "compute_type"], f"Model '{folder}'")
    require("whisper")
    need_files(folder, "config.json", "tokenizer.json")
    return FasterWhisper(folder=folder, **given)


def by_ctranslate2(network: Network) -> ForeignRecognizer:
    """The same Whisper, computed by CTranslate2; its file is made at the first time.

    Raises:
        InputError: it cannot be converted.
        MissingExtraError: without the extra ``whisper``.
        UsageError: another network.
    """
    if isinstance(network, FasterWhisper):
        return network
    if not isinstance(network, HuggingFaceWhisper):
        raise UsageError(f"CTranslate2 computes Whisper, not a {network.card.name}.")
    require("whisper")
    folder = user_cache() / "ctranslate2" / _fingerprint(network.folder)
    if not is_ctranslate2(folder):
        with in_one_sentence("CTranslate2", network.folder), without_bars(), new_folder(folder) as staging:
            from ctranslate2.converters import TransformersConverter

            files = [name for name in ("preprocessor_config.json",) if (network.folder / name).is_file()]
            converter = TransformersConverter(str(network.folder), copy_files=files)
            converter.convert(str(staging), force=True)
            network.tokenizer.backend_tokenizer.save(str(staging / "tokenizer.json"))
    return load_faster_whisper(folder, network.options)


class FasterWhisper(ForeignRecognizer):
    """Text by an encoder of half a minute and a greedy decoder.

    Args:
        folder: its files.
        language: a code, as en; what is heard where none is given.
        compute_type: numbers that it computes with, as int8; default for those of the file.

    Raises:
        InputError: damaged files.
        UsageError: a language that it does not know.
    """

    takes_prompt = True

    def __init__(self, *, folder: Path, language: str | None = None, compute_type: str = "default") -> None:
        given = {"language": language, "compute_type": compute_type}
        super().__init__(card=CARD, sample_rate=SAMPLE_RATE, given=given)
        self.folder = folder
        self.where = nn.Parameter(torch.zeros(0), requires_grad=False)  # goes where the network is put
        self._models: dict[str, Any] = {}
        self.language = check_language(language, self.computed.supported_languages)

    @property
    def computed(self) -> Any:
        """faster-whisper's model, on the device that this network was put on."""
        device = self.where.device
        if str(device) not in self._models:
            with in_one_sentence("CTranslate2", self.folder):
                from faster_whisper import WhisperModel

                self._models[str(device)] = WhisperModel(
                    str(self.folder),
                    device=device.type,
                    device_index=device.index or 0,
                    compute_type=self.options["compute_type"],
                    cpu_threads=torch.get_num_threads(),
                    local_files_only=True,
                )
        return self._models[str(device)]

    def transcript(self, samples: Float[np.ndarray, " time"]) -> Transcript:
        """Words with their times; each is as sure as its pieces are on average."""
        segments, said = self.computed.transcribe(
            samples,
            language=self.options["language"],
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            no_repeat_ngram_size=NO_REPEAT,
            no_speech_threshold=NO_SPEECH,
            log_prob_threshold=UNSURE,
            word_timestamps=True,
            hotwords=self.prompt or None,
        )
        self.language = said.language
        segments = list(segments)
        score = sum(segment.avg_logprob * len(segment.tokens) for segment in segments)
        words = (word for segment in segments for word in segment.words or ())
        return Transcript(tuple(joined(words)), float(score))


def joined(words: Iterable[Any]) -> list[Span]:
    """Words as the library gives them; what has no space before it belongs to the word before.

    A word of several parts is as sure as the least sure of them.
    """
    made: list[Span] = []
    for word in words:
        text = word.word.strip()
        if not text:
            continue
        if made and not word.word.startswith(" "):
            last = made[-1]
            score = min(last.score if last.score is not None else 1.0, float(word.probability))
            made[-1] = Span(last.start, float(word.end), last.text + text, score=score)
        else:
            made.append(Span(float(word.start), float(word.end), text, score=float(word.probability)))
    return made


def _fingerprint(folder: Path) -> str:
    """Of all that decides a converted file: names, sizes and times of the files, versions of the libraries."""
    files = [(each.name, each.stat().st_size, each.stat().st_mtime_ns) for each in sorted(folder.iterdir())]
    versions = [metadata.version(name) for name in ("ctranslate2", "transformers")]
    content = json.dumps([str(folder.resolve()), files, versions])
    return hashlib.sha256(content.encode()).hexdigest()[:24]
