"""``unbabble language-model``: texts of one's own become a file that a recogniser can use."""

import random

import pytest

import unbabble
from unbabble import cli
from unbabble.base import weights
from unbabble.text import arpa, language_models

PROSE = """
Mr. Darcy looked at the colour of the sea;
the sea looked grey. “Grey,” said Mr. Darcy, “is the colour!”

The sea said nothing, and Mr. Darcy looked at the sea.
"""
DICTIONARY = "the DH AH\nthe(2) DH IY\nsea S IY\nlooked L UH K T\ncolor K AH L ER\n"


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run a command line where there are texts and a dictionary: exit code, stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prose.txt").write_text(PROSE, encoding="utf-8")
    (tmp_path / "lines.txt").write_text("THE SEA IS GREY\nTHE COLOUR IS GREY\n", encoding="utf-8")
    (tmp_path / "small.dict").write_text(DICTIONARY)

    def run(line):
        code = cli.run(["language-model", *line.split()])
        return code, capsys.readouterr().err

    return run


def test_prose_and_lines_become_a_model(call, tmp_path):
    code, text = call(
        "prose.txt lines.txt lines.txt --out my.safetensors --dictionary small.dict --licence CC0 --held-out lines.txt"
    )
    assert code == 0, text
    assert text.startswith("my.safetensors: 13 words, ")
    assert "; perplexity " in text
    assert text.endswith("0.0% of the words unknown\n")
    model = language_models.find(str(tmp_path / "my.safetensors"))
    assert model.words[0] == "the"
    assert {"mister", "colour", "grey"} < set(model.words)
    assert model.pronunciations["the"] == [("DH", "AH"), ("DH", "IY")]
    assert model.pronunciations["colour"] == [("K", "AH", "L", "ER")]
    assert all(model.pronunciations[word] for word in model.words[:-1])
    grey, the = (
        model.log_prob([0, model.number("the"), model.number("sea")], model.number(w)) for w in ("is", "the")
    )
    assert grey > the
    card = weights.read_card(tmp_path / "my.safetensors")
    assert (card.method, card.licence, card.data) == ("kneser_ney", "CC0", "prose.txt, lines.txt")


def test_arpa_and_back(call, tmp_path):
    assert call("prose.txt --out my.arpa --order 2 --words 3 --quiet") == (0, "")
    assert call("my.arpa --out my.safetensors --dictionary small.dict")[0] == 0
    written, packed = arpa.read(tmp_path / "my.arpa"), language_models.find(str(tmp_path / "my.safetensors"))
    assert (written.order, len(written.words)) == (2, 4)
    assert packed.words == written.words
    assert packed.log_probs == pytest.approx(written.log_probs, abs=0.01)
    assert (
        language_models.find(str(tmp_path / "my.arpa")).pronunciations.keys() == packed.pronunciations.keys()
    )


def test_a_file_that_was_made_again_is_read_again(call, tmp_path):
    for words in (2, 3):
        assert call(f"prose.txt --out my.safetensors --words {words} --overwrite --quiet") == (0, "")
        assert len(language_models.find(str(tmp_path / "my.safetensors")).words) == words + 1


def test_a_size_is_kept_and_used(call, tmp_path):
    rng = random.Random(0)
    words = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "bdgkmnprst"]
    lines = [" ".join(rng.choice(words[:: rng.randint(1, 9)]) for _ in range(8)) for _ in range(3000)]
    (tmp_path / "many.txt").write_text("\n".join(lines))
    assert call("many.txt --out all.safetensors --singletons")[0] == 0
    whole = (tmp_path / "all.safetensors").stat().st_size
    assert call(f"many.txt --out half.safetensors --singletons --size {whole / 2e6}")[0] == 0
    assert 0.4 * whole < (tmp_path / "half.safetensors").stat().st_size <= whole / 2
    assert call(f"many.txt --out same.safetensors --singletons --size {whole / 1e6 + 1}")[0] == 0
    assert (tmp_path / "same.safetensors").stat().st_size == pytest.approx(whole, abs=100)
    code, text = call("many.txt --out no.safetensors --size 0.001")
    assert code == 2
    assert " words take 0.00" in text
    assert not (tmp_path / "no.safetensors").exists()


