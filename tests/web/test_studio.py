"""The studio's calls: what may be asked, who may see what, links, deletion, expiry."""

import io
import json
import os
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import select, update

from tests.web.conftest import PASSWORD, Browser, log_in, visit, wav
from unbabble.web.database import now
from unbabble.web.queue import expiry, queue
from unbabble.web.queue.disposal import sweep
from unbabble.web.rooms import studio, words
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.people import Visit
from unbabble.web.tables.uploads import Upload
from unbabble.web.work import STUDIO_KINDS

SCORE = {"si_snr_db": 8.1, "low_db": 5.0, "high_db": 11.2, "verdict": "fair"}
RESULT = {"model": "auxiva.iss", "sources": 2, "scores": [SCORE, SCORE], "warnings": [], "audio_seconds": 1.0}


def ask(browser: Browser, **changes) -> dict:
    """A job on a recording of one second."""
    recording = changes.pop("recording", None) or browser.upload(wav(1.0), "meeting <b>1</b>.wav")["id"]
    answer = browser.post("/api/studio/jobs", json={"recordings": [recording], **changes})
    assert answer.status_code == 201, answer.text
    return answer.json()


def work(site, names=("source1.flac", "source2.flac"), content: str = "voice {name}", **result) -> None:
    """Do the next job, as a worker would, without computing anything."""
    database, storage, path = site.state.database, site.state.storage, site.state.settings.data / "voice"
    claimed = queue.claim(database, "test")
    assert claimed
    outputs = []
    for name in names:
        size = len(content.replace("{name}", name).encode())
        outputs.append({"name": name, "key": f"jobs/{claimed.id}/{name}", "bytes": size})
    assert queue.about_to_store(database, claimed, [each["key"] for each in outputs])
    for each in outputs:
        path.write_bytes(content.replace("{name}", each["name"]).encode())
        storage.put(each["key"], path)
    full = RESULT | {"seconds": 1.0} | result
    assert queue.finish(database, claimed, full, outputs)


def files(site) -> set[str]:
    """All that is stored."""
    root = Path(site.state.settings.storage)
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def browser(light_site):
    return visit(light_site)


def test_from_an_upload_to_a_zip(site):
    browser = visit(site)
    job = ask(browser, model="auxiva.iss", sources=2)
    assert (job["state"], job["ahead"], job["name"]) == ("waiting", 0, "meeting <b>1</b>.wav")
    assert "Waiting" in browser.get(f"/studio/jobs/{job['id']}", headers={"accept": "text/html"}).text
    assert browser.get(f"/studio/jobs/{job['id']}/all.zip").status_code == 404
    work(site)
    done = browser.get(f"/api/studio/jobs/{job['id']}").json()
    assert [each["name"] for each in done["files"]] == [
        "meeting <b>1</b>.wav",
        "source1.flac",
        "source2.flac",
    ]
    mixture, voice, _ = (browser.get(each["address"]) for each in done["files"])
    assert mixture.content[:4] == b"fLaC"
    assert (voice.content, voice.headers["content-type"]) == (b"voice source1.flac", "audio/flac")
    answer = browser.get(done["archive"])
    assert answer.headers["content-disposition"] == 'attachment; filename="meeting_b_1_b-separate.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["source1.flac", "source2.flac", "unbabble.json"]
        assert archive.read("source2.flac") == b"voice source2.flac"
        assert json.loads(archive.read("unbabble.json"))["scores"] == [SCORE, SCORE]
    page = browser.get(f"/studio/jobs/{job['id']}", headers={"accept": "text/html"}).text
    assert "<b>1</b>" not in page  # neither in the text nor in the data for the script
    assert "meeting &lt;b&gt;1&lt;/b&gt;.wav" in page
    listed = browser.get("/api/studio/jobs").json()
    assert [each["id"] for each in listed] == [job["id"]]


