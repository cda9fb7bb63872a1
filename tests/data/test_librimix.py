import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from unbabble.base.errors import InputError, UsageError
from unbabble.data.librimix import LibriMixSet, extend

RATE = 16000
LENGTHS = {"1-1-0001": 20001, "2-1-0001": 12345, "3-1-0001": 16000}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three utterances in LibriSpeech's folders, two noises (one with two channels, one too short), metadata."""
    folder = tmp_path_factory.mktemp("librimix")
    rng = np.random.default_rng(0)
    for name, length in LENGTHS.items():
        speaker, chapter, _ = name.split("-")
        (folder / "speech/test-clean" / speaker / chapter).mkdir(parents=True)
        path = folder / "speech/test-clean" / speaker / chapter / f"{name}.flac"
        soundfile.write(path, 0.1 * rng.standard_normal(length), RATE)
    (folder / "noise/tt").mkdir(parents=True)
    soundfile.write(folder / "noise/tt/long.wav", 0.1 * rng.standard_normal((30000, 2)), RATE)
    soundfile.write(folder / "noise/tt/short.wav", 0.1 * rng.standard_normal(9000), RATE)
    rows = [row("a", "1-1-0001", "2-1-0001"), row("b", "3-1-0001", "1-1-0001", noise="short")]
    write(folder / "metadata.csv", rows)
    return folder


def row(name: str, *utterances: str, noise: str = "long") -> dict[str, object]:
    parts: dict[str, object] = {"mixture_ID": name}
    for k, utterance in enumerate(utterances, 1):
        speaker, chapter, _ = utterance.split("-")
        parts[f"source_{k}_path"] = f"test-clean/{speaker}/{chapter}/{utterance}.flac"
        parts[f"source_{k}_gain"] = 0.25 * k
    return parts | {"noise_path": f"tt/{noise}.wav", "noise_gain": 2.0}


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


def utterance(corpus: Path, name: str) -> np.ndarray:
    return soundfile.read(next(corpus.rglob(f"{name}.flac")), dtype="float32")[0]


@pytest.mark.parametrize(("mode", "length"), [("min", 6173), ("max", 10001)])
def test_gains_lengths_and_rate_are_the_recipes(corpus: Path, mode, length: int):
    mixtures = LibriMixSet(corpus / "metadata.csv", corpus / "speech", mode)
    assert (len(mixtures), mixtures.talkers) == (2, 2)
    item = mixtures[0]
    first = resample_poly(0.25 * utterance(corpus, "1-1-0001"), 1, 2)
    second = resample_poly(0.5 * utterance(corpus, "2-1-0001"), 1, 2)
    assert item.id == "a"
    assert item.noise is None
    assert item.mixture.shape == (length,)
    assert item.mixture.dtype == item.sources.dtype == np.float32
    np.testing.assert_allclose(item.sources[0], first[:length], atol=1e-6)
    np.testing.assert_allclose(item.sources[1, : min(length, 6173)], second[:length], atol=1e-6)
    assert not item.sources[1, 6173:].any()
    np.testing.assert_array_equal(item.mixture, item.sources.sum(0))


def test_at_16_khz_nothing_is_filtered(corpus: Path):
    item = LibriMixSet(corpus / "metadata.csv", corpus / "speech", sample_rate=RATE)[0]
    np.testing.assert_array_equal(item.sources[1], 0.5 * utterance(corpus, "2-1-0001"))


def test_conditions_with_noise(corpus: Path):
    options = {"noise": corpus / "noise", "sample_rate": RATE}
    both = LibriMixSet(corpus / "metadata.csv", corpus / "speech", condition="mix_both", **options)[0]
    heard = soundfile.read(corpus / "noise/tt/long.wav", dtype="float32")[0][: len(both.mixture), 0]
    assert both.noise is not None
    np.testing.assert_allclose(both.noise, 2 * heard, atol=1e-6)
    np.testing.assert_allclose(both.mixture, both.sources.sum(0) + both.noise, atol=1e-6)
    single = LibriMixSet(corpus / "metadata.csv", corpus / "speech", condition="mix_single", **options)[0]
    assert single.sources.shape == (1, LENGTHS["2-1-0001"])  # still as long as the shorter of the two talkers
    np.testing.assert_allclose(single.mixture, both.sources[0] + both.noise, atol=1e-6)


def test_short_noise_fades_into_its_beginning_without_a_gap(corpus: Path):
    extended = extend(np.ones(9000, np.float32), 25000, Path("noise.wav"))
    assert extended.shape == (25000,)
    np.testing.assert_allclose(extended, 1.0, atol=1e-6)  # the two halves of the fade add up to one
    noise = np.random.default_rng(0).standard_normal(9000).astype(np.float32)
    extended = extend(noise, 9500, Path("noise.wav"))
    np.testing.assert_array_equal(extended[: 9000 - 8001], noise[: 9000 - 8001])
    np.testing.assert_array_equal(extended[9000:], noise[8001:8501])
    with pytest.raises(InputError, match="shorter than half a second"):
        extend(noise[:8000], 9500, Path("noise.wav"))
    options = {"condition": "mix_both", "noise": corpus / "noise", "mode": "max"}
    item = LibriMixSet(corpus / "metadata.csv", corpus / "speech", **options)[1]
    assert item.noise is not None
    assert item.noise[5000:].any()