def test_words_of_another_script_are_unknown_to_english(call, tmp_path):
    (tmp_path / "mixed.txt").write_text("the sea море\nморе the sea", encoding="utf-8")
    assert call("mixed.txt --out en.safetensors --quiet")[0] == 0
    assert language_models.find(str(tmp_path / "en.safetensors")).words == ("sea", "the", "<unk>")
    assert call("mixed.txt --out ru.safetensors --language ru --quiet")[0] == 0
    model = language_models.find(str(tmp_path / "ru.safetensors"))
    assert "море" in model
    assert not model.pronunciations


def test_models_say_what_such_a_file_is(call, tmp_path, capsys):
    call("prose.txt --out my.safetensors --data letters --quiet")
    assert cli.run(["models", "info", "my.safetensors"]) == 0
    said = capsys.readouterr().out
    assert "Kind:     language model: it says which words are likely" in said
    assert "letters" in said
    assert " n-grams, 0.00 MB" in said
    assert cli.run(["push", "my.safetensors", "folder"]) == 2
    assert "is no network: its file can be copied" in capsys.readouterr().err
    with pytest.raises(
        unbabble.UsageError, match="does not separate talkers: it says which words are likely"
    ):
        unbabble.load("my.safetensors", "separator")


def test_a_folder_is_its_texts(call, tmp_path):
    (tmp_path / "texts").mkdir()
    for name in ("prose.txt", "lines.txt"):
        (tmp_path / name).rename(tmp_path / "texts" / name)
    assert call("texts --out all.safetensors --singletons --size 1 --quiet") == (0, "")
    assert language_models.find(str(tmp_path / "all.safetensors")).number("colour") < 13
    card = weights.read_card(tmp_path / "all.safetensors")
    assert card.command == "unbabble language-model texts --out all.safetensors --size 1.0 --singletons"
    assert card.data == "texts"


def test_from_python(call, tmp_path):
    built = unbabble.language_model("prose.txt", out="my.safetensors", quiet=True)
    assert built.words == 13
    assert built.ngrams[0] == 15
    assert built.to_dict()["perplexity"] is None


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("absent.txt --out m.safetensors", 1, "Cannot read 'absent.txt'"),
        ("empty.txt --out m.safetensors", 1, "no words in the text"),
        ("bytes.txt --out m.safetensors", 1, "'bytes.txt' is no text in UTF-8"),
        ("prose.txt --out m.bin", 2, "ends in .safetensors or .arpa"),
        ("prose.txt --out m.safetensors --order 7", 2, "between 1 and 4"),
        ("prose.txt --out m.safetensors --words 0", 2, "--words is at least 1"),
        ("prose.txt --out m.safetensors --size 0", 2, "--size above 0"),
        ("prose.txt --out m.arpa --size 1", 2, "--size is for files that end in .safetensors"),
        ("prose.txt --out there.safetensors", 2, "--overwrite replaces it"),
        ("model.arpa --out m.safetensors", 1, "no language model in the format of ARPA"),
        ("model.arpa --out m.safetensors --size 1", 2, "--size is for texts"),
        ("prose.txt --out m.safetensors --dictionary bytes.txt", 1, "dictionary"),
        (
            "prose.txt --out m.safetensors --dictionary small.dict --language de",
            2,
            "--dictionary is for English",
        ),
        ("prose.txt --out m.safetensors --held-out absent.txt", 1, "Cannot read 'absent.txt'"),
        ("prose.txt --out m.safetensors --held-out empty.txt", 1, "no words in 'empty.txt'"),
        ("prose.txt --out model.arpa --held-out model.arpa --overwrite", 2, "would be lost"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(line, code, message, call, tmp_path):
    for name, content in (("empty.txt", b"\n"), ("bytes.txt", b"\xff\xfe\xfa"), ("model.arpa", b"no model")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "there.safetensors").write_bytes(b"mine")
    got, text = call(line)
    assert (got, message in text) == (code, True), text
    assert text.count("\n") == 1
    assert not list(tmp_path.glob("m.*"))
    assert (tmp_path / "there.safetensors").read_bytes() == b"mine"
