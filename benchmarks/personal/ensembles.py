"""Do specialists with a gate gain over one network of their cost, by the recording and live?

Test speakers in test noises, as in ``enhance``. *gate*: the specialist that the gate takes for a whole recording;
*live*: those that it takes in a stream, second after second; *soft*: all specialists, weighed by the gate (a mixture of
local experts, which costs what all of them cost); *oracle*: the best of all for each recording, which nobody
knows; *worst* likewise. Beside them the generalist of the size of one specialist, the noisy recording and the ideal
ratio mask. Operations are counted by running the network: with a gate, one specialist and the gate. By sex and by
speaker; the worst tenth of the speakers is what the least lucky get.

    unbabble train configs/sparse_ensemble.yaml configs/corpora/labelled_snr_16k.yaml --out runs/ensemble_snr
    unbabble train configs/sparse_ensemble_joint.yaml configs/corpora/noisy_16k.yaml --set options.specialists=4 \\
      --from runs/ensemble_snr/best.safetensors --out runs/ensemble_snr_joint
    python -m benchmarks ensembles --by snr=runs/ensemble_snr/best.safetensors \\
      "snr, together=runs/ensemble_snr_joint/best.safetensors"
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch

from benchmarks.kit import people
from benchmarks.kit.people import FAIRNESS, IDEAL, NOISY, SNR_NAMES, SNRS_DB, gained
from benchmarks.kit.table import grid, made_by, page
from unbabble.networks import load as networks
from unbabble.networks.cost import macs_per_second, parameter_count

SEED, DIGITS = 0, 3
GATE, SOFT = "gate", "soft"
KINDS = ((f"{GATE}, live", True, False), (SOFT, False, True), (GATE, False, False))
"""What is tried of each ensemble: live, soft."""
PUBLISHED = """\
Published (Sivaraman & Kim, WASPAA 2021; LibriSpeech and MUSAN at 8 kHz, GRU 2x64, SI-SDR improvement): generalist
5.69 dB; K = 2, 5, 10 groups of speakers, fine-tuned together: 7.03, 7.42, 7.69 dB."""
QUICK = {"each": 1, "by": {"packaged": "sparse_ensemble.16k"}}


def gains_of(ensemble, name: str, gain) -> dict[str, float]:
    """What the gate's kinds of choice gain, and the best and the worst of the specialists."""
    ensemble.chosen, result = -1, {}
    for kind, ensemble.live, ensemble.soft in KINDS:
        result[f"{name}: {kind}"] = gain(ensemble)
    each, ensemble.soft = [], False
    for number in range(len(ensemble.specialists)):
        ensemble.chosen = number
        each.append(gain(ensemble))
    return result | {f"{name}: oracle": max(each), f"{name}: worst": min(each)}


@torch.no_grad()
def measure(
    by: Mapping[str, str], generalists: Sequence[str] = ("gru.2x64",), each: int = 30, split: str = "test"
) -> dict:
    """All at all SNRs.

    Args:
        by: ensembles, by how their specialists were told apart.
    """
    ensembles = {name: networks.load(path, "enhancer").network for name, path in by.items()}
    single = {name: networks.load(name, "enhancer").network for name in generalists}
    rows: dict[str, list[dict]] = defaultdict(list)
    for noisy, true, about in people.all_recordings(split, each):

        def gain(network, noisy=noisy, true=true) -> float:
            return gained(network.estimate(noisy[None])[0, 0], noisy, true)

        result = {NOISY: 0.0, IDEAL: gained(people.ideal(noisy, true), noisy, true)}
        result |= {name: gain(network) for name, network in single.items()}
        for name, network in ensembles.items():
            result |= gains_of(network, name, gain)
        for name, value in result.items():
            rows[name].append(about | {"si_sdri_db": value, "all": value})
    table: dict[str, dict] = {
        name: people.by_snr(there) | people.means(there, "all") | people.fairness(there)
        for name, there in rows.items()
    }
    for name, network in (single | ensembles).items():
        for label in (name,) if name in single else (f"{name}: {GATE}", f"{name}: {SOFT}"):
            if name in ensembles:
                network.chosen, network.live, network.soft = -1, False, label.endswith(SOFT)
            table[label] |= {"parameters": parameter_count(network), "mmacs": macs_per_second(network) / 1e6}
    return {"models": table, "recordings": len(SNRS_DB) * each}


def table(result: dict) -> str:
    snrs, each = [f"{name} dB" for name in SNR_NAMES], " | ".join(f"{{{name}[0]:.2f}}" for name in SNR_NAMES)
    return page(
        "SI-SDR improvement in dB by input SNR (95 % interval over recordings); of women, of men, of the worst tenth "
        "of the speakers.",
        grid(
            ["model", "parameters", "MMAC/s", "all", *snrs, "women", "men", "worst speakers"],
            result["models"],
            f"{{name}} | {{parameters}} | {{mmacs}} | {{all:.2f}} | {each} | {FAIRNESS}",
        ),
        f"{result['recordings']} recordings of {people.SECONDS:g} s.",
        PUBLISHED,
        made_by(result),
    )
