"""Networks as ONNX files, and networks that ONNX Runtime computes.

An exported file holds ``estimate`` alone: (batch, time) at about unit level to (batch, source, time), both axes of
any length. Levels, order and microphones stay with ``NeuralSeparator``. A file is only left behind when ONNX Runtime
agrees with PyTorch on signals of several lengths, one sample included.

PyTorch's exporter would unroll a recurrent layer to the length of the example; ``_Lstm`` and ``_Gru`` take its place,
which state ONNX's own operators. Conditions on the length that the exporter meets are put off to run time, where they
cannot be checked any more: hence the comparison at short and at odd lengths.

ONNX Runtime adds up millions of numbers one by one, in single precision: means over all of a recording, as some
normalisations take them, come out wrong in the fourth digit. In the file they are means over one axis after the other.

The exporter takes what is no larger than 1e-8 for zero and leaves out adding it, which is what keeps silence from being
divided by nothing: ``keep_small_sums``.
"""

import copy
import hashlib
import inspect
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import InputError, UsageError
from unbabble.base.extras import EXTRAS, require
from unbabble.base.files import as_utf8, atomic, user_cache
from unbabble.base.weights import CARD_KEY, WeightsCard
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.streaming import LiveSeparator

Runtime: TypeAlias = Literal["auto", "torch", "onnx"]
TOLERANCE = 1e-4
"""Largest difference between the file and the network, where estimates have a level of one."""
CHECKED_SHAPES = ((1, 1), (3, 7), (1, 160), (2, 4001), (1, 24000))
"""(batch, time) of the signals of the comparison; the last one falls silent on its way."""
SMALL = 1e-8
"""What ONNX Script's optimizer takes for zero (``abs_tol`` of its patterns' constants)."""
EXAMPLE_SHAPE = (2, 8192)
PACKAGES = ("unbabble", "torch", "onnx", "onnxscript", "onnxruntime")
FASTER = frozenset({"bsrnn"})
"""Methods that ONNX Runtime computes faster than PyTorch at every length, by ``python -m benchmarks onnx_runtime``."""


def export(
    network: NeuralSeparator,
    path: str | Path,
    *,
    card: WeightsCard | None = None,
    opset: int | None = None,
) -> float:
    """Write ``network.estimate`` as an ONNX file, atomically.

    Args:
        network: on the CPU.
        path: of the file.
        card: kept in the file's metadata, as JSON under ``unbabble``.
        opset: version of ONNX's operators; None for the exporter's own.

    Returns:
        The largest difference between the file and the network, in units of the estimates' level.

    Raises:
        UsageError: the network cannot be exported, or not to this opset; the file would differ.
        OutputError: it cannot be written.
        MissingExtraError: without the extra ``onnx``.
    """
    require("onnx")
    program = _program(network, opset)
    about = {"sample_rate": str(network.sample_rate), "levels": network.levels}
    if card is not None:
        about[CARD_KEY] = as_utf8(json.dumps(card.to_dict(), ensure_ascii=False)).decode()
    program.model.metadata_props.update(about)
    with atomic(path) as temporary:
        program.save(temporary, external_data=False)
        difference = largest_difference(network, OnnxEstimate(temporary))
        if not difference <= TOLERANCE:
            raise UsageError(
                f"ONNX Runtime's estimates differ from the network's by {difference:.1e} of their level, more "
                f"than {TOLERANCE:g}: '{path}' was not written."
                + (
                    " One step of it (--streaming) may be exact enough."
                    if isinstance(network, LiveSeparator)
                    else ""
                )
            )
    return difference


