"""Which window, and what lies where, for a limit of memory: a value that prints itself."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from associated_learning.errors import InputError
from associated_learning.pipeline.offload.measuring import LayerNeeds, total
from associated_learning.pipeline.offload.store_speed import StoreSpeed

__all__ = ["MemoryPlan", "StagePlans", "bytes_of", "make_memory_plan"]

LOST = 0.02  # share of the time that moving may cost where a larger window can help
LARGEST = 256  # minibatches
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """How a network is trained within a limit; print it to read it.

    Attributes:
        layers: What each block needs, or each part of several that are moved as one.
        limit: Bytes that may be used; None for no limit.
        base: Bytes that are in use beside the network.
        speed: How fast the store is.
        whole: Whether all layers fit at once, so that nothing is moved.
        overlap: Whether the next layer comes while one trains, which needs its room too.
        window: Number of minibatches that a layer takes before the next one.
        in_files: Whether activations wait in mapped files instead of memory.
        on_disk: Whether the store is on a disk, which wears.
        first: Number of the first block in the network.
        windows: How many windows of activations wait at a time.
    """

    layers: tuple[LayerNeeds, ...]
    limit: int | None
    base: int
    speed: StoreSpeed
    whole: bool
    overlap: bool
    window: int
    in_files: bool
    on_disk: bool
    first: int = 1
    windows: int = 1

    @property
    def resident(self) -> int:
        """Largest number of bytes of the network that are in memory at once."""
        return _peak(self.layers, overlap=self.overlap) if not self.whole else _whole(self.layers)

    @property
    def offloaded(self) -> int:
        """Bytes of weights and optimizers in the store."""
        return 0 if self.whole else sum(one.state for one in self.layers)

    @property
    def waiting(self) -> int:
        """Largest number of bytes of activations that wait."""
        return self.windows * self.window * max(one.taken for one in self.layers)

    @property
    def lost(self) -> float:
        """Share of the time that moving costs, of that of training alone."""
        return 0.0 if self.whole else lost(self.layers, self.speed, self.window, self.overlap)

    @property
    def moved(self) -> float:
        """Bytes that are moved for a minibatch, there and back."""
        return 2 * self.offloaded / self.window

    @property
    def written_a_day(self) -> float:
        """Bytes that are written to the store in a day of training."""
        seconds = self.window * sum(one.seconds for one in self.layers) * (1 + self.lost)
        return self.offloaded / seconds * 86400

    def __str__(self) -> str:
        count = sum(one.blocks for one in self.layers)
        lines = [
            f"{count} layers, {_text(total(self.layers))} of training state (weights, gradients, "
            "optimizers)",
            f"limit      {'none' if self.limit is None else _text(self.limit)}, of which "
            f"{_text(self.base)} are in use already",
            f"resident   {_text(self.resident)}: " + ("all layers" if self.whole else self._stay()),
            f"offloaded  {_text(self.offloaded)}",
            f"window K   {self.window} minibatches, whose activations wait in "
            + f"{_text(self.waiting)} of {'mapped files' if self.in_files else 'host memory'}",
            f"time lost  {self.lost:.1%} of that of training with all layers in memory",
        ]
        if not self.whole and self.speed.write:
            lines.append(f"moved      {_text(self.moved)} for a minibatch, there and back")
        if not self.whole and self.on_disk:
            lines.append(f"written    {_text(self.written_a_day)} a day")
        return "\n".join(lines)

    def _stay(self) -> str:
        beside = "and the next one, which comes meanwhile" if self.overlap else "alone"
        name, needs = _largest(self.layers, self.first)
        return f"{name} ({_parts(needs)}) {beside}"


@dataclass(frozen=True)
class StagePlans:
    """How the stages of a pipeline are trained, each with a store of its own; print it to read it.

    Attributes:
        stages: The plan of each.
    """

    stages: tuple[MemoryPlan, ...]

    def __str__(self) -> str:
        return "\n".join(
            f"stage {number:<4} {_held(plan)}" for number, plan in enumerate(self.stages, start=1)
        )


def _held(plan: MemoryPlan) -> str:
    last = plan.first + len(plan.layers) - 1
    own = f"layers {plan.first} to {last}" if last > plan.first else f"layer {last}"
    state = _text(total(plan.layers))
    if plan.whole or last == plan.first:
        return f"{own}: holds {_text(plan.resident)} with all of its state of {state}"
    beside = "and the next one" if plan.overlap else "alone"
    return (
        f"{own}: holds {_text(plan.resident)}, one layer {beside}, of its state of {state}; "
        f"K = {plan.window}, time lost {plan.lost:.1%}"
    )


def make_memory_plan(
    layers: Sequence[LayerNeeds],
    speed: StoreSpeed,
    *,
    limit: int | None,
    base: int = 0,
    window: int | None = None,
    files: bool = False,
    stays: bool = False,
    apart: bool = False,
    first: int = 1,
    windows: int = 1,
) -> MemoryPlan:
    """Choose the smallest window that hides the moving, and what may be in memory at once.

    Args:
        layers: What each block needs.
        speed: How fast the store is.
        limit: Bytes that may be used; None for no limit.
        base: Bytes that are in use beside the network.
        window: That of the user, if it is given.
        files: Whether the store is on a disk, so that activations may wait in files there.
        stays: Whether the layers lie in a store whatever the limit.
        apart: Whether the limit is that of a GPU, where two minibatches are at a time, and those
            that wait are not.
        first: Number of the first block in the network.
        windows: How many windows of activations wait at a time: that of a stage, and in a
            pipeline the one that comes from below meanwhile.

    Raises:
        InputError: Not even one layer fits; it tells what is missing and what would help.
    """
    room = math.inf if limit is None else limit - base
    # a limit asks for no more than it leaves out; without one, one layer at a time is meant
    whole = not stays and limit is not None and _whole(layers) <= room
    beside = 2 * max(one.taken for one in layers) if apart else 0
    overlap = _peak(layers, overlap=True) + beside <= room
    need = _peak(layers, overlap=overlap) + beside
    if not whole and need > room:
        raise InputError(_too_large(layers, limit or 0, base, first))
    if window is None:
        window = 1 if whole else smallest_window(layers, speed, overlap)
    handed = windows * max(one.taken for one in layers)
    tight = not whole and not apart and need + window * handed > room
    in_files = tight and files
    if tight and not files:
        window = max(1, int((room - need) // max(handed, 1)))
        if need + handed > room:
            raise InputError(_too_large(layers, limit or 0, base, first))
    return MemoryPlan(
        layers=tuple(layers),
        limit=limit,
        base=base,
        speed=speed,
        whole=whole,
        overlap=overlap,
        window=window,
        in_files=in_files,
        on_disk=files,
        first=first,
        windows=windows,
    )


def smallest_window(layers: Sequence[LayerNeeds], speed: StoreSpeed, overlap: bool) -> int:
    """Return the smallest window with which moving costs little, or the largest there is."""
    fits = (k for k in range(1, LARGEST) if lost(layers, speed, k, overlap) <= LOST)
    return next(fits, LARGEST)


def lost(layers: Sequence[LayerNeeds], speed: StoreSpeed, window: int, overlap: bool) -> float:
    """Return the share of time that moving costs: what is not hidden, and a processor's part.

    Example:
        >>> needs = LayerNeeds(
        ...     seconds=1.0, weights=40, gradients=0, optimizer=60, activations=0, taken=1
        ... )
        >>> speed = StoreSpeed(write=0.03, read=0.01, processor=0.0)
        >>> [lost([needs], speed, window, overlap=True) for window in (1, 2, 4)]
        [3.0, 1.0, 0.0]
    """
    moved = sum(one.state for one in layers)
    training = window * sum(one.seconds for one in layers)
    moving = moved * (speed.write + speed.read)
    hidden = min(moving, training) if overlap else 0.0
    return (moving - hidden + moved * speed.processor * (hidden > 0)) / training


def bytes_of(memory: str | int) -> int:
    """Return the bytes that a text such as "2GiB", "512 MiB" or "1.5G" stands for.

    Raises:
        InputError: It is none of them, or not above 0.

    Example:
        >>> bytes_of("2GiB"), bytes_of("1.5 M"), bytes_of(4096)
        (2147483648, 1572864, 4096)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:iB|B)?\s*", str(memory), re.IGNORECASE)
    size = 0 if found is None else int(float(found[1]) * _UNITS[found[2].upper()])
    if size <= 0:
        raise InputError(f"memory={memory!r} came; expected a size such as '2GiB' or '512MiB'.")
    return size


