"""``auto``: separate with all that fits, score blindly, keep the best.

On a long recording all candidates separate an excerpt of it, and the best one the whole. What is compared is the mean
score of the talkers that there seem to be (``value_db``); how many there are is a distribution, and the value its mean.
"""

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from unbabble.base import audio as audio_files
from unbabble.base.audio import Audio, Source
from unbabble.base.errors import InputError
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.nn.kinds.scorer import LEAST_SECONDS
from unbabble.pipelines import separate as hub
from unbabble.pipelines.recording import as_audio, is_one_microphone, usable_channels
from unbabble.pipelines.score import BlindScorer, VoiceScore, has_scorer
from unbabble.pipelines.separate import AUTO, COUNTER, UNCHANGED, Model, Separation, windows_to_count

SINGLE = {
    2: ("sepformer.2talkers_8k", "bsrnn.2talkers_8k", "conv_tasnet.2talkers_8k"),
    3: ("sepformer.3talkers_8k", "bsrnn.3talkers_8k"),
}
"""What a recording of one microphone may be separated with besides nothing, by number of talkers."""
ARRAY = ("ilrma.ip", "auxiva.ipa")
"""What one of several microphones may, besides that."""
CAUTION = 0.5
"""The recording itself starts ahead by its score, times this and the probability of one talker: who is alone and well
heard loses most."""
HEAD_START_DB = 2.0
"""So does the first of ``ARRAY``: scores are too low for what several microphones bring."""
DOUBT = 0.1
"""That the talkers were counted wrongly. (These three, and what follows, are from the development split:
``python -m benchmarks auto_constants``.)"""
MOST_TALKERS = 3
"""Where nobody says how many there are."""
COUNTED_BY = {
    3: ((0.75, 0.25, 0.3), (0.15, 0.45, 0.45), (0.1, 0.3, 0.25)),
    5: ((0.75, 0.07, 0.05), (0.17, 0.65, 0.27), (0.08, 0.28, 0.68)),
}
"""By least number of microphones: how likely ``ARRAY[0]`` finds one, two, three or more (rows) of 1, 2, 3 talkers; two
microphones tell nothing."""
TRIAL_SECONDS = 20.0
"""What all candidates separate of a long recording: where it is loudest."""
WHOLE_SECONDS = 30.0
"""Up to here, they separate all of it."""


@dataclass
class Candidate:
    """One way to separate a recording, and how it went.

    Attributes:
        model: its name.
        sources: how many voices it was asked for, or found; None before it has counted.
        counts: whether it counts the voices by itself.
        scores: of its voices.
        value_db: what is compared.
        error: why it could not, in one sentence.
    """

    model: str
    sources: int | None = None
    counts: bool = False
    scores: list[VoiceScore] = field(default_factory=list)
    value_db: float = float("-inf")
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return vars(self) | {"scores": [score.to_dict() for score in self.scores]}


@dataclass
class Chosen(Separation):
    """A separation, and all that was tried, best first."""

    candidates: list[Candidate] = field(default_factory=list)


def load(name: str = AUTO, device: str = "auto", *arguments: Any, **options: Any) -> Model:
    """As ``pipelines.separate.load``; ``auto`` tries all that fits and keeps what scores best.

    Raises:
        InputError: weights that are missing, damaged, or those of another architecture.
        UsageError: no such model, device or option.
    """
    model = hub.load(name, device, *arguments, **options)
    if model.name != AUTO or model.options.keys() - {"sources", "reference"} or not has_scorer():
        return model
    return AutoModel(**vars(model))


