"""The ledger: one line of JSON a finished run, from which every published number comes."""

from __future__ import annotations

import json
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from associated_learning.errors import CheckpointError
from associated_learning.runs.config import RunConfig
from associated_learning.runs.ledger.schema import check_row
from associated_learning.runs.result import RunResult
from associated_learning.state.lines import append_line, read_lines
from associated_learning.state.lock import FOREVER, held_lock

__all__ = ["LedgerRow", "append_row", "make_row", "read_rows"]


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
        tier: Protocol: "full", the paper's; "cpu", the declared smaller one; or "single".
        train_samples: See `RunResult`, as for all that follows. None or empty in rows that are
            older than these columns.
        test_samples: Number of test samples.
        vector_dim: Width of the word vectors.
        vector_coverage: Share of the vocabulary that they know.
        parameters: Number of trained parameters.
        associated: Mean associated loss of each layer in the best epoch.
        validation_curve: Validation accuracy at every depth, epoch by epoch.
        training_curve: Training accuracy after every epoch.
        answers: Which test samples full depth got right.

    Raises:
        InputError: A value does not fit (see `check_row`).
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
    tier: str = "single"
    train_samples: int | None = None
    train_pool: int | None = None
    test_samples: int | None = None
    vector_dim: int | None = None
    vector_coverage: float | None = None
    parameters: int | None = None
    associated: list[float] = field(default_factory=list)
    validation_curve: list[list[float]] = field(default_factory=list)
    training_curve: list[float] = field(default_factory=list)
    answers: str | None = None

    def __post_init__(self) -> None:
        check_row(self)


def make_row(
    config: RunConfig,
    result: RunResult,
    *,
    experiment: str,
    variant: str = "default",
    tier: str = "single",
) -> LedgerRow:
    """Make the row of a finished run; ``config`` should be resolved. No path is kept."""
    settings = config.to_json()
    for name in ("data", "data_root", "vectors", "test_data"):
        settings[name] = None if settings[name] is None else Path(settings[name]).name
    settings["model"] = config.model_name
    return LedgerRow(
        experiment=experiment,
        data=Path(config.data).name,
        model=config.model_name,
        method=config.method,
        variant=variant,
        seed=config.seed,
        commit=result.commit,
        config=settings,
        hardware=result.hardware,
        torch=result.torch,
        epochs=result.epochs,
        best_epoch=result.best_epoch,
        validation=[round(score, 6) for score in result.validation_scores],
        test=[round(score, 6) for score in result.test_scores],
        seconds=round(result.seconds, 1),
        tier=tier,
        train_samples=result.train_samples,
        train_pool=result.train_pool,
        test_samples=result.test_samples,
        vector_dim=result.vector_dim,
        vector_coverage=result.vector_coverage,
        parameters=result.parameters,
        associated=[float(f"{loss:.4g}") for loss in result.associated],
        validation_curve=[[round(s, 4) for s in scores] for scores in result.validation_curve],
        training_curve=[round(score, 4) for score in result.training_curve],
        answers=result.answers,
    )


def append_row(path: Path, row: LedgerRow) -> bool:
    """Append a row, unless it is there already; return whether it was appended.

    One process at a time looks and appends, and the row is on the disk when this returns. A last
    line that was cut off is set aside, which is said.

    Raises:
        CheckpointError: The file cannot be written, or holds something else.
    """
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path} cannot be read; expected a ledger, a file of lines.")
    with held_lock(path.with_name(f"{path.name}.lock"), patience=FOREVER):
        rows, torn = _parsed(path) if path.exists() else ([], "")
        if row in rows:
            return False
        append_line(path, json.dumps(asdict(row)), torn=torn)
    return True


def read_rows(path: Path) -> list[LedgerRow]:
    """Read all rows; a last line that was cut off is left out, which is said.

    Raises:
        CheckpointError: A line is malformed; names its number.
    """
    rows, torn = _parsed(path)
    if torn:
        warnings.warn(
            f"the last line of {path} was cut off and is left out; the run that wrote it can add "
            "its row again (al train --resume RUN --ledger FILE)",
            stacklevel=2,
        )
    return rows


def _parsed(path: Path) -> tuple[list[LedgerRow], str]:
    """Return the rows of a ledger, and its torn end; an editor may have left a whole row there."""
    whole, torn = read_lines(path)
    rows = [_row(path, number, line) for number, line in enumerate(whole, start=1)]
    if torn:
        with suppress(CheckpointError):
            return [*rows, _row(path, len(rows) + 1, torn)], ""
    return rows, torn


def _row(path: Path, number: int, line: str) -> LedgerRow:
    try:
        return LedgerRow(**json.loads(line))
    except (ValueError, TypeError, RecursionError) as error:  # InputError is a ValueError
        raise CheckpointError(f"{path}, line {number} is no ledger row: {error}") from error
