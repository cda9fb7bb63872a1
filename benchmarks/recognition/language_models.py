"""How well do n-grams of novels predict what is read aloud, beside PocketSphinx's, and what do order and size bring?

Perplexities on the transcripts of dev and test, which are not learnt from; words that a model does not know are
counted apart. All of ours know the 60,000 most frequent words of 98 novels and, three times, the transcripts of train.
``NOVELS`` is the folder ``corpus`` of github.com/computationalstylistics/100_english_novels without what appeared after
1930.

    python -m benchmarks language_models NOVELS --dictionary cmudict.dict
"""

import csv
import json
import tempfile
import time
from collections.abc import Iterator
from math import exp
from pathlib import Path

import numpy as np

from benchmarks.kit import peers
from benchmarks.kit.cards import put_scores
from benchmarks.kit.scenes import DATA
from benchmarks.kit.table import grid, made_by, page
from unbabble.base.weights import WeightsCard, packaged
from unbabble.data.texts import read_texts
from unbabble.methods.language.kneser_ney import KneserNeyEstimate, Text, read
from unbabble.text import language_models, packed_ngram
from unbabble.text.ngram import END, NgramModel, fit
from unbabble.text.normalise import words
from unbabble.text.pronounce import Pronouncer, read_dictionary
from unbabble.verbs.language_model import fitted

PACKAGED = "kneser_ney.novels"
SPLITS = ("dev", "test")
WORDS, TIMES, SEED = 60_000, 3, 0
ORDERS = {
    "unigrams": (1, False),
    "bigrams": (2, False),
    "trigrams": (3, False),
    "trigrams, also those that occur once": (3, True),
    "4-grams": (4, False),
}
"""Name to order, and whether the longest n-grams that occur once are kept."""
MEGABYTES = (4.0, 2.0)
LOOK_UPS = 100_000
QUICK = {"most": 2000}


def transcripts(split: str) -> list[list[str]]:
    """Of a split; of train also those of ``speech_more``."""
    tables = ["speech.csv", *(["speech_more.csv"] if split == "train" else [])]
    rows = [row for name in tables for row in csv.DictReader((DATA / name).open(encoding="utf-8"))]
    return [words(row["text"]) for row in rows if row["split"] == split]


def row(model: NgramModel, megabytes: float | None = None, seconds: float | None = None) -> dict:
    """What the table says of a model: how well it predicts, how large it is, what it took."""
    found: dict = {"ngrams": model.size, "megabytes": megabytes, "seconds": seconds}
    for split in SPLITS:
        measured = fit(model, transcripts(split))
        found[split] = {"perplexity": measured.perplexity, "unknown": measured.unknown}
    return found


