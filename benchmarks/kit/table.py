"""Pages of Markdown: tables, figures with their intervals, and the line that says where a page is from."""

from collections.abc import Iterable, Sequence


def line(cells: Iterable[object]) -> str:
    """A row; None is a cell that is left out."""
    return "|" + "".join(" |" if cell is None else f" {cell} |" for cell in cells)


def grid(head: str | Sequence[object], rows: Iterable[Sequence[object]], rule: str = "-|") -> str:
    """A table.

    Args:
        head: titles, also in one string with bars between them.
        rows: as many cells each.
        rule: what stands below each title.
    """
    titles = [each.strip() or None for each in head.split("|")] if isinstance(head, str) else head
    return "\n".join([line(titles), "|" + rule * len(titles), *map(line, rows)])


def page(*blocks: str | Iterable[str]) -> str:
    """Paragraphs, tables and lists (of several lines), an empty line between them; what is empty is left out."""
    texts = [block if isinstance(block, str) else "\n".join(block) for block in blocks]
    return "\n\n".join(text for text in texts if text) + "\n"


def figure(estimate: Sequence[float], digits: int = 2, scale: float = 1, between: str = " to ") -> str:
    """A figure and its interval: value, low, high."""
    value, low, high = (f"{scale * each:.{digits}f}" for each in estimate[:3])
    return f"{value} ({low}{between}{high})"


def made_by(result: dict, before: str = "", seed: int | None = None) -> str:
    """The end of every page: machine, date, seed and commands."""
    machine, seed = result["machine"], result.get("seed", seed)
    seeded = "" if seed is None else f"; seed {seed}"
    commands = result.get("commands") or result["command"].splitlines()
    said = f"{before}{machine['cpu']}, {machine['date']}{seeded}. Made by"
    return "\n".join([said, "", *(f"    {each}" for each in commands)])
