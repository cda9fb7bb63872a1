import json
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from unbabble.base import inputs
from unbabble.base.errors import InputError, OutputError, UsageError
from unbabble.data import corpora, manifest
from unbabble.data.manifest import Entry, ManifestSet

RATE = 8000


def voice(path: Path, samples: int = 4000, rate: int = RATE, seed: int = 0, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = 0.1 * np.random.default_rng((seed, len(path.name), ord(path.stem[-1]))).standard_normal(
        (samples, channels)
    )
    soundfile.write(path, noise, rate, subtype="FLOAT")
    return path


def corpus(folder: Path, count: int = 3, **options) -> list[Entry]:
    """Mixtures of two voices and a noise, which are their sum to the last bit but for rounding."""
    entries = []
    for number in range(count):
        kinds = [
            voice(folder / kind / f"{number}.wav", seed=i, **options)
            for i, kind in enumerate(("s1", "s2", "n"))
        ]
        parts = [soundfile.read(path)[0] for path in kinds]
        (folder / "mix").mkdir(exist_ok=True)
        mixture = folder / "mix" / f"{number}.wav"
        soundfile.write(mixture, np.sum(parts, axis=0), soundfile.info(kinds[0]).samplerate, subtype="FLOAT")
        entries.append(
            Entry(str(number), mixture, tuple(kinds[:2]), kinds[2], speakers=("anna", "ben"), split="dev")
        )
    return entries


def test_what_is_written_is_read(tmp_path: Path):
    entries = [
        Entry(
            "é",
            tmp_path / "a.wav",
            (tmp_path / "s/1.wav",),
            tmp_path / "n.wav",
            8000,
            1.5,
            ("x",),
            "dev",
            {"k": [1]},
        ),
        Entry("u", None, (tmp_path / "s/1.wav",)),
        Entry("n", None, noise=tmp_path / "n.wav"),
    ]
    path = manifest.write(tmp_path / "deep/er/m.jsonl", entries)
    assert [line["mixture"] for line in map(json.loads, path.read_text().splitlines())] == [
        "../../a.wav",
        None,
        None,
    ]
    read = manifest.read(path)
    assert [Path(file).resolve() for entry in read for file in entry.files] == [
        file for entry in entries for file in entry.files
    ]
    assert [(e.id, e.sample_rate, e.seconds, e.speakers, e.split, e.recipe) for e in read] == [
        (e.id, e.sample_rate, e.seconds, e.speakers, e.split, e.recipe) for e in entries
    ]


def test_paths_survive_links_and_moving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    voice(tmp_path / "data/a.wav")
    (tmp_path / "far/away").mkdir(parents=True)
    (tmp_path / "here").symlink_to(tmp_path / "far/away")
    monkeypatch.chdir(tmp_path)
    path = manifest.write(Path("here/m.jsonl"), [Entry("a", Path("data/a.wav"))])
    assert manifest.read(path)[0].files[0].is_file()
    manifest.write(Path("data/m.jsonl"), [Entry("a", Path("data/a.wav"))])
    (tmp_path / "data").rename(tmp_path / "moved")
    assert manifest.read("moved/m.jsonl")[0].files[0].is_file()


def test_an_interrupted_write_leaves_the_old_manifest(tmp_path: Path):
    path = manifest.write(tmp_path / "m.jsonl", [Entry("a", tmp_path / "a.wav")])
    before = path.read_bytes()
    with pytest.raises(TypeError):
        manifest.write(path, [Entry("b", tmp_path / "b.wav", recipe={"not JSON": object()})])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        manifest.write(tmp_path / "file/m.jsonl", [Entry("b", tmp_path / "b.wav")])


def test_separate_and_manifests_agree_on_the_format(tmp_path: Path):
    path = manifest.write(tmp_path / "m.jsonl", corpus(tmp_path))
    assert [file.name for file in inputs.read_manifest(path)] == ["0.wav", "1.wav", "2.wav"]


def test_references_of_simulated_mixtures_are_sources(tmp_path: Path):
    line = {
        "id": "0000",
        "mixture": "0000/mixture.wav",
        "images": ["x"],
        "references": ["0000/reference1.wav"],
    }
    (tmp_path / "metadata.jsonl").write_text(
        f"\ufeff# made by hand\n\n{json.dumps(line)}\n", encoding="utf-8"
    )
    (entry,) = manifest.read(tmp_path / "metadata.jsonl")
    assert entry.sources == (tmp_path / "0000/reference1.wav",)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "Line 2 .* is not JSON"),
        ("[]", "is not a JSON object"),
        ("{}", "names no recording"),
        ('{"mixture": 3}', "has a mixture that is no path"),
        ('{"mixture": "a", "sources": "b"}', "sources that are no list of paths"),
        ('{"mixture": "a", "sources": [""]}', "sources that are no list of paths"),
        ('{"mixture": "a", "sample_rate": "8k"}', 'has the sample_rate "8k"'),
        ('{"mixture": "a", "seconds": -1}', "has the seconds -1"),
        ('{"mixture": "a", "speakers": "anna"}', "speakers that are no list"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, sentence: str):
    (tmp_path / "m.jsonl").write_text(f'{{"mixture": "a.wav"}}\n{line}\n')
    with pytest.raises(InputError, match=sentence):
        manifest.read(tmp_path / "m.jsonl")


