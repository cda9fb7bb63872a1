"""Logging in and out; accounts, which administrators make."""

from typing import Annotated, Literal

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from unbabble.base.errors import UsageError
from unbabble.web.database import Database
from unbabble.web.pages import page
from unbabble.web.queue.disposal import sweep
from unbabble.web.queue.expiry import hand_over
from unbabble.web.studio import enrolled
from unbabble.web.tables.people import Event, User, Visit
from unbabble.web.visitors import Administrator, Visitor, begin_visit, limited, log, visitor

LEAST_PASSWORD = 10
LATEST_EVENTS = 200

router = APIRouter(include_in_schema=False)
_hasher = PasswordHasher()
_nobody = _hasher.hash("nobody has this password")
"""Checked where there is no such account, so that both take as long."""


@router.get("/login")
def login_page(request: Request, next: str = "/") -> Response:
    """The form."""
    return page(request, "login.html", next=_inside(next))


@router.post("/login", dependencies=[Depends(limited("login", 10))])
def login(
    request: Request,
    name: Annotated[str, Form(max_length=200)],
    password: Annotated[str, Form(max_length=1000)],
    next: Annotated[str, Form()] = "/",
) -> Response:
    """Log in; the visit of before is over, and what it has in the studio belongs to the new one, or the account."""
    with request.app.state.database.reading() as session:
        user = session.scalar(select(User).where(User.name == name))
    try:
        _hasher.verify(user.password_hash if user else _nobody, password)
    except (Argon2Error, InvalidHashError):
        user = None
    if user is None:
        return page(request, "login.html", 403, next=_inside(next), sentence="Name or password is wrong.")
    before = visitor(request)
    after = begin_visit(request, user)
    with request.app.state.database.writing() as session:
        hand_over(session, before.id, after.id)
        enrolled.hand_over(session, before, after, user)
    return RedirectResponse(_inside(next), 303)


@router.post("/logout")
def logout(request: Request, visit: Visitor) -> Response:
    """End the visit."""
    with request.app.state.database.writing() as session:
        session.execute(delete(Visit).where(Visit.id == visit.id))
    _forget(request)
    begin_visit(request)
    return RedirectResponse("/", 303)


@router.get("/accounts")
def accounts(request: Request, user: Administrator) -> Response:
    """Who has an account, and the audit log."""
    with request.app.state.database.reading() as session:
        users = session.scalars(select(User).order_by(User.name)).all()
        events = session.scalars(select(Event).order_by(Event.id.desc()).limit(LATEST_EVENTS)).all()
    return page(request, "accounts.html", users=users, events=events, least=LEAST_PASSWORD)


@router.post("/accounts")
def add_account(
    request: Request,
    user: Administrator,
    name: Annotated[str, Form(min_length=1, max_length=200)],
    password: Annotated[str, Form(max_length=1000)],
    role: Annotated[Literal["administrator", "reviewer"], Form()],
) -> Response:
    """Make an account."""
    try:
        add_user(request.app.state.database, name, password, role, by=user)
    except UsageError as error:
        raise HTTPException(422, str(error)) from None
    return RedirectResponse("/accounts", 303)


@router.post("/accounts/{key}/remove")
def remove_account(request: Request, user: Administrator, key: str) -> Response:
    """Remove an account with the voices that it has enrolled, and end its visits."""
    if key == user.id:
        raise HTTPException(409, "Nobody removes their own account.")
    with request.app.state.database.writing() as session:
        gone = session.get(User, key)
        if gone is None:
            raise HTTPException(404, "There is no such account.")
        session.execute(delete(Visit).where(Visit.user_id == key))
        session.delete(gone)
        log(session, user, "removed account", gone.name)
    _forget(request)
    return RedirectResponse("/accounts", 303)


def add_user(database: Database, name: str, password: str, role: str, by: User | None = None) -> None:
    """Make an account, or give one that exists another password and role.

    Raises:
        UsageError: a password that is too short; a name that is taken, unless the command line says so.
    """
    if len(password) < LEAST_PASSWORD:
        raise UsageError(f"A password has at least {LEAST_PASSWORD} characters.")
    try:
        with database.writing() as session:
            known = session.scalar(select(User).where(User.name == name))
            if known is not None and by is not None:
                raise UsageError(f"There is an account '{name}' already.")
            if known is None:
                known = User(name=name)
                session.add(known)
            known.password_hash, known.role = _hasher.hash(password), role
            session.add(
                Event(
                    user_name=by.name if by else "command line",
                    action="made account",
                    subject=name,
                    details={"role": role},
                )
            )
    except IntegrityError:
        raise UsageError(f"There is an account '{name}' already.") from None


def _forget(request: Request) -> None:
    """Voices that were enrolled by who is no longer there."""
    enrolled.settle(request.app.state.database)
    sweep(request.app.state.database, request.app.state.storage)


def _inside(address: str) -> str:
    """Only ever leads into this site."""
    return address if address.startswith("/") and not address.startswith(("//", "/\\")) else "/"
