"""The processes of a campaign: as many runs at once as asked for, a row for each that ends."""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from associated_learning.runs.ledger.ledger import append_row, check_ledger, make_row
from associated_learning.runs.networks.families import IMAGE_MODELS
from associated_learning.runs.result import read_result
from associated_learning.runs.run import read_config
from associated_learning.state.files import make_folder, write_json
from reproduction.campaign.identity import identity
from reproduction.campaign.jobs import Job
from reproduction.campaign.worker import BUSY, LOG, SETTINGS, run_process

__all__ = ["Progress", "Running", "run_jobs"]

_STORE = Path("reproduce") / "data"  # below the folder of all runs
_PAUSE = 0.2  # seconds between two looks at the processes


@dataclass(frozen=True, kw_only=True, eq=False)
class Running:
    """A job under way.

    Attributes:
        job: The job.
        process: Its process.
        folder: Folder of its run.
        begin: When it was started, by the monotonic clock.
    """

    job: Job
    process: BaseProcess
    folder: Path
    begin: float


@dataclass
class Progress:
    """Where a campaign stands.

    Attributes:
        waiting: Jobs that were not started yet.
        running: Those under way.
        done: Those that are in the ledger now, with the seconds each took here.
        failed: Those that ended otherwise, each with the reason.
    """

    waiting: deque[Job]
    running: list[Running] = field(default_factory=list)
    done: list[tuple[Job, float]] = field(default_factory=list)
    failed: list[tuple[Job, str]] = field(default_factory=list)


def run_jobs(
    jobs: Sequence[Job],
    *,
    runs: Path,
    ledger: Path,
    at_once: int,
    devices: Sequence[str],
    threads: int = 1,
    keep_checkpoints: bool = False,
    show: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Make runs in processes of their own, and append a row to the ledger as each ends.

    Killed at any time, the same call goes on: runs that are in the ledger are left out by
    `missing_jobs`, and the others go on at their last checkpoint. A script that calls it needs
    `if __name__ == "__main__"`, as all that use Python's multiprocessing do.

    Args:
        jobs: What to run, in this order.
        runs: Folder of all runs.
        ledger: The ledger.
        at_once: Number of processes.
        devices: Where they compute, in turn.
        threads: Threads inside operations of each.
        keep_checkpoints: Whether to leave the weights of finished runs on the disk.
        show: Told where the campaign stands, several times a second.

    Raises:
        CheckpointError: The ledger cannot be written.
        KeyboardInterrupt: Ctrl-C, after every run has saved.
    """
    check_ledger(ledger)
    progress = Progress(waiting=deque(jobs))
    started, processes = 0, _processes()
    with _ended(progress):
        while progress.waiting or progress.running:
            while progress.waiting and len(progress.running) < at_once:
                device = devices[started % len(devices)]
                job = progress.waiting.popleft()
                progress.running.append(_start(processes, job, runs, device, threads))
                started += 1
            show(progress)
            time.sleep(_PAUSE)
            for one in [one for one in progress.running if one.process.exitcode is not None]:
                progress.running.remove(one)
                _take(one, progress, ledger, keep_checkpoints)
    show(progress)
    return progress


def _processes() -> ForkServerContext:
    """Return what makes processes that have all modules loaded already."""
    context = multiprocessing.get_context("forkserver")
    # torch would import its compiler in every process, when the first optimizer is made
    context.set_forkserver_preload([run_process.__module__, "torch._dynamo"])
    return context


def _start(
    processes: ForkServerContext, job: Job, runs: Path, device: str, threads: int
) -> Running:
    folder = runs / job.folder
    make_folder(folder)
    config = replace(job.config, device=device, threads=threads, **_graphs(job, device))
    write_json(folder / SETTINGS, config.to_json())
    process = processes.Process(target=run_process, args=(folder, runs / _STORE))
    process.start()
    return Running(job=job, process=process, folder=folder, begin=time.monotonic())


def _graphs(job: Job, device: str) -> dict[str, Any]:
    """Return settings by which layers of images are CUDA graphs on a GPU; bits stay the same.

    Batches of texts differ in length, and dropout cannot be in a graph.
    """
    fits = job.config.model in IMAGE_MODELS and device.startswith("cuda")
    return {"executor": "streams", "stages": "1"} if fits else {}


def _take(one: Running, progress: Progress, ledger: Path, keep_checkpoints: bool) -> None:
    """Take account of a process that ended."""
    result = read_result(one.folder) if one.process.exitcode == 0 else None
    if result is None:
        progress.failed.append((one.job, _reason(one)))
        return
    config = read_config(one.folder)
    if identity(config.to_json()) != one.job.identity:
        reason = f"{one.folder} holds a run of other settings; remove it, and start again"
        progress.failed.append((one.job, reason))
        return
    row = make_row(
        config,
        result,
        experiment=one.job.experiment,
        variant=one.job.run.arm,
        tier=one.job.tier,
    )
    append_row(ledger, row)
    if not keep_checkpoints:
        shutil.rmtree(one.folder / "checkpoints", ignore_errors=True)
    progress.done.append((one.job, time.monotonic() - one.begin))


def _reason(one: Running) -> str:
    if one.process.exitcode == BUSY:
        return "another campaign is at this run"
    log = one.folder / LOG
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return lines[-1] if lines else f"its process ended with status {one.process.exitcode}"


@contextmanager
def _ended(progress: Progress) -> Iterator[None]:
    """Let no process outlive the block: all are asked to save, and waited for."""
    try:
        yield
    finally:
        for one in progress.running:
            one.process.terminate()
        for one in progress.running:
            one.process.join()
