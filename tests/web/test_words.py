"""Words of a studio's job: asked for, corrected and taken back, as captions, shared, and gone with their job."""

import io
import json
import zipfile
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from alembic import command
from alembic.config import Config
from sqlalchemy import func, insert, inspect, select, update

from tests.web.conftest import DEMO, visit
from tests.web.test_studio import ask, files, ids, upload_of, work
from unbabble.base.errors import InputError
from unbabble.text import captions
from unbabble.web.database import Database, now
from unbabble.web.queue import expiry, queue
from unbabble.web.queue.disposal import sweep
from unbabble.web.queue.process import File
from unbabble.web.queue.process import work as done
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.words import Correction

FIRST = [
    {"start": 0.1, "end": 0.5, "text": "good", "score": 0.9},
    {"start": 0.6, "end": 1.1, "text": "mourning", "score": 0.2},
    {"start": 4.0, "end": 4.5, "text": "anna"},
]
SECOND = [{"start": 2.0, "end": 2.5, "text": "hello", "score": 0.7}]


def write_down(site, *voices) -> None:
    work(site, ("words.json",), json.dumps(voices), model="a.model", language="en", left_out=2)


def spoken(site, browser, *voices) -> str:
    """A job with words; its address for programs."""
    job = ask(browser)
    work(site)
    address = f"/api/studio/jobs/{job['id']}"
    answer = browser.post(f"{address}/words")
    assert (answer.status_code, answer.json()["state"]) == (201, "waiting")
    write_down(site, *(voices or (FIRST, SECOND)))
    return address


def read(browser, address: str, format: captions.CaptionFormat) -> list[tuple[float, str, str | None]]:
    """When segments of the file that is downloaded begin, what they are, and whose."""
    answer = browser.get(f"{address.removeprefix('/api')}/words.{format}")
    assert answer.status_code == 200, answer.text
    return [(word.start, word.text, word.speaker) for word in captions.read(answer.text, format)]


def test_words_are_written_corrected_and_taken_back(site):
    browser = visit(site)
    job = ask(browser)
    address = f"/api/studio/jobs/{job['id']}"
    early = browser.post(f"{address}/words")
    assert (early.status_code, early.json()["detail"]) == (
        409,
        "Voices can be written down, once they are there.",
    )
    work(site)
    assert browser.get(f"{address}/words").json()["state"] == "none"
    assert browser.get(f"/studio/jobs/{job['id']}/words.srt").status_code == 404
    for _ in range(2):  # asked again, it is the same
        assert browser.post(f"{address}/words").json()["state"] == "waiting"
    with site.state.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 2
        writer = session.scalars(select(Job).where(Job.of_id == job["id"])).one()
    assert [each["name"] for each in writer.inputs] == ["source1.flac", "source2.flac"]
    assert {each["role"] for each in writer.inputs} == {"voice"}
    write_down(site, FIRST, SECOND)
    assert [each["id"] for each in browser.get("/api/studio/jobs").json()] == [job["id"]]
    assert browser.get(f"/api/studio/jobs/{writer.id}").status_code == 404

    words = browser.get(f"{address}/words").json()
    assert (words["state"], words["model"], words["left_out"]) == ("done", "a.model", 2)
    assert [[[word["text"] for word in line] for line in lines] for lines in words["voices"]] == [
        [["good", "mourning"], ["anna"]],
        [["hello"]],
    ]
    assert [word["number"] for line in words["voices"][0] for word in line] == [0, 1, 2]
    assert words["voices"][0][0][1]["score"] == 0.2

    corrected = browser.put(f"{address}/words/0/1", json={"text": "  morning,\n dear\u0000\u202e "}).json()
    assert (corrected["text"], corrected["recognised"]) == ("morning, dear", "mourning")
    assert browser.put(f"{address}/words/1/0", json={"text": " "}).json()["text"] == ""
    assert browser.get(f"{address}/words").json()["voices"][0][0][1] == corrected
    assert read(browser, address, "srt") == [
        (0.1, "good morning, dear", "Voice 1"),
        (4.0, "anna", "Voice 1"),
    ]
    original = browser.delete(f"{address}/words/0/1").json()
    assert original == words["voices"][0][0][1]
    assert browser.delete(f"{address}/words/0/1").json() == original
    back = browser.put(f"{address}/words/1/0", json={"text": "hello"}).json()  # by hand
    assert back == words["voices"][1][0][0]
    with site.state.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Correction)) == 0


