"""Recognisers that transformers and CTranslate2 compute: tiny ones with random weights, beside their pipelines."""

import json
import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from unbabble.base.errors import InputError, MissingExtraError, UsageError
from unbabble.base.extras import EXTRAS, Extra
from unbabble.networks import load as networks
from unbabble.networks.foreign import by_ctranslate2, hugging_face, is_foreign, load_foreign, whisper
from unbabble.networks.foreign.by_ctranslate2 import joined
from unbabble.networks.onnx import quiet
from unbabble.pipelines import recognize
from unbabble.pipelines import transcribe as pipeline
from unbabble.pipelines.recognize import load_recognizer
from unbabble.verbs.models import models
from unbabble.verbs.push import push
from unbabble.verbs.transcribe import transcribe

CPU = torch.device("cpu")
LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAOINSHRDLU'"]
CTC = {
    "wav2vec2": {"feat_extract_norm": "group"},
    "wav2vec2 large": {"feat_extract_norm": "layer", "do_stable_layer_norm": True},
    "hubert": {},
    "wavlm": {},
}


@pytest.fixture(scope="module")
def transformers():
    module = pytest.importorskip("transformers", reason="the extra hf is not installed")
    with quiet():
        module.utils.logging.disable_progress_bar()
        module.utils.logging.set_verbosity_error()
        yield module


def noise(seconds=1.0, seed=0):
    return torch.randn(round(seconds * 16000), generator=torch.Generator().manual_seed(seed))


