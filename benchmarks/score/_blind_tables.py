"""Tables and plots of ``blind_score.py``."""

import numpy as np

from benchmarks.kit import plot as plots
from benchmarks.kit.table import grid, made_by, page

RULE, BINS = " - |", 10
BASELINE, PUBLISHED_LABEL = "unlike the mixture", "published"
"""Both without intervals of their own."""
PUBLISHED = """\
Published (Subakan et al., ICASSP 2022; WSJ0 and LibriMix voices, WHAMR! rooms and noises, separators trained for days):
Pearson correlation .79 to .87 by separator and condition, mean absolute error 1.7 dB over scores within 0 to 10 dB."""


def near(row: dict, digits: int = 2) -> str:
    return f"{row['pearson']:.{digits}f} / {row['error_db']:.2f}"


def estimators(found: dict) -> str:
    """By kind of mixture."""
    sets, rows = list(found["pool"]["sets"]), []
    for label, each in found.items():
        whole = each["all"]
        held = "" if label in (BASELINE, PUBLISHED_LABEL) else f"{whole['held']:.3f}"
        cells = [label, each["parameters"], f"{whole['pearson']:.3f}", f"{whole['error_db']:.2f}"]
        cells += [f"{whole['error_0_to_10_db']:.2f}", f"{whole['rank']:.2f}", held]
        rows.append([*cells, *map(near, each["sets"].values())])
    constant = [f"/ {row['constant_error_db']:.2f}" for row in found["pool"]["sets"].values()]
    median = f"{found['pool']['all']['constant_error_db']:.2f}"
    rows.append(["always the median", 0, "", median, "", "", "", *constant])
    head = ["estimator", "parameters", "Pearson", "MAE, dB", "MAE within 0 to 10 dB", "rank", "held", *sets]
    return grid(head, rows, RULE)


def by_length(found: dict[str, dict]) -> str:
    """By duration of the mixtures."""
    lengths = next(iter(found.values()))
    rows = [
        [label, *(f"{near(row, 3)} / {row['held']:.3f}" for row in each.values())]
        for label, each in found.items()
    ]
    rows.append(["always the median", *(f"/ {row['constant_error_db']:.2f}" for row in lengths.values())])
    return grid(["estimator", *(f"{length} s" for length in lengths)], rows, RULE)


def table(result: dict) -> str:
    whole, wide = result["estimators"]["pool"]["all"], result["whole_range"]
    columns = list(dict.fromkeys(column for cells in result["separators"].values() for column in cells))
    separators = [
        [name, *(near(cells[column]) if column in cells else "" for column in columns)]
        for name, cells in result["separators"].items()
    ]
    lengths = result.get("seconds", {})
    several = len(next(iter(lengths.values()), {})) > 1
    network = " *published*: REAL-M's network, trained here on the pool."
    unheard = "; *unheard*: the estimator never heard this family, and learnt as briefly as *brief*."
    return page(
        "How near blind scores are to the true SI-SNR; on the right, by kind of mixture: Pearson / MAE in dB.",
        estimators(result["estimators"]),
        "By duration of the mixtures: Pearson / MAE in dB / held." if several else "",
        by_length(lengths) if several else "",
        f"{whole['estimates']} estimates. *rank*: Spearman's correlation of the separators of one recording, mean over "
        "recordings. *held*: share of true scores within the interval, of which 0.9 are promised; the pool's is "
        f"{whole['width_db']:.1f} dB wide in the mean.{network if PUBLISHED_LABEL in result['estimators'] else ''}",
        f"Over the whole range ({wide['estimates']} estimates made better or worse, -15 to 30 dB) the pool has Pearson "
        f"{wide['pearson']:.3f}, MAE {wide['error_db']:.2f} dB, {wide['held']:.3f} held; the median alone "
        f"{wide['constant_error_db']:.2f} dB.",
        "By separator, Pearson / MAE in dB" + (unheard if "unheard" in columns else "."),
        grid(["separator", *columns], separators, RULE),
        PUBLISHED,
        made_by(result),
    )


def scatter(panels: dict[str, tuple[list[dict], dict]]) -> None:
    """True against estimated score; panels hold rows, and what is measured of them."""
    size = (4.2 * len(panels), 4.4)
    figure, (axes,) = plots.axes(
        1, len(panels), figsize=size, sharex=True, sharey=True, constrained_layout=True
    )
    for (title, (rows, found)), axis in zip(panels.items(), axes, strict=True):
        pairs = [np.concatenate([row[key] for row in rows]) for key in ("true", "db")]
        image = axis.hexbin(
            *pairs, gridsize=45, extent=(-15, 30, -15, 30), bins="log", mincnt=1, cmap="viridis"
        )
        axis.plot([-15, 30], [-15, 30], color="black", linewidth=0.8)
        figures = f"Pearson {found['pearson']:.2f}, MAE {found['error_db']:.2f} dB"
        axis.set_title(f"{title}\n{figures}", fontsize=10)
        axis.set(xlabel="true SI-SNR, dB", aspect="equal")
    axes[0].set(ylabel="estimated SI-SNR, dB")
    figure.colorbar(image, ax=list(axes), label="estimates", shrink=0.8)
    plots.write(figure, "blind_score", dpi=110)


def reliability(rows: list[dict]) -> None:
    """What is promised and what is held: of the score itself, and of its interval by how wide it is."""
    true, told, low, high = (
        np.concatenate([row[key] for row in rows]) for key in ("true", "db", "low", "high")
    )
    figure, ((left, right),) = plots.axes(1, 2, figsize=(9, 4), constrained_layout=True)
    parts = np.array_split(np.argsort(told), BINS)
    means = [[each[part].mean() for part in parts] for each in (told, true)]
    left.errorbar(*means, [true[part].std() for part in parts], fmt="o-", capsize=3)
    ends = [told.min(), told.max()]
    left.plot(ends, ends, color="black", linewidth=0.8)
    left.set(xlabel="estimated SI-SNR, dB", ylabel="true SI-SNR, dB (mean, deviation)")
    held, width = (low <= true) & (true <= high), high - low
    parts = np.array_split(np.argsort(width), BINS)
    right.plot([width[part].mean() for part in parts], [held[part].mean() for part in parts], "o-")
    right.axhline(0.9, color="black", linewidth=0.8)
    right.axhspan(0.85, 0.95, alpha=0.15)
    right.set(xlabel="width of the interval, dB", ylabel="share of true scores within", ylim=(0.6, 1))
    plots.write(figure, "blind_score_reliability", dpi=110)
