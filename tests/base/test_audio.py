"""Reading, writing and refusing audio files."""

import errno
import io
import os
import resource
import struct

import av
import numpy as np
import pytest
import soundfile
import torch

from unbabble.base.audio import AudioWriter, probe, read, read_blocks, resample, write
from unbabble.base.errors import InputError, OutputError, UsageError
from unbabble.base.files import partial_name
from unbabble.base.formats import KINDS, fitting_gain, fitting_notes

RATE = 8000


@pytest.fixture
def noise(generator):
    return 0.1 * torch.randn(2, RATE, generator=generator)


def write_av(path, samples, rate, codec, container=None):
    """Encode with PyAV."""
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="stereo" if len(samples) == 2 else "mono")
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples, dtype=np.float32), "fltp", layout=stream.layout.name
        )
        frame.rate, frame.pts = rate, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)


@pytest.fixture
def m4a(tmp_path):
    t = np.arange(2 * 16000) / 16000
    samples = 0.3 * np.stack([np.sin(2 * np.pi * 440 * t), np.sin(2 * np.pi * 660 * t)])
    write_av(tmp_path / "tone.m4a", samples, 16000, "aac")
    return tmp_path / "tone.m4a", torch.from_numpy(samples).float()


def test_wav_keeps_samples_beyond_full_scale_exactly(tmp_path, noise):
    write(tmp_path / "x.wav", 30 * noise, RATE)
    audio = read(tmp_path / "x.wav")
    assert torch.equal(audio.samples, 30 * noise)
    assert (audio.sample_rate, audio.channels, audio.seconds, audio.subtype) == (RATE, 2, 1.0, "FLOAT")
    assert audio.samples.dtype == torch.float32


@pytest.mark.parametrize(("format", "bits"), [("flac", 24), ("wav16", 16)])
def test_whole_numbers_are_scaled_where_they_would_clip_and_that_is_said(
    tmp_path, noise, caplog, format, bits
):
    path = tmp_path / f"x{KINDS[format].suffix}"
    write(path, noise, RATE, format)
    assert not caplog.records
    assert torch.allclose(read(path).samples, noise, atol=2.0**-bits)
    assert read(path).subtype == f"PCM_{bits}"
    write(path, 30 * noise, RATE, format)
    assert "would clip" in caplog.text
    caplog.clear()
    for scale in range(20, 60):
        loud = scale * noise
        write(path, loud * fitting_gain(float(loud.abs().max()), format), RATE, format)
    assert not caplog.records  # rounding is no clipping
    loud = read(path).samples
    assert torch.allclose(loud, noise / noise.abs().max(), atol=2.0 ** (2 - bits))


@pytest.mark.parametrize(
    ("format", "level", "sentence"),
    [
        ("wav16", 1e-6, "round it to silence"),
        ("wav16", 1e-4, "rounding to 16 bits is heard"),
        ("wav16", 1e-3, None),
        ("flac", 1e-8, "round it to silence"),
        ("flac", 1e-6, "rounding to 24 bits is heard"),
        ("flac", 1e-5, None),
        ("wav", 1e-30, None),
        ("wav16", 0.0, None),
    ],
)
def test_what_is_too_soft_for_whole_numbers_is_said(tmp_path, noise, format, level, sentence):
    soft = level * noise / noise.abs().max()
    notes = fitting_notes(float(soft.abs().max()), format)
    assert [sentence in note for note in notes] == ([True] if sentence else [])
    write(tmp_path / f"x{KINDS[format].suffix}", soft, RATE, format)
    left = read(tmp_path / f"x{KINDS[format].suffix}").samples
    assert left.any() == (level > 0 and not (sentence or "").endswith("silence"))
    if sentence is None and level:
        assert (left - soft).std() < 0.1 * soft.std()


def test_samples_of_time_and_channel_are_not_taken_for_channels(tmp_path, noise):
    for turned in (noise.T, noise[:1].T):
        with pytest.raises(
            UsageError, match=r"would be 8000 channels of [12] samples? each.*turn them round"
        ):
            write(tmp_path / "x.wav", turned, RATE)
    with pytest.raises(UsageError, match="not of 3 axes"):
        write(tmp_path / "x.wav", noise[None], RATE)
    write(tmp_path / "x.wav", noise.numpy(), RATE)
    assert torch.equal(read(tmp_path / "x.wav").samples, noise)


