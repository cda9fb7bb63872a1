"""Overdetermined independent vector analysis (OverIVA): more microphones than talkers, all of them used.

    R. Scheibler & N. Ono, "Independent vector analysis with more microphones than sources", WASPAA 2019,
    arXiv 1905.07880.

Like ``auxiva`` with updates ``ip`` and ``ip2``, but only the talkers' rows of the demixing matrices are modelled;
everything else the microphones hear is one Gaussian background, orthogonal to the talkers (paper, eq. 10-13). The
other way, keeping as many principal components as talkers, is what ``auxiva`` does.

================ ====================== ================================================================
paper            code                   meaning
================ ====================== ================================================================
x_ft             ``whitened``           mixture, whitened at every frequency
w_k^H            ``demixer.matrix``     first rows: the talkers; the other rows span the background [J, -I]
r_k(t)           ``demixer.power()``    sum_f |y_kft|^2
phi_kt           ``weights``            weights of the majoriser (``signal.blind.source_models``)
================ ====================== ================================================================
"""

from typing import Any

from jaxtyping import Complex
from torch import Tensor

from unbabble.base.registry import register
from unbabble.signal.blind.demixing import WITH_BACKGROUND
from unbabble.signal.blind.separator import BlindSeparator, choose, vector_analysis
from unbabble.signal.blind.source_models import SOURCE_MODELS
from unbabble.signal.blind.whitening import Whitened


@register(
    name="overiva",
    contract="separator",
    summary="Blind separation with more microphones than talkers, using them all.",
    citation="Scheibler & Ono, WASPAA 2019",
    tags=("ip2", "ip"),
)
class OverIVA(BlindSeparator):
    """See the module; ``source_model`` is ``laplace`` or ``gauss``, the rest is ``BlindSeparator``'s."""

    def __init__(self, *, tag: str = "ip2", source_model: str = "gauss", **options: Any) -> None:
        super().__init__(**options)
        choose("tag", tag, WITH_BACKGROUND)
        choose("source_model", source_model, SOURCE_MODELS)
        self.update, self.source_model = tag, source_model

    def _demix(self, whitened: Whitened, sources: int) -> Complex[Tensor, "frequency source frame"]:
        problem = vector_analysis(self.update, self.source_model, len(whitened.bins))
        return self._descend(whitened.spectrogram, sources, problem)
