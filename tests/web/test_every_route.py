"""What holds for every route, whichever room it belongs to."""

import re

import pytest
import schemathesis
from fastapi.routing import APIRoute
from schemathesis import GenerationMode

from tests.web.conftest import log_in, visit
from unbabble.web.database import Database
from unbabble.web.settings import Settings
from unbabble.web.tables import all_tables
from unbabble.web.visitors import SAFE_METHODS

PUBLIC = {
    "/", "/health", "/login", "/studio", "/studio/voices", "/collect", "/rate", "/leaderboard",
}  # fmt: skip
"""Pages for everybody; other pages lead to what belongs to somebody, and are tried with keys that nobody has."""
NOBODY = "nobody-has-this"


def routes(app):
    places = [app.router, *(each.original_router for each in app.routes if hasattr(each, "original_router"))]
    found = [route for place in places for route in place.routes if isinstance(route, APIRoute)]
    assert len(found) > 10
    return found


def address(route: APIRoute) -> str:
    return re.sub(r"\{[^}]+\}", NOBODY, route.path)


def test_whatever_changes_something_is_refused_without_the_page_s_token(light_site):
    browser = log_in(light_site)
    browser.with_token = False
    tried = 0
    for route in routes(light_site):
        for method in route.methods - set(SAFE_METHODS):
            answer = browser.request(method, address(route))
            assert answer.status_code == 403, f"{method} {route.path}: {answer.status_code}"
            tried += 1
    assert tried > 20


@pytest.mark.parametrize("role", [None, "reviewer", "administrator"])
def test_what_does_not_exist_is_never_a_fault(light_site, role):
    browser = log_in(light_site, role) if role else visit(light_site)
    for route in routes(light_site):
        for method in route.methods:
            for accept in ("text/html", "application/json"):
                answer = browser.request(method, address(route), headers={"accept": accept})
                assert answer.status_code < 500, (
                    f"{method} {route.path}: {answer.status_code} {answer.text[:200]}"
                )
                if "{" in route.path and method not in SAFE_METHODS:
                    assert answer.status_code >= 400, f"{method} {route.path} did something to nothing"


def test_visitors_see_public_pages_and_nothing_of_the_rest(light_site):
    browser = visit(light_site)
    for route in routes(light_site):
        if "GET" in route.methods and "{" not in route.path and not route.path.startswith("/api/"):
            answer = browser.get(route.path)
            if route.path in PUBLIC:
                assert answer.status_code == 200, route.path
            elif re.match(r"/(accounts|review|collect/|rate/studies|leaderboard/manage)", route.path):
                assert answer.status_code in (401, 403, 404), route.path


def test_the_tables_are_those_that_the_migrations_make(database_url):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    database = Database(database_url)
    database.migrate()
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, all_tables()) == []
    database.migrate()  # again does nothing
    database.close()


def test_calls_that_nobody_would_make_are_answered_in_order(tmp_path):
    """Schemathesis draws calls from the description of the API, right and wrong ones."""
    from unbabble.web.app import create_app

    app = create_app(Settings.of(tmp_path / "site", address="http://testserver", most_upload_bytes=100_000))
    app.state.limiter.allows = lambda *_, **__: True
    browser = visit(app)
    token = browser.token()
    cookies = dict(browser.cookies)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE], max_examples=8)
    operations = [operation.ok() for operation in schema.get_all_operations()]
    assert operations
    from hypothesis import HealthCheck, Phase, given, settings

    for operation in operations:

        @settings(
            max_examples=8,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def drawn(case):
            answer = case.call(headers={"x-csrf-token": token}, cookies=cookies)
            assert answer.status_code < 500, (case.as_curl_command(), answer.text)

        drawn()
    app.state.database.close()
