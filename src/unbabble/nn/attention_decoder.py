"""A decoder that writes one token after another and looks at what an encoder heard: the Transformer's, layers first
normalised, positions rotary. ``forward`` is for learning; ``start`` and ``step`` are for a search.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unbabble.nn.attention import CrossAttention, SelfAttention
from unbabble.nn.state import State


class DecoderLayer(nn.Module):
    """Looks at what was written, then at what was heard, then thinks.

    Args:
        width: numbers of a place.
        heads: of both attentions.
        wider: the feed-forward's width over ``width``.
    """

    def __init__(self, width: int, heads: int, wider: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.written, self.heard = SelfAttention(width, heads), CrossAttention(width, heads)
        self.think = nn.Sequential(
            nn.Linear(width, wider * width), nn.SiLU(), nn.Linear(wider * width, width)
        )

    def answers(self, memory: Float[Tensor, "batch place width"]) -> tuple[Tensor, Tensor]:
        """Keys and values of what was heard: computed once, looked at often."""
        return self.heard.answers(memory)

    def forward(
        self,
        x: Tensor,
        answers: tuple[Tensor, Tensor],
        seen: Tensor | None = None,
        real: Tensor | None = None,
        past: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The next layer's input, and keys and values of what was written."""
        own, kept = self.written(self.norms[0](x), seen, past)
        x = x + own
        x = x + self.heard(self.norms[1](x), answers, real)
        return x + self.think(self.norms[2](x)), kept


class AttentionDecoder(nn.Module):
    """Tokens by their numbers, 0 for the beginning and the end.

    Args:
        tokens: of the inventory, without 0.
        width: numbers of a place, those of the memory too.
        heads: of attentions.
        layers: one after another.
        wider: see ``DecoderLayer``.
    """

    def __init__(self, tokens: int, width: int, heads: int, layers: int, wider: int = 3) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens + 1, width)
        self.layers = nn.ModuleList(DecoderLayer(width, heads, wider) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, tokens + 1)

    def forward(
        self,
        memory: Float[Tensor, "batch place width"],
        real: Bool[Tensor, "batch place"],
        text: Int[Tensor, "batch token"],
    ) -> Float[Tensor, "batch token+1 number"]:
        """Logits of each token of a text given those before it, and of its end.

        Args:
            memory: what an encoder heard.
            real: which of its places are no padding.
            text: numbers, padded with 0.
        """
        x = self.embed(nn.functional.pad(text, (1, 0)))
        seen = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        for layer in self._layers():
            x, _ = layer(x, layer.answers(memory), seen, real[:, None, None])
        return self.out(self.norm(x))

    def _layers(self) -> Iterator[DecoderLayer]:
        yield from self.layers  # type: ignore[misc]  # a ModuleList does not say of what

    def start(self, memory: Float[Tensor, "batch place width"], real: Bool[Tensor, "batch place"]) -> State:
        """The state before the first token; its first axis is the batch, rows may be picked and repeated."""
        state: State = {"real": real}
        for number, layer in enumerate(self._layers()):
            state[f"{number}.key"], state[f"{number}.value"] = layer.answers(memory)
            empty = state[f"{number}.key"][:, :, :0]
            state[f"{number}.past_key"], state[f"{number}.past_value"] = empty, empty
        return state

    def step(
        self, tokens: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch number"], State]:
        """Log-probabilities of what follows ``tokens`` (0 at the beginning), and the next state."""
        state, x = dict(state), self.embed(tokens)[:, None]
        for number, layer in enumerate(self._layers()):
            answers = state[f"{number}.key"], state[f"{number}.value"]
            past = state[f"{number}.past_key"], state[f"{number}.past_value"]
            x, past = layer(x, answers, None, state["real"][:, None, None], past)
            state[f"{number}.past_key"], state[f"{number}.past_value"] = past
        return self.out(self.norm(x))[:, 0].float().log_softmax(-1), state


def attention_loss(
    logits: Float[Tensor, "batch token+1 number"], text: Int[Tensor, "batch token"], smoothing: float = 0.1
) -> Float[Tensor, " batch"]:
    """Cross-entropy of a text and its end: of each item the sum over its tokens, over their mean number in the batch.

    Args:
        logits: as ``AttentionDecoder.forward`` gives them.
        text: numbers, padded with 0.
        smoothing: the share of probability that is wanted to be spread over all tokens.
    """
    ended = nn.functional.pad(text, (0, 1))
    each = nn.functional.cross_entropy(
        logits.float().transpose(1, 2), ended, reduction="none", label_smoothing=smoothing
    )
    counts = (text > 0).sum(1)
    real = torch.arange(ended.shape[1], device=text.device) <= counts[:, None]
    return (each * real).sum(1) / (counts + 1).float().mean()
