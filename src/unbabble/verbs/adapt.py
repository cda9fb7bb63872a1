"""``unbabble adapt``: a tiny enhancer for one person and place; ``unbabble forget`` removes what it kept."""

import math
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from unbabble.base.errors import OutputError, UsageError
from unbabble.base.extras import require
from unbabble.base.files import atomic, check_output
from unbabble.base.report import Result
from unbabble.verbs.frame import say
from unbabble.verbs.options import MORE, AnyPath, Out, Overwrite, Paths, as_path, check_choice, several

ONNX_NAME = "step.onnx"


@dataclass
class Adapted(Result):
    """What was made.

    Attributes:
        folder: of the model.
        kept: whether it is the adapted network; if not, it is the one before.
        gain_db: SI-SDR of known voices in the noise of what was held back, less that with the network before: mean, and
            the 95 % interval.
        details: everything else.
    """

    folder: str
    kept: bool
    gain_db: tuple[float, float, float]
    details: dict[str, Any] = field(default_factory=dict)


def adapt(
    *recordings: str | Path,
    out: Out,
    clean: Paths | None = None,
    student: str = "auto",
    teacher: Annotated[str, MORE] = "auto",
    method: Annotated[str, MORE] = "auto",
    budget: float = math.inf,
    frame_ms: float = math.inf,
    steps: int = 200,
    seed: Annotated[int, MORE] = 0,
    precision: Annotated[Literal["float32", "bfloat16"], MORE] = "float32",
    onnx: bool = False,
    overwrite: Overwrite = False,
    report: AnyPath | None = None,
    quiet: bool = False,
) -> Adapted:
    """Make a tiny enhancer that is better for one person and place, from that person's own noisy recordings.

    It learns from a large network's enhancement, and from clean speech where there is some. A quarter of the recordings
    is held back; only where the adapted network surely brings known voices out of its noise better is it kept. Nothing
    leaves the machine; a call that was killed goes on where it was; `unbabble forget` removes what it keeps for that.

    Args:
        recordings: Of one person: files, folders, patterns; 20 seconds and more, better 3 minutes.
        out: Folder of the model, me.unbabble say: `unbabble enhance noisy.wav --model me.unbabble`.
        clean: Recordings of the same person without noise, from a second on; repeat for more.
        student: The network to adapt; auto for the largest that takes no more than it may.
        teacher: The network that it learns from, and whose word says what is noise.
        method: The way: distillation (auto), pseudo_enhancement, noisy2noisy, data_purification, contrastive_mixtures,
            remixit, or fine_tuning (by clean speech alone).
        budget: Million operations a second that the student may take.
        frame_ms: Milliseconds of one core of this machine that the student may take for a frame, of which there are 62
            a second.
        steps: Updates of the weights.
        seed: Of all draws.
        precision: Of matrix products while it learns; large students learn twice as fast in bfloat16.
        onnx: Also write step.onnx, one step of it, for programs that play while they record (see `unbabble export`).
        overwrite: Replace the model in the folder.
        report: Write what was done to this file, as JSON.
        quiet: Say nothing.

    Raises:
        InputError: too little to learn from, or recordings that cannot be used.
        OutputError: the folder cannot be written to, or has a model already.
        UsageError: no such networks, or none that takes so little.
    """
    from unbabble.base.inputs import expand
    from unbabble.networks import load as networks
    from unbabble.networks.folder import NAMES, write_folder
    from unbabble.networks.onnx_step import export_step, with_steps
    from unbabble.training import personal as adapting

    out = Path(out)
    report = as_path(report)
    check_choice("--precision", precision, "float32", "bfloat16")
    if steps < 1:
        raise UsageError("There is at least 1 step.")
    if onnx:
        require("onnx")
    if student != "auto" and min(budget, frame_ms) < math.inf:
        raise UsageError("--budget and --frame-ms choose the student: give them or --student.")
    if not overwrite and any((out / name).exists() for name in NAMES):
        raise OutputError(f"Folder '{out}' has a model already; --overwrite replaces it.")
    check_output(report)
    check_output(out / ONNX_NAME)
    name = adapting.student_within(budget, frame_ms) if student == "auto" else student
    if onnx:
        with_steps(networks.load(name, "enhancer").network, name)
    tell = partial(say, quiet=quiet)
    with tempfile.TemporaryDirectory(prefix="unbabble-") as spool:
        paths = [task.path for task in expand(recordings, spool)]
        network, adapted = adapting.adapt(
            paths,
            several(clean),
            student=name,
            teacher=adapting.TEACHER if teacher == "auto" else teacher,
            method=adapting.METHOD if method == "auto" else method,
            steps=steps,
            seed=seed,
            precision=precision,
            report=tell,
        )
    known = networks.load(name, "enhancer")
    card = replace(
        known.card,
        summary=f"{known.card.summary} Adapted to one person." if adapted.kept else known.card.summary,
        training=known.card.training | {"adapted": adapted.to_dict()},
    )
    with tempfile.TemporaryDirectory(prefix="unbabble-") as spool:
        step = Path(spool) / ONNX_NAME
        if onnx:
            export_step(with_steps(network, name), step, card=card)
        write_folder(out, network, card, title=out.name, overwrite=overwrite)
        if onnx:
            with atomic(out / ONNX_NAME) as temporary:
                shutil.copyfile(step, temporary)
    gain = adapted.gain
    result = Adapted(
        str(out),
        adapted.kept,
        (gain.mean_db, gain.low_db, gain.high_db),
        adapted.to_dict() | {"out": str(out)},
    )
    if report is not None:
        result.save(report)
    for text in adapted.warnings:
        tell(text)
    if adapted.kept:
        tell(
            f"In the noise of what was held back, known voices come out {gain.mean_db:.2f} dB better "
            f"({gain.low_db:.2f} to {gain.high_db:.2f}): {out} is the adapted network ({adapting.about(network)})."
        )
    else:
        tell(f"{adapted.reason} {out} is {name} as it was.")
    return result


def forget(*, quiet: bool = False) -> None:
    """Remove everything that `unbabble adapt` kept of anybody's recordings.

    Args:
        quiet: Say nothing.
    """
    from unbabble.training.personal import forget as remove

    say(f"{remove() / 1e6:.1f} MB of what adapt kept are gone.", quiet)
