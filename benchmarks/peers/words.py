"""Errors of words as jiwer and meeteval count them, on random texts.

    ~/.cache/unbabble-peers/words/bin/python benchmarks/peers/words.py tests/fixtures

writes ``words.json``, with which tests/text/test_errors.py compares. Knows no code of this project.
"""

import json
import logging
import random
import sys
from pathlib import Path

import jiwer
import meeteval

WORDS = ["a", "bee", "see", "deer", "eel", "fox", "é"]


def text(generator, least, most, words=WORDS):
    return " ".join(generator.choices(words, k=generator.randint(least, most)))


def single(generator):
    reference = text(generator, 1, 12)
    # half of the texts are like the reference, half are others
    kept = [word for word in reference.split() if generator.random() < 0.8]
    hypothesis = " ".join(kept) if generator.random() < 0.5 else text(generator, 0, 12)
    return {
        "reference": reference,
        "hypothesis": hypothesis,
        "wer": jiwer.wer(reference, hypothesis),
        "cer": jiwer.cer(reference, hypothesis),
    }


def several(generator):
    talkers, voices = generator.randint(1, 4), generator.randint(1, 4)
    references = [text(generator, 0, 6, WORDS[:4]) for _ in range(talkers)]
    hypotheses = [text(generator, 0, 6, WORDS[:4]) for _ in range(voices)]
    rate = meeteval.wer.cp_word_error_rate(references, hypotheses)
    return {"references": references, "hypotheses": hypotheses, "errors": rate.errors, "length": rate.length}


def combined(generator):
    utterances = [text(generator, 0, 4, WORDS[:4]) for _ in range(generator.randint(1, 4))]
    hypotheses = [text(generator, 0, 6, WORDS[:4]) for _ in range(generator.randint(1, 3))]
    rate = meeteval.wer.orc_word_error_rate(utterances, hypotheses)
    return {"utterances": utterances, "hypotheses": hypotheses, "errors": rate.errors}


def main(folder):
    logging.disable()  # meeteval says of each text that it has no times
    generator = random.Random(25)
    cases = {
        "jiwer": [single(generator) for _ in range(60)],
        "cp": [several(generator) for _ in range(60)],
        "orc": [combined(generator) for _ in range(30)],
    }
    texts = [case for case in cases["jiwer"] if case["hypothesis"]]
    pooled = [[case[side] for case in texts] for side in ("reference", "hypothesis")]
    cases["pooled_wer"] = jiwer.wer(*pooled)
    path = Path(folder) / "words.json"
    path.write_text(json.dumps(cases, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
