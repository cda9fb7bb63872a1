"""Phrases that a recording is likely to have, names above all: a bonus for each in a search.

    A. V. Aho, M. J. Corasick, "Efficient string matching: an aid to bibliographic search", Commun. ACM 18(6), 1975.

A phrase has one bonus, however many words it has. While it is being said, its share so far is credited, so that the
search keeps it; what was credited is taken back as soon as something else follows. So a hypothesis has, at its end,
as many bonuses as whole phrases.

>>> phrases = Hotwords(["new york", "york minster"], bonus=4.0)
>>> state, total = phrases.start(), 0.0
>>> for word in "in new york minster".split():
...     added, state = phrases.score(state, word)
...     total += added
...     print(word, added)
in 0.0
new 2.0
york 2.0
minster 0.0
>>> total + phrases.end(state)
4.0
"""

from collections import deque
from collections.abc import Iterable

from unbabble.base.errors import InputError


class Hotwords:
    """Phrases, and what words add to a hypothesis by them.

    Phrases do not overlap: a word that ended one begins none.

    Args:
        phrases: words separated by spaces.
        bonus: of a phrase, in nats.

    Raises:
        InputError: a phrase without words, or a bonus that is not positive.
    """

    def __init__(self, phrases: Iterable[str], bonus: float = 4.0) -> None:
        if not bonus > 0:
            raise InputError(f"The bonus of a hotword is a positive number of nats, not {bonus:g}.")
        self.bonus = bonus
        self.phrases = tuple(tuple(phrase.split()) for phrase in phrases)
        # A node of the tree of phrases is a row of words with which some phrase begins; 0 is the empty row.
        self._next: list[dict[str, int]] = [{}]
        self._depth, self._longest, self._complete = [0], [0], [False]
        for phrase in self.phrases:
            if not phrase:
                raise InputError("A hotword has no letters.")
            self._add(phrase)
        self._shorter = self._longest_endings()

    @property
    def words(self) -> frozenset[str]:
        """All words of all phrases."""
        return frozenset(word for phrase in self.phrases for word in phrase)

    def share(self, word: str) -> float:
        """The most that a word can be credited with, wherever it stands; what a search may look ahead to."""
        lengths = [len(phrase) for phrase in self.phrases if word in phrase]
        return self.bonus / min(lengths) if lengths else 0.0

    def start(self) -> int:
        """The state before the first word."""
        return 0

    def score(self, state: int, word: str) -> tuple[float, int]:
        """What a word adds, negative where it breaks a phrase off; and the state after it."""
        node = state
        while word not in self._next[node] and node:
            node = self._shorter[node]
        node = self._next[node].get(word, 0)
        ending = node
        while ending and not self._complete[ending]:
            ending = self._shorter[ending]
        if ending:
            return self.bonus - self._credit(state), 0
        return self._credit(node) - self._credit(state), node

    def end(self, state: int) -> float:
        """What the end of the hypothesis adds: the credit of an unfinished phrase, taken back."""
        return -self._credit(state)

    def _credit(self, node: int) -> float:
        return self.bonus * self._depth[node] / self._longest[node] if node else 0.0

    def _add(self, phrase: tuple[str, ...]) -> None:
        node = 0
        for depth, word in enumerate(phrase, 1):
            if word not in self._next[node]:
                self._next[node][word] = len(self._next)
                self._next.append({})
                self._depth.append(depth)
                self._longest.append(0)
                self._complete.append(False)
            node = self._next[node][word]
            self._longest[node] = max(self._longest[node], len(phrase))
        self._complete[node] = True

    def _longest_endings(self) -> list[int]:
        """Of each node, the longest proper ending of its row that is a node: where a broken-off phrase goes on."""
        shorter, waiting = [0] * len(self._next), deque([0])
        while waiting:
            parent = waiting.popleft()
            for word, node in self._next[parent].items():
                if parent:
                    ending = shorter[parent]
                    while ending and word not in self._next[ending]:
                        ending = shorter[ending]
                    shorter[node] = self._next[ending].get(word, 0)
                waiting.append(node)
        return shorter
