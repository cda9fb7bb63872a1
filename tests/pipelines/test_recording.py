"""What a recording is, asked once."""

import numpy as np
import pytest
import torch

from unbabble.base.audio import Audio, read_blocks, resample, write
from unbabble.base.errors import InputError, UsageError
from unbabble.pipelines import recording as module
from unbabble.pipelines.recording import Recording

RATE = 8000


@pytest.fixture
def samples():
    return 0.1 * torch.randn(3, RATE, generator=torch.Generator().manual_seed(0))


def test_whatever_is_at_hand(samples, tmp_path):
    write(tmp_path / "x.wav", samples, RATE)
    for source in (
        tmp_path / "x.wav",
        str(tmp_path / "x.wav"),
        Audio(samples, RATE),
        Audio(samples.numpy(), RATE),
    ):
        assert torch.equal(Recording.of(source).samples, samples)
    given = Recording.of(samples.double().numpy(), RATE)
    assert torch.equal(given.samples, samples)
    assert Recording.of(given) is given
    assert (given.channels, given.sample_rate, given.seconds) == (3, RATE, 1.0)
    assert Recording.of(samples[0], RATE).samples.shape == (1, RATE)


@pytest.mark.parametrize(
    ("source", "rate", "error", "sentence"),
    [
        (torch.ones(2, 0), RATE, InputError, "no samples"),
        (torch.tensor([0.0, float("nan")]), RATE, InputError, "not numbers"),
        (torch.ones(5), None, UsageError, "needs its sample_rate"),
        (torch.ones(5), 0, UsageError, "whole number of Hz, not 0"),
        (torch.ones(1, 1, 5), RATE, UsageError, "not of 3 axes"),
        (torch.ones(500, 2), RATE, UsageError, "turn them round"),
        (np.ones((2, 500), np.int16), RATE, UsageError, "full scale 1, not int16"),
        (np.array(["a.wav"]), RATE, UsageError, "array of numbers"),
        (torch.ones(2, 500), -1, UsageError, "whole number of Hz, not -1"),
        (torch.ones(2, 500), 8000.5, UsageError, "whole number of Hz, not 8000.5"),
        (torch.ones(2, 500), float("nan"), UsageError, "whole number of Hz, not nan"),
        ("nothing.wav", None, InputError, "There is no file"),
    ],
)
def test_what_is_no_recording(source, rate, error, sentence):
    with pytest.raises(error) as raised:
        Recording.of(source, rate)
    assert sentence in str(raised.value)


def test_the_loudest_part_of_one_sample_from_three_microphones(tmp_path):
    write(tmp_path / "x.wav", 0.5 * torch.ones(3, 1), RATE)
    assert Recording.of(tmp_path / "x.wav").loudest(1.0).samples.shape == (3, 1)


@pytest.mark.parametrize("length", [2, 799, 800, 801, 1000, 1001, 3000])
@pytest.mark.parametrize("overlap", [0.0, 0.02])
def test_blocks_in_memory_are_those_of_the_file(tmp_path, length, overlap):
    samples = torch.randn(2, length, generator=torch.Generator().manual_seed(0))
    write(tmp_path / "x.wav", samples, RATE)
    expected = list(read_blocks(tmp_path / "x.wav", 0.1, overlap))
    found = list(Recording.of(samples, RATE).blocks(0.1, overlap))
    assert len(found) == len(expected)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    with pytest.raises(UsageError, match="shorter than a block"):
        next(Recording.of(samples, RATE).blocks(0.1, 0.1))


def test_blocks_may_be_written_to(samples):
    recording = Recording.of(samples.clone(), RATE)
    for block in recording.blocks(10.0):
        block.zero_()
    assert torch.equal(recording.samples, samples)


def test_dead_channels_are_left_out_and_said(samples):
    samples[0], samples[2] = 0.0, 0.5
    recording = Recording.of(samples, RATE)
    assert recording.live == [1]
    assert torch.equal(recording.heard, samples[1:2])
    assert recording.warnings == ("Microphones 1, 3 of 3: silent, left out.",)
    assert (recording.place(1), recording.place(2)) == (0, 0)
    silent = Recording.of(torch.full((2, 100), 0.5), RATE)
    assert silent.live == []
    for ask in (lambda: silent.heard, lambda: silent.warnings, lambda: silent.at(16000)):
        with pytest.raises(InputError, match="silent"):
            ask()
    assert Recording.of(torch.tensor([[1.0]]), RATE).live == [0], "one sample is no constant channel"


