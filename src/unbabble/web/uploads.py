"""Files from browsers, in pieces: a connection may be lost at any moment, and what was acknowledged is kept.

POST /api/uploads            {name, bytes, purpose}           an upload, and how large its pieces should be
GET  /api/uploads/ID                                          how much has arrived
PUT  /api/uploads/ID?offset  the next piece                   how much has arrived
POST /api/uploads/ID/finish  {sha256}                         checked, decoded, stored

What is sent for the purpose ``archive`` is stored as it is, and never taken for more than bytes (``archives.py``).
"""

import hashlib
import os
import threading
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, HTTPException, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from unbabble.base.errors import InputError
from unbabble.web.database import now
from unbabble.web.decoding import decode
from unbabble.web.storage import sync_folder
from unbabble.web.tables.uploads import Upload
from unbabble.web.visitors import Visitor, limited, visitor

PIECE_BYTES = 1 << 20
OPEN_DAYS = 1
"""That an upload may take."""
ARCHIVE = "archive"
MOST_OPEN = 20
"""Uploads of one visitor that have not finished."""

router = APIRouter(prefix="/api/uploads", tags=["uploads"])
Key = Annotated[str, "of an upload"]


class NewUpload(BaseModel):
    """What is going to be sent."""

    name: str = Field(min_length=1, max_length=200)
    bytes: int = Field(ge=1)
    purpose: Literal["studio", "enrollment", "collect", "archive"] = "studio"
    """An ``archive`` is a zip: kept as it was sent, and read by the room that asked for it (``web/archives.py``)."""


