"""Transcribed speech: each utterance at each speed, its text as words, its phones; what has no text is left out."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from unbabble.base.errors import InputError, UsageError
from unbabble.data import sets
from unbabble.data.batches import ByDuration
from unbabble.data.transcribed import Transcribed
from unbabble.text.tokens import WORD_START, Pieces

RATE, TONE = 16000, 440.0
TEXTS = {"anna/1": "A cat!", "anna/2": "The cat's 2 cats", "ben/3": "", "ben/4": "Dog"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNBABBLE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Tones of 1, 2, 3 and 4 s, with their texts beside them, but one."""
    for seconds, (name, text) in enumerate(TEXTS.items(), 1):
        path = tmp_path / "speech" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * np.sin(2 * np.pi * TONE * np.arange(seconds * RATE) / RATE), RATE)
        if text:
            path.with_suffix(".txt").write_text(text)
    return tmp_path / "speech"


@pytest.fixture
def dictionary(tmp_path) -> Path:
    path = tmp_path / "words.dict"
    path.write_text(
        "a AH\na(2) EY\ncat K AE T\ncats K AE T S\ncat's K AE T S\nthe DH AH\ntwo T UW\ndog D AO G\n"
    )
    return path


def pitch(waveform: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(waveform)).argmax() * RATE / len(waveform))


def test_texts_are_words_and_phones_where_there_is_a_dictionary(folder, dictionary):
    items = Transcribed((folder,), dictionary=dictionary).open(0)
    assert len(items.lengths) == 3, "what has no text is no item"
    assert [items[number].text for number in range(3)] == ["a cat", "the cat's two cats", "dog"]
    assert items[0].phones == "AH K AE T"
    assert [items[number].speaker for number in range(3)] == ["anna", "anna", "ben"]
    assert [round(length) for length in items.lengths] == [1, 2, 4]
    assert Transcribed((folder,)).open(0)[0].phones == ""


