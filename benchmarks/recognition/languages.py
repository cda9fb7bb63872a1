"""What does the recipe of our recogniser make of a few minutes of another language?

A hundred recordings of a language, MP3 each with its text beside it, of which every fifth is held out: those of Common
Voice 6.1 that a public sample has (R. Ardila et al., LREC 2020; CC0). `train` learns to write their characters, from
nothing and from the packaged English recogniser, whose parts fit but for the letters. Characters that are wrong of what
is held out, before and after, by the likeliest character of each frame; of English before, by the letters of its pieces
of words. Intervals are over recordings.

    git clone https://github.com/omnilingo/rsample-100-cv-corpus-6.1-2020-12-11 languages
    python -m benchmarks languages --corpus languages --runs runs/languages     # five minutes on one core
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from benchmarks.kit.claim import FOLDER
from benchmarks.kit.process import train
from benchmarks.kit.table import grid, made_by, page
from unbabble.base.config import load_yaml
from unbabble.data.transcribed import Transcribed
from unbabble.networks import load as networks
from unbabble.nn.kinds.recognizer import NeuralRecognizer
from unbabble.pipelines.recognize import recognizer_name
from unbabble.signal.statistics import ratio
from unbabble.text.ctc_search import greedy
from unbabble.text.errors import character_errors

CONFIGS = FOLDER.parent / "configs"
RECIPE, CORPUS = CONFIGS / "conformer_ctc.yaml", CONFIGS / "corpora" / "transcribed_folder.yaml"
NOTHING, ENGLISH = "nothing", "English"
BATCH_SECONDS, WARM_SHARE, AVERAGE = 16, 0.1, 0.98
QUICK = {"languages": ["de"], "steps": 2, "starts": [ENGLISH]}


def folder_of(corpus: Path, language: str, out: Path) -> Path:
    """A folder of recordings, each with its text beside it, made of a table of Common Voice."""
    out.mkdir(parents=True, exist_ok=True)
    table, clips = corpus / language / "validated.tsv", (corpus / language / "clips").resolve()
    with open(table, encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            sound = out / row["path"]
            if not sound.exists():
                sound.symlink_to(clips / row["path"])
            sound.with_suffix(".txt").write_text(row["sentence"] + "\n", encoding="utf-8")
    return out


def learn(folder: Path, language: str, start: str, steps: int, out: Path, model: str) -> Path:
    """By the recipe, with what so few steps need; gives the weights."""
    recipe = load_yaml(RECIPE) | {
        "task": {"attention_from_step": 0},
        "steps": steps,
        "warmup_steps": round(WARM_SHARE * steps),
        "average": AVERAGE,
        "validate_every": steps,
        "save_every": max(1, steps // 4),
    }
    changes = ["options.phones=false", f"train.batch_seconds={BATCH_SECONDS}"]
    for section in ("train", "validation"):
        changes += [f"{section}.speech=[{folder}]", f"{section}.language={language}"]
    options = ["--from", recognizer_name(model)] if start == ENGLISH else []
    train(recipe, out, CORPUS, set=changes, options=options)
    return out / "best.safetensors"


@torch.no_grad()
def errors_of(network: NeuralRecognizer, held_out: Transcribed) -> list[list[int]]:
    """Of each recording: wrong characters, and characters."""
    items, rows = held_out.open(0), []
    for number in range(len(items.lengths)):
        waveform = torch.from_numpy(items[number].waveform)[None]
        (said,) = network.posteriors(waveform, torch.tensor([waveform.shape[1]]))
        text = greedy(said["text"].log_probs, network.tokens.inventory).text
        wrong = character_errors(items[number].text, text)
        rows.append([wrong.count, wrong.reference])
    return rows


def measure(
    corpus: Path | None = None,
    languages: Sequence[str] = ("de", "es"),
    starts: Sequence[str] = (ENGLISH, NOTHING),
    steps: int = 200,
    runs: Path = Path("runs/languages"),
    model: str = "auto",
    before: dict | None = None,
) -> Iterator[dict]:
    """Language by language; trainings go on where they were.

    Args:
        corpus: folder with one of each language, as Common Voice has them; without it, nothing is measured.
        languages: codes of two letters.
        starts: English, nothing.
        steps: of each training.
        runs: folder of texts and trainings.
        model: the English recogniser.
    """
    result = {"rows": []} | (before or {})
    if corpus is None or not corpus.is_dir():
        print("Nothing is measured: --corpus names a folder with one of each language.", flush=True)
        return
    for language in languages:
        folder = folder_of(corpus, language, runs / "texts" / language).resolve()
        held_out = Transcribed((folder,), held_out=True, language=language)
        learnt = Transcribed((folder,), held_out=False, language=language)
        minutes = sum(each.seconds for each in learnt.utterances) / 60
        about = {"language": language, "recordings": len(learnt.utterances), "minutes": minutes}
        for start in starts:
            this = language, start, steps
            if any((row["language"], row["start"], row["steps"]) == this for row in result["rows"]):
                continue
            out = runs / f"{language}_{start.lower()}_{steps}"
            after = networks.ready(
                str(learn(folder, language, start, steps, out, model)), torch.device("cpu")
            )
            row = about | {"start": start, "steps": steps, "after": errors_of(after, held_out)}
            if start == ENGLISH:
                english = networks.ready(recognizer_name(model), torch.device("cpu"))
                row["before"] = errors_of(english, held_out)
            result["rows"].append(row)
            yield result
    yield result


def table(result: dict) -> str:
    rows = []
    for row in result["rows"]:
        kept = {key: value for key, value in row.items() if key not in ("before", "after")}
        for when in ("before", "after"):
            if when in row:
                wrong, characters = zip(*row[when], strict=True)
                kept[when] = [100 * part for part in ratio(wrong, characters)]
        rows.append(kept | {"held_out": len(row["after"])})
    return page(
        "Characters that are wrong, in per cent (95 % interval over recordings).",
        grid(
            "language | recordings | minutes | from | steps | held out | before | after",
            rows,
            "{language} | {recordings} | {minutes:.1f} | {start} | {steps} | {held_out} | {before:.0f} | {after:.0f}",
        ),
        made_by(result),
    )
