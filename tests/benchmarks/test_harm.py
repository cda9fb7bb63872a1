"""What the claim on enhancement's harm reads, and what it makes of the errors."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.personal import harm
from unbabble.data.corpora import Utterance

MODELS = ("large", "small")


def test_what_enhance_leaves_as_it_is_is_the_recording_itself():
    noisy, clean = torch.ones(4), np.zeros(4, np.float32)
    arrays = {
        "large": clean,
        "large strength_db": np.array(math.inf),
        "small": clean,
        "small strength_db": np.array(0.0),
    }
    columns = harm.recordings(noisy, arrays, MODELS)
    assert list(columns) == [
        harm.NOISY,
        "large, in full",
        "large, as `enhance` chooses",
        "small, as `enhance` chooses",
    ]
    assert columns["small, as `enhance` chooses"] is noisy
    assert columns["large, as `enhance` chooses"] is columns["large, in full"]
    arrays["large strength_db"] = np.array(20.0)
    assert harm.recordings(noisy, arrays, MODELS)["large, as `enhance` chooses"].tolist() == pytest.approx(
        [0.1] * 4
    )


def test_speakers_are_read_by_turns():
    spoken = [Utterance(Path(f"{number}.wav"), speaker, 1.0) for number, speaker in enumerate("aabab")]
    assert [number for number, _ in harm.by_turns(spoken)] == [0, 2, 1, 4, 3]


def test_a_difference_is_of_the_same_speakers():
    before = {"a": [10, 100, 0, 0], "b": [30, 100, 0, 0]}
    after = {"a": [12, 100, 0, 0], "b": [32, 100, 0, 0]}
    assert harm.rate(before)[0] == pytest.approx(20)
    assert harm.rate(after, before) == pytest.approx([2, 2, 2])
