"""``unbabble stream --transcribe``: what is said, printed while the recording arrives.

On a terminal the words of an utterance appear as they are recognised, those that may still change dimmed; elsewhere
there is a line for each utterance when it has ended, or one of JSON whenever it changes.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from unbabble.base.errors import MissingExtraError, UnbabbleError, UsageError
from unbabble.base.excerpt import Part
from unbabble.base.files import as_utf8, atomic, check_apart, check_not_read, check_output
from unbabble.base.report import FileReport, Report, timestamp
from unbabble.base.spans import Span
from unbabble.pipelines.live_words import Utterance
from unbabble.text.captions import BY_SUFFIX, written
from unbabble.verbs.frame import Frame, deciding_files, hushed, print_summary, say

BLOCK_SECONDS = 0.1


def stream_words(
    input: str | Path,
    frame: Frame,
    part: Part,
    raw: dict[str, Any],
    *,
    separator: str | None,
    options: dict[str, Any],
    recognizer: str,
    language_model: str,
    hotwords: Path | None,
    prompt: str,
    seconds: float | None,
    out: Path | None,
    as_json: bool,
) -> Report:
    """Print what is said in a recording while it arrives.

    Args:
        input: a recording, ``-`` or ``mic``.
        frame: the report, and whether to be quiet.
        part: of a recording.
        raw: rate, channels and subtype of raw samples.
        separator: gives the voices that are recognised; None for the mean of all channels.
        options: of the separator.
        recognizer: by name.
        language_model: by name.
        hotwords: a file of phrases that are likely; None for none.
        prompt: whose longer words are likely, too.
        seconds: how much is taken; None for all.
        out: also gets the words, in the format of its suffix.
        as_json: print JSON.

    Raises:
        UsageError: a request that makes no sense.
        InputError: hotwords that cannot be read, or not be spoken.
        OutputError: the words cannot be written.
        MissingExtraError: ``mic`` without sounddevice.
    """
    from unbabble.pipelines import stream as pipeline
    from unbabble.pipelines.arrival import arriving
    from unbabble.pipelines.likely import phrases
    from unbabble.pipelines.recognize import load_recognizer, recognizer_name

    if out is not None and out.suffix not in BY_SUFFIX:
        raise UsageError(
            f"With --transcribe, --out is a file that ends in {', '.join(BY_SUFFIX)}; not '{out}'."
        )
    check_output(out)
    check_not_read(out, [input, *filter(None, [hotwords])])
    check_apart(out, frame.report)
    name = recognizer_name(recognizer)
    likely = phrases(hotwords, prompt)
    ready = load_recognizer(name, "cpu", language_model, likely)
    ready.search()  # says what is wrong, before any work
    model = pipeline.load(separator, **options) if separator else None
    config = {"recognizer": name, "language_model": language_model, "model": separator, "options": options}
    config |= {
        "hotwords": list(likely),
        "part": vars(part),
        "files": deciding_files([name, *([separator] if separator else [])], options),
    }
    result = Report("stream", config=config | raw | {"input": str(input), "out": out and str(out)})
    one = FileReport(str(input), "done", model=name)
    result.files = [one]
    started = time.perf_counter()
    said: list[Span] = []
    try:
        block = pipeline.block_seconds(separator) if separator else BLOCK_SECONDS
        with arriving(input, part, **raw, block_seconds=block) as arrival, hushed(frame.quiet):
            streamer = model.stream(arrival.sample_rate, arrival.channels) if model else None
            with Printed(as_json, said if out else None) as printed:
                pipeline.transcribe_arriving(
                    arrival, ready, streamer, one, seconds=seconds, show=printed.show
                )
    except UnbabbleError as error:
        if isinstance(error, UsageError | MissingExtraError):
            raise
        one.outcome, one.error = "failed", str(error)
    one.seconds = time.perf_counter() - started
    if out is not None and (said or not one.error):
        with atomic(out) as temporary:
            content = written(said, BY_SUFFIX[out.suffix], language=ready.language, word_times=True)
            temporary.write_bytes(as_utf8(content))
        one.outputs = [str(out)]
    result.finished = timestamp()
    frame.conclude(result, partial(_print, result, frame.quiet))
    return result


def _print(report: Report, quiet: bool) -> None:
    print_summary(report, quiet)
    details = report.files[0].details
    if details.get("words"):
        late, share = details["settled_after_seconds"], details["computing_share"]
        say(
            f"Words were settled {late:.2g} s after they were said (mean); computing took {share:.2g} of the time.",
            quiet,
        )


class Printed:
    """Utterances on standard output, as they change.

    Args:
        as_json: print JSON.
        words: gets those of utterances that have ended; None to keep none.
    """

    def __init__(self, as_json: bool, words: list[Span] | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._json, self._words = as_json, words
        self._console = Console(file=sys.stdout, highlight=False, markup=False)
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, vertical_overflow="visible"
        )
        self._rewrites = self._console.is_terminal and not as_json
        self._going_on: dict[str | None, Utterance] = {}

    def __enter__(self) -> Self:
        if self._rewrites:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, utterance: Utterance) -> None:
        """Print an utterance, or what has changed of it."""
        from rich.text import Text

        if utterance.ended:
            self._going_on.pop(utterance.speaker, None)
            if self._words is not None:
                self._words += utterance.words
        else:
            self._going_on[utterance.speaker] = utterance
        if self._json:
            print(json.dumps(utterance.to_dict()), flush=True)
            return
        if utterance.ended and utterance.words:
            self._console.print(_text(utterance), soft_wrap=not self._rewrites)
        if self._rewrites:
            lines = [
                Text.assemble(_text(each), " ", (_text(each, True), "dim"))
                for each in self._going_on.values()
            ]
            self._live.update(Text("\n").join(lines), refresh=True)


def _text(utterance: Utterance, changing: bool = False) -> str:
    """The words that are settled, behind who says them; or those that may still change."""
    words = utterance.words[utterance.settled :] if changing else utterance.words[: utterance.settled]
    marked = f"[{utterance.speaker}]: " if utterance.speaker and not changing else ""
    return marked + " ".join(word.text for word in words)
