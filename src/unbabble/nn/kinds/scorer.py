"""What every network that scores separations shares: levels, silence, long recordings, intervals.

A method's file holds its network and implements ``predict``, from mixtures and estimates to scores.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unbabble.base.errors import InputError
from unbabble.base.words import counted
from unbabble.nn.kinds.network import Network
from unbabble.signal.level import check_mixture
from unbabble.signal.metrics import si_sdr

LOWEST_DB, HIGHEST_DB = -15.0, 30.0
"""True scores beyond are taken to be these: nobody hears a difference there."""
COVERAGE = 0.9
"""Share of true scores that intervals hold."""
LEAST_SECONDS = 0.25
COPY = 0.995
"""Correlation of two estimates that are one."""
WINDOW_SECONDS = 20.0
"""What is longer is scored in pieces of equal length, whose scores are joined by their energy."""


class Prediction(NamedTuple):
    """What a network says of each estimate: its score in dB, and how far it may be off, in dB."""

    db: Float[Tensor, "batch source"]
    spread: Float[Tensor, "batch source"]


class Scores(NamedTuple):
    """SI-SNR of each estimate in dB, and the interval that holds the true one nine times in ten."""

    db: Float[Tensor, "batch source"]
    low: Float[Tensor, "batch source"]
    high: Float[Tensor, "batch source"]


class NeuralScorer(Network):
    """A network that tells the SI-SNR of estimates without the true voices.

    Args:
        sample_rate: Hz, that of its training data.
    """

    FIGURE = ("error_db", "{:.2f} dB off")
    ITEM = ("mixture", "estimates", "references")
    quantiles: Tensor

    def __init__(self, *, sample_rate: int = 8000) -> None:
        super().__init__(sample_rate=sample_rate)
        self.register_buffer("quantiles", torch.tensor([-1.0, 1.0]))

    @abstractmethod
    def predict(
        self, mixture: Float[Tensor, "batch time"], estimates: Float[Tensor, "batch source time"]
    ) -> Prediction:
        """The network itself: differentiable; estimates at any level, those that are all zeros do not count."""

    def loss(
        self,
        mixture: Float[Tensor, "batch time"],
        estimates: Float[Tensor, "batch source time"],
        references: Float[Tensor, "batch source time"],
    ) -> Float[Tensor, " batch"]:
        """Mean over the estimates of an item of |error| / spread + log spread, as errors were Laplace's."""
        predicted, true, there = self.predict(mixture, estimates), *true_db(estimates, references)
        error = (predicted.db - true.clamp(LOWEST_DB, HIGHEST_DB)).abs()
        return mean_over(error / predicted.spread + predicted.spread.log(), there)

    def figure(
        self,
        mixture: Float[Tensor, "1 time"],
        estimates: Float[Tensor, "1 source time"],
        references: Float[Tensor, "1 source time"],
    ) -> float:
        """Mean absolute error in dB."""
        true, there = true_db(estimates, references)
        error = (self.predict(mixture, estimates).db - true.clamp(LOWEST_DB, HIGHEST_DB)).abs()
        return float(mean_over(error, there)) if there.any() else math.nan

    @torch.no_grad()
    def calibrate(self, items: Iterable[tuple[Tensor, ...]]) -> None:
        """Set the intervals so that they hold ``COVERAGE`` of the true scores of ``items``."""
        ratios = []
        for mixture, estimates, references in items:
            predicted, (true, there) = (
                self.predict(mixture, estimates),
                true_db(estimates, references),
            )
            ratios.append(((true.clamp(LOWEST_DB, HIGHEST_DB) - predicted.db) / predicted.spread)[there])
        rest = (1 - COVERAGE) / 2
        self.quantiles.copy_(torch.cat(ratios).quantile(torch.tensor([rest, 1 - rest]).to(self.quantiles)))

    def forward(
        self, mixture: Float[Tensor, "batch time"], estimates: Float[Tensor, "batch source time"]
    ) -> Float[Tensor, "batch source"]:
        """SI-SNR of each estimate in dB; the ``Scorer`` contract.

        Args:
            mixture: finite samples, any level.
            estimates: what a separator made of it, any level and order.

        Raises:
            InputError: not finite, silent, too short, or of different lengths.
        """
        return self.scores(mixture, estimates).db

    def scores(
        self, mixture: Float[Tensor, "batch time"], estimates: Float[Tensor, "batch source time"]
    ) -> Scores:
        """As ``forward``, with intervals; a silent estimate has the lowest score, for certain.

        Raises:
            InputError: not finite, silent, too short, or of different lengths.
        """
        if estimates.shape[-1] != mixture.shape[-1]:
            raise InputError(
                f"The mixture has {counted(mixture.shape[-1], 'sample')} and the estimates {estimates.shape[-1]}: "
                "they are not of one recording."
            )
        check_mixture(mixture[:, None])
        pieces = math.ceil(mixture.shape[-1] / (WINDOW_SECONDS * self.sample_rate))
        return self.scores_of(
            zip(mixture.tensor_split(pieces, -1), estimates.tensor_split(pieces, -1), strict=True)
        )

    def _without_copies(
        self, mixture: Float[Tensor, "batch time"], estimates: Float[Tensor, "batch source time"]
    ) -> Prediction:
        """As ``predict``, where several estimates may be one.

        One of k copies with the score a has its talker, and the others are left with what it has of the rest, -a at
        most; as nobody knows which, each has the mean.
        """
        same = copies(estimates)
        first = same.int().argmax(-1)  # where there is none, that is the first estimate, and silent
        again = same.any(-1) & (first < torch.arange(estimates.shape[1], device=first.device))
        predicted = self.predict(mixture, estimates.masked_fill(again[..., None], 0))
        place = first.where(again, torch.arange(estimates.shape[1], device=first.device))
        db, spread = predicted.db.gather(1, place), predicted.spread.gather(1, place)
        count = same.sum(-1).clamp(min=1)
        return Prediction((db - (count - 1) * db.abs()) / count, spread.where(count == 1, spread + db.abs()))

    @torch.no_grad()
    def scores_of(self, pieces: Iterable[tuple[Tensor, Tensor]]) -> Scores:
        """As ``scores``, of a recording that comes in pieces of up to ``WINDOW_SECONDS``, in memory of one.

        Raises:
            InputError: not finite, silent, or too short.
        """
        least, samples, sounds = math.ceil(LEAST_SECONDS * self.sample_rate), 0, False
        predictions: list[Prediction] = []
        energies: list[Tensor] = []
        for mixture, estimates in pieces:
            if not (mixture.isfinite().all() and estimates.isfinite().all()):
                raise InputError("There are samples that are not numbers (NaN or infinity).")
            samples, sounds = samples + mixture.shape[-1], sounds or bool(mixture.any())
            if mixture.shape[-1] < least:
                continue  # too short a recording, or the rest of one that was not divided equally
            predictions.append(self._without_copies(unit(mixture), unit(estimates)))
            energies.append(estimates.double().square().sum(-1))
        if samples < least or not predictions:
            raise InputError(
                f"It has {samples / self.sample_rate:.2g} seconds: a score needs at least {LEAST_SECONDS:g}."
            )
        if not sounds:
            raise InputError("The mixture is silent: there is nothing to score.")
        energy = torch.stack(energies)
        db, spread = join(
            torch.stack([f.db for f in predictions]), torch.stack([f.spread for f in predictions]), energy
        )
        low, high = (db + factor * spread for factor in self.quantiles.unbind())
        silent = energy.sum(0) == 0
        return Scores(
            *(each.clamp(LOWEST_DB, HIGHEST_DB).masked_fill(silent, LOWEST_DB) for each in (db, low, high))
        )


