"""Masks from a recurrent network that reads the magnitude spectrogram: the first of its kind, small and fast.

P.-S. Huang, M. Kim, M. Hasegawa-Johnson, P. Smaragdis, "Deep learning for monaural speech separation", ICASSP 2014;
the same authors, "Joint optimization of masks and deep recurrent neural networks for monaural source separation",
IEEE/ACM TASLP 23(12), 2015.

A network predicts one spectrum per source. A last layer without parameters makes masks of these predictions and
applies them to the mixture, so that the estimates add up to it, and the loss is that of the masked spectra.
Waveforms take the mixture's phase.

=========== ================== ======================================================
paper       code               meaning
=========== ================== ======================================================
z_t         ``magnitude``      magnitude spectrum of the mixture, (batch, frame, frequency)
x_t         ``features``       what the network reads, (batch, frame, feature)
h^l_t       ``hidden``         hidden layers, rectified linear
y^_kt       ``raw``            prediction of source k before masking
m_k         ``masks``          (batch, source, frame, frequency), sum 1
y~_kt       ``masks * z_t``    the estimate
y_kt        ``targets``        magnitude spectrum of source k
gamma       ``gamma``          weight of the discriminative terms
=========== ================== ======================================================

What differs from the papers: there an output belongs to one talker (or sex), here the loss takes the best assignment
of outputs to talkers (PIT), so that the network is for any talkers; any number of sources; features are normalised
by their mean and variance over the recording; the padded transform of ``nn.spectrum``; gradient descent in place of
L-BFGS. The defaults are those of the model that the authors distribute for TSP, with the gamma of the papers.
"""

from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.spectrum import Spectrum
from unbabble.signal.permutation import best_permutation

MELS = 40
DELTA_FRAMES = 2
"""Frames on either side that the slope of a feature is fitted to."""
FLOOR = 1e-4
"""Added before a logarithm; speech at unit level is at about 1."""
LEAST_VARIANCE = {"log-mel": 1e-2, "magnitude": 1e-4}
"""Added to that of a feature, so that one that does not vary is not made of rounding errors."""
_EPS = 1e-8


def mel_filters(bins: int, sample_rate: int) -> Float[Tensor, "frequency mel"]:
    """Triangles that are equally spaced and overlap by half on the mel scale, up to half the sample rate.

    Where bins are further apart than that (short windows), triangles are wide enough to hold one.
    """
    frequency = torch.linspace(0, sample_rate / 2, bins, dtype=torch.float64)
    mel = 1127 * torch.log1p(frequency / 700)
    step = mel[-1] / (MELS + 1)
    centres = step * torch.arange(1, MELS + 1)
    spacing = 1127 / 700 * torch.exp(-centres / 1127) * frequency[1]  # of the bins, in mel, at the centres
    return (1 - (mel[:, None] - centres).abs() / spacing.clamp(min=float(step))).clamp(min=0).float()


def slopes(features: Float[Tensor, "batch frame feature"]) -> Float[Tensor, "batch frame feature"]:
    """Change per frame, by least squares over the neighbouring frames; the outer frames go on as they are."""
    reach = DELTA_FRAMES
    frames = features.shape[1]
    padded = nn.functional.pad(features.mT, (reach, reach), mode="replicate").mT
    total = features.new_zeros(())
    for each in range(1, reach + 1):
        later, earlier = reach + each, reach - each
        total = total + each * (padded[:, later : later + frames] - padded[:, earlier : earlier + frames])
    return total / (2 * sum(each * each for each in range(1, reach + 1)))


def soft_masks(
    raw: Float[Tensor, "batch source frame frequency"],
) -> Float[Tensor, "batch source frame frequency"]:
    """The masking layer, for any number of sources: m_k = |y^_k| / sum_j |y^_j|."""
    size = raw.abs() + _EPS
    return size / size.sum(1, keepdim=True)


def discriminative_cost(
    estimates: Float[Tensor, "batch estimate frame frequency"],
    targets: Float[Tensor, "batch source frame frequency"],
    gamma: float,
) -> Float[Tensor, "batch estimate source"]:
    """What it costs that an estimate stands for a source: near to that source, far from the others.

    For estimate k and source s: 1/2 |y~_k - y_s|^2 - gamma/2 |y~_k - y_j|^2, the second term averaged over the
    other sources j; squares are means over frames and frequencies. With two sources it is the papers' loss.
    """
    error = (estimates[:, :, None] - targets[:, None]).square().mean((-2, -1))
    others = max(targets.shape[1] - 1, 1)
    return 0.5 * (error - gamma / others * (error.sum(-1, keepdim=True) - error))


