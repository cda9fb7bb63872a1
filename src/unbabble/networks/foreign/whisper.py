"""Whisper in Hugging Face's layout, computed by transformers (extra ``hf``).

A. Radford et al., "Robust speech recognition via large-scale weak supervision", ICML 2023: an encoder of half a minute,
a decoder that writes text between tokens of time. Here the decoder is greedy (temperature 0), never told what was said
before, and never writes the same ``NO_REPEAT`` tokens twice. Where it finds no speech and is unsure of its text, there
is none. Words have their times by the attention of the heads that follow the sound, where the files name these heads;
else they share the time of their segment by their letters.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from unbabble.base.config import check_names
from unbabble.base.errors import InputError, UsageError
from unbabble.base.registry import Card
from unbabble.base.spans import Span, Transcript
from unbabble.networks.foreign.hugging_face import load_model
from unbabble.networks.foreign.recognizer import ForeignRecognizer, in_one_sentence, need_files

WINDOW_SECONDS = 30
NO_REPEAT = 12
"""Tokens, about nine words: who says them twice within half a minute is a decoder in a loop."""
NO_SPEECH, UNSURE = 0.6, -1.0
"""As in the authors' code: a segment with no speech at this probability, and less than this log-probability a token."""
CARD = Card(
    "whisper",
    "recognizer",
    "Writes down what is said in many languages, with capitals and punctuation.",
    "Radford et al.: Robust speech recognition via large-scale weak supervision, ICML 2023",
    network=True,
)
WORD_START = "Ġ"
"""A space, as byte-level pieces of words write it."""


def load_whisper(folder: Path, given: Mapping[str, Any]) -> ForeignRecognizer:
    """The Whisper in ``folder``.

    Args:
        folder: its files.
        given: options of ``HuggingFaceWhisper``.

    Raises:
        InputError: missing or damaged files.
        MissingExtraError: without the extra ``hf``.
        UsageError: no such option, or a language that it does not know.
    """
    check_names(given, ["language"], f"Model '{folder}'")
    model = load_model(folder, "WhisperForConditionalGeneration")
    need_files(folder, "preprocessor_config.json", "generation_config.json")
    if not (folder / "tokenizer.json").is_file():
        need_files(folder, "vocab.json", "merges.txt")
    with in_one_sentence("transformers", folder):
        from transformers import WhisperFeatureExtractor, WhisperTokenizer

        extractor = WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
        tokenizer = WhisperTokenizer.from_pretrained(folder, local_files_only=True)
    if not hasattr(model.generation_config, "no_timestamps_token_id"):
        raise InputError(
            f"'{folder / 'generation_config.json'}' does not say how to write times; it may be too old."
        )
    return HuggingFaceWhisper(model=model, extractor=extractor, tokenizer=tokenizer, folder=folder, **given)


