"""Wav files whose header does not tell the truth: what is there is taken, and the user hears of it."""

import io
import os
import re
import struct

import numpy as np
import pytest
import soundfile
import torch

from unbabble.base.audio import probe, read, read_blocks
from unbabble.base.errors import InputError
from unbabble.base.excerpt import Part

RATE = 8000
SAMPLES = (np.arange(1600) * 17 % 1000 - 500).astype("<i2")
DATA = SAMPLES.tobytes()
ALL_ONES = 0xFFFFFFFF
SILENT, UNKNOWN, SHORT, CUT = None, "does not say how long", "ends 1.25 ms before", "0.10 s of the 0.20 s"


def chunk(kind: bytes, body: bytes, length: int | None = None) -> bytes:
    return kind + struct.pack("<I", len(body) if length is None else length) + body + b"\0" * (len(body) % 2)


def riff(*chunks: bytes, length: int | None = None, kind: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return kind + struct.pack("<I", len(body) if length is None else length) + body


def rf64(data: bytes, length: int) -> bytes:
    sizes = struct.pack("<QQQI", 0, length, length // 2, 0)
    return riff(chunk(b"ds64", sizes), FORMAT, chunk(b"data", data, ALL_ONES), length=ALL_ONES, kind=b"RF64")


FORMAT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16))
EXTENSIBLE = chunk(
    b"fmt ",
    struct.pack("<HHIIHHHHIH", 0xFFFE, 1, RATE, 2 * RATE, 2, 16, 22, 16, 4, 1)
    + bytes.fromhex("000000001000800000aa00389b71"),
)
NOTE = chunk(b"LIST", b"INFOICMT\x03\0\0\0abc")
FILES = {
    "right": (riff(FORMAT, chunk(b"data", DATA)), 1600, SILENT),
    "length 0": (riff(FORMAT, chunk(b"data", DATA, 0)), 1600, UNKNOWN),
    "both lengths 0": (riff(FORMAT, chunk(b"data", DATA, 0), length=0), 1600, UNKNOWN),
    "all ones, as of a pipe": (riff(FORMAT, chunk(b"data", DATA, ALL_ONES), length=ALL_ONES), 1600, SILENT),
    "SoX to a pipe": (riff(FORMAT, chunk(b"data", DATA, 0x7FFFF000), length=0x7FFFF024), 1600, SILENT),
    "10 samples missing": (riff(FORMAT, chunk(b"data", DATA[:-20], len(DATA))), 1590, SHORT),
    "half": (riff(FORMAT, chunk(b"data", DATA))[:1644], 800, CUT),
    "half a sample more": (riff(FORMAT, chunk(b"data", DATA))[:1645], 800, "cut short|ends"),
    "odd chunk before": (riff(FORMAT, NOTE, chunk(b"data", DATA)), 1600, SILENT),
    "odd chunk behind": (riff(FORMAT, chunk(b"data", DATA), NOTE), 1600, SILENT),
    "garbage behind": (riff(FORMAT, chunk(b"data", DATA)) + b"whatever this is", 1600, SILENT),
    "extensible": (riff(EXTENSIBLE, chunk(b"data", DATA)), 1600, SILENT),
    "extensible, 10 missing": (riff(EXTENSIBLE, chunk(b"data", DATA[:-20], len(DATA))), 1590, SHORT),
    "64 bits": (rf64(DATA, len(DATA)), 1600, SILENT),
    "64 bits, 10 missing": (rf64(DATA[:-20], len(DATA)), 1590, SHORT),
    "64 bits, length 0": (rf64(DATA, 0), 1600, UNKNOWN),
    "64 bits, all ones": (rf64(DATA, 2**64 - 1), 1600, UNKNOWN),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_there_is_taken_and_said(tmp_path, name):
    content, length, warning = FILES[name]
    expected = torch.from_numpy(SAMPLES[None, :length] / np.float32(2**15))
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    for source in (path, str(path), content, io.BytesIO(b"before" + content)):
        if isinstance(source, io.BytesIO):
            source.seek(len(b"before"))
        audio = read(source)
        assert torch.equal(audio.samples, expected)
        assert len(audio.warnings) == (warning is not SILENT)
        if warning is not SILENT:
            assert re.search(warning, audio.warnings[0])
    assert probe(path).frames == length
    assert torch.equal(torch.cat(list(read_blocks(path, 0.03)), dim=1), expected)
    assert torch.equal(read(Part(0.05, 0.02).of(path)).samples, expected[:, 400:560])


@pytest.mark.parametrize("name", ["right", "length 0", "10 samples missing", "half"])
def test_so_is_what_comes_through_a_pipe(name):
    content, length, _ = FILES[name]
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as sink:
        sink.write(content)
    with os.fdopen(reading, "rb") as file:
        samples = torch.cat(list(read_blocks(file, 0.03)), dim=1)
    assert torch.equal(samples, torch.from_numpy(SAMPLES[None, :length] / np.float32(2**15)))


@pytest.mark.parametrize("kind", ["AIFF", "AU"])
def test_what_is_cut_of_other_plain_files_is_said_too(tmp_path, kind):
    path = tmp_path / "x.aiff"
    soundfile.write(path, SAMPLES, RATE, format=kind)
    assert read(path).warnings == []
    path.write_bytes(path.read_bytes()[:-2000])
    audio = read(path)
    assert 590 < audio.samples.shape[1] <= 600
    assert "cut short: 0.07 s of the 0.20 s" in audio.warnings[0]


def test_a_header_alone_has_no_samples():
    with pytest.raises(InputError, match="has no samples"):
        read(riff(FORMAT, chunk(b"data", b"")))
