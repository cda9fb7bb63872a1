"""Independent low-rank matrix analysis (ILRMA): AuxIVA whose sources are spectrograms of low rank.

    D. Kitamura, N. Ono, H. Sawada, H. Kameoka & H. Saruwatari, "Determined blind source separation unifying
    independent vector analysis and nonnegative matrix factorization", IEEE/ACM TASLP 24(9), 2016.

Each source's variance is the product of a few spectral shapes and their activities, so that instruments, hums and
steady voices are told apart by more than when they sound. With more microphones than talkers the strongest
principal components are kept.

================ ====================== ================================================================
paper            code                   meaning
================ ====================== ================================================================
x_ij             ``whitened``           mixture at frequency i and frame j, whitened
W_i, y_ij,n      ``demixer``            demixing matrices and sources n
|y_ij,n|^2       ``bin_power()``        power of the sources
t_il,n, v_lj,n   ``model.shapes``, ``model.activities``   bases (eq. 14-15)
r_ij,n           ``model.variance()``   sum_l t_il,n v_lj,n; its inverse is the majoriser's weight
================ ====================== ================================================================

One iteration: multiplicative updates of shapes and activities (eq. 16-17, with the square root that makes them
monotone), then one sweep of the demixing update named by the tag.

Random shapes say nothing of which frequencies belong together, and from the start as published every frequency may
settle on an order of the sources of its own. So a few sweeps of AuxIVA come first, whose sources are whole by
construction: worth about a decibel with three real voices, less with two (``python -m benchmarks default``).
"""

from collections.abc import Callable
from typing import Any

from jaxtyping import Complex
from torch import Tensor

from unbabble.base.registry import register
from unbabble.signal.blind.demixing import UPDATES, Demixer
from unbabble.signal.blind.low_rank import LowRank
from unbabble.signal.blind.separator import BlindSeparator, at_least, choose, vector_analysis
from unbabble.signal.blind.whitening import Whitened


@register(
    name="ilrma",
    contract="separator",
    summary="Blind separation of sources with a few spectral shapes each: the default for several microphones.",
    citation="Kitamura et al., IEEE/ACM TASLP 2016",
    tags=("ip", "ip2", "iss", "iss2", "ipa"),
)
class ILRMA(BlindSeparator):
    """See the module; the options not named here are ``BlindSeparator``'s.

    Args:
        rank: spectral shapes per source.
        warm_up: sweeps of AuxIVA (Gauss, IPA) from which the shapes start; 0 is the paper.
    """

    def __init__(self, *, tag: str = "ip", rank: int = 3, warm_up: int = 20, **options: Any) -> None:
        super().__init__(**options)
        choose("tag", tag, tuple(UPDATES))
        at_least(1, rank=rank)
        at_least(0, warm_up=warm_up)
        self.update, self.rank, self.warm_up = tag, rank, warm_up

    def _demix(self, whitened: Whitened, sources: int) -> Complex[Tensor, "frequency source frame"]:
        def problem(demixer: Demixer) -> tuple[Callable[[], None], Callable[[], float]]:
            begin, _ = vector_analysis("ipa", "gauss", len(whitened.bins))(demixer)
            for _ in range(self.warm_up):
                begin()
            model = _source_model(demixer, self.rank, self.seed)

            def iterate() -> None:
                model.update()
                demixer.step(self.update, model.weights())

            return iterate, lambda: model.cost() - 2 * demixer.log_determinant()

        return self._descend(whitened.spectrogram[:, :sources], sources, problem)


def _source_model(demixer: Demixer, rank: int, seed: int) -> LowRank:
    """Compiled where the demixer is; the reference does without Numba."""
    if type(demixer) is Demixer:
        return LowRank(demixer, rank, seed)
    from unbabble.signal.kernels.demixer import FastDemixer
    from unbabble.signal.kernels.low_rank import FastLowRank

    assert isinstance(demixer, FastDemixer)
    return FastLowRank(demixer, rank, seed)
