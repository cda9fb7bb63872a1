"""Connectionist temporal classification, as networks learn by it and write with it; the arithmetic is written out in
``text.ctc``.

A. Graves, S. Fernández, F. Gomez, J. Schmidhuber, "Connectionist temporal classification: labelling unsegmented
sequence data with recurrent neural networks", ICML 2006.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.nn.kinds.recognizer import Emission, Posteriors, Tokens
from unbabble.text.tokens import BLANK


def ctc_loss(
    logits: Float[Tensor, "batch frame number"],
    counts: Int[Tensor, " batch"],
    text: Int[Tensor, "batch token"],
) -> Float[Tensor, " batch"]:
    """-log p(text), of each item over the mean number of tokens in the batch; 0 where no path is long enough.

    Args:
        logits: 0 is the blank.
        counts: frames of each item.
        text: numbers, padded with 0.
    """
    written = (text > 0).sum(1)
    losses = nn.functional.ctc_loss(
        logits.float().log_softmax(-1).transpose(0, 1),
        text,
        counts,
        written,
        blank=BLANK,
        reduction="none",
        zero_infinity=True,
    )
    return losses / written.clamp(min=1).float().mean()


def greedy(
    logits: Float[Tensor, "batch frame number"],
    counts: Int[Tensor, " batch"],
    tokens: Tokens,
    frame_seconds: float,
) -> list[list[Emission]]:
    """The likeliest token of each frame, what is repeated taken once, blanks left out.

    Args:
        logits: 0 is the blank.
        counts: frames of each item.
        tokens: the inventory.
        frame_seconds: from one frame to the next.
    """
    best = logits.float().softmax(-1).max(-1)
    emitted = []
    for numbers, scores, count in zip(
        best.indices.tolist(), best.values.tolist(), counts.tolist(), strict=True
    ):
        row: list[Emission] = []
        before = BLANK
        for frame, (number, score) in enumerate(zip(numbers[:count], scores[:count], strict=True)):
            end = (frame + 1) * frame_seconds
            if number != BLANK and number == before:
                last = row[-1]
                row[-1] = Emission(last.token, last.start, end, max(score, last.score))
            elif number != BLANK:
                row.append(Emission(tokens.inventory[number - 1], frame * frame_seconds, end, score))
            before = number
        emitted.append(row)
    return emitted


def posteriors(
    logits: Float[Tensor, "batch frame number"],
    counts: Int[Tensor, " batch"],
    tokens: Tokens,
    frame_seconds: float,
    log_prior: Float[np.ndarray, " number"] | None = None,
) -> list[Posteriors]:
    """Of each item the probabilities, for a search.

    Args:
        logits: 0 is the blank.
        counts: frames of each item.
        tokens: the inventory.
        frame_seconds: from one frame to the next.
        log_prior: how likely each number is in the mean; None where nobody has measured it.
    """
    logs = logits.detach().float().log_softmax(-1).cpu().numpy()
    prior = np.zeros(logs.shape[2], np.float32) if log_prior is None else log_prior
    return [
        Posteriors(row[:count], tokens, frame_seconds, prior)
        for row, count in zip(logs, counts.tolist(), strict=True)
    ]


def spread_evenly(text: Int[Tensor, "batch token"], speaking: torch.Tensor) -> Int[Tensor, "batch frame"]:
    """Each item's tokens, one after another, over its frames with speech, each as long; 0 over the other frames.

    The flat start of hidden Markov models (S. Young et al., "The HTK book", section 8.3): wrong nearly everywhere, but
    less wrong than nothing.

    Args:
        text: numbers, padded with 0.
        speaking: (batch, frame), bool.
    """
    written = (text > 0).sum(1, keepdim=True)
    order = speaking.long().cumsum(1) - 1
    place = order * written // speaking.sum(1, keepdim=True).clamp(min=1)
    return text.gather(1, place.clamp(min=0, max=text.shape[1] - 1)) * speaking
