"""Which enrollments are refused because several people talk in them at once?

By the number of microphones, on dev: speakers in a measured room, 4 and 10 s, half in noise of 10 dB; of the single
ones as many again beside one noise, 10 or 20 dB.

    python -m benchmarks extraction_several
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import torch
from scipy.signal import fftconvolve

from benchmarks.kit.scenes import DATA, MICROPHONES, RATE, room, speech
from benchmarks.kit.table import grid, made_by, page
from unbabble.base.audio import read, resample
from unbabble.data import corpora
from unbabble.data.mixing import MixtureSet
from unbabble.pipelines.extract import Several, counted_by_array, probability_of_several
from unbabble.pipelines.recording import Recording

SEED, TALKERS, COUNTS = 1, (1, 2, 3), (1, 3, 4, 7)
QUICK = {"each": 1}


def enrollments(each: int) -> Iterator[tuple[int, torch.Tensor]]:
    """(talkers, recording of seven microphones at 16 kHz) of dev speakers, half in noise."""
    noise = tuple(corpora.noises(DATA / "noise.csv", "train"))
    place, options = room("dev", (1.0, 2.0)), {"microphones": len(MICROPHONES), "count": each, "seed": SEED}
    for seconds, talkers, (around, snr_db) in product((4.0, 10.0), TALKERS, (((), 30.0), (noise, 10.0))):
        options |= {"talkers": talkers, "seconds": seconds, "noise": around, "snr_db": snr_db}
        scenes = MixtureSet(speech=speech("dev"), room=place, **options)
        for number in range(each):
            yield talkers, torch.from_numpy(scenes[number].mixture).float()
    rng = np.random.default_rng(SEED - 1)
    for seconds, snr_db, _ in product((4.0, 10.0), (10.0, 20.0), range(each)):
        places = place.draw(rng, 2, len(MICROPHONES), RATE)
        utterance = read(speech("dev")[rng.integers(len(speech("dev")))].path).samples[0]
        sound = read(noise[rng.integers(len(noise))].path)
        sounds = utterance.numpy(), resample(sound.samples[0], sound.sample_rate, RATE).numpy()
        samples = round(seconds * RATE)
        voice, disturbance = (
            np.stack([fftconvolve(np.resize(sound, samples), path)[:samples] for path in paths])
            for sound, paths in zip(sounds, places.responses, strict=True)
        )
        gain = np.sqrt(np.mean(voice**2) / np.mean(disturbance**2) * 10 ** (-snr_db / 10))
        yield 1, torch.from_numpy(voice + gain * disturbance).float()


@torch.no_grad()
def measure(each: int = 50) -> dict:
    """Enrollment by enrollment."""
    result: dict[tuple[int, int], list[tuple[bool, bool]]] = {key: [] for key in product(COUNTS, TALKERS)}
    for talkers, samples in enrollments(each):
        probability = probability_of_several(Recording.of(samples[:1], RATE))
        for microphones in COUNTS:
            told = Several(probability, counted_by_array(Recording.of(samples[:microphones], RATE)))
            result[microphones, talkers].append((told.perhaps or told.surely, told.surely))
    shares = {str(each): [np.mean(result[each, count], 0).tolist() for count in TALKERS] for each in COUNTS}
    return {"shares": shares, "recordings": [len(result[1, talkers]) for talkers in TALKERS]}


def table(result: dict) -> str:
    rows = [
        [microphones, *(f"{100 * share:.1f} %" for pair in pairs for share in pair)]
        for microphones, pairs in result["shares"].items()
    ]
    counts = ", ".join(
        f"{count} of {talkers}" for count, talkers in zip(result["recordings"], TALKERS, strict=True)
    )
    return page(
        "Enrollments that are doubted (or worse) and refused because several talk at once: dev speakers in a measured "
        "room, 4 and 10 s, half in noise of 10 dB; of the single ones as many again beside one noise, 10 or 20 dB.",
        grid(
            "microphones | one talks: doubted | refused | two: doubted | refused | three: doubted | refused",
            rows,
        ),
        made_by(result, f"Recordings: {counts} talking. "),
    )
