"""What separation has of its own among the tasks."""

import pytest
import torch

from unbabble.methods.separation.conv_tasnet import ConvTasNet
from unbabble.methods.separation.dprnn import DPRNN
from unbabble.methods.separation.sepformer import SepFormer
from unbabble.training.tasks.separation import first_source, settle_level

TIME = 2000


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_level_is_settled_over_all_mixtures():
    """Not louder for a loud mixture and softer for a soft one: a stream has one level."""
    torch.manual_seed(0)
    network = ConvTasNet(**ConvTasNet.TINY).eval()
    mixtures = [3 * noise(TIME, seed=1), 0.2 * noise(TIME, seed=2)]
    for _ in range(2):
        with torch.no_grad():
            network.decoder.weight.mul_(50)
        settle_level(network, mixtures)
        with torch.no_grad():
            found = torch.cat([network.estimate(each[None])[0].sum(0) for each in mixtures])
        wanted = torch.cat(mixtures)
        assert float(found @ wanted / (found @ found)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("method", [ConvTasNet, DPRNN, SepFormer])
def test_the_first_output_stands_alone(method):
    torch.manual_seed(0)
    several = method(**method.TINY | {"sources": 3}).eval()
    mixture = noise(2, TIME)
    alone = first_source(several)
    assert alone.sources == 1
    torch.testing.assert_close(alone.estimate(mixture), several.estimate(mixture)[:, :1])
