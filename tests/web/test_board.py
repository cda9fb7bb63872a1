"""The leaderboard: its numbers, what it takes from strangers, and who sees what."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.web import test_rate as rating
from tests.web.conftest import log_in, visit
from unbabble.base.errors import InputError
from unbabble.web.leaderboard import standings
from unbabble.web.leaderboard.board import Figure, figure, limited_db, ranks, read_table, summary
from unbabble.web.leaderboard.board_work import MASK, MIXTURE, board, ideal_ratio_masks
from unbabble.web.queue.disposal import sweep
from unbabble.web.tables.board import Entry, TestSet
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.uploads import Upload
from unbabble.web.worker import Hands, Worker

RATE, SECONDS, TALKERS = 8000, 1.5, 2
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def voices(seed: int) -> np.ndarray:
    """Two "talkers": noise that comes and goes, each in its own band."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(SECONDS * RATE)) / RATE
    low = np.convolve(rng.standard_normal(len(time)), np.hanning(24), "same")
    high = rng.standard_normal(len(time)) - np.convolve(rng.standard_normal(len(time)), np.hanning(9), "same")
    both = np.stack([low * (1 + np.sin(9 * time)), high * (1 + np.cos(7 * time))])
    return 0.1 * both / both.std(1, keepdims=True)


