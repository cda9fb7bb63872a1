from pathlib import Path

import pytest

from unbabble.base.errors import InputError, UsageError
from unbabble.data import layouts
from unbabble.data.layouts import Part

WSJ = "011a0101_0.061105_401c020r_-0.061105"
WSJ3 = "01to030v_1.2_22ho0109_-0.5_421a0103_3e-05"
LIBRI = "1320-122617-0025_260-123440-0019"
LIBRI3 = "4077-13754-0001_5142-33396-0065_5683-32866-0012"


def tree(folder: Path, *patterns: str) -> Path:
    """Empty files, `{a,b}` in a path standing for both: readers open no recording."""
    for pattern in patterns:
        head, brace, rest = pattern.partition("{")
        if brace:
            choices, _, tail = rest.partition("}")
            tree(folder, *(f"{head}{choice}{tail}" for choice in choices.split(",")))
        else:
            (folder / pattern).parent.mkdir(parents=True, exist_ok=True)
            (folder / pattern).touch()
    return folder


def names(parts: list[Part]) -> list[str]:
    return sorted(part.name for part in parts)


def part(parts: list[Part], name: str) -> Part:
    (found,) = (part for part in parts if part.name == name)
    return found


def paths(found: Part, folder: Path) -> list[list[str]]:
    return [[file.relative_to(folder).as_posix() for file in entry.files] for entry in found.entries]


def test_wsj0_mixtures_at_all_rates_lengths_and_talkers(tmp_path: Path):
    tree(
        tmp_path,
        f"2speakers/wav8k/{{min,max}}/{{tr,cv,tt}}/{{mix,s1,s2}}/{WSJ}.wav",
        f"2speakers/wav16k/min/tt/{{mix,s1,s2}}/{WSJ}.wav",
        f"3speakers/wav8k/min/tt/{{mix,s1,s2,s3}}/{WSJ3}.wav",
    )
    parts = layouts.find("wsj0-2mix", tmp_path)
    lengths = [f"8k-{mode}-mix-{split}" for mode in ("max", "min") for split in ("dev", "test", "train")]
    assert names(parts) == ["16k-min-mix-test", *lengths]
    train = part(parts, "8k-min-mix-train")
    assert (train.split, train.sample_rate, train.missing) == ("train", 8000, ())
    assert paths(train, tmp_path / "2speakers/wav8k/min/tr") == [
        [f"{k}/{WSJ}.wav" for k in ("mix", "s1", "s2")]
    ]
    assert train.entries[0].speakers == ("011", "401")
    three = layouts.find("wsj0-3mix", tmp_path)
    assert names(three) == ["8k-min-mix-test"]
    assert three[0].entries[0].speakers == ("01t", "22h", "421")
    assert len(three[0].entries[0].sources) == 3


@pytest.mark.parametrize(
    "place", [".", "2speakers", "2speakers/wav8k", "2speakers/wav8k/min", "2speakers/wav8k/min/tr"]
)
def test_any_folder_above_the_split_will_do(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch):
    tree(tmp_path, f"2speakers/wav8k/min/tr/{{mix,s1,s2}}/{WSJ}.wav")
    monkeypatch.chdir(tmp_path / place)
    for folder in (tmp_path / place, Path()):
        assert names(layouts.find("wsj0-2mix", folder)) == ["8k-min-mix-train"]


def test_wham(tmp_path: Path):
    tree(tmp_path, f"wav8k/min/{{tr,tt}}/{{mix_clean,mix_both,mix_single,s1,s2,noise}}/{WSJ}.wav")
    parts = layouts.find("wham", tmp_path)
    assert names(parts) == [
        f"8k-min-mix_{kind}-{split}" for kind in ("both", "clean", "single") for split in ("test", "train")
    ]
    both, single = part(parts, "8k-min-mix_both-test"), part(parts, "8k-min-mix_single-test")
    base = tmp_path / "wav8k/min/tt"
    assert paths(both, base) == [[f"{kind}/{WSJ}.wav" for kind in ("mix_both", "s1", "s2", "noise")]]
    assert paths(single, base) == [[f"{kind}/{WSJ}.wav" for kind in ("mix_single", "s1", "noise")]]
    assert single.entries[0].speakers == ("011",)
    assert part(parts, "8k-min-mix_clean-test").entries[0].noise is None


def test_noise_may_be_absent(tmp_path: Path):
    tree(tmp_path, f"tt/{{mix_both,s1,s2}}/{WSJ}.wav")
    (found,) = layouts.find("wham", tmp_path)
    assert (found.name, found.missing, found.entries[0].noise) == ("mix_both-test", (), None)


