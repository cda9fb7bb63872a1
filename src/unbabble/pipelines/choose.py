"""``auto``: separate with what fits, score blindly, keep the best.

Of a long recording, and of one microphone, all candidates separate an excerpt, and the best one the whole; the talkers
that one microphone hears are counted before, and only what separates so many is a candidate. What is compared is the
mean score of the talkers that there seem to be (``value_db``); how many there are is a distribution, and the value its
mean.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.audio import Audio, Source
from unbabble.base.errors import InputError
from unbabble.base.kinds import taken_by
from unbabble.base.weights import packaged
from unbabble.base.words import counted
from unbabble.jobs.progress import report_stage
from unbabble.networks import load as networks
from unbabble.networks.device import choose_device
from unbabble.networks.onnx import Runtime
from unbabble.nn.kinds.scorer import LEAST_SECONDS
from unbabble.pipelines import separate
from unbabble.pipelines.count import UNCOUNTED, count_talkers, windows_of
from unbabble.pipelines.pieces import NETWORK_SECONDS
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.score import BlindScorer, VoiceScore, has_scorer
from unbabble.pipelines.separate import JOINT_MODEL, UNCHANGED, Dereverberation, Model, Separation
from unbabble.signal.counting import FAIR_SHARE

AUTO = "auto"
DEFAULT_MULTICHANNEL = "ilrma.ip"
DEFAULT_SINGLE = {2: "sepformer.2talkers_8k", 3: "sepformer.3talkers_8k"}
"""By number of talkers, the packaged network that separates best what one microphone heard."""
LIVE_SINGLE = "conv_tasnet.2talkers_8k_live"
"""The packaged network that separates two talkers as one microphone hears them."""
SINGLE = {
    2: ("sepformer.2talkers_8k", "bsrnn.2talkers_8k"),
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
ALONE = 0.35
"""Of the windows that one microphone heard, as good as none may be less likely than this to have one talker: then the
recording is kept as it is, whatever scores say, for these are wrong of some who are alone, by up to 27 dB."""
PERHAPS_ALONE, WEAK_DB = 0.1, -3.7
"""Of several microphones, by which these are told better: one talker is not less likely than this, and the weaker of
two voices that ``ARRAY[0]`` makes is so soft beside the other. (Dev and training speakers; ``one_talker.md``.)"""
TRIAL_SECONDS = 20.0
"""What all candidates separate of a long recording: where it is loudest."""
WHOLE_SECONDS = 30.0
"""Up to here, they separate all of it."""
EXCERPT_SHARE, LEAST_EXCERPT_SECONDS, MOST_EXCERPT_SECONDS = 0.2, 2.0, 8.0
"""What they separate of a recording of one microphone, so that choosing costs less than separating does."""


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
    """A separation, and all that was tried, best first.

    Attributes:
        scores: of its voices, where all of the recording was tried.
    """

    candidates: list[Candidate] = field(default_factory=list)
    scores: list[VoiceScore] = field(default_factory=list)


def choose_model(microphones: int, sources: int | None = None) -> str:
    """The one model for a recording by rule, where nothing scores what several make of it.

    Args:
        microphones: independent ones.
        sources: number of talkers; None where nobody says, which of one microphone is taken to be two.

    Raises:
        InputError: nothing fits.
    """
    here = {talkers: name for talkers, name in DEFAULT_SINGLE.items() if name in packaged()}
    if microphones > 1 and (not sources or sources <= microphones or sources not in here):
        return DEFAULT_MULTICHANNEL
    if sources == 1:
        return UNCHANGED
    if (sources or UNCOUNTED) in here:
        return here[sources or UNCOUNTED]
    counts = " or ".join(str(talkers) for talkers in sorted(here))
    what = (
        f"for {counted(sources or UNCOUNTED, 'talker')} heard by one microphone (only for {counts})"
        if here
        else "for one microphone"
    )
    raise InputError(
        f"No network {what} is installed: name one that you trained or downloaded with --model, "
        "or 'nmf' with dictionaries of its voices."
    )


def load(
    name: str = AUTO,
    device: str = "auto",
    dereverb: Dereverberation = "none",
    runtime: Runtime = "auto",
    **options: Any,
) -> "Model | AutoModel":
    """Make a model ready for recordings: ``load("auxiva.ipa")("meeting.wav").sources`` are voices, (source, time).

    A model takes a path, an ``Excerpt`` of one, bytes, an open binary file, an ``Audio``, or samples, (channel, time)
    or (time,), as a tensor or array with their ``sample_rate`` in Hz. It returns a ``Separation``, at that rate.

    Args:
        name: ``auxiva.ipa``, ``conv_tasnet.2talkers_8k`` and the like (see ``unbabble models``), or weights (see
            ``pipelines.separate.load``); ``auto`` chooses for each recording among all that fits it.
        device: ``auto``, ``cpu``, ``cuda`` ...
        dereverb: ``wpe`` removes reverberation first; ``joint`` is for the method that does both.
        runtime: what computes a network: ``torch``, ``onnx`` (ONNX Runtime), or ``auto`` for the faster one.
        options: of the method: ``sources=2``, ``iterations=50`` ...

    Raises:
        InputError: weights that are missing, damaged, or those of another architecture.
        UsageError: no such model, device or option; a model of another kind.
    """
    if name not in (AUTO, UNCHANGED):
        networks.check_kind(name, *taken_by("separate"))
    if name != AUTO:
        return separate.load(name, device, dereverb, runtime, **options)
    if dereverb == "joint":
        return separate.load(JOINT_MODEL, device, dereverb, runtime, **options)
    separate.load(DEFAULT_MULTICHANNEL, device, dereverb, **options)  # a wrong option is said before any work
    return AutoModel(choose_device(device), dereverb, options, runtime)


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
    probabilities: Sequence[float],
    counted: int | None,
    microphones: int,
    doubt: float = DOUBT,
    tables: Mapping[int, Sequence[Sequence[float]]] = COUNTED_BY,
) -> list[float]:
    """Probabilities of 1, 2 ... talkers: the network's, and as ``ARRAY[0]`` counted them with so many microphones."""
    counts = list(probabilities)
    if counted is not None:
        table = tables[max(least for least in tables if least <= microphones)]
        likely = table[min(counted, MOST_TALKERS) - 1]
        counts = [count * share for count, share in zip(counts, likely, strict=True)]
    return [(1 - doubt) * count / sum(counts) + doubt / len(counts) for count in counts]


