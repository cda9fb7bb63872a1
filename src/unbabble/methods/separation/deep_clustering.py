"""Embeds every time-frequency bin so that bins of one talker lie together, and clusters: for any number of talkers.

J. R. Hershey, Z. Chen, J. Le Roux, S. Watanabe, "Deep clustering: discriminative embeddings for segmentation and
separation", ICASSP 2016 (arXiv 1508.04306); Y. Isik, J. Le Roux, Z. Chen, S. Watanabe, J. R. Hershey,
"Single-channel multi-speaker separation using deep clustering", Interspeech 2016 (arXiv 1607.02173).

The loss asks that the affinities V V^T of the embeddings be those of the talkers, Y Y^T, which no relabelling of the
talkers changes. k-means on the embeddings then gives the masks, with as many clusters as there are talkers; the
number may differ from that in training. Waveforms take the mixture's phase.

======= ============== =================================================================
paper   code           meaning
======= ============== =================================================================
X       ``features``   log magnitude spectrogram, (batch, frame, frequency)
V       ``embeddings`` unit vectors, (batch, bin, dimension); bin = frame * frequency
Y       ``talkers``    which talker is loudest in a bin, one-hot, (batch, bin, source)
w       ``weights``    1 where the mixture is within 40 dB of its maximum, else 0
mu_c    ``centres``    centres of the clusters, (source, dimension)
alpha   ``hardness``   of soft masks
======= ============== =================================================================

The defaults are the improved network of Isik et al.; ``layers=2, hidden=600, dropout=0`` is that of Hershey et al.
What differs: features are normalised by their mean and variance over the recording (the papers: over the training
set); dropout is between layers only, not within the recurrence; the loss is divided by the number of pairs of bins;
no curriculum (a matter of the training recipe) and no enhancement network.
"""

from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.spectrum import Spectrum

SILENCE_DB = -40.0
"""Bins this far below the mixture's loudest count neither in the loss nor for the clusters."""
FLOOR = 1e-4
"""Of magnitudes before the logarithm; speech at unit level is at about 1."""
STARTS = 5
ROUNDS = 30
"""Of k-means; it ends sooner when no bin changes its cluster."""
_EPS = 1e-8


