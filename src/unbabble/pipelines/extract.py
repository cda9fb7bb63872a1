"""One enrolled person out of recordings of several; a recording of that person alone says whom to listen to.

Either a network learnt to extract, or one that separates all voices is followed by one that tells speakers apart; of
several that separate, for each recording the one whose voices a blind score puts highest.
"""

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base import audio as audio_files
from unbabble.base import notes
from unbabble.base.audio import Audio, Source
from unbabble.base.errors import InputError, UsageError
from unbabble.base.formats import Format
from unbabble.base.kinds import taken_by
from unbabble.base.registry import create
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.networks.device import choose_device
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.nn.kinds.extractor import NeuralExtractor
from unbabble.nn.kinds.scorer import LEAST_SECONDS, unit
from unbabble.pipelines.chosen_voice import ChosenVoice, Judge
from unbabble.pipelines.count import windows_of
from unbabble.pipelines.pieces import write_pieces
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.score import UNSURE, BlindScorer, VoiceScore, has_scorer
from unbabble.pipelines.separate import Separation
from unbabble.signal.microphones import clipped_share, independent_microphones
from unbabble.signal.rumble import without_rumble

AUTO = "auto"
EXTRACTING = taken_by("extract")
"""Kinds whose models extract: those that learnt to, and those of whose voices one is chosen."""
DEFAULTS = ("sepformer.2talkers_8k", "bsrnn.2talkers_8k")
"""What ``auto`` is: on dev (benchmark ``extraction --split dev``) the first is better clean, the second in noise
and rooms, and what the blind score chooses of both as good as the better one in either."""
EMBEDDER = "xvector.8k"
"""Tells which of a separator's voices is the enrolled one."""
LEAST_ENROLLED_SECONDS, MOST_ENROLLED_SECONDS = 1.0, 30.0
FRAME_SECONDS, SPEAKING_DB = 0.02, -35.0
"""Somebody speaks in frames that are no softer than this beside the loudest ones."""
MOST_CLIPPED_SHARE = 0.01
PART_SECONDS = 1.6
PERHAPS_SEVERAL, SURELY_SEVERAL = 0.5, 0.8
"""Probability of two talkers or more, from which an enrollment is doubted, and refused. Of single speakers of the dev
split, clean, in rooms or in noise of 5 dB, 7 in 100 are doubted and 1 is refused; of two at once half are refused."""
TRIAL_SECONDS = 20.0
"""Of the loudest part, by which the voice is scored."""
COUNTING_MICROPHONES = 3
"""From so many on, blind separation also counts talkers: with two it often hears one where there are three."""
WHERE_COUNTED = {1: (0.8, math.inf), 2: (0.3, 0.7), 3: (0.3, 0.4)}
"""The same two probabilities where so many talkers (the last: or more) were counted by an array: less is enough, but
not where it hears one alone. Fewer single dev speakers are doubted and refused than without the array, and more of two
and three at once (``extraction_several.md``)."""
PERHAPS_UNLIKE, SURELY_UNLIKE = 0.45, 0.25
"""Likeness of the parts of an enrollment, below which it is doubted, and refused. Of four seconds of single dev
speakers 5 in 100 are doubted and 1 is refused, of two by turns 4 and 2 in 10 (``extraction_thresholds.md``)."""
SURELY_THEM, PERHAPS_THEM = 0.88, 0.5
"""Likeness of a voice that came out and its enrollment, from which its quality gets a word, and below which it is
rather somebody else's (``extraction_likeness.md``)."""
PERHAPS_OTHER, PROBABLY_OTHER = "perhaps somebody else", "probably somebody else"
NOTHING_OF_THEM = "Nothing was found of this person: is it somebody else who talks?"
ABSENT_DB = -20.0
"""A voice that is so much softer than the recording is none."""


@dataclass
class Extracted:
    """What became of a recording.

    Attributes:
        model: what extracted the person.
        audio_seconds: duration.
        level_db: of the voice, over that of the recording; -inf where nothing was found.
        likeness: of the voice and the enrollment, the cosine of their embeddings; None where nothing can tell.
        score: blind score of the voice, where there is a scorer and enough to hear.
        warnings: what the user should know.
    """

    model: str
    audio_seconds: float = 0.0
    level_db: float = 0.0
    likeness: float | None = None
    score: VoiceScore | None = None
    warnings: list[str] = field(default_factory=list)


