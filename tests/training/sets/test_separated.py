"""Separated mixtures in the cache."""

import numpy as np
import pytest
import soundfile
import torch

from unbabble.base.errors import UsageError
from unbabble.data.dynamic import DynamicMixing
from unbabble.signal.metrics import si_sdr
from unbabble.training.sets import separated
from unbabble.training.sets.separated import (
    ScoredItems,
    SeparatedData,
    SeparatedMixtures,
    SeparatedPart,
    matched,
    varied,
)


@pytest.fixture
def mixing(tmp_path):
    rng = np.random.default_rng(0)
    for speaker in ("a", "b", "c"):
        path = tmp_path / "speech" / speaker / "0.wav"
        path.parent.mkdir(parents=True)
        soundfile.write(path, 0.1 * rng.standard_normal(8000), 8000)
    return DynamicMixing(
        tmp_path / "speech", talkers=(1, 2), seconds=0.5, sample_rate=8000, cache=tmp_path / "cache"
    )


@pytest.fixture
def part(mixing, save, tmp_path):
    network = str(save(tmp_path / "network.safetensors"))
    return SeparatedPart(mixing, ("unchanged", network), items=3)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(separated, "BLOCK_ITEMS", 2)
    monkeypatch.setattr(separated, "available_cores", lambda: 1)  # in this process


def test_mixtures_by_all_separators(part, tmp_path):
    found = SeparatedMixtures(part, seed=1, cache=tmp_path)
    assert [each.separator for each in found] == [*part.separators] * 3
    for each in found:
        assert each.mixture.shape == (4000,)
        assert each.estimates.shape == each.references.shape
        assert len(each.estimates) == (1 if each.separator == "unchanged" else 2)
        assert len(each.sources) in (1, 2)
        mixed = each.mixture - each.sources.sum(0)
        assert np.abs(mixed).max() < 2e-3  # 16 bits of each
        if each.separator == "unchanged":
            np.testing.assert_allclose(each.estimates[0], each.mixture, atol=1e-3)


def test_a_longer_run_adds_to_what_is_there(part, tmp_path, monkeypatch):
    before = list(SeparatedMixtures(part, seed=1, cache=tmp_path))
    made = []
    original = separated._make_block
    monkeypatch.setattr(separated, "_make_block", lambda *a: made.append(a[2].number) or original(*a))
    longer = SeparatedMixtures(separated.replace(part, items=5), seed=1, cache=tmp_path)
    assert made == [2]
    for new, old in zip(longer, before, strict=False):
        assert np.array_equal(new.estimates, old.estimates)


def test_what_was_interrupted_is_made_again(part, tmp_path):
    first = SeparatedMixtures(part, seed=1, cache=tmp_path)
    wanted = [each.estimates for each in first]
    first.paths[1].with_suffix(".json").unlink()  # written last
    again = SeparatedMixtures(part, seed=1, cache=tmp_path)
    assert all(np.array_equal(a.estimates, b) for a, b in zip(again, wanted, strict=True))


def test_other_weights_are_another_separator(part, save, tmp_path):
    before = SeparatedMixtures(part, seed=1, cache=tmp_path)
    save(tmp_path / "network.safetensors", seed=5)
    after = SeparatedMixtures(part, seed=1, cache=tmp_path)
    assert set(before.paths).isdisjoint(after.paths)
    assert not np.array_equal(before.of(0)[1].estimates, after.of(0)[1].estimates)


def test_some_separators_for_each_mixture(part, tmp_path):
    some = separated.replace(part, each=1, items=8)
    names = [[each.separator for each in SeparatedMixtures(some, 0, tmp_path).of(i)] for i in range(8)]
    assert all(len(each) == 1 for each in names)
    assert {each[0] for each in names} == set(part.separators)


def test_items_for_training(part, tmp_path):
    data = SeparatedData({"all": part}, degraded_share=0.5, cache=tmp_path)
    items = ScoredItems(data, seed=2)
    for index in range(12):
        item, again = items[index], items[index]
        assert all(np.array_equal(a, b) for a, b in zip(item, again, strict=True))
        assert item.estimates.shape == item.references.shape == (3, 4000)
        there = np.abs(item.estimates).max(-1) > 0
        assert 1 <= there.sum() <= 2
        assert np.array_equal(there, np.abs(item.references).max(-1) > 0)
    assert not np.array_equal(items[0].estimates, items[1].estimates)


def test_untouched_items_tell_one_talker_from_several(part, tmp_path):
    items = ScoredItems(SeparatedData({"all": part}, untouched_share=1.0, cache=tmp_path))
    scores = []
    for index in range(20):
        mixture, estimates, references = items[index]
        assert np.array_equal(estimates[0], mixture)
        assert not estimates[1:].any()
        scores.append(float(si_sdr(*map(torch.from_numpy, (estimates[0], references[0])))))
    assert any(score > 50 for score in scores)  # one talker
    assert any(score < 10 for score in scores)  # two


