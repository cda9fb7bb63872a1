"""What was accepted, as a data set: read back by the commands, alike bit by bit, and without anybody who withdrew."""

import io
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import unbabble
from tests.web.conftest import log_in, wav
from tests.web.contributed import TALKERS, add_campaign, add_participant, contribute, separate
from tests.web.unpacked import unpack
from unbabble import cli
from unbabble.base import registry
from unbabble.base.errors import InputError, UsageError
from unbabble.data import manifest
from unbabble.web.queue import queue
from unbabble.web.queue.disposal import sweep
from unbabble.web.review import judging
from unbabble.web.review.datasets import make
from unbabble.web.review.splits import SPLITS, pseudonym, split_of
from unbabble.web.tables.collect import Contribution, Participant
from unbabble.web.tables.jobs import Job

NAMES = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=50, unique=True)
SHARES = st.floats(0, 0.49)


@given(NAMES, st.integers(0, 2**31), SHARES, SHARES)
def test_a_contributor_is_in_one_split_whoever_else_comes(contributors, seed, dev, test):
    half = {each: split_of(each, seed, dev, test) for each in contributors[: len(contributors) // 2]}
    every = {each: split_of(each, seed, dev, test) for each in reversed(contributors)}
    assert all(every[each] == split for each, split in half.items())
    assert set(every.values()) <= set(SPLITS)


@given(st.text(max_size=20), SHARES, SHARES, st.floats(0, 0.02))
def test_a_larger_share_of_dev_or_test_moves_nobody_out_of_it(contributor, dev, test, more):
    if (split := split_of(contributor, 0, dev, test)) != "train":
        assert (
            split_of(contributor, 0, dev + more * (split == "dev"), test + more * (split == "test")) == split
        )


def test_shares_are_kept_on_average():
    found = [split_of(str(number), seed=3, dev=0.1, test=0.2) for number in range(10_000)]
    assert found.count("dev") == pytest.approx(1000, abs=120)
    assert found.count("test") == pytest.approx(2000, abs=160)
    assert found != [split_of(str(number), seed=4, dev=0.1, test=0.2) for number in range(10_000)]


@given(st.text(max_size=30), st.text(max_size=30))
def test_pseudonyms_differ_by_secret_kind_and_person(first, second):
    assert (pseudonym(b"a", "participant", first) == pseudonym(b"a", "participant", second)) == (
        first == second
    )
    assert pseudonym(b"a", "participant", first) != pseudonym(b"b", "participant", first)
    assert pseudonym(b"a", "participant", first) != pseudonym(b"a", "contribution", first)


def fill(app, people: int = 6, each: int = 2, voices: bool = False) -> list[str]:
    """A campaign with accepted recordings of so many people, one rejected and one that waits; returns the people."""
    campaign = add_campaign(app, "pilot", "Pilot", licence="CC BY 4.0")
    found = [add_participant(app, campaign, provider=f"prolific-{number}") for number in range(people)]
    for number, participant in enumerate(found):
        for turn in range(each):
            contribute(app, participant, wav(0.6, 48000, seed=10 * number + turn))
    if voices:
        separate(app)
    with app.state.database.writing() as session:
        session.query(Contribution).update({"status": "accepted"})
    contribute(app, found[0], status="rejected")
    contribute(app, found[0])
    return found


def collected(app, out: Path, *options: str) -> int:
    settings = app.state.settings
    place = ("--data", str(settings.data), "--database", settings.database, "--storage", settings.storage)
    return cli.run(["collected", str(out), *place, "--quiet", *options])


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_data_set_holds_what_was_accepted_and_no_more(site, tmp_path):
    people = fill(site, voices=True)
    assert collected(site, tmp_path / "set") == 0
    entries = manifest.read(tmp_path / "set" / "manifest.jsonl")
    assert len(entries) == 12
    by_split = {
        name: manifest.read(tmp_path / "set" / f"{name}.jsonl") for name in {e.split for e in entries}
    }
    assert sorted(e.id for part in by_split.values() for e in part) == [e.id for e in entries]
    contributors = {name: {e.recipe["contributor"] for e in part} for name, part in by_split.items()}
    assert sum(map(len, contributors.values())) == len(people)  # nobody twice
    good, bad, odd = manifest.check(entries)
    assert (len(good), bad, odd) == (12, [], [])
    first = entries[0]
    assert first.transcripts == ("The birch canoe slid.", "Glue the sheet.")
    assert first.recipe["talkers"] == TALKERS
    assert first.recipe["microphone"]["echoCancellation"] is False
    assert (first.recipe["licence"], first.recipe["consent"]) == ("CC BY 4.0", "pilot-1")
    assert (tmp_path / "set" / "consent" / "pilot-1.txt").read_text() == "I agree to Pilot."
    card = (tmp_path / "set" / "README.md").read_text()
    assert "12 recordings, 0.1 minutes, by 6 contributors" in card
    assert "estimated SI-SNR of the voices 9.0 dB" in card


def test_recordings_are_exported_sample_by_sample(light_site, tmp_path):
    participant = add_participant(light_site, add_campaign(light_site))
    fine = (np.random.default_rng(0).integers(-(2**23), 2**23, (500, 2)) << 8).astype(np.int32)
    file = io.BytesIO()
    soundfile.write(file, fine, 44100, format="WAV", subtype="PCM_24")
    sent = {16: wav(0.5, 16000, seed=3), 24: file.getvalue()}
    for content in sent.values():
        contribute(light_site, participant, content, status="accepted")
    assert collected(light_site, tmp_path / "set") == 0
    found = {}
    for path in (tmp_path / "set" / "audio").rglob("*.wav"):
        samples, _ = soundfile.read(path, dtype="int32", always_2d=True)
        found[int(soundfile.info(path).subtype[-2:])] = samples
    for bits, content in sent.items():
        expected, _ = soundfile.read(io.BytesIO(content), dtype="int32", always_2d=True)
        np.testing.assert_array_equal(found[bits], expected)


def test_nobody_can_be_told_from_a_data_set(light_site, tmp_path):
    people = fill(light_site, 2)
    light_site.state.settings.data.joinpath("secret").read_bytes()
    assert collected(light_site, tmp_path / "set", "--shards") == 0
    with light_site.state.database.reading() as session:
        keys = [row.id for row in session.query(Contribution).all()]
        uploads = [row.upload_id for row in session.query(Contribution).all()]
    everything = b"".join([*files(tmp_path / "set").values(), *map(str.encode, files(tmp_path / "set"))])
    for hidden in (*people, *keys, *uploads, "prolific-0", "Ann's Phone", 'd1"', "reviewer"):
        assert hidden.encode() not in everything, hidden


def test_the_same_recordings_give_the_same_bytes(light_site, tmp_path):
    fill(light_site, 4)
    options = ("--shards", "--shard-megabytes", "1")
    for name in ("first", "second"):
        assert collected(light_site, tmp_path / name, *options) == 0
    first = files(tmp_path / "first")
    assert first == files(tmp_path / "second")
    assert any(name.startswith("shards/") for name in first)


def test_shards_hold_every_recording_once_within_their_size(light_site, tmp_path, monkeypatch):
    monkeypatch.setattr("unbabble.web.collected.LEAST_SHARD_MEGABYTES", 0)
    fill(light_site, 4)
    assert (
        collected(light_site, tmp_path / "set", "--shards", "--shard-megabytes", "0.15", "--dev", "0.4") == 0
    )
    entries = {entry.id: entry for entry in manifest.read(tmp_path / "set" / "manifest.jsonl")}
    found, shards = [], sorted((tmp_path / "set" / "shards").iterdir())
    assert len(shards) > len({entry.split for entry in entries.values()})
    for shard in shards:
        assert shard.stat().st_size <= 150_000
        with tarfile.open(shard) as archive:
            names = archive.getnames()
            for name in names[::2]:
                key = name.removesuffix(".wav")
                assert entries[key].split == shard.name.split("-")[0]
                member = archive.extractfile(name)
                assert member is not None
                assert member.read() == entries[key].mixture.read_bytes()
                about = archive.extractfile(f"{key}.json")
                assert about is not None
                assert json.load(about)["transcripts"] == list(entries[key].transcripts)
        found += names
    assert sorted(found) == sorted(f"{key}.{kind}" for key in entries for kind in ("wav", "json"))


@pytest.mark.parametrize("layout", ["manifest", "realm"])
def test_score_and_bench_read_a_data_set_as_its_card_says(
    light_site, tmp_path, packaged_scorer, package, monkeypatch, layout
):
    package(two={"sources": 2, "sample_rate": 8000})
    fill(light_site, 2, 1, voices=True)
    assert collected(light_site, tmp_path / "set", "--layout", layout) == 0
    monkeypatch.chdir(tmp_path / "set")
    commands = re.findall(r"^    unbabble (.+)$", Path("README.md").read_text(), re.M)
    found = {}
    for command in commands:
        if not command.startswith("train"):
            assert cli.run([*command.split(), "--json", "../told.json", "--quiet"]) == 0, command
            found[command.split()[0]] = json.loads(Path("../told.json").read_text())
    assert [len(file["details"]["voices"]) for file in found["score"]["files"]] == [2, 2]
    assert found["bench"]["models"]["conv_tasnet.two"]["recordings"] == 2
    assert Path(commands[-1].split()[-1]).is_file()  # what `train` is told to validate on


@pytest.mark.filterwarnings("ignore:This DataLoader will create", "ignore:.*pin_memory")
def test_a_separator_is_chosen_on_a_data_set(light_site, tmp_path, packaged_scorer):
    fill(light_site, 2, 1)
    assert collected(light_site, tmp_path / "set") == 0
    for number in range(10):  # every fifth of a speaker is held out
        path = tmp_path / "speech" / str(number % 2) / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav(1.0, seed=number))
    mixing = {
        "speech": str(tmp_path / "speech"),
        "talkers": [2],
        "seconds": 0.25,
        "cache": str(tmp_path / "cache"),
    }
    recipe = {
        "method": "bsrnn",
        "options": registry.method("bsrnn").TINY,
        "steps": 1,
        "batch": 1,
        "workers": 0,
    }
    recipe |= {"train": {**mixing, "held_out": False}, "validation": {**mixing, "held_out": True}}
    recipe |= {"validation_items": 1, "validate_every": 1, "save_every": 1}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))  # which is YAML, too
    place = ["--validate-blind", str(tmp_path / "set" / "manifest.jsonl"), "--out", str(tmp_path / "run")]
    assert cli.run(["train", str(tmp_path / "recipe.yaml"), *place, "--device", "cpu", "--quiet"]) == 0
    assert (tmp_path / "run" / "best.safetensors").is_file()


