"""How many words does the packaged recogniser get wrong, by which search, and beside PocketSphinx?

Utterances of speakers that it has not learnt from, alone and read aloud (LibriSpeech). Every search has the same
network: what it hears is computed once. Searches are those of the courses: the likeliest token of each frame, prefixes
of CTC, attention, both together, a language model; and ours, phones and the words of a lexicon. Intervals are
bootstrapped by speaker; *x real time* is processor time of one core per second of sound, in this run.

    bash benchmarks/peers.sh recogniser
    python -m benchmarks recognition                        # test speakers, an hour on one core
    python -m benchmarks recognition --split dev --name recognition_dev
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from benchmarks.kit import peers
from benchmarks.kit.table import grid, made_by, page
from benchmarks.recognition._heard import Heard, heard, utterances_of
from unbabble.base import audio
from unbabble.nn.kinds.recognizer import NeuralRecognizer
from unbabble.pipelines.recognize import Recognizer, load_recognizer
from unbabble.signal.statistics import ratio
from unbabble.text import language_models
from unbabble.text.ctc_search import greedy
from unbabble.text.errors import Errors, character_errors, errors, word_errors
from unbabble.text.pronounce import Pronouncer
from unbabble.text.search import joint_beam

QUICK = {"most": 3}
PEER = "PocketSphinx 5.1.1"
LEXICON_BONUS = -6.0
"""For each word where there is no language model: of 40 utterances of dev it leaves 53 % of the words wrong, -3 leaves
56 and -9 leaves 59."""


def searches(network: NeuralRecognizer) -> dict[str, Callable[[Heard], str]]:
    """From what was heard to words, by name."""
    model, tokens = language_models.find(), network.tokens.inventory
    ours = Recognizer(network, model)
    alone = Recognizer(network, model, language_weight=0.0, word_bonus=LEXICON_BONUS)
    pieces = Recognizer(network, model, by_phones=False)

    def joint(attention: float, named: bool = False) -> Callable[[Heard], str]:
        def search(item: Heard) -> str:
            ctc = item.said["text"].log_probs if attention < 1 else None
            given = pieces.pieces if named else None
            return joint_beam(item.writer, ctc, tokens, attention_weight=attention, words=given)[0].text

        return search

    return {
        "pieces, the likeliest of each frame": lambda item: greedy(item.said["text"].log_probs, tokens).text,
        "pieces, prefixes and language model": lambda item: pieces.of(item.said).text,
        "attention": joint(1.0),
        "attention and CTC": joint(0.5),
        "attention, CTC and language model": joint(0.5, named=True),
        "phones and lexicon": lambda item: alone.of(item.said).text,
        "phones, lexicon and language model": lambda item: ours.of(item.said).text,
    }


def added(keys: Iterable[str], counted: Iterable[Errors]) -> dict[str, Errors]:
    """Errors by key."""
    sums: dict[str, Errors] = {}
    for key, each in zip(keys, counted, strict=True):
        sums[key] = sums.get(key, Errors()) + each
    return sums


def rate(speakers: list[str], counted: list[Errors]) -> tuple[float, float, float]:
    """Errors of all, and the interval by speaker."""
    sums = added(speakers, counted).values()
    return ratio([each.count for each in sums], [each.reference for each in sums])


def row(items: list[Heard], texts: list[str], spent: float) -> dict:
    """What is told of one search."""
    counted = [word_errors(each.text, text) for each, text in zip(items, texts, strict=True)]
    letters = [character_errors(each.text, text) for each, text in zip(items, texts, strict=True)]
    halves = added([each.half for each in items], counted)
    return {
        "wer": rate([each.utterance.speaker for each in items], counted),
        "cer": sum(letters, Errors()).rate,
        "halves": {name: each.rate for name, each in halves.items()},
        "x_real_time": spent / sum(each.seconds for each in items),
    }


def measure(
    model: str = "auto", split: str = "test", most: int = 10_000, before: dict | None = None
) -> Iterator[dict]:
    """Search by search; those that are there already are not done again.

    Args:
        model: a recogniser of phones with a decoder.
        most: utterances.
    """
    network: Any = load_recognizer(model, "cpu").network
    began = time.process_time()
    items = [heard(network, *each) for each in utterances_of(split)[:most]]
    seconds = sum(each.seconds for each in items)
    result: dict = {"utterances": len(items), "seconds": seconds, "rows": (before or {}).get("rows", {})}
    result["network_x_real_time"] = (time.process_time() - began) / seconds
    speakers = [each.utterance.speaker for each in items]
    result["phone_error_rate"] = rate(speakers, [phone_errors(network, each) for each in items])
    result["rows"]["nothing at all"] = row(items, [""] * len(items), 0.0)
    for name, search in searches(network).items():
        if name in result["rows"]:
            continue
        began = time.process_time()
        texts = [search(each) for each in items]
        result["rows"][name] = row(items, texts, time.process_time() - began)
        print(name, result["rows"][name], flush=True)
        yield result
    if PEER not in result["rows"] and peers.present(["recogniser"]):
        given = {str(n): audio.read(each.utterance.path).samples[0].numpy() for n, each in enumerate(items)}
        began = time.perf_counter()
        texts = peers.run(
            "recogniser", "run_recogniser.py", given, (), lambda path: json.loads(path.read_text())
        )
        spent = time.perf_counter() - began
        result["rows"][PEER] = row(items, [texts[str(number)] for number in range(len(items))], spent)
        yield result


def phone_errors(network: NeuralRecognizer, item: Heard) -> Errors:
    """Of the likeliest phone of each frame, against the usual pronunciation of each word."""
    spoken = language_models.find().pronunciations
    pronouncer = Pronouncer(spoken)  # pyright: ignore[reportArgumentType]
    best = item.said["phones"].log_probs.argmax(1)
    kept = best[np.concatenate([[True], best[1:] != best[:-1]])]
    names = [network.targets["phones"].inventory[number - 1] for number in kept if number]
    return errors([phone for word in item.text.split() for phone in pronouncer.of(word)[0]], names)


def table(result: dict) -> str:
    rows = {
        name: each | {"wer": [100 * part for part in each["wer"]], "cer": 100 * each["cer"]}
        | {name: 100 * rate for name, rate in each["halves"].items()}
        for name, each in result["rows"].items()
    }  # fmt: skip
    per = [100 * each for each in result["phone_error_rate"]]
    return page(
        f"Words that are wrong, in per cent (95 % interval by speaker), of {result['utterances']} utterances, "
        f"{result['seconds'] / 60:.0f} minutes. Phones that are wrong without any search: {per[0]:.1f} % "
        f"({per[1]:.1f} to {per[2]:.1f}).",
        grid(
            "search | words | characters | clean | other | x real time",
            rows,
            "{name} | {wer:.1f} | {cer:.1f} | {clean:.1f} | {other:.1f} | {x_real_time:.3f}",
        ),
        f"What the network itself costs, {result['network_x_real_time']:.4f}, is not in the last column."
        + (f" The time of {PEER} is wall time, all of it." if PEER in rows else ""),
        made_by(result),
    )
