"""Made conversations: the share of overlap, who speaks when, and that each is a function of seed and number."""

from itertools import groupby, pairwise

import numpy as np
import pytest
import soundfile

from unbabble.base.errors import InputError, UsageError
from unbabble.data.conversations import Conversation, ConversationSet, speech_stretches
from unbabble.data.corpora import Utterance
from unbabble.data.rooms import Drawn
from unbabble.signal.diarization import overlap_share

RATE, DELAY = 8000, 40
SHARES = (0.0, 0.1, 0.2, 0.4)


class Room:
    """A response of one tap from each talker to each microphone, 5 ms late."""

    def draw(self, rng, talkers, microphones, sample_rate):
        responses = np.zeros((talkers, microphones, 2 * DELAY))
        responses[..., DELAY] = rng.uniform(0.5, 1.0, (talkers, microphones))
        places = [{"distance_m": 1.0} for _ in range(talkers)]
        return Drawn(responses, responses[:0], {"room": "one tap", "licence": [], "places": places})


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Five speakers, of each thirty bursts of 1 to 4 s between silences of .3 s; one has a pause of .8 s."""
    folder, rng = tmp_path_factory.mktemp("speech"), np.random.default_rng(0)
    result = []
    for speaker in "abcde":
        for number in range(30):
            samples = 0.1 * rng.standard_normal(round(rng.uniform(1, 4) * RATE))
            if number == 0:
                samples[RATE // 2 :][: int(0.8 * RATE)] = 0
                samples = np.concatenate([samples, 0.1 * rng.standard_normal(RATE)])
            samples = np.pad(samples, int(0.3 * RATE))
            path = folder / f"{speaker}{number}.wav"
            soundfile.write(path, samples, RATE)
            result.append(Utterance(path, speaker, len(samples) / RATE, f"{speaker} {number}"))
    return tuple(result)


def made(speech, **options) -> ConversationSet:
    settings = {"seconds": 60.0, "turn_seconds": (1.0, 8.0), "sample_rate": RATE, "snr_db": None, "count": 12}
    return ConversationSet(speech, Room(), **(settings | options))


@pytest.fixture(scope="module")
def conversations(speech) -> list[Conversation]:
    """One with each number of talkers and each share of overlap."""
    whole = made(speech)
    return [whole[index] for index in range(len(whole))]


def test_as_many_talkers_and_as_much_overlap_as_asked(conversations):
    for index, each in enumerate(conversations):
        talkers, share = (2, 3, 4)[index % 3], SHARES[index % 4]
        assert len({turn.speaker for turn in each.turns}) == len(each.references) == talkers
        assert overlap_share(each.turns) == pytest.approx(share, abs=0.05 if share else 0)
        assert each.metadata["overlap_share"] == pytest.approx(overlap_share(each.turns), abs=1e-4)
        assert max(turn.end for turn in each.turns) > 0.85 * 60


def test_never_three_at_once_and_nobody_with_himself(conversations):
    for each in conversations:
        edges = sorted([(turn.end, -1) for turn in each.turns] + [(turn.start, 1) for turn in each.turns])
        assert np.cumsum([step for _, step in edges]).max() <= 2
        for _, own in groupby(
            sorted(each.turns, key=lambda turn: (turn.speaker, turn.start)), lambda t: t.speaker
        ):
            own = list(own)
            assert all(one.end + 0.5 <= other.start for one, other in pairwise(own))


def test_voices_sound_where_the_turns_are(conversations):
    for each in conversations[:4]:
        levels = []
        for talker, voice in zip(each.metadata["talkers"], each.references, strict=True):
            speaking = np.zeros(len(voice), bool)
            for turn in each.turns:
                if turn.speaker == talker["speaker"]:
                    speaking[round(turn.start * RATE) : round(turn.end * RATE)] = True
            outside = np.sum(voice[~speaking] ** 2) / np.sum(voice**2)
            assert outside < 0.01, "but for the ends of frames"
            levels.append(10 * np.log10(np.mean(voice[speaking] ** 2)) - talker["level_db"])
        assert np.ptp(levels) < 0.5, (
            "as loud while they speak, whoever speaks more, but for the level that is drawn"
        )


def test_every_utterance_is_said_once_and_has_its_text(conversations):
    for each in conversations:
        texts = [span.text for span in each.said]
        assert len(set(texts)) == len(texts)
        assert all(span.text.startswith(span.speaker) for span in each.said)
        assert sorted(texts) == sorted(text for t in each.metadata["talkers"] for text in t["texts"])
        assert [span.start for span in each.said] == sorted(span.start for span in each.said)


def test_a_conversation_is_a_function_of_seed_and_number(speech, conversations):
    again = made(speech, microphones=3)
    assert again[5].turns == conversations[5].turns
    several = again[5].mixture
    assert len(several) == 3
    first = conversations[5].mixture[0]
    assert several[0] / np.abs(several[0]).max() == pytest.approx(first / np.abs(first).max(), abs=1e-5)
    assert made(speech, seed=1)[5].turns != conversations[5].turns


def test_long_turns(speech):
    each = made(speech, turn_seconds=(12.0, 15.0), talkers=(2,), overlaps=(0.0,))[0]
    longest = [turn.seconds for turn in each.turns]
    assert len(longest) < 10
    assert np.median(longest) > 6


def test_noise_is_as_loud_as_asked(speech):
    each = made(speech, snr_db=20.0)[0]
    clean = each.images.sum(0)[0]
    assert 10 * np.log10(np.mean(clean**2) / np.mean(each.noise[0] ** 2)) == pytest.approx(20, abs=0.1)


def test_stretches_leave_out_silence_long_pauses_and_clicks(speech):
    voice, rate = soundfile.read(speech[0].path)
    first, second = speech_stretches(voice, rate)
    assert first == pytest.approx((0.3, 0.8), abs=0.03)
    assert second[0] == pytest.approx(1.6, abs=0.03)
    assert second[1] == pytest.approx(len(voice) / rate - 0.3, abs=0.03)
    voice[100:110] = 0.2
    assert len(speech_stretches(voice, rate)) == 2
    assert speech_stretches(np.zeros(RATE), RATE) == []


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"talkers": (1,)}, UsageError, "at least 2 talkers"),
        ({"overlaps": (0.7,)}, UsageError, "between 0 and 0.5"),
        ({"turn_seconds": (3.0, 1.0)}, UsageError, "short to long"),
        ({"turn_seconds": (30.0, 31.0)}, UsageError, "not all 4 talkers have a turn"),
        ({"count": 0}, UsageError, "at least 1"),
        ({"seed": -1}, UsageError, "seed"),
        ({"talkers": (6,)}, InputError, "of 6 talkers are asked for, of 5 speakers"),
    ],
)
def test_what_cannot_be_made(speech, options, error, sentence):
    with pytest.raises(error, match=sentence):
        made(speech, **options)
