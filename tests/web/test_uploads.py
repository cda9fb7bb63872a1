"""Uploads arrive in pieces, and what was acknowledged is there."""

import hashlib
import os
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import soundfile
from sqlalchemy import select

from tests.web.conftest import Browser, visit, wav
from unbabble.web.app import create_app
from unbabble.web.tables.uploads import Upload
from unbabble.web.uploads import MOST_OPEN, PIECE_BYTES

PIECE = 10_000


def token_of(page: str) -> str:
    """Against forged requests."""
    found = re.search(r'name="csrf" content="([^"]+)"', page)
    assert found
    return found[1]


def steady(browser: Browser) -> Browser:
    """One that does not ask for its token again and again."""
    browser.headers["x-csrf-token"], browser.with_token = browser.token(), False
    return browser


def begun(browser: httpx.Client | Browser, content: bytes, **changes) -> str:
    new = {"name": "a.wav", "bytes": len(content)} | changes
    answer = browser.post("/api/uploads", json=new)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def put(browser: httpx.Client | Browser, key: str, offset: int, piece: bytes):
    return browser.put(f"/api/uploads/{key}?offset={offset}", content=piece)


def finish(browser: httpx.Client | Browser, key: str, content: bytes):
    digest = hashlib.sha256(content).hexdigest()
    return browser.post(f"/api/uploads/{key}/finish", json={"sha256": digest})


def stored(app, key: str) -> Upload:
    with app.state.database.reading() as session:
        return session.get_one(Upload, key)


def test_a_recording_arrives_in_pieces_and_is_stored_with_its_hash(site):
    browser, content = visit(site), wav(2.0)
    state = browser.upload(content, piece=PIECE)
    assert state["state"] == "stored"
    assert state["sha256"] == hashlib.sha256(content).hexdigest()
    assert (state["sample_rate"], state["channels"], state["seconds"]) == (8000, 1, 2.0)
    upload, storage = stored(site, state["id"]), site.state.storage
    with storage.open(upload.key) as file:
        assert file.read() == content
    with storage.open(upload.heard_key) as file:
        assert soundfile.info(file).frames == 16000
    assert list((site.state.settings.data / "partial").iterdir()) == []


def test_pieces_out_of_order_are_refused_with_how_much_has_arrived(light_site):
    browser, content = visit(light_site), wav(3.0)
    key = begun(browser, content)
    for offset, status, received in (
        (PIECE, 409, 0),
        (0, 200, PIECE),
        (0, 409, PIECE),
        (2 * PIECE, 409, PIECE),
    ):
        answer = put(browser, key, offset, content[offset : offset + PIECE])
        assert answer.status_code == status
        if status == 409:
            assert answer.headers["x-received"] == str(received)
            assert str(received) in answer.json()["detail"]
        assert browser.get(f"/api/uploads/{key}").json()["received"] == received
    assert finish(browser, key, content).status_code == 409


def test_a_lost_connection_loses_what_was_not_acknowledged_at_most(live, caplog):
    """It breaks inside a piece: nothing of that counts, and the browser asks, then goes on."""
    address, _ = live()
    content = wav(1.0)
    with httpx.Client(base_url=address) as browser:
        browser.headers["x-csrf-token"] = token_of(browser.get("/").text)
        key = begun(browser, content)
        assert put(browser, key, 0, content[:PIECE]).status_code == 200
        told = browser.build_request("PUT", f"/api/uploads/{key}?offset={PIECE}").headers
        head = f"PUT /api/uploads/{key}?offset={PIECE} HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n"
        head += "".join(f"{name}: {told[name]}\r\n" for name in ("cookie", "x-csrf-token")) + "\r\n"
        host, port = browser.base_url.host, browser.base_url.port
        assert port is not None
        with socket.create_connection((host, port)) as line:
            line.sendall(head.encode() + content[PIECE : PIECE + 500])
            time.sleep(0.2)  # so that the server has begun to read
        received = browser.get(f"/api/uploads/{key}").json()["received"]
        assert received == PIECE
        assert put(browser, key, received, content[received:]).status_code == 200
        assert finish(browser, key, content).json()["state"] == "stored"
    assert "Unexpected" not in caplog.text


def test_one_piece_sent_twice_at_once_counts_once(light_site):
    browser, content = visit(light_site), wav(1.0)
    key = begun(browser, content)
    steady(browser)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: put(browser, key, 0, content), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + 7 * [409]
    assert finish(browser, key, content).json()["state"] == "stored"


def test_called_twice_at_once_or_again_it_finishes_once(light_site):
    browser, content = visit(light_site), wav(1.0)
    key = begun(browser, content)
    put(browser, key, 0, content)
    steady(browser)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: finish(browser, key, content), range(4)))
    assert {answer.status_code for answer in [*answers, finish(browser, key, content)]} == {200}
    assert {answer.json()["state"] for answer in answers} == {"stored"}
    assert put(browser, key, 0, content).status_code == 409
    files = [path for path in Path(light_site.state.settings.storage).rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".sent", ".flac"}
    assert len(files) == 2


