"""Voices: of speech alone, however long the recording; what is said of short ones and of those without speech."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import unbabble
from unbabble.base.errors import InputError
from unbabble.base.registry import method
from unbabble.pipelines import embed
from unbabble.pipelines.embed import Embedder, Voice
from unbabble.pipelines.recording import Recording

RATE = 16000
DEMO = Path(unbabble.__file__).parent / "demo"


@pytest.fixture(scope="module")
def embedder():
    torch.manual_seed(0)
    network = method("ecapa_tdnn")(**method("ecapa_tdnn").TINY)
    return Embedder("tiny", network.eval())


@pytest.fixture(scope="module")
def speech():
    """One person of the demo, at 16 kHz."""
    return Recording.of(DEMO / "reference1.flac").at(RATE)[0]


def test_a_vector_is_that_of_the_speech_in_it(embedder, speech):
    noise = 1e-3 * torch.randn(4 * RATE, generator=torch.Generator().manual_seed(0))
    alone = embedder.voice(Recording.of(speech, RATE))
    late = embedder.voice(Recording.of(torch.cat([noise, speech, noise]), RATE))
    assert late.speech_seconds == pytest.approx(alone.speech_seconds, abs=1)
    whole = embedder.network(torch.cat([noise, speech, noise])[None])[0].numpy()
    assert alone.vector @ late.vector > alone.vector @ whole
    assert alone.vector @ late.vector > 0.98
    assert np.linalg.norm(late.vector) == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(embedder(speech, RATE).numpy(), alone.vector)


def test_the_loudest_channel_is_heard(embedder, speech):
    both = torch.stack([0.1 * speech.flip(0), speech])
    np.testing.assert_allclose(
        embedder.voice(Recording.of(both, RATE)).vector,
        embedder.voice(Recording.of(speech, RATE)).vector,
        atol=1e-6,
    )


def test_a_long_recording_is_the_mean_of_its_pieces_by_how_much_is_said(embedder, speech, monkeypatch):
    monkeypatch.setattr(embed, "PIECE_SECONDS", len(speech) / RATE)
    quiet = 1e-4 * torch.randn(len(speech), generator=torch.Generator().manual_seed(0))
    parts = [speech, quiet, torch.cat([speech[len(speech) // 2 :], quiet[: len(speech) // 2]])]
    long = embedder.voice(Recording.of(torch.cat(parts), RATE))
    first, none, last = (embedder.voice(Recording.of(part, RATE)) for part in parts)
    assert none.speech_seconds == 0
    assert long.speech_seconds == pytest.approx(first.speech_seconds + last.speech_seconds)
    total = first.speech_seconds * first.vector + last.speech_seconds * last.vector
    np.testing.assert_allclose(long.vector, total / np.linalg.norm(total), atol=1e-5)


def test_short_recordings_and_those_without_speech_are_said(embedder, speech, tmp_path):
    (short,) = embedder.voice(Recording.of(speech[:8000], RATE)).warnings
    assert short.startswith("Only 0.5 s of speech")
    noise = torch.randn(3 * RATE, generator=torch.Generator().manual_seed(0))
    (nobody,) = embedder.voice(Recording.of(noise, RATE)).warnings
    assert nobody.startswith("Nobody seems to speak")
    assert not embedder.voice(Recording.of(speech, RATE)).warnings
    with pytest.raises(InputError, match="silent"):
        embedder.voice(Recording.of(torch.zeros(RATE), RATE))
    soundfile.write(tmp_path / "silent.wav", np.zeros(40 * RATE), RATE)
    with pytest.raises(InputError, match="silent"):
        embedder.voice(Recording.open(tmp_path / "silent.wav"))


@pytest.mark.parametrize("seconds", [1 / RATE, 0.01, 0.19])
def test_what_is_shorter_than_a_syllable_is_nobodys(embedder, speech, seconds):
    click = speech[RATE : RATE + max(1, round(seconds * RATE))]
    with pytest.raises(InputError, match="nobody can be told"):
        embedder.voice(Recording.of(click, RATE))


def test_a_person_of_several_recordings_is_their_mean():
    one, other = Voice(np.array([1.0, 0], np.float32), 1.0), Voice(np.array([0, 1.0], np.float32), 3.0)
    mean = Voice.mean([one, other])
    np.testing.assert_allclose(mean.vector, np.full(2, 0.5**0.5), rtol=1e-6)
    assert mean.speech_seconds == 4
    with pytest.raises(ValueError, match="needs a recording"):
        Voice.mean([])
