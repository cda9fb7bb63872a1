"""Blind scores on real recordings: do they rank separators as the truth does on synthetic ones, and grow with training?

    python benchmarks/real.py --stages "1000 steps=FILE" ...

Synthetic mixtures of two test speakers, with the truth; meetings (AMI): 4 s around each moment in which, by the
transcript, two talkers speak; and two and three talkers before seven microphones in a measured room, for the blind
methods. ``--stages`` are weights of one separator as its training went on.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import common
import numpy as np
import torch
from blind_score import DATA, TEST_ITEMS, family, sets_to_test, table_line, truth
from mixtures import load_mixtures
from scipy.stats import spearmanr

from unbabble.base import audio as audio_files
from unbabble.base.errors import InputError
from unbabble.pipelines import separate as hub
from unbabble.pipelines.score import BlindScorer
from unbabble.training.sets.separated import Separated, matched
from unbabble.verbs.bench import MIXTURE, default_models

NAME, SEED, SECONDS, LEAST_OVERLAP, RATE, MICROPHONES = "real", 0, 4.0, 0.25, 8000, 7
RESULTS = Path(__file__).parent / "results"
SYNTHETIC = ("clean", "noisy, reverberant")
MEETINGS, ARRAY = "meetings", "{} talkers, seven microphones"
BLIND = (MIXTURE, "auxiva.iss", "auxiva.ipa", "ilrma.ip")
Scored = dict[str, dict[str, list[tuple[float, float]]]]
"""By kind of mixture and model: estimated and true score of each recording (mean over its voices)."""


def overlaps(transcript: Path) -> list[float]:
    """Centres, in seconds, of the stretches in which at least two talkers speak."""
    turns = [tuple(map(float, line.split()[3:5])) for line in transcript.read_text().splitlines()]
    times = np.arange(0, max((start + length for start, length in turns), default=0), 0.01)
    talking = np.zeros(len(times) + 2, int)
    for start, length in turns:
        talking[1:-1] += (start <= times) & (times < start + length)
    edges = np.flatnonzero(np.diff((talking >= 2).astype(int)))
    return [
        float((start + end) / 200)
        for start, end in zip(edges[::2], edges[1::2], strict=True)
        if end - start >= 100 * LEAST_OVERLAP
    ]


def meetings() -> Iterator[torch.Tensor]:
    """Excerpts that do not overlap."""
    for transcript in sorted((DATA / "meetings").glob("*.rttm")):
        audio = next(audio_files.read_blocks(transcript.with_suffix(".flac"), 60.0))
        rate = audio_files.probe(transcript.with_suffix(".flac")).sample_rate
        heard, last = audio_files.resample(audio[0], rate, RATE), -SECONDS
        for centre in overlaps(transcript):
            start = min(max(0.0, centre - SECONDS / 2), len(heard) / RATE - SECONDS)
            if start >= last + SECONDS:
                yield heard[round(start * RATE) :][: round(SECONDS * RATE)]
                last = start


def score(
    found: Scored, kind: str, model: str, item: Separated, scorer: BlindScorer, known: bool = True
) -> None:
    told = scorer(torch.from_numpy(item.mixture), torch.from_numpy(item.estimates), RATE)
    true = float(truth(item).mean()) if known else float("nan")
    found[kind][model].append((float(np.mean([each.si_snr_db for each in told])), true))


def collect(models: list[str], scorer: BlindScorer, items: int) -> Scored:
    found: Scored = defaultdict(lambda: defaultdict(list))
    separators = {name: hub.load(name, "cpu") for name in models}
    sets = sets_to_test(TEST_ITEMS)
    for kind in SYNTHETIC:
        for number in range(items):
            some = sets[kind].of(number)[0]
            for name, separator in separators.items():
                estimates = separator(torch.from_numpy(some.mixture)[None], RATE).sources.numpy()
                item = Separated(
                    some.mixture,
                    estimates,
                    some.sources[matched(estimates, some.sources)],
                    some.sources,
                    name,
                )
                score(found, kind, name, item, scorer)
        print(kind, flush=True)
    for excerpt in meetings():
        for name, separator in separators.items():
            estimates = separator(excerpt[None], RATE).sources.numpy()
            item = Separated(excerpt.numpy(), estimates, estimates, estimates, name)
            score(found, MEETINGS, name, item, scorer, known=False)
    return found


def collect_arrays(scorer: BlindScorer, items: int) -> Scored:
    found: Scored = defaultdict(lambda: defaultdict(list))
    for talkers in (2, 3):
        for mixture in load_mixtures(talkers, MICROPHONES, items, SEED):
            heard = audio_files.resample(torch.from_numpy(mixture.mixture).float(), 16000, RATE)
            sources = audio_files.resample(
                torch.from_numpy(mixture.images[:, 0]).float(), 16000, RATE
            ).numpy()
            for name in BLIND:
                options = {} if name == MIXTURE else {"sources": talkers}
                try:
                    estimates = hub.load(name, "cpu", **options)(heard, RATE).sources.numpy()
                except InputError:
                    continue
                matching = sources[matched(estimates, sources)]
                item = Separated(heard[0].numpy(), estimates, matching, sources, name)
                score(found, ARRAY.format(talkers), name, item, scorer)
    return found


def table(found: Scored) -> tuple[list[str], dict]:
    """Lines, and the agreement of rankings: estimated with true, synthetic with real."""
    kinds = list(found)
    models = list(dict.fromkeys(name for kind in kinds for name in found[kind]))
    mean = {(kind, name): np.mean(np.array(found[kind][name]), 0) for kind in kinds for name in found[kind]}
    head = ["model"]
    for kind in kinds:
        head += [f"{kind}: estimated", f"{kind}: true"] if kind != MEETINGS else [f"{kind}: estimated (95 %)"]
    lines = [table_line(head), table_line("-" * len(head))]
    for name in models:
        cells = [name]
        for kind in kinds:
            values = np.array(found[kind][name])
            if kind == MEETINGS:
                _, low, high = common.interval(values[:, 0])
                cells.append(f"{values[:, 0].mean():.2f} ({low:.2f} to {high:.2f})")
            else:
                cells += [f"{each:.2f}" for each in values.mean(0)]
        lines.append(table_line(cells))
    agreement = {}
    ranked = [name for name in models if name != MIXTURE]
    if len(ranked) < 3:
        return lines, agreement
    for kind in kinds:
        if kind != MEETINGS:
            told, true = zip(*(mean[kind, name] for name in ranked), strict=True)
            agreement[f"{kind}: estimated with true"] = float(spearmanr(told, true)[0])
    if MEETINGS in kinds:
        real = [mean[MEETINGS, name][0] for name in ranked]
        for kind in SYNTHETIC:
            for column, label in enumerate(("estimated", "true")):
                other = [mean[kind, name][column] for name in ranked]
                agreement[f"{MEETINGS}: estimated, with {kind}: {label}"] = float(spearmanr(real, other)[0])
    return lines, agreement


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scorer", default="auto")
    parser.add_argument("--items", type=int, default=40)
    parser.add_argument("--models", nargs="*", default=[], help="beside the packaged ones")
    parser.add_argument("--stages", nargs="*", default=[], metavar="LABEL=FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scorer = BlindScorer(arguments.scorer)
    stages = dict(each.split("=", 1) for each in arguments.stages)
    result = {"machine": common.machine(), "command": common.command(), "scorer": scorer.name}
    text = [f"Mean SI-SNR in dB by model, as `{scorer.name}` estimates it, and true."]
    parts = {
        "One microphone, two talkers": collect(
            [MIXTURE, *default_models(), *arguments.models], scorer, arguments.items
        ),
        "Seven microphones": collect_arrays(scorer, arguments.items // 2),
    }
    if stages:
        found = collect(list(stages.values()), scorer, arguments.items)
        labels = {file: label for label, file in stages.items()}
        parts["One separator as its training goes on"] = {
            kind: {labels[name]: values for name, values in models.items()} for kind, models in found.items()
        }
    for title, found in parts.items():
        lines, agreement = table(found)
        ranks = [f"- {label}: {value:.2f}" for label, value in agreement.items()]
        text += [
            "",
            f"**{title}**",
            "",
            *lines,
            "",
            "Spearman's correlation of the models' means, without the recording itself:",
            "",
            *ranks,
        ]
        result[title] = {
            "mean_db": {
                f"{kind}, {family(name) if name.endswith('.safetensors') else name}": np.mean(
                    values, 0
                ).tolist()
                for kind, models in found.items()
                for name, values in models.items()
            },
            "rank_correlation": agreement,
        }
    excerpts = len(next(iter(parts["One microphone, two talkers"][MEETINGS].values())))
    text += ["", f"{arguments.items} synthetic mixtures of a kind, {excerpts} excerpts of meetings."]
    text += [
        "",
        f"{result['machine']['cpu']}, {result['machine']['date']}; seed {SEED}. Made by",
        "",
        f"    {result['command']}",
    ]
    common.save(NAME, common.rounded(result))
    (RESULTS / f"{NAME}.md").write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
