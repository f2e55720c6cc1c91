"""Every executor as a test uses it: one line here, and `test_executor_laws` holds for it too."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
import torch

import growing
from associated_learning.training.callbacks import Callback
from faults import Poison
from pipeline_runs import all_kinds_of_layers, layers_with_positions, trained
from rank_processes import Place, RankError, Ranks

__all__ = [
    "EXECUTORS",
    "SEQUENTIAL",
    "End",
    "ExecutorCase",
    "Fit",
    "as_torchrun_does",
    "parameters",
]


@dataclass(frozen=True)
class ExecutorCase:
    """How a network is trained.

    Attributes:
        executor: What the trainer calls it.
        stages: Among how many stages, or of which sizes, the layers are divided.
        ranks: Number of processes; 0 for those that need no more than this one.
        device: Where the network is.
        options: Further options of the trainer; ``store="disk"`` is a fresh folder.
    """

    executor: str
    stages: Any = None
    ranks: int = 0
    device: str = "cpu"
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """What pytest shows."""
        parts = [self.executor, *([] if self.stages is None else [self.stages])]
        parts += [value for name, value in self.options if name == "store"]
        parts += [f"{self.ranks} ranks"] if self.ranks else []
        parts += [] if self.device == "cpu" else [self.device]
        return " ".join(map(str, parts))

    def train(self, *fits: Fit) -> list[list[End | str]]:
        """Train one network after the other; return how each ended on every rank."""
        with tempfile.TemporaryDirectory() as folder:
            case = self._with_store(Path(folder) / "store")
            if not self.ranks:
                return [[_ended(case, fit, number)] for number, fit in enumerate(fits)]
            with Ranks(_in_rank, self.ranks, case, fits) as ranks:
                ends = [_told(ranks, rank, len(fits)) for rank in range(self.ranks)]
            return [list(of_fit) for of_fit in zip(*ends, strict=True)]

    def _with_store(self, folder: Path) -> ExecutorCase:
        options = dict(self.options)
        if options.get("store") == "disk":
            options["store"] = folder
        return replace(self, options=tuple(options.items()))


class Fit(NamedTuple):
    """A training run; it can be sent to other processes.

    Attributes:
        folder: Where its checkpoints are, if anywhere.
        options: Options of the trainer, or of `growing.fit` where ``growth`` is among them.
        callback: Heard by the process that keeps account.
        poison: The layer (from 1) that gives NaN from batch 20 on; 0 for none.
    """

    folder: Path | None
    options: dict[str, Any]
    callback: Callback | None = None
    poison: int = 0


class End(NamedTuple):
    """What a run ended with on one rank; weights are arrays, which are cheap to send."""

    weights: dict[str, Any]
    progress: tuple[Any, ...]
    records: list[tuple[Any, ...]]
    heard: Any


SEQUENTIAL = ExecutorCase("sequential")

_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

EXECUTORS = [
    SEQUENTIAL,
    ExecutorCase("threads", 2),
    ExecutorCase("threads", (2, 1, 1)),
    ExecutorCase("offload", options=(("window", 7),)),
    ExecutorCase("offload", (1, 3), options=(("window", 16), ("recompute", True))),
    ExecutorCase(
        "threads", (1, 3), options=(("window", 16), ("store", "disk"), ("recompute", True))
    ),
    ExecutorCase("processes", None, ranks=2),
    ExecutorCase("processes", (1, 1, 2), ranks=3),
    ExecutorCase("processes", None, ranks=2, options=(("window", 7), ("store", "disk"))),
    ExecutorCase("sequential", device="cuda"),
    ExecutorCase("threads", 4, device="cuda"),
    ExecutorCase("streams", 4, device="cuda"),
    ExecutorCase("offload", device="cuda", options=(("window", 7),)),
    ExecutorCase("threads", 2, device="cuda", options=(("window", 7),)),
]


def parameters() -> list[Any]:
    """Return `EXECUTORS` as pytest takes them, with the marks of what they need."""
    return [
        pytest.param(
            case,
            id=case.name,
            marks=[
                *(_GPU if case.device == "cuda" else []),
                *([pytest.mark.distributed] if case.ranks else []),
            ],
        )
        for case in EXECUTORS
    ]


def as_torchrun_does(place: Place) -> None:
    """Set the variables by which torchrun tells a process its place."""
    os.environ.update(
        RANK=str(place.rank),
        WORLD_SIZE=str(place.size),
        LOCAL_RANK=str(place.rank),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(place.port),
        TORCHELASTIC_USE_AGENT_STORE="True",
    )


def _in_rank(place: Place, case: ExecutorCase, fits: Sequence[Fit]) -> None:
    as_torchrun_does(place)
    for number, fit in enumerate(fits):
        own = fit if place.rank == 0 else fit._replace(folder=None, callback=None)
        place.tell(_ended(case, own, number))


def _told(ranks: Ranks, rank: int, count: int) -> list[End | str]:
    """Take what a rank tells of each run; one that died tells its exit code."""
    try:
        return [ranks.told(rank) for _ in range(count)]
    except RankError as error:
        return [str(error)] * count


def _ended(case: ExecutorCase, fit: Fit, number: int) -> End | str:
    """Train here; return the end, or the class and message of the error."""
    options = dict(case.options)
    if isinstance(options.get("store"), Path):  # each network has one of its own
        options["store"] = options["store"] / str(number)
    own = replace(case, options=tuple(options.items()))
    try:
        with _deterministic(case.device), mock.patch.object(os, "fsync"):  # no test cuts the power
            return _trained(own, fit)
    except (Exception, KeyboardInterrupt) as error:
        return f"{type(error).__name__}: {error}"


def _trained(case: ExecutorCase, fit: Fit) -> End:
    options = {**fit.options, **dict(case.options), "executor": case.executor}
    options["callbacks"] = [] if fit.callback is None else [fit.callback]
    if "growth" in options:  # sizes of stages are for networks that stay as they are
        stages = len(case.stages) if isinstance(case.stages, tuple) else case.stages
        net: Any = growing.first_layer().to(case.device)
        net, state = growing.fit(
            options.pop("growth"), fit.folder, net=net, stages=stages, **options
        )
    else:
        association = options.get("positions")
        made = layers_with_positions(association) if association else all_kinds_of_layers()
        net = made.to(case.device)
        if fit.poison:
            net.layers[fit.poison - 1].f.append(Poison(19))
        executor = options.pop("executor")
        net, state = trained(executor, fit.folder, net=net, stages=case.stages, **options)
    weights = {name: value.cpu().numpy() for name, value in net.state_dict().items()}
    progress = (state.step, state.epoch, state.best_epoch, state.stopped, state.depth)
    records = [(r.step, r.losses, r.scores, r.validation_losses, r.lr) for r in state.records]
    return End(weights, progress, records, getattr(fit.callback, "heard", None))


@contextlib.contextmanager
def _deterministic(device: str) -> Iterator[None]:
    """Let a GPU compute the same bits every time inside the block."""
    if device == "cpu":
        yield
        return
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