def test_as_real_m_it_is_read_by_bench_and_prepare(light_site, tmp_path, packaged_scorer, package):
    package(two={"sources": 2, "sample_rate": 8000})
    campaign = add_campaign(light_site)
    text = 'He said "no", then\nleft, at 5.'
    contribute(light_site, add_participant(light_site, campaign), status="accepted", first_text=text)
    contribute(
        light_site, add_participant(light_site, campaign), wav(0.5, 44100, channels=2), status="accepted"
    )
    out, told = tmp_path / "set", tmp_path / "told.json"
    assert collected(light_site, out, "--layout", "realm") == 0
    arguments = ["bench", "realm", "--data", str(out), "--models", "conv_tasnet.two", "--json", str(told)]
    assert cli.run([*arguments, "--quiet"]) == 0
    assert json.loads(told.read_text())["models"]["conv_tasnet.two"]["recordings"] == 2
    assert cli.run(["prepare", "real-m", str(out), "--out", str(tmp_path / "lists"), "--quiet"]) == 0
    entries = manifest.read(tmp_path / "lists" / "real-m-all.jsonl")
    assert {entry.sample_rate for entry in entries} == {8000}
    assert text in {entry.transcripts[0] for entry in entries}
    lengths = sorted(entry.seconds for entry in entries)
    assert lengths == [0.5, 1.0]
    assert [entry.mixture.resolve() for entry in entries] == [
        (out / line["mixture"]).resolve()
        for line in map(json.loads, (out / "manifest.jsonl").read_text().splitlines())
    ]


