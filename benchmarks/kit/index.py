"""The list of claims, drawn from their docstrings: nothing is imported, ``--index`` writes it where people look."""

import ast
from functools import cache
from pathlib import Path

from benchmarks.kit.table import grid

FOLDER = Path(__file__).resolve().parents[1]
WINGS = ("blind", "command", "meetings", "neural", "personal", "recognition", "score", "site", "sounds")
PAGES = (FOLDER / "README.md", FOLDER.parent / "docs" / "benchmarks.md")
BEGIN, END = "<!-- claims: python -m benchmarks --index -->\n", "<!-- end -->"


@cache
def modules() -> dict[str, str]:
    """Name of a claim to its module; files whose names begin with an underscore belong to a claim."""
    files = [file for wing in WINGS for file in sorted((FOLDER / wing).glob("[!_]*.py"))]
    return {file.stem: f"benchmarks.{file.parent.name}.{file.stem}" for file in files}


def described(name: str) -> tuple[str, list[str]]:
    """The question that a claim answers, and the files of its results: tables, else figures and figures' numbers."""
    tree = ast.parse((FOLDER.parent / modules()[name].replace(".", "/")).with_suffix(".py").read_text())
    named = [
        each.value
        for each in tree.body
        if isinstance(each, ast.Assign) and "NAMES" in map(ast.unparse, each.targets)
    ]
    results = [
        FOLDER / "results" / f"{each}.md" for each in (ast.literal_eval(named[0]) if named else [name])
    ]
    there = [file.name for file in results if file.is_file()]
    others = [
        file.name for end in ("png", "json") if (file := FOLDER / "results" / f"{name}.{end}").is_file()
    ]
    return (ast.get_docstring(tree) or "").partition("\n")[0], there or others[:1]


def listing() -> list[str]:
    """Lines for a terminal."""
    return [f"{name:<22}{described(name)[0]}" for name in modules()]


def table() -> str:
    """In Markdown."""
    rows = []
    for name, module in modules().items():
        question, results = described(name)
        rows.append((f"`{name}`", module.split(".")[1], question, ", ".join(f"`{each}`" for each in results)))
    return grid("claim | wing | question | results", rows)


def filled(text: str) -> str:
    """A page with the list in its place."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + "\n" + table() + "\n\n" + END + rest.partition(END)[2]


def write() -> None:
    """Write the list into the pages that have a place for it."""
    for file in PAGES:
        file.write_text(filled(file.read_text()))
