"""SpeechBrain's recognisers; the fixtures are described in tests/fixtures/README.md."""

from pathlib import Path

import numpy as np
import pytest
import torch

from unbabble.base.errors import InputError, MissingExtraError, UsageError
from unbabble.base.extras import EXTRAS, Extra
from unbabble.networks import load as networks
from unbabble.networks.foreign import is_foreign, load_foreign
from unbabble.networks.foreign.speechbrain_recognizer import Written

FIXTURES = Path(__file__).parents[1] / "fixtures"
KINDS = ["transformer_1", "transformer_2", "crdnn_1", "crdnn_2"]
every_kind = pytest.mark.parametrize("kind", KINDS)
TOLERANCE = 1e-5
"""Relative to the largest value: float32 in another order."""
sentencepiece = pytest.importorskip("sentencepiece", reason="the extra speechbrain is not installed")


def folder_of(folder, kind="transformer_1", *, changes=(), without=()):
    """A folder as SpeechBrain publishes it, and what its library makes of an utterance."""
    with np.load(FIXTURES / f"speechbrain_{kind}.npz") as file:
        content = {name: file[name] for name in file.files}
    said = str(content["hyperparameters"])
    for old, new in changes:
        assert old in said
        said = said.replace(old, new)
    (folder / "hyperparams.yaml").write_text(said)
    files = {"asr": {}, "normalizer": {"count": 7, "spk_dict_mean": {}}}
    for name, value in content.items():
        file, _, tensor = name.partition("/")
        if tensor and not tensor.startswith(tuple(without)):
            files[file][tensor] = torch.from_numpy(value)
    for file, tensors in files.items():
        torch.save(tensors, folder / f"{file}.ckpt")
    (folder / "tokenizer.ckpt").write_bytes(content["tokenizer"].tobytes())
    return {
        name: torch.from_numpy(content[name])
        for name in ("waveform", "bands", "places", "tokens", "ctc", "logits")
    }


def same(one, other):
    torch.testing.assert_close(one, other, rtol=0, atol=TOLERANCE * float(other.abs().max()))


@every_kind
def test_it_computes_what_speechbrain_computes(tmp_path, kind):
    theirs = folder_of(tmp_path, kind)
    assert is_foreign(tmp_path)
    network = load_foreign(tmp_path)
    with torch.no_grad():
        bands = network.features(theirs["waveform"])
        places = network.encoder(theirs["bands"])
        same(bands, theirs["bands"])
        same(places, theirs["places"])
        same(network.ctc(theirs["places"]).log_softmax(-1), theirs["ctc"])
        state = network.decoder.start(theirs["places"])
        for token, logits in zip(theirs["tokens"][0], theirs["logits"][0], strict=True):
            found, state = network.decoder.step(token[None], state)
            same(found[0], logits)


@every_kind
def test_it_writes_words(tmp_path, kind):
    theirs = folder_of(tmp_path, kind)
    network = networks.ready(str(tmp_path), torch.device("cpu"), "recognizer", beam=4)
    (transcript,) = network(theirs["waveform"])
    duration = theirs["waveform"].shape[1] / 16000
    starts = [word.start for word in transcript.words]
    assert starts
    assert starts == sorted(starts)
    assert all(
        0 <= word.start < word.end <= duration + 0.2 and 0 < word.score <= 1 for word in transcript.words
    )


@every_kind
def test_the_search_knows_beginning_and_end(tmp_path, kind):
    theirs = folder_of(tmp_path, kind)
    network = load_foreign(tmp_path)
    written = Written(network.decoder, theirs["places"], network.marks)
    with torch.no_grad():
        found, _ = written.step(torch.zeros(2, dtype=torch.long), written.start(2))
    expected = theirs["logits"][0, 0].log_softmax(-1)
    same(found[0, 0], expected[network.marks[1]])
    same(found[1, 3:], expected[3:])


@pytest.mark.parametrize("kind", ["transformer_1", "crdnn_1"])
def test_ctc_or_attention_alone(tmp_path, kind):
    number = {"transformer_1": "3.", "crdnn_1": "3."}[kind]  # of ctc_lin in the list of modules
    theirs = folder_of(tmp_path, kind, without=[number])
    network = load_foreign(tmp_path)
    assert network.ctc is None
    words = network(theirs["waveform"])[0].words
    assert [word.start for word in words[1:]] == [word.end for word in words[:-1]]
    folder_of(tmp_path, kind)
    both, alone = load_foreign(tmp_path), load_foreign(tmp_path, ctc_weight=1.0)
    assert alone(theirs["waveform"])[0].score != both(theirs["waveform"])[0].score