def copies(estimates: Float[Tensor, "batch source time"]) -> Bool[Tensor, "batch source source"]:
    """Which estimates are the same but for their level, ``COPY`` or more of them; silent ones are copies of none."""
    power = estimates.square().sum(-1)
    products = (estimates @ estimates.mT).abs()
    return (products >= COPY * (power[:, :, None] * power[:, None]).sqrt()) & (products > 0)


def join(
    db: Float[Tensor, "piece batch source"],
    spread: Float[Tensor, "piece batch source"],
    energy: Float[Tensor, "piece batch source"],
) -> tuple[Float[Tensor, "batch source"], Float[Tensor, "batch source"]]:
    """SI-SNR of the whole from those of its pieces: energies of voice and of error add up."""
    weight = energy / energy.sum(0).clamp(min=1e-300)
    voice = torch.sigmoid(db.double() * math.log(10) / 10)
    whole = (weight * voice).sum(0).clamp(1e-9, 1 - 1e-9)
    return (10 * torch.log10(whole / (1 - whole))).to(db), (weight * spread).sum(0).to(db)


def unit(waveform: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch time"]:
    """Without its mean, at unit (sample) variance; zeros where it is constant."""
    peak = waveform.abs().amax(-1, keepdim=True)
    centred = waveform / peak.where(peak > 0, 1)
    centred = centred - centred.mean(-1, keepdim=True)
    level = (centred.square().sum(-1, keepdim=True) / max(1, centred.shape[-1] - 1)).sqrt()
    return centred / level.where(level > 1e-7, torch.inf)


def true_db(
    estimates: Float[Tensor, "batch source time"], references: Float[Tensor, "batch source time"]
) -> tuple[Float[Tensor, "batch source"], Tensor]:
    """SI-SNR of each estimate against its own reference, and where there are both."""
    there = (estimates.abs().amax(-1) > 0) & (references.abs().amax(-1) > 0)
    return si_sdr(estimates, references, zero_mean=True).nan_to_num(LOWEST_DB, HIGHEST_DB, LOWEST_DB), there


def mean_over(values: Float[Tensor, "batch source"], there: Tensor) -> Float[Tensor, " batch"]:
    """Mean over the estimates that are there."""
    return values.masked_fill(~there, 0).sum(-1) / there.sum(-1).clamp(min=1)
