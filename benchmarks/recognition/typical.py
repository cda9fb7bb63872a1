"""How often does the recogniser take a typical speaker's phones for others?

What `unbabble assess` finds in people who read a prompt without any disorder: speakers of dev, whom it has not learnt
from, each utterance against its text. These rates stand beside those of whoever is assessed: they are the recogniser's
own errors, and the liberties that everybody takes. With `--card` they go into the card of a weights file.

    python -m benchmarks typical --card src/unbabble/weights/conformer_ctc.english_16k.safetensors
"""

from pathlib import Path

from benchmarks.kit.cards import put
from benchmarks.kit.scenes import speech
from benchmarks.kit.table import grid, made_by, page
from unbabble.pipelines.assess import PhoneErrors, load_assessor
from unbabble.pipelines.recording import Recording
from unbabble.signal.statistics import ratio
from unbabble.text.errors import Errors

QUICK = {"most": 2}


def errors_of(row: PhoneErrors) -> Errors:
    return Errors(row.right, sum(row.substituted.values()), row.deleted)


def measure(model: str = "auto", split: str = "dev", most: int = 10_000, card: Path | None = None) -> dict:
    """All utterances.

    Args:
        most: utterances.
    """
    assessor = load_assessor(model, "cpu")
    phones: dict[str, Errors] = {}
    by_speaker: dict[str, Errors] = {}
    utterances = list(speech(split))[:most]
    for each in utterances:
        assessment = assessor(Recording.open(each.path), each.text)
        for row in assessment.by_phone():
            phones[row.phone] = phones.get(row.phone, Errors()) + errors_of(row)
        inserted = Errors(insertions=sum(assessment.inserted.values()))
        total = sum(map(errors_of, assessment.by_phone()), inserted)
        by_speaker[each.speaker] = by_speaker.get(each.speaker, Errors()) + total
    sums = by_speaker.values()
    rate = ratio([each.count for each in sums], [each.reference for each in sums])
    typical = {"all": rate.value} | {phone: errors.rate for phone, errors in sorted(phones.items())}
    if card is not None:
        put(card, typical_errors={name: round(value, 4) for name, value in typical.items()})
    return {
        "utterances": len(utterances),
        "speakers": len(by_speaker),
        "all": rate,
        "phones": {phone: [errors.reference, errors.rate] for phone, errors in sorted(phones.items())},
    }


def table(result: dict) -> str:
    rate, low, high = (100 * each for each in result["all"])
    phones = sorted(result["phones"].items(), key=lambda each: -each[1][1])
    return page(
        f"Phones of typical speakers that are taken for others or not heard, in per cent: {result['utterances']} "
        f"utterances of {result['speakers']} speakers. With what is inserted, {rate:.1f} ({low:.1f} to {high:.1f}).",
        grid(
            "phone | to be said | errors",
            [(name, count, f"{100 * each:.0f}") for name, (count, each) in phones],
        ),
        made_by(result),
    )
