"""``auto``: all that fits, scored blindly, the best kept."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbabble.base.audio import write
from unbabble.base.errors import InputError, UsageError
from unbabble.pipelines import choose as select
from unbabble.pipelines import separate as hub
from unbabble.pipelines.choose import AutoModel, alone, choose_model, load, value_db
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.score import VoiceScore
from unbabble.pipelines.separate import NETWORK_SECONDS, UNCHANGED
from unbabble.signal.blind.separator import BlindSeparator

RATE = 8000


@pytest.fixture
def auto(package, packaged_scorer, monkeypatch):
    """Two tiny networks for two talkers, one for three."""
    package(two={}, other={}, three={"sources": 3})
    monkeypatch.setattr(
        select, "SINGLE", {2: ("conv_tasnet.two", "conv_tasnet.other"), 3: ("conv_tasnet.three",)}
    )
    monkeypatch.setattr(select, "has_scorer", lambda: True)
    return load


@pytest.fixture
def told(monkeypatch):
    """Decides the score of every voice by the number of voices: ``told[2] = 5.0``."""
    scores = {}

    class Scorer:
        name = "told"

        def __init__(self, *arguments, **options):
            pass

        def of(self, recording, estimates=None, channel=0):
            estimates = recording.samples[:1] if estimates is None else estimates
            assert recording.samples.shape[-1] == estimates.shape[-1]
            db = scores.get(len(estimates), 0.0)
            return [VoiceScore(db, db - 1, db + 1)] * len(estimates)

    monkeypatch.setattr(select, "BlindScorer", Scorer)
    return scores


def noise(seconds=1.0, channels=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(channels, round(seconds * RATE), generator=generator)


@settings(deadline=None)
@given(st.lists(st.floats(-15, 30), min_size=1, max_size=4), st.floats(-15, 30), st.integers(0, 2))
def test_value_lies_between_the_scores(scores, own, count):
    probabilities = [0.0] * 3
    probabilities[count] = 1.0
    found = value_db(scores, own, probabilities)
    assert found <= max([*scores, own]) + 1e-9
    if len(scores) > count:
        assert found >= min(scores) - 1e-9
    assert value_db(scores[::-1], own, probabilities) == pytest.approx(found)


def test_a_voice_too_many_does_no_harm_and_one_too_few_does():
    two = [0.0, 1.0, 0.0]
    assert value_db([8, 6, -9], 0, two) == value_db([8, 6], 0, two) == 7
    assert value_db([8], 0, two) == pytest.approx(4)


@settings(deadline=None)
@given(st.floats(0, 25), st.integers(2, 4))
def test_talkers_without_a_voice_share_what_is_left_of_the_recording(own, count):
    probabilities = [0.0] * (count - 1) + [1.0]
    share = 1 / (1 + 10 ** (-own / 10))
    powers = np.array([share] + [(1 - share) / (count - 1)] * (count - 1))
    true = 10 * np.log10(powers / (1 - powers))
    assert value_db([own], own, probabilities) == pytest.approx(true.mean())


@pytest.fixture
def likely(monkeypatch):
    """Decides how likely one, two and three talkers are: ``likely[:] = 0.2, 0.6, 0.2``."""
    shares = [0.2, 0.5, 0.3]
    monkeypatch.setattr(AutoModel, "_windows", lambda self, recording: torch.tensor([shares]))
    return shares


TWO, THREE = {"conv_tasnet.two", "conv_tasnet.other"}, {"conv_tasnet.three"}


@pytest.mark.parametrize(
    ("shares", "best", "model", "others"),
    [
        ((0.2, 0.5, 0.3), 2, "conv_tasnet.two", TWO),
        ((0.2, 0.5, 0.3), 1, UNCHANGED, TWO),
        ((0.2, 0.3, 0.5), 3, "conv_tasnet.three", THREE),
        ((0.9, 0.1, 0.0), 2, UNCHANGED, set()),
    ],
)
def test_of_what_separates_so_many_talkers_the_best_score_decides(
    auto, told, likely, shares, best, model, others
):
    likely[:] = shares
    told.update({1: 0.0, 2: 0.0, 3: 0.0} | {best: 8.0})
    found = auto()(noise(), RATE)
    assert found.model == found.candidates[0].model == model
    values = [each.value_db for each in found.candidates]
    assert values == sorted(values, reverse=True)
    assert {each.model for each in found.candidates} == {UNCHANGED, *others}


def test_where_nobody_counts_all_that_fit_are_tried(auto, told):
    found = auto()(noise(), RATE)
    assert {each.model for each in found.candidates} == {UNCHANGED, *TWO, *THREE}


def test_the_recording_itself_starts_ahead_if_one_talker_is_likely(auto, told, monkeypatch):
    told.update({1: 5.0, 2: 6.5, 3: 0.0})
    shares = [0.0, 1.0, 0.0]
    monkeypatch.setattr(AutoModel, "_talkers", lambda self, recording, counted, windows: shares)
    assert auto()(noise(), RATE).model.startswith("conv_tasnet")
    shares[:] = [0.9, 0.1, 0.0]
    assert auto()(noise(), RATE).model == "unchanged"


@pytest.mark.parametrize(
    ("windows", "one"),
    [
        ([[0.9, 0.1, 0.0]], True),
        ([[0.3, 0.6, 0.1]], False),
        ([[0.9, 0.1, 0.0]] * 9 + [[0.0, 0.9, 0.1]], True),
        ([[0.9, 0.1, 0.0]] * 7 + [[0.0, 0.9, 0.1]] * 3, False),
    ],
)
def test_who_is_alone_by_one_microphone(windows, one):
    assert alone(torch.tensor(windows), 0.35) == one


def test_who_is_alone_by_two_voices_of_an_array():
    likely, unlikely = torch.tensor([[0.2, 0.7, 0.1]]), torch.tensor([[0.01, 0.9, 0.09]])
    weak, strong = (torch.stack([torch.ones(9), torch.full((9,), level)]) for level in (0.5, 0.9))
    assert alone(likely, 0.1, weak)
    assert alone(likely, 0.1, weak.flip(0))
    assert not alone(likely, 0.1, strong)
    assert not alone(unlikely, 0.1, weak)
    assert not alone(likely, 0.1, weak[:1])
    assert not alone(None, 0.0, weak)


@pytest.mark.parametrize("microphones", [1, 2])
def test_one_who_talks_alone_stays_as_recorded_whatever_scores_say(auto, told, monkeypatch, microphones):
    told.update({1: -10.0, 2: 25.0, 3: 25.0})
    monkeypatch.setattr(AutoModel, "_windows", lambda self, recording: torch.tensor([[0.9, 0.1, 0.0]]))
    recording = noise(2.0)
    if microphones > 1:  # one source in a room
        recording = torch.cat([recording, 0.5 * recording.roll(3, 1) + 0.001 * noise(2.0, seed=1)])
    found = auto()(recording, RATE)
    assert [each.model for each in found.candidates] == [UNCHANGED]
    assert torch.equal(found.sources, recording[:1])
    everything = auto().tried(Recording.of(recording, RATE), everything=True)[1]
    assert everything[0].model == UNCHANGED
    assert len(everything) > 3


def test_a_known_number_of_talkers_is_kept_to(auto, told):
    told.update({1: 20.0, 2: 5.0, 3: 20.0})
    found = auto(sources=2)(noise(), RATE)
    assert {each.model for each in found.candidates} == {"conv_tasnet.two", "conv_tasnet.other"}
    assert len(found.sources) == 2


@pytest.mark.parametrize(
    ("microphones", "message"), [(1, "No network for one microphone"), (4, "5 sources were asked for")]
)
def test_more_talkers_than_anything_can_separate(auto, told, microphones, message):
    with pytest.raises(InputError, match=message):
        auto(sources=5)(noise(2.0, channels=microphones), RATE)


def test_several_microphones_are_also_separated_blindly(auto, told):
    told[2] = 5.0
    found = auto(sources=2)(noise(2.0, channels=2), RATE)
    assert {each.model for each in found.candidates} == {
        *select.ARRAY, "conv_tasnet.two", "conv_tasnet.other",
    }  # fmt: skip


@pytest.mark.parametrize(("microphones", "counted"), [(4, 1), (4, 2), (5, 4)])
def test_many_microphones_count_and_nothing_is_done_twice(auto, told, monkeypatch, microphones, counted):
    told[2] = 5.0
    monkeypatch.setattr(BlindSeparator, "_count", lambda *_: counted)
    found = auto()(noise(2.0, channels=microphones), RATE)
    tried = [(each.model, each.sources) for each in found.candidates]
    assert len(tried) == len(set(tried))
    assert {(name, count) for name in select.ARRAY for count in (2, 3)} <= set(tried)
    assert (select.ARRAY[0], counted) in tried


@pytest.mark.parametrize(
    ("microphones", "counted", "likeliest"), [(3, 1, 1), (7, 1, 1), (7, 2, 2), (7, 3, 3), (7, 5, 3)]
)
def test_what_many_microphones_count_is_believed_with_some_doubt(auto, microphones, counted, likeliest):
    recording = Recording.of(noise(1.0, channels=microphones), RATE)
    found = np.array(auto()._talkers(recording, counted))
    assert found.argmax() + 1 == likeliest
    assert found.sum() == pytest.approx(1)
    assert (found >= select.DOUBT / 3).all()
    np.testing.assert_allclose(auto()._talkers(recording), 1 / 3)  # nobody counts here else


@pytest.fixture
def lengths(monkeypatch):
    """Seconds of what was separated."""
    asked = []
    original = hub.Model.__call__

    def call(self, source, *arguments, **options):
        asked.append(Recording.of(source).seconds)
        return original(self, source, *arguments, **options)

    monkeypatch.setattr(hub.Model, "__call__", call)
    return asked


@pytest.mark.parametrize(("seconds", "excerpt"), [(1.5, 1.5), (5.0, 2.0), (12.0, 2.4), (42.0, 8.0)])
def test_one_microphone_is_decided_by_an_excerpt(auto, told, likely, lengths, seconds, excerpt):
    told.update({2: 5.0})
    found = auto()(noise(seconds), RATE)
    assert found.sources.shape == (2, round(seconds * RATE))
    assert bool(found.scores) == (excerpt == seconds), "what was tried as a whole is scored already"
    again = [] if excerpt == seconds else [seconds]
    assert lengths == pytest.approx([excerpt] * 3 + again)


def test_a_long_recording_of_several_microphones_is_decided_by_an_excerpt(auto, told, lengths, monkeypatch):
    monkeypatch.setattr(select, "WHOLE_SECONDS", 1.0)
    monkeypatch.setattr(select, "TRIAL_SECONDS", 0.5)
    monkeypatch.setattr(select, "ARRAY", ("ica",))
    monkeypatch.setattr(hub.Model, "_run", lambda self, recording, *_: recording.samples[:1].repeat(2, 1))
    found = auto(sources=2)(noise(3.0, channels=2), RATE)
    assert found.sources.shape == (2, 3 * RATE)
    assert sorted(lengths) == [0.5] * 3 + [3.0]


def test_what_cannot_is_told_and_the_others_go_on(auto, told, monkeypatch):
    def refuse(self, *arguments, **options):
        raise InputError("Not today.")

    original = select.AutoModel.as_tried
    monkeypatch.setattr(
        select.AutoModel,
        "as_tried",
        lambda self, each: refuse if each.model == "conv_tasnet.two" else original(self, each),
    )
    found = auto()(noise(), RATE)
    assert any("conv_tasnet.two could not: Not today." in text for text in found.warnings)
    assert found.candidates[-1].error == "Not today."
    monkeypatch.setattr(select.AutoModel, "as_tried", lambda self, each: refuse)
    with pytest.raises(InputError, match=r"Not today\."):
        auto()(noise(), RATE)


def test_very_short_recordings_and_named_models_are_not_tried(auto, told, monkeypatch):
    monkeypatch.setattr(select, "DEFAULT_SINGLE", {2: "conv_tasnet.two"})
    assert not hasattr(auto()(noise(0.1), RATE), "candidates")
    assert not isinstance(auto("conv_tasnet.two"), AutoModel)


def test_the_same_recording_gives_the_same(auto):
    first, again = (auto()(noise(), RATE) for _ in range(2))
    assert first.model == again.model
    assert torch.equal(first.sources, again.sources)
    assert np.isfinite([each.value_db for each in first.candidates]).all()


# By rule, where nothing scores.


@pytest.fixture
def rule(package, monkeypatch):
    """Networks for two and for three talkers, and neither a scorer nor a network that counts."""
    package(two={}, three={"sources": 3})
    monkeypatch.setattr(select, "DEFAULT_SINGLE", {2: "conv_tasnet.two", 3: "conv_tasnet.three"})
    return load


def test_one_microphone_and_its_number_of_talkers(rule):
    for talkers in (2, 3):
        result = rule(device="cpu", sources=talkers)(noise(), RATE)
        assert result.model == select.DEFAULT_SINGLE[talkers]
        assert result.sources.shape == (talkers, RATE)
        assert torch.equal(rule(result.model, "cpu")(noise(), RATE).sources, result.sources)
        assert result.warnings == []
    assert choose_model(2) == choose_model(2, 2) == select.DEFAULT_MULTICHANNEL
    assert choose_model(2, 3) == "conv_tasnet.three", "three talkers are too many for two microphones"
    assert choose_model(1, 1) == UNCHANGED


@pytest.mark.parametrize("talkers", [1, 2, 3])
def test_talkers_of_one_microphone_are_counted(rule, counted, talkers):
    counted(talkers)
    result = rule(device="cpu")(noise(), RATE)
    assert result.model == ["", UNCHANGED, "conv_tasnet.two", "conv_tasnet.three"][talkers]
    assert result.sources.shape == (talkers, RATE)
    assert result.warnings[0].startswith(f"{talkers} talker")
    if talkers == 1:
        assert torch.equal(result.sources, noise())


def test_talkers_are_counted_once_for_all_of_a_recording(rule, counted):
    counted(3)
    model, tried = rule(device="cpu").decided(Recording.of(noise(), RATE))
    assert (model.name, model.options, tried) == ("conv_tasnet.three", {"sources": 3}, [])
    counted(1)
    piece = model(noise(), RATE)
    assert (piece.model, len(piece.sources)) == ("conv_tasnet.three", 3)
    assert piece.warnings[0].startswith("3 talkers were counted, ")


def test_talkers_are_not_counted_where_they_are_known_or_microphones_many(rule, counted):
    counted(3)
    several, one = Recording.of(noise(channels=2), RATE), Recording.of(noise(), RATE)
    assert rule(device="cpu").by_rule(several).options == {}
    assert rule(device="cpu", sources=2).by_rule(one).options == {"sources": 2}


def test_no_network_for_so_many_talkers(rule, package):
    with pytest.raises(InputError, match=r"No network for 4 talkers.*only for 2 or 3"):
        rule(device="cpu", sources=4)(noise(), RATE)
    package()
    with pytest.raises(InputError, match=r"No network for one microphone is installed.*nmf"):
        rule(device="cpu")(noise(), RATE)


def test_a_mono_recording_in_a_stereo_file(rule, tmp_path):
    write(tmp_path / "stereo.wav", noise().repeat(2, 1), RATE)
    write(tmp_path / "two.wav", noise(channels=2), RATE)
    stereo, two = (Recording.open(tmp_path / f"{name}.wav") for name in ("stereo", "two"))
    auto = rule(device="cpu", sources=2)
    assert auto(stereo).model == "conv_tasnet.two"
    assert (auto.piece_seconds(stereo), auto.piece_seconds(two)) == (NETWORK_SECONDS, None)


def test_wrong_options_are_said_before_any_work():
    for wrong in ({"iteration": 3}, {"dereverb": "dry"}, {"device": "abacus"}):
        with pytest.raises(UsageError):
            load(**wrong)
    assert load(dereverb="joint").name == hub.JOINT_MODEL
