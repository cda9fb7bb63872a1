"""Clips with labels, as tables and as corpora lie on disk, and streams of them."""

import numpy as np
import pytest
import soundfile

from unbabble.base.errors import InputError, UsageError
from unbabble.data.clips import UNKNOWN, Clips, ClipStream
from unbabble.data.layouts.sounds import CORPORA, sounds
from unbabble.data.sets import batches, item, read, written

RATE = 8000


def write(folder, *names):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full(RATE // 2, (number + 1) / 32), RATE)


@pytest.fixture
def table(tmp_path):
    write(tmp_path / "clips", *(f"{name}{n}.wav" for name in ("dog", "rain", "hen") for n in range(4)))
    rows = [
        f"{name}{n}.wav,{name},{n % 2 + 1},{int(name == 'dog' and n == 0)}"
        for name in ("dog", "rain", "hen")
        for n in range(4)
    ]
    (tmp_path / "clips.csv").write_text("\n".join(["file,label,fold,elsewhere", *rows]))
    return tmp_path / "clips.csv"


def clips(table, **options):
    return Clips(table, seconds=0.1, sample_rate=RATE, **options)


def test_items_are_each_clip_once_an_epoch_and_the_same_each_time(table):
    items, again = (clips(table).open(3) for _ in range(2))
    assert len(items) == 12
    first = [items[number] for number in range(12)]
    assert len({round(32 * float(each.waveform[0])) for each in first}) == 12
    assert [float(each.waveform[0]) for each in first] != [
        float(items[number].waveform[0]) for number in range(12, 24)
    ]
    for number in (0, 7, 100):
        assert np.array_equal(items[number].waveform, again[number].waveform)
        assert items[number].label == again[number].label
    assert not np.array_equal(first[0].waveform, clips(table).open(4)[0].waveform)


def test_labels_have_one_number_in_every_fold(table):
    assert clips(table).known == ("dog", "hen", "rain")
    for options in ({"folds": ("1",)}, {"folds": ("2",), "only": ("rain",)}):
        items = clips(table, **options).open(0)
        names = [items.described.known[number] for number in items.label]
        assert all(
            items.store.files[n].name.startswith(name) for n, name in zip(items.chosen, names, strict=True)
        )
    ordered = clips(table, labels=("rain", "dog"))
    assert set(ordered.open(0).label) == {0, 1}
    assert len(ordered.open(0)) == 8
    assert ordered.decides() == {"labels": ["rain", "dog"], "several": False}


def test_what_another_corpus_has_too_is_left_out(table):
    assert len(clips(table, leave_out="elsewhere").open(0)) == 11


def test_pairs_are_two_excerpts_of_one_clip(table):
    views, label = clips(table, pairs=True).open(0)[5]
    assert views.shape == (2, 800)
    assert 0 <= int(label) < 3
    assert views[0, 0] == views[1, 0]


def test_a_folder_has_no_labels(table):
    items = clips(table.parent / "clips", pairs=True).open(0)
    assert int(items[0].label) == UNKNOWN
    with pytest.raises(InputError, match="has no labels"):
        clips(table.parent / "clips").decides()


def test_short_clips_are_repeated(table):
    waveform = Clips(table, seconds=1.0, sample_rate=RATE).open(0)[0].waveform
    assert waveform.shape == (RATE,)
    assert waveform.std() < 1e-3


def test_several_labels(tmp_path):
    write(tmp_path, "a.wav", "b.wav", "c.wav")
    (tmp_path / "all.csv").write_text("file,label\na.wav,dog; rain\nb.wav,rain\nc.wav,\n")
    described = clips(tmp_path / "all.csv", several=True)
    assert described.known == ("dog", "rain")
    found = sorted(tuple(described.open(0)[number].label) for number in range(3))
    assert found == [(0, 0), (0, 1), (1, 1)]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"only": ("cat",)}, "has no label 'cat'"),
        ({"folds": ("9",)}, "No clip is left .* in fold 9"),
        ({"only": ("dog",), "leave_out": "fold"}, "No clip of 'dog' is left"),
    ],
)
def test_what_is_not_there_is_one_sentence(table, options, sentence):
    with pytest.raises(InputError, match=sentence):
        clips(table, **options).open(0)


def test_tables_that_are_none(tmp_path):
    with pytest.raises(InputError, match="no file or folder"):
        sounds(tmp_path / "none.csv")
    with pytest.raises(InputError, match="holds no recording"):
        sounds(tmp_path)
    (tmp_path / "a.csv").write_text("name,label\nb.wav,dog\n")
    with pytest.raises(InputError, match="no column 'file'"):
        sounds(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("file,label\nb.wav,dog\n")
    with pytest.raises(InputError, match=r"names 'b\.wav'"):
        sounds(tmp_path / "a.csv")
    with pytest.raises(UsageError, match="at least one sample"):
        Clips(tmp_path, seconds=0)


CASES = {
    "ESC-50": (
        {
            "meta/esc50.csv": "filename,fold,target,category,esc10,src_file,take\n1-1-A-0.wav,1,0,dog,True,1,A\n"
        },
        "audio/1-1-A-0.wav",
        ("dog",),
        "1",
    ),
    "UrbanSound8K": (
        {
            "metadata/UrbanSound8K.csv": "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
            "7-3-0-0.wav,7,0,1,1,5,3,dog_bark\n"
        },
        "audio/fold5/7-3-0-0.wav",
        ("dog_bark",),
        "5",
    ),
    "TAU Urban Acoustic Scenes": (
        {"evaluation_setup/fold1_train.csv": "filename\tscene_label\naudio/park-oslo-1-2-a.wav\tpark\n"},
        "audio/park-oslo-1-2-a.wav",
        ("park",),
        "train",
    ),
    "VGGSound": (
        {"vggsound.csv": '--0PQM4-hqg,30,"waterfall, burbling",train\ngone,5,dog,test\n'},
        "audio/--0PQM4-hqg_000030.wav",
        ("waterfall, burbling",),
        "train",
    ),
    "FSD50K": (
        {"FSD50K.ground_truth/dev.csv": 'fname,labels,mids,split\n64760,"Bark,Dog","/m/1,/m/2",val\n'},
        "FSD50K.dev_audio/64760.wav",
        ("Bark", "Dog"),
        "val",
    ),
}


@pytest.mark.parametrize("name", [corpus.name for corpus in CORPORA])
def test_corpora_as_they_lie_on_disk(tmp_path, name):
    lists, file, labels, fold = CASES[name]
    for path, text in lists.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    with pytest.raises(InputError, match=f"looks like {name}, but none"):
        sounds(tmp_path)
    write(tmp_path, file)
    (found,) = sounds(tmp_path)
    assert (found.path, found.labels, found.fold) == (tmp_path / file, labels, fold)


def test_a_stream_is_one_group_after_another(table):
    described = ClipStream(clips(table), (("rain", "dog"), ("hen",)), 4)
    items = described.open(0)
    plan = batches(items, 3, 0)
    labels = [{described.known[int(item(items, place).label)] for place in plan[step]} for step in range(12)]
    assert set.union(*labels[:4]) == {"rain", "dog"}
    assert all(each == {"hen"} for each in labels[4:])
    assert read(written(described), "The section") == described


def test_a_stream_without_groups_is_all_at_once(table):
    items = ClipStream(clips(table.parent / "clips")).open(0)
    plan = batches(items, 6, 0)
    sounds_of = {
        round(32 * float(item(items, place).views[0, 0])) for step in range(2) for place in plan[step]
    }
    assert len(sounds_of) == 12
