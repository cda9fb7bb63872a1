"""What likenesses mean: probabilities and their prior, answers and how often they are wrong, somebody or nobody."""

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from unbabble.base.errors import InputError, UsageError
from unbabble.base.weights import WeightsCard, packaged, read_card, read_tensors, save
from unbabble.pipelines.embed import Voice
from unbabble.pipelines.verify import Verifier, load_verifier
from unbabble.signal.calibration import Calibration, Errors

LINE = Calibration(10.0, -5.0, 2.0, 0.0)
ERRORS = Errors(
    (-2.0, 0.0, 2.0), (1.0, 4.0), ((0.1, 0.2, 0.3), (0.0, 0.1, 0.2)), ((0.6, 0.4, 0.2), (0.3, 0.2, 0.1))
)
ANY: Any = None


def voice(degrees, seconds=4.0):
    angle = math.radians(degrees)
    return Voice(np.array([math.cos(angle), math.sin(angle)], np.float32), seconds)


def ratio(degrees, seconds=4.0):
    return (10 + 2 * math.log(seconds)) * math.cos(math.radians(degrees)) - 5


@pytest.mark.parametrize("degrees", [0, 60, 70, 90])
@pytest.mark.parametrize("prior", [0.5, 0.01])
def test_a_probability_is_that_of_the_ratio_and_the_prior(degrees, prior):
    found = Verifier(ANY, LINE).compare(voice(10), voice(10 + degrees), prior)
    odds = prior / (1 - prior) * math.exp(ratio(degrees))
    assert found.probability == pytest.approx(odds / (1 + odds), rel=1e-4)
    assert found.likeness == pytest.approx(math.cos(math.radians(degrees)), abs=1e-6)
    expected = (
        "same" if found.probability >= 0.9 else "different" if found.probability <= 0.1 else "cannot say"
    )
    assert found.answer == expected


def test_the_shorter_recording_decides_how_much_a_likeness_says():
    short = Verifier(ANY, LINE).compare(voice(0, 1.0), voice(20, 4.0))
    assert short.seconds == pytest.approx(1.6)
    assert short.probability == pytest.approx(1 / (1 + math.exp(-ratio(20, 1.6))))


def test_answers_come_with_how_often_they_were_wrong():
    """Called the same from a ratio of log 9 on, called different up to - log 9; a prior moves both."""
    verifier = Verifier(ANY, LINE, ERRORS)
    found = verifier.compare(voice(0), voice(0))
    assert (found.wrongly_same, found.wrongly_different) == (0.1, 0.0)
    found = verifier.compare(voice(0, 2.0), voice(0, 2.0), prior=0.9)
    assert found.wrongly_same == pytest.approx(0.4)
    assert found.wrongly_different == pytest.approx(0.1)
    assert Verifier(ANY, LINE).compare(voice(0), voice(0)).wrongly_same is None


def test_somebody_is_named_by_bayes_rule():
    people = {"anna": voice(0), "ben": voice(60), "carol": voice(120)}
    found = Verifier(ANY, LINE).identify(voice(10), people, prior=0.6)
    weights = {
        "anna": 0.2 * math.exp(ratio(10)),
        "ben": 0.2 * math.exp(ratio(50)),
        "carol": 0.2 * math.exp(ratio(110)),
    }
    total = sum(weights.values()) + 0.4
    assert found.name == found.answer == "anna"
    assert found.probability == pytest.approx(weights["anna"] / total, rel=1e-4)
    assert found.nobody == pytest.approx(0.4 / total, rel=1e-3)
    assert list(found.people) == ["anna", "ben", "carol"]
    assert sum(each.probability for each in found.people.values()) + found.nobody == pytest.approx(1)


def test_nobody_and_no_answer():
    people = {"anna": voice(0), "ben": voice(60)}
    found = Verifier(ANY, LINE).identify(voice(200), people)
    assert (found.name, found.answer) == (None, "nobody")
    assert found.probability > 0.98
    twins = {"anna": voice(0), "anne": voice(0)}
    found = Verifier(ANY, LINE).identify(voice(0), twins, prior=0.9)
    assert found.answer == "cannot say"
    assert found.name is None
    with pytest.raises(UsageError, match="nobody to identify"):
        Verifier(ANY, LINE).identify(voice(0), {})


def test_without_calibration_there_are_likenesses_alone():
    found = Verifier(ANY).compare(voice(0), voice(60))
    assert (found.probability, found.answer) == (None, "")
    assert found.likeness == pytest.approx(0.5)
    identified = Verifier(ANY).identify(voice(50), {"anna": voice(0), "ben": voice(60)})
    assert (identified.name, identified.probability) == ("ben", None)


@pytest.mark.parametrize("prior", [0.0, 1.0, -1.0, math.nan])
def test_what_is_no_prior_is_refused(prior):
    for asked in (
        lambda: Verifier(ANY, LINE).compare(voice(0), voice(0), prior),
        lambda: Verifier(ANY, LINE).identify(voice(0), {"anna": voice(0)}, prior),
    ):
        with pytest.raises(UsageError, match="prior"):
            asked()


@pytest.mark.skipif("xvector.8k" not in packaged(), reason="no packaged embedder")
def test_cards_and_files_say_what_likenesses_mean(tmp_path):
    content = read_card(packaged()["xvector.8k"]).to_dict()
    stated = {"calibration": asdict(LINE), "errors": asdict(ERRORS)}
    path = tmp_path / "mine.safetensors"
    tensors = read_tensors(packaged()["xvector.8k"])
    save(path, tensors, WeightsCard(**content | {"verification": stated}))
    verifier = load_verifier(str(path), "cpu")
    assert (verifier.calibration, verifier.errors) == (LINE, ERRORS)
    (tmp_path / "own.json").write_text(json.dumps({"calibration": {"scale": 3.0, "shift": 1.0}}))
    assert load_verifier(str(path), "cpu", tmp_path / "own.json").calibration == Calibration(3.0, 1.0)
    save(path, tensors, WeightsCard(**content | {"verification": {"calibration": {"slope": 1.0}}}))
    with pytest.raises(InputError, match=r"The card of .* cannot be read"):
        load_verifier(str(path), "cpu")
    for text, sentence in (
        ("{", "no JSON"),
        ("{}", "is no calibration"),
        ("[]", "cannot be read"),
        ('{"calibration": {"scale": NaN, "shift": 1.0}}', "cannot be read"),
        ('{"calibration": {"scale": "3", "shift": 1.0}}', "cannot be read"),
        (
            '{"model": "other", "calibration": {"scale": 3, "shift": 1}}',
            "by 'other' mean, and nothing of those by",
        ),
    ):
        (tmp_path / "own.json").write_text(text)
        with pytest.raises(InputError, match=sentence):
            load_verifier(str(path), "cpu", tmp_path / "own.json")