def test_what_makes_no_sense_is_told_in_a_sentence(light_site, browser):
    one, two = (browser.upload(wav(1.0, seed=seed))["id"] for seed in range(2))
    for asked, sentence in (
        ({"model": "gru.2x64"}, "There is no such model for this."),
        ({"model": "../../etc/passwd"}, "There is no such model for this."),
        ({"sources": 0}, "The number of talkers is between 1 and 8."),
        ({"kind": "enhance", "strength": -1}, "The strength is between 0 and 100 dB."),
        ({"recordings": [one, two]}, "Name one recording."),
        ({"recordings": [one, one], "kind": "adapt"}, "The same recording is named twice."),
        ({"kind": "extract"}, "Whom to listen to is told by a recording of that person alone."),
        ({"enrollments": [two]}, "Only extraction takes recordings of the person alone."),
        ({"clean": [two]}, "Only adaptation takes clean recordings."),
        ({"adapted": "x"}, "An adapted model takes noise off."),
    ):
        answer = browser.post("/api/studio/jobs", json={"recordings": [one], **asked})
        assert (answer.status_code, answer.json()["detail"]) == (422, sentence)
    answer = browser.post("/api/studio/jobs", json={"recordings": [one], "kind": "enhance", "adapted": "x"})
    assert answer.status_code == 404
    refused = browser.upload(b"no sound at all" * 10)
    assert refused["state"] == "refused"
    answer = browser.post("/api/studio/jobs", json={"recordings": [refused["id"]]})
    assert (answer.status_code, answer.json()["detail"]) == (409, refused["error"])
    for _ in range(20):
        ask(browser, recording=one)
    answer = browser.post("/api/studio/jobs", json={"recordings": [one]})
    assert answer.status_code == 429


def test_the_models_that_are_offered_do_what_they_are_offered_for(browser):
    names = {
        kind: {each["name"] for each in browser.get(f"/api/studio/models?kind={kind}").json()}
        for kind in ("separate", "enhance", "extract", "transcribe", "adapt")
    }
    assert {"auto", "auxiva.iss", "sepformer.2talkers_8k", "bsrnn.3talkers_8k"} <= names["separate"]
    assert not any(name.startswith(("nmf", "bsrnn.1talker", "gru", "countnet")) for name in names["separate"])
    assert {"auto", "bsrnn.1talker_16k", "gru.2x64"} <= names["enhance"]
    assert not {"bsrnn.2talkers_8k", "auxiva.iss"} & names["enhance"]
    assert {"auto", "sepformer.2talkers_8k"} <= names["extract"]
    assert not {"bsrnn.1talker_16k", "auxiva.iss", "gru.2x64"} & names["extract"]
    assert names["adapt"] == {"auto"}
    assert names["transcribe"] >= {"auto", "conformer_ctc.english_16k"}
    assert not names["transcribe"] & (names["separate"] | names["enhance"] | names["extract"]) - {"auto"}
    from unbabble.pipelines.enhance import load_enhancer
    from unbabble.pipelines.extract import load_extractor

    for each in STUDIO_KINDS["enhance"].choices():
        load_enhancer(each.name, "cpu")
    for each in STUDIO_KINDS["extract"].choices():
        load_extractor(each.name, "cpu")


def test_nobody_else_gets_at_a_job_whatever_their_role(light_site, browser):
    """Every route of the studio with a key or a token in it, by strangers."""
    job = ask(browser)
    work(light_site)
    key = job["id"]
    assert browser.post(f"/api/studio/jobs/{key}/words").status_code == 201
    work(
        light_site, ("words.json",), '[[{"start": 0, "end": 1, "text": "voice"}]]', language="en", left_out=0
    )
    token = browser.post(f"/api/studio/jobs/{key}/share").json()["address"].rsplit("/", 1)[1]
    assert browser.delete(f"/api/studio/jobs/{key}/share").status_code == 204
    strangers = [visit(light_site), log_in(light_site, "reviewer"), log_in(light_site, "administrator")]
    tried = 0
    for route in [
        route for room in (studio, words) for each in (room.pages, room.api) for route in each.routes
    ]:
        assert isinstance(route, APIRoute)
        if "{" not in route.path:
            continue
        named = {"key": key, "token": token, "number": 0, "name": "source1.flac", "format": "srt"}
        address = route.path.format(**named, voice=0, word=0)
        for stranger in strangers:
            for method in route.methods:
                sent = {"json": {"text": "mine"}} if method == "PUT" else {}
                answer = stranger.request(method, address, **sent)
                assert (answer.status_code, address) == (404, address)
                assert b"voice" not in answer.content
                tried += 1
    assert tried >= 3 * 18
    assert browser.get(f"/studio/jobs/{key}/files/source1.flac").status_code == 200  # and nothing was deleted
    (own,) = browser.get("/api/studio/jobs").json()
    for stranger in strangers:
        assert stranger.get("/api/studio/jobs").json() == []
        assert stranger.delete("/api/studio/everything").status_code == 204
        mixture = own["files"][0]
        assert (
            stranger.post("/api/studio/jobs", json={"recordings": [upload_of(light_site)]}).status_code == 404
        )
        assert mixture["address"].startswith(f"/studio/jobs/{key}/")
    assert browser.get(f"/api/studio/jobs/{key}").status_code == 200


def upload_of(site) -> str:
    """The only upload's key."""
    with site.state.database.reading() as session:
        return session.scalars(select(Upload.id)).one()


