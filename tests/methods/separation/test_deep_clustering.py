"""The affinity loss against the dense one, k-means, oracle embeddings on speech, and that training helps."""

import csv
import math
from pathlib import Path

import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unbabble.base.errors import UsageError
from unbabble.methods.separation.deep_clustering import (
    DeepClustering,
    affinity_loss,
    audible,
    k_means,
    loudest_talker,
)
from unbabble.signal.metrics import si_sdr
from unbabble.signal.permutation import align
from unbabble.signal.stft import Stft


def network(**options: object) -> DeepClustering:
    torch.manual_seed(0)
    return DeepClustering(**(DeepClustering.TINY | options)).eval()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def voices(data_folder: Path) -> Tensor:
    """Three talkers of the dev split at unit level, (source, time), 3 s."""
    found: dict[str, Tensor] = {}
    with open(data_folder / "speech.csv", newline="") as table:
        for row in csv.DictReader(table):
            if row["split"] == "dev" and float(row["seconds"]) > 4 and row["speaker"] not in found:
                samples, rate = soundfile.read(data_folder / "speech" / row["file"], dtype="float32")
                voice = torch.from_numpy(samples[rate // 2 : rate // 2 + 3 * rate])
                found[row["speaker"]] = voice / voice.std()
            if len(found) == 3:
                break
    return torch.stack(list(found.values()))


def test_low_rank_loss_is_the_dense_one(generator: torch.Generator) -> None:
    embeddings = torch.nn.functional.normalize(torch.randn(2, 50, 7, generator=generator), dim=-1)
    talkers = torch.nn.functional.one_hot(torch.randint(3, (2, 50), generator=generator), 3).float()
    weights = (torch.rand(2, 50, generator=generator) > 0.3).float()
    error = embeddings @ embeddings.mT - talkers @ talkers.mT
    pairs = weights[:, :, None] * weights[:, None]
    dense = (pairs * error.square()).sum((1, 2)) / pairs.sum((1, 2))
    torch.testing.assert_close(affinity_loss(embeddings, talkers, weights), dense)

    fractions = torch.rand(2, 50, generator=generator)
    pairs = fractions[:, :, None] * fractions[:, None]
    dense = (pairs * error.square()).sum((1, 2)) / pairs.sum((1, 2))
    torch.testing.assert_close(affinity_loss(embeddings, talkers, fractions), dense)


def test_loss_is_zero_for_the_talkers_themselves_in_any_order(generator: torch.Generator) -> None:
    talkers = torch.nn.functional.one_hot(torch.randint(3, (1, 5000), generator=generator), 3).float()
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=generator))[0]
    weights = torch.ones(1, 5000)
    for embeddings in (talkers, talkers[..., [2, 0, 1]], talkers @ rotation):
        assert abs(affinity_loss(embeddings, talkers, weights).item()) < 1e-4
    # All bins in one place: wrong for each of the pairs of different talkers.
    same = torch.zeros(1, 5000, 4)
    same[..., 0] = 1
    different = 1 - (talkers[0].mean(0) ** 2).sum()
    torch.testing.assert_close(affinity_loss(same, talkers, weights), different[None])


def test_silent_bins_do_not_count(generator: torch.Generator) -> None:
    power = torch.tensor([[1.0, 1.1e-4, 0.9e-4, 0.0]])
    assert audible(power).tolist() == [[True, True, False, False]]
    assert audible(torch.zeros(1, 3)).all()
    talkers = loudest_talker(torch.tensor([[[1.0, 0.0, 3.0], [0.5, 0.0, 4.0]]]))
    assert talkers.tolist() == [[[1, 0], [1, 0], [0, 1]]]
    embeddings = torch.randn(1, 4, 3, generator=generator)
    labels = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]])
    kept = affinity_loss(embeddings[:, :2], labels[:, :2], torch.ones(1, 2))
    torch.testing.assert_close(affinity_loss(embeddings, labels, audible(power).float()), kept)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**31))