def withdraw(app, participant: str) -> None:
    with app.state.database.writing() as session:
        session.get_one(Participant, participant).state = "withdrawn"


def test_who_withdrew_is_in_no_export(site, tmp_path):
    people = fill(site, 3)
    withdraw(site, people[1])
    assert collected(site, tmp_path / "set") == 0
    names = {pseudonym(site.state.settings.secret, "participant", each): each for each in people}
    entries = manifest.read(tmp_path / "set" / "manifest.jsonl")
    assert {names[entry.recipe["contributor"]] for entry in entries} == {people[0], people[2]}


def test_who_withdraws_while_it_is_exported_is_left_out(light_site, tmp_path, monkeypatch):
    people, turns = fill(light_site, 3), []
    from unbabble.web.review import export

    before = export.read_stored

    def read_then_withdraw(storage, key):
        turns.append(key)
        if len(turns) == 5:
            withdraw(light_site, people[0])
        return before(storage, key)

    monkeypatch.setattr(export, "read_stored", read_then_withdraw)
    assert collected(light_site, tmp_path / "set") == 0
    hidden = pseudonym(light_site.state.settings.secret, "participant", people[0])
    assert hidden not in str(sorted(files(tmp_path / "set")))
    assert len(manifest.read(tmp_path / "set" / "manifest.jsonl")) == 4


