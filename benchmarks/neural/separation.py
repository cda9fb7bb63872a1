"""How well do the packaged networks separate one microphone, clean, noisy, in a room?

Mixtures of test speakers nobody trained on; the sets are those of ``kit/separated.py``. Results are kept by model and
set, so that models can be added one by one.

    python -m benchmarks separation --models bsrnn.2talkers_8k conv_tasnet.2talkers_8k
    python -m benchmarks separation --models NAME --sets clean3 noisy3 reverberant3 both3
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.kit.cards import put_scores
from benchmarks.kit.separated import CONDITIONS, MIXTURE, scored
from benchmarks.kit.separated import table as table
from unbabble.base import registry, weights

QUICK = {"models": ["bsrnn.2talkers_8k"], "sets": ["drawn_test"], "items": 2}


def packaged() -> list[str]:
    return [name for name in sorted(weights.packaged()) if registry.kinds_of(name)[0].name == "separator"]


def measure(
    before: dict,
    models: Sequence[str] = tuple(packaged()),
    sets: Sequence[str] = CONDITIONS,
    items: int = 0,
    threads: int = 2,
    card: Path | None = None,
) -> Iterator[dict]:
    """Model by model.

    Args:
        models: packaged networks, or files of weights.
        items: of each set; 308 and 100 where 0.
        card: write the scores of the last into the card of this weights file.
    """
    yield from scored(before, models, sets, items, threads)
    if card:
        last = [row for name, row in before["models"].items() if name != MIXTURE][-1]["sets"]
        keys = {"si_snri": "si_snri_db", "sdri": "sdri_db"}
        scores = {
            name: {to: round(row[key], 2) for key, to in keys.items()} | {"items": row["items"]}
            for name, row in last.items()
            if math.isfinite(row["si_snri"])
        }
        put_scores(card, scores)
