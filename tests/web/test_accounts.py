"""Logging in, who may what, and calls that other sites make browsers send."""

import re

import pytest
from sqlalchemy import select

from tests.web.conftest import PASSWORD, log_in, visit, wav
from unbabble import cli
from unbabble.base.errors import UsageError
from unbabble.web import visitors
from unbabble.web.database import Database
from unbabble.web.rooms.accounts import add_user
from unbabble.web.tables.people import Event, User, Visit
from unbabble.web.visitors import COOKIE, Limiter


def test_a_password_opens_and_a_wrong_one_does_not(site):
    add_user(site.state.database, "anna", PASSWORD, "administrator")
    browser = visit(site)
    for name, password in (("anna", PASSWORD + "!"), ("nobody", PASSWORD), ("anna", "")):
        assert browser.post("/login", data={"name": name, "password": password}).status_code in (403, 422)
    assert browser.get("/accounts").status_code == 401
    assert browser.post("/login", data={"name": "anna", "password": PASSWORD}).status_code == 303
    assert "anna" in browser.get("/accounts").text


def test_passwords_are_kept_as_argon2_hashes_and_cookies_as_hashes(site):
    browser = log_in(site)
    with site.state.database.reading() as session:
        user = session.scalars(select(User)).one()
        visits = session.scalars(select(Visit.token_hash)).all()
    assert user.password_hash.startswith("$argon2id$")
    assert browser.cookies[COOKIE] not in visits


def test_logging_in_changes_the_cookie_and_logging_out_makes_it_worthless(light_site):
    add_user(light_site.state.database, "anna", PASSWORD, "administrator")
    browser = visit(light_site)
    browser.get("/")
    before = browser.cookies[COOKIE]
    browser.post("/login", data={"name": "anna", "password": PASSWORD})
    after = browser.cookies[COOKIE]
    assert before != after
    browser.post("/logout")
    thief = visit(light_site)
    thief.cookies.set(COOKIE, after)
    assert thief.get("/accounts").status_code == 401


def test_a_cookie_cannot_be_read_by_scripts_and_goes_over_https_alone_where_there_is(light_settings):
    from dataclasses import replace

    from unbabble.web.app import create_app

    for address, secure in (("http://testserver", False), ("https://testserver", True)):
        app = create_app(replace(light_settings, address=address))
        answer = visit(app).get("/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert ("Secure" in cookie) == secure
        assert ("strict-transport-security" in answer.headers) == secure
        app.state.database.close()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-csrf-token": "wrong"},
        {"x-csrf-token": "TOKEN", "sec-fetch-site": "cross-site"},
        {"x-csrf-token": "TOKEN", "sec-fetch-site": "same-site"},
    ],
)
def test_what_another_site_makes_a_browser_send_is_refused(light_site, headers):
    browser = log_in(light_site)
    token = browser.token()
    browser.with_token = False
    headers = {name: value.replace("TOKEN", token) for name, value in headers.items()}
    new = {"name": "mallory", "password": PASSWORD, "role": "administrator"}
    assert browser.post("/accounts", data=new, headers=headers).status_code == 403
    assert "mallory" not in browser.get("/accounts").text
    assert browser.post("/accounts", data=new, headers={"x-csrf-token": token}).status_code == 303


def test_another_visit_s_token_is_worth_nothing(light_site):
    browser, stranger = log_in(light_site), visit(light_site)
    token = stranger.token()
    new = {"name": "mallory", "password": PASSWORD, "role": "administrator"}
    assert browser.post("/accounts", data=new, headers={"x-csrf-token": token}).status_code == 403


def test_reviewers_make_no_accounts_and_what_is_done_is_in_the_log(site):
    reviewer, administrator = log_in(site, "reviewer"), log_in(site, "administrator")
    new = {"name": "<b>mallory</b>", "password": PASSWORD, "role": "reviewer"}
    assert reviewer.get("/accounts").status_code == 403
    assert reviewer.post("/accounts", data=new).status_code == 403
    assert administrator.post("/accounts", data=new).status_code == 303
    assert "already" in administrator.post("/accounts", data=new).json()["detail"]
    page = administrator.get("/accounts").text
    assert "<b>mallory" not in page
    assert "&lt;b&gt;mallory" in page
    keys = dict(re.findall(r"/accounts/([\w-]+)/remove.*?Remove (\S+)</button>", page))
    key = next(key for key, name in keys.items() if "mallory" in name)
    assert administrator.post(f"/accounts/{key}/remove").status_code == 303
    with site.state.database.reading() as session:
        told = [(event.action, event.subject) for event in session.scalars(select(Event))]
    assert ("made account", "<b>mallory</b>") in told
    assert ("removed account", "<b>mallory</b>") in told


