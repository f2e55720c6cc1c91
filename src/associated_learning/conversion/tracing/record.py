"""Records one run of a model: sees every function that it calls, and writes the calls down."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import CheckpointFunction
from torch.utils.flop_counter import FlopCounterMode

from associated_learning.conversion.tracing.call import Call, Recording, leaves
from associated_learning.conversion.tracing.containers import kept, map_tensors
from associated_learning.conversion.tracing.functions import (
    NUMBERS,
    PROPERTIES,
    READS,
    SIZES,
    STRIDES,
    count_made,
    holds_bool,
    name_of,
    traced_numbers,
    traced_size,
)
from associated_learning.conversion.tracing.guards import expect, unchanged
from associated_learning.conversion.tracing.opaque import is_atomic
from associated_learning.conversion.tracing.patches import listening
from associated_learning.conversion.tracing.sizes import Content, guard, guarded_by
from associated_learning.tensors.modes import evaluating, training
from associated_learning.tensors.randomness.generators import seed_all

__all__ = ["record", "same_draws"]


def record(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    inputs: dict[str, Tensor],
    *,
    count_flops: bool = False,
    in_training: bool = False,
    gradients: bool = False,
    seed: int = 0,
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
        seed: Of the random numbers that it draws.
    """
    with ExitStack() as stack:
        stack.enter_context(training(model) if in_training else evaluating(model))
        stack.enter_context(same_draws(seed))
        stack.enter_context(torch.set_grad_enabled(gradients))
        counter = stack.enter_context(_flop_counter()) if count_flops else None
        recorder = _Recorder(model, counter)
        stack.enter_context(listening(recorder, model))
        stack.enter_context(guarded_by(recorder.expect))
        stack.enter_context(recorder)
        before = _attributes(model)
        model(*args, **kwargs)
        assigned = _assigned(model, before)
    (root,) = recorder.roots
    return Recording(model, root, inputs, recorder.aliases, assigned, in_training)


@contextmanager
def same_draws(seed: int = 0) -> Iterator[None]:
    """Let every run of a model draw the same random numbers; the generators are restored."""
    with torch.random.fork_rng():
        seed_all(seed)
        yield


