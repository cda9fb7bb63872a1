"""Items of networks that know people."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from unbabble.base.errors import InputError, UsageError
from unbabble.data.dynamic import DynamicMixing, Excerpt
from unbabble.data.speakers import (
    EnrolledMixing,
    EnrolledMixtures,
    LabelledMixing,
    LabelledMixtures,
    SpeakerGroups,
    SpeakerItems,
)

RATE = 8000
PITCHES = {"ann": 200, "bob": 500, "cat": 1100, "dan": 2300}


@pytest.fixture
def mixing(tmp_path):
    """Four speakers, a tone each; the pitch of ann rises from second to second."""
    for number, (speaker, pitch) in enumerate(PITCHES.items()):
        path = tmp_path / "speech" / speaker / "0.wav"
        path.parent.mkdir(parents=True)
        time = np.arange(10 * RATE) / RATE
        rise = 10 * np.floor(time) if speaker == "ann" else 0
        phase = 2 * np.pi * np.cumsum(pitch + rise + 0 * time) / RATE
        soundfile.write(path, 0.2 * np.sin(phase + number), RATE, subtype="PCM_16")
    rows = ["file,speaker,sex"]
    rows += [f"{name}/0.wav,{name},{sex}" for name, sex in zip(PITCHES, "FMFM", strict=True)]
    (tmp_path / "speech.csv").write_text("\n".join(rows))
    return DynamicMixing(tmp_path / "speech.csv", talkers=(1,), seconds=1.0, cache=tmp_path / "cache")


def pitch(samples: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * RATE / samples.shape[-1])


def speaker(samples: np.ndarray) -> str:
    return min(PITCHES, key=lambda name: abs(PITCHES[name] - pitch(samples)) - 90 * (name == "ann"))


def test_utterances_of_an_item_are_of_as_many_speakers(mixing):
    items = SpeakerItems(SpeakerGroups(mixing, utterances=3, speakers=3), 5)
    found = items[7].utterances
    assert found.shape == (3, 3, RATE)
    names = [[speaker(each) for each in row] for row in found]
    assert all(len(set(row)) == 1 for row in names)
    assert len({row[0] for row in names}) == 3
    assert np.array_equal(found, SpeakerItems(items.data, 5)[7].utterances)


def test_utterances_have_what_a_teacher_thinks_of_their_recordings(mixing, tmp_path):
    """Less the mean of all, of unit norm; whatever folder the teacher found them in."""
    vectors = np.arange(8.0).reshape(4, 2) ** 2
    names = [f"elsewhere/{name}/0.wav" for name in sorted(PITCHES)]
    np.savez(tmp_path / "teacher.npz", names=names, vectors=vectors)
    groups = SpeakerGroups(mixing, speakers=3, teacher=(tmp_path / "teacher.npz",))
    items = SpeakerItems(groups, 5)
    found, centred = items[7], vectors - vectors.mean(0)
    assert items.directions == pytest.approx(
        centred / np.linalg.norm(centred, axis=1, keepdims=True), abs=1e-6
    )
    for who, said, taught in zip(found.person, found.utterances, found.vectors, strict=True):
        assert speaker(said[0]) == sorted(PITCHES)[who]
        assert taught == pytest.approx(np.tile(centred[who] / np.linalg.norm(centred[who]), (2, 1)), abs=1e-6)
    assert np.array_equal(found.utterances, SpeakerItems(SpeakerGroups(mixing, speakers=3), 5)[7].utterances)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["ann/0.wav", "bob/0.wav", "cat/0.wav"], r"no vector of '.*dan.0.wav'\.$"),
        (["ann/0.wav", "bob/0.wav"], r"no vector of '.*cat.0.wav' and 1 other\.$"),
        (["ann/0.wav", "a/ann/0.wav", "bob/0.wav"], "which is which"),
    ],
)
def test_a_teacher_has_heard_all(mixing, tmp_path, names, words):
    np.savez(tmp_path / "teacher.npz", names=names, vectors=np.eye(len(names)))
    with pytest.raises(InputError, match=words):
        SpeakerItems(SpeakerGroups(mixing, speakers=4, teacher=(tmp_path / "teacher.npz",)))


def test_a_teacher_is_a_file_of_vectors(mixing, tmp_path):
    (tmp_path / "teacher.npz").write_text("no archive")
    with pytest.raises(InputError, match="holds no vectors"):
        SpeakerItems(SpeakerGroups(mixing, speakers=4, teacher=(tmp_path / "teacher.npz",)))
    for vectors in (np.eye(3), np.full((4, 2), np.nan), np.ones(4)):
        np.savez(tmp_path / "teacher.npz", names=[f"{name}/0.wav" for name in PITCHES], vectors=vectors)
        with pytest.raises(InputError, match="not a row of finite numbers"):
            SpeakerItems(SpeakerGroups(mixing, speakers=4, teacher=(tmp_path / "teacher.npz",)))
    np.savez(tmp_path / "teacher.npz", names=["ann/0.wav"], vectors=np.ones((1, 2)), speed=0.9)
    with pytest.raises(InputError, match="own speed"):
        SpeakerItems(SpeakerGroups(mixing, speakers=4, teacher=(tmp_path / "teacher.npz",)))


def test_a_teacher_has_heard_some_voices_at_other_speeds(mixing, tmp_path):
    """What it has not heard has no vector, and begins in the direction of who it is."""
    names = [f"{name}/0.wav" for name in sorted(PITCHES)]
    vectors = np.arange(8.0).reshape(4, 2) ** 2
    np.savez(tmp_path / "own.npz", names=names, vectors=vectors)
    np.savez(tmp_path / "fast.npz", names=names[1:2], vectors=[[3.0, -7.0]], speed=1.25)
    files = (tmp_path / "own.npz", tmp_path / "fast.npz")
    items = SpeakerItems(SpeakerGroups(mixing, speakers=4, voices=(1.0, 1.25), teacher=files), 5)
    assert items.people == len(items.directions) == 8
    quick = np.array([3.0, -7.0]) - vectors.mean(0)
    assert items.directions[3] == pytest.approx(quick / np.linalg.norm(quick), abs=1e-6)
    assert np.array_equal(np.delete(items.directions[1::2], 1, 0), np.delete(items.directions[::2], 1, 0))
    seen = set()
    for found in (items[index] for index in range(8)):
        for who, taught in zip(found.person.tolist(), found.vectors, strict=True):
            seen.add(who)
            assert np.allclose(taught, 0 if who in (1, 5, 7) else items.directions[who], atol=1e-6)
    assert seen == set(range(8))
    with pytest.raises(InputError, match=r"and another teacher have a vector each of '.*ann.0.wav'\.$"):
        SpeakerItems(SpeakerGroups(mixing, speakers=4, teacher=(*files, files[0])))
    np.savez(tmp_path / "fast.npz", names=names, vectors=np.ones((4, 3)), speed=1.25)
    with pytest.raises(InputError, match="different lengths"):
        SpeakerItems(SpeakerGroups(mixing, speakers=4, voices=(1.0, 1.25), teacher=files))


def test_narrow_utterances_have_the_lower_half_of_the_spectrum(mixing, tmp_path):
    """Dan's 2300 Hz are lost of 4000; the others' tones stay what they were."""
    whole = SpeakerItems(SpeakerGroups(mixing, speakers=4), 5)[7]
    narrow = SpeakerItems(SpeakerGroups(mixing, speakers=4, narrow_share=1.0), 5)[7]
    dan = sorted(PITCHES).index("dan")
    for who, before, after in zip(whole.person, whole.utterances, narrow.utterances, strict=True):
        kept = np.square(after).mean() / np.square(before).mean()
        assert kept == pytest.approx(0.0 if who == dan else 1.0, abs=0.01)


def test_speakers_are_drawn_as_often_as_they_say_something(mixing, tmp_path):
    """Ann has 16 utterances in a second table, the others one each: 4 to 1 by the square root."""
    more = tmp_path / "more.csv"
    more.write_text("file,speaker\n" + 16 * "speech/ann/0.wav,ann\n")
    mixing = replace(mixing, more_speech=(more,))
    counts = dict.fromkeys(PITCHES, 0)
    items = SpeakerItems(SpeakerGroups(replace(mixing, seconds=0.1), speakers=2, prolific=0.5), 0)
    assert items.people == 4
    for number in range(300):
        for who in items[number].person:
            counts[sorted(PITCHES)[who]] += 1
    # the first drawn is ann with 17**.5 / (17**.5 + 3), the second where the first is not
    first = 17**0.5 / (17**0.5 + 3)
    likely = first + (1 - first) * 17**0.5 / (17**0.5 + 2)
    assert counts["ann"] / 300 == pytest.approx(likely, abs=4 * (likely * (1 - likely) / 300) ** 0.5)
    assert min(counts.values()) > 0


def test_each_speaker_of_an_item_talks_at_one_speed(mixing):
    voices = (0.8, 1.25)
    items = SpeakerItems(SpeakerGroups(mixing, utterances=3, speakers=3, voices=voices), 0)
    heard = set()
    for index in range(8):
        found = items[index].utterances
        assert found.shape == (3, 3, RATE)
        for row in found:
            ratios = [
                [
                    (name, voice)
                    for name in ("bob", "cat", "dan")
                    for voice in voices
                    if close(each, name, voice)
                ]
                for each in row
            ]
            assert all(each == ratios[0] for each in ratios)
            heard.update(ratios[0])
    assert heard == {(name, voice) for name in ("bob", "cat", "dan") for voice in voices}


def test_who_talks_at_another_speed_is_another_person(mixing):
    items = SpeakerItems(SpeakerGroups(mixing, utterances=2, speakers=3, voices=(0.8, 1.25)), 0)
    assert items.people == 8
    seen = set()
    for index in range(12):
        item = items[index]
        for row, person in zip(item.utterances, item.person.tolist(), strict=True):
            name, voice = sorted(PITCHES)[person // 2], (0.8, 1.25)[person % 2]
            assert name == "ann" or all(close(each, name, voice) for each in row)
            seen.add(person)
    assert seen == set(range(8))


def test_another_speaker_of_the_item_leaks(mixing):
    groups = SpeakerGroups(mixing, utterances=3, speakers=2)
    plain = SpeakerItems(groups, 0)[3].utterances
    leaky = SpeakerItems(replace(groups, leak_share=1.0, leak_db=(6.0, 6.0)), 0)[3].utterances
    np.testing.assert_allclose(leaky, plain + 10 ** (-6 / 20) * plain[::-1], atol=1e-6)


def close(samples: np.ndarray, name: str, speed: float) -> bool:
    return abs(pitch(samples) - speed * PITCHES[name]) < 3


def test_utterances_of_a_speaker_do_not_overlap(mixing):
    items = SpeakerItems(SpeakerGroups(mixing, utterances=4, speakers=4), 0)
    for index in range(5):
        taken: list[Excerpt] = []
        rng = np.random.default_rng([0, index])
        for _ in range(4):
            taken += items.mixtures.drawn(rng, ["ann"], taken).excerpts
        taken.sort(key=lambda each: each.start)
        assert all(one.end <= other.start for one, other in pairwise(taken))


def test_an_enrollment_is_of_a_talker_and_of_something_else(mixing):
    data = EnrolledMixing(replace(mixing, talkers=(2,)), replace(mixing, seconds=1.5))
    mixtures = EnrolledMixtures(data, 1)
    heard = set()
    for index in range(12):
        item = mixtures[index]
        assert item.enrollment.shape == (RATE * 3 // 2,)
        assert item.sources.shape == (1, RATE)
        assert speaker(item.enrollment) == speaker(item.sources[0])
        heard.add(speaker(item.enrollment))
        if speaker(item.enrollment) == "ann":
            whole = np.abs(np.fft.rfft(item.sources[0]))  # of its pitches, none is in the enrollment
            assert abs(pitch(item.enrollment) - whole.argmax()) >= 5
    assert len(heard) > 2


def test_of_a_mixture_one_talker_and_then_the_other_is_enrolled(mixing):
    mixtures = EnrolledMixtures(EnrolledMixing(replace(mixing, talkers=(2,)), mixing), 1)
    first, second = mixtures[6], mixtures[7]
    np.testing.assert_array_equal(first.mixture, second.mixture)
    assert speaker(first.enrollment) != speaker(second.enrollment)
    np.testing.assert_allclose(first.sources + second.sources, first.mixture[None], atol=1e-5)


def test_a_voice_is_faster_in_mixture_and_enrollment_alike(mixing):
    enrolled = replace(mixing, seconds=1.5)
    slow, fast = (
        EnrolledMixtures(EnrolledMixing(replace(mixing, talkers=(2,)), enrolled, voices=(speed,)), 1)[4]
        for speed in (1.0, 1.2)
    )
    assert [each.shape for each in fast] == [each.shape for each in slow]
    assert pitch(fast.enrollment) == pytest.approx(1.2 * pitch(slow.enrollment), rel=0.02)
    assert pitch(fast.sources[0]) == pytest.approx(1.2 * pitch(slow.sources[0]), rel=0.02)
    spectrum = np.abs(np.fft.rfft(fast.mixture))
    there = round(pitch(fast.sources[0]) * len(fast.mixture) / RATE)
    assert spectrum[there - 3 : there + 4].max() > 0.2 * spectrum.max()


def test_somebody_absent_is_silent_in_the_mixture(mixing):
    data = EnrolledMixing(replace(mixing, talkers=(2,)), mixing, absent_share=0.999)
    item = EnrolledMixtures(data, 1)[0]
    assert not item.sources.any()
    spectrum = np.abs(np.fft.rfft(item.mixture))
    there = pitch(item.enrollment)
    assert spectrum[int(there) - 20 : int(there) + 20].max() < 0.2 * spectrum.max()


def test_labels(mixing, tmp_path):
    noise = tmp_path / "noise" / "a.wav"
    noise.parent.mkdir()
    soundfile.write(noise, 0.1 * np.random.default_rng(0).standard_normal(4 * RATE), RATE)
    noisy = replace(mixing, noise=noise.parent, noise_share=1.0, snr_db=(-10.0, 15.0))
    by_sex = LabelledMixtures(LabelledMixing(noisy, "sex"), 0)
    by_snr = LabelledMixtures(LabelledMixing(noisy, "snr", levels_db=(-5.0, 0.0, 5.0, 10.0)), 0)
    (tmp_path / "groups.csv").write_text("speaker,group\nann,2\nbob,0\ncat,1\ndan,2\n")
    by_group = LabelledMixtures(LabelledMixing(noisy, "group", groups=tmp_path / "groups.csv"), 0)
    for index in range(8):
        who = speaker(by_sex[index].sources[0])
        assert by_sex[index].label == {"ann": 0, "cat": 0, "bob": 1, "dan": 1}[who]
        assert by_group[index].label == {"ann": 2, "bob": 0, "cat": 1, "dan": 2}[who]
        item = by_snr[index]
        rest = item.mixture - item.sources[0]
        snr_db = 10 * np.log10(np.mean(item.sources**2) / np.mean(rest**2))
        assert item.label == np.clip(np.round((snr_db + 5) / 5), 0, 3)


def test_what_makes_no_sense(mixing, tmp_path):
    with pytest.raises(UsageError, match="two speakers"):
        SpeakerGroups(mixing, utterances=1)
    with pytest.raises(UsageError, match="above 0"):
        SpeakerGroups(mixing, voices=(1.0, 0.0))
    with pytest.raises(UsageError, match="one talks"):
        SpeakerGroups(replace(mixing, talkers=(2,)))
    with pytest.raises(InputError, match="9 speakers"):
        SpeakerItems(SpeakerGroups(mixing, speakers=9))
    with pytest.raises(UsageError, match="one talker enrolls"):
        EnrolledMixing(mixing, replace(mixing, talkers=(2,)))
    with pytest.raises(UsageError, match="sample rate"):
        EnrolledMixing(mixing, replace(mixing, sample_rate=16000))
    with pytest.raises(UsageError, match="absent_share"):
        EnrolledMixing(mixing, mixing, absent_share=1.0)
    with pytest.raises(UsageError, match="speeds"):
        EnrolledMixing(mixing, mixing, voices=(0.0,))
    with pytest.raises(UsageError, match="table"):
        LabelledMixing(mixing, "group")
    (tmp_path / "groups.csv").write_text("speaker,group\nann,2\n")
    with pytest.raises(InputError, match="'bob'"):
        LabelledMixtures(LabelledMixing(mixing, "group", groups=tmp_path / "groups.csv"))
