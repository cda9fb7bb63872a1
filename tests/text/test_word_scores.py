"""What words add: the same, whether they come whole or in pieces."""

import pytest

from tests.text.models import Bigrams
from unbabble.text.hotwords import Hotwords
from unbabble.text.hypothesis import spell
from unbabble.text.lexicon import Lexicon
from unbabble.text.word_scores import PieceScores, WordScores

VOCABULARY = ("go", "going", "a", "ago")
PIECES = ("▁", "▁go", "go", "ing", "▁a", "a", "i", "n", "g", "o")
LETTERS = "agino"


def by_words(words: WordScores, row: list[str]) -> float:
    state, total = words.start(), 0.0
    for word in row:
        added, state = words.score(state, word)
        total += added
    return total + words.end(state)


def by_pieces(spelling: PieceScores, tokens: list[int]) -> float:
    state, total = spelling.start(), 0.0
    for token in tokens:
        added, state = spelling.score(state, token)
        total += added
    return total + spelling.end(state)


def numbers(pieces: str) -> list[int]:
    return [PIECES.index(piece) + 1 for piece in pieces.split()]


@pytest.fixture
def words():
    return WordScores(Bigrams(VOCABULARY, seed=3), 0.7, 0.4, Hotwords(["a go"], 2.0))


@pytest.fixture
def lexicon(words):
    return Lexicon({word: [word] for word in VOCABULARY}, LETTERS, lambda word: words.alone(word, -3.0))


def test_the_score_of_words_is_the_weighted_sum():
    model = Bigrams(VOCABULARY, seed=3)
    words = WordScores(model, 0.7, 0.4, Hotwords(["a go"], 2.0))
    row = ["a", "go", "ago", "a"]
    assert by_words(words, row) == pytest.approx(0.7 * model.total(row) + 4 * 0.4 + 2.0)
    assert by_words(WordScores(), row) == 0


@pytest.mark.parametrize(
    "pieces", ["▁go", "▁go ing ▁a", "▁a ▁go ▁ a go ▁ go", "▁ go i n g", "go ▁a", "▁a go ▁", "▁", ""]
)
def test_pieces_add_in_all_what_their_words_do(words, lexicon, pieces):
    tokens = numbers(pieces)
    row = list(spell(tokens, PIECES)[0])
    for spelling in (PieceScores(words, PIECES), PieceScores(words, PIECES, lexicon, LETTERS)):
        assert by_pieces(spelling, tokens) == pytest.approx(by_words(words, row))


def test_the_price_of_an_unfinished_word_is_that_of_the_best_it_may_become(words, lexicon):
    spelling = PieceScores(words, PIECES, lexicon, LETTERS)
    added, state = spelling.score(spelling.start(), numbers("▁a")[0])
    assert added == state.price == words.alone("a", -3.0)  # 'a' has a share of the hotword, 'ago' has none
    _, longer = spelling.score(state, numbers("g")[0])
    assert longer.price == words.alone("ago", -3.0)


def test_letters_of_unknown_words_cost(words, lexicon):
    spelling = PieceScores(words, PIECES, lexicon, LETTERS, unknown_letter=-2.0)
    assert by_pieces(spelling, numbers("▁a n")) == pytest.approx(by_words(words, ["an"]) - 4.0)


def test_what_an_unknown_word_costs_is_charged_letter_by_letter(words, lexicon):
    spelling, prices = PieceScores(words, PIECES, lexicon, LETTERS, unknown_letter=-2.0), []
    state = spelling.start()
    for token in numbers("▁a n n n"):
        _, state = spelling.score(state, token)
        prices.append(state.price)
    assert prices[1:] == pytest.approx([prices[0] - 2.0 * count for count in (1, 2, 3)])
