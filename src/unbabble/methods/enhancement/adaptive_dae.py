"""An adaptive denoising autoencoder: it goes on learning on every recording, judged by one that knows clean speech.

M. Kim, P. Smaragdis, "Adaptive denoising autoencoders: a fine-tuning scheme to learn from test mixtures", LVA/ICA 2015.
The error of an autoencoder of clean speech also chooses among enhancers: M. Kim, "Collaborative deep learning for
speech enhancement: a run-time model selection method using autoencoders", ICASSP 2017.

======== ================= ===============================================================
papers   code              meaning
======== ================= ===============================================================
x        ``magnitudes``    of a noisy frame
G        ``denoiser``      frames of noisy to frames of clean speech, here by a mask
A        ``checker``       autoencoder of clean speech, frozen once it has learnt
D        ``purity_error``  D(s | A(s)), here squared, over the power of s
======== ================= ===============================================================

    learning:     L(G(x), s) + D(s | A(s))
    a recording:  theta_G <- argmin D(G(x) | A(G(x))), a few steps from what was learnt         (section 3)

``adaptation_steps`` = 0 leaves the denoiser as it is. The fewer steps, the better it was on dev speakers
(``python -m benchmarks adaptive_dae``): the error falls with speech that is taken off, too.
"""

import copy
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.losses import SOFT_DB, separation_loss
from unbabble.nn.spectrum import Spectrum
from unbabble.signal.level import check_mixture

POWER = 0.5
"""Magnitudes are compressed, so that soft frequencies count."""
LEAST = 1e-6
CONTEXT = 5
"""Frames that the denoiser sees at once."""
Frames = Float[Tensor, "batch frame frequency"]


