"""One step of a live separator as an ONNX file: for programs that play while they record.

A step takes a window of the recording and a state, and gives what it writes and the next state (``nn.state``); the
state's tensors are inputs and outputs of the file, zeros to begin with, so that the file has no state of its own. The
file is only left behind when its steps agree with the network's stream.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import InputError, UsageError
from unbabble.base.extras import require
from unbabble.base.files import as_utf8, atomic
from unbabble.base.weights import CARD_KEY, WeightsCard
from unbabble.networks.onnx import TOLERANCE, exporting, open_session, quiet, to_onnx
from unbabble.nn.state import State, flatten, unflatten
from unbabble.nn.streaming import LiveSeparator, Steps, Streamer, Windows

CHECKED_SECONDS = 3.0
"""Of noise, silent in its second second: long enough for what is decided every second."""
WINDOW, WRITTEN, NEXT = "frame", "piece", "next_"
"""Names in a file: of the samples that come in and go out, and what stands before a tensor of the next state."""
TYPES = {"tensor(float)": torch.float32, "tensor(double)": torch.float64, "tensor(int64)": torch.int64}


class OnnxStep:
    """The steps of an exported file, by ONNX Runtime on the CPU: a ``Streamer`` takes them as those of a network.

    Args:
        path: an exported file.

    Attributes:
        sources: how many voices it writes.
        sample_rate: Hz.
        windows: what a step looks at and writes.

    Raises:
        InputError: not such a file.
        MissingExtraError: without the extra ``onnx``.
    """

    def __init__(self, path: str | Path) -> None:
        self._session = open_session(path, threads=1)
        about = self._session.get_modelmeta().custom_metadata_map
        window, *state = self._session.get_inputs()
        try:
            hop, written = int(about["hop_length"]), int(about["heard_length"])
            before = int(about.get("before", window.shape[-1] - hop))  # files of 2026 had enhancers alone
            after = int(about.get("after", written - hop))
            self.sample_rate = int(about["sample_rate"])
        except KeyError as error:
            raise InputError(
                f"'{Path(path).name}' is no step of a network: `unbabble export --streaming` writes one."
            ) from error
        self.windows = Windows(window.shape[-1], written, hop, before, after)
        piece = self._session.get_outputs()[0].shape
        self.sources = piece[1] if len(piece) == 3 else 1
        self._first = {each.name: torch.zeros(each.shape, dtype=TYPES[each.type]) for each in state}
        self._window = window.name

    def start(self, batch: int = 1) -> State:
        """The state before the first step.

        Raises:
            UsageError: more than one stream.
        """
        if batch != 1:
            raise UsageError("An exported step is of one stream.")
        return dict(self._first)

    def step(
        self, samples: Float[Tensor, "1 time"], state: State
    ) -> tuple[Float[Tensor, "1 source written"], State]:
        """The part of the estimate that the next windows write, and the next state; see ``LiveSeparator.step``."""
        length, written, hop = self.windows.length, self.windows.written, self.windows.hop
        frames = samples.numpy().astype(np.float32, copy=False)
        values = {name: value.numpy() for name, value in state.items()}
        count = (frames.shape[-1] - length) // hop + 1
        voices = np.zeros((1, self.sources, (count - 1) * hop + written), np.float32)
        for place in range(0, count * hop, hop):
            values[self._window] = frames[:, place : place + length]
            piece, *rest = self._session.run(None, values)
            values = dict(zip(state, rest, strict=True))
            voices[..., place : place + written] += np.asarray(piece).reshape(1, self.sources, written)
        return torch.from_numpy(voices), {name: torch.from_numpy(value) for name, value in values.items()}


class _Flat(nn.Module):
    """A step with the state's tensors as arguments and as results."""

    def __init__(self, network: LiveSeparator, state: State) -> None:
        super().__init__()
        self.network, self._state = network, state

    def forward(self, window: Float[Tensor, "1 time"], *values: Tensor) -> tuple[Tensor, ...]:
        written, state = self.network.step(window, unflatten(values, self._state))
        return written, *flatten(state)


def with_steps(network: nn.Module, name: str) -> LiveSeparator:
    """The network itself, if it computes step by step.

    Raises:
        UsageError: it does not; ``name`` is what the user calls it.
    """
    if not isinstance(network, LiveSeparator):
        raise UsageError(
            f"'{name}' does not compute step by step, as gru, sparse_ensemble and a causal conv_tasnet do."
        )
    network.check_live()
    return network


