"""Searches in processes of their own, theirs and ours by turns, for ``decoder_speed.py``."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.kit.peers import OURS, Process, there
from benchmarks.kit.scenes import speech
from benchmarks.kit.timing import by_turns
from benchmarks.recognition import _drawn
from unbabble.methods.language import kneser_ney
from unbabble.text import arpa, ctc
from unbabble.text.errors import Errors, errors
from unbabble.text.ngram import UNKNOWN
from unbabble.text.rescoring import log_probability

PEER = "decoders"
SEARCHES = ({"symbols": 500, "beam": 8, "candidates": 12}, {"symbols": 500, "beam": 20, "candidates": 30})
BEAMS = (20, 80, 300)
LANGUAGE_WEIGHT, MARGIN, WORD_END, LEAST_WORDS = 0.8, 25.0, "|", 8


def processes(stack: ExitStack, runner: str, names: Sequence[str], *options: object) -> dict[str, Process]:
    """Ours, and those of the others that are installed."""
    mine = [name for name in names if name == OURS or there(PEER)]
    if len(mine) < len(names):
        print("only ours: benchmarks/peers.sh installs the others", flush=True)
    return {
        name: stack.enter_context(Process(OURS if name == OURS else PEER, runner, name, *options))
        for name in mine
    }


def least(replies: Sequence[Mapping]) -> dict:
    return dict(min(replies, key=lambda reply: reply["cpu_s"]))


def prefix(folder: Path, rounds: int, seed: int, length: int = 70) -> Iterator[dict]:
    """Each search by each package; a row of ``length`` tokens."""
    names = ("unbabble", "speechbrain", "espnet", "espnet_one")
    with ExitStack() as stack:
        runners = processes(stack, "run_prefix_scores.py", names)
        for search in SEARCHES:
            rng = np.random.default_rng(seed)
            row = rng.integers(1, search["symbols"], length).tolist()
            logs, said = (draw(row, search["symbols"], rng) for draw in (_drawn.frames, _drawn.writing))
            np.savez(folder / "prefix.npz", log_probs=logs, attention=said)
            asked = {"data": str(folder / "prefix.npz")} | search
            replies = by_turns(
                {name: partial(each.request, **asked) for name, each in runners.items()}, rounds
            )
            rows = {name: least(its) for name, its in replies.items()}
            for name, reply in rows.items():
                yield search | {
                    "frames": len(logs),
                    "package": name,
                    "hypotheses_per_s": reply["hypotheses"] / reply["cpu_s"],
                    "times_as_long": reply["cpu_s"] / rows[OURS]["cpu_s"],
                    "same_row": reply["row"] == rows[OURS]["row"],
                    "difference": abs(reply["score"] - rows[OURS]["score"]),
                }


def lexicon(folder: Path, rounds: int, seed: int, utterances: int) -> Iterator[dict]:
    """Each beam by each package."""
    texts = {split: [each.text.lower().split() for each in speech(split)] for split in ("train", "test")}
    model = kneser_ney.KneserNeyEstimate(kneser_ney.read(texts["train"], 60000), 3, singletons=True).model()
    words = [word for word in model.words if word != UNKNOWN]
    symbols = sorted({letter for word in words for letter in word} | {WORD_END})
    numbers = {symbol: number for number, symbol in enumerate(symbols, 1)}
    known = [[word for word in text if word in model] for text in texts["test"]]
    said = [text for text in known if len(text) >= LEAST_WORDS][:utterances]
    rng, recordings = np.random.default_rng(seed), {}
    for number, text in enumerate(said):
        row = [numbers[letter] for word in text for letter in word + WORD_END]
        recordings[str(number)] = _drawn.frames(row, len(symbols) + 1, rng)
    np.savez(folder / "log_probs.npz", **recordings)
    (folder / "lexicon.txt").write_text("".join(f"{word} {' '.join(word + WORD_END)}\n" for word in words))
    arpa.write(folder / "words.arpa", model)
    seconds = sum(map(len, recordings.values())) / _drawn.FRAMES_PER_SECOND

    def objective(logs: np.ndarray, text: Sequence[str]) -> float:
        row = [numbers[letter] for word in text for letter in word + WORD_END]
        return ctc.log_probability(logs, row) + LANGUAGE_WEIGHT * log_probability(model, text)

    with ExitStack() as stack:
        runners = processes(stack, "run_lexicon.py", ("unbabble", "flashlight"), folder)
        for beam in BEAMS:
            asked = {"beam": beam, "tokens": len(symbols) + 1, "margin": MARGIN}
            asked |= {"language_weight": LANGUAGE_WEIGHT, "word_bonus": 0.0}
            calls = {name: partial(each.request, **asked) for name, each in runners.items()}
            rows = {name: least(its) for name, its in by_turns(calls, rounds).items()}
            for name, reply in rows.items():
                wrote = [reply["words"][key] for key in recordings]
                pairs = zip(recordings.values(), wrote, strict=True)
                wrong = sum((errors(*each) for each in zip(said, wrote, strict=True)), Errors())
                yield {
                    "beam": beam,
                    "package": name,
                    "real_time_factor": reply["cpu_s"] / seconds,
                    "word_error_rate": wrong.rate,
                    "objective": float(np.mean([objective(*each) for each in pairs])),
                    "same_texts": sum(reply["words"][key] == rows[OURS]["words"][key] for key in recordings),
                    "texts": len(recordings),
                }
