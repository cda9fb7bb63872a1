"""Meetings: who speaks when, names that hold everywhere, talkers who are one person, files, and who may see them."""

import io
import json
import re
import zipfile

import numpy as np
import pytest
import soundfile
from sqlalchemy import func, select

from tests.web.conftest import DEMO, visit
from tests.web.test_studio import ask
from unbabble.base.errors import InputError
from unbabble.text import captions, rttm
from unbabble.web.queue import queue
from unbabble.web.queue.process import File
from unbabble.web.queue.process import work as done
from unbabble.web.studio.talkers import people
from unbabble.web.tables.talkers import Talker
from unbabble.web.work.diarize import levels

TURNS = [
    {"start": 0.0, "end": 2.0, "speaker": "speaker1", "score": 0.9},
    {"start": 1.5, "end": 3.0, "speaker": "speaker2"},
    {"start": 3.0, "end": 4.0, "speaker": "speaker3"},
    {"start": 4.5, "end": 6.0, "speaker": "speaker1"},
]
SAID = [
    [{"start": 0.2, "end": 0.6, "text": "good"}, {"start": 5.0, "end": 5.5, "text": "bye"}],
    [{"start": 1.6, "end": 2.0, "text": "<b>hello</b>", "score": 0.4}],
    [{"start": 3.1, "end": 3.6, "text": "again"}],
]
VOICES = ["speaker1.flac", "speaker2.flac", "speaker3.flac"]


def finish(site, contents: dict[str, str], **result) -> None:
    """Do the next job as a worker would, without computing anything."""
    claimed = queue.claim(site.state.database, "test")
    assert claimed
    outputs = []
    for name, content in contents.items():
        path = site.state.settings.data / "made"
        path.write_text(content)
        outputs.append({"name": name, "key": f"jobs/{claimed.id}/{name}", "bytes": path.stat().st_size})
        site.state.storage.put(outputs[-1]["key"], path)
    assert queue.finish(site.state.database, claimed, result, outputs)


def meeting(site, browser, said: list | None = SAID) -> str:
    """A finished meeting of three talkers; its address for programs."""
    job = ask(browser, kind="diarize")
    contents = {name: f"voice {name}" for name in VOICES}
    contents["turns.json"] = json.dumps({"audio_seconds": 6.5, "turns": TURNS, "levels": [0.5, 1.0, 0.1]})
    result = {"model": "xvector.8k", "sources": 3, "warnings": [], "audio_seconds": 6.5, "seconds": 1.0}
    if said is not None:
        contents["words.json"] = json.dumps(said)
        result |= {"recognizer": "a.model", "language": "en", "left_out": 0}
    finish(site, contents, **result)
    return f"/api/studio/jobs/{job['id']}"


def file(browser, address: str, name: str) -> str:
    answer = browser.get(f"{address.removeprefix('/api')}/{name}")
    assert answer.status_code == 200, answer.text
    return answer.text


def turns(browser, address: str) -> list[tuple[float, float, str | None]]:
    (rows,) = rttm.read(file(browser, address, "meeting.rttm")).values()
    return [(each.start, each.end, each.speaker) for each in rows]


