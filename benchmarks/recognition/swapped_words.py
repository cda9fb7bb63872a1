"""Does `assess` find a word that was said in place of the prompt's?

In each prompt two words are not those that are said: one is quite another word, one differs from the word that is said
in a single phone (*thin* for *tin*). So it is known which words, and which phones, are wrong. Once real recordings are
given altered prompts; once a voice of a wheel, Piper's *joe*, reads altered sentences and the prompts are the original
ones. Of a word, `goodness` is the mean over its phones of what the report calls so, `weakest` the least of them, and
`errors` the share of its phones that came out as others or not at all. *Area*: the probability that a swapped word is
worse than one that was said, from .5 by chance to 1. *Recall* and *precision*: a word is taken for swapped whose
weakest phone is weaker than in 95 of 100 words that dev speakers said. Intervals are bootstrapped by speaker, of the
single voice by sentence.

    bash benchmarks/peers.sh
    python -m benchmarks swapped_words                                          # five minutes on one core
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from benchmarks.kit import peers
from benchmarks.kit.ranks import area, grouped
from benchmarks.kit.scenes import RATE, speech
from benchmarks.kit.table import grid, made_by, page
from unbabble.base import audio
from unbabble.data.corpora import Utterance
from unbabble.pipelines.assess import Assessor, load_assessor
from unbabble.pipelines.recording import Recording
from unbabble.text.errors import errors
from unbabble.text.normalise import words
from unbabble.text.pronounce import Pronouncer, Pronunciation

SEED, PEER = 0, "piper"
LEAST_SECONDS, MOST_SECONDS, LEAST_WORDS, LEAST_PHONES = 3.0, 9.0, 6, 3
SAID, OTHER, NEAR = 0, 1, 2
"""What a word of a prompt is: what is said, quite another one, or one that differs in a phone."""
KINDS = {"another word": OTHER, "one phone": NEAR}
MEASURES = {"goodness": -1, "weakest": -1, "errors": 1}
"""Of a word, in this order behind its kind; 1 where more is worse."""
WEAKEST = 2
"""Where it stands."""
FALSE_ALARMS = 5.0
"""Per cent of the words that dev speakers said."""
DEV, TEST, VOICE = "dev speakers", "test speakers", "a synthetic voice"
QUICK = {"each": 3}


@dataclass(frozen=True)
class Swapped:
    """A sentence, and the same with two words swapped.

    Attributes:
        kinds: of each word.
    """

    speaker: str
    waveform: torch.Tensor
    original: list[str]
    altered: list[str]
    kinds: list[int]


@cache
def by_length(pronouncer: Pronouncer) -> dict[int, list[tuple[str, Pronunciation]]]:
    """Words that training speakers say, each with its usual pronunciation, by number of phones."""
    result = defaultdict(list)
    for word in sorted({word for each in speech("train") for word in words(each.text)}):
        if known := pronouncer.dictionary.get(word):
            result[len(known[0])].append((word, known[0]))
    return result


def instead(word: str, kind: int, pronouncer: Pronouncer, rng: np.random.Generator) -> str | None:
    """A word with as many phones that differs as ``kind`` says and is no way to say this one; None if there is none."""
    pronunciations = pronouncer.of(word)
    phones = pronunciations[0]
    if len(phones) < LEAST_PHONES:
        return None
    fits = []
    for other, its in by_length(pronouncer)[len(phones)]:
        different = sum(mine != yours for mine, yours in zip(phones, its, strict=True))
        far = kind == OTHER and errors(phones, its).hits == 0
        if (far or (kind == NEAR and different == 1)) and its not in pronunciations:
            fits.append(other)
    return fits[rng.integers(len(fits))] if fits else None


def of_many_speakers(utterances: Sequence[Utterance], rng: np.random.Generator) -> list[Utterance]:
    """In any order, but one of each speaker first, then a second of each, and so on."""
    turns: dict[str, int] = defaultdict(int)
    order = []
    for number in rng.permutation(len(utterances)):
        order.append((turns[utterances[number].speaker], number))
        turns[utterances[number].speaker] += 1
    return [utterances[number] for _, number in sorted(order)]


def swapped(
    said: Sequence[str], pronouncer: Pronouncer, rng: np.random.Generator
) -> tuple[list[str], list[int]]:
    """A sentence with a word of each kind in place of one of its own, if any fits, and the kind of each word."""
    altered, kinds = list(said), [SAID] * len(said)
    for kind in KINDS.values():
        for place in map(int, rng.permutation(len(said))):
            other = instead(said[place], kind, pronouncer, rng) if kinds[place] == SAID else None
            if other is not None:
                altered[place], kinds[place] = other, kind
                break
    return altered, kinds


def sentences(split: str, most: int, pronouncer: Pronouncer, seed: int) -> Iterator[Swapped]:
    """Of as many speakers as possible, those in which both kinds of words can be swapped."""
    rng, count = np.random.default_rng([seed, len(split)]), 0
    fit = [each for each in speech(split) if LEAST_SECONDS <= each.seconds <= MOST_SECONDS]
    for each in of_many_speakers(fit, rng):
        said = words(each.text)
        altered, kinds = swapped(said, pronouncer, rng)
        if len(said) >= LEAST_WORDS and set(KINDS.values()) <= set(kinds):
            yield Swapped(each.speaker, audio.read(each.path).samples[:1], said, altered, kinds)
            count += 1
        if count == most:
            return


def synthesised(items: Sequence[Swapped]) -> Iterator[Swapped]:
    """Altered sentences as the voice reads them, each with the original one as its prompt."""
    texts = {str(number): np.array(" ".join(each.altered)) for number, each in enumerate(items)}
    with_rate = peers.run(PEER, "run_piper.py", texts, (), lambda path: dict(np.load(path)))
    rate = int(with_rate.pop("sample_rate"))
    for name, samples in with_rate.items():
        each = items[int(name)]
        waveform = audio.resample(torch.from_numpy(samples)[None], rate, RATE)
        yield Swapped(f"{VOICE} {name}", waveform, each.altered, each.original, each.kinds)


def assessed(assessor: Assessor, items: Sequence[Swapped]) -> dict[str, list[list[float]]]:
    """By speaker, a row for each word of a prompt: its kind, and its ``MEASURES``."""
    result = defaultdict(list)
    for item in items:
        assessment = assessor(Recording.of(item.waveform, RATE), " ".join(item.altered))
        of_words = [[] for _ in item.altered]
        for phone, good in zip(assessment.phones, assessment.goodness, strict=True):
            if phone.expected is not None:
                of_words[phone.word].append((good, not phone.right))
        for kind, phones in zip(item.kinds, of_words, strict=True):
            good, wrong = np.transpose(phones)
            result[item.speaker].append([kind, good.mean(), good.min(), wrong.mean()])
    return dict(result)


def measure(each: int = 45, model: str = "auto", seed: int = SEED) -> Iterator[dict]:
    """Dev speakers, test speakers, the voice.

    Args:
        each: sentences of each.
        model: what recognises phones.
    """
    assessor = load_assessor(model, "cpu")
    dev = assessed(assessor, list(sentences("dev", each, assessor.pronouncer, seed)))
    threshold = usual(np.concatenate([np.array(rows) for rows in dev.values()]))
    result: dict = {"threshold": threshold, "rows": {DEV: figures(dev, threshold)}}
    yield result
    items = list(sentences("test", each, assessor.pronouncer, seed))
    result["rows"][TEST] = figures(assessed(assessor, items), threshold)
    yield result
    if peers.present([PEER]):
        result["rows"][VOICE] = figures(assessed(assessor, list(synthesised(items))), threshold)
        yield result


def usual(rows: np.ndarray) -> float:
    """The goodness that few words' weakest phones have not, of words that were said."""
    return float(np.percentile(rows[rows[:, 0] == SAID, WEAKEST], FALSE_ALARMS))


