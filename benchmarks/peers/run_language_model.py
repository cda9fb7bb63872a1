"""An off-the-shelf trigram model, that of PocketSphinx's wheel, on sentences; in its environment.

    PEERS/recogniser/bin/python run_language_model.py sentences.npz fit.json

``sentences.npz`` has sets of texts by name; ``fit.json`` gets for each what its words and ends cost in nats, how many
were predicted, how many words there are, and how many the model does not know, which cost nothing. (It is read by
``prob``, the newest word first; a process that has a model of its own does not end well, hence the exit.)
"""

import json
import math
import os
import sys
import time

import numpy as np
import pocketsphinx
from pocketsphinx import Config, LogMath, NGramModel

BASE = 1.0001
LEAST_NATS = -50.0
"""Words that are less likely than that by themselves are unknown."""


def main() -> None:
    sets = np.load(sys.argv[1])
    path = os.path.join(pocketsphinx.get_model_path(), "en-us", "en-us.lm.bin")
    logs = LogMath(BASE)
    model = NGramModel(Config(), logs, path)
    found: dict[str, object] = {"bytes": os.path.getsize(path)}
    for name in sets.files:
        nats, predicted, words, unknown, began = 0.0, 0, 0, 0, time.process_time()
        for text in sets[name].tolist():
            recent = ["<s>"]
            for word in [*text.split(), "</s>"]:
                words += word != "</s>"
                if model.prob([word]) * math.log(BASE) < LEAST_NATS:
                    unknown += 1
                else:
                    nats -= model.prob([word, *recent]) * math.log(BASE)
                    predicted += 1
                recent = [word, *recent][:2]
        seconds = time.process_time() - began
        found[name] = {
            "nats": nats, "predicted": predicted, "words": words, "unknown": unknown, "seconds": seconds,
        }  # fmt: skip
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(found, file)
    os._exit(0)


if __name__ == "__main__":
    main()