def test_a_call_from_another_site_changes_nothing(light_site, browser):
    job = ask(browser)
    for method, address in (
        ("POST", "/api/studio/jobs"),
        ("DELETE", f"/api/studio/jobs/{job['id']}"),
        ("DELETE", "/api/studio/everything"),
        ("POST", f"/api/studio/jobs/{job['id']}/share"),
    ):
        assert browser.request(method, address, headers={"x-csrf-token": "wrong"}).status_code == 403
    assert browser.get(f"/api/studio/jobs/{job['id']}").status_code == 200


def test_a_link_lets_listen_and_no_more(light_site, browser):
    enrollment = browser.upload(wav(1.0, seed=3), "me.wav", "enrollment")["id"]
    job = ask(browser, kind="extract", enrollments=[enrollment])
    early = browser.post(f"/api/studio/jobs/{job['id']}/share")
    assert early.status_code == 409
    work(light_site, ("voice.flac",))
    address = browser.post(f"/api/studio/jobs/{job['id']}/share").json()["address"]
    assert browser.post(f"/api/studio/jobs/{job['id']}/share").json()["address"] == address
    assert len(address.rsplit("/", 1)[1]) >= 32
    stranger = visit(light_site)
    page = stranger.get(address, headers={"accept": "text/html"})
    assert page.status_code == 200
    assert page.headers["x-robots-tag"] == "noindex"
    assert job["id"] not in page.text
    assert "me.wav" not in page.text
    assert "/api/" not in page.text
    assert "Delete" not in page.text
    assert stranger.get(f"{address}/inputs/0").content[:4] == b"fLaC"
    assert (
        stranger.get(f"{address}/inputs/1").status_code == 404
    )  # whose voice was asked for is nobody's business
    assert stranger.get(f"{address}/files/voice.flac").content == b"voice voice.flac"
    assert stranger.get(f"{address}/files/..%2fvoice.flac").status_code == 404
    assert stranger.get(f"{address}/all.zip").status_code == 200
    for method in ("POST", "DELETE", "PUT", "PATCH"):
        assert stranger.request(method, address).status_code == 405
    assert browser.delete(f"/api/studio/jobs/{job['id']}/share").status_code == 204
    for end in ("", "/inputs/0", "/files/voice.flac", "/all.zip"):
        assert stranger.get(f"{address}{end}").status_code == 404


def test_an_adapted_model_belongs_to_its_owner(light_site, browser):
    job = ask(browser, kind="adapt")
    work(light_site, ("me.unbabble.zip",), kept=True, gain_db=[1.0, 0.5, 1.5], student="gru.2x64")
    page = browser.get(f"/studio/jobs/{job['id']}", headers={"accept": "text/html"}).text
    assert "1.0 dB better" in page
    assert f'value="adapted:{job["id"]}"' in browser.get("/studio").text
    assert browser.post(f"/api/studio/jobs/{job['id']}/share").status_code == 409
    later = ask(browser, kind="enhance", adapted=job["id"])
    with light_site.state.database.reading() as session:
        inputs = session.get_one(Job, later["id"]).inputs
    assert [each["role"] for each in inputs] == ["mixture", "model"]
    assert inputs[1]["key"] == f"jobs/{job['id']}/me.unbabble.zip"
    assert browser.get(f"/studio/jobs/{later['id']}/inputs/1").status_code == 404
    stranger = visit(light_site)
    recording = stranger.upload(wav(1.0))["id"]
    asked = {"recordings": [recording], "kind": "enhance", "adapted": job["id"]}
    assert stranger.post("/api/studio/jobs", json=asked).status_code == 404


def test_deleting_deletes(light_site, browser):
    first = ask(browser)
    work(light_site)
    second = ask(browser, recording=upload_of(light_site), model="auxiva.iss")
    before = files(light_site)
    assert len(before) == 4  # what was sent, what is heard, two voices
    assert browser.delete(f"/api/studio/jobs/{first['id']}").status_code == 204
    assert len(files(light_site)) == 2  # the other job is still about the recording
    for end in ("", "/inputs/0", "/files/source1.flac", "/all.zip"):
        assert browser.get(f"/studio/jobs/{first['id']}{end}").status_code == 404
    assert browser.delete(f"/api/studio/jobs/{second['id']}").status_code == 204
    assert files(light_site) == set()
    assert browser.delete(f"/api/studio/jobs/{second['id']}").status_code == 404


def test_deleting_everything_spares_others(light_site, browser):
    other = visit(light_site)
    kept = ask(other)
    work(light_site)
    stored = files(light_site)
    ask(browser)
    work(light_site)
    ask(browser)
    browser.upload(wav(1.0, seed=5))
    assert browser.delete("/api/studio/everything").status_code == 204
    assert browser.get("/api/studio/jobs").json() == []
    assert files(light_site) == stored
    assert other.get(f"/api/studio/jobs/{kept['id']}").json()["state"] == "done"


