"""Demixing matrices that follow the recording frame by frame: recursive statistics and compiled updates.

The batch problem of ``demixing`` with its mean over frames replaced by a recursive one,

    V_k <- a V_k + (1 - a) phi_k x x^H,                                                        (1)

and one or a few sweeps of iterative projection after every frame. As there, everything is written in the
coordinates of the current outputs: a sweep's step T turns W into T W and every covariance U_k = W V_k W^H into
T U_k T^H, so that the covariances stay near the identity and single precision suffices however long the input,
and however alike the microphones. The last covariance, without weights, is the outputs' own: the Gram matrix of
the whitened channels, which takes care of the background where there are more channels than sources.
"""

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from unbabble.signal import demixing_lanes as lanes
from unbabble.signal.demixing_lanes import LANES, Planes, jit

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
        memory_frames: time constant of (1), 1 / -log(a). The first frames are averaged evenly.
        sweeps: passes of iterative projection per frame.
    """

    def __init__(self, bins: int, channels: int, sources: int, memory_frames: float, sweeps: int = 1) -> None:
        self.bins, self.channels, self.sources, self.sweeps = bins, channels, sources, sweeps
        self.keep = float(np.exp(-1 / memory_frames))
        self.seen = 0
        blocks = -(-bins // LANES)
        self._w: Planes = np.zeros((blocks, channels, channels, 2, LANES), np.float32)
        self._gram: Planes = np.zeros((blocks, 1, channels, channels, 2, LANES), np.float32)
        self._u: Planes = np.zeros((blocks, sources + 1, channels, channels, 2, LANES), np.float32)
        self._x: Planes = np.zeros((blocks, channels, 2, LANES), np.float32)
        self._y: Planes = np.zeros_like(self._x)
        self._level: Planes = np.zeros((blocks, LANES), np.float32)
        self.set_matrix(torch.eye(channels).expand(bins, -1, -1))

    @property
    def level(self) -> float:
        """Running power of a frame, over all frequencies and averaged over channels."""
        return float(self._level.sum(dtype=np.float64))

    @property
    def matrix(self) -> Complex[Tensor, "frequency channel channel"]:
        """The current demixing matrices."""
        planes = torch.from_numpy(self._w).permute(0, 4, 1, 2, 3).flatten(0, 1)[: self.bins]
        return torch.view_as_complex(planes.contiguous())

    def set_matrix(self, matrix: Tensor) -> None:
        """Begin anew from these demixing matrices, (frequency, channel, channel)."""
        full = torch.eye(self.channels, dtype=torch.complex64).repeat(len(self._w) * LANES, 1, 1)
        full[: self.bins] = matrix
        planes = torch.view_as_real(full).reshape(len(self._w), LANES, self.channels, self.channels, 2)
        self._w[:] = planes.permute(0, 2, 3, 4, 1).numpy()
        self._level[:] = 0
        self.seen = 0

    def demix(self, frame: Complex[Tensor, "channel frequency"]) -> Float[Tensor, " source"]:
        """Take a frame in: the power of its sources by the current matrices, summed over frequencies."""
        padded = np.zeros((self.channels, len(self._x) * LANES), np.complex64)
        padded[:, : self.bins] = frame.numpy()
        blocks = padded.reshape(self.channels, -1, LANES).transpose(1, 0, 2)
        self._x[:, :, 0], self._x[:, :, 1] = blocks.real, blocks.imag
        power = np.zeros(self.sources)
        _demix(self._w, self._x, self._y, power)
        return torch.from_numpy(power)

    def adapt(self, weights: Float[Tensor, " source"], sweeps: int | None = None) -> None:
        """Learn from the frame that ``demix`` took in.

        Args:
            weights: phi_k of the majoriser at this frame.
            sweeps: instead of the constructor's; 0 only updates the statistics.
        """
        sweeps = self.sweeps if sweeps is None else sweeps
        keep = min(self.keep, self.seen / (self.seen + 1))
        load = max(LOAD, START_LOAD / (self.seen + 1) ** 2) if sweeps else LOAD
        _track(self._x, self._level, np.float32(keep))
        floor = SILENT_BIN * self.level / self.bins
        phi = np.append(weights.numpy(), 1).astype(np.float32)
        noise = (load * self._level + floor).astype(np.float32)
        _update(self._y, self._w, self._gram, self._u, noise, phi, np.float32(keep), sweeps)
        self.seen += 1

    def images(
        self, frame: Complex[Tensor, "channel frequency"], microphones: slice
    ) -> Complex[Tensor, "source microphone frequency"]:
        """A frame's sources by the current matrices, as ``microphones`` hear them: y_k times column k of W^-1."""
        self.demix(frame)
        blocks = self._y[:, : self.sources].transpose(1, 2, 0, 3).reshape(self.sources, 2, -1)[..., : self.bins]
        y = torch.from_numpy(blocks[:, 0] + 1j * blocks[:, 1])
        mixing = torch.linalg.inv(self.matrix.to(torch.complex128))[:, microphones, : self.sources]
        return (mixing.permute(2, 1, 0) * y[:, None]).to(torch.complex64)


