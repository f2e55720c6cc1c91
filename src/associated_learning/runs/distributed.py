"""A run whose layers train in several processes: what rank 0 tells the others of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from associated_learning.pipeline.executor_table import chosen_executor
from associated_learning.runs.folder.description import (
    Description,
    description_from_json,
    description_to_json,
)
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.networks.growth import lowest_layers
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.runs.trainer import choose_device, make_trainer, set_up_torch

if TYPE_CHECKING:
    from associated_learning.pipeline.processes.rendezvous import Ranks

__all__ = ["follow_run", "ranks_of", "tell_run"]


@contextmanager
def ranks_of(config: ResolvedConfig) -> Iterator[Ranks | None]:
    """Join the processes of a run, or yield None where there is only this one.

    Raises:
        InputError: They were started with other settings or versions.
        PipelineError: One of them failed.
    """
    device = choose_device(config.device)
    if chosen_executor(config.executor, device, config.stage_sizes) != "processes":
        yield None
        return
    # here, because not every build of torch has torch.distributed
    from associated_learning.pipeline.processes.rendezvous import joined

    settings = {f"--{name}": json.dumps(value) for name, value in config.to_json().items()}
    with joined(settings) as ranks:
        yield ranks


def tell_run(
    ranks: Ranks | None,
    description: Description | None,
    *,
    batches: int = 0,
    folder: Path | None = None,
) -> None:
    """Tell the other ranks what is trained; None says that there is nothing to train."""
    if ranks is not None:
        described = None if description is None else description_to_json(description)
        ranks.tell("run", [described, batches, str(folder or "")])


def follow_run(config: ResolvedConfig, ranks: Ranks) -> None:
    """Take part in rank 0's run, as any other rank; the data are read by rank 0 alone.

    Raises:
        AssociatedLearningError: Training failed, here or on another rank.
    """
    described, batches, folder = ranks.hear("run")
    if described is None:
        return
    description = description_from_json(described)
    set_up_torch(config)
    net = build_network(
        description.config, description.spec, backbone=description.backbone, pretrained=False
    )
    net = net.to(choose_device(config.device))
    trainer = make_trainer(description.config, batches, net, folder=Path(folder))
    trainer.fit(lowest_layers(net, config.grow_from), _Absent(batches))


class _Absent:
    """Stands for the batches, which rank 0 makes."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        raise AssertionError("only rank 0 makes batches")
