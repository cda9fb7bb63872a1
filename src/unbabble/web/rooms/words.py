"""The studio's words: what is said in the voices of a job.

POST   /api/studio/jobs/ID/words               have it written down
GET    /api/studio/jobs/ID/words               how far that is, and the words of each voice
PUT    /api/studio/jobs/ID/words/VOICE/WORD    {text}: correct a word; DELETE takes that back
GET    /studio/jobs/ID/words.srt               as captions, also .vtt .txt .tsv .json, with all corrections
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi import Path as InPath
from fastapi.responses import Response
from pydantic import BaseModel, Field

from unbabble.text.captions import CaptionFormat
from unbabble.web.studio import words
from unbabble.web.studio.studio_jobs import NO_INDEX, own_job, shared_job, stem
from unbabble.web.studio.words import Word, Words
from unbabble.web.tables.jobs import Job
from unbabble.web.visitors import Visitor, limited

MEDIA: dict[CaptionFormat, str] = {
    "txt": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "tsv": "text/tab-separated-values",
    "json": "application/json",
}
MOST_SENT = 1000
"""Letters of a correction that are read at all."""

router = APIRouter()
pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api/studio", tags=["studio"])
Key = Annotated[str, InPath(max_length=64)]
Number = Annotated[int, InPath(ge=0, le=1_000_000)]


class Corrected(BaseModel):
    """What is really said: a word, several words, or nothing."""

    text: str = Field(max_length=MOST_SENT)


@api.post("/jobs/{key}/words", status_code=201, dependencies=[Depends(limited("jobs", 30))])
def new_words(request: Request, visit: Visitor, key: Key) -> Words:
    """Have what is said in a job's voices written down; asked again, nothing more is done."""
    job = own_job(request, visit, key)
    words.ask(request, job)
    return words.shown(request, job)


@api.get("/jobs/{key}/words")
def job_words(request: Request, visit: Visitor, key: Key) -> Words:
    """How far that is, and what they are."""
    return words.shown(request, own_job(request, visit, key))


@api.put("/jobs/{key}/words/{voice}/{word}")
def correct(
    request: Request, visit: Visitor, key: Key, voice: Number, word: Number, corrected: Corrected
) -> Word:
    """Correct a word."""
    return words.correct(request, own_job(request, visit, key), voice, word, corrected.text)


@api.delete("/jobs/{key}/words/{voice}/{word}")
def take_back(request: Request, visit: Visitor, key: Key, voice: Number, word: Number) -> Word:
    """Let a word be what was recognised."""
    return words.correct(request, own_job(request, visit, key), voice, word, None)


@pages.get("/studio/jobs/{key}/words.{format}")
def own_captions(request: Request, visit: Visitor, key: Key, format: CaptionFormat) -> Response:
    """The words as a file."""
    return _captions(request, own_job(request, visit, key), format)


@pages.get("/studio/shared/{token}/words.{format}")
def shared_captions(request: Request, token: Key, format: CaptionFormat) -> Response:
    """The same, for everybody who has the link."""
    return _captions(request, shared_job(request, token), format)


def _captions(request: Request, job: Job, format: CaptionFormat) -> Response:
    headers = {"content-disposition": f'attachment; filename="{stem(job)}.{format}"', **NO_INDEX}
    return Response(words.written(request, job, format), media_type=MEDIA[format], headers=headers)


router.include_router(pages)
router.include_router(api)
