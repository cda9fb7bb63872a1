"""Parts of recordings, read as if there were no more."""

import math
import os
import threading

import numpy as np
import pytest
import soundfile
import torch

from unbabble.base.audio import probe, read, read_blocks
from unbabble.base.errors import InputError, UsageError
from unbabble.base.excerpt import Excerpt, Part

RATE = 8000


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_part_is_the_same_samples(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, 0.1 * np.random.default_rng(0).normal(size=(3 * RATE, 2)), RATE)
    whole = read(path).samples
    for part, expected in (
        (Part(1.0), whole[:, RATE:]),
        (Part(duration=0.25), whole[:, :2000]),
        (Part(0.5, 1.25), whole[:, 4000:14000]),
        (Part(2.5, 60.0), whole[:, 20000:]),
    ):
        excerpt = part.of(path)
        assert torch.equal(read(excerpt).samples, expected)
        assert probe(excerpt).frames == expected.shape[1]
        assert probe(excerpt).seconds == expected.shape[1] / RATE
        blocks = list(read_blocks(excerpt, 0.3, 0.1))
        assert torch.equal(torch.cat([blocks[0], *(each[:, 800:] for each in blocks[1:])], dim=1), expected)
    for source in (Part(3.0).of(path), Part(99.0, 1.0).of(path)):
        with pytest.raises(InputError, match=r"has nothing at (3|99) s and after: it lasts 3\.00 s\.$"):
            read(source)


def test_a_part_of_what_cannot_seek(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.arange(4000) / 5000, RATE, subtype="FLOAT")
    content = (tmp_path / "x.wav").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    writer.start()
    blocks = list(read_blocks(Part(0.1, 0.2).of(tmp_path / "pipe"), 0.05))
    writer.join()
    assert torch.equal(torch.cat(blocks, dim=1), read(tmp_path / "x.wav").samples[:, 800:2400])


def test_the_whole_is_a_path_and_a_part_stands_for_one(tmp_path):
    assert Part().of("a/x.wav") == (tmp_path / "a/x.wav").relative_to(tmp_path)
    excerpt = Part(1).of("a/x.wav")
    assert isinstance(excerpt, Excerpt)
    assert os.fspath(excerpt) == str(excerpt) == os.path.join("a", "x.wav")


@pytest.mark.parametrize(
    "wrong",
    [(-1.0, None), (math.inf, None), (math.nan, None), (0.0, 0.0), (0.0, math.inf), (0.0, math.nan)],
)
def test_times_that_make_no_sense(wrong):
    with pytest.raises(UsageError):
        Part(*wrong)


def test_streams_are_counted_from_one():
    with pytest.raises(UsageError, match="from 1"):
        Part(stream=0)


def test_a_recording_of_one_stream_has_no_second(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.ones(100), RATE)
    assert read(Part(stream=1).of(tmp_path / "x.wav")).samples.shape == (1, 100)
    with pytest.raises(InputError, match="has 1 sound stream: there is no stream 2"):
        read(Part(stream=2).of(tmp_path / "x.wav"))
