from pathlib import Path

import numpy as np
import pytest
import soundfile

from unbabble.base.errors import InputError
from unbabble.data import layouts, manifest
from unbabble.data.cries import Pair, cries, pairs, together

ANDROID = "549a46d8-9c84-430e-ade8-97eae2bef787-1430130772174-1.7-m-48-bp"
IOS = "643D64AD-B711-469A-AF69-55C0D5D3E30F-1430138495-1.0-f-04-hu"


def tone(path: Path, seconds: float = 0.1, value: float = 0.5, rate: int = 8000, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.zeros((round(seconds * rate), channels), np.float32)
    samples[:, -1] = value
    soundfile.write(path, samples, rate)
    return path


def test_a_table_says_who_recorded_why_and_when(tmp_path: Path):
    tone(tmp_path / "cry" / "donateacry" / f"{ANDROID}.wav")
    (tmp_path / "cry.csv").write_text(
        f"file,label,recorder,sex,age_weeks\n{ANDROID}.wav,belly_pain,{ANDROID[:36]},m,48\nown.wav,tired,me,,\n"
    )
    donated, own = cries(tmp_path / "cry.csv")
    assert donated.path == tmp_path / "cry" / "donateacry" / f"{ANDROID}.wav"
    assert (donated.infant, donated.reason, donated.period) == (ANDROID[:36], "belly_pain", "2015-04-27")
    assert (donated.sex, donated.age) == ("m", "48")
    assert (own.infant, own.reason, own.period, own.sex, own.age) == ("me", "tired", "", "", "")


def test_the_folder_of_the_corpus_says_the_same(tmp_path: Path):
    for reason, name in (("belly_pain", ANDROID), ("hungry", IOS)):
        tone(tmp_path / "corpus" / reason / f"{name}.wav")
    tone(tmp_path / "corpus" / "hungry" / "something else.wav")
    belly, hungry = cries(tmp_path / "corpus")
    assert (belly.infant, belly.reason, belly.sex, belly.age) == (ANDROID[:36], "belly_pain", "m", "48")
    assert (hungry.infant, hungry.reason, hungry.sex, hungry.age) == (IOS[:36], "hungry", "f", "04")
    assert {belly.period, hungry.period} == {"2015-04-27"}  # one in milliseconds, one in seconds


def test_cryceleb(tmp_path: Path):
    for name in (
        "train/spk1/B/spk1_B_002",
        "train/spk1/B/spk1_B_001",
        "train/spk1/D/spk1_D_001",
        "dev/spk7/B/x",
    ):
        tone(tmp_path / "audio" / f"{name}.wav", rate=16000)
    first, second, later, other = cries(tmp_path)
    assert [first.path.stem, second.path.stem] == ["spk1_B_001", "spk1_B_002"]
    assert (first.infant, first.period, first.split, first.reason) == ("spk1", "B", "train", "")
    assert (later.period, other.infant, other.split) == ("D", "spk7", "dev")
    assert cries(tmp_path / "audio") == [first, second, later, other]
    parts = layouts.find("cryceleb", tmp_path)
    assert [part.name for part in parts] == ["train-B", "train-D", "dev-B"]
    path = manifest.write(tmp_path / "train-B.jsonl", parts[0].entries)
    assert [(each.id, each.speakers) for each in manifest.read(path)] == [
        ("spk1_B_001", ("spk1",)),
        ("spk1_B_002", ("spk1",)),
    ]


def test_trials(tmp_path: Path):
    table = tmp_path / "dev_pairs.csv"
    table.write_text("baby_id_B,baby_id_D,label\nspk1,spk1,1\nspk1,spk2,0\n")
    assert pairs(table) == [Pair("spk1", "spk1", True), Pair("spk1", "spk2", False)]
    table.write_text("baby_id_B,baby_id_D,label\nspk1,spk1,yes\n")
    with pytest.raises(InputError, match="the label 'yes' is neither 0 nor 1"):
        pairs(table)


def test_cries_of_an_infant_one_after_another(tmp_path: Path):
    tone(tmp_path / "corpus" / "tired" / f"{ANDROID}.wav", 0.1, 0.25)
    tone(tmp_path / "corpus" / "tired" / f"{IOS}.wav", 0.2, -0.5, rate=16000, channels=2)
    joined = together(cries(tmp_path / "corpus"), 8000)
    assert len(joined) == 800 + 1600
    assert joined[400] == pytest.approx(0.25, abs=1e-3)
    assert joined[1600] == pytest.approx(-0.5, abs=1e-2)  # of its louder channel


@pytest.mark.parametrize("make", [False, True])
def test_other_folders_and_tables_are_refused(tmp_path: Path, make: bool):
    if make:
        tone(tmp_path / "music" / "song.wav")
    with pytest.raises(InputError, match=r"holds no cries: looked for audio/train/BABY/B/\*\.wav"):
        cries(tmp_path)
    (tmp_path / "cry.csv").write_text("file,label\na.wav,tired\n")
    with pytest.raises(InputError, match="no column 'recorder'"):
        cries(tmp_path / "cry.csv")
    with pytest.raises(InputError, match="There is no file or folder"):
        cries(tmp_path / "nowhere.csv")
