"""State as an argument: whoever runs live computes step by step what it computes at once, for any streams at a time."""

import pytest
import torch

from unbabble.base.errors import UsageError
from unbabble.base.registry import cards, create, method
from unbabble.nn.state import Past, State, flatten, start, unflatten
from unbabble.nn.streaming import LiveSeparator

OPTIONS: dict[str, list[dict[str, object]]] = {
    "conv_tasnet": [{"causal": True, "levels": "kept"}, {"causal": True, "levels": "kept", "skip": 0}],
    "gru": [{}, {"layers": 3, "heard_length": 64}],
    "sparse_ensemble": [{"live": True}, {"live": True, "chosen": 1}, {"live": True, "soft": True}],
}
CASES = [(name, options) for name, each in OPTIONS.items() for options in each]
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=CASES, ids=lambda case: "-".join(map(str, [case[0], *case[1].values()])))
def network(request) -> LiveSeparator:
    name, options = request.param
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = create(name, **method(name).TINY | options).eval()
    if name == "sparse_ensemble":
        with torch.no_grad():
            made.gate.choice.weight.mul_(200)  # a gate that changes its mind
        made.turns.every = 4
    return made


def windows_of(network: LiveSeparator, mixture: torch.Tensor) -> torch.Tensor:
    """A recording of whole windows, (batch, time), with the silence around it."""
    windows = network.windows
    padded = torch.nn.functional.pad(mixture, (windows.before, windows.after))
    whole = (padded.shape[1] - windows.length) // windows.hop * windows.hop + windows.length
    return padded[:, :whole]


def step_by_step(network: LiveSeparator, padded: torch.Tensor, counts: list[int]) -> torch.Tensor:
    """What steps of so many windows each write, added up."""
    windows = network.windows
    total = (padded.shape[1] - windows.length) // windows.hop + 1
    written = torch.zeros(len(padded), network.sources, (total - 1) * windows.hop + windows.written)
    state, done = network.start(len(padded)), 0
    while done < total:
        count = min(counts[done % len(counts)], total - done)
        begin, reach = done * windows.hop, (count - 1) * windows.hop
        piece, state = network.step(padded[:, begin : begin + reach + windows.length], state)
        written[..., begin : begin + reach + windows.written] += piece
        done += count
    return written


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_everything_that_runs_live_is_tested():
    live = {
        name
        for name, card in cards().items()
        if card.network and issubclass(method(name), LiveSeparator)  # pyright: ignore[reportArgumentType]
    }
    assert live == set(OPTIONS)


@torch.no_grad()
@pytest.mark.parametrize("counts", [[1], [3, 1, 8], [1000]])
def test_steps_are_the_whole(network, counts):
    mixture = noise(2, 1600)
    padded = windows_of(network, mixture)
    first = network.windows.before - network.windows.length + network.windows.written
    written = step_by_step(network, padded, counts)[..., first:]
    length = min(written.shape[-1], 1600) - network.windows.written
    torch.testing.assert_close(
        written[..., :length], network.estimate(mixture)[..., :length], rtol=0, atol=1e-5
    )


@torch.no_grad()
def test_streams_of_a_batch_are_those_one_by_one(network):
    padded = windows_of(network, torch.stack([noise(900), noise(900, seed=1).cumsum(0)]))
    alone = torch.cat([step_by_step(network, each[None], [2]) for each in padded])
    torch.testing.assert_close(step_by_step(network, padded, [2]), alone, rtol=0, atol=1e-5)


@torch.no_grad()
def test_streams_in_turn_do_not_disturb_each_other_nor_the_network(network):
    mixture, other = noise(900), 5 + noise(900, seed=1)
    before = network.estimate(mixture[None])
    alone = network.streamer()
    expected = [alone.push(block) for block in mixture.split(100)]
    first, second = network.streamer(), network.streamer()
    for block, noisy, wanted in zip(mixture.split(100), other.split(100), expected, strict=True):
        second.push(noisy)
        assert torch.equal(first.push(block), wanted)
    assert torch.equal(network.estimate(mixture[None]), before)


@torch.no_grad()
def test_a_step_leaves_its_state_as_it_was(network):
    window = noise(1, network.windows.length)
    _, state = network.step(window, network.start())
    kept = {name: value.clone() for name, value in state.items()}
    first, after = network.step(window, state)
    assert same(state, kept)
    second, again = network.step(window, state)
    assert torch.equal(first, second)
    assert same(after, again)
    assert not same(after, state)


@torch.no_grad()
def test_a_state_is_flattened_and_put_together_again(network):
    state = network.start(2)
    assert not any(value.any() for value in state.values())
    assert all(len(value) == 2 for value in state.values())
    _, state = network.step(noise(2, network.windows.length), state)
    assert same(unflatten(flatten(state), network.start()), state)


def test_a_state_of_another_network_is_refused():
    like = create("gru", **method("gru").TINY).start()
    units = like["recurrence.units"]
    for changes, sentence in (
        ({"recurrence.units": units[:, :1]}, r"'recurrence.units' .* \(1, 1, 8\), not .* \(1, 2, 8\)"),
        ({"recurrence.units": units.double()}, "torch.float64"),
        ({"recurrence.units": units.expand(3, -1, -1)}, r"\(3, 2, 8\)"),
        ({"another": units}, "3 tensors, not 4"),
    ):
        with pytest.raises(UsageError, match=sentence):
            unflatten(flatten(like | changes), like)


def test_names_are_paths_of_modules():
    parts = torch.nn.ModuleDict({"a": torch.nn.Sequential(Past(2, 3), Past(0, 3)), "b": Past(1, 4)})
    shapes = {name: tuple(value.shape) for name, value in start(dict(parts), 5).items()}
    assert shapes == {"a.0.frames": (5, 2, 3), "b.frames": (5, 1, 4)}