@register(
    name="huang2014",
    contract="separator",
    summary="Recurrent network with a masking layer on the magnitude spectrogram; small, of historical interest.",
    citation="Huang et al., Deep learning for monaural speech separation, ICASSP 2014",
    network=True,
)
class Huang2014(NeuralSeparator):
    """Deep recurrent network with joint optimisation of its masks.

    Args:
        rnn: the layers with a recurrence: ``none``, ``stacked`` for all, ``drnn-1`` for the first, ``drnn-2``...
        layers: hidden layers.
        hidden: units of each.
        features: ``log-mel`` for 40 log mel bands and the log energy with their first and second slopes,
            ``magnitude`` for the magnitude spectrum.
        context: frames that the network sees at once, odd.
        gamma: weight of the discriminative terms; below 1.
        window_length: samples per frame of the transform, which has a hop of half of it.
        sample_rate: Hz.
        levels: see ``NeuralSeparator``; the masks keep them.
        options: of every network.

    Raises:
        UsageError: a recurrence at a layer that is not there, no layers, or an even context.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "hidden": 8,
        "window_length": 64,
        "features": "magnitude",
        "sample_rate": 8000,
    }

    def __init__(
        self,
        *,
        rnn: str = "drnn-1",
        layers: int = 2,
        hidden: int = 300,
        features: Literal["log-mel", "magnitude"] = "log-mel",
        context: int = 1,
        gamma: float = 0.05,
        window_length: int = 1024,
        sample_rate: int = 16000,
        levels: Literal["fitted", "kept"] = "kept",
        **options: Any,
    ) -> None:
        super().__init__(sample_rate=sample_rate, levels=levels, **options)
        if layers < 1 or hidden < 1 or context < 1 or context % 2 == 0:
            raise UsageError(
                "huang2014 has at least one layer and one unit, and an odd number of context frames."
            )
        if not 0 <= gamma < 1:
            raise UsageError(f"gamma is at least 0 and below 1, not {gamma}.")
        if features not in LEAST_VARIANCE:
            raise UsageError(f"features are {' or '.join(LEAST_VARIANCE)}, not '{features}'.")
        self.gamma, self.context, self.feature_kind = gamma, context, features
        self.spectrum = Spectrum(window_length, window_length // 2, square_root=True)
        bins = self.spectrum.bins
        self.mel: Tensor
        self.register_buffer("mel", mel_filters(bins, sample_rate), persistent=False)
        recurrent = recurrent_layers(rnn, layers)
        width = context * (3 * (MELS + 1) if features == "log-mel" else bins)
        self.hidden = nn.ModuleList()
        for layer in range(1, layers + 1):
            if layer in recurrent:
                self.hidden.append(nn.RNN(width, hidden, nonlinearity="relu", batch_first=True))
            else:
                self.hidden.append(nn.Linear(width, hidden))
            width = hidden
        self.output = nn.Linear(width, self.sources * bins)

    def estimate(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch source time"]:
        """Each source's mask times the mixture's spectrogram, phase included."""
        spectrum = self.spectrum.analyse(mixture)
        masks = self.masks(self.magnitude(spectrum))
        return self.spectrum.synthesise(masks[:, :, None] * spectrum[:, None], mixture.shape[-1])

    def loss(  # type: ignore[override]
        self, mixture: Float[Tensor, "batch time"], sources: Float[Tensor, "batch source time"]
    ) -> Float[Tensor, " batch"]:
        """The discriminative loss of magnitude spectra, for the best assignment of estimates to sources.

        Raises:
            ValueError: more sources than the network has outputs.
        """
        if sources.shape[1] > self.sources:
            raise ValueError(f"{self.sources} estimates cannot stand for {sources.shape[1]} sources")
        sources = nn.functional.pad(sources, (0, 0, 0, self.sources - sources.shape[1]))
        magnitude = self.magnitude(self.spectrum.analyse(mixture))
        targets = self.magnitude(self.spectrum.analyse(sources))
        estimates = self.masks(magnitude) * magnitude[:, None]
        cost = discriminative_cost(estimates, targets, self.gamma)
        order = best_permutation(-cost)
        return torch.take_along_dim(cost, order[:, None], 1).squeeze(1).sum(-1)

    def magnitude(
        self, spectrum: Float[Tensor, "*batch 2 frame frequency"]
    ) -> Float[Tensor, "*batch frame frequency"]:
        """Magnitudes, scaled so that a signal at unit level has values about 1."""
        power = spectrum.square().sum(-3) / self.spectrum.window_length
        return (power + _EPS**2).sqrt()

    def features(
        self, magnitude: Float[Tensor, "batch frame frequency"]
    ) -> Float[Tensor, "batch frame feature"]:
        """What the network reads: spectrum or log mel bands, normalised, with the frames around each."""
        features = magnitude
        if self.feature_kind == "log-mel":
            energy = magnitude.square().sum(-1, keepdim=True)
            static = torch.cat([magnitude @ self.mel + FLOOR, energy + FLOOR], -1).log()
            first = slopes(static)
            features = torch.cat([static, first, slopes(first)], -1)
        centred = features - features.mean(1, keepdim=True)
        variance = centred.square().mean(1, keepdim=True) + LEAST_VARIANCE[self.feature_kind]
        features = centred / variance.sqrt()
        reach, frames = self.context // 2, features.shape[1]
        padded = nn.functional.pad(features.mT, (reach, reach), mode="replicate").mT
        return torch.cat([padded[:, each : each + frames] for each in range(self.context)], -1)

    def masks(
        self, magnitude: Float[Tensor, "batch frame frequency"]
    ) -> Float[Tensor, "batch source frame frequency"]:
        """The network: hidden layers, linear predictions, the masking layer."""
        hidden = self.features(magnitude)
        for layer in self.hidden:
            hidden = layer(hidden).relu() if isinstance(layer, nn.Linear) else layer(hidden)[0]
        raw = self.output(hidden).float().unflatten(-1, (self.sources, -1)).movedim(-2, 1)
        return soft_masks(raw)


def recurrent_layers(rnn: str, layers: int) -> set[int]:
    """The numbers, from 1 on, of the hidden layers that ``rnn`` makes recurrent.

    Raises:
        UsageError: not one of the architectures, or a layer that is not there.
    """
    if rnn == "none":
        return set()
    if rnn == "stacked":
        return set(range(1, layers + 1))
    known = {f"drnn-{layer}": layer for layer in range(1, layers + 1)}
    if rnn not in known:
        raise UsageError(f"rnn is one of none, stacked, {', '.join(known)}, not '{rnn}'.")
    return {known[rnn]}
