"""The kinds of jobs that the site does, one file for each; a new kind is a file here and a name in ``_KINDS``."""

from unbabble.web.work.adapt import Adapt
from unbabble.web.work.board import Board
from unbabble.web.work.diarize import Diarize
from unbabble.web.work.enhance import Enhance
from unbabble.web.work.enroll import Enroll
from unbabble.web.work.export import Export
from unbabble.web.work.extract import Extract
from unbabble.web.work.kind import Kind, StudioKind
from unbabble.web.work.read import Read
from unbabble.web.work.score import Score
from unbabble.web.work.separate import Separate
from unbabble.web.work.transcribe import Transcribe

_KINDS: tuple[type[Kind], ...] = (
    Separate,
    Enhance,
    Extract,
    Transcribe,
    Diarize,
    Enroll,
    Adapt,
    Score,
    Read,
    Export,
    Board,
)
KINDS: dict[str, Kind] = {kind.name: kind() for kind in _KINDS}
STUDIO_KINDS = {name: kind for name, kind in KINDS.items() if isinstance(kind, StudioKind)}
