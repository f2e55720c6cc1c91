"""The processes of a campaign: as many runs at once as asked for, a row for each that ends."""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from associated_learning.runs.ledger.rows import (
    LedgerRow,
    append_row,
    check_ledger,
    make_row,
)
from associated_learning.runs.networks.families import IMAGE_MODELS
from associated_learning.runs.result import read_result
from associated_learning.runs.run import read_config
from associated_learning.state.files import make_folder, write_json
from reproduction.campaign.identity import Identity, identity
from reproduction.campaign.jobs import Job
from reproduction.campaign.worker import BUSY, LOG, SETTINGS, follow

__all__ = ["Ended", "Progress", "Running", "Worker", "run_jobs"]

Ended = Callable[[Job, LedgerRow | None], Sequence[Job]]

_STORE = Path("reproduce") / "data"  # below the folder of all runs
_PAUSE = 0.2  # seconds between two showings of the progress


@dataclass(frozen=True, kw_only=True, eq=False)
class Worker:
    """A process that makes one run after the other.

    Attributes:
        process: The process.
        orders: Takes the folders of its runs, and gives the status of each.
        device: Where it computes.
    """

    process: BaseProcess
    orders: Connection
    device: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Running:
    """A job under way.

    Attributes:
        job: The job.
        worker: Its process.
        folder: Folder of its run.
        begin: When it was started, by the monotonic clock.
    """

    job: Job
    worker: Worker
    folder: Path
    begin: float


@dataclass
class Progress:
    """Where a campaign stands.

    Attributes:
        waiting: Jobs that were not started yet.
        running: Those under way.
        idle: Processes that wait for a run.
        done: Those that are in the ledger now, with the seconds each took here.
        failed: Those that ended otherwise, each with the reason.
    """

    waiting: deque[Job]
    running: list[Running] = field(default_factory=list)
    idle: list[Worker] = field(default_factory=list)
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
    ended: Ended | None = None,
) -> Progress:
    """Make runs in several processes, and append a row to the ledger as each ends.

    Killed at any time, the same call goes on: runs that are in the ledger are left out by
    `missing_jobs`, and the others go on at their last checkpoint. A script that calls it needs
    `if __name__ == "__main__"`, as all that use Python's multiprocessing do.

    Args:
        jobs: What to run, in this order.
        runs: Folder of all runs.
        ledger: The ledger.
        at_once: Number of processes.
        devices: Where they compute, as many on each.
        threads: Threads inside operations of each.
        keep_checkpoints: Whether to leave the weights of finished runs on the disk.
        show: Told where the campaign stands, several times a second.
        ended: Told each job that ended, with its row if it did well; returns what is to be run
            from then on, of which nothing is started twice. None for no more than ``jobs``.

    Raises:
        CheckpointError: The ledger cannot be written.
        KeyboardInterrupt: Ctrl-C, after every run has saved.
    """
    check_ledger(ledger)
    progress, processes = Progress(waiting=deque(jobs)), _processes()
    begun: set[tuple[Identity, int]] = set()
    with _ended(progress):
        while progress.waiting or progress.running:
            while progress.waiting and len(progress.running) < at_once:
                if not progress.idle:
                    device = _emptiest(devices, progress.running)
                    progress.idle.append(_worker(processes, device, runs / _STORE))
                job = progress.waiting.popleft()
                begun.add((job.identity, job.seed))
                progress.running.append(_start(job, progress.idle.pop(), runs, threads))
            show(progress)
            for one in _answered(progress.running):
                progress.running.remove(one)
                row = _take(one, progress, ledger, keep_checkpoints)
                if ended is not None:
                    due = ended(one.job, row)
                    fresh = [job for job in due if (job.identity, job.seed) not in begun]
                    progress.waiting = deque(fresh)
    show(progress)
    return progress


def _processes() -> ForkServerContext:
    """Return what makes processes that have all modules loaded already."""
    context = multiprocessing.get_context("forkserver")
    # torch would import its compiler in every process, when the first optimizer is made
    context.set_forkserver_preload([follow.__module__, "torch._dynamo"])
    return context


def _emptiest(devices: Sequence[str], running: Sequence[Running]) -> str:
    """Return the device on which the fewest processes compute."""
    used = [one.worker.device for one in running]
    return min(devices, key=used.count)


def _worker(processes: ForkServerContext, device: str, packed: Path) -> Worker:
    ours, theirs = processes.Pipe()
    process = processes.Process(target=follow, args=(theirs, packed))
    process.start()
    theirs.close()  # so that ours tells when the process has ended
    return Worker(process=process, orders=ours, device=device)


def _start(job: Job, worker: Worker, runs: Path, threads: int) -> Running:
    folder = runs / job.folder
    make_folder(folder)
    device = worker.device
    config = replace(job.config, device=device, threads=threads, **_graphs(job, device))
    write_json(folder / SETTINGS, config.to_json())
    with suppress(OSError):  # it has ended: the next look at it finds that
        worker.orders.send(folder)
    return Running(job=job, worker=worker, folder=folder, begin=time.monotonic())


def _answered(running: Sequence[Running]) -> list[Running]:
    """Return the jobs whose process has answered or ended, as soon as there is one."""
    found = wait([one.worker.orders for one in running], _PAUSE)
    return [one for one in running if one.worker.orders in found]


def _graphs(job: Job, device: str) -> dict[str, Any]:
    """Return settings by which layers of images are CUDA graphs on a GPU; bits stay the same.

    Batches of texts differ in length, and dropout cannot be in a graph.
    """
    fits = job.config.model in IMAGE_MODELS and device.startswith("cuda")
    return {"executor": "streams", "stages": "1"} if fits else {}


def _take(
    one: Running, progress: Progress, ledger: Path, keep_checkpoints: bool
) -> LedgerRow | None:
    """Take account of a run that ended; return its row, if it ended well."""
    try:
        one.worker.orders.recv()
    except (EOFError, OSError):
        one.worker.process.join()
        progress.failed.append((one.job, _reason(one)))
        return None
    progress.idle.append(one.worker)
    result, config = read_result(one.folder), read_config(one.folder)
    if result is None or identity(config.to_json()) != one.job.identity:
        reason = f"{one.folder} holds a run of other settings; remove it, and start again"
        progress.failed.append((one.job, reason))
        return None
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
    return row


def _reason(one: Running) -> str:
    if one.worker.process.exitcode == BUSY:
        return "another campaign is at this run"
    log = one.folder / LOG
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return lines[-1] if lines else f"its process ended with status {one.worker.process.exitcode}"


@contextmanager
def _ended(progress: Progress) -> Iterator[None]:
    """Let no process outlive the block: all are asked to save, and waited for."""
    try:
        yield
    finally:
        for worker in progress.idle:
            worker.orders.close()
        for one in progress.running:
            one.worker.process.terminate()
        for process in [one.worker.process for one in progress.running]:
            process.join()
        for worker in progress.idle:
            worker.process.join()
