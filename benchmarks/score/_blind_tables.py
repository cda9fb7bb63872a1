"""Tables of ``blind_score.py``."""

from benchmarks.kit.table import grid, made_by, page

BASELINE, PUBLISHED_LABEL = "unlike the mixture", "published"
"""Both without intervals of their own."""
PUBLISHED = """\
Published (Subakan et al., ICASSP 2022; WSJ0 and LibriMix voices, WHAMR! rooms and noises, separators trained for days):
Pearson correlation .79 to .87 by separator and condition, mean absolute error 1.7 dB over scores within 0 to 10 dB."""


def near(row: dict, digits: int = 2) -> str:
    return f"{row['pearson']:.{digits}f} / {row['error_db']:.2f}"


def estimators(result: dict) -> str:
    """By kind of mixture."""
    sets, rows = list(result["pool"]["sets"]), []
    for label, each in result.items():
        whole = each["all"]
        held = "" if label in (BASELINE, PUBLISHED_LABEL) else f"{whole['held']:.3f}"
        cells = [label, each["parameters"], f"{whole['pearson']:.3f}", f"{whole['error_db']:.2f}"]
        cells += [f"{whole['error_0_to_10_db']:.2f}", f"{whole['rank']:.2f}", held]
        rows.append([*cells, *map(near, each["sets"].values())])
    constant = [f"/ {row['constant_error_db']:.2f}" for row in result["pool"]["sets"].values()]
    median = f"{result['pool']['all']['constant_error_db']:.2f}"
    rows.append(["always the median", 0, "", median, "", "", "", *constant])
    head = ["estimator", "parameters", "Pearson", "MAE, dB", "MAE within 0 to 10 dB", "rank", "held", *sets]
    return grid(head, rows)


def by_length(result: dict[str, dict]) -> str:
    """By duration of the mixtures."""
    lengths = next(iter(result.values()))
    rows = [
        [label, *(f"{near(row, 3)} / {row['held']:.3f}" for row in each.values())]
        for label, each in result.items()
    ]
    rows.append(["always the median", *(f"/ {row['constant_error_db']:.2f}" for row in lengths.values())])
    return grid(["estimator", *(f"{length} s" for length in lengths)], rows)


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
        grid(["separator", *columns], separators),
        PUBLISHED,
        made_by(result),
    )
