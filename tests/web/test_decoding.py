"""What strangers send is read under limits, and opens nothing but itself."""

import errno
import io
import os
import signal
import socket
import struct
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.web.conftest import DEMO, wav
from unbabble.base.errors import InputError
from unbabble.web import decoding
from unbabble.web.decoding import decode


@pytest.fixture
def read(tmp_path, light_settings):
    """Reads content: ``read(content, name, exact, **settings)``."""

    def reading(content: bytes, name: str = "a.sent", exact: bool = False, **changes):
        (tmp_path / name).write_bytes(content)
        return decode(tmp_path / name, tmp_path / "heard", replace(light_settings, **changes), exact)

    return reading


def sound(samples: np.ndarray, rate: int = 8000, format: str = "WAV", subtype: str = "FLOAT") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format, subtype=subtype)
    return file.getvalue()


def readers() -> list[int]:
    """Processes that the one with the libraries has forked."""
    process = decoding._readers._process
    assert process is not None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children]


def test_what_is_read_is_what_was_sent(read, tmp_path):
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (4000, 3)).astype(np.float32)
    heard = read(sound(samples, 16000))
    assert (heard.sample_rate, heard.channels, heard.seconds) == (16000, 3, 0.25)
    assert heard.peak == pytest.approx(np.abs(samples).max())
    found, rate = soundfile.read(tmp_path / "heard")
    assert rate == 16000
    np.testing.assert_allclose(found, samples, atol=2**-22)


def test_what_is_beyond_full_scale_is_clipped_and_counted_or_kept(read, tmp_path):
    samples = np.array([0.5, 2.0, -2.0, 0.0] * 500, np.float32)
    assert read(sound(samples)).clipped_share == 0.5
    assert np.abs(soundfile.read(tmp_path / "heard")[0]).max() <= 1
    assert read(sound(samples), exact=True).peak == 2.0
    np.testing.assert_array_equal(soundfile.read(tmp_path / "heard")[0], samples)


@pytest.mark.parametrize(("format", "subtype"), [("FLAC", "PCM_16"), ("OGG", "OPUS")])
def test_hours_of_silence_in_a_small_file_are_refused_by_their_duration(read, format, subtype):
    seconds = 3600 if format == "FLAC" else 120  # which Opus takes longer to write
    content = sound(np.zeros(8000 * seconds, np.int16), 8000, format, subtype)
    assert len(content) < seconds * 300
    for most in (10.0, seconds - 1):
        with pytest.raises(InputError, match="longer than"):
            read(content, most_seconds=most)


def test_a_header_that_lies_about_the_duration_does_not_help(read):
    """A stream whose header does not tell its length is counted as it is read."""
    content = bytearray(sound(np.zeros(8000 * 600, np.int16), 8000, "FLAC", "PCM_16"))
    assert content[:4] == b"fLaC"
    content[21] &= 0xF0  # the number of samples: unknown
    content[22:26] = bytes(4)
    with pytest.raises(InputError):
        read(bytes(content), most_seconds=60.0)


def test_memory_is_limited(read):
    with pytest.raises(InputError, match="too much memory"):
        read(wav(1.0), decode_bytes=150_000_000)
    assert read(wav(1.0)).seconds == 1.0


class Slow:
    """A recording that takes some seconds to read, being read in another thread."""

    def __init__(self, read, **changes) -> None:
        self.told: list[Exception] = []
        content = sound(np.random.default_rng(0).uniform(-1, 1, 48000 * 240).astype(np.float32), 48000)
        read(wav(0.1))  # so that there is somebody to fork readers
        _gone()
        self.thread = threading.Thread(target=self._read, args=(read, content, changes))
        self.thread.start()
        while not (found := readers()):
            assert self.thread.is_alive()
            time.sleep(0.002)
        (self.pid,) = found

    def _read(self, read, content: bytes, changes: dict) -> None:
        try:
            read(content, "slow.sent", **changes)
        except Exception as error:
            self.told.append(error)


def test_whoever_reads_has_limits_of_its_own(read):
    slow = Slow(read, decode_seconds=37, decode_bytes=777_000_000)
    wanted = {
        "Max cpu time": "37",
        "Max address space": "777000000",
        "Max file size": "777000000",
        "Max core file size": "0",
    }
    found: dict[str, str] = {}
    while found != wanted and slow.thread.is_alive():
        try:
            lines = Path(f"/proc/{slow.pid}/limits").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            break
        found = {name: line[26:].split()[0] for line in lines for name in wanted if line.startswith(name)}
    slow.thread.join()
    assert found == wanted
    assert slow.told == []


def test_what_stands_still_is_given_up_and_does_not_stay(read, monkeypatch):
    monkeypatch.setattr(decoding, "WAIT_FACTOR", 1)
    slow = Slow(read, decode_seconds=2)
    os.kill(slow.pid, signal.SIGSTOP)
    slow.thread.join()
    assert "too long to read" in str(slow.told[0])
    os.kill(slow.pid, signal.SIGCONT)
    _gone()


def _gone() -> None:
    deadline = time.monotonic() + 30
    while readers():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_reader_that_falls_takes_nothing_with_it(read):
    """As by a fault in a decoder: the process gets a signal, its file is refused, others are read."""
    slow = Slow(read)
    os.kill(slow.pid, signal.SIGSEGV)
    slow.thread.join()
    assert "cannot be read" in str(slow.told[0])
    assert read(wav(0.5), "other.sent").seconds == 0.5


