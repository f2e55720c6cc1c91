"""How a network is spread over the ranks of a run: what fits, and rank 0's executor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from associated_learning.errors import InputError
from associated_learning.network import Network
from associated_learning.pipeline.choice import stage_sizes
from associated_learning.pipeline.costs import layer_costs
from associated_learning.pipeline.executor import Executor
from associated_learning.pipeline.items import Job
from associated_learning.pipeline.partition import checked_sizes
from associated_learning.pipeline.processes import Processes
from associated_learning.pipeline.ranks import Ranks
from associated_learning.pipeline.stage import Stage

__all__ = ["check_ranks", "make_processes"]


def make_processes(
    ranks: Ranks,
    net: Network,
    stage: Stage,
    *,
    stages: int | Sequence[int] | None,
    replicas: int,
    wire: torch.dtype | None,
    sample: Callable[[], Job],
    stage_of: Callable[[Network], Stage],
) -> Executor:
    """Make the executor of a training run in several processes, on rank 0.

    Args:
        ranks: The processes; see `check_ranks`.
        net: The network.
        stage: The whole of it as one stage.
        stages: Number of stages, or how many layers each one has.
        replicas: Number of ranks of each stage.
        wire: Type of float32 activations between ranks.
        sample: Returns a minibatch, to measure what layers cost.
        stage_of: Makes a stage of a copy of the network.
    """
    if stages is None:
        stages = ranks.size // replicas

    def measured() -> tuple[list[float], list[float]]:
        costs = layer_costs(net, stage_of, sample())
        return costs.seconds, costs.handing(wire)

    sizes = stage_sizes(stage, stages, measured)
    return Processes(ranks, net, stage, sizes, replicas=replicas, wire=wire)


def check_ranks(
    size: int, blocks: int, *, stages: int | Sequence[int] | None, replicas: int
) -> None:
    """Raise InputError, on all ranks alike, if stages and replicas do not fit the ranks.

    Args:
        size: Number of ranks.
        blocks: Number of layers.
        stages: Number of stages, or how many layers each one has; None for as many as fit.
        replicas: Number of ranks of each stage.
    """
    if stages is None:
        count, rest = divmod(size, replicas)
        if rest:
            raise InputError(
                f"replicas={replicas} came for {size} ranks; expected a divisor of {size}. Start "
                f"{size - rest} or {size + replicas - rest} ranks."
            )
    else:
        count = stages if isinstance(stages, int) else len(checked_sizes(stages, blocks))
    if count > blocks:
        raise InputError(
            f"{count} stages came for a network of {blocks} layers, and a stage needs one at "
            f"least. Start {blocks * replicas} ranks at most, or give replicas."
        )
    if count * replicas != size:
        raise InputError(
            f"{count} stages of {replicas} ranks came, which needs {count * replicas} ranks; "
            f"torchrun started {size}. Start as many as needed, or leave stages out."
        )
