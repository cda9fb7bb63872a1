import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from unbabble.base import audio
from unbabble.base.errors import InputError, UsageError
from unbabble.base.inputs import result_name
from unbabble.base.report import Report
from unbabble.cli import run
from unbabble.signal.diarization import overlap_share
from unbabble.text import rttm, transcripts
from unbabble.verbs.simulate import simulate

RATE = 16000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three speakers, a room of four measured directions."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(1)
    for speaker in "abc":
        (folder / "speech" / speaker).mkdir(parents=True)
        soundfile.write(folder / f"speech/{speaker}/1.wav", 0.1 * rng.standard_normal(RATE), RATE)
    lines = ["file,azimuth_deg,gain"]
    for azimuth in (0, 90, 180, 270):
        taps = 0.3 * rng.standard_normal((400, 3)) * np.exp(-np.arange(400) / 60)[:, None]
        soundfile.write(folder / f"h{azimuth}.wav", taps, RATE)
        lines.append(f"h{azimuth}.wav,{azimuth},1.5")
    (folder / "rir.csv").write_text("\n".join(lines))
    return folder


def make(corpus: Path, out: Path, **options) -> Report:
    settings = {"duration": 0.5, "count": 2, "microphones": 3, "quiet": True, **options}
    return simulate(speech=corpus / "speech", rir=corpus / "rir.csv", out=out, **settings)


def contents(out: Path) -> dict[str, object]:
    """Samples and texts: the header of a float wav holds the time of writing."""
    return {
        str(file.relative_to(out)): audio.read(file).samples.tolist()
        if file.suffix == ".wav"
        else file.read_text()
        for file in out.rglob("*")
        if file.is_file()
    }


def test_layout_and_metadata(corpus: Path, tmp_path: Path):
    report = make(corpus, tmp_path / "out", snr=15.0, report=tmp_path / "report.json")
    assert report.exit_code == 0
    assert [file.outcome for file in report.files] == ["done", "done"]
    assert json.loads((tmp_path / "report.json").read_text())["config"]["snr"] == 15.0
    lines = (tmp_path / "out/metadata.jsonl").read_text().splitlines()
    assert len(lines) == 2
    for line in lines:
        item = json.loads(line)
        mixture = audio.read(tmp_path / "out" / item["mixture"]).samples
        images = [audio.read(tmp_path / "out" / name).samples for name in item["images"]]
        references = [audio.read(tmp_path / "out" / name).samples for name in item["references"]]
        assert mixture.shape == images[0].shape == images[1].shape == (3, RATE // 2)
        noise = (mixture - sum(images)).numpy()
        snr = 10 * np.log10(np.mean(sum(images)[0].numpy() ** 2) / np.mean(noise[0] ** 2))
        assert snr == pytest.approx(15.0, abs=0.05)
        for image, reference in zip(images, references, strict=True):
            np.testing.assert_array_equal(image[0], reference[0])
        assert {"rt60_seconds", "snr_db", "seed", "licence", "microphones", "room"} <= item.keys()
        assert {"speaker", "files", "azimuth_deg", "level_db"} <= item["talkers"][0].keys()
    assert not list((tmp_path / "out").glob(".*"))


def test_second_run_skips_and_continues(corpus: Path, tmp_path: Path):
    make(corpus, tmp_path)
    before = contents(tmp_path / "0000")
    report = make(corpus, tmp_path, count=3)
    assert [file.outcome for file in report.files] == ["skipped", "skipped", "done"]
    assert contents(tmp_path / "0000") == before
    assert len((tmp_path / "metadata.jsonl").read_text().splitlines()) == 3


def test_killed_run_is_taken_up(corpus: Path, tmp_path: Path):
    make(corpus, tmp_path / "whole")
    partial = tmp_path / "killed" / ".0000.1.partial"
    partial.mkdir(parents=True)
    (partial / "mixture.wav").write_bytes(b"half")
    os.utime(partial, (1, 1))
    make(corpus, tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_what_is_no_mixture_is_never_replaced(corpus: Path, tmp_path: Path):
    (tmp_path / "0001").mkdir()
    (tmp_path / "0001" / "mine.wav").touch()
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=r"'.*0001' was not made by `unbabble simulate`"):
            make(corpus, tmp_path, overwrite=overwrite)
    assert [str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*")] == ["0001", "0001/mine.wav"]


def test_other_recordings_under_the_same_names_are_other_mixtures(corpus: Path, tmp_path: Path):
    own = tmp_path / "corpus"
    shutil.copytree(corpus, own)
    make(own, tmp_path / "out")
    assert {file.outcome for file in make(own, tmp_path / "out").files} == {"skipped"}
    soundfile.write(own / "speech/a/1.wav", np.random.default_rng(9).standard_normal(RATE) / 10, RATE)
    with pytest.raises(UsageError, match="from other recordings"):
        make(own, tmp_path / "out")
    (own / "rir.csv").write_text((own / "rir.csv").read_text().replace("1.5", "2.5"))
    with pytest.raises(UsageError, match="from other recordings"):
        make(own, tmp_path / "out")


def test_other_options_do_not_mix_with_what_is_there(corpus: Path, tmp_path: Path):
    make(corpus, tmp_path)
    with pytest.raises(UsageError, match="made with other options"):
        make(corpus, tmp_path, seed=1)
    report = make(corpus, tmp_path, seed=1, overwrite=True)
    assert [file.outcome for file in report.files] == ["done", "done"]
    assert json.loads((tmp_path / "0000/metadata.json").read_text())["seed"] == 1


def test_one_bad_recording_does_not_stop_the_rest(corpus: Path, tmp_path: Path):
    speech = tmp_path / "speech"
    for number in range(6):
        (speech / f"s{number}").mkdir(parents=True)
        voice = np.zeros(RATE) if number == 0 else np.random.default_rng(number).standard_normal(RATE) / 10
        soundfile.write(speech / f"s{number}/1.wav", voice, RATE)
    report = simulate(
        speech=speech, rir=corpus / "rir.csv", out=tmp_path / "out", duration=0.5, count=8, quiet=True
    )
    outcomes = [file.outcome for file in report.files]
    assert report.exit_code == 1
    assert {"done", "failed"} == set(outcomes)
    assert all("silent" in (file.error or "") for file in report.files if file.outcome == "failed")
    assert len((tmp_path / "out/metadata.jsonl").read_text().splitlines()) == outcomes.count("done")


def test_simulated_room(corpus: Path, tmp_path: Path):
    simulate(
        speech=corpus / "speech", room="5x4x2.6", rt60=0.15, array="circular", duration=0.5, count=1,
        talkers=3, microphones=4, out=tmp_path, quiet=True,
    )  # fmt: skip
    item = json.loads((tmp_path / "metadata.jsonl").read_text())
    assert np.shape(item["microphones"]) == (4, 3)
    assert len(item["references"]) == 3
    assert item["rt60_seconds"] == pytest.approx(0.15, rel=0.3)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"talkers": 9}, InputError, "9 talkers"),
        ({"microphones": 4}, InputError, "not by 4"),
        ({"snr": float("nan")}, UsageError, "makes no sense"),
        ({"split": "test"}, InputError, "no column 'split'"),
        ({"room": "6x5x3"}, UsageError, "Say which room"),
        ({"distance": (3.0, 1.0)}, UsageError, "near to far"),
        ({"count": 0}, UsageError, "number of mixtures"),
    ],
)
def test_nonsense_touches_nothing(corpus: Path, tmp_path: Path, options: dict, error: type, sentence: str):
    with pytest.raises(error, match=sentence):
        make(corpus, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--rir", "{}/rir.csv"], 0),
        (["--rir", "{}/missing.csv"], 1),
        (["--room", "big"], 2),
        ([], 2),
        (["--rir", "{}/rir.csv", "--snr", "loud"], 2),
    ],
)
def test_command_line(corpus: Path, tmp_path: Path, arguments: list[str], code: int, capsys):
    given = [argument.format(corpus) for argument in arguments]
    common = ["--speech", str(corpus / "speech"), "--duration", "0.5", "--count", "1", "--quiet"]
    assert run(["simulate", *common, "--out", str(tmp_path / "out"), *given]) == code
    message = capsys.readouterr().err
    assert (message == "") == (code == 0)
    assert message.count("\n") == (code != 0)


