"""One run of a model, written down: which module called which function on which tensors."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from associated_learning.conversion.tracing.call import Call, Recording, leaves
from associated_learning.conversion.tracing.opaque import (
    namespaces,
    opaque_functions,
    warning_methods,
)
from associated_learning.conversion.tracing.sizes import Size, TracedInt
from associated_learning.tensors.modes import evaluating, training

__all__ = ["record"]


def record(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    inputs: dict[str, Tensor],
    *,
    count_flops: bool = False,
    in_training: bool = False,
    gradients: bool = False,
) -> Recording:
    """Run a model once and write down its calls.

    Args:
        model: The model; it and its mode are left as they were.
        args: Positional arguments of the model.
        kwargs: Keyword arguments of the model.
        inputs: The tensors among them, by name.
        count_flops: Whether to count floating-point operations, which takes time.
        in_training: Whether to run it in training mode; in evaluation mode by default.
        gradients: Whether its tensors keep the graph that made them, for gradients.
    """
    with ExitStack() as stack:
        stack.enter_context(training(model) if in_training else evaluating(model))
        stack.enter_context(torch.set_grad_enabled(gradients))
        counter = stack.enter_context(FlopCounterMode(display=False)) if count_flops else None
        recorder = _Recorder(model, counter)
        stack.enter_context(recorder.patched())
        stack.enter_context(recorder)
        before = _attributes(model)
        model(*args, **kwargs)
        assigned = _assigned(model, before)
    (root,) = recorder.roots
    return Recording(model, root, inputs, recorder.aliases, assigned)


_SIZES = {"size", "numel", "nelement", "__len__"}
_PROPERTIES = {
    "dtype", "device", "layout", "ndim",
    "is_cuda", "is_meta", "requires_grad", "names", "grad", "grad_fn", "is_leaf", "itemsize",
    "nbytes", "is_sparse", "is_quantized", "is_nested", "_version",
}  # fmt: skip
_READS = {
    "__bool__", "__int__", "__float__", "__index__", "__complex__", "__contains__", "item",
    "tolist", "numpy", "__array__", "equal", "allclose", "is_nonzero",
}  # fmt: skip
_CONTAINERS = (
    nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.TransformerEncoder, nn.TransformerDecoder,
    nn.Transformer,
)  # fmt: skip


class _Recorder(TorchFunctionMode):
    """Sees every torch function, and, through a patch, every module and opaque function."""

    def __init__(self, model: nn.Module, flops: FlopCounterMode | None) -> None:
        super().__init__()
        self.names = {id(module): name for name, module in model.named_modules()}
        self.model = model
        self.flops = flops
        self.clock = itertools.count()
        self.stack: list[Call] = []
        self.roots: list[Call] = []
        self.aliases: dict[int, Tensor] = {}

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Hear of every call of a module or an opaque function."""
        original = nn.Module.__call__
        recorder = self

        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            path = recorder.names.get(id(module))
            if path is None or recorder.is_sealed:
                return original(module, *args, **kwargs)
            sealed = _is_atomic(module)
            return recorder.run(module, path, sealed, args, kwargs, original, (module,))

        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(nn.Module, "__call__", call))
            for namespace, name, function in opaque_functions(self.model):
                stack.enter_context(mock.patch.dict(namespace, {name: self.wrap(function)}))
            for namespace in namespaces(self.model):
                stack.enter_context(mock.patch.dict(namespace, len=_length))
            for kind, method in warning_methods(self.model):
                stack.enter_context(mock.patch.object(kind, method))
            yield

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.is_sealed:
                return function(*args, **kwargs)
            return self.run(function, "", True, args, kwargs, function, ())

        return call

    @property
    def is_sealed(self) -> bool:
        return bool(self.stack) and self.stack[-1].sealed

    def run(
        self,
        target: Any,
        path: str,
        sealed: bool,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        function: Callable[..., Any],
        bound: tuple[Any, ...],
    ) -> Any:
        """Record a call of a module or an opaque function while it runs."""
        call = self.open(target, path, args, kwargs)
        call.sealed = sealed
        versions, before = _versions(call.tensors()), self.meter()
        self.stack.append(call)
        try:
            # what is not looked into runs as ever: torch's fused paths ask whether they are seen
            with torch._C.DisableTorchFunction() if sealed else nullcontext():
                output = function(*bound, *args, **kwargs)
        finally:
            self.stack.pop()
        if sealed:
            self.charge(call, before)
            call.mutated = _changed(versions)
        call.output = self.distinct(output, call)
        call.end = next(self.clock)
        return call.output

    def open(self, target: Any, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        parent = self.stack[-1] if self.stack else None
        call = Call(target, path, parent, next(self.clock), args, kwargs)
        (self.roots if parent is None else parent.children).append(call)
        return call

    def meter(self) -> tuple[float, int]:
        """Return the time and the floating-point operations so far."""
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.synchronize()
        return time.perf_counter(), 0 if self.flops is None else self.flops.get_total_flops()

    def charge(self, call: Call, before: tuple[float, int]) -> None:
        seconds, flops = self.meter()
        call.seconds, call.flops = seconds - before[0], flops - before[1]

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        args, kwargs = tuple(args), kwargs or {}
        if not self.stack or self.stack[-1].sealed:
            return func(*args, **kwargs)
        name = _name(func)
        if name in _SIZES or name == "shape":
            return _traced_size(func(*args, **kwargs), name, args, kwargs)
        if name in _PROPERTIES:
            return func(*args, **kwargs)
        return self.run_function(func, name, args, kwargs)

    def run_function(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self.open(func, "", args, kwargs)
        versions, before = _versions(call.tensors()), self.meter()
        output = func(*args, **kwargs)
        self.charge(call, before)
        call.mutated = _changed(versions)
        call.reads_data = name in _READS
        call.output = output if call.mutated else self.distinct(output, call)
        call.end = next(self.clock)
        return call.output

    def distinct(self, output: Any, call: Call) -> Any:
        """Give a tensor that was returned as it came an identity of its own.

        In evaluation mode dropout returns its input itself; in training it does not. What is
        used after it must be told apart from what is used beside it.
        """
        given = {id(tensor) for tensor in call.tensors()}
        if not any(id(leaf) in given for leaf in leaves(output)):
            return output

        def again(tensor: Tensor) -> Tensor:
            if id(tensor) not in given:
                return tensor
            with torch._C.DisableTorchFunction():
                alias = tensor.view_as(tensor)
            self.aliases[id(alias)] = tensor
            return alias

        return _map(again, output)


def _attributes(model: nn.Module) -> dict[int, dict[str, int]]:
    return {
        id(module): {key: id(value) for key, value in {**vars(module), **module._buffers}.items()}
        for module in model.modules()
    }


def _assigned(model: nn.Module, before: dict[int, dict[str, int]]) -> dict[int, str]:
    return {
        key: name
        for key, attributes in _attributes(model).items()
        for name, value in attributes.items()
        if before.get(key, {}).get(name) != value
    }


def _name(func: Any) -> str:
    """Return a torch function's name; of a property's getter, the property's."""
    name: str = getattr(func, "__name__", type(func).__name__)
    if name == "__get__":
        return str(func.__self__.__name__)
    return name


def _is_atomic(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.") and not isinstance(module, _CONTAINERS)


def _versions(tensors: Iterable[Tensor]) -> list[tuple[Tensor, int]]:
    with torch._C.DisableTorchFunction():
        return [(tensor, tensor._version) for tensor in tensors]


def _changed(versions: list[tuple[Tensor, int]]) -> list[Tensor]:
    with torch._C.DisableTorchFunction():
        return [tensor for tensor, version in versions if tensor._version != version]


def _length(value: Any) -> int:
    """Stand in for ``len``, which would make a plain number of a tensor's size."""
    return value.shape[0] if isinstance(value, Tensor) else len(value)


def _traced_size(value: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensor = args[0]
    if isinstance(value, torch.Size):
        return torch.Size(TracedInt.of(n, Size(tensor, i)) for i, n in enumerate(value))
    if name == "size":
        dim = args[1] if len(args) > 1 else kwargs["dim"]
        return TracedInt.of(value, Size(tensor, dim))
    return TracedInt.of(value, Size(tensor, 0 if name == "__len__" else None))


def _map(function: Callable[[Tensor], Tensor], structure: Any) -> Any:
    """Apply a function to the tensors of tuples, lists and mappings; leave the rest alone."""
    if isinstance(structure, Tensor):
        return function(structure)
    if isinstance(structure, (tuple, list)):
        values = [_map(function, value) for value in structure]
        return (
            type(structure)(*values) if hasattr(structure, "_fields") else type(structure)(values)
        )
    if isinstance(structure, dict) and hasattr(structure, "__dataclass_fields__"):
        for name, value in list(structure.items()):  # transformers' outputs, both at once
            structure[name] = _map(function, value)
        return structure
    if isinstance(structure, dict):
        return type(structure)({key: _map(function, value) for key, value in structure.items()})
    return structure
