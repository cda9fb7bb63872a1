"""What can be checked of a recording at once: whether two people read both sentences at the same time, clearly.

Pure functions of samples. A check that *blocks* refuses the recording; any other is a doubt, which the contributor is
told with advice, may overrule, and which the reviewer sees. What each follows:

- ``too short``, ``too long``: Common Voice refuses clips under 0.3 s and over 10 s; here two read whole sentences.
- ``clipped``: share of samples at full scale (0.999 and above). Even a few are audible in loud vowels.
- ``silent``, ``too quiet``: active level, the mean power of frames that are at most 30 dB below the loudest ones,
  after the idea of ITU-T P.56 (a level of speech, not of pauses).
- ``one voice``: the probability that one person talks, by the packaged counter of talkers (``counting``). On 150
  scenes of development voices in measured rooms it finds 69 % of the recordings of one person, and suspects 5 % of
  those of two.
- ``both sentences``: whether each was read, by recognition (``pipelines.read_aloud``), in a job of the queue, so that
  the answer comes later than the others (``reading``). How often it is wrong: ``benchmarks/results/both_sentences.md``.
- ``processed``: the browser says that it kept echo cancellation, noise suppression or gain control on.
- ``duplicate``: the very same samples were sent before, whatever the file.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unbabble.web.collect.counting import talkers

LEAST_SECONDS, MOST_SECONDS = 1.0, 30.0
FULL_SCALE = 0.999
DOUBTFUL_CLIPPED_SHARE, MOST_CLIPPED_SHARE = 1e-4, 1e-2
SILENT_DBFS, QUIET_DBFS = -65.0, -45.0
ACTIVE_RANGE_DB = 30.0
FRAME_SECONDS = 0.02
ONE_VOICE_PROBABILITY = 0.8
PROCESSING = {
    "echoCancellation": "echo cancellation",
    "noiseSuppression": "noise suppression",
    "autoGainControl": "gain control",
}
SENTENCES = ("first", "second")
ADVICE = {
    "too short": "That was too short. Press stop when both have read to the end.",
    "too long": "That was too long. Press stop as soon as both have read to the end.",
    "silent": "Nothing is heard. Choose another microphone or unmute this one, and watch the level while you talk.",
    "clipped": "It is too loud: the top of the sound is cut off. Move away from the microphone, or turn it down.",
    "too quiet": "It is very quiet. Move closer to the microphone, or turn its level up.",
    "one voice": "This sounds like one voice. Read both at once, equally far from the microphone.",
    "duplicate": "This very recording was sent before. Record a new one.",
}

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Check:
    """One answer.

    Attributes:
        name: as in the module's list.
        passed: whether all is well.
        blocks: whether the recording is refused if not.
        value: what was measured, in the check's own unit.
        advice: one or two sentences for the contributor, empty where all is well.
    """

    name: str
    passed: bool
    blocks: bool = False
    value: float | None = None
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return asdict(self)


def examine(samples: Samples, sample_rate: int, track: Mapping[str, Any]) -> list[Check]:
    """All checks but ``both sentences`` and ``duplicate``.

    Where one shows that nothing was said, those that need speech are left out.

    Args:
        samples: (channel, time), full scale is 1.
        sample_rate: Hz.
        track: settings of the microphone's track, as the browser gave them.
    """
    mono = samples[0]
    seconds, level = len(mono) / sample_rate, active_level(mono, sample_rate)
    clipped = float(np.mean(np.abs(samples) >= FULL_SCALE)) if samples.size else 0.0
    results = [
        _check("too short", seconds >= LEAST_SECONDS, True, seconds),
        too_long(seconds),
        _check("silent", level > SILENT_DBFS, True, level),
    ]
    if not all(each.passed for each in results):
        return results
    return [
        *results,
        _check("clipped", clipped <= DOUBTFUL_CLIPPED_SHARE, clipped > MOST_CLIPPED_SHARE, clipped),
        _check("too quiet", level >= QUIET_DBFS, False, level),
        _one_voice(mono, sample_rate),
        _processed(track),
    ]


def too_long(seconds: float) -> Check:
    """The check of that name, for who knows the duration before anything is read."""
    return _check("too long", seconds <= MOST_SECONDS, True, seconds)


def both_sentences(read: Sequence[bool], evidence: Sequence[float | None]) -> Check:
    """Whether both sentences were read.

    Args:
        read: of each sentence.
        evidence: for each sentence, in nats a phone; None where the recording is too short for it.
    """
    missing = [name for name, there in zip(SENTENCES, read, strict=True) if not there]
    least = None if None in evidence else min(each for each in evidence if each is not None)
    which = f"The {missing[0]} sentence was" if len(missing) == 1 else "Both sentences were"
    advice = (
        f"{which} not understood. Read all of it at the same time, loud and clear, close to the microphone."
    )
    return _check("both sentences", not missing, False, least, advice)


def duplicate(known: bool) -> Check:
    """Whether the same samples were sent before."""
    return _check("duplicate", not known, True, None)


def content_hash(samples: Samples, sample_rate: int) -> str:
    """SHA-256 of what is decoded: samples of 16 bits and their rate, whatever the file around them says.

    Args:
        samples: (channel, time), full scale is 1.
        sample_rate: Hz.
    """
    samples_16 = np.rint(samples.T * 32768).clip(-32768, 32767).astype("<i2")
    return hashlib.sha256(f"{sample_rate} {len(samples)} ".encode() + samples_16.tobytes()).hexdigest()


def active_level(mono: Samples, sample_rate: int) -> float:
    """Level of the active frames in dB of full scale.

    Args:
        mono: (time,); -inf dB where it is digital silence.
        sample_rate: Hz.
    """
    length = max(1, round(FRAME_SECONDS * sample_rate))
    count = len(mono) // length
    frames = mono[: count * length].reshape(count, length).astype(np.float64)
    power = np.square(frames - mono.mean(dtype=np.float64)).mean(1) if count else np.zeros(0)
    if not power.any():
        return -np.inf
    decibels = 10 * np.log10(np.maximum(power, 1e-20))
    speaking = np.flatnonzero(decibels >= np.percentile(decibels, 95) - ACTIVE_RANGE_DB)
    return float(10 * np.log10(power[speaking].mean()))


def _check(name: str, passed: bool, blocks: bool, value: float | None, advice: str = "") -> Check:
    rounded = None if value is None or not np.isfinite(value) else round(float(value), 6)
    return Check(name, bool(passed), bool(blocks), rounded, "" if passed else advice or ADVICE[name])


def _one_voice(mono: Samples, sample_rate: int) -> Check:
    alone = float(talkers(mono, sample_rate)[0])
    return _check("one voice", alone < ONE_VOICE_PROBABILITY, False, alone)


def _processed(track: Mapping[str, Any]) -> Check:
    kept = [words for name, words in PROCESSING.items() if track.get(name) not in (False, None, "none")]
    advice = f"This browser changes the sound ({', '.join(kept)}). Another browser may not."
    return _check("processed", not kept, False, float(len(kept)), advice)
