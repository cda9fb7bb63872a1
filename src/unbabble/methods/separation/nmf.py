"""Non-negative matrix factorisation: voices whose sounds are known from examples, from one microphone.

Each source has a dictionary of spectra, trained on recordings of it alone. A mixture's spectrogram V is
explained as V ~ W H with the dictionaries side by side in W; each source gets its share of every
time-frequency bin. With one source more than there are dictionaries, the last one's spectra are learnt from
the mixture itself (semi-supervised: "this voice, and everything else").

- D. D. Lee & H. S. Seung, "Algorithms for non-negative matrix factorization", NIPS 2000 (2001).
- C. Févotte & J. Idier, "Algorithms for nonnegative matrix factorization with the beta-divergence", Neural
  Computation 23(9), 2011: the exponent gamma(beta) with which no update raises the cost.
- P. Smaragdis, B. Raj & M. Shashanka, "Supervised and semi-supervised separation of sounds from
  single-channel mixtures", ICA 2007.

================ ====================== ===========================================================
paper            code                   meaning
================ ====================== ===========================================================
V                ``spectrogram``        (frequency, frame): |X| for kl and euclidean, |X|^2 for is
W                ``dictionary``         (frequency, basis), columns add up to 1
H                ``activations``        (basis, frame)
V^ = W H         ``model``              (frequency, frame)
beta             ``BETAS``              2 Euclidean, 1 Kullback-Leibler, 0 Itakura-Saito
d_beta(V | V^)   ``beta_divergence``    the cost
gamma(beta)      ``exponent``           1 / (2 - beta), 1, 1 / (beta - 1)
================ ====================== ===========================================================
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.contracts import SAMPLE_RATE_ANY
from unbabble.base.errors import InputError, UsageError
from unbabble.base.registry import register
from unbabble.base.words import counted
from unbabble.signal.level import check_mixture, live_channel, loudest_first, restore_level, unit_level
from unbabble.signal.stft import Stft

Spectrogram = Float[Tensor, "frequency frame"]
Dictionary = Float[Tensor, "frequency basis"]
Activations = Float[Tensor, "basis frame"]

BETAS = {"kl": 1.0, "is": 0.0, "euclidean": 2.0}
POWERS = {"kl": 1.0, "is": 2.0, "euclidean": 1.0}
"""Which power of the magnitude each divergence explains: IS is the likelihood of Gaussian power spectra."""
WINDOW_SECONDS = 0.064
FLOOR = 1e-8
"""Spectrograms are kept above this fraction of their mean: Itakura-Saito has no finite value at zero."""
TINY = 1e-30


def beta_divergence(spectrogram: Tensor, model: Tensor, beta: float) -> Tensor:
    """Sum over all bins of d_beta(v | v^) (Févotte & Idier 2011, eq. 3)."""
    if beta == 0:
        ratio = spectrogram / model
        return (ratio - ratio.log() - 1).sum()
    if beta == 1:
        return (torch.xlogy(spectrogram, spectrogram / model) - spectrogram + model).sum()
    scale = 1 / (beta * (beta - 1))
    cross = beta * spectrogram * model ** (beta - 1)
    return (spectrogram**beta + (beta - 1) * model**beta - cross).sum() * scale


def exponent(beta: float) -> float:
    """gamma(beta) of the majorisation-minimisation update (Févotte & Idier 2011, table 2)."""
    if beta < 1:
        return 1 / (2 - beta)
    return 1 / (beta - 1) if beta > 2 else 1.0


def update_activations(
    spectrogram: Spectrogram, dictionary: Dictionary, activations: Activations, beta: float
) -> Activations:
    """H <- H * ((W^T (V V^^(beta-2))) / (W^T V^^(beta-1)))^gamma; never raises the cost."""
    model = (dictionary @ activations).clamp(min=TINY)
    if beta == 1:
        numerator = dictionary.T @ (spectrogram / model)
        denominator = dictionary.sum(0)[:, None]
    else:
        numerator = dictionary.T @ (spectrogram * model ** (beta - 2))
        denominator = dictionary.T @ model ** (beta - 1)
    gain = (numerator / denominator.clamp(min=TINY)) ** exponent(beta)
    return (activations * gain).clamp(min=TINY)


def update_dictionary(
    spectrogram: Spectrogram, dictionary: Dictionary, activations: Activations, beta: float
) -> Dictionary:
    """The same for W, by the symmetry V^T ~ H^T W^T."""
    return update_activations(spectrogram.T, activations.T, dictionary.T, beta).T


def normalise(dictionary: Dictionary, activations: Activations) -> tuple[Dictionary, Activations]:
    """Columns of W that add up to 1, the scale moved to H: W H and the cost stay as they are."""
    scale = dictionary.sum(0)
    return dictionary / scale, activations * scale[:, None]


def factorise(
    spectrogram: Spectrogram, rank: int, beta: float, iterations: int, seed: int = 0
) -> tuple[Dictionary, Activations]:
    """W and H from a random start, by alternating updates."""
    dictionary = _random_dictionary(spectrogram, rank, seed)
    activations = _flat_activations(spectrogram, rank)
    for _ in range(iterations):
        activations = update_activations(spectrogram, dictionary, activations, beta)
        dictionary = update_dictionary(spectrogram, dictionary, activations, beta)
        dictionary, activations = normalise(dictionary, activations)
    return dictionary, activations


def explain(
    spectrogram: Spectrogram, known: Dictionary, free: int, beta: float, iterations: int, seed: int = 0
) -> tuple[Dictionary, Activations]:
    """H for the ``known`` columns of W, plus ``free`` columns that are learnt together with it.

    Returns:
        All columns, the free ones last, and their activations.
    """
    fixed = known.shape[1]
    dictionary = torch.cat([known, _random_dictionary(spectrogram, free, seed)], dim=1)
    activations = _flat_activations(spectrogram, fixed + free)
    for _ in range(iterations):
        activations = update_activations(spectrogram, dictionary, activations, beta)
        if free:
            updated = update_dictionary(spectrogram, dictionary, activations, beta)
            dictionary = torch.cat([known, updated[:, fixed:]], dim=1)
            dictionary, activations = normalise(dictionary, activations)
    return dictionary, activations


def _random_dictionary(spectrogram: Spectrogram, rank: int, seed: int) -> Dictionary:
    """Columns near the mean spectrum: start where the sound is, and break the symmetry."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(len(spectrogram), rank, generator=generator, dtype=torch.float64).to(spectrogram)
    columns = spectrogram.mean(1, keepdim=True) * (0.5 + noise)
    return columns / columns.sum(0)


