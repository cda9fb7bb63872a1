"""``unbabble.load``: by kind, what takes recordings as they come; and what is said where the kind is another."""

import numpy as np
import pytest
import soundfile
import torch

import unbabble
from tests.contracts.examples import of_kind, talkers
from unbabble.base import weights
from unbabble.base.errors import InputError, UsageError
from unbabble.base.kinds import KINDS
from unbabble.base.registry import create, method
from unbabble.base.weights import packaged
from unbabble.networks.load import kinds_of
from unbabble.pipelines.open import OPENERS

RATE = 16000


@pytest.fixture
def stored(tmp_path):
    """Writes the tiny variant of the first network of a kind, untrained, and gives its place."""

    def store(kind: str) -> str:
        name = of_kind(kind, networks=True)[0]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = create(name, **method(name).TINY)
        path = tmp_path / f"{kind}.safetensors"
        weights.save(path, network.state_dict(), weights.WeightsCard(name, network.resolved_options()))
        return str(path)

    return store


@pytest.fixture
def meeting(tmp_path):
    """Two who talk, four seconds, a silent microphone first."""
    mixture = talkers().sum(0).repeat(12)[: 4 * RATE].numpy()
    soundfile.write(tmp_path / "meeting.wav", np.stack([0 * mixture, mixture], 1), RATE, subtype="FLOAT")
    return tmp_path / "meeting.wav"


def test_every_kind_that_takes_recordings_can_be_opened():
    assert {*OPENERS, "adaptation", "language model", "objective", "text encoder"} == set(KINDS)


def test_what_writes_down_what_is_said(stored, meeting):
    model = unbabble.load(stored("recognizer"), device="cpu", language_model="none")
    found = model(meeting)
    assert found.audio_seconds == 4.0
    mixture = torch.from_numpy(soundfile.read(meeting, dtype="float32")[0].T)
    assert model(mixture, RATE).words == found.words
    assert (
        unbabble.load(stored("recognizer"), "recognizer", "cpu", language_model="none")(meeting).text
        == found.text
    )


@pytest.mark.parametrize("kind", ["separator", "enhancer"])
@pytest.mark.parametrize("named", [True, False])
def test_what_separates_and_enhances(stored, meeting, kind, named):
    model = unbabble.load(stored(kind), kind if named else None, device="cpu")
    found = model(meeting)
    assert found.sources.shape == (2 if kind == "separator" else 1, 4 * RATE)
    mixture = torch.from_numpy(soundfile.read(meeting, dtype="float32")[0].T)
    assert torch.equal(model(mixture, RATE).sources, found.sources)


@pytest.mark.parametrize("kind", ["counter", "meter", "embedder"])
def test_what_hears_one_microphone(stored, meeting, kind):
    found = unbabble.load(stored(kind), device="cpu")(meeting)
    again = unbabble.load(stored(kind), kind, "cpu")(
        torch.from_numpy(soundfile.read(meeting)[0][:, 1]).float(), RATE
    )
    assert found.ndim == (0 if kind == "meter" else 1)
    torch.testing.assert_close(found, again)


def test_what_also_is_of_another_kind(stored, meeting):
    place = stored("enhancer")
    assert [kind.name for kind in kinds_of(place)] == ["enhancer", "meter"]
    assert unbabble.load(place, "meter", "cpu")(meeting) < 0


@pytest.mark.parametrize("name", ["", "x.wav"])
def test_what_is_no_name_of_a_model(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"There is no model '{name}'"):
        unbabble.load(name)


def test_a_file_is_no_model_unless_it_holds_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.wav").write_bytes(b"sound")
    with pytest.raises(InputError, match=r"'in/x\.wav' is no model: weights are"):
        unbabble.load("in/x.wav")


PACKAGED = {kind.name for name in packaged() for kind in kinds_of(name)}


@pytest.mark.parametrize("kind", sorted(PACKAGED & OPENERS.keys()))
def test_auto_is_something_packaged(kind):
    assert callable(unbabble.load("auto", kind, "cpu"))


@pytest.mark.parametrize("kind", sorted(OPENERS.keys() - PACKAGED))
def test_what_nothing_is_packaged_of_is_said_to_need_a_file(kind):
    with pytest.raises(UsageError, match=r"No .* is packaged: name a file"):
        unbabble.load("auto", kind, "cpu")


def test_what_scores(stored):
    mixture = talkers().sum(0)
    scores = unbabble.load(stored("scorer"), device="cpu")(mixture, talkers(), RATE)
    assert len(scores) == 2
    assert scores[0].low_db <= scores[0].si_snr_db <= scores[0].high_db


def test_what_extracts_also_by_a_separator(stored, tmp_path, meeting, monkeypatch):
    from unbabble.pipelines import extract

    monkeypatch.setattr(
        extract, "enrollment_of", lambda paths, rate, warnings: torch.ones(rate).cumsum(0).sin()
    )
    network = unbabble.load(stored("extractor"), device="cpu")(meeting, enroll=tmp_path / "me.wav")
    chosen = unbabble.load(stored("separator"), "extractor", "cpu")(meeting, enroll=[tmp_path / "me.wav"])
    for found in (network, chosen):
        assert found.sources.shape == (1, 4 * RATE)
        assert found.warnings == ["Microphone 1 of 2: silent, left out."]


def test_another_kind_is_one_sentence_that_says_what_it_is_for(stored):
    for name, kind, sentence in (
        ("gru.2x64", "separator", "does not separate talkers: it takes noise off; try `unbabble enhance`."),
        ("auxiva.iss", "enhancer", "does not take noise off: it separates talkers; try `unbabble separate`."),
        ("xvector.8k", "scorer", "separated: it tells speakers apart; try `unbabble embed`."),
        (stored("meter"), "embedder", "it says how good speech is; try `unbabble enhance --choose`."),
        ("remixit", None, "takes no recordings by itself: `unbabble adapt"),
    ):
        with pytest.raises(UsageError) as raised:
            unbabble.load(name, kind)
        assert sentence in str(raised.value)
    with pytest.raises(UsageError, match="no kind of model called 'cpu', but separator, enhancer"):
        unbabble.load("gru.2x64", "cpu")
    for kind in ("scorer", "counter", "embedder", "enhancer"):
        with pytest.raises(UsageError, match="has no option 'colour'"):
            unbabble.load(stored(kind), colour=3)
