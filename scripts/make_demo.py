"""Synthesise the demo recording: three espeak-ng voices at once, in a simulated room, at four microphones.

    apt-get install espeak-ng && python scripts/make_demo.py src/unbabble/demo

The same versions of espeak-ng (1.51) and pyroomacoustics write the same files.
"""

import argparse
import io
import subprocess
from pathlib import Path

import numpy as np
import soundfile

from unbabble.data.corpora import resample
from unbabble.data.mixing import mix
from unbabble.data.rooms import SimulatedRooms

SAMPLE_RATE = 16000
SECONDS = 9.5
SEED = 1
SNR_DB = 35.0
PEAK = 0.13
ROOM = SimulatedRooms(
    size_m=(5.5, 4.5, 2.7),
    rt60_seconds=0.2,
    array="circular",
    spacing_m=0.1,
    distance_m=(0.7, 1.1),
    min_angle_deg=80,
)
VOICES = {
    (
        "en-us+f3",
        195,
        55,
    ): "Good morning. The kettle is on, the bread is still warm, and somebody has eaten all of "
    "the cherry jam again. I am not saying who it was, but there is a spoon under your newspaper, dear.",
    (
        "en-gb+m3",
        190,
        30,
    ): "The night train leaves at nine from platform four. Bring a coat, because the heating "
    "never works, and keep a window seat for me. We shall see the whole coast before the sun is up.",
    (
        "en-gb-scotland+m7",
        190,
        60,
    ): "Seven boats went out and six came home with nothing. The last one found a "
    "bottle, and inside it was a letter, and inside the letter a map of the very harbour they had just left.",
}


def speak(voice: str, words_per_minute: int, pitch: int, text: str) -> np.ndarray:
    """One espeak-ng voice reading ``text``, at ``SAMPLE_RATE``."""
    command = ["espeak-ng", "-v", voice, "-s", str(words_per_minute), "-p", str(pitch), "--stdout", text]
    spoken = subprocess.run(command, check=True, capture_output=True).stdout
    samples, rate = soundfile.read(io.BytesIO(spoken), dtype="float32")
    return resample(samples, rate, SAMPLE_RATE)


def main() -> None:
    """Write the mixture and, for each talker, that talker alone at the first microphone."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    rng = np.random.default_rng(SEED)
    samples = round(SECONDS * SAMPLE_RATE)
    heard = ROOM.draw(rng, talkers=len(VOICES), microphones=4, sample_rate=SAMPLE_RATE)
    spoken = [speak(*voice, text) for voice, text in VOICES.items()]
    mixed = mix(
        spoken,
        heard.responses,
        samples=samples,
        sample_rate=SAMPLE_RATE,
        levels_db=[0.0, 1.0, -1.0],
        snr_db=SNR_DB,
        rng=rng,
    )
    scale = PEAK / np.abs(mixed.mixture).max()
    out.mkdir(parents=True, exist_ok=True)
    soundfile.write(out / "mixture.flac", scale * mixed.mixture.T, SAMPLE_RATE, subtype="PCM_16")
    for talker, reference in enumerate(mixed.references, 1):
        soundfile.write(out / f"reference{talker}.flac", scale * reference, SAMPLE_RATE, subtype="PCM_16")


if __name__ == "__main__":
    main()