def test_nobody_removes_their_own_account_and_removed_ones_are_out_at_once(light_site):
    first, second = log_in(light_site, name="anna"), log_in(light_site, name="bea")
    page = first.get("/accounts").text
    (key,) = re.findall(r"/accounts/([\w-]+)/remove", page)
    with light_site.state.database.reading() as session:
        own = session.scalar(select(User.id).where(User.name == "anna"))
    assert first.post(f"/accounts/{own}/remove").status_code == 409
    assert first.post(f"/accounts/{key}/remove").status_code == 303
    assert second.get("/accounts").status_code == 401


def test_after_logging_in_the_way_leads_into_this_site_only(light_site):
    add_user(light_site.state.database, "anna", PASSWORD, "administrator")
    for asked, led in (
        ("/review", "/review"),
        ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
    ):
        answer = visit(light_site).post("/login", data={"name": "anna", "password": PASSWORD, "next": asked})
        assert answer.headers["location"] == led


def test_guessing_passwords_is_slowed_down(light_settings, monkeypatch):
    from dataclasses import replace
    from types import SimpleNamespace

    from unbabble.web.app import create_app

    monkeypatch.setattr(visitors, "time", SimpleNamespace(monotonic=lambda: 0.0))
    app = create_app(replace(light_settings, limits=True))
    browser = visit(app)
    answers = [
        browser.post("/login", data={"name": "anna", "password": "guess"}).status_code for _ in range(12)
    ]
    assert answers[:10] == [403] * 10
    assert answers[10:] == [429] * 2
    app.state.database.close()


def test_a_limit_is_for_each_address_and_fills_again():
    limiter = Limiter()
    assert [limiter.allows("a", "x", 3, at=0.0) for _ in range(4)] == [True, True, True, False]
    assert limiter.allows("a", "y", 3, at=0.0)
    assert limiter.allows("b", "x", 3, at=0.0)
    assert not limiter.allows("a", "x", 3, at=19.0)
    assert limiter.allows("a", "x", 3, at=20.5)


def test_every_answer_has_strict_headers(light_site):
    browser = visit(light_site)
    for path in ("/", "/login", "/static/style.css", "/health", "/nowhere", "/api/nowhere"):
        headers = browser.get(path, headers={"accept": "text/html"}).headers
        assert "script-src 'self';" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert ("no-store" in headers.get("cache-control", "")) == (not path.startswith("/static/"))


def test_what_falls_here_is_a_sentence_without_secrets_under_the_same_headers(light_site):
    @light_site.get("/falls")
    def falls():
        raise RuntimeError("the secret")

    for accept in ("text/html", "application/json"):
        answer = visit(light_site).get("/falls", headers={"accept": accept})
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert "content-security-policy" in answer.headers


def test_the_first_account_is_made_by_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    assert cli.run(["administrator", "anna", "--password-file", "password"]) == 0
    database = Database(f"sqlite:///{tmp_path / 'unbabble-data' / 'unbabble.db'}")
    with database.reading() as session:
        assert session.scalars(select(User.role)).all() == ["administrator"]
    database.close()
    (tmp_path / "password").write_text("short\n")
    assert cli.run(["administrator", "anna", "--password-file", "password"]) == 2
    assert "at least 10 characters" in capsys.readouterr().err
    with pytest.raises(UsageError):
        Database("nonsense")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--port", "0"], 2, "port"),
        (["--host", "192.0.2.1"], 2, "Cannot listen"),
        (["--workers", "-1"], 2, "workers"),
        (["--database", "nonsense"], 2, "no database"),
        (["--storage", "nonsense://x"], 2, "nonsense"),
        (["--data", "/dev/null/x"], 2, "Cannot write"),
        (["--database", "postgresql://nobody@127.0.0.1:1/none"], 1, "database"),
    ],
)
def test_wrong_options_are_one_sentence(tmp_path, monkeypatch, capsys, words, code, told):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["serve", *words]) == code
    error = capsys.readouterr().err.strip()
    assert told in error
    assert "\n" not in error


def test_the_log_has_no_secrets(light_site, caplog):
    caplog.set_level("DEBUG")
    browser = log_in(light_site)
    cookie, token = browser.cookies[COOKIE], browser.token()
    browser.post("/login", data={"name": "administrator", "password": "not the password"})
    key = browser.upload(wav(0.2))["id"]
    browser.get("/studio/shared/a-link-that-opens-something?PROLIFIC_PID=someone")
    text = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("unbabble"))
    assert "GET /studio/shared/* 404" in text
    for secret in (PASSWORD, "not the password", cookie, token, key, "a-link-that", "someone"):
        assert secret not in text
