"""Do blind scores rank separators on real recordings as on synthetic ones?

And do they grow with training? Synthetic mixtures of two test speakers, with the truth; meetings (AMI): 4 s around each
moment in which, by the transcript, two talkers speak; and two and three talkers before seven microphones in a measured
room, for the blind methods. ``--stages`` are weights of one separator as its training went on.

    python -m benchmarks real --stages "1000 steps=FILE" ...
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.kit.meetings import RATE, meetings
from benchmarks.kit.rated import SECONDS, family, sets_to_test, truth
from benchmarks.kit.rated import SEED as SEED
from benchmarks.kit.scenes import load_mixtures
from benchmarks.kit.table import figure, grid, made_by, page
from unbabble.base import audio
from unbabble.base.errors import InputError
from unbabble.pipelines import separate as separating
from unbabble.pipelines.score import BlindScorer
from unbabble.signal.statistics import bootstrap
from unbabble.training.sets.separated import Separated, matched
from unbabble.verbs.bench import MIXTURE, default_models

SYNTHETIC = ("clean", "noisy, reverberant")
MEETINGS, ARRAY = "meetings", "{} talkers, seven microphones"
ONE, SEVEN = "One microphone, two talkers", "Seven microphones"
STAGES = "One separator as its training goes on"
BLIND = (MIXTURE, "auxiva.iss", "auxiva.ipa", "ilrma.ip")
QUICK = {"items": 2}
Scored = dict[str, dict[str, list[tuple[float, float]]]]
"""By kind of mixture and model: estimated and true score of each recording (mean over its voices)."""


def scores(scorer: BlindScorer, mixture: np.ndarray, estimates: torch.Tensor, sources: np.ndarray | None):
    """Estimated and true, means over voices."""
    told = scorer(torch.from_numpy(mixture), estimates, RATE)
    true = float("nan")
    if sources is not None:
        made = estimates.numpy()
        true = float(truth(Separated(mixture, made, sources[matched(made, sources)], sources, "")).mean())
    return float(np.mean([each.si_snr_db for each in told])), true


def collect(models: list[str], scorer: BlindScorer, items: int) -> Scored:
    found: Scored = defaultdict(lambda: defaultdict(list))
    separators, sets = {name: separating.load(name, "cpu") for name in models}, sets_to_test()
    mixtures = [(kind, sets[kind].of(number)[0]) for kind in SYNTHETIC for number in range(items)]
    recordings = [(kind, item.mixture, item.sources) for kind, item in mixtures]
    recordings += [(MEETINGS, excerpt.numpy(), None) for excerpt in meetings(SECONDS)]
    for kind, mixture, sources in recordings:
        for name, separator in separators.items():
            estimates = separator(torch.from_numpy(mixture)[None], RATE).sources
            found[kind][name].append(scores(scorer, mixture, estimates, sources))
    return found


def collect_arrays(scorer: BlindScorer, items: int) -> Scored:
    found: Scored = defaultdict(lambda: defaultdict(list))
    for talkers in (2, 3):
        for item in load_mixtures(talkers, 7, items, SEED):
            sounds = (torch.from_numpy(each).float() for each in (item.mixture, item.images[:, 0]))
            heard, sources = (audio.resample(each, item.sample_rate, RATE) for each in sounds)
            for name in BLIND:
                options = {} if name == MIXTURE else {"sources": talkers}
                try:
                    estimates = separating.load(name, "cpu", **options)(heard, RATE).sources
                except InputError:
                    continue
                row = scores(scorer, heard[0].numpy(), estimates, sources.numpy())
                found[ARRAY.format(talkers)][name].append(row)
    return found


def agreement(means: dict[str, dict[str, list[float]]]) -> dict[str, float]:
    """Spearman's correlation of rankings: estimated with true, synthetic with real."""
    models = [
        name for name in dict.fromkeys(name for each in means.values() for name in each) if name != MIXTURE
    ]
    if len(models) < 3:
        return {}
    columns = {kind: np.array([rows[name] for name in models]).T for kind, rows in means.items()}
    found = {
        f"{kind}: estimated with true": spearmanr(*columns[kind])[0] for kind in means if kind != MEETINGS
    }
    for kind in SYNTHETIC if MEETINGS in means else ():
        for label, column in zip(("estimated", "true"), columns[kind], strict=True):
            found[f"{MEETINGS}: estimated, with {kind}: {label}"] = spearmanr(columns[MEETINGS][0], column)[0]
    return {label: float(value) for label, value in found.items()}


def measure(
    scorer: str = "auto", items: int = 40, models: Sequence[str] = (), stages: Sequence[str] = ()
) -> dict:
    """All parts.

    Args:
        items: synthetic mixtures of a kind.
        models: beside the packaged ones.
        stages: LABEL=FILE.
    """
    judge, later = BlindScorer(scorer), dict(each.split("=", 1) for each in stages)
    parts = {ONE: collect([MIXTURE, *default_models(), *models], judge, items)}
    parts[SEVEN] = collect_arrays(judge, items // 2)
    if later:
        found = collect(list(later.values()), judge, items)
        labels = {file: label for label, file in later.items()}
        parts[STAGES] = {kind: {labels[name]: rows[name] for name in rows} for kind, rows in found.items()}
    result: dict = {"scorer": judge.name, "items": items, "excerpts": len(parts[ONE][MEETINGS][MIXTURE])}
    for title, part in parts.items():
        means = {
            kind: {name: np.mean(rows[name], 0).tolist() for name in rows} for kind, rows in part.items()
        }
        flat = {f"{kind}, {shown(name)}": means[kind][name] for kind in means for name in means[kind]}
        result[title] = {"mean_db": flat, "rank_correlation": agreement(means)}
        if MEETINGS in part:
            real = {
                shown(name): bootstrap([told for told, _ in rows]) for name, rows in part[MEETINGS].items()
            }
            result[title]["meetings_db"] = real
    return result


def shown(name: str) -> str:
    return family(name) if name.endswith(".safetensors") else name


def tabled(part: dict) -> str:
    """Estimated and true means by model; of meetings, which have no truth, with their interval."""
    kinds = [*SYNTHETIC, MEETINGS, *(ARRAY.format(talkers) for talkers in (2, 3))]
    means = {
        kind: {k[len(kind) + 2 :]: v for k, v in part["mean_db"].items() if k.startswith(kind)}
        for kind in kinds
    }
    means = {kind: rows for kind, rows in means.items() if rows}
    head, lines = ["model"], []
    for kind in means:
        head += [f"{kind}: estimated (95 %)"] if kind == MEETINGS else [f"{kind}: estimated", f"{kind}: true"]
    for name in dict.fromkeys(name for rows in means.values() for name in rows):
        cells = [name]
        for kind, rows in means.items():
            found = [f"{each:.2f}" for each in rows[name]]
            cells += [figure(part["meetings_db"][name])] if kind == MEETINGS else found
        lines.append(cells)
    return grid(head, lines, rule=" - |")


def table(result: dict) -> str:
    blocks = [f"Mean SI-SNR in dB by model, as `{result['scorer']}` estimates it, and true."]
    for title in (each for each in (ONE, SEVEN, STAGES) if each in result):
        blocks += [f"**{title}**", tabled(result[title])]
        blocks += ["Spearman's correlation of the models' means, without the recording itself:"]
        blocks += [
            "\n".join(f"- {label}: {value:.2f}" for label, value in result[title]["rank_correlation"].items())
        ]
    counts = f"{result['items']} synthetic mixtures of a kind, {result['excerpts']} excerpts of meetings."
    return page(*blocks, counts, made_by(result))
