"""One step of a network that computes frame by frame, as an ONNX file: for programs that play while they record.

What the network remembers comes in as arguments and goes out as results (``nn.live_masks.LiveStep``), so that the file
has no state. It is only left behind when its steps agree with the network's stream.
"""

import json
import logging
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.errors import UsageError
from unbabble.base.extras import require
from unbabble.base.files import as_utf8, atomic
from unbabble.base.weights import CARD_KEY, WeightsCard
from unbabble.networks.onnx import TOLERANCE, keep_small_sums, quiet
from unbabble.nn.live_masks import Frames, LiveStep
from unbabble.nn.streaming import Streamer

CHECKED_SECONDS = 3.0
"""Of noise, silent in its second second: long enough for what is decided every second."""


class Stepwise(Protocol):
    """A network that also computes frame by frame, with all that it remembers as arguments: see ``gru``."""

    sample_rate: int
    frames: Frames

    def streamer(self) -> Streamer:
        """Its estimate, in pieces."""
        ...

    def step(self) -> LiveStep:
        """One frame."""
        ...


def export_step(
    network: Stepwise, path: str | Path, *, card: WeightsCard | None = None, int8: bool = False
) -> float:
    """Write one step of a network that computes frame by frame, for programs that play while they record.

    Args:
        network: on the CPU.
        path: of the file.
        card: kept in the file's metadata.
        int8: weights of matrix products in eight bits.

    Returns:
        The largest difference between steps of the file and the network's stream, in units of its level.

    Raises:
        UsageError: it cannot be exported, or would differ (in 32 bits).
        OutputError: it cannot be written.
        MissingExtraError: without the extra ``onnx``.
    """
    require("onnx")
    step = network.step().eval()
    try:
        with quiet(), torch.no_grad():
            exported = torch.export.export(step, step.start(), strict=False)
            keep_small_sums(exported)
            program = torch.onnx.export(
                exported,
                input_names=list(step.INPUTS),
                output_names=list(step.outputs),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # whatever the exporter stumbles over
        raise UsageError(f"This network cannot be exported to ONNX: {str(error).splitlines()[0]}.") from error
    assert program is not None
    frames = network.frames
    lengths = {"hop_length": frames.hop_length, "heard_length": frames.heard_length}
    about = {name: str(each) for name, each in ({"sample_rate": network.sample_rate} | lengths).items()}
    if card is not None:
        about[CARD_KEY] = as_utf8(json.dumps(card.to_dict(), ensure_ascii=False)).decode()
    program.model.metadata_props.update(about)
    with atomic(path) as temporary:
        program.save(temporary, external_data=False)
        if int8:
            from onnxruntime.quantization import QuantType, quantize_dynamic

            logging.disable(logging.WARNING)  # its advice is for other kinds of networks
            try:
                quantize_dynamic(temporary, temporary, weight_type=QuantType.QInt8)
            finally:
                logging.disable(logging.NOTSET)
        mixture = torch.randn(
            round(CHECKED_SECONDS * network.sample_rate), generator=torch.Generator().manual_seed(0)
        )
        mixture[network.sample_rate : 2 * network.sample_rate] = 0
        streamer = network.streamer()
        wanted = torch.cat([streamer.push(mixture), streamer.flush()], -1)[0]
        found = run_steps(temporary, network, mixture)
        difference = float((found - wanted).abs().max() / wanted.square().mean().sqrt().clamp(min=1e-30))
        if not int8 and not difference <= TOLERANCE:
            raise UsageError(
                f"Steps of the file differ from the network by {difference:.1e}: '{path}' was not written."
            )
    return difference


def run_steps(path: str | Path, network: Stepwise, mixture: Float[Tensor, " time"]) -> Float[Tensor, " time"]:
    """What the exported step makes of ``mixture``, frame after frame."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    window, hop, heard = network.frames.window_length, network.frames.hop_length, network.frames.heard_length
    step = network.step()
    feed = {name: value.numpy() for name, value in zip(step.INPUTS, step.start(), strict=True)}
    samples = np.pad(mixture.numpy(), (window - hop, heard + hop))[None]
    count = (len(mixture) + heard - 1) // hop
    voice = np.zeros(count * hop + heard, np.float32)
    for number in range(count):
        feed[step.INPUTS[0]] = samples[:, number * hop : number * hop + window]
        outputs: Any = session.run(None, feed)
        piece, *rest = outputs
        feed.update(zip(step.INPUTS[1:], rest, strict=True))
        voice[number * hop : number * hop + heard] += piece[0]
    first = heard - hop
    return torch.from_numpy(voice[first : first + len(mixture)])
