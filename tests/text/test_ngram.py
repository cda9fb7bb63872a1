"""N-gram models in memory, as ARPA files and packed: back-off as others have it, and nothing lost on the way."""

import gzip
import math

import numpy as np
import pytest

from unbabble.base import weights
from unbabble.base.errors import InputError
from unbabble.base.weights import WeightsCard
from unbabble.text import arpa, packed_ngram
from unbabble.text.ngram import END, UNKNOWN, Level, NgramModel, fit

ARPA = r"""
what stands before is no part of it
\data\
ngram 1=6
ngram 2=6
ngram 3=3

\1-grams:
-1.5	<unk>
-99	<s>	-0.4
-0.9	</s>
-0.6	the	-0.3
-0.8	cat	-0.25
-1.1	sat	-0.1

\2-grams:
-0.2	<s> the	-0.15
-0.35	the cat	-0.05
-0.9	the sat
-0.5	cat sat	-0.2
-0.4	sat </s>
-0.7	sat the

\3-grams:
-0.1	<s> the cat
-0.3	the cat sat
-0.25	cat sat </s>

\end\
"""
POCKETSPHINX = {
    "the": -0.6, "<s> the": -0.2, "<s> the cat": -0.1, "the cat sat": -0.3, "cat sat </s>": -0.25, "<s> cat": -1.2,
    "<s> cat sat": -0.5, "the cat the": -0.9, "sat the sat": -0.9, "cat the cat": -0.35, "<s> the sat": -1.05,
    "the sat </s>": -0.4, "the sat cat": -0.9, "sat sat sat": -1.2, "cat sat the": -0.9,
}  # fmt: skip
"""What PocketSphinx 5.1.1 says of the last words, log10."""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "hand.arpa").write_text(ARPA, encoding="utf-8")
    return tmp_path / "hand.arpa"


@pytest.fixture
def model(path):
    return arpa.read(path)


def numbers(model: NgramModel, text: str) -> list[int]:
    return [0 if word in ("<s>", END) else model.number(word) for word in text.split()]


def random_model(order: int = 3, words: int = 300, seed: int = 0) -> NgramModel:
    """One with all kinds of gaps: its probabilities are none that add up to one."""
    rng = np.random.default_rng(seed)
    spelled = [*(f"w{number}" for number in range(words - 1)), UNKNOWN]
    levels = [Level(np.zeros(words + 1, int), np.arange(words + 1), *_values(rng, np.ones(words + 1)))]
    for length in range(2, order + 1):
        pairs = rng.integers(0, (len(levels[-1]), words + 1), (min(6 * words, 2000), 2))
        pairs = np.unique(pairs[levels[-1].words[pairs[:, 0]] > 0], axis=0)
        levels.append(Level(*pairs.T, *_values(rng, (pairs[:, 1] > 0) & (length < order))))
    ways = {word: [("AA", "B")] * (1 + number % 2) for number, word in enumerate(spelled[:-2])}
    return NgramModel(spelled, levels, ways)


