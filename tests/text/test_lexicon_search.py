"""A search that gives up nothing finds the greatest of all sentences; pruned ones nearly so."""

from itertools import product

import numpy as np
import pytest

from tests.text.models import Bigrams
from tests.text.paths import distributions, impossible, rows
from unbabble.text.ctc_search import EXACT, Pruning, without_prior
from unbabble.text.hotwords import Hotwords
from unbabble.text.hypothesis import place
from unbabble.text.lexicon import Lexicon
from unbabble.text.lexicon_search import LexiconSearch, lexicon_beam
from unbabble.text.word_scores import WordScores

PHONES = ("P", "Q", "R")
PRONUNCIATIONS = {"one": ["PQ"], "won": ["PQ"], "two": ["R", "RP"], "q": ["Q"]}


def sentences(log_probs: np.ndarray, words: WordScores, longest: int) -> dict[tuple[str, ...], float]:
    """Score of every sentence of the lexicon that has a path."""
    every, result = rows(log_probs), {}
    for length in range(longest + 1):
        for sentence in product(PRONUNCIATIONS, repeat=length):
            spoken = product(*(PRONUNCIATIONS[word] for word in sentence))
            phones = [tuple(PHONES.index(phone) + 1 for phone in "".join(each)) for each in spoken]
            heard = np.logaddexp.reduce([every.get(row, -np.inf) for row in phones])
            state, added = words.start(), 0.0
            for word in sentence:
                more, state = words.score(state, word)
                added += more
            if heard > -np.inf:
                result[sentence] = heard + added + words.end(state)
    return result


@pytest.mark.parametrize("remembers", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_words_of_a_lexicon_are_the_greatest_of_all_sentences(seed, remembers):
    rng = np.random.default_rng(seed)
    log_probs = distributions(rng, 5, 4, 0.6)
    if seed % 3 == 0:
        log_probs = impossible(log_probs, rng)
    words = WordScores(Bigrams(tuple(PRONUNCIATIONS), seed, remembers), 0.6, 0.5, Hotwords(["two q"], 1.0))
    lexicon = Lexicon(PRONUNCIATIONS, PHONES, lambda word: words.alone(word, -2.0))
    expected = sentences(log_probs, words, 5)
    found = lexicon_beam(log_probs, lexicon, words, pruning=EXACT, best=1000)
    if not expected:
        assert found[0].score == -np.inf or not found[0].words
        return
    best = max(expected, key=expected.__getitem__)
    if remembers:
        assert found[0].words == best
        assert found[0].score == pytest.approx(expected[best], abs=1e-5)
        for each in found:
            assert each.score == pytest.approx(expected[each.words], abs=1e-5)
    else:  # hypotheses that the model cannot tell apart have their total together
        assert found[0].score >= expected[best] - 1e-5
        assert np.logaddexp.reduce([each.score for each in found]) == pytest.approx(
            np.logaddexp.reduce(list(expected.values())), abs=1e-5
        )
    for each in found:
        assert len(each.tokens) == sum(each.lengths)
        assert len(each.words) == len(each.lengths) == len(each.posteriors)


@pytest.mark.parametrize("frames", [0, 1])
def test_next_to_no_sound(frames):
    words = WordScores()
    lexicon = Lexicon(PRONUNCIATIONS, PHONES)
    log_probs = np.log(np.full((frames, 4), 0.25, np.float32))
    found = lexicon_beam(log_probs, lexicon, words)
    assert {each.words for each in found} == ({()} if not frames else {(), ("two",), ("q",)})


@pytest.mark.parametrize("seed", range(5))
def test_a_recording_may_come_in_parts(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (60, 4))
    logits[np.arange(60), [1, 2, 0, 3, 0, 2] * 10] += 4
    log_probs = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)
    words = WordScores(Bigrams(tuple(PRONUNCIATIONS), seed, remembers=False), 0.5)
    lexicon = Lexicon(PRONUNCIATIONS, PHONES)
    search, settled = LexiconSearch(lexicon, words, pruning=Pruning(beam=6)), []
    for part in np.split(log_probs, [1, 7, 8, 30, 45]):
        search.add(part)
        settled.append(search.settled())
        search.fork().add(log_probs[::-1])  # which changes nothing
    whole = lexicon_beam(log_probs, lexicon, words, pruning=Pruning(beam=6))
    assert search.hypotheses() == whole
    ahead = search.fork()
    ahead.add(log_probs)
    assert ahead.hypotheses() == lexicon_beam(
        np.concatenate([log_probs, log_probs]), lexicon, words, pruning=Pruning(beam=6)
    )
    assert search.hypotheses() == whole
    for row in settled:  # what has settled stays
        assert whole[0].words[: len(row)] == row
    assert 0 < len(settled[3]) < len(settled[5])


