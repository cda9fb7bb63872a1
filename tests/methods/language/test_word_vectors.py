"""Word vectors: made by a sentence encoder, and read by pieces."""

import pytest
import torch

from tests.sound_models import vocabulary
from unbabble.base.errors import InputError
from unbabble.base.registry import method
from unbabble.methods.language.word_vectors import distilled
from unbabble.text.wordpiece import WordPieces

INVENTORY = ("[PAD]", "[CLS]", "the", "rain", "drizzle", "dog", "##s", "42", "雨")
MEANT = {"the": [1, 1, 1], "rain": [1, 0.1, 0], "drizzle": [1, 0, 0.1], "dog": [0, 1, 0], "s": [0, 0, 1.0]}


def encode(texts):
    return torch.nn.functional.normalize(torch.tensor([MEANT[text] for text in texts]).float(), dim=-1)


def test_what_an_encoder_finds_alike_stays_alike():
    network = distilled(encode, WordPieces(INVENTORY), 2)
    assert network.pieces.inventory == ("the", "rain", "drizzle", "dog", "##s"), (
        "no marks, numbers, other letters"
    )
    rain, drizzle, dog = network.encode_text(["rain", "drizzle", "dog"])
    assert rain @ drizzle > 0.9 > rain @ dog
    assert network.encode_text(["rain", "the dogs"]).norm(dim=1).tolist() == pytest.approx([1, 1])


def test_frequent_pieces_weigh_less():
    network = distilled(lambda texts: torch.eye(5)[: len(texts)], WordPieces(INVENTORY), 4)
    lengths = network.vectors.weight.norm(dim=1)
    assert (lengths[1:] > lengths[0]).all()


def test_padding_changes_nothing():
    network = method("word_vectors")(letters=len(vocabulary()), pieces=5, dimension=4)
    network.vocabulary.copy_(vocabulary())
    alone, long = network.encode_text(["low"]), network.encode_text(["low", "high tones hiss"])
    torch.testing.assert_close(alone[0], long[0])
    with pytest.raises(InputError, match="Nothing of 'dragon' can be read"):
        network.encode_text(["low", "dragon"])
