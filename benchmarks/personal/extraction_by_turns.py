"""Does only the enrolled person come out of a conversation?

Made conversations of two minutes (``diarization``) of two to four speakers of a split in a measured room; in each the
talker of the second utterance is enrolled by half a dozen seconds that are not in it, clean. ``extract`` as its user
has it, which keeps the person's turns where talkers take turns, and by the networks alone. Half seconds in which
nobody else talks are *missed* where the voice has less than a tenth of the person's power; those in which only others
talk have *leaked* where it has more than a tenth of theirs; of those with both, the *wrong* ones are nearer to the
others.

    python -m benchmarks extraction_by_turns
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from benchmarks.kit.conversations import condition, conversations
from benchmarks.kit.scenes import RATE, by_speaker, said
from benchmarks.kit.table import figure, grid, made_by, page
from unbabble.pipelines.extract import enrollment_of, extract_file, load_extractor
from unbabble.pipelines.extract_by_turns import extract_by_turns
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.talkers_heard import Ears
from unbabble.pipelines.verify import load_verifier
from unbabble.signal.metrics import si_sdr
from unbabble.signal.statistics import bootstrap

SEED, CELL_SECONDS, ENROLLED_SECONDS = 0, 0.5, 6.0
ALONE, HEARD, AUDIBLE = 0.01, 0.1, 1e-3
"""Shares of power: of others beside one who talks alone; of a voice that is heard; of the loudest cell."""
HOW = {"networks": "by networks", "turns": "as the command does"}
QUICK = {"count": 1}


def scenes(split: str, count: int, seed: int) -> Iterator[tuple[str, Tensor, Tensor, Tensor, Tensor]]:
    """What each is an example of, the mixture, the person and the others in it, and an enrollment."""
    made, speakers = conversations(split, seed=seed), by_speaker(split)
    for number in range(count):
        each, rng = made[number], np.random.default_rng([seed, number])
        talkers = each.metadata["talkers"]
        place = [talker["speaker"] for talker in talkers].index(each.said[1].speaker)
        used = set(talkers[place]["files"])
        others = [one for one in speakers[talkers[place]["speaker"]] if one.path.name not in used]
        enrolled = said(others, round(ENROLLED_SECONDS * RATE), rng)
        level = 0.1 / np.sqrt(np.mean(each.mixture[0] ** 2))
        person, all_ = each.references[place], each.references.sum(0)
        mixture, own, rest, voice = (
            torch.from_numpy(sound).float()
            for sound in (level * each.mixture[0], level * person, level * (all_ - person), enrolled)
        )
        yield condition(made, number), mixture, own, rest, voice


def judged(voice: Tensor, person: Tensor, others: Tensor) -> dict[str, tuple[int, int]]:
    """Of each kind of fault the cells that have it, and those that could."""
    length = round(CELL_SECONDS * RATE)
    v, p, o = (
        each[: len(each) // length * length].view(-1, length).double() for each in (voice, person, others)
    )
    own, other, made = (each.square().mean(1) for each in (p, o, v))
    audible = AUDIBLE * torch.maximum(own.max(), other.max())
    alone = (own > audible) & (other < ALONE * own)
    absent = (other > audible) & (own < ALONE * other)
    both = (own > audible) & (other > audible) & ~alone & ~absent
    nearer = (v * o).sum(1).abs() / other.clamp(min=1e-12).sqrt() > (v * p).sum(1).abs() / own.clamp(
        min=1e-12
    ).sqrt()
    faults = {
        "missed": (alone & (made < HEARD * own), alone),
        "leaked": (absent & (made > HEARD * other), absent),
        "wrong": (both & nearer, both),
    }
    return {name: (int(some.sum()), int(all_.sum())) for name, (some, all_) in faults.items()}


def measure(count: int = 12, split: str = "test", seed: int = SEED) -> Iterator[dict]:
    """Conversation by conversation."""
    name, network = load_extractor(device="cpu")
    ears, verifier = Ears.load(device="cpu"), load_verifier(device="cpu")
    rows: list[dict] = []
    for kind, mixture, person, others, enrolled in scenes(split, count, seed):
        with tempfile.TemporaryDirectory() as kept:
            path, out = Path(kept) / "me.wav", Path(kept) / "voice.wav"
            soundfile.write(path, enrolled.numpy(), RATE)
            recording = Recording.of(mixture, RATE)
            enrollment = enrollment_of([path], network.sample_rate)
            row: dict = {"condition": kind}
            for how in HOW:
                done = extract_by_turns(recording, [path], ears, verifier, out) if how == "turns" else None
                if done is None and how == "turns":
                    row[how] = row["networks"] | {"by_turns": False}
                    continue
                if done is None:
                    extract_file(name, network, enrollment, recording, out)
                voice = torch.from_numpy(soundfile.read(out, dtype="float32")[0])
                gain = float("nan")
                if voice.any():
                    gain = float(si_sdr(voice[None], person[None]) - si_sdr(mixture[None], person[None]))
                row[how] = judged(voice, person, others) | {
                    "gain": gain,
                    "by_turns": done is not None,
                }
        rows.append(row)
        yield {"rows": rows, "split": split}


def table(result: dict) -> str:
    lines = []
    for how, said_ in HOW.items():
        its = [row[how] for row in result["rows"]]
        shares = [
            f"{sum(each[name][0] for each in its) / max(1, sum(each[name][1] for each in its)):.0%}"
            for name in ("missed", "leaked", "wrong")
        ]
        gains = [each["gain"] for each in its if each["gain"] == each["gain"]]
        came = len(gains), sum(each["by_turns"] for each in its)
        lines.append([said_, len(its), came[1], len(its) - came[0], figure(bootstrap(gains), 1), *shares])
    return page(
        f"One person out of conversations of two minutes ({result['split']} speakers): SI-SDR improvement in dB of "
        "those that came out (95 % interval), and shares of half seconds.",
        grid(
            "how | conversations | by turns | nobody came out | improvement | missed | leaked | wrong beside others",
            lines,
        ),
        made_by(result),
    )