def test_each_utterance_comes_at_each_speed(folder):
    items = Transcribed((folder,), speeds=(1.0, 0.5, 2.0)).open(0)
    assert len(items.lengths) == 9
    for number, length in enumerate(items.lengths):
        waveform = items[number].waveform
        assert waveform.dtype == np.float32
        assert len(waveform) == pytest.approx(length * RATE, abs=2)
        speed = (1.0, 0.5, 2.0)[number // 3]
        assert pitch(waveform) == pytest.approx(speed * TONE, rel=0.01), "it is faster, and higher"
        assert items[number].text == items[number % 3].text
    assert np.array_equal(items[4 + 9 * 7].waveform, items[4].waveform), "any number is that of an item"


def test_what_is_too_short_or_too_long_is_left_out(folder):
    items = Transcribed((folder,), seconds=(1.5, 3.5)).open(0)
    assert [round(length) for length in items.lengths] == [2]
    with pytest.raises(InputError, match="No recording with a text that lasts 5 to 6 s is in"):
        Transcribed((folder,), seconds=(5.0, 6.0)).open(0)


def test_every_fifth_utterance_is_held_out_and_can_be_written(tmp_path):
    for number in range(11):
        soundfile.write(tmp_path / f"{number:02}.wav", np.zeros(RATE), RATE)
        (tmp_path / f"{number:02}.txt").write_text("xq" if number == 4 else "a")
    learnt, held = (Transcribed((tmp_path,), held_out=held_out) for held_out in (False, True))
    assert [each.path.stem for each in held.utterances] == ["04", "09"]
    assert {each.path for each in learnt.utterances + held.utterances} == set(tmp_path.glob("*.wav"))
    assert len(learnt.utterances) == 9
    assert learnt.decides() == {"tokens": ["a", "q", "x", WORD_START]}
    with pytest.raises(InputError, match="or fewer than 5"):
        _ = Transcribed((tmp_path,), seconds=(0.5, 0.9), held_out=True).utterances


def test_texts_become_words_by_their_language(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    (tmp_path / "a.txt").write_text("Grüße, 2 Bären!")
    assert Transcribed((tmp_path,), language="de").open(0)[0].text == "grüße zwei bären"
    assert Transcribed((tmp_path,)).open(0)[0].text == "grusse two baren"


def test_several_tables_and_a_split(folder, tmp_path):
    (tmp_path / "speech.csv").write_text(
        "file,split,speaker,text\nanna/1.wav,train,anna,ONE\nanna/2.wav,dev,anna,TWO\nben/4.wav,train,ben,\n"
    )
    described = Transcribed((tmp_path / "speech.csv", folder), split="train")
    assert described.utterances[0].text == "ONE"
    assert len(described.utterances) == 4


def test_batches_are_as_long_as_the_recipe_says(folder):
    items = Transcribed((folder,), speeds=(1.0, 1.1), batch_seconds=5.0).open(0)
    plan = sets.batches(items, 99, 3)
    assert isinstance(plan, ByDuration)
    for group in plan.groups(0):
        assert len(group) * max(items.lengths[place.number] for place in group) <= 5.0


def test_the_data_decides_the_tokens(folder):
    assert Transcribed((folder,)).decides() == {
        "tokens": sorted(set("acatthecat'stwocatsdog") | {WORD_START})
    }
    (few,) = Transcribed((folder,), tokens=16).decides().values()
    assert len(few) == 16
    assert {"at", "cat"} <= set(few)
    assert Pieces(few).decode(Pieces(few).encode("the dog")) == "the dog"


def test_items_travel_to_other_processes(folder, dictionary):
    items = Transcribed((folder,), dictionary=dictionary, speeds=(0.9,)).open(0)
    again = pickle.loads(pickle.dumps(items))
    assert again[1].phones == items[1].phones
    assert np.array_equal(again[1].waveform, items[1].waveform)


@pytest.fixture
def noise(tmp_path) -> Path:
    """A soft hiss of 2.5 s."""
    (tmp_path / "noise").mkdir()
    hiss = 0.01 * np.random.default_rng(0).standard_normal(5 * RATE // 2)
    soundfile.write(tmp_path / "noise" / "hiss.wav", hiss, RATE)
    return tmp_path / "noise"


def test_noise_is_as_loud_as_the_recipe_says_and_new_in_each_epoch(folder, noise):
    clean = Transcribed((folder,)).open(0)
    items = Transcribed((folder,), noise=(noise,), noise_share=1.0, snr_db=(6.0, 6.0)).open(0)
    for number in range(3):
        added = items[number].waveform - clean[number].waveform
        ratio = np.mean(clean[number].waveform ** 2) / np.mean(added**2)
        assert 10 * np.log10(ratio) == pytest.approx(6, abs=0.01)
        assert items[number].text == clean[number].text
        assert np.array_equal(items[number].waveform, items[number].waveform)
        assert not np.array_equal(items[number].waveform, items[number + len(items.lengths)].waveform)
    some = Transcribed((folder,), noise=(noise,), noise_share=0.25).open(0)
    noisy = [not np.array_equal(some[n].waveform, clean[n].waveform) for n in range(300)]
    assert 45 < sum(noisy) < 105


def test_where_there_is_noise_alone_nothing_is_said(folder, noise, dictionary):
    described = Transcribed(
        (folder,), speeds=(1.0, 0.5), noise=(noise,), nobody_share=0.5, dictionary=dictionary
    )
    items = described.open(0)
    assert len(items.lengths) == 6 + 3
    for number in (6, 7, 8):
        item = items[number]
        assert (item.text, item.phones) == ("", "")
        assert len(item.waveform) == round(items.lengths[number] * RATE)
        assert 0.008 < np.std(item.waveform) < 0.012, "it is as loud as it was recorded"
    assert all(items[number].text for number in range(6))
    assert items[9].text == items[0].text, "the next epoch"


def test_a_room_is_heard_from_the_direct_sound_on(folder, tmp_path):
    response = np.zeros((1000, 2))
    response[100] = 0.5, 0.25
    response[500] = 0.25, 0.125
    soundfile.write(tmp_path / "room.wav", response, RATE, subtype="FLOAT")
    (tmp_path / "rooms.csv").write_text("file,gain,split\nroom.wav,2,train\n")
    items = Transcribed((folder,), rooms=(tmp_path / "rooms.csv",), room_share=1.0).open(0)
    dry = Transcribed((folder,)).open(0)[1].waveform
    echo = dry.copy()
    echo[400:] += dry[:-400] / 2
    assert np.allclose(items[1].waveform, echo, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"noise_share": 0.5}, "noise_share and nobody_share need noise"),
        ({"nobody_share": 0.5}, "noise_share and nobody_share need noise"),
        ({"room_share": 0.5}, "a room_share needs rooms"),
        ({"noise_share": 1.5}, "shares are 0 to 1"),
        ({"snr_db": (5.0, 0.0)}, "the bounds of snr_db rise"),
        ({"speeds": ()}, "speeds are above 0"),
        ({"speeds": (1.0, 0.0)}, "speeds are above 0"),
        ({"seconds": (3.0, 3.0)}, "the bounds of seconds rise"),
    ],
)
def test_descriptions_that_make_no_sense_are_one_sentence(options, words):
    with pytest.raises(UsageError, match=words):
        Transcribed((Path("speech"),), **options)


def test_a_recipe_reads_what_it_writes(folder, dictionary):
    described = Transcribed((folder,), dictionary=dictionary, tokens=128)
    assert sets.read(sets.written(described), "A recipe") == described
