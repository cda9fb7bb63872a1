"""Listening studies: what a trial presents, and who hears what in which order. No database, no web.

Kinds: ``realm`` as in REAL-M (Subakan et al., ICASSP 2022: the mixture, the estimate of each source, 1 bad to 5
excellent), ``acr`` (absolute category rating: ITU-T P.800, and P.808 for crowds), ``ab`` (preference between two
separations) and ``mushra`` (ITU-R BS.1534-3: 0 to 100 beside a reference, with a hidden reference and anchors).
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from unbabble.base.errors import InputError
from unbabble.base.words import counted

KINDS = {
    "realm": "REAL-M: the mixture and each separated voice",
    "acr": "ACR: one voice at a time (ITU-T P.800)",
    "ab": "A/B: two separations side by side",
    "mushra": "MUSHRA: all systems beside the reference (ITU-R BS.1534)",
}
WORDS = {1: "bad", 2: "poor", 3: "fair", 4: "good", 5: "excellent"}
"""The five-point scale of P.800, and of REAL-M."""
BANDS = ("bad", "poor", "fair", "good", "excellent")
"""Of BS.1534, 20 points each, from 0."""
QUESTIONS = {
    "realm": "How well is this voice separated from the others?",
    "acr": "What is the quality of the speech?",
    "ab": "Which separation is better?",
    "mushra": "How good is each sound, compared with the reference?",
}
REFERENCE, ANCHOR, MIXTURE_ANCHOR = "hidden reference", "anchor: low-pass", "anchor: mixture"
MADE = (REFERENCE, ANCHOR, MIXTURE_ANCHOR)
"""Conditions of MUSHRA that are no system's: the anchor of BS.1534, and the mixture, which has all the interference
that there is (as Emiya et al., "Subjective and objective quality assessment of audio source separation", 2011)."""
INSTRUCTIONS = {
    "realm": (
        "Listen to the mixture, then to each separated voice, to its end. Rate each voice from 1 (bad) to 5 "
        "(excellent): 5 if you hear one person, clearly, and nothing of anybody else.\n\n"
        "If you hear the same person in two voices, somebody from the mixture is missing: rate the clearer one as "
        "you hear it, and give the other 1."
    ),
    "acr": (
        "You hear one recording at a time. Listen to its end, then say what you think of the quality of the "
        "speech, from 1 (bad) to 5 (excellent). There is no right answer: it is your opinion that counts."
    ),
    "ab": (
        "You hear a mixture of people who talk at once, and two attempts to separate them. Listen to all voices of "
        "both, then say which attempt is better. If you really hear no difference, say so."
    ),
    "mushra": (
        "The reference is how it should sound. Compare each sound with it, switching as often as you like, and move "
        "its slider: 100 if you hear no difference from the reference, 0 if it is as bad as can be. At least one "
        "of the sounds is the reference itself, and should get 100."
    ),
}
TRAP_WORDS = {
    "realm": "If a voice ends in beeps, do not rate it: count the beeps, and choose that number.",
    "acr": "If the recording ends in beeps, do not rate it: count the beeps, and choose that number.",
    "ab": "If the recordings end in beeps: choose the first after one beep, the second after two.",
}
CONSENT = (
    "I am at least 18 years old and take part of my own free will; I may stop at any time. My votes are stored "
    "without my name and may be published."
)
LEAST_PLAYED = 0.95
"""Share of a clip from which it counts as heard."""
HURRY = 0.9
"""Of the time that hearing everything takes, at least this must have passed before a vote: clocks differ a little."""


@dataclass(frozen=True)
class Sound:
    """A clip of a study, as ``tables.rate.Clip`` has it."""

    id: str
    item: str
    role: str
    system: str
    number: int
    seconds: float = 1.0
    expected: int | None = None


@dataclass(frozen=True)
class Plan:
    """A stimulus, as ``tables.rate.Stimulus`` has it."""

    item: str
    group: str
    role: str
    clips: list[dict[str, Any]]
    expected: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Choice:
    """A stimulus that may be drawn."""

    id: str
    item: str
    group: str
    role: str
    clips: Sequence[Mapping[str, Any]]


def plan(kind: str, sounds: Sequence[Sound]) -> list[Plan]:
    """All stimuli of a study.

    Raises:
        InputError: what this kind needs is not there.
    """
    plans = {"realm": _realm, "acr": _acr, "ab": _pairs, "mushra": _mushra}[kind](list(sounds))
    if not any(each.role == "rate" for each in plans):
        raise InputError(NEEDED[kind])
    return plans


NEEDED = {
    "realm": "A REAL-M study needs mixtures with a system's voices: ITEM/mixture.wav, ITEM/SYSTEM/source1.wav.",
    "acr": "An ACR study needs voices: ITEM/SYSTEM/source1.wav.",
    "ab": "A preference study needs items that two systems have separated: ITEM/SYSTEM/source1.wav of both.",
    "mushra": "A MUSHRA study needs items with references: ITEM/reference1.wav, ITEM/SYSTEM/source1.wav.",
}


def _realm(sounds: list[Sound]) -> list[Plan]:
    plans = []
    for item, own in _by(sounds, "item").items():
        mixtures = [each for each in own if each.role == "mixture"]
        for role, system, voices in _separations(own):
            if mixtures:
                clips = [_part(mixtures[0], "mixture"), *(_part(each, "rated") for each in voices)]
                plans.append(Plan(item, system, role, clips, _expected(voices)))
    return plans


def _acr(sounds: list[Sound]) -> list[Plan]:
    return [
        Plan(each.item, each.system, role, [_part(each, "rated")], _expected([each]))
        for each in sounds
        if (role := ROLES.get(each.role))
    ]


def _pairs(sounds: list[Sound]) -> list[Plan]:
    plans = []
    for item, own in _by(sounds, "item").items():
        before = [_part(each, "mixture") for each in own if each.role == "mixture"]
        separations = _separations(own)
        for (role, a, first), (other_role, b, second) in combinations(separations, 2):
            if role == other_role:
                clips = [
                    *before,
                    *(_part(each, "a") for each in first),
                    *(_part(each, "b") for each in second),
                ]
                expected: list[Any] = []
                if role == "gold":  # the side whose known quality is higher
                    expected = [max((first, second), key=lambda side: side[0].expected or 0)[0].system]
                elif role == "trap":
                    expected = [first[0].expected]
                plans.append(Plan(item, f"{a} / {b}", role, clips, expected))
    return plans


def _mushra(sounds: list[Sound]) -> list[Plan]:
    plans = []
    for item, own in _by(sounds, "item").items():
        mixtures = [each for each in own if each.role == "mixture"]
        for reference in (each for each in own if each.role == "reference"):
            number = reference.number
            voices = [each for each in own if each.role == "estimate" and each.number == number]
            anchors = [each for each in own if each.role == "anchor" and each.number == number]
            if voices:
                clips = [
                    _part(reference, "reference"),
                    _part(reference, "rated", REFERENCE),
                    *(_part(each, "rated", ANCHOR) for each in anchors),
                    *(_part(each, "rated", MIXTURE_ANCHOR) for each in mixtures[:1]),
                    *(_part(each, "rated") for each in voices),
                ]
                plans.append(Plan(item, "all", "rate", clips))
    return plans


ROLES = {"estimate": "rate", "gold": "gold", "trap": "trap"}


def _separations(sounds: Iterable[Sound]) -> list[tuple[str, str, list[Sound]]]:
    """What one system made of one item: (role of the stimulus, system, voices by number)."""
    groups: dict[tuple[str, str], list[Sound]] = {}
    for each in sounds:
        if role := ROLES.get(each.role):
            groups.setdefault((role, each.system), []).append(each)
    return [
        (role, system, sorted(voices, key=lambda voice: voice.number))
        for (role, system), voices in sorted(groups.items())
    ]


def _expected(voices: Sequence[Sound]) -> list[int]:
    return [each.expected for each in voices if each.expected is not None]


def _part(sound: Sound, part: str, system: str | None = None) -> dict[str, Any]:
    return {"clip": sound.id, "part": part, "system": system or sound.system, "number": sound.number}


def _by(sounds: Iterable[Sound], name: str) -> dict[str, list[Sound]]:
    groups: dict[str, list[Sound]] = {}
    for each in sounds:
        groups.setdefault(getattr(each, name), []).append(each)
    return dict(sorted(groups.items()))


def listener_seed(study_seed: int, number: int) -> int:
    """Of the ``number``-th listener, from 0; of 31 bits."""
    return int.from_bytes(hashlib.sha256(f"{study_seed}:{number}".encode()).digest()[:4], "big") >> 1


def draw(
    seed: int,
    number: int,
    choices: Sequence[Choice],
    given: Mapping[str, int],
    wanted: int,
    each: int,
    golds: int = 0,
    traps: int = 0,
) -> list[tuple[str, list[dict[str, Any]]]]:
    """The trials of one listener; the same arguments draw the same.

    Stimuli that were given least come first, so that while no listener gives up, the numbers of ratings of any two
    stimuli differ by one at most. Among those equally often given, systems and items that this listener has had least
    come first. The order is balanced over systems: in each block every system comes once, and blocks follow the rows
    of a balanced Latin square (Williams, 1949), one row a listener, so that no system is always early, or always after
    the same other. Golds and trapping clips come anywhere but first. Pairs are presented in either order equally often.

    Args:
        seed: of this listener.
        number: of this listener, from 0.
        choices: all stimuli of the study.
        given: how often each stimulus has been given to others, by its key.
        wanted: ratings of each stimulus: those that have as many are not drawn.
        each: stimuli for this listener; fewer where there are no more.
        golds: questions with a known answer.
        traps: trapping clips.

    Returns:
        For each trial its stimulus and the order in which its clips are presented.
    """
    random = np.random.default_rng(seed)
    ordered = sorted(choices, key=_by_content)
    pools = {role: [choice for choice in ordered if choice.role == role] for role in CHECKS}
    places = {choice.id: place for place, choice in enumerate(ordered)}
    left = [choice for choice in pools["rate"] if given.get(choice.id, 0) < wanted]
    random.shuffle(left)  # type: ignore[arg-type]
    chosen: list[Choice] = []
    groups: Counter[str] = Counter()
    items: Counter[str] = Counter()
    while left and len(chosen) < each:
        best = min(left, key=lambda c: (given.get(c.id, 0), groups[c.group], items[c.item]))
        left.remove(best)
        chosen.append(best)
        groups[best.group] += 1
        items[best.item] += 1
    trials = _ordered(chosen, number)
    if trials:
        for role, count in (("gold", golds), ("trap", traps)):
            pool = pools[role]
            for index in random.permutation(len(pool))[:count]:
                trials.insert(int(random.integers(1, len(trials) + 1)), pool[index])
    drawn = []
    for choice in trials:
        count = given.get(choice.id, 0) if choice.role == "rate" else int(random.integers(2))
        drawn.append((choice.id, presented(choice.clips, random, bool((count + places[choice.id]) % 2))))
    return drawn


CHECKS = ("rate", "gold", "trap")


def _by_content(choice: Choice) -> tuple:
    """Keys are random, so that the same study in another place would not be drawn alike by them."""
    clips = tuple((clip["part"], clip.get("system", ""), clip.get("number", 0)) for clip in choice.clips)
    return choice.role, choice.item, choice.group, clips, choice.id


def presented(
    clips: Sequence[Mapping[str, Any]], random: np.random.Generator, swapped: bool
) -> list[dict[str, Any]]:
    """Clips in their order of presentation: what is only heard first; what is rated shuffled; pairs swapped or not.

    Of a pair, ``side`` says whether a clip belongs to what is presented as the first or as the second.
    """
    order = [dict(clip) for clip in clips if clip["part"] in ("mixture", "reference")]
    rated = [dict(clip) for clip in clips if clip["part"] == "rated"]
    order += [rated[index] for index in random.permutation(len(rated))]
    for side, part in enumerate("ba" if swapped else "ab", 1):
        order += [dict(clip) | {"side": side} for clip in clips if clip["part"] == part]
    return order


def _ordered(chosen: Sequence[Choice], number: int) -> list[Choice]:
    """Blocks of one stimulus of each group, in a row's order; where it can be, no item twice in a row."""
    names = sorted({each.group for each in chosen})
    queues = {name: [each for each in chosen if each.group == name] for name in names}
    ordered: list[Choice] = []
    while any(queues.values()):
        for index in williams_row(len(names), number):
            if queue := queues[names[index]]:
                fresh = (k for k, each in enumerate(queue) if not ordered or each.item != ordered[-1].item)
                ordered.append(queue.pop(next(fresh, 0)))
    return ordered


