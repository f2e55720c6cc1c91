"""A user's own model, named on the command line as ``package.module:factory``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from torch import nn

from associated_learning.errors import InputError, nearest

__all__ = ["make_model"]


def make_model(name: str) -> nn.Module:
    """Make the model that a function or class without arguments returns.

    Args:
        name: ``package.module:factory``; modules of the working directory are found too.

    Raises:
        InputError: There is no such module or factory, or it makes no model.

    Example:
        >>> type(make_model("torch.nn:Identity")).__name__
        'Identity'
    """
    module_name, _, factory_name = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"{module_name}, of {name}, cannot be imported ({error}); expected a module that "
            "Python finds from here, such as package.module:factory."
        ) from error
    factory = getattr(module, factory_name, None)
    if factory is None:
        raise InputError(
            f"{module_name} has no {factory_name or 'factory'}.{nearest(factory_name, dir(module))}"
        )
    model = factory if isinstance(factory, nn.Module) else _called(name, factory)
    if not isinstance(model, nn.Module):
        raise InputError(f"{name} made {type(model).__name__}; expected a torch.nn.Module.")
    return model


def _called(name: str, factory: object) -> object:
    if not callable(factory):
        raise InputError(
            f"{name} is {type(factory).__name__}; expected a function or class that makes a model."
        )
    try:
        return factory()
    except TypeError as error:
        raise InputError(
            f"{name}() fails ({error}); expected a function or class that takes no arguments: "
            "write one that passes them."
        ) from error
