"""The benchmarks' mixtures: real voices, real room, real array, from the test splits alone.

Speech of ``speech/test`` (LibriSpeech, FLAC) is convolved with impulse responses measured with seven
microphones (``rir.csv``, split test: panel states 050 and RBL); talkers 1.5 or 2 m away, white sensor noise
30 dB below. Item ``i`` is the same scene whatever the number of microphones and the count. For other
environments, with numpy alone::

    python benchmarks/mixtures.py --talkers 2 --microphones 2 --count 25 --out two.npz
    data = numpy.load("two.npz"); data["mixture"]  # (count, M, T); data["images"] is (count, K, M, T)
"""

import argparse
import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from unbabble.data import corpora
from unbabble.data.mixing import Mixture, MixtureSet
from unbabble.data.rooms import MeasuredRooms

DATA = Path(os.environ.get("UNBABBLE_DATA", Path(__file__).resolve().parents[1] / "../shared/data"))
MICROPHONES = (0, 1, 2, 5, 3, 4, 6)
"""Order in which microphones join. The array is three orthogonal pairs of 9.4 cm, (0, 1) (2, 5) (3, 4), and
a centre microphone 6: the first pair is horizontal, each further pair opens a new direction, the centre is
last. (Found from the direct sound's delays over the measured directions.)"""
DISTANCE_M = (1.5, 2.0)
PANELS = ("050", "RBL")
SECONDS = 12.0


@cache
def _corpus() -> tuple[tuple[corpora.Utterance, ...], tuple[corpora.Response, ...]]:
    return (
        tuple(corpora.speech(DATA / "speech.csv", "test")),
        tuple(corpora.responses(DATA / "rir.csv", "test")),
    )


def load_mixtures(
    talkers: int,
    microphones: int,
    count: int = 25,
    seed: int = 0,
    seconds: float = SECONDS,
    distance_m: tuple[float, float] = DISTANCE_M,
    panels: tuple[str, ...] = PANELS,
) -> list[Mixture]:
    """The first ``count`` mixtures; the reference of talker k is ``images[k, 0]``."""
    speech, responses = _corpus()
    places = tuple(place for place in responses if place.room.endswith(panels))
    mixtures = MixtureSet(
        speech=speech,
        room=MeasuredRooms(places, channels=MICROPHONES, distance_m=distance_m),
        talkers=talkers,
        microphones=len(MICROPHONES),
        seconds=seconds,
        count=count,
        seed=seed,
    )
    return [
        replace(
            item,
            mixture=item.mixture[:microphones].copy(),
            images=item.images[:, :microphones].copy(),
            noise=item.noise[:microphones].copy(),
        )
        for item in mixtures
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--talkers", type=int, default=2)
    parser.add_argument("--microphones", type=int, default=2)
    parser.add_argument("--count", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--distance", type=float, nargs=2, default=DISTANCE_M)
    parser.add_argument("--panels", nargs="+", default=PANELS)
    parser.add_argument("--out", type=Path, required=True)
    a = parser.parse_args()
    items = load_mixtures(
        a.talkers, a.microphones, a.count, a.seed, a.seconds, tuple(a.distance), tuple(a.panels)
    )
    np.savez(
        a.out,
        mixture=np.stack([item.mixture for item in items]),
        images=np.stack([item.images for item in items]),
        sample_rate=items[0].sample_rate,
        metadata=json.dumps([item.metadata for item in items]),
    )


if __name__ == "__main__":
    main()
