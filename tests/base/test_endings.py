"""Files that were cut short are read as far as they go, and that is said, where the container tells."""

import io
from contextlib import suppress

import numpy as np
import pytest
import soundfile

from unbabble.base.audio import probe, read
from unbabble.base.errors import InputError

RATE, SECONDS = 16000, 4.0
KINDS = {
    "wav": ("WAV", "PCM_16"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "alac.caf": ("CAF", "ALAC_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
LENGTH_UNKNOWN = ("ogg", "opus")
"""Their headers do not say how long they are, only their last page that it is the last."""


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def content(kind):
    """A file of four seconds."""
    samples = 0.1 * np.random.default_rng(0).standard_normal((round(SECONDS * RATE), 2))
    file = io.BytesIO()
    container, subtype = KINDS[kind]
    soundfile.write(file, samples, RATE, format=container, subtype=subtype)
    return file.getvalue()


def test_a_whole_file_needs_no_words(content):
    audio = read(content)
    assert audio.warnings == []
    assert audio.seconds == pytest.approx(SECONDS, abs=0.01)


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_cut_file_is_taken_as_far_as_it_goes_and_that_is_said(tmp_path, kind, content, share):
    path = tmp_path / f"x.{kind}"
    path.write_bytes(content[: round(share * len(content))])
    for source in (path, path.read_bytes()):
        audio = read(source)
        assert 0.2 * share * SECONDS < audio.seconds < share * SECONDS + 0.1  # pages of Ogg are long
        (warning,) = audio.warnings
        if kind in LENGTH_UNKNOWN:
            assert warning == "The file has no end, perhaps because it was cut short: what is there is taken."
        else:
            assert warning.startswith("The file is cut short: ")
            there, promised = (float(word) for word in warning.split() if word[0].isdigit())
            assert there == pytest.approx(audio.seconds, abs=0.1)
            assert promised == pytest.approx(SECONDS, abs=0.1)
    if kind not in (*LENGTH_UNKNOWN, "alac.caf"):
        assert probe(path).lost_seconds == pytest.approx((1 - share) * SECONDS, abs=0.1)


@pytest.mark.parametrize("count", [4, 8, 12, 30, 60, 64, 100])
def test_a_file_of_which_nothing_is_left_is_one_sentence(tmp_path, kind, content, count):
    """Or a few samples, of the formats whose header is so short."""
    path = tmp_path / f"x.{kind}"
    path.write_bytes(content[:count])
    with suppress(InputError):
        assert read(path).seconds < 0.1


def test_an_mp3_file_with_a_title_and_one_whose_length_nobody_wrote():
    samples, file = 0.1 * np.random.default_rng(0).standard_normal(4 * RATE), io.BytesIO()
    soundfile.write(file, samples, RATE, format="MP3")
    content = file.getvalue()
    title = b"ID3\x04\x00\x00" + bytes([0, 0, 2, 0]) + bytes(256)  # of 256 bytes: seven bits count
    for part in (title + content, content + b"TAG" + bytes(125)):
        assert read(part).warnings == []
    assert "cut short" in read((title + content)[: len(content) // 2]).warnings[0]
    place = max(content.find(b"Xing"), content.find(b"Info"))
    unsaid = content[:place] + bytes(4) + content[place + 4 :]
    assert read(unsaid[: len(unsaid) // 2]).warnings == []
