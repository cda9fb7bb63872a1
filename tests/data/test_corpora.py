from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from unbabble.base.errors import InputError
from unbabble.data import corpora, manifest


def write(path: Path, channels: int = 1, seconds: float = 0.1, level: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full((round(16000 * seconds), channels), level), 16000, subtype="FLOAT")
    return path


def test_table_finds_files_in_the_folder_of_its_name_and_beside_it(tmp_path: Path):
    write(tmp_path / "speech/a/1.wav", seconds=0.25)
    write(tmp_path / "2.wav")
    (tmp_path / "speech.csv").write_text(
        "file,split,speaker,text\na/1.wav,test,anna,HELLO\n2.wav,train,ben,\n"
    )
    anna, ben = corpora.speech(tmp_path / "speech.csv")
    assert (anna.speaker, anna.seconds, anna.text) == ("anna", 0.25, "HELLO")
    assert ben.path == tmp_path / "2.wav"
    assert [u.speaker for u in corpora.speech(tmp_path / "speech.csv", "train")] == ["ben"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("file,split\na.wav,test\n", "no column 'speaker'"),
        ("file,speaker\na.wav,anna\n", "no column 'split'"),
        ("file,speaker,split\na.wav,anna,train\n", "no split 'test', but train"),
        ("file,speaker,split\n", "no split 'test'"),
        ("file,speaker,split\na.wav,anna,test\n", "There is no file"),
        ("file,speaker,split,seconds\na.wav,anna,test,long\n", "the seconds 'long' of a.wav is not a number"),
    ],
)
def test_unusable_table_is_one_sentence(tmp_path: Path, content: str, sentence: str):
    (tmp_path / "speech.csv").write_text(content)
    with pytest.raises(InputError, match=sentence):
        corpora.speech(tmp_path / "speech.csv", "test")


def test_binary_table_is_one_sentence(tmp_path: Path):
    (tmp_path / "speech.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="cannot be read as a table"):
        corpora.speech(tmp_path / "speech.csv")


def test_librispeech_layout(tmp_path: Path):
    write(tmp_path / "84/121123/84-121123-0000.flac".replace(".flac", ".wav"))
    write(tmp_path / "174/50561/174-50561-0003.wav")
    (tmp_path / "84/121123/84-121123.trans.txt").write_text("84-121123-0000 GO DO YOU HEAR\n")
    found = {utterance.speaker: utterance for utterance in corpora.speech(tmp_path)}
    assert set(found) == {"84", "174"}
    assert found["84"].text == "GO DO YOU HEAR"
    assert found["84"].licence == "CC BY 4.0"


def test_plain_folder_has_a_speaker_per_subfolder(tmp_path: Path):
    for name in ("anna/1.wav", "anna/deep/2.wav", "carl.wav"):
        write(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a recording")
    assert [u.speaker for u in corpora.speech(tmp_path)] == ["anna", "anna", "carl"]
    with pytest.raises(InputError, match="has no splits"):
        corpora.speech(tmp_path, "test")


def test_a_text_beside_a_recording_is_what_is_said_in_it(tmp_path: Path):
    for name in ("anna/1.wav", "anna/2.wav", "carl.wav"):
        write(tmp_path / name)
    (tmp_path / "anna/1.txt").write_text("\ufeffGrüß Gott,\n Herr Wirt!\n", encoding="utf-8")
    (tmp_path / "anna/2.lab").write_text("what else")
    (tmp_path / "notes.txt").write_text("not a recording")
    assert [u.text for u in corpora.speech(tmp_path)] == ["Grüß Gott, Herr Wirt!", "what else", ""]
    (tmp_path / "carl.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"carl\.txt' cannot be read as text"):
        corpora.speech(tmp_path)


def test_a_text_may_lie_beside_a_recording_that_librispeech_named(tmp_path: Path):
    write(tmp_path / "121-121726-0000.wav")
    (tmp_path / "121-121726-0000.txt").write_text("GOOD MORNING")
    (found,) = corpora.speech(tmp_path)
    assert (found.speaker, found.text) == ("121", "GOOD MORNING")


def test_a_manifest_says_what_is_said(tmp_path: Path):
    write(tmp_path / "a.wav")
    entry = manifest.Entry("a", None, (tmp_path / "a.wav",), seconds=0.1, transcripts=("good morning",))
    manifest.write(tmp_path / "m.jsonl", [entry, replace(entry, id="b", transcripts=())])
    assert [u.text for u in corpora.speech(tmp_path / "m.jsonl")] == ["good morning", ""]


def test_common_voice(tmp_path: Path):
    for name in "ab":
        write(tmp_path / f"clips/{name}.wav", seconds=0.25)
    (tmp_path / "train.tsv").write_text(
        "client_id\tpath\tsentence\tgender\n"
        'x\ta.wav\t"Ja", sagte sie, "nein.\tfemale_feminine\n'
        "y\tb.wav\tUnd?\t\n"
    )
    one, other = corpora.speech(tmp_path / "train.tsv")
    assert (one.text, one.speaker, one.sex, one.seconds) == ('"Ja", sagte sie, "nein.', "x", "F", 0.25)
    assert (other.text, other.sex, other.licence) == ("Und?", "", "CC0")
    (tmp_path / "train.tsv").write_text("path\tsentence\na.wav\tJa\n")
    with pytest.raises(InputError, match="no column 'client_id'"):
        corpora.speech(tmp_path / "train.tsv")


def test_empty_folder(tmp_path: Path):
    with pytest.raises(InputError, match="holds no recordings"):
        corpora.noises(tmp_path)


def test_gain_of_a_response_is_undone_alike_for_all_microphones(tmp_path: Path):
    samples = np.array([[0.5, 0.25, 0.1]] * 8)
    soundfile.write(tmp_path / "h.wav", samples, 16000, subtype="FLOAT")
    (tmp_path / "rir.csv").write_text("file,gain\nh.wav,2.5\n")
    (response,) = corpora.responses(tmp_path / "rir.csv")
    taps, rate = corpora.read_response(response)
    assert rate == 16000
    assert response.channels == 3
    np.testing.assert_allclose(taps, samples.T / 2.5, rtol=1e-6)


@pytest.mark.parametrize("gain", ["0", "-1", ""])
def test_gain_must_be_positive(tmp_path: Path, gain: str):
    write(tmp_path / "h.wav")
    (tmp_path / "rir.csv").write_text(f"file,gain\nh.wav,{gain}\n")
    with pytest.raises(InputError, match="not a positive number"):
        corpora.responses(tmp_path / "rir.csv")


def test_development_tables(data_folder: Path):
    voices = corpora.speech(data_folder / "speech.csv", "test")
    assert len({utterance.speaker for utterance in voices}) == 15
    assert all(utterance.path.is_file() for utterance in voices)
    places = corpora.responses(data_folder / "rir.csv", "test")
    assert {place.room.split()[-1] for place in places} == {"050", "RBL"}
    assert corpora.read_response(places[0])[0].shape[0] == 7
    noises = corpora.noises(data_folder / "noise.csv", "test")
    assert all(noise.path.is_file() and noise.licence for noise in noises)
