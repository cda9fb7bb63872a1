"""Which sentences a contributor reads: every sentence about equally often, as first and as second, none twice.

A contributor's pairs are planned all at once: the sentences that were asked least, half of them first. If contributors
come one after the other, and all finish, then at any time the uses of any two sentences differ by at most one, and no
sentence was first more than once oftener than second, or the other way round. Where people leave, the counts of what
they did not read are taken back, and the next plans fill the gaps. The same counts and seed give the same plan.

>>> plan([(0, 0), (0, 0), (1, 0), (0, 1)], pairs=1, seed=0)
[(1, 0)]
"""

import random
from collections.abc import Sequence


def plan(uses: Sequence[tuple[int, int]], pairs: int, seed: int) -> list[tuple[int, int]]:
    """Pairs of sentences for one contributor, who reads no sentence twice.

    Args:
        uses: of each sentence, how often it is or will be read first, and second.
        pairs: how many; at most half as many as there are sentences.
        seed: decides between equals, and who meets whom.

    Returns:
        The number of the first sentence and of the second, for each pair.

    Raises:
        ValueError: too few sentences.
    """
    if 2 * pairs > len(uses):
        raise ValueError(f"{pairs} pairs need {2 * pairs} sentences; there are {len(uses)}")
    draw = random.Random(seed)
    order = draw.sample(range(len(uses)), len(uses))
    levels = sorted({sum(each) for each in uses})
    chosen: list[int] = []
    for level in levels:
        equals = [number for number in order if sum(uses[number]) == level]
        chosen += _balanced(equals, uses, min(len(equals), 2 * pairs - len(chosen)))
        if len(chosen) == 2 * pairs:
            break
    chosen.sort(key=lambda number: _surplus(uses[number]))
    firsts, seconds = chosen[:pairs], chosen[pairs:]
    draw.shuffle(firsts)
    draw.shuffle(seconds)
    return list(zip(firsts, seconds, strict=True))


def _surplus(use: tuple[int, int]) -> int:
    return use[0] - use[1]


def _balanced(equals: list[int], uses: Sequence[tuple[int, int]], count: int) -> list[int]:
    """``count`` of ``equals``, as many that were first too often as second: taken from both ends in turn."""
    ranked = sorted(equals, key=lambda number: _surplus(uses[number]))
    low, high = (count + 1) // 2, count // 2
    return ranked[:low] + ranked[len(ranked) - high :]