def test_whamr_with_reverberant_and_with_dry_sources(tmp_path: Path):
    kinds = "mix_{both,clean,single}_{anechoic,reverb}"
    tree(
        tmp_path, f"wav16k/max/cv/{kinds}/{WSJ}.wav", f"wav16k/max/cv/{{s1,s2}}_{{anechoic,reverb}}/{WSJ}.wav"
    )
    tree(tmp_path, f"wav16k/max/cv/noise/{WSJ}.wav")
    parts = layouts.find("whamr", tmp_path)
    rooms = ("anechoic", "reverb", "reverb_dry")
    assert names(parts) == [
        f"16k-max-mix_{kind}_{room}-dev" for kind in ("both", "clean", "single") for room in rooms
    ]
    wanted = {
        "both_anechoic": ["mix_both_anechoic", "s1_anechoic", "s2_anechoic", "noise"],
        "both_reverb": ["mix_both_reverb", "s1_reverb", "s2_reverb", "noise"],
        "both_reverb_dry": ["mix_both_reverb", "s1_anechoic", "s2_anechoic", "noise"],
        "clean_reverb": ["mix_clean_reverb", "s1_reverb", "s2_reverb"],
        "single_reverb_dry": ["mix_single_reverb", "s1_anechoic", "noise"],
    }
    for name, files in wanted.items():
        found = part(parts, f"16k-max-mix_{name}-dev")
        assert paths(found, tmp_path / "wav16k/max/cv") == [[f"{kind}/{WSJ}.wav" for kind in files]]


def test_librimix(tmp_path: Path):
    splits = "{train-100,train-360,dev,test}"
    two, three = tmp_path / "Libri2Mix", tmp_path / "Libri3Mix"
    tree(two, f"wav8k/min/{splits}/{{mix_clean,mix_both,mix_single,s1,s2,noise}}/{LIBRI}.wav")
    tree(three, f"wav8k/min/test/{{mix_clean,s1,s2,s3}}/{LIBRI3}.wav")
    parts = layouts.find("libri2mix", tmp_path)
    assert len(parts) == 12
    train = part(parts, "8k-min-mix_both-train-360")
    assert train.split == "train-360"
    assert train.entries[0].speakers == ("1320", "260")
    (clean,) = layouts.find("libri3mix", tmp_path)
    assert clean.entries[0].speakers == ("4077", "5142", "5683")


def test_what_librimix_lists_but_lacks_is_missing(tmp_path: Path):
    tree(tmp_path, f"wav8k/min/dev/{{mix_clean,s1,s2}}/{LIBRI}.wav", "wav8k/min/dev/s1/9-9-9_8-8-8.wav")
    (tmp_path / "wav8k/min/metadata").mkdir()
    (tmp_path / "wav8k/min/metadata/mixture_dev_mix_clean.csv").write_text(
        f"mixture_ID,mixture_path,source_1_path,source_2_path,length\n{LIBRI},/a,/b,/c,1\n1-1-1_2-2-2,/a,/b,/c,1\n"
    )
    (found,) = layouts.find("libri2mix", tmp_path)
    assert [entry.id for entry in found.entries] == [LIBRI]
    base = tmp_path / "wav8k/min/dev/mix_clean"
    assert found.missing == (
        f"There is no '{base}/1-1-1_2-2-2.wav'.",
        f"There is no '{base}/9-9-9_8-8-8.wav'.",
    )


def test_names_of_another_kind_tell_no_speakers(tmp_path: Path):
    tree(tmp_path, "tr/{mix,s1,s2}/{0001,a_b}.wav")
    (found,) = layouts.find("wsj0-2mix", tmp_path)
    assert [entry.speakers for entry in found.entries] == [(), ()]


def test_librispeech_by_subset(tmp_path: Path):
    utterances = "{84/1,84/2,174/1}"
    tree(
        tmp_path, f"LibriSpeech/{{dev-clean,train-clean-100}}/{utterances}/x.txt", "LibriSpeech/SPEAKERS.TXT"
    )
    tree(tmp_path, "LibriSpeech/dev-clean/84/1/84-1-0000.flac", "LibriSpeech/dev-clean/84/1/84-1.trans.txt")
    (tmp_path / "LibriSpeech/dev-clean/84/1/84-1.trans.txt").write_text("84-1-0000 GO DO YOU HEAR\n")
    tree(tmp_path, "LibriSpeech/train-clean-100/{19/198/19-198-0001,26/495/26-495-0000}.flac")
    for folder in (tmp_path, tmp_path / "LibriSpeech"):
        parts = layouts.find("librispeech", folder)
        assert names(parts) == ["dev-clean", "train-clean-100"]
        (dev,) = part(parts, "dev-clean").entries
        assert (dev.id, dev.mixture, dev.speakers) == ("84-1-0000", None, ("84",))
        assert dev.transcripts == ("GO DO YOU HEAR",)
        assert not any(entry.transcripts for entry in part(parts, "train-clean-100").entries)
        assert [entry.speakers[0] for entry in part(parts, "train-clean-100").entries] == ["19", "26"]
    (own,) = layouts.find("librispeech", tmp_path / "LibriSpeech/dev-clean")
    assert own.split == "dev-clean"
    (anywhere,) = layouts.find("librispeech", tmp_path / "LibriSpeech/dev-clean/84")
    assert [entry.id for entry in anywhere.entries] == ["84-1-0000"]


