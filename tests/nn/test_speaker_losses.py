"""Losses by which people are told apart, against loops over their equations and closed forms."""

import math

import pytest
import torch

from unbabble.nn.speaker_losses import (
    AngularMargin,
    EndToEnd,
    Prototypes,
    end_to_end_loss,
    prototypical_loss,
    widened,
)


def vectors(*shape, seed=0):
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(made, dim=-1)


def cosine(one, other):
    return float(one @ other / one.norm() / other.norm())


def cross_entropy(scores, right):
    return math.log(sum(math.exp(each - scores[right]) for each in scores))


def head(people=5, dimension=4, scale=30.0):
    torch.manual_seed(0)
    return AngularMargin(dimension, people, scale).double()


def test_without_a_margin_it_is_a_softmax_of_cosines():
    made, x, person = head(), vectors(3, 4), torch.tensor([0, 4, 2])
    cosines = torch.nn.functional.cosine_similarity(x[:, None], made.directions[None], dim=-1)
    expected = torch.nn.functional.cross_entropy(30 * cosines, person, reduction="none")
    torch.testing.assert_close(made(x, person, margin=0.0), expected)


def test_the_right_angle_counts_as_wider():
    made, x, person, m = head(), vectors(3, 4), torch.tensor([0, 4, 2]), 0.2
    for utterance, who, loss in zip(x, person.tolist(), made(x, person, margin=m).tolist(), strict=True):
        scores = [30 * cosine(utterance, each) for each in made.directions.detach()]
        scores[who] = 30 * math.cos(math.acos(scores[who] / 30) + m)
        assert loss == pytest.approx(cross_entropy(scores, who))


def test_any_shape_of_utterances():
    made, x, person = (
        head(),
        vectors(2, 3, 2, 4),
        torch.tensor([[0, 4, 2], [1, 3, 0]])[..., None].expand(2, 3, 2),
    )
    found = made(x, person)
    assert found.shape == (2, 3, 2)
    torch.testing.assert_close(found.flatten(), made(x.flatten(0, 2), person.flatten()))


def test_beyond_the_last_angle_it_falls_as_speechbrains_does():
    m, theta = 0.2, torch.linspace(0.01, math.pi - 0.01, 200, dtype=torch.float64)
    found = widened(theta.cos(), m)
    inside = theta < math.pi - m
    torch.testing.assert_close(found[inside], (theta[inside] + m).cos())
    torch.testing.assert_close(found[~inside], theta[~inside].cos() - m * math.sin(m))
    assert (found.diff() < 0).all()
    at_the_joint = widened(torch.tensor([-math.cos(m)], dtype=torch.float64), m)
    assert float(at_the_joint) == pytest.approx(-1.0198, abs=1e-4)


@pytest.mark.parametrize("at", [1.0, -1.0])
def test_gradients_are_finite_where_a_vector_lies_on_a_direction(at):
    made, person = head().float(), torch.tensor([1])
    x = (at * torch.nn.functional.normalize(made.directions[1:2], dim=-1)).detach().requires_grad_()
    made(x, person).sum().backward()
    assert x.grad.isfinite().all()
    assert made.directions.grad.isfinite().all()


def test_end_to_end_is_its_equations():
    x, w, b = vectors(2, 3, 4, 5), 7.0, -2.0
    for item, found in zip(x, end_to_end_loss(x, w, b).tolist(), strict=True):
        losses = []
        for j in range(3):
            for i in range(4):
                scores = []
                for k in range(3):
                    centre = [item[k, u] for u in range(4) if (k, u) != (j, i)]
                    scores.append(w * cosine(item[j, i], torch.stack(centre).mean(0)) + b)
                losses.append(cross_entropy(scores, j))
        assert found == pytest.approx(sum(losses) / len(losses))


def test_prototypes_are_their_equations():
    x, w, b = vectors(2, 3, 4, 5), 7.0, -2.0
    for item, found in zip(x, prototypical_loss(x, w, b).tolist(), strict=True):
        means = [item[k, 1:].mean(0) for k in range(3)]
        losses = [cross_entropy([w * cosine(item[j, 0], each) + b for each in means], j) for j in range(3)]
        assert found == pytest.approx(sum(losses) / 3)


@pytest.mark.parametrize("loss", [end_to_end_loss, prototypical_loss])
def test_people_who_are_at_right_angles(loss):
    """K people, each at one place, all places at right angles: log(1 + (K - 1) exp(-w)), whatever the shift."""
    x = torch.eye(4)[None, :, None].expand(1, 4, 3, 4)
    for shift in (0.0, -5.0):
        assert float(loss(x, 2.0, shift)) == pytest.approx(math.log(1 + 3 * math.exp(-2)), rel=1e-5)


@pytest.mark.parametrize("kind", [EndToEnd, Prototypes])
def test_scales_are_learnt_and_stay_positive(kind):
    made, x = kind(), vectors(1, 3, 2, 5).float()
    made(x).sum().backward()
    assert made.scale.grad.abs() > 0
    with torch.no_grad():
        made.scale.fill_(-3.0)
    assert float(made(x).detach()) == pytest.approx(math.log(3), abs=1e-4)
