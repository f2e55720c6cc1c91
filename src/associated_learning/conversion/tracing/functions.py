"""Torch's functions, by what a recording makes of them: sizes, properties, reads, calls."""

from __future__ import annotations

from typing import Any

import torch

from associated_learning.conversion.tracing.call import Call
from associated_learning.conversion.tracing.sizes import Content, Size, TracedInt, traced

__all__ = [
    "NUMBERS",
    "PROPERTIES",
    "READS",
    "SIZES",
    "STRIDES",
    "count_made",
    "holds_bool",
    "name_of",
    "traced_numbers",
    "traced_size",
]

SIZES = {"size", "numel", "nelement", "__len__"}
PROPERTIES = {
    "dtype", "device", "layout", "ndim", "dim",
    "is_cuda", "is_meta", "requires_grad", "names", "grad", "grad_fn", "is_leaf", "itemsize",
    "is_sparse", "is_quantized", "is_nested", "_version", "is_floating_point",
    "is_complex", "get_device", "element_size",
}  # fmt: skip
STRIDES = {"stride", "storage_offset", "nbytes", "is_contiguous"}  # plain, but made of sizes
READS = {
    "__bool__", "__int__", "__float__", "__index__", "__complex__", "__contains__", "item",
    "tolist", "numpy", "__array__", "equal", "allclose", "is_nonzero",
}  # fmt: skip
NUMBERS = {"item", "tolist"}  # reads whose numbers can be followed further


def name_of(func: Any) -> str:
    """Return a torch function's name; of a property's getter, the property's."""
    name: str = getattr(func, "__name__", type(func).__name__)
    if name == "__get__":
        return str(func.__self__.__name__)
    return name


def traced_size(value: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what a function of sizes gave, with its origin."""
    tensor = args[0]
    if isinstance(value, torch.Size):
        return torch.Size(TracedInt.of(n, Size(tensor, i)) for i, n in enumerate(value))
    if name == "size":
        dim = args[1] if len(args) > 1 else kwargs["dim"]
        return TracedInt.of(value, Size(tensor, dim))
    return TracedInt.of(value, Size(tensor, 0 if name == "__len__" else None))


def count_made(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """Return how many tensors a function makes of one along an axis, if a size decides that."""
    if name not in ("unbind", "split") or not isinstance(args[0], torch.Tensor):
        return None
    width = 1 if name == "unbind" else [*args[1:2], *kwargs.values()][0]
    rest = args[1:] if name == "unbind" else args[2:]
    dim = rest[0] if rest else kwargs.get("dim", 0)
    if not isinstance(width, int):
        return None
    size = TracedInt.of(args[0].shape[dim], Size(args[0], dim))
    return size if name == "unbind" else -(-size // width)


def traced_numbers(output: Any, call: Call) -> Any:
    """Return the numbers that a call read from a tensor, with their origin."""
    if isinstance(output, list):
        return [traced_numbers(part, call) for part in output]
    return traced(output, Content(call))


def holds_bool(output: Any) -> bool:
    """Whether what was read holds a truth value, which cannot be followed."""
    if isinstance(output, list):
        return any(map(holds_bool, output))
    return isinstance(output, bool)
