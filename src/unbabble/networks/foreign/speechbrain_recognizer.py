"""SpeechBrain's recognisers: ``asr.ckpt``, ``normalizer.ckpt``, ``tokenizer.ckpt`` and ``hyperparams.yaml``.

A Transformer or a CRDNN (``speechbrain_parts``) with CTC, a decoder, or both; and the language model that it is
published with, if there is one (``lm.ckpt``, ``speechbrain_language_model``). Numbers are read from the
hyper-parameters, which build nothing here; shapes from the tensors. ``asr.ckpt`` holds its parts by their place in the
list of modules (``0.``, ``1.`` ...), the tokenizer is sentencepiece's (extra ``speechbrain``).
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base.config import check_names
from unbabble.base.errors import InputError, UsageError
from unbabble.base.extras import require
from unbabble.base.registry import Card
from unbabble.base.spans import Span, Transcript
from unbabble.base.weights import describe_difference
from unbabble.networks.foreign import speechbrain_parts as parts
from unbabble.networks.foreign.reading import read_pickled, read_tensors
from unbabble.networks.foreign.recognizer import AUTO, ForeignRecognizer, in_one_sentence, need_files
from unbabble.networks.foreign.speechbrain import YAML, Hyperparameters, read_hyperparameters
from unbabble.networks.foreign.speechbrain_crdnn import open_crdnn
from unbabble.networks.foreign.speechbrain_language_model import (
    FILE,
    SpeechBrainLanguageModel,
    load_speechbrain_language_model,
)
from unbabble.networks.foreign.speechbrain_marks import Marked
from unbabble.networks.foreign.speechbrain_transformer import open_transformer
from unbabble.nn.state import State
from unbabble.text.hypothesis import place, shares, transcript
from unbabble.text.search import joint_beam

WEIGHTS, NORMALIZER, TOKENIZER = "asr.ckpt", "normalizer.ckpt", "tokenizer.ckpt"
LEAST_SECONDS = 0.3
"""Shorter utterances are followed by silence: the front mirrors a few frames at both edges."""
BEAM, END_THRESHOLD, CTC_WEIGHT = 10, 1.5, 0.4
CARDS = {
    "transformer": Card(
        "speechbrain_transformer",
        "recognizer",
        "Writes pieces of words by attention and CTC, behind a Transformer.",
        "Ravanelli et al.: SpeechBrain, arXiv 2106.04624; Karita et al., ASRU 2019",
        network=True,
    ),
    "crdnn": Card(
        "speechbrain_crdnn",
        "recognizer",
        "Writes pieces of words by attention and CTC, behind convolutional, recurrent and dense layers.",
        "Ravanelli et al.: SpeechBrain, arXiv 2106.04624",
        network=True,
    ),
}


def is_speechbrain_recognizer(folder: Path) -> bool:
    """Whether ``folder`` has the layout."""
    return (folder / WEIGHTS).is_file() and (folder / YAML).is_file()


def card_of(folder: Path) -> Card:
    """What a listing shows of the recogniser in ``folder``.

    Raises:
        InputError: neither a Transformer nor a CRDNN.
    """
    said = read_hyperparameters(folder / YAML)
    for kind, name in (("TransformerASR", "transformer"), ("CRDNN", "crdnn")):
        if said.has(kind):
            return CARDS[name]
    raise InputError(
        f"'{YAML}' describes neither a TransformerASR nor a CRDNN: Unbabble reads these recognisers."
    )


def load_speechbrain_recognizer(folder: Path, given: Mapping[str, Any]) -> ForeignRecognizer:
    """The recogniser in ``folder``.

    Args:
        folder: its files.
        given: ``beam``, ``ctc_weight`` and ``language_weight``.

    Raises:
        InputError: missing or damaged files; a network that is built in another way, and what differs.
        MissingExtraError: without the extra ``speechbrain``.
        UsageError: no such option.
    """
    check_names(given, ["beam", "ctc_weight", "language_weight"], f"Model '{folder}'")
    card = card_of(folder)
    need_files(folder, NORMALIZER, TOKENIZER)
    require("speechbrain")
    said = read_hyperparameters(folder / YAML)
    files = _parts(said, read_tensors(folder / WEIGHTS, read_pickled(folder / WEIGHTS)))
    build = open_transformer if card is CARDS["transformer"] else open_crdnn
    encoder, decoder, tensors = build(folder, said, files)
    features = _features(said)
    tensors |= {f"features.{name}": each for name, each in _normalizer(folder).items()}
    ctc = _linear(files.get("ctc"), "ctc.", tensors)
    if ctc is None and decoder is None:
        raise InputError(f"'{WEIGHTS}' in '{folder}' has neither CTC nor a decoder.")
    network = SpeechBrainRecognizer(
        features=features,
        encoder=encoder,
        decoder=decoder,
        ctc=ctc,
        inventory=_inventory(folder),
        marks=(said.index("bos_index"), said.index("eos_index")),
        card=card,
        sample_rate=int(said.number("sample_rate")),
        beam=int(given.get("beam", BEAM)),
        ctc_weight=float(given.get("ctc_weight", _ctc_weight(said))),
        language_weight=float(given["language_weight"]) if "language_weight" in given else None,
        folder=folder,
    )
    shapes = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    theirs = {name: tuple(each.shape) for name, each in tensors.items()}
    if problem := describe_difference(str(folder), theirs, shapes):
        raise InputError(problem)
    network.load_state_dict(tensors)
    return network.eval()


class SpeechBrainRecognizer(ForeignRecognizer):
    """Features, an encoder, and a joint search of CTC and attention.

    Args:
        features: from a waveform to frames.
        encoder: from frames to places.
        decoder: writes tokens; None for CTC alone.
        ctc: from places to logits; None for attention alone.
        inventory: pieces by their number, the first of which is the blank.
        marks: tokens of beginning and end.
        card: what a listing shows of it.
        sample_rate: Hz.
        beam: hypotheses that are kept.
        ctc_weight: of CTC in the search; the rest to one is attention's.
        language_weight: of the language model; None for what its hyper-parameters say.
        folder: where its language model may lie; None for nowhere.
    """

    def __init__(
        self,
        *,
        features: parts.StandardMel,
        encoder: nn.Module,
        decoder: "Decoder | None",
        ctc: nn.Linear | None,
        inventory: list[str],
        marks: tuple[int, int],
        card: Card,
        sample_rate: int,
        beam: int = BEAM,
        ctc_weight: float = CTC_WEIGHT,
        language_weight: float | None = None,
        folder: Path | None = None,
    ) -> None:
        given = {"beam": beam, "ctc_weight": ctc_weight}
        given |= {} if language_weight is None else {"language_weight": language_weight}
        super().__init__(card=card, sample_rate=sample_rate, given=given)
        self.features, self.encoder, self.decoder, self.ctc = features, encoder, decoder, ctc
        self.inventory, self.marks, self.beam, self.ctc_weight = inventory, marks, beam, ctc_weight
        self.language_weight, self.folder = language_weight, folder

    def own_language_model(self, name: str) -> SpeechBrainLanguageModel | None:
        """The one in its folder for ``auto``; else a file of SpeechBrain's, or the folder that has one."""
        file = Path(name).expanduser()
        if name == AUTO:
            if self.folder is None or not (self.folder / FILE).is_file():
                return None
            file = self.folder / FILE
        elif (file / FILE).is_file():
            file = file / FILE
        elif file.suffix != Path(FILE).suffix:
            raise UsageError(
                f"A {self.card.name} of another library is searched with language models of its own alone, as "
                f"'{FILE}': leave out '{name}'."
            )
        model = load_speechbrain_language_model(file, self.features.mean.device)
        if model.tokens != len(self.inventory):
            raise UsageError(
                f"The language model '{file}' does not fit the recogniser: it has {model.tokens} tokens, not "
                f"{len(self.inventory)}."
            )
        if self.language_weight is not None:
            model.weight = self.language_weight
        return model

    def transcript(self, samples: Float[np.ndarray, " time"]) -> Transcript:
        """Words by the joint search; without CTC, they share the time of the utterance by their pieces."""
        waveform = torch.from_numpy(samples).to(self.features.mean.device)
        short = max(0, round(LEAST_SECONDS * self.sample_rate) - len(samples))
        places = self.encoder(self.features(nn.functional.pad(waveform, (0, short))[None]))
        seconds = (len(samples) + short) / self.sample_rate / places.shape[1]
        log_probs = self.ctc(places)[0].log_softmax(-1).double().cpu().numpy() if self.ctc else None
        model = self.token_model
        found = joint_beam(
            Written(self.decoder, places, self.marks) if self.decoder is not None else None,
            log_probs,
            self.inventory[1:],
            attention_weight=1 - self.ctc_weight,
            token_language_model=model,
            token_language_weight=model.weight if isinstance(model, SpeechBrainLanguageModel) else 0.0,
            beam=self.beam,
            end_threshold=END_THRESHOLD,
            longest=places.shape[1],
        )
        best = found[0]
        if not best.words:
            return Transcript((), best.score)
        sure = shares(found)
        if log_probs is None:
            edges = np.cumsum([0, *best.lengths]) * places.shape[1] * seconds / sum(best.lengths)
            return Transcript(
                tuple(
                    Span(float(edges[number]), float(edges[number + 1]), word, score=sure[number])
                    for number, word in enumerate(best.words)
                ),
                best.score,
            )
        placed = place(log_probs, replace(best, posteriors=sure))
        return transcript(placed, seconds, best.score)


