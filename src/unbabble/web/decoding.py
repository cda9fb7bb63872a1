"""Reading what strangers send: in a process of its own, with little time and memory, by no library of ours.

    python -m unbabble.web.decoding SOURCE TARGET MOST_SECONDS

writes FLAC of 24 bits to TARGET and what was found as JSON to standard output. A file that makes the decoder grow,
loop or fall ends that process, not the site.
"""

import json
import os
import resource
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unbabble.base.errors import InputError
from unbabble.web.settings import Settings

REFUSED = 3
"""Exit code for what is no recording, with the reason."""
FLAC_CHANNELS = 8
WAIT_FACTOR = 4
"""Wall time over processor time, for a busy machine."""
_turns = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))


@dataclass(frozen=True)
class Heard:
    """What an upload holds: Hz, microphones, duration, highest magnitude (full scale is 1), share that is clipped."""

    sample_rate: int
    channels: int
    seconds: float
    peak: float
    clipped_share: float


def decode(source: Path, target: Path, settings: Settings) -> Heard:
    """Write the recording in ``source`` to ``target`` as FLAC.

    Raises:
        InputError: it is no recording, too long, or takes too much to read.
    """
    command = [sys.executable, "-m", "unbabble.web.decoding", source, target, str(settings.most_seconds)]

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (settings.decode_bytes, settings.decode_bytes))
        resource.setrlimit(
            resource.RLIMIT_CPU, (round(settings.decode_seconds), round(settings.decode_seconds) + 5)
        )
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with _turns:
        try:
            done = subprocess.run(
                [os.fspath(each) for each in command],
                capture_output=True,
                timeout=WAIT_FACTOR * settings.decode_seconds,
                preexec_fn=bounded,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise InputError("This file takes too long to read.") from None
    if done.returncode == REFUSED:
        raise InputError(done.stderr.decode(errors="replace").strip())
    if done.returncode:
        raise InputError("This file cannot be read: it takes too much memory or time, or is damaged.")
    return Heard(**json.loads(done.stdout))


def _main(source: str, target: str, most_seconds: float) -> None:
    import numpy as np
    import soundfile

    from unbabble.base.decoding import open_decoder

    found: dict[str, Any] = {}
    with open_decoder(Path(source), "The file") as decoder:
        info = decoder.info
        if info.channels > FLAC_CHANNELS:
            raise InputError(
                f"The file has {info.channels} channels; at most {FLAC_CHANNELS} are taken here."
            )
        most, count, peak, clipped = round(most_seconds * info.sample_rate), 0, 0.0, 0
        long = InputError(f"The recording is longer than {most_seconds / 60:g} minutes.")
        if (info.seconds or 0.0) > most_seconds:
            raise long
        with soundfile.SoundFile(
            target, "w", info.sample_rate, info.channels, format="FLAC", subtype="PCM_24"
        ) as file:
            for block in decoder.blocks():
                count += block.shape[1]
                if count > most:
                    raise long
                if not np.isfinite(block).all():
                    raise InputError("The file contains samples that are not numbers (NaN or infinity).")
                magnitudes = np.abs(block)
                peak, clipped = (
                    max(peak, float(magnitudes.max(initial=0))),
                    clipped + int((magnitudes >= 0.999).sum()),
                )
                file.write(block.T.clip(-1, 1))
        if not count:
            raise InputError("The file has no samples.")
        found = {
            "sample_rate": info.sample_rate,
            "channels": info.channels,
            "seconds": count / info.sample_rate,
            "peak": peak,
            "clipped_share": clipped / (count * info.channels),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    try:
        _main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
    except InputError as refusal:
        print(refusal, file=sys.stderr)
        sys.exit(REFUSED)
