"""Listen, attend and spell: a pyramid of LSTMs listens, a speller attends to what it heard and writes.

W. Chan, N. Jaitly, Q. V. Le, O. Vinyals, "Listen, attend and spell: a neural network for large vocabulary
conversational speech recognition", ICASSP 2016; equations as numbered in arXiv 1508.01211.

    ======= =================================================================== ======= =====================
    paper   equation                                                            number  code
    ======= =================================================================== ======= =====================
    Listen  h^j_i = pBLSTM(h^j_{i-1}, [h^{j-1}_{2i}, h^{j-1}_{2i+1}])             (5)   ``encoder``
    Attend  e_{i,u} = <phi(s_i), psi(h_u)>                                      (9)     ``MlpAttention``
            a_{i,u} = exp(e_{i,u}) / sum_u' exp(e_{i,u'})                       (10)
            c_i = sum_u a_{i,u} h_u                                             (11)
    Spell   s_i = RNN(s_{i-1}, y_{i-1}, c_{i-1})                                (7)     ``nn.speller``
            c_i = AttentionContext(s_i, h)                                      (6)
            P(y_i | x, y_1 ... y_{i-1}) = CharacterDistribution(s_i, c_i)       (8)
    learn   of the y before, one in ten is drawn from what the speller expects  (13)    ``sampled``
    ======= =================================================================== ======= =====================

Each layer of the pyramid halves the rate: three make 12.5 places a second of 100 frames, so that the speller chooses
among an eighth of the frames, and the layers above have an eighth of the steps. phi and psi are perceptrons of their
own, so that the two are compared in a space that is neither's.

Different from the paper: the pyramid begins at the frames, without a plain layer below it; layers are smaller (192
units each way for 256, for 9 hours of speech in place of 2000); labels are smoothed; frames are masked while it
learns. Words begin and end where the weights a_i have their centre: see ``nn.autoregressive``.
"""

from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unbabble.base.registry import register
from unbabble.nn.attention_decoder import attention_loss
from unbabble.nn.autoregressive import LOOKED, greedy, writers
from unbabble.nn.kinds.recognizer import Emission, NeuralRecognizer
from unbabble.nn.log_mel import HOP_SECONDS, inside
from unbabble.nn.recurrent import RecurrentEncoder
from unbabble.nn.speller import Attention, Speller
from unbabble.nn.state import State
from unbabble.text.search import TokenModel
from unbabble.text.tokens import ENGLISH

PAIR = 2


class Heard(NamedTuple):
    """What the listener made of the recordings, h, and which places are no padding."""

    memory: Float[Tensor, "batch place width"]
    real: Bool[Tensor, "batch place"]


@register(
    name="listen_attend_spell",
    contract="recognizer",
    summary="Writes down what is said letter by letter, each time looking at the part of the recording that it needs.",
    citation="Chan, Jaitly, Le, Vinyals: Listen, attend and spell, ICASSP 2016",
    network=True,
)
class ListenAttendSpell(NeuralRecognizer):
    """See the module.

    Args:
        tokens: see ``NeuralRecognizer``.
        hidden: units of the listener's LSTMs, in each direction.
        layers: of the pyramid.
        compared: numbers of phi(s) and psi(h).
        embedding: numbers of a token.
        speller_hidden: units of the speller's LSTMs.
        speller_layers: of these.
        sampled: share of the tokens before that the speller draws itself while learning.
        dropout: share of what goes into a layer that is left out while learning.
        smoothing: of labels, see ``attention_loss``.
        bands: of the mel scale.
        sample_rate: Hz, that of its training data.

    Raises:
        UsageError: no tokens, or some twice.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "hidden": 8, "layers": 2, "compared": 12, "embedding": 8, "speller_hidden": 24, "speller_layers": 1,
        "sampled": 0.0, "dropout": 0.0, "bands": 16,
    }  # fmt: skip

    def __init__(
        self,
        *,
        tokens: str | list[str] = ENGLISH,
        hidden: int = 192,
        layers: int = 3,
        compared: int = 128,
        embedding: int = 64,
        speller_hidden: int = 256,
        speller_layers: int = 2,
        sampled: float = 0.1,
        dropout: float = 0.2,
        smoothing: float = 0.1,
        bands: int = 80,
        sample_rate: int = 16000,
    ) -> None:
        super().__init__(tokens=tokens, sample_rate=sample_rate)
        self.sampled, self.smoothing = sampled, smoothing
        self.place_seconds = HOP_SECONDS * PAIR**layers
        self.encoder = RecurrentEncoder(bands, hidden, layers, dropout, (PAIR,) * layers, sample_rate)
        attention = MlpAttention(speller_hidden, 2 * hidden, compared)
        self.decoder = Speller(
            len(self.tokens), attention, 2 * hidden, embedding, speller_hidden, speller_layers, dropout
        )

    def hear(self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]) -> Heard:
        """The listener: differentiable, for utterances of any length and level."""
        memory, counts = self.encoder(waveform, lengths)
        return Heard(memory, inside(counts, memory.shape[1]))

    def losses(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"], *targets: Tensor
    ) -> dict[str, Float[Tensor, " batch"]]:
        """``text``: -log p of the tokens and the end, each given those before it (eqs. 12 and 14)."""
        (text,) = targets
        heard = self.hear(waveform, lengths)
        logits = self.decoder(*heard, text, self.sampled if self.training else 0.0)
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
        """The likeliest token each time, at the centre of what the speller looked at."""
        heard = self.hear(waveform, lengths)
        return {"text": greedy(self.decoder, *heard, self.tokens, self.place_seconds)}


class MlpAttention(Attention):
    """phi, psi and the context (eqs. 9 to 11).

    Args:
        asking: numbers of s_i.
        memory_width: numbers of h_u.
        compared: of phi(s_i) and psi(h_u).
    """

    def __init__(self, asking: int, memory_width: int, compared: int) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(asking, compared), nn.Tanh())
        self.psi = nn.Sequential(nn.Linear(memory_width, compared), nn.Tanh())

    def start(self, memory: Float[Tensor, "batch place width"], real: Bool[Tensor, "batch place"]) -> State:
        """psi(h), computed once; it has looked nowhere."""
        nowhere = memory.new_zeros(real.shape)
        return {"memory": memory, "real": real, "answers": self.psi(memory), LOOKED: nowhere}

    def forward(
        self, asking: Float[Tensor, "batch hidden"], state: State
    ) -> tuple[Float[Tensor, "batch width"], State]:
        """c_i, and a_i."""
        energy = (self.phi(asking)[:, None] @ state["answers"].mT)[:, 0]
        weights = energy.float().masked_fill(~state["real"], -torch.inf).softmax(1)
        return (weights[:, None].to(state["memory"].dtype) @ state["memory"])[:, 0], {LOOKED: weights}
