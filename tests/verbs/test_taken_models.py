"""Which models each command takes: those of the kinds that the table says, and no others."""

import pytest

import unbabble
from unbabble.base.errors import InputError, UsageError
from unbabble.base.kinds import KINDS, taken_by
from unbabble.base.registry import of_kind

MODELS = {
    "separator": "conv_tasnet.2talkers_8k_live",
    "enhancer": "gru.2x32",
    "extractor": "td_speakerbeam.2talkers_8k",
    "counter": "countnet.3talkers_8k",
    "scorer": "blind_sisnr_bands.8k",
    "meter": "quality_net.16k",
    "embedder": "xvector.8k",
    "adaptation": "remixit",
}
"""A packaged model of each kind that has one."""
MISSING = "none.wav"
CALLS = {
    "separate": lambda model: unbabble.separate(MISSING, model=model, quiet=True),
    "enhance": lambda model: unbabble.enhance(MISSING, model=model, quiet=True),
    "extract": lambda model: unbabble.extract(MISSING, enroll=MISSING, model=model, quiet=True),
    "find": lambda model: unbabble.find("rain", ".", model=model, quiet=True),
    "label": lambda model: unbabble.label(MISSING, words=["rain", "wind"], model=model, quiet=True),
    "embed": lambda model: unbabble.embed(MISSING, model=model, quiet=True),
    "stream": lambda model: unbabble.stream(MISSING, model=model, quiet=True),
    "score": lambda model: unbabble.score(MISSING, MISSING, model=model, quiet=True),
    "bench": lambda model: unbabble.bench("folder", data=".", models=model, quiet=True),
    "export": lambda model: unbabble.export(model, out="model.onnx", set="nosuch=1", quiet=True),
}
"""Commands with a model, and nothing for it to work on."""


NAMED = [kind for kind in KINDS if kind in MODELS or of_kind(kind)]
"""Kinds of which there is a model with a name: segmenters are read from other toolkits' files."""


def model_of(kind):
    return MODELS.get(kind) or of_kind(kind)[0]


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("verb", CALLS)
def test_a_command_takes_the_kinds_of_the_table_alone(verb, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if verb == "bench":
        (tmp_path / "x.wav").write_bytes(b"no recording")
    sentence = ""
    try:
        assert CALLS[verb](model_of(kind)).exit_code == 1
    except (InputError, UsageError) as error:
        sentence = str(error)
    refused = KINDS[taken_by(verb)[0]].does_not in sentence or "is not a network" in sentence
    assert refused == (kind not in taken_by(verb)), sentence
    if refused and "is not a network" not in sentence:
        assert f"it {KINDS[kind].does}" in sentence


@pytest.mark.parametrize("kind", [kind for kind in NAMED if kind != "separator"])
def test_python_and_the_command_refuse_alike(kind):
    with pytest.raises(UsageError) as command:
        unbabble.separate(MISSING, model=model_of(kind), quiet=True)
    with pytest.raises(UsageError) as python:
        unbabble.load(model_of(kind), "separator", "cpu")
    assert str(command.value) == str(python.value)