def test_development_recordings(data_folder: Path, tmp_path: Path):
    report = simulate(
        speech=data_folder / "speech.csv", rir=data_folder / "rir.csv", noise=data_folder / "noise.csv",
        split="test", talkers=3, microphones=7, duration=3, count=1, out=tmp_path, quiet=True,
    )  # fmt: skip
    assert report.exit_code == 0
    item = json.loads((tmp_path / "metadata.jsonl").read_text())
    assert 0.35 < item["rt60_seconds"] < 0.75
    assert item["licence"]["speech"] == ["CC BY 4.0"]


def test_a_conversation_and_who_says_what_when_in_it(tmp_path: Path):
    rng = np.random.default_rng(2)
    rows = ["file,speaker,text"]
    for speaker in ("ann", "ben"):
        for number in range(12):
            name = f"{speaker}{number}.wav"
            soundfile.write(tmp_path / name, 0.1 * rng.standard_normal(2 * RATE), RATE)
            rows.append(f"{name},{speaker},{speaker} says {number}")
    (tmp_path / "speech.csv").write_text("\n".join(rows))
    soundfile.write(tmp_path / "h.wav", np.eye(200, 1) + 1e-4 * rng.standard_normal((200, 1)), RATE)
    soundfile.write(tmp_path / "i.wav", np.eye(200, 1) + 1e-4 * rng.standard_normal((200, 1)), RATE)
    (tmp_path / "rir.csv").write_text("file,gain\nh.wav,1\ni.wav,1\n")
    given: dict[str, Any] = {
        "speech": tmp_path / "speech.csv",
        "rir": tmp_path / "rir.csv",
        "out": tmp_path / "out",
    }
    report = simulate(
        **given,
        conversation=True,
        talkers=2,
        microphones=1,
        duration=20.0,
        turn=(1.0, 4.0),
        count=1,
        quiet=True,
    )
    assert report.exit_code == 0
    folder = tmp_path / "out/0000"
    turns = rttm.read((folder / "turns.rttm").read_text())["0000"]
    assert {turn.speaker for turn in turns} == {"ann", "ben"}
    assert result_name(folder / "mixture.wav") == "0000", (
        "by which turns of others are found to be of this recording"
    )
    assert 0.1 < overlap_share(turns) < 0.3, "a fifth, if nothing else is asked"
    said = transcripts.read(folder / "words.stm")
    assert {each.recording for each in said} == {"0000"}
    assert all(each.text.startswith(f"{each.speaker} says") for each in said)
    item = json.loads((tmp_path / "out/metadata.jsonl").read_text())
    assert sorted(each.text for each in said) == sorted(text for t in item["talkers"] for text in t["texts"])
    assert item["turns"] == "0000/turns.rttm"
    again = simulate(
        **given,
        conversation=True,
        talkers=2,
        microphones=1,
        duration=20.0,
        turn=(1.0, 4.0),
        count=1,
        quiet=True,
    )
    assert [file.outcome for file in again.files] == ["skipped"]
    with pytest.raises(UsageError, match="--turn is for a conversation"):
        simulate(**given, turn=(1.0, 2.0))
