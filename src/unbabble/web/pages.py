"""What every page shares: templates, who is there, plain answers to what went wrong."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from fastapi.templating import Jinja2Templates

from unbabble.web.storage import Storage
from unbabble.web.visitors import visitor

HERE = Path(__file__).parent
BLOCK_BYTES = 1 << 18
templates = Jinja2Templates(HERE / "templates")


def page(request: Request, name: str, status: int = 200, **context: Any) -> HTMLResponse:
    """A page from a template, which also sees ``visit``, ``user``, ``csrf``, ``nonce`` and ``here``, its path."""
    visit = visitor(request)
    known = {"visit": visit, "user": visit.user, "csrf": visit.csrf, "nonce": request.state.nonce}
    return templates.TemplateResponse(
        request, name, known | {"here": request.url.path} | context, status_code=status
    )


def wants_page(request: Request) -> bool:
    """Whether a person is going to read the answer."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")


def stored_file(storage: Storage, key: str, media_type: str, name: str | None = None) -> Response:
    """What is stored, as an answer; with ``name`` to be saved under it.

    Raises:
        InputError: it is not there.
    """
    if (path := storage.local(key)) is not None and path.is_file():
        return FileResponse(path, media_type=media_type, filename=name)
    file = storage.open(key)

    def blocks():
        with file:
            while block := file.read(BLOCK_BYTES):
                yield block

    headers = {"content-disposition": f"attachment; filename*=utf-8''{quote(name, safe='')}"} if name else {}
    return StreamingResponse(blocks(), media_type=media_type, headers=headers)
