"""Windows of recordings, and the index that finds them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.sound_models import RATE
from unbabble.base.errors import InputError, UsageError
from unbabble.pipelines import sound_index
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.sound_index import Index, Indexed, Maker
from unbabble.pipelines.sounds import SoundEmbedder, Windows

MAKER = Maker("model", "0" * 64, 2.0, 1.0)


class First(torch.nn.Module):
    """Its vector is the first three samples of a window."""

    sample_rate = RATE

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, waveform):
        return waveform[:, :3]


EMBEDDER = SoundEmbedder("first", First(), 1.0)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 1.2, 3.0, 13.0, 13.1, 26.3, 40.0])
def test_windows_begin_every_step_and_the_last_ends_with_the_recording(seconds):
    samples = torch.arange(1, round(seconds * RATE) + 1).float()[None]
    windows = EMBEDDER.windows(Recording.of(samples / 1e6, RATE))
    last = max(0.0, seconds - 1)
    wanted = np.append(np.arange(0, last - 1e-6, 0.5), last)
    np.testing.assert_allclose(windows.starts, wanted, atol=1e-4)
    at = np.round(windows.starts * RATE).astype(int)
    heard = samples.numpy()[0, at[:, None] + np.arange(3)]
    np.testing.assert_allclose(windows.vectors, heard / np.linalg.norm(heard, axis=1)[:, None], rtol=1e-5)


def test_silence_has_no_vectors():
    samples = torch.zeros(1, 3 * RATE)
    assert not len(EMBEDDER.windows(Recording.of(samples, RATE)).starts)
    samples[0, 2 * RATE :] = 1
    assert EMBEDDER.windows(Recording.of(samples, RATE)).starts.tolist() == [1.5, 2.0]
    with pytest.raises(InputError, match="silent"):
        EMBEDDER.windows(Recording.of(samples[:, :RATE], RATE)).mean()


def unit(rows, dimension, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def index_of(folder: Path, counts=(3, 1, 0, 4)) -> Index:
    """Files of so many windows."""
    index = Index(MAKER)
    for number, count in enumerate(counts):
        path = folder / f"{number}.wav"
        path.write_bytes(bytes(number + 1))
        windows = Windows(
            np.arange(count, dtype=np.float32), unit(count, 5, number) if count else np.zeros((0, 0))
        )
        index.files[path] = Indexed(*sound_index.state_of(path), count + 0.5, windows)
    return index


@pytest.mark.parametrize("by_half", [False, True])
def test_the_best_window_of_each_recording_the_best_first(tmp_path, monkeypatch, by_half):
    monkeypatch.setattr(sound_index, "MOST_BY_NUMPY", 8 if not by_half else 7)
    index, query = index_of(tmp_path), unit(1, 5, 9)[0]
    found = index.search(query, 10)
    best = {
        path: (each.windows.vectors @ query) for path, each in index.files.items() if len(each.windows.starts)
    }
    assert [each.path for each in found] == sorted(best, key=lambda path: -best[path].max())
    for each in found:
        assert each.span.score == pytest.approx(best[each.path].max(), abs=2e-3)
        assert each.span.start == best[each.path].argmax()
        assert each.span.end == min(each.span.start + 2, index.files[each.path].seconds)
    assert [each.path for each in index.search(query, 1)] == [found[0].path]
    assert [each.path for each in index.search(query, 9, [found[2].path])] == [found[2].path]


def test_an_index_survives_its_file_and_its_folder_may_move(tmp_path):
    (tmp_path / "a").mkdir()
    index, query = index_of(tmp_path / "a"), unit(1, 5, 9)[0]
    index.save(tmp_path / "a" / "i.safetensors")
    (tmp_path / "a").rename(tmp_path / "b")
    again = Index.load(tmp_path / "b" / "i.safetensors", MAKER)
    assert list(again.files) == [tmp_path / "b" / path.name for path in index.files]
    assert all(again.is_current(path) for path in again.files)
    (tmp_path / "b" / "1.wav").write_bytes(b"longer than it was")
    assert [path.name for path in again.files if not again.is_current(path)] == ["1.wav"]
    for one, other in zip(index.search(query, 9), again.search(query, 9), strict=True):
        assert (one.path.name, one.span.start) == (other.path.name, other.span.start)
        assert one.span.score == pytest.approx(other.span.score, abs=2e-3)


def test_an_empty_index_finds_nothing(tmp_path):
    Index(MAKER).save(tmp_path / "i.safetensors")
    assert Index.load(tmp_path / "i.safetensors").search(unit(1, 5)[0], 3) == []


def test_an_index_of_another_model_says_so(tmp_path):
    index_of(tmp_path).save(tmp_path / "i.safetensors")
    with pytest.raises(InputError, match="by 'model', not by 'other': --rebuild"):
        Index.load(tmp_path / "i.safetensors", Maker("other", "0" * 64, 2.0, 1.0))
    with pytest.raises(InputError, match="an earlier version of it"):
        Index.load(tmp_path / "i.safetensors", Maker("model", "1" * 64, 2.0, 1.0))
    with pytest.raises(UsageError, match="vectors of 5 numbers, and the query 3"):
        index_of(tmp_path).search(unit(1, 3)[0], 1)


@pytest.mark.parametrize("damage", ["cut", "garbage", "other", "header"])
def test_a_damaged_index_is_one_sentence(tmp_path, damage):
    file = tmp_path / "i.safetensors"
    index_of(tmp_path).save(file)
    content = file.read_bytes()
    if damage == "other":
        from safetensors.numpy import save

        content = save({"vectors": np.zeros((2, 2))})
    file.write_bytes(
        {
            "cut": content[:-20],
            "garbage": b"garbage",
            "other": content,
            "header": content.replace(b"maker", b"xaker"),
        }[damage]
    )
    with pytest.raises(InputError, match="is no index of recordings, or it is damaged: --rebuild"):
        Index.load(file)
