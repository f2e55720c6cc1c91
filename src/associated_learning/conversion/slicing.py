"""From a recorded run and its cuts to slices: which calls, modules and values each layer needs."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.conversion.arguments import KEEP_MASKS, PADDING_MASKS, Arguments
from associated_learning.conversion.cuts import Cut, opened
from associated_learning.conversion.flow import Flow
from associated_learning.conversion.record import Call, leaves
from associated_learning.conversion.sizes import Arithmetic, Size, TracedInt
from associated_learning.conversion.slice import (
    Attribute,
    Computed,
    Device,
    Given,
    ModuleAt,
    Recipe,
    Ref,
    Result,
    SizeOf,
    Slice,
    Step,
    Training,
    references,
)
from associated_learning.errors import Fault

__all__ = ["Script", "make_slices", "write_script"]

_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.memory_format,
          torch.layout, Enum, FunctionType, BuiltinFunctionType, type, type(Ellipsis))  # fmt: skip


class Script:
    """The calls between the first layer and the head as steps, with references for tensors.

    Attributes:
        steps: The steps, in order.
        calls: The call behind each step.
        faults: What could not be written down.
    """

    def __init__(self, flow: Flow, times: Sequence[int]) -> None:
        self.flow = flow
        self.recording = flow.recording
        self.faults: list[Fault] = []
        self.open = {id(call) for call in opened(self.recording.root, times)}
        self.calls = list(self._emitted(self.recording.root, times[-1]))
        self.numbers = {id(call): number for number, call in enumerate(self.calls)}
        self.given = {id(tensor): name for name, tensor in self.recording.inputs.items()}
        self.device = next(iter(self.recording.inputs.values())).device
        self.kept = _kept_objects(self.recording.model)
        self.paths = {id(m): name for name, m in self.recording.model.named_modules()}
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
        return Step(number, _named(call.target), *_in_either_mode(call.target, args, kwargs))

    def _template(self, value: Any, call: Call) -> Any:
        """Return an argument with references in the place of what other batches change."""
        if isinstance(value, Tensor):
            return self.reference(value, call)
        if isinstance(value, TracedInt):
            return self._size(value)
        if isinstance(value, torch.device):
            return Device() if value == self.device else value
        if isinstance(value, nn.Module):
            return ModuleAt(self.paths[id(value)])
        if isinstance(value, (tuple, list)):
            parts = [self._template(part, call) for part in value]
            if hasattr(value, "_fields"):
                return type(value)(*parts)
            return parts if isinstance(value, list) else tuple(parts)
        if isinstance(value, dict):
            return {key: self._template(part, call) for key, part in value.items()}
        if isinstance(value, slice):
            parts = [self._template(p, call) for p in (value.start, value.stop, value.step)]
            return slice(*parts)
        if isinstance(value, _PLAIN) or id(value) in self.kept:
            return value
        return self._foreign(value, call)

    def _foreign(self, value: Any, call: Call) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            changes = {f.name: self._template(getattr(value, f.name), call) for f in fields(value)}
            return replace(value, **changes)
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
                "return (kept as an attribute, for example)",
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
            path = self.kept.get(id(tensor))
            return None if path is None else Attribute(path)
        maker = value.maker
        if id(maker) in self.open:
            return self._visible(self.recording.aliases[id(tensor)])
        around = [call for call in (maker, *maker.ancestors()) if id(call) in self.numbers]
        return _position(around[0], self.numbers, tensor) if around else None

    def _size(self, value: TracedInt) -> Any:
        """Return a size as a reference; the number itself where its origin is out of sight."""
        origin = value.origin
        if isinstance(origin, Size):
            tensor = self._visible(origin.tensor)
            if tensor is not None:
                return SizeOf(tensor, origin.dim)
        for call in self.calls:
            found = _position(call, self.numbers, value) if call.module is not None else None
            if found is not None:
                return found
        if isinstance(origin, Arithmetic):
            operands = [self._size(o) if isinstance(o, TracedInt) else o for o in origin.operands]
            return Computed(origin.function, tuple(operands))
        return int(value)

    def _fault(self, owner: Call, what: str) -> None:
        fault = Fault(
            owner.path or "the model itself",
            what,
            "Move the cuts so that this module is in one layer as a whole.",
        )
        if fault not in self.faults:
            self.faults.append(fault)


def write_script(flow: Flow, times: Sequence[int]) -> Script:
    """Write down the calls of a run that is cut at ``times``, the last of which is the head's."""
    return Script(flow, times)


