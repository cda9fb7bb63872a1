"""``unbabble export``: a network as an ONNX file, for other programs and other languages."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unbabble.base.config import parse_assignments
from unbabble.base.errors import UsageError
from unbabble.base.extras import require
from unbabble.base.files import check_output
from unbabble.base.kinds import taken_by
from unbabble.base.report import Result
from unbabble.verbs.frame import say
from unbabble.verbs.options import Assignments, Out, Overwrite

SUFFIX = ".onnx"


@dataclass
class Exported(Result):
    """What was exported.

    Attributes:
        model: which network.
        path: of the file.
        difference: largest one between the file and the network, in units of the estimates' level.
    """

    model: str
    path: str
    difference: float


def export(
    model: str,
    /,
    *,
    out: Out,
    opset: int | None = None,
    streaming: bool = False,
    int8: bool = False,
    set: Assignments = None,
    overwrite: Overwrite = False,
    quiet: bool = False,
) -> Exported:
    """Write a network as an ONNX file: mixtures (batch, time) to voices (batch, source, time), of any length.

    The file is compared with the network on signals of several lengths, and only left behind when ONNX Runtime
    gives the same to 1e-4.

    Args:
        model: The network: conv_tasnet.2talkers_8k, a .safetensors file, a folder, or org/name on the Hub.
        out: The file, ending in .onnx.
        opset: Version of ONNX's operators, for a program that needs a certain one.
        streaming: Write one step, from a frame to a piece of each voice, with all that is remembered as inputs and
            outputs: for programs that play while they record. For gru, sparse_ensemble and a causal conv_tasnet.
        int8: With --streaming, weights in eight bits: smaller and quicker, and a little different.
        set: Any option of the network, in place of those with which it was trained, as name=value.
        overwrite: Replace the file.
        quiet: Say nothing.

    Raises:
        InputError: weights that cannot be used.
        MissingExtraError: without the extra onnx.
        OutputError: the file cannot be written.
        UsageError: not a network, or one that cannot be exported.
    """
    from unbabble.networks.load import is_network, load
    from unbabble.networks.onnx import export as write
    from unbabble.networks.onnx_step import export_step, with_steps

    out = Path(out)
    if out.suffix != SUFFIX:
        raise UsageError(f"The file of --out ends in {SUFFIX}, unlike '{out}'.")
    if out.exists() and not overwrite:
        raise UsageError(f"'{out}' is there already: --overwrite replaces it.")
    if not is_network(model):
        raise UsageError(f"'{model}' is not a network: only networks can be exported.")
    if int8 and not streaming:
        raise UsageError("--int8 is for --streaming.")
    require("onnx")
    check_output(out)
    loaded = load(model, *taken_by("export"), **parse_assignments(set or []))
    network: Any = loaded.network
    if streaming:
        steps = with_steps(network, model)
        difference = export_step(steps, out, card=loaded.card, opset=opset, int8=int8)
    else:
        difference = write(network, out, card=loaded.card, opset=opset)
    result = Exported(model, str(out), difference)
    say(f"{model} is in {out}; ONNX Runtime differs from it by at most {difference:.1e}.", quiet)
    return result
