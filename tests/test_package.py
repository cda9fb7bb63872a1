"""The package's surface: lazy, complete, typed errors."""

import inspect
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import unbabble
from unbabble.base.extras import EXTRAS, require
from unbabble.verbs import VERBS

REPOSITORY = Path(__file__).parent.parent


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_is_light():
    code = "import sys, unbabble; print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    assert run_python(code) == "[]"


def test_what_separates_starts_without_the_slow_libraries():
    code = (
        "import sys, unbabble; unbabble.load('ilrma'); import unbabble.pipelines.choose;"
        "print([m for m in ('scipy.signal', 'scipy.stats', 'matplotlib', 'onnxruntime') if m in sys.modules])"
    )
    assert run_python(code) == "[]"


def test_listing_and_command_line_import_no_torch():
    code = (
        "import sys, unbabble, unbabble.cli as c; unbabble.models(); c.run(['--help']); c.run(['models']);"
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    assert run_python(code).splitlines()[-1] == "False False"


PUBLIC = {"Audio", "Separation", "load", "models"}
ERRORS = {"InputError", "MissingExtraError", "OutputError", "UnbabbleError", "UsageError"}


def test_what_is_exported_is_each_verb_and_no_more():
    assert set(unbabble.__all__) == PUBLIC | ERRORS | {verb.name for verb in VERBS}
    assert set(unbabble.__all__) <= set(dir(unbabble))
    assert all(getattr(unbabble, name) is not None for name in unbabble.__all__)
    with pytest.raises(AttributeError):
        _ = unbabble.nonsense


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_command_is_a_function_that_says_what_it_takes(verb):
    function = getattr(import_module(verb.module), verb.name)
    described = (function.__doc__ or "").partition("Args:")[2]
    for name in inspect.signature(function).parameters:
        assert f" {name.strip('_')}" in described or f" {name}" in described, name


def test_no_package_hides_a_public_function():
    folders = {path.parent.name for path in Path(unbabble.__file__).parent.glob("*/__init__.py")}
    modules = {path.stem for path in Path(unbabble.__file__).parent.glob("*.py")}
    assert not set(unbabble.__all__) & (folders | modules)


def test_extras_are_those_that_can_be_installed():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    assert set(optional) == set(EXTRAS) | {"all", "docs", "dev"}
    page = (REPOSITORY / "docs" / "install.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in page for name in EXTRAS)


def test_every_dependency_is_bounded_above():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    needs = [Requirement(line) for each in lists for line in each]
    unbounded = [need.name for need in needs if not {"<", "=="} & {part.operator for part in need.specifier}]
    assert set(unbounded) == {"unbabble"}


@pytest.mark.parametrize("name", EXTRAS)
def test_what_lacks_says_what_to_install(name, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    with pytest.raises(unbabble.MissingExtraError, match=rf"pip install 'unbabble\[{name}\]'\.$"):
        require(name)
