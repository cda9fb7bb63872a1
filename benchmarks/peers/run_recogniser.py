"""An off-the-shelf recogniser, PocketSphinx with the English model of its wheel, on recordings; in its environment.

    PEERS/recogniser/bin/python run_recogniser.py recordings.npz texts.json

``recordings.npz`` has arrays of samples at 16 kHz, full scale 1; ``texts.json`` what is recognised of each, by name.
"""

import json
import sys

import numpy as np
from pocketsphinx import Decoder

LEVEL = 0.05


def main() -> None:
    recordings = np.load(sys.argv[1])
    decoder, texts = Decoder(samprate=16000, loglevel="FATAL"), {}
    for name in recordings.files:
        samples = recordings[name]
        level = np.sqrt(np.mean(samples**2)) or 1.0
        pcm = np.clip(samples * (LEVEL / level) * 32767, -32768, 32767).astype(np.int16)
        decoder.start_utt()
        decoder.process_raw(pcm.tobytes(), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        texts[name] = found.hypstr if found else ""
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(texts, file)


if __name__ == "__main__":
    main()