def williams_row(count: int, row: int) -> list[int]:
    """A row of a balanced Latin square of ``count`` conditions.

    Over ``count`` rows (twice as many where it is odd) every condition is at every place equally often, and follows
    every other equally often (Williams, "Experimental designs balanced for the estimation of residual effects", 1949).

    >>> [williams_row(4, row) for row in range(4)]
    [[0, 1, 3, 2], [1, 2, 0, 3], [2, 3, 1, 0], [3, 0, 2, 1]]
    """
    if count == 0:
        return []
    first = [(place + 1) // 2 if place % 2 else (count - place // 2) % count for place in range(count)]
    places = [(each + row) % count for each in first]
    return places[::-1] if count % 2 and (row // count) % 2 else places


def whats_wrong(
    kind: str, order: Sequence[Mapping[str, Any]], values: Sequence[int], played: Sequence[float]
) -> str | None:
    """Why these answers to a trial cannot be taken, in one sentence; None if they can.

    Args:
        kind: of the study.
        order: of the trial.
        values: one for each question, in the order of presentation.
        played: share of each clip that was heard, in the order of presentation.
    """
    questions = len(rated(order))
    if len(values) != questions or len(played) != len(order):
        return f"This trial has {counted(questions, 'question')} and {counted(len(order), 'recording')}."
    low, high = {"ab": (0, 2), "mushra": (0, 100)}.get(kind, (1, 5))
    if any(not low <= value <= high for value in values):
        return f"Votes are between {low} and {high}."
    if any(not share >= LEAST_PLAYED for share in played):
        return "Listen to every recording to its end first."
    return None


def rated(order: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
    """What the questions of a trial are about, in order; None for the one question about a pair."""
    return [clip for clip in order if clip["part"] == "rated"] or [None]


def least_seconds(seconds: Sequence[float]) -> float:
    """That must pass between the opening of a trial and its vote: only one recording sounds at a time."""
    return HURRY * LEAST_PLAYED * sum(seconds)
