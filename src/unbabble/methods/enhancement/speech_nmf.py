"""Dictionaries of speech that are known and one of noise that is learnt: enhancement by NMF, in three published ways.

The magnitudes V of a noisy recording are explained by W H; the columns of W that are speech come from clean speech of
other people, those that are noise are learnt from the recording itself.

- ``semi``: one dictionary for all speech. P. Smaragdis, B. Raj, M. Shashanka, "Supervised and semi-supervised
  separation of sounds from single-channel mixtures", ICA 2007. With ``online``, frame by frame, the noise from what was
  heard of late: Z. Duan, G. Mysore, P. Smaragdis, "Online PLCA for real-time semi-supervised source separation",
  LVA/ICA 2012.
- ``universal``: a block of the dictionary for each of many speakers, of which a recording uses few. D. Sun, G. Mysore,
  "Universal speech models for speaker independent single channel source separation", ICASSP 2013.
- ``local``: many small dictionaries, each for spectra that are alike; a frame uses few. M. Kim, P. Smaragdis,
  "Mixtures of local dictionaries for unsupervised speech enhancement", IEEE SPL 22(3), 2015.

=================== ==================== ================================================================
papers              code                 meaning
=================== ==================== ================================================================
V                   ``spectrogram``      (frequency, frame), magnitudes
W_s, W_n            ``speech``,          (frequency, basis), columns add up to 1
                    ``noise``
H                   ``activations``      (basis, frame)
D_KL(V | W H)       ``cost``             what the updates of Lee & Seung never raise
lambda, eps         ``sparsity``, EPS    of the penalty lambda sum_g log(eps + |H_g|_1)
=================== ==================== ================================================================

After each update of the activations those of block g are divided by 1 + lambda / (eps + |H_g|_1): over the whole
recording (``universal``), or in each frame (``local``).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.errors import InputError, UsageError
from unbabble.base.registry import register
from unbabble.signal.level import check_mixture, live_channel, restore_level, unit_level
from unbabble.signal.stft import Stft

WINDOW, HOP = 1024, 256
TINY, FLOOR = 1e-20, 1e-6
EPS = 1e-6
"""Of the penalty, in units of a block's share if all were used alike."""
DEFAULTS = {"universal": (0.5, 12), "local": (0.3, 12), "semi": (0.0, 100)}
"""lambda and iterations (benchmark ``speech_nmf``). The dictionary of noise is free: the longer it learns, the more
of the voice it explains as well, and after 100 iterations a voice at 10 dB came out 9 dB worse than it went in. Local
dictionaries do better still with 1 where there are 20 of them, but not where there are four."""
TRAINING_ITERATIONS = 60
CLUSTERING_ITERATIONS = 15
PULL = 0.1
"""Of each basis of a local dictionary towards the mean of its block, while it is learnt."""
MEMORY_FRAMES = 60
"""That the online noise dictionary is learnt from."""
ONLINE_ITERATIONS = 8

Spectrogram = Float[Tensor, "frequency frame"]
Dictionary = Float[Tensor, "frequency basis"]
Activations = Float[Tensor, "basis frame"]


def cost(spectrogram: Spectrogram, model: Spectrogram) -> Tensor:
    """Kullback-Leibler divergence, summed over all bins."""
    return (torch.xlogy(spectrogram, spectrogram / model) - spectrogram + model).sum()


def updated_activations(
    spectrogram: Spectrogram, dictionary: Dictionary, activations: Activations
) -> Activations:
    """H <- H * (W' (V / WH)) / (W' 1)."""
    ratio = spectrogram / (dictionary @ activations).clamp(min=TINY)
    return activations * (dictionary.T @ ratio) / dictionary.sum(0)[:, None].clamp(min=TINY)


def updated_dictionary(
    spectrogram: Spectrogram, dictionary: Dictionary, activations: Activations
) -> Dictionary:
    """W <- W * ((V / WH) H') / (1 H'), its columns then adding up to 1."""
    ratio = spectrogram / (dictionary @ activations).clamp(min=TINY)
    changed = dictionary * (ratio @ activations.T) / activations.sum(1).clamp(min=TINY)
    return changed / changed.sum(0).clamp(min=TINY)


def shrunk(activations: Activations, blocks: int, sparsity: float, each_frame: bool) -> Activations:
    """One step of the penalty on ``blocks`` of equally many bases."""
    grouped = activations.unflatten(0, (blocks, -1))
    size = grouped.sum(1, keepdim=True) if each_frame else grouped.sum((1, 2), keepdim=True)
    scale = size.mean(0, keepdim=True).clamp(min=TINY)
    return (grouped / (1 + sparsity / (EPS + size / scale))).flatten(0, 1)


