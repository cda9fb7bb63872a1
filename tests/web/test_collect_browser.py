"""The contributor's way in a real browser whose microphone hears two voices: from the door to a verified work stamp."""

import re

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect
from sqlalchemy import select

from tests.web.conftest import DEMO, PASSWORD
from unbabble.web.queue import queue
from unbabble.web.rooms.accounts import add_user
from unbabble.web.tables.collect import Contribution, Participant
from unbabble.web.tables.uploads import Upload

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
RECORD_MILLISECONDS = 3500
"""Of recording, which cannot go faster than speech does."""


@pytest.fixture(scope="module")
def two_voices(tmp_path_factory):
    """What the fake microphone hears, again and again."""
    voices = [soundfile.read(DEMO / f"reference{each}.flac", dtype="float32") for each in (1, 2)]
    mixture = voices[0][0] + voices[1][0]
    path = tmp_path_factory.mktemp("microphone") / "two.wav"
    soundfile.write(path, 0.5 * mixture / np.abs(mixture).max(), voices[0][1], subtype="PCM_16")
    return path


def seen_well(page: Page) -> None:
    """Nothing that axe finds, and nothing that has to be scrolled sideways."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def administrator(context, app, address: str) -> Page:
    add_user(app.state.database, "anna", PASSWORD, "administrator")
    page = context.new_page()
    page.goto(f"{address}/login")
    page.get_by_label("Name").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{address}/")
    return page


def make_campaign(page: Page, address: str, pairs: int) -> None:
    """By the form as it comes, with a provider's link."""
    page.goto(f"{address}/collect/campaigns")
    page.get_by_label("Pairs for each contributor").fill(str(pairs))
    page.get_by_text("Contributors whom a provider sends").click()
    page.get_by_label("When they have finished").fill(f"{address}/health?cc={{stamp}}&who={{participant}}")
    seen_well(page)
    page.get_by_role("button", name="Make campaign").click()
    expect(page.get_by_role("heading", name="Where contributors enter")).to_be_visible()
    seen_well(page)


def agree(page: Page) -> None:
    """From the campaign's door to the microphone."""
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("group", name="Are you two adults").get_by_label("Yes").check()
    for talker, sex in (("First talker", "Female"), ("Second talker", "Male")):
        group = page.get_by_role("group", name=talker)
        group.get_by_label(sex, exact=True).check()
        group.get_by_label("Yes").check()
    group.get_by_label("Languages you grew up with").fill("English, <script>alert(1)</script>")
    seen_well(page)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Do you both agree?")).to_be_visible()
    seen_well(page)
    page.get_by_role("button", name="We both agree").click()
    expect(page.locator("#room[data-loaded]")).to_be_attached()


def open_microphone(page: Page) -> None:
    page.get_by_role("button", name="Use the microphone").click()
    expect(page.get_by_text("Your voices arrive well.")).to_be_visible(timeout=15_000)
    expect(page.get_by_text("echo cancellation off, noise suppression off, gain control off")).to_be_visible()
    seen_well(page)
    page.get_by_role("button", name="Go to the sentences").click()


def record(page: Page) -> None:
    page.get_by_role("button", name="Record", exact=True).click()
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_be_focused()
    page.wait_for_timeout(RECORD_MILLISECONDS)
    stop.press("Enter")
    expect(page.get_by_role("button", name="Send")).to_be_focused()


def kept_or_overruled(page: Page) -> None:
    """Which words are in the microphone at this moment is chance: a doubt may come, and is overruled."""
    sent = page.get_by_text("The last recording was sent, and all is well.")
    doubted = page.get_by_role("button", name=re.compile("Next pair|Leave it so"))
    expect(sent.or_(doubted).filter(visible=True).first).to_be_visible(timeout=30_000)
    if doubted.is_visible():
        doubted.click()