@jit
def _demix(w, x, y, power):
    """y = W x, and the power of the first outputs."""
    channels = w.shape[1]
    lanes.clear(y)
    for block in range(w.shape[0]):
        for i in range(channels):
            for c in range(channels):
                for lane in range(LANES):
                    wr, wi = w[block, i, c, 0, lane], w[block, i, c, 1, lane]
                    xr, xi = x[block, c, 0, lane], x[block, c, 1, lane]
                    y[block, i, 0, lane] += wr * xr - wi * xi
                    y[block, i, 1, lane] += wr * xi + wi * xr
        for k in range(len(power)):
            for lane in range(LANES):
                power[k] += y[block, k, 0, lane] ** 2 + y[block, k, 1, lane] ** 2


@jit
def _track(x, level, keep):
    """Running power of each frequency, averaged over channels."""
    for block in range(x.shape[0]):
        for lane in range(LANES):
            level[block, lane] *= keep
        for c in range(x.shape[1]):
            for lane in range(LANES):
                power = x[block, c, 0, lane] ** 2 + x[block, c, 1, lane] ** 2
                level[block, lane] += (1 - keep) * power / np.float32(x.shape[1])


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
def _accumulate(y, gram, u, noise, phi, keep, block):
    """U_k <- a U_k + (1 - a) phi_k (y y^H + noise W W^H)."""
    channels = y.shape[1]
    for i in range(channels):
        for j in range(channels):
            for k in range(len(phi)):
                for lane in range(LANES):
                    ar, ai = y[block, i, 0, lane], y[block, i, 1, lane]
                    br, bi = y[block, j, 0, lane], y[block, j, 1, lane]
                    re = ar * br + ai * bi + noise[block, lane] * gram[block, 0, i, j, 0, lane]
                    im = ai * br - ar * bi + noise[block, lane] * gram[block, 0, i, j, 1, lane]
                    fresh = (1 - keep) * phi[k]
                    u[block, k, i, j, 0, lane] = keep * u[block, k, i, j, 0, lane] + fresh * re
                    u[block, k, i, j, 1, lane] = keep * u[block, k, i, j, 1, lane] + fresh * im


@jit
def _update(y, w, gram, u, noise, phi, keep, sweeps):
    """Equation (1) and ``sweeps`` passes of iterative projection, for every frequency."""
    sources, channels = u.shape[1] - 1, w.shape[1]
    step = np.zeros((channels, channels, 2, LANES), np.float32)
    work = lanes.workspace(step)
    trial = np.zeros((sources + 1, channels, channels, 2, LANES), np.float32)
    for block in range(w.shape[0]):
        lanes.gram(w, gram, block)
        _accumulate(y, gram, u, noise, phi, keep, block)
        for _ in range(sweeps):
            lanes.copy(u[block], trial)
            lanes.set_identity(step)
            lanes.sweep_ip(trial, step, work)
            if sources < channels:
                lanes.background(trial, step, work)
            for k in range(sources + 1):
                _congruence(step, u[block, k], work)
            lanes.multiply(step, w[block], work)
