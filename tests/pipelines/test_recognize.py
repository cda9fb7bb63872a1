"""A recogniser with its search: a network that hears what it is told, and words that decide."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from unbabble.base import audio
from unbabble.base.errors import InputError, UsageError
from unbabble.base.registry import Card, method
from unbabble.base.spans import Span, Transcript
from unbabble.base.weights import WeightsCard, save
from unbabble.data import corpora
from unbabble.networks.foreign.recognizer import ForeignRecognizer
from unbabble.nn.kinds.recognizer import Posteriors
from unbabble.pipelines.likely import likely
from unbabble.pipelines.recognize import BY_PHONES, BY_PIECES, NONE, Recognizer, load_recognizer
from unbabble.text.confidence import Calibration
from unbabble.text.errors import Errors, word_errors
from unbabble.text.ngram import UNKNOWN, Level, NgramModel
from unbabble.text.phones import PHONES
from unbabble.text.tokens import Pieces, Symbols

SPOKEN = {"two": [("T", "UW")], "too": [("T", "UW")], "toe": [("T", "OW")], "eat": [("IY", "T")]}


def unigrams(**probabilities: float) -> NgramModel:
    """A language model of words by themselves."""
    words = (*probabilities, UNKNOWN)
    rest = 1 - sum(probabilities.values())
    logs = np.log([rest / 2, *probabilities.values(), rest / 2])
    level = Level(np.zeros(len(logs), np.int64), np.arange(len(logs)), logs, np.zeros(len(logs)))
    return NgramModel(words, [level], SPOKEN)


class Hears(torch.nn.Module):
    """Takes every recording for the same phones; four frames each, so sure of them."""

    sample_rate = 16000

    def __init__(self, said: str, sure: float = 0.9) -> None:
        super().__init__()
        self.targets = {"phones": Symbols(PHONES)}
        self.anything = torch.nn.Parameter(torch.zeros(1))
        path = [n for number in Symbols(PHONES).encode(said) for n in (number, number, 0, 0)] + [0] * 4
        probs = np.full((len(path), len(PHONES) + 1), (1 - sure) / len(PHONES))
        probs[np.arange(len(path)), path] = sure
        self.said = Posteriors(
            np.log(probs).astype(np.float32),
            self.targets["phones"],
            0.04,
            np.zeros(len(PHONES) + 1, np.float32),
        )

    def posteriors(self, waveform, lengths):
        return [{"phones": self.said} for _ in waveform]


def written(said: str, model: NgramModel, sure: float = 0.9, **options):
    recognizer = Recognizer(Hears(said, sure), model, **options)  # pyright: ignore[reportArgumentType]
    return recognizer(torch.randn(1, 16000))[0]


def test_homophones_are_the_language_models_affair():
    assert written("T UW", unigrams(two=0.5, too=0.1, toe=0.1, eat=0.1)).text == "two"
    assert written("T UW", unigrams(two=0.1, too=0.5, toe=0.1, eat=0.1)).text == "too"


def test_words_have_their_times_and_are_surer_where_the_network_is():
    model = unigrams(two=0.2, too=0.01, toe=0.2, eat=0.2)
    transcript = written("T UW IY T", model, sure=0.99)
    assert transcript.text == "two eat"
    two, eat = transcript.words
    assert 0 <= two.start < two.end <= eat.start < eat.end <= 20 * 0.04
    doubtful = written("T UW IY T", model, sure=0.3).words
    assert doubtful[0].score < two.score


def test_words_are_as_sure_as_their_calibration_says_where_there_is_one():
    model, calibration = unigrams(two=0.2, toe=0.2, eat=0.2), Calibration(-1.0, 0.3, 2.0, 0.1)
    hears: Any = Hears("T UW IY T", 0.7)
    calibrated = Recognizer(hears, model, calibrations={BY_PHONES: calibration})
    placed, _ = calibrated.placed({"phones": hears.said})
    (said,) = calibrated(torch.randn(1, 16000))
    assert [word.score for word in said.words] == [calibration(word) for word in placed]
    (said,) = Recognizer(hears, model, calibrations={BY_PIECES: calibration})(torch.randn(1, 16000))
    assert [word.score for word in said.words] == [word.posterior for word in placed], "another search"


def test_hotwords_that_the_language_model_does_not_know_are_written():
    model = unigrams(two=0.3, toe=0.3, eat=0.1)
    assert written("Z IH Z IY", model).text != "xyzzy"
    assert written("Z IH Z IY", model, hotwords=["Xyzzy"]).text == "xyzzy"


@pytest.mark.parametrize("hotword", ["Москва", "京"])
def test_hotwords_that_cannot_be_spoken_are_named(hotword):
    with pytest.raises(InputError, match=f"Of the hotwords, or of the prompt, '{hotword.lower()}' cannot be"):
        written("T UW", unigrams(two=0.5), hotwords=["two", hotword])


def test_hotwords_without_letters_are_named():
    with pytest.raises(InputError, match=r"^Of the hotwords, '#' has no letters\.$"):
        written("T UW", unigrams(two=0.5), hotwords=["two", "#"])


def test_hotwords_keep_the_letters_of_their_language():
    network: Any = Writes()
    network.tokens = Pieces(["▁", "ä", "b", "▁ä", "▁b"])
    assert Recognizer(network, hotwords=["Ä"])(torch.randn(1, 16000))[0].text == "ä"
    for hotword, reason in (("ba", "has no a"), ("b 3", "numbers have to be in words")):
        with pytest.raises(InputError, match=f"Of the hotwords, or of the prompt, '{hotword}' .*{reason}"):
            Recognizer(network, hotwords=[hotword])


def test_of_nothing_comes_nothing():
    assert written("", unigrams(two=0.5, toe=0.1)).words == ()


@pytest.mark.parametrize("samples", [torch.full((1, 100), float("nan")), torch.zeros(1, 0)])
def test_what_is_no_recording_is_refused(samples):
    recognizer = Recognizer(Hears("T"), unigrams(two=0.5))  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError):
        recognizer(samples)


class HearsAndWrites(Hears):
    """By CTC either of two words, as likely; its decoder writes the second."""

    def __init__(self) -> None:
        super().__init__("")
        self.tokens = Pieces(["▁", "a", "b", "▁a", "▁b"])
        self.targets = {"text": self.tokens}
        probs = np.full((6, 6), 0.02)
        probs[:, 0], probs[2, [4, 5]] = 0.9, 4.0
        logs = np.log(probs / probs.sum(1, keepdims=True)).astype(np.float32)
        self.said = Posteriors(logs, self.targets["text"], 0.04, np.zeros(6, np.float32))

    def posteriors(self, waveform, lengths):
        return [{"text": self.said} for _ in waveform]

    def writers(self, waveform, lengths):
        return [self for _ in waveform]

    def start(self, batch):
        return {"written": torch.zeros(batch)}

    def step(self, x, state):
        logits = torch.zeros(len(x), 6)
        logits[x == 0, 5] = logits[x != 0, 0] = 5.0
        return logits.log_softmax(-1), {"written": state["written"] + 1}


def test_where_there_is_a_decoder_it_has_its_say():
    model = unigrams(a=0.3, b=0.3)
    both = HearsAndWrites()
    assert Recognizer(both, model)(torch.randn(1, 16000))[0].text == "b"  # pyright: ignore[reportArgumentType]
    likelier = unigrams(a=0.89, b=1e-9)
    recognizer = Recognizer(both, likelier, language_weight=1.0)  # pyright: ignore[reportArgumentType]
    assert recognizer(torch.randn(1, 16000))[0].text == "a"


class Writes(HearsAndWrites):
    """Has a decoder alone, which likes one word a bit better than the other."""

    memory = torch.zeros(1, 5, 1)

    def posteriors(self, waveform, lengths):
        return [{} for _ in waveform]

    def step(self, x, state):
        logits = torch.zeros(len(x), 6)
        logits[x == 0, 4], logits[x == 0, 5], logits[x != 0, 0] = 5.0, 6.0, 9.0
        return logits.log_softmax(-1), {"written": state["written"] + 1}


def test_a_decoder_alone_hears_of_what_is_likely():
    network: Any = Writes()
    for options, text in (
        ({"hotwords": ["A"]}, "a"),
        ({"hotwords": ["B"]}, "b"),
        ({"language_model": unigrams(a=0.9, b=0.001)}, "a"),
        ({"language_model": unigrams(a=0.3, b=0.3)}, "b"),
    ):
        (said,) = Recognizer(network, **options)(torch.randn(1, 16000))
        assert said.text == text, options
        (word,) = said.words
        assert 0 <= word.start < word.end <= 1


class Foreign(ForeignRecognizer):
    """Computed by another library, and without any weight that PyTorch knows."""

    def __init__(self):
        super().__init__(
            card=Card("foreign", "recognizer", "", "", network=True), sample_rate=16000, given={}
        )

    def transcript(self, samples):
        self.language = "de"
        return Transcript((Span(0.0, len(samples) / 16000, "guten", score=0.9),))


def test_recognisers_of_other_libraries_search_by_themselves():
    recognizer = Recognizer(Foreign(), unigrams(two=0.5, toe=0.1))
    assert recognizer(torch.randn(1, 8000))[0].words == (Span(0.0, 0.5, "guten", score=0.9),)
    assert recognizer.language == "de"
    with pytest.raises(UsageError, match="hotwords"):
        Recognizer(Foreign(), hotwords=["Xyzzy"])
    with pytest.raises(UsageError, match=r"without a language model: leave out 'english.arpa'"):
        likely(Foreign(), "english.arpa")


def test_a_recogniser_is_built_again_when_its_weights_change(tmp_path):
    path = tmp_path / "r.safetensors"
    network = method("conformer_ctc")
    save(path, (first := network(**network.TINY)).state_dict(), WeightsCard("conformer_ctc", first.options))
    loaded = load_recognizer(str(path), "cpu", NONE)
    assert load_recognizer(str(path), "cpu", NONE) is loaded
    assert loaded.language == "en"
    save(path, network(**network.TINY).state_dict(), WeightsCard("conformer_ctc", first.options))
    assert load_recognizer(str(path), "cpu", NONE) is not loaded
    with pytest.raises(UsageError, match="language"):
        load_recognizer(str(path), "cpu", NONE, language="de")


def test_cards_calibrate_searches(tmp_path):
    path, network = tmp_path / "r.safetensors", method("conformer_ctc")
    made = network(**network.TINY)
    weights = {"bias": 1.0, "posterior": 0.2, "evidence": 1.5, "length": -0.5, "least": 0.3}
    card = WeightsCard("conformer_ctc", made.options, confidence={BY_PIECES: weights})
    save(path, made.state_dict(), card)
    recognizer = load_recognizer(str(path), "cpu", NONE)
    assert (recognizer.confidence, recognizer.least_confidence) == (Calibration(**weights), 0.3)
    assert load_recognizer(str(path), "cpu").least_confidence is None, "another search"
    save(path, made.state_dict(), replace(card, confidence={BY_PIECES: {"bias": 1.0}}))
    with pytest.raises(
        InputError, match=r"^What the card of this conformer_ctc says of confidences cannot be read\.$"
    ):
        load_recognizer(str(path), "cpu", NONE)


def test_speech_of_people_that_were_not_learnt_from_is_written_down(data_folder):
    """Ten test speakers: most words are right, at their places, and surer than those that are wrong."""
    by_speaker = {each.speaker: each for each in corpora.speech(data_folder / "speech.csv", "test")}
    recognizer, total = load_recognizer("auto", "cpu"), Errors()
    right, wrong = [], []
    for utterance in list(by_speaker.values())[:10]:
        samples = audio.read(utterance.path).samples
        transcript = recognizer(samples)[0]
        total += word_errors(utterance.text.lower(), transcript.text)
        said = utterance.text.lower().split()
        for word in transcript.words:
            assert 0 <= word.start < word.end <= samples.shape[1] / 16000 + 0.1
            (right if word.text in said else wrong).append(word.score)
    assert total.rate < 0.35
    assert len(right) / len(right + wrong) == pytest.approx(np.mean(right + wrong), abs=0.1)
    assert np.mean(right) > np.mean(wrong) + 0.1