def packed(browser, address: str) -> dict[str, bytes]:
    answer = browser.get(f"{address.removeprefix('/api')}/all.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_talker_is_named_once_and_called_so_everywhere(site):
    browser = visit(site)
    address = meeting(site, browser)
    before = browser.get(f"{address}/meeting").json()
    assert [each["name"] for each in before["talkers"]] == ["speaker1", "speaker2", "speaker3"]
    assert [each["seconds"] for each in before["talkers"]] == [3.5, 1.5, 1.0]
    renamed = browser.put(f"{address}/meeting/talkers/1", json={"name": " Zoë\n </script> \u202e"})
    assert renamed.status_code == 200
    name = "Zoë </script>"
    assert renamed.json() == browser.get(f"{address}/meeting").json()
    assert [each["name"] for each in renamed.json()["talkers"]] == ["speaker1", name, "speaker3"]

    assert turns(browser, address)[1] == (1.5, 3.0, "Zoë_</script>")
    for format in ("srt", "vtt", "tsv", "json"):
        spans = captions.read(file(browser, address, f"words.{format}"), format)
        assert {span.speaker for span in spans} == {"speaker1", name, "speaker3"}
    content = json.loads(file(browser, address, "meeting.json"))
    assert [each["speaker"] for each in content["turns"]] == ["speaker1", name, "speaker3", "speaker1"]
    assert content["speakers"] == {"speaker1": 3.5, name: 1.5, "speaker3": 1.0}
    assert captions.read(json.dumps(content), "json")[1].speaker == name
    html = file(browser, address, "meeting.html")
    assert "Zoë &lt;/script&gt;" in html
    assert "&lt;b&gt;hello&lt;/b&gt;" in html
    assert "speaker2" not in html
    assert not re.search(r"(?:src|href)=|url\(|@import|https?:", html)  # whole in itself
    page = browser.get(address.removeprefix("/api"), headers={"accept": "text/html"}).text
    known = re.search(r'id="known-meeting">(.*?)</script>', page)
    assert known
    assert json.loads(known[1]) == renamed.json()

    files = packed(browser, address)
    assert {"speaker1.flac", "Zoë_script.flac", "speaker3.flac", "meeting_b_1_b.rttm"} <= files.keys()
    assert files["Zoë_script.flac"] == b"voice speaker2.flac"
    assert files["meeting_b_1_b.html"].decode() == html
    assert json.loads(files["meeting_b_1_b.json"]) == content
    assert not any(b"speaker2" in content for name, content in files.items() if not name.endswith(".flac"))
    saved = browser.get(f"{address.removeprefix('/api')}/files/speaker2.flac?save")
    assert "Zo%C3%AB_script.flac" in saved.headers["content-disposition"]

    back = browser.put(f"{address}/meeting/talkers/1", json={"name": " "})
    assert back.json() == before
    with site.state.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Talker)) == 0


def test_two_talkers_are_one_person_and_two_again(site):
    browser = visit(site)
    address = meeting(site, browser)
    before = browser.get(f"{address}/meeting").json()
    browser.put(f"{address}/meeting/talkers/1", json={"name": "Anna"})
    merged = browser.put(f"{address}/meeting/talkers/2/same-as/1").json()
    assert [(each["name"], each["person"], each["seconds"]) for each in merged["talkers"]] == [
        ("speaker1", 0, 3.5),
        ("Anna", 1, 2.5),
        ("Anna", 1, 2.5),
    ]
    # turns that touch are one
    assert turns(browser, address) == [(0, 2, "speaker1"), (1.5, 4, "Anna"), (4.5, 6, "speaker1")]
    assert file(browser, address, "words.txt") == (
        "[speaker1]: good\n[Anna]: <b>hello</b>\n[Anna]: again\n[speaker1]: bye\n"
    )
    files = packed(browser, address)
    assert (files["Anna.flac"], files["Anna_2.flac"]) == (b"voice speaker2.flac", b"voice speaker3.flac")

    again = browser.put(f"{address}/meeting/talkers/1/same-as/2")
    assert (again.status_code, again.json()["detail"]) == (409, "These two are one talker already.")
    all_one = browser.put(f"{address}/meeting/talkers/2/same-as/0").json()  # and so is whom they are one with
    assert [each["person"] for each in all_one["talkers"]] == [0, 0, 0]
    assert [each["speaker"] for each in json.loads(file(browser, address, "meeting.json"))["turns"]] == [
        "speaker1",
        "speaker1",
    ]
    browser.delete(f"{address}/meeting/talkers/1/same-as")
    browser.delete(f"{address}/meeting/talkers/2/same-as")
    browser.put(f"{address}/meeting/talkers/1", json={"name": ""})
    assert browser.get(f"{address}/meeting").json() == before


