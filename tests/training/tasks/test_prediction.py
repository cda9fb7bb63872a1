"""Learning to predict tokens: perplexities of a whole set, and runs by recipes."""

import math

import pytest
import torch
import yaml

from unbabble.base import registry, weights
from unbabble.base.errors import InputError
from unbabble.data.texts import Sentence
from unbabble.training.progress import Progress
from unbabble.training.tasks import create
from unbabble.verbs.train import train

pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory")
NETWORKS = ("lstm_lm", "transformer_lm")


def task(name: str = "lstm_lm"):
    return create(registry.create(name, **registry.method(name).TINY).eval(), {})


@torch.no_grad()
def test_perplexities_are_of_all_tokens_and_words_together():
    learner = task()
    texts = [Sentence("ab c"), Sentence("d"), Sentence("a b c d")] * 9
    measured = learner.measure(texts, 27)
    each = [float(learner.network.nats(learner.collate([text])[0])) for text in texts[:3]]
    assert measured["loss"] == pytest.approx(sum(each) / (6 + 3 + 9), rel=1e-5)
    assert measured["perplexity"] == pytest.approx(math.exp(measured["loss"]))
    assert measured["word_perplexity"] == pytest.approx(math.exp(sum(each) / (2 + 1 + 4 + 3)), rel=1e-5)
    assert "perplexity of tokens" in learner.reported(measured)


def test_a_batch_is_padded():
    (text,) = task().collate([Sentence("ab"), Sentence("d a")])
    assert text.tolist() == [[1, 2, 3, 0], [1, 5, 1, 2]]


def test_letters_that_are_no_tokens_are_refused():
    with pytest.raises(InputError, match="no x"):
        task().check(Sentence("ax"), "train")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_recipe_teaches_texts(name, tmp_path, monkeypatch):
    monkeypatch.setattr(Progress, "plot", lambda self, path: None)
    (tmp_path / "text.txt").write_text("the cat sat\nthe dog sat\na cat\na dog ran\n" * 20)
    data = {"kind": "text", "texts": [str(tmp_path / "text.txt")], "batch_characters": 400}
    options = {key: value for key, value in registry.method(name).TINY.items() if key != "tokens"}
    recipe = {
        "method": name, "options": options, "train": data, "validation": data, "validation_items": 8,
        "steps": 80, "learning_rate": 0.02, "validate_every": 40, "save_every": 40, "workers": 0, "seed": 1,
    }  # fmt: skip
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(recipe))
    first, last = train(config, out=tmp_path / "run", device="cpu", quiet=True).validations
    assert last["perplexity"] < first["perplexity"]
    assert last["perplexity"] < 2, "of the 13 characters few may follow"
    card = weights.read_card(tmp_path / "run" / "best.safetensors")
    assert card.options["tokens"] == sorted("▁thecasdogrn")