def learnt(spectrogram: Spectrogram, rank: int, seed: int, pull: float = 0.0) -> Dictionary:
    """A dictionary of speech: KL-NMF from a random start, each basis pulled to their mean."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(len(spectrogram), rank, generator=generator, dtype=spectrogram.dtype)
    dictionary = spectrogram.mean(1, keepdim=True) * (0.5 + noise)
    dictionary = dictionary / dictionary.sum(0)
    activations = (spectrogram.sum(0) / rank).expand(rank, -1)
    for _ in range(TRAINING_ITERATIONS):
        activations = updated_activations(spectrogram, dictionary, activations)
        dictionary = updated_dictionary(spectrogram, dictionary, activations)
        dictionary = (1 - pull) * dictionary + pull * dictionary.mean(1, keepdim=True)
    return dictionary


def clustered(spectrogram: Spectrogram, blocks: int, seed: int) -> list[Spectrogram]:
    """Frames by their shape: k-means of normalised frames, by the angle between their square roots."""
    shapes = (spectrogram / spectrogram.sum(0)).sqrt()
    generator = torch.Generator().manual_seed(seed)
    centres = shapes[:, torch.randperm(shapes.shape[1], generator=generator)[:blocks]]
    nearest = (centres.T @ shapes).argmax(0)
    for _ in range(CLUSTERING_ITERATIONS):
        sums = torch.zeros_like(centres).index_add_(1, nearest, shapes)
        centres = torch.where(sums.sum(0) > 0, sums, centres)
        centres = centres / centres.norm(dim=0)
        nearest = (centres.T @ shapes).argmax(0)
    parts = [spectrogram[:, torch.eq(nearest, block)] for block in range(blocks)]
    return [part for part in parts if part.shape[1]]


@register(
    name="speech_nmf",
    contract="enhancer",
    summary="Takes noise off by NMF: dictionaries of speech from examples of anybody, noise learnt on the spot.",
    citation="Smaragdis, Raj & Shashanka, ICA 2007; Duan, Mysore & Smaragdis, LVA/ICA 2012; Sun & Mysore, ICASSP 2013; "
    "Kim & Smaragdis, IEEE SPL 2015",
    tags=("universal", "local", "semi"),
)
class SpeechNmf:
    """An enhancer; works on the reference microphone at 16 kHz.

    Args:
        tag: ``universal``, ``local`` or ``semi``.
        speech: examples of clean speech at 16 kHz, one a speaker: waveforms, or paths; also one string with commas.
        rank: bases of each block: of a speaker, of a local dictionary; of ``semi`` of all speech.
        blocks: local dictionaries.
        noise_rank: bases of the noise.
        sparsity: lambda, in units of a block's share of the speech, so that neither level nor length matters; None for
            what was chosen on dev (``DEFAULTS``).
        iterations: on the recording; None likewise.
        online: ``semi`` frame by frame, with nothing known of what comes.
        reference: the microphone that is enhanced, from 0.
        seed: of the random starts.

    Raises:
        UsageError: numbers that make no sense, or ``online`` for another than ``semi``.
    """

    sample_rate = 16000
    min_channels = 1
    max_sources = 1

    def __init__(
        self,
        tag: str = "universal",
        *,
        speech: str | Sequence[object] = (),
        rank: int = 10,
        blocks: int = 20,
        noise_rank: int = 20,
        sparsity: float | None = None,
        iterations: int | None = None,
        online: bool = False,
        reference: int = 0,
        seed: int = 0,
    ) -> None:
        best = DEFAULTS[tag]
        sparsity = best[0] if sparsity is None else sparsity
        iterations = best[1] if iterations is None else iterations
        if min(rank, blocks, noise_rank, iterations) < 1 or sparsity < 0:
            raise UsageError(
                "Dictionaries have at least one basis, there is one iteration, and sparsity is not negative."
            )
        if online and tag != "semi":
            raise UsageError("Only speech_nmf.semi is online.")
        if isinstance(speech, str):
            speech = [path.strip() for path in speech.split(",") if path.strip()]
        self.tag, self.entries, self.online = tag, list(speech), online
        self.rank, self.blocks, self.noise_rank = rank, blocks, noise_rank
        self.sparsity, self.iterations, self.reference, self.seed = sparsity, iterations, reference, seed
        self.transform = Stft(WINDOW, HOP)
        self.warnings: list[str] = []
        self._known: tuple[Dictionary, int] | None = None

    def __call__(
        self, mixture: Float[Tensor, "batch channel time"], *, images: bool = False, **side: object
    ) -> Float[Tensor, "batch 1 ..."]:
        """Enhance.

        Args:
            mixture: any level, 16 kHz.
            images: every microphone, each filtered as the reference: (batch, 1, channel, time).
            side: not used.

        Raises:
            InputError: not finite, silent, or no examples of speech were given.
        """
        check_mixture(mixture)
        if not 0 <= self.reference < mixture.shape[1]:
            raise UsageError(
                f"There is no microphone {self.reference} among {mixture.shape[1]}, counted from 0."
            )
        level, exponents = unit_level(mixture)
        estimates = []
        for item in level:
            reference = live_channel(item, self.reference)
            mask = self.mask(self._magnitudes(item[reference]))
            channels = item if images else item[reference : reference + 1]
            voice = self.transform.synthesise(mask * self.transform.analyse(channels), item.shape[-1])
            estimates.append(voice[None] if images else voice)
        return restore_level(torch.stack(estimates), exponents)

    def mask(self, spectrogram: Spectrogram) -> Spectrogram:
        """The share of speech in each bin."""
        speech, blocks = self._dictionary()
        return self._online(spectrogram, speech) if self.online else self._batch(spectrogram, speech, blocks)

    def _batch(self, spectrogram: Spectrogram, speech: Dictionary, blocks: int) -> Spectrogram:
        known = speech.shape[1]
        noise = self._start(spectrogram)
        activations = (spectrogram.sum(0) / (known + self.noise_rank)).expand(known + self.noise_rank, -1)
        for _ in range(self.iterations):
            activations = updated_activations(spectrogram, torch.cat([speech, noise], 1), activations)
            if self.sparsity:
                voice = shrunk(activations[:known], blocks, self.sparsity, self.tag == "local")
                activations = torch.cat([voice, activations[known:]])
            both = torch.cat([speech, noise], 1)
            noise = updated_dictionary(spectrogram, both, activations)[:, known:]
        voice = speech @ activations[:known]
        return voice / (voice + noise @ activations[known:]).clamp(min=TINY)

    def _online(self, spectrogram: Spectrogram, speech: Dictionary) -> Spectrogram:
        known, count = speech.shape[1], spectrogram.shape[1]
        noise = self._start(spectrogram[:, :1])
        kept = spectrogram.new_zeros(known + self.noise_rank, count)
        shares = []
        for frame in range(count):
            first = max(0, frame + 1 - MEMORY_FRAMES)
            kept[:, frame] = spectrogram[:, frame].sum() / len(kept)
            recent = spectrogram[:, first : frame + 1]
            for _ in range(ONLINE_ITERATIONS):
                both = torch.cat([speech, noise], 1)
                kept[:, frame : frame + 1] = updated_activations(
                    spectrogram[:, frame : frame + 1], both, kept[:, frame : frame + 1]
                )
                noise = updated_dictionary(recent, both, kept[:, first : frame + 1])[:, known:]
            voice = speech @ kept[:known, frame]
            shares.append(voice / (voice + noise @ kept[known:, frame]).clamp(min=TINY))
        return torch.stack(shares, 1)

    def _start(self, spectrogram: Spectrogram) -> Dictionary:
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.rand(len(spectrogram), self.noise_rank, generator=generator)
        columns = spectrogram.mean(1, keepdim=True) * (0.5 + noise)
        return columns / columns.sum(0)

    def _magnitudes(self, waveform: Float[Tensor, " time"]) -> Spectrogram:
        magnitudes = self.transform.analyse(waveform).abs()
        return magnitudes.clamp(min=FLOOR * float(magnitudes.mean()) + TINY)

    def _dictionary(self) -> tuple[Dictionary, int]:
        """All bases of speech, learnt once, and of how many blocks they are."""
        if self._known is None:
            if not self.entries:
                raise InputError(
                    "speech_nmf needs clean speech of some people: --set speech=anna.wav,bela.wav."
                )
            voices = [
                self._magnitudes(unit_level(self._waveform(each)[None, None])[0][0, 0])
                for each in self.entries
            ]
            if self.tag == "universal":
                parts = [learnt(each, self.rank, self.seed) for each in voices]
            elif self.tag == "local":
                clusters = clustered(torch.cat(voices, 1), self.blocks, self.seed)
                parts = [learnt(each, self.rank, self.seed, PULL) for each in clusters]
            else:
                parts = [learnt(torch.cat(voices, 1), self.rank, self.seed)]
            self._known = torch.cat(parts, 1), len(parts)
        return self._known

    def _waveform(self, entry: object) -> Float[Tensor, " time"]:
        if isinstance(entry, Tensor):
            waveform = entry
        else:
            # Imported here, because the maths works on tensors and needs no files.
            from unbabble.base import audio

            recording = audio.read(str(entry))
            waveform = audio.resample(recording.samples.mean(0), recording.sample_rate, self.sample_rate)
        check_mixture(waveform[None, None])
        return waveform
