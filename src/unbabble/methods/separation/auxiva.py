"""Independent vector analysis by majorisation-minimisation (AuxIVA): the workhorse of blind separation.

For a few microphones and as many talkers, without training data: every frequency has its own demixing matrix, and
the sources' frames, taken over all frequencies at once, are made independent. There is no step size; the objective
never rises. With more microphones than talkers the strongest principal components are kept (see ``overiva`` for the
better way).

    N. Ono, "Stable and fast update rules for independent vector analysis based on auxiliary function technique",
    WASPAA 2011 (ip). R. Scheibler & N. Ono, "Fast and stable blind source separation with rank-1 updates",
    ICASSP 2020 (iss). R. Scheibler, "Independent vector analysis via log-quadratically penalized quadratic
    minimization", IEEE Trans. Signal Processing 69, 2021, arXiv 2008.10048 (ipa). T. Nakashima et al. and
    R. Ikeshita & T. Nakatani, Interspeech 2022, arXiv 2202.00875 (iss2).

================ ====================== ================================================================
papers           code                   meaning
================ ====================== ================================================================
x_ft             ``whitened``           mixture, whitened at every frequency (PCA start)
W_f              ``demixer.matrix``     demixing matrices, in whitened coordinates
y_kft = w_k^H x  ``demixer.outputs``    sources
r_kt             ``demixer.power()``    sum_f |y_kft|^2, the activity that ties frequencies together
phi_kt           ``weights``            weights of the majoriser (``signal.blind.source_models``)
V_kf             (in ``demixing``)      mean_t phi_kt x x^H
================ ====================== ================================================================

One iteration: weights from the sources' activity, then one sweep of the update named by the tag (equations in
``signal.blind.demixing``).
"""

from typing import Any

from jaxtyping import Complex
from torch import Tensor

from unbabble.base.registry import register
from unbabble.signal.blind.demixing import UPDATES
from unbabble.signal.blind.separator import BlindSeparator, choose, vector_analysis
from unbabble.signal.blind.source_models import SOURCE_MODELS
from unbabble.signal.blind.whitening import Whitened


@register(
    name="auxiva",
    contract="separator",
    summary="Blind separation with as many microphones as talkers; the tag is the update.",
    citation="Ono, WASPAA 2011; Scheibler & Ono, ICASSP 2020; Scheibler, IEEE TSP 2021",
    tags=("iss", "ip", "ip2", "iss2", "ipa"),
)
class AuxIVA(BlindSeparator):
    """See the module; ``source_model`` is ``laplace`` or ``gauss``, the rest is ``BlindSeparator``'s."""

    def __init__(self, *, tag: str = "iss", source_model: str = "laplace", **options: Any) -> None:
        super().__init__(**options)
        choose("tag", tag, tuple(UPDATES))
        choose("source_model", source_model, SOURCE_MODELS)
        self.update, self.source_model = tag, source_model

    def _demix(self, whitened: Whitened, sources: int) -> Complex[Tensor, "frequency source frame"]:
        problem = vector_analysis(self.update, self.source_model, len(whitened.bins))
        return self._descend(whitened.spectrogram[:, :sources], sources, problem)
