"""A language model that looks back at all of a text by attention.

Irie, Zeyer, Schlüter, Ney, "Language modeling with deep Transformers", Interspeech 2019, after Vaswani et al.,
"Attention is all you need", NeurIPS 2017; normalised first, and places told by rotation (``nn.attention``).

    x <- x + attention(norm(x)),   x <- x + W_2 silu(W_1 norm(x)),   p(w_{t+1} | w_1 ... w_t) = softmax(E norm(x_t) + b)

| paper | here |
|-|-|
| w_t | ``text``, (batch, token) numbers; w_0 = 0 begins a text, and 0 ends it |
| E | ``embed``, (1 + V, width) |
| K, V | ``layers.N.key`` and ``layers.N.value`` of the state, (batch, head, place, number): what was seen |
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.attention import SelfAttention
from unbabble.nn.kinds.language_model import NeuralLanguageModel
from unbabble.nn.state import State
from unbabble.text.tokens import ENGLISH


class Layer(nn.Module):
    """Attention to what was written, then a feed-forward network.

    Args:
        width: numbers of a place.
        heads: of the attention.
        wider: the feed-forward's width over ``width``.
        dropout: share of what each part adds that is left out in training.
    """

    def __init__(self, width: int, heads: int, wider: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = SelfAttention(width, heads)
        self.think = nn.Sequential(
            nn.Linear(width, wider * width), nn.SiLU(), nn.Linear(wider * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "batch place width"],
        seen: Bool[Tensor, "place place"] | None = None,
        past: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Float[Tensor, "batch place width"], tuple[Tensor, Tensor]]:
        """The next layer's input, and keys and values of all places so far."""
        attended, kept = self.attention(self.norms[0](x), seen, past)
        x = x + self.dropout(attended)
        return x + self.dropout(self.think(self.norms[1](x))), kept


@register(
    name="transformer_lm",
    contract="language model",
    summary="Says which characters or pieces of words are likely after all of a text so far, by attention.",
    citation="Irie, Zeyer, Schlüter, Ney: Language modeling with deep Transformers, Interspeech 2019",
    network=True,
)
class TransformerLanguageModel(NeuralLanguageModel):
    """Layers of attention between one embedding.

    Args:
        tokens: what texts are written with.
        width: numbers of a place.
        layers: one after another.
        heads: of the attention; they divide the width into even parts.
        wider: the feed-forward's width over ``width``.
        dropout: share of what each part adds that is left out in training.

    Raises:
        UsageError: heads that do not divide the width into even parts.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "tokens": "▁abcd", "width": 16, "layers": 2, "heads": 2, "wider": 2, "dropout": 0.0,
    }  # fmt: skip

    def __init__(
        self,
        *,
        tokens: str | list[str] = ENGLISH,
        width: int = 256,
        layers: int = 4,
        heads: int = 4,
        wider: int = 3,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(tokens=tokens)
        if heads < 1 or width % (2 * heads):
            raise UsageError(f"{heads} heads do not divide a width of {width} into even parts.")
        self.embed = nn.Embedding(1 + len(self.tokens), width)
        nn.init.normal_(self.embed.weight, std=width**-0.5)
        self.layers = nn.ModuleList(Layer(width, heads, wider, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(1 + len(self.tokens)))
        self.empty = (heads, 0, width // heads)

    def _layers(self) -> Iterator[Layer]:
        yield from self.layers  # type: ignore[misc]  # a ModuleList does not say of what

    def _out(self, x: Float[Tensor, "batch place width"]) -> Float[Tensor, "batch place number"]:
        return nn.functional.linear(self.norm(x), self.embed.weight, self.bias)

    def logits(self, text: Int[Tensor, "batch token"]) -> Float[Tensor, "batch token+1 number"]:
        """All at once; each place sees itself and those before it."""
        x = self.embed(nn.functional.pad(text, (1, 0)))
        seen = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        for layer in self._layers():
            x, _ = layer(x, seen)
        return self._out(x)

    def start(self, batch: int) -> State:
        """Keys and values of no places."""
        empty = self.bias.new_zeros((batch, *self.empty))
        return {
            f"layers.{number}.{name}": empty
            for number in range(len(self.layers))
            for name in ("key", "value")
        }

    def step(self, x: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch number"], State]:
        """One token; the state grows by it."""
        after: State = {}
        place = self.embed(x)[:, None]
        for number, layer in enumerate(self._layers()):
            key, value = f"layers.{number}.key", f"layers.{number}.value"
            place, (after[key], after[value]) = layer(place, None, (state[key], state[value]))
        return self._out(place)[:, 0].float().log_softmax(-1), after
