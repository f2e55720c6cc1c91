"""What a recording is made of: calls, each with its module, its function and its tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Call", "Recording", "first_tensor", "leaves"]


@dataclass(eq=False)
class Call:
    """A call of a module, of an opaque function, or of a torch function.

    Attributes:
        target: What was called.
        path: Name of the module in the model; empty for a function and for the model itself.
        parent: The call within which this one was made; None for the model.
        begin: Time of the call, counted in events.
        end: Time of the return.
        args: Positional arguments.
        kwargs: Keyword arguments.
        output: What it returned.
        mutated: Tensors whose content it changed.
        reads_data: Whether it made a Python value of a tensor's content.
        sealed: Whether nothing was recorded inside, because it is never cut.
        precision: What autocast was set to around it.
        checkpoints: Whether its forward computes a part anew in the backward pass.
        opaque: Whether it is a function that makes masks or the like: no activation comes out.
        seconds: Time of a call without recorded calls inside.
        flops: Floating-point operations of such a call, if they were counted.
        children: Calls made within, in order.
    """

    target: Any
    path: str
    parent: Call | None
    begin: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    end: int = 0
    output: Any = None
    mutated: list[Tensor] = field(default_factory=list)
    reads_data: bool = False
    sealed: bool = False
    precision: Any = None
    checkpoints: bool = False
    opaque: bool = False
    seconds: float = 0.0
    flops: int = 0
    children: list[Call] = field(default_factory=list)

    @property
    def module(self) -> nn.Module | None:
        """The module that was called, if it was one."""
        return self.target if isinstance(self.target, nn.Module) else None

    @property
    def place(self) -> str:
        """The name of the module that was called, for messages."""
        return self.path or "the model itself"

    @property
    def holds_weights(self) -> bool:
        """Whether it is the call of a module with parameters."""
        return self.module is not None and next(self.module.parameters(), None) is not None

    def ancestors(self) -> Iterator[Call]:
        """Yield the calls that this one was made within, the innermost first."""
        call = self.parent
        while call is not None:
            yield call
            call = call.parent

    def walk(self) -> Iterator[Call]:
        """Yield this call and all within it, by the time they began."""
        yield self
        for child in self.children:
            yield from child.walk()

    def tensors(self) -> Iterator[Tensor]:
        """Yield the tensors among the arguments."""
        for leaf in leaves((self.args, self.kwargs)):
            if isinstance(leaf, Tensor):
                yield leaf


@dataclass(eq=False)
class Recording:
    """A model's run on an example.

    Attributes:
        model: The model.
        root: The call of the model.
        inputs: The example's tensors by the names of the model's arguments.
        aliases: By id of a tensor: the tensor which a module returned as it had got it.
        assigned: By id of a module: an attribute that its forward assigned.
        in_training: Whether the model ran in training mode.
    """

    model: nn.Module
    root: Call
    inputs: dict[str, Tensor]
    aliases: dict[int, Tensor]
    assigned: dict[int, str]
    in_training: bool = False

    def by_path(self) -> dict[str, Call]:
        """Return the first call of every module that was called, by its name."""
        found: dict[str, Call] = {}
        for call in self.root.walk():
            if call.path:
                found.setdefault(call.path, call)
        return found


def first_tensor(structure: Any) -> Tensor | None:
    """Return the first tensor in a structure: of a model's output, its answer."""
    return next((leaf for leaf in leaves(structure) if isinstance(leaf, Tensor)), None)


def leaves(structure: Any) -> Iterator[Tensor | int]:
    """Yield the tensors and whole numbers in a structure, depth first; skip all else."""
    if isinstance(structure, (Tensor, int, torch.SymInt)) and not isinstance(structure, bool):
        yield structure  # type: ignore[misc]
    elif isinstance(structure, Mapping):
        for value in structure.values():
            yield from leaves(value)
    elif isinstance(structure, (tuple, list)):
        for value in structure:
            yield from leaves(value)
    elif isinstance(structure, slice):
        yield from leaves((structure.start, structure.stop, structure.step))
    elif hasattr(structure, "__dataclass_fields__") and not isinstance(structure, type):
        for name in structure.__dataclass_fields__:
            yield from leaves(getattr(structure, name, None))
