"""One table of what models can do: a kind is a contract, the command for it, and how it is said in words.

A method's card names its kind (``contract=`` of ``@register``), and so does every request for a model:
``networks.load("gru.2x64", "enhancer")``. Lists of models, model cards, the Hub's tags, the contract suite and the
site's choices are drawn from this table; nothing else decides what a model can do.

A new kind is a protocol in ``base.contracts``, a row here, a base class in ``nn.kinds`` where networks of that kind
share code, and an example in ``tests/contracts``.
"""

from dataclasses import dataclass

from unbabble.base import contracts
from unbabble.base.errors import UsageError


@dataclass(frozen=True)
class Kind:
    """What a model can do.

    Attributes:
        name: as cards and callers say it.
        contract: the protocol that its models keep.
        verb: the command that takes such a model; empty where a model of this kind is not named by users.
        does: what it does, in the third person, to stand in a sentence.
        hub_task: the Hub's ``pipeline_tag``; empty where the Hub has none that fits.
        given: what stands behind the verb in an example of its use.
        option: of the command, that names the model.
        also: further commands that take such a model.
    """

    name: str
    contract: type
    verb: str
    does: str
    hub_task: str
    given: str = ""
    option: str = "--model"
    also: tuple[str, ...] = ()

    @property
    def does_not(self) -> str:
        """As ``does``, denied: "does not take noise off"."""
        verb, _, rest = self.does.partition(" ")
        return f"does not {verb.removesuffix('s')} {rest}"

    def command(self, model: str) -> str:
        """A command line that uses ``model``; empty where there is none.

        >>> KINDS["enhancer"].command("gru.2x64")
        'unbabble enhance noisy.wav --model gru.2x64'
        """
        return f"unbabble {self.verb} {self.given} {self.option} {model}" if self.verb else ""


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "separator", contracts.Separator, "separate", "separates talkers", "audio-to-audio",
            given="meeting.wav", also=("extract", "stream", "bench", "export"),
        ),
        Kind(
            "enhancer", contracts.Enhancer, "enhance", "takes noise off", "audio-to-audio",
            given="noisy.wav", also=("stream", "export"),
        ),
        Kind(
            "extractor", contracts.Extractor, "extract", "brings out one enrolled person", "audio-to-audio",
            given="meeting.wav --enroll me.wav",
        ),
        Kind("counter", contracts.Counter, "", "counts talkers", "audio-classification"),
        Kind(
            "classifier", contracts.Classifier, "label", "names sounds", "audio-classification",
            given="clip.wav", also=("find",),
        ),
        Kind("segmenter", contracts.Segmenter, "", "says who talks when", ""),
        Kind(
            "scorer", contracts.Scorer, "score", "says how well talkers were separated", "",
            given="separated",
        ),
        Kind(
            "meter", contracts.Meter, "enhance", "says how good speech is", "",
            given="noisy.wav --model gru.2x32,gru.2x64", option="--choose",
        ),
        Kind(
            "recognizer", contracts.Recognizer, "transcribe", "writes down what is said",
            "automatic-speech-recognition", given="interview.mp3",
        ),
        Kind(
            "embedder", contracts.Embedder, "embed", "tells speakers apart", "feature-extraction",
            given="anna.wav ben.wav", also=("verify", "identify", "find"),
        ),
        Kind(
            "joint embedder", contracts.JointEmbedder, "find", "finds sounds by words",
            "zero-shot-audio-classification", given='"rain" recordings', also=("embed", "label"),
        ),
        Kind("text encoder", contracts.TextEncoder, "", "compares what texts mean", "sentence-similarity"),
        Kind(
            "language model", contracts.LanguageModel, "transcribe", "says which words are likely", "text-generation",
            given="interview.mp3", option="--language-model",
        ),
        Kind("objective", contracts.Objective, "", "teaches encoders", ""),
        Kind(
            "adaptation", contracts.Adaptation, "adapt", "adapts an enhancer to one person", "",
            given="me/*.wav --out me.unbabble", option="--method",
        ),
    )
}  # fmt: skip
"""By name."""


def find(name: str) -> Kind:
    """The kind called ``name``.

    Raises:
        UsageError: there is none.
    """
    if name not in KINDS:
        raise UsageError(f"There is no kind of model called '{name}', but {', '.join(KINDS)}.")
    return KINDS[name]


def taken_by(verb: str) -> tuple[str, ...]:
    """Names of the kinds whose models the command ``verb`` takes, those that it is for first.

    >>> taken_by("extract")
    ('extractor', 'separator')
    """
    own = [kind.name for kind in KINDS.values() if kind.verb == verb and kind.option == "--model"]
    return (*own, *(kind.name for kind in KINDS.values() if verb in kind.also))


def wrong_kind(model: str, kind: Kind, wanted: str) -> str:
    """The sentence that says that ``model`` is of another kind than ``wanted``, and what it is for.

    >>> wrong_kind("gru.2x64", KINDS["enhancer"], "separator")
    "Model 'gru.2x64' does not separate talkers: it takes noise off; try `unbabble enhance`."
    """
    option = "" if kind.option == "--model" else f" {kind.option}"
    instead = f"; try `unbabble {kind.verb}{option}`" if kind.verb else ""
    return f"Model '{model}' {find(wanted).does_not}: it {kind.does}{instead}."
