"""The best of several texts by a second language model, one that reads whole texts and is too slow to search with.

    A. Stolcke, Y. König, M. Weintraub, "Explicit word error minimization in N-best list rescoring", Eurospeech 1997:
    the lists, and what the weight of a hypothesis is.

The two models are interpolated as logs: the search has used ``weight`` log p of the first, which becomes

    weight ((1 - share) log p_first + share log p_second)
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from unbabble.text.hypothesis import Hypothesis
from unbabble.text.ngram import END
from unbabble.text.word_scores import LanguageModel

LogProbabilities = Callable[[Sequence[str]], Sequence[float]]
"""Of texts, whose words are separated by spaces, the natural log-probabilities, their ends included."""


def rescored(
    hypotheses: Sequence[Hypothesis],
    first: LanguageModel,
    second: LogProbabilities,
    *,
    weight: float = 1.0,
    share: float = 0.5,
) -> list[Hypothesis]:
    """Hypotheses by their scores with both language models, the best first.

    Args:
        hypotheses: of one search, with words.
        first: the language model that the search had.
        second: the other one.
        weight: of the first in the search.
        share: of the second; 0 changes nothing, 1 puts it in the place of the first.
    """
    others = second([each.text for each in hypotheses])
    scored = [
        replace(each, score=each.score + weight * share * (other - log_probability(first, each.words)))
        for each, other in zip(hypotheses, others, strict=True)
    ]
    return sorted(scored, key=lambda each: -each.score)


def log_probability(model: LanguageModel, words: Sequence[str]) -> float:
    """Natural log-probability of a sentence with its end."""
    state, total = model.start(), 0.0
    for word in (*words, END):
        added, state = model.score(state, word)
        total += added
    return total