def load_extractor(name: str = AUTO, device: str = "auto", **options: Any) -> tuple[str, NeuralExtractor]:
    """The extractor called ``name``, and its full name.

    Args:
        name: a network that extracts, or one that separates; several that separate, with commas; or ``auto``.
        device: where it computes.
        options: of the model.

    Raises:
        InputError: weights that are missing or damaged; several models, but no scorer to choose by.
        UsageError: no such model or option, or one that does something else.
    """
    if name == AUTO:
        name = ",".join(DEFAULTS if has_scorer() else DEFAULTS[:1])
    each = tuple(part.strip() for part in name.split(","))
    if not all(each):
        raise UsageError(f"A model in the list '{name}' has no name.")
    for part in each:
        networks.check_kind(part, *EXTRACTING)
    changed = max(map(networks.last_change, each))
    return name, _kept(each, changed, device, json.dumps(options, sort_keys=True))


@lru_cache(maxsize=1)
def _kept(each: tuple[str, ...], changed: int, device: str, options: str) -> NeuralExtractor:
    models = [networks.load(name, *EXTRACTING, **json.loads(options)) for name in each]
    networks_of = {
        kind: [model.network for model in models if model.kind.name == kind] for kind in EXTRACTING
    }
    separators, extractors = networks_of["separator"], networks_of["extractor"]
    if extractors and len(models) > 1:
        raise UsageError(
            f"Of the models '{','.join(each)}' not all separate talkers: among those alone one is chosen."
        )
    if extractors:
        network = extractors[0]
    else:
        judge = _judge(separators[0].sample_rate) if len(separators) > 1 else None
        network = ChosenVoice(separators=separators, embedder=_embedder(), judge=judge)
    return network.to(choose_device(device)).requires_grad_(False)


def _judge(rate: int) -> Judge:
    """The mean blind score of all voices."""
    scorer = BlindScorer()

    def worth(mixture: Float[Tensor, " time"], voices: Float[Tensor, "source time"]) -> float:
        if len(mixture) < LEAST_SECONDS * rate:
            return 0.0
        scores = scorer(mixture, voices, rate)
        return sum(score.si_snr_db for score in scores) / len(scores)

    return worth


def _embedder() -> NeuralEmbedder:
    if EMBEDDER not in packaged():
        raise InputError(
            "Nothing that tells speakers apart is installed: name a model that extracts by itself (personal_bsrnn)."
        )
    return networks.load(EMBEDDER, "embedder").network


def enrollment_of(
    paths: Sequence[str | os.PathLike[str]], rate: int, warnings: list[str] | None = None
) -> Float[Tensor, " time"]:
    """What the recordings of a person hold, joined, at ``rate``: half a minute at most.

    Args:
        paths: of the recordings.
        rate: Hz.
        warnings: what the user should know is added.

    Raises:
        InputError: one that cannot be read, is silent, clipped, of several talkers, or all are too short together.
    """
    parts = []
    for path in paths:
        recording = Recording.of(path)
        name = os.fspath(path)
        if warnings is not None:
            warnings += [f"'{name}': {notes.without_options(text)}" for text in recording.info.warnings]
        if not recording.live:
            raise InputError(f"The enrollment '{name}' is silent.")
        share = clipped_share(recording.samples)
        if share > MOST_CLIPPED_SHARE:
            raise InputError(
                f"The enrollment '{name}' is clipped in {100 * share:.0f} % of its samples: record it softer."
            )
        several = Several(probability_of_several(recording), counted_by_array(recording))
        if several.surely:
            raise InputError(
                f"Several people talk in the enrollment '{name}' ({several.reason}): record one person alone."
            )
        if several.perhaps and warnings is not None:
            warnings.append(
                f"Perhaps several people talk in the enrollment '{name}': it should be one alone."
            )
        loudest = recording.heard.square().sum(1).argmax()
        parts.append(_spoken(recording.at(rate)[loudest], rate))
    joined = torch.cat([unit(each) for each in parts])
    if len(joined) < LEAST_ENROLLED_SECONDS * rate:
        raise InputError(
            f"There are {len(joined) / rate:.1f} seconds of speech to enroll by: "
            f"at least {LEAST_ENROLLED_SECONDS:g} are needed, better 5."
        )
    joined = joined[: round(MOST_ENROLLED_SECONDS * rate)]
    alike = likeness_of_parts(_embedder(), joined, rate) if EMBEDDER in packaged() else 1.0
    if alike < SURELY_UNLIKE:
        raise InputError(
            f"Several people talk by turns in what is to enroll one (likeness of its parts {alike:.2f}): "
            "record one person alone."
        )
    if alike < PERHAPS_UNLIKE and warnings is not None:
        warnings.append("Perhaps several people talk by turns in the enrollment: it should be one alone.")
    return joined


