"""Recognisers in Hugging Face's layout, computed by transformers (extra ``hf``).

``config.json`` says what it is. wav2vec 2.0, HuBERT and WavLM with a head of CTC have ``preprocessor_config.json`` and
``vocab.json``; Whisper has further files of its tokens (``whisper``). Weights are ``model.safetensors``, or
``pytorch_model.bin``, of which tensors alone are unpickled. Code that a repository brings is never run: the classes are
the library's own.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unbabble.base.config import check_names
from unbabble.base.errors import InputError
from unbabble.base.extras import require
from unbabble.base.registry import Card
from unbabble.base.spans import Span, Transcript
from unbabble.networks.foreign.recognizer import ForeignRecognizer, in_one_sentence, need_files
from unbabble.networks.onnx import quiet
from unbabble.nn.kinds.recognizer import Posteriors
from unbabble.text.tokens import WORD_START, Pieces

CONFIG = "config.json"
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
FEATURE = "A recogniser in Hugging Face's layout"
CTC = {
    "wav2vec2": (
        "Wav2Vec2ForCTC",
        "Baevski et al.: wav2vec 2.0: a framework for self-supervised learning, NeurIPS 2020",
    ),
    "hubert": ("HubertForCTC", "Hsu et al.: HuBERT, IEEE/ACM TASLP 29, 2021"),
    "wavlm": ("WavLMForCTC", "Chen et al.: WavLM, IEEE J-STSP 16(6), 2022"),
}
"""By ``model_type``: the library's class, and the paper."""
TRAINING_ONLY = "masked_spec_embed"
"""A tensor that only training needs, and some files lack."""


def model_type(folder: Path) -> str | None:
    """What kind of network of Hugging Face's is in ``folder``, as ``whisper``; None where it is none of them."""
    with suppress(OSError, ValueError, AttributeError):
        said = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("model_type")
        return said if isinstance(said, str) else None
    return None


def ctc_card(kind: str) -> Card:
    """That of a network that writes letters by CTC."""
    summary = "Writes letters by CTC, on top of what it learnt from speech without transcripts."
    return Card(kind, "recognizer", summary, CTC[kind][1], network=True)


def load_ctc(folder: Path, kind: str, given: Mapping[str, Any]) -> ForeignRecognizer:
    """The wav2vec 2.0, HuBERT or WavLM in ``folder``.

    Raises:
        InputError: missing or damaged files; no head that writes letters.
        MissingExtraError: without the extra ``hf``.
        UsageError: an option, of which it has none.
    """
    check_names(given, [], f"Model '{folder}'")
    model = load_model(folder, CTC[kind][0])
    need_files(folder, "preprocessor_config.json", "vocab.json")
    with in_one_sentence("transformers", folder):
        from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor

        extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder, local_files_only=True)
        tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(folder, local_files_only=True)
        if len(tokenizer) < model.config.vocab_size:
            raise InputError(f"'{folder / 'vocab.json'}' has fewer tokens than the network writes.")
    return HuggingFaceCTC(model=model, extractor=extractor, tokenizer=tokenizer, card=ctc_card(kind))


def load_model(folder: Path, name: str) -> Any:
    """The library's network of class ``name``, with all of its weights, in float32.

    Raises:
        InputError: missing, damaged or incomplete.
        MissingExtraError: without the extra ``hf``.
    """
    require("hf", FEATURE)
    if not any((folder / each).is_file() for each in WEIGHTS):
        raise InputError(f"Folder '{folder}' has no weights: neither {WEIGHTS[0]} nor {WEIGHTS[2]}.")
    with in_one_sentence("transformers", folder), without_bars():
        import transformers

        model, said = getattr(transformers, name).from_pretrained(
            folder, local_files_only=True, weights_only=True, dtype=torch.float32, output_loading_info=True
        )
    lacking = sorted(
        str(each)
        for each in (*said["missing_keys"], *said["mismatched_keys"])
        if not str(each).endswith(TRAINING_ONLY)
    )
    if lacking:
        raise InputError(
            f"The weights in '{folder}' are not those of a {name}: '{lacking[0]}' is missing or different."
        )
    return model.eval()


