"""A recogniser with its search: what the network says of a few seconds, and which words those are.

    phones   phones -> words of a lexicon, by a language model (``text.lexicon_search``) networks that write phones
    pieces   pieces of words -> words, by a language model where there is one           networks with CTC
             the same, by CTC and attention together (``text.search``)                  networks with both
             the same, by attention                                                     with attention, if there is one
             the network's own                                                          all others

A language model is n-grams of words, or a network that predicts pieces of words: that has its say in the search of
pieces, and chooses among the best texts of the search of phones (``text.rescoring``). Which fits, ``likely`` knows.

Weights of the searches were chosen on LibriSpeech's dev speakers (``benchmarks/results/search_weights.md``).

How sure a word is: a probability that is right as often as it says, where the card of the weights has what calibrates
the search (``text.confidence``; ``python -m benchmarks confidence --card FILE`` fits it and puts it there). Else it is
the word's share of what the search held possible, and of the network's own writing what that network says: both order
words by how often they are wrong, and are mostly too sure.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import zip_longest
from operator import attrgetter
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unbabble.base.errors import InputError, UsageError
from unbabble.base.spans import Transcript
from unbabble.base.weights import WeightsCard, packaged
from unbabble.networks import load as networks
from unbabble.networks.device import choose_device
from unbabble.networks.foreign.recognizer import ForeignRecognizer
from unbabble.nn.autoregressive import TOKENS_PER_SECOND, Writer, emitted
from unbabble.nn.kinds.language_model import NeuralLanguageModel
from unbabble.nn.kinds.recognizer import NeuralRecognizer, Posteriors, words_of
from unbabble.pipelines import likely
from unbabble.signal.level import check_samples
from unbabble.text.confidence import Calibration
from unbabble.text.ctc_search import Pruning, prefix_beam
from unbabble.text.hotwords import Hotwords
from unbabble.text.hypothesis import Hypothesis, Word, place, transcript
from unbabble.text.lexicon import Lexicon
from unbabble.text.lexicon_search import LexiconSearch, lexicon_beam
from unbabble.text.ngram import NgramModel
from unbabble.text.normalise import words
from unbabble.text.pronounce import Pronouncer
from unbabble.text.rescoring import rescored
from unbabble.text.search import TokenModel, joint_beam
from unbabble.text.tokens import WORD_START
from unbabble.text.word_scores import PieceScores, WordScores

AUTO, NONE, KIND = likely.AUTO, likely.NONE, "recognizer"
BY_PHONES, BY_PIECES = "phones", "pieces"
"""Searches, as cards call them: by phones and a language model, and by pieces of words without one."""
LANGUAGE_WEIGHT, WORD_BONUS, PRIOR_SHARE = 0.8, -1.0, 0.3
PIECES_LANGUAGE_WEIGHT, PIECES_WORD_BONUS = 0.45, 1.0
BEAM = 300
ATTENTION_WEIGHT, JOINT_BEAM = 0.6, 20
TOKEN_LANGUAGE_WEIGHT = 0.3
"""Of a network that predicts tokens, in the search of pieces; a usual value, none comes with the package."""
RESCORED, RESCORING_SHARE = 20, 0.5
"""How many texts such a network chooses among after a search of phones, and its share beside the n-grams; likewise."""


def recognizer_name(name: str = AUTO) -> str:
    """The model behind ``auto``: the first packaged one that recognises speech; any other name stays as it is.

    Raises:
        InputError: none is installed.
        UsageError: no such model, or one that does not recognise speech.
    """
    if name != AUTO:
        networks.check_kind(name, KIND)
        return name
    for each in packaged():
        if any(kind.name == KIND for kind in networks.kinds_of(each)):
            return each
    raise InputError(
        "No recogniser is installed: train one (configs/conformer_ctc.yaml) and name it with --model."
    )


def load_recognizer(
    name: str,
    device: str = "auto",
    language_model: str = AUTO,
    hotwords: tuple[str, ...] = (),
    **options: Any,
) -> "Recognizer":
    """A recogniser with its search, ready for use; built once while its weights stay the same.

    Args:
        name: of the network, or ``auto``.
        device: auto, cpu, cuda ...
        language_model: by name; ``auto`` for the packaged one where it fits, ``none`` for none.
        hotwords: phrases that are likely.
        options: of the network.

    Raises:
        InputError: weights that are missing, damaged, or those of another architecture.
        UsageError: no such model, device or option; one that does not recognise speech, or has no use of hotwords; a
            language model that does not fit it.
    """
    name = recognizer_name(name)
    given = json.dumps(options, sort_keys=True)
    return _kept(name, networks.last_change(name), device, language_model, hotwords, given)


@lru_cache(maxsize=2)
def _kept(
    name: str, changed: int, device: str, language_model: str, hotwords: tuple[str, ...], options: str
) -> "Recognizer":
    network = networks.ready(name, choose_device(device), KIND, **json.loads(options))
    model = likely.likely(network, language_model)
    if isinstance(network, ForeignRecognizer):
        network.token_model = model.own
    card = networks.card_of(name)
    recognizer = Recognizer(
        network,
        model.words,
        hotwords,
        token_model=model.tokens,
        calibrations=calibrations_of(card) if card else {},
    )
    recognizer.note = model.note
    return recognizer


def calibrations_of(card: WeightsCard) -> dict[str, Calibration]:
    """By search, what a card says of the confidences of words.

    Raises:
        InputError: it says something else.
    """
    try:
        return {
            search: Calibration(**{name: float(weight) for name, weight in weights.items()})
            for search, weights in card.confidence.items()
        }
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"What the card of this {card.method} says of confidences cannot be read.") from None


class Recognizer:
    """A network and a search; keeps the ``Recognizer`` contract.

    Args:
        network: on its device; one that another library computes searches by itself.
        language_model: what is likely to be said; None for none.
        token_model: a network that knows so, too.
        hotwords: phrases that are likely.
        language_weight: of the language model's log-probabilities; None for what was chosen on dev.
        word_bonus: for each word, in nats; None for what was chosen on dev, nothing without a language model.
        prior_share: power of the phones' prior that their posteriors are divided by.
        by_phones: search by phones where the network writes them and a language model knows how words are spoken.
        beam: hypotheses that are kept of each frame, where CTC is searched alone.
        attention_weight: of attention, the rest to one is CTC's, where both are searched.
        joint_beam: hypotheses that are kept of each length there.
        calibrations: by search, what makes probabilities of what it says of words.

    Raises:
        InputError: hotwords that it cannot write, or whose sounds nobody knows.
        UsageError: hotwords for a network that has no use of them.
    """

    def __init__(
        self,
        network: NeuralRecognizer | ForeignRecognizer,
        language_model: NgramModel | None = None,
        hotwords: Iterable[str] = (),
        *,
        token_model: NeuralLanguageModel | None = None,
        language_weight: float | None = None,
        word_bonus: float | None = None,
        prior_share: float = PRIOR_SHARE,
        by_phones: bool = True,
        beam: int = BEAM,
        attention_weight: float = ATTENTION_WEIGHT,
        joint_beam: int = JOINT_BEAM,
        calibrations: Mapping[str, Calibration] = MappingProxyType({}),
    ) -> None:
        self.network, self.sample_rate = network, network.sample_rate
        if isinstance(network, ForeignRecognizer):
            if network.takes_prompt:
                network.prompt, hotwords = ", ".join(hotwords), ()
            if network.tokens is None:
                language_model = None
        self.model, self.pruning, self.prior_share = language_model, Pruning(beam=beam), prior_share
        self.token_model, self.attention_weight, self.joint_beam = token_model, attention_weight, joint_beam
        self.by_phones = (
            by_phones
            and not isinstance(network, ForeignRecognizer)
            and language_model is not None
            and likely.by_phones(network, language_model)
        )
        hotwords = tuple(hotwords)
        phrases = tuple(" ".join(self._normalised(phrase)) for phrase in hotwords)
        if "" in phrases:
            raise InputError(f"Of the hotwords, '{hotwords[phrases.index('')]}' has no letters.")
        if phrases and isinstance(network, ForeignRecognizer) and network.tokens is None:
            raise UsageError(f"A {network.card.name} of another library has no use of hotwords.")
        weight = LANGUAGE_WEIGHT if self.by_phones else PIECES_LANGUAGE_WEIGHT
        bonus = WORD_BONUS if self.by_phones else PIECES_WORD_BONUS if language_model else 0.0
        self.language_weight = weight if language_weight is None else language_weight
        self.scores = WordScores(
            language_model,
            self.language_weight,
            bonus if word_bonus is None else word_bonus,
            Hotwords(phrases) if phrases else None,
        )
        self.lexicon = self._spoken(language_model, phrases) if language_model and self.by_phones else None
        by_words = not self.lexicon and bool(language_model or phrases)
        self.pieces = self._written(language_model, phrases) if by_words else None
        alone = language_model is None and token_model is None
        search = BY_PHONES if self.lexicon else BY_PIECES if alone else ""
        self.confidence = calibrations.get(search, attrgetter("posterior"))
        self.least_confidence = getattr(self.confidence, "least", None)
        """Mean over the words of a stretch, below which they are no speech; None where nobody has chosen it."""
        self.note = ""
        """What the user should know of it, in a sentence."""

    @property
    def inventory(self) -> tuple[str, ...]:
        """Pieces of words that it writes with, where those are known."""
        return self.network.tokens.inventory if self.network.tokens else ()

    @property
    def language(self) -> str | None:
        """Of what was recognised last, as a code (``en``), where that is known; the phones are those of English."""
        if isinstance(self.network, ForeignRecognizer):
            return self.network.language
        return "en" if "phones" in self.network.targets else None

    def _ahead(self, model: NgramModel) -> Callable[[str], float]:
        """What a word scores by itself, for searches to look ahead."""
        root, alone = model.state([]), self.scores.alone
        return lambda word: alone(word, model.score(root, word)[0])

    def _normalised(self, phrase: str) -> list[str]:
        """Words of a phrase as the recogniser writes them: without accents in English, else with all letters."""
        if self.by_phones or all(piece.removeprefix(WORD_START).isascii() for piece in self.inventory):
            return words(phrase)
        if any(letter.isdigit() for letter in phrase):
            raise InputError(
                f"Of the hotwords, or of the prompt, '{phrase}' cannot be written: numbers have to be in words."
            )
        return words(phrase, language="")

    def _written(self, model: NgramModel | None, phrases: Sequence[str]) -> PieceScores:
        """Pieces of words; an unfinished one has the price of the best word that it may become."""
        inventory = self.inventory
        letters = sorted({letter for piece in inventory for letter in piece.removeprefix(WORD_START)})
        here = set(letters)
        for phrase in phrases:
            if strange := set(phrase) - here - {" "}:
                raise InputError(
                    f"Of the hotwords, or of the prompt, '{phrase}' cannot be written: the recogniser has no "
                    f"{' and no '.join(sorted(strange))}."
                )
        if model is None:
            return PieceScores(self.scores, inventory)
        spelled = {word: [tuple(word)] for word in model.words if here.issuperset(word)}
        spelled |= {word: [tuple(word)] for phrase in phrases for word in phrase.split()}
        return PieceScores(self.scores, inventory, Lexicon(spelled, letters, self._ahead(model)), letters)

    def _spoken(self, model: NgramModel, phrases: Sequence[str]) -> Lexicon:
        """Of all words that the language model knows how to speak, and of the hotwords."""
        spoken = dict(model.pronunciations)
        pronouncer = Pronouncer({word: list(rows) for word, rows in spoken.items()})
        try:
            spoken |= {word: pronouncer.of(word) for phrase in phrases for word in phrase.split()}
        except InputError as error:
            raise InputError(f"Of the hotwords, or of the prompt, {error}") from None
        return Lexicon(spoken, self.network.targets["phones"].inventory, self._ahead(model))

    @torch.no_grad()
    def __call__(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> list[Transcript]:
        """Words of each waveform, with their times and how sure they are.

        Args:
            waveform: finite samples, any level.
            lengths: samples of each, where not all are as long as the longest; zeros follow.

        Raises:
            InputError: not finite, or no samples.
        """
        check_samples(waveform[:, None])
        if (weights := next(self.network.parameters(), None)) is not None:
            waveform = waveform.to(weights.device)
        if lengths is None:
            lengths = torch.full((len(waveform),), waveform.shape[1], device=waveform.device)
        if isinstance(self.network, ForeignRecognizer) and not (self.pieces or self.token_model):
            return self.network(waveform, lengths)
        written = self.network.posteriors(waveform, lengths)
        writers = [] if self.lexicon else self.network.writers(waveform, lengths)
        if all(written):
            return [self.of(*each) for each in zip_longest(written, writers)]
        if not writers or not (self.pieces or self.token_model):
            return self.network(waveform, lengths)
        seconds = (lengths / self.sample_rate).tolist()
        return [
            self._by_attention(cast(Writer, writer), each)
            for writer, each in zip(writers, seconds, strict=True)
        ]

    def of(self, said: dict[str, Posteriors], writer: TokenModel | None = None) -> Transcript:
        """Words of what CTC says of a recording, as ``NeuralRecognizer.posteriors`` gives it.

        Args:
            said: by target.
            writer: a decoder that has its say, as ``NeuralRecognizer.writers`` gives it.
        """
        placed, score = self.placed(said, writer)
        if isinstance(self.network, ForeignRecognizer):
            placed = [replace(word, text=self.network.cased(word.text)) for word in placed]
        return transcript(placed, self._searched(said).frame_seconds, score, self.confidence)

    def placed(
        self, said: dict[str, Posteriors], writer: TokenModel | None = None
    ) -> tuple[tuple[Word, ...], float]:
        """Words with their frames and all that the search knows of them, and the score of the whole; as ``of``."""
        best = self._best(said, writer)
        return place(self._searched(said).log_probs, best), best.score

    def search(self, log_prior: Float[np.ndarray, " phone"] | None = None) -> LexiconSearch:
        """By phones and a lexicon, for a recording that comes in parts.

        Args:
            log_prior: of the phones, as ``Posteriors`` has it; None to leave what frames say as it is.

        Raises:
            UsageError: the network writes no phones, or the language model does not know how words are spoken, or wants
                whole texts.
        """
        if self.token_model is not None:
            raise UsageError(
                "A language model that is a network chooses among whole texts: not while a recording arrives."
            )
        if self.lexicon is None:
            raise UsageError(
                "Words while a recording arrives need a recogniser that writes phones, and a language model that knows "
                "how words are spoken."
            )
        return LexiconSearch(self.lexicon, self.scores, log_prior, self.prior_share, self.pruning)

    def _searched(self, said: dict[str, Posteriors]) -> Posteriors:
        return said["phones" if self.lexicon else "text"]

    def _best(self, said: dict[str, Posteriors], writer: TokenModel | None) -> Hypothesis:
        frames = self._searched(said)
        if self.lexicon:
            found = lexicon_beam(
                frames.log_probs,
                self.lexicon,
                self.scores,
                log_prior=frames.log_prior,
                prior_share=self.prior_share,
                pruning=self.pruning,
                best=RESCORED if self.token_model else 1,
            )
            return self._rescored(found)[0]
        if writer is not None or self.token_model is not None:
            return self._joint(writer, frames.log_probs)
        tokens = frames.tokens.inventory
        return prefix_beam(frames.log_probs, tokens, words=self.pieces, pruning=self.pruning, best=1)[0]

    def _joint(
        self, writer: TokenModel | None, log_probs: Float[np.ndarray, "frame token"] | None, **options: Any
    ) -> Hypothesis:
        """By attention, CTC, or both, and language models."""
        return joint_beam(
            writer,
            log_probs,
            self.inventory,
            attention_weight=self.attention_weight,
            token_language_model=self.token_model,
            token_language_weight=TOKEN_LANGUAGE_WEIGHT,
            words=self.pieces,
            beam=self.joint_beam,
            **options,
        )[0]

    def _rescored(self, found: list[Hypothesis]) -> list[Hypothesis]:
        if self.token_model is None or self.model is None:
            return found
        second = self.token_model.log_probabilities
        return rescored(found, self.model, second, weight=self.language_weight, share=RESCORING_SHARE)

    def _by_attention(self, writer: Writer, seconds: float) -> Transcript:
        """Words of a decoder alone, with what is likely; where it looks while it writes them."""
        longest = math.ceil(seconds * TOKENS_PER_SECOND)
        best = self._joint(writer, None, longest=longest)
        tokens = cast(NeuralRecognizer, self.network).tokens
        return words_of(emitted(writer, best.tokens, tokens, seconds))