def alone(
    windows: Float[Tensor, "window talkers"] | None,
    least: float,
    pair: Float[Tensor, "source time"] | None = None,
) -> bool:
    """Whether one person talks alone, so that there is nothing to separate.

    Args:
        windows: probabilities of 1, 2 ... talkers, window by window; None for nobody knows.
        least: probability of one talker that most windows have.
        pair: two voices made of what several microphones recorded, which say it too; another number of them says no.
    """
    if windows is None or not len(windows):
        return False
    if pair is not None:
        softer, louder = sorted(pair.square().mean(-1).tolist()) if len(pair) == 2 else (1.0, 1.0)
        if softer > louder * 10 ** (WEAK_DB / 10):
            return False
    return float((windows[:, 0] < least).double().mean()) < FAIR_SHARE


@dataclass(frozen=True)
class AutoModel:
    """All models that fit a recording; the best by a blind score, or, without one, by rule."""

    device: torch.device
    dereverb: Dereverberation = "none"
    options: dict[str, Any] = field(default_factory=dict)
    runtime: Runtime = "auto"

    @property
    def scored(self) -> bool:
        """Whether several models are tried: a scorer is here, and no option is for one method alone."""
        return not self.options.keys() - {"sources", "reference"} and has_scorer()

    def __call__(
        self,
        source: Recording | Tensor | Audio | Source,
        sample_rate: int | None = None,
        images: bool = False,
    ) -> Separation:
        """As ``Model``; where several were tried, the result (``Chosen``) also says how each went."""
        started = time.perf_counter()
        recording = Recording.of(source, sample_rate)
        if not self.scored or recording.seconds < LEAST_SECONDS:
            return self.by_rule(recording)(recording, images=images)
        excerpt, windows = self._trial(recording)
        whole = excerpt is recording
        separations, candidates = self.tried(excerpt, images and whole, windows=windows)
        best = candidates[0]
        result = separations[0] if whole else self.as_tried(best)(recording, images=images)
        failed = [f"{each.model} could not: {each.error}" for each in candidates if each.error]
        return Chosen(
            result.sources,
            result.sample_rate,
            result.model,
            result.images,
            [*result.warnings, *failed],
            time.perf_counter() - started,
            result.recorded,
            candidates,
            best.scores if whole else [],
        )

    def piece_seconds(self, recording: Recording) -> float | None:
        """How much of a recording is best separated at once; None: as much as memory allows.

        Raises:
            InputError: the recording cannot be read.
        """
        return NETWORK_SECONDS if recording.microphones == 1 else None

    def decided(self, recording: Recording) -> tuple[Model, list[Candidate]]:
        """The model for all pieces of a recording of any length, and all that was tried on its loudest part.

        Raises:
            InputError: the recording cannot be read, or none could separate it.
        """
        if not self.scored:
            return self.by_rule(recording), []
        excerpt, windows = self._trial(recording)
        _, candidates = self.tried(excerpt, windows=windows)
        return self.as_tried(candidates[0]), candidates

    def _trial(self, recording: Recording) -> tuple[Recording, Tensor | None]:
        """What is tried of a recording, and what ``_windows`` says of more of it, if it was asked already."""
        part = recording if recording.seconds <= WHOLE_SECONDS else recording.loudest(TRIAL_SECONDS)
        if recording.microphones > 1:
            return part, None
        seconds = max(LEAST_EXCERPT_SECONDS, min(EXCERPT_SHARE * recording.seconds, MOST_EXCERPT_SECONDS))
        return part if part.seconds <= seconds else part.loudest(seconds), self._windows(part)

    def by_rule(self, recording: Recording) -> Model:
        """The model for a recording of any length, by its microphones and talkers alone.

        Raises:
            InputError: the recording cannot be read, or nothing fits it.
        """
        options, notes = self.options, ()
        if recording.microphones == 1 and options.get("sources") is None:
            talkers, said = count_talkers(recording, self.device)
            options, notes = options | {"sources": talkers}, (said,)
        name = choose_model(recording.microphones, options.get("sources"))
        return Model(name, self.device, self.dereverb, options, self.runtime, notes)

    def tried(
        self,
        recording: Recording,
        images: bool = False,
        everything: bool = False,
        windows: Float[Tensor, "window talkers"] | None = None,
    ) -> tuple[list[Separation], list[Candidate]]:
        """What all candidates make of a recording, best first; those that could not come last.

        Args:
            recording: in memory.
            images: also each source as every microphone hears it.
            everything: try them all even where one person talks alone, and the recording itself is kept, and where
                one microphone hears another number of talkers.
            windows: probabilities of 1, 2 ... talkers by window of a longer excerpt; None to count in this one.

        Raises:
            InputError: none of them could.
        """
        scorer = BlindScorer(device=str(self.device))
        reference = self.options.get("reference") or 0
        own = scorer.of(recording, channel=reference)
        windows = self._windows(recording) if windows is None else windows
        candidates = self._candidates(recording)
        lone = recording.microphones == 1 and alone(windows, ALONE)
        if recording.microphones == 1 and windows is not None and not everything:
            several = None if lone else 2 + int(windows.mean(0)[1:].argmax())
            candidates = [each for each in candidates if each.model == UNCHANGED or each.sources == several]
        results: list[tuple[Candidate, Separation]] = []
        counted = None
        for each in list(candidates):
            if each.model == ARRAY[0] and counted is not None and each.sources == counted:
                candidates.remove(each)  # it found as many by itself
                continue
            report_stage(each.model)
            try:
                separation = self.as_tried(each)(recording, images=images)
            except InputError as error:
                each.error = str(error)
                continue
            if each.counts:
                counted = each.sources = len(separation.sources)
            results.append((each, separation))
            if each.model != ARRAY[0] or not alone(windows, PERHAPS_ALONE, separation.sources):
                continue
            lone = True
            if not everything:
                results = [pair for pair in results if pair[0].model == UNCHANGED]
                candidates = [each for each, _ in results]
                break
        probabilities = self._talkers(recording, counted, windows)
        for each, separation in results:
            same = each.model == UNCHANGED and self.dereverb == "none"
            each.scores = own if same else scorer.of(recording, separation.sources, reference)
            each.value_db = worth_db(each, own[0].si_snr_db, probabilities)
        if not results:
            raise InputError(candidates[0].error or "Nothing could separate it.")
        results.sort(key=lambda pair: (lone and pair[0].model != UNCHANGED, -pair[0].value_db))
        failed = [each for each in candidates if each.error]
        return [separation for _, separation in results], [each for each, _ in results] + failed

    def _talkers(
        self, recording: Recording, counted: int | None = None, windows: Tensor | None = None
    ) -> list[float]:
        """Probabilities of 1, 2 ... talkers: what was said, else as counted, by ``ARRAY[0]`` too, with some doubt."""
        wanted = self.options.get("sources")
        if wanted is not None:
            return [float(talkers == wanted) for talkers in range(1, wanted + 1)]
        likely = [1 / MOST_TALKERS] * MOST_TALKERS if windows is None else windows.mean(0).tolist()
        return talkers(likely, counted, len(recording.heard))

    def _windows(self, recording: Recording) -> Float[Tensor, "window talkers"] | None:
        """Probabilities of 1, 2 ... talkers by window; None where the number is given, or nothing is here to count."""
        windows = windows_of(recording, self.device) if self.options.get("sources") is None else None
        return None if windows is None else windows.probabilities

    def _candidates(self, recording: Recording) -> list[Candidate]:
        wanted, microphones = self.options.get("sources"), recording.microphones
        counts = range(1, MOST_TALKERS + 1) if wanted is None else [wanted]
        fitting = [Candidate(UNCHANGED)] if 1 in counts else []
        if microphones > 1:
            if wanted is None and microphones >= min(COUNTED_BY):
                fitting.append(Candidate(ARRAY[0], counts=True))
            for talkers in (each for each in counts if 1 < each <= microphones):
                fitting += [Candidate(name, talkers) for name in ARRAY]
        here = packaged()
        for talkers in counts:
            fitting += [Candidate(name, talkers) for name in SINGLE.get(talkers, ()) if name in here]
        # the rule says why nothing fits
        return fitting or [Candidate(choose_model(microphones, wanted), wanted)]

    def as_tried(self, candidate: Candidate) -> Model:
        """The model that a candidate is."""
        options = {name: value for name, value in self.options.items() if name != "sources"}
        if candidate.sources is not None:
            options["sources"] = candidate.sources
        return Model(candidate.model, self.device, self.dereverb, options, self.runtime)