@pytest.mark.parametrize("how", ["bytes", "file", "BytesIO", "pipe"])
def test_reads_what_is_not_a_path(tmp_path, noise, how):
    path = tmp_path / "x.wav"
    write(path, noise, RATE)
    if how == "bytes":
        audio = read(path.read_bytes())
    elif how == "BytesIO":
        audio = read(io.BytesIO(path.read_bytes()))
    elif how == "file":
        with path.open("rb") as file:
            audio = read(file)
    else:
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb") as sink:
            sink.write(path.read_bytes()[: 44 + 8 * 7000])  # fits a pipe's buffer: the header promises more
        with os.fdopen(reading, "rb") as file:
            audio = read(file)
        noise = noise[:, : audio.samples.shape[1]]
        assert 6900 < noise.shape[1] <= 7000
        assert "cut short: 0.87 s of the 1.00 s" in audio.warnings[0]
    assert torch.equal(audio.samples, noise)
    assert audio.path is None


def test_m4a_through_pyav(tmp_path, m4a):
    path, samples = m4a
    audio = read(path)
    assert (audio.sample_rate, audio.channels, audio.subtype) == (16000, 2, "aac")
    length = samples.shape[1]
    assert length <= audio.samples.shape[1] <= length + 2048
    assert (audio.samples[:, 2000 : length - 2000] - samples[:, 2000:-2000]).square().mean() < 1e-4
    assert probe(path).seconds == pytest.approx(2, abs=0.15)
    blocks = torch.cat(list(read_blocks(path, 0.37)), dim=1)
    assert torch.equal(blocks, audio.samples)
    assert torch.equal(read(path.read_bytes()).samples, audio.samples)


def test_webm_through_pyav(tmp_path):
    samples = 0.3 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)[None]
    write_av(tmp_path / "tone.webm", samples, 48000, "libopus")
    audio = read(tmp_path / "tone.webm")
    assert (audio.sample_rate, audio.channels) == (48000, 1)
    assert abs(audio.samples.shape[1] - 48000) < 2000


def test_probe_does_not_decode(tmp_path, noise):
    write(tmp_path / "x.flac", noise, RATE)
    info = probe(tmp_path / "x.flac")
    assert (info.sample_rate, info.channels, info.frames, info.seconds) == (RATE, 2, RATE, 1.0)


@pytest.mark.parametrize("overlap", [0, 800])
@pytest.mark.parametrize("length", [1, 799, 800, 4000, 4001, 7200, 8000])
def test_blocks_cover_every_sample_once_but_for_the_overlap(tmp_path, noise, overlap, length):
    write(tmp_path / "x.wav", noise[:, :length], RATE)
    blocks = list(read_blocks(tmp_path / "x.wav", 0.5, overlap / RATE))
    assert all(block.shape[1] <= 4000 for block in blocks)
    assert all(block.shape[1] > overlap for block in blocks[1:])
    joined = torch.cat([blocks[0], *[block[:, overlap:] for block in blocks[1:]]], dim=1)
    assert torch.equal(joined, noise[:, :length])


def test_blocks_from_a_pipe_that_cannot_seek(tmp_path, noise):
    write(tmp_path / "x.wav", noise[:, :4000], RATE)
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as sink:
        sink.write((tmp_path / "x.wav").read_bytes())
    with os.fdopen(reading, "rb") as file:
        assert torch.equal(torch.cat(list(read_blocks(file, 0.1)), dim=1), noise[:, :4000])


def test_overlap_must_be_shorter_than_the_block(tmp_path):
    with pytest.raises(UsageError, match="shorter than a block"):
        next(read_blocks(tmp_path / "x.wav", 1, 1))


def bad_files(folder):
    """Every way in which a file is no recording, and the sentence for it."""
    good = folder / "good.wav"
    soundfile.write(good, np.ones((800, 2)), RATE, subtype="PCM_16")
    (folder / "empty.wav").touch()
    yield "empty.wav", r"^'.*empty\.wav' is empty \(0 bytes\)\.$"
    (folder / "text.wav").write_text("Grüße, this is no sound.\n" * 100)
    yield "text.wav", r"^'.*text\.wav' is a text file, not a recording\.$"
    (folder / "list.m3u8").write_text("#EXTM3U\nhttp://localhost/x.mp3\n")
    yield "list.m3u8", "is a text file"
    yield "missing.wav", r"^There is no file '.*missing\.wav'\.$"
    (folder / "folder.wav").mkdir()
    yield "folder.wav", "is a folder"
    soundfile.write(folder / "good.flac", np.random.default_rng(0).normal(size=40000) / 9, RATE)
    (folder / "cut.flac").write_bytes((folder / "good.flac").read_bytes()[:20000])
    yield "cut.flac", "cut short|is damaged"
    (folder / "random.wav").write_bytes(np.random.default_rng(0).bytes(5000))
    yield "random.wav", "is not a recording|no sound"
    soundfile.write(folder / "none.wav", np.zeros((0, 2)), RATE)
    yield "none.wav", "has no samples"
    for name, value in (("nan.wav", np.nan), ("infinite.wav", -np.inf)):
        soundfile.write(folder / name, np.array([0, value, 0.5]), RATE, subtype="FLOAT")
        yield name, "not numbers"


