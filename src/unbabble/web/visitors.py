"""Who is there: a visitor by a cookie, what they may do, and how often."""

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from sqlalchemy import select

from unbabble.web.database import now
from unbabble.web.tables.people import Event, User, Visit

COOKIE = "unbabble_visit"
VISIT_DAYS = 90
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
CSRF_HEADER, CSRF_FIELD = "x-csrf-token", "csrf"
MOST_KNOWN = 100_000
"""Addresses that are remembered for limits."""


def visitor(request: Request) -> Visit:
    """Of this browser; a new one gets a cookie, which ``app.Cookies`` sends."""
    state = request.state
    if (known := getattr(state, "visit", None)) is not None:
        return known
    token = request.cookies.get(COOKIE, "")
    database = request.app.state.database
    user = None
    if token:
        with database.reading() as session:
            user = session.scalar(
                select(Visit).where(Visit.token_hash == _hash(token), Visit.expires > now())
            )
    state.visit = user if user is not None else begin_visit(request)
    return state.visit


def begin_visit(request: Request, user: User | None = None) -> Visit:
    """A new visit, under a new cookie: also after logging in, so that an old cookie is worth nothing."""
    token = secrets.token_urlsafe(32)
    visit = Visit(
        token_hash=_hash(token),
        csrf=secrets.token_urlsafe(24),
        user_id=user.id if user else None,
        expires=now() + timedelta(days=VISIT_DAYS),
    )
    with request.app.state.database.writing() as session:
        session.add(visit)
        session.flush()
        session.refresh(visit, ["user"])
    request.state.visit, request.state.new_cookie = visit, token
    return visit


async def guarded(request: Request) -> None:
    """Refuse what another site made a browser send: every call that changes something brings the visit's token.

    Raises:
        HTTPException: 403.
    """
    if request.method in SAFE_METHODS:
        return
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "This call came from another site.")
    given = request.headers.get(CSRF_HEADER)
    if given is None and request.headers.get("content-type", "").startswith(
        ("application/x-www-form-urlencoded", "multipart/form-data")
    ):
        given = str((await request.form()).get(CSRF_FIELD, ""))
    expected = getattr(request.state, "visit", None)
    if expected is None and request.cookies.get(COOKIE):
        from starlette.concurrency import run_in_threadpool

        expected = await run_in_threadpool(visitor, request)
    if expected is None or not hmac.compare_digest((given or "").encode(), expected.csrf.encode()):
        raise HTTPException(403, "This page is out of date: load it again, then repeat what you did.")


def needs(*roles: str) -> Callable[[Request], User]:
    """A dependency: somebody who has logged in with one of ``roles``.

    Raises:
        HTTPException: 401 for who has not logged in, 403 for who may not.
    """

    def check(request: Request) -> User:
        user = visitor(request).user
        if user is None:
            raise HTTPException(401, "Log in first.")
        if user.role not in roles:
            raise HTTPException(403, "Your account may not do this.")
        return user

    return check


Visitor = Annotated[Visit, Depends(visitor)]
Administrator = Annotated[User, Depends(needs("administrator"))]
Reviewer = Annotated[User, Depends(needs("administrator", "reviewer"))]


def log(session: Any, user: User, action: str, subject: str, **details: Any) -> None:
    """Write to the audit log, in the transaction that does what the entry says."""
    session.add(Event(user_name=user.name, action=action, subject=subject, details=details))


class Limiter:
    """How often an address may call: a bucket of tokens each, which fills steadily."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def allows(self, group: str, address: str, per_minute: float, at: float | None = None) -> bool:
        """Take a token, if one is there; a full bucket has those of a minute."""
        at = time.monotonic() if at is None else at
        key = (group, address)
        with self._lock:
            left, since = self._buckets.pop(key, (per_minute, at))
            left = min(per_minute, left + (at - since) * per_minute / 60)
            allowed = left >= 1
            self._buckets[key] = (left - allowed, at)
            if len(self._buckets) > MOST_KNOWN:
                self._buckets.popitem(last=False)
        return allowed


def limited(group: str, per_minute: float) -> Callable[[Request], None]:
    """A dependency: at most so many calls of ``group`` a minute from one address.

    Raises:
        HTTPException: 429.
    """

    def check(request: Request) -> None:
        if not request.app.state.settings.limits:
            return
        address = request.client.host if request.client else ""
        if not request.app.state.limiter.allows(group, address, per_minute):
            raise HTTPException(429, "Too many calls: wait a minute.", headers={"retry-after": "60"})

    return check


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
