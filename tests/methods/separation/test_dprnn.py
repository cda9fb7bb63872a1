"""DPRNN: the paper's size, its equations, what it hears ahead."""

from typing import Any

import pytest
import torch

from unbabble.base.errors import UsageError
from unbabble.methods.separation.dprnn import DPRNN, GlobalNorm, Part


def _noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(**options: Any) -> DPRNN:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DPRNN(**DPRNN.TINY | options).eval()


def _parameters(network: torch.nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


def test_size_of_the_paper():
    """2.6 M in table 1, whatever window and chunk."""
    assert _parameters(DPRNN()) == pytest.approx(2.6e6, rel=0.01)
    assert _parameters(DPRNN(kernel=16, chunk=100)) == pytest.approx(2.6e6, rel=0.01)


def test_size_of_an_independent_implementation():
    """Asteroid's default."""
    assert _parameters(DPRNN(kernel=16, bottleneck=128, chunk=100, padding="full")) == 3_652_865


def test_global_norm_is_equations_5_to_7():
    norm, x = GlobalNorm(3), _noise(4, 2, 5, 3) * 7 + 2
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        norm.bias.copy_(torch.tensor([0.0, -1.0, 1.0]))
    for item in range(2):
        part = x[:, item]
        expected = (part - part.mean()) / (part.var(correction=0) + 1e-8).sqrt() * norm.weight + norm.bias
        torch.testing.assert_close(norm(x)[:, item], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("across", [False, True])
def test_a_part_runs_along_its_own_axis(across):
    """Sequence by sequence, against one LSTM call each."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        part = Part(3, 5, "channel", across, bidirectional=True)
    x = _noise(4, 2, 6, 3)  # chunk, batch, frame, channel
    found = part(x)
    for item in range(2):
        for other in range(6 if across else 4):
            sequence = x[:, item, other] if across else x[other, item]
            hidden = part.lstm(sequence[:, None] if across else sequence[None])[0].reshape(len(sequence), -1)
            expected = sequence + part.norm(part.project(hidden))
            got = found[:, item, other] if across else found[other, item]
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_lstms_get_their_input_without_a_copy():
    x = torch.empty(4, 2, 6, 3)
    assert x.flatten(1, 2).data_ptr() == x.flatten(0, 1).data_ptr() == x.data_ptr()
    seen = []
    network = build()
    for module in network.modules():
        if isinstance(module, torch.nn.LSTM):
            module.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].is_contiguous()))
    network.estimate(_noise(2, 500))
    assert seen == [True] * 4


@pytest.mark.parametrize(
    "options", [{}, {"padding": "full"}, {"kernel": 2, "chunk": 50}, {"mask": "relu", "encoder_relu": True}]
)
def test_every_configuration_hears_all_of_the_mixture(options):
    network = build(**options)
    mixture = _noise(1, 600).requires_grad_()
    estimates = network.estimate(mixture)
    gradient = torch.autograd.grad(estimates[0, :, 300].sum(), mixture)[0]
    assert gradient[0, [0, 299, 599]].all()


def test_a_forward_inter_chunk_path_hears_no_more_than_a_chunk_ahead():
    network = build(bidirectional=False, norm="channel")
    mixture = _noise(1, 1500)
    cut = 900
    ahead = 20 * 4 + 8  # a chunk of frames and a window, in samples
    future = mixture.clone()
    future[:, cut:] = 100 * _noise(1, 600, seed=1)
    with torch.no_grad():
        expected, changed = network.estimate(mixture), network.estimate(future)
    assert torch.equal(changed[..., : cut - ahead], expected[..., : cut - ahead])
    assert not torch.equal(changed[..., cut - 10], expected[..., cut - 10])


def test_masks_have_their_nonlinearity():
    frames = _noise(2, 8, 90)
    for mask, high in (("sigmoid", 1.0), ("relu", torch.inf)):
        masks = build(mask=mask, sources=3).masks(frames).detach()
        assert masks.shape == (2, 3, 8, 90)
        assert float(masks.min()) >= 0
        assert float(masks.max()) <= high


def test_sources_of_different_items_are_not_mixed_up():
    """Items and sources share an axis on the way to the masks."""
    network = build(sources=3)
    frames = _noise(4, 8, 70)
    together = network.masks(frames)
    for item in range(4):
        torch.testing.assert_close(
            together[item], network.masks(frames[item : item + 1])[0], rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("wrong", [{"kernel": 3}, {"chunk": 21}, {"hidden": 0}])
def test_options_that_make_no_sense(wrong):
    with pytest.raises(UsageError, match="at least one"):
        DPRNN(**DPRNN.TINY | wrong)
