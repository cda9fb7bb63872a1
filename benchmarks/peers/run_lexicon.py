"""Words of a lexicon from CTC's log-probabilities, with a word n-gram, by one package; in the package's environment.

    python run_lexicon.py unbabble | flashlight FOLDER

``FOLDER`` has ``lexicon.txt`` (a word and its symbols a line, the last of them ``|``), ``words.arpa`` and
``log_probs.npz``: arrays (frame, token) by name, the blank in column 0, then the symbols of the lexicon in their order.
Requests come as JSON lines on stdin: ``beam``, ``tokens``, ``margin`` (natural logs), ``language_weight``,
``word_bonus``. Answers go to stdout: seconds of CPU for all recordings, and the words of each.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

NATURAL = float(np.log(10))
WORD_END = "|"


def lexicon(folder):
    """Pronunciations by word, and all symbols in their order."""
    rows = {}
    for line in (folder / "lexicon.txt").read_text().splitlines():
        word, *symbols = line.split()
        rows.setdefault(word, []).append(symbols)
    return rows, sorted({symbol for each in rows.values() for row in each for symbol in row})


class Unbabble:
    """``text.lexicon_search``."""

    def __init__(self, folder):
        from unbabble.text.arpa import read

        self.model = read(folder / "words.arpa")
        self.rows, self.symbols = lexicon(folder)

    def decoder(self, beam, tokens, margin, language_weight, word_bonus):
        from unbabble.text.ctc_search import Pruning
        from unbabble.text.lexicon import Lexicon
        from unbabble.text.lexicon_search import lexicon_beam
        from unbabble.text.word_scores import WordScores

        words = WordScores(self.model, language_weight, word_bonus)
        tree = Lexicon(self.rows, self.symbols, lambda word: words.alone(word, self.model.score(0, word)[0]))
        pruning = Pruning(beam=beam, tokens=tokens, margin=margin)
        return lambda log_probs: lexicon_beam(log_probs, tree, words, pruning=pruning, best=1)[0].words


class Flashlight:
    """``LexiconDecoder`` with KenLM, whose logs are of base 10.

    Words have to end with its silence: it does not stay in any other last symbol of a word for two frames.
    """

    def __init__(self, folder):
        from flashlight.lib.text.decoder.kenlm import KenLM
        from flashlight.lib.text.dictionary import Dictionary

        rows, symbols = lexicon(folder)
        self.names = Dictionary()
        for word in ["<unk>", *rows]:
            self.names.add_entry(word)
        self.model = KenLM(str(folder / "words.arpa"), self.names)
        self.numbers = {symbol: number for number, symbol in enumerate(symbols, 1)}
        self.rows, self.silence = rows, self.numbers[WORD_END]

    def decoder(self, beam, tokens, margin, language_weight, word_bonus):
        from flashlight.lib.text import decoder

        tree, start = decoder.Trie(len(self.numbers) + 1, self.silence), self.model.start(False)
        for word, rows in self.rows.items():
            number = self.names.get_index(word)
            _, score = self.model.score(start, number)
            for row in rows:
                tree.insert([self.numbers[symbol] for symbol in row], number, score)
        tree.smear(decoder.SmearingMode.MAX)
        weight, never = language_weight * NATURAL, -float("inf")
        criterion = decoder.CriterionType.CTC
        options = decoder.LexiconDecoderOptions(
            beam, tokens, margin, weight, word_bonus, never, 0.0, True, criterion
        )
        unknown = self.names.get_index("<unk>")
        search = decoder.LexiconDecoder(options, tree, self.model, self.silence, 0, unknown, [], False)

        def decode(log_probs):
            best = search.decode(log_probs.ctypes.data, *log_probs.shape)[0]
            return [self.names.get_entry(word) for word in best.words if word >= 0]

        return decode


PACKAGES = {"unbabble": Unbabble, "flashlight": Flashlight}


def main():
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a package prints goes to stderr
    folder = Path(sys.argv[2])
    package = PACKAGES[sys.argv[1]](folder)
    with np.load(folder / "log_probs.npz") as file:
        recordings = dict(file)
    print(json.dumps({"name": sys.argv[1]}), file=out, flush=True)
    for line in sys.stdin:
        decode = package.decoder(**json.loads(line))
        began = time.process_time()
        words = {name: list(decode(log_probs)) for name, log_probs in recordings.items()}
        print(json.dumps({"cpu_s": time.process_time() - began, "words": words}), file=out, flush=True)


if __name__ == "__main__":
    main()