class Written(Marked):
    """A decoder with its memory.

    Args:
        decoder: of SpeechBrain.
        memory: one utterance's places.
        marks: its tokens of beginning and end.
    """

    def __init__(
        self, decoder: "Decoder", memory: Float[Tensor, "1 place width"], marks: tuple[int, int]
    ) -> None:
        super().__init__(marks, memory.device)
        self.decoder, self.memory = decoder, memory

    def start(self, batch: int) -> State:
        """The state before the first token."""
        return self.decoder.start(self.memory.expand(batch, -1, -1))

    def logits(self, x: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch token"], State]:
        """What the decoder says."""
        return self.decoder.step(x, state)


Decoder = parts.TransformerDecoder | parts.RecurrentDecoder


def _parts(said: Hyperparameters, tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of each part, by what the list of modules calls it or what it is.

    Raises:
        InputError: no such list.
    """
    lists = [value[0] for value in said.content.values() if isinstance(value, list) and value]
    for names in lists:
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            continue
        kinds = [_kind(said, each.strip("<>")) for each in names]
        if {"TransformerASR", "CRDNN"} & set(kinds):
            return {
                kind: {
                    name.partition(".")[2]: tensor
                    for name, tensor in tensors.items()
                    if name.partition(".")[0] == str(number)
                }
                for number, kind in enumerate(kinds)
            }
    raise InputError(f"'{YAML}' has no list of the modules in '{WEIGHTS}'.")


def _kind(said: Hyperparameters, name: str) -> str:
    """What a module is: its class, or of linear layers ``ctc`` or ``seq``, by their names."""
    kind = said.class_of(said.content.get(name))
    return name.partition("_")[0] if kind == "Linear" else kind


def _features(said: Hyperparameters) -> parts.StandardMel:
    about = said.tagged("Fbank")
    for name, wanted in (("deltas", False), ("context", False), ("f_min", 0), ("filter_shape", "triangular")):
        said.expect(about, name, wanted, wanted, "log mel")
    said.expect(said.tagged("InputNormalization"), "norm_type", "global", "global", "recognisers")
    return parts.StandardMel(
        int(said.number("n_mels")),
        int(said.number("sample_rate")),
        points=int(said.resolve(about.get("n_fft"), 400)),
        window_seconds=float(said.resolve(about.get("win_length"), 25)) / 1000,
        hop_seconds=float(said.resolve(about.get("hop_length"), 10)) / 1000,
    )


def _normalizer(folder: Path) -> dict[str, Tensor]:
    content = read_pickled(folder / NORMALIZER)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(name), Tensor) for name in ("glob_mean", "glob_std")
    ):
        raise InputError(f"'{NORMALIZER}' does not hold the mean and the deviation of the training data.")
    return {"mean": content["glob_mean"].float(), "deviation": content["glob_std"].float()}


def _linear(content: dict[str, Tensor] | None, prefix: str, ours: dict[str, Tensor]) -> nn.Linear | None:
    """A linear layer for these tensors, which are added to ``ours``; None where there are none."""
    if not content or "w.weight" not in content:
        return None
    ours |= {prefix + name.removeprefix("w."): each for name, each in content.items()}
    return nn.Linear(content["w.weight"].shape[1], len(content["w.weight"]))


def _inventory(folder: Path) -> list[str]:
    """The pieces of sentencepiece's model, by their number."""
    with in_one_sentence("sentencepiece", folder / TOKENIZER):
        from sentencepiece import SentencePieceProcessor

        model = SentencePieceProcessor(model_file=str(folder / TOKENIZER))
        return [model.IdToPiece(number) for number in range(model.GetPieceSize())]


def _ctc_weight(said: Hyperparameters) -> float:
    value = said.resolve(said.content.get("ctc_weight_decode"), CTC_WEIGHT)
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else CTC_WEIGHT
