"""What every network that predicts the next token shares: its tokens, its loss, its contract.

A method's file holds its network; it implements ``logits``, over whole texts, and ``start`` and ``step``, one token
after another; both compute the same.
"""

from abc import abstractmethod
from collections.abc import Sequence
from math import exp

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.nn.kinds.network import Network
from unbabble.nn.state import State
from unbabble.text.tokens import ENGLISH, Pieces


class NeuralLanguageModel(Network):
    """A network that says which tokens are likely after others.

    Args:
        tokens: what texts are written with: characters and pieces of words, see ``text.tokens.Pieces``.

    Raises:
        UsageError: no tokens, or some twice.
    """

    FIGURE = ("perplexity", "perplexity {:.1f}")
    ITEM = ("text",)
    TASK = "prediction"

    def __init__(self, *, tokens: str | list[str] = ENGLISH) -> None:
        super().__init__(sources=1)
        self.sample_rate = 0  # it hears nothing
        if not tokens or len(set(tokens)) < len(tokens):
            raise UsageError("A language model has at least one token, and none twice.")
        self.pieces = Pieces(tokens)
        self.tokens = self.pieces.inventory

    @abstractmethod
    def logits(self, text: Int[Tensor, "batch token"]) -> Float[Tensor, "batch token+1 number"]:
        """Unnormalised log-probabilities of each token of a text given those before it, and of what follows the last.

        Args:
            text: numbers, padded with 0.
        """

    @abstractmethod
    def start(self, batch: int) -> State:
        """The state of so many texts before their first token."""

    @abstractmethod
    def step(self, x: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch number"], State]:
        """Natural log-probabilities of what follows ``x`` (0 at the beginning), and the state then."""

    def nats(self, text: Int[Tensor, "batch token"]) -> Float[Tensor, " batch"]:
        """What each text and its end cost, in nats."""
        ended, counts = nn.functional.pad(text, (0, 1)), (text > 0).sum(1)
        each = nn.functional.cross_entropy(self.logits(text).float().transpose(1, 2), ended, reduction="none")
        inside = each.new_ones(each.shape).cumsum(1) <= (counts + 1)[:, None]
        return (each * inside).sum(1)

    @torch.no_grad()
    def log_probabilities(self, texts: Sequence[str]) -> list[float]:
        """Natural log-probabilities of texts with their ends.

        Raises:
            InputError: a letter that its tokens do not have.
        """
        rows = [torch.tensor(self.pieces.encode(text), dtype=torch.long) for text in texts]
        return (-self.nats(nn.utils.rnn.pad_sequence(rows, batch_first=True))).tolist()

    def loss(self, text: Int[Tensor, "batch token"]) -> Float[Tensor, " batch"]:
        """Nats of each text over the mean number of tokens of a text, so that all tokens of a batch count alike."""
        return self.nats(text) / ((text > 0).sum(1) + 1).float().mean()

    def figure(self, text: Int[Tensor, "1 token"]) -> float:
        """Perplexity: among how many tokens, equally likely ones, it wavers at each."""
        return exp(float(self.loss(text).detach()))
