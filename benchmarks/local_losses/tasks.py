"""What is learned: small data of a kind, and the encoders that all methods share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

import associated_learning as al
from associated_learning.conversion.list_readouts import readouts_for
from associated_learning.data import load
from associated_learning.data.dataset import DataSet
from associated_learning.data.texts.vectors import load_vectors
from associated_learning.models import CNN, BiLSTM, LayeredModel

__all__ = ["TASKS", "Task", "network"]


class Task(NamedTuple):
    """Data of a seed, which chooses the training samples, and encoders for them.

    Attributes:
        data: The data.
        encoders: Makes the encoders, the random state decides their weights.
    """

    data: DataSet
    encoders: Callable[[], list[nn.Module]]


def texts(root: str | None, samples: int, seed: int) -> Task:
    """Return sentences of SST-2, and an embedding with GloVe's vectors under two BiLSTMs."""
    data = load(
        "sst2",
        data_root=root,
        limit_train=samples,
        max_length=40,
        validation_fraction=0.03,
        seed=seed,
    )
    vocabulary = data.preprocessor.vocabulary  # type: ignore[union-attr]
    glove = Path(root or ".") / "glove" / "glove.6B.100d.trimmed.txt.gz"
    vectors = load_vectors(glove, vocabulary).weights if glove.exists() else None

    def encoders() -> list[nn.Module]:
        model = BiLSTM(
            vocabulary_size=len(vocabulary),
            embedding_dim=100 if vectors is None else vectors.shape[1],
            hidden=64,
            num_layers=2,
            out_features=2,
            weights=vectors,
        )
        return list(model.layers)

    return Task(data, encoders)


def images(root: str | None, samples: int, seed: int) -> Task:
    """Return images of CIFAR-10, and the paper's CNN with half its channels and AL's ELU."""
    data = load("cifar10", data_root=root, limit_train=samples, validation_fraction=0.03, seed=seed)

    def encoders() -> list[nn.Module]:
        model = CNN(channels=(16, 16, 32, 32), activation="elu", head_hidden=(8,))
        return list(model.layers)

    return Task(data, encoders)


TASKS: dict[str, Callable[[str | None, int, int], Task]] = {"texts": texts, "images": images}


def network(
    task: Task,
    x: Any,
    *,
    pairs: bool = False,
    bp: bool = False,
    without: int = 0,
    label_smoothing: float = 0.0,
    **options: Any,
) -> Any:
    """Return a network; the encoders of all methods begin with the same weights.

    Args:
        task: What it learns.
        x: A batch.
        pairs: Whether two encoders are a layer, from the input up.
        bp: Whether it learns by backpropagation, read as AL's top layer is, under a linear head.
        without: How many of the uppermost encoders are left out.
        label_smoothing: Share of a label that is divided among all classes.
        options: Those of `al_form`.
    """
    encoders = task.encoders()
    target = al.Classes(task.data.num_classes, label_smoothing=label_smoothing)
    encoders = encoders[: len(encoders) - without]
    if pairs:
        two = [encoders[i : i + 2] for i in range(0, len(encoders), 2)]
        encoders = [one[0] if len(one) == 1 else Joined(one) for one in two]
    if not bp:
        return al.al_form(encoders, x, target, **options)
    read = readouts_for(encoders, x, None, target)
    head = nn.Linear(read.widths[-1], target.size)
    return al.BPNetwork(LayeredModel(encoders, read.modules[-1], head), target)


class Joined(nn.Module):
    """Encoders in a row as one."""

    def __init__(self, encoders: Sequence[nn.Module]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)

    def forward(self, s: Any) -> Any:
        """Return what the last one gives."""
        for f in self.encoders:
            s = f(s)
        return s
