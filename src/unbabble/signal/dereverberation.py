"""Removal of late reverberation before separation: WPE, through the package nara_wpe.

T. Nakatani, T. Yoshioka, K. Kinoshita, M. Miyoshi & B.-H. Juang, "Speech dereverberation based on
variance-normalized delayed linear prediction", IEEE Trans. Audio, Speech, Lang. Process. 18(7), 2010.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.extras import missing_extra
from unbabble.signal.stft import Stft

WINDOW_SECONDS = 0.032
TAPS = 10
DELAY_FRAMES = 3
ITERATIONS = 3


def wpe(
    waveform: Float[Tensor, "channel time"],
    sample_rate: int,
    taps: int = TAPS,
    delay: int = DELAY_FRAMES,
    iterations: int = ITERATIONS,
) -> Float[Tensor, "channel time"]:
    """Subtract from each frame what earlier frames predict of it.

    Args:
        waveform: the microphones.
        sample_rate: Hz.
        taps: frames that the prediction reaches back.
        delay: frames left alone, so that the direct sound and early reflections stay.
        iterations: between the prediction and the variance of the voices.

    Raises:
        MissingExtraError: nara_wpe is not installed.
    """
    try:
        from nara_wpe.wpe import wpe_v8
    except ImportError as error:
        raise missing_extra("dereverb") from error
    window = 4 * max(1, round(WINDOW_SECONDS * sample_rate / 4))
    stft = Stft(window, window // 4)
    spectra = stft.analyse(waveform.double()).transpose(0, 1).cpu().numpy()  # (frequency, channel, frame)
    dry = wpe_v8(spectra, taps=taps, delay=delay, iterations=iterations)
    return stft.synthesise(torch.from_numpy(dry).transpose(0, 1), waveform.shape[-1]).to(waveform)
