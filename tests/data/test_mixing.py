import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from unbabble.base.errors import InputError, UsageError
from unbabble.data import corpora
from unbabble.data.mixing import MixtureSet, mix
from unbabble.data.rooms import MeasuredRooms

RATE = 16000


def power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


def decibels(one: float, other: float) -> float:
    return float(10 * np.log10(one / other))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def scene(rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
    voices = [rng.standard_normal(RATE), rng.standard_normal(RATE // 2)]
    decay = np.exp(-np.arange(800) / 100)
    return voices, (rng.standard_normal((2, 3, 800)) * decay).astype(np.float32)


@pytest.mark.parametrize("snr_db", [None, -5.0, 20.0])
def test_images_and_noise_make_the_mixture(scene, rng: np.random.Generator, snr_db: float | None):
    voices, responses = scene
    mixed = mix(voices, responses, samples=RATE, sample_rate=RATE, snr_db=snr_db, rng=rng)
    np.testing.assert_allclose(mixed.images.sum(axis=0) + mixed.noise, mixed.mixture, atol=1e-7)
    assert mixed.mixture.dtype == mixed.images.dtype == mixed.references.dtype == np.float32
    assert np.abs(mixed.mixture).max() <= 0.9 + 1e-6
    if snr_db is None:
        assert not mixed.noise.any()
    else:
        assert decibels(power(mixed.images.sum(axis=0)[0]), power(mixed.noise[0])) == pytest.approx(
            snr_db, abs=0.01
        )


def test_levels_are_those_asked_for_while_a_voice_lasts(scene):
    voices, responses = scene
    mixed = mix(voices, responses, samples=RATE, sample_rate=RATE, levels_db=[0.0, -3.0])
    energies = [float(np.sum(np.square(image[0], dtype=np.float64))) for image in mixed.images]
    assert decibels(energies[1] / len(voices[1]), energies[0] / len(voices[0])) == pytest.approx(-3, abs=0.01)


def test_an_image_is_the_voice_through_the_response(scene):
    voices, responses = scene
    mixed = mix(voices, responses, samples=RATE, sample_rate=RATE, starts=[0, 100])
    heard = np.stack([np.convolve(voices[1], taps)[: RATE - 100] for taps in responses[1]])
    image = mixed.images[1]
    assert not image[:, :100].any()
    scale = image[0, 200] / heard[0, 100]
    np.testing.assert_allclose(image[:, 100 : 100 + heard.shape[1]], scale * heard, atol=1e-6)


def test_references_early_and_direct_are_parts_of_the_image(scene):
    voices, responses = scene
    responses = responses.copy()
    responses[:, :, 0] = 5.0  # the direct sound
    kept = {
        name: mix(voices, responses, samples=RATE, sample_rate=RATE, reference=name).references  # pyright: ignore
        for name in ("image", "early", "direct")
    }
    whole = mix(voices, responses, samples=RATE, sample_rate=RATE)
    np.testing.assert_array_equal(kept["image"], whole.images[:, 0])
    np.testing.assert_allclose(kept["early"], kept["image"], atol=1e-6)  # 800 taps are 50 ms: all of it
    cut = responses[:, :1, :41]
    expected = mix(voices, cut, samples=RATE, sample_rate=RATE).images[:, 0]
    for got, want in zip(kept["direct"], expected, strict=True):
        assert np.corrcoef(got, want)[0, 1] == pytest.approx(1.0, abs=1e-6)


def test_noise_that_is_given_is_scaled_alike_at_all_microphones(scene, rng: np.random.Generator):
    voices, responses = scene
    noise = rng.standard_normal((3, RATE)) * np.array([[1.0], [2.0], [0.5]])
    mixed = mix(voices, responses, samples=RATE, sample_rate=RATE, noise=noise, snr_db=0.0)
    np.testing.assert_allclose(mixed.noise / mixed.noise[0, 0] * noise[0, 0], noise, rtol=1e-4, atol=1e-4)


def test_nonsense_is_refused(scene):
    voices, responses = scene
    with pytest.raises(UsageError, match="number of dB"):
        mix(voices, responses, samples=RATE, sample_rate=RATE, snr_db=float("nan"))
    with pytest.raises(UsageError, match="2 responses and 1 voice, "):
        mix(voices[:1], responses, samples=RATE, sample_rate=RATE)
    with pytest.raises(InputError, match="talker 2 is silent"):
        mix([voices[0], np.zeros(5)], responses, samples=RATE, sample_rate=RATE)
    with pytest.raises(InputError, match="noise is silent"):
        mix(voices, responses, samples=RATE, sample_rate=RATE, noise=np.zeros((3, RATE)), snr_db=3.0)


@pytest.fixture(scope="module")
def mixtures(tmp_path_factory: pytest.TempPathFactory) -> MixtureSet:
    """Three speakers, a measured room of four directions and one place of noise, one noise."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(1)
    for speaker in "abc":
        (folder / "speech" / speaker).mkdir(parents=True)
        for number in range(3):
            soundfile.write(folder / f"speech/{speaker}/{number}.wav", 0.1 * rng.standard_normal(8000), RATE)
    soundfile.write(folder / "hum.wav", 0.1 * rng.standard_normal(3000), 8000)
    lines = ["file,azimuth_deg,gain"]
    for azimuth in ("0", "90", "180", "270", ""):
        taps = 0.3 * rng.standard_normal((400, 4)) * np.exp(-np.arange(400) / 60)[:, None]
        soundfile.write(folder / f"h{azimuth}.wav", taps, RATE)
        lines.append(f"h{azimuth}.wav,{azimuth},1.5")
    (folder / "rir.csv").write_text("\n".join(lines))
    return MixtureSet(
        speech=tuple(corpora.speech(folder / "speech")),
        room=MeasuredRooms(tuple(corpora.responses(folder / "rir.csv"))),
        noise=(corpora.Noise(folder / "hum.wav", "hum", 0.375),),
        microphones=3,
        seconds=1.2,
        count=6,
        snr_db=10.0,
    )


def test_an_item_depends_on_the_seed_and_its_index_alone(mixtures: MixtureSet):
    forward = list(mixtures)
    assert len(forward) == 6
    sent = pickle.loads(pickle.dumps(replace(mixtures, count=9)))  # as worker processes get it
    with ThreadPoolExecutor(3) as pool:
        backward = list(pool.map(sent.__getitem__, reversed(range(6))))[::-1]
    for one, other in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(one.mixture, other.mixture)
        np.testing.assert_array_equal(one.images, other.images)
        assert one.metadata == other.metadata
    assert not np.array_equal(forward[0].mixture, forward[1].mixture)
    assert not np.array_equal(forward[0].mixture, replace(mixtures, seed=1)[0].mixture)


def test_noise_from_a_file_is_played_in_the_room_at_the_snr(mixtures: MixtureSet):
    item = mixtures[0]
    assert item.metadata["noise"] == ["hum.wav"]
    assert decibels(power(item.images.sum(axis=0)[0]), power(item.noise[0])) == pytest.approx(10.0, abs=0.01)
    assert np.linalg.matrix_rank(item.noise) == 3
    assert item.noise.shape == (3, round(1.2 * RATE))


def test_talkers_differ_and_are_described(mixtures: MixtureSet):
    for item in mixtures:
        talkers = item.metadata["talkers"]
        assert len({talker["speaker"] for talker in talkers}) == 2
        assert all(len(talker["files"]) == 3 for talker in talkers)  # 1.2 s of 0.5 s each
        levels = [decibels(power(image[0]), power(item.images[0][0])) for image in item.images]
        assert levels[1] == pytest.approx(talkers[1]["level_db"] - talkers[0]["level_db"], abs=0.01)


def test_overlap_says_who_speaks_when(mixtures: MixtureSet):
    apart = replace(mixtures, overlap=0.0, snr_db=None)
    assert apart.turn_seconds == pytest.approx(0.6)
    first, second = apart[0].images[:, 0]
    assert not second[: round(0.6 * RATE)].any()
    assert not first[round(0.6 * RATE) + 400 :].any()  # but for the room's echo
    half = replace(mixtures, overlap=0.5)
    assert half.turn_seconds == pytest.approx(0.8)
    assert half[0].metadata["talkers"][1]["start_seconds"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"talkers": 4}, InputError, "of 3 speakers with 1.2 s"),
        ({"seconds": 5.0}, InputError, "of 0 speakers with 5 s"),
        ({"talkers": 0}, UsageError, "number of talkers"),
        ({"seconds": float("nan")}, UsageError, "duration"),
        ({"overlap": 1.5}, UsageError, "overlap"),
        ({"snr_db": float("nan")}, UsageError, "makes no sense"),
        ({"snr_db": float("-inf")}, UsageError, "makes no sense"),
        ({"level_spread_db": -1.0}, UsageError, "spread"),
        ({"seed": -1}, UsageError, "seed"),
    ],
)
def test_impossible_set_is_one_sentence(mixtures: MixtureSet, change: dict, error: type, sentence: str):
    with pytest.raises(error, match=sentence):
        replace(mixtures, **change)


def test_no_item_beyond_the_count(mixtures: MixtureSet):
    with pytest.raises(IndexError):
        mixtures[6]
