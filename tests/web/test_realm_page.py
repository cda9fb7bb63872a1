"""The page "Run your own REAL-M" is true: its commands run, in their order, between what people do in the browser."""

import getpass
import glob
import json
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.web.conftest import PASSWORD, visit
from tests.web.test_collect import agreed, campaign, recording, send
from tests.web.test_rate import begin, go_through
from unbabble import cli
from unbabble.web.app import create_app
from unbabble.web.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "realm.md"
COMMANDS = re.findall(r"^\$ (.+)$", PAGE.read_text(), re.M)


@pytest.fixture
def site_here(tmp_path, monkeypatch):
    """The site as ``unbabble serve`` would have it in this folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: PASSWORD)
    app = create_app(replace(Settings.of(Path("unbabble-data"), address="http://testserver"), limits=False))
    yield app
    app.state.database.close()


def test_no_password_is_one_sentence(site_here, monkeypatch, capsys):
    def closed(prompt):
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", closed)
    assert cli.run(["administrator", "--name", "anna"]) == 2
    assert capsys.readouterr().err == (
        "unbabble: No password was typed; --password-file names a file that holds it.\n"
    )


def collect_and_review(app) -> None:
    """A campaign, two pairs of contributors, and a reviewer who takes three of four recordings."""
    boss, _ = campaign(app)
    for person in range(2):
        browser, at, key = agreed(app)
        for position in range(2):
            answer = send(browser, key, position, recording(2 * person + position))
            assert answer.json()["kept"], answer.text
        assert browser.post(f"{at}/finish").status_code == 303
    waiting = boss.get("/api/review/contributions").json()
    waiting = waiting["contributions"] if isinstance(waiting, dict) else waiting
    assert len(waiting) == 4
    for number, each in enumerate(waiting):
        decision = {"status": "accepted"} if number else {"status": "rejected", "reason": "too noisy"}
        answer = boss.post(f"/api/review/contributions/{each['id']}/decision", json=decision)
        assert answer.status_code == 200, answer.text


def make_study(app) -> None:
    boss = visit(app)
    assert boss.post("/login", data={"name": "anna", "password": PASSWORD}).status_code == 303
    new = {"name": "English", "kind": "realm", "trials_each": 3, "ratings_wanted": 4, "seed": "1"}
    assert boss.post("/rate/studies", data=new).headers["location"] == "/rate/studies/english"


def listen(app) -> dict:
    """The study is opened, three people rate, and the results are read."""
    boss = visit(app)
    boss.post("/login", data={"name": "anna", "password": PASSWORD})
    assert boss.post("/rate/studies/english/state", data={"state": "open"}).status_code == 303

    def opinion(stimulus, clip) -> int:
        if stimulus.role != "rate":
            return clip.expected
        return (4 if clip.system == "sepformer" else 2) - clip.number % 2

    for _ in range(3):
        assert go_through(app, begin(app, "english"), "english", opinion) > 0
    assert "sepformer" in boss.get("/rate/studies/english/results").text
    return boss.get("/rate/studies/english/results.json").json()


def test_the_whole_way(site_here, capsys):
    for command in COMMANDS:
        words = [each for word in shlex.split(command) for each in sorted(glob.glob(word)) or [word]]
        if command.startswith("pip "):
            continue
        if words == ["unbabble", "serve"]:  # the site is there
            collect_and_review(site_here)
            continue
        if words[:2] == ["unbabble", "fill"]:
            make_study(site_here)
        if words[0] == "unbabble":
            assert cli.run(words[1:]) == 0, f"{command}\n{capsys.readouterr().err}"
        else:
            subprocess.run(words, check=True)
    assert len(Path("mixtures/manifest.jsonl").read_text().splitlines()) == 3
    assert len(json.loads(Path("scores.json").read_text())["files"]) == 3
    found = json.dumps(listen(site_here))
    assert "sepformer" in found
    assert "conv_tasnet" in found
