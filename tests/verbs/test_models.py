"""The listing, and what is told about one model."""

import json
import subprocess
import sys

import pytest

from unbabble import cli
from unbabble.base import weights
from unbabble.verbs.models import models


@pytest.fixture
def printed(capsys, monkeypatch, package):
    """Run ``unbabble models ...`` where one network is packaged: exit code, stdout, stderr."""
    package(two_talkers={})
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        code = cli.run(["models", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def line(text, start):
    return next(each for each in text.splitlines() if each.startswith(start))


def test_networks_with_and_without_weights_are_listed(printed):
    code, out, _ = printed()
    assert code == 0
    assert "conv_tasnet.two_talkers" in line(out, "conv_tasnet")
    assert "none yet: unbabble train" in line(out, "sepformer")
    names = printed("--quiet")[1].split()
    assert "conv_tasnet.two_talkers" in names
    assert "sepformer" not in names
    assert models(quiet=True).to_dict()["sepformer"]["models"] == []


def test_the_listing_reads_weights_without_torch(package):
    folder = package(two_talkers={})
    code = (
        "import sys, pathlib; from unbabble.base import weights; from unbabble import cli;"
        f"weights.PACKAGED_FOLDER = pathlib.Path({str(folder)!r}); cli.run(['models', '--quiet']);"
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "conv_tasnet.two_talkers" in done.stdout
    assert done.stdout.splitlines()[-1] == "False False"


def test_weights_tell_where_they_come_from_and_how_good_they_are(printed, tmp_path, save):
    size = weights.packaged()["conv_tasnet.two_talkers"].stat().st_size
    file = save(tmp_path / "mine.safetensors")
    for name in ("conv_tasnet.two_talkers", file):
        code, out, _ = printed("info", name)
        assert code == 0
        for part in (
            "Data:     Nothing at all, 0 hours.",
            "Licence:  CC BY 4.0",
            "Command:  unbabble train configs/nothing.yaml",
            "Seed:     0",
            "Limits:   Knows nothing.",
            f"parameters, {size / 1e6:.2f} MB",
            "filters (int) = 16",
        ):
            assert part in out
        assert line(out, "scores on").split() == ["scores", "on", "si_snr_i", "sdr_i"]
        assert line(out, "test_clean").split() == ["test_clean", "10.25", "10.5"]
    about = models("info", "conv_tasnet.two_talkers").to_dict()["conv_tasnet.two_talkers"]["weights"]
    assert (about["seed"], about["bytes"]) == (0, size)
    assert json.dumps(about)


def test_a_network_that_nobody_trained_has_its_options(printed):
    code, out, _ = printed("info", "sepformer")
    assert code == 0
    assert "Models:   none yet: unbabble train" in out
    assert "chunk (int) = 250" in out
    assert "--model runs/sepformer/best.safetensors" in " ".join(out.split()), "where training leaves them"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ("info", 2, "Name a model: unbabble models info NAME."),
        ("info conv_tasnet.three_talkers", 2, "Did you mean 'conv_tasnet.two_talkers'?"),
        ("auxiva", 2, 'Invalid value "auxiva" for ACTION'),
        ("list auxiva", 2, "unbabble models info auxiva"),
        ("info missing.safetensors", 1, "There is no file 'missing.safetensors'."),
        ("info /", 1, "holds no model"),
    ],
)
def test_wrong_requests(printed, arguments, code, sentence):
    found, out, err = printed(*arguments.split())
    assert sentence in err
    assert (found, out) == (code, "")
    assert err.count("\n") == 1
