"""Random operations that draw from generators of one thread instead of those that all share.

torch calls an operation by walking down its dispatch keys: autocast, autograd, the device. A key
that stands above these and that torch leaves free is switched on for one thread at a time. It
has a kernel for every operation that draws random numbers, which hands the thread's generator
on; everything else falls through, which torch works out beforehand and so costs nothing. As it
stands above autograd, gradients are those of the same operation given a generator by hand. (torch
itself catches random operations under `torch.vmap` in this way.)
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKeySet
from torch._ops import OpOverload

from associated_learning.errors import InputError
from associated_learning.tensors.randomness.generators import (
    GeneratorLock,
    shared_generators,
    with_index,
)

__all__ = ["Source", "current", "intercept", "random_operations", "switch"]

Source = Mapping[torch.device, torch.Generator]  # where to draw on which device
_Draw = Callable[[torch.Generator, DispatchKeySet, tuple[Any, ...], dict[str, Any]], Any]

# torch keeps it for the deferred initialisation of torchdistx, which is no longer developed
_KEY_NAME = "DeferredInit"
_KEY = torch._C._dispatch_key_parse(_KEY_NAME)
_BELOW = torch._C._dispatch_keyset_full_after(_KEY)
_DRAWS_NOTHING = {"aten::_fused_sdp_choice"}  # tells how attention would be computed
_ROOT = Path(torch.__file__).parent
# they save the state of the shared generators, to draw the same numbers again in the backward pass
_RECOMPUTING = {str(_ROOT / "utils" / "checkpoint.py"), str(_ROOT / "_prims" / "rng_prims.py")}
_REPLAYING = str(Path(__file__).with_name("replay.py"))  # it saves the state of these generators
# torch 2.5 does not tell, so that there the stack is always looked through
_top_hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", lambda _: "unknown")
_registering = threading.Lock()


class _Sources(threading.local):
    current: Source | None = None


_sources = _Sources()


def current() -> Source | None:
    """Return the source of the calling thread; None where it draws from the shared generators."""
    return _sources.current


def switch(source: Source | None) -> Source | None:
    """Let the calling thread draw from a source, or from the shared generators; return the last.

    Example:
        >>> import torch
        >>> intercept()
        >>> cpu = torch.Generator().manual_seed(3)
        >>> before = switch({cpu.device: cpu})
        >>> drawn = torch.rand(2)
        >>> _ = switch(before)
        >>> torch.equal(drawn, torch.rand(2, generator=torch.Generator().manual_seed(3)))
        True
    """
    before, _sources.current = _sources.current, source
    torch._C._dispatch_tls_set_dispatch_key_included(_KEY, source is not None)
    return before


def intercept() -> None:
    """Register the kernels, once in a process."""
    with _registering:
        _libraries()


@functools.cache
def _libraries() -> tuple[object, ...]:
    others = torch._C._dispatch_library("IMPL", "_", _KEY_NAME)
    others.fallback_fallthrough()
    aten: Any = torch.library.Library("aten", "IMPL", _KEY_NAME)  # type: ignore[no-untyped-call]
    for op in random_operations():
        aten.impl(op, _kernel(op), with_keyset=True)
    _pass_over_higher_order()
    if hasattr(os, "register_at_fork"):
        # the workers of a DataLoader seed the shared generators, each in its own way
        os.register_at_fork(after_in_child=functools.partial(switch, None))
    return others, aten  # who drops them takes the kernels away


def _pass_over_higher_order() -> None:
    # operators that take functions (torch.cond, flex_attention) are dispatched in Python and know
    # no fallbacks: those that there are are told, and those to come
    known: dict[str, Any] = torch._ops._higher_order_ops
    for operator in known.values():
        operator.fallthrough(_KEY)
    torch._ops._HIGHER_ORDER_OP_DEFAULT_FALLTHROUGH_DISPATCH_KEYS.append(_KEY)


def random_operations() -> Iterator[OpOverload]:
    """Yield torch's operations that draw random numbers and are not made of others."""
    for name in torch._C._dispatch_get_all_op_names():
        space, _, rest = name.partition("::")
        packet, _, overload = rest.partition(".")
        if space != "aten" or name in _DRAWS_NOTHING or _is_composite(name):
            continue
        found = torch._C._get_operation_overload(f"aten::{packet}", overload)
        if found is not None and torch.Tag.nondeterministic_seeded in found[2]:
            yield getattr(getattr(torch.ops.aten, packet), overload or "default")


def _is_composite(name: str) -> bool:
    has = functools.partial(torch._C._dispatch_has_kernel_for_dispatch_key, name)
    return has("CompositeImplicitAutograd") and not (has("CPU") or has("CUDA"))


