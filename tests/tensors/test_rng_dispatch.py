"""Every random operation that torch has, called one by one: none may be missed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from associated_learning.tensors.randomness.keyed import seeded
from associated_learning.tensors.randomness.rng_dispatch import intercept
from associated_learning.tensors.randomness.thread_rng import thread_seeded

# values for arguments without a default, by name and then by type
BY_NAME: dict[str, Any] = {
    "dropout_p": 0.5,
    "from": 0,
    "high": 4,
    "lambd": 0.5,
    "low": 0,
    "num_samples": 3,
    "p": 0.5,
    "sigma": 0.5,
    "std": 0.5,
    "to": 4,
    "train": True,
    "training": True,
}
BY_TYPE: dict[str, Any] = {
    "float": 0.25,
    "int": 4,
    "number": 0.25,
    "List[int]": [2, 3],
    "bool": True,
    "Optional[bool]": True,
    "Optional[Generator]": None,
    "Optional[List[str]]": None,  # names of dimensions, up to torch 2.12
}
ELSEWHERE = (
    *("rnn_", "gru", "lstm"),  # take lists of weights: nn.LSTM is among the modules of test_drawing
    *("_scaled_dot_product_flash_attention_for_cpu", "_fused_sdp_choice"),  # draw nothing
    *("_scaled_dot_product_fused_attention_overrideable",),  # of other backends
)


def random_operations() -> Iterator[OpOverload]:
    """Yield what torch says is random or takes a generator, without asking our own list."""
    for name in torch._C._dispatch_get_all_op_names():
        space, packet, overload = re.match(r"(.*)::([^.]*)\.?(.*)", name).groups()
        if space != "aten":
            continue
        op = getattr(getattr(torch.ops.aten, packet), overload or "default")
        takes = any("Generator" in str(argument.type) for argument in op._schema.arguments)
        if takes or torch.Tag.nondeterministic_seeded in op.tags:
            yield op


def runs_on_cpu(op: OpOverload) -> bool:
    """Whether there is a kernel: of an ``out`` overload, one for the operation behind it."""
    packet = op.overloadpacket
    behind = [getattr(packet, name) for name in packet.overloads() if "out" not in name]
    computed = torch._C._dispatch_has_computed_kernel_for_dispatch_key
    return computed(op.name(), "CPU") and any(computed(other.name(), "CPU") for other in behind)


def name_of(op: OpOverload) -> str:
    return op.name().removeprefix("aten::")


def value_for(op: OpOverload, name: str, kind: str) -> Any:
    if kind == "Tensor":
        if name_of(op).startswith("multinomial") and name == "out":
            return torch.empty(0, dtype=torch.long)
        if name_of(op).startswith("randint_like") and name == "high":
            return torch.tensor(4)
        if name == "out1":
            return torch.empty(0, dtype=torch.bool)
        shape = (2, 2, 4, 4) if "dot_product" in name_of(op) else (4, 4)
        return torch.full(shape, -0.5 if "rrelu" in name_of(op) else 0.5)
    if kind in BY_TYPE and name not in BY_NAME:
        return BY_TYPE[kind]
    assert name in BY_NAME, f"{op}: say here what to give for {name}, of type {kind}"
    return BY_NAME[name]


def call(op: OpOverload) -> Any:
    args, kwargs = [], {}
    for argument in op._schema.arguments:
        optional = argument.has_default_value()
        if optional and argument.name not in BY_NAME:
            continue
        value = value_for(op, argument.name, str(argument.type))
        if optional or argument.kwarg_only:
            kwargs[argument.name] = value
        else:
            args.append(value)
    return op(*args, **kwargs)


class Watched(TorchDispatchMode):
    """Sees every operation, as a profiler does; below it torch runs composite ones unseen."""

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return func(*args, **(kwargs or {}))


OPERATIONS = list(random_operations())
ON_CPU = [op for op in OPERATIONS if runs_on_cpu(op) and not name_of(op).startswith(ELSEWHERE)]


@pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")
@pytest.mark.parametrize("mode", [nullcontext, Watched], ids=["plain", "watched"])
@pytest.mark.parametrize("op", ON_CPU, ids=name_of)
def test_every_random_operation_draws_from_the_threads_own_generator(
    op: OpOverload, mode: Callable[[], AbstractContextManager[object]]
) -> None:
    shared = torch.get_rng_state()
    with seeded("op", 3):
        start = torch.get_rng_state()
        expected = call(op)
        assert not torch.equal(start, torch.get_rng_state()), "the oracle draws nothing"
    with thread_seeded("op", 3), mode():
        found = call(op)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(torch.get_rng_state(), shared)


def test_operations_that_only_a_gpu_runs_are_caught_too() -> None:
    """Whatever is not made of other operations has a kernel on our key."""
    intercept()
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    missed = {
        name_of(op)
        for op in OPERATIONS
        if not has(op.name(), "CompositeImplicitAutograd") and not has(op.name(), "DeferredInit")
    }
    assert missed == {"_fused_sdp_choice"}
