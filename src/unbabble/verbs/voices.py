"""What the verbs that compare voices share: recordings to voices, by name; shares in words."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from unbabble.base.inputs import Input
from unbabble.base.report import Report
from unbabble.verbs.embed import Settings, embed_one
from unbabble.verbs.frame import Frame

if TYPE_CHECKING:
    from unbabble.pipelines.embed import Voice


def voices_of(
    frame: Frame, result: Report, given: Sequence[Input], settings: Settings, title: str = "Listening"
) -> "dict[str, Voice]":
    """The voice in each recording that could be embedded, by the recording's name; ``result`` has what became of all.

    Args:
        frame: the options of the verb.
        result: its ``files`` are filled, without vectors, which the voices have.
        given: recordings.
        settings: of the embedder.
        title: stands beside the progress bar.
    """
    from unbabble.pipelines.embed import Voice

    frame.run(result, partial(embed_one, settings=settings), given, title)
    made = {}
    for file in result.files:
        if file.outcome == "done":
            vector = np.array(file.details.pop("vector"), np.float32)
            made[file.input] = Voice(vector, file.details["speech_seconds"])
    return made


def percent(share: float) -> str:
    """A probability or a share, as people read it.

    >>> percent(0.981), percent(0.013), percent(0.9999), percent(0.00002)
    ('98 %', '1.3 %', 'above 99.9 %', 'below 0.1 %')
    """
    if share < 0.001:
        return "below 0.1 %"
    if share > 0.999:
        return "above 99.9 %"
    return f"{100 * share:.1f} %" if share < 0.02 or share > 0.985 else f"{100 * share:.0f} %"
