"""Stretches of long recordings: how long they are, and how what is made of them is joined."""

import pytest
import torch

from unbabble.base import audio
from unbabble.base.decoding import AudioInfo
from unbabble.pipelines import pieces
from unbabble.pipelines.pieces import is_long, segment_seconds, write_pieces
from unbabble.pipelines.recording import Recording

RATE = 1000


def info(seconds, channels=4, rate=16000):
    return AudioInfo(rate, channels, seconds, None, "WAV", "PCM_16")


def test_what_is_long():
    assert not is_long(info(299))
    assert is_long(info(301))
    assert is_long(info(120, channels=64))
    assert is_long(info(None)), "it may be"
    assert segment_seconds(info(3600)) == 60
    assert segment_seconds(info(3600, 4, 48000)) == 31.25
    assert segment_seconds(info(3600, channels=64)) == 20


def test_models_may_like_shorter_pieces():
    recording = info(100, channels=2)
    assert not is_long(recording)
    assert is_long(recording, 30.0)
    assert not is_long(recording, 50.0)
    assert is_long(info(None), 50.0)
    assert segment_seconds(recording, 30.0) == 9


@pytest.mark.parametrize("seconds", [0.5, 2.0, 7.3])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_pieces_are_joined_without_a_seam(tmp_path, monkeypatch, seconds, suffix):
    monkeypatch.setattr(pieces, "PIECE_SECONDS", 2.0)
    samples = 0.1 * torch.randn(2, round(seconds * RATE), generator=torch.Generator().manual_seed(0))
    lengths, told = [], []

    def change(block):
        lengths.append(block.shape[1])
        return 0.5 * block

    out = tmp_path / f"changed.{suffix}"
    written = write_pieces(
        Recording.of(samples, RATE),
        out,
        change,
        warnings=[],
        progress=lambda *each: told.append(each),
    )
    found = audio.read(out)
    torch.testing.assert_close(found.samples, 0.5 * samples, rtol=0, atol=1e-6)
    assert max(lengths) <= 2 * RATE
    assert written == found.seconds == seconds
    assert told[-1] == (seconds, seconds)


def test_one_channel_of_several(tmp_path):
    samples = torch.randn(3, RATE, generator=torch.Generator().manual_seed(0))
    write_pieces(
        Recording.of(samples, RATE),
        tmp_path / "x.wav",
        lambda block: block[1:2].clone(),
        warnings=[],
        channels=1,
    )
    assert torch.equal(audio.read(tmp_path / "x.wav").samples, samples[1:2])