def test_short_and_silent_utterances(tmp_path):
    folder_of(tmp_path, "transformer_2")
    network = load_foreign(tmp_path)
    for waveform in (torch.zeros(1, 1), torch.ones(1, 100), torch.zeros(1, 8000)):
        (transcript,) = network(waveform)
        assert all(np.isfinite([word.start, word.end, word.score]).all() for word in transcript.words)


@pytest.mark.parametrize(
    ("kind", "change", "sentence"),
    [
        (
            "transformer_1",
            ("encoder_module: transformer", "encoder_module: conformer"),
            "encoder_module: conformer",
        ),
        ("transformer_1", ("attention_type: regularMHA", "attention_type: RelPosMHAXL"), "RelPosMHAXL"),
        ("transformer_1", ("causal: False", "causal: True"), "causal: True"),
        ("transformer_1", ("torch.nn.GELU", "torch.nn.Tanh"), "activation: Tanh"),
        ("transformer_1", ("norm_type: global", "norm_type: sentence"), "norm_type: sentence"),
        ("transformer_1", ("- [!ref <CNN>", "- [null"), "no list of the modules"),
        ("transformer_1", ("strides: (2, 2, 1)", "strides: (1, 2, 1)"), r"join\.weight|front"),
        ("crdnn_1", ("RNN.LSTM", "RNN.LiGRU"), "rnn_class: LiGRU"),
        ("crdnn_1", ("rnn_type: gru", "rnn_type: lstm"), "rnn_type: lstm"),
        ("crdnn_1", ("using_2d_pooling: False", "using_2d_pooling: True"), "using_2d_pooling"),
        ("crdnn_1", ("CRDNN.CRDNN", "CRDNN.Other"), "neither a TransformerASR nor a CRDNN"),
        ("crdnn_1", ("n_mels: 20", "n_mels: 40"), r"features\.mean"),
    ],
)
def test_what_is_built_in_another_way_is_said(tmp_path, kind, change, sentence):
    folder_of(tmp_path, kind, changes=[change])
    with pytest.raises(InputError, match=sentence) as caught:
        load_foreign(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_missing_or_damaged_is_said(tmp_path, monkeypatch):
    folder_of(tmp_path)
    (tmp_path / "tokenizer.ckpt").write_bytes(b"no model")
    with pytest.raises(InputError, match="sentencepiece cannot read"):
        load_foreign(tmp_path)
    (tmp_path / "tokenizer.ckpt").unlink()
    with pytest.raises(InputError, match=r"no file .*tokenizer\.ckpt"):
        load_foreign(tmp_path)
    folder_of(tmp_path, without=["1.encoder.norm"])
    with pytest.raises(InputError, match=r"encoder\.norm\.weight"):
        load_foreign(tmp_path)
    folder_of(tmp_path)
    torch.save({"count": 3}, tmp_path / "normalizer.ckpt")
    with pytest.raises(InputError, match="mean and the deviation"):
        load_foreign(tmp_path)
    with pytest.raises(UsageError, match="no option 'language'"):
        load_foreign(tmp_path, language="en")
    monkeypatch.setitem(EXTRAS, "speechbrain", Extra("speechbrain", "It", ("no_such_module",)))
    with pytest.raises(MissingExtraError, match="'speechbrain'"):
        load_foreign(tmp_path)
    assert [kind.name for kind in networks.kinds_of(str(tmp_path))] == ["recognizer"]


def test_pickled_code_is_refused(tmp_path):
    folder_of(tmp_path)

    class Malicious:
        def __reduce__(self):
            return Path.touch, (tmp_path / "trap",)

    for file in ("asr.ckpt", "normalizer.ckpt"):
        folder_of(tmp_path)
        torch.save({"0": Malicious()}, tmp_path / file)
        with pytest.raises(InputError, match="more than tensors"):
            load_foreign(tmp_path)
    assert not (tmp_path / "trap").exists()