def test_words_have_the_formats_of_the_command_line(light_site):
    browser = visit(light_site)
    address = spoken(light_site, browser)
    browser.put(f"{address}/words/0/1", json={"text": "morning to you"})
    for format in ("vtt", "tsv"):
        assert [each[1] for each in read(browser, address, format)] == [
            "good morning to you",
            "hello",
            "anna",
        ]
    key = address.rsplit("/", 1)[1]
    text = browser.get(f"/studio/jobs/{key}/words.txt")
    assert text.text == "[Voice 1]: good morning to you\n[Voice 2]: hello\n[Voice 1]: anna\n"
    assert text.headers["content-disposition"] == 'attachment; filename="meeting_b_1_b.txt"'
    content = json.loads(browser.get(f"/studio/jobs/{key}/words.json").text)
    assert content["language"] == "en"
    times = [(word["word"].strip(), word["start"], word["end"]) for word in content["segments"][0]["words"]]
    assert [each[0] for each in times] == ["good", "morning", "to", "you"]
    assert times[1][1] == pytest.approx(0.6)
    assert times[3][2] == pytest.approx(1.1)
    assert all(before[2] <= after[1] + 1e-6 for before, after in pairwise(times))
    with zipfile.ZipFile(io.BytesIO(browser.get(f"/studio/jobs/{key}/all.zip").content)) as archive:
        assert archive.read("meeting_b_1_b.txt").decode() == text.text
        names = [f"meeting_b_1_b.{format}" for format in captions.FORMATS]
        assert archive.namelist() == ["source1.flac", "source2.flac", *names, "unbabble.json"]


def test_a_recording_is_written_down_by_itself(light_site):
    browser = visit(light_site)
    job = ask(browser, kind="transcribe")
    assert browser.get(f"/api/studio/jobs/{job['id']}/words").json()["state"] == "waiting"
    write_down(light_site, FIRST)
    page = browser.get(f"/studio/jobs/{job['id']}", headers={"accept": "text/html"}).text
    assert "Written down by <b>a.model</b>" in page
    assert "mourning" in page
    assert browser.post(f"/api/studio/jobs/{job['id']}/words").json()["state"] == "done"
    text = browser.get(f"/studio/jobs/{job['id']}/words.txt").text
    assert text == "good mourning\nanna\n"
    with zipfile.ZipFile(io.BytesIO(browser.get(f"/studio/jobs/{job['id']}/all.zip").content)) as archive:
        assert "words.json" not in archive.namelist()
        assert archive.read("meeting_b_1_b.txt").decode() == text


def test_where_nobody_speaks_there_are_no_words_and_the_files_are_valid(light_site):
    browser = visit(light_site)
    address = spoken(light_site, browser, [], [])
    assert browser.get(f"{address}/words").json()["voices"] == [[], []]
    key = address.rsplit("/", 1)[1]
    assert browser.get(f"/studio/jobs/{key}/words.txt").text == ""
    assert browser.get(f"/studio/jobs/{key}/words.vtt").text.startswith("WEBVTT")


def test_what_is_no_word_is_refused_in_a_sentence(light_site):
    browser = visit(light_site)
    address = spoken(light_site, browser)
    for place in ("0/3", "2/0"):
        for method, sent in (("PUT", {"json": {"text": "x"}}), ("DELETE", {})):
            answer = browser.request(method, f"{address}/words/{place}", **sent)
            assert (answer.status_code, answer.json()["detail"]) == (404, "There is no such word.")
    long = browser.put(f"{address}/words/0/0", json={"text": "x" * 201})
    assert (long.status_code, long.json()["detail"]) == (422, "A word is corrected by at most 200 letters.")
    assert browser.put(f"{address}/words/0/-1", json={"text": "x"}).status_code == 422
    assert browser.get(f"{address.removeprefix('/api')}/words.exe").status_code == 422


def test_who_has_the_link_reads_the_words_and_changes_nothing(light_site):
    browser = visit(light_site)
    address = spoken(light_site, browser)
    browser.put(f"{address}/words/0/1", json={"text": "morning"})
    shared = browser.post(f"{address}/share").json()["address"]
    stranger = visit(light_site)
    page = stranger.get(shared, headers={"accept": "text/html"}).text
    assert '"text": "morning"' in page
    assert "/api/" not in page
    captions_file = stranger.get(f"{shared}/words.vtt")
    assert "morning" in captions_file.text
    assert captions_file.headers["x-robots-tag"] == "noindex"
    assert stranger.put(f"{address}/words/0/1", json={"text": "evening"}).status_code == 404
    assert stranger.post(f"{address}/words").status_code == 404


