"""A recogniser with its search: what the network says of a few seconds, and which words those are.

    phones   phones -> words of a lexicon, by a language model (``text.ctc_search``)    networks that write phones
    pieces   pieces of words -> words, by a language model where there is one           networks with CTC
             the same, by CTC and attention together (``text.search``)                  networks with both
             the network's own                                                          all others

Weights of the search were chosen on LibriSpeech's dev speakers (``benchmarks/results/search_weights.md``).

How sure a word is: a probability that is right as often as it says, where the card of the weights has what calibrates
the search (``text.confidence``; ``python -m benchmarks confidence --card FILE`` fits it and puts it there). Else it is
the word's share of what the search held possible, and of the network's own writing what that network says: both order
words by how often they are wrong, and are mostly too sure.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import zip_longest
from operator import attrgetter
from types import MappingProxyType
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unbabble.base.errors import InputError, UsageError
from unbabble.base.spans import Transcript
from unbabble.base.weights import WeightsCard, packaged
from unbabble.networks import load as networks
from unbabble.networks.device import choose_device
from unbabble.networks.foreign.recognizer import ForeignRecognizer
from unbabble.nn.kinds.recognizer import NeuralRecognizer, Posteriors
from unbabble.signal.level import check_samples
from unbabble.text import language_models
from unbabble.text.confidence import Calibration
from unbabble.text.ctc_search import Pruning, lexicon_beam, prefix_beam
from unbabble.text.hotwords import Hotwords
from unbabble.text.hypothesis import Hypothesis, Word, place, transcript
from unbabble.text.lexicon import Lexicon
from unbabble.text.ngram import NgramModel
from unbabble.text.normalise import words
from unbabble.text.pronounce import Pronouncer
from unbabble.text.search import TokenModel, joint_beam
from unbabble.text.tokens import WORD_START
from unbabble.text.word_scores import PieceScores, WordScores

AUTO, NONE, KIND = "auto", "none", "recognizer"
BY_PHONES, BY_PIECES = "phones", "pieces"
"""Searches, as cards call them: by phones and a language model, and by pieces of words without one."""
LANGUAGE_WEIGHT, WORD_BONUS, PRIOR_SHARE = 1.0, -0.5, 0.5
PIECES_LANGUAGE_WEIGHT, PIECES_WORD_BONUS = 0.3, 2.0
BEAM = 300
ATTENTION_WEIGHT, JOINT_BEAM = 0.6, 10


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
        language_model: by name; ``auto`` for the packaged one, ``none`` for none.
        hotwords: phrases that are likely.
        options: of the network.

    Raises:
        InputError: weights that are missing, damaged, or those of another architecture.
        UsageError: no such model, device or option; one that does not recognise speech, or has no use of hotwords.
    """
    name = recognizer_name(name)
    given = json.dumps(options, sort_keys=True)
    return _kept(name, networks.last_change(name), device, language_model, hotwords, given)


