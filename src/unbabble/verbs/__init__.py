"""One file per command: read options, run a pipeline over files, report. This is the table of all commands."""

from typing import NamedTuple

WORK, MODELS, SITE, TOOLS = "Recordings", "Models", "The site", "About this installation"


class Verb(NamedTuple):
    """A command, which is also a public function of the package, but for ``models``, whose function lists the names.

    Attributes:
        name: of the function.
        group: under which heading ``unbabble --help`` lists it.
        does: one line for that list.
        module: where the function is.
    """

    name: str
    group: str
    does: str
    module: str

    @property
    def typed(self) -> str:
        """Its name on the command line."""
        return self.name.replace("_", "-")

    @property
    def function(self) -> str:
        """Where the function is, as ``module:name``."""
        return f"{self.module}:{self.name}"


VERBS = tuple(
    Verb(name, group, does, f"unbabble.{module or 'verbs.' + name}")
    for name, group, does, module in (
        ("separate", WORK, "Write one file per talker of each recording.", ""),
        ("enhance", WORK, "Take the noise off one person's recordings.", ""),
        ("extract", WORK, "Keep one enrolled person's voice of each recording.", ""),
        ("transcribe", WORK, "Write down what is said, as text and captions.", ""),
        ("diarize", WORK, "Say who speaks when, and write one file per talker.", ""),
        ("stream", WORK, "Separate, or write down, endless input or a microphone while it arrives.", ""),
        ("score", WORK, "Say how good separated voices are, or how many words of transcripts are wrong.", ""),
        ("assess", WORK, "Say which phones of a prompt were said, and how well.", ""),
        ("embed", WORK, "Turn each recording of one person into a vector that says who it is.", ""),
        ("verify", WORK, "Say whether one person speaks in two recordings, and how sure that is.", ""),
        ("identify", WORK, "Say who of several known people speaks, or that it is nobody of them.", ""),
        ("find", WORK, "Find recordings by words, or by a recording that sounds like them.", ""),
        ("label", WORK, "Say which of several words describe what is heard, and when.", ""),
        ("bench", WORK, "Rank models on real recordings, without the true voices.", ""),
        ("simulate", WORK, "Make mixtures whose true voices are known.", ""),
        ("prepare", WORK, "Write manifests for a corpus on disk; alone, list the layouts.", ""),
        ("train", MODELS, "Train a network by a recipe, or tune one on your own recordings.", ""),
        ("adapt", MODELS, "Make a tiny enhancer for one person, from that person's own recordings.", ""),
        ("language_model", MODELS, "Count which words follow one another in texts of your own.", ""),
        ("models", MODELS, "List the models; `models info NAME` tells all about one.", ""),
        ("push", MODELS, "Put a network into a folder or on the Hugging Face Hub, with its model card.", ""),
        ("pull", MODELS, "Fetch a network from the Hugging Face Hub into a folder.", ""),
        ("export", MODELS, "Write a network as an ONNX file, for other programs.", ""),
        (
            "serve",
            SITE,
            "Serve the studio, the recorder, listening studies and the leaderboard.",
            "web.serve",
        ),
        ("administrator", SITE, "Make an administrator's account for the site.", "web.serve"),
        ("collected", SITE, "Export what a site has collected and accepted as a data set.", "web.collected"),
        ("fill", SITE, "Fill a listening study of the site from a folder.", "web.fill"),
        ("doctor", TOOLS, "Check what works on this machine.", ""),
        ("forget", TOOLS, "Remove what `adapt` kept of recordings.", "verbs.adapt"),
    )
)
