"""CTC prefix scores of one package in a joint search, whose other half is a table; in the package's environment.

    python run_prefix_scores.py unbabble | espnet | espnet_one | speechbrain

Everything but the prefix scores is the same for all: the beam, the tokens that are tried, when it ends. Requests come
as JSON lines on stdin: ``data`` names a file with ``log_probs`` (frame, token) of CTC, the blank in column 0, which
stands for the end too, and ``attention`` (position, token), what a decoder would say. Answers go to stdout: seconds of
CPU, how many hypotheses were scored (each with each of its candidates), the best row and its score.
"""

import importlib.machinery
import json
import os
import sys
import time
import types

import numpy as np

NEVER = -1e10
CTC_WEIGHT = 0.4


class Unbabble:
    """All tokens at once, by a product of matrices."""

    def __init__(self, log_probs, beam):
        from unbabble.text.ctc import PrefixScores

        self.scorer = PrefixScores(log_probs)
        start = self.scorer.start()
        self.state = type(start)(*(np.repeat(each, beam, axis=-1) for each in start))

    def scores(self, tokens):
        self.all = self.scorer.scores(self.state)
        change = self.all - np.maximum(self.state.score, NEVER)[:, None]
        return np.maximum(np.take_along_axis(change, tokens, 1), NEVER)

    def choose(self, hypotheses, tokens):
        self.state = self.scorer.extend(self.state, hypotheses, tokens, self.all[hypotheses, tokens])


class Espnet:
    """``CTCPrefixScoreTH``: all hypotheses at once, which ESPnet's batched search uses."""

    def __init__(self, log_probs, beam):
        import torch
        from espnet.nets.ctc_prefix_score import CTCPrefixScoreTH

        self.torch = torch
        self.scorer = CTCPrefixScoreTH(torch.from_numpy(log_probs.copy())[None], [len(log_probs)], 0, 0)
        self.rows, self.state, self.symbols = [[0]] * beam, None, log_probs.shape[1]

    def scores(self, tokens):
        change, self.after = self.scorer(self.rows, self.state, self.torch.from_numpy(tokens))
        return np.take_along_axis(change.numpy(), tokens, 1)

    def choose(self, hypotheses, tokens):
        best = self.torch.from_numpy(hypotheses * self.symbols + tokens)[None]
        self.state = self.scorer.index_select_state(self.after, best)
        self.rows = [[*self.rows[row], int(token)] for row, token in zip(hypotheses, tokens, strict=True)]


class EspnetOne:
    """``CTCPrefixScore``: one hypothesis after another in NumPy, which ESPnet's plain search uses."""

    def __init__(self, log_probs, beam):
        from espnet.nets.ctc_prefix_score import CTCPrefixScore

        self.scorer = CTCPrefixScore(log_probs, 0, 0, np)
        self.rows, self.states = [[0]] * beam, [self.scorer.initial_state()] * beam
        self.before = np.zeros(beam)

    def scores(self, tokens):
        self.tokens = tokens
        each = [
            self.scorer(row, candidates, state)
            for row, candidates, state in zip(self.rows, tokens, self.states, strict=True)
        ]
        self.psi, self.after = np.array([psi for psi, _ in each]), [after for _, after in each]
        return self.psi - self.before[:, None]

    def choose(self, hypotheses, tokens):
        columns = [
            int(np.flatnonzero(self.tokens[h] == c)[0]) for h, c in zip(hypotheses, tokens, strict=True)
        ]
        self.before = self.psi[hypotheses, columns]
        self.states = [self.after[h][column] for h, column in zip(hypotheses, columns, strict=True)]
        self.rows = [[*self.rows[row], int(token)] for row, token in zip(hypotheses, tokens, strict=True)]


class SpeechBrain:
    """``CTCPrefixScore`` of ``speechbrain.decoders.ctc``."""

    def __init__(self, log_probs, beam):
        name = (
            "torchaudio"  # asked for on import, not needed here; its newest does not load beside this torch
        )
        stub = types.ModuleType(name)
        stub.__spec__, stub.__version__ = importlib.machinery.ModuleSpec(name, None), "0"
        sys.modules.setdefault(name, stub)
        import torch
        from speechbrain.decoders.ctc import CTCPrefixScore

        self.torch = torch
        self.scorer = CTCPrefixScore(
            torch.from_numpy(log_probs.copy())[None], torch.tensor([len(log_probs)]), 0, 0
        )
        self.last, self.state, self.symbols = torch.zeros(beam, dtype=torch.long), None, log_probs.shape[1]

    def scores(self, tokens):
        change, self.after = self.scorer.forward_step(self.last, self.state, self.torch.from_numpy(tokens))
        return np.take_along_axis(change.numpy(), tokens, 1)

    def choose(self, hypotheses, tokens):
        self.last = self.torch.from_numpy(tokens)
        best = self.torch.from_numpy(hypotheses * self.symbols + tokens)[None]
        self.state = self.scorer.permute_mem(self.after, best)


PACKAGES = {"unbabble": Unbabble, "espnet": Espnet, "espnet_one": EspnetOne, "speechbrain": SpeechBrain}


def search(make, log_probs, attention, beam, candidates):
    """The best row that ended, its score, and how many hypotheses were scored."""
    scorer = make(log_probs, beam)
    totals, rows = np.full(beam, NEVER), [()] * beam
    totals[0], best, count = 0.0, (NEVER, ()), 0
    for position in attention:
        tokens = np.argsort(-position[1:])[: candidates - 1] + 1
        tokens = np.tile(np.concatenate([[0], tokens]), (beam, 1))
        count += int((totals > NEVER / 2).sum())
        added = (1 - CTC_WEIGHT) * position[tokens] + CTC_WEIGHT * scorer.scores(tokens)
        grown = totals[:, None] + added
        best = max(best, *((float(grown[row, 0]), rows[row]) for row in range(beam)))
        grown[:, 0] = NEVER
        hypotheses, columns = np.unravel_index(np.argsort(-grown, axis=None)[:beam], grown.shape)
        chosen = tokens[hypotheses, columns]
        totals = np.maximum(grown[hypotheses, columns], NEVER)
        rows = [(*rows[row], int(token)) for row, token in zip(hypotheses, chosen, strict=True)]
        scorer.choose(hypotheses, chosen)
    return best[1], best[0], count


def main():
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a package prints goes to stderr
    make = PACKAGES[sys.argv[1]]
    print(json.dumps({"name": sys.argv[1]}), file=out, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        with np.load(request["data"]) as file:
            log_probs, attention = file["log_probs"], file["attention"]
        began = time.process_time()
        row, score, count = search(make, log_probs, attention, request["beam"], request["candidates"])
        cpu = time.process_time() - began
        print(
            json.dumps({"cpu_s": cpu, "hypotheses": count, "row": row, "score": score}), file=out, flush=True
        )


if __name__ == "__main__":
    main()
