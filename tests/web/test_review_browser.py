"""The reviewer's way in a real browser, by keyboard alone: from the queue to a data set that `unbabble score` reads."""

import json
import re
import tarfile

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.web.conftest import PASSWORD, log_in, wav
from tests.web.contributed import add_campaign, add_participant, contribute, separate
from tests.web.unpacked import unpack
from unbabble import cli
from unbabble.data import manifest
from unbabble.web.rooms.accounts import add_user
from unbabble.web.tables.collect import Contribution
from unbabble.web.worker import Worker

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
MOST_STEPS = 60


def tab_to(page: Page, name: str, role: str = "") -> None:
    """As somebody without a mouse: on and on until the control with this name has the focus."""
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        told = page.evaluate(
            "() => { const e = document.activeElement;"
            " return (e.labels?.[0]?.textContent || e.getAttribute('aria-label') || e.textContent || '').trim() }"
        )
        if re.sub(r"\s+", " ", told).startswith(name):
            return
    raise AssertionError(f"the keyboard does not lead to {name!r}")


def sound(page: Page) -> None:
    """No accessibility violation, and nothing beside the window."""
    found = Axe().run(page).response["violations"]
    assert not found, [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def status(app, key: str) -> tuple[str, str | None]:
    with app.state.database.reading() as session:
        found = session.get_one(Contribution, key)
    return found.status, found.reason


def collect(app, count: int = 3) -> list[str]:
    """So many recordings of two seconds, each of somebody else, separated."""
    campaign = add_campaign(app)
    keys = [
        contribute(app, add_participant(app, campaign), wav(2.0, 16000, seed=number))
        for number in range(count)
    ]
    separate(app)
    return keys


def enter(page: Page, address: str, name: str) -> None:
    page.goto(f"{address}/review")
    # Without a click, yet only once the page is drawn: what is typed before that is lost.
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Review", exact=True)).to_be_visible()


@pytest.fixture
def no_separator(package, packaged_scorer) -> None:
    """Nothing large is loaded."""
    package(two={"sources": 2, "sample_rate": 8000})


def test_from_the_queue_to_a_data_set_by_keyboard(live, chromium, tmp_path, no_separator):
    address, app = live()
    first, second, third = collect(app)
    add_user(app.state.database, "ann", PASSWORD, "administrator")
    context = chromium(viewport={"width": 1200, "height": 900}, accept_downloads=True)
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(error))
    enter(page, address, "ann")
    sound(page)
    tab_to(page, "Review the next of 3")
    page.keyboard.press("Enter")

    player = page.get_by_role("group", name="Recording and voices")
    expect(player.get_by_role("button", name="Play")).to_be_enabled()
    expect(player.get_by_role("button", name="Voice 2")).to_be_visible()
    expect(page.get_by_text("Voice 1: 12.0 dB")).to_be_visible()
    sound(page)
    page.keyboard.press("Space")
    expect(player.get_by_role("button", name="Pause")).to_be_visible()
    expect(player.get_by_role("slider")).to_have_attribute("aria-valuetext", "0:02 of 0:02")
    page.keyboard.press("a")

    page.wait_for_url(f"**/{second}?*")
    assert status(app, first) == ("accepted", "")
    expect(page.get_by_text("The birch canoe slid.")).to_be_visible()
    page.keyboard.press("r")
    sound(page)
    page.keyboard.press("Enter")  # without a reason
    expect(page.get_by_role("alert")).to_have_text("Say why: choose a reason, or write one.")
    page.keyboard.press("2")
    page.keyboard.press("Enter")

    page.wait_for_url(f"**/{third}?*")
    assert status(app, second) == ("rejected", "They do not talk at the same time")
    with log_in(app, "reviewer", "ben") as ben:  # is first
        ben.post(f"/api/review/contributions/{third}/decision", json={"status": "rejected", "reason": "Hm"})
    page.keyboard.press("a")
    expect(page.get_by_role("alert")).to_contain_text("ben rejected this recording (Hm)")
    assert status(app, third) == ("rejected", "Hm")
    tab_to(page, "Look at it again")
    page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile("^ben rejected this recording on .*: Hm"))).to_be_visible()
    page.keyboard.press("a")  # knowingly
    expect(page.get_by_text("Nothing waits for review")).to_be_visible()
    assert status(app, third) == ("accepted", "")

    tab_to(page, "Decisions")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row")).to_have_count(5)
    sound(page)
    tab_to(page, "Contributors")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row")).to_have_count(4)
    sound(page)
    tab_to(page, "Data sets")
    page.keyboard.press("Enter")
    expect(page.get_by_text("None yet.")).to_be_visible()
    tab_to(page, "Title")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("First <b>harvest</b>")
    page.keyboard.press("Enter")
    expect(page.get_by_text("waiting")).to_be_visible()
    worker = Worker(app.state.settings)
    try:
        assert worker.step()
    finally:
        worker.close()
    download = page.get_by_role("link", name="Download First <b>harvest</b>")
    expect(download).to_be_visible()
    sound(page)
    page.keyboard.press("Shift+Tab")  # the list is before the form
    for _ in range(MOST_STEPS):
        if download.evaluate("link => link === document.activeElement"):
            break
        page.keyboard.press("Shift+Tab")
    with page.expect_download() as got:
        page.keyboard.press("Enter")
    got.value.save_as(tmp_path / "harvest.tar")
    assert not errors

    with tarfile.open(tmp_path / "harvest.tar") as archive:
        unpack(archive, tmp_path)
    listed = tmp_path / "First-b-harvest-b" / "manifest.jsonl"
    assert len(manifest.read(listed)) == 2
    told = tmp_path / "told.json"
    assert cli.run(["score", str(listed), "--json", str(told), "--quiet"]) == 0
    assert [len(file["details"]["voices"]) for file in json.loads(told.read_text())["files"]] == [2, 2]


