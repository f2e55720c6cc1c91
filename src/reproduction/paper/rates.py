"""The tuning budget: one grid of learning rates for all arms, judged on validation data.

Command: ``al reproduce rates --tier cpu --seeds 0`` and
``al reproduce rates-images --tier full --seeds 0``.
Cost: 212 runs, some 16 h on one core by the cpu tier with one seed, of which 57 are there; the
images of the full tier 24 runs of 4 epochs, some minutes of a GPU.
The paper chose between two rates for its LSTM baseline (section 6.5.1). Here all arms get the
same grid, wider for all of them where the best rate of one lies at the edge; the rates of the
tiers are to be chosen by these tables, never by test data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from associated_learning.runs.networks.families import TEXT_MODELS
from reproduction.paper.arms import ARMS
from reproduction.paper.cell import Cell, Table, best_validation
from reproduction.paper.runs import Run

__all__ = ["COMPARED", "IMAGES", "SHALLOW", "TABLE", "compared_arms"]

_ROWS = {
    ("sst2", "bilstm"): "SST, LSTM",
    ("ag_news", "bilstm"): "AG News, LSTM",
    ("sst2", "transformer"): "SST, Transformer",
    ("ag_news", "transformer"): "AG News, Transformer",
    ("fashion_mnist", "cnn"): "Fashion-MNIST, CNN",
    ("cifar10", "cnn"): "CIFAR-10, CNN",
    ("cifar10", "vgg"): "CIFAR-10, VGG",
    ("imdb", "bilstm"): "IMDB, LSTM",
    ("imdb", "transformer"): "IMDB, Transformer",
    ("dbpedia_14", "bilstm"): "DBpedia, LSTM",
    ("dbpedia_14", "transformer"): "DBpedia, Transformer",
    ("fashion_mnist", "vgg"): "Fashion-MNIST, VGG",
}
COMPARED = ("bp", "bp-encoders", "al", "contrast")  # what a standing compares, all with one grid
SHALLOW = "bp-shallow"  # of texts beside them: a smaller network may do better on few samples
GRID = (2.5e-4, 5e-4, 1e-3, 2e-3)
# further rates where the best of one arm lies at the edge, for all arms alike
_WIDER: dict[tuple[str, str], tuple[float, ...]] = {
    ("sst2", "transformer"): (1.25e-4,),
    ("ag_news", "bilstm"): (4e-3,),
    ("ag_news", "transformer"): (4e-3,),
    ("fashion_mnist", "cnn"): (4e-3,),
    ("cifar10", "vgg"): (1.25e-4,),
}
_SHORT = 4  # epochs, in which the rate falls as in a whole run


def compared_arms(model: str) -> tuple[str, ...]:
    """Return what the tuned tier compares of a network."""
    return (*COMPARED, SHALLOW) if model in TEXT_MODELS else COMPARED


def _cells(
    rows: Mapping[tuple[str, str], str],
    grid: Sequence[float],
    wider: Mapping[tuple[str, str], tuple[float, ...]] | None = None,
    **extra: Any,
) -> tuple[Cell, ...]:
    return tuple(
        Cell(
            row=f"{title}, {ARMS[arm].title}",
            column=f"{rate:g}",
            run=Run(data=data, model=model, arm=arm, extra=(("lr", rate), *extra.items())),
            read=best_validation,
        )
        for (data, model), title in rows.items()
        for arm in COMPARED
        for rate in (*grid, *(wider or {}).get((data, model), ()))
    )


TABLE = Table(
    name="rates",
    title="Learning rates: validation accuracy in percent at full depth",
    cells=_cells(_ROWS, GRID, _WIDER),
    tiers=("cpu",),
    enough=1,
)
IMAGES = Table(
    name="rates-images",
    title="Learning rates of images, all training data, four epochs: validation accuracy",
    cells=_cells(
        {key: title for key, title in _ROWS.items() if key[0] == "cifar10"},
        (5e-4, 1e-3, 2e-3),
        epochs=_SHORT,
    ),
    tiers=("full",),
    enough=1,
)
