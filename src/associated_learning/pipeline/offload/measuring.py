"""What layers need and take: measured one layer at a time."""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from associated_learning.errors import InputError
from associated_learning.pipeline.items import Minibatch
from associated_learning.pipeline.offload.allocations import Allocations
from associated_learning.pipeline.offload.layer_files import files_of
from associated_learning.pipeline.offload.layer_store import Store
from associated_learning.pipeline.planning.costs import bytes_in
from associated_learning.pipeline.stage import Stage
from associated_learning.tensors.hollow import fill, hollow_copy, is_hollow, weights_of
from associated_learning.tensors.nested import tensors_in

__all__ = [
    "LayerNeeds",
    "measure_layers",
    "memory_in_use",
    "room_on_disk",
    "total",
]

ROUNDS = 2
_PLAIN = (bool, int, float, str, tuple, type(None))


class LayerNeeds(NamedTuple):
    """What the update of one block on a minibatch needs, or of some that are moved as one.

    Attributes:
        seconds: Of the update.
        weights: Bytes of weights and buffers.
        gradients: Bytes of gradients.
        optimizer: Bytes of the optimizer's state.
        activations: The most bytes at once beside these: activations, and what the optimizer's
            step needs.
        taken: Bytes of ``(s, t)`` that wait for it.
        blocks: How many blocks these are.
    """

    seconds: float
    weights: int
    gradients: int
    optimizer: int
    activations: int
    taken: int
    blocks: int = 1

    @property
    def state(self) -> int:
        """Bytes that are moved: weights and the optimizer's state."""
        return self.weights + self.optimizer

    @property
    def room(self) -> int:
        """Bytes that the block needs while it trains."""
        return self.state + self.gradients + self.activations


def measure_layers(
    stage: Stage,
    job: Minibatch,
    store: Store | None = None,
    sizes: Sequence[int] | None = None,
) -> list[LayerNeeds]:
    """Measure the update of every block on a minibatch, on a copy of one block at a time.

    Blocks of the same shapes are measured once. The network is left as it is.

    Args:
        stage: All blocks of a network.
        job: A minibatch.
        store: Holds the weights of blocks that are not in memory.
        sizes: How many consecutive blocks are moved as one; one by default.

    Raises:
        InputError: A layer follows another one that is not moved with it, or no second optimizer
            of its kind can be made.
    """
    known: dict[Any, tuple[LayerNeeds, Minibatch]] = {}
    found, item = [], job
    for one in stage.split(sizes or [1] * len(stage.blocks)):
        key = _costs_like(one, item)
        if key not in known:
            known[key] = _measure(_copied(one, store), item)
        needs, onward = known[key]
        item = onward._replace(step=job.step)
        found.append(needs)
    return found


def _measure(stage: Stage, job: Minibatch) -> tuple[LayerNeeds, Minibatch]:
    _, onward = stage.train(job)  # this one also makes the state of the optimizer
    with Allocations() as allocations:
        stage.train(job)
    seconds = float("inf")
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        stage.train(job)
        if stage.device.type == "cuda":
            torch.cuda.synchronize(stage.device)
        seconds = min(seconds, time.perf_counter() - begin)
    files = {name: bytes_in(tensors) for name, tensors in files_of(stage).items()}
    trained = [p for o in stage.optimizers if o for g in o.param_groups for p in g["params"]]
    needs = LayerNeeds(
        seconds=seconds,
        weights=sum(size for name, size in files.items() if name in stage.parts),
        gradients=bytes_in(trained),
        optimizer=sum(size for name, size in files.items() if name not in stage.parts),
        activations=max(0, allocations.peak - bytes_in(trained)),
        taken=bytes_in((job.s, job.t)),
        blocks=len(stage.blocks),
    )
    return needs, onward


def _costs_like(stage: Stage, job: Minibatch) -> Any:
    """Return what blocks of the same cost have in common."""
    own = [
        (key, tuple(value.shape), value.dtype, value.requires_grad)
        for block in stage.blocks
        for key, value in block.state_dict(keep_vars=True).items()
        if isinstance(value, Tensor)
    ]
    modules = [module for block in stage.blocks for module in block.modules()]
    structure = [(type(module), module.extra_repr(), _settings(module)) for module in modules]
    shapes = [(tuple(tensor.shape), tensor.dtype) for tensor in tensors_in((job.s, job.t))]
    return str((own, structure, list(map(type, stage.optimizers)), shapes))


