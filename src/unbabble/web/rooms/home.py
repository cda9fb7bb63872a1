"""The door: what there is."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from unbabble.web.pages import page

router = APIRouter(include_in_schema=False)


@router.get("/")
def home(request: Request) -> HTMLResponse:
    """The rooms."""
    return page(request, "home.html")


@router.get("/health")
def health(request: Request) -> dict[str, str]:
    """Whether the database answers, for monitoring."""
    from sqlalchemy import text

    with request.app.state.database.reading() as session:
        session.execute(text("SELECT 1"))
    return {"status": "ok"}