def test_what_arrived_broken_is_sent_again(light_site):
    browser, content = visit(light_site), wav(1.0)
    key = begun(browser, content)
    put(browser, key, 0, bytes(len(content)))
    answer = finish(browser, key, content)
    assert answer.status_code == 409
    assert "send it again" in answer.json()["detail"]
    assert browser.get(f"/api/uploads/{key}").json()["received"] == 0
    put(browser, key, 0, content)
    assert finish(browser, key, content).json()["state"] == "stored"


def test_more_than_was_announced_is_refused_and_not_kept(light_site):
    browser, content = visit(light_site), wav(1.0)
    key = begun(browser, content)
    put(browser, key, 0, content[:PIECE])
    assert put(browser, key, PIECE, content[PIECE:] + b"x").status_code == 413
    assert browser.get(f"/api/uploads/{key}").json()["received"] == PIECE
    large = begun(browser, content, bytes=100_000_000)
    assert put(browser, large, 0, bytes(4 * PIECE_BYTES + 1)).status_code == 413
    assert browser.get(f"/api/uploads/{large}").json()["received"] == 0


def test_another_visitor_s_upload_does_not_exist(site):
    browser, stranger, content = visit(site), visit(site), wav(1.0)
    key = begun(browser, content)
    put(browser, key, 0, content[:PIECE])
    for _ in range(2):
        for answer in (
            stranger.get(f"/api/uploads/{key}"),
            put(stranger, key, PIECE, content[PIECE:]),
            finish(stranger, key, content),
        ):
            assert answer.status_code == 404
        put(browser, key, PIECE, content[PIECE:])
        finish(browser, key, content)
    assert stored(site, key).state == "stored"


def test_sizes_and_open_uploads_are_limited(light_settings):
    app = create_app(replace(light_settings, most_upload_bytes=50_000))
    browser, content = visit(app), wav(1.0)
    answer = browser.post("/api/uploads", json={"name": "a.wav", "bytes": 50_001})
    assert answer.status_code == 413
    keys = [begun(browser, content) for _ in range(MOST_OPEN)]
    assert browser.post("/api/uploads", json={"name": "a.wav", "bytes": 9}).status_code == 429
    assert visit(app).post("/api/uploads", json={"name": "a.wav", "bytes": 9}).status_code == 201
    put(browser, keys[0], 0, content)
    finish(browser, keys[0], content)
    begun(browser, content)
    app.state.database.close()


@pytest.mark.parametrize(
    "new", [{"bytes": 0}, {"bytes": -1}, {"name": ""}, {"name": "x" * 201}, {"purpose": "evil"}]
)
def test_what_makes_no_sense_is_refused(light_site, new):
    answer = visit(light_site).post("/api/uploads", json={"name": "a.wav", "bytes": 9} | new)
    assert answer.status_code == 422


@pytest.mark.parametrize("key", ["..%2F..%2Fsecret", "..", "a.sent", "%00", "x" * 300])
def test_keys_lead_nowhere_else(light_site, key):
    for answer in (
        visit(light_site).get(f"/api/uploads/{key}"),
        put(visit(light_site), key, 0, b"x"),
        finish(visit(light_site), key, b"x"),
    ):
        assert answer.status_code in (404, 405, 422)
    assert list((light_site.state.settings.data / "partial").iterdir()) == []


def test_what_is_no_recording_is_refused_for_good_with_the_reason(light_site):
    browser = visit(light_site)
    state = browser.upload(b"hello, I am text " * 100, "a.wav")
    assert state["state"] == "refused"
    assert "text" in state["error"]
    upload = stored(light_site, state["id"])
    assert (upload.key, upload.heard_key) == (None, None)
    assert list((light_site.state.settings.data / "partial").iterdir()) == []


def test_archives_are_kept_as_bytes(light_site):
    content = b"PK\3\4" + os.urandom(1000)
    state = visit(light_site).upload(content, "a.zip", "archive")
    assert state["state"] == "stored"
    upload = stored(light_site, state["id"])
    assert upload.heard_key is None
    with light_site.state.storage.open(upload.key) as file:
        assert file.read() == content


def test_names_are_never_part_of_a_path(light_site):
    state = visit(light_site).upload(wav(0.5), "../../../etc/cron.d/<b>")
    assert stored(light_site, state["id"]).name == "../../../etc/cron.d/<b>"
    inside = light_site.state.settings.data
    assert not list(inside.parent.rglob("*cron*"))
    with light_site.state.database.reading() as session:
        for key in session.scalars(select(Upload.key)):
            assert key.startswith("uploads/")