@pytest.mark.parametrize("frequency", [400.0, 2500.0])
def test_varied_items_are_played_at_another_speed_and_hold_together(frequency):
    rng = np.random.default_rng(1)
    tone = np.sin(2 * np.pi * frequency / 8000 * np.arange(8000)).astype(np.float32)
    noise = rng.standard_normal(8000).astype(np.float32)
    heard = []
    for _ in range(20):
        both, first, second = varied(rng, np.stack([tone + noise, tone, noise]), 8000)
        np.testing.assert_allclose(both, first + second, atol=1e-4)
        heard.append(np.abs(np.fft.rfft(first)).argmax() / frequency)
    assert 1 / 1.101 < min(heard) < 0.96
    assert 1.04 < max(heard) < 1.101


def test_varied_items_keep_their_shape(part, tmp_path):
    shares = {"untouched_share": 1.0, "varied_share": 1.0}
    items = ScoredItems(SeparatedData({"all": part}, **shares, cache=tmp_path))
    plain = ScoredItems(SeparatedData({"all": part}, untouched_share=1.0, cache=tmp_path))
    for index in range(12):
        mixture, estimates, _ = items[index]
        assert [each.shape for each in items[index]] == [each.shape for each in plain[index]]
        np.testing.assert_allclose(estimates[0], mixture, atol=1e-6)
        assert not np.array_equal(mixture, plain[index].mixture)
        true = [
            si_sdr(*map(torch.from_numpy, (each[1][0], each[2][0]))) for each in (items[index], plain[index])
        ]
        assert (true[0] > 50) == (true[1] > 50)  # one talker stays one


def test_a_separator_can_be_left_out(part, tmp_path):
    data = SeparatedData({"all": part}, leave_out=("unchanged",), cache=tmp_path)
    items = ScoredItems(data)
    assert all((np.abs(items[i].estimates).max(-1) > 0).sum() == 2 for i in range(10))


def test_each_estimate_has_its_own_talker_as_far_as_there_are_any():
    rng = np.random.default_rng(0)
    sources = rng.standard_normal((2, 1000))
    assert matched(sources[::-1] + 0.1 * sources, sources) == [1, 0]
    assert sorted(matched(np.stack([sources[0]] * 2), sources)) == [0, 1]
    three = np.stack([sources[1] + 0.5 * sources[0], sources[0], sources[1]])
    assert matched(three, sources) == [1, 0, 1]
    assert matched(sources[1:], sources) == [1]
    with_silence = np.stack([sources[1], np.zeros(1000)])
    assert matched(with_silence, sources)[0] == 1


def test_references_are_the_best_there_are(part, tmp_path):
    for each in SeparatedMixtures(part, 0, tmp_path):
        estimates, references, sources = (
            torch.from_numpy(x) for x in (each.estimates, each.references, each.sources)
        )
        if len(sources) == 1:
            torch.testing.assert_close(
                si_sdr(estimates, references), si_sdr(estimates, sources[0].expand_as(estimates))
            )


def test_items_of_a_batch_have_one_duration(part, tmp_path):
    longer = separated.replace(part, items=2, mixing=separated.replace(part.mixing, seconds=1.0))
    items = ScoredItems(SeparatedData({"a": part, "b": longer}, alike=4, cache=tmp_path), 0)
    batches = [{items[4 * batch + place].mixture.shape for place in range(4)} for batch in range(12)]
    assert all(len(shapes) == 1 for shapes in batches)
    assert set.union(*batches) == {(4000,), (8000,)}


def test_an_option_that_is_left_alone_changes_no_key(part, tmp_path, monkeypatch):
    list(SeparatedMixtures(part, seed=1, cache=tmp_path))
    monkeypatch.setattr(separated, "_make_block", None)  # none is made again
    same = separated.replace(part, mixing=separated.replace(part.mixing, noise_share=0.0))
    list(SeparatedMixtures(same, seed=1, cache=tmp_path))
    key = SeparatedMixtures(part, 1, tmp_path)._key(0)
    other = SeparatedMixtures.__new__(SeparatedMixtures)
    other.part, other.seed = separated.replace(part, mixing=separated.replace(part.mixing, colour_db=3.0)), 1
    assert "noises" not in separated._chosen(part.mixing)
    assert other._key(0) != key


def test_parts_that_make_no_sense(mixing):
    with pytest.raises(UsageError, match="at least 1 item"):
        SeparatedPart(mixing, ())
    with pytest.raises(UsageError, match="at least 1 item"):
        SeparatedPart(mixing, ("unchanged",), each=2)
    with pytest.raises(UsageError, match="16000 Hz"):
        SeparatedData({"a": SeparatedPart(mixing, ("unchanged",))}, sample_rate=16000)
    with pytest.raises(UsageError, match="1 item is alike"):
        SeparatedData({"a": SeparatedPart(mixing, ("unchanged",))}, alike=0)