def make_slices(script: Script, cuts: Sequence[Cut], arguments: Arguments) -> list[Slice]:
    """Make the layers' encoders.

    Args:
        script: The steps of the run.
        cuts: The cuts, the last at the head.
        arguments: How a batch becomes the model's inputs.
    """
    ends = [script.reference(cut.s.tensor, script.recording.root) for cut in cuts]
    needed = _needed(script, ends)
    # for the readouts, whether or not a module uses them
    masks: dict[str, Ref] = {
        name: Given(name) for name in arguments.names if name in KEEP_MASKS + PADDING_MASKS
    }
    outgoing = masks
    slices: list[Slice] = []
    taken: set[int] = set()
    recipes = []
    for i in reversed(range(len(cuts))):
        begin = cuts[i - 1].time if i else -1
        steps = [
            step
            for step, call in zip(script.steps, script.calls, strict=True)
            if begin <= call.begin < cuts[i].time and step.number in needed
        ]
        s_in = ends[i - 1] if i else None
        incoming = _incoming(steps, (ends[i], outgoing), s_in, masks) if i else {}
        recipes.append(
            Recipe(
                steps=_freeing(steps, (ends[i], outgoing)),
                incoming=incoming,
                s_in=s_in,
                s_out=ends[i],
                outgoing=outgoing,
                arguments=None if i else arguments,
                copies=i > 0 and _changes(script, steps, cuts[i - 1].s.tensor),
            )
        )
        outgoing = incoming
    for recipe in reversed(recipes):
        slices.append(Slice(_members(script, recipe, taken), recipe))
    return slices


def _needed(script: Script, ends: Sequence[Ref]) -> set[int]:
    """Return the steps that an activation rests on, and those that change something in place."""
    needed = {ref.step for end in ends for ref in references(end) if isinstance(ref, Result)}
    for step, call in zip(reversed(script.steps), reversed(script.calls), strict=True):
        if call.mutated:
            needed.add(step.number)
        if step.number in needed:
            refs = references((step.args, step.kwargs))
            needed |= {ref.step for ref in refs if isinstance(ref, Result)}
    return needed


def _incoming(
    steps: list[Step], leaving: Any, s_in: Ref | None, masks: dict[str, Ref]
) -> dict[str, Ref]:
    """Return what a layer needs of the layers below beside the activation, by name."""
    own = {step.number for step in steps}
    found = dict(masks)

    def need(template: Any, name: str) -> None:
        for ref in _outside(template, own, s_in):
            if ref not in found.values():
                found[_unused(ref.name if isinstance(ref, Given) else name, found)] = ref

    for step in steps:
        for key, arg in step.kwargs.items():
            need(arg, key)
        for arg in step.args:
            need(arg, "side")
    end, outgoing = leaving
    need(end, "side")
    for name, ref in outgoing.items():
        need(ref, name)
    return found


def _outside(template: Any, own: set[int], s_in: Ref | None) -> list[Ref]:
    """Return the references that a layer cannot resolve by itself."""
    if template == s_in:
        return []
    if isinstance(template, SizeOf):
        # the number is passed on, not the tensor that it is a size of
        return [template] if _outside(template.tensor, own, s_in) else []
    if isinstance(template, Computed):
        return [ref for operand in template.operands for ref in _outside(operand, own, s_in)]
    if isinstance(template, Given):
        return [template]
    if isinstance(template, Result):
        return [] if template.step in own else [template]
    if isinstance(template, (Attribute, ModuleAt, Training, Device)):
        return []
    direct = _direct(template)
    return [ref for part in direct for ref in _outside(part, own, s_in)]


