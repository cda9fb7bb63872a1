"""``unbabble find``: by words, by a recording; what is kept, refused or left out."""

import json
import os

import numpy as np
import pytest
import soundfile

import unbabble
from tests.sound_models import RATE, tiny_clap, tone, write
from unbabble import cli
from unbabble.base.errors import InputError, OutputError, UsageError

INDEX = ".unbabble-index.safetensors"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_clap(tmp_path_factory.mktemp("model") / "tiny.safetensors"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of low and high tones, and one that is high in its last second."""
    (tmp_path / "clips" / "more").mkdir(parents=True)
    for name, *hertz in (("low", 300), ("high", 3000), ("more/late", 300, 250, 3500)):
        write(tmp_path / "clips" / f"{name}.wav", *(tone(each, seed=3) for each in hertz))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(report):
    return [os.path.basename(each["path"]) for each in report.matches]


def test_words_find_what_sounds_so_and_say_where(here, model, capsys):
    assert cli.run(["find", "high", "clips", "--model", model, "--report", "r.json"]) == 0
    report = json.loads((here / "r.json").read_text())
    assert [os.path.basename(each["path"]) for each in report["matches"]][-1] == "low.wav"
    late = next(each for each in report["matches"] if each["path"].endswith("late.wav"))
    assert (late["start"], late["end"]) == (2.0, 3.0)
    assert late["likeness"] > report["matches"][-1]["likeness"] + 0.3
    assert "late.wav" in capsys.readouterr().out
    assert found(unbabble.find("low", "clips", model=model, quiet=True))[-1] == "high.wav"


def test_a_recording_finds_what_is_like_it(here, model):
    write(here / "query.wav", tone(280), tone(3200))
    assert (
        found(unbabble.find("clips", like="query.wav", duration=1, model=model, quiet=True))[-1] == "high.wav"
    )
    report = unbabble.find("clips", like="query.wav", start=1, model=model, top=2, quiet=True)
    assert set(found(report)) == {"high.wav", "late.wav"}


def test_only_what_has_changed_is_listened_to_again(here, model):
    def listened(**options):
        report = unbabble.find("high", "clips", model=model, quiet=True, **options)
        return report.recordings, sorted(os.path.basename(each.input) for each in report.files)

    assert listened() == (3, ["high.wav", "late.wav", "low.wav"])
    assert listened() == (3, [])
    write(here / "clips" / "low.wav", tone(3100, 2.0))
    (here / "clips" / "high.wav").unlink()
    write(here / "clips" / "new.wav", tone(300))
    assert listened() == (3, ["low.wav", "new.wav"])
    assert listened(rebuild=True) == (3, ["late.wav", "low.wav", "new.wav"])


def test_an_index_can_be_searched_without_naming_recordings(here, model):
    unbabble.find("high", "clips", model=model, index="all.safetensors", quiet=True)
    before = (here / "all.safetensors").read_bytes()
    assert not (here / "clips" / INDEX).exists()
    assert len(unbabble.find("low", model=model, index="all.safetensors", quiet=True).matches) == 3
    report = unbabble.find("low", "clips/low.wav", model=model, index="all.safetensors", quiet=True)
    assert (found(report), report.recordings) == (["low.wav"], 1)
    assert (here / "all.safetensors").read_bytes() == before


def test_links_to_the_best_in_order(here, model):
    unbabble.find("high", "clips", model=model, links="best", top=2, quiet=True)
    names = sorted(path.name for path in (here / "best").iterdir())
    assert [name.split()[0] for name in names] == ["001", "002"]
    assert all((here / "best" / name).resolve().is_file() for name in names)
    unbabble.find("high", "clips", model=model, links="best", top=1, quiet=True)
    assert len(list((here / "best").iterdir())) == 1
    with pytest.raises(OutputError, match="something else"):
        unbabble.find("high", "clips", model=model, links="clips", quiet=True)


def test_what_cannot_be_read_fails_alone(here, model, capsys):
    (here / "clips" / "broken.wav").write_bytes(b"no sound")
    soundfile.write(here / "clips" / "silent.wav", np.zeros(RATE), RATE)
    assert cli.run(["find", "high", "clips", "--model", model]) == 1
    said = capsys.readouterr()
    assert "broken.wav" in said.err
    assert "It is silent" in said.err
    assert "silent.wav" not in said.out
    report = unbabble.find("high", "clips", model=model, quiet=True)
    assert [each.input for each in report.files] == ["clips/broken.wav"], "it is tried again"
    assert len(report.matches) == 3


def test_words_that_were_not_learnt_are_noted(here, model, capsys):
    unbabble.find("hiss", "clips", model=model)
    assert "has not learnt 'hiss' by name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((), UsageError, "Say what is sought"),
        (("high",), UsageError, "Name recordings to search, or an index"),
        ((" ", "clips"), UsageError, "The words that are sought are empty"),
        (("雨", "clips"), InputError, "Nothing of '雨' can be read"),
        (("high", "empty"), UsageError, "holds no recordings"),
        (("high", "-"), UsageError, "Standard input cannot be searched"),
    ],
)
def test_requests_that_make_no_sense(here, model, arguments, error, message):
    (here / "empty").mkdir()
    with pytest.raises(error, match=message):
        unbabble.find(*arguments, model=model, quiet=True)
    assert not list(here.rglob("*.safetensors"))


def test_models_and_indexes_that_do_not_fit(here, model):
    from unbabble.base.weights import packaged

    unbabble.find("high", "clips", model=model, quiet=True)
    tiny_clap(here / "other.safetensors", words="low")
    with pytest.raises(InputError, match="--rebuild makes it anew"):
        unbabble.find("high", "clips", model="other.safetensors", quiet=True)
    assert unbabble.find("high", "clips", model="other.safetensors", rebuild=True, quiet=True).matches
    (here / "clips" / INDEX).write_bytes(b"damaged")
    with pytest.raises(InputError, match="is damaged: --rebuild makes it anew"):
        unbabble.find("high", "clips", model=model, quiet=True)
    with pytest.raises(UsageError, match="ends in"):
        unbabble.find("high", "clips", model=model, index="index.npz", quiet=True)
    with pytest.raises(UsageError, match="--start, --duration and --stream"):
        unbabble.find("high", "clips", model=model, duration=1, quiet=True)
    if "xvector.8k" in packaged():
        with pytest.raises(UsageError, match="knows no words"):
            unbabble.find("high", "clips", model="xvector.8k", quiet=True)
