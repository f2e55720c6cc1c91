"""What conversion will do, as a value that prints itself."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from associated_learning.conversion.balance import Balance
from associated_learning.conversion.table import text_table

__all__ = ["Plan", "PlannedLayer"]


@dataclass(frozen=True, kw_only=True)
class PlannedLayer:
    """One layer of a plan.

    Attributes:
        begins: Name of the module before or after which it begins; empty for the first.
        modules: Names of the modules in it, in the order of their calls.
        shape: Shape of ``s_i`` on the example.
        readout: From ``s_i`` to the bridge's vector.
        reason: Why this readout.
        width: Width of that vector.
        parameters: Number of parameters of f.
        frozen: How many of them have ``requires_grad=False``, and stay frozen.
        bridge_parameters: Number of parameters of b, if it is linear.
        share: Share of the cost of all layers, of what the plan was balanced by.
    """

    begins: str
    modules: tuple[str, ...]
    shape: tuple[int, ...]
    readout: nn.Module
    reason: str
    width: int
    parameters: int
    frozen: int
    bridge_parameters: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What conversion will do; print it to read it.

    Attributes:
        model: Name of the model's class.
        layers: The layers, from the input up.
        dropped: Names of modules that hold parameters and are in no layer: the old head.
        balance: What the shares are shares of.
        notes: What else there is to know.
    """

    model: str
    layers: tuple[PlannedLayer, ...]
    dropped: tuple[str, ...]
    balance: Balance
    notes: tuple[str, ...]

    def __str__(self) -> str:
        header = ("layer", "modules", "s", "readout", "bridge", "parameters", self.balance)
        rows = [
            (
                str(i),
                _shortened(layer.modules),
                " x ".join(str(size) for size in layer.shape),
                layer.reason,
                f"{layer.bridge_parameters:,}",
                f"{layer.parameters:,}",
                f"{layer.share:.0%}",
            )
            for i, layer in enumerate(self.layers, start=1)
        ]
        title = f"{self.model} in {len(self.layers)} layers"
        return "\n".join([title, text_table(header, rows), *self.notes])


def _shortened(names: tuple[str, ...]) -> str:
    if len(names) <= 3:
        return ", ".join(names)
    return f"{names[0]}, {names[1]} ... {names[-1]} ({len(names)})"