def affinity_loss(
    embeddings: Float[Tensor, "batch bin dimension"],
    talkers: Float[Tensor, "batch bin source"],
    weights: Float[Tensor, "batch bin"],
) -> Float[Tensor, " batch"]:
    """|V V^T - Y Y^T|^2 over pairs of bins, each with the weight w_i w_j, per pair.

    Computed without the matrices over bins: |V^T V|^2 - 2 |V^T Y|^2 + |Y^T Y|^2.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        root = weights.float().sqrt()[..., None]
        embeddings, talkers = root * embeddings.float(), root * talkers.float()
        pairs = weights.float().sum(-1).square().clamp(min=1)
        parts = [(embeddings, embeddings, 1), (embeddings, talkers, -2), (talkers, talkers, 1)]
        total = sum(factor * (one.mT @ other).square().sum((-2, -1)) for one, other, factor in parts)
        return torch.as_tensor(total) / pairs


def loudest_talker(power: Float[Tensor, "batch source bin"]) -> Float[Tensor, "batch bin source"]:
    """One-hot: the talker with the largest magnitude in each bin (the first among equals)."""
    return nn.functional.one_hot(power.argmax(1), power.shape[1]).to(power)


def audible(power: Float[Tensor, "batch bin"]) -> Bool[Tensor, "batch bin"]:
    """The bins that are not silence."""
    return power >= power.amax(-1, keepdim=True) * 10 ** (SILENCE_DB / 10)


def distances(
    points: Float[Tensor, "bin dimension"], centres: Float[Tensor, "*start source dimension"]
) -> Float[Tensor, "*start source bin"]:
    """Squared distance of each point from each centre."""
    flat = centres.flatten(0, -2)
    squares = points.square().sum(-1) + flat.square().sum(-1, keepdim=True)
    return (squares - 2 * flat @ points.mT).clamp(min=0).unflatten(0, centres.shape[:-1])


def spread_out(
    points: Float[Tensor, "bin dimension"], count: int, draws: Float[Tensor, " source"]
) -> Int[Tensor, " source"]:
    """Points to start from, each drawn with a chance that grows with its squared distance from those before.

    D. Arthur, S. Vassilvitskii, "k-means++", SODA 2007.
    """
    chosen: list[Tensor] = []
    chance = points.new_ones(len(points))
    for draw in draws[:count]:
        upto = chance.cumsum(0)
        index = torch.searchsorted(upto, draw * upto[-1], right=True).clamp(max=len(points) - 1)
        chosen.append(index)
        distance = distances(points, points[index][None])[0]
        chance = distance if len(chosen) == 1 else torch.minimum(chance, distance)
    return torch.stack(chosen)


def k_means(points: Float[Tensor, "bin dimension"], clusters: int) -> Float[Tensor, "source dimension"]:
    """Centres of the best of ``STARTS`` runs; the same points give the same centres."""
    # On the CPU, so that every device draws the same numbers.
    draws = torch.rand(STARTS, clusters, generator=torch.Generator().manual_seed(0)).to(points)
    centres = torch.stack([points[spread_out(points, clusters, row)] for row in draws])
    numbers = torch.arange(clusters, device=points.device)[:, None]
    before = None
    for _ in range(ROUNDS):
        nearest = distances(points, centres).argmin(-2, keepdim=True)  # (start, 1, bin)
        if before is not None and torch.equal(nearest, before):
            break
        before = nearest
        member = (nearest == numbers).to(points)  # (start, source, bin)
        sizes = member.sum(-1, keepdim=True)
        sums = (member.flatten(0, 1) @ points).unflatten(0, member.shape[:2])
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
    within = distances(points, centres).amin(-2).sum(-1)
    return centres[within.argmin()]


@register(
    name="deep_clustering",
    contract="separator",
    summary="Embeds time-frequency bins and clusters them; the number of talkers may change after training.",
    citation="Hershey et al., Deep clustering, ICASSP 2016; Isik et al., Interspeech 2016",
    network=True,
)
class DeepClustering(NeuralSeparator):
    """Bidirectional LSTM, embeddings, k-means; ``sources`` is the number of clusters and no part of the weights.

    Args:
        layers: of the LSTM.
        hidden: its units in each direction.
        dimension: of an embedding.
        dropout: between the layers.
        masks: ``hard`` gives each bin to one talker, ``soft`` shares it by the distances from the centres.
        hardness: of soft masks: the factor of the squared distance.
        window_length: samples per frame of the transform.
        hop_length: samples between frames.
        levels: see ``NeuralSeparator``; the masks keep them.
        options: of every network.

    Raises:
        UsageError: no layers, units or dimensions, or masks of another kind.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "layers": 1, "hidden": 8, "dimension": 4, "dropout": 0.0, "window_length": 64, "hop_length": 16,
    }  # fmt: skip

    def __init__(
        self,
        *,
        layers: int = 4,
        hidden: int = 300,
        dimension: int = 40,
        dropout: float = 0.5,
        masks: Literal["hard", "soft"] = "hard",
        hardness: float = 5.0,
        window_length: int = 256,
        hop_length: int = 64,
        levels: Literal["fitted", "kept"] = "kept",
        **options: Any,
    ) -> None:
        super().__init__(levels=levels, **options)
        if min(layers, hidden, dimension) < 1:
            raise UsageError("deep_clustering has at least one layer, one unit and one dimension.")
        if masks not in ("hard", "soft"):
            raise UsageError(f"masks are 'hard' or 'soft', not '{masks}'.")
        self.mask_kind, self.hardness = masks, hardness
        self.spectrum = Spectrum(window_length, hop_length, square_root=True)
        self.lstm = nn.LSTM(
            self.spectrum.bins, hidden, layers, batch_first=True, bidirectional=True,
            dropout=dropout if layers > 1 else 0.0,
        )  # fmt: skip
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * hidden, self.spectrum.bins * dimension)

    def estimate(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch source time"]:
        """Cluster the embeddings of each mixture, and mask it.

        No gradient passes the choice of the clusters; soft masks have one, hard masks none.
        """
        spectrum = self.spectrum.analyse(mixture)
        power = self.power(spectrum)
        embeddings = self.embed(power)
        pairs = zip(embeddings, audible(power.flatten(1)), strict=True)
        masks = torch.stack([self.cluster(points, sounding) for points, sounding in pairs])
        masks = masks.unflatten(-1, power.shape[1:])  # (batch, source, frame, frequency)
        return self.spectrum.synthesise(masks[:, :, None] * spectrum[:, None], mixture.shape[-1])

    def loss(  # type: ignore[override]
        self, mixture: Float[Tensor, "batch time"], sources: Float[Tensor, "batch source time"]
    ) -> Float[Tensor, " batch"]:
        """Mean squared error of the affinities; any number of sources."""
        power = self.power(self.spectrum.analyse(mixture))
        talkers = loudest_talker(self.power(self.spectrum.analyse(sources)).flatten(2))
        return affinity_loss(self.embed(power), talkers, audible(power.flatten(1)).float())

    def power(
        self, spectrum: Float[Tensor, "*batch 2 frame frequency"]
    ) -> Float[Tensor, "*batch frame frequency"]:
        """Power spectrogram, scaled so that a signal at unit level has values about 1."""
        return spectrum.square().sum(-3) / self.spectrum.window_length

    def embed(self, power: Float[Tensor, "batch frame frequency"]) -> Float[Tensor, "batch bin dimension"]:
        """The network: a unit vector for every bin."""
        features = 0.5 * (power + FLOOR**2).log()
        centred = features - features.mean((-2, -1), keepdim=True)
        features = centred / (centred.square().mean((-2, -1), keepdim=True) + _EPS).sqrt()
        vectors = self.output(self.dropout(self.lstm(features)[0]))
        vectors = vectors.float().tanh().unflatten(-1, (self.spectrum.bins, -1))
        return nn.functional.normalize(vectors, dim=-1).flatten(1, 2)

    def cluster(
        self, points: Float[Tensor, "bin dimension"], audible: Bool[Tensor, " bin"]
    ) -> Float[Tensor, "source bin"]:
        """A mask for each cluster, whose centres are those of the audible bins."""
        with torch.autocast(points.device.type, enabled=False):
            with torch.no_grad():
                centres = k_means(points[audible], self.sources)
            distance = distances(points, centres)
        if self.mask_kind == "soft":
            return (-self.hardness * distance).softmax(0)
        return nn.functional.one_hot(distance.argmin(0), self.sources).to(points).mT
