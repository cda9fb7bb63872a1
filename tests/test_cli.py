"""The command as a user runs it: exit codes, errors of one sentence, resuming."""

import fcntl
import io
import json
import logging
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from contextlib import contextmanager, suppress
from functools import partial

import numpy as np
import psutil
import pytest
import soundfile

import unbabble
from unbabble import cli
from unbabble.methods.separation import ica
from unbabble.verbs import doctor

RATE = 8000


def make_mixture(path, seed=0, seconds=1.0, channels=2):
    random = np.random.default_rng(seed)
    sources = random.laplace(size=(int(RATE * seconds), 2)) * 0.05
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sources @ random.normal(size=(2, channels)), RATE, subtype="FLOAT")
    return path


def process(*arguments, **options):
    """Run the command as a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-W", "error", "-m", "unbabble.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, env=environment, timeout=120, **options)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(here, capsys):
    """Run a command line in this process: exit code, stderr."""

    def run(*arguments):
        code = cli.run([str(argument) for argument in arguments])
        return code, capsys.readouterr().err

    return run


def separate(call, *arguments):
    return call("separate", "--model", "ica", "--device", "cpu", *arguments)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_and_standard_input(here, call, monkeypatch):
    content = make_mixture(here / "meeting.wav").read_bytes()
    done = process(
        "separate", "-", "meeting.wav", "--model", "ica", "--report", "r.json", cwd=here, input=content
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b""
    assert b"Listen: voices/meeting/source1.wav and 1 more" in done.stderr
    names = ["source1.wav", "source2.wav", "unbabble.json"]
    assert files(here / "voices") == [f"{stem}/{name}" for stem in ("meeting", "stdin") for name in names]
    for entry in json.loads((here / "r.json").read_text())["files"]:
        assert (entry["outcome"], entry["model"], entry["audio_seconds"]) == ("done", "ica", 1.0)
        assert entry["real_time_factor"] > 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    code, text = call("separate", "-", "--model", "ica")
    assert code == 0
    assert "skipped" in text


def test_bad_files_among_good_ones(here, call):
    good = [make_mixture(here / "in" / f"{name}.wav", seed) for seed, name in enumerate("ab")]
    (here / "in" / "empty.wav").touch()
    (here / "in" / "text.wav").write_text("no sound\n" * 50)
    soundfile.write(here / "in" / "nan.wav", np.full((9, 2), np.nan), RATE, subtype="FLOAT")
    soundfile.write(here / "in" / "one.wav", np.ones((1, 2)) / 2, RATE)
    soundfile.write(here / "in" / "silence.wav", np.zeros((RATE, 2)), RATE)
    make_mixture(here / "in" / "mono.wav", channels=1)
    code, text = separate(call, "in", "missing.wav", "--report", "r.json")
    assert code == 1
    entries = {entry["input"]: entry for entry in json.loads((here / "r.json").read_text())["files"]}
    assert len(entries) == 9
    assert all(entries[str(path.relative_to(here))]["outcome"] == "done" for path in good)
    sentences = {
        "in/empty.wav": "'in/empty.wav' is empty (0 bytes).",
        "in/text.wav": "'in/text.wav' is a text file, not a recording.",
        "in/nan.wav": "'in/nan.wav' contains samples that are not numbers (NaN or infinity).",
        "in/silence.wav": "The recording is silent.",
        "in/mono.wav": "Model 'ica' needs at least 2 microphones; the recording has 1.",
        "missing.wav": "There is no file 'missing.wav'.",
    }
    for name, sentence in sentences.items():
        assert entries[name]["error"] == sentence
        assert sentence in text
    assert entries["in/one.wav"]["outcome"] == "failed"
    assert "Unexpected" not in text
    assert "Traceback" not in text
    assert "7 of 9 failed." in text
    assert sorted(path.name for path in (here / "voices").iterdir()) == ["a", "b"]


def test_resuming_and_overwriting(here, call):
    for seed, name in enumerate("ab"):
        make_mixture(here / "in" / f"{name}.wav", seed)

    def outcomes(*options):
        code, _ = separate(call, "in", "--report", "r.json", *options)
        assert code == 0
        return [entry["outcome"] for entry in json.loads((here / "r.json").read_text())["files"]]

    assert outcomes() == ["done", "done"]
    assert outcomes() == ["skipped", "skipped"]
    (here / "voices" / "b" / "source2.wav").unlink()
    assert outcomes() == ["skipped", "done"]
    make_mixture(here / "in" / "a.wav", seed=9)
    assert outcomes() == ["done", "skipped"]
    assert outcomes("--overwrite") == ["done", "done"]
    assert outcomes("--sources", "1") == ["done", "done"]
    assert files(here / "voices" / "a") == ["source1.wav", "unbabble.json"]
    assert outcomes("--sources", "1", "--set", "iterations=50") == ["done", "done"]


@contextmanager
def started(*arguments, **options):
    """A process that hears Ctrl-C, even where tests run in the background; nothing of it stays, whatever happens."""
    running = subprocess.Popen(
        [sys.executable, *arguments],
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in (signal.SIGINT, signal.SIGHUP)],
        **options,
    )
    with running:
        try:
            yield running
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)


SLOW_AT_B = (
    "import os, time, unbabble.pipelines.separate as hub, unbabble.cli as cli\n"
    "call = hub.Model.__call__\n"
    "def slow(self, source, **options):\n"
    "    if 'b.wav' in str(source): os.write(1, b'waiting\\n'); time.sleep(60)\n"
    "    return call(self, source, **options)\n"
    "hub.Model.__call__ = slow\n"
    "cli.main()"
)
"""A pause at the second recording, long enough to be interrupted there whatever the machine's speed."""


