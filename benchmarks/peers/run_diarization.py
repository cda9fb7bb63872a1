"""Who speaks when by parts from others: Silero's detector of speech, Resemblyzer's vectors, spectral clustering.

A line of JSON on stdin is a request, a line on stdout its answer; the first says that all is there. A request names a
file ``data`` of NumPy with ``sound``, samples at 16 kHz, full scale 1; ``speech``, begin and end of each stretch of
speech in seconds; ``windows``, those of which vectors are made in it; ``talkers``, how many there are. The answer has
the ``vectors`` of the windows, their labels where the number of talkers is ``known`` and where it is ``estimated``, and
``turns`` (begin, end, label), for which nothing is known.
"""

import json
import sys
import types

import numpy as np
import torch

sys.modules["webrtcvad"] = types.ModuleType("webrtcvad")
sys.modules["scipy.ndimage.morphology"] = types.ModuleType("scipy.ndimage.morphology")  # gone from scipy
sys.modules["scipy.ndimage.morphology"].binary_dilation = None

import silero_vad  # noqa: E402
from resemblyzer.audio import normalize_volume, wav_to_mel_spectrogram  # noqa: E402
from resemblyzer.hparams import audio_norm_target_dBFS  # noqa: E402
from resemblyzer.voice_encoder import VoiceEncoder  # noqa: E402
from spectralcluster import SpectralClusterer, configs  # noqa: E402

RATE, FRAMES_PER_SECOND, WINDOW_SECONDS, HOP_SECONDS = 16000, 100, 1.6, 0.4
LEAST_TALKERS, MOST_TALKERS = 2, 7
"""As in the configuration that spectralcluster has for these vectors."""
CELL_SECONDS = 0.1


def cut(speech):
    """Windows of one length in each stretch of speech, the last up to its end."""
    result = []
    for begin, end in speech:
        last = max(begin, end - WINDOW_SECONDS)
        result += [
            (start, min(start + WINDOW_SECONDS, end))
            for start in [*np.arange(begin, last, HOP_SECONDS), last]
        ]
    return result


def vectors(encoder, sound, windows):
    mel = wav_to_mel_spectrogram(normalize_volume(sound, audio_norm_target_dBFS, increase_only=True))
    length = round(WINDOW_SECONDS * FRAMES_PER_SECOND)
    result = []
    for begin, end in windows:
        first = round(((begin + end) / 2 - WINDOW_SECONDS / 2) * FRAMES_PER_SECOND)
        first = max(0, min(first, len(mel) - length))
        with torch.no_grad():
            result.append(encoder(torch.from_numpy(mel[first : first + length])[None]).numpy()[0])
    return np.array(result)


def clustered(found, least, most):
    if len(found) <= least:
        return list(range(len(found)))
    clusterer = SpectralClusterer(
        min_clusters=least,
        max_clusters=most,
        refinement_options=configs.icassp2018_refinement_options,
        custom_dist="cosine",
    )
    return [int(label) for label in clusterer.predict(found)]


def turns(speech, windows, labels):
    middles = np.array([(begin + end) / 2 for begin, end in windows])
    result = []
    for begin, end in speech:
        for start in np.arange(begin, end, CELL_SECONDS):
            stop = min(start + CELL_SECONDS, end)
            label = labels[int(np.abs(middles - (start + stop) / 2).argmin())]
            if result and abs(result[-1][1] - start) < 1e-6 and result[-1][2] == label:
                result[-1][1] = float(stop)
            else:
                result.append([float(start), float(stop), label])
    return result


def answer(encoder, detector, given):
    sound, talkers = given["sound"].astype(np.float32), int(given["talkers"])
    own = vectors(encoder, sound, given["windows"])
    stretches = silero_vad.get_speech_timestamps(torch.from_numpy(sound), detector)
    speech = [(each["start"] / RATE, each["end"] / RATE) for each in stretches]
    windows = cut(speech)
    labels = clustered(vectors(encoder, sound, windows), LEAST_TALKERS, MOST_TALKERS) if windows else []
    return {
        "vectors": own.tolist(),
        "known": clustered(own, talkers, talkers),
        "estimated": clustered(own, LEAST_TALKERS, MOST_TALKERS),
        "turns": turns(speech, windows, labels),
    }


def main():
    torch.set_num_threads(1)
    encoder, detector = VoiceEncoder("cpu", verbose=False), silero_vad.load_silero_vad()
    print("{}", flush=True)
    for line in sys.stdin:
        with np.load(json.loads(line)["data"]) as file:
            print(json.dumps(answer(encoder, detector, dict(file))), flush=True)


if __name__ == "__main__":
    main()
