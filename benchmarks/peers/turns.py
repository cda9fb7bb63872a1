"""Errors of turns as pyannote.metrics counts them, on random annotations.

    ~/.cache/unbabble-peers/diarization/bin/python benchmarks/peers/turns.py tests/fixtures

writes ``turns.json``, with which tests/signal/test_diarization.py compares. Knows no code of this project.
"""

import json
import random
import sys
import warnings
from pathlib import Path

from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate

SECONDS, COUNT, DIGITS = 30.0, 100, 3
COLLARS = (0.0, 0.25, 0.5)
"""Whole widths, as pyannote.metrics has them."""
PARTS = {
    "total": "speech",
    "missed detection": "missed",
    "false alarm": "false_alarm",
    "confusion": "confusion",
}


def turns(generator, most):
    """(start, end, speaker), none of which overlaps or touches another of the same speaker."""
    annotation = Annotation()
    for number in range(generator.randint(0, 12)):
        start = generator.uniform(0, SECONDS - 1)
        end = min(SECONDS, start + generator.expovariate(0.4) + 0.05)
        speaker = f"s{generator.randrange(most)}"
        annotation[Segment(round(start, DIGITS), round(end, DIGITS)), number] = speaker
    rows = [
        (segment.start, segment.end, label)
        for segment, _, label in annotation.support().itertracks(yield_label=True)
    ]
    return sorted(rows)


def moved(generator, rows):
    """The same by other names, with other boundaries, some left out and some given to another."""
    names = {name: f"t{number}" for number, name in enumerate(sorted({row[2] for row in rows}, reverse=True))}
    result = Annotation()
    for number, (start, end, name) in enumerate(rows):
        if generator.random() < 0.15:
            continue
        start = max(0.0, start + generator.gauss(0, 0.2))
        end = max(start + 0.1, end + generator.gauss(0, 0.2))
        said = names[name] if generator.random() < 0.8 else generator.choice([*names.values(), "t9"])
        result[Segment(round(start, DIGITS), round(end, DIGITS)), number] = said
    return sorted(
        (segment.start, segment.end, label)
        for segment, _, label in result.support().itertracks(yield_label=True)
    )


def annotation(rows):
    result = Annotation()
    for number, (start, end, name) in enumerate(rows):
        result[Segment(start, end), number] = name
    return result


def case(generator):
    reference = turns(generator, generator.randint(1, 5))
    hypothesis = moved(generator, reference) if generator.random() < 0.7 else turns(generator, 4)
    half = round(generator.uniform(5, 25), DIGITS)
    within = [(0.0, SECONDS + 5)] if generator.random() < 0.5 else [(2.0, half), (half + 1, SECONDS)]
    uem = Timeline([Segment(*each) for each in within])
    collar = generator.choice(COLLARS)
    given = annotation(reference), annotation(hypothesis)
    parts = DiarizationErrorRate(collar=collar)(*given, uem=uem, detailed=True)
    jaccard = JaccardErrorRate(collar=collar)(*given, uem=uem, detailed=True)
    # by other names, whose order is another, it is the same unless two mappings are equally good
    others = (
        annotation((*row[:2], f"{9 - int(row[2][1])}") for row in rows) for rows in (reference, hypothesis)
    )
    again = JaccardErrorRate(collar=collar)(*others, uem=uem, detailed=True)
    unique = abs(again["speaker error"] - jaccard["speaker error"]) < 1e-12
    return {
        "reference": reference,
        "hypothesis": hypothesis,
        "within": within,
        "collar_width": collar,
        **{ours: parts[theirs] for theirs, ours in PARTS.items()},
        "der": parts["diarization error rate"],
        "speakers": jaccard["speaker count"],
        "jaccard": jaccard["speaker error"] if unique else None,
    }


def main(folder):
    warnings.simplefilter("ignore")
    generator = random.Random(26)
    cases = [case(generator) for _ in range(COUNT)]
    rows = ",\n".join(json.dumps(each, separators=(",", ":")) for each in cases)
    (Path(folder) / "turns.json").write_text(f"[\n{rows}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
