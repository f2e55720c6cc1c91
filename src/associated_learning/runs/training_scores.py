"""The accuracy on the training data over the epochs: how well a network fits (noisy) labels."""

from __future__ import annotations

import json
from pathlib import Path

from associated_learning.errors import CheckpointError
from associated_learning.inference.evaluation import evaluate
from associated_learning.network import Network
from associated_learning.state.files import replaced_file
from associated_learning.state.lines import append_line, read_lines
from associated_learning.state.sealed import sealed, unsealed
from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.training.batch_stream import BatchSource
from associated_learning.training.callbacks import Callback

__all__ = ["TRAINING_SCORES", "TrainingScores", "read_training_scores"]

TRAINING_SCORES = "training.jsonl"  # the file of it in the folder of a run


class TrainingScores(Callback):
    """Scores the training data at full depth after every epoch, one line of JSON each.

    It looks at the network itself, so the layers must train one after the other (the executor
    "sequential"). A run that is resumed ends with the lines of one that was never stopped.
    """

    def __init__(self, path: Path, net: Network, batches: BatchSource) -> None:
        self.path = path
        self.net = net
        self.batches = batches

    def started(self, state: TrainingState, *, epochs: int, batches: int) -> None:
        scores = read_training_scores(self.path)[: len(state.records)]
        if len(scores) < len(state.records):
            # killed between checkpoint and line: the weights are still those of that epoch
            scores.append(self._score())
        with replaced_file(self.path) as temporary:
            lines = "".join(f"{_line(score)}\n" for score in scores)
            temporary.write_text(lines, encoding="utf-8")

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        append_line(self.path, _line(self._score()))

    def _score(self) -> float:
        return evaluate(self.net, self.batches.epoch(0)).scores[-1]


def read_training_scores(path: Path) -> list[float]:
    """Return the accuracy after each epoch; none where none was kept.

    A last line that was cut off by a kill is left out.

    Raises:
        CheckpointError: The file is foreign, or has changed.
    """
    if not path.exists():
        return []
    try:
        return [_accuracy(line) for line in read_lines(path).whole]
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"{path} holds something that is no accuracy ({error}); remove it, and the run trains "
            "without what it told."
        ) from error


def _line(accuracy: float) -> str:
    return json.dumps(sealed({"accuracy": accuracy}))


def _accuracy(line: str) -> float:
    entry = unsealed(json.loads(line))
    return float(entry["accuracy"] if isinstance(entry, dict) else entry)  # older ones: a number