def sound(samples: np.ndarray, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples.T, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def a_set(items: int = 3, truth: str = "reference") -> dict[str, bytes]:
    files = {}
    for k in range(items):
        both = voices(k)
        files[f"000{k}/mixture.wav"] = sound(both.sum(0))
        if truth:
            files |= {f"000{k}/{truth}{s}.wav": sound(voice) for s, voice in enumerate(both, 1)}
    return files


def outputs(items: int = 3, noise: float = 0.1, name: str = "{item}/source{voice}.wav") -> dict[str, bytes]:
    """Good ones, in the wrong order, with some noise."""
    files = {}
    for k in range(items):
        heard = voices(k)[::-1] + noise * 0.1 * np.random.default_rng(k + 50).standard_normal((2, 12000))
        files |= {name.format(item=f"000{k}", voice=s): sound(voice) for s, voice in enumerate(heard, 1)}
    return files


# --- numbers ---


def test_a_figure_is_the_mean_over_recordings_with_an_interval_that_holds_it():
    told = figure([1.0, 2.0, 3.0, 4.0, float("nan")])
    assert told is not None
    assert (told.mean, told.count) == (2.5, 4)
    assert told.low is not None
    assert told.high is not None
    assert 1.0 <= told.low < 2.5 < told.high <= 4.0
    assert figure([5.0]) == Figure(5.0, None, None, 1)
    assert figure([float("nan")]) is None


def test_intervals_hold_the_true_mean_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        told = figure(rng.normal(3.0, 2.0, 40).tolist(), draws=400)
        assert told is not None
        assert told.low is not None
        assert told.high is not None
        held += told.low <= 3.0 <= told.high
    assert 0.88 <= held / 200 <= 0.99


finite = st.floats(-50, 50)


@given(st.lists(st.tuples(finite, finite).map(sorted), min_size=1, max_size=8))
def test_nobody_is_ranked_below_a_system_whose_interval_overlaps(intervals):
    figures = [Figure((low + high) / 2, low, high, 9) for low, high in intervals]
    placed = ranks(figures)
    assert min(placed) == 1  # type: ignore[type-var]
    for own, rank in zip(figures, placed, strict=True):
        better = [other for other in figures if other.low > own.high]  # type: ignore[operator]
        assert rank == 1 + len(better)


def test_without_an_interval_there_is_no_rank():
    assert ranks([Figure(3, 2, 4, 9), None, Figure(9, None, None, 1), Figure(0, -1, 1, 9)]) == [
        1,
        None,
        None,
        2,
    ]


def test_one_silent_or_perfect_voice_does_not_decide_a_mean():
    assert [limited_db(x) for x in (-float("inf"), float("inf"), 3.0)] == [-30.0, 60.0, 3.0]
    told = summary({"a": {"si_sdri": 1.0, "blind": 2.0}, "b": {"si_sdri": 3.0}})
    assert told["si_sdri"]["mean"] == 2.0
    assert told["blind"]["count"] == 1
    assert "pesq" not in told


def test_masks_of_magnitudes_share_the_mixture_out():
    both = torch.from_numpy(voices(0))
    found = ideal_ratio_masks(both.sum(0), both, RATE)
    torch.testing.assert_close(found.sum(0), both.sum(0), atol=1e-6, rtol=0)
    error = (found - both).square().sum(1) / both.square().sum(1)
    assert (error < 0.3).all()


def test_tables_of_the_benchmarks_are_read():
    found = read_table(json.loads((RESULTS / "separation.json").read_text()), "separation")
    assert {"separation: clean", "separation: both3"} <= {table.name for table in found}
    clean = next(table for table in found if table.name == "separation: clean")
    assert clean.systems["mixture"]["si_sdri"]["mean"] == 0.0
    assert "separation.py" in clean.made["command"]


@pytest.mark.parametrize(
    "content",
    [
        [], None, 3, {}, {"models": {}}, {"models": []}, {"models": {"a": {"sets": {"b": {}}}}},
        {"models": {"a": {"sets": {"b": {"si_snri": 1, "si_snri_low": 2, "si_snri_high": 3, "items": 4}}}}},
        {"models": {"a": {"sets": {"b": {"si_snri": float("nan"), "si_snri_low": 0, "si_snri_high": 3, "items": 4}}}}},
        {"models": {"a": {"sets": {"b": {"si_snri": 1, "si_snri_low": 0, "si_snri_high": 3, "items": float("inf")}}}}},
        {"files": [], "models": {}}, {"files": [], "models": {"a": {"si_snr_db": "x"}}, "config": {}},
    ],
)  # fmt: skip
def test_other_tables_are_refused(content):
    with pytest.raises(InputError):
        read_table(content, "table")


# --- jobs ---


def prepared(tmp_path, settings, files: dict[str, bytes]) -> tuple[dict, Path]:
    (tmp_path / "a.zip").write_bytes(zipped(files))
    folder = tmp_path / "prepare"
    folder.mkdir()
    result, paths = board(folder, {"site": settings, "talkers": TALKERS}, {"archive": [tmp_path / "a.zip"]})
    assert [path.name for path in paths] == ["set.zip", "mixtures.zip"]
    return result, paths[0]


def scored(tmp_path, settings, known: Path, files: dict[str, bytes], name: str = "score") -> dict:
    (tmp_path / "o.zip").write_bytes(zipped(files))
    folder = tmp_path / name
    folder.mkdir()
    roles = {"set": [known], "outputs": [tmp_path / "o.zip"]}
    return board(folder, {"site": settings, "talkers": TALKERS}, roles)[0]


def test_a_set_with_truth_has_its_baselines_and_good_outputs_score_well(tmp_path, light_settings):
    found, known = prepared(tmp_path, light_settings, a_set())
    assert (found["synthetic"], found["talkers"], found["items"]) == (True, 2, ["0000", "0001", "0002"])
    assert abs(found["baselines"][MIXTURE]["scores"]["si_sdri"]["mean"]) < 0.01
    assert found["baselines"][MASK]["scores"]["si_sdri"]["mean"] > 5
    assert set(found["baselines"]) == {MIXTURE, MASK}
    names = zipfile.ZipFile(known.with_name("mixtures.zip")).namelist()
    assert names == ["0000/mixture.wav", "0001/mixture.wav", "0002/mixture.wav"]
    good = scored(tmp_path, light_settings, known, outputs(), "good")
    assert 15 < good["scores"]["si_sdri"]["mean"] < 25
    assert good["scores"]["blind"]["count"] == 3
    # in the folders of `unbabble separate`, in a folder of its own, louder than full scale: the same
    loud = {name: sound(20 * soundfile.read(io.BytesIO(content))[0]) for name, content in outputs().items()}
    other = {f"run/{name.replace('/', '-mixture/')}": content for name, content in loud.items()}
    again = scored(tmp_path, light_settings, known, other, "again")
    assert again["scores"]["si_sdri"]["mean"] == pytest.approx(good["scores"]["si_sdri"]["mean"], abs=0.01)


def test_mixtures_alone_are_a_real_set_scored_blindly(tmp_path, light_settings):
    flat = {name.replace("/mixture", ""): content for name, content in a_set(2, truth="").items()}
    found, known = prepared(tmp_path, light_settings, flat)
    assert (found["synthetic"], found["talkers"], found["items"]) == (False, 2, ["0000", "0001"])
    assert set(found["baselines"]) == {MIXTURE}
    assert set(found["baselines"][MIXTURE]["scores"]) == {"blind"}
    assert set(scored(tmp_path, light_settings, known, outputs(2))["scores"]) == {"blind"}


def changed(files: dict[str, bytes], **changes: bytes | None) -> dict[str, bytes]:
    files = files | {name.replace("_", "/", 1).replace("_", "."): value for name, value in changes.items()}
    return {name: content for name, content in files.items() if content is not None}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"0001_source1_wav": None, "0001_source2_wav": None}, "no voices of '0001'"),
        ({"0001_source2_wav": None}, "'0001' has 1 voice of 2 that are expected"),
        ({"0001_source3_wav": sound(voices(1)[0])}, "'0001' has 3 voices"),
        ({"0001_source2_wav": sound(voices(1)[0][:6000])}, "0001/source2.wav"),
        ({"0001_source2_wav": b"hello, I am text"}, "'0001/source2.wav': .*text"),
        ({"0001_source2_wav": b"#EXTM3U\nhttp://127.0.0.1/x"}, "'0001/source2.wav'"),
        ({"0001_source2_wav": sound(np.full(12000, np.nan))}, "not numbers"),
        ({"0001_source2_wav": b""}, "empty"),
    ],
)
def test_outputs_that_do_not_fit_are_told_by_name(tmp_path, light_settings, changes, told):
    known = tmp_path / "set.zip"
    known.write_bytes(zipped(a_set(2)))
    with pytest.raises(InputError, match=told) as error:
        scored(tmp_path, light_settings, known, changed(outputs(2), **changes))
    assert str(tmp_path) not in str(error.value)


