"""``al info``: layers, shapes and parameters of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from rich.markup import escape
from rich.table import Table
from torch import Tensor, nn

from associated_learning.cli.options import RunFolder
from associated_learning.cli.tables import console
from associated_learning.experiments.run import OpenRun, open_run
from associated_learning.inference import device_of
from associated_learning.network import ALNetwork
from associated_learning.parameters import count_parameters
from associated_learning.sequence import Sequence
from associated_learning.structure import to_device

__all__ = ["info"]


def info(run: RunFolder) -> None:
    """Show what a run is: settings, layers with their shapes, parameters per depth.

    Example:

        al info runs/digits-mlp-al-0
    """
    opened = open_run(Path(run))
    config = opened.config
    console.print(
        f"[bold]{config.model}[/] by {config.method.upper()} on {escape(config.data)}: "
        f"{opened.spec.num_classes} classes, kind {opened.spec.kind}, seed {config.seed}"
    )
    net = opened.net
    if isinstance(net, ALNetwork):
        console.print(_layers(net, opened))
    counts = count_parameters(net)
    line = ", ".join(f"depth {k} {count:,}" for k, count in enumerate(counts.inference, start=1))
    console.print(f"Parameters for training {counts.training:,}; for inference: {line}")


def _layers(net: ALNetwork, opened: OpenRun) -> Table:
    table = Table(title="Layers", title_justify="left")
    for heading in ("layer", "encoder f", "s", "readout", "bridge b", "parameters"):
        table.add_column(heading)
    s = to_device(opened.spec.example(), device_of(net))
    with torch.no_grad():
        for i, layer in enumerate(net.al_layers(), start=1):
            s = layer.f(s)
            table.add_row(
                str(i),
                type(layer.f).__name__,
                escape(_shape(s)),
                type(layer.readout).__name__,
                f"{layer.readout(s).shape[1]} → {layer.bridge(s).shape[1]}",
                f"{_count(layer):,}",
            )
    return table


def _shape(s: Any) -> str:
    if isinstance(s, Sequence):
        return f"[B, T, {s.values.shape[-1]}]"
    assert isinstance(s, Tensor)
    return "[" + ", ".join(["B", *map(str, s.shape[1:])]) + "]"


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
