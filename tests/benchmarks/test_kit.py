"""What all benchmarks share: options, saved numbers, rows, pages."""

import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Literal

import pytest
import torch

from benchmarks.kit import claim as kit
from benchmarks.kit.claim import Claim, load
from benchmarks.kit.process import run
from benchmarks.kit.rows import Rows
from benchmarks.kit.scenes import by_window
from benchmarks.kit.table import figure, grid, page
from benchmarks.kit.timing import by_turns


def example(
    before: dict,
    job: Literal["one", "two"],
    /,
    count: int = 3,
    sets: Sequence[float] = (1.0,),
    judges: Mapping[str, str] = {"blind": "blind"},
    minutes: float = 1.0,
) -> dict:
    """Of the kit.

    Args:
        count: how many, of
            each 50 %.
    """
    return before | {"job": job, "count": count, "sets": list(sets), "third": 1 / 3, "judges": judges}


@pytest.fixture
def claim(tmp_path, monkeypatch):
    """What a claim of ``example`` writes: a table of its numbers, in a folder of its own."""
    monkeypatch.setattr(kit, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "example", "one", "--note", "a note"])
    module = ModuleType("example", "What is it?")
    vars(module).update(
        measure=example, QUICK={"count": 1}, table=lambda result: f"{result['count']}\n", SEED=7
    )
    return Claim("example", module)


def test_a_claim_saves_its_numbers_with_where_they_are_from_and_goes_on(claim, tmp_path):
    claim.run(["one", "--sets", "2", "3"])
    claim.run(["two", "--count", "5"])
    found = load("example")
    assert (found["job"], found["count"], found["sets"], found["third"]) == ("two", 5, [1.0], 0.3333)
    assert (found["seed"], found["commands"]) == (7, ["python -m benchmarks example one"])
    assert found["machine"]["cpu"]
    assert (tmp_path / "example.md").read_text() == "5\n"


def test_quick_saves_nothing_and_what_is_said_besides_counts(claim, tmp_path, capsys):
    claim.run(["one", "--quick"])
    claim.run(["one", "--quick", "--count", "2"])
    assert capsys.readouterr().out.split() == ["1", "2"]
    assert not list(tmp_path.iterdir())


def test_a_report_needs_numbers_and_nothing_else(claim, tmp_path, capsys):
    with pytest.raises(SystemExit, match="There is nothing in"):
        claim.run(["--report"])
    (tmp_path / "other.json").write_text('{"count": 4}')
    claim.run(["--report", "--name", "other"])
    assert (tmp_path / "other.md").read_text() == "4\n"
    (tmp_path / "other.json").write_text('{"sets": 4}')
    with pytest.raises(SystemExit, match="no 'count'"):
        claim.run(["--report", "--name", "other"])


@pytest.mark.parametrize(
    ("words", "said"),
    [([], "job is needed"), (["three"], "invalid choice"), (["one", "--count", "x"], "invalid int")],
)
def test_wrong_options_are_one_sentence(claim, words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        claim.run(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_help_is_that_of_the_docstring(claim, capsys):
    with pytest.raises(SystemExit):
        claim.run(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "how many, of each 50 %. (default: 3)" in said
    assert "begin nothing new after so long (default: 1.0)" in said


def test_names_and_values_are_a_dictionary(claim):
    claim.run(["one"])
    assert load("example")["judges"] == {"blind": "blind"}
    claim.run(["one", "--judges", "mine=a=b.safetensors", "blind"])
    assert load("example")["judges"] == {"mine": "a=b.safetensors", "blind": "blind"}


def test_rows_are_added_once_and_not_when_it_is_late(tmp_path):
    rows = Rows(tmp_path / "rows.jsonl")
    rows.add({"name": "a"}, lambda: {"value": 1 / 3})
    rows.add({"name": "a"}, lambda: {"value": 2.0})
    Rows(rows.path, minutes=-1).add({"name": "b"}, lambda: {"value": 2.0})
    assert Rows(rows.path).read() == [{"name": "a", "value": 0.3333}]


def test_every_process_has_its_share():
    shares = [Rows(None, shard=f"{number}/2") for number in range(2)]
    assert [share.mine("abcde") for share in shares] == ["ace", "bd"]
    assert not shares[0].whole
    assert Rows(None).whole


def test_calls_are_by_turns_and_the_first_round_warms_up():
    order: list[str] = []

    def call(name: str) -> int:
        order.append(name)
        return len(order)

    calls = {"a": lambda: call("a"), "b": lambda: call("b")}
    assert by_turns(calls, 2) == {"a": [3, 5], "b": [4, 6]}
    assert order == ["a", "b"] * 3
    assert by_turns(calls, 1, warm_up=False) == {"a": [7], "b": [8]}


def test_a_voice_that_changes_its_file_costs_where_files_keep_their_talker():
    straight, crossed = torch.tensor([[9.0, 0.0], [0.0, 7.0]]), torch.tensor([[0.0, 7.0], [9.0, 0.0]])
    before = torch.tensor([[1.0, 1.0], [1.0, 2.0]])
    gains = by_window(torch.stack([straight, crossed]), before, straight)
    assert gains == {"fixed": [7.0, -1.5], "free": [7.0, 6.5]}


def test_a_command_is_timed_and_its_failure_said():
    used = run([sys.executable, "-c", "sum(range(10_000))"], watched=True)
    assert used["wall_s"] > 0
    assert used["peak_bytes"] > 0
    with pytest.raises(RuntimeError, match="no such thing"):
        run([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_cells_are_filled_from_rows():
    rows = {"mine": {"gain": [1.0, 0.5, 1.5], "0": 3.0, "at": {"low": [2, 1, 3]}}, "theirs": {"gain": None}}
    made = grid("a | b | c | d", rows, "{name} | {gain:.1f} | {0:g} | {at[low]:.1f...}")
    assert made.splitlines()[2:] == [
        "| mine | 1.0 (0.5 to 1.5) | 3 | 2.0 (1.0 ... 3.0) |",
        "| theirs |  |  |  |",
    ]


def test_pages_of_markdown():
    made = page(
        "Title.",
        "",
        grid("| two | three", [("a", None, ""), ("b", 1, figure((1, 0.5, 1.5), 1))]),
        ("- x", "- y"),
    )
    assert (
        made == "Title.\n\n| | two | three |\n|-|-|-|\n| a | |  |\n| b | 1 | 1.0 (0.5 to 1.5) |\n\n- x\n- y\n"
    )