@pytest.mark.parametrize("window", [DESK, PHONE], ids=["desk", "phone"])
def test_from_the_door_to_a_verified_work_stamp(live, chromium, two_voices, window):
    address, app = live()
    boss = administrator(chromium(viewport=window), app, address)
    make_campaign(boss, address, pairs=2)

    page = chromium(microphone=two_voices, viewport=window).new_page()
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{address}/collect")
    seen_well(page)
    page.goto(f"{address}/collect/english?PROLIFIC_PID=p-1&STUDY_ID=st-1&SESSION_ID=se-1")
    seen_well(page)
    agree(page)
    open_microphone(page)

    first_sentence = page.locator("#first").inner_text()
    record(page)
    seen_well(page)
    lost = []

    def lose(route):  # the first piece of the upload, and the question after it, go nowhere
        lost.append(route.request.method)
        route.abort("connectionreset")

    page.route(re.compile(r"/api/uploads/[^/]+(\?|$)"), lose, times=2)
    page.get_by_role("button", name="Send").click()
    kept_or_overruled(page)
    assert lost == ["PUT", "GET"]

    # the page is closed with a recording that was not sent, and opened again
    record(page)
    page.close()
    page = page.context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{address}/collect/english?PROLIFIC_PID=p-1&STUDY_ID=st-1&SESSION_ID=se-1")
    page.get_by_role("link", name="Go on").click()
    expect(page.get_by_role("heading", name="A recording was not sent")).to_be_visible()
    seen_well(page)
    page.get_by_role("button", name="Send it").click()
    expect(page.get_by_role("heading", name="All sentences are recorded")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Finish").click()
    expect(page.get_by_role("heading", name="Your work stamp")).to_be_visible()
    seen_well(page)
    code = page.locator("#stamp").inner_text()
    back = page.get_by_role("link", name="Return to the study").get_attribute("href")
    assert back == f"{address}/health?cc={code}&who=p-1"

    boss.goto(f"{address}/collect/stamps")
    for expected in ("genuine, now used", "This stamp has been used."):
        boss.locator("textarea").fill(f"{code.lower()} se-1")
        boss.get_by_role("button", name="Verify and mark as used").click()
        expect(boss.get_by_role("region", name="Result")).to_contain_text(expected)
        seen_well(boss)

    with app.state.database.reading() as session:
        made = session.scalars(select(Contribution).order_by(Contribution.created)).all()
        uploads = session.scalars(select(Upload)).all()
    assert len(made) == len(uploads) == 2
    assert made[0].first_text == first_sentence
    assert all(each.seconds == pytest.approx(RECORD_MILLISECONDS / 1000, abs=1.5) for each in made)
    assert all(each.track["echoCancellation"] is False and each.track["contextRate"] > 0 for each in made)
    assert {check["name"] for check in made[0].checks} > {"one voice", "duplicate"}
    assert all(
        each["passed"] for each in made[0].checks if each["name"] in ("too quiet", "clipped", "processed")
    )

    # taking it all back, by the personal link, in another browser
    own = page.get_by_label("Your personal link", exact=True).input_value()
    other = chromium(viewport=window).new_page()
    other.goto(own)
    assert "#" not in other.url
    other.get_by_role("button", name="Show what is kept").click()
    expect(other.get_by_text("keeps 2 recordings")).to_be_visible()
    seen_well(other)
    other.get_by_label("Delete everything").check()
    other.get_by_role("button", name="Withdraw and delete").click()
    expect(other.get_by_role("heading", name="It is deleted")).to_be_visible()
    with app.state.database.reading() as session:
        assert session.scalars(select(Upload)).all() == []
        assert session.scalars(select(Participant.state)).all() == ["withdrawn"]
    assert all(app.state.storage.size(each.heard_key) is None for each in uploads)
    assert faults == []


def test_a_sentence_that_was_not_understood_is_said_while_the_next_pair_is_at_hand(
    live, chromium, two_voices
):
    address, app = live()
    make_campaign(administrator(chromium(viewport=DESK), app, address), address, pairs=2)
    page = chromium(microphone=two_voices, viewport=PHONE).new_page()
    page.goto(f"{address}/collect/english")
    agree(page)
    open_microphone(page)
    record(page)
    page.get_by_role("button", name="Send").click()
    kept_or_overruled(page)
    expect(page.locator("#count")).to_have_text("Pair 2 of 2")
    claimed = queue.claim(app.state.database, "test")
    assert claimed
    assert claimed.kind == "read"
    queue.finish(app.state.database, claimed, {"read": [True, False], "evidence": [1.0, 0.1]}, [])
    expect(page.locator("#earlier")).to_contain_text(
        "Pair 1: The second sentence was not understood.", timeout=15_000
    )
    seen_well(page)
    page.get_by_role("button", name="Record it again").click()
    expect(page.locator("#count")).to_have_text("Pair 1 of 2")
    expect(page.locator("#earlier")).to_be_hidden()
    record(page)
