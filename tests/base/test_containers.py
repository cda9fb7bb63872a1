"""The sound of videos: which stream is taken, how long it is, and what is cut."""

import io

import numpy as np
import pytest

from tests.videos import write_video
from unbabble.base.audio import probe, read, read_blocks
from unbabble.base.errors import InputError
from unbabble.base.excerpt import Part

KINDS = {
    "mkv": {},
    "webm": {"codec": "libopus", "video_codec": "libvpx", "rate": 48000},
    "mp4": {},
    "ts": {"codec": "mp2", "video_codec": "mpeg2video"},
    "mpg": {"codec": "mp2", "video_codec": "mpeg2video"},
}


def pitch(audio):
    """Hz of the loudest tone."""
    spectrum = np.abs(np.fft.rfft(audio.samples[0].numpy()))
    return spectrum.argmax() * audio.sample_rate / audio.samples.shape[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("start", "seconds"), [(0.0, 1.0), (0.0, 5.0), (2.0, 1.0)], ids=["shorter", "longer", "later"]
)
def test_sound_need_not_last_as_long_as_the_picture(tmp_path, kind, start, seconds):
    path = tmp_path / f"x.{kind}"
    write_video(path, [(start, seconds)], **KINDS[kind])
    assert read(path).seconds == pytest.approx(seconds, abs=0.15)
    assert probe(path).seconds == pytest.approx(seconds, abs=0.15)
    assert not probe(path).warnings


@pytest.mark.parametrize("kind", ["mkv", "webm"])
@pytest.mark.parametrize("tags", [True, False])
@pytest.mark.parametrize("picture", [0.0, 3.0])
@pytest.mark.parametrize("seconds", [2.5, 6.0])
def test_a_video_cut_in_half_is_refused(tmp_path, kind, tags, picture, seconds):
    path = tmp_path / f"x.{kind}"
    write_video(path, [(0.0, seconds)], picture, **KINDS[kind])
    content = path.read_bytes()
    assert b"DURATION" in content
    if not tags:  # then no stream says how long it is by itself
        content = content.replace(b"DURATION", b"NOTHINGS")
    read(content)
    with pytest.raises(InputError, match="cut short"):
        read(content[: len(content) // 2])


def test_what_is_cut_behind_the_last_sound_is_whole(tmp_path):
    write_video(tmp_path / "x.mkv", [(0.0, 0.5)], picture=6.0)
    content = (tmp_path / "x.mkv").read_bytes()
    assert read(content[: 2 * len(content) // 3]).seconds == pytest.approx(0.5, abs=0.1)


def test_a_gap_in_the_sound_is_no_cut(tmp_path):
    """Recorders of calls leave out what nobody said: fewer samples than the time that has passed."""
    import av

    write_video(tmp_path / "x.mka", [(0.0, 4.0)], picture=0)
    with av.open(str(tmp_path / "x.mka")) as whole, av.open(str(tmp_path / "gap.mka"), "w") as gap:
        sound = gap.add_stream_from_template(whole.streams.audio[0])
        for packet in whole.demux(whole.streams.audio[0]):
            if packet.dts is not None and not 1 < packet.pts * packet.time_base < 3:
                packet.stream = sound
                gap.mux(packet)
    assert read(tmp_path / "gap.mka").seconds == pytest.approx(2.0, abs=0.2)


def test_a_raw_stream_does_not_say_how_long_it_is(tmp_path):
    """FFmpeg guesses it from the first pieces, which are small where it begins with silence."""
    import av

    with av.open(str(tmp_path / "x.aac"), "w", format="adts") as output:
        stream = output.add_stream("aac", rate=16000, layout="mono")
        noise = 0.3 * np.random.default_rng(0).normal(size=16 * 1024)
        for samples in np.concatenate([np.zeros(80 * 1024), noise]).reshape(-1, 1024).astype(np.float32):
            frame = av.AudioFrame.from_ndarray(samples[None], "fltp", layout="mono")
            frame.rate = 16000
            for packet in stream.encode(frame):
                output.mux(packet)
        for packet in stream.encode(None):
            output.mux(packet)
    assert read(tmp_path / "x.aac").seconds == pytest.approx(96 * 1024 / 16000, abs=0.2)
    assert probe(tmp_path / "x.aac").seconds is None


@pytest.mark.parametrize("kind", ["mkv", "mp4", "ts"])
def test_of_several_sound_streams_the_first_is_taken_and_named(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    write_video(path, [(0.0, 1.0), (0.0, 1.0)], languages=["eng", "deu"], **KINDS[kind])
    first = read(path)
    assert pitch(first) == pytest.approx(440, abs=2)
    assert first.warnings == [
        "2 sound streams; taking the first (English); --stream 2 takes the other (German)."
    ]
    second = read(Part(stream=2).of(path))
    assert pitch(second) == pytest.approx(880, abs=2)
    assert second.warnings == []
    assert read(Part(stream=1).of(path)).warnings == []
    with pytest.raises(InputError, match="has 2 sound streams: there is no stream 3"):
        read(Part(stream=3).of(path))


def test_three_sound_streams_and_languages_that_have_no_name(tmp_path):
    write_video(tmp_path / "x.mkv", [(0.0, 0.5)] * 3, languages=["", "tlh", "fre"])
    assert probe(tmp_path / "x.mkv").warnings == [
        "3 sound streams; taking the first; --stream takes another: 2 (tlh), 3 (French)."
    ]


def test_a_part_of_a_video_is_that_part(tmp_path):
    write_video(tmp_path / "x.mkv", [(0.5, 2.0)])
    path = tmp_path / "x.mkv"
    whole = read(path).samples
    part = Part(start=0.7501, duration=0.5).of(path)
    expected = whole[:, 12002:20002]
    assert (read(part).samples == expected).all()
    assert (np.concatenate(list(read_blocks(part, 0.11)), axis=1) == expected.numpy()).all()
    assert probe(part).seconds == pytest.approx(0.5)
    assert read(Part(start=1.5).of(path)).samples.shape[1] == whole.shape[1] - 24000
    with pytest.raises(InputError, match="has nothing at 9 s and after"):
        read(Part(start=9).of(path))


def test_a_picture_alone_has_no_sound(tmp_path):
    write_video(tmp_path / "x.mkv", [])
    with pytest.raises(InputError, match="no sound in it"):
        read(io.BytesIO((tmp_path / "x.mkv").read_bytes()))