def test_should_the_one_that_forks_fall_another_begins(read):
    assert read(wav(0.5)).seconds == 0.5
    process = decoding._readers._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert read(wav(0.25)).seconds == 0.25


def test_no_space_is_no_fault_of_the_file(tmp_path, light_settings):
    (tmp_path / "a.wav").write_bytes(wav(1.0))
    for target in (Path("/dev/full"), tmp_path / "no" / "where"):
        with pytest.raises(OSError, match=r"No space|No such") as error:
            decode(tmp_path / "a.wav", target, light_settings)
        assert error.value.errno in (errno.ENOSPC, errno.ENOENT)


def test_what_would_become_too_large_is_refused(read):
    samples = np.random.default_rng(0).uniform(-1, 1, 200_000).astype(np.float32)
    with pytest.raises(InputError, match=r"too large|too much"):
        read(sound(samples, 8000, "OGG", "OPUS"), exact=True, decode_bytes=500_000)


NOISE = np.random.default_rng(0).uniform(-0.1, 0.1, (8000, 9)).astype(np.float32)


# Named, because libsndfile writes the time into a file of floats: a test called by its bytes has another
# name a second later, and workers that run the suite together must know every test by one name.
NO_RECORDINGS = {
    "empty": (b"", "empty"),
    "text": (b"hello, this is no recording " * 50, "text"),
    "a header alone": (b"RIFF\xff\xff\xff\x7fWAVE", "not a recording|no samples|cannot be read"),
    "random bytes": (np.random.default_rng(1).bytes(20_000), "not a recording"),
    "nine channels": (sound(NOISE), "9 channels"),
    "NaN": (sound(np.full(800, np.nan, np.float32)), "not numbers"),
    "infinite": (sound(np.array([0.1, np.inf] * 400, np.float32)), "not numbers"),
    "no samples": (sound(np.zeros(0, np.float32)), "no samples|not a recording"),
    "cut short": (wav(1.0)[:8000], "cut short"),
    "an archive": (b"PK\3\4" + bytes(500), "not a recording"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(500), "not a recording|no sound"),
}


@pytest.mark.parametrize(("content", "told"), NO_RECORDINGS.values(), ids=NO_RECORDINGS)
def test_what_is_no_usable_recording_is_told_in_a_sentence(read, tmp_path, content, told):
    for name in ("a.wav", "a.sent"):
        with pytest.raises(InputError, match=told) as error:
            read(content, name)
        assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("rate", [1, 4_000_000_000])
def test_rates_that_make_no_sense_are_no_fault(read, rate):
    header = (
        b"RIFF"
        + struct.pack("<I", 36 + 2000)
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate % 2**32, 2, 16)
    )
    content = header + b"data" + struct.pack("<I", 2000) + bytes(2000)
    try:
        heard = read(content)
    except InputError:
        return
    assert heard.sample_rate == rate


LISTS = {
    "m3u8": "#EXTM3U\n{odd}\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\n# {odd}\nfile {target}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={odd}\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n",
    "mpd": '<?xml version="1.0"?><!-- {odd} --><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="audio/mp4"><Representation id="1" '
    'bandwidth="1"><BaseURL>{target}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "pls": "[playlist]\nFile1={target}\n{odd}\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_files_and_addresses_open_nothing(read, tmp_path, kind):
    """Neither as text nor with bytes that are none: a secret beside them, or a server, is not reached."""
    (tmp_path / "secret.wav").write_bytes(wav(1.0))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        port = server.getsockname()[1]
        for target in (
            "secret.wav",
            tmp_path / "secret.wav",
            f"file:{tmp_path}/secret.wav",
            f"http://127.0.0.1:{port}/a.ts",
        ):
            for odd in (b"plain", b"\xff\xfe"):
                text = LISTS[kind].format(odd="ODD", target=target, port=port).encode()
                for name in (f"a.{kind}", "a.sent"):
                    with pytest.raises(InputError):
                        read(text.replace(b"ODD", odd), name)
        with pytest.raises(TimeoutError):
            server.accept()


def test_links_are_not_followed_by_containers(read, tmp_path):
    """A QuickTime file whose sound lies elsewhere, by its reference: it has none here."""
    content = (DEMO / "mixture.flac").read_bytes()
    (tmp_path / "secret.flac").write_bytes(content)
    reference = b"url \0\0\0\0" + f"file://{tmp_path}/secret.flac\0".encode()
    atom = struct.pack(">I", len(reference) + 4) + reference
    movie = b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + struct.pack(">I", len(atom) + 8) + b"moov" + atom
    with pytest.raises(InputError):
        read(movie, "a.mov")


def test_names_are_those_of_the_caller_s_folder(light_settings, tmp_path, monkeypatch):
    for folder in (
        tmp_path / "a",
        tmp_path / "b",
    ):  # the second after the process that reads has been started
        folder.mkdir()
        monkeypatch.chdir(folder)
        Path("in.wav").write_bytes(wav(0.5))
        assert decode(Path("in.wav"), Path("out.flac"), light_settings).seconds == 0.5
        assert (folder / "out.flac").is_file()