def test_silence_is_scored_as_what_it_is_worth(tmp_path, light_settings):
    _, known = prepared(tmp_path, light_settings, a_set(2))
    silent = changed(outputs(2), **{"0001_source2_wav": sound(np.zeros(12000))})
    found = scored(tmp_path, light_settings, known, silent)["items"]
    assert found["0001"]["si_sdri"] < 0 < found["0000"]["si_sdri"]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"readme.txt": b"hello"}, "no recordings"),
        ({**a_set(1), "0007/source1.wav": sound(voices(0)[0])}, "no mixture"),
        ({**a_set(1), "0007/mixture.wav": sound(voices(0)[0])}, "more true voices"),
        ({**a_set(1), "0000/reference2.wav": sound(voices(0)[0][:100])}, "lasts"),
        ({"0000/mixture.wav": sound(np.zeros(12000))}, "'0000'"),
        ({"0000/mixture.wav": b"RIFF"}, "'0000/mixture.wav'"),
    ],
)
def test_sets_that_cannot_be_used_are_told_why(tmp_path, light_settings, files, told):
    with pytest.raises(InputError, match=told) as error:
        prepared(tmp_path, light_settings, files)
    assert str(tmp_path) not in str(error.value)


# --- the site ---


def make_set(app, browser, files: dict[str, bytes] | None = None, work: bool = True, **changes) -> str:
    """Send an archive as a test set and have it read; its address."""
    upload = browser.upload(zipped(files or a_set()), "set.zip", "archive")
    new = {"upload": upload["id"], "name": "Rooms & <b>halls</b>", "licence": "CC BY 4.0"} | changes
    answer = browser.post("/api/leaderboard/sets", json=new)
    assert answer.status_code == 201, answer.text
    if work:
        run_jobs(app)
    return answer.json()["slug"]


@pytest.fixture(scope="module", autouse=True)
def hands():
    """The process that computes, for several tests: it takes seconds to begin."""
    HANDS.append(Hands())
    yield
    HANDS.pop().end()


HANDS: list[Hands] = []


def run_jobs(app) -> None:
    worker = Worker(app.state.settings)
    worker._hands = HANDS[0]
    while worker.step():
        pass
    assert worker._hands is HANDS[0], "the process fell"
    worker._hands = None
    worker.close()


def submit(browser, slug: str, files: dict[str, bytes] | None = None, **changes):
    upload = browser.upload(zipped(files or outputs()), "outputs.zip", "archive")
    new = {"upload": upload["id"], "system": "<i>mine</i>", "contact": "me@here.example"} | changes
    return browser.post(f"/api/leaderboard/{slug}/entries", json=new)


