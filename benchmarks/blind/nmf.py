"""What do trained dictionaries reach on one microphone?

NMF on pairs of real voices, beside the ideal ratio mask. Two talkers of ``speech/test`` at 0 dB, one channel, no room.
Each talker's dictionary is trained on other utterances of the same talker. Divergence, rank and exponents were chosen
on ``speech/dev``: 15 settings on the six pairs of its four talkers, where the KL settings with 16 to 32 spectra could
not be told apart (4.4 to 4.8 dB, standard error 0.4 to 0.6). The test split chose nothing.

    python -m benchmarks nmf                # minutes
"""

import time
from collections import defaultdict

import numpy as np
import torch

from benchmarks.kit.scenes import RATE, by_speaker
from benchmarks.kit.table import grid, page
from unbabble.base import audio
from unbabble.data.corpora import Utterance
from unbabble.methods.separation.nmf import Nmf, train_dictionary
from unbabble.signal.metrics import si_sdr
from unbabble.signal.statistics import bootstrap
from unbabble.signal.stft import Stft

EXAMPLE_SECONDS, MIXTURE_SECONDS = 30.0, (4.0, 8.0)
DIVERGENCES = ("kl", "is", "euclidean")
QUICK = {"count": 2, "iterations": 20}


def talkers() -> dict[str, tuple[list[Utterance], list[Utterance]]]:
    """For each talker the utterances to learn from (``EXAMPLE_SECONDS``), and those to mix."""
    result = {}
    for name, utterances in by_speaker("test").items():
        examples = []
        while utterances and sum(each.seconds for each in examples) < EXAMPLE_SECONDS:
            examples, utterances = [*examples, utterances[0]], utterances[1:]
        if mixed := [each for each in utterances if each.seconds >= MIXTURE_SECONDS[0]]:
            result[name] = examples, mixed
    return result


def ideal_ratio_mask(references: torch.Tensor) -> torch.Tensor:
    """The sources' true magnitudes as shares: what no mask of this kind can pass by much."""
    transform = Stft(1024, 256)
    spectra = transform.analyse(references.double())
    shares = spectra.abs() / spectra.abs().sum(0).clamp(min=1e-30)
    return transform.synthesise(shares * spectra.sum(0), references.shape[-1])


def read(utterance: Utterance) -> torch.Tensor:
    return audio.read(utterance.path).samples[0]


def measure(count: int = 40, rank: int = 16, iterations: int = 100, seed: int = 0) -> dict:
    people, rng = talkers(), np.random.default_rng(seed)
    dictionaries: dict[tuple[str, str], torch.Tensor] = {}
    scores: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    alike, heard = [], 0.0
    for _ in range(count):
        pair = [str(name) for name in rng.choice(sorted(people), 2, replace=False)]
        files = [people[name][1][rng.choice(len(people[name][1]))] for name in pair]
        voices = [read(file)[: round(MIXTURE_SECONDS[1] * RATE)] for file in files]
        length = min(map(len, voices))
        references = torch.stack([voice[:length] / voice[:length].norm() for voice in voices])
        mixture, heard = references.sum(0), heard + length / RATE
        alike.append(files[0].sex == files[1].sex)
        estimates = {"mixture": torch.stack([mixture, mixture])}
        for divergence in DIVERGENCES:
            for name in pair:
                if (name, divergence) not in dictionaries:
                    spoken = [torch.cat([read(each) for each in people[name][0]])]
                    options = {"divergence": divergence, "iterations": iterations}
                    dictionaries[name, divergence] = train_dictionary(spoken, rank, **options)
            trained = [dictionaries[name, divergence] for name in pair]
            separator = Nmf(divergence, dictionaries=trained, iterations=iterations)
            start = time.perf_counter()
            separated = separator(mixture[None, None], sample_rate=RATE)[0]
            seconds[f"nmf.{divergence}"] += time.perf_counter() - start
            order = [separator.labels[0].index(f"dictionary {k}") for k in (1, 2)]
            estimates[f"nmf.{divergence}"] = separated[order]
        estimates["ideal ratio mask"] = ideal_ratio_mask(references)
        before = si_sdr(mixture.expand_as(references).double(), references.double(), zero_mean=True)
        for name, each in estimates.items():
            after = si_sdr(each.double(), references.double(), zero_mean=True)
            scores[name].append(float((after - before).mean()))
    same, methods = np.array(alike), {}
    for name, values in scores.items():
        mean, *interval = (round(each, 2) for each in bootstrap(values))
        methods[name] = {
            "si_sdr_improvement_db": mean,
            "interval_95": interval,
            "same_sex_db": round(float(np.array(values)[same].mean()), 2),
            "different_sex_db": round(float(np.array(values)[~same].mean()), 2),
            "worst_db": round(float(np.min(values)), 2),
            "real_time_factor": round(seconds[name] / heard, 3) if name in seconds else None,
            "each_db": [round(value, 2) for value in values],
        }
    methods["same_sex_mixtures"] = int(same.sum())
    return {"count": count, "rank": rank, "iterations": iterations, "methods": methods}


def table(result: dict) -> str:
    machine = result["machine"]
    rows = {name: row for name, row in result["methods"].items() if isinstance(row, dict)}
    for row in rows.values():
        row["factor"] = "-" if row["real_time_factor"] is None else row["real_time_factor"]
    return page(
        "# NMF with trained dictionaries, two real voices, one microphone",
        f"`{result['command']}`: {result['count']} mixtures of test talkers at 0 dB "
        f"({result['methods']['same_sex_mixtures']} of talkers of the same sex), seed {result['seed']}, "
        f"{EXAMPLE_SECONDS:.0f} s of other utterances per talker, {result['rank']} spectra each, "
        f"{result['iterations']} iterations. The real-time factor leaves out the training. "
        f"Machine: {machine if isinstance(machine, str) else machine['cpu'] + ', one thread'}.",
        grid(
            "| SI-SDRi, dB | 95 % interval | same sex | different sex | worst | real-time factor",
            rows,
            "{name} | {si_sdr_improvement_db} | {interval_95[0]} ... {interval_95[1]} | {same_sex_db} "
            "| {different_sex_db} | {worst_db} | {factor}",
        ),
    )
