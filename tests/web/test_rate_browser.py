"""The listener's way in a real browser: from an administrator's zip through headphones and trials to results."""

import re

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from tests.web.conftest import PASSWORD
from tests.web.test_rate import decoded_here, every, folder, one, real_decoding, zipped  # noqa: F401
from unbabble.web.rate import tones
from unbabble.web.rooms.accounts import add_user
from unbabble.web.tables.rate import Clip, Listener, Stimulus, Trial

PHONE = {"width": 390, "height": 844}


def axe(page: Page) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def fits(page: Page) -> None:
    """Nothing has to be scrolled sideways."""
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def log_in(page: Page, app, address: str) -> None:
    add_user(app.state.database, "anna", PASSWORD, "administrator")
    page.goto(f"{address}/login")
    page.get_by_label("Name").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{address}/")


def make_study(
    page: Page, address: str, kind: str, tmp_path, references: bool = False, headphones: bool = False
) -> None:
    """By the pages for administrators, then open it."""
    page.goto(f"{address}/rate/studies")
    page.get_by_label("Name, as listeners see it").fill("Which voice")
    page.get_by_role("radio", name=kind).check()
    page.get_by_label("Trials of each listener").fill("2")
    page.get_by_label("Listeners must pass the headphone check").set_checked(headphones)
    page.get_by_role("button", name="Make study").click()
    expect(page.get_by_label("Zip", exact=True)).to_be_visible()
    axe(page)
    path = tmp_path / "study.zip"
    path.write_bytes(zipped(folder(1, references=references)))
    page.get_by_label("Zip", exact=True).set_input_files(path)
    page.get_by_role("button", name="Add recordings").click()
    page.get_by_role("button", name="Open it to listeners").click()
    expect(page.get_by_role("button", name="Close it")).to_be_visible()


def take_part(page: Page, address: str) -> None:
    page.goto(f"{address}/rate")
    page.get_by_role("link", name=re.compile("Which voice")).click()
    page.get_by_role("group", name=re.compile("hear normally")).get_by_label("Yes").check()
    page.get_by_role("group", name=re.compile("quiet place")).get_by_label("Yes").check()
    page.get_by_label(re.compile("18 years")).check()
    page.get_by_role("button", name="Begin").click()


def hear_all(page: Page) -> None:
    """Play every recording of the trial to its end."""
    tracks = page.locator(".player-track")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_enabled()
    for index in range(tracks.count()):
        tracks.nth(index).get_by_role("button").click()
        page.get_by_role("button", name="Play", exact=True).click()
        expect(tracks.nth(index).get_by_text("heard")).to_be_visible()
        expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()


def hear_all_by_keyboard(page: Page) -> None:
    """Space plays; at the end of a recording it goes on to the next that was not heard."""
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_enabled()
    page.get_by_role("heading", level=1).focus()
    tracks = page.locator(".player-track")
    for index in range(tracks.count()):
        page.keyboard.press("Space")
        expect(tracks.nth(index).get_by_text("heard")).to_be_visible()
        expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()


def open_trial(app) -> tuple[Trial, Stimulus, dict[str, Clip]]:
    trial = one(app, Trial, Trial.voted.is_(None), Trial.opened.is_not(None))
    return (
        trial,
        one(app, Stimulus, Stimulus.id == trial.stimulus_id),
        {clip.id: clip for clip in every(app, Clip)},
    )


def wait_for(page: Page, number: int, total: int) -> None:
    expect(page.get_by_role("heading", name=f"Trial {number} of {total}")).to_be_visible()


