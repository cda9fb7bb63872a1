"""Which recogniser learns most from the same speech in the same time?

Every method learns from the same speech (``configs/corpora/read_english_16k.yaml``) for so many seconds of one
processor, by the recipe of its name: how long a step takes is measured first, and so many steps are made. ``train`` can
be stopped and called again. Scored on speakers from whom nobody has learnt: by the plainest search and, where there is
CTC, with a language model too. What is said of these methods is held against the difference of two rows.

    python -m benchmarks one_budget_recognition train --seconds 3600 --runs runs/recognition      # hours
    python -m benchmarks one_budget_recognition score --runs runs/recognition
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch

from benchmarks.kit.claim import FOLDER
from benchmarks.kit.process import UNBABBLE, run, train
from benchmarks.kit.recognized import UNITS, error_rate, gain, recognized, spoken
from benchmarks.kit.table import grid, made_by, page
from unbabble.base.config import load_yaml
from unbabble.networks import load as networks
from unbabble.networks.cost import parameter_count
from unbabble.pipelines.recognize import Recognizer
from unbabble.text import language_models
from unbabble.text.ngram import NgramModel

METHODS = (
    "mean_encoder_decoder",
    "listen_attend_spell",
    "transformer_asr",
    "blstm_ctc",
    "joint_ctc_attention",
    "conformer_ctc",
)
CONFIGS = FOLDER.parent / "configs"
CORPUS = CONFIGS / "corpora" / "read_english_16k.yaml"
SHORT_SHARE, FLAT_SHARE, ATTENTION_SHARE = 0.05, 0.02, 0.12
"""Of the steps: with short utterances; of our own method, with a flat start, and before its attention learns."""
TIMED_STEPS = (10, 10, 40)
"""Of three runs, of which the first only compiles and fills caches."""
ALONE, WITH_LANGUAGE = "alone", "language model"
QUICK = {"seconds": 15.0, "utterances": 2, "methods": ["blstm_ctc", "joint_ctc_attention"]}
CLAIMS = {
    "attention is better than a mean": ("mean_encoder_decoder alone", "listen_attend_spell alone"),
    "joint is better than attention alone": ("listen_attend_spell alone", "joint_ctc_attention alone"),
    "joint is better than CTC alone": ("blstm_ctc alone", "joint_ctc_attention alone"),
    "a language model helps CTC": ("blstm_ctc alone", "blstm_ctc language model"),
    "a language model helps joint decoding": (
        "joint_ctc_attention alone",
        "joint_ctc_attention language model",
    ),
    "phones and a lexicon are better than pieces": (
        "joint_ctc_attention language model",
        "conformer_ctc language model",
    ),
}
"""What is said, of a row and one that should have fewer errors."""
PUBLISHED = """\
Published, other data and far more of it. Listen, attend and spell: 14.1 % of words wrong, with a language model 10.3
(2,000 hours of voice search). Speech-Transformer: 10.9 (WSJ, 80 hours). CTC: 30.5 % of phonemes (TIMIT, 3 hours). Joint
CTC and attention: 5.4 to 14.6 % fewer wrong characters than either alone (WSJ, CHiME-4). Conformer: 2.7 and 6.3 % of
words (LibriSpeech, 960 hours, 10 million parameters, test-clean and test-other, no language model). Of 5 hours, by
phones, a lexicon and LibriSpeech's own language models, small and large: Kaldi's GMM 18.1 and 13.5, its LF-MMI network
11.0 and 7.5 (dev-clean-2); of 100 hours, ESPnet's Conformer with CTC 7.7 and 20.6 (test-clean and test-other)."""
HEAD = "method | search | parameters | steps | processor seconds | words | characters | phones | real-time factor"
CELLS = (
    "{method} | {search} | {size:,} | {steps:,} | {cpu_s:,.0f} | {words:.1f} | {characters:.1f} | {phones:.1f} | "
    "{factor:.3f}"
)


def pace(name: str, runs: Path, changes: Sequence[str]) -> float:
    """Processor seconds of a step: a longer run's less a shorter one's, without what both begin with."""
    kept, taken = runs / f"{name}.pace.json", []
    for steps in TIMED_STEPS if not kept.is_file() else ():
        options = [*changes, f"steps={steps}", "validation_items=1", "train.sets.short.steps=1"]
        command = [*UNBABBLE, "train", str(CONFIGS / f"{name}.yaml"), str(CORPUS), "--device", "cpu"]
        with tempfile.TemporaryDirectory() as folder:
            command += ["--out", f"{folder}/run", *(word for each in options for word in ("--set", each))]
            taken.append(run(command)["cpu_s"])
    if taken:
        kept.write_text(json.dumps((taken[2] - taken[1]) / (TIMED_STEPS[2] - TIMED_STEPS[1])))
    measured = json.loads(kept.read_text())
    if measured <= 0:
        raise SystemExit(f"A step of {name} cannot take {measured:.2f} s: remove '{kept}' and measure again.")
    return measured


