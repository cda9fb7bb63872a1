"""Loading models and calling them on whatever is at hand."""

import io

import pytest
import torch
from scipy.signal import butter, sosfilt

from unbabble.base.audio import Audio, read, write
from unbabble.base.errors import InputError, UsageError
from unbabble.pipelines import separate as hub
from unbabble.pipelines.recording import Recording

RATE = 8000


@pytest.fixture
def mixture(generator):
    sources = torch.randn(2, RATE, generator=generator).sign() * torch.rand(2, RATE, generator=generator) ** 4
    return torch.tensor([[1.0, 0.5], [0.4, 1.0], [0.3, -0.2]])[:2] @ sources * 0.3


@pytest.fixture
def model():
    return hub.load("ica", device="cpu")


def test_every_kind_of_input_gives_the_same(tmp_path, mixture, model):
    write(tmp_path / "x.wav", mixture, RATE)
    content = (tmp_path / "x.wav").read_bytes()
    expected = model(mixture, sample_rate=RATE).sources
    inputs = (tmp_path / "x.wav", str(tmp_path / "x.wav"), content, io.BytesIO(content), Audio(mixture, RATE))
    for source in inputs:
        assert torch.equal(model(source).sources, expected)
    assert torch.equal(model(mixture.numpy(), sample_rate=RATE).sources, expected)
    assert expected.shape == mixture.shape
    assert expected.dtype == torch.float32


def test_images_lie_at_their_microphones_and_dead_ones_stay_silent(mixture, model):
    with_dead = torch.stack([torch.zeros(RATE), mixture[0], torch.full((RATE,), 0.1), mixture[1]])
    result = model(with_dead, sample_rate=RATE, images=True)
    assert result.images is not None
    assert result.images.shape == (2, 4, RATE)
    assert not result.images[:, [0, 2]].any()
    assert torch.equal(result.sources, result.images[:, 1])
    assert torch.allclose(result.images.sum(0)[[1, 3]], mixture - mixture.mean(1, keepdim=True), atol=1e-4)
    assert result.warnings == ["Microphones 1, 3 of 4: silent, left out."]


def test_the_reference_keeps_its_meaning_where_microphones_are_dead(mixture):
    with_dead = torch.stack([torch.zeros(RATE), mixture[0], mixture[1]])
    plain = hub.load("ica", device="cpu", reference=1)(mixture, sample_rate=RATE)
    moved = hub.load("ica", device="cpu", reference=2)(with_dead, sample_rate=RATE)
    assert torch.equal(plain.sources, moved.sources)
    dead = hub.load("ica", device="cpu", reference=0)(with_dead, sample_rate=RATE)
    assert "microphone 2 takes its place" in dead.warnings[1]


def test_clipping_is_said(mixture, model):
    warnings = model((10 * mixture).clamp(-1, 1), sample_rate=RATE).warnings
    assert any("of the samples are clipped" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (torch.zeros(2, 100), "silent"),
        (torch.zeros(2, 0), "no samples"),
        (torch.tensor([[0, float("nan")], [1, 2]]), "not numbers"),
        (torch.randn(1, 100, generator=torch.Generator().manual_seed(0)), "at least 2 microphones.*has 1"),
    ],
)
def test_recordings_that_cannot_be_separated(model, samples, sentence):
    with pytest.raises(InputError, match=sentence):
        model(samples, sample_rate=RATE)


def test_wrong_requests(model, mixture):
    for wrong in (
        lambda: hub.load("nonsense"),
        lambda: hub.load("auto"),
        lambda: hub.load("ica", iteration=3),
        lambda: hub.load("ica", iterations="ten"),
        lambda: hub.load("ica", device="abacus"),
        lambda: hub.load("ica", dereverb="joint"),
        lambda: hub.load("ica", dereverb="dry"),  # type: ignore[arg-type]
        lambda: model(mixture),
        lambda: model(mixture[None], sample_rate=RATE),
        lambda: model(mixture.T, sample_rate=RATE),  # (time, channel)
        lambda: model(mixture.T.numpy(), sample_rate=RATE),
        lambda: model(mixture[:1].T, sample_rate=RATE),
        lambda: model(Audio(mixture.T, RATE)),
    ):
        with pytest.raises(UsageError):
            wrong()


def test_saving(tmp_path, mixture, model):
    result = model(mixture, sample_rate=RATE, images=True)
    paths = result.save(tmp_path / "wav")
    names = ["source1.wav", "source2.wav", "source1_image.wav", "source2_image.wav"]
    assert [path.name for path in paths] == names
    assert torch.equal(read(paths[1]).samples[0], result.sources[1])
    result.sources *= 100
    flac = result.save(tmp_path / "flac", "flac")
    voices = torch.cat([read(path).samples for path in flac[:2]])
    assert "all alike" in result.warnings[-1]
    assert voices.abs().max() == pytest.approx(1, abs=1e-6)
    assert torch.allclose(voices / voices.abs().max(), result.sources / result.sources.abs().max(), atol=1e-6)
    content = result.to_dict()
    assert (content["model"], content["sources"], content["audio_seconds"]) == ("ica", 2, 1.0)


def test_what_is_in_no_voice_makes_the_sum_whole(tmp_path, mixture):
    third = torch.tensor([[1.0, 0.5], [0.4, 1.0], [0.3, -0.2]])[2:] @ mixture
    recorded = torch.cat([mixture, third + 0.1 * torch.randn(1, RATE, generator=torch.manual_seed(0))]) + 0.3
    result = hub.load("overiva", device="cpu", sources=2, reference=2, window_length=256)(recorded, RATE)
    paths = result.save(tmp_path, residual=True)
    assert [path.name for path in paths] == ["source1.wav", "source2.wav", "residual.wav"]
    parts = [read(path).samples[0] for path in paths]
    assert parts[2].abs().max() > 0.1, "the offset is in no voice"
    assert torch.allclose(sum(parts), recorded[2], atol=1e-5)


