"""An off-the-shelf recogniser, hama: phonemes by CTC, words from them by a second network; in its environment.

    PEERS/hama/bin/python run_hama.py recordings.npz texts.json

``recordings.npz`` has arrays of samples at 16 kHz, full scale 1; ``texts.json`` what is recognised of each, by name.
The second network reads at most 192 phonemes at once, so a long recording is spelled a few words at a time.
"""

import json
import sys

import hama
import numpy as np

MOST_WORDS, MOST_PHONEMES = 24, 150


def pieces(written):
    """Words of a row of phonemes, as many as the second network reads at once."""
    piece = []
    for word in written.split(" | "):
        if piece and (len(piece) == MOST_WORDS or len(" | ".join([*piece, word]).split()) > MOST_PHONEMES):
            yield " | ".join(piece)
            piece = []
        piece.append(word)
    if any(piece):
        yield " | ".join(piece)


def main() -> None:
    recordings = np.load(sys.argv[1])
    recognise, spell, texts = hama.ASRModel(), hama.P2GModel(), {}
    for name in recordings.files:
        samples = recordings[name]
        loudest = np.abs(samples).max() or 1.0
        written = recognise(0.5 * samples / loudest, 16000).word_phoneme_text
        texts[name] = " ".join(spell(piece).text for piece in pieces(written))
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(texts, file)


if __name__ == "__main__":
    main()
