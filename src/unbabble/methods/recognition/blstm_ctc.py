"""Connectionist temporal classification with bidirectional LSTMs: a token or nothing in each frame, and no decoder.

A. Graves, S. Fernández, F. Gomez, J. Schmidhuber, "Connectionist temporal classification: labelling unsegmented
sequence data with recurrent neural networks", ICML 2006.

    ========= =============================================== ==============================
    frames    4 frames of log mel bands in a row as one       25 a second
    encoder   h = BLSTM(BLSTM(BLSTM(x)))                      ``hidden`` units each way
    output    y_t = softmax(W h_t + b)                        tokens, and the blank
    ========= =============================================== ==============================

A path pi has one token or the blank in each frame, and its probability is that of all frames, each by itself (eq. 2):

    p(pi | x) = prod_t y_t(pi_t)

B takes what is repeated once and then leaves the blanks out: B(a a - a b b) = a a b. Many paths are one text, and the
probability of a text is that of all its paths together (eq. 3):

    p(l | x) = sum over pi with B(pi) = l of p(pi | x),        L = -log p(l | x)

That sum is computed as in a hidden Markov model whose states are - l_1 - l_2 - ... - l_U - and which may stay, go on
to the next, and jump over a blank between two tokens that differ: forward and backward (section 4.1), and from both
the gradient (section 4.2). The arithmetic is written out in logs in ``text.ctc`` (``collapse``, ``states``,
``forward``, ``backward``, ``occupation``, ``gradient``); for learning ``nn.ctc`` calls PyTorch's, which is equal.

Neither alignments are needed nor a decoder that can repeat itself; but as no frame knows what the others write, it
spells by ear, and wants a language model (``text.lexicon_search``). ``joint_ctc_attention`` has both.

Different from the paper: characters or pieces of words in place of TIMIT's phonemes; more and larger layers, with
dropout in place of noise on the input; frames joined by fours; frames are masked while it learns.
"""

from typing import Any, ClassVar, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base.registry import register
from unbabble.nn.ctc import ctc_loss, greedy, posteriors
from unbabble.nn.kinds.recognizer import Emission, NeuralRecognizer, Posteriors
from unbabble.nn.log_mel import HOP_SECONDS
from unbabble.nn.recurrent import RecurrentEncoder
from unbabble.text.tokens import ENGLISH

JOINED = 4
"""Frames that are one to the encoder."""


class Heard(NamedTuple):
    """Logits of the tokens and the blank, 25 a second, and how many places each item has."""

    text: Float[Tensor, "batch place number"]
    slots: Int[Tensor, " batch"]


@register(
    name="blstm_ctc",
    contract="recognizer",
    summary="Writes down what is said frame by frame, a token or nothing in each: fast, and cannot repeat itself.",
    citation="Graves, Fernández, Gomez, Schmidhuber: Connectionist temporal classification, ICML 2006",
    network=True,
)
class BlstmCTC(NeuralRecognizer):
    """See the module.

    Args:
        tokens: see ``NeuralRecognizer``.
        hidden: units of an LSTM, in each direction.
        layers: one after another.
        dropout: share of what goes into a layer but the first that is left out while learning.
        bands: of the mel scale.
        sample_rate: Hz, that of its training data.

    Raises:
        UsageError: no tokens, or some twice.
    """

    TINY: ClassVar[dict[str, Any]] = {"hidden": 12, "layers": 2, "dropout": 0.0, "bands": 16}

    def __init__(
        self,
        *,
        tokens: str | list[str] = ENGLISH,
        hidden: int = 256,
        layers: int = 3,
        dropout: float = 0.2,
        bands: int = 80,
        sample_rate: int = 16000,
    ) -> None:
        super().__init__(tokens=tokens, sample_rate=sample_rate)
        self.encoder = RecurrentEncoder(bands, hidden, layers, dropout, (JOINED,), sample_rate)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * hidden, len(self.tokens) + 1)

    def hear(self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]) -> Heard:
        """The network: differentiable, for utterances of any length and level."""
        states, counts = self.encoder(waveform, lengths)
        return Heard(self.out(self.dropout(states)), counts)

    def losses(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"], *targets: Tensor
    ) -> dict[str, Float[Tensor, " batch"]]:
        """``text``: -log p(l | x)."""
        (text,) = targets
        return {"text": ctc_loss(*self.hear(waveform, lengths), text)}

    def posteriors(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> list[dict[str, Posteriors]]:
        """y, for searches."""
        heard = self.hear(waveform, lengths)
        return [{"text": each} for each in posteriors(*heard, self.tokens, JOINED * HOP_SECONDS)]

    def hypotheses(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> dict[str, list[list[Emission]]]:
        """B of the likeliest path (section 3.2, best path decoding), each token where that has it."""
        heard = self.hear(waveform, lengths)
        return {"text": greedy(*heard, self.tokens, JOINED * HOP_SECONDS)}
