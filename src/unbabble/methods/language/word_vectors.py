"""Word vectors: what a text means, as the weighted mean of one fixed vector for each piece of its words.

M. van Dongen, S. Tulkens, "Model2Vec: fast state-of-the-art static embeddings", 2024 (software): a sentence encoder is
asked for the vector of every piece by itself; principal components keep the directions in which these differ most; rare
pieces weigh more than frequent ones. Weights follow S. Arora, Y. Liang, T. Ma, "A simple but tough-to-beat baseline for
sentence embeddings", ICLR 2017: a / (a + p), with p from the rank of a piece by Zipf's law. A few megabytes, and a text
is read in microseconds; what words do to one another is lost.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base.registry import register
from unbabble.nn.kinds.text_encoder import NeuralTextEncoder
from unbabble.text.wordpiece import INSIDE, SPECIAL, WordPieces

RARE = 1e-3
"""a of Arora et al.: pieces as rare as this have half the weight of the rarest."""
AT_ONCE = 512
"""Pieces that an encoder reads at once."""


@register(
    name="word_vectors",
    contract="text encoder",
    summary="Compares what texts mean by one vector for each piece of their words.",
    citation="van Dongen, Tulkens: Model2Vec, 2024; Arora, Liang, Ma: A simple but tough-to-beat baseline, ICLR 2017",
    network=True,
)
class WordVectors(NeuralTextEncoder):
    """See the module.

    Args:
        letters: bytes of the vocabulary.
        pieces: in the vocabulary.
        dimension: numbers of a vector.
    """

    TINY: ClassVar[dict[str, Any]] = {"letters": 30, "pieces": 6, "dimension": 8}

    def __init__(self, *, letters: int, pieces: int, dimension: int = 128) -> None:
        super().__init__(letters)
        self.dimension = dimension
        self.vectors = nn.Embedding(pieces, dimension)

    def forward(self, tokens: Int[Tensor, "text token"]) -> Float[Tensor, "text dimension"]:
        """The weights lie in the lengths of the vectors."""
        total = (self.vectors((tokens - 1).clamp(min=0)) * (tokens > 0)[..., None]).sum(1)
        return nn.functional.normalize(total, dim=-1)


def distilled(
    encode: Callable[[Sequence[str]], Float[Tensor, "text dimension"]], pieces: WordPieces, dimension: int
) -> WordVectors:
    """Word vectors that are as like one another as a sentence encoder finds the pieces.

    Args:
        encode: the sentence encoder, from texts to vectors.
        pieces: its inventory, in the order of their frequency, the most frequent first; those that are not made of
            Latin letters are left out.
        dimension: numbers of a vector.
    """
    kept = [piece for piece in pieces.inventory if piece not in SPECIAL and is_latin(piece)]
    texts = [piece.removeprefix(INSIDE) for piece in kept]
    vectors = torch.cat([encode(texts[first : first + AT_ONCE]) for first in range(0, len(texts), AT_ONCE)])
    centred = vectors - vectors.mean(0)
    directions = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, :dimension]
    rank = torch.arange(1, len(kept) + 1)
    share = 1 / rank / (1 / rank).sum()
    network = WordVectors(
        letters=len(WordPieces(kept).written()), pieces=len(kept), dimension=dimension
    ).requires_grad_(False)
    network.vectors.weight.copy_(centred @ directions * (RARE / (RARE + share))[:, None])
    network.vocabulary.copy_(torch.tensor(list(WordPieces(kept).written()), dtype=torch.uint8))
    return network


def is_latin(piece: str) -> bool:
    """Whether a piece is made of the letters of English."""
    letters = piece.removeprefix(INSIDE)
    return letters.isascii() and letters.isalpha()
