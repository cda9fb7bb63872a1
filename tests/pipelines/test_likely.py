"""Which language model goes with which recogniser, and what is said where none does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unbabble.base.errors import InputError, UsageError
from unbabble.base.registry import create, method
from unbabble.base.weights import WeightsCard, save
from unbabble.nn.kinds.recognizer import Posteriors
from unbabble.pipelines import likely as module
from unbabble.pipelines.likely import AUTO, NONE, Likely, likely
from unbabble.pipelines.recognize import Recognizer, load_recognizer
from unbabble.text import arpa, language_models
from unbabble.text.ngram import UNKNOWN, Level, NgramModel


def tiny(name: str, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return create(name, **method(name).TINY | options).eval()


def stored(path: Path, name: str, **options: Any) -> str:
    """The tiny variant of a network, as a file."""
    network = tiny(name, **options)
    save(path, network.state_dict(), WeightsCard(name, network.resolved_options()))
    return str(path)


def unigrams(*words: str, **spoken: list[tuple[str, ...]]) -> NgramModel:
    """All words alike."""
    count = len(words) + 2
    level = Level(
        np.zeros(count, np.int64), np.arange(count), np.full(count, -np.log(count)), np.zeros(count)
    )
    return NgramModel((*words, UNKNOWN), [level], spoken)


@pytest.mark.parametrize(
    ("recognizer", "tokens", "reason"),
    [
        ("conformer_ctc", "▁'abcdefghijklmnopqrstuvwxyz", ""),
        ("blstm_ctc", "▁'abcdefghijklmnopqrstuvwxyz", ""),
        ("listen_attend_spell", "▁abcdefghijklmnopqrstuvwxyz", ""),
        (
            "blstm_ctc",
            "▁abcdefghijklmnopqrstuvwxyzäöüß",
            "it is English, and the recogniser writes ß, ä, ö and others",
        ),
        ("transformer_asr", "▁абвгд", "have letters that the recogniser does not write"),
    ],
)
def test_the_packaged_one_is_taken_where_it_fits(recognizer, tokens, reason):
    chosen = likely(tiny(recognizer, tokens=tokens))
    assert (chosen.words is None) == bool(reason)
    if reason:
        assert chosen.note.startswith("No language model is used, for the packaged one does not fit: ")
        assert chosen.note.endswith(f"{reason}.")
        assert chosen.note.count(".") == 1
    else:
        assert chosen == Likely(language_models.find())


def test_none_is_none(monkeypatch):
    assert likely(tiny("conformer_ctc"), NONE) == Likely()
    monkeypatch.setattr(module, "packaged", dict)
    assert likely(tiny("conformer_ctc"), AUTO) == Likely(), "none is installed"


def test_words_without_letters_or_phones_are_refused(tmp_path, monkeypatch):
    russian = tmp_path / "russian.arpa"
    arpa.write(russian, unigrams("да", "нет"))
    for name in ("blstm_ctc", "listen_attend_spell", "conformer_ctc"):
        with pytest.raises(
            UsageError, match=r"does not fit the recogniser: most of its words, as 'да', have letters"
        ):
            likely(tiny(name), str(russian))
    written = likely(tiny("blstm_ctc", tokens="▁данет"), str(russian)).words
    assert written is not None
    assert written.words == ("да", "нет", UNKNOWN)
    monkeypatch.setattr(language_models, "find", lambda name: unigrams("да", "нет", да=[("d", "a")]))
    with pytest.raises(UsageError, match="its words are spoken with a, d, which are no phones of that"):
        likely(tiny("conformer_ctc"), str(russian))


def test_what_is_no_language_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match="does not say which words are likely"):
        likely(tiny("blstm_ctc"), stored(tmp_path / "r.safetensors", "blstm_ctc"))
    with pytest.raises(UsageError, match="There are no weights for 'lstm_lm' yet"):
        likely(tiny("blstm_ctc"), "lstm_lm")
    with pytest.raises(UsageError, match="There is no language model 'nonsense'"):
        likely(tiny("blstm_ctc"), "nonsense")
    with pytest.raises(InputError, match="There is no file"):
        likely(tiny("blstm_ctc"), str(tmp_path / "missing.safetensors"))


@pytest.mark.parametrize("name", ["lstm_lm", "transformer_lm"])
def test_a_network_goes_with_a_recogniser_of_its_tokens(tmp_path, name):
    path = stored(tmp_path / "lm.safetensors", name)
    chosen = likely(tiny("blstm_ctc", tokens="▁abcd"), path)
    assert chosen.words is None
    assert chosen.tokens is not None
    with pytest.raises(UsageError, match=r"its tokens are others. Train one with `--set train.tokens_of=`"):
        likely(tiny("blstm_ctc", tokens="▁dcba"), path)
    with pytest.raises(UsageError, match="it has no ', e, f and others"):
        likely(tiny("conformer_ctc"), path)  # beside phones, whose words it has to spell


@pytest.mark.parametrize(
    "name", ["blstm_ctc", "joint_ctc_attention", "listen_attend_spell", "mean_encoder_decoder"]
)
def test_a_network_has_its_say_in_the_search_of_pieces(tmp_path, name):
    """One that knows a single text makes an untrained recogniser write it."""
    model = tiny("lstm_lm", tokens="▁abcd").train()
    text = torch.tensor([[1, 2, 3, 4]])
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(80):
        optimizer.zero_grad()
        model.loss(text).sum().backward()
        optimizer.step()
    path = tmp_path / "lm.safetensors"
    save(path, model.state_dict(), WeightsCard("lstm_lm", model.resolved_options()))
    recognizer = load_recognizer(stored(tmp_path / "r.safetensors", name, tokens="▁abcd"), "cpu", str(path))
    assert isinstance(recognizer, Recognizer)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("unbabble.pipelines.recognize.TOKEN_LANGUAGE_WEIGHT", 30.0)
        (said,) = recognizer(0.1 * torch.randn(1, 16000, generator=torch.Generator().manual_seed(0)))
    assert said.text == "abc"
    (word,) = said.words
    assert 0 <= word.start < word.end <= 1.05
    assert word.score is not None
    assert 0 <= word.score <= 1


def test_beside_phones_it_chooses_among_the_best_texts(tmp_path):
    """Of homophones the one that it was taught."""
    path = tmp_path / "lm.safetensors"
    model = tiny("lstm_lm", tokens="▁'abcdefghijklmnopqrstuvwxyz").train()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    text = torch.tensor([model.pieces.encode("the see")])
    for _ in range(120):
        optimizer.zero_grad()
        model.loss(text).sum().backward()
        optimizer.step()
    save(path, model.eval().state_dict(), WeightsCard("lstm_lm", model.resolved_options()))
    taught, other = model.log_probabilities(["the see", "the sea"])
    assert taught > other + 5
    network = tiny("conformer_ctc", tokens="▁'abcdefghijklmnopqrstuvwxyz")
    chosen = likely(network, str(path))
    assert chosen.words is not None
    phones = network.targets["phones"]
    path_of = [n for each in phones.encode("DH AH S IY") for n in (each, each, 0, 0)]
    probs = np.full((len(path_of), len(phones) + 1), 0.1 / len(phones))
    probs[np.arange(len(path_of)), path_of] = 0.9
    said = {
        "phones": Posteriors(
            np.log(probs).astype(np.float32), phones, 0.04, np.zeros(len(phones) + 1, np.float32)
        )
    }
    alone = Recognizer(network, chosen.words)
    both = Recognizer(network, chosen.words, token_model=chosen.tokens)
    assert alone.of(said).text == "the sea"
    assert both.of(said).text == "the see"