def likeness_of_parts(embedder: NeuralEmbedder, speech: Float[Tensor, " time"], rate: int) -> float:
    """How alike the parts of what is said are: the mean cosine of the embeddings of any two, 1 of one part."""
    size = round(PART_SECONDS * embedder.sample_rate)
    samples = audio_files.resample(speech, rate, embedder.sample_rate)
    if len(samples) < 2 * size:
        return 1.0
    parts = samples.unfold(0, size, size)
    parts = parts[parts.any(1)]
    if len(parts) < 2:
        return 1.0
    vectors = embedder(parts)
    return float((vectors @ vectors.mT)[~torch.eye(len(parts), dtype=torch.bool)].mean())


@dataclass(frozen=True)
class Several:
    """What speaks for several talkers at once.

    Attributes:
        probability: by the network that counts talkers.
        counted: talkers, by blind separation of several microphones; None where that cannot be.
    """

    probability: float
    counted: int | None = None

    @property
    def perhaps(self) -> bool:
        """Whether an enrollment is to be doubted."""
        return self.probability > self._limits[0]

    @property
    def surely(self) -> bool:
        """Whether it is to be refused."""
        return self.probability > self._limits[1]

    @property
    def reason(self) -> str:
        """In a few words."""
        if self.counted is None:
            return f"sure by {100 * self.probability:.0f} %"
        return f"its microphones hear {self.counted}"

    @property
    def _limits(self) -> tuple[float, float]:
        if self.counted is None:
            return PERHAPS_SEVERAL, SURELY_SEVERAL
        return WHERE_COUNTED[min(self.counted, max(WHERE_COUNTED))]


def counted_by_array(recording: Recording) -> int | None:
    """How many talk, by blind separation of the first half minute; None of few microphones or too little."""
    beginning = recording.heard[:, : round(MOST_ENROLLED_SECONDS * recording.sample_rate)]
    if independent_microphones(beginning) < COUNTING_MICROPHONES:
        return None
    separator = create("auxiva.ip", iterations=0)
    try:
        return len(separator(beginning[None], sample_rate=recording.sample_rate)[0])
    except InputError:  # shorter than a window
        return None


def probability_of_several(recording: Recording) -> float:
    """That more than one person talks, by the network that counts talkers; 0 where that is not installed."""
    windows = windows_of(recording, torch.device("cpu"))
    if windows is None or not len(windows.powers):
        return 0.0
    several = windows.probabilities[:, 1:].sum(-1)
    return float((several * windows.powers).sum() / windows.powers.sum().clamp(min=1e-30))


def _spoken(samples: Float[Tensor, " time"], rate: int) -> Float[Tensor, " time"]:
    """Without the pauses before and behind what is said."""
    frame = round(FRAME_SECONDS * rate)
    count = len(samples) // frame
    if not count:
        return samples
    power = samples[: count * frame].unflatten(0, (count, frame)).square().mean(1)
    loud = (power > power.max() * 10 ** (SPEAKING_DB / 10)).nonzero()[:, 0]
    return samples[int(loud[0]) * frame : (int(loud[-1]) + 1) * frame]


@dataclass(frozen=True)
class Extractor:
    """One enrolled person out of recordings as they come.

    Attributes:
        name: of the model.
        network: from ``load_extractor``.
    """

    name: str
    network: NeuralExtractor

    def __call__(
        self,
        source: Recording | Tensor | Audio | Source,
        enroll: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        sample_rate: int | None = None,
    ) -> Separation:
        """Extract a person; silence where nothing of that person is heard.

        Args:
            source: (channel, time) or (time,) as a tensor or array, or a path, bytes, file object, Audio or Recording.
            enroll: recordings of the person alone, a second and more all together.
            sample_rate: Hz of ``source``; needed for tensors.

        Raises:
            InputError: a recording or an enrollment that cannot be used.
            UsageError: a tensor without its rate.
        """
        started = time.perf_counter()
        recording = Recording.of(source, sample_rate)
        warnings = [*recording.warnings, *recording.removed]
        paths = [enroll] if isinstance(enroll, str | os.PathLike) else enroll
        enrollment = enrollment_of(paths, self.network.sample_rate, warnings)
        person = self.network.enrolled(enrollment.to(next(self.network.parameters()).device))
        loudest = recording.heard[recording.heard.square().sum(1).argmax()]
        voice = _voice(self.network, person, loudest, recording.sample_rate)
        spent = time.perf_counter() - started
        return Separation(voice[None], recording.sample_rate, self.name, None, warnings, spent)


