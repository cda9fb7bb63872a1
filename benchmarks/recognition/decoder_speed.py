"""How fast are the searches of recognisers, beside SpeechBrain's, ESPnet's and flashlight's?

*Prefix scores* are CTC's part of a joint search. Everything else is the same program for all: the beam, the tokens that
are tried for each hypothesis, and what a decoder would say, which is a table. A *lexicon search* writes words, by CTC
and a trigram of the training transcripts. Flashlight needs a symbol that ends every word (it does not stay in any other
last symbol for two frames), so words are letters and ``|`` here.

What CTC says is drawn: of texts of the test, each symbol in one or two frames and up to two blanks after it, with
Gaussian noise before the softmax. It is the same for all, and so is how good each search is: the *objective* is the
exact log-probability of what it wrote, by CTC and the language model. Times are the CPU's, of one thread, the least of
several rounds by turns.

    python -m benchmarks decoder_speed [--only prefix]
"""

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

from benchmarks.kit.table import grid, made_by, page
from benchmarks.recognition._searches import lexicon, prefix

SEED, PARTS = 0, ("prefix", "lexicon")
PACKAGES = {
    "unbabble": "ours",
    "speechbrain": "SpeechBrain",
    "espnet": "ESPnet, batched",
    "espnet_one": "ESPnet, NumPy",
    "flashlight": "flashlight (C++)",
}
QUICK = {"rounds": 1, "utterances": 3}


def measure(
    before: dict,
    only: Annotated[Sequence[str], PARTS] = PARTS,
    rounds: int = 3,
    utterances: int = 20,
) -> Iterator[dict]:
    """Search by search.

    Args:
        only: of the two parts.
        rounds: by turns.
        utterances: of the test, of the lexicon search.
    """
    with tempfile.TemporaryDirectory() as folder:
        parts = {
            "prefix": partial(prefix, Path(folder), rounds, SEED),
            "lexicon": partial(lexicon, Path(folder), rounds, SEED, utterances),
        }
        for part in only:
            before[part] = []
            for row in parts[part]():
                print(row, flush=True)
                before[part].append(row)
                yield before


def table(result: dict) -> str:
    blocks = []
    if "prefix" in result:
        rows = [row | {"package": PACKAGES[row["package"]]} for row in result["prefix"]]
        cells = "{package} | {beam} | {candidates} | {hypotheses_per_s:.0f} | {times_as_long:.1f} | {difference:.0e}"
        head = "prefix scores | beam | tokens tried | hypotheses/s | times as long | difference of the best score"
        blocks.append(grid(head, rows, cells))
    if "lexicon" in result:
        rows = [row | {"package": PACKAGES[row["package"]]} for row in result["lexicon"]]
        rows = [row | {"wer": 100 * row["word_error_rate"]} for row in rows]
        cells = "{package} | {beam} | {real_time_factor:.4f} | {wer:.1f} | {objective:.2f} | {same_texts} of {texts}"
        head = "lexicon and trigram | beam | real-time factor | WER, % | objective | texts as ours"
        blocks.append(grid(head, rows, cells))
    return page("# Speed of searches", *blocks, made_by(result))
