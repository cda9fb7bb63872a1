"""Rooms to hear talkers in: measured ones (impulse responses) and simulated ones (image sources).

Both draw, from a random generator, places for talkers that lie apart as seen from the array, and give the
impulse responses from each place to each microphone: what ``mixing.mix`` takes.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, Protocol

import numpy as np
from jaxtyping import Float

from unbabble.base.errors import InputError, UsageError
from unbabble.base.extras import missing_extra
from unbabble.base.words import counted
from unbabble.data.corpora import Response, read_response, resample

MIN_ANGLE_DEG = 30.0
DRAWS = 1000
WALL_MARGIN_M = 0.3
MOST_IMAGES = 30_000_000
"""Image sources of one talker: about 12 GB."""
Array = Literal["linear", "circular"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A room drawn for one mixture.

    Attributes:
        responses: from each talker's place to each microphone.
        background: from each place of noise to each microphone (none where the room has no such place).
        metadata: what is known of the room and of each place, ready for JSON.
    """

    responses: Float[np.ndarray, "talker microphone tap"]
    background: Float[np.ndarray, "place microphone tap"]
    metadata: dict[str, Any] = field(default_factory=dict)


class Room(Protocol):
    """Something that talkers can be heard in."""

    def draw(self, rng: np.random.Generator, talkers: int, microphones: int, sample_rate: int) -> Drawn:
        """Draw a room state and places for the talkers and the noise."""
        ...


@dataclass(frozen=True)
class MeasuredRooms:
    """Rooms by measured impulse responses.

    Where the table tells directions, the places without one are for noise; else any place can hold a talker
    and the rest holds noise.

    Args:
        places: what was measured; several rooms or room states may be among them.
        channels: microphones in the order in which they are used, None for the order of the file.
        distance_m: nearest and farthest talker, None for all.
        min_angle_deg: two talkers' directions differ at least by this angle, where they are known.
    """

    places: tuple[Response, ...]
    channels: tuple[int, ...] | None = None
    distance_m: tuple[float, float] | None = None
    min_angle_deg: float = MIN_ANGLE_DEG

    def draw(self, rng: np.random.Generator, talkers: int, microphones: int, sample_rate: int) -> Drawn:
        """Draw a room state and, in it, places of talkers that lie apart.

        Raises:
            InputError: too few places or microphones were measured.
        """
        measured = min(place.channels for place in self.places)
        channels = (self.channels or tuple(range(measured)))[:microphones]
        if len(channels) < microphones:
            raise InputError(f"Measured by {counted(len(channels), 'microphone')}, not by {microphones}.")
        if not all(0 <= channel < measured for channel in channels):
            raise InputError(f"The impulse responses have microphones 0 to {measured - 1} alone.")
        names = sorted({place.room for place in self.places})
        room = names[rng.integers(len(names))]
        here = [place for place in self.places if place.room == room]
        directed = [place for place in here if place.azimuth_deg is not None]
        candidates = [
            place
            for place in directed or here
            if self.distance_m is None
            or (place.distance_m is not None and self.distance_m[0] <= place.distance_m <= self.distance_m[1])
        ]
        chosen = self._choose(rng, candidates, talkers, room)
        rest = [place for place in here if place.azimuth_deg is None] if directed else here
        background = [place for place in rest if place not in chosen]
        read = [_microphones(place, channels, sample_rate) for place in (*chosen, *background)]
        stacked = _stack(read, microphones)
        metadata = {
            "room": room,
            "rt60_seconds": _mean_rt60(stacked[:talkers], sample_rate),
            "microphones": list(channels),
            "places": [
                {"rir": place.path.name, "azimuth_deg": place.azimuth_deg, "distance_m": place.distance_m}
                for place in chosen
            ],
            "licence": sorted({place.licence for place in chosen if place.licence}),
        }
        return Drawn(stacked[:talkers], stacked[talkers:], metadata)

    def _choose(
        self, rng: np.random.Generator, candidates: list[Response], talkers: int, room: str
    ) -> list[Response]:
        for _ in range(DRAWS):
            chosen: list[Response] = []
            for index in rng.permutation(len(candidates)):
                place = candidates[index]
                if all(_apart(place.azimuth_deg, other.azimuth_deg, self.min_angle_deg) for other in chosen):
                    chosen.append(place)
                if len(chosen) == talkers:
                    return chosen
        raise InputError(
            f"The room '{room}' has no places for {counted(talkers, 'talker')} that lie "
            f"{self.min_angle_deg:g} degrees apart."
        )


