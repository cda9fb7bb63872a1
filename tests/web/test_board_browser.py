"""The leaderboard in a real browser: a set is made, outputs are sent and scored, tables sort and filter."""

import threading

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.web.conftest import PASSWORD
from tests.web.test_board import a_set, outputs, zipped
from unbabble.web.rooms.accounts import add_user
from unbabble.web.worker import Worker

PATIENCE_MS = 120_000


@pytest.fixture
def working(live):
    """A site with a worker: its address."""
    address, app = live()
    add_user(app.state.database, "anna", PASSWORD, "administrator")
    worker = Worker(app.state.settings)
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield address
    worker.stopping.set()
    thread.join(30)
    worker.close()


def check(page: Page) -> None:
    """No violation that axe finds, and nothing to scroll sideways."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def systems(page: Page) -> list[str]:
    return page.locator("table.board tbody tr:visible th").all_inner_texts()


def test_from_an_archive_to_a_sorted_table(working, chromium, tmp_path):
    (tmp_path / "set.zip").write_bytes(zipped(a_set(2)))
    (tmp_path / "outputs.zip").write_bytes(zipped(outputs(2)))
    administrator = chromium(viewport={"width": 1100, "height": 800}, color_scheme="dark").new_page()
    administrator.goto(f"{working}/login?next=/leaderboard/manage")
    administrator.get_by_label("Name").fill("anna")
    administrator.get_by_label("Password").fill(PASSWORD)
    administrator.get_by_role("button", name="Log in").click()
    administrator.get_by_label("Name", exact=True).fill("Small rooms")
    administrator.get_by_label("Mixtures (zip)").set_input_files(tmp_path / "set.zip")
    check(administrator)
    administrator.get_by_role("button", name="Make test set").click()
    expect(administrator.get_by_role("rowheader", name="Small rooms")).to_be_visible()
    while administrator.get_by_text("being read").is_visible():
        administrator.wait_for_timeout(300)
        administrator.reload()

    visitor = chromium(viewport={"width": 390, "height": 800}).new_page()
    visitor.goto(f"{working}/leaderboard")
    visitor.get_by_role("link", name="Small rooms").click()
    with visitor.expect_download() as download:
        visitor.get_by_role("link", name="Download the mixtures").click()
    assert download.value.suggested_filename == "small-rooms.zip"
    visitor.get_by_label("Name of the system").fill("Mine")
    visitor.get_by_label("How to reach you").fill("me@here.example")
    visitor.get_by_label("Outputs (zip)").set_input_files(tmp_path / "set.zip")
    check(visitor)
    visitor.get_by_role("button", name="Send and score").click()
    expect(visitor.get_by_text("It could not be scored")).to_be_visible(timeout=PATIENCE_MS)
    visitor.get_by_role("link", name="Send it again").click()
    visitor.get_by_label("Name of the system").fill("Mine")
    visitor.get_by_label("How to reach you").fill("me@here.example")
    visitor.get_by_label("Outputs (zip)").set_input_files(tmp_path / "outputs.zip")
    visitor.get_by_role("button", name="Send and score").click()
    expect(visitor.get_by_text("Scored. It is shown to everybody once")).to_be_visible(timeout=PATIENCE_MS)
    check(visitor)

    administrator.reload()
    check(administrator)
    administrator.get_by_role("button", name="Publish Mine").click()
    expect(administrator.get_by_text("shown", exact=True)).to_be_visible()

    visitor.goto(f"{working}/leaderboard")
    check(visitor)
    assert [name.split()[0] for name in systems(visitor)] == ["Mine", "ideal", "mixture"]
    head = visitor.get_by_role("columnheader", name="SI-SDR improvement")
    expect(head).to_have_attribute("aria-sort", "descending")
    head.get_by_role("button").focus()
    visitor.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert [name.split()[0] for name in systems(visitor)] == ["mixture", "ideal", "Mine"]
    visitor.get_by_role("searchbox", name="System").fill("mi")
    assert [name.split()[0] for name in systems(visitor)] == ["mixture", "Mine"]
    expect(visitor.get_by_role("status").first).to_have_text("2 systems")
    visitor.get_by_label("Test sets").select_option("real")
    assert systems(visitor) == []
