"""SpeechBrain's language models, alone and with its recognisers; fixtures: tests/fixtures/README.md."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.networks.test_speechbrain_recognizers import FIXTURES, folder_of, same
from unbabble.base.errors import InputError, UsageError
from unbabble.networks.foreign.speechbrain_language_model import FILE, load_speechbrain_language_model
from unbabble.pipelines.recognize import load_recognizer

CPU = torch.device("cpu")
KINDS = ["transformer_lm_1", "transformer_lm_2", "rnn_lm_1", "rnn_lm_2"]
MARKS = "bos_index: 1\neos_index: 2\n"


def model_of(
    folder: Path, kind: str, *, changes=(), without=(), said: str = MARKS
) -> dict[str, torch.Tensor]:
    """``lm.ckpt`` and its hyper-parameters behind ``said``; what SpeechBrain makes of some tokens."""
    with np.load(FIXTURES / f"speechbrain_{kind}.npz") as file:
        content = {name: file[name] for name in file.files}
    about = str(content["hyperparameters"])
    for old, new in changes:
        assert old in about
        about = about.replace(old, new)
    folder.mkdir(exist_ok=True)
    (folder / "hyperparams.yaml").write_text(said + about)
    tensors = {
        name.removeprefix("lm/"): torch.from_numpy(each) for name, each in content.items() if "lm/" in name
    }
    torch.save(
        {name: each for name, each in tensors.items() if not name.startswith(tuple(without))}, folder / FILE
    )
    return {name: torch.from_numpy(content[name]) for name in ("tokens", "logits")}


def both_of(
    folder: Path, kind: str, recognizer: str = "transformer_1", **options: Any
) -> dict[str, torch.Tensor]:
    """A recogniser with the language model that it is published with; what is made of an utterance."""
    theirs = folder_of(folder, recognizer)
    model_of(folder, kind, said=(folder / "hyperparams.yaml").read_text(), **options)
    return theirs


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_it_computes_what_speechbrain_computes(tmp_path, kind):
    theirs = model_of(tmp_path, kind)
    model = load_speechbrain_language_model(tmp_path / FILE, CPU)
    state = model.start(2)
    for place in range(theirs["tokens"].shape[1]):
        logits, state = model.logits(theirs["tokens"][:, place], state)
        same(logits, theirs["logits"][:, place])


@pytest.mark.parametrize(
    ("kind", "weight", "temperature"), [("transformer_lm_1", 0.6, 1.15), ("rnn_lm_1", 0.5, 1.25)]
)
@torch.no_grad()
def test_the_search_knows_beginning_and_end_and_what_the_hyper_parameters_say(
    tmp_path, kind, weight, temperature
):
    theirs = model_of(tmp_path, kind)
    model = load_speechbrain_language_model(tmp_path / FILE, CPU)
    assert (model.tokens, model.weight, model.temperature) == (28, weight, temperature)
    found, _ = model.step(torch.zeros(2, dtype=torch.long), model.start(2))
    expected = (theirs["logits"][0, 0] / temperature).log_softmax(-1)
    same(found[0, 0], expected[2])
    same(found[1, 3:], expected[3:])
    assert torch.isinf(found[:, 1:3]).all()


@pytest.mark.parametrize(
    ("recognizer", "kind"), [("transformer_1", "transformer_lm_2"), ("crdnn_1", "rnn_lm_2")]
)
def test_a_recogniser_is_searched_with_the_one_beside_it(tmp_path, recognizer, kind):
    theirs = both_of(tmp_path, kind, recognizer)
    texts = {}
    for name in ("auto", "none", str(tmp_path), str(tmp_path / FILE)):
        (said,) = load_recognizer(str(tmp_path), "cpu", name)(theirs["waveform"])
        texts[name] = said.text, round(said.score, 4)
    assert texts["auto"] == texts[str(tmp_path)] == texts[str(tmp_path / FILE)]
    assert texts["auto"] != texts["none"]
    (silenced,) = load_recognizer(str(tmp_path), "cpu", language_weight=0.0)(theirs["waveform"])
    assert (silenced.text, round(silenced.score, 4)) == texts["none"]


def test_what_does_not_fit_is_said(tmp_path):
    theirs = folder_of(tmp_path)
    assert load_recognizer(str(tmp_path), "cpu")(theirs["waveform"]), "there is none beside it"
    with pytest.raises(
        UsageError, match=r"language models of its own alone, as 'lm\.ckpt': leave out 'kneser_ney"
    ):
        load_recognizer(str(tmp_path), "cpu", "kneser_ney.novels")
    with pytest.raises(InputError, match="There is no file"):
        load_recognizer(str(tmp_path), "cpu", str(tmp_path / "other.ckpt"))
    other = tmp_path / "other"
    model_of(other, "rnn_lm_1")
    tensors = torch.load(other / FILE, weights_only=True)
    for name in ("embedding.Embedding.weight", "out.w.weight", "out.w.bias"):
        tensors[name] = tensors[name][:20]
    torch.save(tensors, other / FILE)
    with pytest.raises(UsageError, match="does not fit the recogniser: it has 20 tokens, not 28"):
        load_recognizer(str(tmp_path), "cpu", str(other))


@pytest.mark.parametrize(
    ("kind", "options", "sentence"),
    [
        ("transformer_lm_1", {"changes": [("decoder_layers: 0", "decoder_layers: 2")]}, "num_decoder_layers: 2"),
        ("transformer_lm_1", {"changes": [("torch.nn.GELU", "torch.nn.Tanh")]}, "activation: Tanh"),
        ("transformer_lm_1", {"changes": [("TransformerLM.TransformerLM", "Other.Other")]}, "neither a TransformerLM"),
        ("transformer_lm_1", {"without": ["encoder.norm"]}, r"'norm\.weight'|norm"),
        ("transformer_lm_1", {"without": ["output_proj"]}, r"out\.weight"),
        ("rnn_lm_1", {"changes": [("RNN.LSTM", "RNN.LiGRU")]}, "rnn_class: LiGRU"),
        ("rnn_lm_1", {"changes": [("RNN.LSTM", "RNN.GRU")]}, "recurrent"),
        ("rnn_lm_1", {"without": ["dnn"]}, r"dense\.0\.linear\.weight"),
    ],
)  # fmt: skip
def test_what_is_built_in_another_way_is_said(tmp_path, kind, options, sentence):
    model_of(tmp_path, kind, **options)
    with pytest.raises(InputError, match=sentence) as caught:
        load_speechbrain_language_model(tmp_path / FILE, CPU)
    assert "\n" not in str(caught.value)


def test_pickled_code_is_refused(tmp_path):
    both_of(tmp_path, "rnn_lm_1")

    class Malicious:
        def __reduce__(self):
            return Path.touch, (tmp_path / "trap",)

    torch.save({"out.w.weight": Malicious()}, tmp_path / FILE)
    with pytest.raises(InputError, match="more than tensors"):
        load_recognizer(str(tmp_path), "cpu")
    assert not (tmp_path / "trap").exists()
