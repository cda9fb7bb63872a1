"""Demixing matrices that follow the recording frame by frame: recursive statistics and compiled updates.

The batch problem of ``demixing`` with its mean over frames replaced by one that forgets,

    V_k = sum_t a^(now - t) phi_kt x_t x_t^H / sum_t a^(now - t),                                (1)

and a sweep of iterative projection after every frame. The last few seconds of frames are kept, and their weights
phi computed anew whenever the matrices change, as the batch does; what leaves them is summed for good with the
weights it then has. (Keeping one frame is the recursion as published; it converges several times more slowly.)

As in ``demixing``, everything is written in the coordinates of the current outputs: a sweep's step T turns W into
T W and the sums S_k of past frames into T S_k T^H, so that they stay near the identity and single precision suffices
however long the input, and however alike the microphones. The last covariance, without weights, is the outputs'
own: the Gram matrix of the whitened channels, which takes care of the background where there are more channels than
sources.
"""

import math

import numpy as np
import torch
from jaxtyping import Complex, Float
from numpy.typing import NDArray
from torch import Tensor

from unbabble.signal.blind.demixing import pairs
from unbabble.signal.kernels import small_matrices as small
from unbabble.signal.kernels import sweeps
from unbabble.signal.kernels.compile import jit
from unbabble.signal.kernels.demixer import Planes, from_lanes
from unbabble.signal.kernels.lanes import (
    LANES,
    abs2,
    aligned,
    conj,
    load,
    load_real,
    splat,
    store,
    store_real,
    zero,
)

LOAD = 1e-6
"""Power of imagined sensor noise, relative to the running power of its frequency."""
SILENT_BIN = 1e-9
"""And relative to the mean over frequencies: it keeps frequencies without sound from being fitted to rounding."""
START_LOAD = 1.0
"""The imagined noise of the very first frame; it falls with the square of the frames that were seen."""


