"""Attention: places are told apart by how far they are from one another, and by nothing else."""

import torch

from unbabble.nn.attention import CrossAttention, SelfAttention, turned


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_products_of_turned_rows_depend_on_the_distance_alone():
    query, key = noise(2, 3, 5, 8), noise(2, 3, 5, 8, seed=1)
    here = turned(query) @ turned(key).mT
    later = turned(query, 700) @ turned(key, 700).mT
    torch.testing.assert_close(later, here, rtol=0, atol=1e-3)
    apart = turned(query, 3) @ turned(key).mT
    assert float((apart - here).abs().max()) > 0.1
    torch.testing.assert_close(turned(query).norm(dim=-1), query.norm(dim=-1))
    assert torch.equal(turned(query)[:, :, 0], query[:, :, 0])


def test_a_row_in_pieces_is_the_row_at_once():
    torch.manual_seed(0)
    attention, x = SelfAttention(16, 4), noise(2, 9, 16)
    seen = torch.ones(9, 9, dtype=torch.bool).tril()
    expected, _ = attention(x, seen)
    past, found = None, []
    for first, last in ((0, 4), (4, 5), (5, 9)):
        mask = torch.ones(last - first, last, dtype=torch.bool).tril(first)
        y, past = attention(x[:, first:last], mask, past)
        found.append(y)
    torch.testing.assert_close(torch.cat(found, 1), expected, rtol=0, atol=1e-5)


def test_what_must_not_be_seen_does_not_matter():
    torch.manual_seed(0)
    attention, x, memory = CrossAttention(16, 2), noise(2, 3, 16), noise(2, 7, 16, seed=1)
    seen = (torch.arange(7) < torch.tensor([7, 4])[:, None])[:, None, None]
    expected = attention(x, attention.answers(memory), seen)
    memory[1, 4:] = 1e3
    torch.testing.assert_close(attention(x, attention.answers(memory), seen), expected)
    alone = attention(x[1:], attention.answers(memory[1:, :4]))
    torch.testing.assert_close(alone[0], expected[1], rtol=0, atol=1e-6)


def test_it_is_the_formula():
    torch.manual_seed(0)
    attention, x, memory = CrossAttention(8, 1), noise(1, 2, 8), noise(1, 5, 8, seed=1)
    query = attention.ask(x)
    key, value = attention.answer(memory).chunk(2, -1)
    expected = attention.out((query @ key.mT / 8**0.5).softmax(-1) @ value)
    torch.testing.assert_close(attention(x, attention.answers(memory)), expected)
