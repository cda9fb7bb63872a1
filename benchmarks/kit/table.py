"""Pages of Markdown: tables, figures with their intervals, and the line that says where a page is from."""

from collections.abc import Iterable, Mapping, Sequence
from string import Formatter
from typing import Any


class Interval(tuple):
    """A value and its interval (value, low, high), formatted as one number.

    ``{gain:.1f}`` is 3.1 (2.0 to 4.2), ``{gain:.1f...}`` is 3.1 (2.0 ... 4.2).
    """

    def __format__(self, spec: str) -> str:
        digits, dots, _ = spec.partition("...")
        value, low, high = (format(each, digits) for each in self[:3])
        return f"{value} ({low} {dots or 'to'} {high})"


def figure(estimate: Sequence[float], digits: int = 2, scale: float = 1) -> str:
    """A value and its interval, after multiplication by ``scale``."""
    return format(Interval(scale * each for each in estimate[:3]), f".{digits}f")


def known(value: Any) -> Any:
    """The same with lists as intervals, and without what is None."""
    if isinstance(value, Mapping):
        return {key: known(each) for key, each in value.items() if each is not None}
    return Interval(map(known, value)) if isinstance(value, list | tuple) else value


def line(cells: Iterable[object]) -> str:
    """A row; None is a cell that is left out."""
    return "|" + "".join(" |" if cell is None else f" {cell} |" for cell in cells)


class Cells(Formatter):
    """Fills names in, also those that are numbers."""

    def get_value(self, key, args, kwargs) -> Any:
        return kwargs[str(key)]


def filled(cells: str, row: Mapping[str, Any]) -> list[str]:
    """Cells such as ``{model} | {gain:.2f}``; lists are intervals, and what the row lacks is an empty cell."""
    result, values = [], known(row)
    for cell in cells.split("|"):
        try:
            result.append(Cells().vformat(cell.strip(), (), values))
        except KeyError:
            result.append("")
    return result


def grid(
    head: str | Sequence[object],
    rows: Iterable[Sequence[object]] | Iterable[Mapping] | Mapping[str, Mapping],
    cells: str = "",
) -> str:
    """A table.

    Args:
        head: titles, also in one string with bars between them.
        rows: as many cells each; or, with ``cells``, what these are filled from (of a dictionary, the key is ``name``).
        cells: what each row shows, see ``filled``.
    """
    titles = [each.strip() or None for each in head.split("|")] if isinstance(head, str) else head
    if isinstance(rows, Mapping):
        rows = [{"name": name} | row for name, row in rows.items()]
    lines = [filled(cells, row) if isinstance(row, Mapping) else row for row in rows]
    return "\n".join([line(titles), "|" + "-|" * len(titles), *map(line, lines)])


def page(*blocks: str | Iterable[str]) -> str:
    """Paragraphs, tables and lists (of several lines), an empty line between them; what is empty is left out."""
    texts = [block if isinstance(block, str) else "\n".join(block) for block in blocks]
    return "\n\n".join(text for text in texts if text) + "\n"


def made_by(result: dict, before: str = "", seed: int | None = None) -> str:
    """The end of every page: machine, date, seed and commands."""
    machine, seed = result["machine"], result.get("seed", seed)
    seeded = "" if seed is None else f"; seed {seed}"
    commands = result.get("commands") or result["command"].splitlines()
    said = f"{before}{machine['cpu']}, {machine['date']}{seeded}. Made by"
    return "\n".join([said, "", *(f"    {each}" for each in commands)])
