"""Enrolled voices: who agreed to what, who may use them, names in meetings, and that what is deleted is gone."""

import io
import json
import zipfile
from datetime import timedelta

import numpy as np
import pytest
import soundfile
from sqlalchemy import func, select, update

from tests.web.conftest import DEMO, PASSWORD, Browser, log_in, visit, wav
from tests.web.test_meeting import TURNS, file, finish, turns
from tests.web.test_studio import ask, files
from unbabble.base.errors import InputError
from unbabble.web.database import now
from unbabble.web.queue import expiry, queue
from unbabble.web.queue.disposal import sweep
from unbabble.web.queue.process import File
from unbabble.web.queue.process import work as done
from unbabble.web.studio import enrolled, enrolling
from unbabble.web.tables.enrolled import EnrolledVoice
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.people import Event, Visit
from unbabble.web.tables.uploads import Upload
from unbabble.web.work.enroll import NOT_SOUGHT, recognized

VOICES = "/api/studio/voices"


def consent(browser: Browser, keep: bool) -> str:
    """The hash of the text that the page shows."""
    page = browser.get("/studio/voices", headers={"accept": "text/html"}).text
    name = "recording" if keep else "print"
    return page.split(f'data-keep="{name}"')[1].split('type="checkbox" value="')[1][:64]


def enroll(browser: Browser, name: str = "Anna", keep: bool = False, **source):
    """Ask for it, by an upload where nothing else is named."""
    if not source:
        source = {"recordings": [browser.upload(wav(2.0), "anna.wav", "enrollment")["id"]]}
    asked = {"name": name, "keep_recording": keep, "consent": consent(browser, keep)}
    return browser.post(VOICES, json=asked | source)


def enrolled_voice(site, browser: Browser, name: str = "Anna", keep: bool = False, **source) -> str:
    """A voice that is ready; its id."""
    answer = enroll(browser, name, keep, **source)
    assert answer.status_code == 201, answer.text
    recordings = {"recording1.flac": f"{name} speaks"} if keep else {}
    finish(site, {"print.json": "{}"} | recordings, speech_seconds=12.0, warnings=[])
    return answer.json()["id"]


def count(site, table) -> int:
    with site.state.database.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def nothing_is_left(site) -> None:
    """Neither on disk nor in the database."""
    assert files(site) == set()
    for table in (EnrolledVoice, Job, Upload):
        assert count(site, table) == 0, table


def test_a_voice_from_enrolling_to_deleting(site):
    browser = log_in(site)
    asked = enroll(browser, " Anna\n Berg ", keep=True).json()
    assert (asked["name"], asked["state"], asked["recordings"]) == ("Anna Berg", "waiting", [])
    assert len(files(site)) == 2  # the recording that was sent, twice
    finish(site, {"recording1.flac": "Anna", "print.json": "{}"}, speech_seconds=12.0, warnings=["Short."])
    (voice,) = browser.get(VOICES).json()
    assert (voice["state"], voice["speech_seconds"], voice["warnings"]) == ("done", 12.0, ["Short."])
    assert {each.rsplit("/", 1)[-1] for each in files(site)} == {"print.json", "recording1.flac"}
    assert count(site, Upload) == 0
    (address,) = voice["recordings"]
    assert browser.get(address).content == b"Anna"
    assert browser.get(address.replace("recording1.flac", "print.json")).status_code == 404
    page = browser.get("/studio/voices", headers={"accept": "text/html"}).text
    assert "Anna Berg" in page
    assert voice["consent"] in page

    renamed = browser.put(f"{VOICES}/{voice['id']}", json={"name": "Anne"})
    assert renamed.json() == browser.get(f"{VOICES}/{voice['id']}").json()
    assert renamed.json()["name"] == "Anne"
    assert browser.delete(f"{VOICES}/{voice['id']}").status_code == 204
    assert browser.get(VOICES).json() == []
    assert browser.get(address).status_code == 404
    nothing_is_left(site)
    with site.state.database.reading() as session:
        events = session.scalars(select(Event).where(Event.subject == voice["id"]).order_by(Event.id)).all()
    assert [each.action for each in events] == ["enrolled voice", "deleted voice"]
    assert "Ann" not in str([(each.subject, each.details) for each in events])  # the log stays


