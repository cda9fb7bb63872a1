"""Give separated spectrograms back the level and colour that they had at the microphones."""

import torch
from jaxtyping import Complex
from torch import Tensor


def images(
    outputs: Complex[Tensor, "frequency source frame"], mixture: Complex[Tensor, "frequency microphone frame"]
) -> Complex[Tensor, "frequency source microphone frame"]:
    """Each source as every microphone hears it: the least-squares fit of the mixture by the outputs.

    For as many sources as microphones the mixing matrix that it finds is the inverse of the demixing matrix
    (projection back: Murata, Ikeda & Ziehe, Neurocomputing 2001), and the images add up to the mixture.
    """
    steering = steering_vectors(outputs, mixture)
    return torch.einsum("fmk,fkt->fkmt", steering, outputs)


def steering_vectors(
    outputs: Complex[Tensor, "frequency source frame"], mixture: Complex[Tensor, "frequency microphone frame"]
) -> Complex[Tensor, "frequency microphone source"]:
    """The A that minimises |mixture - A outputs|^2 at each frequency."""
    norm = outputs.abs().square().mean(-1).sqrt().clamp_min(torch.finfo(torch.float32).tiny)
    y = (outputs / norm[..., None]).to(torch.complex128)
    gram = y @ y.mH
    gram.diagonal(dim1=1, dim2=2).add_(1e-10 * y.shape[-1])
    steering = torch.linalg.solve(gram, mixture.to(torch.complex128) @ y.mH, left=False)
    return (steering / norm[:, None]).to(outputs.dtype)
