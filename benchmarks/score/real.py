"""Do blind scores rank separators on real recordings as on synthetic ones?

And do they grow with training? Synthetic mixtures of two test speakers, with the truth; meetings (AMI): 4 s around each
moment in which, by the transcript, two talkers speak; and two and three talkers before seven microphones in a measured
room, for the blind methods. ``--stages`` are weights of one separator as its training went on.

    python -m benchmarks real --stages "1000 steps=FILE" ...
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from benchmarks.kit.meetings import RATE, meetings
from benchmarks.kit.rated import SECONDS, sets_to_test, truth
from benchmarks.kit.rated import SEED as SEED
from benchmarks.kit.scenes import load_mixtures
from benchmarks.score._real_tables import ARRAY, MEETINGS, ONE, SEVEN, STAGES, SYNTHETIC, agreement
from benchmarks.score._real_tables import table as table
from unbabble.base import audio
from unbabble.base.errors import InputError
from unbabble.pipelines import separate as separating
from unbabble.pipelines.score import BlindScorer
from unbabble.signal.statistics import bootstrap
from unbabble.training.sets.separated import Separated, matched
from unbabble.verbs.bench import MIXTURE, default_models

BLIND = (MIXTURE, "auxiva.iss", "auxiva.ipa", "ilrma.ip")
QUICK = {"items": 2}
Recording = tuple[str, Tensor, Tensor | None]
"""Kind, mixture (microphone, time), and the voices at the first microphone, where these are known."""
Scored = dict[str, dict[str, list[tuple[float, float]]]]
"""By kind of recording and model: estimated and true score of each (mean over its voices)."""


def single(items: int) -> Iterator[Recording]:
    """One microphone, two talkers."""
    sets = sets_to_test()
    for kind in SYNTHETIC:
        for item in (sets[kind].of(number)[0] for number in range(items)):
            yield kind, torch.from_numpy(item.mixture)[None], torch.from_numpy(item.sources)
    for excerpt in meetings(SECONDS):
        yield MEETINGS, excerpt[None], None


def arrays(talkers: int, items: int) -> Iterator[Recording]:
    """Seven microphones."""
    for item in load_mixtures(talkers, 7, items, SEED):
        sounds = (torch.from_numpy(each).float() for each in (item.mixture, item.images[:, 0]))
        yield ARRAY[talkers], *(audio.resample(each, item.sample_rate, RATE) for each in sounds)


def collect(
    scorer: BlindScorer, recordings: Iterator[Recording], models: Mapping[str, str], **options
) -> Scored:
    """Scores by kind and label of a model; what cannot separate a recording is left out."""
    result: Scored = defaultdict(lambda: defaultdict(list))
    separators = {
        label: separating.load(name, "cpu", **({} if name == MIXTURE else options))
        for label, name in models.items()
    }
    for kind, mixture, sources in recordings:
        for label, separator in separators.items():
            try:
                estimates = separator(mixture, RATE).sources
            except InputError:
                continue
            told, true = scorer(mixture[0], estimates, RATE), float("nan")
            if sources is not None:
                made, known = estimates.numpy(), sources.numpy()
                item = Separated(mixture[0].numpy(), made, known[matched(made, known)], known, "")
                true = float(truth(item).mean())
            result[kind][label].append((float(np.mean([each.si_snr_db for each in told])), true))
    return result


def measure(
    scorer: str = "auto", items: int = 40, models: Mapping[str, str] = {}, stages: Mapping[str, str] = {}
) -> dict:
    """All parts.

    Args:
        items: synthetic mixtures of a kind.
        models: beside the packaged ones.
        stages: of one separator, by what they are called.
    """
    judge, packaged = BlindScorer(scorer), {name: name for name in (MIXTURE, *default_models())}
    parts = {ONE: collect(judge, single(items), packaged | models), SEVEN: {}}
    for talkers in ARRAY:
        blind = {name: name for name in BLIND}
        parts[SEVEN] |= collect(judge, arrays(talkers, items // 2), blind, sources=talkers)
    if stages:
        parts[STAGES] = collect(judge, single(items), stages)
    result: dict = {"scorer": judge.name, "items": items, "excerpts": len(parts[ONE][MEETINGS][MIXTURE])}
    for title, part in parts.items():
        means = {
            kind: {name: np.mean(its, 0).tolist() for name, its in rows.items()}
            for kind, rows in part.items()
        }
        flat = {f"{kind}, {name}": mean for kind, rows in means.items() for name, mean in rows.items()}
        result[title] = {"mean_db": flat, "rank_correlation": agreement(means)}
        if MEETINGS in part:
            real = {name: bootstrap([told for told, _ in rows]) for name, rows in part[MEETINGS].items()}
            result[title]["meetings_db"] = real
    return result