def test_a_voice_that_waits_is_deleted_with_its_recording(light_site):
    browser = visit(light_site)
    voice = enroll(browser).json()
    assert browser.delete(f"{VOICES}/{voice['id']}").status_code == 204
    nothing_is_left(light_site)


def test_nobody_sees_or_uses_the_voices_of_another(light_site):
    owner, other, stranger = log_in(light_site), log_in(light_site, "reviewer"), visit(light_site)
    key = enrolled_voice(light_site, owner, keep=True)
    job = ask(owner)
    finish(light_site, {"source1.flac": "voice"}, warnings=[])
    recording = owner.upload(wav(1.0), purpose="enrollment")["id"]
    for who in (other, stranger):
        assert who.get(VOICES).json() == []
        for method, address in (
            ("GET", f"{VOICES}/{key}"),
            ("PUT", f"{VOICES}/{key}"),
            ("DELETE", f"{VOICES}/{key}"),
            ("GET", f"/studio/voices/{key}/recording1.flac"),
            ("GET", f"/studio/voices?job={job['id']}&file=source1.flac"),
        ):
            answer = who.request(method, address, json={"name": "Eve"} if method == "PUT" else None)
            assert answer.status_code == 404, address
        assert enroll(who, job=job["id"], files=["source1.flac"]).status_code == 404
        assert enroll(who, recordings=[recording]).status_code == 404
        mine = who.upload(wav(1.0))["id"]
        asked = {"kind": "diarize", "recordings": [mine], "enrolled": True}
        answer = who.post("/api/studio/jobs", json=asked)
        assert (answer.status_code, answer.json()["detail"]) == (
            409,
            "No voice is enrolled yet: enroll one first.",
        )
        assert who.delete("/api/studio/everything").status_code == 204
    assert owner.get(f"{VOICES}/{key}").json()["name"] == "Anna"


def test_nobody_is_enrolled_without_having_agreed_to_what_is_kept(light_site):
    browser, member = visit(light_site), log_in(light_site)
    recording = browser.upload(wav(1.0), purpose="enrollment")["id"]
    asked = {"name": "Anna", "recordings": [recording], "keep_recording": True}
    assert browser.post(VOICES, json=asked).status_code == 422
    for other in (consent(browser, keep=False), consent(member, keep=True), "0" * 64):
        answer = browser.post(VOICES, json=asked | {"consent": other})
        assert (answer.status_code, answer.json()["detail"]) == (
            409,
            "The text to agree to has changed: load the page again, and read it.",
        )
    assert count(light_site, EnrolledVoice) == 0
    kept = browser.post(VOICES, json=asked | {"consent": consent(browser, keep=True)}).json()["consent"]
    assert "up to 30 seconds of what was said" in kept
    assert "Only this browser, or the account that logs in here, can use it" in kept
    assert "until the browser's visit is over, 90 days after it began at the latest" in kept
    printed = enroll(member).json()["consent"]
    assert "nothing of what was said" in printed
    assert "Only this account can use it" in printed
    assert "until the account is removed" in printed


def test_voices_are_the_account_s_in_every_browser(light_site):
    here = log_in(light_site)
    enrolled_voice(light_site, here)
    there = visit(light_site)
    enrolled_voice(light_site, there, "anna")
    enrolled_voice(light_site, there, "Ben")
    there.post("/login", data={"name": "administrator", "password": PASSWORD})
    for browser in (here, there):
        assert [each["name"] for each in browser.get(VOICES).json()] == ["Anna", "anna 2", "Ben"]
    here.post("/logout")
    assert here.get(VOICES).json() == []
    assert len(there.get(VOICES).json()) == 3
    there.post("/logout")
    assert count(light_site, EnrolledVoice) == 3
    here.post("/login", data={"name": "administrator", "password": PASSWORD})
    assert len(here.get(VOICES).json()) == 3


def test_voices_go_with_the_account(site):
    administrator, member = log_in(site), log_in(site, "reviewer")
    enrolled_voice(site, member, keep=True)
    enroll(member, "Ben")
    page = administrator.get("/accounts", headers={"accept": "text/html"}).text
    (key,) = {part.split("/")[0] for part in page.split("/accounts/")[1:] if "/remove" in part}
    assert administrator.post(f"/accounts/{key}/remove").status_code == 303
    nothing_is_left(site)


