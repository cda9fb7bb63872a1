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

from unbabble.signal import demixing_lanes as lanes
from unbabble.signal.demixing_lanes import LANES, Planes
from unbabble.signal.kernels import jit

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
        self._w: Planes = np.zeros((blocks, channels, channels, 2, LANES), np.float32)
        self._gram: Planes = np.zeros((blocks, 1, channels, channels, 2, LANES), np.float32)
        self._past: Planes = np.zeros((blocks, sources + 1, channels, channels, 2, LANES), np.float32)
        self._recent: Planes = np.zeros((blocks, recent_frames, channels, 2, LANES), np.float32)
        self._powers = np.zeros((sources, recent_frames), np.float32)
        self._level: Planes = np.zeros((blocks, LANES), np.float32)
        self.set_matrix(torch.eye(channels).expand(bins, -1, -1))

    @property
    def matrix(self) -> Complex[Tensor, "frequency channel channel"]:
        """The current demixing matrices."""
        planes = torch.from_numpy(self._w).permute(0, 4, 1, 2, 3).flatten(0, 1)[: self.bins]
        return torch.view_as_complex(planes.contiguous())

    def set_matrix(self, matrix: Tensor) -> None:
        """Forget all, and begin from these demixing matrices, (frequency, channel, channel)."""
        full = torch.eye(self.channels, dtype=torch.complex64).repeat(len(self._w) * LANES, 1, 1)
        full[: self.bins] = matrix
        planes = torch.view_as_real(full).reshape(len(self._w), LANES, self.channels, self.channels, 2)
        self._w[:] = planes.permute(0, 2, 3, 4, 1).numpy()
        self._past[:], self._level[:] = 0, 0
        self.seen, self._count, self._total = 0, 0, 0.0

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
            phi = np.append(leaving.numpy(), 1).astype(np.float32)
            lanes_noise = self._noise(LOAD)
            _retire(
                self._recent, slot, self._w, self._gram, self._past, lanes_noise, phi, np.float32(self.keep)
            )
        self._recent[:, slot] = self._planes(frame)
        self._total = self.keep * self._total + 1
        _track(self._recent, slot, self._level, np.float32(self.keep))
        self.seen += 1
        self._count = min(self.seen, recent)
        _measure(self._w, self._recent, self._count, self._powers)

    def step(self, weights: Float[Tensor, "source frame"]) -> None:
        """One sweep of iterative projection.

        Args:
            weights: phi_kt of the recent frames.
        """
        ages = self.keep ** np.arange(self._count - 1, -1, -1)
        phi = np.zeros((self.sources + 1, self._count), np.float32)
        phi[:, self._order()] = np.concatenate([weights.numpy() * ages, ages[None]]) / self._total
        load = max(LOAD, START_LOAD / self.seen**2)
        past = np.float32(self.keep**self._count / self._total)
        _sweep(
            self._recent,
            self._w,
            self._gram,
            self._past,
            self._noise(load),
            phi,
            past,
            self.seen > self._count,
        )
        _measure(self._w, self._recent, self._count, self._powers)

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
        return ((load * self._level + floor) / self._total).astype(np.float32)

    def _planes(self, frame: Tensor) -> Planes:
        padded = np.zeros((self.channels, len(self._w) * LANES), np.complex64)
        padded[:, : self.bins] = frame.numpy()
        blocks = padded.reshape(self.channels, -1, LANES).transpose(1, 0, 2)
        return np.stack([blocks.real, blocks.imag], 2)


@jit
def _demix(w, x, block, t, rows, y):
    """The first ``rows`` of y = W x_t."""
    for i in range(rows):
        for lane in range(LANES):
            y[i, 0, lane] = 0
            y[i, 1, lane] = 0
        for c in range(w.shape[1]):
            for lane in range(LANES):
                wr, wi = w[block, i, c, 0, lane], w[block, i, c, 1, lane]
                xr, xi = x[block, t, c, 0, lane], x[block, t, c, 1, lane]
                y[i, 0, lane] += wr * xr - wi * xi
                y[i, 1, lane] += wr * xi + wi * xr


@jit
def _measure(w, x, count, powers):
    """Power of the sources of the recent frames over all frequencies."""
    lanes.clear(powers)
    sources = powers.shape[0]
    y = np.zeros((sources, 2, LANES), np.float32)
    for block in range(w.shape[0]):
        for t in range(count):
            _demix(w, x, block, t, sources, y)
            for k in range(sources):
                for lane in range(LANES):
                    powers[k, t] += y[k, 0, lane] ** 2 + y[k, 1, lane] ** 2


