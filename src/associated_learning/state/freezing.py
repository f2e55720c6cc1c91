"""The encoders f_1 .. f_L of a network: what fine-tuning treats apart from the fresh parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from associated_learning.errors import InputError, nearest
from associated_learning.layer import ALLayer
from associated_learning.models import LayeredModel

__all__ = ["encoders_in", "frozen", "frozen_parts"]


def encoders_in(module: nn.Module) -> list[nn.Module]:
    """Return the encoders of a network or block, from the input up; none where none is told.

    They are f of every `ALLayer` and the layers of a `LayeredModel`, so that both methods name
    the same parts of the same model.

    Example:
        >>> from torch import nn
        >>> import associated_learning as al
        >>> layers = [nn.Linear(4, 3), nn.Linear(3, 2)]
        >>> model = LayeredModel(layers, nn.Flatten(), nn.Linear(2, 5))
        >>> encoders_in(al.BPNetwork(model, al.Classes(5))) == layers
        True
    """
    if isinstance(module, ALLayer):
        return [module.f]
    if isinstance(module, LayeredModel):
        return list(module.layers)
    return [f for child in module.children() for f in encoders_in(child)]


def frozen_parts(net: nn.Module, freeze: int | Sequence[str]) -> list[nn.Module]:
    """Return what is to be left as it is: the lowest encoders, or modules of encoders by name.

    Args:
        net: A network of either method.
        freeze: Number of encoders, from the input up; or names of modules inside of encoders,
            such as ``["embeddings"]``.

    Raises:
        InputError: There are not as many encoders, or no module of a name.
    """
    encoders = encoders_in(net)
    if isinstance(freeze, int):
        if not 0 <= freeze <= len(encoders):
            raise InputError(
                f"freeze={freeze} came for a network of {len(encoders)} encoders; expected 0 to "
                f"{len(encoders)}, the number of lowest encoders to leave as they are."
            )
        return encoders[:freeze]
    modules = [(name, module) for f in encoders for name, module in f.named_modules()]
    for name in freeze:
        known = [other for other, _ in modules if other]
        if name not in known:
            hint = nearest(name, known, cutoff=0.0)
            raise InputError(f"freeze={name} came, but no encoder has a module of that name.{hint}")
    return [module for name, module in modules if name in freeze]


@contextmanager
def frozen(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Let no parameter of the modules require a gradient inside the block; restore them after."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    flags = [parameter.requires_grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, flag in zip(parameters, flags, strict=True):
            parameter.requires_grad_(flag)