@pytest.mark.parametrize("end", ["logout", "expiry", "everything"])
def test_voices_of_who_has_no_account_go_with_the_visit(light_site, end):
    browser = visit(light_site)
    enrolled_voice(light_site, browser, keep=True)
    if end == "everything":
        assert browser.delete("/api/studio/everything").status_code == 204
    elif end == "logout":
        assert browser.post("/logout").status_code == 303
    else:
        database = light_site.state.database
        with database.writing() as session:
            session.execute(update(Visit).values(expires=now() - timedelta(seconds=1)))
        expiry.purge(database, light_site.state.settings.data)
        assert enrolled.settle(database)
        sweep(database, light_site.state.storage)
    nothing_is_left(light_site)


def test_names_can_be_told_apart(light_site):
    browser = visit(light_site)
    key = enrolled_voice(light_site, browser, "Anna Berg")
    ben = enrolled_voice(light_site, browser, "Ben")
    for name, status, said in (
        (" \u202e ", 422, "Say what this person is called."),
        ("x" * 61, 422, "A name has at most 60 letters."),
        ("Speaker 2", 422, "Talkers whom nobody knows are called Speaker 2: choose another name."),
        ("anna_berg", 409, "A voice is enrolled as anna_berg: delete it first, or choose another name."),
    ):
        for answer in (enroll(browser, name), browser.put(f"{VOICES}/{ben}", json={"name": name})):
            assert (answer.status_code, answer.json()["detail"]) == (status, said)
    assert browser.put(f"{VOICES}/{key}", json={"name": "ANNA berg"}).status_code == 200


def test_what_is_no_recording_enrolls_nobody(light_site, monkeypatch):
    browser = visit(light_site)
    nothing = enroll(browser, recordings=[])
    assert (nothing.status_code, nothing.json()["detail"]) == (
        422,
        "A voice is enrolled by a recording: choose one.",
    )
    zipped = browser.upload(b"x", "a.zip", "archive")["id"]
    for answer in (
        enroll(browser, recordings=[zipped]),
        browser.post("/api/studio/jobs", json={"recordings": [zipped]}),
    ):
        assert (answer.status_code, answer.json()["detail"]) == (409, "This upload is no recording.")
    job = ask(browser, kind="diarize")
    finish(light_site, {"speaker1.flac": "voice", "turns.json": "{}"}, warnings=[])
    for names in ([], ["turns.json"], ["speaker2.flac"], ["speaker1.flac", "../x"]):
        assert enroll(browser, job=job["id"], files=names).status_code == 404
    monkeypatch.setattr(enrolling, "MOST_VOICES", 0)
    assert enroll(browser).json()["detail"] == "At most 0 voices are enrolled: delete one first."


def test_a_talker_of_a_meeting_is_enrolled(light_site):
    browser = visit(light_site)
    job = ask(browser, kind="diarize")
    contents = {f"speaker{number}.flac": f"voice {number}" for number in (1, 2, 3)}
    contents["turns.json"] = json.dumps({"audio_seconds": 6.5, "turns": TURNS, "levels": [1.0]})
    finish(light_site, contents, sources=3, warnings=[], model="m", seconds=1.0, audio_seconds=6.5)
    address = f"/api/studio/jobs/{job['id']}/meeting/talkers"
    browser.put(f"{address}/1", json={"name": "Ben"})
    source = f"/studio/voices?job={job['id']}&file="
    assert (
        'name="name" required maxlength="60" autocomplete="off" value="Ben"'
        in browser.get(source + "speaker2.flac").text
    )
    assert "speaker1" not in browser.get(source + "speaker1.flac").text.replace("speaker1.flac", "")
    before = files(light_site)
    voice = enroll(browser, "Ben", job=job["id"], files=["speaker2.flac"])
    assert voice.status_code == 201
    with light_site.state.database.reading() as session:
        asked = session.scalars(select(Job).where(Job.kind == "enroll")).one()
    assert [(each["role"], each["name"]) for each in asked.inputs] == [("voice", "speaker2.flac")]
    finish(light_site, {"print.json": "{}"}, speech_seconds=3.0, warnings=[])
    browser.delete(f"{VOICES}/{voice.json()['id']}")
    assert files(light_site) == before  # the meeting keeps its voice


