"""Models by rank on real recordings."""

import json

import numpy as np
import pytest
import soundfile

from unbabble import cli
from unbabble.data import layouts, manifest
from unbabble.verbs.bench import Bench, bench

RATE = 8000


def write(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path


@pytest.fixture
def realm(tmp_path, monkeypatch, packaged_scorer):
    """REAL-M as it comes: an early session, whose table names mp3 files, and a later one."""
    monkeypatch.chdir(tmp_path)
    rng, folder = np.random.default_rng(0), tmp_path / "REAL-M-v0.1.0"
    for session, columns, suffix in (
        ("early_collection1", "sentence1,sentence2,WorkerId,filename", "mp3"),
        ("613f7a25", ",sentence1,sentence2,filename", "wav"),
    ):
        rows = [columns]
        for k in range(2):
            write(
                folder / "audio_files_converted_8000Hz" / session / f"{k}.wav",
                0.1 * rng.standard_normal(RATE),
            )
            row = (
                f'"Hello, {k}",Good bye,x,{k}.{suffix}'
                if suffix == "mp3"
                else f'{k},"Hello, {k}",Good bye,{k}.wav'
            )
            rows.append(row)
        table = folder / "transcriptions" / f"{session}.csv"
        table.parent.mkdir(exist_ok=True)
        table.write_text("\n".join(rows))
    return folder


def test_the_layout(realm, tmp_path):
    (part,) = layouts.find("real-m", tmp_path)
    assert [entry.id for entry in part.entries] == [
        "613f7a25/0", "613f7a25/1", "early_collection1/0", "early_collection1/1",
    ]  # fmt: skip
    assert part.entries[3].transcripts == ("Hello, 1", "Good bye")
    assert not part.missing
    written = manifest.write(tmp_path / "m.jsonl", part.entries)
    assert [entry.transcripts for entry in manifest.read(written)] == [e.transcripts for e in part.entries]
    (realm / "audio_files_converted_8000Hz" / "613f7a25" / "1.wav").unlink()
    (part,) = layouts.find("real-m", realm)
    assert len(part.entries) == 3
    assert "613f7a25/1.wav" in part.missing[0]


def test_every_model_scores_every_recording(realm, save, capsys):
    network = str(save(realm.parent / "network.safetensors"))
    arguments = ["bench", "realm", "--data", str(realm), "--models", network, "--json", "bench.json"]
    assert cli.run(arguments) == 0
    report = json.loads((realm.parent / "bench.json").read_text())
    assert set(report["models"]) == {"unchanged", network}
    assert len(report["files"]) == 4
    for file in report["files"]:
        assert {name: len(scores) for name, scores in file["details"]["scores"].items()} == {
            "unchanged": 1,
            network: 2,
        }
    table = capsys.readouterr().out
    for name, row in report["models"].items():
        means = [
            np.mean([each["si_snr_db"] for each in file["details"]["scores"][name]])
            for file in report["files"]
        ]
        assert row["si_snr_db"] == pytest.approx(np.mean(means))
        assert row["low_db"] <= row["si_snr_db"] <= row["high_db"]
        assert f"{row['si_snr_db']:.2f} dB" in table
    values = [row["si_snr_db"] for row in report["models"].values()]
    assert values == sorted(values, reverse=True)


def test_a_folder_of_ones_own_and_a_limit(realm, save):
    network = str(save(realm.parent / "network.safetensors"))
    folder = realm / "audio_files_converted_8000Hz"
    found = bench("folder", data=folder, models=[network], limit=2, quiet=True)
    assert isinstance(found, Bench)
    assert len(found.files) == 2


def test_a_broken_recording_is_named_and_the_others_done(realm, save, capsys):
    (realm / "audio_files_converted_8000Hz" / "613f7a25" / "0.wav").write_text("no sound")
    network = str(save(realm.parent / "network.safetensors"))
    assert cli.run(["bench", "realm", "--data", str(realm), "--models", network]) == 1
    printed = capsys.readouterr()
    assert "613f7a25/0" in printed.err
    assert "3" in printed.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["realm", "--data", "nowhere"], 1, "no folder"),
        (["realm", "--data", "."], 0, ""),
        (["folder", "--data", "nowhere"], 1, "no folder"),
        (["folder", "--data", ".", "--limit", "0"], 2, "at least 1"),
        (["folder", "--data", ".", "--scorer", "no_such"], 2, "no model"),
    ],
)
def test_requests(realm, save, capsys, arguments, code, words):
    network = str(save(realm.parent / "network.safetensors"))
    assert cli.run(["bench", *arguments, "--models", network]) == code
    assert words in capsys.readouterr().err
