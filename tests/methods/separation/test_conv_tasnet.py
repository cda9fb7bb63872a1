"""Conv-TasNet: the paper's sizes, its equations one by one, causality."""

from typing import Any

import pytest
import torch

from unbabble.base.errors import UsageError
from unbabble.methods.separation.conv_tasnet import ConvTasNet
from unbabble.nn.tcn import NORMS, Block, Depthwise

CAUSAL = ConvTasNet.TINY | {"causal": True}


def _noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(**options: Any) -> ConvTasNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ConvTasNet(**options).eval()


def _parameters(network: torch.nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


def _unused(hidden: int, bottleneck: int) -> int:
    """The last block's 1x1 convolution to a block that does not exist; others count (and store) it."""
    return hidden * bottleneck + bottleneck


def test_size_of_the_paper():
    """5.1 M in table II; 5,050,545 is that of an independent implementation."""
    assert _parameters(ConvTasNet()) + _unused(512, 128) == 5_050_545


@pytest.mark.parametrize(
    ("bottleneck", "hidden", "parameters"),
    [(8, 32, 158_037), (16, 64, 245_133), (32, 128, 462_333), (64, 256, 1_068_765)],
)
def test_sizes_of_the_small_enhancers(bottleneck, hidden, parameters):
    """Sivaraman and Kim, "Efficient personalized speech enhancement through self-supervised learning", 2022."""
    network = ConvTasNet(sources=1, bottleneck=bottleneck, hidden=hidden, blocks=7, repeats=2)
    assert _parameters(network) + _unused(hidden, bottleneck) == parameters


def test_no_skip_connections_as_in_the_first_version():
    with_skips, without = build(**ConvTasNet.TINY), build(**ConvTasNet.TINY | {"skip": 0})
    assert _parameters(without) < _parameters(with_skips)
    assert without.estimate(_noise(1, 300)).shape == (1, 2, 300)


# ---------------------------------------------------------------------------------------------- norms


def test_global_norm_is_equations_8_to_10():
    norm, x = NORMS["global"](5), _noise(3, 40, 5) * 7 + 2
    expected = torch.stack([(item - item.mean()) / (item.var(correction=0) + 1e-8).sqrt() for item in x])
    torch.testing.assert_close(norm(x), expected, rtol=0, atol=1e-5)


def test_cumulative_norm_is_equations_11_to_13():
    norm: Any = NORMS["cumulative"](5)
    x = _noise(2, 30, 5) * 3 + 1
    with torch.no_grad():
        norm.weight.copy_(torch.arange(1.0, 6))
        norm.bias.copy_(torch.arange(5.0))
    found = norm(x).detach()
    for frame in range(30):
        past = x[:, : frame + 1]
        mean = past.mean((1, 2))[:, None]
        scale = (past.var((1, 2), correction=0) + 1e-8).sqrt()[:, None]
        expected = (x[:, frame] - mean) / scale * torch.arange(1.0, 6) + torch.arange(5.0)
        torch.testing.assert_close(found[:, frame], expected, rtol=0, atol=1e-4)


def test_channel_norm_treats_each_frame_alone():
    found = NORMS["channel"](6)(_noise(2, 10, 6) * 5 + 3)
    torch.testing.assert_close(found.mean(-1), torch.zeros(2, 10), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.std(-1, correction=0), torch.ones(2, 10), rtol=0, atol=1e-5)


def test_batch_norm_at_inference_depends_on_no_other_item():
    network = build(**ConvTasNet.TINY | {"norm": "batch"})
    mixture = _noise(2, 200)
    alone = network.estimate(mixture[:1])
    torch.testing.assert_close(network.estimate(mixture)[:1], alone, rtol=0, atol=1e-6)


# ---------------------------------------------------------------------------------------------- network


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (3, 4), (5, 2), (3, 64), (1, 2)])
def test_depthwise_convolution_is_a_dilated_one(kernel, dilation, causal):
    """Whatever the number of frames is to the dilation."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        depthwise = Depthwise(6, kernel, dilation, causal)
    reach = (kernel - 1) * dilation
    for frames in (1, 2, 7, 8, 63, 64, 65):
        x = _noise(2, frames + (reach if causal else 0), 6, seed=frames)
        expected = torch.nn.functional.conv1d(
            x.mT,
            depthwise.weight,
            depthwise.bias,
            padding=0 if causal else reach // 2,
            dilation=dilation,
            groups=6,
        )
        torch.testing.assert_close(depthwise(x), expected.mT, rtol=0, atol=1e-6)


def test_a_block_is_its_convolutions():
    """Section II-C, with the weights as 1x1 convolutions have them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        block: Any = Block(4, 6, 3, 3, 4, "global", causal=False, last=False)
    x = _noise(2, 25, 4)

    def pointwise(layer: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("oi,bti->bto", layer.weight[..., 0], x) + layer.bias

    inner = block.norm1(block.act1(pointwise(block.expand, x)))
    inner = block.norm2(block.act2(block.depthwise(inner)))
    output, skip = block(x)
    torch.testing.assert_close(output, x + pointwise(block.residual, inner), rtol=0, atol=1e-5)
    torch.testing.assert_close(skip, pointwise(block.skip, inner), rtol=0, atol=1e-5)


def test_receptive_field_of_the_paper():
    """1.53 s at 8 kHz in table II: 2 (P - 1) / 2 (2^X - 1) R frames and a window; channel norm keeps frames apart."""
    network = build(norm="channel", filters=8, bottleneck=4, hidden=4, skip=4).double()
    mixture = _noise(1, 16000).double().requires_grad_()
    middle = 8000
    gradient = torch.autograd.grad(network.estimate(mixture)[0, 0, middle], mixture)[0][0]
    reached = gradient.nonzero().flatten()
    field = int(reached[-1] - reached[0]) + 1
    frames = (3 - 1) * (2**8 - 1) * 3 + 1
    assert field == pytest.approx(frames * 8, abs=3 * 16)
    assert field / 8000 == pytest.approx(1.53, abs=0.01)


def test_softmax_masks_share_the_frames():
    network = build(**ConvTasNet.TINY | {"mask": "softmax", "sources": 3, "encoder_relu": True})
    frames = network.encoder(_noise(1, 400)).relu()
    masks = network.masks(frames)
    assert masks.shape == (1, 3, *frames.shape[1:])
    torch.testing.assert_close(masks.sum(1), torch.ones_like(frames))
    mixture = _noise(1, 400)
    whole = network.decoder(network.encoder(mixture).relu(), 400)
    torch.testing.assert_close(network.estimate(mixture).sum(1), whole, rtol=0, atol=1e-5)


def test_mask_and_encoder_nonlinearities():
    frames = _noise(1, 16, 50)
    for mask, high in (("sigmoid", 1.0), ("relu", torch.inf)):
        values = build(**ConvTasNet.TINY | {"mask": mask}).masks(frames)
        assert float(values.detach().min()) >= 0
        assert float(values.detach().max()) <= high
    mixture = _noise(1, 300)
    assert not torch.equal(
        build(**ConvTasNet.TINY).estimate(mixture),
        build(**ConvTasNet.TINY | {"encoder_relu": True}).estimate(mixture),
    )


# ---------------------------------------------------------------------------------------------- causality


@pytest.mark.parametrize(
    "options", [{}, {"norm": "channel"}, {"norm": "batch"}, {"skip": 0}, {"conv_kernel": 2}, {"kernel": 4}]
)
@pytest.mark.parametrize("cut", [17, 400, 403, 777])
def test_causal_estimates_know_nothing_beyond_a_window(cut, options):
    """What comes from sample ``cut`` on, however wild, changes no bit of what is more than a window earlier."""
    network = build(**CAUSAL | options)
    latency = network.encoder.kernel_size[0] - 1
    mixture = _noise(2, 1200)
    future = mixture.clone()
    future[:, cut:] = 1e3 * _noise(2, 1200 - cut, seed=1)
    broken = mixture.clone()
    broken[:, cut:] = torch.nan
    with torch.no_grad():
        expected = network.estimate(mixture)
        known = max(0, cut - latency)
        assert torch.equal(network.estimate(future)[..., :known], expected[..., :known])
        assert torch.equal(network.estimate(broken)[..., :known], expected[..., :known])
        assert not torch.equal(network.estimate(future)[..., cut], expected[..., cut])


def test_causal_estimates_of_a_beginning_are_the_beginning_of_the_estimates():
    """As a stream would hear it: what has come so far gives the same, but for the last window."""
    network = build(**CAUSAL)
    mixture = _noise(1, 1000)
    with torch.no_grad():
        whole, part = network.estimate(mixture), network.estimate(mixture[:, :600])
    torch.testing.assert_close(part[..., :584], whole[..., :584], rtol=0, atol=1e-5)


def test_without_causality_the_future_matters():
    network = build(**ConvTasNet.TINY | {"norm": "channel"})
    mixture = _noise(1, 1000)
    future = mixture.clone()
    future[:, 500:] = 0
    assert not torch.equal(network.estimate(future)[..., 470], network.estimate(mixture)[..., 470])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"causal": True, "norm": "global"}, "looks at all frames"),
        ({"kernel": 5}, "even kernel"),
        ({"filters": 0}, "at least one"),
        ({"skip": -1}, "at least one"),
        ({"conv_kernel": 4}, "even conv_kernel"),
    ],
)
def test_options_that_make_no_sense(options, reason):
    with pytest.raises(UsageError, match=reason):
        ConvTasNet(**ConvTasNet.TINY | options)


@pytest.mark.parametrize(
    ("bottleneck", "hidden", "published"),
    [(8, 32, 158_037), (16, 64, 245_133), (32, 128, 462_333), (64, 256, 1_068_765)],
)
def test_sizes_of_personal_enhancers_are_the_published_ones(bottleneck, hidden, published):
    """Sivaraman & Kim, JSTSP 2022, with all norms and filters; theirs have a last residual that nothing hears."""
    network = ConvTasNet(sources=1, bottleneck=bottleneck, hidden=hidden, blocks=7, repeats=2)
    unheard = bottleneck * hidden + bottleneck
    assert sum(each.numel() for each in network.parameters()) == published - unheard