@jit
def _track(x, t, level, keep):
    """Running power of each frequency, averaged over channels."""
    for block in range(x.shape[0]):
        for lane in range(LANES):
            level[block, lane] *= keep
        for c in range(x.shape[2]):
            for lane in range(LANES):
                power = x[block, t, c, 0, lane] ** 2 + x[block, t, c, 1, lane] ** 2
                level[block, lane] += power / np.float32(x.shape[2])


@jit
def _congruence(step, a, work):
    """a <- step a step^H, a Hermitian."""
    channels = step.shape[0]
    lanes.multiply(step, a, work)
    for i in range(channels):
        for lane in range(LANES):
            a[i, i, 1, lane] *= -1
        for j in range(i):
            for lane in range(LANES):
                re, im = a[i, j, 0, lane], a[i, j, 1, lane]
                a[i, j, 0, lane], a[i, j, 1, lane] = a[j, i, 0, lane], -a[j, i, 1, lane]
                a[j, i, 0, lane], a[j, i, 1, lane] = re, -im
    lanes.multiply(step, a, work)


@jit
def _add(y, gram, noise, phi, t, u, block, product):
    """U_k += phi_kt (y y^H + noise W W^H), in the lower triangle."""
    for i in range(y.shape[0]):
        for j in range(i + 1):
            for lane in range(LANES):
                ar, ai, br, bi = y[i, 0, lane], y[i, 1, lane], y[j, 0, lane], y[j, 1, lane]
                product[0, lane] = ar * br + ai * bi + noise[block, lane] * gram[block, 0, i, j, 0, lane]
                product[1, lane] = ai * br - ar * bi + noise[block, lane] * gram[block, 0, i, j, 1, lane]
            for k in range(u.shape[0]):
                weight = phi[k, t]
                for lane in range(LANES):
                    u[k, i, j, 0, lane] += weight * product[0, lane]
                    u[k, i, j, 1, lane] += weight * product[1, lane]


@jit
def _mirror(u):
    """Upper triangles from the lower ones."""
    for k in range(u.shape[0]):
        for i in range(u.shape[1]):
            for j in range(i):
                for lane in range(LANES):
                    u[k, j, i, 0, lane] = u[k, i, j, 0, lane]
                    u[k, j, i, 1, lane] = -u[k, i, j, 1, lane]


@jit
def _retire(x, t, w, gram, past, noise, phi, keep):
    """S_k <- a S_k + phi_k (y_t y_t^H + noise W W^H)."""
    channels = w.shape[1]
    y = np.zeros((channels, 2, LANES), np.float32)
    product = np.zeros((2, LANES), np.float32)
    weights = phi.reshape(-1, 1)
    for block in range(w.shape[0]):
        lanes.gram(w, gram, block)
        flat = past[block].ravel()
        for i in range(flat.size):
            flat[i] *= keep
        _demix(w, x, block, t, channels, y)
        _add(y, gram, noise, weights, 0, past[block], block, product)
        _mirror(past[block])


@jit
def _sweep(x, w, gram, past, noise, phi, share, has_past):
    """Equation (1) and iterative projection, for every frequency."""
    sources, channels = past.shape[1] - 1, w.shape[1]
    step = np.zeros((channels, channels, 2, LANES), np.float32)
    work = lanes.workspace(step)
    u = np.zeros((sources + 1, channels, channels, 2, LANES), np.float32)
    y = np.zeros((channels, 2, LANES), np.float32)
    product = np.zeros((2, LANES), np.float32)
    for block in range(w.shape[0]):
        lanes.gram(w, gram, block)
        lanes.copy(past[block], u)
        flat = u.ravel()
        for i in range(flat.size):
            flat[i] *= share
        for t in range(phi.shape[1]):
            _demix(w, x, block, t, channels, y)
            _add(y, gram, noise, phi, t, u, block, product)
        _mirror(u)
        lanes.set_identity(step)
        lanes.sweep_ip(u, step, work)
        if sources < channels:
            lanes.background(u, step, work)
        for k in range(sources + 1 if has_past else 0):
            _congruence(step, past[block, k], work)
        lanes.multiply(step, w[block], work)