class Finished(BaseModel):
    """What was sent."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class UploadState(BaseModel):
    """How far it is."""

    id: str
    state: Literal["open", "stored", "refused"]
    received: int
    bytes: int
    piece_bytes: int = PIECE_BYTES
    error: str | None = None
    sample_rate: int | None = None
    channels: int | None = None
    seconds: float | None = None
    sha256: str | None = None


@router.post("", status_code=201, dependencies=[Depends(limited("uploads", 120))])
def begin(request: Request, new: NewUpload, visit: Visitor) -> UploadState:
    """Begin an upload."""
    settings = request.app.state.settings
    if new.bytes > settings.most_upload_bytes:
        raise HTTPException(413, f"The file is larger than {settings.most_upload_bytes / 1e6:.0f} MB.")
    upload = Upload(visit_id=visit.id, purpose=new.purpose, name=new.name, bytes=new.bytes)
    upload.expires = now() + timedelta(days=OPEN_DAYS)
    with request.app.state.database.writing() as session:
        open_ones = select(Upload.id).where(Upload.visit_id == visit.id, Upload.state == "open")
        if len(session.scalars(open_ones).all()) >= MOST_OPEN:
            raise HTTPException(429, "Too many uploads at once: finish some first.")
        session.add(upload)
    return _state(request, upload)


@router.get("/{key}")
def received(request: Request, key: Key, visit: Visitor) -> UploadState:
    """How much has arrived."""
    return _state(request, own_upload(request, visit.id, key))


@router.put("/{key}")
async def piece(request: Request, key: Key, offset: Annotated[int, Query(ge=0)]) -> UploadState:
    """The next piece; 409, with how much has arrived, where ``offset`` is not that."""
    upload = await run_in_threadpool(lambda: own_upload(request, visitor(request).id, key))
    if upload.state != "open":
        raise HTTPException(409, "This upload is finished.")
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > 4 * PIECE_BYTES or offset + len(body) > upload.bytes:
                raise HTTPException(413, "More was sent than was announced.")
    except ClientDisconnect:
        raise HTTPException(400, "The connection was lost.") from None
    return await run_in_threadpool(_appended, request, upload, offset, body)


@router.post("/{key}/finish", dependencies=[Depends(limited("uploads", 120))])
async def finish(request: Request, key: Key, what: Finished, visit: Visitor) -> UploadState:
    """All has been sent: check it, decode it, store it. Called again, it tells the same.

    Only so many at a time as there are processors, and those that wait hold no thread, so that pieces and pages do not
    wait for them.
    """
    if (limiter := _finishers.get(None)) is None:
        _finishers.set(limiter := CapacityLimiter(max(2, os.cpu_count() or 1)))
    return await run_sync(_finished, request, visit.id, key, what.sha256, limiter=limiter)


_finishers: RunVar[CapacityLimiter | None] = RunVar("finishers")
_locks = tuple(threading.Lock() for _ in range(256))
"""Of uploads, by a hash of their keys: a browser that was not answered calls again while the first call goes on."""


def _lock(key: str) -> threading.Lock:
    return _locks[hash(key) % len(_locks)]


def _finished(request: Request, visit_id: str, key: str, sha256: str) -> UploadState:
    with _lock(key):
        upload = own_upload(request, visit_id, key)
        if upload.state != "open":
            return _state(request, upload)
        path, settings = partial_path(request, key), request.app.state.settings
        if _size(path) != upload.bytes:
            raise HTTPException(409, f"{_size(path)} of {upload.bytes} bytes have arrived.")
        if file_sha256(path) != sha256:
            path.unlink(missing_ok=True)
            raise HTTPException(409, "What arrived is not what was sent: send it again.")
        changes = {"sha256": sha256, "expires": now() + timedelta(days=settings.kept_days)}
        changes |= _stored(request, upload, path)
        with request.app.state.database.writing() as session:
            upload = session.get_one(Upload, key)
            for name, value in changes.items():
                setattr(upload, name, value)
        path.unlink(missing_ok=True)
    return _state(request, upload)


def _stored(request: Request, upload: Upload, path: Path) -> dict[str, Any]:
    """Store what was sent, and what it holds: what changes in the table.

    Raises:
        OSError: there is no space.
    """
    storage, folder = request.app.state.storage, f"uploads/{upload.id[:2].replace('.', '_')}"
    key, heard_key = f"{folder}/{upload.id}.sent", f"{folder}/{upload.id}.flac"
    if upload.purpose == ARCHIVE:
        storage.put(key, path)
        return {"state": "stored", "key": key}
    heard_path = path.with_suffix(".flac")
    try:
        heard = decode(path, heard_path, request.app.state.settings)
        storage.put(key, path)
        storage.put(heard_key, heard_path)
    except InputError as error:
        return {"state": "refused", "error": str(error)}
    finally:
        heard_path.unlink(missing_ok=True)
    details = {name: getattr(heard, name) for name in ("sample_rate", "channels", "seconds")}
    return details | {"state": "stored", "key": key, "heard_key": heard_key, "details": asdict(heard)}


def own_upload(request: Request, visit_id: str, key: str) -> Upload:
    """This visitor's upload.

    Raises:
        HTTPException: 404, also for somebody else's.
    """
    with request.app.state.database.reading() as session:
        upload = session.get(Upload, key)
    if upload is None or upload.visit_id != visit_id:
        raise HTTPException(404, "There is no such upload.")
    return upload


def partial_path(request: Request, key: str) -> Path:
    """Where what has arrived of an upload lies."""
    return request.app.state.settings.data / "partial" / f"{key}.sent"


def file_sha256(path: Path) -> str:
    """In hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(request: Request, upload: Upload) -> UploadState:
    arrived = upload.bytes if upload.state != "open" else _size(partial_path(request, upload.id))
    return UploadState(
        id=upload.id,
        state=upload.state,  # type: ignore[arg-type]
        received=arrived,
        bytes=upload.bytes,
        error=upload.error,
        sample_rate=upload.sample_rate,
        channels=upload.channels,
        seconds=upload.seconds,
        sha256=upload.sha256,
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _appended(request: Request, upload: Upload, offset: int, body: bytearray) -> UploadState:
    """On disk before it is acknowledged."""
    path = partial_path(request, upload.id)
    with _lock(upload.id):
        arrived = _size(path)
        if offset != arrived:
            raise HTTPException(409, f"{arrived} bytes have arrived.", headers={"x-received": str(arrived)})
        with open(path, "ab", buffering=0) as file:
            left = memoryview(body)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        if offset == 0:
            sync_folder(path.parent)
    return _state(request, upload)
