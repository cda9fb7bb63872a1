"""What a kind of job is: what it takes, what its form asks, what it does. Each kind is one file in this folder.

A kind of the studio has a request (``Asked``), whose fields are the options: those with ``choices`` in their schema are
drawn as a form. Nothing here imports torch; what works, imports it when it works.
"""

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from unbabble.base.errors import InputError
from unbabble.base.report import FileReport, Report
from unbabble.web.work.choices import AUTO, Choice, choices

Choices = list[tuple[str, str]]
"""Values of an option, and how they are called."""
logger = logging.getLogger(__name__)
Files = dict[str, list[Path]]
"""The inputs of a job by what they are to it: ``mixture``, ``enrollment`` ..."""
Result = tuple[dict[str, Any], list[Path]]
"""What came of a job, plain, and the files for its owner."""
MOST_FILES = 20


class Asked(BaseModel):
    """What a visitor asks for: uploads by their ids, and the options of the kind."""

    model_config = ConfigDict(extra="forbid")

    kind: str = "separate"
    recordings: list[str] = Field(min_length=1, max_length=MOST_FILES)
    enrollments: list[str] = Field(default=[], max_length=MOST_FILES)
    clean: list[str] = Field(default=[], max_length=MOST_FILES)
    model: str = Field(default=AUTO, max_length=100)
    adapted: str | None = Field(default=None, max_length=32)
    enrolled: bool = False
    """Whether talkers are to be named by the voices that the visitor has enrolled."""

    def check(self) -> None:
        """Refuse options that make no sense together.

        Raises:
            InputError: in one sentence.
        """

    def options(self) -> dict[str, Any]:
        """The options, without the recordings."""
        return self.model_dump(exclude={"kind", "recordings", "enrollments", "clean", "adapted", "enrolled"})


@dataclass(frozen=True)
class Input:
    """A row of recordings that a job takes.

    Attributes:
        field: of the request.
        role: what the recordings are to the job.
        lacking: what is said where there are none; empty where they may be missing.
        misplaced: what is said where they come with a job of another kind.
    """

    field: str
    role: str
    lacking: str = ""
    misplaced: str = ""


MIXTURE = Input("recordings", "mixture")
NOISY = Input("recordings", "recording")
ENROLLMENTS = Input(
    "enrollments",
    "enrollment",
    lacking="Whom to listen to is told by a recording of that person alone.",
    misplaced="Only extraction takes recordings of the person alone.",
)
CLEAN = Input("clean", "clean", misplaced="Only adaptation takes clean recordings.")


@dataclass(frozen=True)
class Question:
    """A line of a form: the option's name, its label, and values to choose from, with headings or None."""

    name: str
    label: str
    groups: list[tuple[str | None, list[tuple[str, str]]]]


def option(default: Any, label: str, choices: Choices) -> Any:
    """A field of a request that its form asks for."""
    return Field(default, title=label, json_schema_extra={"choices": [list(pair) for pair in choices]})


class Kind(ABC):
    """A kind of job."""

    name: ClassVar[str]
    stage: ClassVar[str]
    """What is said while it works."""
    of_site: ClassVar[bool] = False
    """Whether it reads the site's own database and storage, whose settings it is given."""

    @abstractmethod
    def do(self, folder: Path, parameters: dict[str, Any], files: Files) -> Result:
        """Work.

        Args:
            folder: for results, and what is needed on the way.
            parameters: the options, and what is known of the recordings.
            files: the inputs.

        Raises:
            UnbabbleError: it cannot be done, in one sentence.
        """


class StudioKind(Kind):
    """A kind that visitors of the studio may ask for."""

    title: ClassVar[str]
    """As a choice."""
    text: ClassVar[str]
    """A line below it."""
    outcome: ClassVar[str]
    """Of a finished job, as a heading."""
    past: ClassVar[str]
    """Of a finished job, in the list of all."""
    auto: ClassVar[str]
    """What the model ``auto`` is."""
    Request: ClassVar[type[Asked]]
    inputs: ClassVar[tuple[Input, ...]] = (MIXTURE,)
    several: ClassVar[bool] = False
    """Whether it is about several recordings."""
    takes_adapted: ClassVar[bool] = False
    """Whether a model that was adapted here may do it."""
    takes_enrolled: ClassVar[bool] = False
    """Whether voices that are enrolled here may be named in it."""
    voices: ClassVar[bool] = True
    """Whether what comes of it can be listened to and shared."""

    def choices(self) -> tuple[Choice, ...]:
        """The models that may do it, ``auto`` first."""
        return choices(self.name, self.auto)

    def questions(self) -> list[Question]:
        """The form, drawn from the request's schema: the model, and each option that has choices."""
        models: dict[str | None, list[tuple[str, str]]] = {}
        for each in self.choices():
            heading = None if each.name == AUTO or self.name != "separate" else f"For {each.group}"
            models.setdefault(heading, []).append((each.name, f"{each.name}: {each.summary}"))
        schema = self.Request.model_json_schema()["properties"]
        return [Question("model", "Model", list(models.items()))] + [
            Question(name, field["title"], [(None, field["choices"])])
            for name, field in schema.items()
            if "choices" in field
        ]

    def check(self, asked: Asked) -> None:
        """Refuse what makes no sense.

        Raises:
            InputError: in one sentence.
        """
        if all(each.name != asked.model for each in self.choices()):
            raise InputError("There is no such model for this.")
        asked.check()
        if len(asked.recordings) > 1 and not self.several:
            raise InputError("Name one recording.")
        for row in (ENROLLMENTS, CLEAN):
            given = bool(getattr(asked, row.field))
            if row in self.inputs and row.lacking and not given:
                raise InputError(row.lacking)
            if row not in self.inputs and given:
                raise InputError(row.misplaced)
        if asked.adapted is not None and not self.takes_adapted:
            raise InputError("An adapted model takes noise off.")
        if asked.enrolled and not self.takes_enrolled:
            raise InputError("Only talkers of a meeting are named by enrolled voices.")
        every = [*asked.recordings, *asked.enrollments, *asked.clean]
        if len(set(every)) < len(every):
            raise InputError("The same recording is named twice.")

    def uploads(self, asked: Asked) -> list[tuple[str, str]]:
        """The recordings that were named, each with what it is to the job."""
        return [(row.role, key) for row in self.inputs for key in getattr(asked, row.field)]


def only(report: Report) -> FileReport:
    """What a verb says of its only recording.

    Raises:
        InputError: it could not be done.
    """
    (file,) = report.files
    if file.outcome != "done":
        if "traceback" in file.details:
            logger.error("%s", file.details["traceback"])
        raise InputError(file.error or "This cannot be done.")
    return file


def reported(report: Report) -> Result:
    """The result of a verb's only recording, and the files it wrote.

    Raises:
        InputError: it could not be done.
    """
    file = only(report)
    kept = {"scores": None} | {name: value for name, value in file.details.items() if name != "segments"}
    known = {name: getattr(file, name) for name in ("model", "seconds", "audio_seconds", "warnings")}
    return kept | known, [Path(path) for path in file.outputs]


def between(value: float | str, least: float, most: float, what: str) -> None:
    """Refuse a number that is out of its range; "auto" passes.

    Raises:
        InputError: the range, in one sentence.
    """
    if value != AUTO and not least <= float(value) <= most:
        raise InputError(f"{what[0].upper()}{what[1:]}.")