@pytest.mark.parametrize("kind", ["offset", "rumble"])
@pytest.mark.parametrize("name", ["auxiva.ipa", "conv_tasnet.two"])
def test_what_is_no_sound_changes_nothing(installed, generator, kind, name):
    seconds = 4
    time = torch.arange(seconds * RATE) / RATE
    active = (torch.rand(2, 40, generator=generator) > 0.5).repeat_interleave(seconds * RATE // 40, 1)
    sources = active * torch.randn(2, seconds * RATE, generator=generator)
    high = sosfilt(butter(4, 80, "highpass", fs=RATE, output="sos"), sources.numpy())
    sources = torch.from_numpy(high).float()
    clean = torch.tensor([[1.0, 0.5], [0.4, 1.0]]) @ sources * 0.03
    added = (
        torch.tensor([[0.05], [-0.02]])
        if kind == "offset"
        else 0.1 * torch.sin(2 * torch.pi * torch.tensor([[5.0], [7.0]]) * time)
    )
    model = hub.load(name, "cpu")
    expected, found = model(clean, RATE), model(clean + added, RATE)
    assert not expected.warnings
    assert [text.endswith("removed first: that is no sound.") for text in found.warnings] == [True]
    error = (found.sources - expected.sources).square().mean() / expected.sources.square().mean()
    assert 10 * error.log10() < -25


def test_models_with_a_rate_of_their_own_get_it(monkeypatch, mixture):
    seen = []

    class Fixed:
        sample_rate, min_channels, max_sources = 16000, 1, 2

        def __call__(self, mixture, *, sample_rate, **side):
            seen.append((mixture.shape, sample_rate))
            return mixture[:, :2]

    monkeypatch.setattr(hub.Model, "separator", lambda self, **changes: Fixed())
    model = hub.Model("fixed", torch.device("cpu"))
    result = model(mixture[:, :7999], sample_rate=RATE)
    assert seen == [((1, 2, 15998), 16000)]
    assert result.sources.shape == (2, 7999)
    with pytest.raises(UsageError, match="at most 2 sources"):
        hub.Model("fixed", torch.device("cpu"), options={"sources": 3})(mixture, sample_rate=RATE)


def test_wpe_goes_before(mixture):
    pytest.importorskip("nara_wpe")
    plain = hub.load("ica", device="cpu")(mixture, sample_rate=RATE)
    dry = hub.load("ica", device="cpu", dereverb="wpe")(mixture, sample_rate=RATE)
    assert dry.sources.shape == plain.sources.shape
    assert not torch.equal(dry.sources, plain.sources)


# Networks: recordings of one microphone.


@pytest.fixture
def installed(package):
    """Networks for two and for three talkers."""
    package(two={}, three={"sources": 3})


def test_one_talker_stays_as_recorded(mixture):
    mixture = mixture + 0.5  # an offset stays as well
    result = hub.load(hub.UNCHANGED, "cpu", reference=1)(mixture, sample_rate=RATE, images=True)
    assert result.images is not None
    assert torch.equal(result.images, mixture[None])
    assert torch.equal(result.sources, mixture[1:])
    with pytest.raises(InputError, match="There is no microphone 2: the recording has 2"):
        hub.load(hub.UNCHANGED, "cpu", reference=2)(mixture, sample_rate=RATE)


def test_what_models_like_to_separate_at_once(installed, mixture):
    recording = Recording.of(mixture, RATE)
    assert hub.load("conv_tasnet.two", "cpu").piece_seconds(recording) == hub.NETWORK_SECONDS
    assert hub.load("ica", "cpu").piece_seconds(recording) is None


def test_any_rate_comes_back_and_what_is_lost_is_said(installed, generator):
    low = torch.randn(1, 4410, generator=generator)
    for rate in (4000, 8000, 44100):
        result = hub.load("conv_tasnet.two", "cpu")(low, sample_rate=rate)
        assert result.sources.shape == (2, 4410)
        assert result.sample_rate == rate
        lost = "Model 'conv_tasnet.two' works at 8 kHz: what the recording has above 4 kHz is lost."
        assert result.warnings == ([lost] if rate == 44100 else [])


def test_a_network_is_built_once_and_recordings_leave_no_trace(installed, mixture):
    model = hub.load("conv_tasnet.two", "cpu")
    first, second = model.separator(reference=1), model.separator()
    assert (first.reference, second.reference) == (1, 0)
    assert all(a is b for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not first.training
    first.warnings.append("Odd.")
    assert model(mixture[:1], sample_rate=RATE).warnings == []
    other = hub.load("conv_tasnet.two", "cpu", reference=1)(mixture, sample_rate=RATE)
    assert torch.equal(other.sources, model(mixture[1:], sample_rate=RATE).sources)


def test_more_voices_than_asked_for(installed, mixture):
    result = hub.load("conv_tasnet.three", "cpu", sources=2)(mixture[:1], sample_rate=RATE)
    everything = hub.load("conv_tasnet.three", "cpu")(mixture[:1], sample_rate=RATE)
    assert torch.equal(result.sources, everything.sources[:2])
    assert "the weakest are left out" in result.warnings[-1]
    with pytest.raises(UsageError, match="at most 2 sources, not 3"):
        hub.load("conv_tasnet.two", "cpu", sources=3)
