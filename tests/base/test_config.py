"""Options from the command line and from YAML."""

from dataclasses import dataclass

import pytest

from unbabble.base.config import check_arguments, keyword_parameters, load_yaml, parse_assignments, validate
from unbabble.base.errors import UsageError


class Method:
    def __init__(self, tag: str = "a", *, iterations: int = 3, source: str | None = None, tol: float = 1.0):
        pass


@dataclass
class Recipe:
    rate: int = 8000
    name: str = "x"


@pytest.mark.parametrize("wrong", ["iterations", "=3", "a..b=1", "a=[1", ".a=1"])
def test_assignments_that_are_none(wrong):
    with pytest.raises(UsageError):
        parse_assignments([wrong])


def test_contradicting_assignments():
    with pytest.raises(UsageError, match="is a value already"):
        parse_assignments(["a=1", "a.b=2"])


def test_values_keep_their_equals_signs_and_kinds():
    assert parse_assignments(["a=b=c", "l=[1, 2]", "n=null", "e="]) == {
        "a": "b=c",
        "l": [1, 2],
        "n": None,
        "e": None,
    }


def test_arguments_are_converted_and_checked():
    assert check_arguments(Method, {"iterations": "4", "tol": 1}, "Model 'm'") == {
        "iterations": 4,
        "tol": 1.0,
    }
    with pytest.raises(
        UsageError, match=r"^Model 'm' has no option 'iteration'. Did you mean 'iterations'\?$"
    ):
        check_arguments(Method, {"iteration": 4}, "Model 'm'")
    with pytest.raises(UsageError, match="It has: iterations, source, tol"):
        check_arguments(Method, {"zzz": 4}, "Model 'm'")
    with pytest.raises(UsageError, match=r"option 'iterations'.*not 'ten'"):
        check_arguments(Method, {"iterations": "ten"}, "Model 'm'")


class Heir(Method):
    def __init__(self, *, rank: int = 2, iterations: int = 5, **options):
        super().__init__(iterations=iterations, **options)


def test_arguments_that_a_base_class_takes():
    assert check_arguments(Heir, {"rank": "4", "tol": 1}, "Model 'h'") == {"rank": 4, "tol": 1.0}
    assert keyword_parameters(Heir)["iterations"].default == 5
    with pytest.raises(UsageError, match="Did you mean 'rank'"):
        check_arguments(Heir, {"ranks": 4}, "Model 'h'")
    with pytest.raises(UsageError, match=r"option 'tol'.*not 'x'"):
        check_arguments(Heir, {"tol": "x"}, "Model 'h'")


def test_validate():
    assert validate(Recipe, {"rate": 16000}, "The recipe") == Recipe(16000)
    with pytest.raises(UsageError, match="Did you mean 'rate'"):
        validate(Recipe, {"rates": 1}, "The recipe")
    with pytest.raises(UsageError, match="option 'rate'"):
        validate(Recipe, {"rate": "fast"}, "The recipe")


def test_yaml(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("a:\n  b: 1\n")
    assert load_yaml(path) == {"a": {"b": 1}}
    path.write_text("")
    assert load_yaml(path) == {}
    for content in ("- 1\n", "a: [\n", "a: !!python/object/apply:os.getcwd []\n"):
        path.write_text(content)
        with pytest.raises(UsageError):
            load_yaml(path)
    with pytest.raises(UsageError, match="No such file"):
        load_yaml(tmp_path / "none.yaml")