@lru_cache(maxsize=2)
def _kept(
    name: str, changed: int, device: str, language_model: str, hotwords: tuple[str, ...], options: str
) -> "Recognizer":
    network = networks.ready(name, choose_device(device), KIND, **json.loads(options))
    model = None if language_model == NONE else language_models.find(language_model)
    card = networks.card_of(name)
    return Recognizer(network, model, hotwords, calibrations=calibrations_of(card) if card else {})


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
        hotwords: phrases that are likely.
        language_weight: of the language model's log-probabilities; None for what was chosen on dev.
        word_bonus: for each word, in nats; None for what was chosen on dev.
        prior_share: power of the phones' prior that their posteriors are divided by.
        by_phones: search by phones where the network writes them and a language model knows how words are spoken.
        beam: hypotheses that are kept.
        calibrations: by search, what makes probabilities of what it says of words.

    Raises:
        UsageError: hotwords for a network that has no use of them.
    """

    def __init__(
        self,
        network: NeuralRecognizer | ForeignRecognizer,
        language_model: NgramModel | None = None,
        hotwords: Iterable[str] = (),
        *,
        language_weight: float | None = None,
        word_bonus: float | None = None,
        prior_share: float = PRIOR_SHARE,
        by_phones: bool = True,
        beam: int = BEAM,
        calibrations: Mapping[str, Calibration] = MappingProxyType({}),
    ) -> None:
        self.network, self.sample_rate = network, network.sample_rate
        foreign = isinstance(network, ForeignRecognizer)
        language_model = None if foreign else language_model
        self.model, self.pruning, self.prior_share = language_model, Pruning(beam=beam), prior_share
        phrases = tuple(" ".join(words(phrase)) for phrase in hotwords)
        if phrases and (foreign or type(network).posteriors is NeuralRecognizer.posteriors):
            raise UsageError("Hotwords are for recognisers with CTC; this one has none.")
        self.by_phones = by_phones and "phones" in network.targets and language_model is not None
        weight = LANGUAGE_WEIGHT if self.by_phones else PIECES_LANGUAGE_WEIGHT
        bonus = WORD_BONUS if self.by_phones else PIECES_WORD_BONUS
        self.scores = WordScores(
            language_model,
            weight if language_weight is None else language_weight,
            bonus if word_bonus is None else word_bonus,
            Hotwords(phrases) if phrases else None,
        )
        self.lexicon = self._spoken(language_model, phrases) if language_model and self.by_phones else None
        by_words = not self.lexicon and bool(language_model or phrases)
        self.pieces = self._written(language_model, phrases) if by_words else None
        search = BY_PHONES if self.lexicon else BY_PIECES if language_model is None else ""
        self.confidence = calibrations.get(search, attrgetter("posterior"))

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

    def _written(self, model: NgramModel | None, phrases: Sequence[str]) -> PieceScores:
        """Pieces of words; an unfinished one has the price of the best word that it may become."""
        inventory = cast(NeuralRecognizer, self.network).tokens.inventory
        if model is None:
            return PieceScores(self.scores, inventory)
        letters = sorted({letter for piece in inventory for letter in piece.removeprefix(WORD_START)})
        here = set(letters)
        spelled = {word: [tuple(word)] for word in model.words if here.issuperset(word)}
        spelled |= {
            word: [tuple(word)] for phrase in phrases for word in phrase.split() if here.issuperset(word)
        }
        return PieceScores(self.scores, inventory, Lexicon(spelled, letters, self._ahead(model)), letters)

    def _spoken(self, model: NgramModel, phrases: Sequence[str]) -> Lexicon:
        """Of all words that the language model knows how to speak, and of the hotwords."""
        spoken = dict(model.pronunciations)
        pronouncer = Pronouncer({word: list(rows) for word, rows in spoken.items()})
        spoken |= {
            word: pronouncer.of(word) for phrase in phrases for word in phrase.split() if word not in spoken
        }
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
        if isinstance(self.network, ForeignRecognizer):
            return self.network(waveform, lengths)
        written = self.network.posteriors(waveform, lengths)
        if not all(written):
            return self.network(waveform, lengths)
        writers = [] if self.lexicon else self.network.writers(waveform, lengths)
        return [self.of(*each) for each in zip_longest(written, writers)]

    def of(self, said: dict[str, Posteriors], writer: TokenModel | None = None) -> Transcript:
        """Words of what CTC says of a recording, as ``NeuralRecognizer.posteriors`` gives it.

        Args:
            said: by target.
            writer: a decoder that has its say, as ``NeuralRecognizer.writers`` gives it.
        """
        placed, score = self.placed(said, writer)
        return transcript(placed, self._searched(said).frame_seconds, score, self.confidence)

    def placed(
        self, said: dict[str, Posteriors], writer: TokenModel | None = None
    ) -> tuple[tuple[Word, ...], float]:
        """Words with their frames and all that the search knows of them, and the score of the whole; as ``of``."""
        best = self._best(said, writer)
        return place(self._searched(said).log_probs, best), best.score

    def _searched(self, said: dict[str, Posteriors]) -> Posteriors:
        return said["phones" if self.lexicon else "text"]

    def _best(self, said: dict[str, Posteriors], writer: TokenModel | None) -> Hypothesis:
        frames = self._searched(said)
        if self.lexicon:
            return lexicon_beam(
                frames.log_probs,
                self.lexicon,
                self.scores,
                log_prior=frames.log_prior,
                prior_share=self.prior_share,
                pruning=self.pruning,
                best=1,
            )[0]
        tokens = frames.tokens.inventory
        if writer is not None:
            return joint_beam(
                writer,
                frames.log_probs,
                tokens,
                attention_weight=ATTENTION_WEIGHT,
                words=self.pieces,
                beam=JOINT_BEAM,
            )[0]
        return prefix_beam(frames.log_probs, tokens, words=self.pieces, pruning=self.pruning, best=1)[0]