def value_db(scores: Sequence[float], own: float, probabilities: Sequence[float]) -> float:
    """What a set of voices is worth: the mean score of the talkers, of whom some may have no voice.

    Of ``n`` talkers, those with the ``n`` best voices have these. The others have the recording: if the first of ``n``
    talkers is heard in it with a score of ``own``, the rest of its power is shared equally.

    >>> value_db([8.0, 6.0, -5.0], 0.0, [0.0, 1.0, 0.0])
    7.0
    >>> value_db([10.0], 10.0, [0.0, 1.0])
    0.0

    Args:
        scores: of the voices, in dB.
        own: of the recording itself, taken for a voice.
        probabilities: of 1, 2 ... talkers.
    """
    best, total = sorted(scores, reverse=True), 0.0
    rest = 1 / (1 + 10 ** (own / 10))
    for count, share in enumerate(probabilities, 1):
        each = rest / max(1, count - 1)
        unheard = [own] + [min(own, 10 * math.log10(each / (1 - each)))] * (count - 1)
        total += share * sum([*best[:count], *unheard[len(best) :]]) / count
    return total / sum(probabilities)


def worth_db(
    candidate: Candidate,
    own: float,
    probabilities: Sequence[float],
    caution: float = CAUTION,
    head_start_db: float = HEAD_START_DB,
) -> float:
    """What is compared: ``value_db`` of a candidate's voices, and how far it starts ahead."""
    value = value_db([score.si_snr_db for score in candidate.scores], own, probabilities)
    if candidate.model == UNCHANGED:
        value += caution * max(0.0, own) * probabilities[0] / sum(probabilities)
    elif candidate.model == ARRAY[0]:
        value += head_start_db
    return value


def talkers(
    heard: Sequence[float],
    counted: int | None,
    microphones: int,
    doubt: float = DOUBT,
    tables: Mapping[int, Sequence[Sequence[float]]] = COUNTED_BY,
) -> list[float]:
    """Probabilities of 1, 2 ... talkers: as heard, and as ``ARRAY[0]`` counted them with so many microphones."""
    counts = list(heard)
    if counted is not None:
        table = tables[max(least for least in tables if least <= microphones)]
        likely = table[min(counted, MOST_TALKERS) - 1]
        counts = [count * share for count, share in zip(counts, likely, strict=True)]
    return [(1 - doubt) * count / sum(counts) + doubt / len(counts) for count in counts]