@register(
    name="adaptive_dae",
    contract="enhancer",
    summary="Takes noise off speech with an autoencoder that goes on learning from each recording.",
    citation="Kim & Smaragdis, LVA/ICA 2015; Kim, ICASSP 2017",
    network=True,
    also=("meter",),
)
class AdaptiveDAE(NeuralSeparator):
    """See the module.

    Args:
        hidden: units of the denoiser's two layers.
        checker_hidden: units of the autoencoder's outer layers.
        bottleneck: units of its inner layer.
        window_length: samples of a window.
        adaptation_steps: on each recording.
        adaptation_rate: learning rate of these.
        sample_rate: Hz, that of its training data.
        reference: see ``NeuralSeparator``.

    Raises:
        UsageError: sizes that make no sense.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "hidden": 8, "checker_hidden": 8, "bottleneck": 4, "window_length": 64, "adaptation_steps": 2,
    }  # fmt: skip

    def __init__(
        self,
        *,
        hidden: int = 512,
        checker_hidden: int = 256,
        bottleneck: int = 64,
        window_length: int = 512,
        adaptation_steps: int = 20,
        adaptation_rate: float = 1e-5,
        sample_rate: int = 16000,
        reference: int = 0,
    ) -> None:
        super().__init__(sources=1, sample_rate=sample_rate, levels="kept", reference=reference)
        if min(hidden, checker_hidden, bottleneck) < 1 or adaptation_steps < 0 or not adaptation_rate > 0:
            raise UsageError(
                "An adaptive autoencoder has at least one unit in each layer, and steps of a positive rate."
            )
        self.adaptation_steps, self.adaptation_rate = adaptation_steps, adaptation_rate
        self.spectrum = Spectrum(window_length, window_length // 2, square_root=True)
        bins = self.spectrum.bins
        self.denoiser = nn.Sequential(
            nn.Linear(CONTEXT * bins, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, bins),
            nn.Sigmoid(),
        )
        self.checker = nn.Sequential(
            nn.Linear(bins, checker_hidden),
            nn.ReLU(),
            nn.Linear(checker_hidden, bottleneck),
            nn.ReLU(),
            nn.Linear(bottleneck, checker_hidden),
            nn.ReLU(),
            nn.Linear(checker_hidden, bins),
            nn.Softplus(),
        )

    def estimate(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch 1 time"]:
        """Mask the mixture's spectrogram, by what was learnt."""
        return self._masked(mixture, self.denoiser)

    def _masked(self, mixture: Float[Tensor, "batch time"], denoiser: nn.Module) -> Tensor:
        spectrum = self.spectrum.analyse(mixture)
        masks = self._masks(_compressed(spectrum), denoiser).float()
        return self.spectrum.synthesise(masks[:, None] * spectrum, mixture.shape[-1])[:, None]

    def _masks(self, magnitudes: Frames, denoiser: nn.Module) -> Frames:
        """G, from each frame and those around it."""
        padded = nn.functional.pad(magnitudes, (0, 0, CONTEXT // 2, CONTEXT // 2))
        around = padded.unfold(1, CONTEXT, 1).flatten(2)  # (batch, frame, frequency and place)
        return denoiser(around)

    def purity_error(self, voices: Float[Tensor, "batch time"]) -> Float[Tensor, " batch"]:
        """D(s | A(s)): how unlike clean speech; the level makes no difference."""
        level = voices.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-10)
        return self._error(_compressed(self.spectrum.analyse(voices / level)))

    def acting_as(self, kind: str) -> "Purity":
        """The autoencoder of clean speech as a meter of how clean speech is."""
        return Purity(self)

    def _error(self, magnitudes: Frames) -> Float[Tensor, " batch"]:
        level = magnitudes.square().mean((1, 2), keepdim=True).sqrt().clamp(min=LEAST)
        unit = magnitudes / level
        return (self.checker(unit).float() - unit).square().mean((1, 2))

    def adapted(self, mixture: Float[Tensor, "batch time"]) -> nn.Module:
        """A denoiser that has gone on learning from a mixture at about unit level."""
        denoiser = copy.deepcopy(self.denoiser).requires_grad_(True)
        with torch.no_grad():
            magnitudes = _compressed(self.spectrum.analyse(mixture))
        optimizer = torch.optim.Adam(denoiser.parameters(), self.adaptation_rate)
        with torch.enable_grad():
            for _ in range(self.adaptation_steps):
                masks = self._masks(magnitudes, denoiser)
                # A mask on magnitudes is its own power on compressed ones.
                error = self._error(masks.clamp(min=LEAST) ** POWER * magnitudes).mean()
                gradients = torch.autograd.grad(error, list(denoiser.parameters()))
                for parameter, gradient in zip(denoiser.parameters(), gradients, strict=True):
                    parameter.grad = gradient
                optimizer.step()
        return denoiser

    def _voices(self, channel: Float[Tensor, " time"]) -> Float[Tensor, "1 time"]:
        centred = channel - channel.mean()
        level = centred.square().mean().sqrt()
        if not (level > 0 and self.adaptation_steps):
            return super()._voices(channel)
        unit = (centred / level)[None]
        with torch.no_grad():
            return level * self._masked(unit, self.adapted(unit))[0].to(channel)

    def loss(  # type: ignore[override]
        self,
        mixture: Float[Tensor, "batch time"],
        sources: Float[Tensor, "batch 1 time"],
        *,
        soft_db: float = SOFT_DB,
    ) -> Float[Tensor, " batch"]:
        """Of the voice, and of the autoencoder's copy of it."""
        voice = separation_loss(
            self.estimate(mixture), sources, mixture, scale_invariance=0.5, soft_db=soft_db
        )
        return voice + self.purity_error(sources[:, 0])


class Purity(nn.Module):
    """How like clean speech a recording is; the ``Meter`` contract.

    Args:
        network: whose autoencoder judges.
    """

    def __init__(self, network: AdaptiveDAE) -> None:
        super().__init__()
        self.network, self.sample_rate = network, network.sample_rate

    @torch.no_grad()
    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, " batch"]:
        """Less D(s | A(s)): 0 is as clean as what the autoencoder learnt from.

        Raises:
            InputError: not finite, silent, or no samples.
        """
        check_mixture(waveform[:, None])
        return -self.network.purity_error(waveform)


def _compressed(spectrum: Float[Tensor, "batch 2 frame frequency"]) -> Frames:
    """Magnitudes to the power of ``POWER``."""
    with torch.autocast(spectrum.device.type, enabled=False):
        return (spectrum.float().square().sum(1) + LEAST) ** (POWER / 2)
