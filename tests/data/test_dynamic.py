from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from unbabble.base.errors import InputError, UsageError
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures, coloured
from unbabble.data.store import Store

RATE = 8000


def write(path, samples, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path


@pytest.fixture
def speech(tmp_path):
    """Three speakers: a tone each, the third with one short utterance alone."""
    rng = np.random.default_rng(0)
    for speaker, pitch in (("low", 200), ("high", 900)):
        for number in range(5):
            time = np.arange(RATE * 2) / RATE
            tone = 0.2 * np.sin(2 * np.pi * pitch * time + rng.uniform(0, 6))
            write(tmp_path / "speech" / speaker / f"{number}.wav", tone)
    write(tmp_path / "speech" / "one" / "0.wav", 0.1 * rng.standard_normal(RATE // 4))
    return tmp_path / "speech"


@pytest.fixture
def mixing(speech, tmp_path):
    return DynamicMixing(speech, talkers=(2,), seconds=1.0, cache=tmp_path / "cache")


def test_an_item_depends_on_its_number_alone(mixing, tmp_path):
    write(tmp_path / "noise" / "a.wav", 0.1 * np.random.default_rng(1).standard_normal(RATE * 3))
    mixing = replace(mixing, noise=tmp_path / "noise", noise_share=0.5, overlap=(0.2, 1.0), speed=(0.9, 1.1))
    first = [DynamicMixtures(mixing, 3)[index] for index in range(6)]
    again = DynamicMixtures(mixing, 3)
    with ThreadPoolExecutor(3) as pool:
        shuffled = dict(zip((5, 0, 3), pool.map(again.__getitem__, (5, 0, 3)), strict=True))
    for index, item in shuffled.items():
        assert np.array_equal(item.mixture, first[index].mixture)
        assert np.array_equal(item.sources, first[index].sources)
    assert not np.array_equal(first[0].mixture, first[1].mixture)
    assert not np.array_equal(first[0].mixture, DynamicMixtures(mixing, 4)[0].mixture)


def test_noises_sound_together_and_differently_coloured(mixing, tmp_path):
    time = np.arange(RATE * 3) / RATE
    for name, pitch in (("a", 300), ("b", 1500)):
        write(tmp_path / "noise" / f"{name}.wav", 0.1 * np.sin(2 * np.pi * pitch * time))
    noisy = replace(mixing, talkers=(1,), noise=tmp_path / "noise", noise_share=1.0, snr_db=(0.0, 0.0))

    def weaker(**options):
        """Of each item, the share of the weaker tone in the noise's amplitude; one drawn twice may cancel itself."""
        found = []
        for index in range(12):
            item = DynamicMixtures(replace(noisy, **options), 0)[index]
            both = np.abs(np.fft.rfft(item.mixture - item.sources.sum(0)))[[300, 1500]]
            if both.max() > 1:
                found.append(round(float(both.min() / np.linalg.norm(both)), 2))
        return set(found)

    assert weaker() == {0.0}, "one at a time"
    assert weaker(noises=(2,)) == {0.0, 0.71}, "two at once, equally strong, or one twice"
    assert len(weaker(noises=(2,), noise_colour_db=12.0)) > 3
    assert weaker(noise_colour_db=12.0) == {0.0}
    with pytest.raises(UsageError, match="number of noises"):
        replace(noisy, noises=(0,))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing(mixing, workers):
    items = DynamicMixtures(mixing, 0)
    loader = torch.utils.data.DataLoader(items, batch_sampler=[[4, 1], [7, 2]], num_workers=workers)
    found = [mixture for mixture, _ in loader]
    for batch, numbers in zip(found, ([4, 1], [7, 2]), strict=True):
        for mixture, number in zip(batch, numbers, strict=True):
            assert np.array_equal(mixture.numpy(), items[number].mixture)


def test_a_clean_mixture_is_the_sum_of_its_talkers_at_unit_level(mixing):
    for index in range(10):
        mixture, sources = DynamicMixtures(mixing, 0)[index]
        assert mixture.shape == (RATE,)
        assert sources.shape == (2, RATE)
        assert mixture.dtype == sources.dtype == np.float32
        assert np.allclose(sources.sum(0), mixture, atol=1e-5)
        assert np.sqrt(np.mean(mixture**2)) == pytest.approx(1, abs=1e-4)
        assert (np.abs(sources).max(1) > 0).all()


def test_levels_differ_as_asked(mixing):
    items = DynamicMixtures(replace(mixing, level_spread_db=0.0), 0)
    for index in range(10):
        active = [source[source != 0] for source in items[index].sources]
        low, high = sorted(np.sqrt(np.mean(each**2)) for each in active)
        assert high / low < 1.01


def test_noise_has_the_snr_asked_for(mixing, tmp_path):
    write(tmp_path / "noise" / "a.wav", 0.1 * np.random.default_rng(1).standard_normal(RATE // 2))
    items = DynamicMixtures(replace(mixing, noise=tmp_path / "noise", noise_share=1.0, snr_db=(7.0, 7.0)), 0)
    for index in range(5):
        mixture, sources = items[index]
        clean = sources.sum(0)
        assert 10 * np.log10(np.sum(clean**2) / np.sum((mixture - clean) ** 2)) == pytest.approx(7, abs=0.01)


def test_without_overlap_one_talks_after_the_other(mixing):
    items = DynamicMixtures(replace(mixing, overlap=(0.0, 0.0)), 0)
    for index in range(5):
        assert not (items[index].sources != 0).all(0).any()


def test_a_varying_number_of_talkers_leaves_places_silent(mixing):
    items = DynamicMixtures(replace(mixing, talkers=(1, 2, 3)), 0)
    counts = [int((np.abs(items[index].sources).max(1) > 0).sum()) for index in range(30)]
    assert set(counts) == {1, 2, 3}
    assert all(items[index].sources.shape == (3, RATE) for index in range(3))


def test_a_colour_is_a_filter_of_its_voice_alone(mixing):
    # A delayed pulse: its spectrum is the curve, its place stays.
    pulse = np.zeros(4000, np.float32)
    pulse[2000] = 1
    out = coloured(pulse, np.array([6.0, -6.0]), 8000)
    spectrum = 20 * np.log10(np.abs(np.fft.rfft(out)))
    assert np.abs(out).argmax() == 2000
    assert (spectrum[0], spectrum[-1]) == (pytest.approx(6, abs=0.2), pytest.approx(-6, abs=0.2))
    assert np.all(np.diff(spectrum) < 0.1)
    plain, other = (DynamicMixtures(replace(mixing, colour_db=each), 0)[3] for each in (0.0, 12.0))
    assert not np.allclose(plain.sources, other.sources, atol=0.1)
    np.testing.assert_allclose(other.mixture, other.sources.sum(0), atol=1e-5)


def test_speed_changes_the_pitch(mixing):
    items = DynamicMixtures(replace(mixing, talkers=(1,), speed=(1.1, 1.1)), 0)
    peaks = set()
    for index in range(20):
        spectrum = np.abs(np.fft.rfft(items[index].sources[0]))
        if spectrum.max() > 20 * np.median(spectrum):  # a tone, not the noise of the third speaker
            peaks.add(round(int(spectrum.argmax()) / 10) * 10)
    assert peaks == {220, 990}


def test_a_room_makes_images_and_keeps_the_early_part_as_reference(mixing, tmp_path):
    table = tmp_path / "rir.csv"
    rows = ["file,gain"]
    for number in range(3):
        response = np.zeros(RATE // 2)
        response[10 + number], response[RATE // 5] = 0.5, 0.25
        write(tmp_path / "rir" / f"{number}.wav", response)
        rows.append(f"{number}.wav,0.5")
    table.write_text("\n".join(rows))
    asked = replace(mixing, talkers=(1,), rooms=table, room_share=1.0)
    whole, early = DynamicMixtures(asked, 0)[1], DynamicMixtures(replace(asked, reference="early"), 0)[1]
    assert np.allclose(whole.mixture, early.mixture)
    assert np.allclose(whole.sources[0], whole.mixture, atol=1e-5)
    voice = early.sources[0]
    echo = (whole.mixture - voice)[RATE // 4 :]
    direct = voice[RATE // 4 - (RATE // 5 - 10) :][: len(echo)]
    shifts = [np.corrcoef(echo, voice[RATE // 4 - RATE // 5 + d :][: len(echo)])[0, 1] for d in (10, 11, 12)]
    assert max(shifts) > 0.999
    assert np.linalg.norm(echo) == pytest.approx(0.5 * np.linalg.norm(direct), rel=0.05)


def test_held_out_utterances_are_never_trained_on(mixing):
    learned = DynamicMixtures(replace(mixing, held_out=False), 0)
    assert {path.name for path in learned.speech.files} == {"0.wav", "1.wav", "2.wav", "3.wav"}
    judged = DynamicMixtures(replace(mixing, held_out=True), 0)
    assert {(path.parent.name, path.name) for path in judged.speech.files} == {
        ("low", "4.wav"),
        ("high", "4.wav"),
    }


def test_too_few_speakers(mixing):
    with pytest.raises(InputError, match="Mixtures of 4 talkers are asked for"):
        DynamicMixtures(replace(mixing, talkers=(4,)), 0)


def test_a_silent_speaker_is_named(tmp_path):
    write(tmp_path / "speech" / "mute" / "0.wav", np.zeros(RATE))
    items = DynamicMixtures(DynamicMixing(tmp_path / "speech", talkers=(1,), cache=tmp_path / "cache"), 0)
    with pytest.raises(InputError, match="'mute' has no utterance that is not silent"):
        items[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"overlap": (0.5, 1.5)},
        {"speed": (1.2, 0.9)},
        {"colour_db": -1.0},
        {"talkers": ()},
        {"seconds": 0.0},
        {"noise_share": 0.5},
        {"room_share": 0.5},
    ],
)
def test_numbers_that_make_no_sense(mixing, wrong):
    with pytest.raises(UsageError, match="Dynamic mixing"):
        replace(mixing, **wrong)


def test_a_store_keeps_samples_to_16_bits_and_decodes_once(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    waves = [rng.uniform(-0.5, 0.5, length) for length in (100, 1, 5000)]
    files = [write(tmp_path / f"{number}.wav", wave) for number, wave in enumerate(waves)]
    store = Store(files, RATE, folder=tmp_path / "cache")
    for number in range(len(waves)):
        assert np.array_equal(store[number], soundfile.read(files[number], dtype="float32")[0])
    assert np.array_equal(store.excerpt(2, 10, 20), store[2][10:30])
    assert len(store.excerpt(2, 4990, 50)) == 10, "an excerpt ends where its file ends"
    monkeypatch.setattr(Store, "_decode", None)
    assert np.array_equal(Store(files, RATE, folder=tmp_path / "cache")[2], store[2])


def test_bad_files_are_left_out_up_to_a_share(tmp_path):
    good = [write(tmp_path / f"{number}.wav", np.ones(10) * 0.1) for number in range(3)]
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no audio")
    store = Store([*good, bad], RATE, max_bad_share=0.3, folder=tmp_path / "cache")
    assert store.length(3) == 0
    with pytest.raises(InputError, match=r"2 of 5 recordings cannot be used, the first: .*bad\.wav"):
        Store([*good, bad, tmp_path / "gone.wav"], RATE, max_bad_share=0.3, folder=tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1, "nothing half is left"


@pytest.fixture
def by_sex(mixing, tmp_path):
    """Of each sex two; the women hum at 900 Hz."""
    rows = ["file,speaker,sex"]
    rows += [
        f"speech/{who}/{n}.wav,{who}{n % 2},{sex}"
        for who, sex in (("low", "M"), ("high", "F"))
        for n in range(5)
    ]
    (tmp_path / "table.csv").write_text("\n".join(rows))
    return replace(mixing, speech=tmp_path / "table.csv")


def is_woman(voice):
    return int(np.abs(np.fft.rfft(voice)).argmax()) == 900


def test_learning_by_sex_begins_with_a_woman_and_a_man_in_this_order(mixing, by_sex):
    items = DynamicMixtures(replace(by_sex, by_sex=True), 0)
    assert {is_woman(items[index].sources[0]) for index in range(20)} == {True}
    with pytest.raises(UsageError, match="column 'sex'"):
        DynamicMixtures(replace(mixing, by_sex=True), 0)
    with pytest.raises(UsageError, match="two talkers"):
        replace(by_sex, by_sex=True, talkers=(3,))


@pytest.mark.parametrize(("share", "allowed"), [(0.0, {1}), (1.0, {0, 2}), (0.5, {0, 1, 2})])
def test_as_many_of_the_same_sex_as_asked_for(by_sex, share, allowed):
    items = DynamicMixtures(replace(by_sex, same_sex_share=share), 0)
    women = [sum(map(is_woman, items[index].sources)) for index in range(40)]
    assert {*women} == allowed


def test_a_share_of_the_same_sex_needs_enough_of_each(mixing, by_sex):
    with pytest.raises(UsageError, match="column 'sex'"):
        DynamicMixtures(replace(mixing, same_sex_share=0.5), 0)
    with pytest.raises(UsageError, match="3 or more of each"):
        DynamicMixtures(replace(by_sex, same_sex_share=0.5, talkers=(3,)), 0)
