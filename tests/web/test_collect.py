"""Campaigns and contributors without a browser: who may what, what is kept, and that withdrawing deletes it."""

import io
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache, partial

import numpy as np
import pytest
import soundfile
from sqlalchemy import select, update

from tests.web.conftest import DEMO, log_in, visit
from unbabble.web.collect import campaigns, stamps
from unbabble.web.database import now
from unbabble.web.decoding import Decoded
from unbabble.web.queue import queue
from unbabble.web.queue.expiry import purge
from unbabble.web.rooms.campaigns import blank
from unbabble.web.tables.collect import Assignment, Campaign, Consent, Contribution, Participant, WorkStamp
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.people import Event
from unbabble.web.tables.uploads import Upload

HTML = {"accept": "text/html"}
ANSWERS = {
    "together": "yes", "sex_0": "female", "sex_1": "male", "native_0": "yes", "native_1": "yes",
}  # fmt: skip
HOSTILE = '"><script>alert(1)</script>'


@cache
def voices() -> tuple[np.ndarray, int]:
    read = [soundfile.read(DEMO / f"reference{each}.flac", dtype="float32") for each in (1, 2)]
    return read[0][0] + read[1][0], read[0][1]


@pytest.fixture(autouse=True)
def decoded_here(request, monkeypatch):
    """Decoding takes a process each: only tests that ask for ``real_decoding`` pay for that."""
    if "real_decoding" in request.fixturenames:
        return

    def decode(source, target, settings):
        samples, rate = soundfile.read(source, always_2d=True)
        soundfile.write(target, samples, rate, format="FLAC", subtype="PCM_24")
        return Decoded(rate, samples.shape[1], len(samples) / rate, float(np.abs(samples).max()), 0.0)

    monkeypatch.setattr("unbabble.web.uploads.decode", decode)


@pytest.fixture
def real_decoding():
    """For tests of the whole."""


