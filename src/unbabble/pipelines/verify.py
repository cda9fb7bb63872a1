"""Is it one person who speaks in two recordings, and which of several people, or nobody of them, is it?

    recording -> voice (``pipelines.embed``)      likeness = vector · vector, from -1 to 1
    likeness and duration -> log-likelihood ratio, by the calibration in the embedder's card -> probability

To identify a voice, everybody who is known is compared with it. Before anything was heard, it is one of them with the
probability of the prior, each as likely, and nobody of them else:

    p(person k) = prior / n · e^ratio_k / (sum over people of that + 1 - prior)
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unbabble.base.errors import InputError, UsageError
from unbabble.base.files import read_text
from unbabble.networks import load as networks
from unbabble.pipelines.embed import Embedder, Voice, load_embedder
from unbabble.signal.calibration import Calibration, Errors, log_odds, probability, trial_seconds

SURE = 0.9
"""Probability from which an answer is given; with less than this for either, none."""
SAME, DIFFERENT, UNSURE = "same", "different", "cannot say"
NOBODY = "nobody"
LIKELY = 0.5
"""Probability from which somebody, or nobody, is named."""


@dataclass(frozen=True)
class Comparison:
    """What two voices have in common.

    Attributes:
        likeness: cosine of their vectors.
        probability: that it is one person; None where the embedder is not calibrated.
        answer: same, different, or cannot say; empty where the embedder is not calibrated.
        seconds: of speech, the harmonic mean of both.
        wrongly_same: share of the pairs of two people in the embedder's test that were called the same, with recordings
            as long and this prior; None where that is not known.
        wrongly_different: share of the pairs of one person that were called different.
    """

    likeness: float
    probability: float | None = None
    answer: str = ""
    seconds: float = 0.0
    wrongly_same: float | None = None
    wrongly_different: float | None = None


@dataclass(frozen=True)
class Identification:
    """Who a voice is.

    Attributes:
        name: of the person; None where nobody is likely enough.
        probability: of that answer; None where the embedder is not calibrated, and the name is that of whoever is most
            like.
        answer: the name, nobody, or cannot say.
        people: of each person, the most likely first, ``likeness`` and ``probability``.
        nobody: probability that it is none of them.
    """

    name: str | None
    probability: float | None
    answer: str
    people: dict[str, Comparison] = field(default_factory=dict)
    nobody: float | None = None


@dataclass(frozen=True)
class Verifier:
    """An embedder, and what its likenesses mean.

    Attributes:
        embedder: makes voices of recordings.
        calibration: None where nobody has calibrated it.
        errors: how often it was wrong; None where that is not known.
    """

    embedder: Embedder
    calibration: Calibration | None = None
    errors: Errors | None = None

    def compare(self, one: Voice, other: Voice, prior: float = 0.5) -> Comparison:
        """How probable it is that both voices are of one person.

        Args:
            one: a voice.
            other: another one.
            prior: how probable it was beforehand.

        Raises:
            UsageError: a prior that is not between 0 and 1.
        """
        check_prior(prior)
        likeness = float(np.clip(one.vector @ other.vector, -1, 1))
        seconds = float(trial_seconds(one.speech_seconds, other.speech_seconds))
        if self.calibration is None:
            return Comparison(likeness, seconds=seconds)
        ratio = float(self.calibration.ratios(np.array(likeness), seconds))
        probable = float(probability(np.array(ratio), prior))
        answer = SAME if probable >= SURE else DIFFERENT if probable <= 1 - SURE else UNSURE
        wrong: tuple[float | None, float | None] = (None, None)
        if self.errors is not None:
            threshold = log_odds(SURE) - log_odds(prior)
            wrong = (
                self.errors.at(threshold, seconds)[1],
                self.errors.at(threshold - 2 * log_odds(SURE), seconds)[0],
            )
        return Comparison(likeness, probable, answer, seconds, *wrong)

    def identify(self, voice: Voice, people: Mapping[str, Voice], prior: float = 0.5) -> Identification:
        """Which of several people a voice is.

        Args:
            voice: whose name is asked for.
            people: by name.
            prior: how probable it was beforehand that it is one of them.

        Raises:
            UsageError: nobody to choose from, or a prior that is not between 0 and 1.
        """
        if not people:
            raise UsageError("There is nobody to identify a voice by.")
        check_prior(prior)
        compared = {name: self.compare(voice, each) for name, each in people.items()}
        ordered = sorted(compared, key=lambda name: -compared[name].likeness)
        if self.calibration is None:
            return Identification(ordered[0], None, ordered[0], {name: compared[name] for name in ordered})
        ratios = self.calibration.ratios(
            np.array([each.likeness for each in compared.values()]),
            np.array([each.seconds for each in compared.values()]),
        )
        logs = np.array([*(ratios + np.log(prior / len(people))), np.log(1 - prior)])
        shares = np.exp(logs - logs.max())
        *probable, nobody = (shares / shares.sum()).tolist()
        by_name = dict(zip(compared, probable, strict=True))
        ordered = sorted(by_name, key=lambda name: -by_name[name])
        best = {
            name: Comparison(compared[name].likeness, by_name[name], seconds=compared[name].seconds)
            for name in ordered
        }
        if by_name[ordered[0]] >= LIKELY:
            return Identification(ordered[0], by_name[ordered[0]], ordered[0], best, nobody)
        return Identification(None, nobody, NOBODY if nobody >= LIKELY else UNSURE, best, nobody)


def check_prior(prior: float) -> None:
    """Refuse what is no prior.

    Raises:
        UsageError: it is not between 0 and 1.
    """
    if not 0 < prior < 1:
        raise UsageError("The prior is a probability between 0 and 1, both excluded.")


def load_verifier(name: str = "auto", device: str = "auto", calibration: Path | None = None) -> Verifier:
    """The embedder called ``name``, with the calibration and the errors that its card states.

    Args:
        name: as for ``pipelines.embed.load_embedder``.
        device: where it computes.
        calibration: a file that says what likenesses mean, in place of the card.

    Raises:
        InputError: weights that are missing or damaged, a calibration that cannot be read or is another embedder's;
            nothing installed for ``auto``.
        UsageError: no such model or device, or one that does something else.
    """
    embedder = load_embedder(name, device)
    if calibration is not None:
        try:
            stated = json.loads(read_text(calibration))
        except ValueError:
            raise InputError(f"'{calibration}' is no JSON.") from None
        meant = read_verification(stated, f"'{calibration}'")
        if meant[0] is None:
            raise InputError(f"'{calibration}' is no calibration: `unbabble verify --calibrate` writes one.")
        of = str(stated.get("model", embedder.name))
        if Path(of).name != Path(embedder.name).name:  # a file may have moved
            raise InputError(
                f"'{calibration}' says what likenesses by '{of}' mean, and nothing of those by '{embedder.name}'."
            )
    else:
        card = networks.card_of(embedder.name)
        meant = read_verification(card.verification if card else {}, f"The card of '{embedder.name}'")
    return Verifier(embedder, *meant)


def read_verification(stated: Mapping[str, Any], whose: str) -> tuple[Calibration | None, Errors | None]:
    """What a card, or a file, says of the meaning of likenesses.

    Args:
        stated: ``calibration`` and ``errors``, with the fields of these classes; either may be missing.
        whose: where it stands, to begin a sentence.

    Raises:
        InputError: it cannot be read.
    """
    try:
        line, errors = stated.get("calibration"), stated.get("errors")
        return Calibration.read(line) if line else None, Errors.read(errors) if errors else None
    except (TypeError, ValueError, AttributeError):
        raise InputError(f"{whose} says of verification what cannot be read.") from None
