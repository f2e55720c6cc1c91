"""``al reproduce``: make the runs of the paper's tables and figures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from associated_learning.cli.tables import command, console
from associated_learning.errors import CheckpointError, InputError
from associated_learning.runs.ledger.rows import read_rows
from associated_learning.runs.printable import escape
from associated_learning.runs.result import read_history
from associated_learning.runs.trainer import choose_device
from associated_learning.state.training_state import EpochRecord
from reproduction.campaign.jobs import Job, Selection, parsed_seeds
from reproduction.campaign.pool import Progress, run_jobs
from reproduction.campaign.portable import write_portable
from reproduction.campaign.times import clock, remaining_seconds
from reproduction.commands.planning import Asked, CampaignPlan, plan_campaign
from reproduction.paper.catalogue import (
    EXHIBITS,
    TUNING,
    Exhibit,
    find_exhibit,
)
from reproduction.paper.data_paths import DataPaths, widest_vectors
from reproduction.paper.tiers import SEEDS

__all__ = ["reproduce"]

_SHOWN = 12  # rows of jobs that are shown of those under way and ended
_ON_A_GPU = 4  # runs at once: each is small, and a step waits for the processor


def reproduce(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="table1, ..., table10, figure3, figure6, field, variants; all for all of these; "
            "and rates, rates-images.",
        ),
    ],
    *,
    tier: Annotated[
        str,
        typer.Option(
            metavar="full|cpu|resampled",
            help="full: the paper's protocol. cpu: the smaller one for two cores. resampled: of "
            "tables 1 and 4, each arm with the best rate of its own grid, each seed with its own "
            "subset.",
        ),
    ] = "cpu",
    data: Annotated[
        list[str] | None, typer.Option(help="Only this data set; may be repeated.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Only this model; may be repeated.")
    ] = None,
    arm: Annotated[list[str] | None, typer.Option(help="Only this arm; may be repeated.")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Such as 0-4 or 0,2; the tier's own if not given.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Runs at once; one a processor, or 4 a GPU, if not given.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads inside operations of each run.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1; auto takes all GPUs.")] = "auto",
    data_root: Annotated[
        str | None,
        typer.Option(
            envvar="AL_DATA_ROOT",
            help="Folder with NAME/SPLIT.parquet files; without it the Hugging Face hub.",
        ),
    ] = None,
    vectors: Annotated[
        str | None,
        typer.Option(help="Word vectors; the widest in DATA_ROOT/glove if not given."),
    ] = None,
    ledger: Annotated[
        str, typer.Option(metavar="FILE", help="The ledger.")
    ] = "results/ledger.jsonl",
    runs: Annotated[str, typer.Option(help="Folder of the runs.")] = "runs",
    keep_checkpoints: Annotated[
        bool, typer.Option(help="Leave the weights of finished runs on the disk.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    export_data: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Write what all these runs read of their data there, and stop: the data root of "
            "a machine that lacks the data.",
        ),
    ] = None,
) -> None:
    """Make the runs of tables and figures of the paper, and append each to the ledger.

    Runs that the ledger holds are left out. Killed at any time, the same command goes on.

    Examples:
        al reproduce table1 --tier cpu --dry-run

        al reproduce table1 --data sst2 --model bilstm --seeds 0-2 --jobs 2

        al reproduce all --tier full --data-root DATA
    """
    places = DataPaths(
        data_root=data_root,
        vectors=vectors or (data_root and widest_vectors(data_root)),
        device=device,
    )
    asked = Asked(
        exhibits=_exhibits(names),
        tier=tier,
        seeds=SEEDS.get(tier, (0,)) if seeds is None else parsed_seeds(seeds),
        selection=Selection(
            data=tuple(data or ()), models=tuple(model or ()), arms=tuple(arm or ())
        ),
        places=places,
    )
    plan = plan_campaign(asked, read_rows(Path(ledger)) if Path(ledger).exists() else [])
    console.print(plan.told)
    if export_data is not None:
        for path in write_portable(plan.data, Path(export_data)):
            console.print(f"wrote {escape(str(path))}", soft_wrap=True)
        return
    devices = _devices(device)
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs {jobs} came; expected 1 or more runs at once.")
    at_once = jobs or (os.cpu_count() or 1 if devices == ["cpu"] else _ON_A_GPU * len(devices))
    if dry_run or not plan.missing:
        _show_plan(plan.missing, at_once)
        return
    _campaign(plan, Path(runs), Path(ledger), at_once, devices, threads, keep_checkpoints)


def _campaign(
    plan: CampaignPlan,
    runs: Path,
    ledger: Path,
    at_once: int,
    devices: Sequence[str],
    threads: int,
    keep_checkpoints: bool,
) -> None:
    told = 0

    def show(progress: Progress) -> None:
        nonlocal told
        live.update(_view(progress, at_once))
        for job, seconds in progress.done[told:]:
            if not console.is_terminal:
                left = clock(remaining_seconds(progress, at_once))
                console.print(f"{escape(job.name)}: {clock(seconds)}; left {left}", soft_wrap=True)
        told = len(progress.done)

    try:
        with Live(console=console, refresh_per_second=2, transient=True) as live:
            progress = run_jobs(
                plan.missing,
                runs=runs,
                ledger=ledger,
                at_once=at_once,
                devices=devices,
                threads=threads,
                keep_checkpoints=keep_checkpoints,
                show=show,
                ended=plan.ended,
            )
    except KeyboardInterrupt:
        console.print("Interrupted; every run is saved. The same command goes on.")
        raise typer.Exit(130) from None
    console.print(f"{len(progress.done)} runs are in {escape(str(ledger))} now.")
    for job, reason in progress.failed:
        console.print(f"[red]{escape(job.name)}[/]: {escape(reason, lines=True)}", soft_wrap=True)
    console.print(f"Next: {escape(command())} report")
    if progress.failed:
        raise typer.Exit(1)


def _exhibits(names: Sequence[str]) -> list[Exhibit]:
    if "all" in names:
        return [exhibit for name, exhibit in EXHIBITS.items() if name not in TUNING]
    return [find_exhibit(name) for name in names]


def _devices(device: str) -> list[str]:
    if device != "auto":
        choose_device(device)  # which says what is wrong with it, before any process starts
        return [device]
    return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]


def _show_plan(missing: Sequence[Job], at_once: int) -> None:
    table = Table(title="what is missing")
    for heading in ("run", "seeds", "expected, one run", "in all"):
        table.add_column(heading, justify="left" if heading == "run" else "right")
    for name in dict.fromkeys(job.run.name for job in missing):
        of_run = [job for job in missing if job.run.name == name]
        total = sum(job.expected for job in of_run)
        seeds = ",".join(str(job.seed) for job in of_run)
        table.add_row(escape(name), seeds, clock(of_run[0].expected), clock(total))
    if missing:
        console.print(table)
    total = sum(job.expected for job in missing)
    console.print(
        f"{len(missing)} runs to make: {clock(total)} on one core, {clock(total / at_once)} with "
        f"{at_once} at once."
    )


def _view(progress: Progress, at_once: int) -> RenderableType:
    done, left = len(progress.done), len(progress.waiting) + len(progress.running)
    line = f"{done} done, {len(progress.running)} running, {len(progress.waiting)} waiting"
    if progress.failed:
        line += f", {len(progress.failed)} failed"
    line += f"; left {clock(remaining_seconds(progress, at_once))}" if left else ""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("run", "epoch", "validation", "expected"):
        table.add_column(heading, justify="left" if heading == "run" else "right")
    for one in progress.running[:_SHOWN]:
        records = _history(one.folder)
        score = f"{records[-1].scores[-1]:.4f}" if records else ""
        epoch = f"{len(records)} of {one.job.config.epochs}"
        table.add_row(escape(one.job.name), epoch, score, clock(one.job.expected))
    return Group(Text(line), table)


def _history(folder: Path) -> list[EpochRecord]:
    """Return the epochs of a run under way; none where it is about to write them anew."""
    try:
        return read_history(folder) if (folder / "metrics.jsonl").exists() else []
    except CheckpointError:
        return []
