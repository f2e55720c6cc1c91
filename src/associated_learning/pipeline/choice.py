"""Which executor trains a network: the one that was asked for, or that suits the hardware."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import torch

from associated_learning.errors import InputError, nearest
from associated_learning.network import Network
from associated_learning.pipeline.executor import Executor, Sequential
from associated_learning.pipeline.items import Minibatch
from associated_learning.pipeline.offload.settings import Offloading
from associated_learning.pipeline.planning.costs import layer_costs
from associated_learning.pipeline.planning.partition import balanced, checked_sizes
from associated_learning.pipeline.stage import Stage
from associated_learning.pipeline.threads.executor import Threads
from associated_learning.pipeline.threads.streams import streams

__all__ = ["EXECUTORS", "chosen_executor", "make_executor", "stage_sizes"]

_HOST = Offloading()

EXECUTORS = ("auto", "sequential", "threads", "streams", "processes", "offload")


def chosen_executor(name: str, device: torch.device, stages: int | Sequence[int] | None) -> str:
    """Return the executor that "auto" stands for here; any other name as it is.

    Under ``torchrun`` with several ranks it is "processes". Else it is "threads" or, on a single
    GPU, "streams" where a number of stages is given, and "sequential" where none is: a small
    network gains nothing from a pipeline, and the same run gives the same bits on any machine.

    Raises:
        InputError: There is no such executor, or it does not fit the device.
    """
    if name not in EXECUTORS:
        raise InputError(
            f"executor={name!r} came; expected one of {', '.join(EXECUTORS)}."
            f"{nearest(name, EXECUTORS)}"
        )
    if name == "streams" and device.type != "cuda":
        raise InputError(
            f"executor='streams' came for a network on {device}; expected one on a GPU. Use "
            "threads on CPUs."
        )
    if name != "auto":
        return name
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return "processes"
    if stages is None:
        return "sequential"
    single = device.type == "cuda" and torch.cuda.device_count() == 1
    return "streams" if single else "threads"


def make_executor(
    name: str,
    net: Network,
    stage: Stage,
    *,
    stages: int | Sequence[int] | None,
    sample: Callable[[], Minibatch],
    stage_of: Callable[[Network], Stage],
    grows: bool = False,
    offload: Offloading = _HOST,
) -> Executor:
    """Make the executor of one training run in one process.

    Args:
        name: One of `EXECUTORS`, but not processes.
        net: The network.
        stage: The whole of it as one stage.
        stages: Number of stages, or how many layers each one has.
        sample: Returns a minibatch, to measure what layers cost.
        stage_of: Makes a stage of a copy of the network.
        grows: Whether more layers are to come, so that there may be fewer than stages for now.
        offload: Where the state lies with "offload".

    Raises:
        InputError: There are more stages than layers, or something else does not fit.
    """
    if name == "sequential":
        if stages not in (None, 1):
            raise InputError(
                f"stages={stages} came with executor='sequential', which has one; leave stages "
                "out, or use threads."
            )
        return Sequential(net, stage)
    if grows and isinstance(stages, int):
        stages = min(stages, len(stage.blocks))
    if name == "offload":
        return offload.executor(net, stage, stages=stages, sample=sample)
    if stages is None:
        count = len(stage.blocks)
        stages = count if name == "streams" else min(count, _processors(stage.device))

    def measured() -> tuple[list[float], list[float] | None]:
        costs = layer_costs(net, stage_of, sample())
        return costs.seconds, costs.handing("thread") if stage.device.type == "cpu" else None

    sizes = stage_sizes(stage, stages, measured)
    if name == "streams":
        return streams(net, stage.split(sizes), sample())
    return Threads(net, stage.split(sizes))


def stage_sizes(
    stage: Stage,
    stages: int | Sequence[int],
    costs: Callable[[], tuple[Sequence[float], Sequence[float] | None]],
) -> Sequence[int]:
    """Return the number of blocks of each stage; balanced by measured time where not given.

    Args:
        stage: The whole network.
        stages: Number of stages, or how many layers each one has.
        costs: Measures the layers: seconds of each, and of handing on what comes out of them.
    """
    count = len(stage.blocks)
    if not isinstance(stages, int):
        return checked_sizes(stages, count)
    balanced([1.0] * count, stages)  # refused before the measurement, which takes a while
    if stages in (1, count):
        return [count // stages] * stages
    seconds, handing = costs()
    return balanced(seconds, stages, handing=handing)


def _processors(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.device_count()
    # not all of the machine's may be this process's; systems other than Linux do not tell
    own = getattr(os, "sched_getaffinity", None)
    return len(own(0)) if own else os.cpu_count() or 1
