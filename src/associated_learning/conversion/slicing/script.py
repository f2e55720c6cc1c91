"""A recorded run as a script: its calls as steps, with references in the place of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.conversion.cutting.body import Body
from associated_learning.conversion.slicing.program import (
    Attribute,
    Built,
    Computed,
    Device,
    Given,
    ModuleAt,
    Named,
    Property,
    Ref,
    Result,
    SizeOf,
    Step,
    Training,
)
from associated_learning.conversion.tracing.call import Call, Recording, leaves
from associated_learning.conversion.tracing.sizes import (
    Arithmetic,
    Content,
    Size,
    TracedFloat,
    TracedInt,
    is_traced,
)
from associated_learning.errors import Fault

__all__ = ["Script"]

_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.memory_format,
          torch.layout, Enum, FunctionType, BuiltinFunctionType, type, type(Ellipsis))  # fmt: skip

_CONTAINERS = (tuple, list, dict, torch.Size)


class Script:
    """The calls between the input and the head as steps, with references for tensors.

    Attributes:
        steps: The steps, in order.
        calls: The call behind each step.
        constants: Tensors that the model's code knows and no module has registered, by path.
        faults: What could not be written down.
    """

    def __init__(self, body: Body, times: Sequence[int]) -> None:
        self.flow = body.flow
        self.recording = body.flow.recording
        self.faults: list[Fault] = []
        self.constants: dict[str, Tensor] = {}
        self.open = {id(call) for call in body.opening.opened(times)}
        self._before = _taken(body.rows.other)
        self.calls = list(self._emitted(self.recording.root, times[-1]))
        self.numbers = {id(call): number for number, call in enumerate(self.calls)}
        self.given = {id(tensor): name for name, tensor in self.recording.inputs.items()}
        self.device = next(iter(self.recording.inputs.values())).device
        self.kept = _kept_objects(self.recording.model)
        self.paths = {id(m): name for name, m in self.recording.model.named_modules()}
        self._returned = self._numbers_returned()
        self.steps = [self._step(number, call) for number, call in enumerate(self.calls)]

    def _emitted(self, call: Call, until: int) -> Iterable[Call]:
        for child in call.children:
            if child.begin >= until:
                return
            if id(child) in self.open:
                yield from self._emitted(child, until)
            else:
                yield child

    def _step(self, number: int, call: Call) -> Step:
        args = tuple(self._template(arg, call) for arg in call.args)
        kwargs = {key: self._template(arg, call) for key, arg in call.kwargs.items()}
        if call.module is not None:
            return Step(number, call.path, args, kwargs)
        mode = self.recording.in_training
        return Step(number, _named(call.target), *_in_either_mode(call.target, args, kwargs, mode))

    def _template(self, value: Any, call: Call) -> Any:
        """Return an argument with references in the place of what other batches change."""
        if isinstance(value, Tensor):
            return self.reference(value, call)
        if is_traced(value):
            return self._number(value)
        if isinstance(value, Content):
            return Result(self.numbers[id(value.call)], None)
        if isinstance(value, torch.device):
            return Device() if value == self.device else value
        if isinstance(value, nn.Module):
            return ModuleAt(self.paths[id(value)])
        if isinstance(value, (tuple, list, dict)) and type(value) not in _CONTAINERS:
            return self._built(value, call)
        if isinstance(value, (tuple, list)):
            parts = [self._template(part, call) for part in value]
            return parts if isinstance(value, list) else tuple(parts)
        if isinstance(value, dict):
            return {key: self._template(part, call) for key, part in value.items()}
        if isinstance(value, slice):
            parts = [self._template(p, call) for p in (value.start, value.stop, value.step)]
            return slice(*parts)
        if isinstance(value, _PLAIN) or id(value) in self.kept:
            return value
        return self._foreign(value, call)

    def _built(self, value: Any, call: Call) -> Built:
        """Return how a container of a type of its own is made: PackedSequence, ModelOutput."""
        if is_dataclass(value):
            named = {f.name: getattr(value, f.name) for f in fields(value) if f.init}
            return Built(type(value), (), self._template(named, call))
        if hasattr(value, "_fields"):  # its own __new__ may take other arguments than its parts
            return Built(type(value)._make, (self._template(tuple(value), call),), {})
        plain = dict(value) if isinstance(value, dict) else list(value)
        return Built(type(value), (self._template(plain, call),), {})

    def _foreign(self, value: Any, call: Call) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return self._built(value, call)
        owner = next((parent for parent in call.ancestors()), call)
        self._fault(
            owner,
            f"it passes an object of type {type(value).__name__} between its parts, and "
            "only tensors, numbers and containers of them can go from layer to layer",
        )
        return None

    def reference(self, tensor: Tensor, call: Call) -> Ref:
        """Return what a tensor is, as seen from outside of the modules that are not taken apart."""
        found = self._visible(tensor)
        if found is None:
            owner = next((parent for parent in call.ancestors()), call)
            self._fault(
                owner,
                f"it uses a tensor of {list(tensor.shape)} that another module made but did not "
                "return (kept as an attribute, for example), or that was made out of sight "
                "(torch.func.vmap, NumPy)",
            )
            return Given("nothing")
        return found

    def _visible(self, tensor: Tensor) -> Ref | None:
        if id(tensor) in self.given:
            return Given(self.given[id(tensor)])
        if id(tensor) in self.flow.names:
            return Attribute(self.flow.names[id(tensor)])
        value = self.flow.values.get(id(tensor))
        if value is None or value.maker is None:
            return self._constant(tensor)
        maker = value.maker
        if id(maker) in self.open:
            source = self.recording.aliases.get(id(tensor))
            return None if source is None else self._visible(source)
        around = [call for call in (maker, *maker.ancestors()) if id(call) in self.numbers]
        return _position(around[0], self.numbers, tensor) if around else None

    def _constant(self, tensor: Tensor) -> Ref | None:
        """Return a tensor that was there before the run, though no module has registered it."""
        path = self.kept.get(id(tensor))
        if path is None and id(tensor) in self._before:
            path = f"constant_{len(self.constants) + 1}"
            self.kept[id(tensor)] = path
        if path is None:
            return None
        self.constants[path] = tensor
        if tensor.requires_grad or isinstance(tensor, nn.Parameter):
            self._fault(
                self.recording.root,
                f"it uses weights of shape {list(tensor.shape)} that no module has registered, so "
                "that nothing would train them",
                "Keep them as an nn.Parameter of a module, modules in an nn.ModuleList.",
            )
        return Attribute(path)

    def _numbers_returned(self) -> dict[int, Result]:
        """Return the traced numbers that whole modules make and return, by id."""
        found: dict[int, Result] = {}
        for number, call in enumerate(self.calls):
            given = {id(leaf) for leaf in leaves((call.args, call.kwargs))}
            for position, leaf in enumerate(leaves(call.output) if call.module is not None else ()):
                if is_traced(leaf) and id(leaf) not in given:
                    place = None if call.output is leaf else position
                    found.setdefault(id(leaf), Result(number, place))
        return found

    def _number(self, value: TracedInt | TracedFloat) -> Any:
        """Return a number as a reference to what it was computed from."""
        origin = value.origin
        if isinstance(origin, Size):
            tensor = self._visible(origin.tensor)
            if tensor is not None:
                return SizeOf(tensor, origin.dim)
        if isinstance(origin, Content) and id(origin.call) in self.numbers:
            return _position(origin.call, self.numbers, value)
        if id(value) in self._returned:
            return self._returned[id(value)]
        if isinstance(origin, Arithmetic):
            operands = [self._number(o) if is_traced(o) else o for o in origin.operands]
            return Computed(origin.function, tuple(operands))
        self._fault(
            self.recording.root,
            f"it uses the number {value!r}, which another module made but did not return",
        )
        return Given("nothing")

    def _fault(
        self,
        owner: Call,
        what: str,
        remedy: str = "Move the cuts so that this module is in one layer as a whole.",
    ) -> None:
        fault = Fault(owner.place, what, remedy)
        if fault not in self.faults:
            self.faults.append(fault)


def _position(call: Call, numbers: dict[int, int], leaf: Tensor | float) -> Result | None:
    """Return where in a call's output a tensor or number is, if it is there."""
    number = numbers[id(call)]
    if call.output is leaf:
        return Result(number, None)
    for position, other in enumerate(leaves(call.output)):
        if other is leaf:
            return Result(number, position)
    return None


