"""What finds sounds by words and was trained elsewhere; the fixtures are described in tests/fixtures/README.md."""

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from tests.sound_models import vocabulary
from unbabble.base import weights
from unbabble.base.errors import InputError
from unbabble.base.registry import method
from unbabble.networks import load as networks
from unbabble.networks.foreign import gpvad, kinds_in

FIXTURES = Path(__file__).parents[1] / "fixtures"
PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "rain", "##s", "a", "dog", "roof", ",")
CONFIG = {
    "model_type": "bert", "vocab_size": len(PIECES), "hidden_size": 12, "num_hidden_layers": 2,
    "num_attention_heads": 3, "intermediate_size": 16, "max_position_embeddings": 10,
}  # fmt: skip
TEXTS = ["rain", "A dog, dogs", "rains rain"]


def bert_folder(folder: Path, *, prefix: str = "") -> None:
    """A tiny BERT of transformers', with random weights, as it is published."""
    transformers = pytest.importorskip("transformers")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.BertModel(transformers.BertConfig(**CONFIG))
    tensors = {prefix + name: each.contiguous() for name, each in model.state_dict().items()}
    from safetensors.torch import save_file

    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_sentence_encoders_give_the_same_vectors_as_transformers(tmp_path, prefix):
    bert_folder(tmp_path, prefix=prefix)
    transformers = pytest.importorskip("transformers")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.BertModel(transformers.BertConfig(**CONFIG)).eval()
    tokenizer = transformers.BertTokenizer(str(tmp_path / "vocab.txt"))
    read = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**read).last_hidden_state
    mean = (states * read["attention_mask"][..., None]).sum(1)
    assert kinds_in(tmp_path)[0].name == "text encoder"
    network = networks.load(str(tmp_path), "text encoder").network
    wanted = torch.nn.functional.normalize(mean, dim=-1)
    torch.testing.assert_close(network.encode_text(TEXTS), wanted, rtol=0, atol=1e-6)


def test_a_text_that_is_too_long_is_read_at_its_beginning(tmp_path):
    bert_folder(tmp_path)
    network = networks.load(str(tmp_path), "text encoder").network
    torch.testing.assert_close(network.encode_text(["rain " * 50]), network.encode_text(["rain " * 8]))


@pytest.mark.parametrize("missing", ["model.safetensors", "vocab.txt"])
def test_a_sentence_encoder_that_lacks_a_file_is_one_sentence(tmp_path, missing):
    bert_folder(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(InputError, match="There is no file"):
        networks.load(str(tmp_path), "text encoder")


LABELS = ("High tone", "Low_tone", "Hiss")


def tagger_folder(folder: Path, labels: tuple[str, ...] = LABELS) -> Path:
    """A tagger with the fixture's weights, its labels pickled as scikit-learn does, and a text encoder."""
    module = ModuleType("sklearn.preprocessing.label")
    binarizer = type("MultiLabelBinarizer", (), {"__module__": module.__name__})
    module.MultiLabelBinarizer = binarizer
    content = binarizer()
    content.classes_ = np.array(labels, object)
    text = method("word_vectors")(letters=len(vocabulary()), pieces=5, dimension=4)
    text.vocabulary.copy_(vocabulary())
    text.vectors.weight.data = torch.eye(5)[:, :4] + 0.1
    encoder = folder / "words.safetensors"
    weights.save(encoder, text.state_dict(), weights.WeightsCard("word_vectors", text.options))
    (folder / "teacher").mkdir()
    (folder / "labelencoders").mkdir()
    network = gpvad.Tagger(labels=LABELS, text=text)
    torch.save(seeded(network), folder / "teacher" / "model.pth")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("sklearn", "sklearn.preprocessing"):
            patch.setitem(sys.modules, name, sys.modules.get(name) or ModuleType(name))
        patch.setitem(sys.modules, module.__name__, module)
        torch.save(content, folder / "labelencoders" / "teacher.pth")
    return encoder


def seeded(network) -> dict[str, torch.Tensor]:
    """Weights that NumPy's generator makes, in the order of their names, as in the fixture."""
    rng = np.random.default_rng(0)
    made = {}
    for name, tensor in sorted(network.state_dict().items()):
        if name.startswith("text."):
            continue
        if name.endswith("num_batches_tracked"):
            made[name] = torch.tensor(1)
        elif name.endswith("running_var"):
            made[name] = torch.from_numpy(rng.uniform(0.5, 2, tuple(tensor.shape)).astype(np.float32))
        else:
            scale = np.sqrt(2 / max(1, tensor[0].numel()))
            made[name] = torch.from_numpy(
                (scale * rng.standard_normal(tuple(tensor.shape))).astype(np.float32)
            )
    return made


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    """A folder with a tagger, and its text encoder."""
    folder = tmp_path_factory.mktemp("tagger")
    return folder / "teacher", tagger_folder(folder)


def opened(tagger, kind="joint embedder"):
    return networks.load(str(tagger[0]), kind, text=str(tagger[1])).network


def test_taggers_compute_what_their_authors_do(tagger):
    with np.load(FIXTURES / "gpvad.npz") as file:
        bands, wanted = torch.from_numpy(file["bands"]).float(), torch.from_numpy(file["found"])
    assert (wanted[0] - wanted[1]).abs().max() > 1e-3
    with torch.no_grad():
        torch.testing.assert_close(opened(tagger).of_bands(bands), wanted, rtol=0, atol=1e-5)


def test_a_text_is_the_class_whose_name_is_most_like_it(tagger):
    network = opened(tagger)
    assert network.words == ("High tone", "Low tone", "Hiss")
    texts = network.embed_text(["low", "hiss"])
    assert texts.argmax(1).tolist() == [1, 2]
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(2))


def test_shares_follow_the_probabilities(tagger):
    network = opened(tagger)
    waveform = torch.randn(1, 22050, generator=torch.Generator().manual_seed(0))
    shares = network.shares(network(waveform), torch.eye(3))
    with torch.no_grad():
        probabilities = network.probabilities(waveform - waveform.mean())
    torch.testing.assert_close(shares, probabilities / probabilities.sum(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("samples", [1, 100, 3000])
def test_recordings_of_any_length_are_heard(tagger, samples):
    vector = opened(tagger)(torch.ones(1, samples) + torch.arange(samples) % 2)
    assert vector.isfinite().all()


def test_a_tagger_without_its_labels_is_one_sentence(tmp_path):
    tagger_folder(tmp_path, labels=LABELS[:2])
    with pytest.raises(InputError, match="names 2 classes, and the network has 3"):
        networks.load(str(tmp_path / "teacher"), text=str(tmp_path / "words.safetensors"))
    (tmp_path / "labelencoders" / "teacher.pth").unlink()
    with pytest.raises(InputError, match="There is no file"):
        networks.load(str(tmp_path / "teacher"), text=str(tmp_path / "words.safetensors"))


def test_other_objects_among_labels_are_refused(tmp_path):
    encoder = tagger_folder(tmp_path)
    torch.save({"classes_": Path("x")}, tmp_path / "labelencoders" / "teacher.pth")
    with pytest.raises(InputError, match="holds more than tensors and plain data"):
        networks.load(str(tmp_path / "teacher"), text=str(encoder))
