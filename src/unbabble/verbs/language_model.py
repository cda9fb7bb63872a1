"""``unbabble language-model``: an n-gram model of one's own texts, for a recogniser of speech."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from unbabble.base.errors import InputError, UsageError
from unbabble.base.files import check_not_read, check_output
from unbabble.base.report import Result
from unbabble.verbs.frame import say
from unbabble.verbs.options import MORE, AnyPath, Out, Overwrite, Paths, refuse_idle, several

if TYPE_CHECKING:
    from unbabble.methods.language.kneser_ney import KneserNeyEstimate
    from unbabble.text.ngram import NgramModel
    from unbabble.text.pronounce import Pronouncer, Pronunciation

SUFFIX = ".safetensors"
ENGLISH = "en"
AIM, ENOUGH, TRIES = 0.98, 0.95, 8
"""Shares of the size that is asked for: how far n-grams can be compressed is known afterwards only."""
LIMITS = "Knows the words of its texts and which of them follow one another there, nothing of what they mean."


@dataclass
class Built(Result):
    """The model that was made.

    Attributes:
        model: its file.
        words: how many it knows.
        ngrams: how many of each order.
        bytes: of the file.
        perplexity: on the text that was held out, where there was one.
        unknown: share of its words that the model does not know.
    """

    model: str
    words: int
    ngrams: list[int]
    bytes: int
    perplexity: float | None = None
    unknown: float | None = None

    def __str__(self) -> str:
        text = f"{self.model}: {self.words:,} words, {sum(self.ngrams):,} n-grams, {self.bytes / 1e6:.2f} MB"
        if self.perplexity is None or self.unknown is None:
            return text
        return f"{text}; perplexity {self.perplexity:.1f}, {self.unknown:.1%} of the words unknown"


def language_model(
    texts: Paths,
    /,
    *,
    out: Out,
    order: int = 3,
    words: int = 60_000,
    size: float | None = None,
    dictionary: AnyPath | None = None,
    held_out: AnyPath | None = None,
    language: Annotated[str, MORE] = ENGLISH,
    singletons: Annotated[bool, MORE] = False,
    data: Annotated[str, MORE] = "",
    licence: Annotated[str, MORE] = "",
    overwrite: Overwrite = False,
    quiet: bool = False,
) -> Built:
    """Count which words follow one another in texts: what a recogniser of speech expects to be said.

    Texts are running prose with marks at the ends of sentences, or, without any such marks, one sentence a line. A text
    that is given several times counts so many times. A single file in the format of ARPA is converted.

    Args:
        texts: Text files, in UTF-8, or folders of .txt files.
        out: File to write: .safetensors, or .arpa (or .arpa.gz) for other programs.
        order: Words of the longest n-grams, 1 to 4.
        words: The most frequent so many are known.
        size: The file has at most so many megabytes: n-grams that help least are left out.
        dictionary: How words are spoken, in the format of CMUdict; by default as the packaged model has them. Words
            that are not in it are spoken by the rules of English spelling.
        held_out: A text to measure the perplexity on; it is not learnt from.
        language: Of the texts, a code of two letters; how words are spoken is known of English alone.
        singletons: Also keep the longest n-grams that occur once.
        data: What the texts are, for the model's card.
        licence: Of the model, for its card.
        overwrite: Replace the file.
        quiet: Say nothing.

    Raises:
        InputError: texts or a dictionary that cannot be used.
        OutputError: the file cannot be written, or is there already.
        UsageError: numbers that make no sense, or a file of another kind.
    """
    from unbabble.base.weights import WeightsCard
    from unbabble.data.texts import read_texts
    from unbabble.text import arpa, packed_ngram
    from unbabble.text.language_models import spoken
    from unbabble.text.ngram import NgramModel, fit

    out, paths = Path(out), [Path(each) for each in several(texts)]
    converts = len(paths) == 1 and paths[0].name.endswith(arpa.SUFFIXES)
    _check(out, paths, words, size, overwrite)
    check_not_read(out, filter(None, [*paths, dictionary, held_out]))
    judged = None if held_out is None else list(read_texts([Path(held_out)], language))
    if judged is not None and not any(judged):
        raise InputError(f"There are no words in '{held_out}', which is held out.")
    pronouncer = _pronouncer(dictionary, language)
    if converts:
        reason = "is for texts, not for a model in the format of ARPA."
        refuse_idle(reason, size=size is not None, singletons=singletons)
        model = arpa.read(paths[0])
        ways = spoken(pronouncer, model.words) if pronouncer else {}
        model = NgramModel(model.words, model.levels(), ways)
    else:
        model = counted(paths, order, words, size, singletons, pronouncer, language)
    if out.name.endswith(arpa.SUFFIXES):
        arpa.write(out, model)
    else:
        card = WeightsCard(
            packed_ngram.METHOD,
            summary=f"Which of {len(model.words) - 1:,} words are likely, by the {model.order - 1} words before.",
            data=data or ", ".join(dict.fromkeys(path.name for path in paths)),
            licence=licence,
            command=_command(
                paths,
                out=out,
                order=order,
                words=words,
                size=size,
                dictionary=dictionary,
                held_out=held_out,
                language=language,
                singletons=singletons,
            ),
            limits=LIMITS,
        )
        packed_ngram.save(out, model, card)
        model = packed_ngram.load(out)  # rounded, as it will be used
    result = Built(str(out), len(model.words) - 1, list(model.counts), out.stat().st_size)
    if judged is not None:
        measured = fit(model, judged)
        result.perplexity, result.unknown = measured.perplexity, measured.unknown
    say(str(result), quiet)
    return result


def counted(
    paths: Sequence[Path],
    order: int,
    words: int,
    size: float | None,
    singletons: bool,
    pronouncer: "Pronouncer | None",
    language: str,
) -> "NgramModel":
    """The model of texts, as large as it may be."""
    from unbabble.data.texts import read_texts
    from unbabble.methods.language.kneser_ney import KneserNeyEstimate, read

    ways: dict[str, list[Pronunciation]] = {}

    def can_be_spoken(word: str) -> bool:
        try:
            ways[word] = pronouncer.of(word) if pronouncer else []
        except InputError:
            return False
        return True

    text = read(read_texts(paths, language), words, can_be_spoken)
    estimate = KneserNeyEstimate(text, order, singletons)
    ways = ways if pronouncer else {}
    return estimate.model(ways) if size is None else fitted(estimate, ways, size)


def fitted(
    estimate: "KneserNeyEstimate", ways: "Mapping[str, list[Pronunciation]]", size: float
) -> "NgramModel":
    """The model with as many n-grams as a file of so many megabytes holds.

    Raises:
        UsageError: that is too little for the words alone.
    """
    from unbabble.text.packed_ngram import megabytes

    model = estimate.model(ways)
    whole = model.size
    wanted = float(whole)
    for attempt in count():
        words, ngrams = megabytes(model)
        enough = words + ngrams > ENOUGH * size or model.size == whole or attempt > TRIES
        if words + ngrams <= size and enough:
            break
        wanted *= AIM * (size - words) / ngrams
        if wanted <= len(model.words):
            raise UsageError(
                f"--size {size:g} is too little: {len(model.words) - 1:,} words take {words:.2g} MB."
            )
        estimate.prune(int(wanted))
        model = estimate.model(ways)
    return model


def _command(texts: Sequence[Path], **options: object) -> str:
    """What makes the same model again: options that differ from their defaults."""
    typed = ["unbabble", "language-model", *map(str, texts)]
    for name, value in options.items():
        if value != signature(language_model).parameters[name].default:
            typed += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return shlex.join(typed)


def _check(out: Path, paths: Sequence[Path], words: int, size: float | None, overwrite: bool) -> None:
    """Refuse, before any work, what cannot be done."""
    from unbabble.text import arpa

    if not out.name.endswith((SUFFIX, *arpa.SUFFIXES)):
        raise UsageError(f"The file of --out ends in {SUFFIX} or {arpa.SUFFIXES[0]}, unlike '{out}'.")
    if words < 1 or (size is not None and not size > 0):
        raise UsageError("--words is at least 1, and --size above 0.")
    if size is not None and not out.name.endswith(SUFFIX):
        raise UsageError(f"--size is for files that end in {SUFFIX}.")
    if not paths:
        raise UsageError("Name at least one text.")
    if out.exists() and not overwrite:
        raise UsageError(f"'{out}' is there already: --overwrite replaces it.")
    check_output(out)


def _pronouncer(dictionary: AnyPath | None, language: str) -> "Pronouncer | None":
    """How words are spoken: by a dictionary, else as the packaged model has them; of English alone."""
    from unbabble.text import language_models
    from unbabble.text.pronounce import Pronouncer, read_dictionary

    if language != ENGLISH:
        refuse_idle("is for English.", dictionary=dictionary is not None)
        return None
    return Pronouncer(read_dictionary(dictionary)) if dictionary else language_models.pronouncer()
