"""Reports: outcomes, exit codes, plain JSON."""

import json
from pathlib import Path

import pytest
import torch

from unbabble.base.report import FileReport, Report, plain


def test_exit_codes():
    done, failed = FileReport("a", "done"), FileReport("b", "failed", "It is empty.")
    assert Report("separate", files=[done]).exit_code == 0
    assert Report("separate", files=[done, failed]).exit_code == 1
    assert Report("separate", files=[done], interrupted=True).exit_code == 1


def test_saved_as_plain_json(tmp_path):
    file = FileReport("a.wav", "done", seconds=1.0, audio_seconds=4.0, details={"snr": float("nan")})
    report = Report("separate", {"out": Path("voices")}, [file])
    content = json.loads(report.save(tmp_path / "new" / "r.json").read_text())
    assert content["files"][0]["real_time_factor"] == 0.25
    assert content["files"][0]["details"] == {"snr": None}
    assert content["config"] == {"out": "voices"}
    assert content["exit_code"] == 0
    assert {"python", "torch"} <= content["versions"].keys()
    assert content["started"].endswith("+00:00")


@pytest.mark.parametrize(("value", "expected"), [(torch.ones(2), [1.0, 1.0]), ((1, {"a"}), [1, ["a"]])])
def test_plain(value, expected):
    assert plain(value) == expected


def test_real_time_factor_of_unknown_length():
    assert FileReport("a", "failed").real_time_factor is None
