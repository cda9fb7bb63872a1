"""Learning to write down what is said: batches of unequal lengths, rates of a whole set, runs that were killed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from unbabble.base import registry, weights
from unbabble.base.errors import InputError, UsageError
from unbabble.data.transcribed import Spoken
from unbabble.nn.kinds.recognizer import Emission
from unbabble.training.progress import Progress
from unbabble.training.run import Run
from unbabble.training.tasks import create
from unbabble.verbs.train import train

RATE, STEPS, KILLED_AT = 16000, 6, 5
TEXTS = ("a dog", "go", "good dog a", "do", "a good", "dog go")
TASKS = {
    "conformer_ctc": {"flat_start_steps": 2, "attention_from_step": 3},
    "blstm_ctc": {},
    "listen_attend_spell": {},
}
DROPPED = {"dropout": 0.3, "sampled": 0.3, "leave_out": 0.3}
pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory")


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> Path:
    """Tones, one for each letter, with their texts beside them, and a dictionary."""
    folder = tmp_path_factory.mktemp("speech")
    time = np.arange(RATE // 6) / RATE
    for number, text in enumerate(TEXTS):
        tones = [np.sin(2 * np.pi * 40 * (ord(letter) - 90) * time) * (letter != " ") for letter in text]
        soundfile.write(folder / f"{number}.wav", 0.1 * np.concatenate(tones), RATE)
        (folder / f"{number}.txt").write_text(text)
    (folder / "words.dict").write_text("a AH\ndog D AO G\ngo G OW\ngood G UH D\ndo D UW\n")
    return folder


def recipe(name: str, speech: Path) -> dict:
    data = {"kind": "transcribed", "speech": [str(speech)], "batch_seconds": 2.0, "tokens": 9}
    data |= {"dictionary": str(speech / "words.dict")}
    tiny = registry.method(name).TINY
    return {
        "method": name,
        "options": tiny | {key: value for key, value in DROPPED.items() if key in tiny},
        "task": TASKS[name],
        "train": data | {"speeds": [0.9, 1.0]},
        "validation": data,
        "validation_items": 5,
        "steps": STEPS,
        "optimizer": "muon",
        "learning_rate": 0.01,
        "average": 0.9,
        "validate_every": 3,
        "save_every": 2,
        "workers": 0,
        "seed": 3,
    }


class Killed(Exception):
    pass


def learnt(name, speech, out, monkeypatch, killed=False):
    """Validations and weights of a run; one that was killed has gone on in another random state."""
    monkeypatch.setattr(Progress, "plot", lambda self, path: None)
    monkeypatch.setenv("UNBABBLE_CACHE", str(speech / "cache"))
    config = out.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(recipe(name, speech)))
    if killed:
        update = Run._update

        def killing(self, batch):
            if self.progress.step == KILLED_AT:
                raise Killed
            return update(self, batch)

        with monkeypatch.context() as patch:
            patch.setattr(Run, "_update", killing)
            with pytest.raises(Killed):
                train(config, out=out, device="cpu", quiet=True)
        torch.manual_seed(99)
    validations = train(config, out=out, device="cpu", quiet=True, resume=killed).validations
    return validations, weights.read_tensors(out / "last.safetensors")


@pytest.mark.parametrize("name", TASKS)
def test_a_run_that_was_killed_goes_on_bit_by_bit(name, speech, tmp_path, monkeypatch):
    expected, whole = learnt(name, speech, tmp_path / "whole", monkeypatch)
    found, resumed = learnt(name, speech, tmp_path / "killed", monkeypatch, killed=True)
    assert found == expected
    assert [each["step"] for each in found] == [3, 6]
    assert all(torch.equal(tensor, resumed[key]) for key, tensor in whole.items())
    rates = {"word_error_rate", "character_error_rate"}
    assert rates <= found[0].keys()
    assert ("phone_error_rate" in found[0]) == (name == "conformer_ctc")


def test_its_weights_know_their_tokens(speech, tmp_path, monkeypatch):
    learnt("blstm_ctc", speech, tmp_path / "run", monkeypatch)
    card = weights.read_card(tmp_path / "run" / "best.safetensors")
    assert set("adgo▁") < set(card.options["tokens"])
    assert len(card.options["tokens"]) == 9


def test_a_recogniser_is_tuned_on_a_folder(speech, tmp_path, monkeypatch):
    learnt("blstm_ctc", speech, tmp_path / "run", monkeypatch)
    start = tmp_path / "run" / "last.safetensors"
    changes = ["steps=2", "validate_every=2", "workers=0", "average=0"]
    tuned = train(
        from_=str(start), data=speech, out=tmp_path / "tuned", device="cpu", quiet=True, set=changes
    )
    assert [each["step"] for each in tuned.validations] == [0, 2]
    written = yaml.safe_load((tmp_path / "tuned" / "recipe.yaml").read_text())
    assert (written["train"]["kind"], written["train"]["held_out"]) == ("transcribed", False)
    assert written["options"]["tokens"] == weights.read_card(start).options["tokens"]


def spoken(*texts: str) -> list[Spoken]:
    return [
        Spoken(np.full(800 * (number + 1), 0.1, np.float32), text, "D AO G", "anna")
        for number, text in enumerate(texts)
    ]


def tiny(name: str = "blstm_ctc", **task):
    return create(registry.create(name, **registry.method(name).TINY), task)


def test_a_batch_is_padded_with_zeros():
    task = tiny("conformer_ctc")
    batch = task.collate(spoken("dog", "a", "do go"))
    assert batch.waveform.shape == (3, 2400)
    assert batch.lengths.tolist() == [800, 1600, 2400]
    assert [int((row != 0).sum()) for row in batch.waveform] == [800, 1600, 2400]
    text, phones = batch.targets
    assert [task.network.tokens.decode(row.tolist()) for row in text] == ["dog", "a", "do go"]
    assert text[1, 2:].eq(0).all()
    assert task.network.phones.decode(phones[0].tolist()) == "D AO G"


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_in_which_nobody_speaks_is_learnt_from(name):
    """Noise alone: the more probable nothing is, the lower is the loss."""
    task = tiny(name)
    batch = task.collate([each._replace(phones="") for each in spoken("", "")])
    assert all(row.shape[0] == 2 and row.eq(0).all() for row in batch.targets)
    optimizer = torch.optim.Adam(task.network.parameters(), 0.01)
    losses = []
    for step in range(2, 12):
        loss = torch.stack(list(task.losses("network", batch, step).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_rates_are_of_all_words_together(monkeypatch):
    """Not the mean of the items' rates, in which short ones would weigh as much."""
    task = tiny()
    written = iter(["a dog go", "", "dog", "go"])

    def hypotheses(waveform, lengths):
        rows = [next(written).split() for _ in waveform]
        return {"text": [[Emission(f"▁{word}", 0.0, 0.1, 1.0) for word in row] for row in rows]}

    monkeypatch.setattr(task.network, "hypotheses", hypotheses)
    with torch.no_grad():
        measured = task.measure(spoken("a dog go", "do", "dog", "a go"), 4)
    assert measured["word_error_rate"] == pytest.approx(2 / 7)
    assert measured["character_error_rate"] == pytest.approx(4 / (8 + 2 + 3 + 4))
    assert task.regret(measured) == measured["character_error_rate"]
    assert "words 28.6% wrong" in task.reported(measured)


