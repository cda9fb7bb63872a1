"""Fixtures that several test folders use."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unbabble.base import registry, weights
from unbabble.networks import load as networks
from unbabble.pipelines import count as counting
from unbabble.pipelines import score as scoring

REPOSITORY = Path(__file__).parent.parent
os.environ["UNBABBLE_KERNELS"] = "first"  # what is tested does not depend on what was compiled before


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


def save_network(path: Path, seed: int = 0, **options: Any) -> Path:
    """A tiny Conv-TasNet with random weights in ``path``."""
    method = registry.method("conv_tasnet")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = method(**method.TINY | options)
    card = weights.WeightsCard(
        "conv_tasnet",
        network.resolved_options(),
        summary="Noise in, noise out.",
        data="Nothing at all, 0 hours.",
        licence="CC BY 4.0",
        command="unbabble train configs/nothing.yaml",
        seed=seed,
        scores={"test_clean": {"si_snr_i": 10.25, "sdr_i": 10.5}},
        limits="Knows nothing.",
        training={"steps": 0, "datasets": ["librispeech_asr"]},
    )
    weights.save(path, network.state_dict(), card, half=True)
    return path


@pytest.fixture
def save() -> Callable[..., Path]:
    """Writes a tiny untrained network: ``save(path, seed=0, **options)``."""
    return save_network


@pytest.fixture
def package(tmp_path_factory, monkeypatch):
    """Lets the installation have tiny untrained networks and no others: ``package(tag=options, ...)``."""

    def install(**networks: dict[str, Any]) -> Path:
        folder = tmp_path_factory.mktemp("weights")
        for seed, (tag, options) in enumerate(networks.items()):
            save_network(folder / f"conv_tasnet.{tag}.safetensors", seed, **options)
        monkeypatch.setattr(weights, "PACKAGED_FOLDER", folder)
        weights.packaged.cache_clear()
        return folder

    yield install
    weights.packaged.cache_clear()


@pytest.fixture
def counted(monkeypatch) -> Callable[[int | Callable[[torch.Tensor], torch.Tensor]], None]:
    """Decides how many talkers every window of one microphone seems to have, or what counts them, at 8 kHz.

    Needs ``package(two=...)``.
    """
    monkeypatch.setattr(counting, "COUNTER", "conv_tasnet.two")
    ready = networks.ready

    def decide(talkers: int | Callable[[torch.Tensor], torch.Tensor]) -> None:
        def counter(parts: torch.Tensor) -> torch.Tensor:
            if callable(talkers):
                return talkers(parts)
            return torch.nn.functional.one_hot(torch.full((len(parts),), talkers - 1), 3).float()

        counter.sample_rate = 8000
        monkeypatch.setattr(
            networks,
            "ready",
            lambda name, device, *kinds, **options: (
                counter if kinds == ("counter",) else ready(name, device, *kinds, **options)
            ),
        )

    return decide


@pytest.fixture(scope="session")
def scorer_file(tmp_path_factory) -> Path:
    """A tiny scorer with random weights."""
    method = registry.method("blind_sisnr_bands")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = method(**method.TINY)
    path = tmp_path_factory.mktemp("scorer") / "scorer.safetensors"
    weights.save(
        path, network.state_dict(), weights.WeightsCard("blind_sisnr_bands", network.resolved_options())
    )
    return path


@pytest.fixture
def packaged_scorer(scorer_file, monkeypatch) -> None:
    """Lets the installation have that scorer."""
    monkeypatch.setattr(scoring, "DEFAULT_SCORER", str(scorer_file))
    monkeypatch.setattr(scoring, "has_scorer", lambda: True)
