"""Conformer with connectionist temporal classification of phones and pieces of words: our best for little data.

A. Gulati et al., "Conformer: convolution-augmented transformer for speech recognition", Interspeech 2020: attention,
convolution and feed-forward by turns. J. Nozaki, T. Komatsu, "Relaxing the conditional independence assumption of
CTC-based ASR by conditioning on intermediate predictions", Interspeech 2021: in the middle, phones are predicted and
told to the layers above. Y. Miao, M. Gowayyed, F. Metze, "EESEN", ASRU 2015: what phones mean, a lexicon knows.

    ============ ============================================================== ================
    part         what it does                                                   frames per s
    ============ ============================================================== ================
    log mel      80 bands, 25 ms                                                100
    front        two convolutions of stride 2, two frames in a row -> width     12.5
    blocks       x += attention(x), x += convolution(x), x += feed-forward(x)   12.5
    middle       phones in two slots a place; their probabilities are added     25
    heads        two slots a place: phones, pieces of words                     25
    said         both predictions of phones: log p = (last + middle) / 2 + c       25
    decoder      a Transformer's, one layer, over the places: pieces of words   -
    ============ ============================================================== ================

    L = .3 CTC(phones, middle) + .4 CTC(phones) + .3 CTC(pieces) + .3 CE(decoder)

Attention at 12.5 places a second costs an eighth of that at 100; CTC needs more room than that for phones, hence two
slots. Blocks of depth i are left out with a probability that grows with i while learning (G. Huang et al., "Deep
networks with stochastic depth", ECCV 2016). Where the data has no phones, all heads write pieces.
"""

import math
from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unbabble.base.registry import register
from unbabble.nn.attention import SelfAttention
from unbabble.nn.attention_decoder import AttentionDecoder, attention_loss
from unbabble.nn.autoregressive import writers
from unbabble.nn.ctc import ctc_loss, greedy, posteriors, spread_evenly
from unbabble.nn.kinds.recognizer import Emission, NeuralRecognizer, Posteriors, Tokens
from unbabble.nn.log_mel import HOP_SECONDS, LogMel, inside, masked
from unbabble.text.phones import PHONES
from unbabble.text.search import TokenModel
from unbabble.text.tokens import ENGLISH, Symbols

PLACE_FRAMES, SLOTS = 8, 2
FRAME_SECONDS = PLACE_FRAMES * HOP_SECONDS / SLOTS
WEIGHTS = {"middle": 0.3, "phones": 0.4, "text": 0.3, "attention": 0.3}
SPEAKING = -0.5
"""Mean over bands of what ``LogMel`` gives, above which a place is taken for speech by the flat start."""


class Heard(NamedTuple):
    """What the network makes of a batch: logits by head, 25 a second, and the memory of the decoder."""

    phones: Float[Tensor, "batch slot phone"]
    text: Float[Tensor, "batch slot token"]
    middle: Float[Tensor, "batch slot phone"]
    slots: Int[Tensor, " batch"]
    memory: Float[Tensor, "batch place width"]
    real: Bool[Tensor, "batch place"]
    speaking: Bool[Tensor, "batch slot"]


