"""The naive encoder-decoder: all that was said in one vector, the mean of the encoder's states.

K. Cho, B. van Merriënboer, C. Gulcehre, D. Bahdanau, F. Bougares, H. Schwenk, Y. Bengio, "Learning phrase
representations using RNN encoder-decoder for statistical machine translation", EMNLP 2014: the decoder, a GRU that
gets the same vector c in each step.

    ========= ================================================== ==============================
    encoder   4 frames in a row as one                           25 a second
              h = BLSTM(BLSTM(BLSTM(x)))                         ``hidden`` units each way
    vector    c = (h_1 + ... + h_T) / T
    decoder   s_0 = tanh(V c)                                    ``decoder_hidden`` units
              s_i = GRU(s_{i-1}, [E y_{i-1}, c])
              p(y_i | y_1 ... y_{i-1}, c) = softmax(W [s_i, c])
    ========= ================================================== ==============================

A vector has as much room for ten words as for one, and where in the recording something was said is lost in a mean:
the decoder becomes a language model that knows what the recording is about. Attention (``listen_attend_spell``) is the
remedy.

Different from the paper: the encoder is bidirectional, and its mean is used in place of its last state; the output
layer has no maxout. Times of words are no more than the recording, cut into as many parts as there are tokens.
"""

from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unbabble.base.registry import register
from unbabble.nn.attention_decoder import attention_loss
from unbabble.nn.autoregressive import greedy, writers
from unbabble.nn.kinds.recognizer import Emission, NeuralRecognizer
from unbabble.nn.log_mel import HOP_SECONDS, inside
from unbabble.nn.recurrent import RecurrentEncoder
from unbabble.nn.state import State
from unbabble.text.search import TokenModel
from unbabble.text.tokens import ENGLISH

JOINED = 4
"""Frames that are one to the encoder."""


class Heard(NamedTuple):
    """The encoder's states h, and which are no padding."""

    memory: Float[Tensor, "batch place width"]
    real: Bool[Tensor, "batch place"]


@register(
    name="mean_encoder_decoder",
    contract="recognizer",
    summary="Writes down what is said from one vector, the mean of an encoder's states: what attention is measured by.",
    citation="Cho et al.: Learning phrase representations using RNN encoder-decoder, EMNLP 2014",
    network=True,
)
class MeanEncoderDecoder(NeuralRecognizer):
    """See the module.

    Args:
        tokens: see ``NeuralRecognizer``.
        hidden: units of the encoder's LSTMs, in each direction.
        layers: of the encoder.
        embedding: numbers of a token.
        decoder_hidden: units of the GRU.
        dropout: share of what goes into a layer that is left out while learning.
        smoothing: of labels, see ``attention_loss``.
        bands: of the mel scale.
        sample_rate: Hz, that of its training data.

    Raises:
        UsageError: no tokens, or some twice.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "hidden": 12, "layers": 2, "embedding": 8, "decoder_hidden": 24, "dropout": 0.0, "bands": 16,
    }  # fmt: skip

    def __init__(
        self,
        *,
        tokens: str | list[str] = ENGLISH,
        hidden: int = 224,
        layers: int = 3,
        embedding: int = 64,
        decoder_hidden: int = 320,
        dropout: float = 0.2,
        smoothing: float = 0.1,
        bands: int = 80,
        sample_rate: int = 16000,
    ) -> None:
        super().__init__(tokens=tokens, sample_rate=sample_rate)
        self.smoothing = smoothing
        self.encoder = RecurrentEncoder(bands, hidden, layers, dropout, (JOINED,), sample_rate)
        self.decoder = MeanDecoder(len(self.tokens), 2 * hidden, embedding, decoder_hidden, dropout)

    def hear(self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]) -> Heard:
        """The encoder: differentiable, for utterances of any length and level."""
        memory, counts = self.encoder(waveform, lengths)
        return Heard(memory, inside(counts, memory.shape[1]))

    def losses(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"], *targets: Tensor
    ) -> dict[str, Float[Tensor, " batch"]]:
        """``text``: -log p of the tokens and the end, each given those before it."""
        (text,) = targets
        logits = self.decoder(*self.hear(waveform, lengths), text)
        return {"text": attention_loss(logits, text, self.smoothing)}

    def writers(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> list[TokenModel]:
        """The decoder, with what the encoder heard."""
        return writers(self.decoder, *self.hear(waveform, lengths))

    @torch.no_grad()
    def hypotheses(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> dict[str, list[list[Emission]]]:
        """The likeliest token each time, spread evenly over the recording."""
        heard = self.hear(waveform, lengths)
        return {"text": greedy(self.decoder, *heard, self.tokens, JOINED * HOP_SECONDS)}


class MeanDecoder(nn.Module):
    """A GRU that gets the mean of a memory in each step.

    Args:
        tokens: of the inventory, without 0, which is the beginning and the end.
        memory_width: numbers of a place of the memory, and of c.
        embedding: numbers of a token.
        hidden: units.
        dropout: share of what goes in and out that is left out while learning.
    """

    def __init__(self, tokens: int, memory_width: int, embedding: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens + 1, embedding)
        self.first = nn.Linear(memory_width, hidden)
        self.gru = nn.GRU(embedding + memory_width, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden + memory_width, tokens + 1)

    def forward(
        self,
        memory: Float[Tensor, "batch place width"],
        real: Bool[Tensor, "batch place"],
        text: Int[Tensor, "batch token"],
    ) -> Float[Tensor, "batch token+1 number"]:
        """Logits of each token of a text given those before it, and of its end.

        Args:
            memory: the encoder's states, zeros in the padding.
            real: which of its places are no padding.
            text: numbers, padded with 0.
        """
        return self._written(nn.functional.pad(text, (1, 0)), self.start(memory, real))[0]

    def start(self, memory: Float[Tensor, "batch place width"], real: Bool[Tensor, "batch place"]) -> State:
        """c, and s_0; the first axis is the batch, rows may be picked and repeated."""
        mean = memory.sum(1) / real.sum(1, keepdim=True)
        return {"mean": mean, "hidden": torch.tanh(self.first(mean))}

    def step(
        self, tokens: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch number"], State]:
        """Log-probabilities of what follows ``tokens`` (0 at the beginning), and the next state."""
        logits, hidden = self._written(tokens[:, None], state)
        return logits[:, 0].float().log_softmax(-1), {"mean": state["mean"], "hidden": hidden}

    def _written(
        self, before: Int[Tensor, "batch token"], state: State
    ) -> tuple[Float[Tensor, "batch token number"], Float[Tensor, "batch hidden"]]:
        """Logits of what follows each token, and s after the last of them."""
        mean = state["mean"][:, None].expand(-1, before.shape[1], -1)
        x = torch.cat([self.embed(before), mean], -1)
        states, last = self.gru(self.dropout(x), state["hidden"][None].to(x.dtype))
        return self.out(torch.cat([self.dropout(states), mean], -1)), last[0]
