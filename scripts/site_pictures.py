"""Make the pictures of the site's pages for the documentation: docs/images/site/*.png.

    python scripts/site_pictures.py

Needs Chromium and the development environment; a few minutes. What is shown is real: the demo recording is separated,
sentences are "read" by a fake microphone that hears two of its voices, and three people who do not exist vote.
"""

import shutil
import socket
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))

import numpy as np  # noqa: E402
import soundfile  # noqa: E402
import uvicorn  # noqa: E402
from PIL import Image  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402

from tests.web.conftest import CHROMIUM, DEMO, FLAGS, PASSWORD, visit  # noqa: E402
from tests.web.test_board import make_set, submit  # noqa: E402
from tests.web.test_realm_page import collect_and_review, listen, make_study  # noqa: E402
from unbabble import cli  # noqa: E402
from unbabble.web.app import create_app  # noqa: E402
from unbabble.web.rooms.accounts import add_user  # noqa: E402
from unbabble.web.serve import Workers, settings_arguments  # noqa: E402
from unbabble.web.settings import Settings  # noqa: E402

PICTURES = REPOSITORY / "docs" / "images" / "site"
WIDE, PHONE = {"width": 1100, "height": 760}, {"width": 390, "height": 780}
COLOURS = 64
"""Enough for pages of few colours, and a quarter of the size."""
MODELS = ("sepformer.2talkers_8k", "conv_tasnet.2talkers_8k")


