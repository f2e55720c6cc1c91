"""The confusion matrix of a run: how often each class was taken for each other."""

from __future__ import annotations

import json

import torch
from rich.table import Table
from rich.text import Text
from torch import Tensor

from associated_learning.cli.tables import console
from associated_learning.data import Batches, DataSet
from associated_learning.errors import InputError
from associated_learning.inference.evaluation import predict_batches
from associated_learning.runs.folder.open_run import OpenRun
from associated_learning.runs.printable import escape, printable

__all__ = ["show_confusion"]

_MOST = 30  # classes that a terminal has room for
_WIDTH = 12  # characters of a class at the head of a column
_WIDEST = 60  # of all of them together


def show_confusion(
    opened: OpenRun, data: DataSet, batches: Batches, split: str, depth: int, *, as_json: bool
) -> None:
    """Show how many samples of each class (rows) were taken for each (columns).

    Raises:
        InputError: The run tells no class a sample, or more classes than a table has room for.
    """
    if opened.config.task != "classification":
        raise InputError(
            f"--confusion came for a run of --task {opened.config.task}; it is for one class a "
            "sample. Leave it out."
        )
    counts = _counts(opened, data, batches, split, depth)
    if as_json:
        labels = list(opened.label_names)
        told = {"split": split, "depth": depth, "labels": labels, "confusion": counts.tolist()}
        print(json.dumps(told))
        return
    table = _table(opened, counts)
    right = f"{int(counts.diagonal().sum())} of {int(counts.sum())} right"
    console.print(f"{escape(opened.config.data)}, {split}, depth {depth}: {right}")
    console.print(table)


def _counts(opened: OpenRun, data: DataSet, batches: Batches, split: str, depth: int) -> Tensor:
    """Return the counts ``[k, k]``."""
    count = len(opened.label_names)
    labels = getattr(data, split).labels[batches.order()]
    x = (inputs for inputs, _ in batches.epoch(0))
    answers = predict_batches(opened.net, x, depth).labels.cpu()
    return torch.bincount(labels * count + answers, minlength=count**2).view(count, count)


def _table(opened: OpenRun, counts: Tensor) -> Table:
    names = [printable(str(name)) for name in opened.label_names]
    if len(names) > _MOST:
        raise InputError(
            f"--confusion came for {len(names)} classes, of which a table has room for {_MOST}; "
            "take --json."
        )
    heads = [name if len(name) <= _WIDTH else name[: _WIDTH - 1] + "…" for name in names]
    if sum(map(len, heads)) > _WIDEST:  # numbers stand for the names, which the rows tell
        heads = [str(number) for number in range(len(names))]
        names = [f"{number} {name}" for number, name in enumerate(names)]
    table = Table("class, answered:")
    for head in (*heads, "recall"):
        table.add_column(Text(head), justify="right")
    for i, name in enumerate(names):
        row, of_class = counts[i].tolist(), int(counts[i].sum())
        cells = [Text(str(n), "bold" if i == j else "" if n else "dim") for j, n in enumerate(row)]
        table.add_row(Text(name), *cells, f"{row[i] / of_class:.3f}" if of_class else "")
    return table
