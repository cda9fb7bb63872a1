"""UI-CLAP: targets are probabilities, and curation takes what is near."""

import numpy as np
import pytest
import torch

from unbabble.methods.representation.ui_clap import (
    audio_of_domain,
    domain_specific,
    soft_targets,
    unlabelled,
)

EYE = np.eye(4, dtype=np.float32)


def test_targets_are_probabilities_where_the_published_ones_fall_below_zero():
    vectors = torch.nn.functional.normalize(
        torch.randn(8, 2, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    published = 0.7 * torch.eye(8) + 0.3 * vectors @ vectors.T
    assert published.min() < -0.1
    made = soft_targets(vectors)
    assert (made >= 0).all()
    torch.testing.assert_close(made.sum(1), torch.ones(8))
    assert (made.argmax(1) == torch.arange(8)).all()


def test_targets_without_softness_and_of_orthogonal_vectors_are_hard():
    torch.testing.assert_close(soft_targets(torch.eye(3)), torch.eye(3))
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    assert soft_targets(torch.randn(3, 5), 0.0, same)[0].tolist() == pytest.approx([0.5, 0.5, 0])


def test_curation_takes_every_pair_that_is_near_enough():
    audio = np.array([[1, 0, 0, 0], [0.8, 0.6, 0, 0], [0, 0, 0, 1]], np.float32)
    made = unlabelled(audio, EYE[:3], 0.6)
    assert list(zip(*made, strict=True)) == [(0, 0), (1, 0), (1, 1)]
    assert domain_specific(EYE, EYE[1:3], 0.9).tolist() == [1, 2]


def test_recordings_are_paired_with_texts_of_the_domain_alone():
    audio = np.array([[0.8, 0.6, 0, 0], [0, 0, 0, 1]], np.float32)
    made = audio_of_domain(audio, EYE, EYE[1:], 0.9, 0.5)
    assert list(zip(*made, strict=True)) == [(0, 1), (1, 3)]
    assert all(len(each) == 0 for each in audio_of_domain(audio, EYE, EYE[2:3], 0.9, 0.5))
