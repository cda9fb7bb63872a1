"""Where no sound stream can be chosen, the one that is taken is named all the same."""

import io
from contextlib import suppress

import pytest
import torch

from tests.videos import write_video
from unbabble.base.errors import InputError
from unbabble.pipelines.extract import enrollment_of
from unbabble.pipelines.separate import Separation
from unbabble.training.personal import _prepared
from unbabble.verbs.bench import MIXTURE, _Recording, bench_recording
from unbabble.web.decoding import _convert
from unbabble.web.queue.process import File, work

SENTENCE = "2 sound streams; taking the first."


@pytest.fixture
def video(tmp_path):
    write_video(tmp_path / "x.mkv", [(0.0, 2.0), (0.0, 2.0)])
    return tmp_path / "x.mkv"


def test_of_enrollments_and_of_what_is_adapted_to(video):
    enrolled: list[str] = []
    with suppress(InputError):  # a tone is nobody's speech
        enrollment_of([video], 8000, enrolled)
    learnt: list[str] = []
    _prepared(video, 16000, learnt)
    assert enrolled[0] == learnt[0] == f"'{video}': {SENTENCE}"


def test_of_recordings_to_bench(video):
    report = bench_recording(_Recording("x", video), [MIXTURE], "auto", "cpu")
    assert report.warnings == [SENTENCE]


def test_of_what_was_sent_to_the_site(video, tmp_path, monkeypatch):
    assert _convert(video, io.BytesIO(), 60.0, exact=False)["warnings"] == [SENTENCE]
    made = {
        "warnings": ["Scaled by 0.5 (-6 dB), all alike, so that nothing clips; --format wav keeps the level."]
    }

    class Kind:
        def do(self, folder, parameters, files):
            return made, []

    monkeypatch.setattr("unbabble.web.queue.process.KINDS", {"separate": Kind()})
    result, _ = work("separate", tmp_path, {}, [File("mixture", "my.mkv", video, (SENTENCE,))])
    assert result["warnings"] == [
        f"my.mkv: {SENTENCE}",
        "Scaled by 0.5 (-6 dB), all alike, so that nothing clips.",
    ]


@pytest.mark.parametrize(("level", "count"), [(1e-6, 1), (1e-2, 0)])
def test_of_voices_that_16_bits_round_to_silence(tmp_path, level, count):
    separation = Separation(level * torch.ones(2, 100).cumsum(1) / 100, 8000, "none")
    separation.save(tmp_path, "wav16")
    assert [text.startswith("So soft (-120 dB)") for text in separation.warnings] == [True] * count
