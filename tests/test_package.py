"""The package's surface: lazy, complete, typed errors."""

import subprocess
import sys

import pytest

import unbabble


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_is_light():
    code = "import sys, unbabble; print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    assert run_python(code) == "[]"


def test_listing_and_command_line_import_no_torch():
    code = (
        "import sys, unbabble, unbabble.cli as c; unbabble.models(); c.run(['--help']); c.run(['models']);"
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    assert run_python(code).splitlines()[-1] == "False False"


def test_every_public_name_is_there():
    for name in ("load", "models", "separate", "Audio", "Separation", "UnbabbleError", "__version__"):
        assert getattr(unbabble, name)
    assert set(unbabble.__all__) <= set(dir(unbabble))
    with pytest.raises(AttributeError):
        _ = unbabble.nonsense