class HuggingFaceWhisper(ForeignRecognizer):
    """Text by an encoder of half a minute and a greedy decoder.

    Args:
        model: of transformers.
        extractor: its log mel.
        tokenizer: its pieces of words.
        folder: where its files are.
        language: a code, as en; what is heard where none is given.

    Raises:
        UsageError: a language that it does not know.
    """

    takes_prompt = True

    def __init__(
        self, *, model: Any, extractor: Any, tokenizer: Any, folder: Path, language: str | None = None
    ) -> None:
        super().__init__(card=CARD, sample_rate=extractor.sampling_rate, given={"language": language})
        self.model, self.extractor, self.tokenizer, self.folder = model, extractor, tokenizer, folder
        said = model.generation_config
        self.languages = {
            number: token.strip("<|>") for token, number in getattr(said, "lang_to_id", {}).items()
        }
        self.follows = bool(getattr(said, "alignment_heads", None))
        self.language = check_language(language, list(self.languages.values()) or ["en"])
        self.request = {"task": "transcribe", "language": language} if self.languages else {}

    @property
    def _prompted(self) -> dict[str, Any]:
        """The prompt as tokens, as many as the library allows."""
        if not self.prompt:
            return {}
        most = self.model.config.max_target_positions // 2 - 1
        numbers = self.tokenizer.get_prompt_ids(self.prompt, return_tensors="pt")[:most]
        return {"prompt_ids": numbers.to(self.model.device)}

    def transcript(self, samples: Float[np.ndarray, " time"]) -> Transcript:
        """Words with their times; each is as sure as its pieces are on average."""
        length = WINDOW_SECONDS * self.sample_rate
        words: list[Span] = []
        score = 0.0
        for start in range(0, len(samples), length):
            made = self._window(samples[start : start + length])
            words += made.later(start / self.sample_rate).words
            score += made.score
        return Transcript(tuple(words), score)

    def _window(self, samples: Float[np.ndarray, " time"]) -> Transcript:
        inputs = self.extractor(
            samples, sampling_rate=self.sample_rate, return_tensors="pt", return_attention_mask=True
        ).to(self.model.device)
        segments = self.model.generate(
            inputs.input_features,
            attention_mask=inputs.attention_mask,
            return_timestamps=True,
            return_token_timestamps=self.follows,
            return_segments=True,
            return_dict_in_generate=True,
            condition_on_prev_tokens=False,
            temperature=0.0,
            num_beams=1,
            no_repeat_ngram_size=NO_REPEAT,
            no_speech_threshold=NO_SPEECH,
            logprob_threshold=UNSURE,
            **self.request,
            **self._prompted,
        )["segments"][0]
        if segments and self.languages:
            written = segments[0]["result"]["sequences"].tolist()
            self.language = next((self.languages[each] for each in written if each in self.languages), None)
        words, score = [], 0.0
        for segment in segments:
            log_probs = _log_probs(segment)
            score += sum(log_probs)
            words += self._words(segment, np.exp(log_probs))
        end = len(samples) / self.sample_rate
        return Transcript(tuple(_within(word, end) for word in words), score)

    def _words(
        self, segment: Mapping[str, Any], probabilities: Float[np.ndarray, " token"]
    ) -> Iterator[Span]:
        """Of a segment, whose tokens are text and, at both ends, times."""
        numbers = segment["tokens"].tolist()
        text = [place for place, number in enumerate(numbers) if number < self.model.config.eos_token_id]
        pieces = self.tokenizer.convert_ids_to_tokens([numbers[place] for place in text])
        first, last = float(segment["start"]), float(segment["end"])
        if self.follows:  # the library gives the second at which each token ends
            ends = [first, *segment["token_timestamps"].tolist()]
            times = [(ends[place], ends[place + 1]) for place in text]
        else:
            times = spread(first, last, [len(piece) for piece in pieces])
        for group in words_of(pieces):
            spelled = self.tokenizer.decode([numbers[text[place]] for place in group]).strip()
            if spelled:
                yield Span(
                    times[group[0]][0],
                    times[group[-1]][1],
                    spelled,
                    score=float(np.mean([probabilities[text[place]] for place in group])),
                )


def check_language(language: Any, known: Sequence[str]) -> str | None:
    """The language that a user names; None for what is to be heard.

    Raises:
        UsageError: not one of ``known``.
    """
    if language is not None and language not in known:
        raise UsageError(f"This Whisper knows no language '{language}', but {', '.join(sorted(known))}.")
    return language


def words_of(pieces: Sequence[str]) -> list[list[int]]:
    """The places of the pieces of each word.

    >>> words_of(["Ġgood", "Ġmor", "ning", "."])
    [[0], [1, 2, 3]]
    """
    words: list[list[int]] = []
    for place, piece in enumerate(pieces):
        if piece.startswith(WORD_START) or not words:
            words.append([])
        words[-1].append(place)
    return words


def spread(start: float, end: float, lengths: Sequence[int]) -> list[tuple[float, float]]:
    """A stretch of time shared out by lengths.

    >>> spread(1.0, 3.0, [1, 3])
    [(1.0, 1.5), (1.5, 3.0)]
    """
    edges = start + (end - start) * np.cumsum([0, *lengths]) / max(1, sum(lengths))
    return [(float(one), float(other)) for one, other in pairwise(edges)]


def _log_probs(segment: Mapping[str, Any]) -> list[float]:
    """Of each token of a segment, as it was written."""
    made, (start, end) = segment["result"], segment["idxs"]
    given = len(made["sequences"]) - len(made["scores"])
    return [
        float(made["scores"][place - given].float().log_softmax(-1)[made["sequences"][place]])
        for place in range(start, end)
    ]


def _within(word: Span, end: float) -> Span:
    """The word, no later than the end of what was heard."""
    start = min(max(word.start, 0.0), end)
    return Span(start, min(max(word.end, start), end), word.text, score=word.score)