def test_phones_decide_where_there_are_any():
    assert tiny("conformer_ctc").regret({"phone_error_rate": 0.3, "character_error_rate": 0.9}) == 0.3


@pytest.mark.parametrize(
    ("name", "task", "words"),
    [
        ("blstm_ctc", {"flat_start_steps": 10}, "A blstm_ctc has no flat start"),
        (
            "transformer_asr",
            {"attention_from_step": 10},
            "A transformer_asr has no attention that may begin later",
        ),
        ("blstm_ctc", {"flat_start": 10}, "flat_start_steps"),
    ],
)
def test_what_a_network_cannot_do_is_one_sentence(name, task, words):
    with pytest.raises(UsageError, match=words):
        tiny(name, **task)


def test_items_are_checked_before_the_first_step():
    task = tiny()
    with pytest.raises(InputError, match="cannot be written with these tokens: there is no é"):
        task.check(spoken("café")[0], "train")


@pytest.mark.parametrize(
    ("word", "dictionary", "reason"),
    [
        ("goξ", None, "'goξ' cannot be written with these tokens: there is no ξ"),
        ("goξ", "words.dict", "'goξ' cannot be pronounced"),
    ],
)
def test_every_text_is_checked_before_the_first_step(speech, tmp_path, monkeypatch, word, dictionary, reason):
    """Of what is held out too, whichever item has the strange letter; nothing was computed by then."""
    monkeypatch.setattr(Run, "_update", lambda *_: pytest.fail("a step was made"))
    monkeypatch.setenv("UNBABBLE_CACHE", str(tmp_path / "cache"))
    strange = tmp_path / "strange"
    shutil.copytree(speech, strange)
    (strange / "4.txt").write_text(f"a {word} dog", encoding="utf-8")
    content = recipe("blstm_ctc", speech)
    for section, folder in (("train", speech), ("validation", strange)):
        content[section] |= {
            "speech": [str(folder)],
            "dictionary": None if dictionary is None else str(folder / dictionary),
        }
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(InputError, match=rf"^The recipe's section 'validation': .*({reason})"):
        train(config, out=tmp_path / "run", device="cpu", quiet=True)