def _kernel(op: OpOverload) -> Callable[..., Any]:
    """Make what runs in place of an operation on the threads that have a source."""
    draw = _with_generator(op) or _with_twin(op) or _with_state(op)

    def kernel(keys: DispatchKeySet, *args: Any, **kwargs: Any) -> Any:
        source = _sources.current
        own = None if source is None else source.get(_device(args, kwargs))
        if own is None or _is_traced():
            return op.redispatch(keys & _BELOW, *args, **kwargs)
        return draw(own, keys & _BELOW, args, kwargs)

    return kernel


def _with_generator(op: OpOverload) -> _Draw | None:
    """Give the generator to an operation that takes one."""
    names = [name for name, _ in _signature(op)]
    if "generator" not in names:
        return None
    place = names.index("generator")

    def draw(
        own: torch.Generator, keys: DispatchKeySet, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        given = args[place] if place < len(args) else kwargs.get("generator")
        if given is not None and not _is_same(given, _shared(own.device)):
            return op.redispatch(keys, *args, **kwargs)
        _refuse_recomputation(op)
        if place < len(args):
            return op.redispatch(keys, *args[:place], own, *args[place + 1 :], **kwargs)
        return op.redispatch(keys, *args, **{**kwargs, "generator": own})

    return draw


def _with_twin(op: OpOverload) -> _Draw | None:
    """Call the overload that takes a generator and is the same otherwise."""
    packet = op.overloadpacket
    for twin in (getattr(packet, name) for name in packet.overloads()):
        rest = [part for part in _signature(twin) if part[0] != "generator"]
        if twin is not op and rest == _signature(op):
            return _try_twin(twin, otherwise=_with_state(op))
    return None


def _try_twin(twin: OpOverload, *, otherwise: _Draw) -> _Draw:
    def draw(
        own: torch.Generator, keys: DispatchKeySet, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        _refuse_recomputation(twin)
        try:
            return twin(*args, generator=own, **kwargs)
        except NotImplementedError:  # nested tensors have some operations without a generator only
            return otherwise(own, keys, args, kwargs)

    return draw


def _with_state(op: OpOverload) -> _Draw:
    """Lend the generator's state to the shared one, for an operation that takes no generator."""
    names = [name for name, _ in _signature(op)]

    def draw(
        own: torch.Generator, keys: DispatchKeySet, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        # attention without dropout draws nothing; p = 0 elsewhere does draw
        if "dropout_p" in names and not given.get("dropout_p"):
            return op.redispatch(keys, *args, **kwargs)
        if op is torch.ops.aten._cudnn_rnn.default:
            _refuse_recurrent_dropout(given["dropout"], given["train"])
            return op.redispatch(keys, *args, **kwargs)
        _refuse_recomputation(op)
        with _lent(own):
            return op.redispatch(keys, *args, **kwargs)

    return draw


@contextmanager
def _lent(own: torch.Generator) -> Iterator[None]:
    """Let the shared generator stand for one's own, while no other thread may use it."""
    shared, source = _shared(own.device), _sources.current
    with GeneratorLock([shared]):
        before = shared.get_state()
        shared.set_state(own.get_state())
        switch(None)
        try:
            yield
        finally:
            switch(source)
            own.set_state(shared.get_state())
            shared.set_state(before)


def _signature(op: OpOverload) -> list[tuple[str, str]]:
    return [(argument.name, str(argument.type)) for argument in op._schema.arguments]


def _is_same(a: Any, b: Any) -> bool:
    return bool(a._cdata == b._cdata)  # Python sees a generator through objects that come and go


def _shared(device: torch.device) -> torch.Generator:
    return shared_generators(device)[-1]


def _device(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device:
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            return value.device
    return with_index(torch.device(kwargs.get("device") or "cpu"))


def _is_traced() -> bool:
    """Whether torch.compile or torch.export watches: generators must not get into its graphs."""
    if not torch._C._len_torch_dispatch_stack():
        return False
    kinds = torch._C._TorchDispatchModeKey
    return any(torch._C._get_dispatch_mode(kind) for kind in (kinds.FAKE, kinds.PROXY))


def _refuse_recomputation(op: OpOverload) -> None:
    # gradients are off, or the saving of tensors is changed, under every kind of checkpoint
    hooks: object = _top_hooks(True)
    if hooks is None and torch.is_grad_enabled():
        return
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename not in (*_RECOMPUTING, _REPLAYING):
        frame = frame.f_back
    if frame is not None and frame.f_code.co_filename != _REPLAYING:
        raise InputError(
            f"the random operation {op} came under torch.utils.checkpoint on a thread with "
            "generators of its own; expected none, as its recomputation would draw other numbers. "
            "Turn checkpointing off (only one layer's activations live at a time anyway), or use "
            "executor='sequential'."
        )


def _refuse_recurrent_dropout(dropout: float, train: bool) -> None:
    if dropout and train:
        raise InputError(
            f"a recurrent layer with dropout={dropout} came on a GPU; expected 0, as cuDNN draws "
            "from a state of its own that goes on from layer to layer and cannot be keyed. Put an "
            "nn.Dropout between recurrent layers of one layer each, or turn cuDNN off "
            "(torch.backends.cudnn.enabled = False)."
        )
