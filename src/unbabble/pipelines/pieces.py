"""Long recordings in stretches, for every kind: how long these are, and how what is made of them is joined."""

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base import audio as audio_files
from unbabble.base import notes
from unbabble.base.audio import AudioWriter
from unbabble.base.decoding import AudioInfo
from unbabble.base.files import partial_name
from unbabble.base.formats import Format, by_suffix, fitting_gain, fitting_notes
from unbabble.pipelines.recording import Recording, fits_memory

NETWORK_SECONDS = 30.0
"""What networks separate at once: more makes them no better, and takes more memory."""
NETWORK_SHARE = 0.3
"""Of that, pieces of a long recording have so much: within a shorter one the talkers change voices less often. With the
right order of all pieces, two pairs of dev speakers in a room gain 1.3 and 0.6 dB in pieces of 9 s, 0.7 and -0.4 in
pieces of 30."""
SEGMENT_SECONDS, LEAST_SEGMENT_SECONDS = 60.0, 20.0
SEGMENT_SAMPLES = 6_000_000
"""Samples of all channels together that a segment may have: about 1.5 GiB of memory with AuxIVA."""
PIECE_SECONDS, SHARED_SECONDS = 30.0, 0.5
"""Of pieces whose results need no order, and what two of them share."""


def segment_seconds(info: AudioInfo, piece: float | None = None) -> float:
    """How long segments of such a recording are: as long as memory allows, but never too short to learn from.

    Args:
        info: of the recording.
        piece: seconds that the model separates at once, if it has a preference.
    """
    if piece is not None:
        return NETWORK_SHARE * piece
    most = SEGMENT_SAMPLES / (info.channels * info.sample_rate)
    return min(SEGMENT_SECONDS, max(LEAST_SEGMENT_SECONDS, most))


def is_long(info: AudioInfo, piece: float | None = None) -> bool:
    """Whether a recording is better separated in segments, or may be, as its length is not known."""
    if piece is not None:
        return info.seconds is None or info.seconds > 2 * piece
    return not fits_memory(info)


def faded(
    before: Float[Tensor, "*channel time"], after: Float[Tensor, "*channel time"], ramp: int
) -> Float[Tensor, "*channel time"]:
    """What two stretches share, faded over from the first to the second by ``ramp`` samples in the middle of it."""
    length = before.shape[-1]
    fade = ((torch.arange(length) - (length - ramp) / 2) / max(1, ramp)).clamp(0, 1)
    return after * fade + before * (1 - fade)


def write_pieces(
    recording: Recording,
    out: Path,
    change: Callable[[Float[Tensor, "channel time"]], Float[Tensor, "output time"]],
    *,
    warnings: list[str],
    channels: int | None = None,
    format: Format | None = None,
    progress: Callable[[float, float | None], None] | None = None,
) -> float:
    """Write what ``change`` makes of a recording, piece by piece, faded from one to the next; its duration in seconds.

    What would clip is scaled as a whole.

    Args:
        recording: of any length.
        out: file that is written.
        change: of a piece, as long as that.
        warnings: what the user should know of the recording, and of its scaling, is added.
        channels: of what is written; None for those of the recording.
        format: of the file; by its suffix if not given.
        progress: called after each piece with the seconds that are done, and those of the recording if known.

    Raises:
        InputError: the recording cannot be read.
        OutputError: the file cannot be written.
    """
    rate, seconds = recording.sample_rate, recording.info.seconds
    shared = round(SHARED_SECONDS * rate)
    held: Tensor | None = None
    written = 0
    format = format or by_suffix(out)
    floats = out if format == "wav" else out.with_name(partial_name(f"{out.name}.floats"))
    with AudioWriter(floats, rate, channels or recording.channels, seconds or 0.0, "wav") as writer:
        for block, last in audio_files.with_last(recording.blocks(PIECE_SECONDS, SHARED_SECONDS)):
            changed = change(block)
            if held is not None:
                length = min(shared, changed.shape[1])
                changed[:, :length] = faded(held[:, :length], changed[:, :length], length)
            end = changed.shape[1] if last else changed.shape[1] - shared
            writer.write(changed[:, :end])
            held, written = changed[:, end:].clone(), written + end
            if progress is not None:
                progress(written / rate, seconds)
    notes.add(warnings, recording.info.warnings)
    if floats != out:
        gain = fitting_gain(writer.peak, format)
        notes.add(warnings, fitting_notes(writer.peak, format))
        try:
            audio_files.convert(floats, out, format, gain)
        finally:
            floats.unlink(missing_ok=True)
    return written / rate
