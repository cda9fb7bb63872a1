"""Which weights of a search make the fewest errors on the development speakers?

One weight after another, the others as they are: of the language model, of each word, of the phones' prior, and of
attention against CTC. What is best here is what ``pipelines.recognize`` has; test speakers are not looked at.

    python -m benchmarks search_weights
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.kit.table import grid, made_by, page
from benchmarks.recognition._heard import Heard, heard, utterances_of
from unbabble.nn.kinds.recognizer import NeuralRecognizer
from unbabble.pipelines import recognize
from unbabble.pipelines.recognize import Recognizer, load_recognizer
from unbabble.text import language_models
from unbabble.text.errors import Errors, word_errors
from unbabble.text.search import joint_beam

QUICK = {
    "most": 2,
    "language_weights": [0.8],
    "word_bonuses": [0.5],
    "prior_shares": [0.5],
    "attention": [0.5],
}


def wrong(items: Sequence[Heard], search: Callable[[Heard], str]) -> float:
    """Share of the words."""
    return sum((word_errors(each.text, search(each)) for each in items), Errors()).rate


def by_phones(network: NeuralRecognizer, **options: Any) -> Callable[[Heard], str]:
    recognizer = Recognizer(network, language_models.find(), **options)
    return lambda item: recognizer.of(item.said).text


def by_pieces(network: NeuralRecognizer, attention: float, **options: Any) -> Callable[[Heard], str]:
    recognizer, tokens = (
        Recognizer(network, language_models.find(), by_phones=False, **options),
        network.tokens.inventory,
    )

    def search(item: Heard) -> str:
        logs = item.said["text"].log_probs
        return joint_beam(item.writer, logs, tokens, attention_weight=attention, words=recognizer.pieces)[
            0
        ].text

    return search


def measure(
    model: str = "auto",
    most: int = 120,
    language_weights: Sequence[float] = (0.6, 0.8, 1.0, 1.2),
    word_bonuses: Sequence[float] = (-0.5, 0.0, 0.5, 1.0),
    prior_shares: Sequence[float] = (0.0, 0.3, 0.5, 0.7),
    attention: Sequence[float] = (0.2, 0.35, 0.5, 0.65),
) -> Iterator[dict]:
    """Weight by weight.

    Args:
        most: utterances, spread over all of dev.
    """
    network: Any = load_recognizer(model, "cpu").network
    everything = utterances_of("dev")
    step = max(1, len(everything) // most)
    items = [heard(network, *each) for each in everything[::step][:most]]
    chosen: dict[str, float] = {
        "language_weight": recognize.LANGUAGE_WEIGHT,
        "word_bonus": recognize.WORD_BONUS,
        "prior_share": recognize.PRIOR_SHARE,
    }
    rows: list[dict] = []
    grids = {"language_weight": language_weights, "word_bonus": word_bonuses, "prior_share": prior_shares}
    for name, values in grids.items():
        for value in values:
            given = chosen | {name: value}
            rows.append({"search": "phones", **given, "wer": wrong(items, by_phones(network, **given))})
            print(rows[-1], flush=True)
            yield {"utterances": len(items), "rows": rows}
        best = min(
            (row for row in rows if all(row[k] == v for k, v in chosen.items() if k != name)), key=_wer
        )
        chosen[name] = best[name]
    for share in attention:
        rows.append({"search": "pieces", "attention": share, "wer": wrong(items, by_pieces(network, share))})
        print(rows[-1], flush=True)
        yield {"utterances": len(items), "rows": rows}


def _wer(row: dict) -> float:
    return row["wer"]


def table(result: dict) -> str:
    return page(
        f"Words that are wrong, in per cent, of {result['utterances']} utterances of dev speakers.",
        grid(
            "search | language model | word | prior | attention | words",
            [row | {"wer": 100 * row["wer"]} for row in result["rows"]],
            "{search} | {language_weight} | {word_bonus} | {prior_share} | {attention} | {wer:.1f}",
        ),
        made_by(result),
    )
