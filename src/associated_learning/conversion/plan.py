"""What conversion will do, as a value that prints itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from associated_learning.conversion.cutting.balance import Balance
from associated_learning.conversion.cutting.head import head_of
from associated_learning.conversion.html_table import html_table, text_table
from associated_learning.conversion.planned_layer import (
    CutModel,
    PlannedLayer,
    modules_of,
    planned_layers,
    positions_of_y,
)
from associated_learning.conversion.positions import position_axes
from associated_learning.conversion.slicing.slice import Slice

__all__ = ["Plan", "make_plan"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What conversion will do; print it to read it.

    Attributes:
        model: Name of the model's class.
        layers: The layers, from the input up.
        dropped: Names of modules that hold parameters and are in no layer: the old head.
        balance: What the shares are shares of.
        notes: What else there is to know.
        branches: Modules that do something in training which the layers do not.
        positions: Which axes of the input are y's positions; empty where it has none.
        head: Name of the one module that makes the model's output of its features, if it is one.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3))
        >>> print(al.plan(model, torch.randn(2, 4), at=["1"], balance="parameters", latent=5))
        Sequential in 2 layers
        layer  modules  s      readout             bridge  parameters  share of parameters
        -----  -------  -----  ------------------  ------  ----------  -------------------
        1      0        B x 4  as it is: a vector  25      20          50%
        2      1        B x 4  as it is: a vector  25      20          50%
        dropped, because bridges and decoders take their place: 2
    """

    model: str
    layers: tuple[PlannedLayer, ...]
    dropped: tuple[str, ...]
    balance: Balance
    notes: tuple[str, ...]
    branches: tuple[str, ...]
    positions: tuple[int, ...] = ()
    head: str | None = None

    def __str__(self) -> str:
        return "\n".join([self._title(), text_table(*self._table()), *self.notes])

    def _repr_html_(self) -> str:
        return html_table(self._title(), *self._table(), self.notes)

    def _title(self) -> str:
        return f"{self.model} in {len(self.layers)} layers"

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        header = (
            "layer",
            "modules",
            "s",
            "readout",
            "bridge",
            "parameters",
            f"share of {self.balance}",
        )
        rows: list[tuple[str, ...]] = [
            (
                str(i),
                _shortened(layer.modules),
                _written(layer.shape, layer.batch_axis),
                layer.reason,
                f"{layer.bridge_parameters:,}",
                f"{layer.parameters:,}",
                f"{layer.share:.0%}",
            )
            for i, layer in enumerate(self.layers, start=1)
        ]
        return header, rows


def make_plan(model: CutModel, notes: Sequence[str], branches: tuple[str, ...]) -> Plan:
    """Describe what was cut, and choose readouts and partners."""
    recording, wanted = model.script.recording, positions_of_y(model)
    layers = planned_layers(model, wanted)
    dropped = _dropped(recording.model, model.slices)
    return Plan(
        model=type(recording.model).__name__,
        layers=tuple(layers),
        dropped=dropped,
        balance=model.costs.balance,
        notes=(*_notes(layers, dropped), *notes),
        branches=branches,
        positions=position_axes(recording.inputs, wanted),
        head=head_of(recording.root, model.cuts[-1].time),
    )


def _dropped(model: nn.Module, slices: list[Slice]) -> tuple[str, ...]:
    """Return the outermost modules with parameters that no layer calls or holds any part of."""
    kept = {id(parameter) for encoder in slices for parameter in encoder.parameters()}
    called = [name for encoder in slices for name in modules_of(encoder)]
    dropped: list[str] = []
    for name, module in model.named_modules():
        own = [id(parameter) for parameter in module.parameters()]
        inside = any(name.startswith(f"{other}.") for other in dropped)
        in_part = any(path.startswith(f"{name}.") for path in called)
        if name and own and not inside and not in_part and not kept & set(own):
            dropped.append(name)
    return tuple(dropped)


def _notes(layers: list[PlannedLayer], dropped: tuple[str, ...]) -> list[str]:
    notes = []
    if dropped:
        notes.append(
            f"dropped, because bridges and decoders take their place: {', '.join(dropped)}"
        )
    frozen = sum(layer.frozen for layer in layers)
    if frozen:
        notes.append(f"{frozen:,} parameters are frozen (requires_grad=False) and stay so")
    shares = [layer.share for layer in layers]
    if max(shares) > 0.75:
        notes.append(
            f"layer {shares.index(max(shares)) + 1} holds {max(shares):.0%} of the cost: name cuts "
            "inside it by at=[...] to see what forbids them"
        )
    return notes


def _written(shape: tuple[int, ...], batch_axis: int) -> str:
    sizes = ["B" if axis == batch_axis else str(size) for axis, size in enumerate(shape)]
    return " x ".join(sizes)


def _shortened(names: tuple[str, ...]) -> str:
    if len(names) <= 3:
        return ", ".join(names)
    return f"{names[0]}, {names[1]} ... {names[-1]} ({len(names)})"
