"""The device that networks compute on."""

import torch

from unbabble.base.errors import UsageError


def choose_device(name: str) -> torch.device:
    """The device behind ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps`` ...

    Raises:
        UsageError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"There is no device '{name}' here; `unbabble doctor` lists them.") from error
    return device