def _flop_counter() -> FlopCounterMode:
    """Return a counter that does not look at modules: parameters as arguments break its hooks."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _Everything()  # type: ignore[assignment]
    return counter


class _Everything(nullcontext[None]):
    """Stands for a tracker of modules that knows the whole model alone."""

    parents = ("Global",)


class _Recorder(TorchFunctionMode):
    """Sees every torch function, and, through patches, every module and opaque function."""

    def __init__(self, model: nn.Module, flops: FlopCounterMode | None) -> None:
        super().__init__()
        self.names = {id(module): name for name, module in model.named_modules()}
        self.flops = flops
        self.clock = itertools.count()
        self.stack: list[Call] = []
        self.roots: list[Call] = []
        self.aliases: dict[int, Tensor] = {}
        self.deaf = False

    def module(
        self, original: Callable[..., Any], module: nn.Module, args: Any, kwargs: Any
    ) -> Any:
        """Run a module, and write it down."""
        path = self.names.get(id(module))
        if path is None or self.is_sealed:
            return original(module, *args, **kwargs)
        call = self.open(module, path, args, kwargs)
        call.sealed = is_atomic(module)
        return self.run(call, lambda: original(module, *args, **kwargs))

    def function(self, function: Callable[..., Any], *, opaque: bool) -> Callable[..., Any]:
        """Return what stands in for a function that is written down as one call."""

        def stand_in(*args: Any, **kwargs: Any) -> Any:
            if self.is_sealed:
                return function(*args, **kwargs)
            call = self.open(function, "", args, kwargs)
            call.sealed, call.opaque = True, opaque
            return self.run(call, lambda: function(*args, **kwargs))

        return stand_in

    def applied(self, original: Callable[..., Any], kind: type, args: Any, kwargs: Any) -> Any:
        """Apply an autograd function: one call, so that it keeps its backward."""
        if self.is_sealed:
            return original(kind, *args, **kwargs)
        if kind is CheckpointFunction:  # the function it runs is looked into as without it
            self.checkpointed()
            return args[0](*args[2:])
        call = self.open(kind.apply, "", args, kwargs)  # type: ignore[attr-defined]
        call.sealed = True
        return self.run(call, lambda: original(kind, *args, **kwargs))

    def checkpointed(self) -> None:
        """Note that the forward which runs checkpoints a part of it."""
        if not self.is_sealed:
            self.stack[-1].checkpoints = True

    @property
    def is_sealed(self) -> bool:
        return self.deaf or (bool(self.stack) and self.stack[-1].sealed)

    def run(self, call: Call, function: Callable[[], Any]) -> Any:
        """Run what a call of a module or of a whole function stands for."""
        versions, before = _versions(call.tensors()), self.meter()
        self.stack.append(call)
        try:
            # what is not looked into runs as ever: torch's fused paths ask whether they are seen
            with torch._C.DisableTorchFunction() if call.sealed else nullcontext():
                output = function()
        finally:
            self.stack.pop()
        if call.sealed:
            self.charge(call, before)
            call.mutated = _changed(versions)
        return self.close(call, self.distinct(output, call))

    def open(self, target: Any, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        parent = self.stack[-1] if self.stack else None
        call = Call(target, path, parent, next(self.clock), kept(args), kept(kwargs))
        call.precision = _precision()
        (self.roots if parent is None else parent.children).append(call)
        return call

    def close(self, call: Call, output: Any) -> Any:
        call.output = kept(output)
        call.end = next(self.clock)
        return output

    def meter(self) -> tuple[float, int]:
        """Return the time and the floating-point operations so far."""
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.synchronize()
        return time.perf_counter(), 0 if self.flops is None else self.flops.get_total_flops()

    def charge(self, call: Call, before: tuple[float, int]) -> None:
        seconds, flops = self.meter()
        call.seconds, call.flops = seconds - before[0], flops - before[1]

    def expect(self, function: Callable[..., Any], operands: tuple[Any, ...], value: Any) -> None:
        """Write down that the forward which runs made a plain value of traced ones."""
        if self.stack and not self.is_sealed:
            place = self.stack[-1].place
            call = self.open(expect, "", (function, operands, value, place), {})
            self.close(call, None)

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
        name = name_of(func)
        if name in SIZES or name == "shape":
            return traced_size(func(*args, **kwargs), name, args, kwargs)
        if name in PROPERTIES:
            return func(*args, **kwargs)
        return self.run_function(func, name, args, kwargs)

    def run_function(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        count = count_made(name, args, kwargs)
        if count is not None:
            int(count)  # a guard: what takes the parts may be a loop over them
        call = self.open(func, "", args, kwargs)
        versions, before = _versions(call.tensors()), self.meter()
        output = self.undisturbed(func, args, kwargs)
        self.charge(call, before)
        call.mutated = _changed(versions)
        if name in STRIDES:
            return guard(unchanged, (Content(call),), self.close(call, output))
        if name in READS:
            return self.read(call, name, output)
        return self.close(call, output if call.mutated else self.distinct(output, call))

    def undisturbed(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a torch function, whose own comparisons of sizes are made anew whenever it runs."""
        self.deaf = True
        try:
            return func(*args, **kwargs)
        finally:
            self.deaf = False

    def read(self, call: Call, name: str, output: Any) -> Any:
        """Note that a call made a Python value of a tensor's content."""
        call.reads_data = True
        if name in NUMBERS and not holds_bool(output):
            return self.close(call, traced_numbers(output, call))
        self.close(call, output)
        return guard(unchanged, (Content(call),), output)

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

        return map_tensors(again, output)


def _precision() -> list[tuple[bool, torch.dtype]]:
    return [(torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in ("cpu", "cuda")]


def _attributes(model: nn.Module) -> dict[int, dict[str, int]]:
    return {
        id(module): {key: id(value) for key, value in {**vars(module), **module._buffers}.items()}
        for module in model.modules()
        if not isinstance(module, torch.jit.ScriptModule)
    }


def _assigned(model: nn.Module, before: dict[int, dict[str, int]]) -> dict[int, str]:
    return {
        key: name
        for key, attributes in _attributes(model).items()
        for name, value in attributes.items()
        if before.get(key, {}).get(name) != value
    }


def _versions(tensors: Iterable[Tensor]) -> list[tuple[Tensor, int]]:
    with torch._C.DisableTorchFunction():
        return [(tensor, tensor._version) for tensor in tensors]


def _changed(versions: list[tuple[Tensor, int]]) -> list[Tensor]:
    with torch._C.DisableTorchFunction():
        return [tensor for tensor, version in versions if tensor._version != version]