def meeting(site, browser: Browser, named: dict) -> str:
    """A finished meeting in which enrolled voices were looked for; its address for programs."""
    job = ask(browser, kind="diarize", enrolled=True)
    contents = {f"speaker{number}.flac": f"voice {number}" for number in (1, 2, 3)}
    contents["turns.json"] = json.dumps({"audio_seconds": 6.5, "turns": TURNS, "levels": [1.0]})
    result = {"model": "m", "sources": 3, "warnings": [], "audio_seconds": 6.5, "seconds": 1.0}
    finish(site, contents, named=named, **result)
    return f"/api/studio/jobs/{job['id']}"


def test_talkers_have_the_names_of_enrolled_voices(site):
    browser = visit(site)
    enrolled_voice(site, browser, keep=True)
    address = meeting(site, browser, {"speaker2": {"name": "Anna", "probability": 0.97}})
    with site.state.database.reading() as session:
        job = session.scalars(select(Job).where(Job.kind == "diarize")).one()
    persons = [
        (each["name"], each["key"].rsplit("/", 1)[-1]) for each in job.inputs if each["role"] == "person"
    ]
    assert persons == [("Anna", "print.json"), ("Anna", "recording1.flac")]
    assert job.parameters["people"] == ["Anna"]
    state = browser.get(address).json()
    assert [each["role"] for each in state["files"]].count("person") == 0
    assert browser.get(f"{address.removeprefix('/api')}/inputs/1").status_code == 404  # the print

    talkers = browser.get(f"{address}/meeting").json()["talkers"]
    assert [(each["name"], each["probability"]) for each in talkers] == [
        ("speaker1", None),
        ("Anna", 0.97),
        ("speaker3", None),
    ]
    assert [name for _, _, name in turns(browser, address)] == ["speaker1", "Anna", "speaker3", "speaker1"]
    assert json.loads(file(browser, address, "meeting.json"))["recognised"] == {"Anna": 0.97}
    assert "recognised by voice (97 %)" in file(browser, address, "meeting.html")
    assert browser.put(f"{address}/meeting/talkers/0", json={"name": "anna"}).status_code == 409

    renamed = browser.put(f"{address}/meeting/talkers/1", json={"name": "Guest"}).json()["talkers"][1]
    assert (renamed["name"], renamed["probability"]) == ("Guest", None)
    shared = browser.post(f"{address}/share").json()["address"]
    told = visit(site).get(shared, headers={"accept": "text/html"}).text + file(
        browser, address, "meeting.html"
    )
    with zipfile.ZipFile(io.BytesIO(browser.get(f"{shared}/all.zip").content)) as archive:
        told += "".join(archive.read(name).decode() for name in archive.namelist())
    assert "Guest" in told
    assert "Anna" not in told
    back = browser.put(f"{address}/meeting/talkers/1", json={"name": ""}).json()["talkers"][1]
    assert (back["name"], back["probability"]) == ("Anna", 0.97)
    (voice,) = browser.get(VOICES).json()
    browser.delete(f"{VOICES}/{voice['id']}")
    assert browser.get(f"{address}/meeting").json()["talkers"][1]["name"] == "Anna"
    with site.state.database.reading() as session:
        job = session.scalars(select(Job).where(Job.kind == "diarize")).one()
    assert "Anna" not in str([job.inputs, job.parameters])
    same = browser.put(f"{address}/meeting/talkers/1", json={"name": "speaker2"}).json()["talkers"][1]
    assert (same["name"], same["probability"]) == ("speaker2", None)


def test_a_meeting_that_waits_does_without_a_voice_that_is_deleted(light_site):
    browser = visit(light_site)
    anna = enrolled_voice(light_site, browser, keep=True)
    enrolled_voice(light_site, browser, "Ben")
    enroll(browser, "Carl")  # and is not ready
    assert queue.claim(light_site.state.database, "another")
    ask(browser, kind="diarize", enrolled=True)
    browser.delete(f"{VOICES}/{anna}")
    claimed = queue.claim(light_site.state.database, "test")
    assert claimed
    assert claimed.parameters["people"] == ["Ben"]
    assert [each["name"] for each in claimed.inputs[1:]] == ["Ben"]
    other = browser.post("/api/studio/jobs", json={"recordings": ["a"], "enrolled": True})
    assert other.json()["detail"] == "Only talkers of a meeting are named by enrolled voices."


