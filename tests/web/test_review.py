"""Reviewers hear and decide what was contributed; nobody else does, and nobody decides twice unnoticed."""

import threading

import pytest

from tests.web.conftest import log_in, visit
from tests.web.contributed import add_campaign, add_participant, contribute, separate
from unbabble.web.queue import queue
from unbabble.web.queue.disposal import sweep
from unbabble.web.review import judging
from unbabble.web.tables.collect import Contribution
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.people import Event
from unbabble.web.tables.review import Judgement

PAGE = {"accept": "text/html"}


def decide(browser, key: str, status: str = "accepted", reason: str = "", seen: str | None = None, query=""):
    content = {"status": status, "reason": reason, "seen": seen}
    return browser.post(f"/api/review/contributions/{key}/decision{query}", json=content)


def get(app, model, key):
    with app.state.database.reading() as session:
        return session.get(model, key)


def test_a_reviewer_accepts_and_rejects_and_gets_the_next(site):
    participant = add_participant(site, add_campaign(site))
    first, second, third = (contribute(site, participant) for _ in range(3))
    reviewer = log_in(site, "reviewer")
    assert reviewer.get("/review/next").headers["location"] == f"/review/contributions/{first}"
    assert decide(reviewer, first).json()["next"] == second
    assert (
        decide(reviewer, third, "rejected", "One voice only").json()["next"] == second
    )  # from the beginning on
    assert decide(reviewer, second).json()["next"] is None
    assert reviewer.get("/review/next").headers["location"] == "/review"
    found = get(site, Contribution, third)
    assert (found.status, found.reviewer, found.reason) == ("rejected", "reviewer", "One voice only")
    listed = reviewer.get("/api/review/contributions?status=accepted").json()
    assert [each["id"] for each in listed] == [first, second]


def test_every_decision_is_in_the_audit_log(site):
    key = contribute(site, add_participant(site, add_campaign(site)))
    reviewer, other = log_in(site, "reviewer", "ann"), log_in(site, "administrator", "ben")
    decided = decide(reviewer, key, "rejected", "Too noisy").json()["decided"]
    assert decide(other, key, "accepted", seen=decided).status_code == 200
    with site.state.database.reading() as session:
        events = session.query(Event).filter_by(subject=key).order_by(Event.id).all()
    assert [(each.user_name, each.action, each.details) for each in events] == [
        ("ann", "rejected recording", {"reason": "Too noisy", "before": "pending"}),
        ("ben", "accepted recording", {"reason": "", "before": "rejected"}),
    ]
    assert "Too noisy" in reviewer.get("/review/decisions", headers=PAGE).text


def test_who_is_second_is_told_who_was_first_and_changes_nothing(site):
    key = contribute(site, add_participant(site, add_campaign(site)))
    ann, ben = log_in(site, "reviewer", "ann"), log_in(site, "reviewer", "ben")
    decided = decide(ann, key, "rejected", "Not the sentences").json()["decided"]
    late = decide(ben, key, "accepted")
    assert late.status_code == 409
    assert "ann rejected" in late.json()["detail"]
    assert "Not the sentences" in late.json()["detail"]
    assert get(site, Contribution, key).status == "rejected"
    assert decide(ben, key, "accepted", seen=decided).status_code == 200  # who has seen it may change it
    assert decide(ann, key, "rejected", "No", seen=decided).status_code == 409  # and that is noticed, too


