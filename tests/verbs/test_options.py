"""Options that verbs share, and those that would have no effect."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest

import unbabble
from unbabble import cli
from unbabble.base.errors import InputError, UsageError
from unbabble.base.files import DEMO_FOLDER
from unbabble.verbs import VERBS

MIXTURE = str(DEMO_FOLDER / "mixture.flac")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.mark.parametrize("verb", [verb.typed for verb in VERBS])
def test_help_fits_a_screen_and_all_of_it_can_be_had(here, capsys, verb):
    assert cli.run([verb, "--help"]) == 0
    short = capsys.readouterr().out
    assert cli.run([verb, "--help-all"]) == 0
    whole = capsys.readouterr().out
    assert len(short.splitlines()) <= 40
    place, name = next((each.module, each.name) for each in VERBS if each.typed == verb)
    parameters = inspect.signature(getattr(import_module(place), name)).parameters.values()
    options = {
        f"--{each.name.strip('_').replace('_', '-')}" for each in parameters if each.kind == each.KEYWORD_ONLY
    }
    assert all(option in whole for option in options)
    assert (f"More options: unbabble {verb} --help-all" in short) == any(
        each not in short for each in options
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["enhance", MIXTURE, "--choose", "nosuch", "--model", "gru.2x64"],
            "--choose chooses among several models",
        ),
        (["simulate", "--speech", "s", "--rir", "r", "--rt60", "0.2"], "--rt60 is for a simulated room"),
        (
            ["simulate", "--speech", "s", "--rir", "r", "--array", "circular"],
            "--array is for a simulated room",
        ),
        (
            ["simulate", "--speech", "s", "--room", "6x5x3", "--channels", "0"],
            "--channels chooses among measured",
        ),
        (["prepare", "--split", "dev"], "--split needs a layout and a folder"),
        (["separate", MIXTURE, "--keep-all", "--model", "ica"], "--keep-all is for --model auto"),
        (
            ["score", "--references", MIXTURE, "--estimates", MIXTURE, "--plot", "x.png"],
            "--plot and --model are for",
        ),
    ],
)
def test_an_option_without_effect_is_refused(here, capsys, words, said):
    assert cli.run(words) == 2
    assert said in capsys.readouterr().err
    assert not list(here.iterdir())


def test_short_names(here):
    assert cli.run(["separate", MIXTURE, "-o", "a", "-j", "1", "-d", "cpu", "--model", "ica", "--quiet"]) == 0
    first = (here / "a" / "mixture" / "unbabble.json").stat().st_mtime_ns
    assert cli.run(["separate", MIXTURE, "-o", "a", "--model", "ica", "-d", "cpu", "--quiet", "--force"]) == 0
    assert (here / "a" / "mixture" / "unbabble.json").stat().st_mtime_ns > first


def test_one_by_itself_is_one_of_several_in_python(here):
    voice = str(DEMO_FOLDER / "reference1.flac")
    alone = {"mixture": MIXTURE, "references": voice, "estimates": voice, "metrics": "si_sdr", "quiet": True}
    (scored,) = unbabble.score(**alone, duration=1).files
    (listed,) = unbabble.score(
        mixture=MIXTURE, references=[voice], estimates=[voice], metrics=["si_sdr"], duration=1, quiet=True
    ).files
    assert scored.details == listed.details
    (separated,) = unbabble.separate(
        MIXTURE, out="v", model="ica", set="iterations=1", duration=1, no_score=True, quiet=True
    ).files
    assert separated.outcome == "done"
    with pytest.raises(InputError, match=r"There is no file 'nobody\.wav'"):
        unbabble.extract(MIXTURE, enroll="nobody.wav", quiet=True)
    with pytest.raises(UsageError, match="There is no model 'auxivo'"):
        unbabble.bench("folder", data=str(DEMO_FOLDER), models="auxivo", quiet=True)


@pytest.mark.parametrize("verb", ["separate", "enhance", "stream"])
def test_a_format_that_there_is_not(here, verb):
    with pytest.raises(UsageError, match="The formats are wav, wav16, flac, not 'mp3'"):
        getattr(unbabble, verb)(MIXTURE, format="mp3", quiet=True)
    assert not list(here.iterdir())


GIVEN = {
    "separate": ([MIXTURE], {}),
    "enhance": ([MIXTURE], {}),
    "extract": ([MIXTURE], {"enroll": MIXTURE}),
    "transcribe": ([MIXTURE], {}),
    "stream": ([MIXTURE], {}),
    "diarize": ([MIXTURE], {}),
    "score": ([], {"references": MIXTURE, "estimates": MIXTURE}),
    "bench": ([], {"data": str(DEMO_FOLDER)}),
    "adapt": ([MIXTURE], {"out": "me"}),
    "models": ([], {}),
    "simulate": ([], {"speech": str(DEMO_FOLDER), "room": "6x5x3"}),
    "collected": (["out"], {"data": "site"}),
}
"""By verb, what it needs to be called."""


def choices():
    """Each verb, and each of its options that is one of several words."""
    for verb in VERBS:
        function = getattr(import_module(verb.module), verb.name)
        for name, hint in get_type_hints(function).items():
            if "Literal" in str(hint) and name != "return":
                yield pytest.param(function, name, id=f"{verb.name}-{name}")


@pytest.mark.parametrize(("function", "name"), list(choices()))
def test_a_word_that_is_no_choice_is_refused_in_python_too(here, function, name):
    words, options = GIVEN[function.__name__]
    if inspect.signature(function).parameters[name].kind == inspect.Parameter.POSITIONAL_ONLY:
        words = ["nosuch", *words]
    else:
        options = options | {name: "nosuch"}
    with pytest.raises(UsageError, match="'nosuch'"):
        function(*words, **options, quiet=True)
    assert not list(here.iterdir())


def test_python_hands_over_paths_as_text(here):
    report = unbabble.separate(MIXTURE, out="v", model="ica", report="r.json", no_score=True, quiet=True)
    assert report.exit_code == 0
    assert (here / "r.json").is_file()
    voices = [str(path) for path in sorted((here / "v" / "mixture").glob("source*.wav"))]
    references = [str(path) for path in sorted(DEMO_FOLDER.glob("reference*.flac"))]
    scored = unbabble.score(
        mixture=MIXTURE, references=references, estimates=voices, json="s.json", quiet=True
    )
    assert scored.exit_code == 0
    assert unbabble.score(MIXTURE, *voices, quiet=True).exit_code == 0
    unbabble.bench("folder", data=str(DEMO_FOLDER), models=["conv_tasnet.2talkers_8k"], limit=1, quiet=True)
    assert unbabble.export("gru.2x32", out="step.onnx", streaming=True, quiet=True).path
    assert unbabble.doctor(report="d.json", quiet=True).exit_code == 0
    assert {"r.json", "s.json", "d.json", "step.onnx", "v"} <= {path.name for path in Path().iterdir()}


def test_a_model_that_fails_on_every_recording_is_an_exit_code(here, capsys):
    words = ["bench", "folder", "--data", str(DEMO_FOLDER), "--limit", "1", "--quiet", "--models"]
    (here / "mono").mkdir()
    (here / "mono" / "x.flac").write_bytes((DEMO_FOLDER / "reference1.flac").read_bytes())
    words[3] = str(here / "mono")
    assert cli.run([*words, "ica", "conv_tasnet.2talkers_8k"]) == 1
    assert cli.run([*words, "conv_tasnet.2talkers_8k"]) == 0
