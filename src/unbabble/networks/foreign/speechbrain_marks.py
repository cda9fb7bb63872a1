"""Writers of SpeechBrain, as our search knows one: it has tokens of its own for beginning and end, ours are 0."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unbabble.nn.state import State
from unbabble.text.search import END


class Marked(ABC):
    """Keeps ``text.search.TokenModel``.

    Args:
        marks: tokens of beginning and end.
        device: on which it computes.
        temperature: by which logits are divided; greater ones make it less sure.
    """

    def __init__(self, marks: tuple[int, int], device: torch.device, temperature: float = 1.0) -> None:
        (self.begin, self.end), self.device, self.temperature = marks, device, temperature

    @abstractmethod
    def start(self, batch: int) -> State:
        """The state of so many hypotheses before their first token."""

    @abstractmethod
    def logits(self, x: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch token"], State]:
        """Of the tokens after ``x``, and the state then; tokens as SpeechBrain counts them."""

    def step(self, x: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch token"], State]:
        """Log-probabilities of the tokens after ``x``, and the state then."""
        logits, state = self.logits(torch.where(x == END, self.begin, x).to(self.device), state)
        log_probs = (logits / self.temperature).log_softmax(-1)
        ends = log_probs[:, self.end].clone()
        log_probs[:, [self.begin, self.end]] = -torch.inf
        log_probs[:, END] = ends
        return log_probs, state