class OnlineDemixer:
    """Demixing matrices of all frequencies, updated by every frame.

    Args:
        bins: number of frequencies.
        channels: number of microphones.
        sources: the first so many outputs are sources, the others background.
        memory_frames: time constant of (1), 1 / -log(a).
        recent_frames: how many frames are kept to be weighted anew.
    """

    def __init__(
        self, bins: int, channels: int, sources: int, memory_frames: float, recent_frames: int = 1
    ) -> None:
        self.bins, self.channels, self.sources = bins, channels, sources
        self.keep = math.exp(-1 / memory_frames)
        blocks = -(-bins // LANES)
        matrix = channels, channels, 2, LANES
        self._w = aligned((blocks, *matrix))
        self._past = aligned((blocks, sources + 1, *matrix))
        self._recent = aligned((blocks, recent_frames, channels, 2, LANES))
        self._powers: Planes = np.zeros((sources, recent_frames), np.float32)
        self._level = aligned((blocks, LANES))
        self._gram, self._step, self._product = aligned(matrix), aligned(matrix), aligned(matrix)
        self._u, self._y = aligned((sources + 1, *matrix)), aligned((channels, 2, LANES))
        self._total = aligned((sources, recent_frames, LANES))
        self._work, self._ring = sweeps.workspace(channels, np.float32), np.array(pairs(sources))
        self.set_matrix(torch.eye(channels).expand(bins, -1, -1))

    @property
    def matrix(self) -> Complex[Tensor, "frequency channel channel"]:
        """The current demixing matrices."""
        return from_lanes(self._w, self.bins)

    def set_matrix(self, matrix: Tensor) -> None:
        """Forget all, and begin from these demixing matrices, (frequency, channel, channel)."""
        full = torch.eye(self.channels, dtype=torch.complex64).repeat(len(self._w) * LANES, 1, 1)
        full[: self.bins] = matrix
        planes = torch.view_as_real(full).reshape(len(self._w), LANES, self.channels, self.channels, 2)
        self._w[:] = planes.permute(0, 2, 3, 4, 1).numpy()
        self._past[:], self._level[:] = 0, 0
        self.seen, self._count, self._mass = 0, 0, 0.0

    def power(self) -> Float[Tensor, "source frame"]:
        """|y|^2 of the recent frames by the current matrices, summed over frequencies; the newest is last."""
        return torch.from_numpy(self._powers[:, self._order()])

    def take(self, frame: Complex[Tensor, "channel frequency"], leaving: Float[Tensor, " source"]) -> None:
        """Add a frame to the recent ones; the oldest of these leaves for good once there are enough.

        Args:
            frame: of the mixture.
            leaving: weights of the oldest recent frame.
        """
        recent = self._recent.shape[1]
        slot = self.seen % recent
        if self.seen >= recent:
            phi = np.append(leaving.numpy(), 1).astype(np.float32)[:, None]
            _retire(
                *(self._recent, slot, self._w, self._gram, self._past, self._noise(LOAD), phi),
                *(np.float32(self.keep), self._y),
            )
        self._recent[:, slot] = self._planes(frame)
        self._mass = self.keep * self._mass + 1
        _track(self._recent, slot, self._level, np.float32(self.keep))
        self.seen += 1
        self._count = min(self.seen, recent)
        self._measure()

    def step(self, weights: Float[Tensor, "source frame"]) -> None:
        """One sweep of iterative projection.

        Args:
            weights: phi_kt of the recent frames.
        """
        ages = self.keep ** np.arange(self._count - 1, -1, -1)
        phi = np.zeros((self.sources + 1, self._count), np.float32)
        phi[:, self._order()] = np.concatenate([weights.numpy() * ages, ages[None]]) / self._mass
        load = max(LOAD, START_LOAD / self.seen**2)
        past = np.float32(self.keep**self._count / self._mass)
        _sweep(
            *(self._recent, self._w, self._gram, self._past, self._noise(load), phi, past),
            *(self.seen > self._count, self._y, self._u, self._step, self._product, self._work, self._ring),
        )
        self._measure()

    def _measure(self) -> None:
        _measure(self._w, self._recent, self._count, self._powers, self._y, self._total)

    def images(
        self, frame: Complex[Tensor, "channel frequency"], microphones: slice
    ) -> Complex[Tensor, "source microphone frequency"]:
        """A frame's sources by the current matrices, as ``microphones`` hear them: y_k times column k of W^-1."""
        matrix = self.matrix.to(torch.complex128)
        mixing = torch.linalg.inv(matrix)[:, microphones, : self.sources]
        y = (matrix[:, : self.sources] @ frame.T[..., None].to(torch.complex128))[..., 0]
        return (mixing.permute(2, 1, 0) * y.T[:, None]).to(torch.complex64)

    def _order(self) -> NDArray[np.int64]:
        """Places of the recent frames, the oldest first."""
        return (self.seen - self._count + np.arange(self._count)) % self._recent.shape[1]

    def _noise(self, load: float) -> Planes:
        """Power of the imagined noise at each frequency."""
        floor = SILENT_BIN * float(self._level.sum(dtype=np.float64)) / self.bins
        return ((load * self._level + floor) / self._mass).astype(np.float32)

    def _planes(self, frame: Tensor) -> Planes:
        padded = np.zeros((self.channels, len(self._w) * LANES), np.complex64)
        padded[:, : self.bins] = frame.numpy()
        blocks = padded.reshape(self.channels, -1, LANES).transpose(1, 0, 2)
        return np.stack([blocks.real, blocks.imag], 2)


@jit
def _demix(w, x, block, t, rows, y):
    """The first ``rows`` of y = W x_t."""
    for i in range(rows):
        total = zero(y)
        for c in range(w.shape[1]):
            total += load(w, (block, i, c)) * load(x, (block, t, c))
        store(y, (i,), total)


@jit
def _measure(w, x, count, powers, y, total):
    """Power of the sources of the recent frames over all frequencies."""
    sources = powers.shape[0]
    for k in range(sources):
        for t in range(count):
            store_real(total, (k, t), splat(total, 0.0))
    for block in range(w.shape[0]):
        for t in range(count):
            _demix(w, x, block, t, sources, y)
            for k in range(sources):
                store_real(total, (k, t), load_real(total, (k, t)) + abs2(load(y, (k,))))
    for k in range(sources):
        for t in range(count):
            powers[k, t] = 0
            for lane in range(LANES):
                powers[k, t] += total[k, t, lane]


@jit
def _track(x, t, level, keep):
    """Running power of each frequency, averaged over channels."""
    for block in range(x.shape[0]):
        power = splat(level, 0.0)
        for c in range(x.shape[2]):
            power += abs2(load(x, (block, t, c)))
        store_real(level, (block,), keep * load_real(level, (block,)) + power / x.shape[2])


@jit
def _congruence(step, a, product):
    """a <- step a step^H, a Hermitian."""
    small.multiply(step, a, product)
    for i in range(a.shape[0]):
        for j in range(i + 1):
            total = zero(a)
            for c in range(a.shape[0]):
                total += load(product, (i, c)) * conj(load(step, (j, c)))
            store(a, (i, j), total)
    small.mirror(a)


@jit
def _add(y, gram, noise, phi, t, u):
    """U_k += phi_kt (y y^H + noise W W^H), in the lower triangle."""
    for i in range(y.shape[0]):
        for j in range(i + 1):
            product = load(y, (i,)) * conj(load(y, (j,))) + noise * load(gram, (i, j))
            for k in range(u.shape[0]):
                store(u, (k, i, j), load(u, (k, i, j)) + phi[k, t] * product)


@jit
def _scale(a, factor, out):
    """out = factor a, a stack of matrices."""
    for k in range(a.shape[0]):
        for i in range(a.shape[1]):
            for j in range(a.shape[2]):
                store(out, (k, i, j), factor * load(a, (k, i, j)))


@jit
def _retire(x, t, w, gram, past, noise, phi, keep, y):
    """S_k <- a S_k + phi_k (y_t y_t^H + noise W W^H)."""
    for block in range(w.shape[0]):
        small.gram(w[block], gram)
        _scale(past[block], keep, past[block])
        _demix(w, x, block, t, y.shape[0], y)
        _add(y, gram, load_real(noise, (block,)), phi, 0, past[block])
        for k in range(past.shape[1]):
            small.mirror(past[block, k])


@jit
def _sweep(x, w, gram, past, noise, phi, share, has_past, y, u, step, product, work, ring):
    """Equation (1) and iterative projection, for every frequency."""
    sources, channels = past.shape[1] - 1, w.shape[1]
    for block in range(w.shape[0]):
        small.gram(w[block], gram)
        _scale(past[block], share, u)
        for t in range(phi.shape[1]):
            _demix(w, x, block, t, channels, y)
            _add(y, gram, load_real(noise, (block,)), phi, t, u)
        for k in range(sources + 1):
            small.mirror(u[k])
        sweeps.ip(u, step, work, ring)
        if sources < channels:
            sweeps.background(u, step, work)
        for k in range(sources + 1 if has_past else 0):
            _congruence(step, past[block, k], product)
        small.multiply(step, w[block], product)
        small.copy(product, w[block])
