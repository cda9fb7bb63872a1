"""The studio as somebody uses it: in a real browser, on a phone, by keyboard, with a microphone."""

import io
import json
import re
import threading
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import soundfile

pytest.importorskip("playwright.sync_api")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.web.conftest import DEMO
from unbabble.web.worker import Worker

PATIENCE = 120_000
"""Milliseconds: on a slow machine a first job loads its libraries."""
STARTS = """
window.starts = [];
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (when, offset) {
  window.starts.push([when, offset]);
  return start.call(this, when, offset);
};
"""
DROPPED = """(name) => {
  const dropped = new DataTransfer();
  dropped.items.add(new File(['x'], `${name}.wav`));
  return dropped;
}"""


@pytest.fixture
def studio(live) -> Iterator[Callable]:
    """Serves a site with a worker; gives its address."""
    workers = []

    def start() -> str:
        address, app = live()
        worker = Worker(app.state.settings)
        thread = threading.Thread(target=worker.run)
        thread.start()
        workers.append((worker, thread))
        return address

    yield start
    for worker, thread in workers:
        worker.stopping.set()
        thread.join()
        worker.close()


def is_accessible(page: Page, errors: list[str] | None = None) -> None:
    """No violation, nothing wider than the window, and no error so far (axe itself offends against the policy)."""
    assert not errors
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    if errors is not None:
        errors.clear()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_from_an_upload_to_a_zip_with_the_voices_of_the_command_line(studio, chromium, tmp_path):
    """On a phone, by keyboard where there is something to play."""
    from unbabble.verbs.separate import separate

    address = studio()
    context = chromium(viewport={"width": 390, "height": 844}, accept_downloads=True)
    context.add_init_script(STARTS)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address}/studio")
    is_accessible(page, errors)
    page.get_by_role("button", name="Separate").click()
    expect(page.get_by_role("alert")).to_have_text("Choose a recording first.")
    page.get_by_label("Choose a file").first.set_input_files(DEMO / "mixture.flac")
    page.get_by_text("Options").click()
    page.get_by_role("combobox", name="Model").select_option("auxiva.iss")
    page.get_by_role("combobox", name="Talkers").select_option("2")
    is_accessible(page, errors)
    page.get_by_role("button", name="Separate").click()

    page.wait_for_url(re.compile("/studio/jobs/"))
    expect(page.locator("#player[data-ready]")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("heading", level=1)).to_have_text("mixture.flac")
    expect(page.get_by_role("img", name="Waveform and spectrogram of Voice 2")).to_be_visible()
    expect(page.locator(".player-track").nth(1)).to_contain_text("dB (")
    is_accessible(page, errors)

    voice, mixture = (
        page.get_by_role("button", name="Voice 2", exact=True),
        page.get_by_role("button", name="Mixture", exact=True),
    )
    page.get_by_role("button", name="Play").focus()
    page.keyboard.press("Enter")
    pause = page.get_by_role("button", name="Pause")
    expect(pause).to_be_focused()
    starts = page.evaluate("starts")
    assert len(starts) == 3
    assert len(set(map(tuple, starts))) == 1  # all at one time, from one place
    page.keyboard.press("3")
    expect(voice).to_have_attribute("aria-pressed", "true")
    expect(mixture).to_have_attribute("aria-pressed", "false")
    assert page.evaluate("starts.length") == 3  # switched without starting again
    position = page.get_by_role("slider", name="Position")
    expect(position).to_have_attribute("aria-valuetext", re.compile("0:0[1-9] of 0:09"))
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    solo = page.get_by_role("button", name="Solo Mixture")
    solo.press("Enter")
    page.get_by_role("button", name="Solo Voice 1").press("Enter")
    page.get_by_role("button", name="Mute Mixture").press("Enter")
    audible = page.locator(".player-track.audible")
    expect(audible).to_have_count(1)
    expect(audible).to_contain_text("Voice 1")

    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download all (zip)").click()
    made = zipfile.ZipFile(io.BytesIO(waiting.value.path().read_bytes()))
    separate(
        DEMO / "mixture.flac", out=tmp_path / "cli", model="auxiva.iss", sources=2, format="flac", quiet=True
    )
    for name in ("source1.flac", "source2.flac"):
        assert made.read(name) == (tmp_path / "cli" / "mixture" / name).read_bytes()

    page.get_by_role("button", name="Share a link").click()
    link = page.get_by_role("link", name="this link")
    expect(link).to_be_visible()
    shared = f"{address}{link.get_attribute('href')}"
    other = chromium(viewport={"width": 390, "height": 844}).new_page()
    other.goto(shared)
    expect(other.locator("#player[data-ready]")).to_be_visible(timeout=PATIENCE)
    expect(other.get_by_role("button", name="Delete this recording")).to_have_count(0)
    is_accessible(other)

    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete this recording").click()
    page.wait_for_url(f"{address}/studio")
    expect(page.get_by_text("None yet.")).to_be_visible()
    answer = other.goto(shared)
    assert answer
    assert answer.status == 404
    assert errors == []


