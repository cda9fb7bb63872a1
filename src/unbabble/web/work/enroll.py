"""Enroll a person: make the print of a voice, by which it is recognised later.

Inputs: ``voice``, recordings in which one person speaks, other talkers being silent. Parameter: ``keep``, whether some
of what is said is kept. Result: ``speech_seconds`` and ``warnings``. Outputs: print.json, which has the ``model``, the
SHA-256 of its weights, the ``vector`` and ``speech_seconds``; with ``keep`` recording1.flac ..., of each recording the
first ``KEPT_SECONDS`` of speech. These files together are the person's in a meeting (``recognized``).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unbabble.base.errors import InputError
from unbabble.web.work.kind import Files, Kind, Result

if TYPE_CHECKING:
    from unbabble.pipelines.embed import Embedder, Voice

PRINT = "print.json"
VOICE, PERSON = "voice", "person"
"""What recordings are to an enrollment, and what its files are to a meeting."""
KEPT_SECONDS = 30.0
BLOCK_SECONDS = 30.0
NOT_SOUGHT = (
    "{name} could not be looked for: the network has changed since this voice print was made, and no recording was "
    "kept to make another. Enroll the voice again."
)
"""What a meeting says of a person whom it could not look for."""


class Enroll(Kind):
    """See the module."""

    name, stage = "enroll", "Getting to know the voice"

    def do(self, folder: Path, parameters: dict[str, Any], files: Files) -> Result:
        """Enroll."""
        from unbabble.pipelines.embed import DETECTABLE_SECONDS, Voice
        from unbabble.pipelines.recording import Recording
        from unbabble.pipelines.verify import DIFFERENT, load_verifier

        verifier, voices = load_verifier(), []
        for path in files[VOICE]:
            recording = Recording.open(path)
            if recording.seconds < DETECTABLE_SECONDS:
                raise InputError(
                    f"{path.name} is {recording.seconds:.1f} s long: a voice is enrolled by {DETECTABLE_SECONDS:g} s "
                    "and more."
                )
            voices.append(verifier.embedder.voice(recording))
            if not voices[-1].speech_seconds:
                raise InputError(f"Nobody seems to speak in {path.name}.")
        voice = Voice.mean(voices)
        warnings = voice.warnings
        for path, each in zip(files[VOICE][1:], voices[1:], strict=True):
            if verifier.compare(voices[0], each).answer == DIFFERENT:
                warnings.append(
                    f"In {path.name} somebody else seems to speak than in {files[VOICE][0].name}."
                )
        known = {
            "model": verifier.embedder.name,
            "sha256": _weights(verifier.embedder),
            "vector": voice.vector.tolist(),
            "speech_seconds": voice.speech_seconds,
        }
        (folder / PRINT).write_text(json.dumps(known))
        kept = []
        if parameters.get("keep"):
            targets = [folder / f"recording{number}.flac" for number in range(1, len(voices) + 1)]
            kept = [
                target
                for path, target in zip(files[VOICE], targets, strict=True)
                if _write_speech(path, target)
            ]
        result = {"speech_seconds": voice.speech_seconds, "warnings": warnings}
        return result, [folder / PRINT, *kept]


def recognized(
    voices: Sequence[Path], people: Sequence[str], files: Sequence[Path]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Which talkers are enrolled.

    Args:
        voices: files of the talkers' voices.
        people: names of who is enrolled.
        files: of each of them, in this order, the print and the recordings that are kept.

    Returns:
        By the stem of a talker's file ``name`` and ``probability`` (None where nobody has calibrated the embedder), of
        those who are likely to be somebody; and what the user should know.
    """
    from unbabble.pipelines.recording import Recording
    from unbabble.pipelines.verify import load_verifier
    from unbabble.pipelines.who_said_what import matched

    verifier, of_person = load_verifier(), []
    for path in files:
        if path.suffix == ".json":
            of_person.append([])
        of_person[-1].append(path)
    known, warnings = {}, []
    for name, (print_file, *recordings) in zip(people, of_person, strict=True):
        voice = _known(verifier.embedder, print_file, recordings)
        if voice is not None:
            known[name] = voice
            continue
        warnings.append(NOT_SOUGHT.format(name=name))
    talkers = {path.stem: verifier.embedder.voice(Recording.open(path)) for path in voices}
    found = matched(talkers, known, verifier)
    return {
        talker: {"name": name, "probability": compared.probability}
        for talker, (name, compared) in found.items()
    }, warnings


def _known(embedder: "Embedder", print_file: Path, recordings: Sequence[Path]) -> "Voice | None":
    """A voice by its print; by the recordings, where another network made the print; None where there are none."""
    import numpy as np

    from unbabble.pipelines.embed import Voice
    from unbabble.pipelines.recording import Recording

    known = json.loads(print_file.read_text())
    if known["sha256"] == _weights(embedder):
        return Voice(np.array(known["vector"], np.float32), known["speech_seconds"])
    if not recordings:
        return None
    return Voice.mean(embedder.voice(Recording.open(path)) for path in recordings)


def _weights(embedder: "Embedder") -> str:
    from unbabble.jobs.records import digest
    from unbabble.networks.load import locate

    return digest(locate(embedder.name))


def _write_speech(source: Path, target: Path) -> bool:
    """Write the beginning of what is said, in one channel and without the pauses; False where that is nothing."""
    import soundfile

    from unbabble.pipelines.embed import with_margins
    from unbabble.pipelines.recording import Recording
    from unbabble.signal.activity import is_speech
    from unbabble.signal.rumble import without_rumble

    recording = Recording.open(source)
    rate = recording.sample_rate
    most = left = round(KEPT_SECONDS * rate)
    with soundfile.SoundFile(target, "w", rate, 1, "PCM_16", format="FLAC") as file:
        for block in recording.blocks(BLOCK_SECONDS):
            loudest = without_rumble(block, rate)[0]
            samples = loudest[loudest.square().sum(1).argmax()]
            if (speech := is_speech(samples, rate)).any() and left:
                spoken = samples[with_margins(speech, len(samples), rate)][:left]
                file.write(spoken.numpy())
                left -= len(spoken)
    return left < most