@dataclass(frozen=True)
class SimulatedRooms:
    """Shoebox rooms by the image-source method of pyroomacoustics (the extra ``rooms``).

    The array stands near the middle, turned at random, 1.2 m high; talkers stand or sit around it.

    Args:
        size_m: length, width and height.
        rt60_seconds: reverberation time that the walls' absorption is chosen for.
        array: microphones on a line or on a circle.
        spacing_m: distance of neighbouring microphones.
        distance_m: nearest and farthest talker.
        min_angle_deg: two talkers' directions differ at least by this angle.
    """

    size_m: tuple[float, float, float]
    rt60_seconds: float = 0.4
    array: Array = "linear"
    spacing_m: float = 0.05
    distance_m: tuple[float, float] = (0.8, 2.0)
    min_angle_deg: float = MIN_ANGLE_DEG
    background_places: int = 4

    def draw(self, rng: np.random.Generator, talkers: int, microphones: int, sample_rate: int) -> Drawn:
        """Draw an array position and places of talkers around it.

        Raises:
            InputError: the talkers do not fit.
            UsageError: no walls give the room that reverberation time.
            MissingExtraError: pyroomacoustics is not installed.
        """
        _walls(self.size_m, self.rt60_seconds, sample_rate)  # says first what is wrong with the room itself
        centre = np.array([*self.size_m]) * (0.5, 0.5, 0.0) + (*rng.uniform(-0.2, 0.2, 2), 1.2)
        turn = rng.uniform(0, 2 * np.pi)
        array = centre[:, None] + array_geometry(self.array, microphones, self.spacing_m, turn)
        if not ((array > 0) & (array < np.array(self.size_m)[:, None])).all():
            raise UsageError(
                f"The room has no place for {counted(microphones, 'microphone')}, {self.spacing_m:g} m apart."
            )
        places = self._places(rng, centre, talkers)
        background = rng.uniform(
            WALL_MARGIN_M, np.array(self.size_m) - WALL_MARGIN_M, (self.background_places, 3)
        )
        responses = simulate(
            self.size_m, self.rt60_seconds, np.concatenate([places, background]), array, sample_rate
        )
        offsets = places - centre
        metadata = {
            "room": f"simulated {'x'.join(f'{edge:g}' for edge in self.size_m)} m",
            "rt60_seconds": _mean_rt60(responses[:talkers], sample_rate),
            "microphones": array.T.round(4).tolist(),
            "places": [
                {
                    "position_m": place.round(3).tolist(),
                    "azimuth_deg": round(float(np.degrees(np.arctan2(y, x)) % 360), 2),
                    "distance_m": round(float(np.sqrt(x * x + y * y + z * z)), 3),
                }
                for place, (x, y, z) in zip(places, offsets, strict=True)
            ],
            "licence": [],
        }
        return Drawn(responses[:talkers], responses[talkers:], metadata)

    def _places(
        self, rng: np.random.Generator, centre: np.ndarray, talkers: int
    ) -> Float[np.ndarray, "talker 3"]:
        low, high = WALL_MARGIN_M, np.array(self.size_m) - WALL_MARGIN_M
        slack = 360.0 - self.min_angle_deg * talkers
        for _ in range(DRAWS):
            gaps = self.min_angle_deg + max(slack, 0.0) * rng.dirichlet(np.ones(talkers))
            azimuths = rng.permutation(rng.uniform(0, 360) + np.cumsum(gaps)) % 360
            distances = rng.uniform(*self.distance_m, talkers)
            heights = rng.uniform(1.1, 1.7, talkers)
            x = centre[0] + distances * np.cos(np.radians(azimuths))
            y = centre[1] + distances * np.sin(np.radians(azimuths))
            places = np.stack([x, y, heights], axis=1)
            if slack >= 0 and bool(((places > low) & (places < high)).all()):
                return places
        raise InputError(
            f"There is no place for {counted(talkers, 'talker')} in a room of "
            f"{'x'.join(f'{edge:g}' for edge in self.size_m)} m, "
            f"{self.distance_m[0]:g} to {self.distance_m[1]:g} m from the array and "
            f"{self.min_angle_deg:g} degrees apart."
        )


def array_geometry(
    array: Array, microphones: int, spacing_m: float, turn: float = 0.0
) -> Float[np.ndarray, "3 microphone"]:
    """Positions of microphones around the origin, in metres, turned by ``turn`` radians in the plane.

    >>> array_geometry("linear", 3, 0.05).round(3).tolist()
    [[-0.05, 0.0, 0.05], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    if microphones < 1:
        raise UsageError("An array needs at least one microphone.")
    if array == "linear":
        along = spacing_m * (np.arange(microphones) - (microphones - 1) / 2)
        flat = np.stack([along * np.cos(turn), along * np.sin(turn)])
    elif array == "circular":
        radius = spacing_m / (2 * np.sin(np.pi / microphones)) if microphones > 1 else 0.0
        angles = turn + 2 * np.pi * np.arange(microphones) / microphones
        flat = radius * np.stack([np.cos(angles), np.sin(angles)])
    else:
        raise UsageError(f"The array '{array}' is unknown: linear or circular.")
    return np.concatenate([flat, np.zeros((1, microphones))]) + 0.0  # no negative zeros


def simulate(
    size_m: tuple[float, float, float],
    rt60_seconds: float,
    sources: Float[np.ndarray, "source 3"],
    microphones: Float[np.ndarray, "3 microphone"],
    sample_rate: int,
) -> Float[np.ndarray, "source microphone tap"]:
    """Impulse responses of a shoebox room (Allen and Berkley 1979), cut where 60 dB have decayed."""
    absorption, order = _walls(size_m, rt60_seconds, sample_rate)
    return _image_sources(size_m, absorption, order, sources, microphones, sample_rate)


def reverberation_time(response: Float[np.ndarray, "tap"], sample_rate: int) -> float:
    """RT60 in seconds by Schroeder's backward integration, from the decay between -5 and -25 dB (T20)."""
    decay = np.cumsum(np.square(response[::-1], dtype=np.float64))[::-1]
    level = 10 * np.log10(np.maximum(decay / max(decay[0], 1e-30), 1e-12))
    inside = np.flatnonzero((level <= -5) & (level >= -25))
    if len(inside) < 2:
        return 0.0
    slope = np.polyfit(inside / sample_rate, level[inside], 1)[0]
    return float(-60 / slope)


