"""From what likeness on are voices, and parts of an enrollment, of one person?

On dev: cosines of embeddings between separated voices and enrollments of the same person, of the other one, and of
nobody of them; and between the parts of an enrollment of one person, and of two in turn.

    python -m benchmarks extraction_thresholds --models sepformer.2talkers_8k
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.kit.enrolled import RATE, SEPARATOR, recordings
from benchmarks.kit.table import grid, made_by, page
from unbabble.networks import load as networks
from unbabble.pipelines.chosen_voice import ChosenVoice
from unbabble.pipelines.extract import EMBEDDER, likeness_of_parts, load_extractor
from unbabble.signal.metrics import si_sdr

SEED = 0
LEVELS = (1, 2, 5, 10, 25, 50, 75, 90, 95, 98, 99)
QUICK = {"each": 2}


@torch.no_grad()
def measure(models: Sequence[str] = (SEPARATOR,), each: int = 50) -> dict:
    """Model by model."""
    result: dict[str, list[float]] = defaultdict(list)
    embedder = networks.load(EMBEDDER, "embedder").network
    for name in models:
        network, last = load_extractor(name, "cpu")[1], []
        assert isinstance(network, ChosenVoice)
        for _, _, mixture, voices, enrolled in recordings(each, "dev"):
            separated = network.separated(mixture / mixture.square().mean().sqrt())
            kept = separated[si_sdr(separated[:, None], voices[None]).argmax(0)]
            people = [network.enrolled(one) for one in enrolled]
            for case, persons in (("voice, enrolled", people), ("voice, the other", people[::-1])):
                pairs = zip(kept, persons, strict=True)
                result[case] += [
                    float(network.likeness(voice[None, None], person)) for voice, person in pairs
                ]
            result["enrollment of one"] += [likeness_of_parts(embedder, one, RATE) for one in enrolled]
            half = len(enrolled[0]) // 2
            turns = torch.cat([enrolled[0][:half], enrolled[1][half:]])
            result["enrollment of two in turn"].append(likeness_of_parts(embedder, turns, RATE))
            likest = [float(network.likeness(kept[None], one).max()) for one in last]
            result["best voice, nobody of them"] += likest
            last = people
    rows = {
        case: [float(np.percentile(values, level)) for level in LEVELS] for case, values in result.items()
    }
    return {"cosines": {f"{case} ({len(result[case])})": row for case, row in rows.items()}}


def table(result: dict) -> str:
    rows = [[case, *(f"{value:.2f}" for value in row)] for case, row in result["cosines"].items()]
    return page(
        f"Cosines of embeddings ({EMBEDDER}), by share of the cases that lie below, dev speakers.",
        grid(["case", *(f"{level} %" for level in LEVELS)], rows),
        made_by(result),
    )
