"""How many take turns in what one microphone heard, where one talks at a time: by vectors over the whole recording.

Windows of some seconds (``pipelines.count``) each hear one talker then, however many there are.
"""

import numpy as np
from jaxtyping import Float, Int

from unbabble.pipelines.recording import Recording
from unbabble.pipelines.talkers_heard import Ears, Heard
from unbabble.pipelines.transcribe import mono, windows
from unbabble.signal.clustering import cluster

SECOND_TALKER, FURTHER_TALKERS = (5.0, 0.085), (3.3, 0.05)
"""What it costs at least to take two talkers for one (``signal.clustering``), and each further one for another: in
vectors, and as a share of all of them. A second one must be surer, as one alone is not to be taken for two. Chosen on
half minutes of dev speakers (benchmark ``turns_taken``)."""


def count_turn_takers(recording: Recording, ears: Ears) -> int:
    """Talkers of a recording in which one talks at a time; 1 where nobody does.

    Args:
        recording: of any length.
        ears: of which the embedder listens.

    Raises:
        InputError: the recording cannot be read.
    """
    heard = Heard(Ears(ears.embedder, threshold=ears.threshold))
    rate = ears.embedder.sample_rate
    for _, samples in windows(mono(recording, rate), rate):
        heard.add(samples)
    return talkers(heard.vectors, heard.places, ears.threshold)


def talkers(
    vectors: Float[np.ndarray, "vector dimension"], places: Int[np.ndarray, "vector 2"], threshold: float
) -> int:
    """How many talkers such vectors are of.

    Args:
        vectors: of unit norm.
        places: where what each is of begins and ends.
        threshold: cosine of the means of two clusters below which they are two talkers.
    """
    in_time = vectors[places.sum(1).argsort(kind="stable")]
    least, share = FURTHER_TALKERS
    count = _clusters(in_time, threshold, max(least, share * len(vectors)))
    least, share = SECOND_TALKER
    return max(1, _clusters(in_time, threshold, max(least, share * len(vectors))) if count == 2 else count)


def _clusters(vectors: Float[np.ndarray, "vector dimension"], threshold: float, evidence: float) -> int:
    return len(cluster(vectors, threshold=threshold, evidence=evidence).centroids)
