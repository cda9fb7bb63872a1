"""What is said in a recording while it arrives: words that stay as they are, and words that may still change.

    every .4 s:  the last 20 s -> speech? -> the last 8 s of the utterance -> network -> phones of each 40 ms
                                           phones behind which .8 s have arrived -> search -> words that stay
                                           all others -> a copy of the search -> words that may change

An utterance begins where the speech detector (``signal.activity``) has somebody begin, and ends with a pause. The
network looks both ways, so it takes the last seconds again with every step, and what it says of a phone counts as soon
as it knows what comes next. A word is settled when every hypothesis of the search has it: whatever comes, it stays.

All is computed at places that the recording decides, so that the same words come in whatever pieces it arrives; what is
remembered is no more than an utterance.
"""

from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import numpy as np
import soxr
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unbabble.base.spans import Span
from unbabble.nn.kinds.recognizer import Posteriors
from unbabble.nn.streaming import RESAMPLING
from unbabble.pipelines.recognize import Recognizer
from unbabble.pipelines.transcribe import confidence, least_confidence
from unbabble.signal.activity import FRAME_SECONDS, is_speech
from unbabble.signal.rumble import without_rumble
from unbabble.text.hypothesis import place, transcript
from unbabble.text.lexicon_search import LexiconSearch


@dataclass(frozen=True)
class Timing:
    """When what is computed, in seconds.

    Of dev speakers, twelve utterances do not tell these from others that were tried, but by how late words come and how
    many of those that are shown change (``benchmarks/results/live_words_dev.md``).

    Attributes:
        step: from one look to the next; a multiple of what a network has one row of phones for.
        detector: of the recording, which the speech detector compares with one another.
        context: what the network takes with every step.
        ahead: what must have arrived behind a phone that counts.
        unripe: what must have arrived behind a word that is shown: what was said just now is mistaken more often.
        first: of an utterance, until which none of its phones counts.
        lead: of an utterance, before the detector has somebody speak.
        pause: ends an utterance.
        long: a longer utterance ends with a shorter pause.
        short_pause: that.
        most: an utterance that has this length ends without a pause.
    """

    step: float = 0.4
    detector: float = 20.0
    context: float = 8.0
    ahead: float = 0.8
    unripe: float = 0.3
    first: float = 3.0
    lead: float = 0.5
    pause: float = 1.2
    long: float = 20.0
    short_pause: float = 0.3
    most: float = 30.0


@dataclass(frozen=True)
class Utterance:
    """What is known of what somebody is saying, or has said.

    Attributes:
        words: times in seconds of the recording; each ``score`` is its confidence.
        settled: so many of them, the first ones, will not change.
        ended: nothing follows, and all words are settled.
        speaker: who it is, if that is known.
    """

    words: tuple[Span, ...] = ()
    settled: int = 0
    ended: bool = False
    speaker: str | None = None

    @property
    def text(self) -> str:
        """The words."""
        return " ".join(word.text for word in self.words)

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON; times to the millisecond."""
        words = [
            each.to_dict() | {"start": round(each.start, 3), "end": round(each.end, 3)} for each in self.words
        ]
        times = {"start": words[0]["start"], "end": words[-1]["end"]} if words else {}
        who = {"speaker": self.speaker} if self.speaker else {}
        said = {"text": self.text, "settled": self.settled, "ended": self.ended, "words": words}
        return times | who | said

    def differs(self, other: "Utterance") -> bool:
        """Whether other words are known, or more of them for certain; not, whether they are a little surer."""
        return (self.text, self.settled, self.ended) != (other.text, other.settled, other.ended)


class LiveTranscriber:
    """Writes down what a voice says while it arrives.

    Args:
        recognizer: of phones, with a language model that knows how words are spoken.
        sample_rate: Hz, of what arrives.
        speaker: to whom all words belong, if that is known.
        timing: when what is computed.

    Raises:
        UsageError: another recogniser.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        sample_rate: int,
        speaker: str | None = None,
        timing: Timing = Timing(),
    ) -> None:
        recognizer.search()  # says what is wrong, before anything arrives
        self._recognizer, self._speaker, self._rate = recognizer, speaker, recognizer.sample_rate
        self._timing = timing
        resampler = soxr.ResampleStream(sample_rate, self._rate, 1, "float32", RESAMPLING)
        self._resampler = resampler if sample_rate != self._rate else None
        self._arrived = torch.zeros(0)  # less than a step
        self._kept, self._end = torch.zeros(0), 0  # the last seconds, and the sample at which they end
        self._free = 0  # from here on nothing has been recognised
        self._speech: _Speech | None = None
        self._shown = Utterance()

    def push(self, samples: Float[Tensor, " time"]) -> list[Utterance]:
        """Take the next samples.

        Returns:
            The utterance whenever something of it changes; after one that has ended comes another one.
        """
        return self._take(samples if self._resampler is None else self._resampled(samples))

    def flush(self) -> list[Utterance]:
        """End the recording, and with it the utterance."""
        rest = self._take(
            torch.zeros(0) if self._resampler is None else self._resampled(torch.zeros(0), True)
        )
        self._keep(self._arrived)
        return [*rest, *self._change(last=True)]

    def _resampled(self, samples: Float[Tensor, " time"], last: bool = False) -> Float[Tensor, " time"]:
        assert self._resampler is not None
        return torch.from_numpy(self._resampler.resample_chunk(samples.numpy().astype(np.float32), last))

    def _take(self, samples: Float[Tensor, " time"]) -> list[Utterance]:
        step, changes = round(self._timing.step * self._rate), []
        self._arrived = torch.cat([self._arrived, samples])
        while len(self._arrived) >= step:
            self._keep(self._arrived[:step])
            self._arrived = self._arrived[step:].clone()
            changes += self._change()
        return changes

    def _keep(self, samples: Float[Tensor, " time"]) -> None:
        self._kept = torch.cat([self._kept, samples])[-round(self._timing.detector * self._rate) :]
        self._end += len(samples)

    def _change(self, last: bool = False) -> list[Utterance]:
        """The utterance as it is now, if it was another one a step ago."""
        spoken = is_speech(self._kept, self._rate)
        if self._speech is None and (begin := self._begin(spoken)) is not None:
            self._speech = _Speech(self._recognizer, begin, self._timing)
        if self._speech is None:
            return []
        ended = last or self._ends(spoken, self._end - self._speech.begin)
        words = self._speech.words(self._kept, self._end, ended)
        named = tuple(replace(word, speaker=self._speaker) for word in words)
        now = Utterance(named, len(self._speech.settled), ended, self._speaker)
        before, self._shown = self._shown, now
        if ended:
            self._speech, self._free, self._shown = None, self._end, Utterance()
        return [now] if (now.words or before.words) and now.differs(before) else []

    def _begin(self, spoken: Bool[Tensor, " frame"]) -> int | None:
        """The sample at which an utterance begins, if somebody speaks who has not been recognised."""
        frame, first = round(FRAME_SECONDS * self._rate), self._end - len(self._kept)
        (heard,) = (spoken * (first + frame * torch.arange(len(spoken)) >= self._free)).nonzero(as_tuple=True)
        if not len(heard):
            return None
        return max(self._free, first, first + frame * int(heard[0]) - round(self._timing.lead * self._rate))

    def _ends(self, spoken: Bool[Tensor, " frame"], samples: int) -> bool:
        """Whether an utterance of so many samples is at its end."""
        timing, seconds = self._timing, samples / self._rate
        pause = timing.pause if seconds < timing.long else timing.short_pause
        return seconds >= timing.most or not spoken[-round(pause / FRAME_SECONDS) :].any()


