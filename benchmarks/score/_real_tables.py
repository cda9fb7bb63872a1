"""What ``real.py`` says of its scores: how rankings agree, and their tables."""

import numpy as np
from scipy.stats import spearmanr

from benchmarks.kit.table import figure, grid, made_by, page
from unbabble.verbs.bench import MIXTURE

SYNTHETIC = ("clean", "noisy, reverberant")
MEETINGS, ARRAY = "meetings", {talkers: f"{talkers} talkers, seven microphones" for talkers in (2, 3)}
ONE, SEVEN = "One microphone, two talkers", "Seven microphones"
STAGES = "One separator as its training goes on"


def agreement(means: dict[str, dict[str, list[float]]]) -> dict[str, float]:
    """Spearman's correlation of rankings: estimated with true, synthetic with real."""
    models = [
        name for name in dict.fromkeys(name for each in means.values() for name in each) if name != MIXTURE
    ]
    if len(models) < 3:
        return {}
    columns = {kind: np.array([rows[name] for name in models]).T for kind, rows in means.items()}
    result = {
        f"{kind}: estimated with true": spearmanr(*columns[kind])[0] for kind in means if kind != MEETINGS
    }
    for kind in SYNTHETIC if MEETINGS in means else ():
        for label, column in zip(("estimated", "true"), columns[kind], strict=True):
            result[f"{MEETINGS}: estimated, with {kind}: {label}"] = spearmanr(columns[MEETINGS][0], column)[
                0
            ]
    return {label: float(value) for label, value in result.items()}


def tabled(part: dict) -> str:
    """Estimated and true means by model; of meetings, which have no truth, with their interval."""
    head, columns = ["model"], []
    for kind in (*SYNTHETIC, MEETINGS, *ARRAY.values()):
        means = {
            key.removeprefix(f"{kind}, "): each
            for key, each in part["mean_db"].items()
            if key.startswith(kind)
        }
        if means and kind == MEETINGS:
            head.append(f"{kind}: estimated (95 %)")
            columns.append({name: [figure(each)] for name, each in part["meetings_db"].items()})
        elif means:
            head += [f"{kind}: estimated", f"{kind}: true"]
            columns.append({name: [f"{value:.2f}" for value in each] for name, each in means.items()})
    names = dict.fromkeys(name for column in columns for name in column)
    return grid(head, ([name, *(cell for column in columns for cell in column[name])] for name in names))


def table(result: dict) -> str:
    blocks = [f"Mean SI-SNR in dB by model, as `{result['scorer']}` estimates it, and true."]
    for title in (each for each in (ONE, SEVEN, STAGES) if each in result):
        ranks = result[title]["rank_correlation"].items()
        blocks += [f"**{title}**", tabled(result[title])]
        blocks += ["Spearman's correlation of the models' means, without the recording itself:"]
        blocks += ["\n".join(f"- {label}: {value:.2f}" for label, value in ranks)]
    counts = f"{result['items']} synthetic mixtures of a kind, {result['excerpts']} excerpts of meetings."
    return page(*blocks, counts, made_by(result))