class OnnxEstimate:
    """``estimate`` of an exported network, by ONNX Runtime on the CPU.

    Args:
        path: an exported file.

    Raises:
        InputError: not such a file.
        MissingExtraError: without the extra ``onnx``.
    """

    def __init__(self, path: str | Path) -> None:
        self._session = open_session(path, threads=torch.get_num_threads())

    def __call__(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch source time"]:
        """Estimate the sources; no gradients."""
        samples = mixture.detach().cpu().contiguous().numpy()
        return torch.from_numpy(self._session.run(None, {"mixture": samples})[0]).to(mixture.device)


def open_session(path: str | Path, *, threads: int) -> Any:
    """A file in ONNX Runtime, on the CPU.

    Args:
        path: an exported file.
        threads: that compute at the same time.

    Raises:
        InputError: it cannot be read.
        MissingExtraError: without the extra ``onnx``.
    """
    require("onnx")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        content = Path(path).read_bytes()  # not by its name, which need not be UTF-8
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}.") from None
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own kinds, which share no base
        reason = str(error).splitlines()[0].split(" : ")[-1].rstrip(".")
        raise InputError(f"ONNX Runtime cannot read '{Path(path).name}': {reason}.") from error


def with_runtime(network: NeuralSeparator, runtime: Runtime) -> NeuralSeparator:
    """``network``, or a twin of it that ONNX Runtime computes.

    The twin's file is made at the first time, which takes seconds to minutes, and kept in the user's cache under what
    decides it: weights, options, code, versions.

    Args:
        network: a separator.
        runtime: ``auto`` takes ONNX Runtime where it is faster and the file is there from an earlier time.

    Raises:
        UsageError: ``onnx`` for a network that is not on the CPU, or that cannot be exported.
        MissingExtraError: ``onnx`` without the extra.
    """
    if runtime not in get_args(Runtime):
        raise UsageError(f"The runtime is {', '.join(get_args(Runtime)[:-1])} or onnx, not '{runtime}'.")
    name = network.card.name
    on_cpu = all(tensor.device.type == "cpu" for tensor in network.parameters())
    if runtime == "torch" or (runtime == "auto" and not (on_cpu and name in FASTER and is_installed())):
        return network
    require("onnx")
    if not on_cpu:
        raise UsageError("ONNX Runtime is for networks on the CPU: --device cpu.")
    path = user_cache() / "onnx" / f"{name}-{fingerprint(network)[:24]}.onnx"
    if not path.is_file():
        if runtime == "auto":
            return network
        export(network, path)
    twin = copy.copy(network)
    twin.estimate = OnnxEstimate(path)
    return twin


def fingerprint(network: NeuralSeparator) -> str:
    """SHA-256 of all that decides a network's ONNX file: weights, options, code, versions."""
    digest = hashlib.sha256()
    modules = {type(each).__module__ for each in network.modules()} | {__name__}
    sources = [
        inspect.getsource(sys.modules[name]) for name in sorted(modules) if name.startswith("unbabble")
    ]
    digest.update(json.dumps([network.resolved_options(), sources, _versions()], default=repr).encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().contiguous().numpy())
    return digest.hexdigest()


def largest_difference(network: NeuralSeparator, estimate: OnnxEstimate) -> float:
    """Of the two on noise of ``CHECKED_SHAPES``, in units of the estimates' level over all of them."""
    generator = torch.Generator().manual_seed(0)
    worst = power = 0.0
    for shape in CHECKED_SHAPES:
        mixture = torch.randn(shape, generator=generator)
        if shape == CHECKED_SHAPES[-1]:
            mixture[:, shape[1] // 2 :] = 0
        with torch.no_grad():
            wanted = network.estimate(mixture)
        try:
            estimates = estimate(mixture)
        except Exception:  # ONNX Runtime's own kinds, which share no base
            return float("inf")
        if estimates.shape != wanted.shape:
            return float("inf")
        worst = max(worst, float((estimates - wanted).abs().max()))
        power = max(power, float(wanted.square().mean()))
    return worst / max(power**0.5, 1e-30)


def is_installed() -> bool:
    """Whether the extra ``onnx`` is."""
    return not EXTRAS["onnx"].missing()


def _versions() -> list[str]:
    versions = []
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):  # ONNX Runtime has several
            versions.append(f"{name} {metadata.version(name)}")
    return versions


