"""The table of kinds: commands that exist, sentences, documents; models and their cards read it."""

from pathlib import Path

import pytest
import yaml

from tests.contracts.examples import build, of_kind
from unbabble.base import registry
from unbabble.base.kinds import KINDS, wrong_kind
from unbabble.base.weights import WeightsCard
from unbabble.networks.folder import model_card
from unbabble.verbs import VERBS

DOCS = Path(__file__).parents[2] / "docs"


def test_commands_exist():
    verbs = {verb.name for verb in VERBS}
    assert all({kind.verb, *kind.also} <= verbs | {""} for kind in KINDS.values())


def test_a_wrong_kind_is_one_sentence():
    assert wrong_kind("gru.2x64", KINDS["enhancer"], "separator") == (
        "Model 'gru.2x64' does not separate talkers: it takes noise off; try `unbabble enhance`."
    )
    assert wrong_kind("xvector.8k", KINDS["embedder"], "scorer") == (
        "Model 'xvector.8k' does not say how well talkers were separated: it tells speakers apart; "
        "try `unbabble embed`."
    )


def test_the_kind_of_weights_follows_from_what_they_were_trained_for():
    kinds = {name: [kind.name for kind in registry.kinds_of(name)] for name in registry.models()}
    assert kinds["bsrnn.1talker_16k"] == ["enhancer"]
    assert kinds["bsrnn.2talkers_8k"] == ["separator"]
    assert kinds["adaptive_dae.16k"] == ["enhancer", "meter"]


def test_documents_have_the_table():
    text, design = (DOCS / "models.md").read_text(), (DOCS / "design.md").read_text()
    for kind in KINDS.values():
        command = f"`{kind.command('NAME')}`" if kind.verb else ""
        assert f"| {kind.name} | {kind.does} | {command}" in text
        assert f"| {kind.name} |" in design


@pytest.mark.parametrize("kind", [name for name in KINDS if of_kind(name, networks=True)])
def test_model_cards_say_what_the_hub_calls_it(kind):
    network = build(of_kind(kind, networks=True)[0])
    text = model_card("mine", WeightsCard(network.card.name), network)
    front = yaml.safe_load(text.split("---")[1])
    assert front.get("pipeline_tag", "") == KINDS[kind].hub_task
    assert f"It {KINDS[kind].does}" in text
    assert KINDS[kind].command("mine") in text
