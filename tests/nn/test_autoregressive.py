"""Greedy writing: it ends by itself, or where nobody can have said more; times are where the decoder looked."""

import pytest
import torch

from unbabble.nn.autoregressive import LOOKED, REACH_SECONDS, TOKENS_PER_SECOND, greedy
from unbabble.text.tokens import Symbols

TOKENS = Symbols(["a", "b", "c"])
PLACE_SECONDS = 0.1


class Scripted:
    """Writes given rows, of which each token is looked up at a given place, and then ends; or never ends."""

    def __init__(self, rows, places=None):
        self.rows, self.places = rows, places

    def start(self, memory, real):
        return {"number": torch.arange(len(memory)), "step": torch.zeros(len(memory), dtype=torch.long)}

    def step(self, tokens, state):
        logits, looked = torch.zeros(len(tokens), 4), torch.zeros(len(tokens), 10)
        for place, (number, step) in enumerate(
            zip(state["number"].tolist(), state["step"].tolist(), strict=True)
        ):
            row = self.rows[number]
            logits[place, row[step] if step < len(row) else 0] = 5.0
            looked[place, self.places[number][step] if self.places and step < len(row) else 0] = 1.0
        state = state | {"step": state["step"] + 1}
        return logits.log_softmax(-1), state | ({LOOKED: looked} if self.places else {})


def write(decoder, counts):
    real = torch.arange(10) < torch.tensor(counts)[:, None]
    return greedy(decoder, torch.zeros(len(counts), 10, 2), real, TOKENS, PLACE_SECONDS)


def test_each_row_ends_by_itself():
    written = write(Scripted([[1, 2, 3], [], [2]]), [10, 10, 10])
    assert [[each.token for each in row] for row in written] == [["a", "b", "c"], [], ["b"]]
    score = float(torch.tensor([5.0, 0, 0, 0]).softmax(0)[0])
    assert [each.score for each in written[0]] == pytest.approx([score] * 3)


def test_what_never_ends_stops_where_nobody_can_have_said_more():
    first, second = write(Scripted([[1] * 99, [2] * 99]), [10, 4])
    assert (len(first), len(second)) == (TOKENS_PER_SECOND, round(0.4 * TOKENS_PER_SECOND))


def test_a_token_is_where_the_decoder_looked():
    (row,) = write(Scripted([[1, 2, 3]], [[1, 2, 8]]), [10])
    assert [each.start for each in row] == pytest.approx([0.0, 0.2, 0.85 - REACH_SECONDS], abs=1e-6)
    assert [each.end for each in row] == pytest.approx([0.2, 0.25 + REACH_SECONDS, 1.0])


def test_a_decoder_that_looks_back_does_not_turn_time_round():
    (row,) = write(Scripted([[1, 2, 3]], [[6, 1, 7]]), [10])
    assert all(each.start < each.end for each in row)
    assert [each.start for each in row] == sorted(each.start for each in row)
    assert [each.end for each in row] == sorted(each.end for each in row)


def test_without_attention_tokens_are_spread_evenly():
    (row,) = write(Scripted([[1, 2, 1, 2]]), [8])
    assert [each.start for each in row] == pytest.approx([0.0, 0.2, 0.4, 0.6], abs=1e-6)
    assert [each.end for each in row] == pytest.approx([0.2, 0.4, 0.6, 0.8])