def test_a_meeting_forgets_that_it_could_not_look_for_a_voice_that_is_deleted(light_site):
    """And keeps what it says of others; the voice has another name by then."""
    browser = visit(light_site)
    anna = enrolled_voice(light_site, browser, "Anna")
    enrolled_voice(light_site, browser, "Ben")
    ask(browser, kind="diarize", enrolled=True)
    warnings = ["Short.", *(NOT_SOUGHT.format(name=name) for name in ("Anna", "Ben"))]
    finish(light_site, {"turns.json": "{}"}, warnings=warnings)
    browser.put(f"{VOICES}/{anna}", json={"name": "Anne"})
    browser.delete(f"{VOICES}/{anna}")
    with light_site.state.database.reading() as session:
        job = session.scalars(select(Job).where(Job.kind == "diarize")).one()
    assert job.result["warnings"] == [warnings[0], warnings[2]]


def halves(folder, number: int) -> list[File]:
    """A voice of the demo in two recordings."""
    samples, rate = soundfile.read(DEMO / f"reference{number}.flac")
    result = []
    for half, part in enumerate(np.array_split(samples, 2), 1):
        path = folder / f"voice{number}_{half}.flac"
        soundfile.write(path, part, rate)
        result.append(File("voice", f"person {number}, {half}.flac", path))
    return result


def test_enrolled_voices_are_recognised_by_what_is_kept(tmp_path):
    """By whatever is installed."""
    persons = {}
    for number, keep in ((1, True), (2, False)):
        folder = tmp_path / str(number)
        folder.mkdir()
        result, persons[number] = done("enroll", folder, {"keep": keep}, halves(tmp_path, number)[:1])
        assert [each.name for each in persons[number]] == ["print.json", "recording1.flac"][: 1 + keep]
        assert result["speech_seconds"] > 2
    kept, rate = soundfile.read(persons[1][1])
    sent, _ = soundfile.read(tmp_path / "voice1_1.flac")
    assert 2 < len(kept) / rate <= len(sent) / rate

    talkers = [halves(tmp_path, number)[1].path for number in (3, 2, 1)]
    people, known = ["Anna", "Ben"], [*persons[1], *persons[2]]
    named, warnings = recognized(talkers, people, known)
    assert {talker: each["name"] for talker, each in named.items()} == {"voice1_2": "Anna", "voice2_2": "Ben"}
    assert all(each["probability"] > 0.5 for each in named.values())
    assert warnings == []
    for number in (1, 2):  # another network made these
        old = json.loads(persons[number][0].read_text())
        persons[number][0].write_text(json.dumps(old | {"sha256": "", "vector": [1.0]}))
    named, warnings = recognized(talkers, people, known)
    assert {talker: each["name"] for talker, each in named.items()} == {"voice1_2": "Anna"}
    (warning,) = warnings
    assert warning.startswith("Ben could not be looked for: the network has changed")


def test_recordings_of_two_people_are_doubted_and_silence_is_refused(tmp_path):
    result, _ = done("enroll", tmp_path, {}, [halves(tmp_path, 1)[0], halves(tmp_path, 2)[0]])
    assert result["warnings"] == [
        "In person 2, 1.flac somebody else seems to speak than in person 1, 1.flac."
    ]
    path = tmp_path / "noise.wav"
    path.write_bytes(wav(3.0))
    with pytest.raises(InputError, match=r"^Nobody seems to speak in noise\.wav\.$"):
        done("enroll", tmp_path, {}, [File("voice", "noise.wav", path)])
    path.write_bytes(wav(0.5))
    with pytest.raises(
        InputError, match=r"^noise\.wav is 0\.5 s long: a voice is enrolled by 1\.5 s and more\.$"
    ):
        done("enroll", tmp_path, {}, [File("voice", "noise.wav", path)])
