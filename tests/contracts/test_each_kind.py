"""What models of one kind keep besides what all do: order, microphones, intervals, people."""

import math

import pytest
import torch

from tests.contracts.examples import NETWORKS, SAMPLES, build, mixture_for, noise, of_kind, scored, use
from tests.contracts.test_every_kind import CLUSTERING, attempt
from unbabble.base.config import keyword_parameters
from unbabble.base.errors import InputError, UsageError
from unbabble.nn.kinds.scorer import HIGHEST_DB, LOWEST_DB

SEPARATORS = of_kind("separator", "enhancer")
separators = pytest.mark.parametrize("model", SEPARATORS)
neural_separators = pytest.mark.parametrize("name", [name for name in SEPARATORS if name in NETWORKS])
extractors = pytest.mark.parametrize("name", of_kind("extractor"))
scorers = pytest.mark.parametrize("name", of_kind("scorer"))
embedders = pytest.mark.parametrize("name", of_kind("embedder"))
classifiers = pytest.mark.parametrize("name", of_kind("classifier"))
TOLERANCE_DB = 2e-3
"""Of float32, in another order."""


# Separators and enhancers


def voices(model: str) -> int:
    """How many it returns of two talkers: an enhancer one, all others both."""
    return 1 if build(model).max_sources == 1 else 2


@separators
def test_says_what_it_accepts(model):
    assert build(model).min_channels >= 1
    assert build(model).max_sources >= 0


@separators
@pytest.mark.parametrize("trouble", ["identical", "dead", "dead reference", "constant", "clipped"])
def test_troubled_microphones(model, trouble):
    """One sentence, or estimates that are not much louder than what came in."""
    mixture = mixture_for(build(model), 3)
    if trouble == "identical":  # rank 1
        mixture[:] = mixture[:, :1]
    elif trouble == "clipped":
        mixture = mixture.clamp(-0.05, 0.05)
    else:
        mixture[:, 0 if trouble == "dead reference" else 2] = 0.25 if trouble == "constant" else 0
    for changes in ({}, {} if model in NETWORKS else {"sources": None}):
        estimates = attempt(model, mixture, **changes)
        if estimates is not None:
            assert torch.isfinite(estimates).all()
            assert (len(estimates), estimates.shape[2]) == (1, mixture.shape[2])
            assert float(estimates.norm(dim=-1).max()) < 10 * float(mixture.norm(dim=-1).max())


@separators
def test_many_channels_and_little_time(model):
    estimates = use(model, noise(1, 64, 1000, seed=5) * 0.1)
    assert estimates.shape == (1, voices(model), 1000)
    assert torch.isfinite(estimates).all()


@pytest.mark.parametrize("model", [model for model in SEPARATORS if build(model).min_channels > 1])
def test_too_few_channels_are_refused(model):
    with pytest.raises(InputError, match="channel"):
        use(model, mixture_for(build(model))[:, : build(model).min_channels - 1])


@separators
def test_loudest_first(model):
    powers = use(model, mixture_for(build(model), 3)).square().sum(-1)[0]
    assert (powers[:-1] >= powers[1:]).all()


@pytest.mark.parametrize("model", [model for model in of_kind("separator") if model not in NETWORKS])
def test_as_many_sources_as_channels_add_up_to_the_reference(model):
    """Scaled as heard at the first microphone: what is there is shared out, nothing is added or lost."""
    mixture = mixture_for(build(model))
    total = use(model, mixture, taps=0).sum(1)  # what a prediction takes away would be missing
    reference = mixture[:, 0] - mixture[:, 0].mean(-1, keepdim=True)
    difference = total - total.mean(-1, keepdim=True) - reference
    assert float(difference.norm()) < 0.02 * float(reference.norm())


@separators
def test_images_at_every_microphone(model):
    separator = build(model)
    mixture = mixture_for(separator)
    try:
        images = separator(mixture, sample_rate=16000, images=True)
    except InputError:
        pytest.skip("gives no images")
    assert images.shape == (1, voices(model), mixture.shape[1], SAMPLES)
    estimates = separator(mixture, sample_rate=16000)
    assert float((images[:, :, 0] - estimates).norm()) < 1e-3 * float(estimates.norm())


