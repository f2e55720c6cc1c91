"""A layer's encoder f: a slice of a model, which calls the model's own modules in their order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import Tensor, nn
from typing_extensions import Self

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
    Training,
    rebuilt,
)
from associated_learning.conversion.tracing.call import leaves
from associated_learning.errors import InputError

__all__ = ["Slice", "Stream"]


class Stream(NamedTuple):
    """What flows from layer to layer of a converted model.

    Attributes:
        values: The activation ``s_i``.
        side: What later layers need beside it, by name: masks, position biases, sizes.
    """

    values: Tensor
    side: dict[str, Any]


class Slice(nn.Module):
    """A part of a model between two cuts, as a module of its own.

    It holds the modules that run between the cuts, under the names they have in the model, and
    the calls that the model's forward makes of them. It can be moved, pickled, saved and exported
    without the rest of the model.

    Args:
        members: The modules, parameters and other tensors that the recipe names, by path.
        recipe: What to do with them.
        in_training: What to do in training mode, where the model's forward does something else.
        frozen: Modules that the model's own ``train`` leaves in evaluation mode, by path.
    """

    def __init__(
        self,
        members: dict[str, nn.Module | Tensor],
        recipe: LayerProgram,
        in_training: LayerProgram | None = None,
        frozen: Iterable[str] = (),
    ) -> None:
        super().__init__()
        for path in sorted(members):
            _place(self, path, members[path])
        self.recipe = recipe
        self.in_training = in_training
        held = {name for name, _ in self.named_modules()}
        self.frozen = tuple(path for path in frozen if path in held)

    def train(self, mode: bool = True) -> Self:
        """Set the mode as the model's own ``train`` does, which may freeze some modules."""
        super().train(mode)
        for path in self.frozen:
            self.get_submodule(path).eval()
        return self

    def forward(self, x: Any) -> Stream:
        """Run the slice: on a batch of inputs in the first layer, on a `Stream` above it."""
        program = self.in_training if self.training and self.in_training else self.recipe
        values = self._received(x, program)
        for step in program.steps:
            target = step.target
            function = self.get_submodule(target) if isinstance(target, str) else target
            args = [self._value(arg, values) for arg in step.args]
            kwargs = {key: self._value(arg, values) for key, arg in step.kwargs.items()}
            values[Result(step.number, None)] = function(*args, **kwargs)
            for number in step.frees:
                values.pop(Result(number, None), None)
        side = {name: self._value(ref, values) for name, ref in program.outgoing.items()}
        return Stream(self._value(program.s_out, values), side)

    def extra_repr(self) -> str:
        """Return the number of calls for printing."""
        return f"{len(self.recipe.steps)} calls"

    def _received(self, x: Any, recipe: LayerProgram) -> dict[Ref, Any]:
        if recipe.arguments is not None:
            return {Given(name): value for name, value in recipe.arguments.bind(x).items()}
        assert recipe.s_in is not None
        missing = [name for name in recipe.incoming if name not in x.side]
        if missing:
            raise InputError(
                f"{', '.join(missing)} did not come from the layer below; put all layers into one "
                "mode: in training the model's forward does something else than in evaluation."
            )
        values: dict[Ref, Any] = {ref: x.side[name] for name, ref in recipe.incoming.items()}
        values[recipe.s_in] = x.values.clone() if recipe.copies else x.values
        return values

    def _value(self, template: Any, values: dict[Ref, Any]) -> Any:
        """Return a template with values in the place of references."""
        if isinstance(template, Ref):
            return self._referred(template, values)
        return rebuilt(template, lambda part: self._value(part, values))

    def _referred(self, ref: Ref, values: dict[Ref, Any]) -> Any:
        if ref in values:
            return values[ref]
        if isinstance(ref, Result):
            return list(leaves(values[Result(ref.step, None)]))[ref.position]  # type: ignore[index]
        if isinstance(ref, SizeOf):
            tensor = self._referred(ref.tensor, values)
            return tensor.numel() if ref.dim is None else tensor.shape[ref.dim]
        if isinstance(ref, Computed):
            return ref.function(*(self._value(operand, values) for operand in ref.operands))
        if isinstance(ref, Attribute):
            owner, _, name = ref.path.rpartition(".")
            return getattr(self.get_submodule(owner), name)
        if isinstance(ref, ModuleAt):
            return self.get_submodule(ref.path)
        if isinstance(ref, Training):
            return self.training
        assert isinstance(ref, Device), f"{ref} was not passed to this layer"
        return next(v.device for v in values.values() if isinstance(v, Tensor))


def _place(root: nn.Module, path: str, member: nn.Module | Tensor) -> None:
    """Register a member at its path, in empty modules that stand for those it was taken from."""
    *owners, name = path.split(".")
    for owner in owners:
        if owner not in root._modules:
            root.add_module(owner, nn.Module())
        root = root._modules[owner]  # type: ignore[assignment]
    if name in {**root._modules, **root._parameters, **root._buffers}:
        return  # it came within a module around it
    if isinstance(member, nn.Parameter):
        root.register_parameter(name, member)
    elif isinstance(member, Tensor):
        root.register_buffer(name, member, persistent=False)
    else:
        root.add_module(name, member)