def test_tables(tmp_path: Path):
    tree(tmp_path, "speech/{a,b}.wav", "hum.wav")
    (tmp_path / "speech.csv").write_text("file,split,speaker,seconds\na.wav,test,anna,1\nb.wav,train,ben,1\n")
    (tmp_path / "noise.csv").write_text("file,seconds\nhum.wav,1\n")
    parts = layouts.find("tables", tmp_path)
    assert names(parts) == ["noise", "speech-test", "speech-train"]
    (anna,) = part(parts, "speech-test").entries
    assert (anna.sources, anna.speakers, anna.split) == ((tmp_path / "speech/a.wav",), ("anna",), "test")
    (hum,) = part(parts, "noise").entries
    assert (hum.noise, hum.mixture, hum.sources) == (tmp_path / "hum.wav", None, ())


def test_development_tables(data_folder: Path):
    parts = layouts.find("tables", data_folder)
    assert names(parts) == ["noise-test", "noise-train", "speech-dev", "speech-test", "speech-train"]
    assert len({entry.speakers for entry in part(parts, "speech-test").entries}) == 15
    assert all(file.is_file() for each in parts for entry in each.entries for file in entry.files)


def test_own_folder_by_kind(tmp_path: Path):
    tree(tmp_path, "train/{mixture,source1,source2,source10,noise}/{a,b}.wav", "val/{mix,clean}/c.flac")
    (tmp_path / "train/source2/b.wav").unlink()
    train, dev = layouts.find("folder", tmp_path)
    assert (train.split, dev.split) == ("train", "dev")
    kinds = ("mixture", "source1", "source2", "source10", "noise")
    assert paths(train, tmp_path / "train") == [[f"{kind}/a.wav" for kind in kinds]]
    assert train.entries[0].noise == tmp_path / "train/noise/a.wav"
    assert train.missing == (f"There is no 'b' in '{tmp_path}/train/source2'.",)
    assert paths(dev, tmp_path / "val") == [["mix/c.flac", "clean/c.flac"]]


def test_own_folder_by_mixture(tmp_path: Path):
    tree(
        tmp_path,
        "x/{mixture,reference1,reference2,image1,image2,source1}.wav",
        "y/z/{mix,s2,s1}.wav",
        "alone.mp3",
    )
    tree(tmp_path, "lost/{s1,s2}.wav", ".hidden/mixture.wav")
    (found,) = layouts.find("folder", tmp_path)
    assert found.name == tmp_path.name
    assert {entry.id: [file.name for file in entry.files] for entry in found.entries} == {
        "alone": ["alone.mp3"],
        "x": ["mixture.wav", "reference1.wav", "reference2.wav"],
        "y/z": ["mix.wav", "s1.wav", "s2.wav"],
    }
    assert found.missing == (f"There is no mixture beside '{tmp_path}/lost/s1.wav'.",)


def test_recordings_alone(tmp_path: Path):
    tree(tmp_path, "monday.wav", "deep/monday.wav", "notes.txt")
    (found,) = layouts.find("folder", tmp_path)
    assert [(entry.id, entry.sources) for entry in found.entries] == [("monday", ()), ("deep/monday", ())]


def test_the_wrong_folder_says_what_was_looked_for_and_what_it_looks_like(tmp_path: Path):
    tree(tmp_path, f"Libri2Mix/wav8k/min/test/{{mix_clean,s1,s2}}/{LIBRI}.wav")
    with pytest.raises(
        InputError, match=r"does not look like wham: looked for folders tr, cv, tt .* like libri2mix\."
    ):
        layouts.find("wham", tmp_path)
    with pytest.raises(InputError, match=r"and s1, s2, s3 in them\. It looks like libri2mix"):
        layouts.find("libri3mix", tmp_path)
    (tmp_path / "empty").mkdir()
    for name in layouts.LAYOUTS:
        with pytest.raises(InputError, match=f"does not look like {name}: looked for ((?!It looks like).)*$"):
            layouts.find(name, tmp_path / "empty")
    with pytest.raises(InputError, match="There is no folder"):
        layouts.find("wham", tmp_path / "nowhere")


