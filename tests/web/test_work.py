"""The kinds of jobs: their forms are their requests' schemas, and wrong requests are one sentence."""

import pytest

from tests.web.conftest import visit
from unbabble.web.work import KINDS, STUDIO_KINDS
from unbabble.web.work.kind import Asked, StudioKind, option


class LoudRequest(Asked):
    loudness: int = option(1, "How loud", [("1", "soft"), ("2", "loud")])
    hidden: int = 3


class Loud(StudioKind):
    name, auto, Request = "enhance", "the best", LoudRequest

    def do(self, folder, parameters, files):
        return {}, []


def test_a_form_asks_for_the_model_and_what_has_choices():
    questions = Loud().questions()
    assert [each.name for each in questions] == ["model", "loudness"]
    assert questions[1].label == "How loud"
    assert [tuple(pair) for pair in questions[1].groups[0][1]] == [("1", "soft"), ("2", "loud")]
    assert questions[0].groups[0][1][0] == ("auto", "auto: the best")


@pytest.mark.parametrize("kind", STUDIO_KINDS.values(), ids=STUDIO_KINDS)
def test_every_choice_of_a_form_is_accepted(kind):
    for question in kind.questions():
        for _, values in question.groups:
            for value, _ in values:
                given = float(value) if value.isdigit() else value
                asked = kind.Request(recordings=["a"], enrollments=["b"], **{question.name: given})
                kind.check(asked.model_copy(update={} if kind.name == "extract" else {"enrollments": []}))


def test_kinds_are_called_as_they_are_found():
    assert all(name == kind.name for name, kind in KINDS.items())
    assert len({kind.stage for kind in KINDS.values()}) == len(KINDS)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([], "The call: Unable to extract tag"),
        ({"kind": "sing", "recordings": ["a"]}, "The call: Input tag 'sing'"),
        (
            {"kind": "extract", "recordings": ["a"], "strength": 3},
            "extract.strength: Extra inputs are not permitted.",
        ),
        ({"recordings": []}, "separate.recordings: List should have at least 1 item"),
    ],
)
def test_what_is_no_request_is_refused_in_a_sentence(light_site, asked, said):
    answer = visit(light_site).post("/api/studio/jobs", json=asked)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(said)
