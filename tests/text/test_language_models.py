"""Language models by name: the packaged one, files, and what is none."""

import pytest

from unbabble.base import weights
from unbabble.base.errors import InputError, UsageError
from unbabble.text import language_models
from unbabble.text.pronounce import Pronouncer


@pytest.fixture(autouse=True)
def nothing_kept():
    yield
    for each in (language_models.dictionary, weights.packaged):
        each.cache_clear()


def test_pronunciations_need_not_the_whole_model():
    dictionary = language_models.dictionary()
    assert dictionary["though"] == [("DH", "OW")]
    assert len(dictionary) > 50_000
    assert language_models.pronouncer().of("though") == dictionary["though"]


def test_without_a_packaged_one(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "PACKAGED_FOLDER", tmp_path)
    weights.packaged.cache_clear()
    for call in (language_models.find, language_models.dictionary):
        with pytest.raises(InputError, match="No language model is installed: make one with"):
            call()
    assert language_models.pronouncer().of("though") == Pronouncer({}).of("though")
    (tmp_path / "tiny.arpa").write_text("\\data\\\nngram 1=2\n\n\\1-grams:\n-1 </s>\n-1 zap\n\n\\end\\\n")
    assert language_models.find(str(tmp_path / "tiny.arpa")).pronunciations == {"zap": [("Z", "AE", "P")]}


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("novels", UsageError, "no language model 'novels': name one of kneser_ney.novels, or a file"),
        ("absent.safetensors", InputError, "Cannot read the language model 'absent.safetensors'"),
        ("absent.arpa", InputError, "Cannot read the language model 'absent.arpa'"),
        ("gru.2x64", InputError, "holds weights of 'gru'"),
    ],
)
def test_what_is_none(name, kind, message):
    with pytest.raises(kind, match=message):
        language_models.find(name)