def extract_file(
    name: str,
    network: NeuralExtractor,
    enrollment: Float[Tensor, " time"],
    recording: Recording,
    out: Path,
    *,
    format: Format | None = None,
    progress: Callable[[float, float | None], None] | None = None,
) -> Extracted:
    """Extract a person from a recording of any length, in memory of one piece.

    Args:
        name: of the model.
        network: from ``load_extractor``.
        enrollment: from ``enrollment_of``, at the network's rate.
        recording: of any length; of several microphones the loudest that is alive is heard.
        out: file that is written.
        format: of the file; by its suffix if not given.
        progress: called after each piece with the seconds that are done, and those of the recording if known.

    Raises:
        InputError: the recording cannot be read, or is silent.
        OutputError: the file cannot be written.
    """
    result = Extracted(name)
    rate = recording.sample_rate
    loud = recording.loudest(TRIAL_SECONDS)
    if not loud.live:
        raise InputError("The recording is silent: nobody talks in it.")
    microphone = loud.live[int(loud.heard.square().sum(1).argmax())]
    person = network.enrolled(enrollment.to(next(network.parameters()).device))
    if network.sample_rate < rate:
        result.warnings.append(
            f"Model '{name}' works at {network.sample_rate / 1000:g} kHz: what the recording has above "
            f"{network.sample_rate / 2000:g} kHz is lost."
        )
    energies = torch.zeros(2, dtype=torch.float64)

    def change(block: Float[Tensor, "channel time"]) -> Float[Tensor, "1 time"]:
        mixture, inaudible = without_rumble(block[microphone][None], rate)
        notes.add(result.warnings, [text for text in (inaudible.warning,) if text])
        mixture = mixture[0]
        voice = _voice(network, person, mixture, rate)
        energies.add_(torch.stack([voice, mixture]).double().square().sum(1))
        return voice[None]

    result.audio_seconds = write_pieces(
        recording, out, change, warnings=result.warnings, channels=1, format=format, progress=progress
    )
    result.level_db = float(10 * torch.log10(energies[0] / energies[1])) if energies[0] > 0 else -torch.inf
    if result.level_db < ABSENT_DB:
        result.warnings.append(NOTHING_OF_THEM)
    elif has_scorer() and loud.seconds >= LEAST_SECONDS:
        voice = _voice(network, person, loud.heard[loud.place(microphone)], rate)
        score = BlindScorer().of(loud, voice[None], microphone)[0]
        result.likeness = likeness(voice, rate, enrollment, network.sample_rate)
        result.score = replace(score, doubt=doubt_of(result.likeness))
    return result


def likeness(
    voice: Float[Tensor, " time"], rate: int, enrollment: Float[Tensor, " time"], enrolled_rate: int
) -> float | None:
    """How alike a voice and an enrollment are: the cosine of their embeddings; None of silence, or where none is."""
    if EMBEDDER not in packaged() or not voice.any():
        return None
    embedder = _embedder()
    pair = ((voice, rate), (enrollment, enrolled_rate))
    with torch.no_grad():
        one, two = (
            embedder(audio_files.resample(unit(each), its, embedder.sample_rate)[None])[0]
            for each, its in pair
        )
    return float(torch.nn.functional.cosine_similarity(one, two, dim=0))


def doubt_of(likeness: float | None) -> str:
    """What is to be said in place of a word on the quality of a voice that is so much like the enrollment."""
    if likeness is None:
        return UNSURE
    return "" if likeness >= SURELY_THEM else PERHAPS_OTHER if likeness >= PERHAPS_THEM else PROBABLY_OTHER


def _voice(
    network: NeuralExtractor, person: Tensor, mixture: Float[Tensor, " time"], rate: int
) -> Float[Tensor, " time"]:
    if not mixture.any():
        return torch.zeros_like(mixture)
    device = next(network.parameters()).device
    samples = audio_files.resample(mixture, rate, network.sample_rate)[None, None].to(device)
    voice = audio_files.resample(network(samples, person=person)[0, 0].cpu(), network.sample_rate, rate)
    return torch.nn.functional.pad(voice, (0, len(mixture) - len(voice)))