def _settings(module: nn.Module) -> list[tuple[str, Any]]:
    """Return the numbers and functions that a module has, by which layers alike may differ."""
    return [
        (name, value if isinstance(value, _PLAIN) else getattr(value, "__qualname__", type(value)))
        for name, value in vars(module).items()
        if not name.startswith("_")
    ]


def _copied(stage: Stage, store: Store | None) -> Stage:
    """Return a copy of a stage, with its weights and fresh optimizers."""
    tensors = [tensor for block in stage.blocks for tensor in weights_of(block).values()]
    absent = [tensor for tensor in tensors if is_hollow(tensor)]
    blocks, parts = hollow_copy((list(stage.blocks), dict(stage.parts)), absent)
    pairs = zip(stage.optimizers, stage.blocks, blocks, strict=True)
    copied = Stage(
        blocks=blocks,
        optimizers=[_like(*pair) for pair in pairs],
        schedulers=[None] * len(blocks),
        parts=parts,
        rule=stage.rule,
        device=stage.device,
        first=stage.first,
    )
    live = files_of(copied, optimizers=False)
    for name, before in files_of(stage, optimizers=False).items():
        # a copy of a hollow tensor has memory, in which is nothing
        missing = {key: live[name][key] for key, tensor in before.items() if is_hollow(tensor)}
        if missing and store is not None:
            fill(missing, store.read(name))
    return copied


def _like(optimizer: Optimizer | None, block: nn.Module, again: nn.Module) -> Optimizer | None:
    """Return a fresh optimizer for the copy of a block, with the same groups and options."""
    if optimizer is None:
        return None
    pairs = zip(block.parameters(), again.parameters(), strict=True)
    copies = {id(old): new for old, new in pairs}
    groups = [
        {**group, "params": [copies[id(p)] for p in group["params"]]}
        for group in optimizer.param_groups
    ]
    made = _made_again(optimizer, groups)
    for group in made.param_groups:
        group["lr"] = 0 * group["lr"]  # some updates on one minibatch might diverge
    return made


def _made_again(optimizer: Optimizer, groups: list[Any]) -> Optimizer:
    """Return a fresh optimizer of a kind, with the same options, for other parameters."""
    kind = type(optimizer)
    known = inspect.signature(kind).parameters
    any_name = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values())
    # AdamW's hold one that only Adam takes
    options = {k: v for k, v in optimizer.defaults.items() if any_name or k in known}
    try:
        return kind(groups, **options)
    except TypeError as error:
        raise InputError(
            f"{kind.__name__} came, of which no second one can be made to measure what it needs "
            f"({error}); expected a class whose arguments are its defaults, as in torch.optim. "
            "Use such a one, or executor='sequential'."
        ) from error


def room_on_disk(stage: Stage, generations: int = 2) -> int:
    """Return about how many bytes a store needs on disk: generations, and the best weights."""
    files = files_of(stage, optimizers=False)
    weights = sum(bytes_in(list(tensors.values())) for tensors in files.values())
    optimizers = sum(map(_optimizer_bytes, stage.optimizers))
    return weights + generations * (weights + optimizers)


def _optimizer_bytes(optimizer: Optimizer | None) -> int:
    """Return the bytes that an optimizer's state will have, by that for a matrix of its kind."""
    if optimizer is None:
        return 0
    sample = nn.Parameter(torch.zeros(64, 64))
    sample.grad = torch.zeros_like(sample)
    alike = _made_again(optimizer, [sample])
    alike.step()
    share = bytes_in(list(alike.state[sample].values())) / bytes_in(sample)
    return round(share * bytes_in([p for g in optimizer.param_groups for p in g["params"]]))


def memory_in_use(stage: Stage) -> int:
    """Return the bytes in use beside what is moved of a network: on its GPU, or by this process.

    Args:
        stage: All of it; where training goes on, its optimizers have their state already.
    """
    kind = stage.device.type
    tensors = {id(t): t for live in files_of(stage).values() for t in live.values()}.values()
    own = bytes_in([t for t in tensors if t.device.type == kind and not is_hollow(t)])
    if kind == "cuda":
        return max(0, torch.cuda.memory_allocated(stage.device) - own)
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    private = next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)
    return max(0, private * 1024 - own)


def total(needs: Sequence[LayerNeeds]) -> int:
    """Return the bytes of training state of all blocks: weights, gradients and optimizers."""
    return sum(one.state + one.gradients for one in needs)
