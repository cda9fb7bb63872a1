"""The few lines on stderr around the work of a command."""

from rich.console import Console
from rich.table import Table

from unbabble.base.report import FileReport, Report


def announce_compilation(quiet: bool = False) -> None:
    """Say what the first run waits for; ``quiet``: nothing."""
    from unbabble.signal.kernels.compile import are_compiled

    if not quiet and not are_compiled():
        console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        console.print("First run: compiling the inner loops, which takes ten to twenty seconds, once.")


def print_summary(report: Report, quiet: bool = False) -> None:
    """Say what became of each input, where to listen, and what failed; ``quiet``: only what failed."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    finished = [file for file in report.files if file.outcome != "failed"]
    if finished and not quiet:
        names = ["recording", "outcome", "model", "voices", "time", "x real time"]
        scored = any("scores" in file.details for file in finished)
        table = Table(*names, *(["SI-SNR (estimated)"] * scored), box=None, pad_edge=False)
        for file in finished:
            table.add_row(*_row(file), *([_scores(file)] * scored))
        console.print(table, soft_wrap=False)
        for file in finished:
            for warning in file.warnings:
                console.print(f"{file.input}: {warning}", style="yellow")
        listen = [file.outputs[0] for file in finished if file.outputs]
        if listen:
            console.print(
                f"Listen: {listen[0]}" + (f" and {len(listen) - 1} more" if len(listen) > 1 else "")
            )
    for file in report.files:
        if file.outcome == "failed":
            error = file.error or "failed"
            console.print(error if file.input in error else f"{file.input}: {error}", style="red")
    failed = len(report.files) - len(finished)
    if failed and len(report.files) > 1:
        console.print(f"{failed} of {len(report.files)} failed.", style="red")


def _row(file: FileReport) -> tuple[str, ...]:
    factor = file.real_time_factor
    speed = f"{1 / factor:.1f}" if file.outcome == "done" and factor else ""
    seconds = f"{file.seconds:.1f} s" if file.outcome == "done" else ""
    return file.input, file.outcome, file.model or "", str(file.details.get("sources", "")), seconds, speed


def _scores(file: FileReport) -> str:
    """One line for each voice; what it was before, where that is known."""
    before = "".join(f"{voice['si_snr_db']:.1f} to " for voice in file.details.get("before", ()))
    return "\n".join(
        f"{before}{voice['si_snr_db']:.1f} dB, {voice['verdict']}" for voice in file.details.get("scores", ())
    )
