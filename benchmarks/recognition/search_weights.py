"""Which weights of a search make the fewest errors on the development speakers?

One weight after another, the others as they are best so far. Of the search by phones: how many hypotheses are kept,
what the middle of the network predicts beside its end, the language model, each word, the phones' prior. Of that by
pieces of words with attention and CTC: attention, the language model, each word, and how many hypotheses are kept, the
fewest that are as good. What is best here is what ``pipelines.recognize`` has; test speakers are not looked at.

    python -m benchmarks search_weights
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from benchmarks.kit.table import grid, made_by, page
from benchmarks.recognition._heard import Heard, heard, utterances_of
from unbabble.base.config import keyword_parameters
from unbabble.methods.recognition.conformer_ctc import ConformerCTC
from unbabble.pipelines import recognize
from unbabble.pipelines.recognize import Recognizer, load_recognizer
from unbabble.text.errors import Errors, word_errors
from unbabble.text.ngram import NgramModel

PHONES = {
    "beam": (80, 150, 300),
    "middle_share": (0.0, 0.2, 0.4, 0.5, 0.6),
    "language_weight": (0.6, 0.8, 1.0, 1.2),
    "word_bonus": (-1.5, -1.0, -0.5, 0.0),
    "prior_share": (0.0, 0.15, 0.3, 0.5),
}
PIECES = {
    "attention_weight": (0.3, 0.45, 0.6, 0.75),
    "language_weight": (0.15, 0.3, 0.45, 0.6),
    "word_bonus": (0.0, 1.0, 2.0, 3.0),
    "joint_beam": (5, 10, 20),
}
USED = {
    "phones": {
        "beam": recognize.BEAM,
        "middle_share": keyword_parameters(ConformerCTC)["middle_share"].default,
        "language_weight": recognize.LANGUAGE_WEIGHT,
        "word_bonus": recognize.WORD_BONUS,
        "prior_share": recognize.PRIOR_SHARE,
    },
    "pieces": {
        "attention_weight": recognize.ATTENTION_WEIGHT,
        "language_weight": recognize.PIECES_LANGUAGE_WEIGHT,
        "word_bonus": recognize.PIECES_WORD_BONUS,
        "joint_beam": recognize.JOINT_BEAM,
    },
}
"""By search, where the sweep begins: what ``transcribe`` has."""
COLUMNS = (*PIECES, "prior_share", "middle_share", "beam")
QUICK = {"most": 2, "searches": ["pieces"]}


def wrong(network: Any, model: NgramModel, items: Sequence[Heard], search: str, weights: Mapping) -> float:
    """Share of the words."""
    options = {name: value for name, value in weights.items() if name != "middle_share"}
    recognizer = Recognizer(network, model, by_phones=search == "phones", **options)
    texts = ((each.text, recognizer.of(each.said, each.writer).text) for each in items)
    return sum((word_errors(*each) for each in texts), Errors()).rate


def measure(
    model: str = "auto", most: int = 120, searches: Sequence[str] = ("phones", "pieces")
) -> Iterator[dict]:
    """Weight by weight.

    Args:
        most: utterances, spread over all of dev.
        searches: phones, pieces.
    """
    recognizer = load_recognizer(model, "cpu")
    network: Any = recognizer.network
    everything = utterances_of("dev")
    step = max(1, len(everything) // most)

    @cache
    def items(middle_share: float) -> list[Heard]:
        network.middle_share = middle_share
        return [heard(network, *each) for each in everything[::step][:most]]

    count = len(everything[::step][:most])
    rows: list[dict] = []
    best: dict[str, dict] = {}
    assert recognizer.model is not None
    for search in searches:
        chosen: dict[str, Any] = dict(USED[search])
        for name, values in {"phones": PHONES, "pieces": PIECES}[search].items():
            tried = []
            for value in values:
                given = chosen | {name: value}
                same = [row for row in rows if row["search"] == search and given.items() <= row.items()]
                said = items(given.get("middle_share", 0.0))  # pieces do not depend on it
                wer = same[0]["wer"] if same else wrong(network, recognizer.model, said, search, given)
                tried.append({"search": search, **given, "wer": wer})
                rows += [] if same else tried[-1:]
                print(tried[-1], flush=True)
                yield {"utterances": count, "rows": rows, "best": best}
            chosen[name] = min(tried, key=lambda row: row["wer"])[name]
        best[search] = chosen
        yield {"utterances": count, "rows": rows, "best": best}


def table(result: dict) -> str:
    said = [
        f"Best by {search}: " + ", ".join(f"{name} {value:g}" for name, value in each.items()) + "."
        for search, each in result.get("best", {}).items()
    ]
    cells = [
        (row["search"], *(row.get(name, "") for name in COLUMNS), f"{100 * row['wer']:.1f}")
        for row in result["rows"]
    ]
    return page(
        f"Words that are wrong, in per cent, of {result['utterances']} utterances of dev speakers.",
        grid(
            "search | attention | language model | word | joint hypotheses | prior | middle | hypotheses | words",
            cells,
        ),
        *said,
        made_by(result),
    )