def test_no_manifest(tmp_path: Path):
    with pytest.raises(InputError, match="There is no manifest"):
        manifest.read(tmp_path / "m.jsonl")
    (tmp_path / "m.jsonl").write_text("\n")
    with pytest.raises(InputError, match="is empty"):
        manifest.read(tmp_path / "m.jsonl")
    (tmp_path / "m.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as text"):
        manifest.read(tmp_path / "m.jsonl")


def test_headers_are_checked(tmp_path: Path):
    entries = corpus(tmp_path, 5)
    entries[0].sources[1].unlink()
    entries[1].sources[0].write_bytes(b"no sound")
    voice(entries[2].sources[0], samples=2000)
    voice(entries[3].sources[0], rate=16000, samples=8000)
    good, bad, odd = manifest.check(entries)
    assert [entry.id for entry in good] == ["2", "4"]
    assert [(entry.sample_rate, entry.seconds) for entry in good] == [(8000, 0.25), (8000, 0.5)]
    assert len(bad) == 3
    assert "There is no file" in bad[0]
    assert "s1/1.wav" in bad[1]
    assert "8000 and 16000 Hz" in bad[2]
    assert odd == ["Mixtures and sources of other lengths: 1 item, as '2'."]
    assert [entry.id for entry in manifest.check(entries, 16000)[0]] == []
    assert "has 8000 Hz, not 16000" in manifest.check(entries[4:], 16000)[1][0]


def test_items_are_the_recordings(tmp_path: Path):
    entries = corpus(tmp_path)
    mixtures = ManifestSet(manifest.write(tmp_path / "m.jsonl", entries))
    assert (len(mixtures), mixtures.talkers) == (3, 2)
    item = mixtures[1]
    assert item.id == "1"
    assert item.mixture.dtype == item.sources.dtype == np.float32
    np.testing.assert_array_equal(item.sources[1], soundfile.read(entries[1].sources[1], dtype="float32")[0])
    assert item.noise is not None
    np.testing.assert_allclose(item.mixture, item.sources.sum(0) + item.noise, atol=1e-6)
    np.testing.assert_array_equal(mixtures[-2].mixture, item.mixture)
    with pytest.raises(IndexError):
        _ = mixtures[3]


def test_first_of_several_channels(tmp_path: Path):
    path = voice(tmp_path / "a.wav", channels=3)
    item = ManifestSet([Entry("a", path)])[0]
    assert item.sources.shape == (0, 4000)
    np.testing.assert_array_equal(item.mixture, soundfile.read(path, dtype="float32")[0][:, 0])


@pytest.mark.parametrize("known", [False, True])
def test_excerpts(tmp_path: Path, known: bool):
    entries = corpus(tmp_path, 4)
    mixtures = ManifestSet(manifest.check(entries)[0] if known else entries)
    wholes = [mixtures[i] for i in range(4)]
    drawn = [mixtures.example(index, seed=7, seconds=0.25) for index in range(12)]
    found = []
    for mixture, sources in drawn:
        assert (mixture.shape, sources.shape) == ((2000,), (2, 2000))
        (place,) = [
            (i, start)
            for i, whole in enumerate(wholes)
            for start in np.flatnonzero(whole.mixture[:2001] == mixture[0])
            if np.array_equal(whole.mixture[start : start + 2000], mixture)
        ]
        np.testing.assert_array_equal(wholes[place[0]].sources[:, place[1] : place[1] + 2000], sources)
        found.append(place)
    epochs = [[item for item, _ in found[i : i + 4]] for i in (0, 4, 8)]
    assert all(sorted(epoch) == [0, 1, 2, 3] for epoch in epochs)
    assert epochs[0] != epochs[1] or epochs[1] != epochs[2]
    assert len({start for _, start in found}) > 6
    again = ManifestSet(entries)
    for index in (11, 3):  # whatever was drawn before
        np.testing.assert_array_equal(again.example(index, seed=7, seconds=0.25)[0], drawn[index][0])
    assert not np.array_equal(again.example(3, seed=8, seconds=0.25)[0], drawn[3][0])