def test_names_that_two_would_share_are_refused(light_site):
    browser = visit(light_site)
    address = meeting(light_site, browser)
    assert browser.put(f"{address}/meeting/talkers/0", json={"name": "Anna Berg"}).status_code == 200
    for name in ("Anna Berg", "anna_berg"):  # which RTTM and folders could not tell apart
        taken = browser.put(f"{address}/meeting/talkers/1", json={"name": name})
        assert taken.status_code == 409
        assert taken.json()["detail"].startswith("Another talker is called")
    assert browser.put(f"{address}/meeting/talkers/1", json={"name": "speaker1"}).status_code == 200
    back = browser.put(f"{address}/meeting/talkers/0", json={"name": ""})
    assert (back.status_code, browser.get(f"{address}/meeting").json()["talkers"][0]["name"]) == (
        409,
        "Anna Berg",
    )
    # while they are one person, the other's name is free; apart, it is not
    browser.put(f"{address}/meeting/talkers/1/same-as/2")
    browser.put(f"{address}/meeting/talkers/0", json={"name": ""})
    parted = browser.delete(f"{address}/meeting/talkers/1/same-as")
    assert parted.status_code == 409
    assert [each["person"] for each in browser.get(f"{address}/meeting").json()["talkers"]] == [0, 2, 2]


def test_what_is_no_talker_or_no_meeting_is_refused_in_a_sentence(light_site):
    browser = visit(light_site)
    waiting = ask(browser, kind="diarize")
    early = browser.get(f"/api/studio/jobs/{waiting['id']}/meeting")
    assert (early.status_code, early.json()["detail"]) == (404, "There is no meeting here, or not yet.")
    assert browser.get(f"/studio/jobs/{waiting['id']}/meeting.rttm").status_code == 404
    browser.delete(f"/api/studio/jobs/{waiting['id']}")
    address = meeting(light_site, browser)
    for method, place in (
        ("PUT", "3"),
        ("PUT", "3/same-as/0"),
        ("PUT", "0/same-as/3"),
        ("DELETE", "3/same-as"),
    ):
        answer = browser.request(method, f"{address}/meeting/talkers/{place}", json={"name": "x"})
        assert (answer.status_code, answer.json()["detail"]) == (404, "There is no such talker."), place
    itself = browser.put(f"{address}/meeting/talkers/0/same-as/0")
    assert (itself.status_code, itself.json()["detail"]) == (409, "These two are one talker already.")
    long = browser.put(f"{address}/meeting/talkers/0", json={"name": "x" * 61})
    assert (long.status_code, long.json()["detail"]) == (422, "A name has at most 60 letters.")
    assert browser.get(f"{address.removeprefix('/api')}/meeting.exe").status_code == 422
    many = browser.post("/api/studio/jobs", json={"kind": "diarize", "recordings": ["a"], "talkers": 99})
    assert many.json()["detail"] == "The number of talkers is between 1 and 12."


def test_strangers_see_a_meeting_by_its_link_alone_and_change_nothing(light_site):
    browser, stranger = visit(light_site), visit(light_site)
    address = meeting(light_site, browser)
    browser.put(f"{address}/meeting/talkers/0", json={"name": "Anna"})
    assert stranger.get(f"{address}/meeting").status_code == 404
    assert stranger.get(f"{address.removeprefix('/api')}/meeting.json").status_code == 404
    shared = browser.post(f"{address}/share").json()["address"]
    page = stranger.get(shared, headers={"accept": "text/html"}).text
    assert "Anna" in page
    assert f"{shared}/meeting.rttm" in page
    assert stranger.get(f"{shared}/meeting.rttm").headers["x-robots-tag"] == "noindex"
    assert " Anna " in stranger.get(f"{shared}/meeting.rttm").text
    for method, place in (("PUT", "0"), ("PUT", "0/same-as/1"), ("DELETE", "0/same-as")):
        answer = stranger.request(method, f"{address}/meeting/talkers/{place}", json={"name": "Eve"})
        assert answer.status_code == 404
    assert browser.delete(address).status_code == 204
    with light_site.state.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Talker)) == 0


