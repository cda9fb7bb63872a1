"""Assessments of what is certain: phones that a network is made to hear."""

import numpy as np
import pytest
import torch

from unbabble.base.errors import InputError, UsageError
from unbabble.nn.kinds.recognizer import Posteriors
from unbabble.pipelines.assess import assess
from unbabble.pipelines.recording import Recording
from unbabble.text.phones import PHONES
from unbabble.text.pronounce import Pronouncer
from unbabble.text.tokens import Symbols

WORDS = {
    "see": [("S", "IY")],
    "the": [("DH", "AH"), ("DH", "IY")],
    "sun": [("S", "AH", "N")],
}


class Hears(torch.nn.Module):
    """Takes every recording for the same phones, four frames each, nearly certain."""

    sample_rate = 16000

    def __init__(self, said: str) -> None:
        super().__init__()
        self.anything = torch.nn.Parameter(torch.zeros(1))
        numbers = Symbols(PHONES).encode(said)
        path = [symbol for number in numbers for symbol in (number, number, 0, 0)] + [0] * 8
        probs = np.full((len(path), len(PHONES) + 1), 1e-4)
        probs[np.arange(len(path)), path] = 1 - 1e-4 * len(PHONES)
        self.posterior = Posteriors(np.log(probs), Symbols(PHONES), 0.04, np.zeros(len(PHONES) + 1))

    def posteriors(self, waveform, lengths):
        return [{"phones": self.posterior} for _ in waveform]


def assessed(said: str, prompt: str = "see the sun", **options):
    recording = Recording.of(torch.randn(1, 16000), 16000)
    return assess(recording, prompt, Hears(said), Pronouncer(WORDS), **options)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("said", ["S IY DH AH S AH N", "S IY DH IY S AH N"])
def test_what_was_said_in_either_pronunciation_is_right(said):
    result = assessed(said)
    assert (result.error_rate, *result.interval) == (0, 0, 0)
    assert all(row.right == row.count and row.goodness > 0.9 for row in result.by_phone())


def test_a_lisp_is_named_with_what_it_came_out_as():
    result = assessed("TH IY DH AH TH AH N")
    worst = result.by_phone()[0]
    assert (worst.phone, worst.count, worst.right, worst.substituted) == ("S", 2, 0, {"TH": 2})
    assert worst.goodness < 0.1
    assert result.error_rate == pytest.approx(2 / 7)
    assert result.interval[0] <= result.error_rate <= result.interval[1]


def test_what_is_missing_or_too_much_is_counted_and_has_no_good_score():
    result = assessed("S IY DH AH S AH M")
    assert {row.phone: row.deleted for row in assessed("S IY DH AH S AH").by_phone()}["N"] == 1
    assert {row.phone: row.goodness for row in assessed("S IY DH AH S AH").by_phone()}["N"] < 0.1
    assert {row.phone: row.substituted for row in result.by_phone()}["N"] == {"M": 1}
    assert assessed("S IY DH AH S AH N Z").inserted == {"Z": 1}


def test_typical_speakers_stand_beside():
    typical = {"all": 0.2, "S": 0.1}
    result = assessed("S IY DH AH S AH N", typical=typical).to_dict()
    assert result["typical_phone_error_rate"] == 0.2
    assert {row["phone"]: row["typical"] for row in result["by_phone"]} == {
        "S": 0.1, "AH": None, "DH": None, "IY": None, "N": None,
    }  # fmt: skip


def test_the_weakest_phones_are_named_with_their_words():
    result = assessed("TH IY DH AH S AH N")
    assert result.fits
    (weakest, *others) = result.weakest()
    assert (weakest["word"], weakest["phone"], weakest["said"]) == ("see", "S", "TH")
    assert len(others) == 4
    assert all(weakest["goodness"] < each["goodness"] for each in others)
    assert result.to_dict()["weakest"] == [weakest, *others]
    assert not assessed("K AO K AO K AO K AO K AO K AO").fits


def test_every_phone_of_the_prompt_is_there_whatever_was_said():
    for said in ("", "M", "Z UW Z UW Z UW Z UW Z UW Z UW"):
        with_all = [each.expected for each in assessed(said + " S" * 20).phones if each.expected]
        assert len(with_all) == 7


@pytest.mark.parametrize("prompt", ["", "  ", "...", "-"])
def test_a_prompt_without_words_is_refused(prompt):
    with pytest.raises(UsageError, match="no words"):
        assessed("S", prompt)


def test_a_recording_that_is_too_short_for_its_prompt_is_refused():
    with pytest.raises(InputError, match="too short for the prompt"):
        assessed("S", "see the sun " * 10)


def test_long_recordings_are_refused():
    recording = Recording.of(torch.randn(1, 130 * 8000), 8000)
    with pytest.raises(InputError, match="at most 120 s"):
        assess(recording, "see", Hears("S IY"), Pronouncer(WORDS))  # pyright: ignore[reportArgumentType]
