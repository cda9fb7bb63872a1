"""Speech-Transformer: attention alone, in the encoder, in the decoder, and between them.

L. Dong, S. Xu, B. Xu, "Speech-Transformer: a no-recurrence sequence-to-sequence model for speech recognition", ICASSP
2018, after A. Vaswani et al., "Attention is all you need", NeurIPS 2017, whose equations these are:

    ============================================================================== ====== =========================
    equation                                                                       number code
    ============================================================================== ====== =========================
    Attention(Q, K, V) = softmax(Q K' / sqrt(d_k)) V                               (1)    ``attention``
    head_i = Attention(X W_i^Q, Y W_i^K, Y W_i^V)                                  3.2.2  ``MultiHead``
    MultiHead(X, Y) = [head_1, ..., head_h] W^O                                    3.2.2  ``MultiHead``
    FFN(x) = max(0, x W_1 + b_1) W_2 + b_2                                         (2)    ``FeedForward``
    PE(pos, 2i) = sin(pos / 10000^(2i/d)), PE(pos, 2i+1) = cos(the same)           3.5    ``positions``
    ============================================================================== ====== =========================

A place asks with its query: how well the key of every other place answers, is a product; the softmax makes shares of
the answers; and what it gets is the mean of the values in these shares. Q, K and V are rows of places, (head, place,
d_k). In the encoder all three come from the recording (X = Y). In the decoder they come first from what has been
written, where a place sees none after itself, then Q from there and K and V from the recording.

    ========= ======================================================================= ============
    front     two convolutions 3 x 3 of stride 2, over time and frequency; linear     25 a second
    encoder   x = x + MultiHead(x, x), x = x + FFN(x)                                  ``layers``
    decoder   x = x + MultiHead(x, x so far), x = x + MultiHead(x, encoder's),         ``decoder_layers``
              x = x + FFN(x)
    ========= ======================================================================= ============

What goes into each part is normalised first (LN(x), left out above), and so is the last. Different from the paper: no
attention along frequency; 6 and 2 layers of 192 numbers in place of 12 and 6 of 256, for 9 hours of speech in place of
80; frames are masked while it learns. Words begin and end where the decoder's weights on the recording, all heads and
layers together, have their centre: see ``nn.autoregressive``.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.attention_decoder import attention_loss
from unbabble.nn.autoregressive import LOOKED, greedy, writers
from unbabble.nn.kinds.recognizer import Emission, NeuralRecognizer
from unbabble.nn.log_mel import HOP_SECONDS, LogMel, inside, masked
from unbabble.nn.state import State
from unbabble.text.search import TokenModel
from unbabble.text.tokens import ENGLISH

PLACE_FRAMES = 4
CHANNELS = 32
"""Of the convolutions."""

Places = Float[Tensor, "batch place width"]
Heads = Float[Tensor, "batch head place d_k"]


class Heard(NamedTuple):
    """What the encoder made of the recordings, and which places are no padding."""

    memory: Places
    real: Bool[Tensor, "batch place"]


@register(
    name="transformer_asr",
    contract="recognizer",
    summary="Writes down what is said by attention alone: to the recording, and to what it has written already.",
    citation="Dong, Xu, Xu: Speech-Transformer, ICASSP 2018",
    network=True,
)
class TransformerASR(NeuralRecognizer):
    """See the module.

    Args:
        tokens: see ``NeuralRecognizer``.
        width: d, numbers of a place.
        heads: h, divides ``width``.
        layers: of the encoder.
        decoder_layers: of the decoder.
        wider: the feed-forward's width over ``width``.
        dropout: share of what is added, and of the weights of attention, that is left out while learning.
        smoothing: of labels, see ``attention_loss``.
        bands: of the mel scale.
        sample_rate: Hz, that of its training data.

    Raises:
        UsageError: no tokens, or some twice; a width that is odd or that the heads do not divide.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "width": 16, "heads": 2, "layers": 1, "decoder_layers": 1, "wider": 2, "dropout": 0.0, "bands": 16,
    }  # fmt: skip

    def __init__(
        self,
        *,
        tokens: str | list[str] = ENGLISH,
        width: int = 192,
        heads: int = 4,
        layers: int = 6,
        decoder_layers: int = 2,
        wider: int = 4,
        dropout: float = 0.1,
        smoothing: float = 0.1,
        bands: int = 80,
        sample_rate: int = 16000,
    ) -> None:
        super().__init__(tokens=tokens, sample_rate=sample_rate)
        if width % 2 or width % heads:
            raise UsageError(f"A width of {width} is not even, or not divided by {heads} heads.")
        self.smoothing = smoothing
        self.log_mel = LogMel(bands, sample_rate)
        self.front = Front(bands, width)
        self.layers = nn.ModuleList(EncoderLayer(width, heads, wider, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.decoder = Decoder(len(self.tokens), width, heads, decoder_layers, wider, dropout)

    def hear(self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]) -> Heard:
        """The encoder: differentiable, for utterances of any length and level."""
        counts = self.log_mel.count(lengths)
        bands = self.log_mel(waveform, lengths)
        x, counts = self.front(masked(bands, counts) if self.training else bands, counts)
        real = inside(counts, x.shape[1])
        x = x + positions(0, x)
        for layer in self.layers:
            x = layer(x, real)
        return Heard(self.norm(x), real)

    def losses(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"], *targets: Tensor
    ) -> dict[str, Float[Tensor, " batch"]]:
        """``text``: -log p of the tokens and the end, each given those before it."""
        (text,) = targets
        return {
            "text": attention_loss(self.decoder(*self.hear(waveform, lengths), text), text, self.smoothing)
        }

    def writers(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> list[TokenModel]:
        """The decoder, with what the encoder heard."""
        return writers(self.decoder, *self.hear(waveform, lengths))

    @torch.no_grad()
    def hypotheses(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> dict[str, list[list[Emission]]]:
        """The likeliest token each time, at the centre of what the decoder looked at."""
        heard = self.hear(waveform, lengths)
        return {"text": greedy(self.decoder, *heard, self.tokens, PLACE_FRAMES * HOP_SECONDS)}


def attention(
    queries: Heads, keys: Heads, values: Heads, seen: Bool[Tensor, "batch 1 asking place"], dropout: nn.Module
) -> tuple[Heads, Float[Tensor, "batch head asking place"]]:
    """softmax(Q K' / sqrt(d_k)) V, and the softmax: eq. 1.

    Args:
        queries: Q.
        keys: K.
        values: V.
        seen: false where a place must not look.
        dropout: of the weights.
    """
    products = queries @ keys.mT / queries.shape[-1] ** 0.5
    weights = products.float().masked_fill(~seen, -torch.inf).softmax(-1)
    return dropout(weights).to(values.dtype) @ values, weights


class MultiHead(nn.Module):
    """Attention by several heads side by side; the matrices W_i^Q of all heads are one, W^Q.

    Args:
        width: numbers of a place.
        heads: h; each has d_k = width / h numbers.
        dropout: of the weights.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.to_queries, self.to_keys, self.to_values, self.out = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.dropout = nn.Dropout(dropout)

    def keys_and_values(self, y: Places) -> tuple[Heads, Heads]:
        """K and V of the places that are looked at."""
        return self._split(self.to_keys(y)), self._split(self.to_values(y))

    def forward(
        self, x: Places, keys: Heads, values: Heads, seen: Bool[Tensor, "batch 1 asking place"]
    ) -> tuple[Places, Float[Tensor, "batch head asking place"]]:
        """What the places ``x`` get of the values, and in which shares."""
        heads, weights = attention(self._split(self.to_queries(x)), keys, values, seen, self.dropout)
        return self.out(heads.transpose(1, 2).flatten(2)), weights

    def _split(self, x: Places) -> Heads:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Each place by itself: eq. 2."""

    def __init__(self, width: int, wider: int, dropout: float) -> None:
        super().__init__(
            nn.Linear(width, wider * width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(wider * width, width)
        )


class EncoderLayer(nn.Module):
    """Every place of a recording looks at all of its places."""

    def __init__(self, width: int, heads: int, wider: int, dropout: float) -> None:
        super().__init__()
        self.before_looking, self.before_thinking = nn.LayerNorm(width), nn.LayerNorm(width)
        self.look = MultiHead(width, heads, dropout)
        self.think = FeedForward(width, wider, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Places, real: Bool[Tensor, "batch place"]) -> Places:
        """The next layer's input."""
        y = self.before_looking(x)
        x = x + self.dropout(self.look(y, *self.look.keys_and_values(y), real[:, None, None])[0])
        return x + self.dropout(self.think(self.before_thinking(x)))


class DecoderLayer(nn.Module):
    """What is written looks at what was written before, then at the recording."""

    def __init__(self, width: int, heads: int, wider: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.look_back, self.listen = MultiHead(width, heads, dropout), MultiHead(width, heads, dropout)
        self.think = FeedForward(width, wider, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Places,
        written: tuple[Heads, Heads],
        heard: tuple[Heads, Heads],
        back: Bool[Tensor, "1 1 asking place"],
        real: Bool[Tensor, "batch 1 1 place"],
    ) -> tuple[Places, tuple[Heads, Heads], Float[Tensor, "batch head asking place"]]:
        """The next layer's input; keys and values of all that is written; the weights on the recording.

        Args:
            x: places that come next.
            written: keys and values of those before.
            heard: keys and values of the recording.
            back: false where one would look ahead.
            real: false where the recording is padding.
        """
        y = self.norms[0](x)
        new = self.look_back.keys_and_values(y)
        written = torch.cat([written[0], new[0]], 2), torch.cat([written[1], new[1]], 2)
        x = x + self.dropout(self.look_back(y, *written, back)[0])
        found, weights = self.listen(self.norms[1](x), *heard, real)
        x = x + self.dropout(found)
        return x + self.dropout(self.think(self.norms[2](x))), written, weights


class Decoder(nn.Module):
    """Tokens by their numbers, 0 for the beginning and the end.

    Args:
        tokens: of the inventory, without 0.
        width: numbers of a place, those of the memory too.
        heads: of attentions.
        layers: one after another.
        wider: the feed-forward's width over ``width``.
        dropout: see ``TransformerASR``.
    """

    def __init__(self, tokens: int, width: int, heads: int, layers: int, wider: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens + 1, width)
        nn.init.normal_(self.embed.weight, std=width**-0.5)
        self.layers = nn.ModuleList(DecoderLayer(width, heads, wider, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, tokens + 1)

    def forward(
        self, memory: Places, real: Bool[Tensor, "batch place"], text: Int[Tensor, "batch token"]
    ) -> Float[Tensor, "batch token+1 number"]:
        """Logits of each token of a text given those before it, and of its end, all at once.

        Args:
            memory: what the encoder made of the recordings.
            real: which of its places are no padding.
            text: numbers, padded with 0.
        """
        return self._written(nn.functional.pad(text, (1, 0)), self.start(memory, real))[0]

    def start(self, memory: Places, real: Bool[Tensor, "batch place"]) -> State:
        """The state before the first token; its first axis is the batch, rows may be picked and repeated."""
        state: State = {"real": real, LOOKED: memory.new_zeros(real.shape)}
        for number, layer in enumerate(self._layers()):
            keys, values = layer.listen.keys_and_values(memory)
            state |= {f"{number}.heard_keys": keys, f"{number}.heard_values": values}
            state |= {f"{number}.keys": keys[:, :, :0], f"{number}.values": values[:, :, :0]}
        return state

    def step(
        self, tokens: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch number"], State]:
        """Log-probabilities of what follows ``tokens`` (0 at the beginning), and the next state."""
        logits, state = self._written(tokens[:, None], state)
        return logits[:, 0].float().log_softmax(-1), state

    def _layers(self) -> Iterator[DecoderLayer]:
        yield from self.layers  # type: ignore[misc]  # a ModuleList does not say of what

    def _written(
        self, tokens: Int[Tensor, "batch token"], state: State
    ) -> tuple[Float[Tensor, "batch token number"], State]:
        """Logits of what follows each of several tokens, and the state after the last of them."""
        state, first = dict(state), state["0.keys"].shape[2]
        x = self.embed(tokens) * self.embed.embedding_dim**0.5
        x = x + positions(first, x)
        count = tokens.shape[1]
        back = torch.ones(count, first + count, dtype=torch.bool, device=x.device).tril(first)[None, None]
        looked = []
        for number, layer in enumerate(self._layers()):
            written = state[f"{number}.keys"], state[f"{number}.values"]
            heard = state[f"{number}.heard_keys"], state[f"{number}.heard_values"]
            x, written, weights = layer(x, written, heard, back, state["real"][:, None, None])
            state[f"{number}.keys"], state[f"{number}.values"] = written
            looked.append(weights[:, :, -1].mean(1))
        state[LOOKED] = torch.stack(looked).mean(0)
        return self.out(self.norm(x)), state


class Front(nn.Module):
    """From 100 frames a second to 25 places.

    Args:
        bands: of a frame.
        width: numbers of a place.
    """

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, CHANNELS, 3, stride=2, padding=1) for channels in (1, CHANNELS)
        )
        self.out = nn.Linear(CHANNELS * -(-bands // PLACE_FRAMES), width)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, bands: Float[Tensor, "batch frame band"], counts: Int[Tensor, " batch"]
    ) -> tuple[Places, Int[Tensor, " batch"]]:
        """Places, and how many each item has."""
        x = bands[:, None]
        for convolution in self.convolutions:
            x = convolution(x).relu()
            counts = (counts + 1) // 2
            x = (
                x * inside(counts, x.shape[2])[:, None, :, None]
            )  # zeros, as beyond the end of a recording alone
        return self.norm(self.out(x.transpose(1, 2).flatten(2))), counts


def positions(first: int, x: Places) -> Float[Tensor, "place width"]:
    """PE of the places of ``x``, of which the first is number ``first``: sines of wavelengths from 2 pi to 20,000 pi.

    Any distance is a rotation of each pair of numbers, so that products can tell it.
    """
    place = first + torch.arange(x.shape[1], device=x.device, dtype=torch.float32)
    slowness = 10_000 ** (torch.arange(0, x.shape[2], 2, device=x.device) / x.shape[2])
    angles = place[:, None] / slowness
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
