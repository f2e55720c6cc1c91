"""The table of a network's layers."""

from __future__ import annotations

from typing import Any

import torch
from rich.table import Table
from torch import nn

from associated_learning.conversion import ConvertedNetwork
from associated_learning.network import ALNetwork
from associated_learning.runs.networks.input_spec import InputSpec
from associated_learning.runs.printable import escape
from associated_learning.tensors.chain import encodings
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.nested import to_device
from associated_learning.tensors.padded_sequence import activation_values

__all__ = ["layers_table"]


def layers_table(net: ALNetwork, spec: InputSpec) -> Table:
    """Return a table of the layers of a network for data of some form."""
    table = Table(title="Layers", title_justify="left")
    for heading in ("layer", "encoder f", "s", "readout", "bridge b", "parameters"):
        table.add_column(heading, overflow="fold")
    activations = encodings(net.encoders(), to_device(spec.example(), device_of(net)))
    with torch.no_grad():
        for i, (layer, s) in enumerate(zip(net.al_layers(), activations, strict=True), start=1):
            table.add_row(
                str(i),
                escape(_encoder(net, i)),
                escape(_shape(s, spec.kind)),
                type(getattr(layer.readout, "readout", layer.readout)).__name__,
                f"{layer.readout(s).shape[-1]} → {layer.bridge(s).shape[-1]}",
                f"{_count(layer):,}",
            )
    return table


def _encoder(net: ALNetwork, number: int) -> str:
    """Return what the encoder of a layer is: the modules of a converted model, or its type."""
    if not isinstance(net, ConvertedNetwork):
        return type(net.al_layers()[number - 1].f).__name__
    modules = net.plan.layers[number - 1].modules
    return modules[0] if len(modules) == 1 else " ... ".join([*modules[:1], *modules[-1:]])


def _shape(s: Any, kind: str) -> str:
    sizes = [str(size) for size in activation_values(s).shape[1:]]
    if kind == "text" and len(sizes) == 2:
        sizes[0] = "T"
    return "[" + ", ".join(["B", *sizes]) + "]"


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