def loudest(recording: Audio, seconds: float) -> Audio:
    """The excerpt of so many seconds that has most energy, in steps of half its length."""
    length = min(round(seconds * recording.sample_rate), recording.samples.shape[1])
    step = max(1, length // 2)
    energy = torch.stack([part.square().sum() for part in recording.samples.split(step, 1)])
    start = int((energy[:-1] + energy[1:]).argmax()) * step if len(energy) > 1 else 0
    start = min(start, recording.samples.shape[1] - length)
    return Audio(recording.samples[:, start : start + length], recording.sample_rate)


@dataclass(frozen=True)
class AutoModel(Model):
    """All models that fit a recording."""

    def __call__(
        self, source: Tensor | Audio | Source, sample_rate: int | None = None, images: bool = False
    ) -> Separation:
        """As ``Model``; the result (``Chosen``) also tells what was tried."""
        started = time.perf_counter()
        recording = as_audio(source, sample_rate)
        if recording.seconds < LEAST_SECONDS:
            return super().__call__(recording, images=images)
        whole = recording.seconds <= WHOLE_SECONDS
        found, candidates = self.tried(
            recording if whole else loudest(recording, TRIAL_SECONDS), images and whole
        )
        best = candidates[0]
        result = found[0] if whole else self.as_tried(best)(recording, images=images)
        failed = [f"{each.model} could not: {each.error}" for each in candidates if each.error]
        return Chosen(
            result.sources,
            result.sample_rate,
            result.model,
            result.images,
            [*result.warnings, *failed],
            time.perf_counter() - started,
            candidates,
        )

    def decided(self, path: str | os.PathLike[str]) -> tuple[Model, list[Candidate]]:
        """The model for a recording of any length, and all that was tried on its loudest part.

        Raises:
            InputError: the recording cannot be read, or none could separate it.
        """
        blocks = audio_files.read_blocks(path, TRIAL_SECONDS)
        loud = max(blocks, key=lambda block: float(block.square().sum()))
        _, candidates = self.tried(Audio(loud, audio_files.probe(path).sample_rate))
        return self.as_tried(candidates[0]), candidates

    def counted(self, path: str | os.PathLike[str]) -> Model:
        """The model for a recording of any length.

        Raises:
            InputError: the recording cannot be read, or none could separate it.
        """
        return self.decided(path)[0]

    def tried(self, recording: Audio, images: bool = False) -> tuple[list[Separation], list[Candidate]]:
        """What all candidates make of a recording, best first; those that could not come last.

        Raises:
            InputError: none of them could.
        """
        scorer = BlindScorer(device=str(self.device))
        live = usable_channels(recording, [])[1]
        heard = recording.samples[self.options.get("reference") or live[0]]
        own = scorer(heard, heard[None], recording.sample_rate)
        candidates = self._candidates(recording)
        found: list[tuple[Candidate, Separation]] = []
        counted = None
        for each in list(candidates):
            if each.model == ARRAY[0] and counted is not None and each.sources == counted:
                candidates.remove(each)  # it found as many by itself
                continue
            try:
                separation = self.as_tried(each)(recording, images=images)
            except InputError as error:
                each.error = str(error)
                continue
            if each.counts:
                counted = each.sources = len(separation.sources)
            found.append((each, separation))
        probabilities = self._talkers(recording, counted)
        for each, separation in found:
            each.scores = (
                own if each.model == UNCHANGED else scorer(heard, separation.sources, recording.sample_rate)
            )
            each.value_db = worth_db(each, own[0].si_snr_db, probabilities)
        if not found:
            raise InputError(candidates[0].error or "Nothing could separate it.")
        found.sort(key=lambda pair: -pair[0].value_db)
        failed = [each for each in candidates if each.error]
        return [separation for _, separation in found], [each for each, _ in found] + failed

    def _talkers(self, recording: Audio, counted: int | None = None) -> list[float]:
        """Probabilities of 1, 2 ... talkers: what was said, else as counted, by ``ARRAY[0]`` too, with some doubt."""
        wanted = self.options.get("sources")
        if wanted is not None:
            return [float(count == wanted) for count in range(1, wanted + 1)]
        samples = usable_channels(recording, [])[0]
        return talkers(self.heard(samples, recording.sample_rate), counted, len(samples))

    def heard(self, samples: Tensor, sample_rate: int) -> list[float]:
        """Probabilities of 1, 2 ... talkers, as ``COUNTER`` hears them; without it all alike."""
        if COUNTER not in packaged():
            return [1 / MOST_TALKERS] * MOST_TALKERS
        counter = networks.ready(COUNTER, self.device, "counter")
        windows = windows_to_count(samples, sample_rate, counter.sample_rate)
        return counter(windows.to(self.device)).mean(0).tolist()

    def _candidates(self, recording: Audio) -> list[Candidate]:
        wanted = self.options.get("sources")
        counts = range(1, MOST_TALKERS + 1) if wanted is None else [wanted]
        found = [Candidate(UNCHANGED)] if 1 in counts else []
        here = packaged()
        samples = usable_channels(recording, [])[0]
        if not is_one_microphone(samples):
            if wanted is None and len(samples) >= min(COUNTED_BY):
                found.append(Candidate(ARRAY[0], counts=True))
            for count in (each for each in counts if 1 < each <= len(samples)):
                found += [Candidate(name, count) for name in ARRAY]
        for count in counts:
            found += [Candidate(name, count) for name in SINGLE.get(count, ()) if name in here]
        if not found:  # the rule without a score says why nothing fits
            channels = 1 if is_one_microphone(samples) else len(samples)
            found = [Candidate(hub.choose_model(channels, wanted), wanted)]
        return found

    def as_tried(self, candidate: Candidate) -> Model:
        """The model that a candidate is."""
        options = {name: value for name, value in self.options.items() if name != "sources"}
        if candidate.sources is not None:
            options["sources"] = candidate.sources
        return Model(candidate.model, self.device, self.dereverb, options, self.runtime, self.notes)
