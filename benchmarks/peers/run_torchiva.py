"""torchiva: AuxIVA with ip, ip2 (two channels), iss, and ILRMA by iss ("ilrma_iss"). Complex64, torch's usual one.

Its source model is called once per iteration with the current outputs: that is where the clock ticks.

torchiva imports torchaudio for the mel filters of a neural model that plays no part here; torchaudio has no build
for current torch, so an empty module stands in for it.
"""

import sys
from types import ModuleType

import torch
from worker import nothing, serve

sys.modules["torchaudio"] = ModuleType("torchaudio")
sys.modules["torchaudio.transforms"] = ModuleType("torchaudio.transforms")
sys.modules["torchaudio.transforms"].MelScale = object
import torchiva  # noqa: E402

IP2_LEVEL = 10.0
"""Its ip2 has absolute thresholds and fails on a mixture of unit power (-17 dB); at this level it works."""


class Ticking(torch.nn.Module):
    """A source model that reports each call."""

    def __init__(self, model, tick):
        super().__init__()
        self.model, self.tick, self.count = model, tick, 0

    def reset(self):
        if hasattr(self.model, "reset"):
            self.model.reset()

    def forward(self, y):
        self.tick(self.count, lambda: y.transpose(0, 1).numpy())
        self.count += 1
        return self.model(y)


def run(algorithm, data, iterations, tick, seed):
    torch.manual_seed(seed)
    model = torchiva.NMFModel(n_basis=2) if algorithm == "ilrma_iss" else torchiva.LaplaceModel()
    if tick is not nothing:
        model = Ticking(model, tick)
    kinds = {"ip": torchiva.AuxIVA_IP, "ip2": torchiva.AuxIVA_IP2}
    method = kinds.get(algorithm, torchiva.T_ISS)(n_iter=iterations, model=model)
    with torch.no_grad():
        if algorithm == "ip2":
            method._proj_back_mic = None
            y = method(data["louder"])
        else:
            y = method(data["whitened"], n_src=data["whitened"].shape[0])  # scaled, which scoring undoes
    if tick is not nothing:
        tick(iterations, lambda: y.transpose(0, 1).numpy())


def prepare(raw):
    whitened = torch.from_numpy(raw["whitened"]).transpose(0, 1).contiguous()
    return {"whitened": whitened, "louder": IP2_LEVEL * whitened}


if __name__ == "__main__":
    serve(
        run,
        ("ip", "ip2", "iss", "ilrma_iss"),
        {"torchiva": "0.1.1", "torch": torch.__version__},
        prepare=prepare,
    )