def _program(network: NeuralSeparator, opset: int | None) -> Any:
    graph = _Estimate(network).eval()
    dynamic = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with exporting(), torch.enable_grad():  # without what inference does in place to save memory
        exported = torch.export.export(
            graph,
            (torch.zeros(EXAMPLE_SHAPE),),
            dynamic_shapes=(dynamic,),
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        )
        if any(node.target is _GROUP_NORM for node in exported.graph.nodes):
            exported = exported.run_decompositions({_GROUP_NORM: _group_norm})
        program = to_onnx(exported, ["mixture"], ["estimates"], opset)
    _split_means(program.model)
    return program


def to_onnx(
    exported: torch.export.ExportedProgram, inputs: list[str], outputs: list[str], opset: int | None
) -> Any:
    """PyTorch's program as one of ONNX.

    Args:
        exported: the program.
        inputs: names of its inputs.
        outputs: names of its outputs.
        opset: version of ONNX's operators; None for the exporter's own.

    Raises:
        UsageError: not to this opset.
    """
    keep_small_sums(exported)
    program = torch.onnx.export(
        exported, opset_version=opset, input_names=inputs, output_names=outputs, dynamo=True, verbose=False
    )
    assert program is not None
    for node in program.model.graph:
        node.metadata_props.clear()  # where on this machine the code lies, and other things for its developers
    written = program.model.opset_imports[""]
    if opset not in (None, written):  # the exporter keeps quiet about those that it cannot write
        raise UsageError(f"This network cannot be exported to opset {opset}; opset {written} would do.")
    return program


@contextmanager
def exporting() -> Iterator[None]:
    """Whatever the exporter stumbles over, as one sentence.

    Raises:
        UsageError: it cannot export this network.
    """
    try:
        with quiet():
            yield
    except UsageError:
        raise
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UsageError(f"This network cannot be exported to ONNX: {reason.strip().rstrip('.')}.") from error


def keep_small_sums(exported: torch.export.ExportedProgram) -> None:
    """Add what is small as an array of one number, which the optimizer does not take for zero."""
    graph = exported.graph_module.graph
    for node in graph.nodes:
        if node.target not in _SUMS or not isinstance(node.args[1], float):
            continue
        if 0 < abs(node.args[1]) <= SMALL and node.meta["val"].ndim:
            with graph.inserting_before(node):
                small = graph.call_function(torch.ops.aten.full.default, ([1], node.args[1]))
                small.meta["val"] = node.meta["val"].new_full((1,), node.args[1])
            node.target, node.args = torch.ops.aten.add.Tensor, (node.args[0], small)
    graph.lint()


_SUMS = (torch.ops.aten.add.Tensor, torch.ops.aten.add.Scalar)


def _group_norm(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float = 1e-5, cudnn: bool = True
) -> Tensor:
    """As PyTorch's, of means; ONNX has an operator, whose sums are as long as the recording."""
    grouped = x.unflatten(1, (groups, -1))
    axes = tuple(range(2, grouped.ndim))
    centred = grouped - grouped.mean(axes, keepdim=True)
    normal = centred * (centred.square().mean(axes, keepdim=True) + eps).rsqrt()
    shape = (-1, *[1] * (x.ndim - 2))
    return normal.flatten(1, 2) * weight.reshape(shape) + bias.reshape(shape)


_GROUP_NORM = torch.ops.aten.group_norm.default


