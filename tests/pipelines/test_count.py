"""How many talk in what one microphone heard."""

import pytest
import torch

from unbabble.base.audio import write
from unbabble.base.registry import create
from unbabble.pipelines import count, recording
from unbabble.pipelines.count import count_talkers, windows_of
from unbabble.pipelines.recording import Recording

RATE = 8000
CPU = torch.device("cpu")


@pytest.fixture
def listening(package, counted):
    """What the counter heard, which always says one talker."""
    package(two={})
    heard = []
    counted(lambda parts: heard.append(parts) or torch.eye(3)[:1].expand(len(parts), 3))
    return heard


def noise(seconds=1.0):
    return torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("talkers", [1, 2, 3])
def test_the_number_and_what_is_said_of_it(package, counted, talkers):
    package(two={})
    counted(talkers)
    found, said = count_talkers(Recording.of(noise(), RATE), CPU)
    assert found == talkers
    assert said.startswith("1 talker was counted, " if talkers == 1 else f"{talkers} talkers were counted, ")


def test_without_a_network_that_counts_there_are_two(package):
    package()
    assert windows_of(Recording.of(noise(), RATE), CPU) is None
    found, said = count_talkers(Recording.of(noise(), RATE), CPU)
    assert found == 2
    assert "cannot be counted" in said


@pytest.mark.parametrize("dead", [0.0, 5.0])
def test_the_channel_that_carries_sound_is_counted(listening, dead):
    heard = noise()
    windows_of(Recording.of(torch.stack([torch.full((RATE,), dead), heard]), RATE), CPU)
    torch.testing.assert_close(listening[0][0], heard)


def test_a_recording_that_is_not_held_is_counted_in_blocks(listening, monkeypatch, tmp_path):
    write(tmp_path / "long.wav", noise(5.0), RATE)
    monkeypatch.setattr(recording, "HELD_SECONDS", 1.0)
    monkeypatch.setattr(count, "SCANNED_SECONDS", 2.0)
    assert count_talkers(Recording.open(tmp_path / "long.wav"), CPU)[0] == 1
    assert [parts.shape[1] for parts in listening] == [2 * RATE, 2 * RATE, RATE]


@pytest.mark.parametrize("length", [1, 5, 100])
def test_a_recording_of_no_length_to_speak_of_has_a_talker(package, counted, length):
    package(two={})
    counted(create("countnet", bands=8, hidden=4).eval())
    assert count_talkers(Recording.of(torch.linspace(0.1, 0.2, length), 48000), CPU)[0] >= 1