def main() -> None:
    """Fill a site, and look at it."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address = f"http://127.0.0.1:{port}"
        settings = replace(Settings.of(folder / "site", address=address), limits=False)
        app = create_app(settings)
        add_user(app.state.database, "anna", PASSWORD, "administrator")
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="off"))
        threading.Thread(target=server.run, daemon=True).start()
        while not server.started:
            time.sleep(0.05)
        with Workers(settings_arguments(settings), 1), sync_playwright() as playwright:
            fill(app, folder)
            flags = [*FLAGS.split(), f"--use-file-for-fake-audio-capture={two_voices(folder)}"]
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
            try:
                look(browser, address, folder)
            finally:
                browser.close()
        server.should_exit = True
        app.state.database.close()


def two_voices(folder: Path) -> Path:
    """What the microphone hears."""
    first, rate = soundfile.read(DEMO / "reference1.flac")
    second, _ = soundfile.read(DEMO / "reference2.flac")
    path = folder / "two.wav"
    soundfile.write(path, 0.5 * (first + second), rate, subtype="PCM_16")
    return path


def fill(app, folder: Path) -> None:
    """A campaign with recordings, a study with votes, a test set with systems."""
    data = str(app.state.settings.data)
    collect_and_review(app)
    make_study(app)
    run("collected", folder / "mixtures", "--campaign", "english", "--data", data, "--quiet")
    (folder / "study" / "mixtures").mkdir(parents=True)
    for path in (folder / "mixtures" / "audio").glob("*/*.wav"):
        shutil.copy(path, folder / "study" / "mixtures")
    for model in MODELS:
        out = folder / "study" / model.split(".")[0]
        run("separate", folder / "mixtures" / "manifest.jsonl", "--model", model, "--out", out, "--quiet")
    run("fill", "english", folder / "study", "--data", data)
    listen(app)
    boss = visit(app)
    boss.post("/login", data={"name": "anna", "password": PASSWORD})
    boss.post("/rate/studies/english/score")

    room = (
        "--room",
        "5x4x2.7",
        "--rt60",
        "0.2",
        "--talkers",
        "2",
        "--count",
        "4",
        "--seed",
        "3",
        "--duration",
        "6",
    )
    speech = folder / "speech"
    for number, name in enumerate(("alice", "bob", "carol"), 1):
        (speech / name).mkdir(parents=True)
        shutil.copy(DEMO / f"reference{number}.flac", speech / name)
    run("simulate", "--speech", speech, *room, "--out", folder / "set", "--quiet")
    items = sorted(path.parent for path in (folder / "set").rglob("mixture.wav"))
    files = {f"{item.name}/{path.name}": path.read_bytes() for item in items for path in item.glob("*.wav")}
    about = {"name": "Small rooms", "description": "Two talkers of the demo in four simulated rooms."}
    slug = make_set(app, boss, files, work=False, made="unbabble simulate --seed 3", **about)
    wait(
        lambda: (
            boss.get(f"/leaderboard/{slug}").status_code == 200
            and "ideal" in boss.get(f"/leaderboard/{slug}").text
        )
    )
    for model in MODELS:
        out = folder / "outputs" / model
        mixtures = [item / "mixture.wav" for item in items]
        for mixture, item in zip(mixtures, items, strict=True):
            run("separate", mixture, "--model", model, "--out", out / item.name, "--quiet", "--no-score")
        sent = {
            f"{item.name}/{path.name}": path.read_bytes()
            for item in items
            for path in (out / item.name).rglob("source*.wav")
        }
        key = submit(boss, slug, sent, system=model, description=f"unbabble separate --model {model}").json()[
            "id"
        ]
        wait(
            lambda key=key: (
                boss.get(f"/api/leaderboard/entries/{key}").json()["state"] not in ("waiting", "running")
            )
        )
        boss.post(f"/leaderboard/manage/entries/{key}/publish")


def run(*words: object) -> None:
    """One command of ours."""
    assert cli.run([str(word) for word in words]) == 0, words


def wait(done) -> None:
    """Until a worker has done it."""
    for _ in range(600):
        if done():
            return
        time.sleep(0.5)
    raise TimeoutError("the worker does not come to an end")


def look(browser, address: str, folder: Path) -> None:
    """Take all pictures."""
    page = browser.new_context(viewport=WIDE).new_page()
    shoot(page, f"{address}/", "home")
    page.goto(f"{address}/studio")
    page.get_by_role("button", name="Use the demo recording").click()
    page.wait_for_selector(".picked li")
    save(page, "studio-new")
    page.click("summary")
    page.select_option("select[name=model-separate]", "ilrma.ip")
    page.select_option("select[name=sources-separate]", "3")
    page.click("#go")
    page.wait_for_selector("#player[data-ready]", timeout=300_000)
    page.get_by_role("button", name="Write down what is said").click()
    page.wait_for_selector(".said", timeout=300_000)
    page.wait_for_timeout(1500)
    save(page, "studio")
    meet(page, address, folder)
    shoot(page, f"{address}/rate", "rate-door")
    shoot(page, f"{address}/leaderboard", "leaderboard-door")
    page.goto(f"{address}/leaderboard")
    page.get_by_role("link", name="Small rooms").first.click()
    save(page, "leaderboard")

    contributor = browser.new_context(viewport=PHONE, color_scheme="dark").new_page()
    shoot(contributor, f"{address}/collect/english", "collect-door")
    contributor.get_by_role("button", name="Begin").click()
    answer(contributor)
    contributor.get_by_role("button", name="Use the microphone").click()
    contributor.get_by_role("button", name="Go to the sentences").click()
    contributor.get_by_role("button", name="Record", exact=True).wait_for()
    save(contributor, "collect")

    boss = browser.new_context(viewport=WIDE).new_page()
    boss.goto(f"{address}/login")
    save(boss, "login")
    boss.get_by_label("Name").fill("anna")
    boss.get_by_label("Password").fill(PASSWORD)
    boss.get_by_role("button", name="Log in").click()
    shoot(boss, f"{address}/collect/campaigns", "campaigns")
    shoot(boss, f"{address}/review?status=all", "review-queue")
    boss.locator("tbody a").first.click()
    boss.wait_for_timeout(3000)
    save(boss, "review")
    shoot(boss, f"{address}/review/datasets", "datasets")
    shoot(boss, f"{address}/rate/studies", "studies")
    shoot(boss, f"{address}/rate/studies/english/results", "results")
    shoot(boss, f"{address}/leaderboard/manage", "leaderboard-manage")
    shoot(boss, f"{address}/accounts", "accounts")

    listener = browser.new_context(viewport=PHONE).new_page()
    listener.goto(f"{address}/rate/english")
    for box in listener.get_by_role("checkbox").all():
        box.check()
    for choice in listener.locator("input[type=radio][value=true]").all():
        choice.check()
    listener.get_by_role("button", name="Begin").click()
    listener.wait_for_timeout(3000)
    save(listener, "rate")


def answer(page: Page) -> None:
    """The questions and the consent."""
    for group in page.get_by_role("group").all():
        for name in ("yes", "female", "male"):
            if (choice := group.locator(f"input[type=radio][value={name}]")).count():
                choice.first.check()
    page.get_by_role("button", name="Continue").click()
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name="We both agree").click()


def meet(page: Page, address: str, folder: Path) -> None:
    """Two people of the demo, who take turns, are a meeting; one is named by an enrolled voice, one by hand."""
    enroll(page, address, "Anna", DEMO / "reference1.flac")
    turns = [soundfile.read(DEMO / f"reference{number}.flac") for number in (1, 2, 1, 2)]
    soundfile.write(folder / "board.flac", np.concatenate([voice for voice, _ in turns]), turns[0][1])
    page.goto(f"{address}/studio")
    page.get_by_role("radio", name="Who speaks when").check()
    page.get_by_label("Choose a file").first.set_input_files(folder / "board.flac")
    page.get_by_role("checkbox", name="Name talkers").check()
    page.click("summary")
    page.select_option("select[name=talkers-diarize]", "2")
    page.click("#go")
    page.wait_for_selector("#meeting[data-ready]", timeout=300_000)
    page.locator(".rename[aria-label^='Rename speaker']").click()
    page.get_by_role("textbox", name="Another name").fill("Ben")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=is called Ben now")
    save(page, "meeting")


def enroll(page: Page, address: str, name: str, recording: Path) -> None:
    """Somebody who has agreed to it, and the page on which they are."""
    page.goto(f"{address}/studio/voices")
    page.get_by_role("textbox", name="Name").fill(name)
    page.get_by_label("Choose a file").set_input_files(recording)
    page.get_by_role("radio", name="and half a minute of each recording").check()
    page.get_by_role("checkbox", name="This person has agreed to that").check()
    page.get_by_role("button", name="Enroll").click()
    page.wait_for_selector("[data-voice][data-state=done]", timeout=300_000)
    save(page, "voices")


def shoot(page: Page, address: str, name: str) -> None:
    """A page as it is when all has been loaded."""
    page.goto(address, wait_until="networkidle")
    save(page, name)


def save(page: Page, name: str) -> None:
    """With few colours."""
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    Image.open(path).convert("RGB").quantize(COLOURS).save(path, optimize=True)


if __name__ == "__main__":
    main()