def test_what_is_begun_and_is_no_word_is_left_out():
    log_probs = np.log(np.array([[1e-9, 1 - 2e-9, 1e-9 / 2, 1e-9 / 2]], np.float32))
    found = lexicon_beam(log_probs, Lexicon(PRONUNCIATIONS, PHONES), WordScores(), pruning=Pruning(blank=2.0))
    assert found[0].words == ()


def test_homophones_are_decided_by_the_language_model():
    log_probs = np.log(np.full((8, 4), 1e-3, np.float32))
    for frame, symbol in enumerate([1, 2, 0, 3, 0, 1, 2, 0]):
        log_probs[frame, symbol] = np.log(0.997)
    model = Bigrams(tuple(PRONUNCIATIONS))
    for state in model.table.values():
        state.update(dict.fromkeys(state, -3.0))
    model.table["<s>"]["won"], model.table["two"]["one"] = -1.0, -2.0
    words = WordScores(model, 1.0)
    lexicon = Lexicon(PRONUNCIATIONS, PHONES)
    assert lexicon_beam(log_probs, lexicon, words)[0].words == ("won", "two", "one")


def test_hotwords_win_words_that_sound_alike():
    log_probs = np.log(np.full((3, 4), 0.001, np.float32))
    log_probs[0, 1] = log_probs[1, 2] = log_probs[2, 0] = np.log(0.997)
    lexicon = Lexicon(PRONUNCIATIONS, PHONES)
    for word in ("one", "won"):
        assert lexicon_beam(log_probs, lexicon, WordScores(hotwords=Hotwords([word])))[0].words == (word,)


def test_the_prior_of_a_symbol_counts_against_it():
    log_probs = np.log(np.array([[0.6, 0.05, 0.3, 0.05]], np.float32))
    log_prior = np.log(np.array([0.9, 0.03, 0.04, 0.03], np.float32))
    lexicon = Lexicon(PRONUNCIATIONS, PHONES)
    assert lexicon_beam(log_probs, lexicon, WordScores())[0].words == ()
    found = lexicon_beam(log_probs, lexicon, WordScores(), log_prior=log_prior, prior_share=0.5)[0]
    assert found.words == ("q",)
    assert found.score == pytest.approx(np.log(0.3) - 0.5 * np.log(0.04), abs=1e-6)
    np.testing.assert_array_equal(without_prior(log_probs, log_prior, 0.0), log_probs)


def test_words_have_their_frames():
    log_probs = np.log(np.full((12, 4), 0.002, np.float32))
    for frame, symbol in enumerate([0, 0, 1, 0, 2, 2, 0, 0, 3, 3, 0, 0]):
        log_probs[frame, symbol] = np.log(0.994)
    found = lexicon_beam(log_probs, Lexicon(PRONUNCIATIONS, PHONES), WordScores())[0]
    words = place(log_probs, found)
    assert [(word.start, word.end) for word in words] == [(2, 6), (8, 10)]
    assert found.text in ("one two", "won two")
    assert all(word.evidence == pytest.approx(np.log(0.994)) for word in words)


def test_frames_that_are_certainly_blank_change_little():
    rng = np.random.default_rng(0)
    log_probs = distributions(rng, 20, 4, 0.2)
    log_probs[10:14] = np.log([0.9985, 0.0005, 0.0005, 0.0005])
    words = WordScores(Bigrams(tuple(PRONUNCIATIONS)), 0.5)
    lexicon = Lexicon(PRONUNCIATIONS, PHONES)
    skipped = lexicon_beam(
        log_probs, lexicon, words, pruning=Pruning(beam=200, margin=50, tokens=4, least=-50)
    )[0]
    whole = lexicon_beam(
        log_probs, lexicon, words, pruning=Pruning(beam=200, margin=50, tokens=4, least=-50, blank=2.0)
    )[0]
    assert skipped.words == whole.words
    assert skipped.score == pytest.approx(whole.score, abs=0.05)


def test_the_posterior_of_a_word_is_its_share_of_the_beam():
    """Between two words that differ in one phone, the recording decides three to one; a third word is certain."""
    lexicon = Lexicon({"yes": ["P"], "no": ["Q"], "sure": ["R"]}, PHONES)
    log_probs = np.log(np.full((40, 4), 1e-6, np.float32))
    log_probs[:, 0] = np.log(0.9)
    log_probs[5] = np.log([1e-6, 0.75, 0.25, 1e-6])
    log_probs[30] = np.log([1e-6, 1e-6, 1e-6, 1.0])
    found = lexicon_beam(log_probs, lexicon, WordScores(), pruning=Pruning(margin=10))[0]
    assert found.words == ("yes", "sure")
    assert found.posteriors == pytest.approx((0.75, 1.0), abs=0.01)
