"""The calls of the recording page: what is to be read, and a recording of it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from unbabble.web.collect import campaigns, contributing, reading
from unbabble.web.collect.campaigns import Pair
from unbabble.web.pages import stored_file
from unbabble.web.tables.collect import Contribution, Participant
from unbabble.web.tables.uploads import Upload
from unbabble.web.uploads import own_upload
from unbabble.web.visitors import Visitor, limited

router = APIRouter(prefix="/api/collect", tags=["collect"])
Key = Annotated[str, Path(max_length=64, description="Of a participant.")]


class Track(BaseModel):
    """What the browser says of the microphone's track; what it does not tell is missing."""

    label: str = Field(default="", max_length=200)
    sampleRate: float | None = Field(default=None, ge=0, le=1e6)
    sampleSize: float | None = Field(default=None, ge=0, le=64)
    channelCount: float | None = Field(default=None, ge=0, le=64)
    latency: float | None = Field(default=None, ge=0, le=60)
    echoCancellation: bool | Annotated[str, Field(max_length=20)] | None = None
    noiseSuppression: bool | None = None
    autoGainControl: bool | None = None
    contextRate: float | None = Field(
        default=None, ge=0, le=1e6, description="Hz, of the audio context that recorded."
    )
    browser: str = Field(default="", max_length=300)


class NewRecording(BaseModel):
    """A finished upload of purpose ``collect`` as the recording of a pair."""

    position: int = Field(ge=0, le=1000)
    upload: str = Field(max_length=64)
    track: Track = Track()


class CheckResult(BaseModel):
    """See ``unbabble.web.collect.checks``."""

    name: str
    passed: bool
    blocks: bool
    value: float | None
    advice: str


class PairState(BaseModel):
    """Two sentences, and the recording of them, if there is one; ``reading`` while it is found out whether it has
    both."""

    position: int
    first: str
    second: str
    recording: str | None = None
    seconds: float | None = None
    checks: list[CheckResult] = []
    reading: bool = False


class Work(BaseModel):
    """How far a contributor is."""

    state: str
    pairs: list[PairState]


class Taken(BaseModel):
    """What became of a recording: ``kept`` or refused, and what the checks say."""

    kept: bool
    pair: PairState
    checks: list[CheckResult]


@router.get("/{key}")
def work(request: Request, key: Key, visit: Visitor) -> Work:
    """What is to be read, and what has been."""
    reading.settle(request.app.state.database)
    with request.app.state.database.reading() as session:
        participant = _own(session, visit.id, key)
        pairs = campaigns.pairs_of(session, key)
    return Work(state=participant.state, pairs=[_state(pair, pair.contribution) for pair in pairs])


@router.post("/{key}/recordings", dependencies=[Depends(limited("recordings", 120))])
def record(request: Request, key: Key, visit: Visitor, new: NewRecording) -> Taken:
    """Check an upload and keep it as the recording of a pair, in place of the one before. Called again, it tells the
    same; an upload that is refused is deleted."""
    state = request.app.state
    upload = own_upload(request, visit.id, new.upload)
    with state.database.reading() as session:
        participant = _own(session, visit.id, key)
        pairs = campaigns.pairs_of(session, key)
        used = session.scalar(select(Contribution).where(Contribution.upload_id == upload.id))
    if new.position >= len(pairs):
        raise HTTPException(404, "There is no such pair.")
    pair = pairs[new.position]
    if used is not None and used.assignment_id == pair.assignment.id:
        return Taken(kept=True, pair=_state(pair, used), checks=_checks(used.checks))
    if participant.state != "recording":
        raise HTTPException(409, "You have ended here: nothing more is taken.")
    if used is not None or upload.purpose != "collect" or upload.state != "stored":
        raise HTTPException(409, "This upload is no new recording.")
    track = new.track.model_dump(exclude_none=True)
    checked = contributing.hear(state.storage, upload, track)
    try:
        made, results = contributing.contribute(state.database, participant, pair, upload, checked, track)
    except contributing.Closed as error:
        raise HTTPException(409, str(error)) from None
    contributing.sweep(state.database, state.storage)
    checks = _checks([each.to_dict() for each in results])
    return Taken(kept=made is not None, pair=_state(pair, made or pair.contribution), checks=checks)


@router.get("/{key}/recordings/{recording}")
def listen(
    request: Request, key: Key, recording: Annotated[str, Path(max_length=64)], visit: Visitor
) -> Response:
    """One of this contributor's own recordings, as FLAC."""
    with request.app.state.database.reading() as session:
        _own(session, visit.id, key)
        contribution = session.get(Contribution, recording)
        upload = (
            session.get(Upload, contribution.upload_id)
            if contribution and contribution.participant_id == key
            else None
        )
    if upload is None or upload.heard_key is None:
        raise HTTPException(404, "There is no such recording.")
    return stored_file(request.app.state.storage, upload.heard_key, "audio/flac")


def _own(session: Session, visit_id: str, key: str) -> Participant:
    participant = session.get(Participant, key)
    if participant is None or participant.visit_id != visit_id:
        raise HTTPException(404, "There is nobody of this number here: use your personal link.")
    return participant


def _state(pair: Pair, made: Contribution | None) -> PairState:
    state = PairState(position=pair.assignment.position, first=pair.first, second=pair.second)
    if made is not None:
        state.recording, state.seconds, state.checks = made.id, made.seconds, _checks(made.checks)
        state.reading = made.reading_id is not None
    return state


def _checks(checks: list[Any]) -> list[CheckResult]:
    return [CheckResult(**each) for each in checks]