def test_from_a_set_over_outputs_to_a_published_entry(site):
    administrator, visitor, stranger = log_in(site), visit(site), visit(site)
    slug = make_set(site, administrator)
    page = visitor.get(f"/leaderboard/{slug}").text
    assert "ideal ratio mask" in page
    assert "<b>halls" not in page
    packed = visitor.get(f"/leaderboard/{slug}/mixtures.zip")
    assert {name.split("/")[1] for name in zipfile.ZipFile(io.BytesIO(packed.content)).namelist()} == {
        "mixture.wav"
    }

    answer = submit(visitor, slug, link="https://example.org/paper", description="Seed 3.")
    assert answer.status_code == 201, answer.text
    key = answer.json()["id"]
    assert visitor.get(f"/api/leaderboard/entries/{key}").json()["state"] == "waiting"
    run_jobs(site)
    assert visitor.get(f"/api/leaderboard/entries/{key}").json()["state"] == "scored"
    assert "&lt;i&gt;mine" in visitor.get(f"/leaderboard/entries/{key}").text
    for path in (f"/leaderboard/entries/{key}", f"/api/leaderboard/entries/{key}"):
        assert stranger.get(path).status_code == 404
    assert "mine" not in stranger.get("/leaderboard").text

    listed = administrator.get("/leaderboard/manage").text
    assert "me@here.example" in listed
    assert administrator.post(f"/leaderboard/manage/entries/{key}/publish").status_code == 303
    for path in ("/leaderboard", f"/leaderboard/{slug}", f"/leaderboard/entries/{key}"):
        shown = stranger.get(path).text
        assert "&lt;i&gt;mine" in shown
        assert "<i>mine" not in shown
        assert "me@here" not in shown
    (told,) = stranger.get("/api/leaderboard").json()
    assert told["systems"][0]["system"] == "<i>mine</i>"
    assert told["systems"][0]["ranks"]["si_sdri"] == 1
    assert told["systems"][-1]["system"] == "mixture"

    assert administrator.post(f"/leaderboard/manage/entries/{key}/hide").status_code == 303
    assert stranger.get(f"/leaderboard/entries/{key}").status_code == 404


def test_what_was_sent_is_deleted_once_it_is_scored_and_a_set_goes_with_its_files(light_site):
    database, storage = light_site.state.database, light_site.state.storage
    administrator, visitor = log_in(light_site), visit(light_site)
    slug = make_set(light_site, administrator)
    submit(visitor, slug)
    run_jobs(light_site)
    standings.settle(database)
    with database.reading() as session:
        assert session.query(Upload).count() == 0
        test_set = session.query(TestSet).one()
        keys = [test_set.key, test_set.mixtures_key]
    sweep(database, storage)
    assert all(storage.size(key) for key in keys)
    assert administrator.post(f"/leaderboard/manage/sets/{test_set.id}/remove").status_code == 303
    sweep(database, storage)
    with database.reading() as session:
        assert (
            session.query(Entry).count() == session.query(TestSet).count() == session.query(Job).count() == 0
        )
    folder = Path(light_site.state.settings.storage)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_only_administrators_manage(light_site):
    administrator = log_in(light_site)
    slug = make_set(light_site, administrator, a_set(2))
    visitor = visit(light_site)
    key = submit(visitor, slug, outputs(2)).json()["id"]
    run_jobs(light_site)
    visitor.get(f"/leaderboard/entries/{key}")
    with light_site.state.database.reading() as session:
        test_set = session.query(TestSet).one()
    for browser, expected in (
        (visit(light_site), 401),
        (visitor, 401),
        (log_in(light_site, "reviewer"), 403),
    ):
        upload = browser.upload(zipped(a_set(1)), "set.zip", "archive")
        tried = [
            browser.get("/leaderboard/manage"),
            browser.post("/leaderboard/manage/load", files={"file": ("a.json", b"{}")}),
            browser.post("/api/leaderboard/sets", json={"upload": upload["id"], "name": "x"}),
            *(
                browser.post(f"/leaderboard/manage/sets/{test_set.id}/{do}")
                for do in ("open", "close", "remove")
            ),
            *(
                browser.post(f"/leaderboard/manage/entries/{key}/{do}")
                for do in ("publish", "hide", "remove")
            ),
        ]
        assert {answer.status_code for answer in tried} == {expected}
    assert visit(light_site).post(f"/leaderboard/entries/{key}/withdraw").status_code == 404
    assert visitor.post(f"/leaderboard/entries/{key}/withdraw").status_code == 303
    assert visitor.get(f"/leaderboard/entries/{key}").status_code == 404


