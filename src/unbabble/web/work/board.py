"""Score a test set of the leaderboard, or a system's outputs on one; what it takes: ``leaderboard.board_work``."""

from pathlib import Path
from typing import Any

from unbabble.web.work.kind import Files, Kind, Result


class Board(Kind):
    """See the module."""

    name, stage = "board", "Scoring"
    of_site = True

    def do(self, folder: Path, parameters: dict[str, Any], files: Files) -> Result:
        """Score."""
        from unbabble.web.leaderboard.board_work import board

        return board(folder, parameters, files)
