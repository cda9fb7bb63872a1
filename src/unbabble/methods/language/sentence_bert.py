"""Sentence-BERT: what a text means, as the mean of the vectors that BERT has for its pieces.

N. Reimers, I. Gurevych, "Sentence-BERT: sentence embeddings using Siamese BERT-networks", EMNLP 2019; the encoder:
J. Devlin et al., "BERT: pre-training of deep bidirectional transformers for language understanding", NAACL 2019. A
table of pieces, of places, and one vector for all of a first sentence are added and normed (``Reader``); layers of
attention among all pieces and two matrices, each added to what came in, and normed (``Layer``).

Published ones are read from Hugging Face's layout (``networks.foreign.sentence_bert``), as all-MiniLM-L6-v2.
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.kinds.text_encoder import NeuralTextEncoder

EPSILON = 1e-12
FIRST, LAST = "[CLS]", "[SEP]"
"""Pieces around every text."""


class Layer(nn.Module):
    """Attention among all pieces of a text, and two matrices.

    Args:
        width: numbers of a piece.
        heads: of attention.
        inner: numbers between the two matrices.
    """

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.mixed, self.mixed_norm = nn.Linear(width, width), nn.LayerNorm(width, EPSILON)
        self.wide, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width, EPSILON)

    def forward(
        self, x: Float[Tensor, "text piece width"], read: Bool[Tensor, "text piece"]
    ) -> Float[Tensor, "text piece width"]:
        """Pieces that are not ``read`` are padding, to which nobody attends."""
        query, key, value = (
            each(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for each in (self.query, self.key, self.value)
        )
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, read[:, None, None])
        x = self.mixed_norm(x + self.mixed(mixed.transpose(1, 2).flatten(2)))
        return self.norm(x + self.narrow(nn.functional.gelu(self.wide(x))))


@register(
    name="sentence_bert",
    contract="text encoder",
    summary="Compares what texts mean, by attention among the pieces of their words.",
    citation="Reimers, Gurevych: Sentence-BERT, EMNLP 2019",
    network=True,
)
class SentenceBert(NeuralTextEncoder):
    """See the module.

    Args:
        letters: bytes of the vocabulary.
        pieces: in the vocabulary.
        width: numbers of a piece and of a text.
        layers: of attention.
        heads: of each layer.
        inner: numbers between the two matrices of a layer.
        places: the longest text, in pieces, with one before and one behind it.

    Raises:
        UsageError: a width that heads cannot share.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "letters": 30, "pieces": 6, "width": 8, "layers": 1, "heads": 2, "inner": 12, "places": 8,
    }  # fmt: skip

    def __init__(
        self,
        *,
        letters: int = 231507,
        pieces: int = 30522,
        width: int = 384,
        layers: int = 6,
        heads: int = 12,
        inner: int = 1536,
        places: int = 512,
    ) -> None:
        super().__init__(letters)
        if width % heads:
            raise UsageError(f"Sentence-BERT: {heads} heads cannot share {width} numbers.")
        self.dimension, self.longest = width, places - 2
        self.words, self.places = nn.Embedding(pieces, width), nn.Embedding(places, width)
        self.first_sentence = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width, EPSILON)
        self.layers = nn.ModuleList(Layer(width, heads, inner) for _ in range(layers))

    def forward(self, tokens: Int[Tensor, "text token"]) -> Float[Tensor, "text dimension"]:
        """Of a text that is longer than there are places, its beginning."""
        tokens = tokens[:, : self.longest]
        lengths = (tokens > 0).sum(1)
        numbers = nn.functional.pad(tokens - 1, (1, 1), value=-1)
        numbers[:, 0] = self.piece_number(FIRST)
        numbers[torch.arange(len(numbers)), lengths + 1] = self.piece_number(LAST)
        read = torch.arange(numbers.shape[1], device=tokens.device) < lengths[:, None] + 2
        x = self.words(numbers.clamp(min=0)) + self.places.weight[: numbers.shape[1]] + self.first_sentence
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, read)
        return nn.functional.normalize((x * read[..., None]).sum(1), dim=-1)

    def piece_number(self, piece: str) -> int:
        """Its place in the vocabulary; the first where it is missing."""
        return self.pieces.numbers.get(piece, 0)
