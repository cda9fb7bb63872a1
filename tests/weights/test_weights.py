"""What ships with the package: each file says what it is, fits its network, and all together stay small."""

import numpy as np
import pytest
import soundfile
import torch

from unbabble import cli
from unbabble.base import registry, weights
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.networks import load as networks
from unbabble.pipelines.choose import DEFAULT_SINGLE
from unbabble.pipelines.count import COUNTER
from unbabble.signal.metrics import si_sdr
from unbabble.signal.permutation import align
from unbabble.text import language_models
from unbabble.text.ngram import fit

PACKAGED = weights.packaged()
SEPARATORS, COUNTERS = (
    [name for name in PACKAGED if registry.kinds_of(name)[0].name == kind]
    for kind in ("separator", "counter")
)


def test_packaged_weights_are_small():
    assert sum(path.stat().st_size for path in PACKAGED.values()) < 72e6


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_network_says_what_it_is(name, capsys):
    card = weights.read_card(PACKAGED[name])
    assert name.startswith(f"{card.method}.")
    assert card.summary
    assert card.data
    assert card.licence == "CC BY 4.0", "nothing here is trained on recordings for non-commercial use"
    assert card.command.startswith(("unbabble train configs/", "unbabble language-model "))
    assert card.limits
    assert cli.run(["models", "info", name]) == 0
    score, *_ = next(iter(card.scores.values())).values()
    assert f"{score:g}" in capsys.readouterr().out
    if name in SEPARATORS:
        assert {"clean", "noisy", "reverberant", "both"} <= {each.removesuffix("3") for each in card.scores}


def test_a_bare_name_means_its_default():
    card, tag = registry.find("gru")
    assert (card.models[0], tag) == ("gru.2x64", "2x64"), "not the first by name, 2x32"
    assert set(card.models) == {name for name in PACKAGED if name.startswith("gru.")}


@pytest.mark.parametrize("name", COUNTERS)
def test_a_packaged_counter_counts_people_it_has_never_heard(name, data_folder, tmp_path):
    network = networks.load(name).network
    mixing = DynamicMixing(data_folder / "speech.csv", "test", talkers=(1, 2, 3), seconds=6.0, cache=tmp_path)
    items = DynamicMixtures(mixing, 5)
    right = [network.figure(*(torch.from_numpy(each)[None] for each in items[index])) for index in range(18)]
    assert np.mean(right) > 0.6, "a third is chance"


@pytest.mark.parametrize("name", SEPARATORS)
def test_a_packaged_network_separates_people_it_has_never_heard(name, data_folder, tmp_path):
    """Far from its scores, but far from nothing too."""
    network = networks.load(name).network
    mixing = DynamicMixing(
        data_folder / "speech.csv",
        "test",
        talkers=(2,),
        seconds=4.0,
        sample_rate=network.sample_rate,
        cache=tmp_path,
    )
    items = DynamicMixtures(mixing, 5)
    gains = []
    for index in range(6):
        mixture, sources = (torch.from_numpy(each) for each in items[index])
        found = align(network(mixture[None, None])[0], sources).scores
        gains.append(float((found - si_sdr(mixture[None], sources)).mean()))
    assert np.mean(gains) > 2


def test_auto_on_one_microphone_needs_no_network_at_all(tmp_path, monkeypatch):
    """No downloads, no account: weights are in the package."""
    for count, name in DEFAULT_SINGLE.items():
        assert name in PACKAGED, f"the default for {count} talkers"
    assert COUNTER in PACKAGED
    assert 2 in DEFAULT_SINGLE
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "mono.wav", 0.1 * rng.standard_normal(16000), 16000)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    out = tmp_path / "voices"
    assert (
        cli.run(["separate", str(tmp_path / "mono.wav"), "--sources", "2", "--out", str(out), "--quiet"]) == 0
    )
    assert sorted(path.name for path in out.rglob("*.wav")) == ["source1.wav", "source2.wav"]


def test_every_packaged_network_has_a_method():
    methods = registry.cards()
    assert all(name.partition(".")[0] in methods for name in PACKAGED)


def test_the_packaged_language_model_knows_english():
    model = language_models.find()
    likely, unlikely = (fit(model, [text.split()]) for text in (
        "it was a bright cold day in april and the clocks were striking", "day a bright it the was striking and were",
    ))  # fmt: skip
    assert likely.perplexity < unlikely.perplexity / 3
    assert likely.unknown == 0
    assert model.pronunciations["through"] == [("TH", "R", "UW")]
    assert all(model.pronunciations[word] for word in model.words if word in model)
    rng = np.random.default_rng(0)
    for _ in range(20):
        total = np.exp(model.distribution(model.state(rng.integers(1, 3000, 2)))).sum()
        assert 0.9 < total < 1.1, "eight bits cost that little"