def _taken(recording: Recording | None) -> set[int]:
    """Return the ids of all tensors that the calls of a run took."""
    if recording is None:
        return set()
    return {id(tensor) for call in recording.root.walk() for tensor in call.tensors()}


def _kept_objects(model: nn.Module) -> dict[int, str]:
    """Return what the model's modules keep as attributes: id and path."""
    found: dict[int, str] = {}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            path = f"{name}.{key}" if name else key
            found.setdefault(id(value), path)
    return found


def _named(function: Any) -> Callable[..., Any]:
    """Return a function that can be pickled; a property's getter or a nested one cannot."""
    name: str = getattr(function, "__name__", "")
    if name == "__get__":
        return Property(function.__self__.__name__)
    if "<locals>" in getattr(function, "__qualname__", ""):  # torch's max_pool2d, for example
        return Named(function.__module__, name)
    if getattr(function, "__qualname__", "").startswith("TensorBase."):  # x ** 2, wrapped by torch
        return getattr(Tensor, name)  # type: ignore[no-any-return]
    return function  # type: ignore[no-any-return]


def _in_either_mode(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], mode: bool
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Let dropout and the like follow the layer's mode, not the one that the run was made in."""
    if kwargs.get("training") is mode:
        kwargs = {**kwargs, "training": Training()}
    if "dropout" in getattr(function, "__name__", "") and len(args) > 2 and args[2] is mode:
        args = (*args[:2], Training(), *args[3:])
    return args, kwargs
