"""Hugging Face's CLAP with tiny random weights: as transformers computes it, and the same at every call."""

import json

import numpy as np
import pytest
import torch

from unbabble.base.errors import InputError
from unbabble.networks import load as networks
from unbabble.networks.foreign import kinds_in
from unbabble.networks.foreign.hugging_face_clap import LEVEL

transformers = pytest.importorskip("transformers")
WORDS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *"abcdefghijklmnopqrstuvwxyzĠ"]


def folder(place, fusion=False):
    """As ``laion/clap-htsat-unfused`` is published."""
    text = {
        "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 40, "projection_dim": 8,
    }  # fmt: skip
    audio = {
        "hidden_size": 64, "patch_embeds_hidden_size": 8, "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2],
        "projection_dim": 8, "enable_fusion": fusion,
    }  # fmt: skip
    config = transformers.ClapConfig(text_config=text, audio_config=audio, projection_dim=8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.ClapModel(config).eval()
    model.save_pretrained(place)
    transformers.ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(place)
    (place / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(WORDS)}))
    (place / "merges.txt").write_text("#version: 0.2\n")
    transformers.RobertaTokenizer(str(place / "vocab.json"), str(place / "merges.txt")).save_pretrained(place)
    return model


@pytest.fixture(scope="module")
def clap(tmp_path_factory):
    place = tmp_path_factory.mktemp("clap")
    return place, folder(place)


@pytest.mark.parametrize("seconds", [10.0, 3.0, 0.5])
def test_vectors_are_those_of_transformers(clap, seconds):
    place, model = clap
    assert kinds_in(place)[0].name == "joint embedder"
    network = networks.load(str(place), "joint embedder").network
    assert (network.sample_rate, network.window_seconds) == (48000, 10.0)
    samples = np.random.default_rng(0).standard_normal(round(48000 * seconds)).astype(np.float32)
    extractor = transformers.ClapFeatureExtractor.from_pretrained(place)
    features = extractor(LEVEL * samples, sampling_rate=48000, return_tensors="pt")
    with torch.no_grad():
        wanted = torch.nn.functional.normalize(model.get_audio_features(**features).pooler_output, dim=-1)
        found = network.embed(torch.from_numpy(samples)[None])
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)
    assert torch.equal(network(torch.from_numpy(samples)[None]), network(torch.from_numpy(samples)[None]))


def test_texts_are_those_of_transformers_whatever_the_batch(clap):
    place, model = clap
    network = networks.load(str(place), "joint embedder").network
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    with torch.no_grad():
        said = model.get_text_features(**tokenizer(["rain"], return_tensors="pt")).pooler_output
    found = network.embed_text(["rain", "a dog that barks"])
    torch.testing.assert_close(found[:1], torch.nn.functional.normalize(said, dim=-1), rtol=0, atol=1e-5)


def test_one_that_draws_its_cuts_is_refused(tmp_path):
    folder(tmp_path, fusion=True)
    with pytest.raises(InputError, match="drawn at random"):
        networks.load(str(tmp_path), "joint embedder")


def test_files_that_are_missing_are_one_sentence(tmp_path):
    folder(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"preprocessor_config\.json"):
        networks.load(str(tmp_path), "joint embedder")
