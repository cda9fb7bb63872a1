"""Joint CTC and attention: one encoder that learns for both, and one search that listens to both.

S. Kim, T. Hori, S. Watanabe, "Joint CTC-attention based end-to-end speech recognition using multi-task learning",
ICASSP 2017; T. Hori, S. Watanabe, J. R. Hershey, "Joint CTC/attention decoding for end-to-end speech recognition", ACL
2017.

    ========== ============================================================ ============================
    frames     4 frames of log mel bands in a row as one                    25 a second
    encoder    h = BLSTM(BLSTM(BLSTM(x))), shared                            ``hidden`` units each way
    CTC        p_CTC(l | x) from softmax(W h_t + b)                          see ``blstm_ctc``
    attention  p_att(l | x) by a speller that looks where it has not been    ``nn.location_attention``
    ========== ============================================================ ============================

Learning (eq. 9 of the first paper):

    L = lambda L_CTC + (1 - lambda) L_att,        lambda = ``ctc_weight``

Attention alone has to find out from nothing that speech goes from left to right. CTC cannot do otherwise, and forces
the encoder's states into that order; then the speller finds them.

Searching: of the tokens g c that go on a text g, the one with the greatest

    (1 - mu) log p_att(c | g, x) + mu (log psi(g c) - log psi(g)),        mu = ``search_ctc_weight``
    psi(g) = sum over all texts that begin with g of p_CTC(l | x)

psi of a prefix is the sum over all that CTC thinks may come of it: it goes down when the speller repeats itself or
leaves something out. Its recursion over frames is written out in ``text.ctc.PrefixScores``, the search in
``text.search``, with a beam and language models; ``hypotheses`` takes the best token each time. Papers and toolkits
call both weights lambda, and some lectures give that name to attention's.

Different from the papers: three layers of 224 units with frames joined by fours in place of four of 320, of which the
upper two read every second state; frames are masked, and labels smoothed, while it learns. Words begin and end where
the best path of CTC has them.
"""

from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.attention_decoder import attention_loss
from unbabble.nn.autoregressive import writers
from unbabble.nn.ctc import ctc_loss, posteriors
from unbabble.nn.kinds.recognizer import Emission, NeuralRecognizer, Posteriors
from unbabble.nn.location_attention import LocationAttention
from unbabble.nn.log_mel import HOP_SECONDS, inside
from unbabble.nn.recurrent import RecurrentEncoder
from unbabble.nn.speller import Speller
from unbabble.text import ctc
from unbabble.text.search import TokenModel, joint_beam
from unbabble.text.tokens import ENGLISH

JOINED = 4
"""Frames that are one to the encoder."""
FRAME_SECONDS = JOINED * HOP_SECONDS


class Heard(NamedTuple):
    """What the encoder made of the recordings, and what CTC says of it."""

    text: Float[Tensor, "batch place number"]
    slots: Int[Tensor, " batch"]
    memory: Float[Tensor, "batch place width"]
    real: Bool[Tensor, "batch place"]


@register(
    name="joint_ctc_attention",
    contract="recognizer",
    summary="Writes down what is said by CTC and attention together: neither repeats, nor spells by ear alone.",
    citation="Kim, Hori, Watanabe: Joint CTC-attention based end-to-end speech recognition, ICASSP 2017",
    network=True,
)
class JointCTCAttention(NeuralRecognizer):
    """See the module.

    Args:
        tokens: see ``NeuralRecognizer``.
        hidden: units of the encoder's LSTMs, in each direction.
        layers: of the encoder.
        compared: numbers in which a speller's state and a place are compared.
        embedding: numbers of a token.
        speller_hidden: units of the speller's LSTM.
        ctc_weight: of CTC's loss; the rest to 1 is attention's.
        search_ctc_weight: of CTC's scores in ``hypotheses``; the rest to 1 is attention's.
        dropout: share of what goes into a layer that is left out while learning.
        smoothing: of labels, see ``attention_loss``.
        bands: of the mel scale.
        sample_rate: Hz, that of its training data.

    Raises:
        UsageError: no tokens, or some twice; a weight that is not between 0 and 1.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "hidden": 10, "layers": 2, "compared": 12, "embedding": 8, "speller_hidden": 20, "dropout": 0.0, "bands": 16,
    }  # fmt: skip

    def __init__(
        self,
        *,
        tokens: str | list[str] = ENGLISH,
        hidden: int = 224,
        layers: int = 3,
        compared: int = 128,
        embedding: int = 64,
        speller_hidden: int = 256,
        ctc_weight: float = 0.2,
        search_ctc_weight: float = 0.4,
        dropout: float = 0.2,
        smoothing: float = 0.1,
        bands: int = 80,
        sample_rate: int = 16000,
    ) -> None:
        super().__init__(tokens=tokens, sample_rate=sample_rate)
        for weight in (ctc_weight, search_ctc_weight):
            if not 0 < weight < 1:
                raise UsageError(f"A weight of {weight:g} leaves nothing to CTC or nothing to attention.")
        self.ctc_weight, self.search_ctc_weight, self.smoothing = ctc_weight, search_ctc_weight, smoothing
        self.encoder = RecurrentEncoder(bands, hidden, layers, dropout, (JOINED,), sample_rate)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * hidden, len(self.tokens) + 1)
        attention = LocationAttention(speller_hidden, 2 * hidden, compared)
        self.decoder = Speller(len(self.tokens), attention, 2 * hidden, embedding, speller_hidden, 1, dropout)

    def hear(self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]) -> Heard:
        """The encoder, and CTC: differentiable, for utterances of any length and level."""
        memory, counts = self.encoder(waveform, lengths)
        return Heard(self.out(self.dropout(memory)), counts, memory, inside(counts, memory.shape[1]))

    def losses(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"], *targets: Tensor
    ) -> dict[str, Float[Tensor, " batch"]]:
        """``ctc`` and ``attention``, each with its weight."""
        (text,) = targets
        heard = self.hear(waveform, lengths)
        written = self.decoder(heard.memory, heard.real, text)
        return {
            "ctc": self.ctc_weight * ctc_loss(heard.text, heard.slots, text),
            "attention": (1 - self.ctc_weight) * attention_loss(written, text, self.smoothing),
        }

    def posteriors(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> list[dict[str, Posteriors]]:
        """What CTC says."""
        heard = self.hear(waveform, lengths)
        return [{"text": each} for each in posteriors(heard.text, heard.slots, self.tokens, FRAME_SECONDS)]

    def writers(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> list[TokenModel]:
        """The speller, with what the encoder heard."""
        heard = self.hear(waveform, lengths)
        return writers(self.decoder, heard.memory, heard.real)

    @torch.no_grad()
    def hypotheses(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> dict[str, list[list[Emission]]]:
        """The token that is best for both each time, where the best path of CTC has it."""
        heard = self.hear(waveform, lengths)
        said = posteriors(heard.text, heard.slots, self.tokens, FRAME_SECONDS)
        spellers = writers(self.decoder, heard.memory, heard.real)
        return {"text": [self._written(*each) for each in zip(spellers, said, strict=True)]}

    def _written(self, speller: TokenModel, said: Posteriors) -> list[Emission]:
        logs = said.log_probs
        best = joint_beam(speller, logs, attention_weight=1 - self.search_ctc_weight, beam=1)[0].tokens
        return [
            Emission(
                self.tokens.inventory[token - 1],
                start * FRAME_SECONDS,
                end * FRAME_SECONDS,
                float(np.exp(logs[start:end, token].max())),
            )
            for token, (start, end) in zip(best, ctc.align(logs, best).spans, strict=True)
        ]