def _whole(layers: Sequence[LayerNeeds]) -> int:
    state = sum(one.state for one in layers)
    return state + max(one.gradients + one.activations for one in layers)


def _peak(layers: Sequence[LayerNeeds], *, overlap: bool) -> int:
    """Return the most bytes at once: one layer, and with overlap the state of one beside it."""
    if not overlap or len(layers) == 1:
        return max(one.room for one in layers)
    around = [*layers[1:], layers[0]]
    pairs = zip(layers, around, strict=True)
    return max(max(a.room + b.state, b.room + a.state) for a, b in pairs)


def _too_large(layers: Sequence[LayerNeeds], limit: int, base: int, first: int) -> str:
    name, needs = _largest(layers, first)
    least = _text(base + needs.room + needs.taken)
    return (
        f"memory={_text(limit)} came, of which {_text(base)} are in use beside the network; "
        f"{name} alone needs {_text(needs.room)} ({_parts(needs)}) and "
        f"{_text(needs.taken)} for a minibatch that waits, so expected at least {least}. A "
        "smaller batch or recompute=True shrinks activations, cuts closer together state."
    )


def _largest(layers: Sequence[LayerNeeds], first: int) -> tuple[str, LayerNeeds]:
    """Return what is largest of all that are moved as one, and its name."""
    i = max(range(len(layers)), key=lambda i: layers[i].room)
    begin = first + sum(one.blocks for one in layers[:i])
    end = begin + layers[i].blocks - 1
    return f"layer {begin}" if begin == end else f"layers {begin} to {end}", layers[i]


def _parts(needs: LayerNeeds) -> str:
    return (
        f"weights {_text(needs.weights)}, gradients {_text(needs.gradients)}, optimizer "
        f"{_text(needs.optimizer)}, activations {_text(needs.activations)}"
    )


def _text(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