def export_step(
    network: LiveSeparator,
    path: str | Path,
    *,
    card: WeightsCard | None = None,
    opset: int | None = None,
    int8: bool = False,
) -> float:
    """Write one step of a live separator, for programs that play while they record.

    Args:
        network: on the CPU.
        path: of the file.
        card: kept in the file's metadata.
        opset: version of ONNX's operators; None for the exporter's own.
        int8: weights of matrix products in eight bits.

    Returns:
        The largest difference between steps of the file and the network's stream, in units of its level.

    Raises:
        UsageError: it cannot be exported, or not to this opset, or would differ (in 32 bits).
        OutputError: it cannot be written.
        MissingExtraError: without the extra ``onnx``.
    """
    require("onnx")
    program = _program(network, opset)
    windows = network.windows
    about = {"sample_rate": network.sample_rate, "hop_length": windows.hop, "heard_length": windows.written}
    about |= {"before": windows.before, "after": windows.after, "levels": network.levels}
    program.model.metadata_props.update({name: str(value) for name, value in about.items()})
    if card is not None:
        text = json.dumps(card.to_dict(), ensure_ascii=False)
        program.model.metadata_props[CARD_KEY] = as_utf8(text).decode()
    with atomic(path) as temporary:
        program.save(temporary, external_data=False)
        if int8:
            _in_eight_bits(temporary)
        mixture = torch.randn(
            round(CHECKED_SECONDS * network.sample_rate), generator=torch.Generator().manual_seed(0)
        )
        mixture[network.sample_rate : 2 * network.sample_rate] = 0
        expected, exported = streamed(network, mixture), streamed(OnnxStep(temporary), mixture)
        level = expected.square().mean().sqrt().clamp(min=1e-30)
        difference = float((exported - expected).abs().max() / level)
        if not int8 and not difference <= TOLERANCE:
            raise UsageError(
                f"Steps of the file differ from the network by {difference:.1e}: '{path}' was not written."
            )
    return difference


def streamed(steps: Steps, mixture: Float[Tensor, " time"]) -> Float[Tensor, "source time"]:
    """A whole recording, step by step."""
    streamer = Streamer(steps)
    return torch.cat([streamer.push(mixture), streamer.flush()], -1)


def _program(network: LiveSeparator, opset: int | None) -> Any:
    state = network.start()
    step, first = _Flat(network, state).eval(), torch.zeros(1, network.windows.length)
    with exporting(), torch.no_grad():
        exported = torch.export.export(step, (first, *flatten(state)), strict=False)
        exported = exported.run_decompositions({_GRU: _recurrent_step})
        outputs = [WRITTEN, *(f"{NEXT}{name}" for name in state)]
        program = to_onnx(exported, [WINDOW, *state], outputs, opset)
    _fold_weights(program.model)
    return program


def _fold_weights(model: Any) -> None:
    """Compute now what is computed of weights alone: weights that are looked up lie in one table."""
    from onnxscript.optimizer import fold_constants

    fold_constants(model, input_size_limit=sys.maxsize, output_size_limit=sys.maxsize)


def _recurrent_step(
    x: Float[Tensor, "1 1 feature"],
    units: Float[Tensor, "layer 1 unit"],
    weights: list[Tensor],
    *options: Any,
) -> tuple[Float[Tensor, "1 1 unit"], Float[Tensor, "layer 1 unit"]]:
    """PyTorch's gated recurrent units, of one frame: matrix products, for which there are eight bits."""
    row, states = x[0], []
    for layer, before in enumerate(units.unbind()):
        weight_in, weight_before, bias_in, bias_before = weights[4 * layer : 4 * layer + 4]
        new = nn.functional.linear(row, weight_in, bias_in).chunk(3, -1)
        old = nn.functional.linear(before, weight_before, bias_before).chunk(3, -1)
        reset, update = (new[0] + old[0]).sigmoid(), (new[1] + old[1]).sigmoid()
        row = (1 - update) * (new[2] + reset * old[2]).tanh() + update * before
        states.append(row)
    return row[None], torch.stack(states)


_GRU = torch.ops.aten.gru.input


def _in_eight_bits(path: Path) -> None:
    """The weights of matrix products."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet():  # its advice is for other kinds of networks
        quantize_dynamic(path, path, weight_type=QuantType.QInt8)
