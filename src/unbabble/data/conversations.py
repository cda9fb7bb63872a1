"""Made conversations: talkers who take turns, pause, interrupt one another, in a room; who speaks when is known.

A turn is one utterance, or several of one speaker, until a drawn length is reached. The next turn, of another talker,
comes after a pause, or begins while somebody still speaks: often enough, and so long before the end, that the asked
share of the time with speech is spoken by two at once, never by three. A short turn may lie inside a long one.

Turns are told by the energy of the clean utterances, as they arrive at the first microphone; pauses of half a second
and more are in no turn. Conversation ``i`` of a set depends on the seed and on ``i`` alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from unbabble.base.errors import InputError, UsageError
from unbabble.base.spans import Span
from unbabble.base.words import counted
from unbabble.data.corpora import Noise, Utterance, read, resample
from unbabble.data.mixing import Mixture, Reference, check_numbers, licences, mix, surround
from unbabble.data.rooms import Room
from unbabble.signal.diarization import overlap_share

FRAME_SECONDS = 0.01
LOUD_QUANTILE, BELOW_LOUD_DB = 0.95, 35.0
"""A frame is speech that is less than so far below the loud ones of its utterance."""
LEAST_STRETCH_SECONDS, LEAST_PAUSE_SECONDS = 0.05, 0.5
"""Clicks are no speech, and shorter pauses are no silence."""
GAP_SECONDS, GAP_SPREAD, MOST_GAP_SECONDS = 0.35, 0.6, 2.0
"""Median of the pauses between turns, the standard deviation of its logarithm, and the longest."""
BREATH_SECONDS = (0.15, 0.45)
"""Between utterances of one turn, and at least before a turn of one who has just spoken."""
INTERRUPTING = 0.7
"""Of turns that may begin before the last one ends, how many do."""
LEAST_HEARD_SECONDS = 0.3
"""Of a turn, before it is interrupted."""
MOST_OVERLAP = 0.5
SPARE = 1.3
"""How much more speech than his share a speaker needs."""
TURN_SECONDS = (2.0, 12.0)


@dataclass(frozen=True, slots=True)
class Conversation(Mixture):
    """A recording of several talkers, and what was said in it.

    Attributes:
        turns: who speaks when, without what is said.
        said: each utterance with its text and its speaker, in the order of their beginnings.
    """

    turns: tuple[Span, ...] = ()
    said: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Piece:
    """One utterance at its place.

    Attributes:
        voice: at unit power where there is speech.
        stretches: of speech, in seconds from the beginning of the voice.
        start: of the voice in the conversation, in seconds.
    """

    utterance: Utterance
    voice: Float[np.ndarray, " time"]
    stretches: tuple[tuple[float, float], ...]
    start: float = 0.0

    @property
    def begin(self) -> float:
        """Where its first speech is."""
        return self.start + self.stretches[0][0]

    @property
    def end(self) -> float:
        """Where its last speech ends."""
        return self.start + self.stretches[-1][1]


@dataclass(frozen=True)
class ConversationSet:
    """Conversations drawn at random from speech, rooms and noise: ``set[i]`` builds conversation ``i``.

    Args:
        speech: utterances; a speaker says each once at most in a conversation.
        room: measured or simulated rooms.
        talkers: how many; of conversation ``i`` it is number ``i`` of these, over and over.
        overlaps: shares of the time with speech in which two speak; likewise.
        turn_seconds: shortest and longest turn that is drawn; a turn ends with an utterance, and so may be longer.
        noise: recordings played from the room's places of noise; white noise if there are none.
        snr_db: power of all talkers over that of the noise at the first microphone; None for no noise.
        level_spread_db: talkers are at most this much louder or softer than their common level.

    Raises:
        UsageError: a number that makes no sense.
        InputError: too few speakers with enough speech, or too few places or microphones.
    """

    speech: tuple[Utterance, ...]
    room: Room
    talkers: tuple[int, ...] = (2, 3, 4)
    overlaps: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4)
    microphones: int = 1
    seconds: float = 120.0
    turn_seconds: tuple[float, float] = TURN_SECONDS
    count: int = 30
    seed: int = 0
    noise: tuple[Noise, ...] = ()
    snr_db: float | None = 30.0
    level_spread_db: float = 2.5
    sample_rate: int = 16000
    reference: Reference = "image"

    def __post_init__(self) -> None:
        if not self.talkers or min(self.talkers) < 2:
            raise UsageError("A conversation has at least 2 talkers.")
        if self.count < 1 or self.microphones < 1:
            raise UsageError("The number of conversations and microphones is at least 1.")
        check_numbers(self.sample_rate, self.seconds, self.level_spread_db, self.snr_db, self.seed)
        if not self.overlaps or not all(0 <= share <= MOST_OVERLAP for share in self.overlaps):
            raise UsageError(f"The overlap of a conversation must lie between 0 and {MOST_OVERLAP:g}.")
        if not 0 < self.turn_seconds[0] <= self.turn_seconds[1] < np.inf:
            raise UsageError("The length of turns goes from short to long, in seconds.")
        if not self.turn_seconds[0] * max(self.talkers) < self.seconds:
            raise UsageError(f"In {self.seconds:g} s not all {max(self.talkers)} talkers have a turn.")
        for talkers in set(self.talkers):
            if len(self._able(talkers)) < talkers:
                raise InputError(
                    f"Conversations of {counted(talkers, 'talker')} are asked for, of "
                    f"{counted(len(self._able(talkers)), 'speaker')} with {self._needed(talkers):.0f} s of speech."
                )

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Conversation:
        if not 0 <= index < self.count:
            raise IndexError(index)
        room_rng, voice_rng, level_rng, noise_rng = (
            np.random.default_rng([self.seed, index, stream]) for stream in range(4)
        )
        talkers = self.talkers[index % len(self.talkers)]
        share = self.overlaps[index % len(self.overlaps)]
        samples = round(self.seconds * self.sample_rate)
        drawn = self.room.draw(room_rng, talkers, self.microphones, self.sample_rate)
        able = self._able(talkers)
        names = [str(name) for name in voice_rng.choice(sorted(able), talkers, replace=False)]
        spoken = _Talk(self, voice_rng, [able[name] for name in names], share).pieces()

        delays = np.abs(drawn.responses[:, 0]).argmax(-1) / self.sample_rate
        turns = _turns(
            Span(piece.start + begin + delay, piece.start + end + delay, speaker=name)
            for name, pieces, delay in zip(names, spoken, delays, strict=True)
            for piece in pieces
            for begin, end in piece.stretches
        )
        said = [
            Span(piece.begin + delay, piece.end + delay, piece.utterance.text or "", name)
            for name, pieces, delay in zip(names, spoken, delays, strict=True)
            for piece in pieces
        ]
        active = [sum(turn.seconds for turn in turns if turn.speaker == name) for name in names]
        spread = level_rng.uniform(-self.level_spread_db, self.level_spread_db, talkers)
        noise, noises = None, []
        if self.noise and self.snr_db is not None:
            noise, noises = surround(
                noise_rng, self.noise, drawn.background, self.microphones, samples, self.sample_rate
            )
        mixed = mix(
            [self._track(pieces, samples) for pieces in spoken],
            drawn.responses,
            samples=samples,
            sample_rate=self.sample_rate,
            # the power of a voice is that of its whole track, of which most is silent
            levels_db=(spread + 10 * np.log10(np.array(active) / self.seconds)).tolist(),
            noise=noise,
            snr_db=self.snr_db,
            rng=noise_rng,
            reference=self.reference,
        )
        room = dict(drawn.metadata)
        places = room.pop("places")
        used = [piece.utterance for pieces in spoken for piece in pieces]
        metadata = {
            "index": index,
            "seed": self.seed,
            "sample_rate": self.sample_rate,
            "seconds": samples / self.sample_rate,
            "snr_db": self.snr_db,
            "noise": [noise.path.name for noise in noises] or ("white" if self.snr_db is not None else None),
            "reference": self.reference,
            "licence": {"speech": licences(used), "room": room.pop("licence"), "noise": licences(noises)},
            **room,
            "overlap": share,
            "overlap_share": round(overlap_share(turns), 4),
            "talkers": [
                {
                    "speaker": name,
                    "files": [piece.utterance.path.name for piece in pieces],
                    "texts": [piece.utterance.text for piece in pieces],
                    "starts_seconds": [round(piece.start, 4) for piece in pieces],
                    "level_db": round(float(level_db), 3),
                    **place,
                }
                for name, pieces, level_db, place in zip(names, spoken, spread, places, strict=True)
            ],
        }
        parts = mixed.mixture, mixed.images, mixed.references, mixed.noise
        said.sort(key=lambda span: span.start)
        return Conversation(*parts, self.sample_rate, metadata, tuple(turns), tuple(said))

    def _needed(self, talkers: int) -> float:
        return SPARE * self.seconds * (1 + max(self.overlaps)) / talkers

    def _able(self, talkers: int) -> dict[str, list[Utterance]]:
        """Speakers with enough to say."""
        return {
            speaker: utterances
            for speaker, utterances in self._speakers.items()
            if sum(utterance.seconds for utterance in utterances) >= self._needed(talkers)
        }

    @cached_property
    def _speakers(self) -> dict[str, list[Utterance]]:
        everyone: dict[str, list[Utterance]] = {}
        for utterance in self.speech:
            if utterance.seconds <= 1.5 * self.turn_seconds[1]:
                everyone.setdefault(utterance.speaker, []).append(utterance)
        return everyone

    def _track(self, pieces: Sequence[Piece], samples: int) -> Float[np.ndarray, " time"]:
        track = np.zeros(samples)
        for piece in pieces:
            start = round(piece.start * self.sample_rate)
            voice = piece.voice[max(-start, 0) : samples - start]
            track[max(start, 0) :][: len(voice)] += voice
        return track


class _Talk:
    """The turns of one conversation, one after another.

    Attributes:
        done: pieces of each talker so far.
    """

    def __init__(
        self, made: ConversationSet, rng: np.random.Generator, speech: Sequence[list[Utterance]], share: float
    ) -> None:
        self.made, self.rng, self.share = made, rng, share
        self.left = [
            [utterances[number] for number in rng.permutation(len(utterances))] for utterances in speech
        ]
        self.done: list[list[Piece]] = [[] for _ in speech]
        self.eagerness = rng.uniform(0.5, 1.5, len(speech))
        self.begun, self.end, self.other_end = 0.0, 0.0, 0.0
        """Of the turn that ends last: where it begins and ends; and where all others have ended."""
        self.last = -1

    def pieces(self) -> list[list[Piece]]:
        """Of each talker, in the order of time."""
        for talker in self.rng.permutation(len(self.left)):
            self._turn(int(talker))
        while True:
            able = np.array([bool(left) and k != self.last for k, left in enumerate(self.left)])
            weights = self.eagerness * able
            if not able.any() or not self._turn(int(self.rng.choice(len(able), p=weights / weights.sum()))):
                return self.done

    def _turn(self, talker: int) -> bool:
        """One more; False if there is no time for it."""
        pieces = self._drawn(talker, self.made.seconds - self.end - MOST_GAP_SECONDS)
        if not pieces:
            return False
        length = pieces[-1].end
        start = self._start(length)
        self.done[talker] += [replace(piece, start=start + piece.start) for piece in pieces]
        end = start + length
        if end > self.end:
            self.begun, self.end, self.other_end, self.last = start, end, self.end, talker
        else:
            self.other_end = end
        return True

    def _start(self, length: float) -> float:
        """Where a turn begins: after a pause, or so early that the share of overlap is met."""
        wanted = self._lacking(length)
        earliest = max(self.begun + LEAST_HEARD_SECONDS, self.other_end + BREATH_SECONDS[0])
        room = self.end - earliest
        if wanted > 0 and room > 0 and self.rng.random() < INTERRUPTING:
            if wanted >= length and room > length:  # inside the other
                return earliest + self.rng.uniform(0, room - length)
            return self.end - min(wanted, room, length)
        gap = GAP_SECONDS * np.exp(GAP_SPREAD * self.rng.standard_normal())
        return self.end + float(np.clip(gap, BREATH_SECONDS[0], MOST_GAP_SECONDS))

    def _lacking(self, length: float) -> float:
        """Seconds of overlap with which the share is met, if a turn of this length comes."""
        if not self.share or self.last < 0:
            return 0.0
        spans = [
            Span(piece.start + begin, piece.start + end, speaker=str(talker))
            for talker, pieces in enumerate(self.done)
            for piece in pieces
            for begin, end in piece.stretches
        ]
        total, shared = sum(span.seconds for span in spans), overlap_share(spans)
        spoken = total / (1 + shared)  # at most two at once: everything is the union and what overlaps in it
        return (self.share * (spoken + length) - shared * spoken) / (1 + self.share)

    def _drawn(self, talker: int, most: float) -> list[Piece]:
        """A turn from 0 on: utterances until a length that is drawn."""
        shortest, longest = self.made.turn_seconds
        target = min(most, float(np.exp(self.rng.uniform(np.log(shortest), np.log(longest)))))
        pieces: list[Piece] = []
        end, left = 0.0, self.left[talker]
        while left and end < 0.7 * target:
            rest = most - end
            fitting = [each for each in left if each.seconds <= max(target - end, shortest)]
            chosen = fitting[0] if fitting else min(left, key=lambda each: each.seconds)
            if chosen.seconds > rest:
                break
            left.remove(chosen)
            piece = _piece(chosen, self.made.sample_rate)
            if piece is None:
                continue
            pause = self.rng.uniform(*BREATH_SECONDS) if pieces else 0.0
            piece = replace(piece, start=end + pause - piece.stretches[0][0])
            pieces.append(piece)
            end = piece.end
        return pieces


def _piece(utterance: Utterance, sample_rate: int) -> Piece | None:
    """None if it is silent."""
    recording, rate = read(utterance.path)
    voice = resample(recording.mean(axis=0), rate, sample_rate)
    stretches = speech_stretches(voice, sample_rate)
    if not stretches:
        return None
    spoken = np.concatenate([voice[round(a * sample_rate) : round(b * sample_rate)] for a, b in stretches])
    return Piece(utterance, voice / np.sqrt(np.mean(spoken**2)), tuple(stretches))


def speech_stretches(voice: Float[np.ndarray, " time"], sample_rate: int) -> list[tuple[float, float]]:
    """Where somebody speaks in a clean recording of one talker, by energy: begin and end in seconds."""
    hop = round(FRAME_SECONDS * sample_rate)
    powers = np.square(voice[: len(voice) // hop * hop].reshape(-1, hop)).mean(1)
    if not powers.any():
        return []
    smooth = np.convolve(powers, np.ones(3) / 3, "same")
    loud = smooth > np.quantile(smooth, LOUD_QUANTILE) * 10 ** (-BELOW_LOUD_DB / 10)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud, [0]]).astype(int))).reshape(-1, 2)
    spans = [Span(begin * FRAME_SECONDS, end * FRAME_SECONDS) for begin, end in edges]
    spans = [span for span in bridged(spans, 0.1) if span.seconds > LEAST_STRETCH_SECONDS]
    return [(span.start, span.end) for span in bridged(spans, LEAST_PAUSE_SECONDS)]


def bridged(spans: Sequence[Span], pause: float) -> list[Span]:
    """The same in the order of time, those with shorter pauses between them as one; all are of one speaker.

    >>> parts = bridged([Span(0.0, 1.0), Span(1.2, 2.0), Span(3.0, 4.0)], 0.5)
    >>> [(part.start, part.end) for part in parts]
    [(0.0, 2.0), (3.0, 4.0)]
    """
    result: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if result and span.start - result[-1].end < pause:
            before = result.pop()
            span = replace(before, end=max(before.end, span.end))
        result.append(span)
    return result


def _turns(stretches: Iterator[Span]) -> list[Span]:
    speakers: dict[str | None, list[Span]] = {}
    for span in stretches:
        speakers.setdefault(span.speaker, []).append(span)
    turns = [turn for spans in speakers.values() for turn in bridged(spans, LEAST_PAUSE_SECONDS)]
    return sorted(turns, key=lambda turn: turn.start)