def test_of_many_who_decide_at_once_one_succeeds(site):
    key = contribute(site, add_participant(site, add_campaign(site)))
    reviewers = [log_in(site, "reviewer", f"r{number}") for number in range(6)]
    tokens = [reviewer.token() for reviewer in reviewers]
    found, start = [], threading.Barrier(len(reviewers))

    def work(reviewer, token, status):
        start.wait()
        answer = reviewer.post(
            f"/api/review/contributions/{key}/decision",
            json={"status": status, "reason": "x"},
            headers={"x-csrf-token": token},
        )
        found.append(answer.status_code)

    threads = [
        threading.Thread(target=work, args=(reviewer, token, ("accepted", "rejected")[number % 2]))
        for number, (reviewer, token) in enumerate(zip(reviewers, tokens, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200, 409, 409, 409, 409, 409]
    with site.state.database.reading() as session:
        assert session.query(Event).filter_by(subject=key).count() == 1


def test_a_rejection_needs_a_reason(light_site):
    key = contribute(light_site, add_participant(light_site, add_campaign(light_site)))
    reviewer = log_in(light_site, "reviewer")
    assert decide(reviewer, key, "rejected", "  ").status_code == 422
    assert decide(reviewer, key, "rejected", "a\x00b").status_code == 422
    assert decide(reviewer, key, "pending").status_code == 422
    assert decide(reviewer, key, seen="yesterday").status_code == 422
    assert get(light_site, Contribution, key).status == "pending"


def test_filters_by_campaign_status_and_contributor(site):
    pilot, main = add_campaign(site), add_campaign(site, "main", "Main")
    ann, ben = add_participant(site, pilot), add_participant(site, main)
    first = contribute(site, ann)
    second, third = contribute(site, ben), contribute(site, ben, status="accepted")
    reviewer = log_in(site, "reviewer")

    def listed(query: str) -> list[str]:
        return [each["id"] for each in reviewer.get(f"/api/review/contributions{query}").json()]

    assert listed("") == [first, second, third]
    assert listed("?campaign=main") == [second, third]
    assert listed("?campaign=main&status=accepted") == [third]
    assert listed(f"?participant={ann}") == [first]
    assert listed("?most=2") == [first, second]
    assert listed(f"?most=2&after={second}") == [third]
    assert listed("?campaign=none") == []
    assert reviewer.get("/review/next?campaign=main").headers["location"] == (
        f"/review/contributions/{second}?campaign=main"
    )
    shown = reviewer.get("/review?campaign=main&status=all", headers=PAGE).text
    assert second in shown
    assert third in shown
    assert first not in shown
    assert decide(reviewer, second, query="?campaign=main").json()["next"] is None
    skip = reviewer.get(f"/review/contributions/{first}/skip?participant={ann}")
    assert skip.headers["location"] == f"/review?participant={ann}"


def test_the_queue_shows_page_after_page(light_site, monkeypatch):
    from unbabble.web.rooms import review

    monkeypatch.setattr(review, "MOST_SHOWN", 2)
    participant = add_participant(light_site, add_campaign(light_site))
    keys = [contribute(light_site, participant) for _ in range(5)]
    reviewer, address, found = log_in(light_site, "reviewer"), "/review", []
    for _ in range(3):
        shown = reviewer.get(address, headers=PAGE).text
        found += [key for key in keys if f"/review/contributions/{key}" in shown]
        address = f"/review?status=pending&after={found[-1]}"
    assert found == keys
    assert ">More<" not in shown


def test_a_score_is_asked_for_when_a_recording_arrives_and_shown_when_it_is_there(site):
    key = contribute(site, add_participant(site, add_campaign(site)))
    reviewer = log_in(site, "reviewer")
    for _ in range(2):  # asked for once
        assert reviewer.get(f"/api/review/contributions/{key}").json()["judging"] == "waiting"
    with site.state.database.reading() as session:
        (job,) = session.query(Job).all()
    assert job.inputs[0]["upload"] == get(site, Contribution, key).upload_id
    separate(site)
    state = reviewer.get(f"/api/review/contributions/{key}").json()
    assert state["judging"] == "done"
    assert state["blind"]["scores"] == [12.0, 6.0]
    assert state["blind"]["verdicts"] == ["fair", "poor"]
    shown = reviewer.get(f"/review/contributions/{key}", headers=PAGE).text
    assert "12.0 dB" in shown
    assert "(3.0 to 9.0)" in shown
    with site.state.storage.open(get(site, Contribution, key).blind["voices"][1]) as file:
        assert reviewer.get(f"/review/contributions/{key}/voices/2").content == file.read()
    assert reviewer.get(f"/review/contributions/{key}/voices/3").status_code == 404
    assert "9.0 dB" in reviewer.get("/review", headers=PAGE).text


def test_what_could_not_be_scored_is_tried_again_on_demand(light_site):
    key = contribute(light_site, add_participant(light_site, add_campaign(light_site)))
    reviewer = log_in(light_site, "reviewer")
    reviewer.get("/review", headers=PAGE)
    claimed = queue.claim(light_site.state.database, "test")
    assert claimed
    queue.refuse(light_site.state.database, claimed, "There is no separator.")
    state = reviewer.get(f"/api/review/contributions/{key}").json()
    assert (state["judging"], state["blind"]) == ("failed", {"error": "There is no separator."})
    assert "There is no separator." in reviewer.get(f"/review/contributions/{key}", headers=PAGE).text
    assert reviewer.post(f"/api/review/contributions/{key}/score").json()["judging"] == "waiting"
    separate(light_site)
    assert reviewer.get(f"/api/review/contributions/{key}").json()["judging"] == "done"
    assert reviewer.post(f"/api/review/contributions/{key}/score").json()["judging"] == "done"  # not twice


def test_servers_that_look_at_once_ask_for_a_score_once(site):
    participant = add_participant(site, add_campaign(site))
    keys = [contribute(site, participant) for _ in range(4)]
    start, errors = threading.Barrier(4), []

    def work():
        start.wait()
        try:
            judging.settle(site.state.database)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with site.state.database.reading() as session:
        assert session.query(Job).count() == len(keys)


@pytest.mark.parametrize("told", [True, False])
def test_withdrawal_takes_the_voices_along(site, told):
    key = contribute(site, add_participant(site, add_campaign(site)))
    judging.settle(site.state.database)
    separate(site)
    judging.settle(site.state.database)
    (voice, _) = get(site, Contribution, key).blind["voices"]
    with site.state.database.writing() as session:
        if told:  # as the room that deletes it does; otherwise the next look finds what is left
            judging.forget(session, [key])
        session.delete(session.get_one(Contribution, key))
    judging.settle(site.state.database)
    sweep(site.state.database, site.state.storage)
    assert site.state.storage.size(voice) is None
    with site.state.database.reading() as session:
        assert session.query(Judgement).count() == session.query(Job).count() == 0


def test_contributors_are_counted(site):
    pilot = add_campaign(site)
    ann, ben = add_participant(site, pilot, provider="prolific-1"), add_participant(site, pilot)
    doubt = [{"name": "one voice", "passed": False, "value": 0.9, "advice": "Read both at once."}]
    contribute(site, ann, status="accepted", blind={"scores": [10.0, 6.0]})
    contribute(site, ann, status="rejected", checks=doubt)
    contribute(site, ann, status="rejected", checks=doubt, blind={"scores": [2.0, None]})
    contribute(site, ann, blind={"error": "no"})
    contribute(site, ben)
    with site.state.database.reading() as session:
        from unbabble.web.review.reviewing import contributors

        first, second = contributors(session)
    assert first.participant.id == ann
    assert first.count == 4
    assert first.statuses == {"pending": 1, "accepted": 1, "rejected": 2}
    assert first.accepted_share == pytest.approx(1 / 3)
    assert second.accepted_share is None
    assert first.failed == {"one voice": 2}
    assert first.score == 8.0
    assert second.score is None
    for role, seen in (("administrator", True), ("reviewer", False)):  # who pays needs the provider's id
        shown = log_in(site, role).get("/review/contributors", headers=PAGE).text
        assert "one voice ×2" in shown
        assert "33 %" in shown
        assert ("prolific-1" in shown) is seen


def test_what_was_contributed_is_escaped(light_site):
    bad = "<script>alert(1)</script>"
    participant = add_participant(light_site, add_campaign(light_site, name=bad), provider=bad)
    key = contribute(
        light_site,
        participant,
        first_text=bad,
        second_text=bad,
        track={"label": bad, bad: bad},
        checks=[{"name": bad, "passed": False, "value": bad, "advice": bad}],
        blind={"scores": [1.0], "intervals": [[0.0, 2.0]], "verdicts": [bad], "voices": [], "model": bad},
    )
    with light_site.state.database.writing() as session:
        from unbabble.web.tables.collect import Participant

        talkers = [{"sex": bad, "native": True, "languages": bad}]
        session.get_one(Participant, participant).answers = {"talkers": talkers}
    administrator = log_in(light_site, "administrator", name=bad)
    decide(administrator, key, "rejected", bad)
    administrator.post("/api/review/datasets", json={"title": bad})
    pages = (
        "/review?status=all",
        f"/review/contributions/{key}",
        "/review/contributors",
        "/review/decisions",
        "/review/datasets",
    )
    for address in pages:
        text = administrator.get(address, headers=PAGE).text
        assert "<script>alert" not in text, address
        assert "&lt;script&gt;alert" in text, address


GET, POST, DELETE = "GET", "POST", "DELETE"
FOR_REVIEWERS = [
    (GET, "/review"),
    (GET, "/review/next"),
    (GET, "/review/contributors"),
    (GET, "/review/decisions"),
    (GET, "/review/contributions/{key}"),
    (GET, "/review/contributions/{key}/skip"),
    (GET, "/review/contributions/{key}/audio"),
    (GET, "/review/contributions/{key}/voices/1"),
    (GET, "/api/review/contributions"),
    (GET, "/api/review/contributions/{key}"),
    (POST, "/api/review/contributions/{key}/decision"),
    (POST, "/api/review/contributions/{key}/score"),
]
FOR_ADMINISTRATORS = [
    (GET, "/review/datasets"),
    (GET, "/review/datasets/{job}/file"),
    (GET, "/api/review/datasets"),
    (GET, "/api/review/datasets/{job}"),
    (POST, "/api/review/datasets"),
    (DELETE, "/api/review/datasets/{job}"),
]


def test_every_route_with_every_role(light_site):
    from unbabble.web.rooms import datasets, review

    key = contribute(light_site, add_participant(light_site, add_campaign(light_site)))
    judging.settle(light_site.state.database)
    separate(light_site)
    judging.settle(light_site.state.database)
    administrator, reviewer, nobody = (
        log_in(light_site, "administrator"),
        log_in(light_site, "reviewer"),
        visit(light_site),
    )
    job = administrator.post("/api/review/datasets", json={"title": "All"}).json()["id"]
    bodies = {"decision": {"status": "accepted"}, "datasets": {"title": "More"}}

    def status(browser, method, address) -> int:
        address = address.format(key=key, job=job)
        body = bodies.get(address.rsplit("/", 1)[1])
        return browser.request(method, address, **({"json": body} if body else {})).status_code

    for method, address in FOR_REVIEWERS + FOR_ADMINISTRATORS:
        assert status(nobody, method, address) == 401, address
    for method, address in FOR_ADMINISTRATORS:
        assert status(reviewer, method, address) == 403, address
    for method, address in FOR_REVIEWERS:
        assert status(reviewer, method, address) in (200, 202, 303), address
    for method, address in FOR_ADMINISTRATORS:
        expected = (409,) if address.endswith("/file") else (200, 202, 204)  # it is not made yet
        assert status(administrator, method, address) in expected, address
    known = {
        (method, route.path.format(key="{key}", number=1).replace("datasets/{key}", "datasets/{job}"))
        for room in (review, datasets)
        for router in (room.pages, room.calls)
        for route in router.routes
        for method in route.methods
    }
    assert known == {*FOR_REVIEWERS, *FOR_ADMINISTRATORS}


def test_what_is_not_there_is_told_so(light_site):
    administrator = log_in(light_site, "administrator")
    for address in ("/review/contributions/x", "/api/review/contributions/x", "/api/review/datasets/x"):
        assert administrator.get(address).status_code == 404
    assert decide(administrator, "x").status_code == 404
    for address in (
        "/review?campaign=a%00b",
        "/api/review/contributions?after=..%2F",
        "/review/contributions/a%00",
    ):
        assert administrator.get(address).status_code == 422
