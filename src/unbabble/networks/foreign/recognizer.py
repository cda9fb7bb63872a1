"""What recognisers that another library computes have in common."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unbabble.base.errors import InputError, UnbabbleError, UsageError
from unbabble.base.registry import Card
from unbabble.base.spans import Transcript
from unbabble.networks.hub import first_line
from unbabble.networks.onnx import quiet
from unbabble.nn.kinds.network import Network
from unbabble.nn.kinds.recognizer import Posteriors, Tokens
from unbabble.signal.level import check_samples
from unbabble.text.search import TokenModel
from unbabble.text.tokens import Pieces

AUTO = "auto"


class ForeignRecognizer(Network):
    """Writes down what one person says, computed by the library that made the network: used as it is, never trained.

    Utterances are recognised one by one: what is padded in a batch changes what many of these networks make of it.

    Args:
        card: what a listing shows of it.
        sample_rate: Hz.
        given: the user's options, plain values.
    """

    language: str | None = None
    """Of what was recognised last, as a code (``en``), where the network can tell."""
    takes_prompt: ClassVar[bool] = False
    """Whether it reads a text before it writes."""
    prompt: str = ""
    """That text: words that are likely."""
    tokens: Pieces | None = None
    """What its CTC writes with, where our searches may look for words in it: see ``posteriors``."""
    token_model: TokenModel | None = None
    """What says which tokens are likely, where its search asks: see ``own_language_model``."""

    def __init__(self, *, card: Card, sample_rate: int, given: Mapping[str, Any]) -> None:
        super().__init__(sources=1, sample_rate=sample_rate)
        self.card, self.options = card, dict(given)  # type: ignore[misc]

    def resolved_options(self) -> dict[str, Any]:
        """The user's options; the library's own are in its files."""
        return dict(self.options)

    @abstractmethod
    def transcript(self, samples: Float[np.ndarray, " time"]) -> Transcript:
        """What is said in one utterance of any length, at least one sample."""

    def forward(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> list[Transcript]:
        """Write down what each says; the ``Recognizer`` contract.

        Args:
            waveform: finite samples of one speaker.
            lengths: samples of each, where not all are as long as the longest.

        Raises:
            InputError: not finite, or no samples.
        """
        check_samples(waveform[:, None])
        counts = [waveform.shape[1]] * len(waveform) if lengths is None else lengths.tolist()
        with torch.no_grad(), quiet():
            return [
                self.transcript(samples[:count].float().cpu().numpy())
                for samples, count in zip(waveform, counts, strict=True)
            ]

    @property
    def targets(self) -> Mapping[str, Tokens]:
        """None that it could learn to write."""
        return {}

    def posteriors(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> list[dict[str, Posteriors]]:
        """Of each item what CTC says of its ``tokens``; nothing where the text is the library's affair alone."""
        return [{} for _ in waveform]

    def writers(
        self, waveform: Float[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> list[TokenModel]:
        """None: decoders are the library's affair."""
        return []

    def own_language_model(self, name: str) -> TokenModel | None:
        """A language model of its library, for its own search.

        Args:
            name: ``auto`` for the one that it is published with; None where there is none.

        Raises:
            InputError: it is missing or damaged.
            UsageError: it takes no such language model.
        """
        if name == AUTO:
            return None
        raise UsageError(
            f"A {self.card.name} of another library is searched by that, without a language model: leave out '{name}'."
        )

    def cased(self, word: str) -> str:
        """A word as the library writes it; searches have small letters."""
        return word

    def loss(self, *item: Any, **options: Any) -> NoReturn:
        """None: it learns elsewhere.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"A {self.card.name} of another library is used as it is, and cannot be trained here."
        )

    def figure(self, *item: Any, **options: Any) -> NoReturn:
        """None, as ``loss``.

        Raises:
            UsageError: always.
        """
        self.loss()


@contextmanager
def in_one_sentence(library: str, folder: Path) -> Iterator[None]:
    """Whatever a library says while it reads ``folder``: errors as one sentence, all else not at all.

    Raises:
        InputError: it cannot read what is there.
    """
    try:
        with quiet():
            yield
    except UnbabbleError:
        raise
    except Exception as error:  # of many libraries, whose errors share no base
        raise InputError(f"{library} cannot read '{folder}': {first_line(error)}.") from error


def need_files(folder: Path, *names: str) -> None:
    """Name the first file that is missing.

    Raises:
        InputError: one is.
    """
    for name in names:
        if not (folder / name).is_file():
            raise InputError(f"There is no file '{folder / name}', which a recogniser in this layout needs.")