def _flat_activations(spectrogram: Spectrogram, rank: int) -> Activations:
    return (spectrogram.sum(0) / max(rank, 1)).expand(rank, -1).clamp(min=TINY)


def shares(models: Float[Tensor, "source frequency frame"], power: float) -> Tensor:
    """Wiener's share of each source in each bin, adding up to 1: its model^power over the sum of all."""
    models = models.clamp(min=TINY)
    weights = (models / models.amax(0)) ** power
    return weights / weights.sum(0)


def window_length_for(sample_rate: int) -> int:
    """The power of two nearest to ``WINDOW_SECONDS``."""
    return max(16, 2 ** round(math.log2(WINDOW_SECONDS * sample_rate)))


def magnitudes(transform: Stft, waveform: Float[Tensor, " time"], power: float) -> Spectrogram:
    """|X|^power, kept above ``FLOOR`` of its mean, in float64."""
    spectrogram = transform.analyse(waveform.double()).abs() ** power
    return spectrogram.clamp(min=FLOOR * float(spectrogram.mean()) + TINY)


def train_dictionary(
    waveforms: Sequence[Float[Tensor, " time"]],
    rank: int = 16,
    *,
    divergence: str = "kl",
    window_length: int = 1024,
    hop_length: int | None = None,
    iterations: int = 100,
    seed: int = 0,
) -> Dictionary:
    """Learn a source's dictionary from recordings of it alone.

    Args:
        waveforms: one or several, at the rate of the mixtures to come; each is brought to the same level.
        rank: how many spectra.
        divergence: ``kl``, ``is`` or ``euclidean``.
        window_length: as in the separation to come.
        hop_length: None for a quarter of the window.
        iterations: of the multiplicative updates.
        seed: of the start.

    Raises:
        InputError: no waveform, or one that is not finite or silent.
    """
    if not waveforms:
        raise InputError("A dictionary needs at least one example recording.")
    transform = Stft(window_length, hop_length or window_length // 4)
    spectrograms = []
    for waveform in waveforms:
        check_mixture(waveform[None, None])
        level = waveform.double() / waveform.double().square().mean().sqrt()
        spectrograms.append(magnitudes(transform, level, POWERS[divergence]))
    return factorise(torch.cat(spectrograms, dim=1), rank, BETAS[divergence], iterations, seed)[0]


@register(
    name="nmf",
    contract="separator",
    summary="Non-negative matrix factorisation with dictionaries trained on examples of each voice.",
    citation="Lee & Seung, NIPS 2000; Févotte & Idier, Neural Computation 23(9), 2011; "
    "Smaragdis, Raj & Shashanka, ICA 2007",
    tags=("kl", "is", "euclidean"),
)
class Nmf:
    """Separator for sources of which examples exist; works on the reference microphone.

    Args:
        tag: the divergence, ``kl``, ``is`` or ``euclidean``.
        dictionaries: one entry per known source: an example waveform (1-D tensor at the mixture's rate), a
            trained dictionary (2-D tensor, ``train_dictionary``), or the path of a recording or of a
            dictionary saved by ``unbabble.data.dictionaries``; also one string of paths with commas.
        sources: None for one per dictionary (two when there is one dictionary); one more than there are
            dictionaries adds a last source, whose spectra are learnt from the mixture.
        rank: spectra per source.
        iterations: multiplicative updates, for the dictionaries and for the mixture.
        window_length: samples; None for about 64 ms.
        hop_length: samples; None for a quarter of the window.
        power: exponent of the models in the Wiener share.
        reference: the microphone that is separated, from 0.
        seed: of the dictionaries' start.

    Attributes:
        labels: after a call, for each recording the name of each returned source's dictionary.
        warnings: after a call, what the user should know.
    """

    sample_rate = SAMPLE_RATE_ANY
    min_channels = 1
    max_sources = 0

    def __init__(
        self,
        tag: str = "kl",
        *,
        dictionaries: str | Sequence[object] = (),
        sources: int | None = None,
        rank: int = 16,
        iterations: int = 100,
        window_length: int | None = None,
        hop_length: int | None = None,
        power: float = 1.0,
        reference: int = 0,
        seed: int = 0,
    ) -> None:
        if tag not in BETAS:
            raise UsageError(f"NMF has no divergence '{tag}': choose {', '.join(BETAS)}.")
        if isinstance(dictionaries, str):
            dictionaries = [path.strip() for path in dictionaries.split(",") if path.strip()]
        self.divergence, self.entries = tag, list(dictionaries)
        known = len(self.entries)
        if sources is not None and known and sources not in (known, known + 1):
            raise UsageError(
                f"With {counted(known, 'dictionary', 'dictionaries')} the number of sources is {known}, or "
                f"{known + 1} with one learnt from the mixture, not {sources}."
            )
        self.sources = sources or max(known, 2)
        self.rank, self.iterations, self.power = rank, iterations, power
        self.window_length, self.hop_length = window_length, hop_length
        self.reference, self.seed = reference, seed
        self.labels: list[list[str]] = []
        self.warnings: list[str] = []
        self._trained: dict[tuple[int, int, int], list[Dictionary]] = {}

    def __call__(
        self,
        mixture: Float[Tensor, "batch channel time"],
        *,
        sample_rate: int = 16000,
        images: bool = False,
        **side: object,
    ) -> Tensor:
        """Separate; the sources add up to the reference microphone.

        Args:
            mixture: any level.
            sample_rate: of the mixture, in Hz.
            images: return (batch, source, channel, time), every microphone filtered alike.
            side: ignored.

        Raises:
            InputError: not finite, silent, or no dictionaries were given.
        """
        if not self.entries:
            raise InputError(
                "NMF needs example recordings of the voices: give one per voice with "
                "--set dictionaries=alice.wav,bob.wav (in Python, dictionaries=[...])."
            )
        check_mixture(mixture)
        if not 0 <= self.reference < mixture.shape[1]:
            raise UsageError(
                f"There is no microphone {self.reference} among {mixture.shape[1]}, counted from 0."
            )
        window_length = self.window_length or window_length_for(sample_rate)
        transform = Stft(window_length, self.hop_length or window_length // 4)
        known = self._dictionaries(transform, sample_rate)
        level, exponents = unit_level(mixture)
        self.labels, self.warnings, separated = [], [], []
        for item in level:
            reference = live_channel(item, self.reference)
            masks = self._masks(transform, item[reference], [entry.to(item.device) for entry in known])
            channels = item if images else item[reference : reference + 1]
            spectra = masks[:, None] * transform.analyse(channels.double())
            waveforms = transform.synthesise(spectra, item.shape[-1])
            order = loudest_first(waveforms[:, reference if images else 0])
            self.labels.append([self._label(int(index)) for index in order])
            separated.append((waveforms if images else waveforms[:, 0])[order].to(mixture.dtype))
            self._warn(reference)
        return restore_level(torch.stack(separated), exponents)

    def _masks(self, transform: Stft, waveform: Float[Tensor, " time"], known: list[Dictionary]) -> Tensor:
        spectrogram = magnitudes(transform, waveform, POWERS[self.divergence])
        free = self.rank if self.sources > len(known) else 0
        beta = BETAS[self.divergence]
        side_by_side = torch.cat(known, dim=1)
        dictionary, activations = explain(spectrogram, side_by_side, free, beta, self.iterations, self.seed)
        sizes = [entry.shape[1] for entry in known] + [free] * bool(free)
        parts = zip(dictionary.split(sizes, dim=1), activations.split(sizes), strict=True)
        return shares(torch.stack([w @ h for w, h in parts]), self.power)

    def _dictionaries(self, transform: Stft, sample_rate: int) -> list[Dictionary]:
        """Trained once per sample rate and transform; the paths among the entries are read by ``data``."""
        key = (sample_rate, transform.window_length, transform.hop_length)
        if key not in self._trained:
            self._trained[key] = [self._dictionary(entry, transform, sample_rate) for entry in self.entries]
        return self._trained[key]

    def _dictionary(self, entry: object, transform: Stft, sample_rate: int) -> Dictionary:
        if not isinstance(entry, Tensor):
            # Imported here, because the maths works on tensors and needs no files.
            from unbabble.data.dictionaries import read_entry

            entry = read_entry(
                str(entry),
                sample_rate=sample_rate,
                window_length=transform.window_length,
                divergence=self.divergence,
            )
        if entry.ndim == 1:
            return train_dictionary(
                [entry],
                self.rank,
                divergence=self.divergence,
                window_length=transform.window_length,
                hop_length=transform.hop_length,
                iterations=self.iterations,
                seed=self.seed,
            )
        if entry.ndim != 2 or entry.shape[0] != transform.bins:
            raise InputError(
                f"A dictionary of shape {tuple(entry.shape)} does not fit {transform.bins} frequencies."
            )
        return entry.double()

    def _label(self, index: int) -> str:
        if index >= len(self.entries):
            return "everything else"
        entry = self.entries[index]
        return f"dictionary {index + 1}" if isinstance(entry, Tensor) else str(entry)

    def _warn(self, reference: int) -> None:
        if any(not isinstance(entry, Tensor) for entry in self.entries):
            names = ", ".join(f"source {i + 1} is {name}" for i, name in enumerate(self.labels[-1]))
            self.warnings.append(names[0].upper() + names[1:] + ".")
        if reference != self.reference:
            self.warnings.append(
                f"Microphone {self.reference + 1} is silent: sources are as heard at {reference + 1}."
            )
