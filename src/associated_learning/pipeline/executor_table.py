"""The executors by name, in one table; which one suits the hardware, and how each is made.

A new executor is a class beside `Sequential` (in a file or folder of its own), a function here that
makes it, and a line in `MAKERS`: the trainer, the command line and its help read the table. One
line in ``tests/pipeline/executors.py`` then puts it through every law.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from associated_learning.errors import InputError, nearest
from associated_learning.network import Network
from associated_learning.pipeline.executor import Executor, Sequential
from associated_learning.pipeline.items import Minibatch
from associated_learning.pipeline.offload.settings import Offloading
from associated_learning.pipeline.offload.stage_division import StageDivision
from associated_learning.pipeline.planning.costs import layer_costs
from associated_learning.pipeline.planning.partition import balanced, checked_sizes
from associated_learning.pipeline.stage import Stage
from associated_learning.pipeline.threads.executor import Threads
from associated_learning.pipeline.threads.streams import streams

__all__ = ["EXECUTORS", "MAKERS", "Work", "chosen_executor", "make_executor", "stage_sizes"]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What an executor is made for: one training run.

    Attributes:
        net: The network.
        stage: The whole of it as one stage.
        stages: Number of stages, or how many layers each one has; None for the executor's choice.
        sample: Returns a minibatch, to measure what layers cost.
        stage_of: Makes a stage of a copy of the network.
        offload: Where the state of layers lies while they do not train.
    """

    net: Network
    stage: Stage
    stages: int | Sequence[int] | None
    sample: Callable[[], Minibatch]
    stage_of: Callable[[Network], Stage]
    offload: Offloading

    def split(self, default: int) -> list[Stage]:
        """Return the stages, balanced by measured time; ``default`` where no number was given."""
        stages = default if self.stages is None else self.stages

        def measured() -> tuple[list[float], list[float] | None]:
            costs = layer_costs(self.net, self.stage_of, self.sample())
            on_cpu = self.stage.device.type == "cpu"
            return costs.seconds, costs.handing("thread") if on_cpu else None

        return self.stage.split(stage_sizes(self.stage, stages, measured))


def _sequential(work: Work) -> Executor:
    if work.stages not in (None, 1):
        raise InputError(
            f"stages={work.stages} came with executor='sequential', which has one; leave stages "
            "out, or use threads."
        )
    return Sequential(work.net, work.stage)


def _threads(work: Work) -> Executor:
    default = min(len(work.stage.blocks), _processors(work.stage.device))
    if not work.offload.given:
        return Threads(work.net, work.split(default))
    division = StageDivision(
        offloading=work.offload,
        net=work.net,
        stage=work.stage,
        stages=default if work.stages is None else work.stages,
        sample=work.sample,
    )
    sizes, stores = division.place()
    return Threads(work.net, work.stage.split(sizes), stores=stores)


def _streams(work: Work) -> Executor:
    return streams(work.net, work.split(len(work.stage.blocks)), work.sample())


def _offload(work: Work) -> Executor:
    return work.offload.executor(work.net, work.stage, stages=work.stages, sample=work.sample)


MAKERS: Mapping[str, Callable[[Work], Executor]] = {
    "sequential": _sequential,
    "threads": _threads,
    "streams": _streams,
    "offload": _offload,
}
# the ranks of "processes" meet first, and then rank 0 makes the executor: see training/ranks.py
EXECUTORS = ("auto", *MAKERS, "processes")


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


def make_executor(name: str, work: Work, *, grows: bool = False) -> Executor:
    """Make the executor of one training run in one process.

    Args:
        name: One of `MAKERS`.
        work: What it is made for.
        grows: Whether more layers are to come, so that there may be fewer than stages for now.

    Raises:
        InputError: There are more stages than layers, or something else does not fit.
    """
    if grows and isinstance(work.stages, int) and name != "sequential":
        work = replace(work, stages=min(work.stages, len(work.stage.blocks)))
    return MAKERS[name](work)


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