def _split_means(model: Any) -> None:
    """Take each mean over several axes as means over one axis after the other, the last one first."""
    import onnx_ir as ir

    for mean in [node for node in model.graph if node.op_type == "ReduceMean"]:
        axes = ir.convenience.get_const_tensor(mean.inputs[1]) if len(mean.inputs) > 1 else None
        if axes is None or axes.size < 2 or mean.inputs[0].shape is None:
            continue
        rank = len(mean.inputs[0].shape)
        last, *earlier = sorted((int(axis) % rank for axis in axes.numpy()), reverse=True)
        tape = ir.tape.Tape()
        value = mean.inputs[0]
        for axis in (last, *earlier):
            place = tape.op("Constant", [], {"value_ints": [axis]})
            value = tape.op("ReduceMean", [value, place], {"keepdims": 1})
        keeps = mean.attributes.get("keepdims")
        if keeps is not None and keeps.as_int() == 0:
            places = tape.op("Constant", [], {"value_ints": [last, *earlier]})
            value = tape.op("Squeeze", [value, places])
        ir.convenience.replace_nodes_and_values(model.graph, mean, [mean], tape.nodes, mean.outputs, [value])


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to itself what the exporter, in several libraries, says about its own insides."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


class _Estimate(nn.Module):
    """``estimate`` as the forward of a module, with recurrent layers as ONNX has them."""

    def __init__(self, network: NeuralSeparator) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        for module in list(self.network.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.LSTM):
                    setattr(module, name, _Lstm(child))
                elif isinstance(child, nn.GRU):
                    setattr(module, name, _Gru(child))

    def forward(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch source time"]:
        return self.network.estimate(mixture)


class _Recurrent(nn.Module):
    """A recurrent layer as ONNX's operator, of any length; only for export, it computes nothing."""

    OPERATOR: ClassVar[str]
    GATES: ClassVar[tuple[int, ...]]
    """Places of PyTorch's gates in ONNX's order."""
    ATTRIBUTES: ClassVar[dict[str, int]] = {}

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        if layer.proj_size:
            raise UsageError("LSTM layers with projections cannot be exported to ONNX.")
        self.batch_first, self.hidden_size, self.layers = (
            layer.batch_first,
            layer.hidden_size,
            layer.num_layers,
        )
        self.directions = ["", "_reverse"] if layer.bidirectional else [""]
        for number in range(layer.num_layers):
            for name, parts in (("W", ["weight_ih"]), ("R", ["weight_hh"]), ("B", ["bias_ih", "bias_hh"])):
                tensors = [
                    torch.cat([self._gates(layer, f"{part}_l{number}{direction}") for part in parts])
                    for direction in self.directions
                ]
                self.register_buffer(f"{name}{number}", torch.stack(tensors))

    def _gates(self, layer: nn.RNNBase, name: str) -> Tensor:
        if not hasattr(layer, name):
            return torch.zeros(len(self.GATES) * layer.hidden_size)
        gates = getattr(layer, name).detach().chunk(len(self.GATES))
        return torch.cat([gates[place] for place in self.GATES])

    def forward(self, sequence: Tensor, state: None = None) -> tuple[Tensor, None]:
        if state is not None:
            raise UsageError("Recurrent layers that start from a state cannot be exported to ONNX.")
        if self.batch_first:
            sequence = sequence.transpose(0, 1)
        time, batch, _ = sequence.shape
        for number in range(self.layers):
            weights = (getattr(self, f"{name}{number}") for name in "WRB")
            direction = "bidirectional" if len(self.directions) == 2 else "forward"
            sequence = torch.onnx.ops.symbolic(
                self.OPERATOR,
                (sequence, *weights),
                {"hidden_size": self.hidden_size, "direction": direction} | self.ATTRIBUTES,
                dtype=sequence.dtype,
                shape=(time, len(self.directions), batch, self.hidden_size),
            )
            sequence = sequence.transpose(1, 2).flatten(2)
        return sequence.transpose(0, 1) if self.batch_first else sequence, None


class _Lstm(_Recurrent):
    """PyTorch has input, forget, cell, output; ONNX input, output, forget, cell."""

    OPERATOR = "LSTM"
    GATES = (0, 3, 1, 2)


class _Gru(_Recurrent):
    """PyTorch has reset, update, new; ONNX update, reset, hidden."""

    OPERATOR = "GRU"
    GATES = (1, 0, 2)
    ATTRIBUTES: ClassVar[dict[str, int]] = {"linear_before_reset": 1}
