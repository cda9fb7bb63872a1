from pathlib import Path

import numpy as np
import pytest
import soundfile

from unbabble.base.errors import InputError, UsageError
from unbabble.data import corpora
from unbabble.data.rooms import (
    MeasuredRooms,
    SimulatedRooms,
    array_geometry,
    reverberation_time,
    simulate,
)

ROOM = SimulatedRooms((6.0, 5.0, 3.0), rt60_seconds=0.2, background_places=1)


def test_reverberation_time_of_an_exponential_decay():
    time = np.arange(16000) / 16000
    noise = np.random.default_rng(0).standard_normal(16000)
    assert reverberation_time(noise * 10 ** (-3 * time / 0.4), 16000) == pytest.approx(0.4, rel=0.05)


def test_silent_response_has_no_reverberation_time():
    assert reverberation_time(np.zeros(100), 16000) == 0.0


@pytest.mark.parametrize("rt60", [0.2, 0.35])
@pytest.mark.parametrize("size", [(6.0, 5.0, 3.0), (4.0, 3.5, 2.5)])
def test_simulated_room_has_the_reverberation_time_asked_for(size: tuple[float, float, float], rt60: float):
    heard = SimulatedRooms(size, rt60, background_places=1).draw(np.random.default_rng(1), 2, 1, 16000)
    # decay differs from place to place: 20 % is what one correction of Sabine's formula gives
    assert heard.metadata["rt60_seconds"] == pytest.approx(rt60, rel=0.2)


def test_direct_sound_arrives_when_geometry_says():
    source, microphones = np.array([[1.0, 1.0, 1.1]]), np.array([[2.0, 4.0], [3.0, 1.2], [1.2, 1.7]])
    (heard,) = simulate((6.0, 5.0, 3.0), 0.2, source, microphones, 16000)
    distances = np.linalg.norm(source.T - microphones, axis=0)
    arrivals = [int(np.argmax(np.abs(taps) > 0.5 * np.abs(taps).max())) for taps in heard]
    assert np.diff(arrivals)[0] == pytest.approx(np.diff(distances)[0] / 343 * 16000, abs=2)


def test_talkers_lie_apart_and_inside():
    for seed in range(3):
        places = ROOM.draw(np.random.default_rng(seed), 4, 2, 16000).metadata["places"]
        azimuths = sorted(place["azimuth_deg"] for place in places)
        gaps = np.diff([*azimuths, azimuths[0] + 360])
        assert gaps.min() >= 29.9
        assert all(
            0 < x < edge for place in places for x, edge in zip(place["position_m"], ROOM.size_m, strict=True)
        )


def test_same_generator_same_room():
    one, two = (ROOM.draw(np.random.default_rng(5), 2, 3, 16000) for _ in range(2))
    np.testing.assert_array_equal(one.responses, two.responses)
    np.testing.assert_array_equal(one.background, two.background)
    assert one.metadata == two.metadata
    assert one.responses.shape[:2] == (2, 3)


@pytest.mark.parametrize("microphones", [1, 2, 5])
def test_neighbouring_microphones_lie_at_the_spacing(microphones: int):
    for kind in ("linear", "circular"):
        positions = array_geometry(kind, microphones, 0.04, turn=0.3)
        np.testing.assert_allclose(np.linalg.norm(np.diff(positions), axis=0), 0.04)
        np.testing.assert_allclose(positions.mean(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("room", "talkers", "error", "sentence"),
    [
        (SimulatedRooms((6, 5, 3), 0.02), 1, UsageError, "the shortest is about 0.12 s"),
        (
            SimulatedRooms((6, 5, 3), 30.0),
            1,
            UsageError,
            "more than memory holds: the longest is about 2.1 s",
        ),
        (SimulatedRooms((6, 5, 0.3), 0.3), 1, UsageError, "edges above"),
        (SimulatedRooms((6, 5, 3), -1), 1, UsageError, "positive RT60"),
        (
            SimulatedRooms((3, 3, 2.5), 0.3, distance_m=(4, 5)),
            1,
            InputError,
            "no place for 1 talker in a room",
        ),
        (ROOM, 13, InputError, "no place for 13 talkers"),
        (SimulatedRooms((6, 5, 3), spacing_m=7), 1, UsageError, "no place for 2 microphones, 7 m apart"),
        (SimulatedRooms((6, 5, 3), array="square"), 1, UsageError, "unknown"),  # pyright: ignore
    ],
)
def test_impossible_room_is_one_sentence(room: SimulatedRooms, talkers: int, error: type, sentence: str):
    with pytest.raises(error, match=sentence):
        room.draw(np.random.default_rng(0), talkers, 2, 16000)


@pytest.fixture
def measured(tmp_path: Path) -> tuple[corpora.Response, ...]:
    """Two rooms with four directions and one place of noise each; sample 0 of microphone m holds a label."""
    lines = ["file,room,azimuth_deg,distance_m,gain"]
    for room in (1, 2):
        for azimuth in (0, 20, 90, 180, ""):
            name = f"{room}_{azimuth}.wav"
            taps = np.zeros((64, 3))
            taps[0] = np.array([0.1, 0.2, 0.3]) * room
            soundfile.write(tmp_path / name, taps, 16000, subtype="FLOAT")
            lines.append(f"{name},{room},{azimuth},{1 + room},2.0")
    (tmp_path / "rir.csv").write_text("\n".join(lines))
    return tuple(corpora.responses(tmp_path / "rir.csv"))


def test_measured_places_share_a_room_and_lie_apart(measured: tuple[corpora.Response, ...]):
    for seed in range(8):
        heard = MeasuredRooms(measured).draw(np.random.default_rng(seed), 3, 2, 16000)
        names = [place["rir"] for place in heard.metadata["places"]]
        assert len({name[0] for name in names}) == 1
        assert not {"1_0.wav", "1_20.wav"} <= set(names)
        assert not {"2_0.wav", "2_20.wav"} <= set(names)
        assert len(heard.background) == 1


def test_measured_level_and_channel_order(measured: tuple[corpora.Response, ...]):
    room = MeasuredRooms(tuple(place for place in measured if place.room == "2"), channels=(2, 0))
    heard = room.draw(np.random.default_rng(0), 1, 2, 16000)
    np.testing.assert_allclose(heard.responses[0, :, 0], [0.3, 0.1], rtol=1e-6)  # 2 * label / gain
    assert heard.metadata["microphones"] == [2, 0]


def test_measured_distance_is_kept_to(measured: tuple[corpora.Response, ...]):
    room = MeasuredRooms(tuple(p for p in measured if p.room == "1"), distance_m=(5, 6))
    with pytest.raises(InputError, match="no places for 1 talker"):
        room.draw(np.random.default_rng(0), 1, 1, 16000)


@pytest.mark.parametrize(("channels", "microphones"), [(None, 4), ((0, 1), 3), ((0, 7), 2), ((-4, 0), 2)])
def test_too_few_measured_microphones(measured: tuple[corpora.Response, ...], channels, microphones: int):
    with pytest.raises(InputError, match="microphone"):
        MeasuredRooms(measured, channels).draw(np.random.default_rng(0), 1, microphones, 16000)


def test_too_few_directions(measured: tuple[corpora.Response, ...]):
    with pytest.raises(InputError, match="no places for 4 talkers that lie 30 degrees apart"):
        MeasuredRooms(measured).draw(np.random.default_rng(0), 4, 2, 16000)
