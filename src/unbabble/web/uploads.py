"""Files from browsers, in pieces: a connection may be lost at any moment, and what was acknowledged is kept.

POST /api/uploads            {name, bytes, purpose}           an upload, and how large its pieces should be
GET  /api/uploads/ID                                          how much has arrived
PUT  /api/uploads/ID?offset  the next piece                   how much has arrived
POST /api/uploads/ID/finish  {sha256}                         checked, decoded, stored
"""

import hashlib
import os
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from unbabble.base.errors import InputError
from unbabble.web.database import now
from unbabble.web.decoding import decode
from unbabble.web.tables.uploads import Upload
from unbabble.web.visitors import Visitor, limited, visitor

PIECE_BYTES = 1 << 20
OPEN_DAYS = 1
"""That an upload may take."""
MOST_OPEN = 20
"""Uploads of one visitor that have not finished."""

router = APIRouter(prefix="/api/uploads", tags=["uploads"])
Key = Annotated[str, "of an upload"]


class NewUpload(BaseModel):
    """What is going to be sent."""

    name: str = Field(min_length=1, max_length=200)
    bytes: int = Field(ge=1)
    purpose: Literal["studio", "enrollment", "collect", "board"] = "studio"


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
    visit = await run_in_threadpool(visitor, request)
    upload = await run_in_threadpool(own_upload, request, visit.id, key)
    if upload.state != "open":
        raise HTTPException(409, "This upload is finished.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > 4 * PIECE_BYTES or offset + len(body) > upload.bytes:
            raise HTTPException(413, "More was sent than was announced.")
    await run_in_threadpool(_append, partial_path(request, key), offset, bytes(body))
    return _state(request, upload)


@router.post("/{key}/finish", dependencies=[Depends(limited("uploads", 120))])
def finish(request: Request, key: Key, what: Finished, visit: Visitor) -> UploadState:
    """All has been sent: check it, decode it, store it. Called again, it tells the same."""
    upload = own_upload(request, visit.id, key)
    if upload.state != "open":
        return _state(request, upload)
    path, settings = partial_path(request, key), request.app.state.settings
    if _size(path) != upload.bytes:
        raise HTTPException(409, f"{_size(path)} of {upload.bytes} bytes have arrived.")
    if file_sha256(path) != what.sha256:
        path.unlink(missing_ok=True)
        raise HTTPException(409, "What arrived is not what was sent: send it again.")
    heard_path = path.with_suffix(".flac")
    changes: dict = {"sha256": what.sha256}
    try:
        heard = decode(path, heard_path, settings)
    except InputError as error:
        changes |= {"state": "refused", "error": str(error)}
    else:
        storage, folder = request.app.state.storage, f"uploads/{upload.id[:2].replace('.', '_')}"
        changes |= {
            "state": "stored",
            "key": f"{folder}/{upload.id}.sent",
            "heard_key": f"{folder}/{upload.id}.flac",
        }
        changes |= {name: getattr(heard, name) for name in ("sample_rate", "channels", "seconds")}
        changes["details"] = asdict(heard)
        storage.put(changes["key"], path)
        storage.put(changes["heard_key"], heard_path)
    finally:
        heard_path.unlink(missing_ok=True)
    changes["expires"] = now() + timedelta(days=settings.kept_days)
    with request.app.state.database.writing() as session:
        upload = session.get_one(Upload, key)
        for name, value in changes.items():
            setattr(upload, name, value)
    path.unlink(missing_ok=True)
    return _state(request, upload)


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


def _append(path: Path, offset: int, body: bytes) -> None:
    """On disk before it is acknowledged."""
    arrived = _size(path)
    if offset != arrived:
        raise HTTPException(409, f"{arrived} bytes have arrived.", headers={"x-received": str(arrived)})
    with open(path, "ab") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