def test_two_copies_are_not_mixed_up(tmp_path: Path):
    tree(tmp_path, f"{{old,new}}/wav8k/min/tt/{{mix,s1,s2}}/{WSJ}.wav")
    with pytest.raises(InputError, match="several of wsj0-2mix's 8k-min-mix-test: name the folder of one"):
        layouts.find("wsj0-2mix", tmp_path)
    assert len(layouts.find("wsj0-2mix", tmp_path / "new")) == 1


@pytest.mark.parametrize(
    ("typed", "meant"), [("wsj02mix", "wsj0-2mix"), ("WHAM!", "wham"), ("librispeach", "librispeech")]
)
def test_unknown_layout_names_the_nearest(tmp_path: Path, typed: str, meant: str):
    with pytest.raises(UsageError, match=f"Did you mean '{meant}'"):
        layouts.find(typed, tmp_path)


def test_voicebank_pairs(tmp_path: Path):
    tree(
        tmp_path,
        "{noisy,clean}_trainset_28spk_wav/{p226_001,p227_002}.wav",
        "{noisy,clean}_testset_wav/p232_001.wav",
        "noisy_testset_wav/p232_005.wav",
        "noisy_trainset_56spk_wav/p001_001.wav",
    )
    parts = layouts.find("voicebank-demand", tmp_path)
    assert names(parts) == ["test", "train-28spk"]
    test, train = part(parts, "test"), part(parts, "train-28spk")
    assert paths(test, tmp_path) == [["noisy_testset_wav/p232_001.wav", "clean_testset_wav/p232_001.wav"]]
    assert len(test.missing) == 1
    assert "p232_005.wav" in test.missing[0]
    assert (train.split, train.entries[0].speakers) == ("train", ("p226",))


def test_dns_pairs_by_file_number(tmp_path: Path):
    tree(
        tmp_path,
        "test_set/synthetic/no_reverb/noisy/clnsp1_train_69005_1_snr15_tl-21_fileid_158.wav",
        "test_set/synthetic/no_reverb/clean/clean_fileid_158.wav",
        "training/noisy/book_00000_snr5_fileid_7.wav",
        "training/clean/clean_fileid_7.wav",
        "training/noise/noise_fileid_7.wav",
        "training/noisy/book_00001_snr5_fileid_8.wav",
    )
    parts = layouts.find("dns", tmp_path)
    assert [(each.name, each.split) for each in parts] == [
        ("test-set-synthetic-no-reverb", "test"),
        ("training", "train"),
    ]
    (entry,) = part(parts, "training").entries
    assert entry.noise == tmp_path / "training/noise/noise_fileid_7.wav"
    assert entry.sources == (tmp_path / "training/clean/clean_fileid_7.wav",)
    assert len(part(parts, "training").missing) == 1
    (own,) = layouts.find("dns", tmp_path / "training")
    assert own.name == "train"


def test_collections_of_noise(tmp_path: Path):
    tree(
        tmp_path / "a",
        "musan/noise/free-sound/noise-free-sound-0001.wav",
        "musan/noise/sound-bible/noise-sound-bible-0001.wav",
        "musan/music/fma/music-fma-0001.wav",
    )
    tree(tmp_path / "b", "wham_noise/{tr,cv,tt}/0a.wav")
    tree(tmp_path / "c", "FSD50K.dev_audio/{1,2,3}.wav", "FSD50K.eval_audio/4.wav")
    truth = tmp_path / "c" / "FSD50K.ground_truth"
    truth.mkdir()
    (truth / "dev.csv").write_text(
        'fname,labels,mids,split\n1,"Rain,Water",m,train\n2,"Speech,Human_voice",m,train\n'
        "3,Dog,m,val\n9,Dog,m,val\n"
    )
    (truth / "eval.csv").write_text("fname,labels,mids\n4,Engine,m\n")
    assert names(layouts.find("musan", tmp_path / "a")) == ["music", "noise-test", "noise-train"]
    assert names(layouts.find("wham-noise", tmp_path / "b")) == ["dev", "test", "train"]
    parts = layouts.find("fsd50k", tmp_path / "c")
    assert [(each.name, [entry.id for entry in each.entries]) for each in parts] == [
        ("train", ["1"]),
        ("dev", ["3"]),
        ("test", ["4"]),
    ]
    assert len(part(parts, "dev").missing) == 1
    for entry in part(parts, "train").entries:
        assert (entry.mixture, entry.sources) == (None, ())
        assert entry.noise is not None


def test_mixtures_are_no_collection_of_noise(tmp_path: Path):
    tree(tmp_path, f"wav8k/min/{{tr,cv,tt}}/{{mix_both,s1,s2,noise}}/{WSJ}.wav")
    with pytest.raises(InputError, match="looks like wham"):
        layouts.find("wham-noise", tmp_path / "wav8k" / "min")
