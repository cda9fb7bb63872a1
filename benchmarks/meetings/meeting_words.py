"""What is separating where people overlap worth in words, in made conversations?

Two to four test speakers take turns for two minutes in a measured room, heard by one microphone or several, two at once
for none to 40 % of the time with speech. cpWER: each talker is given one of the texts, so that there are fewest errors
in all (S. Watanabe et al., CHiME 2020); intervals are bootstrapped by conversation. By the packaged recogniser and, so
that nothing hangs on ours, by PocketSphinx and by hama. Recognised is, turn by turn,

- *true voices*: each talker alone in the room, where they truly speak;
- *true turns*: the recording there, the mean of its channels, so that of two at once each is given what both say;
- *true turns, separated*: the same, but where two speak they are taken apart, by a network or, of several microphones,
  blindly in 20 s around, and each is given the voice that is most like the true one;
- *turns*: the recording where `diarize` says that somebody speaks;
- *turns, separated*: each talker's voice, as `diarize` writes it.

    bash benchmarks/peers.sh
    python -m benchmarks meeting_words --count 12 --recognisers ours PocketSphinx --kept runs/conversations
    python -m benchmarks meeting_words --name meeting_words_array --microphones 7 --count 12
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from benchmarks.kit import peers
from benchmarks.kit.conversations import COUNT, SEED, condition, conversations
from benchmarks.kit.kept import kept as kept_in
from benchmarks.kit.recognisers import OURS, PEERS, RECOGNISERS, recognised
from benchmarks.kit.table import grid, made_by, page
from unbabble.base.audio import Audio
from unbabble.base.audio import read as read_audio
from unbabble.base.spans import Span
from unbabble.base.words import counted
from unbabble.data.conversations import Conversation
from unbabble.pipelines import choose
from unbabble.pipelines.diarize import diarize
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.talker_voices import write_voices
from unbabble.pipelines.talkers_heard import ARRAY_VOICES, Ears, blind
from unbabble.signal.metrics import si_sdr_matrix
from unbabble.signal.statistics import ratio
from unbabble.text.errors import cp_errors
from unbabble.text.normalise import words

NAMES = ("meeting_words", "meeting_words_array")
DIGITS = 4
QUICK = {"count": 1}
CONDITIONS = ("0%", "10%", "20%", "40%")
SEPARATOR = "bsrnn.2talkers_8k"
CONTEXT_SECONDS = 1.0
"""Before and after what a network separates."""
AROUND_SECONDS = 20.0
"""What is separated blindly."""
LEAST_SECONDS = 0.1
SEPARATED = ("true turns", "turns")
"""What there is with and without separating."""
Pieces = list[tuple[str, np.ndarray]]
"""A talker, and the samples of a turn, in the order of time."""


def cut(sounds: dict[str, np.ndarray], turns: Sequence[Span], rate: int) -> Pieces:
    """Each turn from the sound of its talker."""
    return [
        (turn.speaker or "", sounds[turn.speaker or ""][round(turn.start * rate) : round(turn.end * rate)])
        for turn in sorted(turns, key=lambda turn: turn.start)
        if turn.seconds >= LEAST_SECONDS
    ]


def overlaps(turns: Sequence[Span]) -> list[tuple[float, float, list[str]]]:
    """Begin and end of the stretches in which several speak, and who."""
    edges = sorted({edge for turn in turns for edge in (turn.start, turn.end)})
    result = []
    for start, end in pairwise(edges):
        speakers = sorted({turn.speaker or "" for turn in turns if turn.start <= start and turn.end >= end})
        if len(speakers) > 1:
            result.append((start, end, speakers))
    return result


def separated(made: Conversation, model: str) -> dict[str, np.ndarray]:
    """Of each talker the recording, and where two speak the voice that is more like theirs."""
    rate, mixture = made.sample_rate, made.mixture
    several, length = len(mixture) > 1, mixture.shape[1]
    names = [talker["speaker"] for talker in made.metadata["talkers"]]
    sounds = {name: mixture.mean(0) for name in names}
    separator = blind(min(len(mixture), ARRAY_VOICES)) if several else choose.load(model, "cpu")
    for start, end, speakers in overlaps(made.turns):
        first, last = round(start * rate), round(end * rate)
        context = round(CONTEXT_SECONDS * rate)
        if several:
            context = max(context, (round(AROUND_SECONDS * rate) - (last - first)) // 2)
        begin = max(0, first - context)
        stretch = torch.from_numpy(mixture[:, begin : min(length, last + context)].copy())
        voices = separator(Audio(stretch, rate)).sources[:, first - begin : last - begin]
        true = torch.from_numpy(
            np.stack([made.references[names.index(name), first:last] for name in speakers])
        )
        likeness = si_sdr_matrix(voices.double(), true.double()).numpy()  # (voice, speaker)
        for voice, place in zip(*linear_sum_assignment(likeness, maximize=True), strict=True):
            sounds[speakers[place]][first:last] = voices[voice].numpy()
    return sounds


def diarized(made: Conversation, ears: Ears) -> tuple[list[Span], dict[str, np.ndarray]]:
    """Turns, and the voice of each talker, all as `unbabble diarize` has them."""
    recording = Recording.of(torch.from_numpy(made.mixture), made.sample_rate)
    with TemporaryDirectory() as folder:
        result = diarize(recording, ears, folder=Path(folder))
        files = write_voices(
            recording,
            result.turns,
            result.separated,
            Path(folder) / "voices",
            speakers=result.speakers,
            warnings=[],
        )
        voices = [read_audio(file).samples[0].numpy() for file in files]
    return result.turns, dict(zip(result.speakers, voices, strict=True))


def recordings(made: Conversation, ears: Ears, folder: Path | None) -> dict[str, Pieces]:
    """What is recognised, by way."""
    rate = made.sample_rate
    names = [talker["speaker"] for talker in made.metadata["talkers"]]
    key = "_".join([*names, str(made.metadata["seed"]), str(made.metadata["index"]), SEPARATOR])
    key += f"_{len(made.mixture)}" * (len(made.mixture) > 1)
    apart = kept_in(folder, key, lambda: separated(made, SEPARATOR))
    turns, voices = diarized(made, ears)
    mixture = {turn.speaker or "": made.mixture.mean(0) for turn in (*made.turns, *turns)}
    return {
        "true voices": cut(dict(zip(names, made.references, strict=True)), made.turns, rate),
        "true turns": cut(mixture, made.turns, rate),
        "true turns, separated": cut(apart, made.turns, rate),
        "turns": cut(mixture, turns, rate),
        "turns, separated": cut(voices, turns, rate),
    }


def said(made: Conversation) -> list[list[str]]:
    """Words of each talker."""
    by_talker: dict[str, list[str]] = {}
    for span in made.said:
        by_talker.setdefault(span.speaker or "", []).extend(words(span.text))
    return list(by_talker.values())


def read(
    recogniser: str, model: str, truth: list[list[str]], given: dict[str, Pieces]
) -> dict[str, list[int]]:
    """By way: errors, and words."""
    flat = {f"{way} {k}": sound for way, pieces in given.items() for k, (_, sound) in enumerate(pieces)}
    texts = recognised(recogniser, flat, model)
    result = {}
    for way, pieces in given.items():
        by_talker: dict[str, list[str]] = {}
        for k, (speaker, _) in enumerate(pieces):
            by_talker.setdefault(speaker, []).extend(texts[f"{way} {k}"])
        errors = cp_errors(truth, list(by_talker.values())).errors
        result[way] = [errors.count, errors.reference]
    return result


def measure(
    count: int = COUNT,
    recognisers: Annotated[Sequence[str], RECOGNISERS] = (OURS,),
    model: str = "auto",
    embedder: str = "auto",
    microphones: int = 1,
    kept: Path | None = None,
    split: str = "test",
    seed: int = SEED,
    before: dict | None = None,
) -> Iterator[dict]:
    """Conversation by conversation; those that a recogniser has read are not read again.

    Args:
        count: conversations.
        recognisers: that read them; what they have read before stays.
        model: our recogniser.
        embedder: what tells talkers apart.
        microphones: that hear the conversations.
        kept: folder of separated voices, which are the same for every recogniser.
    """
    result = before or {}
    result |= {"split": split, "microphones": microphones}
    done = result.setdefault("words", {})
    there = [name for name in recognisers if name == OURS or peers.present([PEERS[name][0]])]
    made = conversations(split, microphones, seed=seed)
    ears = Ears.load(embedder, "cpu")
    for number in range(min(count, len(made))):
        kind = condition(made, number)
        left = [name for name in there if str(number) not in done.get(name, {}).get(kind, {})]
        if not left:
            continue
        heard = made[number]
        given = recordings(heard, ears, kept)
        for name in left:
            done.setdefault(name, {}).setdefault(kind, {})[str(number)] = read(
                name, model, said(heard), given
            )
            print(name, kind, number, flush=True)
            yield result
    yield result


def rate(rows: Sequence[Sequence[int]]) -> list[float] | float:
    """cpWER in per cent, and the interval by conversation, where there are several."""
    rates = [100 * each for each in ratio(*np.array(rows, float).T)]
    return rates if len(rows) > 1 else rates[0]


def change(row: dict[str, list[int]], before: str) -> tuple[int, int]:
    """Errors that separating adds in a conversation, and its words."""
    (errors, reference), (after, _) = row[before], row[f"{before}, separated"]
    return after - errors, reference


def table(result: dict) -> str:
    lines = []
    for recogniser, by_kind in result["words"].items():
        ways = next(iter(next(iter(by_kind.values())).values()))
        for way in ways:
            rates = {kind: rate([row[way] for row in rows.values()]) for kind, rows in by_kind.items()}
            lines.append({"recogniser": recogniser, "way": way} | rates)
        for before in SEPARATED:
            changes = {
                kind: rate([change(row, before) for row in rows.values()]) for kind, rows in by_kind.items()
            }
            lines.append({"recogniser": recogniser, "way": f"change of *{before}* by separating"} | changes)
    counts = {kind: len(rows) for kind, rows in next(iter(result["words"].values())).items()}
    kinds = [kind for kind in CONDITIONS if kind in counts]
    heard = counted(result.get("microphones", 1), "microphone")
    minutes = ", ".join(str(counts[kind]) for kind in kinds)
    return page(
        f"cpWER in per cent (95 % interval by conversation), split {result['split']}, {heard}, by the share of the "
        f"time with speech in which two speak; conversations of two minutes: {minutes}.",
        grid(
            ["recogniser", "recognised", *kinds],
            lines,
            "{recogniser} | {way} | " + " | ".join(f"{{{kind}:.1f}}" for kind in kinds),
        ),
        made_by(result),
    )
