"""What one enrolled person says, where talkers take turns: that talker's turns, silence elsewhere.

Networks that extract give something of whoever talks, also while the person is silent (benchmark
``extraction_by_turns``).
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from unbabble.base.formats import Format
from unbabble.jobs.progress import report_progress, report_stage
from unbabble.pipelines.embed import Voice
from unbabble.pipelines.extract import NOTHING_OF_THEM, Extracted
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.talker_voices import BLOCK_SECONDS, write_voices
from unbabble.pipelines.talkers_heard import Ears
from unbabble.pipelines.turns_taken import BY_TURNS, turns_of
from unbabble.pipelines.verify import Comparison, Verifier
from unbabble.pipelines.who_said_what import LIKE, renamed

HERE = 0.9
"""How probable it is beforehand that a talker who is most like the enrollment is that person: it was asked for. Of made
conversations of dev speakers the likest talker is the right one in 138 of 140 cases, in which the voices are as like as
that in 19 of 20; of others, who are not there, one in ten is (enrolled clean, and heard in a room)."""


def extract_by_turns(
    recording: Recording,
    enrollments: Sequence[str | os.PathLike[str]],
    ears: Ears,
    verifier: Verifier,
    out: Path,
    *,
    format: Format = "wav",
) -> Extracted | None:
    """Write what one person says in a recording in which talkers take turns; None where they do not.

    Args:
        recording: of any length; its first microphone that is alive is what is cut.
        enrollments: recordings of the person alone.
        ears: the networks that listen.
        verifier: the embedder of ``ears``, and what likeness means.
        out: file that is written; silent where that person is none of the talkers.
        format: of the file.

    Raises:
        InputError: a recording that cannot be read, or an enrollment that is silent.
        OutputError: the file cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="unbabble-") as kept:
        made = turns_of(recording, ears, Path(kept))
        if made is None or not made.voices:
            return None
        person = Voice.mean(verifier.embedder.voice(Recording.open(path)) for path in enrollments)
        compared = {name: verifier.compare(person, voice, HERE) for name, voice in made.voices.items()}
        talker = max(compared, key=lambda name: compared[name].likeness)
        if not is_likely(compared[talker]):
            made = replace(made, turns=[], separated=[])
        made = renamed(made, {talker: out.stem})
        report_stage("writing the voice")
        write_voices(
            recording,
            made.turns,
            made.separated,
            out.parent,
            speakers=[out.stem],
            channel=recording.live[0],
            format=format,
            warnings=made.warnings,
            progress=report_progress,
        )
    result = Extracted(BY_TURNS, made.audio_seconds, -torch.inf, compared[talker].likeness)
    result.warnings = made.warnings
    if not made.turns:
        result.warnings.append(NOTHING_OF_THEM)
        return result
    powers = torch.stack([_energies(each) for each in (Recording.open(out), recording)])
    result.level_db = float(10 * torch.log10(powers[0] / powers[1]))
    probable = compared[talker].probability
    sure = "" if probable is None else f"; it is {100 * probable:.0f} % sure that this is the person"
    result.warnings.append(
        f"{len(made.voices)} talkers take turns: the voice holds what the one most like the enrollment says, and "
        f"silence elsewhere{sure}."
    )
    return result


def is_likely(compared: Comparison) -> bool:
    """Whether a talker is the person who was asked for."""
    return compared.likeness >= LIKE if compared.probability is None else compared.probability >= 0.5


def _energies(recording: Recording) -> torch.Tensor:
    """Of the first microphone that is alive."""
    channel = recording.live[0]
    blocks = recording.blocks(BLOCK_SECONDS)
    return torch.stack([block[channel].double().square().sum() for block in blocks]).sum()
