"""The site: one FastAPI app, whose rooms are in ``rooms/``.

Every answer has strict headers; every call that changes something needs the visit's token (``visitors.guarded``);
whatever goes wrong is one sentence, as a page for people and as ``{"detail": ...}`` for programs.
"""

import logging
import re
import secrets
from http import HTTPStatus
from importlib import import_module
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unbabble import __version__
from unbabble.base.errors import InputError
from unbabble.web import uploads
from unbabble.web.database import Database
from unbabble.web.pages import HERE, page, wants_page
from unbabble.web.settings import Settings
from unbabble.web.storage import Storage
from unbabble.web.visitors import COOKIE, VISIT_DAYS, Limiter, guarded

logger = logging.getLogger(__name__)
ROOMS = (
    "home",
    "accounts",
    "studio",
    "words",
    "meeting",
    "voices",
    "campaigns",
    "collect",
    "recordings",
    "review",
    "datasets",
    "studies",
    "rate",
    "board",
)
LONG = re.compile(r"[\w-]{16,}")
MOST_BODY_BYTES = 8_000_000
"""Of any one call; files come in pieces."""


def create_app(settings: Settings) -> FastAPI:
    """The site, with its database as this version needs it.

    Raises:
        InputError: the database cannot be used.
        UsageError: settings that make no sense.
    """
    app = FastAPI(
        title="Unbabble",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(guarded)],
        exception_handlers=HANDLERS,
    )
    app.state.settings = settings
    app.state.database = Database(settings.database)
    app.state.database.migrate()
    app.state.storage = Storage(settings.storage)
    app.state.limiter = Limiter()
    app.add_middleware(Frame, settings=settings)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.include_router(uploads.router)
    for room in ROOMS:
        app.include_router(import_module(f"unbabble.web.rooms.{room}").router)
    return app


class Frame:
    """Around every call: headers, the cookie of a new visit, and no body larger than it may be."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["nonce"] = secrets.token_urlsafe(16)
        taken, begun = 0, False

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MOST_BODY_BYTES:
                raise HTTPException(413, "The call is too large.")
            return message

        async def framed(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                logger.info("%s %s %s", scope["method"], as_logged(scope["path"]), message["status"])
                headers = self._headers(state)
                if not scope["path"].startswith("/static/"):
                    headers["cache-control"] = "private, no-store"
                kept = [
                    pair for pair in message.get("headers", []) if pair[0].decode().lower() not in headers
                ]
                message["headers"] = [
                    *kept,
                    *((name.encode(), value.encode()) for name, value in headers.items()),
                ]
                if token := state.get("new_cookie"):
                    message["headers"].append((b"set-cookie", self._cookie(token).encode()))
            await send(message)

        try:
            await self.app(scope, bounded, framed)
        except Exception as error:
            if begun:
                raise
            answer = await run_in_threadpool(_failed, Request(scope), error)
            await answer(scope, receive, framed)

    def _headers(self, state: dict) -> dict[str, str]:
        policy = {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": f"'self' 'nonce-{state['nonce']}'",
            "img-src": "'self' data: blob:",
            "media-src": "'self' blob:",
            "connect-src": "'self' blob:",
            "font-src": "'self'",
            "worker-src": "'self' blob:",
            "base-uri": "'none'",
            "form-action": "'self'",
            "frame-ancestors": "'none'",
        }
        headers = {
            "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
            "permissions-policy": "microphone=(self), camera=(), geolocation=()",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "cross-origin-opener-policy": "same-origin",
        }
        if self.settings.secure:
            headers["strict-transport-security"] = "max-age=31536000"
        return headers

    def _cookie(self, token: str) -> str:
        secure = "; Secure" if self.settings.secure else ""
        return f"{COOKIE}={token}; Path=/; Max-Age={VISIT_DAYS * 86400}; HttpOnly; SameSite=Lax{secure}"


def _answer(request: Request, status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    if wants_page(request):
        try:
            answer = page(request, "error.html", status, title=HTTPStatus(status).phrase, sentence=sentence)
            answer.headers.update(headers or {})
            return answer
        except (OperationalError, InterfaceError):  # no database, so nobody knows who is there
            return Response(sentence, status, media_type="text/plain", headers=headers)
    return JSONResponse({"detail": sentence}, status, headers=headers)


def _refused(request: Request, error: HTTPException) -> Response:
    headers = dict(error.headers or {})
    if error.status_code == 401 and wants_page(request) and request.method == "GET":
        return Response(status_code=303, headers={"location": f"/login?next={request.url.path}"})
    return _answer(request, error.status_code, str(error.detail), headers)


def _misunderstood(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path", "form"))
    return _answer(request, 422, f"{place or 'The call'}: {first['msg']}.")


def _unusable(request: Request, error: InputError) -> Response:
    return _answer(request, 422, str(error))


def _unkeepable(request: Request, error: Exception) -> Response:
    return _answer(request, 422, "The call holds characters or numbers that cannot be kept.")


def _unavailable(request: Request, error: Exception) -> Response:
    logger.error("The database does not answer: %s", type(error).__name__)
    return _answer(request, 503, "The database does not answer: try again in a moment.", {"retry-after": "5"})


def _full(request: Request, error: OSError) -> Response:
    logger.error("Cannot write: %s", error.strerror or type(error).__name__)
    return _answer(
        request, 507, "The server cannot store anything now: try again later.", {"retry-after": "60"}
    )


def _failed(request: Request, error: Exception) -> Response:
    logger.exception("Unexpected", exc_info=error)
    return _answer(request, 500, "Something went wrong here. It has been written down.")


def as_logged(path: str) -> str:
    """An address as the log has it: without keys, some of which open what they name, and without what is asked."""
    return LONG.sub("*", path)


HANDLERS: dict[int | type[Exception], Any] = {
    HTTPException: _refused,
    RequestValidationError: _misunderstood,
    InputError: _unusable,
    DataError: _unkeepable,
    UnicodeEncodeError: _unkeepable,
    OperationalError: _unavailable,
    InterfaceError: _unavailable,
    PoolTimeoutError: _unavailable,
    OSError: _full,
}