def test_noise_is_taken_off_what_a_microphone_hears(studio, chromium, tmp_path):
    voice, rate = soundfile.read(DEMO / "reference1.flac")
    soundfile.write(tmp_path / "voice.wav", voice, rate, subtype="PCM_16")
    page = chromium(microphone=tmp_path / "voice.wav", color_scheme="dark").new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{studio()}/studio")
    page.get_by_role("radio", name="Take off noise").check()
    for place in ("body", ".picker"):  # anywhere, not only into the box
        dropped = page.evaluate_handle(DROPPED, place)
        page.dispatch_event(place, "drop", {"dataTransfer": dropped})
        expect(page.locator(".picked li")).to_contain_text(f"{place}.wav")
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.get_by_text(re.compile(r"^0:(0[2-9]|[1-5]\d)$"))).to_be_visible()
    is_accessible(page)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text(re.compile(r"Recorded \d+\.\d s"))).to_be_visible()
    page.get_by_text("Options").click()
    page.get_by_role("combobox", name="Model").select_option("gru.2x64")
    page.get_by_role("combobox", name="How much noise goes").select_option("12")
    page.get_by_role("button", name="Take off noise").click()
    page.wait_for_url(re.compile("/studio/jobs/"))
    expect(page.locator("#player[data-ready]")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("button", name="Without noise", exact=True)).to_be_visible()
    expect(page.locator("main")).to_contain_text("noise 12 dB softer at most")
    is_accessible(page)


