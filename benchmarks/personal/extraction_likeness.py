"""How often is a wrong voice praised?

`unbabble extract` says a word on the quality of what came out only where that is like the enrollment
(``pipelines.extract.doubt_of``). Mixtures of two speakers, clean, and in noises and rooms; enrolled is one who talks,
or one who does not. *right*: the voice of the enrolled one came out; *wrong*: the other one's; *absent*: the enrolled
one does not talk. The limits were chosen on dev.

    python -m benchmarks extraction_likeness
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from benchmarks.kit.enrolled import RATE, recordings
from benchmarks.kit.table import figure, grid, made_by, page
from unbabble.pipelines.extract import PERHAPS_THEM, SURELY_THEM, likeness, load_extractor
from unbabble.pipelines.score import BlindScorer
from unbabble.signal.metrics import si_sdr
from unbabble.signal.statistics import bootstrap

SEED = 0
CASES, GOOD_DB = ("right", "wrong", "absent"), 7.5
QUICK = {"each": 2}


@torch.no_grad()
def measure(model: str = "auto", each: int = 40, splits: Sequence[str] = ("dev", "test")) -> Iterator[dict]:
    """Split by split."""
    network, scorer, result = load_extractor(model, "cpu")[1], BlindScorer(), {}
    for split in splits:
        outcomes: dict[str, list[tuple[float, float]]] = {case: [] for case in CASES}
        last: list[torch.Tensor] = []
        speakers: set[str] = set()
        for _, people, mixture, voices, enrolled in recordings(each, split):
            here = {person["speaker"] for person in people}
            absent = [] if here & speakers else last
            for number, enrollment in enumerate([*enrolled, *absent]):
                person = network.enrolled(enrollment)
                voice = network(mixture[None, None], person=person)[0, 0]
                if not voice.any():
                    continue
                of_each = si_sdr(voice.expand_as(voices), voices)
                case = "absent" if number > 1 else CASES[int(of_each.argmax() != number)]
                score = scorer(mixture, voice[None], RATE)[0]
                outcomes[case].append((likeness(voice, RATE, enrollment, RATE) or 0.0, score.si_snr_db))
            last, speakers = enrolled, here
        result[split] = {case: shares(rows) for case, rows in outcomes.items() if rows}
        yield {"model": model, "outcomes": result}


def shares(rows: list[tuple[float, float]]) -> dict:
    """Of voices: how many get a word, a good word ("fair" and better), and are said to be rather another's."""
    sure = [float(alike >= SURELY_THEM) for alike, _ in rows]
    good = [float(alike >= SURELY_THEM and db >= GOOD_DB) for alike, db in rows]
    before = [float(db >= GOOD_DB) for _, db in rows]
    other = [float(alike < PERHAPS_THEM) for alike, _ in rows]
    named = {"word": sure, "good": good, "good_by_score": before, "probably_other": other}
    return {"voices": len(rows)} | {name: bootstrap(values) for name, values in named.items()}


def table(result: dict) -> str:
    told = ("good_by_score", "good", "word", "probably_other")
    rows = [
        [split, case, row["voices"], *(figure(row[name], 0, 100) for name in told)]
        for split, cases in result["outcomes"].items()
        for case, row in cases.items()
    ]
    return page(
        f"What is said of voices that `{result['model']}` extracts, in % of them (95 % intervals): called fair or "
        f"better by the score alone; now, with a likeness of {SURELY_THEM:g} or more; any word on quality; *probably "
        f"somebody else*, below {PERHAPS_THEM:g}. Of all others is said *perhaps somebody else*.",
        grid(
            "split | what came out | voices | fair or better by the score | now | any word | probably somebody else",
            rows,
        ),
        made_by(result),
    )
