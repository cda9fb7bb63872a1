"""Pieces of words as sentencepiece learns and writes them, from transcripts of LibriSpeech.

    ~/.cache/unbabble-peers/pieces/bin/python benchmarks/peers/pieces.py ../shared/data/speech.csv tests/fixtures

writes ``sentencepiece_bpe.json``, with which tests/text/test_tokens.py compares. Knows no code of this project.
"""

import csv
import io
import json
import sys
from pathlib import Path

import sentencepiece

LEARNT, PROBED = 60, 12
VOCABULARY = 103


def main(table, folder):
    with open(table, newline="", encoding="utf-8") as file:
        rows = [row["text"].lower() for row in csv.DictReader(file) if row["split"] == "dev"]
    texts, model = rows[:LEARNT], io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=VOCABULARY,
        model_type="bpe",
        character_coverage=1.0,
        bos_id=-1,
        eos_id=-1,
        normalization_rule_name="identity",
        minloglevel=2,
    )
    tokens = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    probe = [*rows[LEARNT : LEARNT + PROBED], "unbelievable", "a", "the the the"]
    result = {
        "texts": texts,
        "pieces": [tokens.id_to_piece(number) for number in range(tokens.get_piece_size())],
        "probe": probe,
        "encoded": [tokens.encode(text, out_type=str) for text in probe],
    }
    path = Path(folder) / "sentencepiece_bpe.json"
    path.write_text(json.dumps(result, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
