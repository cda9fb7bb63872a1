"""``unbabble transcribe``: what is said in each recording, as text and captions."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from unbabble.base.config import parse_assignments
from unbabble.base.errors import UsageError
from unbabble.base.excerpt import Part
from unbabble.base.files import as_utf8, atomic
from unbabble.base.inputs import result_name
from unbabble.base.report import FileReport, Report
from unbabble.jobs.progress import report_progress
from unbabble.jobs.records import digests
from unbabble.text.captions import FORMATS, CaptionFormat, written
from unbabble.verbs.diarize import as_range, people_of
from unbabble.verbs.frame import Batch, Task, deciding_files, once
from unbabble.verbs.options import (
    MORE,
    NUMBERS,
    AnyPath,
    Assignments,
    Device,
    Duration,
    Enroll,
    Jobs,
    Out,
    Overwrite,
    SoundStream,
    Start,
    as_path,
    check_choice,
    check_recordings,
    refuse_idle,
    several,
)

UNSURE = 0.5
"""A word that is less sure is counted as such."""


@dataclass(frozen=True)
class Settings:
    """What one run does to every recording; its fields are the config stored beside each result."""

    model: str
    formats: tuple[CaptionFormat, ...]
    words: bool
    words_per_caption: int | None
    separate: bool
    sources: int | Literal["auto"]
    talkers: tuple[int, int | None] | None
    """At least and at most, where talkers are told apart."""
    enroll: dict[str, str]
    """Recordings of people, and their SHA-256."""
    embedder: str
    segmenter: str | None
    language_model: str
    hotwords: tuple[str, ...]
    part: Part
    """What is read of each recording."""
    device: str
    options: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """Those that decide, and their SHA-256."""


def transcribe(
    *inputs: str | Path,
    out: Out = Path("texts"),
    model: str = "auto",
    format: Literal["txt", "srt", "vtt", "tsv", "json", "all"] = "all",
    words: bool = False,
    words_per_caption: Annotated[int | None, MORE] = None,
    separate: bool = False,
    sources: Annotated[int | Literal["auto"], MORE] = "auto",
    speakers: int | str | None = None,
    enroll: Enroll = (),
    embedder: Annotated[str | None, MORE] = None,
    segmenter: Annotated[AnyPath | None, MORE] = None,
    language_model: str = "auto",
    hotwords: AnyPath | None = None,
    prompt: str = "",
    runtime: Annotated[Literal["torch", "ctranslate2"], MORE] = "torch",
    set: Assignments = None,
    start: Start = 0.0,
    duration: Duration = None,
    stream: SoundStream = None,
    device: Device = "auto",
    jobs: Jobs = 1,
    overwrite: Overwrite = False,
    report: AnyPath | None = None,
    quiet: bool = False,
) -> Report:
    """Write down what is said: OUT/<recording>/<recording>.txt, .srt, .vtt, .tsv and .json, as whisper calls them.

    Where no speech is detected nothing is written. What an earlier run has done is skipped.

    Args:
        inputs: Recordings: files, folders, patterns, manifests (.txt, .jsonl), or - for standard input.
        out: Folder for the results.
        model: What recognises: a name that `unbabble models` lists, weights (a .safetensors file or a folder), or auto.
        format: txt, captions as srt or vtt, a table as tsv, json, or all of them.
        words: In json, also write when each word is, and how sure.
        words_per_caption: At most so many words in a caption; as many as fit two lines if not given.
        separate: Separate the talkers first: speaker1 is the loudest.
        sources: With --separate, how many talkers there are; auto counts them.
        speakers: Say who says what: 3 talkers, 2-4, or auto.
        enroll: With --speakers, recordings of somebody alone each, called by name: anna.wav ben.wav.
        embedder: With --speakers, what tells talkers apart, as --model of `unbabble diarize`.
        segmenter: With --speakers, what says where somebody speaks and where several do, as of `unbabble diarize`.
        language_model: What is likely to be said: auto for the packaged one, where it fits; none; a file that `unbabble
            language-model` wrote, or in ARPA's format; or a network.
        hotwords: A text file of likely names and phrases, one a line.
        prompt: What is talked about, in a few words: its longer words are likely, too.
        runtime: What computes a Whisper in Hugging Face's layout: torch, or ctranslate2, whose file is made at the
            first time, in the user's cache.
        set: Any option of the model (`unbabble models info NAME`), as name=value; repeat for more.
        start: Seconds to leave out at the beginning of each recording.
        duration: Seconds to read of each recording from there on; all that follows if not given.
        stream: Which sound stream of a video, from 1; the first if not given.
        device: auto, cpu, cuda ...
        jobs: Recordings to work on at the same time.
        overwrite: Do again what an earlier run has done.
        report: Write what happened to each recording to this file, as JSON.
        quiet: Say nothing but what failed.

    Returns:
        What happened to each recording.

    Raises:
        UsageError: a request that makes no sense; no recording was touched.
        OutputError: the folder cannot be written to.
    """
    from unbabble.base.weights import packaged
    from unbabble.networks import load as networks
    from unbabble.pipelines.embed import load_embedder
    from unbabble.pipelines.likely import phrases
    from unbabble.pipelines.recognize import load_recognizer, recognizer_name

    out = Path(out)
    report = as_path(report)
    if words_per_caption is not None and words_per_caption < 1:
        raise UsageError("A caption has at least one word.")
    check_choice("--format", format, *FORMATS, "all")
    formats = FORMATS if format == "all" else (format,)
    refuse_idle("is for json", words=words and "json" not in formats)
    refuse_idle(
        "is for srt and vtt", words_per_caption=bool(words_per_caption) and not {"srt", "vtt"} & {*formats}
    )
    check_choice("--sources", sources, "auto", number=NUMBERS[int])
    refuse_idle("is for --separate", sources=sources != "auto" and not separate)
    if sources != "auto" and sources < 1:
        raise UsageError("The number of sources is at least 1.")
    if speakers is not None and separate:
        raise UsageError("--speakers separates where two talk at once: it takes the place of --separate.")
    enroll = several(enroll)
    check_recordings(inputs, enroll)
    asked = {"enroll": bool(enroll), "embedder": embedder is not None, "segmenter": segmenter is not None}
    refuse_idle("is for --speakers", **(asked if speakers is None else {}))
    talkers = None if speakers is None else as_range(speakers, "--speakers")
    batch = Batch(jobs, report, quiet, out, overwrite, (*enroll, *filter(None, [hotwords])))
    check_choice("--runtime", runtime, "torch", "ctranslate2")
    options = parse_assignments(set or []) | ({} if runtime == "torch" else {"runtime": runtime})
    name = recognizer_name(model)
    likely = phrases(as_path(hotwords), prompt)
    load_recognizer(name, device, language_model, likely, **options)  # says what is wrong, before any work
    embedder = "" if talkers is None else load_embedder(embedder or "auto", device).name
    given = None if segmenter is None else str(segmenter)
    if given is not None:
        networks.load(given, "segmenter")
    if enroll:
        people_of(enroll, embedder, device)
    listening = [name, *filter(None, [embedder, given])]
    files = deciding_files(listening, options | {"language_model": language_model}, packaged())
    part = Part(start, duration, stream)
    settings = Settings(
        name,
        formats,
        words,
        words_per_caption,
        separate,
        sources,
        talkers,
        digests(enroll),
        embedder,
        given,
        language_model,
        likely,
        part,
        device,
        options,
        files,
    )
    return batch.through("transcribe", "Transcribing", inputs, settings, transcribe_one)


def transcribe_one(task: Task, settings: Settings, overwrite: bool) -> FileReport:
    """Resolve, run, write for one recording.

    Raises:
        UnbabbleError: it cannot be done, in one sentence.
    """
    from unbabble.pipelines import choose
    from unbabble.pipelines.recognize import load_recognizer
    from unbabble.pipelines.recording import Recording
    from unbabble.pipelines.talkers_heard import Ears
    from unbabble.pipelines.transcribe import transcribe, transcribe_separated
    from unbabble.pipelines.who_said_what import transcribe_talkers

    def make(folder: Path, result: FileReport) -> None:
        recognizer = load_recognizer(
            settings.model, settings.device, settings.language_model, settings.hotwords, **settings.options
        )
        recording = Recording.open(settings.part.of(task.path))
        if settings.separate:
            talkers: dict[str, Any] = {} if settings.sources == "auto" else {"sources": settings.sources}
            separator = choose.load(choose.AUTO, settings.device, **talkers)
            made = transcribe_separated(recognizer, recording, separator, report_progress)
        elif settings.talkers is not None:
            people = list(settings.enroll)
            made = transcribe_talkers(
                recognizer,
                recording,
                Ears.load(settings.embedder, settings.device, segmenter=settings.segmenter),
                talkers=settings.talkers,
                enrolled=people_of(people, settings.embedder, settings.device) if people else None,
                progress=report_progress,
            )
        else:
            made = transcribe(recognizer, recording, progress=report_progress)
        language = getattr(recognizer, "language", None)
        for format in settings.formats:
            path = folder / f"{result_name(task.path)}.{format}"
            content = written(
                made.words,
                format,
                language=language,
                word_times=settings.words,
                words_per_caption=settings.words_per_caption,
            )
            with atomic(path) as temporary:
                temporary.write_bytes(as_utf8(content))
            result.outputs.append(str(path))
        scores = [word.score for word in made.words if word.score is not None]
        result.model, result.audio_seconds, result.warnings = (
            settings.model,
            made.audio_seconds,
            [*made.warnings, *filter(None, [recognizer.note])],
        )
        result.details = {
            "words": len(made.words),
            "left_out": made.left_out,
            "speech_seconds": made.speech_seconds,
            "confidence": sum(scores) / len(scores) if scores else None,
            "unsure": sum(score < UNSURE for score in scores) / len(scores) if scores else None,
        }

    return once("transcribe", task, settings, overwrite, make)