def _direct(template: Any) -> list[Any]:
    if isinstance(template, (tuple, list)):
        return list(template)
    if isinstance(template, dict):
        return list(template.values())
    if isinstance(template, slice):
        return [template.start, template.stop, template.step]
    return []


def _unused(name: str, taken: dict[str, Ref]) -> str:
    if name not in taken:
        return name
    return next(f"{name}_{i}" for i in range(2, len(taken) + 3) if f"{name}_{i}" not in taken)


def _freeing(steps: list[Step], leaving: Any) -> tuple[Step, ...]:
    """Note after which step each result is not needed any more."""
    end, outgoing = leaving
    later = {r.step for r in references((end, outgoing)) if isinstance(r, Result)}
    freed: list[Step] = []
    for step in reversed(steps):
        used = {r.step for r in references((step.args, step.kwargs)) if isinstance(r, Result)}
        used.add(step.number)
        freed.append(replace(step, frees=tuple(sorted(used - later))))
        later |= used
    return tuple(reversed(freed))


def _changes(script: Script, steps: list[Step], s: Tensor) -> bool:
    """Whether a layer changes the activation that it is given, or a view of it, in place."""
    base = s if s._base is None else s._base
    return any(
        tensor is base or tensor._base is base
        for step in steps
        for call in script.calls[step.number].walk()
        for tensor in call.mutated
    )


def _members(script: Script, recipe: Recipe, taken: set[int]) -> dict[str, nn.Module | Tensor]:
    """Return what a layer holds; what only reads is copied if a layer below holds it already."""
    model = script.recording.model
    refs = list(references(([(s.args, s.kwargs) for s in recipe.steps], recipe.outgoing)))
    paths = {s.target for s in recipe.steps if isinstance(s.target, str)}
    paths |= {ref.path for ref in refs if isinstance(ref, (Attribute, ModuleAt))}
    members: dict[str, nn.Module | Tensor] = {}
    for path in sorted(paths):
        owner, _, name = path.rpartition(".")
        member = getattr(model.get_submodule(owner), name)
        shared = {id(t) for t in _state(member)} & taken
        members[path] = copy.deepcopy(member) if shared else member
    taken |= {id(tensor) for member in members.values() for tensor in _state(member)}
    return members


def _state(member: nn.Module | Tensor) -> list[Tensor]:
    if isinstance(member, Tensor):
        return [member]
    return [*member.parameters(), *member.buffers()]


def _position(call: Call, numbers: dict[int, int], leaf: Tensor | int) -> Result | None:
    """Return where in a call's output a tensor or number is, if it is there."""
    number = numbers[id(call)]
    if call.output is leaf:
        return Result(number, None)
    for position, other in enumerate(leaves(call.output)):
        if other is leaf:
            return Result(number, position)
    return None


def _kept_objects(model: nn.Module) -> dict[int, str]:
    """Return what the model's modules keep as attributes: id and path."""
    found: dict[int, str] = {}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            path = f"{name}.{key}" if name else key
            found.setdefault(id(value), path)
    return found


def _named(function: Any) -> Callable[..., Any]:
    """Return a function that can be pickled; a property's getter cannot."""
    if getattr(function, "__name__", "") == "__get__":
        return operator.attrgetter(function.__self__.__name__)
    return function  # type: ignore[no-any-return]


def _in_either_mode(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Let dropout and the like follow the layer's mode; the run was made in evaluation mode."""
    if kwargs.get("training") is False:
        kwargs = {**kwargs, "training": Training()}
    if "dropout" in getattr(function, "__name__", "") and len(args) > 2 and args[2] is False:
        args = (*args[:2], Training(), *args[3:])
    return args, kwargs
