"""CTC of networks: PyTorch's loss is the sum over all paths that is written out in ``text.ctc``."""

import pytest
import torch

from unbabble.nn.ctc import ctc_loss, greedy, spread_evenly
from unbabble.text import ctc
from unbabble.text.tokens import Symbols

COUNTS = torch.tensor([6, 4, 2])
TEXT = torch.tensor([[1, 1, 2], [3, 2, 0], [1, 0, 0]])


def logits() -> torch.Tensor:
    return torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))


def test_the_loss_is_the_sum_over_all_paths():
    logs = logits().log_softmax(-1).double().numpy()
    expected = [
        -ctc.log_probability(logs[item, :count], [token for token in TEXT[item].tolist() if token])
        for item, count in enumerate(COUNTS.tolist())
    ]
    found = ctc_loss(logits(), COUNTS, TEXT)
    torch.testing.assert_close(found, torch.tensor(expected).float() / 2, rtol=1e-5, atol=1e-5)


def test_a_text_that_has_no_room_teaches_nothing():
    wrong = logits().requires_grad_()
    losses = ctc_loss(wrong, torch.tensor([6, 4, 2]), torch.tensor([[1, 1, 2], [3, 2, 0], [1, 1, 0]]))
    assert losses[2] == 0
    losses.sum().backward()
    assert wrong.grad.isfinite().all()
    assert not wrong.grad[2].any()
    assert wrong.grad[:2].any()


def test_greedy_collapses_the_likeliest_path_and_knows_where_it_is():
    path = [[0, 1, 1, 0, 1, 2], [3, 3, 3, 0, 1, 1], [0, 0, 2, 2, 2, 2]]
    sure = (
        torch.nn.functional.one_hot(torch.tensor(path), 4).float()
        * torch.tensor([9.0, 8, 9, 9, 9, 9])[:, None]
    )
    first, second, third = greedy(sure, COUNTS, Symbols(["a", "b", "c"]), 0.5)
    assert [(each.token, each.start, each.end) for each in first] == [
        ("a", 0.5, 1.5), ("a", 2.0, 2.5), ("b", 2.5, 3.0)
    ]  # fmt: skip
    assert [(each.token, each.start, each.end) for each in second] == [("c", 0.0, 1.5)]
    assert third == []
    best = torch.tensor([[9.0, 0, 0, 0], [8, 0, 0, 0]]).softmax(1)[:, 0]
    assert first[0].score == pytest.approx(float(best[0])), "the best of its frames"


def test_greedy_is_the_collapse_rule():
    best = logits().argmax(-1)
    written = greedy(logits(), COUNTS, Symbols(["1", "2", "3"]), 1.0)
    for row, path, count in zip(written, best.tolist(), COUNTS.tolist(), strict=True):
        assert [int(each.token) for each in row] == ctc.collapse(path[:count])


def test_tokens_are_spread_evenly_over_the_frames_with_speech():
    speaking = torch.tensor([[0, 1, 1, 1, 0, 1, 1, 1], [1, 1, 0, 0, 0, 0, 1, 1], [0] * 8]).bool()
    text = torch.tensor([[1, 2, 3], [4, 2, 0], [1, 0, 0]])
    assert spread_evenly(text, speaking).tolist() == [
        [0, 1, 1, 2, 0, 2, 3, 3], [4, 4, 0, 0, 0, 0, 2, 2], [0] * 8
    ]  # fmt: skip