def test_what_has_expired_is_gone_with_its_files(site):
    browser, other = visit(site), visit(site)
    old = ask(browser)
    work(site)
    with site.state.database.writing() as session:
        past = now() - timedelta(seconds=1)
        session.execute(update(Job).values(expires=past))
        session.execute(update(Upload).values(expires=past))
        session.execute(update(Visit).values(expires=past))
    collected = visit(site).upload(wav(1.0, seed=7), purpose="collect")  # and never made a contribution
    with site.state.database.writing() as session:
        session.execute(update(Upload).where(Upload.id == collected["id"]).values(expires=past))
    young = ask(other)
    left = site.state.settings.data / "partial" / "x.sent"
    left.write_bytes(b"never finished")
    os.utime(left, (0, 0))
    assert expiry.purge(site.state.database, site.state.settings.data) == 3
    sweep(site.state.database, site.state.storage)
    assert {each.split("/")[-1].split(".")[0] for each in files(site)} == ids(site, young)
    assert browser.get(f"/api/studio/jobs/{old['id']}").status_code == 404
    assert other.get(f"/api/studio/jobs/{young['id']}").status_code == 200
    assert not left.exists()


def ids(site, job: dict) -> set[str]:
    """Of the uploads that a job is about."""
    with site.state.database.reading() as session:
        return {each["upload"] for each in session.get_one(Job, job["id"]).inputs}


def test_a_job_keeps_its_recording_as_long_as_itself(light_site, browser):
    recording = browser.upload(wav(1.0))["id"]
    with light_site.state.database.writing() as session:
        session.execute(update(Upload).values(expires=now() + timedelta(minutes=1)))
    job = ask(browser, recording=recording)
    with light_site.state.database.reading() as session:
        assert session.get_one(Upload, recording).expires == session.get_one(Job, job["id"]).expires


def test_how_long_it_takes_is_told_by_how_long_it_took(light_site, browser):
    first = ask(browser, model="auxiva.iss")
    assert first["expected_seconds"] is None
    work(light_site)
    with light_site.state.database.writing() as session:
        session.execute(update(Job).values(started=now() - timedelta(seconds=7), finished=now()))
    assert ask(browser, model="auxiva.iss")["expected_seconds"] == pytest.approx(7, abs=0.1)
    assert ask(browser, model="auto")["expected_seconds"] is None


def test_why_it_failed_is_told(light_site, browser):
    job = ask(browser)
    claimed = queue.claim(light_site.state.database, "test")
    assert claimed
    assert queue.refuse(light_site.state.database, claimed, "The recording is <silent>.")
    told = browser.get(f"/api/studio/jobs/{job['id']}").json()
    assert (told["state"], told["error"]) == ("failed", "The recording is <silent>.")
    page = browser.get(f"/studio/jobs/{job['id']}", headers={"accept": "text/html"}).text
    assert "The recording is &lt;silent&gt;." in page


def test_jobs_of_other_rooms_are_not_the_studios(light_site, browser):
    upload = browser.upload(wav(1.0))["id"]
    with light_site.state.database.writing() as session:
        mine = session.get_one(Upload, upload)
        key = queue.enqueue(session, "score", mine.visit_id, {}, [queue.as_input(mine)]).id
    assert browser.get("/api/studio/jobs").json() == []
    assert browser.get(f"/api/studio/jobs/{key}").status_code == 404
    assert browser.delete("/api/studio/everything").status_code == 204
    with light_site.state.database.reading() as session:
        assert session.get(Job, key) is not None


def test_what_a_database_cannot_keep_is_refused(site):
    browser = visit(site)
    for answer in (
        browser.get("/studio/shared/%00"),
        browser.get("/api/studio/jobs/%00"),
        browser.post("/api/studio/jobs", json={"recordings": ["\x00"]}),
        browser.post(
            "/api/studio/jobs",
            content=b'{"recordings": ["\\ud800"]}',
            headers={"content-type": "application/json"},
        ),
    ):
        assert answer.status_code in (404, 422)


def test_who_logs_in_keeps_what_they_have(light_site, browser):
    job = ask(browser)
    log_in(light_site, "reviewer")
    answer = browser.post("/login", data={"name": "reviewer", "password": PASSWORD})
    assert answer.status_code == 303
    assert [each["id"] for each in browser.get("/api/studio/jobs").json()] == [job["id"]]
    ask(browser, recording=upload_of(light_site))