def learn(name: str, runs: Path, seconds: float, changes: Sequence[str]) -> None:
    """For so many processor seconds, by its own recipe."""
    runs.mkdir(parents=True, exist_ok=True)
    steps = max(20, round(seconds / pace(name, runs, changes)))
    every = {"steps": steps, "validate_every": -(-steps // 4), "save_every": -(-steps // 40)}
    recipe = load_yaml(CONFIGS / f"{name}.yaml") | every
    if "task" in recipe:
        own = {"flat_start_steps": FLAT_SHARE, "attention_from_step": ATTENTION_SHARE}
        recipe["task"] = {option: round(share * steps) for option, share in own.items()}
    short = f"train.sets.short.steps={max(1, round(SHORT_SHARE * steps))}"
    train(recipe, runs / name, CORPUS, set=[short, *changes])


def scores(weights: Path, language: str, split: str, utterances: int) -> Iterator[tuple[str, dict]]:
    """By search, what was wrong."""
    network = networks.ready(str(weights), torch.device("cpu"), "recognizer")
    said = spoken(split, utterances, "packaged" if "phones" in network.targets else None)
    searches: dict[str, NgramModel | None] = {ALONE: None}
    if language != "none" and all(network.posteriors(torch.zeros(1, 16000), torch.tensor([16000]))):
        searches[WITH_LANGUAGE] = language_models.find(language)
    for search, model in searches.items():
        counts, factor = recognized(Recognizer(network, model), said, None if model else network)
        yield search, {"counts": counts, "factor": factor, "size": parameter_count(network)}


def measure(
    before: dict,
    what: Literal["train", "score"],
    /,
    runs: Path = Path("runs/recognition"),
    seconds: float = 3600.0,
    methods: Annotated[Sequence[str], METHODS] = METHODS,
    language: str = "auto",
    split: str = "test",
    utterances: int = 1000,
    changes: Sequence[str] = (),
) -> Iterator[dict]:
    """Train, or score what is trained.

    Args:
        seconds: of a processor, for each method.
        methods: to train, or to score.
        language: the language model: auto for the packaged one, a file, or none.
        utterances: to score, at most.
        changes: of every recipe, as ``train --set`` takes them.
    """
    for name in methods if what == "train" else ():
        learn(name, runs, seconds, changes)
    before.pop("machine", None)  # that of the last run is named
    for name in methods if what == "score" else ():
        weights = runs / name / "best.safetensors"
        if weights.is_file():
            about = {"method": name, "steps": load_yaml(weights.with_name("recipe.yaml"))["steps"]}
            about["cpu_s"] = about["steps"] * pace(name, runs, changes)
            for search, row in scores(weights, language, split, utterances):
                rows = before.setdefault("splits", {}).setdefault(split, {})
                rows[f"{name} {search}"] = about | {"search": search} | row
            yield before


def compared(rows: dict[str, dict]) -> Iterator[dict]:
    """What is said of two rows, and by how much fewer words and characters are wrong; words decide."""
    for said, (worse, better) in CLAIMS.items():
        if worse in rows and better in rows:
            pair = rows[worse]["counts"], rows[better]["counts"]
            less = gain(*pair, "words")
            verdict = "confirmed" if less.low > 0 else "refuted" if less.high < 0 else "undecided"
            yield {
                "said": said,
                "words": list(less),
                "characters": list(gain(*pair, "characters")),
                "verdict": verdict,
            }


def table(result: dict) -> str:
    """For each split its rows, and the verdicts."""
    blocks = []
    for split, rows in result["splits"].items():
        shown = (
            row | {unit: list(error_rate(row["counts"], unit)) for unit in UNITS if unit in row["counts"]}
            for row in rows.values()
        )
        verdicts = grid(
            "what is said | fewer of a hundred words wrong | of characters | verdict by words",
            compared(rows),
            "{said} | {words:.1f} | {characters:.1f} | {verdict}",
        )
        blocks += [
            f"Split {split}: per cent that is wrong (95 % interval over speakers).",
            grid(HEAD, shown, CELLS),
            verdicts,
        ]
    return page(*blocks, "Processor seconds are those of the steps.", PUBLISHED, made_by(result))
