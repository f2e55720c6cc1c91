"""From a script and its cuts to slices: which calls, modules and values each layer needs."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from associated_learning.conversion.cutting.body import Cut
from associated_learning.conversion.slicing.program import (
    Attribute,
    Computed,
    Device,
    Given,
    LayerProgram,
    ModuleAt,
    Ref,
    Result,
    SizeOf,
    Step,
    Training,
    parts,
    references,
)
from associated_learning.conversion.slicing.script import Script
from associated_learning.conversion.slicing.slice import Slice
from associated_learning.conversion.tracing.arguments import Arguments
from associated_learning.conversion.tracing.guards import expect
from associated_learning.errors import ConversionError, Fault
from associated_learning.tensors.modes import training

__all__ = ["make_programs", "make_slices"]


def make_programs(script: Script, cuts: Sequence[Cut], arguments: Arguments) -> list[LayerProgram]:
    """Return what each layer's encoder does."""
    ends = [script.reference(cut.s.tensor, script.recording.root) for cut in cuts]
    needed = _needed(script, ends)
    # for the readouts, whether or not a module uses them
    masks: dict[str, Ref] = {name: Given(name) for name in arguments.masks}
    outgoing = masks
    programs = []
    for i in reversed(range(len(cuts))):
        begin = cuts[i - 1].time if i else -1
        steps = [
            step
            for step in script.steps
            if step.number in needed and begin <= _home(script, step) < cuts[i].time
        ]
        s_in = ends[i - 1] if i else None
        incoming = _incoming(script, steps, (ends[i], outgoing), s_in, masks) if i else {}
        programs.append(
            LayerProgram(
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
    return programs[::-1]


def _home(script: Script, step: Step) -> int:
    """Return when a step is made; a guard, as soon as what it looks at is there."""
    if step.target is not expect:
        return script.calls[step.number].begin
    numbers = [ref.step for ref in references(step.args) if isinstance(ref, Result)]
    return max((script.calls[number].begin for number in numbers), default=0)


def _needed(script: Script, ends: Sequence[Ref]) -> set[int]:
    """Return the steps that an activation rests on, guards, and what changes tensors in place."""
    needed = {ref.step for end in ends for ref in references(end) if isinstance(ref, Result)}
    needed |= _guards(script.steps)
    for step, call in zip(reversed(script.steps), reversed(script.calls), strict=True):
        if call.mutated:
            needed.add(step.number)
        if step.number in needed:
            refs = references((step.args, step.kwargs))
            needed |= {ref.step for ref in refs if isinstance(ref, Result)}
    return needed


def _guards(steps: Sequence[Step]) -> set[int]:
    """Return the guards that can fail, each once: of what a batch brings, not of weights' sizes."""
    found: dict[str, int] = {}
    for step in steps:
        if step.target is expect:
            function, operands, outcome, _ = step.args
            if any(isinstance(ref, (Given, Result)) for ref in references(operands)):
                found.setdefault(repr((function, operands, outcome)), step.number)
    return set(found.values())


def _incoming(
    script: Script, steps: list[Step], leaving: Any, s_in: Ref | None, masks: dict[str, Ref]
) -> dict[str, Ref]:
    """Return what a layer needs of the layers below beside the activation, by name."""
    own = {step.number for step in steps}
    found = dict(masks)

    def need(template: Any, name: str | None = None) -> None:
        for ref in _outside(template, own, s_in):
            if ref not in found.values():
                found[_unused(name or _name(script, ref), found)] = ref

    for step in steps:
        for key, arg in step.kwargs.items():
            need(arg, None if isinstance(arg, Given) else key)
        need(step.args)
    end, outgoing = leaving
    need(end)
    for name, ref in outgoing.items():
        need(ref, name)
    return found


def _name(script: Script, ref: Ref) -> str:
    """Return what to call a side input that no keyword names: by what makes it."""
    if isinstance(ref, Given):
        return ref.name
    if isinstance(ref, Result):
        target = script.steps[ref.step].target
        path = target if isinstance(target, str) else getattr(target, "__name__", "side")
        return path.rpartition(".")[2]
    return "size"


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
    return [ref for part in parts(template) for ref in _outside(part, own, s_in)]


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


def make_slices(
    model: nn.Module,
    programs: Sequence[LayerProgram],
    in_training: Sequence[LayerProgram] | None,
    constants: Mapping[str, Tensor],
) -> list[Slice]:
    """Make the layers' encoders of a model's modules.

    Args:
        model: The model.
        programs: What they do.
        in_training: What they do in training mode, if it is something else.
        constants: Tensors that no module has registered, by path.

    Raises:
        ConversionError: Two layers would hold the same weights.
    """
    found: list[Slice] = []
    taken: set[int] = set()
    frozen = _frozen(model)
    for i, program in enumerate(programs):
        other = None if in_training is None else in_training[i]
        paths = _paths(program) | (set() if other is None else _paths(other))
        members = {path: _member(model, path, constants) for path in sorted(paths)}
        for path, member in members.items():
            if {id(tensor) for tensor in _state(member)} & taken:
                members[path] = _copied(path, member, taken)
        taken |= {id(tensor) for member in members.values() for tensor in _state(member)}
        found.append(Slice(members, program, other, frozen))
    return found


def _frozen(model: nn.Module) -> list[str]:
    """Return what ``model.train()`` leaves in evaluation mode: frozen BatchNorm, say."""
    with training(model):
        return [name for name, module in model.named_modules() if not module.training]


def _paths(program: LayerProgram) -> set[str]:
    refs = list(references(([(s.args, s.kwargs) for s in program.steps], program.outgoing)))
    paths = {step.target for step in program.steps if isinstance(step.target, str)}
    return paths | {ref.path for ref in refs if isinstance(ref, (Attribute, ModuleAt))}


def _member(model: nn.Module, path: str, constants: Mapping[str, Tensor]) -> nn.Module | Tensor:
    if path in constants:
        return constants[path]
    owner, _, name = path.rpartition(".")
    member: nn.Module | Tensor = getattr(model.get_submodule(owner), name)
    return member


def _copied(path: str, member: nn.Module | Tensor, taken: set[int]) -> nn.Module | Tensor:
    """Return a copy of what only reads, for a second layer; nothing that is trained is copied."""
    trained = [t for t in _state(member) if isinstance(t, nn.Parameter) and id(t) in taken]
    if trained:
        raise ConversionError(
            [
                Fault(
                    path,
                    f"two layers would hold its weights of shape {list(trained[0].shape)}, and "
                    "each would train a copy of its own",
                    "Cut where all its uses are in one layer, or let each call use modules of its "
                    "own.",
                )
            ]
        )
    return copy.deepcopy(member)


def _state(member: nn.Module | Tensor) -> list[Tensor]:
    if isinstance(member, Tensor):
        return [member]
    return [*member.parameters(), *member.buffers()]
