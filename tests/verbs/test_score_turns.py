"""``unbabble score --turns``: rates of each recording and of all, what goes together, what is refused."""

import json

import pytest

from unbabble import cli

TRUE = """SPEAKER one 1 0 4 <NA> <NA> anna <NA> <NA>
SPEAKER one 1 4 4 <NA> <NA> ben <NA> <NA>
SPEAKER two 1 0 2 <NA> <NA> anna <NA> <NA>
"""
GIVEN = """SPEAKER one 1 0 5 <NA> <NA> a <NA> <NA>
SPEAKER one 1 5 3 <NA> <NA> b <NA> <NA>
"""


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run ``unbabble score --json s.json`` beside turns of two recordings: exit code, its content, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "true.rttm").write_text(TRUE)
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "one.rttm").write_text(GIVEN)
    (tmp_path / "given" / "two.rttm").write_text("")

    def run(*arguments):
        (tmp_path / "s.json").unlink(missing_ok=True)
        code = cli.run(["score", *map(str, arguments), "--json", "s.json"])
        report = json.loads((tmp_path / "s.json").read_text()) if (tmp_path / "s.json").exists() else {}
        return code, report, *capsys.readouterr()

    return run


def test_rates_of_each_recording_and_of_all(call):
    code, report, out, err = call("--turns", "given", "--references", "true.rttm")
    assert code == 0
    one, two = (file["details"] for file in report["files"])
    assert (one["der"], one["confusion"], one["jer"]) == (0.125, 1.0, pytest.approx((1 / 5 + 1 / 4) / 2))
    assert (one["talkers"], one["talkers_given"]) == (2, 2)
    assert one["speakers"]["anna"]["speaker"] == "a"
    assert (two["der"], two["missed"], two["talkers_given"]) == (1.0, 2.0, 0)
    total = report["total"]
    assert total["der"] == pytest.approx(3 / 10), "of all seconds together, not the mean of recordings"
    assert total["low"] <= total["der"] <= total["high"]
    assert total["talkers_right"] == 1
    assert "30.0 %" in out
    assert "right in 1 of 2" in out
    assert "Nothing is left out" in err


def test_a_collar_and_what_is_scored(call, tmp_path):
    _, report, _, err = call("--turns", "given", "--references", "true.rttm", "--collar", "0.5")
    assert report["total"]["speech"] == pytest.approx(7.0)
    assert report["total"]["confusion"] == pytest.approx(0.5)
    assert "0.5 s on either side" in err
    (tmp_path / "some.uem").write_text("one 1 0 4.5\ntwo 1 0 1\n")
    _, report, _, _ = call("--turns", "given", "--references", "true.rttm", "--uem", "some.uem")
    assert (report["total"]["speech"], report["total"]["confusion"]) == (5.5, 0.5)
    (tmp_path / "some.uem").write_text("one 1 0 4.5\n")
    code, _, _, err = call("--turns", "given", "--references", "true.rttm", "--uem", "some.uem")
    assert code == 2
    assert "does not say what is scored of 'two'" in err


@pytest.mark.parametrize(("stretch", "collar"), [("100 200", 0), ("1 2", 1)])
def test_speech_that_is_left_out_as_a_whole_is_no_success_without_a_word(call, tmp_path, stretch, collar):
    (tmp_path / "some.uem").write_text(f"one 1 0 8\ntwo 1 {stretch}\n")
    options = ("--uem", "some.uem", "--collar", collar)
    _, report, _, err = call("--turns", "given", "--references", "true.rttm", *options)
    assert [bool(file["warnings"]) for file in report["files"]] == [False, True]
    assert "two: None of its speech is scored" in err


def test_recordings_without_a_partner_are_named(call, tmp_path):
    (tmp_path / "given" / "two.rttm").unlink()
    (tmp_path / "given" / "three.rttm").write_text("SPEAKER three 1 0 2 <NA> <NA> x\n")
    code, report, _, err = call("--turns", "given", "--references", "true.rttm")
    assert code == 1
    assert "There are no turns of 'two'" in err
    assert "not scored: three." in err
    assert report["total"]["der"] == 0.125
    code, _, _, err = call("--turns", "given/three.rttm", "--references", "true.rttm")
    assert code == 2
    assert "'one'" in err
    assert "'three'" in err


def test_turns_that_last_no_time_are_nobody_s(call, tmp_path):
    for name in ("true.rttm", "given/one.rttm"):
        with (tmp_path / name).open("a") as file:
            file.write("SPEAKER one 1 2 0 <NA> <NA> ghost <NA> <NA>\n")
    _, report, _, _ = call("--turns", "given", "--references", "true.rttm", "--collar", "0.25")
    (one, _) = [each["details"] for each in report["files"]]
    assert (one["talkers"], one["talkers_given"]) == (2, 2)
    assert one["speech"] == 7.0, (
        "a quarter of a second at each end and at each side of the change, none at 2 s"
    )


def test_turns_of_one_recording_in_two_files_are_refused(call, tmp_path):
    (tmp_path / "given" / "again.rttm").write_text(GIVEN)
    code, _, _, err = call("--turns", "given", "--references", "true.rttm")
    assert code == 2
    assert "Turns of 'one' stand in 'given/again.rttm' and in 'given/one.rttm': which count?" in err


def test_a_bad_row_is_named_with_its_file(call, tmp_path):
    (tmp_path / "bad.rttm").write_text("SPEAKER one 1 0 x <NA> <NA> anna\n")
    code, _, _, err = call("--turns", "bad.rttm", "--references", "true.rttm")
    assert code == 1
    assert "'bad.rttm' has a row that lasts 'x' in line 1" in err
    code, _, _, err = call("--turns", "none.rttm", "--references", "true.rttm")
    assert code == 1
    assert "There is no file 'none.rttm'" in err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--turns", "given"], "true turns with --references"),
        (["--turns", "given", "--references", "true.rttm", "--metrics", "stoi"], "--metrics"),
        (["--turns", "given", "--references", "true.rttm", "--phones"], "--phones is for --transcripts"),
        (["--turns", "given", "--references", "true.rttm", "--transcripts", "given"], "one after the other"),
        (["--turns", "given", "--references", "true.rttm", "--collar", "-1"], "collar"),
        (["--transcripts", "given", "--references", "true.rttm", "--collar", "1"], "--collar is for --turns"),
        (["a.wav", "--turns", "given", "--references", "true.rttm"], "a.wav"),
    ],
)
def test_options_that_would_have_no_effect(call, arguments, reason):
    code, _, _, err = call(*arguments)
    assert code == 2
    assert reason in err


@pytest.mark.parametrize("read", ["true.rttm", "given/one.rttm", "some.uem"])
def test_scores_never_replace_what_they_are_of(call, tmp_path, read):
    (tmp_path / "some.uem").write_text("one 1 0 4.5\ntwo 1 0 1\n")
    before = (tmp_path / read).read_text()
    command = ["score", "--turns", "given", "--references", "true.rttm", "--uem", "some.uem", "--json", read]
    assert cli.run(command) == 2
    assert (tmp_path / read).read_text() == before
