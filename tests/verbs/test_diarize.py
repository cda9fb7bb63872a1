"""``unbabble diarize``: the files, numbers of talkers, true turns, what is refused; and the demo recording."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import unbabble
from unbabble import cli
from unbabble.base.errors import InputError, OutputError, UsageError
from unbabble.base.weights import packaged
from unbabble.text import rttm

RATE = 16000
DEMO = Path(unbabble.__file__).parent / "demo"
pytestmark = pytest.mark.skipif("xvector.8k" not in packaged(), reason="no packaged embedder")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two people of the demo recording by turns, and the true turns."""
    voices = [soundfile.read(DEMO / f"reference{number}.flac") for number in (1, 2)]
    rate = voices[0][1]
    parts = [samples.reshape(len(samples), -1)[:, 0] for samples, _ in voices]
    parts = [0.05 * part / part.std() for part in parts]
    pause = np.zeros(rate // 2)
    samples = np.concatenate([parts[0], pause, parts[1], pause, parts[0], pause])
    soundfile.write(tmp_path / "talk.wav", samples, rate)
    edges = np.cumsum([0, *map(len, (parts[0], pause, parts[1], pause, parts[0]))]) / rate
    turns = [(edges[0], edges[1], "anna"), (edges[2], edges[3], "ben"), (edges[4], edges[5], "anna")]
    rows = [
        f"SPEAKER talk 1 {start} {end - start} <NA> <NA> {name} <NA> <NA>\n" for start, end, name in turns
    ]
    (tmp_path / "true.rttm").write_text("".join(rows))
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_turns_voices_and_how_many_are_wrong(here, capsys):
    arguments = ["diarize", "talk.wav", "--talkers", "2", "--reference", "true.rttm", "--model", "xvector.8k"]
    assert cli.run(arguments) == 0
    folder = here / "turns" / "talk"
    names = {"talk.rttm", "talk.json", "speaker1.wav", "speaker2.wav", "unbabble.json"}
    assert {path.name for path in folder.iterdir()} == names
    turns = rttm.read((folder / "talk.rttm").read_text())["talk"]
    table = json.loads((folder / "talk.json").read_text())
    assert [turn.speaker for turn in turns] == [turn["speaker"] for turn in table["turns"]]
    assert all(0.5 < turn.score <= 1 for turn in turns)
    assert list(table["speakers"]) == ["speaker1", "speaker2"]
    assert table["speakers"]["speaker1"] > table["speakers"]["speaker2"]
    assert table["errors"]["confusion"] == pytest.approx(0, abs=0.5)
    assert f"DER {100 * table['errors']['rate']:.1f} %" in capsys.readouterr().err
    assert soundfile.info(folder / "speaker2.wav").frames == soundfile.info("talk.wav").frames
    assert cli.run(arguments) == 0
    assert "skipped" in capsys.readouterr().err


def test_only_turns_and_other_formats(here):
    assert unbabble.diarize("talk.wav", no_voices=True, out="a", quiet=True).exit_code == 0
    assert not list((here / "a" / "talk").glob("*.wav"))
    report = unbabble.diarize("talk.wav", talkers=1, format="flac", out="b", quiet=True)
    assert [Path(each).name for each in report.files[0].outputs] == [
        "talk.rttm",
        "talk.json",
        "speaker1.flac",
    ]
    assert {turn.score for turn in rttm.read((here / "b" / "talk" / "talk.rttm").read_text())["talk"]} == {
        None
    }
    ranged = unbabble.diarize("talk.wav", talkers="2-3", no_voices=True, out="c", quiet=True)
    assert ranged.files[0].details["sources"] in (2, 3)


def test_who_is_enrolled_has_a_name(here):
    samples, rate = soundfile.read(DEMO / "reference1.flac")
    soundfile.write(here / "anna.wav", samples, rate)
    report = unbabble.diarize("talk.wav", talkers=2, enroll="anna.wav", model="xvector.8k", quiet=True)
    assert report.exit_code == 0
    assert next(iter(report.files[0].details["speakers"])) == "anna"
    assert (here / "turns" / "talk" / "anna.wav").exists()
    with pytest.raises(UsageError, match="Two recordings of --enroll are called 'anna'"):
        unbabble.diarize("talk.wav", enroll=["anna.wav", "./anna.wav"], quiet=True)
    with pytest.raises(InputError, match="absent"):
        unbabble.diarize("talk.wav", enroll="absent.wav", quiet=True)


def test_all_names_behind_enroll_are_those_of_people(here, capsys):
    for number, name in ((1, "anna.wav"), (2, "Ben Berg.wav")):
        soundfile.write(here / name, *soundfile.read(DEMO / f"reference{number}.flac"))
    common = ["--talkers", "2", "--model", "xvector.8k", "--no-voices"]
    assert cli.run(["diarize", "talk.wav", *common, "--enroll", "anna.wav", "Ben Berg.wav"]) == 0
    assert [path.name for path in (here / "turns").iterdir()] == ["talk"]
    turns = rttm.read((here / "turns" / "talk" / "talk.rttm").read_text())["talk"]
    assert {turn.speaker for turn in turns} == {"anna", "Ben_Berg"}
    assert cli.run(["diarize", "--enroll", "anna.wav", "talk.wav"]) == 2
    assert "Name the recordings before --enroll" in capsys.readouterr().err


def test_people_whom_files_could_not_tell_apart_are_refused(here):
    for number, name in ((1, "Anna Berg.wav"), (2, "anna_berg.wav"), (1, "again.wav")):
        soundfile.write(here / name, *soundfile.read(DEMO / f"reference{number}.flac"))
    with pytest.raises(UsageError, match="Two recordings of --enroll are called 'anna_berg'"):
        unbabble.diarize("talk.wav", enroll=["Anna Berg.wav", "anna_berg.wav"], model="xvector.8k")
    with pytest.raises(
        UsageError, match=r"'Anna Berg\.wav' and 'again\.wav', which --enroll names, are one recording"
    ):
        unbabble.diarize("talk.wav", enroll=["Anna Berg.wav", "again.wav"], model="xvector.8k")


def test_an_enrollment_is_not_replaced_by_the_voice_of_that_name(here):
    soundfile.write(here / "anna.wav", *soundfile.read(DEMO / "reference1.flac"))
    options = {"talkers": 2, "model": "xvector.8k", "quiet": True}
    unbabble.diarize("talk.wav", enroll="anna.wav", **options)
    voice = here / "turns" / "talk" / "anna.wav"
    before = voice.read_bytes()
    with pytest.raises(OutputError, match=r"'turns/talk/anna\.wav' cannot lie there"):
        unbabble.diarize("talk.wav", enroll="turns/talk/anna.wav", overwrite=True, **options)
    assert voice.read_bytes() == before
    with pytest.raises(OutputError, match=r"'turns/talk/talk\.json' cannot lie there"):
        unbabble.diarize("talk.wav", report="turns/talk/talk.json", **options)
    assert unbabble.diarize("talk.wav", enroll="turns/talk/anna.wav", out="again", **options).exit_code == 0


def test_enrollments_that_tell_nobody_are_refused_by_their_names(here):
    soundfile.write(here / "hiss.wav", 0.1 * np.random.default_rng(0).standard_normal(2 * RATE), RATE)
    soundfile.write(here / "blink.wav", np.ones(100), RATE)
    for file, sentence in (
        ("silence.wav", r"^'silence\.wav': The recording is silent\.$"),
        ("blink.wav", r"^'blink\.wav': The recording is 0\.00625 s long"),
        ("hiss.wav", r"^Nobody seems to speak in 'hiss\.wav', which --enroll names\.$"),
    ):
        with pytest.raises(InputError, match=sentence):
            unbabble.diarize("talk.wav", enroll=file, model="xvector.8k", quiet=True)
    (here / "Speaker2.wav").write_bytes((here / "talk.wav").read_bytes())
    with pytest.raises(UsageError, match=r"called speaker1, speaker2 \.\.\.: give 'Speaker2\.wav' the name"):
        unbabble.diarize("talk.wav", enroll="Speaker2.wav", model="xvector.8k", quiet=True)
    assert not (here / "turns").exists()


def test_where_nobody_speaks_there_are_no_turns(here, capsys):
    assert cli.run(["diarize", "silence.wav"]) == 0
    assert "silence.wav: Nobody speaks in the recording." in capsys.readouterr().err
    folder = here / "turns" / "silence"
    assert {path.name for path in folder.iterdir()} == {"silence.rttm", "silence.json", "unbabble.json"}
    assert (folder / "silence.rttm").read_text() == ""
    table = json.loads((folder / "silence.json").read_text())
    assert (table["turns"], table["speakers"], table["sources"]) == ([], {}, 0)
    (here / "true.rttm").write_text("SPEAKER silence 1 0 0.5 <NA> <NA> anna <NA> <NA>\n")
    scored = unbabble.score(turns=folder, references="true.rttm", quiet=True)
    assert scored.files[0].details["missed"] == 0.5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"talkers": 0}, "at least 1"),
        ({"talkers": "4-2"}, "goes up"),
        ({"talkers": "many"}, "a range as 2-4, or auto, not 'many'"),
        ({"talkers": "2-"}, "not '2-'"),
        ({"threshold": 1.5}, "between -1 and 1"),
        ({"model": "gru.2x32"}, "does not tell speakers apart"),
        ({"format": "mp4"}, "mp4"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(here, options, said):
    with pytest.raises(UsageError, match=said):
        unbabble.diarize("talk.wav", quiet=True, **options)
    assert not (here / "turns").exists()


def test_true_turns_are_those_of_the_part_that_is_read(here):
    whole = rttm.read((here / "true.rttm").read_text())["talk"]
    begin, end = whole[1].start, whole[1].end
    report = unbabble.diarize(
        "talk.wav", reference="true.rttm", start=begin, duration=end - begin, no_voices=True, quiet=True
    )
    errors = report.files[0].details["errors"]
    assert errors["speech"] == pytest.approx(end - begin, abs=0.01)
    assert (errors["confusion"], errors["missed"]) == pytest.approx((0, 0), abs=0.5)
    assert report.files[0].warnings == []


def test_true_turns_behind_the_end_are_reported(here):
    rows = (here / "true.rttm").read_text() + "SPEAKER talk 1 100 20 <NA> <NA> ben <NA> <NA>\n"
    (here / "long.rttm").write_text(rows)
    report = unbabble.diarize("talk.wav", reference="long.rttm", no_voices=True, quiet=True)
    assert any("true turns ends at 120.0 s" in warning for warning in report.files[0].warnings)
    assert report.files[0].details["errors"]["missed"] >= 20


def test_references_that_do_not_fit(here):
    (here / "none.rttm").write_text("")
    with pytest.raises(InputError, match=r"'none\.rttm' has no turns"):
        unbabble.diarize("talk.wav", reference="none.rttm", quiet=True)
    with pytest.raises(InputError, match=r"absent\.rttm"):
        unbabble.diarize("talk.wav", reference="absent.rttm", quiet=True)
    (here / "bad.rttm").write_text("SPEAKER talk 1 soon 2 <NA> <NA> anna <NA> <NA>\n")
    with pytest.raises(InputError, match=r"'bad\.rttm' has a row that begins at 'soon' in line 1"):
        unbabble.diarize("talk.wav", reference="bad.rttm", quiet=True)
    rows = [f"SPEAKER {name} 1 0 2 <NA> <NA> anna <NA> <NA>\n" for name in ("one", "two")]
    (here / "others.rttm").write_text("".join(rows))
    report = unbabble.diarize("talk.wav", reference="others.rttm", quiet=True)
    assert report.files[0].error == "'others.rttm' has no turns of 'talk'."


def test_true_turns_are_looked_for_by_the_name_that_turns_have(here):
    (here / "a talk.wav").write_bytes((here / "talk.wav").read_bytes())
    options = {"no_voices": True, "model": "xvector.8k", "quiet": True}
    rows = [f"SPEAKER {name} 1 0 2 <NA> <NA> anna <NA> <NA>\n" for name in ("a_talk", "two")]
    (here / "several.rttm").write_text("".join(rows))
    (file,) = unbabble.diarize("a talk.wav", reference="several.rttm", **options).files
    assert (file.outcome, file.details["errors"]["speech"], file.warnings) == ("done", 2.0, [])
    (file,) = unbabble.diarize("a talk.wav", reference="true.rttm", **options).files
    assert file.warnings == ["The true turns, all that 'true.rttm' has, are those of 'talk'."]


def test_simulated_conversations_are_scored_as_their_turns_call_them(here):
    for name in ("0000", "0001"):
        folder = here / "meetings" / name
        folder.mkdir(parents=True)
        (folder / "mixture.wav").write_bytes((here / "talk.wav").read_bytes())
        (folder / "metadata.json").write_text("{}")
        (folder / "turns.rttm").write_text((here / "true.rttm").read_text().replace("talk", name))
    options = {"model": "xvector.8k", "talkers": 2, "no_voices": True, "quiet": True}
    assert unbabble.diarize("meetings", **options).exit_code == 0
    scored = unbabble.score(turns="turns", references="meetings", quiet=True)
    assert [file.input for file in scored.files] == ["0000", "0001"]
    assert all(file.details["confusion"] < 0.5 for file in scored.files)


def test_no_rate_where_nobody_speaks_by_the_true_turns(here, capsys):
    (here / "early.rttm").write_text("SPEAKER talk 1 0 0.5 <NA> <NA> anna <NA> <NA>\n")
    arguments = ["diarize", "talk.wav", "--reference", "early.rttm", "--start", "1", "--model", "xvector.8k"]
    for outcome in ("done", "skipped"):
        assert cli.run([*arguments, "--no-voices"]) == 0
        said = capsys.readouterr().err
        assert outcome in said
        assert "nobody speaks in the true turns: no DER" in said
    assert json.loads((here / "turns" / "talk" / "talk.json").read_text())["errors"]["rate"] is None


def test_a_segmenter_is_a_file_and_decides(here, capsys):
    with np.load(Path(__file__).parents[1] / "fixtures" / "pyannote_segmentation.npz") as file:
        tensors = {
            name.removeprefix("tensor/"): torch.from_numpy(file[name].copy()).float()
            for name in file.files
            if "/" in name
        }
    options = {"no_voices": True, "model": "xvector.8k", "quiet": True}
    first = tensors["classifier.bias"].clone()
    for talkers, share in ((0, 0), (1, 1)):  # it says that nobody ever speaks, or that somebody does
        bias = first + 50 * torch.eye(7)[talkers]
        torch.save(tensors | {"classifier.bias": bias}, here / "pytorch_model.bin")
        report = unbabble.diarize("talk.wav", segmenter="pytorch_model.bin", out="a", **options)
        details = report.files[0].details
        assert details["speech_seconds"] == pytest.approx(share * details["audio_seconds"], abs=0.5)
    with pytest.raises(UsageError, match="tells speakers apart"):
        unbabble.diarize("talk.wav", segmenter="xvector.8k", out="b", **options)
    assert not (here / "b").exists()
