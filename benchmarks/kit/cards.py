"""Scores in the cards of weights."""

from pathlib import Path

from unbabble.base import weights
from unbabble.base.weights import WeightsCard


def put_scores(path: Path, scores: dict[str, dict[str, float]]) -> None:
    """Put the scores into the card of a weights file; its tensors stay as they are."""
    card = weights.read_card(path)
    content = card.to_dict() | {"scores": card.scores | scores}
    kinds = [each["dtype"] for name, each in weights.read_header(path).items() if name != "__metadata__"]
    weights.save(path, weights.read_tensors(path), WeightsCard(**content), half="F16" in kinds)