@lru_cache(maxsize=64)
def _walls(size_m: tuple[float, float, float], rt60_seconds: float, sample_rate: int) -> tuple[float, int]:
    """Absorption and reflection order for a reverberation time.

    Sabine's formula misses the decay of a shoebox by up to a third: a probe response corrects it once.
    """
    pra = _pyroomacoustics()
    if min(size_m) <= 2 * WALL_MARGIN_M or rt60_seconds <= 0:
        raise UsageError("A room needs edges above 0.6 m and a positive RT60.")
    size = np.array(size_m)
    try:
        absorption, order = pra.inverse_sabine(rt60_seconds, size_m)
        images = (
            (2 * order + 1) * (2 * order**2 + 2 * order + 3) / 3
        )  # of a source, up to so many reflections
        if images > MOST_IMAGES:
            longest = rt60_seconds * (MOST_IMAGES / images) ** (1 / 3)
            raise UsageError(
                f"An RT60 of {rt60_seconds:g} s in a room of {'x'.join(f'{e:g}' for e in size_m)} m has "
                f"{images / 1e6:,.0f} million echoes, more than memory holds: the longest is about {longest:.1f} s."
            )
        probe = _image_sources(
            size_m, absorption, order, size[None] * 0.3, size[:, None] * (0.6, 0.62), sample_rate
        )
        measured = _mean_rt60(probe, sample_rate) or rt60_seconds
    except ValueError:
        volume, surface = float(size.prod()), 2 * float(size[0] * (size[1] + size[2]) + size[1] * size[2])
        raise UsageError(
            f"No walls give a room of {'x'.join(f'{e:g}' for e in size_m)} m an RT60 of {rt60_seconds:g} s: "
            f"the shortest is about {0.161 * volume / surface:.2f} s."
        ) from None
    try:
        return pra.inverse_sabine(rt60_seconds * rt60_seconds / measured, size_m)
    except ValueError:
        return absorption, order


def _image_sources(
    size_m: tuple[float, float, float],
    absorption: float,
    order: int,
    sources: np.ndarray,
    microphones: np.ndarray,
    sample_rate: int,
) -> np.ndarray:
    pra = _pyroomacoustics()
    pra.constants.set("num_threads", 1)  # threads change the order of sums, and so the last bits
    room = pra.ShoeBox(size_m, fs=sample_rate, materials=pra.Material(absorption), max_order=order)
    for source in sources:
        room.add_source(source)
    room.add_microphone_array(microphones)
    room.compute_rir()
    count = len(sources)
    rirs = _stack(
        [[np.asarray(room.rir[m][k]) for m in range(microphones.shape[1])] for k in range(count)],
        microphones.shape[1],
    )
    left = np.cumsum(np.square(rirs[..., ::-1], dtype=np.float64), axis=-1)[..., ::-1]
    audible = (left > 1e-6 * left[..., :1]).any(axis=(0, 1))
    return rirs[..., : int(audible.sum())]


def _pyroomacoustics() -> Any:
    try:
        import pyroomacoustics
    except ImportError:
        raise missing_extra("rooms") from None
    return pyroomacoustics


@lru_cache(maxsize=256)
def _response(place: Response, sample_rate: int) -> np.ndarray:
    samples, rate = read_response(place)
    return resample(samples, rate, sample_rate)


def _microphones(place: Response, channels: tuple[int, ...], sample_rate: int) -> np.ndarray:
    return _response(place, sample_rate)[list(channels)]


def _stack(read: list[Any], microphones: int) -> np.ndarray:
    """Stack responses of unequal lengths, with zeros at their ends."""
    taps = max((len(row) for place in read for row in place), default=1)
    stacked = np.zeros((len(read), microphones, taps), dtype=np.float32)
    for place, rows in enumerate(read):
        for microphone, row in enumerate(rows):
            stacked[place, microphone, : len(row)] = row
    return stacked


def _mean_rt60(responses: np.ndarray, sample_rate: int) -> float:
    return round(float(np.mean([reverberation_time(r[0], sample_rate) for r in responses])), 3)


def _apart(a: float | None, b: float | None, angle_deg: float) -> bool:
    return a is None or b is None or abs((a - b + 180) % 360 - 180) >= angle_deg
