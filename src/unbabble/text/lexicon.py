"""Words as a tree of their pronunciations, or of their letters.

Words that begin alike share the nodes of their beginnings, so that a search follows them once. Homophones end at one
node. Each node knows the best that any word below it can score by itself (its unigram, say): a search that adds this
looks ahead, and gives up beginnings of rare words early.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from unbabble.base.errors import InputError

ROOT = 0
"""The node before the first token of a word."""


class Lexicon:
    """A tree of words. Nodes are numbers; a child has a greater one than its parent.

    Args:
        pronunciations: of each word, one or several, each a row of symbols: phones, or letters.
        inventory: of symbols; the token of the first is 1.
        ahead: what a word scores by itself; nothing by default.

    Raises:
        InputError: a word without pronunciation, or with a symbol that is not in the inventory.

    >>> lexicon = Lexicon(
    ...     {"two": ["T UW".split()], "to": ["T UW".split(), "T AH".split()]}, ["AH", "T", "UW"]
    ... )
    >>> lexicon.words(lexicon.find([2, 3]))
    ('to', 'two')
    >>> lexicon.children(lexicon.find([2]))
    {1: 2, 3: 3}
    """

    def __init__(
        self,
        pronunciations: Mapping[str, Iterable[Sequence[str]]],
        inventory: Sequence[str],
        ahead: Callable[[str], float] = lambda word: 0.0,
    ) -> None:
        numbers = {symbol: number for number, symbol in enumerate(inventory, 1)}
        entries = []
        for word, rows in pronunciations.items():
            spoken = [row for row in rows if row]
            if not spoken:
                raise InputError(f"The word '{word}' has no pronunciation.")
            try:
                entries += [(tuple(numbers[symbol] for symbol in row), word) for row in spoken]
            except KeyError as error:
                raise InputError(
                    f"The word '{word}' is spoken with {error}, which is not in the inventory."
                ) from None
        entries.sort()
        table = np.zeros((len(entries), max((len(row) for row, _ in entries), default=0)), np.int64)
        for number, (row, _) in enumerate(entries):
            table[number, : len(row)] = row
        scores = {word: ahead(word) for word in pronunciations}
        self._grow(table, np.array([scores[word] for _, word in entries]), [word for _, word in entries])
        self.symbols = len(inventory)
        self._known: dict[int, dict[int, int]] = {}

    def _grow(self, table: np.ndarray, scores: np.ndarray, words: list[str]) -> None:
        """Number the nodes depth by depth, so that the children of each are neighbours.

        Args:
            table: (entry, depth), sorted rows of tokens, zeros after their ends.
            scores: of each entry, by itself.
            words: of each entry.
        """
        differs = np.ones(table.shape, bool)  # an entry leaves the one before, here or further up
        differs[1:] = np.logical_or.accumulate(table[1:] != table[:-1], axis=1)
        new = differs & (table > 0)
        counts = new.sum(0)
        nodes = new.cumsum(0) + np.concatenate([[0], counts.cumsum()[:-1]])[: len(counts)]  # (entry, depth)
        tokens, parents, best = [np.zeros(1, np.int64)], [np.full(1, -1)], [scores.max(initial=-np.inf)[None]]
        for depth in range(table.shape[1]):
            entries = new[:, depth].nonzero()[0]
            tokens.append(table[entries, depth])
            parents.append(nodes[entries, depth - 1] if depth else np.zeros(len(entries), np.int64))
            reached = np.where(table[:, depth] > 0, scores, -np.inf)
            best.append(np.maximum.reduceat(reached, entries))
        self.best: list[float] = np.concatenate(best).tolist()
        self._parents = np.concatenate(parents)
        self._tokens = np.concatenate(tokens)
        self._first_child = np.searchsorted(self._parents, np.arange(len(self._parents) + 1))
        self._words: dict[int, tuple[str, ...]] = {}
        for entry, depth in enumerate((table > 0).sum(1) - 1):
            node = int(nodes[entry, depth])
            ending = self._words.get(node, ())
            if words[entry] not in ending:
                self._words[node] = (*ending, words[entry])

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self._parents)

    def children(self, node: int) -> Mapping[int, int]:
        """The nodes after a node, by their tokens."""
        children = self._known.get(node)
        if children is None:
            first, end = self._first_child[node : node + 2]
            children = dict(zip(self._tokens[first:end].tolist(), range(first, end), strict=True))
            self._known[node] = children
        return children

    def words(self, node: int) -> tuple[str, ...]:
        """The words that end at a node."""
        return self._words.get(node, ())

    def tokens(self, node: int) -> list[int]:
        """The tokens from the root to a node."""
        row = []
        while node != ROOT:
            row.append(int(self._tokens[node]))
            node = int(self._parents[node])
        return row[::-1]

    def find(self, tokens: Iterable[int]) -> int | None:
        """The node after a row of tokens; None where no word begins so."""
        node = ROOT
        for token in tokens:
            following = self.children(node).get(token)
            if following is None:
                return None
            node = following
        return node