def test_excerpts_are_parts_of_the_item(corpus: Path):
    mixtures = LibriMixSet(corpus / "metadata.csv", corpus / "speech")
    wholes = [mixtures[i].mixture for i in range(2)]
    seen = set()
    for index in range(6):
        mixture, sources = mixtures.example(index, seed=3, seconds=0.25)
        assert (mixture.shape, sources.shape) == ((2000,), (2, 2000))
        places = {
            (i, start)
            for i, whole in enumerate(wholes)
            for start in np.flatnonzero(whole == mixture[0])
            if np.array_equal(whole[start : start + 2000], mixture)
        }
        assert len(places) == 1
        seen |= places
        np.testing.assert_array_equal(mixtures.example(index, seed=3, seconds=0.25)[0], mixture)
    assert len(seen) == 6


def test_files_are_found_by_name_whatever_their_folder_and_suffix(corpus: Path, tmp_path: Path):
    for name in LENGTHS:
        soundfile.write(tmp_path / f"{name}.wav", utterance(corpus, name), RATE, subtype="FLOAT")
    flat, nested = (LibriMixSet(corpus / "metadata.csv", place)[1] for place in (tmp_path, corpus / "speech"))
    np.testing.assert_array_equal(flat.mixture, nested.mixture)


def test_missing_utterances_are_counted_and_named(corpus: Path, tmp_path: Path):
    rows = [row(str(i), "1-1-0001", "2-1-0001") for i in range(9)] + [row("bad", "9-9-0009", "2-1-0001")]
    table = write(tmp_path / "m.csv", rows)
    with pytest.raises(InputError, match=r"1 of the 10 items .* more than 1 %; the first: .*'9-9-0009.flac'"):
        LibriMixSet(table, corpus / "speech")
    kept = LibriMixSet(table, corpus / "speech", max_bad_share=0.1)
    assert [item.id for item in kept] == [str(i) for i in range(9)]
    with pytest.raises(InputError, match=r"'9-9-0009\.flac'"):
        _ = kept[9]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"source_1_gain": "loud"}, "source_1_gain 'loud' of a is not a number"),
        ({"source_2_gain": "nan"}, "source_2_gain 'nan' of a is not a number"),
        ({"source_2_path": "x/narrow.wav"}, "narrow.wav' has 8000 Hz"),
    ],
)
def test_unusable_row_is_one_sentence(corpus: Path, tmp_path: Path, change: dict, sentence: str):
    (tmp_path / "x").mkdir()
    soundfile.write(tmp_path / "x/narrow.wav", np.ones(100), 8000)
    soundfile.write(tmp_path / "1-1-0001.wav", np.ones(100), RATE)
    table = write(tmp_path / "m.csv", [row("a", "1-1-0001", "1-1-0001") | change])
    with pytest.raises(InputError, match=sentence):
        list(LibriMixSet(table, tmp_path))


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"sample_rate": 44100}, UsageError, "no 44100 Hz"),
        ({"condition": "mix_both"}, UsageError, "needs the folder"),
        ({"mode": "mean"}, UsageError, "min and max"),
        ({"librispeech": "nowhere"}, InputError, "no folder 'nowhere'"),
        ({"metadata": "nowhere.csv"}, InputError, "no file or folder"),
    ],
)
def test_nonsense_is_refused(corpus: Path, options: dict, error: type, sentence: str):
    given = {"metadata": corpus / "metadata.csv", "librispeech": corpus / "speech", **options}
    with pytest.raises(error, match=sentence):
        LibriMixSet(**given)


def test_metadata_of_something_else(tmp_path: Path):
    (tmp_path / "m.csv").write_text("mixture_ID,source_1_path,source_1_gain,source_2_path\na,x,1,y\n")
    with pytest.raises(InputError, match="no column 'source_2_gain'"):
        LibriMixSet(tmp_path / "m.csv", tmp_path)


def test_real_subset(data_folder: Path):
    mixtures = LibriMixSet(data_folder / "libri2mix_test_subset.csv", data_folder / "speech/test")
    assert len(mixtures) == 308
    item = mixtures[0]
    assert item.id == "1320-122617-0025_260-123440-0019"
    raw = soundfile.read(data_folder / "speech/test/260-123440-0019.flac", dtype="float32")[0]
    np.testing.assert_allclose(
        item.sources[1], resample_poly(0.7363552385638958 * raw, 1, 2)[: len(item.mixture)], atol=1e-6
    )
