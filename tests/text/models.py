"""Small models of language and of attention, drawn at random, that searches are tried with."""

from collections.abc import Sequence

import numpy as np
import torch

from unbabble.text.ngram import END


class Bigrams:
    """WordScores after words. Its state is all that was said, or the last word alone."""

    def __init__(self, vocabulary: Sequence[str], seed: int = 0, remembers: bool = True) -> None:
        rng = np.random.default_rng(seed)
        following = [*vocabulary, END]
        self.remembers = remembers
        self.table = {
            before: dict(zip(following, np.log(rng.dirichlet(np.ones(len(following)))), strict=True))
            for before in ["<s>", *vocabulary]
        }

    def start(self) -> tuple[str, ...]:
        return ("<s>",)

    def score(self, state: tuple[str, ...], word: str) -> tuple[float, tuple[str, ...]]:
        log_prob = float(self.table[state[-1]].get(word, -20.0)) if state[-1] in self.table else -20.0
        return log_prob, (*state, word) if self.remembers else (word,)

    def total(self, words: Sequence[str]) -> float:
        """Of a sentence with its end."""
        state, total = self.start(), 0.0
        for word in [*words, END]:
            log_prob, state = self.score(state, word)
            total += log_prob
        return total


class Tokens:
    """Tokens after the last two and the position: a decoder whose recording is ``seed``."""

    def __init__(self, tokens: int, seed: int = 0, concentration: float = 1.0) -> None:
        rng = np.random.default_rng(seed)
        self.table = torch.from_numpy(
            np.log(rng.dirichlet(np.full(tokens, concentration), (12, tokens, tokens)))
        )

    def start(self, batch: int) -> dict[str, torch.Tensor]:
        return {name: torch.zeros(batch, dtype=torch.int64) for name in ("position", "before")}

    def step(
        self, x: torch.Tensor, state: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        y = self.table[state["position"], state["before"], x]
        return y, {"position": state["position"] + 1, "before": x}

    def total(self, row: Sequence[int]) -> float:
        """Of a row with its end."""
        full, total = [0, 0, *row, 0], 0.0
        for position in range(len(row) + 1):
            total += float(self.table[position, full[position], full[position + 1], full[position + 2]])
        return total