@separators
def test_warnings_are_sentences(model):
    separator = build(model)
    separator(mixture_for(separator), sample_rate=16000)
    assert all(isinstance(text, str) and text.endswith(".") for text in separator.warnings)


# Networks that separate


def estimate(network, mixture: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network.estimate(mixture)


@neural_separators
@pytest.mark.parametrize("length", [1, 2, 3, 7, 64, 257, 1000, 1601])
def test_estimates_of_any_length(name, length):
    network = build(name)
    estimates = estimate(network, noise(2, length, seed=length))
    assert estimates.shape == (2, network.sources, length)
    assert estimates.isfinite().all()


@pytest.mark.parametrize("sources", [1, 2, 3])
@pytest.mark.parametrize("name", of_kind("separator", networks=True))
def test_as_many_voices_as_asked_for(name, sources):
    if "sources" not in keyword_parameters(type(build(name))):
        pytest.skip("has a number of voices of its own")
    assert estimate(build(name, sources=sources), noise(1, 500)).shape == (1, sources, 500)


@neural_separators
def test_estimates_of_silence_and_constants_are_finite(name):
    for mixture in (torch.zeros(1, 800), torch.ones(1, 800)):
        assert estimate(build(name), mixture).isfinite().all()


@neural_separators
@pytest.mark.parametrize("length", [50, 1203])
def test_estimates_of_a_batch_are_those_of_its_items(name, length):
    network = build(name)
    mixture = noise(3, length) * torch.tensor([[1.0], [0.1], [3.0]])
    apart = torch.cat([estimate(network, item[None]) for item in mixture])
    torch.testing.assert_close(
        estimate(network, mixture), apart, rtol=0, atol=1e-5 * float(apart.abs().max())
    )


@neural_separators
def test_the_loss_of_sources_does_not_depend_on_their_order(name):
    network = build(name)
    sources = noise(2, network.sources, 800, seed=1)
    with torch.no_grad():
        loss = network.loss(sources.sum(1), sources)
        reordered = network.loss(sources.sum(1), sources.flip(1))
    torch.testing.assert_close(loss, reordered, rtol=1e-4, atol=1e-4)


@neural_separators
def test_the_loss_of_a_silent_source_is_finite(name):
    network = build(name)
    sources = noise(2, network.sources, 800, seed=1)
    sources[0, -1] = 0
    sources[1] = 0
    loss = network.loss(sources.sum(1), sources)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert all(each.grad.isfinite().all() for each in network.parameters() if each.grad is not None)


@neural_separators
def test_estimates_in_half_precision_are_near(name):
    network, mixture = build(name), noise(2, 1200)
    exact = estimate(network, mixture)
    with torch.autocast("cpu", torch.bfloat16):
        estimates = estimate(network, mixture).float()
    assert estimates.isfinite().all()
    assert name in CLUSTERING or float((estimates - exact).norm()) < 0.2 * float(exact.norm())


# Extractors


@extractors
@pytest.mark.parametrize("length", [2, 63, 64, 1000, 4001])
@pytest.mark.parametrize("enrolled", [2, 500, 4000])
def test_mixtures_and_enrollments_of_any_length(name, length, enrolled):
    found = build(name)(noise(2, 2, length), enrollment=noise(enrolled, seed=1))
    assert found.shape == (2, 1, length)
    assert found.isfinite().all()


@extractors
def test_who_is_enrolled_makes_a_difference(name):
    network, mixture = build(name), noise(1, 1, 4000)
    swelling = (0.3 * torch.arange(4000)).sin() * (0.002 * torch.arange(4000)).sin()
    one, other = (network(mixture, enrollment=enrollment) for enrollment in (noise(4000, seed=1), swelling))
    assert (one - other).norm() > 1e-5 * one.norm()
    again = network(mixture, person=network.enrolled(noise(4000, seed=1)))
    assert torch.equal(one, again)


@extractors
@pytest.mark.parametrize("gain", [1e-5, 200.0])
def test_the_level_of_the_enrollment_does_not_matter(name, gain):
    network, mixture, enrollment = build(name), noise(1, 1, 4000), noise(3000, seed=1)
    expected = network(mixture, enrollment=enrollment)
    found = network(gain * mixture, enrollment=gain * enrollment)
    torch.testing.assert_close(found / gain, expected, rtol=1e-3, atol=1e-4)


@extractors
def test_a_batch_of_people_is_one_by_one(name):
    network, mixture, enrollment = build(name), noise(3, 2000), noise(3, 3000, seed=1)
    with torch.no_grad():
        together = network.extract(mixture, network.enroll(enrollment))
        apart = [
            network.extract(each[None], network.enroll(who[None]))
            for each, who in zip(mixture, enrollment, strict=True)
        ]
    torch.testing.assert_close(together, torch.cat(apart), rtol=0, atol=1e-5)


@extractors
def test_what_cannot_be_extracted(name):
    network, mixture = build(name), noise(1, 1, 4000)
    with pytest.raises(UsageError, match="enrollment"):
        network(mixture)
    with pytest.raises(InputError, match="silent"):
        network(mixture, enrollment=torch.zeros(4000))
    with pytest.raises(InputError, match="microphone"):
        build(name, reference=1)(mixture, enrollment=noise(4000))


@extractors
def test_who_is_absent_costs_what_is_heard(name):
    network = build(name)
    mixture, enrollment, nobody = noise(1, 2000), noise(1, 2500, seed=1), torch.zeros(1, 1, 2000)
    with torch.no_grad():
        assert network.loss(mixture, enrollment, nobody).isfinite().all()
        assert math.isnan(network.figure(mixture, enrollment, nobody))


@extractors
def test_an_embedder_that_is_given_does_not_learn_and_all_else_does(name):
    network = build(name)
    embedder = getattr(network, "embedder", None) or torch.nn.Module()
    before = {key: tensor.clone() for key, tensor in embedder.state_dict().items()}
    fixed = {id(each) for each in embedder.parameters()}
    network.train()
    network.loss(noise(2, 2000), noise(2, 2500, seed=1), noise(2, 1, 2000, seed=2)).sum().backward()
    assert all(torch.equal(tensor, before[key]) for key, tensor in embedder.state_dict().items())
    assert all((each.grad is None) == (id(each) in fixed) for each in network.parameters())


# Scorers


@scorers
def test_scores_have_intervals_within_bounds(name):
    network = build(name)
    mixture, estimates, _ = scored(batch=2, sources=3)
    found = network.scores(mixture, estimates)
    assert found.db.shape == (2, 3)
    assert torch.equal(network(mixture, estimates), found.db)
    assert (found.low <= found.high).all()
    for each in found:
        assert each.isfinite().all()
        assert ((each >= LOWEST_DB) & (each <= HIGHEST_DB)).all()


@scorers
@pytest.mark.parametrize("gain", [1e-6, -1.0, 1e4])
def test_the_level_and_sign_of_either_do_not_matter(name, gain):
    network = build(name)
    mixture, estimates, _ = scored()
    gains = torch.tensor([gain, 1.0])[:, None]
    found = network(mixture, estimates)
    if gain > 0 or name != "blind_sisnr":  # the published one hears the sign
        torch.testing.assert_close(network(mixture, estimates * gains), found, rtol=0, atol=TOLERANCE_DB)
        torch.testing.assert_close(network(mixture * abs(gain), estimates), found, rtol=0, atol=TOLERANCE_DB)


@scorers
def test_order_of_the_estimates_does_not_matter(name):
    network = build(name)
    mixture, estimates, _ = scored(sources=3)
    found, order = network(mixture, estimates), [2, 0, 1]
    torch.testing.assert_close(
        network(mixture, estimates[:, order]), found[:, order], rtol=0, atol=TOLERANCE_DB
    )


@scorers
def test_a_silent_estimate_is_the_worst_for_certain(name):
    network = build(name)
    mixture, estimates, _ = scored()
    estimates[:, 1] = 0
    found = network.scores(mixture, estimates)
    assert [float(each[0, 1]) for each in found] == [LOWEST_DB] * 3
    assert found.db.isfinite().all()


@scorers
def test_identical_estimates_have_one_score(name):
    mixture, estimates, _ = scored()
    found = build(name)(mixture, estimates[:, :1].expand(-1, 2, -1))
    assert float(found[0, 0]) == pytest.approx(float(found[0, 1]), abs=TOLERANCE_DB)


@scorers
def test_what_cannot_be_scored_is_refused(name):
    network = build(name)
    mixture, estimates, _ = scored()
    for m, e, words in (
        (mixture, estimates[..., :-1], "not of one recording"),
        (mixture[:, :80], estimates[..., :80], "needs at least"),
        (mixture, estimates / 0, "not numbers"),
    ):
        with pytest.raises(InputError, match=words):
            network.scores(m, e)


@scorers
def test_gradients_reach_the_estimates(name):
    """So that it can teach a separator, and be attacked."""
    network = build(name)
    mixture, estimates, _ = scored()
    estimates.requires_grad_()
    network.predict(mixture, estimates).db.sum().backward()
    assert estimates.grad.isfinite().all()
    assert estimates.grad.any()


@scorers
def test_estimates_that_fill_up_do_not_count(name):
    network = build(name)
    mixture, estimates, references = scored(batch=2)
    more = torch.zeros(2, 1, 8000)
    with torch.no_grad():
        loss = network.loss(mixture, estimates, references)
        padded = network.loss(mixture, torch.cat([estimates, more], 1), torch.cat([references, more], 1))
    torch.testing.assert_close(padded, loss, rtol=1e-4, atol=1e-5)


@scorers
def test_intervals_hold_what_they_were_calibrated_to(name):
    network = build(name)
    items = [scored(seed=seed, samples=4000) for seed in range(40)]
    network.calibrate(items)
    held = []
    for mixture, estimates, references in items:
        found = network.scores(mixture, estimates)
        shared = (estimates * references).sum(-1) ** 2
        power = references.square().sum(-1) * estimates.square().sum(-1)
        true = 10 * torch.log10(shared / (power - shared))
        held.append((found.low - 1e-3 <= true) & (true <= found.high + 1e-3))
    assert 0.85 <= float(torch.cat(held).double().mean()) <= 0.95


# Embedders


@embedders
def test_embeddings_are_of_unit_norm(name):
    for length in (7, 399, 400, 48000):
        torch.testing.assert_close(build(name)(noise(3, length) + 0.1).norm(dim=-1), torch.ones(3))


@embedders
@pytest.mark.parametrize("gain", [1e-6, 300.0])
def test_an_offset_does_not_matter(name, gain):
    network, waveform = build(name), noise(2, 8000)
    torch.testing.assert_close(network(gain * waveform + gain), network(waveform), rtol=0, atol=1e-4)


# Classifiers


@classifiers
def test_probabilities_are_of_one_label_or_of_several(name):
    waveform = noise(2, 6000)
    one, several = build(name), build(name, several=True)
    torch.testing.assert_close(one.probabilities(one(waveform)).sum(-1), torch.ones(2))
    assert torch.equal(several(waveform), one(waveform))
    assert torch.equal(several.probabilities(several(waveform)), several(waveform).sigmoid())


@classifiers
def test_labels_that_are_named_and_those_that_a_recording_has(name):
    assert (
        build(name, labels="cow | hen").labels == build(name, labels=["cow", "hen"]).labels == ("cow", "hen")
    )
    for labels in ("", "cow|cow"):
        with pytest.raises(UsageError, match="at least one label"):
            build(name, labels=labels)
    network, waveform = build(name, several=True), noise(1, 6000)
    best = int(network(waveform).argmax())
    is_best = torch.nn.functional.one_hot(torch.tensor([best]), 3)
    assert network.figure(waveform, is_best) == 1
    assert network.figure(waveform, 1 - is_best) == 0
    assert network.loss(waveform, 1 - is_best).isfinite().all()


@classifiers
@pytest.mark.parametrize("head", [{"head": "linear"}, {"head": "cosine"}, {"head": "cosine", "hidden": 5}])
def test_all_of_a_classifier_learns(name, head):
    network = build(name, **head).train()
    network.loss(noise(2, 6000), torch.tensor([0, 2])).sum().backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in network.parameters())
