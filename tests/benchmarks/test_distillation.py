"""What the table of students says of its claim follows from the figures."""

import numpy as np
import pytest

from benchmarks.kit.people import Person
from benchmarks.personal import _distilled as distillation

SIZES = ("2x32", "2x64", "2x1024")
TEACHERS = ("Conv-TasNet", "3x1024")
SPEAKERS = "abcdefghij"
MACS = {"2x32": 1.0, "2x64": 2.0, "2x1024": 132.0}


def rows(before, gain, teacher=9.0, noise=0.1):
    """Of every speaker: students as they are, and adapted; all figures in dB, equal at each SNR."""
    rng = np.random.default_rng(0)
    found = []
    for number, speaker in enumerate(SPEAKERS):
        place = rng.normal()
        for name in TEACHERS:
            found.append({"speaker": speaker, "network": name, "teacher": "", "db": [teacher + place] * 4})
        for size in SIZES:
            level = before[size] + place
            found.append({"speaker": speaker, "network": size, "teacher": "", "db": [level] * 4})
            for name in TEACHERS:
                after = level + gain[size] + noise * (-1) ** number
                found.append({"speaker": speaker, "network": size, "teacher": name, "db": [after] * 4})
    return found


BEFORE = {"2x32": 4.0, "2x64": 5.0, "2x1024": 7.0}


def test_quarters_have_their_snr_and_one_noise():
    rng = np.random.default_rng(0)
    voice, noise = rng.normal(size=4001), rng.normal(size=900)
    nothing = np.zeros(0)
    person = Person({}, nothing, nothing, voice, np.concatenate([noise, noise]))
    found = person.recorded((-5.0, 0.0, 5.0, 10.0))
    assert [len(each) for each in found] == [1001, 1000, 1000, 1000]
    said = np.array_split(voice, 4)
    sounds = [each - own for each, own in zip(found, said, strict=True)]
    snrs = [10 * np.log10(np.sum(own**2) / np.sum(sound**2)) for own, sound in zip(said, sounds, strict=True)]
    assert snrs == pytest.approx([-5.0, 0.0, 5.0, 10.0], abs=1e-4)
    going_on = np.concatenate([sound / np.linalg.norm(sound) for sound in sounds])
    expected = np.array_split(np.resize(noise, 4001), 4)
    assert going_on == pytest.approx(
        np.concatenate([sound / np.linalg.norm(sound) for sound in expected]), abs=1e-5
    )


@pytest.mark.parametrize(
    ("gain", "improves", "small", "reaches"),
    [
        ({"2x32": 4.0, "2x64": 3.0, "2x1024": 1.0}, "confirmed", "confirmed", "confirmed"),
        ({"2x32": 3.0, "2x64": 1.0, "2x1024": 0.5}, "confirmed", "confirmed", "refuted"),
        ({"2x32": 1.0, "2x64": 3.0, "2x1024": 4.0}, "confirmed", "refuted", "confirmed"),
        ({"2x32": 4.0, "2x64": 3.0, "2x1024": -1.0}, "refuted", "confirmed", "confirmed"),
    ],
)
def test_the_claim_follows_from_the_figures(gain, improves, small, reaches):
    found = distillation.claim(rows(BEFORE, gain), SIZES, TEACHERS, MACS)
    assert (found["improves"][0], found["small"][0], found["reaches"][0]) == (improves, small, reaches)
    assert found["ratio"] == 66
    said = distillation.paragraph(found, len(SPEAKERS))
    whole = "confirmed" if {improves, small, reaches} == {"confirmed"} else "refuted"
    assert f"The claim as a whole: {whole}." in said


def test_what_intervals_do_not_tell_stays_open():
    found = distillation.claim(rows(BEFORE, dict.fromkeys(SIZES, 0.0)), SIZES, TEACHERS, MACS)
    assert found["improves"][0] == found["small"][0] == "neither confirmed nor refuted"
    assert "not surely: 2x32 by" in distillation.paragraph(found, len(SPEAKERS))


def test_four_speakers_confirm_nothing():
    assert distillation.judged([1.0] * 4)[0] == "neither confirmed nor refuted"
    assert distillation.judged([1.0] * 5)[0] == "confirmed"


def test_what_was_not_adapted_confirms_nothing():
    gain = {"2x32": 4.0, "2x64": 3.0, "2x1024": 1.0}
    some = [row for row in rows(BEFORE, gain) if not (row["network"] == "2x1024" and row["teacher"])]
    found = distillation.claim(some, SIZES, TEACHERS, MACS)
    assert found["improves"][0] == "neither confirmed nor refuted"
    assert found["missing"] == ["2x1024 by Conv-TasNet", "2x1024 by 3x1024"]
    assert found["reaches"][0] == "confirmed"


def test_a_student_with_fewer_speakers_is_compared_with_itself():
    gain = {"2x32": 4.0, "2x64": 3.0, "2x1024": 1.0}
    some = [
        row
        for row in rows(BEFORE, gain, noise=0.0)
        if not (row["network"] == "2x1024" and row["teacher"] and row["speaker"] > "f")
    ]
    found = distillation.claim(some, SIZES, TEACHERS, MACS)
    word, numbers = found["improves"][1]["2x1024 by 3x1024"]
    assert (word, numbers) == ("confirmed", pytest.approx((1.0, 1.0, 1.0)))
    assert found["small"][1]["3x1024"][1][0] == pytest.approx(
        np.mean([-1.0] * 4 + [-0.5714286] * 6), abs=0.01
    )


def test_gains_are_told_apart_by_who_is_better():
    gain = {"2x32": 4.0, "2x64": 3.0, "2x1024": -1.0}
    found = distillation.claim(rows(BEFORE, gain, teacher=6.0, noise=0.0), SIZES, TEACHERS, MACS)
    assert [each[0] for each in found["by_teacher"]] == pytest.approx([3.5, -1.0])


def test_rows_of_other_weights_or_steps_do_not_count():
    about = {"split": "test", "speaker": "a", "network": "2x64", "db": [0.0] * 4}
    ours = about | {"sha256": "1", "teacher": "3x1024", "teacher_sha256": "2", "steps": 100}
    trivial = {"split": "test", "speaker": "a", "network": "noisy", "db": [0.0] * 4}
    others = [
        ours | each for each in ({"sha256": "3"}, {"teacher_sha256": "4"}, {"steps": 50}, {"split": "dev"})
    ]
    found = distillation.collected([ours, trivial, *others], {"2x64": "1", "3x1024": "2"}, "test", 100)
    assert found == [ours, trivial]
