"""How well is one enrolled person extracted from two talkers, and how often does the other one come out?

    python benchmarks/extraction.py --models auto sepformer.2talkers_8k bsrnn.2talkers_8k \\
      runs/td_speakerbeam/best.safetensors runs/voicefilter/best.safetensors    # as their configs say
    python benchmarks/extraction.py --thresholds      # on dev: from what likeness on voices are of one person
    python benchmarks/extraction.py --several         # on dev: what an enrollment of several at once is told by

Test speakers two at a time, clean, and in test noises and rooms; the enrollment is another 4 s of the person, clean.
A model that separates is followed by the packaged embedder, which tells whose voices they are; ``auto`` is several, of
which a blind score chooses one for each mixture.
Beside the extractors: the mixture itself; the separator for two talkers, of whose voices the right one is taken by an
oracle, or by chance; the ideal ratio mask. *wrong*: the other talker comes out (its SI-SDR is the higher one).
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from itertools import product
from pathlib import Path

import common
import numpy as np
import torch
from enhance import fairness, fairness_cells
from scipy.signal import fftconvolve

from unbabble.base.audio import Audio, read, resample
from unbabble.data import corpora
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.data.mixing import MixtureSet
from unbabble.data.rooms import MeasuredRooms
from unbabble.networks import load as networks
from unbabble.networks.cost import parameter_count
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.pipelines.chosen_voice import ChosenVoice
from unbabble.pipelines.extract import (
    EMBEDDER,
    Several,
    counted_by_array,
    likeness_of_parts,
    load_extractor,
    probability_of_several,
)
from unbabble.signal.metrics import si_sdr
from unbabble.signal.stft import Stft

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("UNBABBLE_DATA", "../shared/data"))
NAME, SEED, RATE, SECONDS, ENROLLED_SECONDS = "extraction", 0, 8000, 4.0, 4.0
SEPARATOR = "bsrnn.2talkers_8k"
ARRAY, ARRAY_RATE = (0, 1, 2, 5, 3, 4, 6), 16000
"""Microphones in the order in which they join, as in ``mixtures.py``."""
PUBLISHED = """\
Published: VoiceFilter 2.5 to 12.6 dB median SDR with LibriSpeech (Wang et al., Interspeech 2019), of which reruns
reached 4.5 to 10.2 dB; trained for days with a hundred times as much speech and ten times as many speakers."""


def recordings(each: int, split: str):
    """(condition, who talks, mixture, voices, enrollments)."""
    speech = DATA / "speech.csv"
    noises = split if split == "test" else "train"
    conditions = {
        "clean": {},
        "noisy, reverberant": {
            "noise": DATA / "noise.csv",
            "noise_split": noises,
            "noise_share": 1.0,
            "snr_db": (5.0, 20.0),
            "rooms": DATA / "rir.csv",
            "room_share": 1.0,
        },
    }
    alone = DynamicMixtures(
        DynamicMixing(speech, split, talkers=(1,), seconds=ENROLLED_SECONDS, sample_rate=RATE), SEED
    )
    for condition, options in conditions.items():
        mixing = DynamicMixing(
            speech, split, talkers=(2,), seconds=SECONDS, sample_rate=RATE, overlap=(0.8, 1.0), **options
        )
        mixtures = DynamicMixtures(mixing, SEED)
        for index in range(each):
            rng = np.random.default_rng([SEED, index])
            drawn = mixtures.drawn(rng)
            enrolled = [
                torch.from_numpy(alone.drawn(rng, [speaker], drawn.excerpts).item.mixture)
                for speaker in drawn.speakers
            ]
            people = [{"speaker": name, "sex": mixtures.sex_of(name)} for name in map(str, drawn.speakers)]
            yield (
                condition,
                people,
                torch.from_numpy(drawn.item.mixture),
                torch.from_numpy(drawn.item.sources),
                enrolled,
            )


def ideal(mixture: torch.Tensor, voice: torch.Tensor) -> torch.Tensor:
    transform = Stft(256, 64)
    mine, rest = (transform.analyse(each).abs().square() for each in (voice, mixture - voice))
    return transform.synthesise(
        mine / (mine + rest).clamp(min=1e-12) * transform.analyse(mixture), len(mixture)
    )


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["auto"])
    parser.add_argument("--thresholds", action="store_true")
    parser.add_argument("--several", action="store_true")
    parser.add_argument("--each", type=int, default=50, help="mixtures for each condition")
    parser.add_argument("--split", default="test")
    parser.add_argument("--name", default=NAME)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.thresholds:
        thresholds(arguments)
        return
    if arguments.several:
        several(arguments)
        return
    extractors = {}
    for name in arguments.models:
        network = load_extractor(name, "cpu")[1]
        label = Path(name).parent.name if name.endswith(".safetensors") else name
        extractors[f"{label}, {EMBEDDER}" if isinstance(network, ChosenVoice) else label] = network
    separator = networks.load(SEPARATOR, "separator").network
    rng, rows = np.random.default_rng(SEED), []
    for condition, people, mixture, voices, enrolled in recordings(arguments.each, arguments.split):
        sexes = "same sex" if people[0]["sex"] == people[1]["sex"] else "both sexes"
        separated = separator.estimate(mixture[None])[0]
        guess = int(rng.integers(2))
        for number, voice in enumerate(voices):
            other = voices[1 - number]
            of_each = si_sdr(separated, voice.expand_as(separated))
            found = {
                "mixture": (mixture, 0.0),
                f"{SEPARATOR}, oracle": (separated[int(of_each.argmax())], 0.0),
                f"{SEPARATOR}, by chance": (separated[guess if number else 1 - guess], 0.0),
                "ideal ratio mask": (ideal(mixture, voice), 0.0),
            }
            for name, network in extractors.items():
                began = time.perf_counter()
                told = network(mixture[None, None], enrollment=enrolled[number])[0, 0]
                found[name] = (told, (time.perf_counter() - began) / SECONDS)
            for name, (estimate, factor) in found.items():
                right, wrong, before = (
                    float(si_sdr(one[None], two[None]))
                    for one, two in ((estimate, voice), (estimate, other), (mixture, voice))
                )
                about = {"model": name, "condition": condition, "sexes": sexes, "factor": factor}
                silent = not estimate.any()
                told_of = {"si_sdri_db": right - before, "wrong": not silent and wrong > right}
                rows.append(about | people[number] | told_of | {"silent": silent})
    names = list(dict.fromkeys(row["model"] for row in rows))
    table = {name: summary([row for row in rows if row["model"] == name]) for name in names}
    for name, network in extractors.items():
        table[name] |= {"parameters": parameter_count(network)}
    result = {"machine": common.machine(), "command": common.command(), "seed": SEED, "models": table}
    result = common.rounded(result | {"mixtures": 2 * arguments.each}, 3)
    common.save(arguments.name, result)
    text = text_of(result)
    (RESULTS / f"{arguments.name}.md").write_text(text)
    print(text)


def thresholds(arguments: argparse.Namespace) -> None:
    """How alike separated voices and enrollments are, and the parts of an enrollment, of one person and of two."""
    found = defaultdict(list)
    for name in arguments.models:
        network = load_extractor(SEPARATOR if name == "auto" else name, "cpu")[1]
        assert isinstance(network, ChosenVoice)
        people, kept = [], []
        for _, _, mixture, voices, enrolled in recordings(arguments.each, "dev"):
            separated = network.separated(mixture / mixture.square().mean().sqrt())
            order = si_sdr(separated[:, None], voices[None]).argmax(0)
            people.append([network.enrolled(each) for each in enrolled])
            kept.append(separated[order])
            found["voice, enrolled"] += [
                float(network.likeness(voice[None, None], person))
                for voice, person in zip(kept[-1], people[-1], strict=True)
            ]
            found["voice, the other"] += [
                float(network.likeness(voice[None, None], person))
                for voice, person in zip(kept[-1], people[-1][::-1], strict=True)
            ]
            if len(people) > 1:
                found["best voice, nobody of them"] += [
                    float(network.likeness(kept[-1][None], person).max()) for person in people[-2]
                ]
            embedder = networks.load(EMBEDDER, "embedder").network
            assert isinstance(embedder, NeuralEmbedder)
            for number in range(2):
                found["enrollment of one"].append(likeness_of_parts(embedder, enrolled[number], RATE))
            half = len(enrolled[0]) // 2
            found["enrollment of two in turn"].append(
                likeness_of_parts(embedder, torch.cat([enrolled[0][:half], enrolled[1][half:]]), RATE)
            )
    levels = (1, 2, 5, 10, 25, 50, 75, 90, 95, 98, 99)
    lines = [
        f"Cosines of embeddings ({EMBEDDER}), by share of the cases that lie below, dev speakers.",
        "",
        "| case | " + " | ".join(f"{level} %" for level in levels) + " |",
        "|-" * (1 + len(levels)) + "|",
    ]
    for case, values in found.items():
        cells = [f"{np.percentile(values, level):.2f}" for level in levels]
        lines.append(f"| {case} ({len(values)}) | " + " | ".join(cells) + " |")
    lines += ["", f"{common.machine()['cpu']}; seed {SEED}. Made by", "", f"    {common.command()}"]
    text = "\n".join(lines) + "\n"
    (RESULTS / f"{NAME}_thresholds.md").write_text(text)
    print(text)


def enrollments(each: int):
    """(talkers, recording of seven microphones at 16 kHz) of dev speakers, half in noise."""
    speech = tuple(corpora.speech(DATA / "speech.csv", "dev"))
    noise = tuple(corpora.noises(DATA / "noise.csv", "train"))
    places = tuple(corpora.responses(DATA / "rir.csv", "dev"))
    room = MeasuredRooms(places, channels=ARRAY, distance_m=(1.0, 2.0))
    for seconds, talkers, (around, snr_db) in product((4.0, 10.0), (1, 2, 3), (((), 30.0), (noise, 10.0))):
        scenes = MixtureSet(
            speech=speech,
            room=room,
            talkers=talkers,
            microphones=len(ARRAY),
            seconds=seconds,
            count=each,
            seed=SEED + 1,
            noise=around,
            snr_db=snr_db,
        )
        for number in range(each):
            yield talkers, torch.from_numpy(scenes[number].mixture).float()
    rng = np.random.default_rng(SEED)
    for seconds, snr_db, _ in product((4.0, 10.0), (10.0, 20.0), range(each)):
        heard = room.draw(rng, 2, len(ARRAY), ARRAY_RATE)
        utterance = read(speech[rng.integers(len(speech))].path).samples[0]
        sound = read(noise[rng.integers(len(noise))].path)
        sound = resample(sound.samples[0], sound.sample_rate, ARRAY_RATE)
        samples = round(seconds * ARRAY_RATE)
        voice, disturbance = (
            np.stack([fftconvolve(np.resize(each, samples), path)[:samples] for path in paths])
            for each, paths in zip((utterance.numpy(), sound.numpy()), heard.responses, strict=True)
        )
        gain = np.sqrt(np.mean(voice**2) / np.mean(disturbance**2) * 10 ** (-snr_db / 10))
        yield 1, torch.from_numpy(voice + gain * disturbance).float()


def several(arguments: argparse.Namespace) -> None:
    """Which enrollments are doubted and refused because several talk at once, by the number of microphones."""
    rows = []
    for talkers, samples in enrollments(arguments.each):
        probability = probability_of_several(Audio(samples[:1], ARRAY_RATE))
        for microphones in (1, 3, 4, 7):
            told = Several(probability, counted_by_array(Audio(samples[:microphones], ARRAY_RATE)))
            rows.append((microphones, talkers, told.perhaps or told.surely, told.surely))
    lines = [
        "Enrollments that are doubted (or worse) and refused because several talk at once: dev speakers in a measured "
        "room, 4 and 10 s, half in noise of 10 dB; of the single ones as many again beside one noise, 10 or 20 dB.",
        "",
        "| microphones | one talks: doubted | refused | two: doubted | refused | three: doubted | refused |",
        "|-|-|-|-|-|-|-|",
    ]
    for microphones in sorted({row[0] for row in rows}):
        cells = []
        for talkers in (1, 2, 3):
            there = [row[2:] for row in rows if row[:2] == (microphones, talkers)]
            cells += [f"{100 * share:.1f} %" for share in np.mean(there, 0)]
        lines.append(f"| {microphones} | " + " | ".join(cells) + " |")
    counts = ", ".join(
        f"{sum(row[:2] == (1, talkers) for row in rows)} of {talkers}" for talkers in (1, 2, 3)
    )
    lines += ["", f"Recordings: {counts} talking. {common.machine()['cpu']}; seed {SEED + 1}. Made by", ""]
    text = "\n".join([*lines, f"    {common.command()}"]) + "\n"
    (RESULTS / f"{NAME}_several.md").write_text(text)
    print(text)


def summary(rows: list[dict]) -> dict:
    groups = {key: sorted({row[key] for row in rows}) for key in ("condition", "sexes")}
    found: dict = {}
    for key, values in groups.items():
        for value in values:
            there = [row for row in rows if row[key] == value]
            shares = [float(np.mean([row[kind] for row in there])) for kind in ("wrong", "silent")]
            heard = [row["si_sdri_db"] for row in there if not row["silent"]]
            found[value] = [*common.interval(heard), *shares]
    found["factor"] = float(np.median([row["factor"] for row in rows]))
    return found | fairness([row for row in rows if not row["silent"]])


def text_of(result: dict) -> str:
    """The table."""
    columns = ["clean", "noisy, reverberant", "same sex", "both sexes"]
    lines = [
        "SI-SDR improvement in dB (95 % interval over voices that came out) / how often the other talker comes out / "
        "how often nobody; SI-SDR improvement of women, of men, of the worst tenth of the speakers.",
        "",
        "| model | parameters | real-time factor | "
        + " | ".join(columns)
        + " | women | men | worst speakers |",
        "|-" * (6 + len(columns)) + "|",
    ]
    for name, row in result["models"].items():
        cells = [name, row.get("parameters", ""), row["factor"] or ""]
        for column in columns:
            if column not in row:
                cells.append("")
                continue
            mean, low, high, *shares = row[column]
            told = " / ".join(f"{100 * share:.0f} %" for share in shares)
            cells.append(f"{mean:.2f} ({low:.2f} to {high:.2f}) / {told}")
        lines.append("| " + " | ".join(map(str, [*cells, *fairness_cells(row)])) + " |")
    lines += [
        "",
        f"{result['mixtures']} mixtures of {SECONDS:g} s, each of its voices extracted once.",
        "",
        PUBLISHED,
        "",
        f"{result['machine']['cpu']}, {result['machine']['date']}; seed {result['seed']}. Made by",
        "",
        f"    {result['command']}",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
