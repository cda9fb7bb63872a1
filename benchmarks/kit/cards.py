"""Scores in the cards of weights."""

from pathlib import Path
from typing import Any

from unbabble.base import weights
from unbabble.base.weights import WeightsCard


def put_scores(path: Path, scores: dict[str, dict[str, float]]) -> None:
    """Put the scores into the card of a weights file; its tensors stay as they are."""
    put(path, scores=weights.read_card(path).scores | scores)


def put(path: Path, **fields: Any) -> None:
    """Change the card of a weights file; its tensors stay as they are."""
    content = weights.read_card(path).to_dict() | fields
    kinds = [each["dtype"] for name, each in weights.read_header(path).items() if name != "__metadata__"]
    weights.save(path, weights.read_tensors(path), WeightsCard(**content), half="F16" in kinds)
