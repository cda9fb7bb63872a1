"""What words add to the score of a hypothesis: a language model, a bonus for each, hotwords.

``WordScores`` scores words when they are finished. ``PieceScores`` lets it score pieces of words: an unfinished word
has the price of the best word that it may become, so that a search does not put words off, or glue them together, to
save their price; when it is finished the price is that of the word. So a hypothesis has at its end the score of its
words, and nothing else.
"""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple, Protocol

from unbabble.text.hotwords import Hotwords
from unbabble.text.lexicon import ROOT, Lexicon
from unbabble.text.ngram import END
from unbabble.text.tokens import WORD_START


class LanguageModel(Protocol):
    """How probable words are after one another. States are hashable, and those that compare equal go on alike."""

    def start(self) -> Any:
        """The state at the beginning of a sentence."""
        ...

    def score(self, state: Any, word: str) -> tuple[float, Any]:
        """Natural log-probability of a word, ``END`` for the end of the sentence, and the state after it."""
        ...


class WordScores:
    """What finished words add.

        language_weight log p(words) + word_bonus · how many + bonuses of hotwords

    Args:
        language_model: None for none.
        language_weight: of its log-probabilities.
        word_bonus: for each word, in nats; makes up for the language model's preference of few words.
        hotwords: None for none.
    """

    def __init__(
        self,
        language_model: LanguageModel | None = None,
        language_weight: float = 1.0,
        word_bonus: float = 0.0,
        hotwords: Hotwords | None = None,
    ) -> None:
        self._model = language_model if language_weight else None
        self._weight, self._bonus, self._hotwords = language_weight, word_bonus, hotwords

    def start(self) -> Hashable:
        """The state before the first word: of the language model, of hotwords, and the last word.

        The last word keeps hypotheses apart at least until the next, so that its posterior can be read off a search.
        """
        history = self._model.start() if self._model else None
        return (history, self._hotwords.start() if self._hotwords else 0, "")

    def score(self, state: Hashable, word: str) -> tuple[float, Hashable]:
        """What a word adds, and the state after it."""
        history, phrase, _ = state  # pyright: ignore[reportGeneralTypeIssues]
        added = self._bonus
        if self._model:
            log_prob, history = self._model.score(history, word)
            added += self._weight * log_prob
        if self._hotwords:
            credit, phrase = self._hotwords.score(phrase, word)
            added += credit
        return added, (history, phrase, word)

    def alone(self, word: str, log_prob: float) -> float:
        """What a word adds at most, wherever it stands: the price of its beginning in a ``Lexicon``.

        Args:
            word: any.
            log_prob: natural, by the language model without a history.
        """
        share = self._hotwords.share(word) if self._hotwords else 0.0
        return self._bonus + share + (self._weight * log_prob if self._model else 0.0)

    def end(self, state: Hashable) -> float:
        """What the end of the hypothesis adds."""
        history, phrase, _ = state  # pyright: ignore[reportGeneralTypeIssues]
        added = self._hotwords.end(phrase) if self._hotwords else 0.0
        return added + (self._weight * self._model.score(history, END)[0] if self._model else 0.0)


class Spelled(NamedTuple):
    """A hypothesis of pieces, between two words or inside one.

    Attributes:
        words: state of the finished ones.
        letters: of the unfinished one.
        node: of its letters in the lexicon; None where no word begins so.
        price: what it has been charged so far.
    """

    words: Hashable
    letters: str
    node: int | None
    price: float


class PieceScores:
    """What pieces of words add.

    Args:
        words: scores of finished ones.
        inventory: pieces; ``WORD_START`` stands before the first letter of a word.
        lexicon: of words by their letters, whose tokens are numbers of ``letters``; its ``best`` is the price of
            unfinished words. None: unfinished words are free.
        letters: the inventory of the lexicon.
        unknown_letter: for each letter of a word that the lexicon has not, in nats: what it costs to spell it.
    """

    def __init__(
        self,
        words: WordScores,
        inventory: Sequence[str],
        lexicon: Lexicon | None = None,
        letters: Sequence[str] = (),
        unknown_letter: float = -1.0,
    ) -> None:
        self._words, self._inventory, self._lexicon = words, inventory, lexicon
        self._numbers = {letter: number for number, letter in enumerate(letters, 1)}
        self._unknown = unknown_letter

    def start(self) -> Spelled:
        """The state before the first piece."""
        return Spelled(self._words.start(), "", ROOT, 0.0)

    def score(self, state: Spelled, token: int) -> tuple[float, Spelled]:
        """What a piece adds, and the state after it."""
        piece, added = self._inventory[token - 1], 0.0
        if piece.startswith(WORD_START):
            added, state = self._finish(state)
        letters = piece.removeprefix(WORD_START)
        if not letters:
            return added, state
        node, lexicon = state.node, self._lexicon
        if lexicon:
            for letter in letters:
                node = None if node is None else lexicon.children(node).get(self._numbers.get(letter, -1))
        spelled = state.letters + letters
        if not lexicon:
            price = 0.0
        elif node is not None:
            price = lexicon.best[node]
        else:
            price = min(state.price, 0.0) + self._unknown * len(letters)
        return added + price - state.price, Spelled(state.words, spelled, node, price)

    def end(self, state: Spelled) -> float:
        """What the end of the hypothesis adds."""
        added, state = self._finish(state)
        return added + self._words.end(state.words)

    def _finish(self, state: Spelled) -> tuple[float, Spelled]:
        if not state.letters:
            return 0.0, state
        added, words = self._words.score(state.words, state.letters)
        if self._lexicon and (state.node is None or state.letters not in self._lexicon.words(state.node)):
            added += self._unknown * len(state.letters)
        return added - state.price, Spelled(words, "", ROOT, 0.0)