def test_each_bad_file_is_one_clear_sentence(tmp_path):
    for name, sentence in bad_files(tmp_path):
        with pytest.raises(InputError, match=sentence) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)
        with pytest.raises(InputError, match=sentence):
            list(read_blocks(tmp_path / name, 0.01))


def test_a_cut_m4a_is_refused(m4a):
    path, _ = m4a
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(InputError):
        read(path)


def test_text_mode_is_wrong_usage():
    with pytest.raises(UsageError, match="binary mode"):
        read(io.StringIO("x"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("source", "target"), [(48000, 16000), (8000, 44100), (16000, 16000)])
def test_resampling_keeps_a_tone(source, target):
    t = torch.arange(source) / source
    tone = torch.sin(2 * torch.pi * 440 * t).expand(2, 3, -1)
    result = resample(tone, source, target)
    expected = torch.sin(2 * torch.pi * 440 * torch.arange(target) / target)
    assert result.shape == (2, 3, target)
    middle = slice(target // 10, -target // 10)
    assert torch.allclose(result[1, 2, middle], expected[middle], atol=1e-3)


@pytest.mark.parametrize("existing", [False, True])
def test_a_failure_half_way_changes_nothing_under_the_name(tmp_path, noise, existing):
    def fail_half_way():
        with AudioWriter(tmp_path / "x.wav", RATE, 2) as writer:
            writer.write(2 * noise)
            raise KeyboardInterrupt

    if existing:
        write(tmp_path / "x.wav", noise, RATE)
    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    if existing:
        assert torch.equal(read(tmp_path / "x.wav").samples, noise)
    assert [path.name for path in tmp_path.iterdir()] == ["x.wav"] * existing


def test_a_full_disk_is_one_sentence(tmp_path, noise, monkeypatch):
    def full(*_):
        raise soundfile.LibsndfileError(2, prefix="Error : ")

    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    with pytest.raises(OutputError, match="Cannot write"):
        write(tmp_path / "x.wav", noise, RATE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_the_disk_that_is_always_full(tmp_path, noise, monkeypatch):
    monkeypatch.setattr("unbabble.base.files.PARTIAL_SUFFIX", ".partial")
    (tmp_path / partial_name("x.wav")).symlink_to("/dev/full")
    with pytest.raises(OutputError, match="Cannot write"):
        write(tmp_path / "x.wav", noise, RATE)
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path, noise):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write"):
        write(tmp_path / "file" / "x.wav", noise, RATE)
    with pytest.raises(UsageError, match="wav and flac"):
        write(tmp_path / "x.mp3", noise, RATE)
    with pytest.raises(OutputError, match="at most 8 channels"):
        write(tmp_path / "x.flac", torch.zeros(9, 10), RATE)


def test_recordings_beyond_4_gib_get_the_64_bit_header(tmp_path, noise):
    with AudioWriter(tmp_path / "x.wav", RATE, 2, expected_seconds=1e6) as writer:
        writer.write(noise)
    audio = read(tmp_path / "x.wav")
    assert audio.format == "RF64"
    assert torch.equal(audio.samples, noise)


def test_the_same_samples_are_the_same_file_whenever_they_are_written(tmp_path, noise):
    write(tmp_path / "x.wav", noise, RATE)
    content = (tmp_path / "x.wav").read_bytes()
    _, date, peak = struct.unpack_from("<IIf", content, content.index(b"PEAK") + 8)
    assert date == 0
    assert peak == noise[0].abs().max()


def test_what_the_system_refuses_is_called_by_its_name(tmp_path):
    """libsndfile says "System error" of a full disk, and of this."""
    bounds = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, bounds[1]))
    try:
        with pytest.raises(OutputError, match=rf"Cannot write '.*x\.wav': {os.strerror(errno.EFBIG)}\.$"):
            write(tmp_path / "x.wav", torch.ones(2**16), RATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, bounds)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_utf8(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    write(path, torch.full((1, 5), 0.5), RATE)
    assert torch.equal(read(path).samples, torch.full((1, 5), 0.5))
    assert probe(path).channels == 1
