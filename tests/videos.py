"""Videos made with PyAV: a grey picture and any number of tones."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FRAME = 1024
FRAMES_PER_SECOND = 10


def write_video(
    path: Path,
    sounds: Sequence[tuple[float, float]],
    picture: float = 3.0,
    codec: str = "aac",
    video_codec: str = "mpeg4",
    rate: int = 16000,
    languages: Sequence[str] = (),
) -> None:
    """Write a file by its suffix.

    Args:
        path: of the file.
        sounds: start and seconds of each sound stream, of which number k is a tone of k times 440 Hz.
        picture: its seconds; 0 for none.
        codec: of sound.
        video_codec: of the picture.
        rate: of sound, Hz.
        languages: of the sound streams, as ISO 639-2 names them.
    """
    with av.open(str(path), "w") as output:
        packets = []
        if picture:
            video = output.add_stream(video_codec, rate=FRAMES_PER_SECOND)
            video.width = video.height = 32
            video.pix_fmt = "yuv420p"
        streams = [output.add_stream(codec, rate=rate, layout="mono") for _ in sounds]
        for stream, language in zip(streams, languages, strict=False):
            stream.metadata["language"] = language
        if picture:
            for number in range(round(picture * FRAMES_PER_SECOND)):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 8 * number % 256, np.uint8), "rgb24")
                frame.pts = number
                packets += video.encode(frame)
            packets += video.encode(None)
        for number, (stream, (start, seconds)) in enumerate(zip(streams, sounds, strict=True), 1):
            samples = 0.3 * np.sin(2 * np.pi * 440 * number * np.arange(round(seconds * rate)) / rate)
            for first in range(0, len(samples), FRAME):
                piece = np.ascontiguousarray(samples[None, first : first + FRAME], np.float32)
                sound = av.AudioFrame.from_ndarray(piece, "fltp", layout="mono")
                sound.rate, sound.pts, sound.time_base = rate, round(start * rate) + first, Fraction(1, rate)
                packets += stream.encode(sound)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
