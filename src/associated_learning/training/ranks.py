"""The executor "processes": the ranks meet, rank 0 drives the training, the others follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from associated_learning.pipeline.executor import Executor
from associated_learning.pipeline.executor_table import Work
from associated_learning.pipeline.offload.settings import Offloading
from associated_learning.pipeline.processes.agreement import agreed
from associated_learning.pipeline.processes.crew import Crew
from associated_learning.pipeline.processes.executor import follow
from associated_learning.pipeline.processes.placement import check_ranks, make_processes
from associated_learning.pipeline.processes.rendezvous import joined, number_of_ranks
from associated_learning.state.training_state import TrainingState
from associated_learning.tensors.devices import device_of
from associated_learning.training.batch_stream import BatchSource
from associated_learning.training.callbacks import Callback, Callbacks
from associated_learning.training.fit import TrainingRun

__all__ = ["fit_in_ranks"]


def fit_in_ranks(
    settings: Mapping[str, Any],
    offload: Offloading,
    training: TrainingRun,
    train: BatchSource,
    validation: BatchSource | None,
    callbacks: Iterable[Callback],
) -> TrainingState:
    """Train as one rank of those that ``torchrun`` started.

    Raises:
        InputError: Stages and replicas do not fit the ranks, or the ranks do not agree.
    """
    # before they meet, so that all of them are told the same
    net, growth = training.net, training.growth
    stages, replicas, wire = settings["stages"], settings["replicas"], settings["wire"]
    most = len(net.blocks()) if growth is None else growth.max_layers
    check_ranks(number_of_ranks(), most, stages=stages, replicas=replicas)
    with joined(agreed(settings, net, len(train))) as ranks:
        if ranks.rank > 0:
            outcome = follow(ranks, net, training.reshaped, replicas=replicas, wire=wire)
            return training.end(TrainingState.from_json(outcome))
        crew = Crew(ranks, replicas=replicas, device=device_of(net), wire=wire)

        def make(**parts: Any) -> Executor:
            return make_processes(crew, Work(stages=stages, offload=offload, **parts))

        return training.run(train, validation, Callbacks(callbacks), make)
