"""What a recorder listens to: calls that no torch function mode sees, while a model runs."""

from __future__ import annotations

import builtins
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from types import CodeType, FunctionType
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn
from torch.autograd.function import Function
from torch.utils import checkpoint

from associated_learning.conversion.tracing.opaque import (
    namespaces,
    opaque_functions,
    warning_methods,
    whole_functions,
)
from associated_learning.conversion.tracing.sizes import followed, is_traced

__all__ = ["Listener", "listening"]

_CHECKPOINT = "_checkpoint_without_reentrant_generator"
_CACHED = type(cache(len))  # told by its type: to ask some objects for an attribute raises
_BUILTINS = ("min", "max", "sum", "divmod")
_MATH = ("sqrt", "log", "log2", "log10", "exp", "pow", "gcd", "prod", "isqrt", "fsum", "sin", "cos")
_NUMPY = ("sqrt", "log", "log2", "exp", "ceil", "floor", "prod", "power", "maximum", "minimum")

_Stand = tuple[dict[str, Any], str, Any]  # the globals of a file, a name there, its value


class Listener(Protocol):
    """What hears of the calls."""

    def module(
        self, original: Callable[..., Any], module: nn.Module, args: Any, kwargs: Any
    ) -> Any:
        """Run a module, and write it down."""

    def function(self, function: Callable[..., Any], *, opaque: bool) -> Callable[..., Any]:
        """Return what stands in for a function that is written down as one call."""

    def applied(self, original: Callable[..., Any], kind: type, args: Any, kwargs: Any) -> Any:
        """Apply an autograd function, and write it down as one call."""

    def checkpointed(self) -> None:
        """Note that the forward which runs checkpoints a part of it."""


@contextmanager
def listening(listener: Listener, model: nn.Module) -> Iterator[None]:
    """Let a listener hear of every call of a module, an opaque or an autograd function."""
    original = nn.Module.__call__
    seen = namespaces(model)

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return listener.module(original, module, args, kwargs)

    with ExitStack() as stack:
        stack.enter_context(_with_method(nn.Module, "__call__", call))
        stack.enter_context(_applied(listener))
        stack.enter_context(_replaced(_stand_ins(listener, seen)))
        for kind, method in warning_methods(model):
            stack.enter_context(_with_method(kind, method, _nothing))
        yield


def _stand_ins(listener: Listener, seen: list[dict[str, Any]]) -> Iterator[_Stand]:
    """Yield what stands in for the functions that a model's code calls by a global name."""
    names = vars(checkpoint)
    yield names, _CHECKPOINT, _telling(listener, names[_CHECKPOINT])
    for namespace, name, function in opaque_functions(seen):
        yield namespace, name, listener.function(function, opaque=True)
    for namespace, name, function in whole_functions(seen):
        yield namespace, name, listener.function(function, opaque=False)
    for namespace in seen:
        for name, stand_in in _BUILTIN_STAND_INS.items():
            if name not in namespace:
                yield namespace, name, stand_in
    yield from _LIBRARY_STAND_INS
    yield from _cached(seen)


@contextmanager
def _with_method(kind: type, name: str, method: Callable[..., Any]) -> Iterator[None]:
    """Give a class another method, in the place of one of its own."""
    before = vars(kind)[name]
    setattr(kind, name, method)
    try:
        yield
    finally:
        setattr(kind, name, before)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Stand in for a method that only warns."""


def _telling(listener: Listener, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that tells of a checkpoint without ``use_reentrant`` before it makes it."""

    def make(*args: Any, **kwargs: Any) -> Any:
        listener.checkpointed()
        return function(*args, **kwargs)

    return make


@contextmanager
def _replaced(stand_ins: Iterable[_Stand]) -> Iterator[None]:
    """Give global names other values, each seen by the next; no other name is touched after it.

    All in one context: a recording has hundreds, and to enter each would take longer than a run.
    """
    missing = object()
    before: list[_Stand] = []
    try:
        for namespace, name, value in stand_ins:
            before.append((namespace, name, namespace.get(name, missing)))
            namespace[name] = value
        yield
    finally:
        for namespace, name, value in reversed(before):
            if value is missing:
                del namespace[name]
            else:
                namespace[name] = value


def _cached(seen: list[dict[str, Any]]) -> Iterator[_Stand]:
    """Yield cached functions as they are without their caches, which know plain sizes only.

    A cache that an earlier run has filled (einops keeps the shapes it computed) would hand the
    recording numbers of unknown origin.
    """
    einops = sys.modules.get("einops.einops")
    for namespace in [*seen, *([vars(einops)] if einops is not None else [])]:
        for name, value in list(namespace.items()):
            if isinstance(value, _CACHED):
                yield namespace, name, value.__wrapped__


def _length(value: Any) -> int:
    """Stand in for ``len``, which would make a plain number of a tensor's size."""
    return value.shape[0] if isinstance(value, Tensor) and value.dim() else len(value)


def _range(*limits: Any) -> range:
    """Stand in for ``range``, which asks a traced number for nothing."""
    return range(*(int(limit) if is_traced(limit) else limit for limit in limits))


_BUILTIN_STAND_INS: dict[str, Callable[..., Any]] = {
    "len": _length,
    "range": _range,
    **{name: followed(getattr(builtins, name)) for name in _BUILTINS},
}
_LIBRARY_STAND_INS: list[_Stand] = [
    (vars(library), name, followed(getattr(library, name)))
    for library, names in ((math, _MATH), (np, _NUMPY))
    for name in names
]


@contextmanager
def _applied(listener: Listener) -> Iterator[None]:
    """Hear of ``Function.apply`` of every class, also where it was kept under another name.

    ``reverse = Reverse.apply`` is bound once, when a file is imported; so the code of the one
    function behind all of them is exchanged, for as long as the recording takes.
    """
    function: FunctionType = Function.__dict__["apply"].__func__
    original, scope = function.__code__, function.__globals__
    untouched = FunctionType(original, scope, "apply", None, function.__closure__)
    scope[_HOOK] = lambda kind, args, kwargs: listener.applied(untouched, kind, args, kwargs)
    function.__code__ = _code_with_hook()
    try:
        yield
    finally:
        function.__code__ = original
        del scope[_HOOK]


_HOOK = "_associated_learning_applied"


def _code_with_hook() -> CodeType:
    """Return code that calls the hook, with the one free variable that ``apply`` has."""
    __class__ = Function

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        return _associated_learning_applied(cls, args, kwargs)  # type: ignore[name-defined] # noqa: F821
        return __class__  # type: ignore[unreachable]

    return apply.__code__
