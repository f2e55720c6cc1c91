"""The ledger: one line of JSON a finished run, from which every published number comes."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from associated_learning.errors import CheckpointError
from associated_learning.experiments.config import RunConfig
from associated_learning.experiments.run import RunResult

__all__ = ["LedgerRow", "append_row", "describe_hardware", "make_row", "read_rows"]


@dataclass(frozen=True, kw_only=True)
class LedgerRow:
    """One run, with all that is needed to make it again.

    Attributes:
        experiment: What it belongs to, such as "first-runs" or "table1".
        data: Name of the data set.
        model: Network family.
        method: "al" or "bp".
        variant: Name of the variant of the method.
        seed: Seed of the run.
        commit: Commit of the code, with "+" if the tree had other changes.
        config: All settings (`RunConfig`).
        hardware: Processor and number of threads, or GPU.
        torch: Version of torch.
        epochs: Number of epochs trained.
        best_epoch: Best epoch on the validation data.
        validation: Validation accuracy at depth 1, 2, ..., L in that epoch.
        test: Test accuracy at every depth in that epoch, read once.
        seconds: Training time.
    """

    experiment: str
    data: str
    model: str
    method: str
    variant: str
    seed: int
    commit: str
    config: dict[str, Any]
    hardware: str
    torch: str
    epochs: int
    best_epoch: int
    validation: list[float]
    test: list[float]
    seconds: float


def make_row(
    config: RunConfig, result: RunResult, *, experiment: str, variant: str = "default"
) -> LedgerRow:
    """Make the row of a finished run; ``config`` should be resolved. No path is kept."""
    settings = config.to_json()
    for name in ("data_root", "vectors", "test_data"):
        settings[name] = None if settings[name] is None else Path(settings[name]).name
    return LedgerRow(
        experiment=experiment,
        data=Path(config.data).name,
        model=config.model,
        method=config.method,
        variant=variant,
        seed=config.seed,
        commit=_commit(),
        config=settings,
        hardware=describe_hardware(config.device),
        torch=torch.__version__,
        epochs=result.epochs,
        best_epoch=result.best_epoch,
        validation=[round(score, 6) for score in result.validation_scores],
        test=[round(score, 6) for score in result.test_scores],
        seconds=round(result.seconds, 1),
    )


def append_row(path: Path, row: LedgerRow) -> None:
    """Append a row in one write, so that runs that end at once do not mix their lines.

    Raises:
        CheckpointError: The file cannot be written.
    """
    line = json.dumps(asdict(row)) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line.encode())
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be written ({error}); the run is unharmed."
        ) from error


def read_rows(path: Path) -> list[LedgerRow]:
    """Read all rows. Raises CheckpointError with the line's number where one is malformed."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            rows.append(LedgerRow(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{path}, line {number} is no ledger row: {error}") from error
    return rows


def describe_hardware(device: str = "cpu") -> str:
    """Return the GPU, or the processor and the number of threads in use."""
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name(None if device == "auto" else device)
    return f"{_processor()}, {torch.get_num_threads()} of {os.cpu_count()} threads"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    """Return the commit of the checkout this package lies in, or "unknown"."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        status = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no", "--", "."],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if status.stdout.strip() else "")
