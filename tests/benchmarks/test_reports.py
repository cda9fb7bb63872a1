"""Every table of the benchmarks is what its claim makes of the committed numbers."""

import ast
from pathlib import Path

import pytest

from benchmarks.kit import index, plot
from benchmarks.kit.claim import RESULTS, Claim, load

OLDER = {
    "attack": ("| random noise, -20 dB | 4.0 | 3.6 | 0.4 |", "| random noise, -20 dB | 4.0 | 3.6 | 0.3 |"),
    "blind_score": ("-|", " - |"),
    "onnx_runtime": ("\n|-|-|-|-|-|-|\n", "\n|-|-|-|-|-|-|-|\n"),
    "one_budget": ("Real-time factors of the last run: 1 thread(s).", "Real-time factors with 1 threads."),
    "score_cost": ("| 0.073 | 0.019 | 25.6 % |", "| 0.073 | 0.019 | 25.7 % |"),
}
"""What earlier versions wrote in another way: words, and figures from numbers with more digits than the JSON has."""
INCOMPLETE = ("real",)
"""Earlier versions did not write all that the table needs as JSON."""
FOLDER = Path(__file__).parents[2] / "benchmarks"
CLAIMS = sorted(index.modules())
DRAWN = ("no_step_size", "scaling")
"""Those with figures."""


def results(name: str) -> list[str]:
    """Those of a claim that have both numbers and a table."""
    names = getattr(Claim.named(name).module, "NAMES", [name])
    there = [each for each in names if load(each) and (RESULTS / f"{each}.md").is_file()]
    return [each for each in there if each not in INCOMPLETE]


@pytest.mark.parametrize("name", CLAIMS)
def test_tables_are_those_of_the_numbers(name):
    for each in results(name):
        made = Claim.named(name).module.table(load(each)).replace(*OLDER.get(each, ("", "")))
        assert made == (RESULTS / f"{each}.md").read_text(), each


@pytest.mark.parametrize("name", DRAWN)
def test_figures_are_drawn_from_the_numbers(name, tmp_path, monkeypatch):
    module = Claim.named(name).module
    drawn = []
    monkeypatch.setattr(plot, "write", lambda figure, name, dpi=130: drawn.append(figure.get_axes()))
    module.plot(load(name))
    assert drawn
    assert all(axis.lines or not axis.axison for axes in drawn for axis in axes)


def test_no_result_is_without_a_claim():
    known = {each for name in CLAIMS for each in (name, *getattr(Claim.named(name).module, "NAMES", ()))}
    assert {file.stem for file in RESULTS.glob("*.json")} <= known


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_says_what_it_asks_and_how_it_is_run(name, capsys):
    with pytest.raises(SystemExit) as ended:
        Claim.named(name).run(["--help"])
    assert ended.value.code == 0
    assert f"python -m benchmarks {name}" in capsys.readouterr().out
    assert index.described(name)[0].endswith("?")


@pytest.mark.parametrize("name", CLAIMS)
def test_quick_options_are_options(name):
    module = Claim.named(name).module
    options = vars(Claim.named(name).parser().parse_args([]))
    assert set(getattr(module, "QUICK", {})) <= set(options)


@pytest.mark.parametrize("name", CLAIMS)
def test_no_claim_imports_a_claim(name):
    """The kit is what they share, and a file of their own that begins with an underscore."""
    tree = ast.parse((FOLDER.parent / index.modules()[name].replace(".", "/")).with_suffix(".py").read_text())
    for node in ast.walk(tree):
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if module.startswith("benchmarks"):
            assert module.split(".")[1] == "kit" or module.split(".")[-1].startswith("_"), module


def test_the_kit_knows_no_claim():
    for file in (FOLDER / "kit").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("benchmarks"):
                assert node.module.startswith("benchmarks.kit"), file.name


@pytest.mark.parametrize("page", index.PAGES, ids=lambda page: page.name)
def test_the_list_of_claims_is_drawn_from_them(page):
    text = page.read_text()
    assert index.filled(text) == text, "python -m benchmarks --index"