def test_a_listener_s_whole_way(live, chromium, tmp_path, monkeypatch):
    for name in ("TONE_SECONDS", "RAMP_SECONDS", "GAP_SECONDS"):  # nobody waits here
        monkeypatch.setattr(tones, name, getattr(tones, name) / 10)
    address, app = live()
    desk = chromium().new_page()
    log_in(desk, app, address)
    make_study(desk, address, "REAL-M", tmp_path, headphones=True)
    desk.goto(f"{address}/rate/studies")
    axe(desk)

    context = chromium(viewport=PHONE, color_scheme="dark")
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda told: problems.append(told.text) if "Content Security" in told.text else None)
    page.goto(f"{address}/rate")
    axe(page)
    take_part(page, address)

    expect(page.get_by_role("heading", name="Put on headphones")).to_be_visible()
    axe(page)
    fits(page)
    with app.state.database.reading() as session:
        seed = session.scalars(select(Listener.seed)).one()
    for number, right in enumerate(tones.headphone_answers(seed + 1), 1):
        field = page.get_by_role("group", name=f"{number} of 6")
        choice = field.get_by_label(("first", "second", "third")[right - 1])
        expect(choice).to_be_disabled()
        field.get_by_role("button", name="Play tones").click()
        expect(choice).to_be_enabled(timeout=15_000)
        choice.check()
        field.get_by_role("button", name=re.compile("Next|Finish")).click()

    wait_for(page, 1, 4)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_enabled()
    axe(page)
    fits(page)
    page.get_by_role("button", name="Send and go on").click()
    expect(page.get_by_role("status").filter(has_text="Still to hear")).to_contain_text(
        "Mixture; Voice 1; Voice 2"
    )
    for number in range(1, 5):
        wait_for(page, number, 4)
        hear_all(page)
        trial, _, clips = open_trial(app)
        rated = [clips[each["clip"]] for each in trial.order if each["part"] == "rated"]
        for index, clip in enumerate(rated):
            value = clip.expected or (5 - index if clip.system == "good" else 2 - index)
            page.get_by_role("button", name=f"Voice {index + 1}").click()
            page.keyboard.press(str(value))
            field = page.get_by_role("group", name=f"Voice {index + 1}:")
            expect(field.get_by_role("radio", checked=True)).to_have_attribute("value", str(value))
        if number == 2:  # the page is closed, and opened again
            page.close()
            page = context.new_page()
            page.goto(f"{address}/rate")
            page.get_by_role("link", name=re.compile("go on")).click()
            wait_for(page, 2, 4)
            hear_all(page)
            for index, clip in enumerate(rated):
                value = clip.expected or (5 - index if clip.system == "good" else 2 - index)
                page.get_by_role("group", name=f"Voice {index + 1}:").locator(
                    f"input[value='{value}']"
                ).check(force=True)
        page.get_by_role("button", name="Send and go on").click()
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    axe(page)
    assert problems == []

    desk.goto(f"{address}/rate/studies")
    desk.get_by_role("link", name="Results of Which voice").click()
    expect(desk.get_by_text("1 of 1 listeners count, with 4 of 4 votes")).to_be_visible()
    table = desk.get_by_role("region", name="Mean opinion")
    expect(table.get_by_role("row", name=re.compile("good"))).to_contain_text("4.50")
    with app.state.database.writing() as session:
        for clip in session.scalars(select(Clip).where(Clip.role == "estimate")):
            clip.blind_db = 10.0 + clip.number
    desk.set_viewport_size(PHONE)
    desk.reload()
    expect(desk.get_by_role("img", name=re.compile("blind score"))).to_be_visible()
    fits(desk)
    axe(desk)
    with desk.expect_download() as saved:
        desk.get_by_role("link", name="CSV", exact=True).click()
    assert saved.value.suggested_filename == "which-voice.csv"
    assert saved.value.path().read_text().count("\n") == 1 + 8


@pytest.mark.parametrize("kind", ["MUSHRA", "A/B"])
def test_sliders_and_pairs(live, chromium, tmp_path, kind):
    address, app = live()
    context = chromium(viewport=PHONE)
    page = context.new_page()
    log_in(page, app, address)
    make_study(page, address, kind, tmp_path, references=True)
    fits(page)
    take_part(page, address)
    total = 2 if kind == "MUSHRA" else 3
    for number in range(1, total + 1):
        wait_for(page, number, total)
        if number == 1:
            hear_all(page)
            axe(page)
            fits(page)
        else:
            hear_all_by_keyboard(page)
        trial, stimulus, _ = open_trial(app)
        if kind == "MUSHRA":
            page.get_by_role("button", name="Send and go on").click()
            expect(page.get_by_role("status").filter(has_text="needs an answer")).to_be_visible()
            rated = [each for each in trial.order if each["part"] == "rated"]
            assert len(rated) == 5
            for index, each in enumerate(rated):
                slider = page.get_by_role("slider", name=f"Sound {chr(65 + index)}")
                slider.focus()
                expect(page.get_by_role("button", name=f"Sound {chr(65 + index)}")).to_have_attribute(
                    "aria-pressed", "true"
                )
                page.keyboard.press("End" if each["system"] in ("hidden reference", "good") else "Home")
            expect(page.get_by_text("100, excellent")).to_have_count(2)
        else:
            side = (
                stimulus.expected[0]
                if stimulus.role == "trap"
                else next(
                    each["side"] for each in trial.order if each["system"] in ("good", "made: as it is")
                )
            )
            page.get_by_role("heading", level=1).focus()
            page.keyboard.press(str(side))
        page.get_by_role("button", name="Send and go on").click()
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    page.goto(f"{address}/rate/studies/which-voice/results")
    expect(page.get_by_text("1 of 1 listeners count")).to_be_visible()
    fits(page)
    axe(page)
    if kind == "MUSHRA":
        row = page.get_by_role("region", name="Mean opinion").get_by_role(
            "row", name=re.compile("hidden reference")
        )
        expect(row).to_contain_text("100.00")
    else:
        expect(page.get_by_role("row", name=re.compile("bad or good"))).to_contain_text("0 %")