def test_words_are_heard_corrected_and_downloaded(studio, chromium):
    """By keyboard; whatever the recogniser that is installed writes."""
    page = chromium(viewport={"width": 390, "height": 844}, accept_downloads=True).new_page()
    page.set_default_timeout(PATIENCE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{studio()}/studio")
    page.get_by_role("radio", name="Write it down").check()
    page.get_by_label("Choose a file").first.set_input_files(DEMO / "reference1.flac")
    page.get_by_role("button", name="Write it down").click()
    page.wait_for_url(re.compile("/studio/jobs/"))
    expect(page.locator("#player[data-ready]")).to_be_visible(timeout=PATIENCE)
    said = page.get_by_role("group", name="What Recording says")
    words = said.get_by_role("button")
    expect(words.nth(4)).to_be_visible()
    assert page.locator('.word[tabindex="0"]').count() == 1  # one stop of the Tab key, however many words
    is_accessible(page, errors)

    words.first.focus()
    for key in ("End", "Home", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    expect(words.nth(2)).to_be_focused()
    begins = json.loads(page.locator("#known-words").text_content())["voices"][0][0][2]["start"]
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(said.locator(".word.now")).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    assert float(page.get_by_role("slider", name="Position").input_value()) >= begins

    recognised = words.nth(2).inner_text().split(",")[0]
    words.nth(2).focus()
    page.keyboard.press("e")
    editor = page.get_by_role("textbox", name=f"Instead of {recognised}")
    expect(editor).to_be_focused()
    page.keyboard.type("never mind")
    page.keyboard.press("Escape")
    expect(words.nth(2)).to_be_focused()
    page.keyboard.press("e")
    page.keyboard.type("something else")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The correction is kept.")).to_be_visible()
    expect(words.nth(2)).to_have_text(f"something else, corrected from {recognised}")
    page.get_by_role("button", name="Correct words").click()
    words.nth(3).click()
    page.keyboard.press("Delete")
    is_accessible(page, errors)
    page.get_by_role("button", name="Play").focus()  # what was typed is kept
    expect(words.nth(3)).to_contain_text("left out")

    page.reload()
    expect(words.nth(2)).to_contain_text("something else")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="SRT").click()
    captions = waiting.value.path().read_text()
    assert "else" in captions
    assert "never" not in captions
    words.nth(2).focus()
    page.keyboard.press("F2")
    page.get_by_role("button", name=f"Back to “{recognised}”").click()
    expect(page.get_by_text(f"“{recognised}” is there again.")).to_be_visible()
    expect(words.nth(2)).to_be_focused()
    assert errors == []


def test_the_voices_of_a_separation_are_written_down_where_they_stand(studio, chromium):
    page = chromium().new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{studio()}/studio")
    page.get_by_role("radio", name="Take off noise").check()
    page.get_by_label("Choose a file").first.set_input_files(DEMO / "reference2.flac")
    page.get_by_text("Options").click()
    page.get_by_role("combobox", name="Model").select_option("gru.2x64")
    page.get_by_role("button", name="Take off noise").click()
    page.wait_for_url(re.compile("/studio/jobs/"))
    page.get_by_role("button", name="Write down what is said").click()
    expect(page.get_by_text("Writing down what is said")).to_be_visible()
    row = page.locator(".player-track", has=page.get_by_role("button", name="Without noise", exact=True))
    words = row.locator(".word")
    expect(words.first).to_be_visible(timeout=PATIENCE)
    assert page.locator(".word").count() > words.count() > 3  # and the one that says what a wavy line is
    words.nth(1).click()
    expect(row).to_have_class(re.compile("audible"))
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_words_of_long_recordings_play_their_voice_too(studio, chromium):
    """Tracks that do not fit the memory are streamed; here, the browser says that it has none."""
    context = chromium()
    context.add_init_script("Object.defineProperty(navigator, 'deviceMemory', {get: () => 1e-6})")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{studio()}/studio")
    page.get_by_role("radio", name="Write it down").check()
    page.get_by_label("Choose a file").first.set_input_files(DEMO / "reference1.flac")
    page.get_by_role("button", name="Write it down").click()
    page.wait_for_url(re.compile("/studio/jobs/"))
    said = page.get_by_role("group", name="What Recording says")
    said.get_by_role("button").nth(2).click(timeout=PATIENCE)
    expect(page.get_by_text("This recording is long")).to_be_visible()
    lines = json.loads(page.locator("#known-words").text_content())["voices"][0]
    begins = [word for line in lines for word in line][2]["start"]
    page.wait_for_function("begins => document.querySelector('audio').currentTime >= begins", arg=begins)
    expect(said.locator(".word.now")).to_have_count(1)


def test_a_meeting_is_read_named_merged_and_heard_talker_by_talker(studio, chromium, tmp_path):
    """On a phone in the dark, by keyboard where there is something to play."""
    voices = [soundfile.read(DEMO / f"reference{number}.flac")[0] for number in (1, 2, 1)]
    rate = soundfile.info(DEMO / "reference1.flac").samplerate
    soundfile.write(tmp_path / "board.flac", np.concatenate(voices), rate)
    context = chromium(
        viewport={"width": 360, "height": 780}, color_scheme="dark", accept_downloads=True, locale="en-GB"
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    errors: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    address = studio()
    page.goto(f"{address}/studio")
    page.get_by_role("radio", name="Who speaks when").check()
    page.get_by_label("Choose a file").first.set_input_files(tmp_path / "board.flac")
    page.get_by_text("Options").click()
    page.get_by_role("combobox", name="Talkers").select_option("2")
    page.get_by_role("button", name="Say who speaks when").click()
    page.wait_for_url(re.compile("/studio/jobs/"))
    expect(page.locator("#meeting[data-ready]")).to_be_visible(timeout=PATIENCE)
    is_accessible(page, errors)
    said = page.get_by_role("group", name="What is said")
    blocks = said.locator(".by b")
    expect(blocks).to_have_text(["speaker1", "speaker2", "speaker1"])

    page.get_by_role("button", name="Rename speaker2").press("Enter")
    expect(page.get_by_role("textbox", name="Another name for speaker2")).to_be_focused()
    page.keyboard.type("speaker1")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Another talker is called speaker1: merge the two")).to_be_visible()
    errors.clear()  # Chromium's own line about the refusal
    page.get_by_role("textbox", name="Another name for speaker2").fill("Ben <b>")
    is_accessible(page, errors)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Rename Ben <b>")).to_be_focused()
    expect(blocks).to_have_text(["speaker1", "Ben <b>", "speaker1"])

    turn = page.get_by_role("group", name="Turns of Ben <b>").get_by_role("button").first
    turn.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.locator(".talker.speaking")).to_contain_text("Ben <b>")
    expect(said.locator(".word.now")).to_have_count(1)
    assert not any("/files/speaker" in each for each in asked)  # everybody is heard
    with page.expect_request("**/files/speaker2.flac"):
        page.keyboard.press("2")
    expect(page.get_by_role("button", name="Hear Ben <b> alone")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    position = page.get_by_role("slider", name="Position")
    begins = json.loads(page.locator("#known-meeting").text_content())["turns"]
    ben = [each for each in begins if each["person"] == 1]
    assert float(position.input_value()) >= ben[0]["start"] - 0.2
    said.locator(".word").last.click()  # of whom is silent now: so they are heard
    expect(page.get_by_role("button", name="Hear speaker1 alone")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Closer").click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.get_by_role("button", name="Merge speaker1 with another talker").click()
    page.get_by_role("combobox", name="With whom speaker1 is one person").select_option("Ben <b>")
    is_accessible(page, errors)
    page.get_by_role("button", name="Merge", exact=True).click()
    expect(page.get_by_text("speaker1 and Ben <b> are one talker now.")).to_be_visible()
    expect(blocks).to_have_text(["Ben <b>"])
    page.reload()
    expect(blocks).to_have_text(["Ben <b>"])
    page.get_by_role("button", name="speaker1 is somebody else").click()
    expect(blocks).to_have_text(["speaker1", "Ben <b>", "speaker1"])

    with page.expect_download() as waiting:
        page.get_by_role("link", name="HTML").click()
    waiting.value.save_as(tmp_path / "minutes.html")
    minutes = context.new_page()
    minutes.on("pageerror", lambda error: errors.append(str(error)))
    minutes.goto((tmp_path / "minutes.html").as_uri())
    is_accessible(minutes)
    expect(minutes.locator("dt")).to_have_text(
        [re.compile("^speaker1"), re.compile("^Ben <b>"), re.compile("^speaker1")]
    )
    minutes.get_by_label("To listen, open the recording").set_input_files(tmp_path / "board.flac")
    minutes.locator("[data-at]").nth(1).press("Enter")
    expect(minutes.locator(".now")).to_have_count(1)
    assert {each.split("/")[2] for each in asked if each.startswith("http")} == {address.split("/")[2]}
    assert errors == []


def test_a_voice_is_enrolled_with_consent_names_a_talker_and_is_deleted(studio, chromium, tmp_path):
    voices = [soundfile.read(DEMO / f"reference{number}.flac")[0] for number in (1, 2, 1)]
    rate = soundfile.info(DEMO / "reference1.flac").samplerate
    soundfile.write(tmp_path / "board.flac", np.concatenate(voices), rate)
    page = chromium(viewport={"width": 360, "height": 780}).new_page()
    page.set_default_timeout(PATIENCE)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    address = studio()
    page.goto(f"{address}/studio/voices")
    is_accessible(page, errors)
    go = page.get_by_role("button", name="Enroll")
    go.press("Enter")
    expect(page.get_by_role("textbox", name="Name")).to_be_focused()
    page.keyboard.type("Ben <b>")
    go.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Choose a recording of this person first.")
    page.get_by_label("Choose a file").set_input_files(DEMO / "reference2.flac")
    page.get_by_role("checkbox", name="This person has agreed to that").check()
    page.get_by_role("radio", name="and half a minute of each recording").check()
    agreed = page.get_by_role("checkbox", name="This person has agreed to that")
    expect(agreed).not_to_be_checked()  # to another text
    expect(page.get_by_text("up to 30 seconds of what was said")).to_be_visible()
    go.press("Enter")
    expect(agreed).to_be_focused()
    page.keyboard.press("Space")
    is_accessible(page, errors)
    go.press("Enter")
    ready = page.locator("[data-voice][data-state=done]")
    expect(ready).to_have_count(1, timeout=PATIENCE)
    is_accessible(page, errors)
    page.locator(".voices audio").evaluate("each => { each.muted = true; return each.play(); }")
    page.get_by_role("button", name="Rename Ben <b>").press("Enter")
    page.keyboard.type("Ben")
    page.keyboard.press("Enter")
    expect(page.locator(".voice-name")).to_have_text("Ben")

    page.goto(f"{address}/studio")
    page.get_by_role("radio", name="Who speaks when").check()
    page.get_by_label("Choose a file").first.set_input_files(tmp_path / "board.flac")
    page.get_by_role("checkbox", name="Name talkers by the 1 voice that you have enrolled").check()
    page.get_by_text("Options").click()
    page.get_by_role("combobox", name="Talkers").select_option("2")
    page.get_by_role("combobox", name="Words").select_option("no")
    page.get_by_role("button", name="Say who speaks when").click()
    expect(page.locator("#meeting[data-ready]")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".talker-name")).to_have_text(["speaker1", "Ben"])
    expect(page.locator(".talker", has_text="Ben").locator(".tag")).to_have_text(
        re.compile(r"^recognised, \d+ %$")
    )
    is_accessible(page, errors)
    page.get_by_role("link", name="Remember the voice of speaker1").click()
    is_accessible(page, errors)
    page.get_by_role("textbox", name="Name").fill("Anna")
    page.get_by_role("checkbox", name="This person has agreed to that").check()
    page.get_by_role("button", name="Enroll").click()
    expect(ready).to_have_count(2, timeout=PATIENCE)
    page.get_by_role("button", name="Delete the voice of Ben").click()
    expect(page.locator(".voice-name")).to_have_text(["Anna"])
    page.goto(f"{address}/studio")
    page.get_by_role("button", name="Delete everything").click()
    expect(page.get_by_text("None yet.")).to_be_visible()
    page.goto(f"{address}/studio/voices")
    expect(page.get_by_text("None yet.")).to_be_visible()
    assert errors == []
