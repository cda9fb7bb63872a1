"""The sparse ensemble: one specialist at a time, chosen once or live."""

import pytest
import torch

from unbabble.base.errors import UsageError
from unbabble.methods.enhancement.sparse_ensemble import SparseEnsemble, Turns
from unbabble.networks.cost import macs_per_second
from unbabble.nn.state import Memory

SMALL = {"specialists": 3, "hidden": 8, "gate_hidden": 4, "joint": True}
SECOND = 16000


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def built(**options) -> SparseEnsemble:
    """Untrained, with a gate that changes its mind."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = SparseEnsemble(**SMALL | options).eval()
    with torch.no_grad():
        network.gate.choice.weight.mul_(200)
    return network


def choices(network: SparseEnsemble, mixture: torch.Tensor) -> list[int]:
    """The specialist of each frame, live."""
    frames = network.frames
    with torch.no_grad():
        features = frames.features(frames.spectra(frames.cut(mixture[None])))
        memory = Memory(network.turns.initial(1))
        return network.turns(network.gate.so_far(features), memory)[0].tolist()


@pytest.fixture(scope="module")
def mixture() -> torch.Tensor:
    """Six seconds, of other sounds each, for which the gate takes several specialists."""
    levels = torch.tensor([1.0, 0.01, 3.0, 0.1, 1.0, 0.02]).repeat_interleave(SECOND)
    found = levels * noise(6 * SECOND)
    found[2 * SECOND : 4 * SECOND] = found[2 * SECOND : 4 * SECOND].cumsum(0)
    found = found / found.abs().max()
    assert len(set(choices(built(), found))) > 1
    return found


def test_choices_hold_for_a_second(mixture):
    turns = choices(built(), mixture)
    every = built().turns.every
    assert every == 62  # frames of 16 ms
    changes = [place for place in range(1, len(turns)) if turns[place] != turns[place - 1]]
    assert changes
    assert all(place % every == 0 for place in changes)


@pytest.mark.parametrize("block", [100, 256, 7777, 6 * SECOND])
def test_a_stream_gives_what_the_whole_gives(block, mixture):
    network = built()
    streamer = network.streamer()
    pieces = [streamer.push(part) for part in mixture.split(block)]
    late = len(mixture) - sum(piece.shape[1] for piece in pieces)
    assert late <= streamer.latency < 0.032 * SECOND
    found = torch.cat([*pieces, streamer.flush()], 1)
    with torch.no_grad():
        wanted = built(live=True).estimate(mixture[None])[0]
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
        assert (wanted - network.estimate(mixture[None])[0]).abs().max() > 1e-2


def test_a_stream_leaves_the_network_as_it_was(mixture):
    network = built()
    with torch.no_grad():
        before = network.estimate(mixture[None])
        network.streamer().push(mixture)
        torch.testing.assert_close(network.estimate(mixture[None]), before, rtol=0, atol=0)


def test_recordings_of_a_batch_have_their_own_choices(mixture):
    network = built(live=True)
    both = torch.stack([mixture, mixture.flip(0)])
    with torch.no_grad():
        alone = torch.cat([network.estimate(each[None]) for each in both])
        torch.testing.assert_close(network.estimate(both), alone, rtol=0, atol=1e-5)


def test_until_the_second_choice_one_is_alone(mixture):
    """Until the second choice, live is what the first one's specialist does."""
    network = built(live=True)
    first = choices(network, mixture)[0]
    with torch.no_grad():
        alone = built(chosen=first).estimate(mixture[None])[0, 0]
        found = network.estimate(mixture[None])[0, 0]
    known = network.turns.every * 256 - 512
    torch.testing.assert_close(found[:known], alone[:known], rtol=0, atol=1e-6)
    assert (found[SECOND:] - alone[SECOND:]).abs().max() > 1e-3


def test_one_specialist_runs():
    """However many there are, live or not, the operations are those of the gate and of one."""
    one, live = (macs_per_second(built(live=live)) for live in (False, True))
    assert live == pytest.approx(one, rel=0.01)
    assert macs_per_second(built(live=True, specialists=6)) == pytest.approx(live, rel=0.01)
    assert live < 2 * macs_per_second(built(chosen=0))


def test_softly_all_run_and_are_weighed(mixture):
    network = built(soft=True)
    frames = network.frames
    assert macs_per_second(network) > 2.5 * macs_per_second(built(chosen=0))
    with torch.no_grad():
        features = frames.features(frames.spectra(frames.cut(mixture[None])))
        shares = (network.sharpness * network.gate(features)[0]).softmax(-1)
        wanted = sum(share * built(chosen=number).masks(features) for number, share in enumerate(shares))
        torch.testing.assert_close(network.masks(features), wanted)
        streamer, live = network.streamer(), built(soft=True, live=True)
        found = torch.cat([streamer.push(mixture), streamer.flush()], 1)
        torch.testing.assert_close(found, live.estimate(mixture[None])[0], rtol=0, atol=1e-5)


def test_who_takes_over_has_heard_nothing(mixture):
    """From a choice of another on, masks are those of a recording that begins there."""
    network = built(live=True)
    frames = network.frames
    turns = choices(network, mixture)
    place = next(number for number in range(1, len(turns)) if turns[number] != turns[number - 1])
    with torch.no_grad():
        features = frames.features(frames.spectra(frames.cut(mixture[None])))
        wanted = built(chosen=turns[place]).masks(features[:, place : place + network.turns.every])
        found = network.masks(features)[:, place : place + network.turns.every]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_only_what_runs_is_remembered():
    """Of all specialists the units of one, without a gate where one is chosen; softly of all."""
    units = {key: value for key, value in built().start().items() if key.endswith("units")}
    assert {key: tuple(value.shape) for key, value in units.items()} == {
        "gate.recurrence.units": (1, 2, 4), "specialist.recurrence.units": (1, 2, 8),
    }  # fmt: skip
    assert [key for key in built(chosen=1).start() if key.endswith("units")] == [
        "specialist.recurrence.units"
    ]
    assert sum(key.startswith("specialists.") for key in built(soft=True).start()) == 3


def test_turns_go_on_from_call_to_call():
    scores = 3 * noise(2, 40, 4)
    whole = Turns(3)(scores, Memory(Turns(3).initial(2)))
    assert all(len(set(row)) > 2 for row in whole.tolist())
    memory = Memory(Turns(3).initial(2))
    assert torch.equal(torch.cat([Turns(3)(part, memory) for part in scores.split(4, 1)], 1), whole)


def test_a_specialist_stays_where_another_is_little_better():
    little, much = torch.tensor([0.0, 0.9]), torch.tensor([0.0, 1.1])
    scores = torch.stack([little.flip(0), little, much, little.flip(0)])[None]
    assert Turns(1)(scores, Memory(Turns(1).initial(1))).tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize("options", [{"specialists": 0}, {"gate_hidden": 0}, {"chosen": 3}, {"chosen": -2}])
def test_sizes_that_make_no_sense(options):
    with pytest.raises(UsageError):
        SparseEnsemble(**SMALL | options)