def test_on_a_phone(live, chromium):
    address, app = live()
    first, second = collect(app, 2)
    add_user(app.state.database, "ann", PASSWORD, "administrator")
    page = chromium(**PHONE).new_page()
    enter(page, address, "ann")
    for room in ("contributors", "decisions", "datasets"):
        page.goto(f"{address}/review/{room}")
        sound(page)
    page.goto(f"{address}/review")
    page.get_by_role("link", name="Review the next of 2").tap()
    expect(page.get_by_role("button", name="Play")).to_be_enabled()
    sound(page)
    page.get_by_role("button", name="Reject …").tap()
    page.get_by_label("In your words").fill("A dog barks")
    page.get_by_role("button", name="Reject", exact=True).tap()
    page.wait_for_url(f"**/{second}?*")
    assert status(app, first) == ("rejected", "A dog barks")
    page.get_by_role("button", name="Accept").tap()
    expect(page.get_by_text("Nothing waits for review")).to_be_visible()


def test_single_keys_can_be_switched_off_and_voices_come_when_they_are_there(live, chromium):
    address, app = live()
    key = contribute(app, add_participant(app, add_campaign(app)), wav(1.0, 16000))
    add_user(app.state.database, "ann", PASSWORD, "reviewer")
    page = chromium().new_page()
    enter(page, address, "ann")
    page.goto(f"{address}/review/contributions/{key}")
    player = page.get_by_role("group", name="Recording and voices")
    expect(player.get_by_role("button", name="Play")).to_be_enabled()
    expect(page.get_by_text("Being separated and scored")).to_be_visible()
    page.get_by_label(re.compile("Single keys decide")).uncheck()
    page.keyboard.press("a")
    page.get_by_role("heading", name="Decision").click()
    page.keyboard.press("a")
    separate(app)
    expect(player.get_by_role("button", name="Voice 2")).to_be_enabled()
    expect(page.get_by_text("Voice 2: 6.0 dB")).to_be_visible()
    assert status(app, key) == ("pending", None)
    page.reload()
    expect(page.get_by_label(re.compile("Single keys decide"))).not_to_be_checked()
    assert page.get_by_role("link", name="Data sets").count() == 0  # not for reviewers
