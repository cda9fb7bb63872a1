"""How did the packaged recogniser learn, validation by validation?

What `unbabble train` keeps in the folders of its runs, one run after another: what is wrong of the first 60 utterances
of dev without any search, the likeliest token of each frame at the end of the network. The packaged network learnt in
two runs, the second from the weights of the first:

    unbabble train configs/conformer_ctc.yaml configs/corpora/read_english_16k.yaml --out runs/first
    unbabble train configs/conformer_ctc.yaml configs/corpora/read_english_noisy_16k.yaml --out runs/second \\
        --from runs/first --set steps=15000 --set learning_rate=1.5e-3 --set average_rises=false \\
        --set task.flat_start_steps=0 --set task.attention_from_step=0 --set validation_items=60
    python -m benchmarks learning_curve runs/first --then runs/second
"""

from pathlib import Path

from benchmarks.kit import plot as figures
from benchmarks.kit.process import validations
from benchmarks.kit.table import grid, made_by, page

RATES = {"phones": "phone_error_rate", "characters": "character_error_rate", "words": "word_error_rate"}


def measure(run: str, /, then: str = "") -> dict:
    """Both runs, one after the other.

    Args:
        run: the folder of the first.
        then: that of one which began with its weights.
    """
    rows, steps, hours = [], 0.0, 0.0
    for number, folder in enumerate(filter(None, (run, then)), 1):
        read = validations(Path(folder))
        rows += [
            {
                "run": number,
                "step": steps + each["step"],
                "hours": hours + each["hours"],
                "loss": each["loss"],
            }
            | {name: 100 * each[key] for name, key in RATES.items()}
            for each in read
        ]
        steps, hours = rows[-1]["step"], rows[-1]["hours"]
    return {"rows": rows}


def table(result: dict) -> str:
    return page(
        "Wrong of 60 utterances of dev without any search, in per cent, while the packaged recogniser learnt; hours of "
        "one core of a machine that did other work too.",
        grid(
            "run | step | hours | loss | phones | characters | words",
            result["rows"],
            "{run} | {step:,.0f} | {hours:.2f} | {loss:.2f} | {phones:.1f} | {characters:.1f} | {words:.1f}",
        ),
        made_by(result),
    )


def plot(result: dict) -> None:
    figure, ((axis,),) = figures.axes(figsize=(7, 4))
    for name in RATES:
        axis.plot([row["hours"] for row in result["rows"]], [row[name] for row in result["rows"]], label=name)
    axis.set_xlabel("hours of one core")
    axis.set_ylabel("wrong, % (no search)")
    axis.set_ylim(0)
    axis.legend()
    figures.write(figure, "learning_curve")