def test_an_archive_is_used_once_and_by_whom_it_belongs_to(light_site):
    administrator, visitor = log_in(light_site), visit(light_site)
    slug = make_set(light_site, administrator, a_set(1))
    upload = visitor.upload(zipped(outputs(1)), "outputs.zip", "archive")
    new = {"upload": upload["id"], "system": "x", "contact": "y"}
    assert visit(light_site).post(f"/api/leaderboard/{slug}/entries", json=new).status_code == 404
    assert visitor.post(f"/api/leaderboard/{slug}/entries", json=new).status_code == 201
    assert visitor.post(f"/api/leaderboard/{slug}/entries", json=new).status_code == 409
    assert (
        visitor.post(f"/api/leaderboard/{slug}/entries", json=new | {"link": "javascript:x"}).status_code
        == 422
    )
    for _ in range(4):
        assert submit(visitor, slug, outputs(1)).status_code == 201
    assert submit(visitor, slug, outputs(1)).status_code == 429


def test_characters_that_a_database_does_not_take_are_no_fault(site):
    new = {"name": "a\x00b", "bytes": 9}
    answer = visit(site).post("/api/uploads", json=new)
    assert answer.status_code in (201, 422)  # SQLite takes them


def test_a_closed_set_takes_nothing_and_gives_nothing(light_site):
    administrator, visitor = log_in(light_site), visit(light_site)
    slug = make_set(light_site, administrator, a_set(1))
    with light_site.state.database.reading() as session:
        key = session.query(TestSet).one().id
    assert administrator.post(f"/leaderboard/manage/sets/{key}/close").status_code == 303
    assert visitor.get(f"/leaderboard/{slug}/mixtures.zip").status_code == 404
    assert submit(visitor, slug).status_code == 409
    assert administrator.post(f"/leaderboard/manage/sets/{key}/open").status_code == 303
    assert submit(visitor, slug, outputs(1)).status_code == 201


def test_what_cannot_be_read_is_told_to_who_sent_it(light_site):
    administrator, visitor = log_in(light_site), visit(light_site)
    make_set(light_site, administrator, {"readme.txt": b"hello"})
    assert "holds no recordings" in administrator.get("/leaderboard/manage").text
    assert "halls" not in visitor.get("/leaderboard").text
    slug = make_set(light_site, administrator, a_set(1))
    key = submit(visitor, slug, {"0000/source1.wav": b"text"}).json()["id"]
    run_jobs(light_site)
    assert "1 voice of 2" in visitor.get(f"/leaderboard/entries/{key}").text
    assert administrator.post(f"/leaderboard/manage/entries/{key}/publish").status_code == 409


def test_numbers_from_elsewhere_are_loaded_and_replaced(light_site):
    administrator = log_in(light_site)
    content = (RESULTS / "separation.json").read_bytes()
    for _ in range(2):
        answer = administrator.post("/leaderboard/manage/load", files={"file": ("separation.json", content)})
        assert answer.status_code == 303, answer.text
    told = {each["name"]: each for each in visit(light_site).get("/api/leaderboard").json()}
    systems = [row["system"] for row in told["separation: clean"]["systems"]]
    assert len(systems) == len(set(systems))
    assert {"mixture", "sepformer.2talkers_8k"} <= set(systems)
    for wrong in (b"{}", b"no json", b"\xff\xfe", b"[" * 100_000):
        answer = administrator.post("/leaderboard/manage/load", files={"file": ("a.json", wrong)})
        assert answer.status_code == 422
    with light_site.state.database.reading() as session:
        key = session.query(TestSet).first().id
    assert administrator.post(f"/leaderboard/manage/sets/{key}/open").status_code == 409


def test_opinions_come_from_a_listening_study_that_has_ended(light_site):
    administrator, visitor = log_in(light_site), visit(light_site)
    study = rating.make(administrator)
    listener = rating.begin(light_site, study)
    slug = make_set(light_site, administrator, a_set(1), study=study)
    key = submit(visitor, slug, outputs(1), system="good").json()["id"]
    run_jobs(light_site)
    assert administrator.post(f"/leaderboard/manage/entries/{key}/publish").status_code == 303
    rating.go_through(light_site, listener, study, rating.sensible)

    def shown() -> dict[str, dict]:
        (told,) = visitor.get("/api/leaderboard").json()
        return {row["system"]: row["scores"].get("opinion") for row in told["systems"]}

    assert set(shown().values()) == {None}
    assert administrator.post(f"/rate/studies/{study}/state", data={"state": "closed"}).status_code == 303
    opinions = shown()
    assert opinions["good"]["mean"] == 4.5
    assert opinions["good"]["low"] < 4.5 < opinions["good"]["high"]
    assert opinions["mixture"] is None
    assert "Opinion" in visitor.get(f"/leaderboard/{slug}").text