def _values(rng: np.random.Generator, goes_on: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and back-off weights of half of what may be a history."""
    size = len(goes_on)
    return -rng.gamma(3, 2, size), -rng.gamma(1, 1, size) * (rng.random(size) < 0.5) * goes_on


@pytest.mark.parametrize("text", POCKETSPHINX)
def test_back_off_is_that_of_others(text, model):
    *history, word = numbers(model, text)
    assert model.log_prob(history, word) / math.log(10) == pytest.approx(POCKETSPHINX[text], abs=1e-3)


def test_states_of_a_search_say_the_same_as_whole_histories(model):
    model_of = {1: model, 2: random_model(4)}
    for each in model_of.values():
        rng = np.random.default_rng(0)
        state, history = each.start(), [0]
        for _ in range(200):
            word = int(rng.integers(1, min(20, len(each.words) + 1)))
            recent = history[-each.order + 1 :]
            assert each.step(state, word)[0] == pytest.approx(each.log_prob(recent, word), abs=1e-4)
            _, state = each.step(state, word)
            history.append(word)


def test_states_that_go_on_alike_are_equal(model):
    """Nothing begins with "the sat", so after it only "sat" counts."""
    after = [model.state(numbers(model, text)) for text in ("the sat", "sat sat", "sat", "cat sat")]
    assert after[0] == after[1] == after[2] != after[3]


def test_words_and_ends(model):
    assert model.words == ("the", "cat", "sat", UNKNOWN)
    assert "cat" in model
    assert "dog" not in model
    assert UNKNOWN not in model
    assert model.number("dog") == model.number(UNKNOWN) == 4
    assert model.score(model.start(), "the")[0] == pytest.approx(-0.2 * math.log(10))
    total, state = 0.0, model.start()
    for word in ("the", "cat", "sat", END):
        log_prob, state = model.score(state, word)
        total += log_prob
    measured = fit(model, [["the", "cat", "sat"]])
    assert measured.perplexity == pytest.approx(math.exp(-total / 4))
    with pytest.raises(InputError, match="no words"):
        fit(model, [[]])


@pytest.mark.parametrize("name", ["again.arpa", "again.arpa.gz"])
def test_written_and_read_it_is_the_same(name, model, tmp_path):
    for each in (model, random_model(4)):
        arpa.write(tmp_path / name, each)
        again = arpa.read(tmp_path / name)
        assert again.words == each.words
        for one, other in zip(each.levels(), again.levels(), strict=True):
            assert np.array_equal(one.parents, other.parents)
            assert np.array_equal(one.words, other.words)
            assert one.log_probs == pytest.approx(other.log_probs, abs=1e-5)
            assert one.back_offs == pytest.approx(other.back_offs, abs=1e-5)


def test_words_in_capitals_are_read_in_lower_case(tmp_path):
    (tmp_path / "loud.arpa").write_text(
        ARPA.replace("the", "THE").replace("cat", "CAT").replace("sat", "SAT")
    )
    assert arpa.read(tmp_path / "loud.arpa").words == ("the", "cat", "sat", UNKNOWN)
    (tmp_path / "both.arpa").write_text(ARPA.replace("sat", "THE"))
    assert arpa.read(tmp_path / "both.arpa").words == ("the", "cat", "THE", UNKNOWN)


def test_a_file_without_the_unknown_word_gets_one(tmp_path):
    (tmp_path / "closed.arpa").write_text(
        ARPA.replace("-1.5	<unk>\n", "").replace("ngram 1=6", "ngram 1=5")
    )
    model = arpa.read(tmp_path / "closed.arpa")
    assert model.words[-1] == UNKNOWN
    assert model.log_prob([], 4) == pytest.approx(-99 * math.log(10))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "", "no language model in the format of ARPA"),
        ("ngram 2=6", "ngram two=6", "it says 'ngram two=6'"),
        ("-0.35	the cat	-0.05", "-0.35	the", "Line 18 .* no n-gram of 2 words"),
        ("-0.35	the cat	-0.05", "much	the cat", "Line 18 .* no n-gram of 2 words"),
        ("-0.7	sat the\n", "", "has 5 n-grams of 2 words, not 6"),
        ("\\end\\", "", "cut short"),
        ("sat the", "dog the", "'dog', but not that word alone"),
        ("the cat sat", "sat cat sat", "'sat cat sat', but not its history"),
        ("-0.7	sat the", "-0.7	the cat", "sorted"),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence(old, new, message, path):
    assert old in ARPA
    path.write_text(ARPA.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        arpa.read(path)


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "cut.arpa.gz").write_bytes(gzip.compress(ARPA.encode())[:-20])
    (tmp_path / "bytes.arpa").write_bytes(b"\xff\xfe\x00")
    for name in ("cut.arpa.gz", "bytes.arpa", "absent.arpa"):
        with pytest.raises(InputError, match="Cannot read the language model"):
            arpa.read(tmp_path / name)


@pytest.mark.parametrize("words", [50, 300, 70_000])
def test_packed_and_opened_it_is_nearly_the_same(words, tmp_path):
    model = random_model(3, words)
    packed_ngram.save(tmp_path / "m.safetensors", model, WeightsCard("kneser_ney", licence="CC0"))
    again = packed_ngram.load(tmp_path / "m.safetensors")
    assert again.words == model.words
    assert again.pronunciations == model.pronunciations
    assert again.counts == model.counts
    for one, other in zip(model.levels(), again.levels(), strict=True):
        assert np.array_equal(one.parents, other.parents)
        assert np.array_equal(one.words, other.words)
        assert np.abs(one.log_probs - other.log_probs).mean() < 0.03
        assert np.abs(one.back_offs - other.back_offs).mean() < 0.03
    card = weights.read_card(tmp_path / "m.safetensors")
    assert card.licence == "CC0"
    assert card.options == {"order": 3, "words": words, "ngrams": list(model.counts)}


def test_a_few_values_are_kept_as_they_are(model, tmp_path):
    packed_ngram.save(tmp_path / "m.safetensors", model, WeightsCard("kneser_ney"))
    again = packed_ngram.load(tmp_path / "m.safetensors")
    assert np.array_equal(again.log_probs, model.log_probs)
    assert np.array_equal(again.back_offs, model.back_offs)


def test_values_are_those_that_fit():
    rng = np.random.default_rng(0)
    values = rng.normal(size=20_000)
    book = packed_ngram.codebook(values)
    assert len(book) <= 256
    error = np.abs(values[:, None] - book).min(1)
    even = np.abs(values[:, None] - np.linspace(values.min(), values.max(), 256)).min(1)
    assert np.square(error).mean() < 0.8 * np.square(even).mean()


def test_damaged_files_are_refused(model, tmp_path):
    import torch

    path = tmp_path / "m.safetensors"
    packed_ngram.save(path, model, WeightsCard("kneser_ney"))
    card, tensors = weights.read_card(path), weights.read_tensors(path)
    for name in tensors:
        for damaged in (
            tensors | {name: tensors[name][:-8]},
            {n: t for n, t in tensors.items() if n != name},
        ):
            weights.save(path, damaged, card)
            with pytest.raises(InputError, match="damaged"):
                packed_ngram.load(path)
    weights.save(path, tensors, WeightsCard("gru"))
    with pytest.raises(InputError, match="no language model of words: it holds weights of 'gru'"):
        packed_ngram.load(path)
    bomb = torch.frombuffer(bytearray(packed_ngram._squeezed(bytes(10_000_000)).tobytes()), dtype=torch.uint8)
    weights.save(path, tensors | {"followers.2": bomb}, card)
    with pytest.raises(InputError, match="damaged"):
        packed_ngram.load(path)


def test_what_is_no_tree_is_refused():
    good = random_model(2, 20).levels()
    with pytest.raises(InputError, match="one unigram"):
        NgramModel(["a", "b"], good)
    with pytest.raises(InputError, match="one unigram"):
        NgramModel([f"w{each}" for each in range(20)], good)
    turned = Level(
        *(each[::-1] for each in (good[1].parents, good[1].words, good[1].log_probs, good[1].back_offs))
    )
    with pytest.raises(InputError, match="sorted"):
        NgramModel(random_model(2, 20).words, [good[0], turned])