def ctc_folder(transformers, folder, kind="wav2vec2"):
    name, _, variant = kind.partition(" ")
    folder.mkdir(exist_ok=True)
    with quiet():
        cls = getattr(transformers, hugging_face.CTC[name][0])
        config = cls.config_class(
            vocab_size=len(LETTERS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=24, conv_dim=(8,) * 7, num_conv_pos_embeddings=8,
            num_conv_pos_embedding_groups=2, pad_token_id=0, **CTC[kind],
        )  # fmt: skip
        torch.manual_seed(0)
        model = cls(config).eval()
        with torch.no_grad():  # letters, blanks and spaces by turns; no token that is not written
            model.lm_head.weight *= 30
            model.lm_head.bias[:] = torch.tensor([3.0, -99, -99, -99, 5, *[0] * 13])
        model.save_pretrained(folder)
        (folder / "vocab.json").write_text(json.dumps({letter: k for k, letter in enumerate(LETTERS)}))
        transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
        transformers.Wav2Vec2FeatureExtractor(return_attention_mask=bool(variant)).save_pretrained(folder)
    return model


@pytest.mark.parametrize("kind", CTC)
def test_letters_are_those_of_the_library(transformers, tmp_path, kind):
    model = ctc_folder(transformers, tmp_path, kind)
    assert is_foreign(tmp_path)
    network = networks.ready(str(tmp_path), CPU, "recognizer")
    x = noise()
    with torch.no_grad(), quiet():
        scaled = (x - x.mean()) / (x.var(correction=0) + 1e-7).sqrt()
        expected = model(scaled[None]).logits
        torch.testing.assert_close(network.model(scaled[None]).logits, expected, rtol=0, atol=1e-5)
        peer = transformers.pipeline("automatic-speech-recognition", model=str(tmp_path), device="cpu")
        said = peer(x.numpy(), return_timestamps="word")
    (transcript,) = network(x[None])
    assert transcript.text == " ".join(said["text"].split())
    assert len(transcript.words) > 1
    for word, chunk in zip(transcript.words, said["chunks"], strict=True):
        assert word.text == chunk["text"].strip()
        assert (word.start, word.end) == pytest.approx(chunk["timestamp"])
        assert 0 < word.score <= 1


def test_a_batch_of_utterances_is_one_by_one(transformers, tmp_path):
    ctc_folder(transformers, tmp_path)
    network = load_foreign(tmp_path)
    long, short = noise(1.0), noise(0.4, seed=1)
    padded = torch.nn.functional.pad(short, (0, len(long) - len(short)))
    together = network(torch.stack([long, padded]), torch.tensor([len(long), len(short)]))
    assert together == [*network(long[None]), *network(short[None])]


def test_searches_of_ours_look_for_words_in_its_letters(transformers, tmp_path, monkeypatch):
    """Hotwords and language models by the letters that it has, in the library's capitals."""
    ctc_folder(transformers, tmp_path)
    x, own = noise()[None], load_recognizer(str(tmp_path), "cpu")
    assert own(x) == networks.ready(str(tmp_path), CPU, "recognizer")(x), "nobody asked for more"
    (said,) = own.network.posteriors(x, torch.tensor([16000]))
    best = dict(zip(said["text"].tokens.inventory, said["text"].log_probs[:, 1:].max(0), strict=True))
    others = set(best) - {"▁"} - set(own(x)[0].text.lower().split())
    letter = max(others, key=lambda each: best[each])  # a word by itself, which is nearly written
    with pytest.raises(InputError, match=r"'fob' cannot be written: the recogniser has no b and no f\."):
        load_recognizer(str(tmp_path), "cpu", hotwords=("tad", "fob"))
    monkeypatch.setattr(recognize, "Hotwords", partial(recognize.Hotwords, bonus=90.0))
    (said,) = load_recognizer(str(tmp_path), "cpu", hotwords=(letter,))(x)
    assert letter.upper() in said.text.split()
    assert all(0 <= word.start < word.end <= 1 and 0 <= word.score <= 1 for word in said.words)
    assert load_recognizer(str(tmp_path), "cpu", hotwords=(letter,))(x[:, :300])[0].words == ()
    (tmp_path / "lm.arpa").write_text(
        "\\data\\\nngram 1=4\n\n\\1-grams:\n-1 </s>\n-99 <s>\n-0.2 " + letter + "\n-2 <unk>\n\n\\end\\\n"
    )
    monkeypatch.setattr(recognize, "PIECES_LANGUAGE_WEIGHT", 5.0)
    monkeypatch.setattr(recognize, "PIECES_WORD_BONUS", 40.0)
    assert (
        letter.upper() in load_recognizer(str(tmp_path), "cpu", str(tmp_path / "lm.arpa"))(x)[0].text.split()
    )


def test_too_short_to_hear_anything(transformers, tmp_path):
    ctc_folder(transformers, tmp_path)
    network = load_foreign(tmp_path)
    assert network(noise()[None, :399])[0].words == ()
    network(noise()[None, :400])
    with pytest.raises(InputError):
        network(torch.zeros(1, 0))
    with pytest.raises(InputError, match="finite"):
        network(torch.full((1, 16000), math.nan))


def as_old_file(folder, content=None):
    """The weights as ``pytorch_model.bin``, weight norm by its names of before."""
    from safetensors.torch import load_file

    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    tensors = load_file(folder / "model.safetensors")
    for new, name in old.items():
        tensors = {key.replace(new, name): tensor for key, tensor in tensors.items()}
    assert any("weight_g" in key for key in tensors)
    torch.save(tensors | (content or {}), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def test_files_of_before(transformers, tmp_path):
    ctc_folder(transformers, tmp_path)
    expected = load_foreign(tmp_path)(noise()[None])
    as_old_file(tmp_path)
    assert load_foreign(tmp_path)(noise()[None]) == expected


class Malicious:
    def __init__(self, trap):
        self.trap = trap

    def __reduce__(self):
        return Path.touch, (self.trap,)


def test_pickled_code_is_refused(transformers, tmp_path):
    ctc_folder(transformers, tmp_path)
    as_old_file(tmp_path, {"more": Malicious(tmp_path / "trap")})
    with pytest.raises(InputError, match="transformers cannot read"):
        load_foreign(tmp_path)
    assert not (tmp_path / "trap").exists()


def test_code_of_a_repository_is_not_run(transformers, tmp_path):
    ctc_folder(transformers, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCTC": "trap.Trap", "AutoConfig": "trap.Trap"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "trap.py").write_text(f"open({str(tmp_path / 'trap')!r}, 'w')\nclass Trap: pass\n")
    assert load_foreign(tmp_path)(noise()[None])[0].words
    assert not (tmp_path / "trap").exists()


def test_what_is_missing_or_damaged_is_said(transformers, tmp_path):
    ctc_folder(transformers, tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"transformers cannot read") as caught:
        load_foreign(tmp_path)
    assert "\n" not in str(caught.value)
    from safetensors.torch import load, save_file

    tensors = load(whole)
    del tensors["lm_head.weight"]
    save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(InputError, match=r"'lm_head\.weight' is missing"):
        load_foreign(tmp_path)
    weights.write_bytes(whole)
    (tmp_path / "vocab.json").write_text('{"<pad>": 0, "a": 1}')
    with pytest.raises(InputError, match=r"vocab\.json' has fewer tokens"):
        load_foreign(tmp_path)
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(InputError, match=r"no file .*vocab\.json"):
        load_foreign(tmp_path)
    weights.unlink()
    with pytest.raises(InputError, match="has no weights"):
        load_foreign(tmp_path)


def test_other_networks_of_hugging_face_are_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(InputError, match="holds a 't5'"):
        networks.load(str(tmp_path))


def test_without_the_extra_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')
    monkeypatch.setitem(EXTRAS, "hf", Extra("hf", "", ("no_such_module",)))
    assert [kind.name for kind in networks.kinds_of(str(tmp_path))] == ["recognizer"]
    with pytest.raises(MissingExtraError, match=r"Hugging Face's layout needs the extra 'hf'"):
        networks.load(str(tmp_path))
    for name in ("model.bin", "vocabulary.json", "tokenizer.json"):
        (tmp_path / name).touch()
    monkeypatch.setitem(EXTRAS, "whisper", Extra("whisper", "Whisper by CTranslate2", ("no_such_module",)))
    with pytest.raises(MissingExtraError, match="'whisper'"):
        networks.load(str(tmp_path))


def test_such_a_network_is_not_trained_here(transformers, tmp_path):
    ctc_folder(transformers, tmp_path)
    network = load_foreign(tmp_path)
    with pytest.raises(UsageError, match="cannot be trained here"):
        network.loss(noise()[None])
    with pytest.raises(UsageError, match="CTranslate2 computes Whisper, not a wav2vec2"):
        networks.ready(str(tmp_path), CPU, "recognizer", runtime="ctranslate2")
    with pytest.raises(UsageError, match="no option 'language'"):
        networks.load(str(tmp_path), language="en")
    with pytest.raises(UsageError, match="does not separate talkers"):
        networks.load(str(tmp_path), "separator")


def test_such_a_network_is_not_pushed(transformers, tmp_path):
    ctc_folder(transformers, tmp_path / "theirs")
    with pytest.raises(UsageError, match="share its files as they are"):
        push(str(tmp_path / "theirs"), str(tmp_path / "ours"))
    assert not (tmp_path / "ours").exists()


# Whisper


def _bytes():
    """GPT-2's printable characters for bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + number) for number in range(len(others))]


SPECIAL = [
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>",
    "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
]  # fmt: skip
MERGES = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("c", "a"), ("ca", "t"), ("Ġ", "cat")]
PIECES = [*_bytes(), *map("".join, MERGES)]
NUMBERS = {token: number for number, token in enumerate([*PIECES, *SPECIAL])}


def whisper_folder(transformers, folder, *, heads=True, silent=False):
    """A Whisper that writes ``the`` and ``cat`` and letters, or that hears no speech."""
    folder.mkdir(exist_ok=True)
    end, start = NUMBERS["<|endoftext|>"], NUMBERS["<|startoftranscript|>"]
    with quiet():
        vocabulary = {piece: NUMBERS[piece] for piece in [*PIECES, "<|endoftext|>"]}
        tokenizer = transformers.WhisperTokenizer(vocab=vocabulary, merges=MERGES)
        tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL[1:]})
        tokenizer.add_tokens([f"<|{0.02 * number:.2f}|>" for number in range(1501)])
        tokenizer.save_pretrained(folder)
        config = transformers.WhisperConfig(
            vocab_size=len(NUMBERS) + 1501, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
            decoder_attention_heads=2, d_model=16, encoder_ffn_dim=32, decoder_ffn_dim=32, init_std=0.3,
            pad_token_id=end, bos_token_id=end, eos_token_id=end, decoder_start_token_id=start,
            suppress_tokens=None, begin_suppress_tokens=None,
        )  # fmt: skip
        torch.manual_seed(0)
        model = transformers.WhisperForConditionalGeneration(config).eval()
        decoder = model.model.decoder
        with torch.no_grad():
            decoder.layer_norm.bias[:] = torch.randn(16)
            towards = decoder.layer_norm.bias / decoder.layer_norm.bias.square().sum()
            for word in ("Ġthe", "Ġcat", "cat"):
                decoder.embed_tokens.weight[NUMBERS[word]] += 5 * towards
            if silent:
                decoder.embed_tokens.weight[NUMBERS["<|nospeech|>"]] = 30 * towards
        said = transformers.GenerationConfig(
            max_new_tokens=20, is_multilingual=True, no_timestamps_token_id=NUMBERS["<|notimestamps|>"],
            lang_to_id={token: NUMBERS[token] for token in ("<|en|>", "<|de|>")},
            task_to_id={task: NUMBERS[f"<|{task}|>"] for task in ("translate", "transcribe")},
            suppress_tokens=[NUMBERS[token] for token in SPECIAL[1:]], begin_suppress_tokens=[end],
            max_initial_timestamp_index=50, pad_token_id=end, bos_token_id=end, eos_token_id=end,
            decoder_start_token_id=start, **({"alignment_heads": [[1, 0], [1, 1]]} if heads else {}),
        )  # fmt: skip
        model.generation_config = said
        model.save_pretrained(folder)
        transformers.WhisperFeatureExtractor().save_pretrained(folder)
    return model


@pytest.fixture
def always_sure(monkeypatch):
    """A random network is never sure of its text."""
    for module in (whisper, by_ctranslate2):
        monkeypatch.setattr(module, "UNSURE", -1e9)


def test_whisper_writes_what_the_library_writes(transformers, tmp_path, always_sure):
    whisper_folder(transformers, tmp_path)
    network = networks.ready(str(tmp_path), CPU, "recognizer", language="en")
    x = noise(8.0)
    (transcript,) = network(x[None])
    with quiet():
        peer = transformers.pipeline("automatic-speech-recognition", model=str(tmp_path), device="cpu")
        asked = {
            "task": "transcribe",
            "language": "en",
            "no_repeat_ngram_size": whisper.NO_REPEAT,
            "max_new_tokens": 20,
            "num_beams": 1,
        }
        said = peer(x.numpy(), return_timestamps="word", generate_kwargs=asked)
    assert "cat" in transcript.text
    assert transcript.text.replace(" ", "") == said["text"].replace(" ", "")
    ends = {round(min(chunk["timestamp"][1], 8.0), 2) for chunk in said["chunks"]}
    assert {round(word.end, 2) for word in transcript.words} <= ends
    assert all(0 <= word.start <= word.end <= 8 and 0 < word.score <= 1 for word in transcript.words)


def test_whisper_hears_the_language(transformers, tmp_path, always_sure):
    model = whisper_folder(transformers, tmp_path)
    network = load_foreign(tmp_path)
    x = noise(2.0)
    network(x[None])
    with torch.no_grad(), quiet():
        features = network.extractor(x.numpy(), sampling_rate=16000, return_tensors="pt").input_features
        number = int(model.detect_language(features)[0])
    assert NUMBERS[f"<|{network.language}|>"] == number
    with pytest.raises(UsageError, match=r"knows no language 'fr', but de, en\."):
        load_foreign(tmp_path, language="fr")


def test_whisper_without_heads_that_follow_the_sound(transformers, tmp_path, always_sure):
    whisper_folder(transformers, tmp_path, heads=False)
    words = load_foreign(tmp_path, language="en")(noise(8.0)[None])[0].words
    starts = [word.start for word in words]
    assert starts == sorted(starts)
    assert all(0 <= word.start <= word.end <= 8 for word in words)


@pytest.mark.parametrize("runtime", ["torch", "ctranslate2"])
def test_whisper_reads_what_is_likely_first(transformers, tmp_path, monkeypatch, always_sure, runtime):
    """What it writes then is what the library writes with these tokens before it; as many as there is room for."""
    if runtime != "torch":
        pytest.importorskip("faster_whisper", reason="the extra whisper is not installed")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    whisper_folder(transformers, tmp_path)
    given = {"language": "en", "runtime": runtime}
    x, plain = noise(8.0)[None], load_recognizer(str(tmp_path), "cpu", **given)
    prompted = load_recognizer(str(tmp_path), "cpu", hotwords=("the cat", "Xyzzy"), **given)
    assert prompted.network.prompt == "the cat, Xyzzy"
    assert plain.network.prompt == ""
    (said,), (other,) = prompted(x), plain(x)
    assert said.words
    assert said.text != other.text
    assert prompted.language == "en"
    long = load_recognizer(str(tmp_path), "cpu", hotwords=("cat the cat",) * 200, **given)
    assert long(x)[0].words
    if runtime == "torch":
        network = prompted.network
        inputs = network.extractor(
            x[0].numpy(), sampling_rate=16000, return_tensors="pt", return_attention_mask=True
        )
        with torch.no_grad(), quiet():
            written = network.model.generate(
                inputs.input_features, attention_mask=inputs.attention_mask, return_timestamps=True,
                prompt_ids=network.tokenizer.get_prompt_ids("the cat, Xyzzy", return_tensors="pt"),
                task="transcribe", language="en", num_beams=1, no_repeat_ngram_size=whisper.NO_REPEAT,
            )  # fmt: skip
        text = network.tokenizer.decode(written[0], skip_special_tokens=True)
        assert said.text.replace(" ", "") == text.replace(" ", "")


def test_whisper_longer_than_its_window(transformers, tmp_path, always_sure):
    whisper_folder(transformers, tmp_path)
    network = load_foreign(tmp_path, language="en")
    x = noise(34.0)
    whole, first, second = (network(part[None])[0] for part in (x, x[: 30 * 16000], x[30 * 16000 :]))
    assert whole.words == (*first.words, *second.later(30.0).words)
    assert whole.score == pytest.approx(first.score + second.score)


def test_whisper_writes_nothing_where_nobody_speaks(transformers, tmp_path):
    whisper_folder(transformers, tmp_path / "silent", silent=True)
    assert load_foreign(tmp_path / "silent")(torch.zeros(1, 16000))[0].words == ()
    whisper_folder(transformers, tmp_path / "hearing")
    assert load_foreign(tmp_path / "hearing")(noise()[None])[0].words != ()


def test_whisper_of_an_old_layout(transformers, tmp_path):
    whisper_folder(transformers, tmp_path)
    said = json.loads((tmp_path / "generation_config.json").read_text())
    del said["no_timestamps_token_id"]
    (tmp_path / "generation_config.json").write_text(json.dumps(said))
    with pytest.raises(InputError, match="does not say how to write times"):
        load_foreign(tmp_path)
    (tmp_path / "generation_config.json").unlink()
    with pytest.raises(InputError, match=r"no file .*generation_config\.json"):
        load_foreign(tmp_path)


def test_models_info_tells_of_such_a_folder(transformers, tmp_path, capsys):
    whisper_folder(transformers, tmp_path)
    models("info", str(tmp_path))
    printed = capsys.readouterr().out
    assert f"unbabble transcribe interview.mp3 --model {tmp_path}" in printed
    assert "language (str | None)" in printed
    assert "unbabble train" not in printed


# Whisper by CTranslate2


def test_whisper_by_ctranslate2(transformers, tmp_path, monkeypatch, always_sure):
    pytest.importorskip("faster_whisper", reason="the extra whisper is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = whisper_folder(transformers, tmp_path / "theirs")
    network = networks.ready(
        str(tmp_path / "theirs"), CPU, "recognizer", runtime="ctranslate2", language="en"
    )
    x = noise(30.0)
    with torch.no_grad(), quiet():
        features = transformers.WhisperFeatureExtractor()(
            x.numpy(), sampling_rate=16000, return_tensors="pt"
        ).input_features
        expected = model.model.encoder(features).last_hidden_state.numpy()
    encoded = np.array(network.computed.encode(features.numpy()))
    np.testing.assert_allclose(encoded, expected, atol=1e-4)
    (transcript,) = network(x[None])
    assert transcript.words
    assert all(0 <= word.start <= word.end <= 30 and 0 < word.score <= 1 for word in transcript.words)
    assert network.language == "en"
    # the folder that was made is a model by itself
    assert is_foreign(network.folder)
    assert networks.load(str(network.folder), language="en").network(x[None]) == [transcript]
    with pytest.raises(UsageError, match="knows no language 'xx'"):
        networks.load(str(network.folder), language="xx")
    with pytest.raises(InputError, match="CTranslate2 cannot read"):
        networks.load(str(network.folder), compute_type="int7")
    (network.folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"no file .*tokenizer\.json"):
        networks.load(str(network.folder))


def test_parts_of_words_are_joined():
    parts = [
        (" Good", 0.0, 0.4, 0.9),
        (" mor", 0.5, 0.7, 0.8),
        ("ning", 0.7, 0.9, 0.6),
        (".", 0.9, 1.0, 0.7),
        (" ", 1, 1, 1),
    ]
    words = joined(
        SimpleNamespace(word=word, start=start, end=end, probability=p) for word, start, end, p in parts
    )
    assert [(word.text, word.start, word.end, word.score) for word in words] == [
        ("Good", 0.0, 0.4, 0.9),
        ("morning.", 0.5, 1.0, 0.6),
    ]


@pytest.mark.parametrize("runtime", ["torch", "ctranslate2"])
def test_the_command_transcribes_with_such_a_folder(
    transformers, tmp_path, monkeypatch, always_sure, runtime
):
    pytest.importorskip("faster_whisper", reason="the extra whisper is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        pipeline, "is_speech", lambda samples, rate: torch.ones(len(samples) * 100 // rate) > 0
    )
    monkeypatch.setattr(pipeline, "LEAST_CONFIDENCE", 0.0)
    whisper_folder(transformers, tmp_path / "theirs")
    soundfile.write(tmp_path / "a.wav", 0.1 * noise(3.0).numpy(), 16000)
    report = transcribe(
        tmp_path / "a.wav",
        out=tmp_path / "texts",
        model=str(tmp_path / "theirs"),
        runtime=runtime,
        quiet=True,
    )
    assert report.files[0].details["words"] > 0
    written = json.loads((tmp_path / "texts" / "a" / "a.json").read_text())
    assert written["text"].strip()
    assert written["language"] in ("en", "de")
