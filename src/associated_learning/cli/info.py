"""``al info``: layers, shapes and parameters of a run."""

from __future__ import annotations

from pathlib import Path

from associated_learning.cli.layers import layers_table
from associated_learning.cli.options import RunFolder
from associated_learning.cli.tables import console, show_table
from associated_learning.data import TablePreprocessor
from associated_learning.inference.parameters import count_parameters
from associated_learning.network import ALNetwork
from associated_learning.runs.folder.open_run import OpenRun, open_run
from associated_learning.runs.printable import escape

__all__ = ["info"]


def info(run: RunFolder) -> None:
    """Show what a run is: settings, layers with their shapes, parameters per depth.

    Example:

        al info runs/digits-mlp-al-0
    """
    opened = open_run(Path(run))
    config = opened.config
    model, data = escape(config.model_name), escape(config.data)
    console.print(
        f"[bold]{model}[/] by {config.method.upper()} on {data}: "
        f"{_answers(opened)}, kind {opened.spec.kind}, seed {config.seed}"
    )
    if isinstance(opened.preprocessor, TablePreprocessor) and opened.preprocessor.encodings:
        console.print(f"Columns: {escape(_columns(opened.preprocessor))}", soft_wrap=True)
    net = opened.net
    if isinstance(net, ALNetwork):
        show_table(layers_table(net, opened.spec))
    counts = count_parameters(net)
    line = ", ".join(f"depth {k} {count:,}" for k, count in enumerate(counts.inference, start=1))
    console.print(f"Parameters for training {counts.training:,}; for inference: {line}")
    if net.num_layers > 1:
        console.print(
            f"Best on the validation data: depth {opened.best_depth}, where predict answers"
        )


def _columns(preprocessor: TablePreprocessor) -> str:
    """Return the columns of a table, with their categories and what fills their gaps."""
    told = []
    for name, one in zip(preprocessor.columns, preprocessor.encodings, strict=True):
        categories = f" ({len(one.categories)} categories)" if one.categories else ""
        gaps = "" if one.fill is None else f" (missing: {one.fill:g})"
        told.append(f"{name}{categories}{gaps}")
    return ", ".join(told)


def _answers(opened: OpenRun) -> str:
    if opened.spec.block_size:
        return f"the next of {opened.spec.num_classes} tokens, blocks of {opened.spec.block_size}"
    if opened.config.task == "regression":
        mean, std = opened.spec.target_scale
        return f"one number, {mean:,.6g} ± {std:,.6g} in training"
    if opened.config.task == "multilabel":
        return f"any of {opened.spec.num_classes} labels"
    where = ("", " at every token", " at every pixel")[opened.spec.positions]
    return f"{opened.spec.num_classes} classes{where}"