@contextmanager
def without_bars() -> Iterator[None]:
    """Without the progress that transformers shows while it loads."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


class HuggingFaceCTC(ForeignRecognizer):
    """Letters by CTC: the likeliest of each frame, or what a search of ours makes of them.

    Args:
        model: of transformers.
        extractor: what it makes of a waveform.
        tokenizer: its letters.
        card: what a listing shows of it.
    """

    def __init__(self, *, model: Any, extractor: Any, tokenizer: Any, card: Card) -> None:
        super().__init__(card=card, sample_rate=extractor.sampling_rate, given={})
        self.model, self.extractor, self.tokenizer = model, extractor, tokenizer
        self.blank = model.config.pad_token_id
        beside = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id} - {None, self.blank}
        self.beside = sorted(beside)
        self.columns = [n for n in range(model.config.vocab_size) if n not in (self.blank, *self.beside)]
        letters = tokenizer.convert_ids_to_tokens(self.columns)
        self.capitals = not any(letter.islower() for letter in letters)
        written = [
            WORD_START if letter == tokenizer.word_delimiter_token else self._small(letter)
            for letter in letters
        ]
        self.tokens = Pieces(written) if len(set(written)) == len(written) else None

    def _small(self, letter: str) -> str:
        return letter.lower() if self.capitals else letter

    def cased(self, word: str) -> str:
        """In capitals, where its letters are."""
        return word.upper() if self.capitals and not self.tokenizer.do_lower_case else word

    def _log_probs(self, samples: Float[np.ndarray, " time"]) -> Float[Tensor, "frame number"]:
        inputs = self.extractor(samples, sampling_rate=self.sample_rate, return_tensors="pt")
        logits = self.model(**inputs.to(self.model.device)).logits[0].float().cpu()
        logits[:, self.beside] = -torch.inf
        return logits.log_softmax(-1)

    def posteriors(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> list[dict[str, Posteriors]]:
        """Of letters, one utterance after the other."""
        tokens = self.tokens
        if tokens is None:
            return super().posteriors(waveform, lengths)
        with torch.no_grad(), quiet():
            return [
                {"text": self._posteriors(row[:count].float().cpu().numpy(), tokens)}
                for row, count in zip(waveform, lengths.tolist(), strict=True)
            ]

    def _posteriors(self, samples: Float[np.ndarray, " time"], tokens: Pieces) -> Posteriors:
        if self._frames(len(samples)):
            logs = self._log_probs(samples)[:, [self.blank, *self.columns]].numpy()
        else:
            logs = np.zeros((0, len(self.columns) + 1), np.float32)
        seconds = self.model.config.inputs_to_logits_ratio / self.sample_rate
        return Posteriors(logs, tokens, seconds, np.zeros(logs.shape[1], np.float32))

    def transcript(self, samples: Float[np.ndarray, " time"]) -> Transcript:
        """Words where the library's tokenizer finds them; each is as sure as its least sure letter."""
        if not self._frames(len(samples)):
            return Transcript(())
        best = self._log_probs(samples).max(-1)
        made = self.tokenizer.decode(best.indices, output_word_offsets=True)
        seconds = self.model.config.inputs_to_logits_ratio / self.sample_rate
        words = []
        for word in made["word_offsets"]:
            place = slice(word["start_offset"], word["end_offset"])
            letters = best.values[place][best.indices[place] != self.blank]
            words.append(
                Span(
                    float(place.start * seconds),
                    float(place.stop * seconds),
                    word["word"].lower() if self.tokenizer.do_lower_case else word["word"],
                    score=float(letters.min().exp()),
                )
            )
        return Transcript(tuple(words), float(best.values.sum()))

    def _frames(self, samples: int) -> int:
        """How many the network makes of a waveform."""
        config = self.model.config
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            samples = max(0, (samples - kernel) // stride + 1)
        return samples