class _Speech:
    """An utterance that is going on.

    Args:
        recognizer: see ``LiveTranscriber``.
        begin: sample of the recording.
        timing: when what is computed.

    Attributes:
        begin: sample of the recording.
        settled: words that will not change.
    """

    def __init__(self, recognizer: Recognizer, begin: int, timing: Timing) -> None:
        self._recognizer, self.begin, self._timing = recognizer, begin, timing
        self._search: LexiconSearch | None = None
        self._counted: list[Float[np.ndarray, "frame phone"]] = []
        self.settled: list[Span] = []

    def words(self, samples: Float[Tensor, " time"], end: int, ended: bool) -> list[Span]:
        """Take a step, and say what has been said so far: those words first that are settled, without unripe ones.

        Args:
            samples: the last ones of the recording, ``context`` at least where there are so many.
            end: sample of the recording behind them.
            ended: of the utterance.
        """
        said, search, ahead = self._search_on(samples, end, ended)
        placed = place(said.log_probs, ahead.hypotheses(1)[0])
        words = transcript(placed, said.frame_seconds, confidence=self._recognizer.confidence)
        words = list(words.later(self.begin / self._recognizer.sample_rate).words)
        if not self.settled and confidence(words) < least_confidence(self._recognizer):
            return []
        stay = len(words) if ended else len(search.settled())
        self.settled += words[len(self.settled) : stay]
        ripe = end / self._recognizer.sample_rate - self._timing.unripe
        return [*self.settled, *takewhile(lambda word: ended or word.end <= ripe, words[len(self.settled) :])]

    @torch.no_grad()
    def _search_on(
        self, samples: Float[Tensor, " time"], end: int, ended: bool
    ) -> tuple[Posteriors, LexiconSearch, LexiconSearch]:
        """What the network says of the whole utterance, the search of what counts, and that of all."""
        timing, rate, length = self._timing, self._recognizer.sample_rate, end - self.begin
        step = round(timing.step * rate)
        first = max(0, length - round(timing.context * rate)) // step * step
        window = without_rumble(samples[first - length :][None], rate)[0]
        (heard,) = self._recognizer.network.posteriors(window, torch.tensor([length - first]))
        frames = heard["phones"]
        new = frames.log_probs[sum(map(len, self._counted)) - round(first / rate / frames.frame_seconds) :]
        waiting = round(timing.ahead / frames.frame_seconds) if length >= timing.first * rate else len(new)
        count = len(new) if ended else max(0, len(new) - waiting)
        search = self._search.fork() if self._search else self._recognizer.search(frames.log_prior)
        search.add(new[:count])
        counted = [*self._counted, new[:count]]
        self._search, self._counted = search, counted  # both at once: Ctrl-C may come at any time
        ahead = search.fork()
        ahead.add(new[count:])
        said = replace(frames, log_probs=np.concatenate([*counted, new[count:]]))
        return said, search, ahead
