"""Talkers who take turns before one microphone: how many they are, and a voice of each, from who speaks when.

    recording -> vectors, where one speaks at a time -> how many talkers -> their turns (``diarize``) -> a file of each

Windows of some seconds (``pipelines.count``) each hear one talker where one speaks at a time, or two at a change,
however many there are. And nothing needs to be separated there: a voice is the recording in its turns, silence
elsewhere; only where two speak at once it is what was separated.
"""

import os
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from unbabble.base.formats import Format
from unbabble.jobs.progress import report_progress, report_stage
from unbabble.pipelines.diarize import ALONE, EVIDENCE, Diarization, diarize
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.talker_voices import write_voices
from unbabble.pipelines.talkers_heard import Ears, Heard
from unbabble.pipelines.transcribe import mono, windows
from unbabble.pipelines.who_said_what import renamed
from unbabble.signal.clustering import cluster

BY_TURNS = "by turns"
"""What stands for the model where talkers took turns."""
SECOND_TALKER, FURTHER_TALKERS = (5.0, 0.085), (3.3, 0.05)
"""What it costs at least to take two talkers for one (``signal.clustering``), and each further one for another: in
vectors, and as a share of all of them; never more than ``EVIDENCE``, which is enough in long recordings. A second one
must be surer, as one alone is not to be taken for two. Chosen on half minutes of dev speakers (benchmark
``turns_taken``)."""
ONE_AT_A_TIME = 0.65
"""Share of the vectors in whose stretch one speaks, from which talkers may take turns. In conversations of dev speakers
in a room it is 0.70 to 0.97 where 40 % are overlap, and voices by turns are better there, too. Of two who talk all the
time it is 0.4 to 0.9, but their vectors never are those of two talkers (in none of 24 minutes)."""


@dataclass
class ByTurns:
    """The voices of talkers who take turns.

    Attributes:
        outputs: ``source1`` ..., who talks most first, then ``residual`` where it was asked for.
        made: who speaks when, by the names of the files.
        warnings: what the user should know.
    """

    outputs: list[Path]
    made: Diarization
    warnings: list[str] = field(default_factory=list)

    @property
    def note(self) -> str:
        """What was done, and how sure it is, in a sentence."""
        return (
            f"{len(self.made.speakers)} talkers take turns: each file holds what one says, and silence elsewhere; "
            f"on average it is {100 * self.sure:.0f} % sure who speaks. --sources N separates instead."
        )

    @property
    def sure(self) -> float:
        """How probable it is that a moment of a turn is its talker's, on average."""
        return float(
            np.average(
                [turn.score or 0.0 for turn in self.made.turns],
                weights=[turn.seconds for turn in self.made.turns],
            )
        )


def separate_by_turns(
    recording: Recording,
    ears: Ears,
    out: str | os.PathLike[str],
    *,
    format: Format = "wav",
    residual: bool = False,
) -> ByTurns | None:
    """Write a file of each talker of a recording in which talkers take turns; None where they do not.

    Args:
        recording: of any length; its first microphone that is alive is what is cut.
        ears: the networks that listen.
        out: folder for ``source1.wav`` ...
        format: ``wav`` of 32-bit floats, ``wav16`` or ``flac``; all scaled alike where one would clip.
        residual: also write what is in no voice.

    Raises:
        InputError: the recording cannot be read.
        OutputError: the files cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="unbabble-") as kept:
        made = turns_of(recording, ears, Path(kept))
        if made is None:
            return None
        made = renamed(made, {name: f"source{number}" for number, name in enumerate(made.speakers, 1)})
        report_stage("writing voices")
        outputs = write_voices(
            recording,
            made.turns,
            made.separated,
            out,
            speakers=made.speakers,
            channel=recording.live[0],
            residual=residual,
            format=format,
            warnings=made.warnings,
            progress=report_progress,
        )
    return ByTurns(outputs, made, made.warnings)


def turns_of(recording: Recording, ears: Ears, folder: Path) -> Diarization | None:
    """Who speaks when, of talkers who take turns; None where they do not.

    Args:
        recording: of any length.
        ears: the networks that listen.
        folder: for what is separated where two speak at once.

    Raises:
        InputError: the recording cannot be read.
    """
    if recording.microphones > 1:
        return None
    report_stage("who speaks when")
    talkers = count_turn_takers(recording, ears)
    if talkers < 2:
        return None
    made = diarize(recording, ears, talkers=(talkers, talkers), folder=folder, progress=report_progress)
    return made if len(made.speakers) > 1 else None


def count_turn_takers(recording: Recording, ears: Ears) -> int:
    """Talkers of a recording in which one talks at a time; 1 where nobody does, or several talk at once for long.

    Args:
        recording: of any length.
        ears: of which the embedder listens, and what hears that two speak, if it has that.

    Raises:
        InputError: the recording cannot be read.
    """
    heard = Heard(replace(ears, separator=None))
    rate = ears.embedder.sample_rate
    for start, samples in windows(mono(recording, rate), rate):
        heard.add(samples)
        report_progress(start + len(samples) / rate, recording.info.seconds)
    alone = np.array([heard.odds[begin:end].mean() < ALONE for begin, end in heard.places], bool)
    if not len(alone) or alone.mean() < ONE_AT_A_TIME:
        return 1
    return talkers(heard.vectors[alone], heard.places[alone], ears.threshold)


def talkers(
    vectors: Float[np.ndarray, "vector dimension"], places: Int[np.ndarray, "vector 2"], threshold: float
) -> int:
    """How many talkers such vectors are of.

    Args:
        vectors: of unit norm.
        places: where what each is of begins and ends.
        threshold: cosine of the means of two clusters below which they are two talkers.
    """
    in_time = vectors[places.sum(1).argsort(kind="stable")]
    count = _clusters(in_time, threshold, *FURTHER_TALKERS)
    return max(1, _clusters(in_time, threshold, *SECOND_TALKER) if count == 2 else count)


def _clusters(
    vectors: Float[np.ndarray, "vector dimension"], threshold: float, least: float, share: float
) -> int:
    evidence = min(EVIDENCE, max(least, share * len(vectors)))
    return len(cluster(vectors, threshold=threshold, evidence=evidence).centroids)
