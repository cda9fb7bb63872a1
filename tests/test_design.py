"""The page on the design is true: its tree is the folders, its layers are the linter's."""

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PAGE = (REPOSITORY / "docs" / "design.md").read_text()
PACKAGE = "src/unbabble/"


def tree() -> dict[str, str]:
    """Of each folder and file that the page's tree names, by its path, what it says of it."""
    block = re.search(rf"^    {PACKAGE}\n(.*?)\n\n", PAGE, re.S | re.M)
    assert block
    lines, above = {}, {4: ""}
    for indent, name, words in re.findall(r"^( {4}(?: {2}){0,2})(\S+) +(\S.*)$", block[0], re.M):
        parent = PACKAGE if len(indent) == 6 else above[len(indent) - 2] if len(indent) > 4 else ""
        above[len(indent)] = parent + name
        lines[parent + name] = words
    return lines


def folders() -> set[str]:
    """Of the package, two deep, those that hold more than what Python leaves behind."""
    files = [
        each.relative_to(REPOSITORY).parts for each in (REPOSITORY / PACKAGE).rglob("*") if each.is_file()
    ]
    places = [file[2:-1] for file in files if not {"__pycache__", "node_modules"} & set(file)]
    return {PACKAGE + "".join(f"{part}/" for part in place[:deep]) for place in places for deep in (1, 2)} - {
        PACKAGE
    }


def test_the_tree_has_every_folder_and_no_other():
    named = {path for path in tree() if path.startswith(PACKAGE) and path.endswith("/")}
    assert named == folders()


@pytest.mark.parametrize("path", tree())
def test_what_the_tree_names_exists(path):
    assert (REPOSITORY / path).exists()


def test_layers_are_those_of_the_linter():
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (each["layers"] for each in contracts if each["type"] == "layers")
    line = re.search(r"^    (cli -> .*)$", PAGE, re.M)
    assert line
    assert line[1].split(" -> ") == [layer.replace("unbabble.", "") for layer in layers]
    for folder in re.findall(r"\w+", line[1].replace("cli", "")):
        assert f"{PACKAGE}{folder}/" in tree()
