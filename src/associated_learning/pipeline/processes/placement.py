"""How a network is spread over the ranks of a run: what fits, and rank 0's executor."""

from __future__ import annotations

from collections.abc import Sequence

from associated_learning.errors import InputError
from associated_learning.pipeline.executor import Executor
from associated_learning.pipeline.executor_table import Work, stage_sizes
from associated_learning.pipeline.offload.stage_division import StageDivision
from associated_learning.pipeline.planning.costs import layer_costs
from associated_learning.pipeline.planning.partition import checked_sizes
from associated_learning.pipeline.processes.crew import Crew
from associated_learning.pipeline.processes.executor import Processes

__all__ = ["check_ranks", "make_processes"]


def make_processes(crew: Crew, work: Work) -> Executor:
    """Make the executor of a training run in several processes, on rank 0.

    While the network has fewer layers than there are stages, the last ones are idle.
    """
    net, stage = work.net, work.stage
    stages = crew.ranks.size // crew.replicas if work.stages is None else work.stages

    def measured() -> tuple[list[float], list[float]]:
        costs = layer_costs(net, work.stage_of, work.sample())
        return costs.seconds, costs.handing("process", crew.wire)

    idle = max(0, stages - len(stage.blocks)) if isinstance(stages, int) else 0
    busy = stages - idle if isinstance(stages, int) else stages
    if not work.offload.given:
        return Processes(crew, net, stage, [*stage_sizes(stage, busy, measured), *[0] * idle])
    division = StageDivision(
        offloading=work.offload,
        net=net,
        stage=stage,
        stages=busy,
        sample=work.sample,
        processes=True,
    )
    sizes, stores = division.place()
    return Processes(crew, net, stage, [*sizes, *[0] * idle], stores)


def check_ranks(
    size: int, blocks: int, *, stages: int | Sequence[int] | None, replicas: int
) -> None:
    """Raise InputError, on all ranks alike, if stages and replicas do not fit the ranks.

    Args:
        size: Number of ranks.
        blocks: Number of layers, or of those that it may grow to.
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
