"""What the separation methods assume of a source: how its power is spread over frames.

The negative log-likelihood of the outputs y_kft of all frequencies f and frames t is, up to a constant,

    sum_k mean_t G(p_kt) - 2 sum_f log|det W_f|,      p_kt = sum_f |y_kft|^2.

Its majoriser at the current outputs is a weighted least-squares problem with weights phi = dG/dp.

======= =========================== ================== ================================================
model   G(p)                        phi                source
======= =========================== ================== ================================================
laplace sqrt(p)                     1 / (2 sqrt(p))    spherical Laplace; Hiroe 2006, Kim et al. 2007
gauss   F log(p / F)                F / p              time-varying Gauss; Ono, APSIPA 2012
======= =========================== ================== ================================================

Below a floor (-100 dB of the mean power) G goes on as a straight line, with the same tangent, so that silent
frames have finite weights and the objective still cannot rise.
"""

from jaxtyping import Float
from torch import Tensor

FLOOR = 1e-10


def weights(model: str, power: Float[Tensor, "source frame"], bins: int) -> Float[Tensor, "source frame"]:
    """phi of the majoriser; ``power`` sums over ``bins`` frequencies whose mean power is one."""
    power = power.clamp_min(FLOOR * bins)
    return 0.5 * power.rsqrt() if model == "laplace" else bins / power


def contrast(model: str, power: Float[Tensor, "source frame"], bins: int) -> float:
    """sum_k mean_t G(p_kt)."""
    floor = FLOOR * bins
    above = power.clamp_min(floor).double()
    excess = (power - above).clamp_max(0)
    if model == "laplace":
        values = above.sqrt() + excess * 0.5 * floor**-0.5
    else:
        values = bins * (above / bins).log() + excess * bins / floor
    return float(values.mean(1).sum())


SOURCE_MODELS = ("laplace", "gauss")
