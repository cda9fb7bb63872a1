"""What every network that writes down what is said shares: its tokens, its contract, how wrong it is.

A method's file holds its network and its losses; it implements ``losses`` and ``hypotheses``.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unbabble.base.errors import UsageError
from unbabble.base.spans import Span, Transcript
from unbabble.nn.kinds.network import Network
from unbabble.signal.level import check_samples
from unbabble.text.errors import word_errors
from unbabble.text.search import TokenModel
from unbabble.text.tokens import ENGLISH, WORD_START, Pieces, Symbols

Tokens: TypeAlias = Pieces | Symbols


@dataclass(frozen=True)
class Emission:
    """A token that was written.

    Attributes:
        token: its text.
        start: seconds.
        end: seconds.
        score: its probability.
    """

    token: str
    start: float
    end: float
    score: float


@dataclass(frozen=True)
class Posteriors:
    """What CTC says of a recording, frame by frame.

    Attributes:
        log_probs: (frame, number), natural; 0 is the blank.
        tokens: what the numbers mean.
        frame_seconds: from one frame to the next.
        log_prior: (number,), mean over speech of the probabilities, natural; zeros where nobody measured it.
    """

    log_probs: Float[np.ndarray, "frame number"]
    tokens: Tokens
    frame_seconds: float
    log_prior: Float[np.ndarray, " number"]


class NeuralRecognizer(Network):
    """A network that writes down what one person says.

    Args:
        tokens: what texts are written with: characters and pieces of words, see ``text.tokens.Pieces``.
        sample_rate: Hz, that of its training data.

    Raises:
        UsageError: no tokens, or some twice.
    """

    FIGURE = ("word_error_rate", "{:.1%} of the words wrong")
    ITEM = ("waveform", "text")
    TASK: ClassVar[str] = "transcripts"

    def __init__(self, *, tokens: str | list[str] = ENGLISH, sample_rate: int = 16000) -> None:
        super().__init__(sources=1, sample_rate=sample_rate)
        if not tokens or len(set(tokens)) < len(tokens):
            raise UsageError("A recogniser has at least one token, and none twice.")
        self.tokens = Pieces(tokens)

    @property
    def targets(self) -> Mapping[str, Tokens]:
        """What it learns to write, by the field of the items in which that stands."""
        return {"text": self.tokens}

    @abstractmethod
    def losses(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"], *targets: Tensor
    ) -> dict[str, Float[Tensor, " batch"]]:
        """By name, each with its weight, of each item.

        Args:
            waveform: zeros beyond its length.
            lengths: samples of each.
            targets: (batch, token) for each of ``targets``, padded with 0.
        """

    @abstractmethod
    def hypotheses(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> dict[str, list[list[Emission]]]:
        """By target, of each item the tokens of the best hypothesis by the plainest search, without any language model.

        There is always ``text``.
        """

    def posteriors(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> list[dict[str, Posteriors]]:
        """Of each item, by target, what CTC says; nothing for networks without it."""
        return [{} for _ in waveform]

    def writers(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> list[TokenModel]:
        """Of each item, what writes one token of the text after another; none for networks without a decoder."""
        return []

    def loss(self, *item: Tensor, **options: object) -> Float[Tensor, " batch"]:
        """The sum of ``losses``."""
        return torch.stack(list(self.losses(*item).values())).sum(0)

    def forward(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> list[Transcript]:
        """Write down what each says; the ``Recognizer`` contract.

        Args:
            waveform: finite samples of one speaker, any level.
            lengths: samples of each, where not all are as long as the longest; zeros follow.

        Raises:
            InputError: not finite, or no samples.
        """
        check_samples(waveform[:, None])
        if lengths is None:
            lengths = torch.full((len(waveform),), waveform.shape[1], device=waveform.device)
        with torch.no_grad():
            return [words_of(emitted) for emitted in self.hypotheses(waveform, lengths)["text"]]

    def figure(self, *item: Tensor, **options: object) -> float:
        """Share of the words of one item that are wrong; a set's words are counted together by its task."""
        waveform, lengths, text = item[:3]
        (transcript,) = self(waveform, lengths)
        return word_errors(self.tokens.decode(text[0].tolist()), transcript.text).rate


def words_of(emitted: Sequence[Emission]) -> Transcript:
    """Words from pieces of them; a word is as sure as its least sure piece.

    >>> words_of(
    ...     [Emission("▁a", 0.0, 0.1, 0.9), Emission("▁do", 0.1, 0.2, 1.0), Emission("g", 0.3, 0.4, 0.5)]
    ... ).text
    'a dog'
    """
    words: list[Span] = []
    for each in emitted:
        text = each.token.removeprefix(WORD_START)
        if each.token.startswith(WORD_START) or not words:
            words.append(Span(each.start, each.end, text, score=each.score))
        else:
            last = words[-1]
            score = min(each.score, last.score if last.score is not None else 1.0)
            words[-1] = Span(last.start, each.end, last.text + text, score=score)
    return Transcript(tuple(word for word in words if word.text))