def test_k_means_finds_clusters_that_are_there(clusters: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.linalg.qr(torch.randn(8, 8, generator=generator))[0][:clusters]
    # Unequal, but not so much that k-means++ would miss one in every start.
    sizes = [100 if each == 0 else 300 for each in range(clusters)]
    members = torch.repeat_interleave(torch.arange(clusters), torch.tensor(sizes))
    points = truth[members] + 0.05 * torch.randn(len(members), 8, generator=generator)
    centres = k_means(points, clusters)
    nearest = torch.cdist(truth, centres)
    assert (nearest.amin(1) < 0.2).all()
    means = torch.stack([points[members == each].mean(0) for each in range(clusters)])
    torch.testing.assert_close(centres[nearest.argmin(1)], means, atol=1e-5, rtol=0)
    assert torch.equal(centres, k_means(points, clusters))


def test_k_means_with_fewer_points_than_clusters() -> None:
    points = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    centres = k_means(points, 4)
    assert centres.shape == (4, 2)
    assert torch.cdist(points, centres).amin(1).max() < 1e-6


@pytest.mark.parametrize("sources", [2, 3])
def test_oracle_embeddings_give_the_ideal_binary_mask(
    voices: Tensor, sources: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources_ = voices[:sources]
    mixture = sources_.sum(0)
    separator = network(sources=sources, window_length=512, hop_length=128)

    stft = Stft(512, 128)  # another transform (Hann window, complex), the mask by definition
    spectra = stft.analyse(sources_)
    loudest = spectra.abs().argmax(0)
    masks = torch.stack([loudest == each for each in range(sources)])
    ideal = si_sdr(stft.synthesise(masks * stft.analyse(mixture), len(mixture)), sources_)

    talkers = loudest_talker(separator.power(separator.spectrum.analyse(sources_[None])).flatten(2))
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))[0]
    monkeypatch.setattr(separator, "embed", lambda power: talkers @ rotation[:sources])
    found = align(separator.estimate(mixture[None])[0], sources_)
    gain = found.scores - si_sdr(mixture.expand_as(sources_), sources_)
    assert gain.min() > 8
    torch.testing.assert_close(found.scores, ideal, atol=0.7, rtol=0)  # the windows differ

    power = separator.power(separator.spectrum.analyse(mixture[None]))
    shape = power.shape[1:]
    expected = separator.spectrum.synthesise(
        talkers[0].mT.unflatten(-1, shape)[:, None] * separator.spectrum.analyse(mixture), len(mixture)
    )
    torch.testing.assert_close(align(expected, sources_).estimates, found.estimates)
    # Rounding of sums over 1e5 bins.
    assert separator.loss(mixture[None], sources_[None]).abs().item() < 5e-4


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 300), st.integers(1, 4), st.sampled_from(["hard", "soft"]))
def test_masks_share_the_mixture(length: int, sources: int, masks: str) -> None:
    mixture = torch.randn(2, length, generator=torch.Generator().manual_seed(length))
    found = network(sources=sources, masks=masks).estimate(mixture)
    assert found.shape == (2, sources, length)
    torch.testing.assert_close(found.sum(1), mixture, atol=1e-5, rtol=0)


def test_soft_masks_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    separator = network(masks="soft", hardness=2.0)
    centres = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    monkeypatch.setattr("unbabble.methods.separation.deep_clustering.k_means", lambda points, count: centres)
    points = torch.tensor([[1.0, 0.0], [math.sqrt(0.5), math.sqrt(0.5)]])
    found = separator.cluster(points, torch.ones(2, dtype=torch.bool))
    share = 1 / (1 + math.exp(-2 * 2))  # squared distances 0 and 2
    torch.testing.assert_close(found, torch.tensor([[share, 0.5], [1 - share, 0.5]]))


def test_the_number_of_talkers_is_no_part_of_the_weights(generator: torch.Generator) -> None:
    two, three = network(), network(sources=3)
    three.load_state_dict(two.state_dict())
    mixture = torch.randn(1, 800, generator=generator)
    sources = torch.randn(1, 3, 800, generator=generator)
    assert three.estimate(mixture).shape == (1, 3, 800)
    torch.testing.assert_close(two.loss(mixture, sources), three.loss(mixture, sources))


@pytest.mark.parametrize("sources", [2, 3])
def test_training_lowers_the_loss_and_separates(sources: int) -> None:
    seconds = torch.arange(4000) / 8000
    pitches = (600.0, 1700.0, 2900.0)[:sources]
    voices = torch.stack([torch.sin(2 * math.pi * each * seconds) for each in pitches])
    mixture = voices.sum(0)[None]
    separator = network(sources=sources).train()
    optimiser = torch.optim.Adam(separator.parameters(), lr=2e-2)
    losses = []
    for _ in range(60):
        loss = separator.loss(mixture, voices[None]).mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.15 * losses[0]
    scores = align(separator.eval().estimate(mixture)[0], voices).scores
    assert scores.min() > 10


@pytest.mark.parametrize(
    "options", [{"layers": 0}, {"dimension": 0}, {"masks": "binary"}, {"hop_length": 48}]
)
def test_refuses(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        network(**options)


def test_mixed_precision_and_silence_stay_finite() -> None:
    separator = network(masks="soft")
    mixture = torch.zeros(2, 600, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = separator.loss(mixture, torch.zeros(2, 2, 600))
        found = separator.estimate(mixture)
    (loss.sum() + found.square().sum()).backward()
    assert found.dtype == torch.float32
    assert mixture.grad is not None
    assert mixture.grad.isfinite().all()
    for parameter in separator.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
