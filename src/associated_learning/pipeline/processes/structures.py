"""Structures without their tensors as plain JSON: nothing that another process sends is run.

A list in the JSON is always a tag with what it marks; all else stands for itself. Of classes only
names travel: of named tuples and dataclasses that the receiver has loaded itself. Named tuples and
plain dataclasses are put together without calling anything of theirs.
"""

from __future__ import annotations

import base64
import builtins
import collections
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from associated_learning import errors
from associated_learning.errors import InputError, PipelineError

__all__ = ["DTYPES", "decode", "encode"]

DTYPES: dict[str, torch.dtype] = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in vars(torch).values()
    if isinstance(dtype, torch.dtype) and not str(dtype).startswith(("torch.q", "torch.bits"))
}
_MALFORMED = (
    ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError
)  # fmt: skip
_MAPPINGS: dict[str, type[dict[Any, Any]]] = {
    "dict": dict,
    "ordered": collections.OrderedDict,
    "counter": collections.Counter,
}
_ERRORS: dict[str, type[BaseException]] = {
    name: found
    for place in (builtins, errors)
    for name, found in vars(place).items()
    if isinstance(found, type) and issubclass(found, BaseException)
    if not issubclass(found, (SystemExit, GeneratorExit))  # which would end a process quietly
}


def encode(structure: Any, number: Callable[[Tensor], int]) -> Any:
    """Return a structure as JSON-able values.

    Args:
        structure: Tensors and plain values in lists, tuples, mappings, named tuples, dataclasses;
            or errors.
        number: Takes a tensor out, and gives the number by which it is put back.

    Raises:
        InputError: Something else is in it.
    """
    if structure is None or isinstance(structure, (bool, str)):
        return structure
    if isinstance(structure, int):
        return int(structure)
    if isinstance(structure, float):
        return float(structure) if math.isfinite(structure) else ["float", repr(float(structure))]
    if isinstance(structure, Tensor):
        return ["tensor", number(structure)]
    if isinstance(structure, BaseException):
        return _error(structure)
    return _composed(structure, number) or _unusual(structure)


def decode(encoded: Any, tensors: Mapping[int, Tensor]) -> Any:
    """Return the structure that `encode` was given.

    Raises:
        PipelineError: It is something else.
    """
    try:
        return _decoded(encoded, tensors)
    except _MALFORMED as error:
        raise PipelineError(
            f"a message from another process is malformed ({type(error).__name__}: "
            f"{str(error)[:200]}); only processes of this library's version may take part in a run."
        ) from error


def _composed(structure: Any, number: Callable[[Tensor], int]) -> list[Any] | None:
    """Encode what holds other things; None if it holds none."""

    def inner(values: Sequence[Any]) -> list[Any]:
        return [encode(value, number) for value in values]

    if is_dataclass(structure) and not isinstance(structure, type):
        names = [field.name for field in fields(structure)]
        values = inner([getattr(structure, name) for name in names])
        return ["dataclass", _class_name(type(structure)), dict(zip(names, values, strict=True))]
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return ["named", _class_name(type(structure)), inner(structure)]
    if isinstance(structure, (tuple, list)):
        return ["list" if isinstance(structure, list) else "tuple", inner(structure)]
    for kind, own in _MAPPINGS.items():
        if type(structure) is own:
            return ["mapping", kind, [inner(pair) for pair in structure.items()]]
    return None


def _unusual(value: Any) -> list[Any]:
    """Encode plain values that JSON lacks."""
    if isinstance(value, (torch.dtype, torch.device)):
        return [type(value).__name__, str(value).removeprefix("torch.")]
    if isinstance(value, complex):
        return ["complex", repr(value)]
    if isinstance(value, Path):
        return ["path", str(value)]
    if isinstance(value, bytes):
        return ["bytes", base64.b64encode(value).decode()]
    raise InputError(
        f"a value of type {type(value).__name__} came; between processes travel tensors, numbers "
        "and texts in lists, tuples, dictionaries, named tuples and dataclasses. Let the layer or "
        "the schedule hold it in one of these."
    )


def _error(error: BaseException) -> list[Any]:
    """Encode an error as it is, or by its text where it could not be made again."""
    name, plain = type(error).__name__, (str, int, float, bool, type(None))
    known = _ERRORS.get(name) is type(error) and all(
        isinstance(a, plain) and not (isinstance(a, float) and not math.isfinite(a))
        for a in error.args
    )
    if known and str(_ERRORS[name](*error.args)) == str(error):
        return ["error", name, list(error.args)]
    return ["error", "PipelineError", [f"{name}: {error}"]]


def _decoded(encoded: Any, tensors: Mapping[int, Tensor]) -> Any:
    if not isinstance(encoded, list):
        if isinstance(encoded, dict):
            raise ValueError("an object came")
        return encoded
    tag, *content = encoded
    if tag == "tensor":
        return tensors[content[0]]
    if tag in ("list", "tuple"):
        values = [_decoded(value, tensors) for value in content[0]]
        return values if tag == "list" else tuple(values)
    if tag == "mapping":
        pairs = [[_decoded(part, tensors) for part in pair] for pair in content[1]]
        return _MAPPINGS[content[0]](dict(pairs))
    if tag in ("named", "dataclass"):
        return _instance(tag, _class_named(content[0]), content[1], tensors)
    return _decoded_leaf(tag, content)


def _decoded_leaf(tag: Any, content: list[Any]) -> Any:
    if tag == "float":
        return float(content[0])
    if tag == "dtype":
        return DTYPES[content[0]]
    if tag == "device":
        return torch.device(content[0])
    if tag == "complex":
        return complex(content[0])
    if tag == "path":
        return Path(content[0])
    if tag == "bytes":
        return base64.b64decode(content[0], validate=True)
    if tag == "error":
        name, arguments = content
        if not all(isinstance(a, (str, int, float, type(None))) for a in arguments):
            raise ValueError("an error with other arguments than texts and numbers came")
        return _ERRORS[name](*arguments)
    raise ValueError(f"the tag {tag!r:.40} is unknown")


def _instance(tag: str, kind: type[Any], values: Any, tensors: Mapping[int, Tensor]) -> Any:
    if tag == "named":
        if not (issubclass(kind, tuple) and len(getattr(kind, "_fields", ())) == len(values)):
            raise ValueError(f"{kind.__name__} is no named tuple of {len(values)} values")
        return tuple.__new__(kind, [_decoded(value, tensors) for value in values])
    if not is_dataclass(kind) or values.keys() != {field.name for field in fields(kind)}:
        raise ValueError(f"{kind.__name__} is no dataclass of these fields")
    inner = {name: _decoded(value, tensors) for name, value in values.items()}
    if issubclass(kind, dict):  # the outputs of transformers, which fill themselves
        return kind(**inner)
    made = object.__new__(kind)
    for name, value in inner.items():
        object.__setattr__(made, name, value)
    return made


def _class_name(kind: type[Any]) -> str:
    name = f"{kind.__module__}:{kind.__qualname__}"
    try:
        found = _class_named(name)
    except (LookupError, ValueError):
        found = None
    if found is not kind:
        raise InputError(
            f"{kind.__qualname__} of {kind.__module__} came; between processes travel only classes "
            "that other processes find by their name. Define it at the top of a module."
        )
    return name


def _class_named(name: str) -> type[Any]:
    """Return a class that this process has loaded: nothing is imported, no attribute computed."""
    module, _, path = name.partition(":")
    found: Any = sys.modules[module]
    for part in path.split("."):
        found = vars(found)[part]
    if not isinstance(found, type):
        raise ValueError(f"{name:.80} is no class")
    return found
