"""A language model that remembers all of a text in the state of an LSTM.

Sundermeyer, Schlüter, Ney, "LSTM neural networks for language modeling", Interspeech 2012; input and output share their
vectors, as in Press and Wolf, "Using the output embedding to improve language models", EACL 2017.

    h_t, c_t = LSTM(E[w_t], h_{t-1}, c_{t-1}),   p(w_{t+1} | w_1 ... w_t) = softmax(E h_t + b)

| paper | here |
|-|-|
| w_t | ``text``, (batch, token) numbers; w_0 = 0 begins a text, and 0 ends it |
| E | ``embed``, (1 + V, width) |
| h, c | ``hidden`` and ``cell`` of the state, (batch, layer, width) |
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base.registry import register
from unbabble.nn.kinds.language_model import NeuralLanguageModel
from unbabble.nn.state import State
from unbabble.text.tokens import ENGLISH


@register(
    name="lstm_lm",
    contract="language model",
    summary="Says which characters or pieces of words are likely after all of a text so far, with an LSTM.",
    citation="Sundermeyer, Schlüter, Ney: LSTM neural networks for language modeling, Interspeech 2012",
    network=True,
)
class LstmLanguageModel(NeuralLanguageModel):
    """LSTM layers between one embedding.

    Args:
        tokens: what texts are written with.
        width: of the embedding and of the layers' states.
        layers: one after another.
        dropout: share of each layer's input that is left out in training.
    """

    TINY: ClassVar[dict[str, Any]] = {"tokens": "▁abcd", "width": 12, "layers": 2, "dropout": 0.0}

    def __init__(
        self, *, tokens: str | list[str] = ENGLISH, width: int = 384, layers: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__(tokens=tokens)
        self.embed = nn.Embedding(1 + len(self.tokens), width)
        nn.init.normal_(self.embed.weight, std=width**-0.5)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.bias = nn.Parameter(torch.zeros(1 + len(self.tokens)))

    def logits(self, text: Int[Tensor, "batch token"]) -> Float[Tensor, "batch token+1 number"]:
        """All at once."""
        hidden, _ = self.lstm(self.dropout(self.embed(nn.functional.pad(text, (1, 0)))))
        return self._out(hidden)

    def _out(self, hidden: Float[Tensor, "batch place width"]) -> Float[Tensor, "batch place number"]:
        return nn.functional.linear(self.dropout(hidden), self.embed.weight, self.bias)

    def start(self, batch: int) -> State:
        """``hidden`` and ``cell``, zeros."""
        shape = (batch, self.lstm.num_layers, self.lstm.hidden_size)
        return {name: self.bias.new_zeros(shape) for name in ("hidden", "cell")}

    def step(self, x: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch number"], State]:
        """One token."""
        before = tuple(state[name].transpose(0, 1).contiguous() for name in ("hidden", "cell"))
        hidden, (last, cell) = self.lstm(self.embed(x)[:, None], before)
        after = {"hidden": last.transpose(0, 1), "cell": cell.transpose(0, 1)}
        return self._out(hidden)[:, 0].float().log_softmax(-1), after