def test_what_failed_is_said_and_can_be_tried_again(light_site):
    browser = visit(light_site)
    job = ask(browser)
    work(light_site)
    address = f"/api/studio/jobs/{job['id']}/words"
    browser.post(address)
    claimed = queue.claim(light_site.state.database, "test")
    assert claimed
    assert queue.refuse(light_site.state.database, claimed, "No recogniser is installed.")
    words = browser.get(address).json()
    assert (words["state"], words["error"]) == ("failed", "No recogniser is installed.")
    assert browser.post(address).json()["state"] == "waiting"
    write_down(light_site, FIRST, SECOND)
    assert browser.get(address).json()["state"] == "done"


def test_words_go_with_their_recording(site):
    browser = visit(site)
    for way in ("job", "everything", "expiry"):
        address = spoken(site, browser)
        browser.put(f"{address}/words/0/1", json={"text": "morning"})
        other = ask(browser, recording=upload_of(site))
        assert len(files(site)) == 5  # what was sent, what is heard, two voices, words
        if way == "job":
            assert browser.delete(address).status_code == 204
            assert {each.split("/")[-1].split(".")[0] for each in files(site)} == ids(site, other)
            assert browser.delete(f"/api/studio/jobs/{other['id']}").status_code == 204
        elif way == "everything":
            assert browser.delete("/api/studio/everything").status_code == 204
        else:
            with site.state.database.writing() as session:
                session.execute(update(Job).values(expires=now() - timedelta(seconds=1)))
            expiry.purge(site.state.database, site.state.settings.data)
            sweep(site.state.database, site.state.storage)
            assert len(files(site)) == 2
        with site.state.database.reading() as session:
            assert session.scalar(select(func.count()).select_from(Job)) == 0
            assert session.scalar(select(func.count()).select_from(Correction)) == 0


def test_a_table_that_is_made_anew_keeps_what_refers_to_it(database_url):
    """SQLite alters a table by making another one; what refers to the rows of the old one must not go with it."""
    database = Database(database_url)
    config = Config()
    config.set_main_option("script_location", "unbabble.web:migrations")
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    row = {"id": "a", "kind": "separate", "state": "done", "turn": 0, "due": now(), "attempts": 1}
    row |= {"parameters": {}, "inputs": [], "result": {}, "outputs": [], "stage": "", "created": now()}
    with database.engine.execution_options(writes=True).begin() as connection:
        connection.execute(insert(Job).values(row))
        connection.exec_driver_sql("INSERT INTO judgements (job_id, settled) VALUES ('a', false)")
    database.migrate()
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT job_id FROM judgements").scalars().all() == ["a"]
        assert "of_id" in {each["name"] for each in inspect(connection).get_columns("jobs")}
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_a_voice_is_written_down_with_times_and_how_sure(tmp_path):
    """By the recogniser that is installed, whichever that is."""
    quiet = tmp_path / "quiet.flac"
    soundfile.write(quiet, np.zeros(16000), 16000)
    paths = [DEMO / "reference1.flac", quiet]
    result, outputs = done("transcribe", tmp_path, {}, [File("voice", path.name, path) for path in paths])
    assert [path.name for path in outputs] == ["words.json"]
    spoken, silent = json.loads(outputs[0].read_text())
    assert silent == []
    assert len(spoken) > 5
    assert all(0 <= word["start"] <= word["end"] <= 9.6 and 0 <= word["score"] <= 1 for word in spoken)
    assert spoken == sorted(spoken, key=lambda word: word["start"])
    assert (result["language"], result["audio_seconds"]) == ("en", pytest.approx(9.5, abs=0.1))


def test_what_cannot_be_read_is_a_sentence_with_its_owner_s_name(tmp_path):
    broken = tmp_path / "recording1.flac"
    broken.write_bytes(b"no sound")
    with pytest.raises(InputError, match=r"song\.mp3"):
        done("transcribe", tmp_path, {}, [File("mixture", "song.mp3", broken)])
