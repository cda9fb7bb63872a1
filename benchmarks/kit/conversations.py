"""Made conversations that claims share: speakers of a split take turns in the measured room of ``kit.scenes``."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np

from benchmarks.kit.scenes import room, speech
from unbabble.base.spans import Span
from unbabble.data.conversations import Conversation, ConversationSet
from unbabble.data.store import Store

SEED, SECONDS, COUNT = 0, 120.0, 30
TURNS_SECONDS = 30.0
LONG, LONG_SECONDS, LONG_COUNT = "long turns", (20.0, 40.0), 6
CELL_SECONDS = 0.1
"""What a label is given to."""
VECTOR_SECONDS, HOP_SECONDS = 1.6, 0.4


@cache
def conversations(
    split: str, microphones: int = 1, long_turns: bool = False, seed: int = SEED
) -> ConversationSet:
    """Of two to four talkers, with no to 40 % overlap; or of long turns by turns, without any."""
    made = ConversationSet(
        speech(split), room(split), microphones=microphones, seconds=SECONDS, count=COUNT, seed=seed
    )
    return replace(made, turn_seconds=LONG_SECONDS, overlaps=(0.0,), count=LONG_COUNT) if long_turns else made


def condition(made: ConversationSet, number: int) -> str:
    """What a conversation is an example of."""
    share = made.overlaps[number % len(made.overlaps)]
    return LONG if made.turn_seconds == LONG_SECONDS else f"{share:.0%}"


def speech_of(turns: Sequence[Span]) -> list[Span]:
    """Where anybody speaks."""
    result: list[Span] = []
    for turn in sorted(turns, key=lambda turn: turn.start):
        if result and turn.start <= result[-1].end:
            turn = Span(result[-1].start, max(result.pop().end, turn.end))
        result.append(Span(turn.start, turn.end))
    return result


def windows(speech: Sequence[Span]) -> list[Span]:
    """What vectors are made of: pieces of one length of each stretch of speech, the last up to its end."""
    result = []
    for span in speech:
        last = max(span.start, span.end - VECTOR_SECONDS)
        starts = [*np.arange(span.start, last, HOP_SECONDS), last]
        result += [Span(float(start), min(float(start) + VECTOR_SECONDS, span.end)) for start in starts]
    return result


def one_at_a_time(turns: Sequence[Span]) -> list[Span]:
    """The best that can be said if only one talker speaks at any time: whoever began first goes on."""
    result, free = [], 0.0
    for turn in sorted(turns, key=lambda turn: turn.start):
        if turn.end > free:
            result.append(Span(max(turn.start, free), turn.end, speaker=turn.speaker))
            free = turn.end
    return result


def labelled(speech: Sequence[Span], places: Sequence[Span], labels: Sequence[int]) -> list[Span]:
    """Turns by labels of windows: each tenth of a second of speech is its whose window has the nearest middle."""
    middles = np.array([(place.start + place.end) / 2 for place in places])
    result: list[Span] = []
    for span in speech:
        edges = [*np.arange(span.start, span.end, CELL_SECONDS), span.end]
        for start, end in pairwise(map(float, edges)):
            speaker = str(labels[int(np.abs(middles - (start + end) / 2).argmin())])
            if result and result[-1].end == start and result[-1].speaker == speaker:
                start = result.pop().start
            result.append(Span(start, end, speaker=speaker))
    return result


def name_of(made: Conversation) -> str:
    """Tells a conversation from others."""
    return f"{made.metadata['seed']}_{made.metadata['index']}"


def turns(talkers: int, split: str, count: int, rate: int) -> Iterator[np.ndarray]:
    """Half a minute in which somebody says something for 2 to 8 s, then somebody else, each at a level of their own."""
    rng, utterances = np.random.default_rng(0), speech(split)
    store = Store([each.path for each in utterances], rate)
    speakers = sorted({each.speaker for each in utterances})
    for _ in range(count):
        those = rng.choice(len(speakers), talkers, replace=False)
        levels = 10 ** (rng.uniform(-3, 3, talkers) / 20)
        said: list[np.ndarray] = []
        while sum(map(len, said)) < TURNS_SECONDS * rate:
            who = len(said) % talkers
            own = [n for n, each in enumerate(utterances) if each.speaker == speakers[those[who]]]
            turn = store.excerpt(int(rng.choice(own)), 0, round(rng.uniform(2, 8) * rate))
            said.append(levels[who] * turn / np.sqrt(np.mean(turn**2)))
        yield np.concatenate(said)[: round(TURNS_SECONDS * rate)].astype(np.float32)
