"""What is learnt by a recipe, one file a task."""

from typing import Any

from unbabble.base.config import check_arguments, check_names
from unbabble.nn.kinds.network import Network
from unbabble.training.tasks.continual import Continual
from unbabble.training.tasks.pairs import Pairs
from unbabble.training.tasks.plain import Plain
from unbabble.training.tasks.prediction import Prediction
from unbabble.training.tasks.separation import Separation
from unbabble.training.tasks.speakers import Speakers
from unbabble.training.tasks.transcripts import Transcripts

TASKS: dict[str, type[Plain]] = {
    "continual": Continual,
    "pairs": Pairs,
    "plain": Plain,
    "prediction": Prediction,
    "separation": Separation,
    "speakers": Speakers,
    "transcripts": Transcripts,
}


def create(network: Network, options: dict[str, Any]) -> Plain:
    """The task by which a network learns.

    Args:
        network: to be trained.
        options: a recipe's ``task``: its ``kind``, by default the network's own, and the options of that.

    Raises:
        UsageError: no such task, no such option, or a network that cannot learn so.
    """
    rest = dict(options)
    kind = rest.pop("kind", network.TASK)
    if kind not in TASKS:
        check_names([f"kind={kind}"], [f"kind={name}" for name in TASKS], "The recipe's task")
    own, loss = TASKS[kind].options_for(network)
    check_names(rest, [*own, *loss], f"The recipe's task for a {network.card.name}")
    mine = {name: value for name, value in rest.items() if name in own}
    checked = check_arguments(TASKS[kind].__init__, mine, "The recipe's task")
    checked |= check_arguments(
        network.loss, {n: v for n, v in rest.items() if n not in own}, "The recipe's task"
    )
    return TASKS[kind](network, **checked)
