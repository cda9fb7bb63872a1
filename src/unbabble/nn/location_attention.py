"""Attention that knows where it looked last: so it goes on from there, and does not start anew.

J. Chorowski, D. Bahdanau, D. Serdyuk, K. Cho, Y. Bengio, "Attention-based models for speech recognition", NeurIPS 2015:

    f_i = F * a_{i-1}                                       eq. 8: the last weights, smeared by learnt filters
    e_{i,u} = w' tanh(W s_i + V h_u + U f_{i,u} + b)        eq. 9
    a_i = softmax(e_i),  c_i = sum_u a_{i,u} h_u            eqs. 6 and 4

Before the first look all places are alike.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unbabble.nn.autoregressive import LOOKED
from unbabble.nn.speller import Attention
from unbabble.nn.state import State


class LocationAttention(Attention):
    """See the module.

    Args:
        asking: numbers of s_i.
        memory_width: numbers of h_u.
        width: of the sum under the tanh.
        filters: F, so many.
        kernel: places that one covers, odd.
    """

    def __init__(
        self, asking: int, memory_width: int, width: int, filters: int = 10, kernel: int = 31
    ) -> None:
        super().__init__()
        self.ask = nn.Linear(asking, width, bias=False)
        self.answer = nn.Linear(memory_width, width)
        self.smear = nn.Conv1d(1, filters, kernel, padding=kernel // 2, bias=False)
        self.locate = nn.Linear(filters, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)

    def start(self, memory: Float[Tensor, "batch place width"], real: Bool[Tensor, "batch place"]) -> State:
        """V h + b, computed once, and weights that are all alike."""
        everywhere = real / real.sum(1, keepdim=True)
        return {"memory": memory, "real": real, "answers": self.answer(memory), LOOKED: everywhere}

    def forward(
        self, asking: Float[Tensor, "batch hidden"], state: State
    ) -> tuple[Float[Tensor, "batch width"], State]:
        """c_i, and where it looked."""
        located = self.locate(self.smear(state[LOOKED][:, None]).mT)
        energy = self.score(torch.tanh(self.ask(asking)[:, None] + state["answers"] + located))[..., 0]
        weights = energy.float().masked_fill(~state["real"], -torch.inf).softmax(1)
        return (weights[:, None].to(state["memory"].dtype) @ state["memory"])[:, 0], {LOOKED: weights}
