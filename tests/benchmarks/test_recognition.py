"""What the claims on recognition make of figures, of made-up sentences and of small corpora."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.kit.kept import kept
from benchmarks.kit.ranks import area, grouped, spearman
from benchmarks.recognition import crowd, languages, learners, one_budget_recognition, swapped_words
from benchmarks.recognition.swapped_words import NEAR, OTHER, SAID
from unbabble.data.corpora import Utterance
from unbabble.text.pronounce import Pronouncer

WORDS = {"tin": "T IH N", "thin": "TH IH N", "pin": "P IH N", "dog": "D AO G", "fall": "F AO L", "is": "IH Z"}
SPOKEN = Pronouncer({word: [tuple(phones.split())] for word, phones in WORDS.items()})


def test_an_area_counts_pairs_and_ties_half():
    values, positive = np.array([1.0, 2.0, 2.0, 3.0]), np.array([0, 0, 1, 1])
    assert area(values, positive) == pytest.approx(3.5 / 4)
    assert np.isnan(area(values, np.zeros(4)))


def test_a_rank_correlation_knows_no_distances():
    assert spearman(np.array([1.0, 2.0, 9.0]), np.array([0.1, 0.2, 0.3])) == pytest.approx(1.0)
    assert np.isnan(spearman(np.ones(3), np.arange(3.0)))


def test_groups_are_drawn_whole():
    alike = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 0.0]])
    estimate = grouped(area, [alike, alike, np.empty((0, 2))])
    assert estimate == pytest.approx((0.5, 0.5, 0.5))


def test_arrays_that_are_kept_are_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"voices": np.arange(3.0)}

    for _ in range(2):
        assert kept(tmp_path / "new", "a_1", make)["voices"].tolist() == [0.0, 1.0, 2.0]
    assert len(made) == 1
    kept(None, "a_1", make)
    assert len(made) == 2
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a_1.npz"]


def test_the_best_scores_choose_a_separator_and_the_fewest_errors_are_known_afterwards():
    ways = {
        "mixture": {"errors": [1, 10], "voices": []},
        "ilrma": {"errors": [7, 10], "voices": [[8.0, 0.5], [4.0, 0.9]]},
        "auxiva": {"errors": [5, 10], "voices": [[5.0, 0.5], [5.0, 0.5]]},
    }
    row = crowd.with_choices(ways)
    assert (row[crowd.CHOSEN], row[crowd.BEST]) == (ways["ilrma"], ways["auxiva"])
    alone = {"mixture": ways["mixture"]}
    assert crowd.with_choices(alone) == alone
    assert crowd.SUREST not in row, "nobody said how sure"
    ways["auxiva"]["sure"], ways["ilrma"]["sure"] = 0.4, 0.6
    assert crowd.with_choices(ways)[crowd.SUREST] == ways["ilrma"]


@pytest.fixture
def vocabulary(monkeypatch):
    """Training speakers who say the words of ``WORDS``."""
    said = [Utterance(Path("a.wav"), "1", 1.0, " ".join(WORDS))]
    monkeypatch.setattr(swapped_words, "speech", lambda split: said)
    swapped_words.by_length.cache_clear()
    yield
    swapped_words.by_length.cache_clear()


@pytest.mark.usefixtures("vocabulary")
def test_a_word_is_swapped_for_one_that_differs_in_a_phone_or_in_all():
    rng = np.random.default_rng(0)
    near = {swapped_words.instead("tin", NEAR, SPOKEN, rng) for _ in range(30)}
    far = {swapped_words.instead("tin", OTHER, SPOKEN, rng) for _ in range(30)}
    assert (near, far) == ({"thin", "pin"}, {"dog", "fall"})
    assert swapped_words.instead("is", NEAR, SPOKEN, rng) is None


@pytest.mark.usefixtures("vocabulary")
def test_a_sentence_has_one_word_of_each_kind_and_says_which():
    said = ["tin", "is", "pin", "is", "tin"]
    altered, kinds = swapped_words.swapped(said, SPOKEN, np.random.default_rng(1))
    assert sorted(kinds) == [SAID, SAID, SAID, OTHER, NEAR]
    assert [old == new for old, new in zip(said, altered, strict=True)] == [kind == SAID for kind in kinds]


def test_everybody_speaks_before_anybody_speaks_twice():
    utterances = [Utterance(Path("a.wav"), speaker, 1.0, "") for speaker in "aaabbc"]
    order = swapped_words.of_many_speakers(utterances, np.random.default_rng(0))
    assert sorted(each.speaker for each in order[:3]) == ["a", "b", "c"]
    assert sorted(each.speaker for each in order[3:5]) == ["a", "b"]


def test_swapped_words_have_a_phone_that_is_weaker_than_usual():
    said = [[SAID, 0.9, good, 0.0] for good in np.linspace(0.3, 0.9, 101)]
    assert swapped_words.usual(np.array([*said, [OTHER, 0.0, 0.0, 1.0]])) == pytest.approx(0.33)
    rows = [[SAID, 0.9, 0.8, 0.0], [SAID, 0.2, 0.1, 0.5], [OTHER, 0.1, 0.0, 1.0], [NEAR, 0.4, 0.05, 0.3]]
    shown = swapped_words.figures({"a": rows}, threshold=0.33)
    assert (shown["recall, another word"], shown["recall, one phone"]) == (100, 100)
    assert shown["precision"] == pytest.approx(100 * 2 / 3)
    assert shown["false alarms"] == 50
    assert [shown[f"{measure}, one phone"][0] for measure in swapped_words.MEASURES] == [0.5, 1.0, 0.5]


@pytest.fixture
def corpus(tmp_path):
    """Two learners in the layout of speechocean762, of six and of thirty years."""
    (tmp_path / "WAVE").mkdir()
    tables = {
        "text": ["11 WE CALL IT", "12 A DOG", "21 IT IS"],
        "utt2spk": ["11 0001", "12 0001", "21 0002"],
        "spk2age": ["0001 6", "0002 30"],
        "wav.scp": ["11\tWAVE/1/11.WAV", "12\tWAVE/1/12.WAV", "21\tWAVE/2/21.WAV"],
    }
    for split, lines in (("train", tables), ("test", {name: [] for name in tables})):
        (tmp_path / split).mkdir()
        for name, each in lines.items():
            (tmp_path / split / name).write_text("".join(f"{line}\n" for line in each))
    return tmp_path


def test_learners_are_grouped_by_age(corpus):
    groups = learners.learners(corpus)
    first, *others = (groups[name] for name in learners.BANDS)
    assert [(each.prompt, each.speaker) for each in first] == [("WE CALL IT", "0001"), ("A DOG", "0001")]
    assert [len(each) for each in others] == [0, 0, 1]
    assert len(learners.drawn(first, 1, 1, 0)) == 1
    assert sorted(learners.drawn(first, 9, 9, 0), key=str) == sorted(first, key=str)


@pytest.mark.parametrize("claim", [learners, languages])
def test_without_its_corpus_nothing_is_measured_and_it_is_said(claim, tmp_path, capsys):
    assert list(claim.measure(corpus=tmp_path / "nowhere")) == []
    assert capsys.readouterr().out.startswith("Nothing is measured: --corpus names")


def test_phones_that_learners_miss_most_are_in_order():
    def group(th: int, ae: int) -> dict:
        return {
            "utterances": [["1", th + ae, 200]],
            "phones": {"TH": [100, th], "AE": [100, ae], "ZH": [3, 3]},
        }

    groups = dict(
        zip((*learners.BANDS, learners.TYPICAL), map(group, (50, 50, 50, 60, 10), (20,) * 5), strict=True)
    )
    assert learners.hardest(groups) == [
        {"phone": "TH", "children": 50.0, "adults": 60.0, "typical": 10.0},
        {"phone": "AE", "children": 20.0, "adults": 20.0, "typical": 20.0},
    ]


def test_a_table_of_a_language_becomes_a_folder_of_recordings_with_their_texts(tmp_path):
    clips = tmp_path / "de" / "clips"
    clips.mkdir(parents=True)
    (clips / "a.mp3").write_bytes(b"sound")
    (tmp_path / "de" / "validated.tsv").write_text(
        'path\tsentence\na.mp3\t"Ja", sagt er.\n', encoding="utf-8"
    )
    languages.folder_of(tmp_path, "de", tmp_path / "made")
    folder = languages.folder_of(tmp_path, "de", tmp_path / "made")
    assert (folder / "a.mp3").read_bytes() == b"sound"
    assert (folder / "a.txt").read_text(encoding="utf-8") == '"Ja", sagt er.\n'


def test_what_is_said_of_two_methods_follows_from_their_rows():
    def row(wrong: int) -> dict:
        return {"counts": {unit: {"a": [wrong, 100], "b": [wrong, 100]} for unit in ("words", "characters")}}

    rows = {
        "blstm_ctc alone": row(60),
        "joint_ctc_attention alone": row(50),
        "blstm_ctc language model": row(70),
    }
    verdicts = {each["said"]: each["verdict"] for each in one_budget_recognition.compared(rows)}
    assert verdicts == {
        "joint is better than CTC alone": "confirmed",
        "a language model helps CTC": "refuted",
    }
