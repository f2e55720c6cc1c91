"""The features that a classification head gets: of the model as it was, and of its layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from architecture import Batch
from torch import Tensor, nn

__all__ = ["call", "chained_features", "first_tensor", "original_features"]


def call(model: nn.Module, x: Batch) -> Any:
    """Call a model with positional or keyword arguments."""
    if isinstance(x, Mapping):
        return model(**x)
    return model(*x) if isinstance(x, tuple) else model(x)


def original_features(model: nn.Module, x: Batch, heads: Iterable[str]) -> list[Tensor]:
    """Return what the modules of the head are called with: hooks on an untouched model.

    The first is what the head takes, unless the first module of the head is one whose result
    nothing uses, such as a pooler beside the classifier.

    Args:
        model: The model as torch runs it.
        x: A batch.
        heads: Names of the modules that conversion drops. If the model calls none of them, its
            output itself are the features.
    """
    inputs: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inputs.extend(v for v in (*args, *kwargs.values()) if isinstance(v, Tensor))

    hooks = [
        model.get_submodule(name).register_forward_pre_hook(keep, with_kwargs=True)
        for name in heads
    ]
    output = call(model, x)
    for hook in hooks:
        hook.remove()
    return inputs or [first_tensor(output)]


def first_tensor(output: Any) -> Tensor:
    """Return the first tensor of what a model returns."""
    while not isinstance(output, Tensor):
        output = next(iter(output.values())) if isinstance(output, Mapping) else output[0]
    return output


def chained_features(net: Any, x: Batch) -> Tensor:
    """Return s of the last layer: the encoders in turn, and nothing else."""
    s: Any = x
    for layer in net.layers:
        s = layer.f(s)
    return s if isinstance(s, Tensor) else s.values