def test_what_is_no_sound_is_not_heard(samples):
    clean = Recording.of(samples - samples.mean(1, keepdim=True), 8000)
    assert clean.removed == []
    assert clean.heard is clean.samples
    recording = Recording.of(clean.samples + 0.5, 8000)
    assert torch.equal(recording.recorded, recording.samples)
    assert torch.allclose(recording.heard, clean.samples, atol=1e-6)
    assert recording.removed == ["A constant offset was removed first: that is no sound."]


def test_clipping_is_said(samples):
    (said,) = Recording.of((100 * samples).clamp(-1, 1), RATE).warnings
    assert "of the samples are clipped" in said


def test_another_rate_is_computed_once_and_as_for_each_channel_alone(samples, monkeypatch):
    samples[1] = 0.0
    asked = []

    def counting(each, source, target):
        asked.append(target)
        return resample(each, source, target)

    monkeypatch.setattr(module.audio_files, "resample", counting)
    recording = Recording.of(samples, RATE)
    for rate in (16000, 44100, 16000, 44100):
        for place, channel in enumerate((0, 2)):
            assert torch.equal(recording.at(rate)[place], resample(samples[channel], RATE, rate))
    assert torch.equal(recording.at(RATE), samples[[0, 2]])
    assert asked == [16000, 44100, RATE]


def test_microphones(samples, tmp_path, monkeypatch):
    copies = torch.stack([samples[0], 0.5 * samples[0]])
    assert Recording.of(samples, RATE).microphones == 3
    assert Recording.of(copies, RATE).microphones == 1
    write(tmp_path / "many.wav", samples, RATE)
    write(tmp_path / "copies.wav", copies, RATE)
    monkeypatch.setattr(module, "SCANNED_SECONDS", 0.3)
    monkeypatch.setattr(module, "fits_memory", lambda info: False)
    monkeypatch.setattr(Recording, "samples", property(lambda self: pytest.fail("decoded as a whole")))
    assert Recording.open(tmp_path / "many.wav").microphones == 3
    assert Recording.open(tmp_path / "copies.wav").microphones == 1
    assert Recording.open(tmp_path / "copies.wav").live == [0, 1]


def test_only_the_header_is_read_until_samples_are_asked_for(samples, tmp_path, monkeypatch):
    write(tmp_path / "x.wav", samples, RATE)
    decoded = []
    read = module.audio_files.read
    monkeypatch.setattr(module.audio_files, "read", lambda path: decoded.append(path) or read(path))
    recording = Recording.open(tmp_path / "x.wav")
    assert (recording.channels, recording.info.seconds, decoded) == (3, 1.0, [])
    assert torch.equal(torch.cat(list(recording.blocks(0.3)), 1), samples)
    assert recording.live == [0, 1, 2]
    assert torch.equal(recording.samples, samples)
    assert len(decoded) == 1


def test_the_loudest_part():
    samples = torch.full((2, 1000), 0.01)
    samples[:, 640:700] = 1.0
    recording = Recording.of(samples, 100)
    found = recording.loudest(2.0)
    assert found.samples.shape == (2, 200)
    assert float(found.samples[0].sum()) == pytest.approx(60 + 1.4, rel=1e-3)
    assert recording.loudest(50.0).samples.shape == (2, 1000)


@pytest.mark.parametrize(("loud", "start"), [(0, 0), (180, 100), (720, 650)])
def test_the_loudest_part_is_as_long_as_asked_for_wherever_it_is(tmp_path, monkeypatch, loud, start):
    samples = 0.01 * torch.rand(1, 850, generator=torch.Generator().manual_seed(0))
    samples[:, loud : loud + 30] = 1.0
    write(tmp_path / "x.wav", samples, 100)
    expected = samples[:, start : start + 200]
    assert torch.equal(Recording.of(samples, 100).loudest(2.0).samples, expected)
    monkeypatch.setattr(module, "fits_memory", lambda info: False)
    assert torch.equal(Recording.open(tmp_path / "x.wav").loudest(2.0).samples, expected)