@pytest.mark.parametrize(
    ("number", "times", "code"),
    [(signal.SIGINT, 1, 1), (signal.SIGTERM, 3, 143)],
)
def test_an_interrupted_run_leaves_only_whole_files_and_goes_on(here, call, number, times, code):
    make_mixture(here / "in" / "a.wav")
    make_mixture(here / "in" / "b.wav", seed=1)
    arguments = ["separate", "in", "--model", "ica", "--report", "r.json"]
    with started("-c", SLOW_AT_B, *arguments, cwd=here, stdout=subprocess.PIPE) as running:
        assert running.stdout.readline() == b"waiting\n"
        for _ in range(times):
            running.send_signal(number)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == code
    assert b"Interrupted before it was done." in errors
    assert b"Traceback" not in errors
    report = json.loads((here / "r.json").read_text())
    assert report["interrupted"]
    assert [entry["outcome"] for entry in report["files"]] == ["done", "failed"]
    assert files(here / "voices") == ["a/source1.wav", "a/source2.wav", "a/unbabble.json"]
    assert call("separate", "in", "--model", "ica", "--report", "r.json")[0] == 0
    report = json.loads((here / "r.json").read_text())
    assert [entry["outcome"] for entry in report["files"]] == ["skipped", "done"]


def own_terminal() -> None:
    """Of a process: its input, whose end ends it, also where these tests run without one (nohup)."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_run_whose_terminal_is_closed_writes_its_report(here):
    """The bar cannot be drawn any more, nor the summary printed."""
    make_mixture(here / "in" / "a.wav")
    make_mixture(here / "in" / "b.wav", seed=1)
    ours, terminal = pty.openpty()
    arguments = ["separate", "in", "--model", "ica", "--report", "r.json"]
    running = subprocess.Popen(
        [sys.executable, "-c", SLOW_AT_B, *arguments],
        cwd=here,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=own_terminal,
    )
    os.close(terminal)
    with running:
        assert running.stdout is not None
        while not select.select([running.stdout], [], [], 0.05)[0]:
            if select.select([ours], [], [], 0)[0]:
                os.read(ours, 4096)  # the bar, which waits for a terminal that shows it
        assert running.stdout.readline() == b"waiting\n"
        os.close(ours)
        assert running.wait(60) == 129
    report = json.loads((here / "r.json").read_text())
    assert [entry["outcome"] for entry in report["files"]] == ["done", "failed"]


def test_a_report_is_written_though_nobody_reads_what_is_printed(here):
    make_mixture(here / "a.wav")
    ours, theirs = os.pipe()
    os.close(ours)
    arguments = ["separate", "a.wav", "--model", "ica", "--report", "r.json"]
    subprocess.run([sys.executable, "-m", "unbabble.cli", *arguments], cwd=here, stderr=theirs)
    os.close(theirs)
    assert json.loads((here / "r.json").read_text())["files"][0]["outcome"] == "done"


ENDLESS = ["separate", "in", "--model", "ica", "--set", "tolerance=-1", "--set", "iterations=10000000"]


@contextmanager
def endless(here, *options):
    """A run with two workers that would not end, and these."""
    for seed in range(3):
        make_mixture(here / "in" / f"{seed}.wav", seed, seconds=20)
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    with started(
        "-m", "unbabble.cli", *ENDLESS, "--jobs", "2", *options, cwd=here, env=one_thread
    ) as running:
        while len(list((here / "voices").glob(".*.partial"))) < 2:
            time.sleep(0.05)
        yield running, psutil.Process(running.pid).children(recursive=True)


@pytest.mark.parametrize(
    ("number", "alone", "code"), [(signal.SIGINT, False, 1), (signal.SIGTERM, True, 143)]
)
def test_an_interrupted_run_with_workers_ends_at_once(here, number, alone, code):
    """Whether every process of the group gets the signal, as of Ctrl-C, or this one alone."""
    with endless(here, "--report", "r.json") as (running, workers):
        os.kill(running.pid, number) if alone else os.killpg(running.pid, number)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == code, errors.decode()
    assert b"Traceback" not in errors
    assert not psutil.wait_procs(workers, timeout=10)[1]
    report = json.loads((here / "r.json").read_text())
    assert report["interrupted"]
    assert {entry["outcome"] for entry in report["files"]} == {"failed"}
    assert files(here / "voices") == []
    assert list((here / "voices").iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_what_is_ended_before_its_work_begins_says_so(tmp_path, monkeypatch, capsys, number, code):
    def is_ended(*_):
        os.kill(os.getpid(), number)
        time.sleep(60)

    monkeypatch.setattr("unbabble.verbs.frame.expand", is_ended)
    command = [
        "unbabble",
        "separate",
        "meeting.wav",
        "--model",
        "ilrma.ip",
        "--out",
        str(tmp_path / "voices"),
    ]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, capsys.readouterr().err) == (code, "unbabble: Interrupted.\n")
    assert not (tmp_path / "voices").exists()


def test_what_fails_because_workers_were_ended_too_is_no_error(monkeypatch, capsys):
    """A service manager ends a whole group; PyTorch then says of its workers that they are killed."""

    def fails(*_, asked, **__):
        if asked:
            with suppress(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
        raise RuntimeError("A worker is killed by signal: Terminated.")

    monkeypatch.setattr(sys, "argv", ["unbabble"])
    monkeypatch.setattr(cli, "app", partial(fails, asked=True))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, capsys.readouterr().err) == (143, "unbabble: Interrupted.\n")
    monkeypatch.setattr(cli, "app", partial(fails, asked=False))
    with pytest.raises(RuntimeError, match="killed by signal"):
        cli.main()


def test_workers_end_with_a_run_that_is_killed(here):
    with endless(here) as (running, workers):
        assert len(workers) >= 2
        running.kill()
        assert not psutil.wait_procs(workers, timeout=30)[1]
    assert list((here / "voices").iterdir()) == [], "they removed what was under way"


def test_workers_give_what_one_process_gives(here, call):
    for seed, name in enumerate("abc"):
        make_mixture(here / "in" / f"{name}.wav", seed)
    (here / "in" / "empty.wav").touch()
    assert separate(call, "in", "--out", "one")[0] == 1
    assert separate(call, "in", "--out", "two", "--jobs", "2")[0] == 1
    for name in "abc":
        one, two = (soundfile.read(here / out / name / "source1.wav")[0] for out in ("one", "two"))
        assert np.allclose(one, two, atol=1e-5)


def test_images_flac_and_quiet(here, call):
    make_mixture(here / "x.wav", channels=3)
    code, text = separate(call, "x.wav", "--images", "--format", "flac", "--sources", "2", "--quiet")
    assert (code, text) == (0, "")
    names = [
        f"x/{name}" for name in ("source1.flac", "source1_image.flac", "source2.flac", "source2_image.flac")
    ]
    assert files(here / "voices") == [*names, "x/unbabble.json"]
    info = soundfile.info(here / "voices" / "x" / "source1_image.flac")
    assert (info.channels, info.subtype) == (3, "PCM_24")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("separate", "Name at least one recording"),
        ("separate x.wav --bogus", "Unknown option: --bogus.\n"),
        ("separate x.wav --sorces 2", "Unknown option: --sorces. Did you mean --sources?"),
        ("separate x.wav --overwrit=1", "Unknown option: --overwrit=1. Did you mean --overwrite?"),
        ("separate x.wav --jobs many", '--jobs takes a whole number, not "many"'),
        ("doctor x.wav y.wav", "Nothing is expected after what this command takes: x.wav y.wav"),
        ("separate x.wav --model ica --jobs 0", "number of jobs"),
        ("separate x.wav --sources none", '--sources takes a whole number or auto, not "none"'),
        ("separate x.wav --sources 2.5", '--sources takes a whole number, not "2.5"'),
        ("separate x.wav --model ica --iterations 2.5", '--iterations takes a whole number, not "2.5"'),
        ("separate x.wav --sources 0", "at least 1"),
        ("separate x.wav --model icu", "Did you mean 'ica'?"),
        ("separate x.wav --model ica.fast", "There is no model 'ica.fast'"),
        ("separate x.wav --model ica --starts 3", "Model 'ica' has no option 'starts'"),
        ("separate x.wav --model ica --set itterations=3", "Did you mean 'iterations'?"),
        ("separate x.wav --model ica --set iterations", "not of the form name=value"),
        ("separate x.wav --model ica --device abacus", "There is no device 'abacus'"),
        ("separate x.wav --model ica --dereverb joint", "Joint dereverberation"),
        ("separate x.wav --model ica --format mp3", "--format"),
        ("separate x.wav --model ica --out x.wav", "Cannot write to folder 'x.wav': it is a file."),
        ("separate x.wav --model ica --out x.wav/in", "Cannot write to folder 'x.wav/in'"),
        ("separate nothing --model ica", "holds no recordings"),
        ("separate *.ogg --model ica", "No file matches '*.ogg'"),
        ("separate zero\0byte.wav --model ica", "has a zero byte"),
        ("models info", "Name a model"),
        ("models info icu", "Did you mean 'ica'?"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(here, call, arguments, sentence):
    make_mixture(here / "x.wav")
    (here / "nothing").mkdir()
    code, text = call(*arguments.split())
    assert code == 2
    assert sentence in text
    assert text.count("\n") == 1
    assert not (here / "voices").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        "separate x.wav --model ica --report taken",
        "enhance x.wav --report taken",
        "stream x.wav --report taken",
        "simulate --speech x --room 3x3x3 --report taken",
        "score x.wav x.wav --json taken",
        "score x.wav x.wav --plot x.wav/scores",
        "score x.wav --references x.wav --estimates x.wav --json taken",
        "bench folder --data . --json taken",
        "prepare folder . --report taken",
        "adapt x.wav --out me --report taken",
        "adapt x.wav --out x.wav",
        "doctor --report taken",
        "export gru.2x64 --out x.wav/x.onnx",
        "push gru.2x64 x.wav",
    ],
)
def test_what_cannot_be_written_is_said_before_any_work(here, call, arguments):
    make_mixture(here / "x.wav")
    (here / "taken").mkdir()
    code, text = call(*arguments.split())
    assert (code, text.count("\n")) == (2, 1)
    assert text.startswith("unbabble: Cannot write ")
    assert sorted(path.name for path in here.iterdir()) == ["taken", "x.wav"]


def test_a_report_to_standard_output(here):
    make_mixture(here / "x.wav")
    done = process("separate", "x.wav", "--model", "ica", "--report", "/dev/stdout", cwd=here)
    assert json.loads(done.stdout)["files"][0]["outcome"] == "done"


def test_a_name_that_is_no_utf8(here, call):
    make_mixture(here / "x.wav").rename(os.fsdecode(b"caf\xe9.wav"))
    for outcome in ("done", "skipped"):
        code, _ = separate(call, *here.glob("*.wav"), "--report", "r.json")
        (entry,) = json.loads((here / "r.json").read_text())["files"]
        assert (code, entry["outcome"]) == (0, outcome)
        assert os.fsencode(entry["outputs"][0]) == b"voices/caf\xe9/source1.wav"
    assert process("score", "voices", cwd=here).returncode == 0


def test_help_names_every_command_and_option(here, capsys):
    assert cli.run(["--help"]) == 0
    listing = capsys.readouterr().out
    for verb in ("separate", "score", "simulate", "stream", "models", "doctor"):
        assert verb in listing
    assert cli.run(["separate", "--help"]) == 0
    assert "--images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "output", "errors"),
    [
        ("--version", 0, unbabble.__version__, ""),
        ("separate --bogus", 2, "", "unbabble: Unknown option: --bogus."),
        ("separate none.wav --model ica", 1, "", "There is no file 'none.wav'."),
    ],
)
def test_exit_codes_of_a_process(here, arguments, code, output, errors):
    done = process(*arguments.split(), cwd=here)
    assert (done.returncode, done.stdout.decode().strip(), done.stderr.decode().strip()) == (
        code,
        output,
        errors,
    )


@pytest.mark.parametrize(
    "arguments",
    ["score {}", "stream {}", "separate x.wav --model {}", "models info {}", "prepare folder {}"],
)
def test_a_name_that_no_file_system_takes(here, call, arguments):
    make_mixture(here / "x.wav")
    code, text = call(*arguments.format("x" * 300).split())
    assert code in (1, 2)
    assert text.count("\n") == 1
    assert "x" * 300 in text
    code, text = call("separate", "x" * 300, "x.wav", "--model", "ica", "--no-score")
    assert code == 1
    assert "cannot be opened: File name too long" in text
    assert (here / "voices" / "x" / "source1.wav").is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /dev/full")
@pytest.mark.parametrize("bare", [False, True], ids=["", "in an empty environment"])
@pytest.mark.parametrize("arguments", ["models", "--help", "separate --help"])
def test_what_cannot_be_printed_is_one_sentence(here, arguments, bare):
    bared = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "unbabble.cli", *arguments.split()]
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            env=bared if bare else None,
        )
    assert (done.returncode, done.stderr) == (
        1,
        "unbabble: Not all could be printed: No space left on device.\n",
    )


def test_standard_input_by_name(here, call, monkeypatch):
    make_mixture(here / "x.wav")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((here / "x.wav").read_bytes())))
    code, _ = call(
        "stream", "--input", "-", "--model", "online_auxiva", "--set", "window_length=256", "--quiet"
    )
    assert code == 0
    assert (here / "voices" / "stdin" / "source1.wav").is_file()


def test_models_and_their_options(here, capsys):
    assert cli.run(["models"]) == 0
    assert "ica.fastica" in capsys.readouterr().out
    assert cli.run(["models", "info", "ica.infomax"]) == 0
    text = capsys.readouterr().out
    for part in ("Hyvärinen", "iterations (int) = 500", "the microphone at which the sources are heard"):
        assert part in text


def test_doctor(here, capsys):
    assert cli.run(["doctor", "--report", "d.json"]) == 0
    assert "Everything necessary works." in capsys.readouterr().out
    parts = {check["part"] for check in json.loads((here / "d.json").read_text())["checks"]}
    assert {"python", "torch", "numba", "soundfile", "extra metrics", "devices", "kernel cache"} <= parts


def test_what_a_first_run_says_is_not_said_to_the_quiet(here, call, monkeypatch, caplog):
    make_mixture(here / "x.wav")
    monkeypatch.setattr("unbabble.methods.separation.ica.fastica", logging_first(ica.fastica))
    for options, said in ((), 1), (["--quiet"], 0), ((), 1):
        caplog.clear()
        assert separate(call, "x.wav", "--overwrite", *options)[0] == 0
        assert caplog.messages == ["First run: compiling."] * said


def logging_first(function):
    def logged(*arguments, **options):
        logging.getLogger("unbabble.signal.kernels.compile").warning("First run: compiling.")
        return function(*arguments, **options)

    return logged


def test_doctor_finds_a_place_for_kernels(here, monkeypatch):
    (here / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(here / "kernels"))
    assert doctor._kernel_cache().note == str(here / "kernels")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(here / "file" / "kernels"))
    monkeypatch.setattr(unbabble, "__file__", str(here / "file" / "package" / "__init__.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "file"))
    assert doctor._kernel_cache().state == "missing"


def test_doctor_fails_where_something_necessary_is_broken(here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    assert cli.run(["doctor", "--quiet"]) == 1
    assert "broken  soxr" in capsys.readouterr().out


def test_a_python_caller_gets_the_report(here):
    make_mixture(here / "x.wav")
    report = unbabble.separate("x.wav", model="ica", sources=1, out=here / "v", quiet=True)
    assert report.exit_code == 0
    assert report.files[0].details["sources"] == 1
    with pytest.raises(unbabble.UsageError):
        unbabble.separate(quiet=True)
