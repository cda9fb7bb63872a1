"""The small contracts through which methods, verbs and scores meet.

Tensors are torch, float32, time last. Each contract says what it accepts, so that a verb can adapt a file to
it (resample, choose channels) and refuse clearly what cannot be adapted. Which contract is whose, ``base.kinds`` says.
"""

from __future__ import annotations  # the table of kinds is read without torch

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from jaxtyping import Float, Int
    from torch import Tensor

    from unbabble.base.spans import Transcript

SAMPLE_RATE_ANY = 0
"""``sample_rate`` of a separator that works at whatever rate the recording has."""


@runtime_checkable
class Separator(Protocol):
    """Splits a mixture into sources.

    Attributes:
        sample_rate: the rate in Hz that ``mixture`` must have, or ``SAMPLE_RATE_ANY``.
        min_channels: fewest microphones it can work with.
        max_sources: most sources it can return, 0 for "as many as there are channels".
    """

    sample_rate: int
    min_channels: int
    max_sources: int

    def __call__(
        self, mixture: Float[Tensor, "batch channel time"], **side: object
    ) -> Float[Tensor, "batch source time"]:
        """Separate ``mixture``.

        Args:
            mixture: finite samples, any level.
            side: further inputs that the method names (``sample_rate`` in Hz where it accepts any rate,
                ``enrollment``...).

        Returns:
            The sources, each as it sounds at the reference microphone, loudest first.

        Raises:
            InputError: the recording cannot be separated (too short, too few channels, not finite).
        """
        ...


@runtime_checkable
class Enhancer(Separator, Protocol):
    """Takes noise off: a separator with one source, ``max_sources`` is 1."""


@runtime_checkable
class Extractor(Protocol):
    """Brings one enrolled person out of a mixture.

    Attributes:
        sample_rate: the rate in Hz that mixture and enrollment must have.
        min_channels: fewest microphones it can work with.
    """

    sample_rate: int
    min_channels: int

    def enrolled(self, enrollment: Float[Tensor, " time"]) -> Float[Tensor, "1 place dimension"]:
        """What is known of a person by a recording of that person alone, at any level."""
        ...

    def __call__(
        self, mixture: Float[Tensor, "batch channel time"], **side: object
    ) -> Float[Tensor, "batch 1 time"]:
        """Extract a person's voice; silence where nothing of it is in the mixture.

        Args:
            mixture: finite samples, any level.
            side: ``enrollment``, (time,), or what ``enrolled`` made of it, as ``person``.

        Raises:
            InputError: the recording cannot be used (silent, too few channels, not finite).
            UsageError: nobody is enrolled.
        """
        ...


@runtime_checkable
class Scorer(Protocol):
    """Says, in dB, how good estimates are, given the mixture alone."""

    sample_rate: int

    def __call__(
        self, mixture: Float[Tensor, "batch time"], estimates: Float[Tensor, "batch source time"]
    ) -> Float[Tensor, "batch source"]:
        """Score each estimate, in dB."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns a recording into a vector that is close to those of similar recordings."""

    sample_rate: int

    def __call__(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """Embed each waveform."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Turns texts into vectors that are close to those of texts that mean something similar."""

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "text dimension"]:
        """The vector of each text, of unit norm.

        Raises:
            InputError: a text of which nothing can be read.
        """
        ...


@runtime_checkable
class JointEmbedder(Embedder, Protocol):
    """Turns recordings, and texts that describe some, into vectors of one space."""

    def embed_text(self, texts: Sequence[str]) -> Float[Tensor, "text dimension"]:
        """The vector of each text: close to those of recordings that sound so.

        Raises:
            InputError: a text of which nothing can be read.
        """
        ...


@runtime_checkable
class Segmenter(Protocol):
    """Says who of a few talks when; talkers have no names, and are numbered anew in each recording.

    Attributes:
        sample_rate: Hz.
        seconds: the duration of what it is best given at once.
        frame_seconds: from one frame to the next.
        first_seconds: in the middle of the first frame.
    """

    sample_rate: int
    seconds: float
    frame_seconds: float
    first_seconds: float

    def __call__(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frame talker"]:
        """How probable it is that each talks."""
        ...


@runtime_checkable
class Counter(Protocol):
    """Says how many talk."""

    sample_rate: int

    def __call__(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch talkers"]:
        """Probabilities of 1, 2 ... talkers."""
        ...


@runtime_checkable
class Classifier(Protocol):
    """Says which sounds are in a recording.

    Attributes:
        sample_rate: Hz.
        labels: what it tells apart.
        several: a recording may have several labels at once, or none: the probability of each is its logit's sigmoid;
            else it has exactly one: probabilities are the logits' softmax.
    """

    sample_rate: int
    labels: tuple[str, ...]
    several: bool

    def __call__(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch label"]:
        """Unnormalised log-probabilities (logits) of each label."""
        ...


@runtime_checkable
class Meter(Protocol):
    """Says something of a recording in a number: how good it sounds, how noisy it is."""

    sample_rate: int

    def __call__(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, " batch"]:
        """Of each waveform, on a scale of its own."""
        ...


@runtime_checkable
class Recognizer(Protocol):
    """Writes down what one person says."""

    sample_rate: int

    def __call__(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> list[Transcript]:
        """Words of each waveform with their times and how sure they are; none where nobody speaks.

        Args:
            waveform: finite samples, any level.
            lengths: samples of each, where not all are as long as the longest; zeros follow.
        """
        ...


@runtime_checkable
class LanguageModel(Protocol):
    """Says which tokens are likely after one another.

    Attributes:
        tokens: words, or pieces of words; their numbers begin with 1. Number 0 ends a text, and comes before its first.
    """

    tokens: tuple[str, ...]

    def start(self, batch: int) -> dict[str, Tensor]:
        """The state of so many texts before their first token: tensors with the text first."""
        ...

    def step(
        self, x: Int[Tensor, " batch"], state: dict[str, Tensor]
    ) -> tuple[Float[Tensor, "batch token"], dict[str, Tensor]]:
        """Natural log-probabilities of the next token of each text, and the state then.

        Args:
            x: the token before it; 0 at first.
            state: what ``start`` or the step before returned.
        """
        ...


@runtime_checkable
class Objective(Protocol):
    """What an encoder learns by, from two views of each recording."""

    def loss(
        self,
        vectors: Float[Tensor, "2 batch dimension"],
        label: Int[Tensor, " batch"],
        keys: Float[Tensor, "batch projected"] | None = None,
    ) -> Float[Tensor, ""]:
        """What is descended: of an encoder's vectors, labels, and what a teacher makes of the second views."""
        ...


@runtime_checkable
class Adaptation(Protocol):
    """One way to go on training an enhancer, on recordings of one person without the clean speech."""

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, ...]:
        """So many excerpts of the person's recordings."""
        ...

    def loss(self, *drawn: Tensor) -> Float[Tensor, ""]:
        """Mean loss of what was drawn."""
        ...
