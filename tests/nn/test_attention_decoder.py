"""A decoder's loss: of the text, of its end, and of nothing else. Its steps are in ``methods/recognition``."""

import math

import torch

from unbabble.nn.attention_decoder import AttentionDecoder, attention_loss

TEXT = torch.tensor([[3, 1, 2], [2, 0, 0]])


def test_the_loss_is_that_of_the_text_and_its_end():
    logits = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0))
    logs = logits.log_softmax(-1)
    rows = [[(0, 3), (1, 1), (2, 2), (3, 0)], [(0, 2), (1, 0)]]
    each = [-sum(float(logs[item, place, token]) for place, token in row) for item, row in enumerate(rows)]
    found = attention_loss(logits, TEXT, smoothing=0.0)
    torch.testing.assert_close(found, torch.tensor(each) / 3)
    changed = logits.clone()
    changed[1, 2:] = 9.0
    assert torch.equal(attention_loss(changed, TEXT), attention_loss(logits, TEXT)), "padding counts"


def test_smoothing_wants_some_of_all_tokens():
    sure = torch.full((1, 2, 5), -20.0)
    sure[0, 0, 1] = sure[0, 1, 0] = 20.0
    text = torch.tensor([[1]])
    assert float(attention_loss(sure, text, smoothing=0.0)) < 1e-6
    expected = 0.1 * 4 / 5 * 40
    assert math.isclose(float(attention_loss(sure, text, smoothing=0.1)), expected, rel_tol=1e-4)


def test_what_comes_later_does_not_matter():
    torch.manual_seed(0)
    decoder = AttentionDecoder(4, 16, 2, 2).eval()
    memory, real = torch.randn(2, 6, 16), torch.arange(6) < torch.tensor([6, 3])[:, None]
    one = decoder(memory, real, TEXT)
    other = decoder(memory, real, torch.tensor([[3, 1, 4], [2, 4, 4]]))
    torch.testing.assert_close(one[0, :3], other[0, :3])
    torch.testing.assert_close(one[1, :2], other[1, :2])
    assert not torch.allclose(one[0, 3], other[0, 3])