@register(
    name="conformer_ctc",
    contract="recognizer",
    summary="Writes down what is said by phones, a lexicon and a language model; learns from few hours.",
    citation="Gulati et al.: Conformer, Interspeech 2020; Nozaki & Komatsu, Interspeech 2021",
    network=True,
)
class ConformerCTC(NeuralRecognizer):
    """See the module.

    Args:
        tokens: see ``NeuralRecognizer``.
        phones: whether the first heads write phones; else they write tokens too.
        width: numbers of a place.
        heads: of attention.
        blocks: one after another.
        wider: the feed-forward's width over ``width``.
        kernel: places that a convolution looks at, odd.
        decoder_layers: of the attention decoder; 0 for none.
        bands: of the mel scale.
        leave_out: probability that the last block is left out while learning.
        middle_share: of what the middle predicts, in what is written down: a product of two experts, which costs
            nothing (``benchmarks/results/search_weights.md``).
        sample_rate: Hz, that of its training data.

    Raises:
        UsageError: no tokens, or some twice.
    """

    log_prior: Tensor
    TINY: ClassVar[dict[str, Any]] = {
        "width": 16,
        "heads": 2,
        "blocks": 2,
        "wider": 2,
        "kernel": 3,
        "bands": 16,
        "leave_out": 0.0,
    }

    def __init__(
        self,
        *,
        tokens: str | list[str] = ENGLISH,
        phones: bool = True,
        width: int = 192,
        heads: int = 4,
        blocks: int = 8,
        wider: int = 3,
        kernel: int = 15,
        decoder_layers: int = 1,
        bands: int = 80,
        leave_out: float = 0.1,
        middle_share: float = 0.5,
        sample_rate: int = 16000,
    ) -> None:
        super().__init__(tokens=tokens, sample_rate=sample_rate)
        self.phones: Tokens = Symbols(PHONES) if phones else self.tokens
        self.has_phones, self.leave_out, self.middle_share = phones, leave_out, middle_share
        self.log_mel = LogMel(bands, sample_rate)
        self.front = Front(bands, width)
        self.blocks = nn.ModuleList(
            Block(width, heads, wider, kernel, 0.02 / (2 * blocks) ** 0.5) for _ in range(blocks)
        )
        self.register_buffer("log_prior", torch.zeros(len(self.phones) + 1))
        self.middle = Slots(width, {"phones": len(self.phones)})
        self.tell = nn.Linear(SLOTS * (len(self.phones) + 1), width)
        self.last = Slots(width, {"phones": len(self.phones), "text": len(self.tokens)})
        self.norm = nn.LayerNorm(width)
        self.decoder = (
            AttentionDecoder(len(self.tokens), width, heads, decoder_layers) if decoder_layers else None
        )

    @property
    def targets(self) -> dict[str, Tokens]:
        """Pieces of words, and phones."""
        return {"text": self.tokens} | ({"phones": self.phones} if self.has_phones else {})

    def hear(self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]) -> Heard:
        """The network itself but for its decoder: differentiable, for utterances of any length and level."""
        counts = self.log_mel.count(lengths)
        bands = self.log_mel(waveform, lengths)
        speaking = bands.mean(2) > SPEAKING
        if self.training:
            bands = masked(bands, counts)
        x, real = self.front(bands, counts)
        places = x.shape[1]
        seen, inner = real[:, None, None], None
        for number, block in enumerate(self.blocks, 1):
            skipped = self.leave_out * number / len(self.blocks) if self.training else 0.0
            if not (skipped and float(torch.rand(())) < skipped):
                x = block(x, real, seen, 1 / (1 - skipped))
            if number == len(self.blocks) // 2:
                inner = self.middle(x)["phones"]
                x = x + self.tell(inner.float().softmax(-1).unflatten(1, (places, SLOTS)).flatten(2))
        assert inner is not None
        heads, memory = self.last(x), self.norm(x)
        slot_frames = PLACE_FRAMES // SLOTS
        spoken = nn.functional.pad(speaking, (0, places * PLACE_FRAMES - speaking.shape[1]))
        slots = ((counts + PLACE_FRAMES - 1) // PLACE_FRAMES) * SLOTS
        return Heard(
            heads["phones"], heads["text"], inner, slots, memory, real, spoken[:, ::slot_frames]
        )  # fmt: skip

    def losses(
        self,
        waveform: Float[Tensor, "batch time"],
        lengths: Int[Tensor, " batch"],
        *targets: Tensor,
        attention: bool = True,
        flat_start: bool = False,
    ) -> dict[str, Float[Tensor, " batch"]]:
        """By name, each with its weight.

        Args:
            waveform: zeros beyond its length.
            lengths: samples of each.
            targets: pieces of words and, where there are phones, phones.
            attention: let the decoder learn too.
            flat_start: in place of CTC of phones, frame by frame those that stand there if all are equally long.
        """
        text, phones = targets if self.has_phones else (targets[0], targets[0])
        heard = self.hear(waveform, lengths)
        if flat_start:
            wanted = spread_evenly(phones, heard.speaking)
            losses = {
                "middle": _by_slot(heard.middle, wanted, heard.slots),
                "phones": _by_slot(heard.phones, wanted, heard.slots),
            }
        else:
            losses = {
                "middle": ctc_loss(heard.middle, heard.slots, phones),
                "phones": ctc_loss(heard.phones, heard.slots, phones),
            }
        losses["text"] = ctc_loss(heard.text, heard.slots, text)
        if attention and self.decoder is not None:
            losses["attention"] = attention_loss(self.decoder(heard.memory, heard.real, text), text)
        return {name: WEIGHTS[name] * loss for name, loss in losses.items()}

    def said(self, heard: Heard) -> dict[str, Float[Tensor, "batch slot number"]]:
        """By target, log-probabilities but for a sum: what is searched."""
        last, middle = (each.float().log_softmax(-1) for each in (heard.phones, heard.middle))
        return {"phones": last.lerp(middle, self.middle_share), "text": heard.text}

    def posteriors(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> list[dict[str, Posteriors]]:
        """Of phones, and of pieces of words."""
        heard = self.hear(waveform, lengths)
        said, priors = self.said(heard), {"phones": self.log_prior.cpu().numpy()}
        by_field = {
            field: posteriors(said[field], heard.slots, tokens, FRAME_SECONDS, priors.get(field))
            for field, tokens in self.targets.items()
        }
        return [dict(zip(by_field, each, strict=True)) for each in zip(*by_field.values(), strict=True)]

    def writers(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> list[TokenModel]:
        """The decoder, with what the blocks heard; none for a network without one."""
        heard = self.hear(waveform, lengths)
        return writers(self.decoder, heard.memory, heard.real) if self.decoder is not None else []

    def calibrate(self, items: Iterable[tuple[Tensor, ...]]) -> None:
        """How probable each phone is in the mean, which the lexicon and the language model know better."""
        total, slots = torch.zeros_like(self.log_prior), 0
        for waveform, lengths, *_ in items:
            heard = self.hear(waveform, lengths)
            for row, count in zip(self.said(heard)["phones"].softmax(-1), heard.slots.tolist(), strict=True):
                total, slots = total + row[:count].sum(0), slots + count
        self.log_prior.copy_((total / slots).clamp(min=1e-8).log())

    def hypotheses(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> dict[str, list[list[Emission]]]:
        """The likeliest piece, and phone, of each slot."""
        heard = self.hear(waveform, lengths)
        said = self.said(heard)
        return {
            field: greedy(said[field], heard.slots, tokens, FRAME_SECONDS)
            for field, tokens in self.targets.items()
        }


class Front(nn.Module):
    """From 100 frames a second to 12.5 places.

    Args:
        bands: of a frame.
        width: numbers of a place.
    """

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, 2, 1)
        self.second = nn.Conv2d(16, 32, 3, 2, 1)
        self.join = nn.Linear(2 * 32 * math.ceil(bands / 4), width)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, bands: Float[Tensor, "batch frame band"], counts: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch place width"], Bool[Tensor, "batch place"]]:
        """Places, zeros where there is padding, and which are none."""
        x = bands[:, None]
        for convolution in (self.first, self.second):
            x = nn.functional.silu(convolution(x))
            counts = (counts + 1) // 2
            x = x * inside(counts, x.shape[2])[:, None, :, None]
        x = nn.functional.pad(x, (0, 0, 0, x.shape[2] % 2))
        x = self.norm(self.join(x.transpose(1, 2).flatten(2).unflatten(1, (-1, 2)).flatten(2)))
        real = inside((counts + 1) // 2, x.shape[1])
        return x * real[..., None], real


class Block(nn.Module):
    """Attention, convolution, feed-forward, each added to what comes in; ``spread`` is of their first last weights."""

    def __init__(self, width: int, heads: int, wider: int, kernel: int, spread: float) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.convolution = Convolution(width, kernel)
        last = nn.Linear(wider * width, width)
        self.think = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, wider * width), SquaredReLU(), last)
        for layer in (self.attention.out, self.convolution.out, last):
            nn.init.normal_(layer.weight, std=spread)

    def forward(self, x: Tensor, real: Tensor, seen: Tensor, gain: float) -> Tensor:
        """``gain`` makes up for the runs in which the block is left out."""
        x = x + gain * self.attention(self.before(x), seen)[0]
        x = x + gain * self.convolution(x, real)
        return x + gain * self.think(x)


class Convolution(nn.Module):
    """Some places side by side, each channel by itself, between two gates."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.gate = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.between = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Padding is 0 to its neighbours."""
        x = nn.functional.glu(self.gate(self.before(x)), -1) * real[..., None]
        x = self.depthwise(x.mT).mT
        return self.out(nn.functional.silu(self.between(x)))


class SquaredReLU(nn.Module):
    """D. So et al., "Primer: searching for efficient transformers for language modeling", NeurIPS 2021."""

    def forward(self, x: Tensor) -> Tensor:
        """max(x, 0)^2."""
        return nn.functional.relu(x).square()


class Slots(nn.Module):
    """From places to two slots each, and from these to the logits of several inventories."""

    def __init__(self, width: int, inventories: dict[str, int]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.split = nn.Linear(width, SLOTS * width)
        self.heads = nn.ModuleDict({name: nn.Linear(width, size + 1) for name, size in inventories.items()})

    def forward(self, x: Float[Tensor, "batch place width"]) -> dict[str, Float[Tensor, "batch slot number"]]:
        """By inventory."""
        slots = nn.functional.silu(self.split(self.norm(x)).unflatten(2, (SLOTS, -1)).flatten(1, 2))
        return {name: head(slots) for name, head in self.heads.items()}


def _by_slot(
    logits: Float[Tensor, "batch slot number"],
    wanted: Int[Tensor, "batch slot"],
    slots: Int[Tensor, " batch"],
) -> Float[Tensor, " batch"]:
    each = nn.functional.cross_entropy(logits.float().transpose(1, 2), wanted, reduction="none")
    real = inside(slots, each.shape[1])
    return (each * real).sum(1) / real.sum(1).float().mean()