def recording(number: int = 0, gain: float = 1.0, seconds: float = 4.0) -> bytes:
    """Two voices, at another place for each number."""
    mixture, rate = voices()
    begin = number * rate // 2
    part = gain * mixture[begin : begin + round(seconds * rate)]
    file = io.BytesIO()
    soundfile.write(file, part, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def campaign(app, **changes):
    """A campaign as an administrator makes it: its page, and who made it."""
    boss = log_in(app)
    form = blank().model_dump() | {"pairs_each": 2, "pairs_total": 10} | changes
    answer = boss.post("/collect/campaigns", data=form)
    assert answer.status_code == 303, answer.text
    return boss, answer.headers["location"]


def come(app, browser=None, **ids):
    """A contributor who begins: their browser, and where they are."""
    browser = browser or visit(app)
    answer = browser.post("/collect/english/begin", data=ids)
    assert answer.status_code == 303, answer.text
    return browser, answer.headers["location"]


def consent_hash(browser, at: str) -> str:
    found = re.search(r'name="sha256" value="(\w+)"', browser.get(at, headers=HTML).text)
    assert found
    return found[1]


def agreed(app, browser=None, **ids):
    """A contributor who has sentences to read: their browser, where they are, and their number."""
    browser, at = come(app, browser, **ids)
    browser.post(f"{at}/answers", data=ANSWERS)
    browser.post(f"{at}/consent", data={"sha256": consent_hash(browser, at), "agreed": "yes"})
    return browser, at, at.rsplit("/", 1)[1]


def send(browser, key: str, position: int, content: bytes, **track):
    upload = browser.upload(content, purpose="collect")
    new = {"position": position, "upload": upload["id"], "track": track}
    return browser.post(f"/api/collect/{key}/recordings", json=new)


def state_of(app, table, key):
    with app.state.database.reading() as session:
        return session.get(table, key)


def every(app, table):
    with app.state.database.reading() as session:
        return session.scalars(select(table)).all()


def own_token(browser, at: str) -> str:
    return re.search(r'/own#([^"]+)"', browser.get(at, headers=HTML).text)[1]


def test_two_people_contribute_and_get_a_stamp_for_what_they_did(site, real_decoding):
    boss, _ = campaign(site, link_completed="https://provider.example/done?code={stamp}&who={participant}")
    browser, at, key = agreed(site, PROLIFIC_PID="p 1", STUDY_ID="study", SESSION_ID="session")
    pairs = browser.get(f"/api/collect/{key}").json()["pairs"]
    assert len(pairs) == 2
    assert len({pair[each] for pair in pairs for each in ("first", "second")}) == 4
    assert browser.post(f"{at}/finish").status_code == 409
    for position in range(2):
        answer = send(browser, key, position, recording(position), label="Mic", echoCancellation=False)
        assert answer.json()["kept"], answer.text
    listened = browser.get(f"/api/collect/{key}/recordings/{answer.json()['pair']['recording']}")
    assert listened.headers["content-type"] == "audio/flac"
    assert browser.post(f"{at}/finish").status_code == 303
    done = browser.get(at, headers=HTML).text
    code = re.search(r'id="stamp">([^<]+)<', done)[1]
    assert f"https://provider.example/done?code={code}&amp;who=p%201" in done
    key_for_stamps = stamps.stamp_key(site.state.settings.secret)
    assert stamps.verify(key_for_stamps, code, "english", "session", now().date()).count == 2
    assert send(browser, key, 0, recording(3)).status_code == 409

    rows = every(site, Contribution)
    assert [row.status for row in rows] == ["pending", "pending"]
    assert rows[0].track == {"label": "Mic", "echoCancellation": False, "browser": ""}
    participant = state_of(site, Participant, key)
    assert participant.answers["talkers"][0] == {"sex": "female", "native": True, "languages": ""}
    assert participant.consent_sha256 == every(site, Consent)[0].sha256
    kept = {row.upload_id for row in rows}
    assert {upload.id for upload in every(site, Upload) if upload.expires is None} == kept
    told = boss.post("/collect/stamps", data={"text": f"{code} other-session\n{code}", "action": "use"}).text
    assert told.count("This stamp is not genuine") == 1
    assert told.count("genuine, now used") == 1
    assert every(site, WorkStamp)[0].used_by == "administrator"
    assert "has been used" in boss.post("/collect/stamps", data={"text": code, "action": "use"}).text


def test_a_stamp_tells_how_many_and_the_provider_s_link_comes_for_all_of_them_alone(light_site):
    campaign(light_site, link_completed="https://provider.example/done")
    browser, at, key = agreed(light_site)
    send(browser, key, 0, recording())
    browser.post(f"{at}/finish")
    page = browser.get(at, headers=HTML).text
    assert "1 recording in" in page
    assert "provider.example" not in page


@pytest.mark.parametrize(
    ("content", "blocking"),
    [
        (recording(gain=0.0), "silent"),
        (recording(seconds=0.5), "too short"),
        (recording(gain=300.0), "clipped"),
    ],
)
def test_what_cannot_be_used_is_refused_with_advice_and_not_kept(light_site, content, blocking):
    campaign(light_site)
    browser, _, key = agreed(light_site)
    answer = send(browser, key, 0, content).json()
    (fault,) = [check for check in answer["checks"] if check["blocks"] and not check["passed"]]
    assert not answer["kept"]
    assert fault["name"] == blocking
    assert fault["advice"]
    assert answer["pair"]["recording"] is None
    assert every(light_site, Upload) == every(light_site, Contribution) == []
    assert [
        file for file in (light_site.state.settings.data / "recordings").rglob("*") if file.is_file()
    ] == []


def test_a_doubt_is_told_and_kept_for_the_reviewer(light_site):
    campaign(light_site)
    browser, _, key = agreed(light_site)
    answer = send(browser, key, 0, recording(gain=0.2), noiseSuppression=True).json()
    assert answer["kept"]
    doubts = {check["name"] for check in answer["checks"] if not check["passed"]}
    assert {"too quiet", "processed"} <= doubts
    assert {
        check["name"] for check in every(light_site, Contribution)[0].checks if not check["passed"]
    } == doubts


def test_nobody_sends_one_recording_twice(site):
    campaign(site)
    browser, _, key = agreed(site)
    assert send(browser, key, 0, recording()).json()["kept"]
    other, _, other_key = agreed(site)
    for who, whose, position in ((browser, key, 1), (browser, key, 0), (other, other_key, 0)):
        answer = send(who, whose, position, recording()).json()
        assert not answer["kept"]
        assert answer["checks"][-1]["name"] == "duplicate"
    assert len(every(site, Upload)) == len(every(site, Contribution)) == 1


def test_a_call_that_was_not_answered_may_be_repeated(light_site):
    campaign(light_site)
    browser, _, key = agreed(light_site)
    upload = browser.upload(recording(), purpose="collect")
    new = {"position": 0, "upload": upload["id"], "track": {}}
    first, second = (browser.post(f"/api/collect/{key}/recordings", json=new).json() for _ in range(2))
    assert first == second
    assert browser.post(f"/api/collect/{key}/recordings", json=new | {"position": 1}).status_code == 409
    assert len(every(light_site, Contribution)) == 1


def test_recording_again_replaces_what_was_there_until_it_was_reviewed(light_site):
    campaign(light_site)
    browser, _, key = agreed(light_site)
    send(browser, key, 0, recording(0))
    (before,) = every(light_site, Upload)
    assert send(browser, key, 0, recording(1)).json()["kept"]
    (after,) = every(light_site, Upload)
    assert after.id != before.id
    assert light_site.state.storage.size(before.heard_key) is None
    assert light_site.state.storage.size(after.heard_key)
    with light_site.state.database.writing() as session:
        session.execute(update(Contribution).values(status="rejected"))
    answer = send(browser, key, 0, recording(2))
    assert answer.status_code == 409
    assert "reviewed" in answer.json()["detail"]


def test_withdrawing_deletes_everything_at_any_time(site):
    boss, _ = campaign(site)
    browser, at, key = agreed(site, participant="p-1", session="s-1")
    send(browser, key, 0, recording(0))
    send(browser, key, 1, recording(1))
    loose = browser.upload(recording(2), purpose="collect")
    begun = browser.post("/api/uploads", json={"name": "a.wav", "bytes": 100, "purpose": "collect"}).json()
    browser.put(f"/api/uploads/{begun['id']}?offset=0", content=b"x" * 50)
    browser.post(f"{at}/finish")
    code = re.search(r'id="stamp">([^<]+)<', browser.get(at, headers=HTML).text)[1]
    other, _, other_key = agreed(site)
    send(other, other_key, 0, recording(3))
    with site.state.database.writing() as session:
        session.execute(update(Contribution).values(status="accepted"))
    token = own_token(browser, at)
    stranger = visit(site)
    looked = stranger.post("/collect/english/own", data={"token": token}, headers=HTML).text
    assert "2 recordings" in looked
    assert (
        stranger.post("/collect/english/own", data={"token": token, "action": "withdraw"}).status_code == 200
    )
    assert loose["id"] not in {upload.id for upload in every(site, Upload)}
    assert [row.participant_id for row in every(site, Contribution)] == [other_key]
    kept = [file for file in (site.state.settings.data / "recordings").rglob("*") if file.is_file()]
    assert len(kept) == 2  # of the other: as sent, and as heard
    assert list((site.state.settings.data / "partial").iterdir()) == []
    gone = state_of(site, Participant, key)
    assert (gone.state, gone.answers, gone.visit_id, gone.provider_participant, gone.provider_session) == (
        "withdrawn", {}, None, None, None,
    )  # fmt: skip
    assert browser.get(at).status_code == 404
    assert (
        "Nothing of yours" in stranger.post("/collect/english/own", data={"token": token}, headers=HTML).text
    )
    assert every(site, Event)[-1].action == "withdrew"
    assert "withdrawn since" in boss.post("/collect/stamps", data={"text": code}).text
    assert (
        "genuine, now used"
        in boss.post("/collect/stamps", data={"text": f"{code} s-1", "action": "use"}).text
    )


def test_nobody_reaches_another_s_things(light_site):
    campaign(light_site)
    browser, at, key = agreed(light_site)
    made = send(browser, key, 0, recording()).json()["pair"]["recording"]
    upload = browser.upload(recording(1), purpose="collect")
    for stranger in (visit(light_site), log_in(light_site, "reviewer"), log_in(light_site, name="another")):
        _, _, their_key = agreed(light_site, stranger)
        for path in (at, f"/api/collect/{key}", f"/api/collect/{key}/recordings/{made}"):
            assert stranger.get(path).status_code == 404
        assert stranger.get(f"/api/collect/{their_key}/recordings/{made}").status_code == 404
        new = {"position": 1, "upload": upload["id"], "track": {}}
        for whose in (key, their_key):
            assert stranger.post(f"/api/collect/{whose}/recordings", json=new).status_code == 404
        for path, data in (
            (f"{at}/answers", ANSWERS),
            (f"{at}/consent", {"sha256": "0" * 64, "agreed": "no"}),
            (f"{at}/back", {}),
            (f"{at}/finish", {}),
        ):
            assert stranger.post(path, data=data).status_code == 404
        for token in (key, f"{key}.", f"{key}.AAAA", own_token(stranger, f"/collect/at/{their_key}") + "x"):
            answer = stranger.post("/collect/english/own", data={"token": token, "action": "withdraw"})
            assert answer.status_code == 404
    assert state_of(light_site, Participant, key).state == "recording"


def test_administrators_alone_make_campaigns_and_use_stamps(light_site):
    boss, page = campaign(light_site)
    form = blank().model_dump() | {"slug": "another"}
    for who, status in ((visit(light_site), 401), (log_in(light_site, "reviewer"), 403)):
        for path in ("/collect/campaigns", page, "/collect/stamps"):
            assert who.get(path).status_code == status
        for path, data in (
            ("/collect/campaigns", form),
            (page, {"pairs_total": 1, "stamp_days": 1}),
            (f"{page}/open", {"state": "closed"}),
            (f"{page}/consent", {"text": "All is mine."}),
            ("/collect/stamps", {"text": "x", "action": "use"}),
        ):
            assert who.post(path, data=data).status_code == status
    assert len(every(light_site, Consent)) == 1
    assert boss.get(page).status_code == 200


NONSENSE = [
    ({"slug": "campaigns"}, "address"),
    ({"slug": "../x"}, "address"),
    ({"slug": "english"}, "already"),
    ({"name": " "}, "name"),
    ({"text": "one sentence is here"}, "sentences"),
    ({"pairs_each": 61}, "none twice"),
    ({"pairs_total": 0}, "pairs"),
    ({"stamp_days": 0}, "days"),
    ({"consent": "  "}, "consent"),
    ({"link_full": "javascript:alert(1)"}, "no address"),
]


def test_campaigns_that_make_no_sense_are_refused_and_the_form_keeps_what_was_typed(light_site):
    boss, _ = campaign(light_site)
    for changes, told in NONSENSE:
        form = blank().model_dump() | {"slug": "another", "language": "Klingon"} | changes
        answer = boss.post("/collect/campaigns", data=form, headers=HTML)
        assert answer.status_code == 422
        assert told in re.search(r'role="alert">([^<]+)<', answer.text)[1]
        assert "Klingon" in answer.text
    assert len(every(light_site, Campaign)) == 1


def test_links_can_be_changed_but_only_to_addresses(light_site):
    boss, page = campaign(light_site)
    good = {"pairs_total": 20, "stamp_days": 5, "link_full": "https://provider.example/full"}
    assert boss.post(page, data=good).status_code == 303
    assert boss.post(page, data=good | {"link_full": "javascript:alert(1)"}).status_code == 422
    assert "https://provider.example/full" in boss.get(page, headers=HTML).text


def test_a_new_consent_is_a_new_version_and_who_saw_the_old_one_sees_the_new_one(light_site):
    boss, page = campaign(light_site)
    _, _, early_key = agreed(light_site)
    browser, at = come(light_site)
    browser.post(f"{at}/answers", data=ANSWERS)
    shown = consent_hash(browser, at)
    assert boss.post(f"{page}/consent", data={"text": "The new text."}).status_code == 303
    assert boss.post(f"{page}/consent", data={"text": "The new text."}).status_code == 422
    browser.post(f"{at}/consent", data={"sha256": shown, "agreed": "yes"})
    assert "The new text." in browser.get(at, headers=HTML).text
    assert consent_hash(browser, at) != shown
    browser.post(f"{at}/consent", data={"sha256": consent_hash(browser, at), "agreed": "yes"})
    versions = {each.id: each.version for each in every(light_site, Consent)}
    signed = {each.id: versions[each.consent_id] for each in every(light_site, Participant)}
    assert signed[early_key] == 1
    assert sorted(signed.values()) == [1, 2]


def test_who_does_not_fit_or_agree_is_led_back_and_nothing_is_kept(light_site):
    campaign(light_site, native=True, link_screened="https://provider.example/no?p={participant}")
    for changes in ({"together": "no"}, {"native_1": "no"}, None):
        browser, at = come(light_site, participant=f"p&{changes}")
        browser.post(f"{at}/answers", data=ANSWERS | (changes or {}))
        if changes is None:
            browser.post(f"{at}/consent", data={"sha256": consent_hash(browser, at), "agreed": "no"})
        page = browser.get(at, headers=HTML).text
        assert "https://provider.example/no?p=p%26" in page
        assert state_of(light_site, Participant, at.rsplit("/", 1)[1]).answers == {}
    assert every(light_site, Assignment) == []


def test_a_campaign_takes_no_more_than_it_wants_and_gives_back_what_is_not_read(light_site):
    campaign(light_site, pairs_each=2, pairs_total=3, link_full="https://provider.example/full")
    slow, slow_at = come(light_site)
    slow.post(f"{slow_at}/answers", data=ANSWERS)
    shown = consent_hash(slow, slow_at)
    agreed(light_site)
    second, _, second_key = agreed(light_site)
    assert len(second.get(f"/api/collect/{second_key}").json()["pairs"]) == 1
    late = slow.post(f"{slow_at}/consent", data={"sha256": shown, "agreed": "yes"}, headers=HTML)
    assert "https://provider.example/full" in late.text
    newcomer = visit(light_site)
    assert "provider.example/full" in newcomer.get("/collect/english", headers=HTML).text
    assert "provider.example/full" in newcomer.post("/collect/english/begin", data={}, headers=HTML).text
    send(second, second_key, 0, recording())
    with light_site.state.database.writing() as session:  # the first has left
        session.execute(update(Assignment).values(created=now() - campaigns.HOLD))
    _, _, key = agreed(light_site, newcomer)
    assert len(newcomer.get(f"/api/collect/{key}").json()["pairs"]) == 2


def test_a_closed_campaign_lets_nobody_in_but_who_has_begun_may_finish(light_site):
    boss, page = campaign(light_site)
    browser, at, key = agreed(light_site)
    boss.post(f"{page}/open", data={"state": "closed"})
    assert visit(light_site).post("/collect/english/begin", data={}).status_code == 200
    assert "english" not in visit(light_site).get("/collect", headers=HTML).text
    assert send(browser, key, 0, recording()).json()["kept"]
    assert browser.post(f"{at}/finish").status_code == 303


def test_sentences_are_handed_out_evenly(light_site):
    text = "\n".join(f"This is the sentence number {number}." for number in range(8))
    campaign(light_site, text=text, pairs_each=2, pairs_total=100)
    for _ in range(6):
        agreed(light_site)
    uses: dict[str, list[int]] = {}
    for each in every(light_site, Assignment):
        uses.setdefault(each.first_id, [0, 0])[0] += 1
        uses.setdefault(each.second_id, [0, 0])[1] += 1
    assert {sum(each) for each in uses.values()} == {3}
    assert {abs(first - second) for first, second in uses.values()} == {1}


def at_once(*calls):
    """What each call returns when all are made at the same time."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [each.result() for each in [pool.submit(call) for call in calls]]


def test_who_agree_at_the_same_moment_get_different_sentences_and_no_more_than_are_wanted(site):
    text = "\n".join(f"This is the sentence number {number}." for number in range(16))
    campaign(site, text=text, pairs_each=2, pairs_total=8)
    people = []
    for _ in range(5):
        browser, at = come(site)
        browser.post(f"{at}/answers", data=ANSWERS)
        people.append((browser, f"{at}/consent", {"sha256": consent_hash(browser, at), "agreed": "yes"}))
    browser_tokens = [browser.token() for browser, _, _ in people]
    answers = at_once(
        *(
            partial(browser.post, path, data=data, headers={"x-csrf-token": token})
            for (browser, path, data), token in zip(people, browser_tokens, strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 303, 303, 303, 303]
    read = [key for each in every(site, Assignment) for key in (each.first_id, each.second_id)]
    assert len(read) == len(set(read)) == 16


def test_one_recording_that_two_send_at_the_same_moment_is_kept_once(site):
    campaign(site)
    calls = []
    for _ in range(3):
        browser, _, key = agreed(site)
        new = {"position": 0, "upload": browser.upload(recording(), purpose="collect")["id"], "track": {}}
        headers = {"x-csrf-token": browser.token()}
        calls.append(partial(browser.post, f"/api/collect/{key}/recordings", json=new, headers=headers))
    answers = at_once(*calls)
    assert sorted(answer.json()["kept"] for answer in answers) == [False, False, True]
    assert len(every(site, Contribution)) == len(every(site, Upload)) == 1


def test_a_cookie_resumes_and_a_provider_s_number_alone_does_not(light_site):
    campaign(light_site)
    browser, at, _ = agreed(light_site, participant="p-1")
    assert come(light_site, browser, participant="p-1")[1] == at
    assert "Go on" in browser.get("/collect/english?participant=p-1", headers=HTML).text
    thief = visit(light_site)
    assert thief.post("/collect/english/begin", data={"participant": "p-1"}).status_code == 409
    assert at not in thief.get("/collect/english?PROLIFIC_PID=p-1", headers=HTML).text
    # the personal link does
    token = own_token(browser, at)
    answer = thief.post("/collect/english/own", data={"token": token, "action": "resume"})
    assert answer.headers["location"] == at
    assert thief.get(at).status_code == 200
    assert browser.get(at).status_code == 404


def test_before_consent_another_browser_may_take_over_a_provider_s_number(light_site):
    campaign(light_site)
    phone, at = come(light_site, participant="p-1")
    _, other_at = come(light_site, participant="p-1")
    assert other_at != at
    assert phone.get(at).status_code == 404


def test_answers_of_who_never_agreed_are_forgotten(light_site):
    campaign(light_site)
    browser, at = come(light_site)
    browser.post(f"{at}/answers", data=ANSWERS)
    _, _, key = agreed(light_site)
    long_ago = now() - campaigns.UNDECIDED - timedelta(minutes=1)
    with light_site.state.database.writing() as session:
        session.execute(update(Participant).values(created=long_ago))
    _, new_at = come(light_site)
    assert {each.id for each in every(light_site, Participant)} == {key, new_at.rsplit("/", 1)[1]}
    assert browser.get(at).status_code == 404


def test_after_finishing_others_may_begin_in_the_same_browser(light_site):
    campaign(light_site)
    browser, at, key = agreed(light_site)
    send(browser, key, 0, recording())
    browser.post(f"{at}/finish")
    assert "Begin again" in browser.get("/collect/english", headers=HTML).text
    assert come(light_site, browser)[1] != at


def test_what_strangers_send_is_escaped_and_cut_off(light_site):
    boss, page = campaign(light_site, name=HOSTILE)
    browser, at = come(light_site, participant=HOSTILE)
    entry = browser.get("/collect/english", params={"PROLIFIC_PID": HOSTILE}, headers=HTML).text
    browser.post(f"{at}/answers", data=ANSWERS | {"languages_0": HOSTILE})
    browser.post(f"{at}/back")
    questions = browser.get(at, headers=HTML).text
    boss.post(f"{page}/consent", data={"text": HOSTILE})
    browser.post(f"{at}/answers", data=ANSWERS | {"languages_0": HOSTILE})
    consent = browser.get(at, headers=HTML).text
    told = boss.post("/collect/stamps", data={"text": HOSTILE}, headers=HTML).text
    for text in (entry, questions, consent, told, boss.get(page, headers=HTML).text):
        assert "<script>alert" not in text
        assert "&lt;script&gt;" in text
    long = "x" * 200
    assert browser.get("/collect/english", params={"PROLIFIC_PID": long}).status_code == 422
    assert browser.post("/collect/english/begin", data={"participant": long}).status_code == 422


def test_uploads_that_became_no_recording_expire_and_contributions_do_not(light_site):
    campaign(light_site)
    browser, _, key = agreed(light_site)
    send(browser, key, 0, recording(0))
    browser.upload(recording(1), purpose="collect")
    with light_site.state.database.writing() as session:
        session.execute(
            update(Upload).where(Upload.expires.is_not(None)).values(expires=now() - timedelta(days=1))
        )
    purge(light_site.state.database, light_site.state.settings.data)
    (kept,) = every(light_site, Upload)
    assert every(light_site, Contribution)[0].upload_id == kept.id


def test_the_example_is_two_voices_of_ours(light_site):
    campaign(light_site)
    answer = visit(light_site).get("/collect/english/example.flac")
    samples, rate = soundfile.read(io.BytesIO(answer.content))
    assert len(samples) == 7 * rate
    assert visit(light_site).get("/collect/none/example.flac").status_code == 404


def read_along(app, *read: bool) -> None:
    """Be the worker for the next recording."""
    claimed = queue.claim(app.state.database, "test")
    assert claimed
    assert claimed.kind == "read"
    assert len(claimed.parameters["sentences"]) == 2
    assert [each["role"] for each in claimed.inputs] == ["mixture"]
    result = {"read": read, "evidence": [1.0 if each else 0.1 for each in read]}
    assert queue.finish(app.state.database, claimed, result, [])


def test_whether_both_sentences_were_read_is_known_later(site):
    campaign(site)
    browser, _, key = agreed(site)
    for position in range(2):
        answer = send(browser, key, position, recording(position)).json()
        assert answer["pair"]["reading"]
        assert "both sentences" not in {check["name"] for check in answer["checks"]}
    read_along(site, True, False)
    read_along(site, True, True)
    pairs = browser.get(f"/api/collect/{key}").json()["pairs"]
    assert [pair["reading"] for pair in pairs] == [False, False]
    checks = [{check["name"]: check for check in pair["checks"]} for pair in pairs]
    assert "second sentence" in checks[0]["both sentences"]["advice"]
    assert [each["both sentences"]["passed"] for each in checks] == [False, True]
    assert [row.reading_id for row in every(site, Contribution)] == [None, None]
    assert every(site, Job) == []
    again = send(browser, key, 0, recording(4)).json()
    assert again["pair"]["reading"]
    assert len(every(site, Job)) == 1


def test_what_cannot_be_read_along_is_left_to_the_reviewer(light_site):
    campaign(light_site)
    browser, _, key = agreed(light_site)
    send(browser, key, 0, recording())
    claimed = queue.claim(light_site.state.database, "test")
    assert claimed
    assert queue.refuse(light_site.state.database, claimed, "No recogniser is installed.")
    (pair, _) = browser.get(f"/api/collect/{key}").json()["pairs"]
    assert not pair["reading"]
    assert "both sentences" not in {check["name"] for check in pair["checks"]}
    assert every(light_site, Job) == []


def test_recordings_in_other_languages_are_not_read_along(light_site):
    campaign(light_site, language="Twi")
    browser, _, key = agreed(light_site)
    assert not send(browser, key, 0, recording()).json()["pair"]["reading"]
    assert every(light_site, Job) == []


def test_a_recording_that_is_replaced_or_withdrawn_is_not_read_along_any_more(light_site):
    campaign(light_site)
    browser, at, key = agreed(light_site)
    send(browser, key, 0, recording())
    (before,) = every(light_site, Job)
    send(browser, key, 0, recording(1))
    (after,) = every(light_site, Job)
    assert after.id != before.id
    own = {"token": own_token(browser, at), "action": "withdraw"}
    assert browser.post("/collect/english/own", data=own).status_code == 200
    assert every(light_site, Job) == []
