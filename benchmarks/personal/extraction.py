"""Whose voice comes out, and how good is it?

How well is one enrolled person extracted from two talkers, and how often does the other one come out? Test speakers two
at a time, clean, and in test noises and rooms; the enrollment is another 4 s of the person, clean. A model that
separates is followed by the packaged embedder, which tells whose voices they are; ``auto`` is several, of which a blind
score chooses one for each mixture. Beside the extractors: the mixture itself; the separator for two talkers, of whose
voices the right one is taken by an oracle, or by chance; the ideal ratio mask. *wrong*: the other talker comes out (its
SI-SDR is the higher one).

    python -m benchmarks extraction --each 40 --models auto sepformer.2talkers_8k bsrnn.2talkers_8k \\
      runs/td_speakerbeam/best.safetensors runs/voicefilter/best.safetensors    # as their configs say
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.kit.enrolled import SECONDS, SEPARATOR, recordings
from benchmarks.kit.people import FAIRNESS, IDEAL, fairness, ideal
from benchmarks.kit.table import figure, filled, grid, made_by, page
from unbabble.networks import load as networks
from unbabble.networks.cost import parameter_count
from unbabble.pipelines.chosen_voice import ChosenVoice
from unbabble.pipelines.extract import EMBEDDER, load_extractor
from unbabble.signal.metrics import si_sdr
from unbabble.signal.statistics import bootstrap

NAMES = ("extraction", "extraction_dev", "extraction_train")
SEED, DIGITS = 0, 3
COLUMNS = ("clean", "noisy, reverberant", "same sex", "both sexes")
PUBLISHED = """\
Published: VoiceFilter 2.5 to 12.6 dB median SDR with LibriSpeech (Wang et al., Interspeech 2019), of which reruns
reached 4.5 to 10.2 dB; trained for days with a hundred times as much speech and ten times as many speakers."""
QUICK = {"each": 2, "models": [SEPARATOR]}


def extractors(names: Sequence[str]) -> dict:
    """By what they are called in the table."""
    result = {}
    for name in names:
        network = load_extractor(name, "cpu")[1]
        label = Path(name).parent.name if name.endswith(".safetensors") else name
        result[f"{label}, {EMBEDDER}" if isinstance(network, ChosenVoice) else label] = network
    return result


@torch.no_grad()
def measure(models: Sequence[str] = ("auto",), each: int = 50, split: str = "test") -> dict:
    """Mixture by mixture."""
    calls, separator = extractors(models), networks.load(SEPARATOR, "separator").network
    rng, rows = np.random.default_rng(SEED), defaultdict(list)
    for condition, people, mixture, voices, enrolled in recordings(each, split):
        sexes = "same sex" if people[0]["sex"] == people[1]["sex"] else "both sexes"
        separated, guess = separator.estimate(mixture[None])[0], int(rng.integers(2))
        for number, voice in enumerate(voices):
            best = int(si_sdr(separated, voice.expand_as(separated)).argmax())
            result = {
                "mixture": (mixture, 0.0),
                f"{SEPARATOR}, oracle": (separated[best], 0.0),
                f"{SEPARATOR}, by chance": (separated[guess if number else 1 - guess], 0.0),
                IDEAL: (ideal(mixture, voice, 256), 0.0),
            }
            for name, network in calls.items():
                began = time.perf_counter()
                told = network(mixture[None, None], enrollment=enrolled[number])[0, 0]
                result[name] = told, (time.perf_counter() - began) / SECONDS
            for name, (estimate, factor) in result.items():
                right, wrong, before = (
                    float(si_sdr(one[None], two[None]))
                    for one, two in ((estimate, voice), (estimate, voices[1 - number]), (mixture, voice))
                )
                silent = not estimate.any()
                about = {"condition": condition, "sexes": sexes, "factor": factor, "silent": silent}
                gain = {"si_sdri_db": right - before, "wrong": not silent and wrong > right}
                rows[name].append(about | people[number] | gain)
    table = {name: summary(there) for name, there in rows.items()}
    for name, network in calls.items():
        table[name]["parameters"] = parameter_count(network)
    return {"models": table, "mixtures": 2 * each}


def summary(rows: list[dict]) -> dict:
    result: dict = {}
    for key in ("condition", "sexes"):
        for value in sorted({row[key] for row in rows}):
            there = [row for row in rows if row[key] == value]
            shares = [float(np.mean([row[kind] for row in there])) for kind in ("wrong", "silent")]
            result[value] = [*bootstrap([row["si_sdri_db"] for row in there if not row["silent"]]), *shares]
    result["factor"] = float(np.median([row["factor"] for row in rows]))
    return result | fairness([row for row in rows if not row["silent"]])


def table(result: dict) -> str:
    rows = []
    for name, row in result["models"].items():
        cells = [name, row.get("parameters", ""), row["factor"] or ""]
        for column in COLUMNS:
            shares = [f"{100 * share:.0f} %" for share in row.get(column, ())[3:]]
            cells.append(" / ".join([figure(row[column]), *shares]) if column in row else "")
        rows.append([*cells, *filled(FAIRNESS, row)])
    head = ["model", "parameters", "real-time factor", *COLUMNS, "women", "men", "worst speakers"]
    return page(
        "SI-SDR improvement in dB (95 % interval over voices that came out) / how often the other talker comes out / "
        "how often nobody; SI-SDR improvement of women, of men, of the worst tenth of the speakers.",
        grid(head, rows),
        f"{result['mixtures']} mixtures of {SECONDS:g} s, each of its voices extracted once.",
        PUBLISHED,
        made_by(result),
    )