def test_short_items_are_filled_up_and_whole_items_are_whole(tmp_path: Path):
    mixtures = ManifestSet(corpus(tmp_path, 1))
    mixture, sources = mixtures.example(5, seconds=1.0)
    np.testing.assert_array_equal(mixture[:4000], mixtures[0].mixture)
    assert (mixture.shape, sources.shape) == ((8000,), (2, 8000))
    assert not mixture[4000:].any()
    assert mixtures.example(5)[1].shape == (2, 4000)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_other_rates_are_resampled_and_said_once(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
):
    time = np.arange(16000) / 16000
    tone = 0.5 * np.sin(2 * np.pi * 440 * time)
    paths = [tmp_path / f"{name}{suffix}" for name in ("mix", "s1")]
    for path in paths:
        soundfile.write(path, tone, 16000)
    mixtures = ManifestSet([Entry("a", paths[0], (paths[1],))], RATE)
    with caplog.at_level(logging.WARNING):
        item = mixtures[0]
        mixture, _ = mixtures.example(0, seconds=0.5)
    assert item.mixture.shape == (8000,)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    assert np.abs(item.mixture - expected)[200:-200].max() < (0.05 if suffix == ".ogg" else 1e-3)
    assert mixture.shape == (4000,)
    assert len(caplog.records) == 1
    assert "has 16000 Hz: resampled to 8000" in caplog.text
    assert mixtures.said["sample_rate"] == 4
    with pytest.raises(InputError, match="has 16000 Hz, not 8000"):
        _ = ManifestSet([Entry("a", paths[0], (paths[1],))], RATE, resample=False)[0]


def test_disagreeing_lengths_are_cut_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    entries = corpus(tmp_path, 2)
    for entry in entries:
        voice(entry.sources[0], samples=2000)
    mixtures = ManifestSet(entries)
    assert [item.mixture.shape for item in mixtures] == [(2000,)] * 2
    assert [item.sources.shape for item in mixtures] == [(2, 2000)] * 2
    assert "'0' last from 0.25 to 0.50 s: cut to the shortest" in caplog.text
    assert len(caplog.records) == 1
    assert mixtures.said["length"] == 4
    mixture, sources = mixtures.example(0, seconds=0.2)
    assert (mixture.shape, sources.shape) == ((1600,), (2, 1600))


def test_bad_files_are_skipped_up_to_a_share(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    entries = corpus(tmp_path, 20)
    entries[3].sources[0].unlink()
    assert entries[5].mixture is not None
    entries[5].mixture.write_bytes(b"no sound")
    with pytest.raises(
        InputError, match=r"1 of the 20 items of the manifest .* more than 1 %; the first: .*3\.wav"
    ):
        ManifestSet(entries)
    mixtures = ManifestSet(entries, max_bad_share=0.1)
    assert [item.id for item in mixtures] == [str(i) for i in range(20) if i not in (3, 5)]
    assert sorted(mixtures.bad) == [3, 5]
    assert "5.wav" in caplog.text
    drawn = [mixtures.example(index, seconds=0.1)[0] for index in range(20)]
    assert len({part.tobytes() for part in drawn}) == 20
    entries[7].sources[1].write_bytes(soundfile.read(entries[7].sources[1])[0].tobytes()[:100])
    with pytest.raises(InputError, match="3 of the 20 items"):
        list(mixtures)


def test_a_file_that_is_cut_short_is_bad(tmp_path: Path):
    entries = corpus(tmp_path, 1)
    flac = tmp_path / "cut.flac"
    soundfile.write(flac, 0.1 * np.random.default_rng(0).standard_normal(80000), RATE)
    flac.write_bytes(flac.read_bytes()[:20000])
    broken = [Entry("a", flac, entries[0].sources)]
    with pytest.raises(InputError, match=r"cut\.flac"):
        _ = ManifestSet(broken)[0]


def test_nan_is_bad_in_excerpts_too(tmp_path: Path):
    path = tmp_path / "nan.wav"
    soundfile.write(path, np.full(4000, np.nan), RATE, subtype="FLOAT")
    with pytest.raises(InputError, match="NaN"):
        ManifestSet([Entry("a", path)]).example(0, seconds=0.1)


def test_what_is_no_set_of_mixtures_is_refused(tmp_path: Path):
    path = voice(tmp_path / "a.wav")
    with pytest.raises(InputError, match="There are no mixtures in"):
        ManifestSet([Entry("a", None, (path,))])
    two = [Entry("a", path, (path,)), Entry("b", path, (path, path))]
    with pytest.raises(InputError, match="have 1 and 2 sources"):
        _ = ManifestSet(two).talkers
    with pytest.raises(UsageError, match="at least 1 Hz"):
        ManifestSet(two, 0)
    with pytest.raises(UsageError, match="between 0 and 1"):
        ManifestSet(two, max_bad_share=1.5)


def test_manifests_of_utterances_and_noises_are_tables_of_them(tmp_path: Path):
    path = voice(tmp_path / "84-1-0001.wav")
    entries = [
        Entry("84-1-0001", None, (path,), seconds=3.0, speakers=("84",), split="train"),
        Entry("x", None, (path,), split="dev"),
        Entry("hum", None, noise=path, split="train"),
    ]
    table = manifest.write(tmp_path / "m.jsonl", entries)
    first, second = corpora.speech(table)
    assert (first.speaker, first.seconds, first.licence) == ("84", 3.0, "CC BY 4.0")
    assert (second.speaker, second.seconds, second.licence) == ("x", 0.5, None)
    assert [noise.label for noise in corpora.noises(table, "train")] == ["hum"]
    with pytest.raises(InputError, match="names no noises, or none of this split"):
        corpora.noises(table, "dev")