def packed(model: NgramModel) -> tuple[NgramModel, float]:
    """As it is when it was written and read, and the size of its file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        packed_ngram.save(path, model, WeightsCard(packed_ngram.METHOD))
        return packed_ngram.load(path), path.stat().st_size / 1e6


def look_up_seconds(model: NgramModel) -> float:
    """Processor time of one look-up as a search makes them: of any word, after any state of the transcripts."""
    rng, states = np.random.default_rng(SEED), []
    sentences = transcripts("test")
    for sentence in sentences:
        state = model.start()
        for word in sentence:
            states.append(state)
            _, state = model.score(state, word)
    numbers = [model.number(word) for sentence in sentences for word in (*sentence, END)]
    pairs = list(
        zip(rng.choice(states, LOOK_UPS).tolist(), rng.choice(numbers, LOOK_UPS).tolist(), strict=True)
    )
    began = time.process_time()
    for state, number in pairs:
        model.step(state, number)
    return (time.process_time() - began) / LOOK_UPS


def pocketsphinx() -> dict | None:
    """Its row; None where it is not installed."""
    if not peers.present(["recogniser"]):
        return None
    given = {split: [" ".join(each) for each in transcripts(split)] for split in SPLITS}
    found = peers.run(
        "recogniser", "run_language_model.py", given, (), lambda path: json.loads(path.read_text())
    )
    measured = {
        split: {
            "perplexity": exp(found[split]["nats"] / found[split]["predicted"]),
            "unknown": found[split]["unknown"] / found[split]["words"],
        }
        for split in SPLITS
    }
    return {"ngrams": None, "megabytes": found["bytes"] / 1e6, "seconds": None} | measured


def estimated(text: Text, order: int, singletons: bool) -> tuple[KneserNeyEstimate, NgramModel, float]:
    """An estimate, its model, and the processor time of both."""
    began = time.process_time()
    estimate = KneserNeyEstimate(text, order, singletons)
    model = estimate.model()
    return estimate, model, time.process_time() - began


def measure(
    novels: str, /, dictionary: str = "", most: int | None = None, cards: bool = False
) -> Iterator[dict]:
    """Model by model.

    Args:
        novels: folder of texts.
        dictionary: in the format of CMUdict; sizes are those of files with pronunciations.
        most: sentences of the novels, all by default.
        cards: put the scores of the packaged model into its card.
    """
    rows: dict[str, dict] = {}
    began = time.process_time()
    told = [
        sentence for sentence, _ in zip(read_texts([Path(novels)], "en"), range(most or 10**12), strict=False)
    ]
    learnt = [*told, *(TIMES * transcripts("train"))]
    reading = time.process_time() - began
    text = read(learnt, WORDS)
    ways = language_models.spoken(Pronouncer(read_dictionary(dictionary) if dictionary else {}), text.words)
    result = {"rows": rows, "words": sum(map(len, learnt)), "reading_seconds": reading}
    alone = read(transcripts("train"), WORDS)
    rows["trigrams of the transcripts alone"] = row(estimated(alone, 3, True)[1])
    for name, (order, singletons) in ORDERS.items():
        estimate, model, seconds = estimated(text, order, singletons)
        rows[name] = row(model, None, seconds)
        yield result
        if name == "trigrams":
            for size in (None, *MEGABYTES):
                smaller = estimate.model(ways) if size is None else fitted(estimate, ways, size)
                rounded, megabytes = packed(smaller)
                limit = "" if size is None else f", at most {size:g} MB"
                rows[f"{name}, in a file{limit}"] = row(rounded, megabytes)
                yield result
    shipped = language_models.find(PACKAGED)
    rows[f"`{PACKAGED}`"] = row(shipped, packaged()[PACKAGED].stat().st_size / 1e6)
    result["look_up_seconds"] = look_up_seconds(shipped)
    if cards:
        put_scores(
            packaged()[PACKAGED], {split: card_scores(rows[f"`{PACKAGED}`"][split]) for split in SPLITS[::-1]}
        )
    if (theirs := pocketsphinx()) is not None:
        rows["PocketSphinx 5.1.1's"] = theirs
    yield result


def card_scores(measured: dict[str, float]) -> dict[str, float]:
    """As cards have them."""
    return {
        "perplexity": round(measured["perplexity"], 1), "unknown_percent": round(100 * measured["unknown"], 1),
    }  # fmt: skip


def table(result: dict) -> str:
    rows = [
        [
            name,
            *(f"{each[split]['perplexity']:.0f}" for split in SPLITS),
            " / ".join(f"{100 * each[split]['unknown']:.1f}" for split in SPLITS),
            f"{each['ngrams'] / 1e6:.2f}" if each["ngrams"] else "",
            f"{each['megabytes']:.1f}" if each["megabytes"] else "",
            f"{each['seconds']:.0f}" if each["seconds"] else "",
        ]
        for name, each in result["rows"].items()
    ]
    look_up = result.get("look_up_seconds")
    speed = (
        f"; a look-up of the packaged model takes {1e6 * look_up:.1f} µs of a core in Python"
        if look_up
        else ""
    )
    return page(
        "Perplexity: among how many words, equally likely ones, a model wavers at each; lower is better.",
        grid(
            "model | dev | test | unknown words, %, dev / test | million n-grams | MB | seconds to estimate",
            rows,
        ),
        f"Of {result['words'] / 1e6:.1f} million words, which take {result['reading_seconds']:.0f} s to read. "
        f"PocketSphinx's model has other words, so that perplexities are only roughly comparable{speed}. Seconds are "
        "those of a processor, on a busy machine.",
        made_by(result),
    )