def test_a_recording_that_is_lost_is_named_and_the_others_are_exported(light_site, tmp_path, capsys):
    fill(light_site, 2, 1)
    stored = sorted((light_site.state.settings.data / "recordings" / "uploads").rglob("*.flac"))
    with light_site.state.database.reading() as session:
        accepted = session.query(Contribution).filter_by(status="accepted").first().upload_id
    next(path for path in stored if path.stem == accepted).unlink()
    assert collected(light_site, tmp_path / "set", "--report", str(tmp_path / "report.json")) == 1
    outcomes = [file["outcome"] for file in json.loads((tmp_path / "report.json").read_text())["files"]]
    assert sorted(outcomes) == ["done", "failed"]
    assert "is left out" in capsys.readouterr().err


def test_nothing_is_replaced_but_a_data_set_that_may_be(light_site, tmp_path, capsys):
    fill(light_site, 1, 1)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years")
    assert collected(light_site, other) == 2
    assert collected(light_site, other, "--overwrite") == 2
    assert "something else" in capsys.readouterr().err
    assert files(other) == {"thesis.txt": b"years"}
    out = tmp_path / "set"
    assert collected(light_site, out) == 0
    assert collected(light_site, out) == 2
    contribute(light_site, add_participant(light_site, add_campaign(light_site, "b")), status="accepted")
    assert collected(light_site, out, "--overwrite") == 0
    assert len(manifest.read(out / "manifest.jsonl")) == 2
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--campaign", "pilots"], 1, "There is no campaign 'pilots', but pilot."),
        (["--dev", "0.6", "--test", "0.5"], 2, "together below 1"),
        (["--layout", "mp3"], 2, "realm"),
        (["--shard-megabytes", "0"], 2, "A shard has"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(light_site, tmp_path, capsys, options, code, told):
    fill(light_site, 1, 1)
    assert collected(light_site, tmp_path / "set", *options) == code
    assert told in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_the_commands_of_the_site_take_paths_as_text(tmp_path):
    with pytest.raises(InputError, match="no site"):
        unbabble.collected(f"{tmp_path}/set", data=f"{tmp_path}/nowhere")
    with pytest.raises(InputError, match="no folder"):
        unbabble.fill("english", f"{tmp_path}/nowhere", data=f"{tmp_path}/site")
    (tmp_path / "password").write_text("short")
    with pytest.raises(UsageError):
        unbabble.administrator("anna", data=f"{tmp_path}/site", password_file=f"{tmp_path}/password")


def test_a_folder_without_a_site_and_a_site_without_recordings(light_site, tmp_path, capsys):
    assert cli.run(["collected", str(tmp_path / "set"), "--data", str(tmp_path / "none")]) == 1
    assert "There is no site in" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    assert collected(light_site, tmp_path / "set") == 1
    assert "There are no accepted recordings." in capsys.readouterr().err


def work(app, tmp_path) -> None:
    """Be the worker for data sets."""
    state = app.state
    while claimed := queue.claim(state.database, "test"):
        assert claimed.kind == "export"
        folder = tmp_path / claimed.id
        folder.mkdir()
        try:
            result, path = make(
                claimed.parameters,
                state.database,
                state.storage,
                state.settings.secret,
                folder,
                lambda share: None,
            )
        except InputError as error:
            queue.refuse(state.database, claimed, str(error))
            continue
        key = f"jobs/{claimed.id}/{path.name}"
        state.storage.put(key, path)
        output = {"name": path.name, "key": key, "bytes": path.stat().st_size}
        queue.finish(state.database, claimed, result, [output])


def test_a_data_set_is_asked_for_made_and_downloaded(site, tmp_path):
    people = fill(site, 3, 1)
    with site.state.database.writing() as session:  # nothing else for the worker
        session.query(Contribution).filter(Contribution.status != "accepted").delete()
    browser = log_in(site)
    asked = browser.post("/api/review/datasets", json={"title": "Pilot <1>", "campaign": "pilot"})
    assert asked.status_code == 202
    key = asked.json()["id"]
    assert browser.get(f"/review/datasets/{key}/file").status_code == 409  # nothing half-written
    work(site, tmp_path)
    state = browser.get(f"/api/review/datasets/{key}").json()
    assert (state["state"], state["recordings"], state["contributors"]) == ("done", 3, len(people))
    answer = browser.get(f"/review/datasets/{key}/file")
    assert answer.headers["content-disposition"] == 'attachment; filename="Pilot-1.tar"'
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        unpack(archive, tmp_path / "got")
    assert len(manifest.check(manifest.read(tmp_path / "got" / "Pilot-1" / "manifest.jsonl"))[0]) == 3
    assert collected(site, tmp_path / "set", "--title", "Pilot <1>", "--campaign", "pilot") == 0
    assert files(tmp_path / "got" / "Pilot-1") == files(tmp_path / "set")  # the command makes the same
    assert browser.delete(f"/api/review/datasets/{key}").status_code == 204
    assert browser.get("/api/review/datasets").json() == []


@pytest.mark.parametrize("told", [True, False])
def test_a_data_set_is_gone_when_somebody_in_it_withdraws(light_site, tmp_path, told):
    people = fill(light_site, 2, 1)
    browser = log_in(light_site)
    key = browser.post("/api/review/datasets", json={"title": "All"}).json()["id"]
    work(light_site, tmp_path)
    with light_site.state.database.reading() as session:
        (output,) = session.get_one(Job, key).outputs
        theirs = [row.id for row in session.query(Contribution).filter_by(participant_id=people[0]).all()]
    if told:
        with light_site.state.database.writing() as session:
            judging.forget(session, theirs)
        assert browser.get(f"/review/datasets/{key}/file").status_code == 404
    else:
        withdraw(light_site, people[0])
        answer = browser.get(f"/review/datasets/{key}/file")
        assert answer.status_code == 410
        assert "One of its recordings was withdrawn" in answer.json()["detail"]
    sweep(light_site.state.database, light_site.state.storage)
    assert light_site.state.storage.size(output["key"]) is None


def test_a_worker_with_another_secret_makes_no_data_set(light_site, tmp_path):
    fill(light_site, 1, 1)
    browser = log_in(light_site)
    browser.post("/api/review/datasets", json={"title": "All"})
    claimed = queue.claim(light_site.state.database, "test")
    assert claimed is not None
    with pytest.raises(InputError, match="another secret"):
        make(claimed.parameters, light_site.state.database, light_site.state.storage, b"x", tmp_path, print)


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": ""},
        {"title": "a\x00"},
        {"campaign": "../x"},
        {"campaign": "nowhere"},
        {"layout": "mp3"},
        {"seed": -1},
        {"dev": 0.5, "test": 0.5},
        {"dev": "NaN"},
    ],
)
def test_a_data_set_that_makes_no_sense_is_refused(light_site, wrong):
    answer = log_in(light_site).post("/api/review/datasets", json={"title": "All"} | wrong)
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)
