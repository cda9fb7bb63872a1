"""Fixtures that several test folders use."""

import os
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The development recordings, which are not part of the repository."""
    folder = Path(os.environ.get("UNBABBLE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "speech.csv").is_file():
        pytest.skip(f"no development recordings at {folder}; set UNBABBLE_DATA")
    return folder


@pytest.fixture
def generator() -> torch.Generator:
    """A freshly seeded random generator."""
    return torch.Generator().manual_seed(0)