def figures(by_speaker: dict[str, list[list[float]]], threshold: float) -> dict:
    """What the table says of some recordings."""
    groups = [np.array(rows) for rows in by_speaker.values()]
    rows = np.concatenate(groups)
    flagged, swapped = rows[:, WEAKEST] < threshold, rows[:, 0] > SAID
    found: dict = {"words": len(rows), "swapped": int(swapped.sum())}
    for name, kind in KINDS.items():
        found[f"recall, {name}"] = 100 * flagged[rows[:, 0] == kind].mean()
        for column, (measure, sign) in enumerate(MEASURES.items(), 1):
            pairs = [
                np.stack([sign * mine[:, column], mine[:, 0] == kind], 1)[np.isin(mine[:, 0], (SAID, kind))]
                for mine in groups
            ]
            found[f"{measure}, {name}"] = list(grouped(area, pairs))
    return found | {
        "precision": 100 * swapped[flagged].mean(),
        "false alarms": 100 * flagged[~swapped].mean(),
    }


def table(result: dict) -> str:
    areas = [
        {"recordings": name, "kind": kind}
        | {measure: row[f"{measure}, {kind}"] for measure in MEASURES}
        | {"recall": row[f"recall, {kind}"]}
        for name, row in result["rows"].items()
        for kind in KINDS
    ]
    return page(
        "How well swapped words are told from others: areas (95 % intervals) and, in per cent, the recall where a "
        f"weakest phone below {result['threshold']:.2g} is taken for a swap.",
        grid(
            "recordings | swapped | area by goodness | weakest | errors | recall",
            areas,
            "{recordings} | {kind} | {goodness:.2f} | {weakest:.2f} | {errors:.2f} | {recall:.0f}",
        ),
        "Precision is of words of which so many are swapped; false alarms, the share of words said that are taken for "
        "swapped ones.",
        grid(
            "recordings | words | swapped | precision | false alarms",
            result["rows"],
            "{name} | {words} | {swapped} | {precision:.0f} | {false alarms:.1f}",
        ),
        made_by(result),
    )
