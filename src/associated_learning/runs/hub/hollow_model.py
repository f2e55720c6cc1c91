"""Models of transformers whose weights have no memory: to be looked at, cut and filled later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from associated_learning.runs.hub.config import model_class, quiet_transformers
from associated_learning.tensors.hollow import hollow_tensor

__all__ = ["hollow_model"]

# what stands in every weight while a model is cut: NaN would equal nothing, not even itself
_ANYTHING = 0.01


def hollow_model(config: Any) -> nn.Module:
    """Return a model of transformers whose weights have shapes but no memory; buffers are real.

    It can be run, and so be cut into layers: every weight is the same number everywhere.
    """
    with quiet_transformers(), _parameters_on_meta():
        model: nn.Module = model_class(config)(config)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            value = hollow_tensor(parameter.shape, parameter.dtype, value=_ANYTHING)
            module._parameters[name] = nn.Parameter(value, parameter.requires_grad)
    return model.eval()


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Let modules that are made inside the block keep no memory for their parameters."""
    register = nn.Module.register_parameter

    def registered(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        register(module, name, parameter)
        if parameter is not None:
            there = nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
            module._parameters[name] = there

    nn.Module.register_parameter = registered  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]