def test_words_can_come_later_and_be_corrected(light_site):
    browser = visit(light_site)
    address = meeting(light_site, browser, said=None)
    assert browser.get(f"{address}/words").json()["state"] == "none"
    assert json.loads(file(browser, address, "meeting.json")).keys() == {"speakers", "recognised", "turns"}
    assert browser.post(f"{address}/words").json()["state"] == "waiting"
    claimed = queue.claim(light_site.state.database, "test")
    assert claimed
    assert [each["name"] for each in claimed.inputs] == VOICES
    path = light_site.state.settings.data / "words"
    path.write_text(json.dumps(SAID))
    light_site.state.storage.put("jobs/later/words.json", path)
    output = {"name": "words.json", "key": "jobs/later/words.json", "bytes": 9}
    result = {"model": "a.model", "language": "en", "left_out": 0, "warnings": [], "seconds": 1.0}
    assert queue.finish(light_site.state.database, claimed, result, [output])
    browser.put(f"{address}/words/1/0", json={"text": "hello there"})
    browser.put(f"{address}/meeting/talkers/1", json={"name": "Ben"})
    assert "[Ben]: hello there\n" in file(browser, address, "words.txt")
    assert "hello there" in file(browser, address, "meeting.html")


def test_whoever_is_merged_is_followed_to_the_end():
    assert people(5, {4: 3, 3: 1, 1: 0}) == [0, 0, 2, 0, 0]


def test_a_recording_is_told_apart_and_written_down(tmp_path):
    """Two who take turns, by whatever is installed."""
    one, rate = soundfile.read(DEMO / "reference1.flac")
    two, _ = soundfile.read(DEMO / "reference2.flac")
    path = tmp_path / "recording1.flac"
    soundfile.write(path, np.concatenate([one, two]), rate)
    result, outputs = done("diarize", tmp_path, {"talkers": 2}, [File("mixture", "board.mp3", path)])
    assert [each.name for each in outputs] == ["speaker1.flac", "speaker2.flac", "turns.json", "words.json"]
    made = json.loads(outputs[2].read_text())
    seconds = len(one) / rate
    halves = []
    for begin in (0.0, seconds):
        spoken = dict.fromkeys(("speaker1", "speaker2"), 0.0)
        for turn in made["turns"]:
            spoken[turn["speaker"]] += max(0, min(turn["end"], begin + seconds) - max(turn["start"], begin))
        halves.append(max(spoken, key=lambda name: spoken[name]))
    assert set(halves) == {"speaker1", "speaker2"}
    assert len(made["levels"]) == 1200
    assert max(made["levels"]) == 1
    assert made["audio_seconds"] == result["audio_seconds"] == pytest.approx(2 * seconds, abs=0.1)
    words = json.loads(outputs[3].read_text())
    assert len(words) == 2
    assert all(words)
    assert "speakers" not in result  # the names are those that people give
    assert result["language"] == "en"


def test_where_nobody_speaks_there_is_no_meeting(tmp_path):
    path = tmp_path / "recording1.flac"
    soundfile.write(path, np.zeros(16000), 16000)
    with pytest.raises(InputError, match=r"^[^\n]*(?:speak|said)[^\n]*$"):
        done("diarize", tmp_path, {}, [File("mixture", "silence.flac", path)])


def test_levels_are_those_of_equal_parts(tmp_path):
    path = tmp_path / "steps.flac"
    soundfile.write(path, np.repeat([0.1, -0.5, 0.25, 0.0], 100)[:, None].repeat(2, 1), 8000)
    assert levels(path, 4) == [0.2, 1.0, 0.5, 0.0]
    soundfile.write(path, np.full(3, 0.5), 8000)
    assert levels(path, 4) == [1.0, 1.0, 1.0]
