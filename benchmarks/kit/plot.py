"""Figures, drawn without a screen."""

from benchmarks.kit.claim import RESULTS


def axes(rows: int = 1, columns: int = 1, **options):
    """A figure and its axes, (rows, columns)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(rows, columns, squeeze=False, **options)


def write(figure, name: str, dpi: int = 130) -> None:
    """As PNG among the results, or in another place."""
    from matplotlib import pyplot

    figure.savefig(RESULTS / f"{name}.png", dpi=dpi)
    pyplot.close(figure)
