"""How long calls take, by turns, so that whatever else the machine does hits all alike."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Name, Result = TypeVar("Name"), TypeVar("Result")


def seconds(call: Callable, *arguments: object, clock: Callable[[], float] = time.perf_counter) -> float:
    """What one call takes, by the wall clock or another one."""
    began = clock()
    call(*arguments)
    return clock() - began


def by_turns(
    calls: Mapping[Name, Callable[[], Result]], rounds: int, warm_up: bool = True
) -> dict[Name, list[Result]]:
    """What each call returns in each round; one more round before them warms up and does not count."""
    found: dict[Name, list[Result]] = {name: [] for name in calls}
    for turn in range(not warm_up, rounds + 1):
        for name, call in calls.items():
            result = call()
            if turn:
                found[name].append(result)
    return found
