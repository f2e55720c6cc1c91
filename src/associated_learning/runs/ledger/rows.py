"""Rows of the ledger: made of a run, appended to its file and read back, a line of JSON each."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from associated_learning.errors import CheckpointError, InputError
from associated_learning.runs.ledger.schema import check_row
from associated_learning.runs.result import RunResult
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.state.lines import append_line, read_lines
from associated_learning.state.lock import FOREVER, held_lock
from associated_learning.state.sealed import sealed, unsealed

__all__ = ["LedgerRow", "append_row", "check_ledger", "make_row", "read_rows"]


@dataclass(frozen=True, kw_only=True)
class LedgerRow:
    """One run, with all that is needed to make it again: its settings and its result.

    In the file it is one flat object, whose columns `check_row` knows, and a digest of them.

    Attributes:
        experiment: What it belongs to, such as "first-runs" or "table1".
        variant: Name of the variant of the method.
        tier: Protocol: "full", the paper's; "cpu", the declared smaller one; "resampled", the same
            with a subset of its own for each seed; or "single".
        config: All settings (`RunConfig.to_json`), without paths.
        result: What came out, rounded. Rows that are older than a column do not tell it.

    Raises:
        InputError: A value does not fit (see `check_row`).
    """

    experiment: str
    variant: str = "default"
    tier: str = "single"
    config: Mapping[str, Any]
    result: RunResult

    def __post_init__(self) -> None:
        check_row(self.to_json())

    @property
    def data(self) -> str:
        """Name of the data set."""
        return str(self.config["data"])

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.config["model"])

    @property
    def method(self) -> str:
        """Either "al" or "bp"."""
        return str(self.config["method"])

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self.config["seed"])

    def to_json(self) -> dict[str, Any]:
        """Return its columns, as they stand in a line of the ledger."""
        result = {_COLUMNS.get(name, name): value for name, value in vars(self.result).items()}
        named = {name: self.config.get(name) for name in _NAMED}
        own = {name: getattr(self, name) for name in _OWN}
        return {**own, **named, "config": dict(self.config), **result}

    @classmethod
    def from_json(cls, columns: Any) -> LedgerRow:
        """Return the row of a line of the ledger.

        Raises:
            TypeError: A column is missing or unknown.
            InputError: A value does not fit, or the settings tell something else.
        """
        if not (isinstance(columns, dict) and isinstance(columns.get("config"), dict)):
            raise InputError("it has no settings; expected an object with a config.")
        config, rest = columns["config"], {**columns}
        for name in _NAMED:
            told, set_ = rest.pop(name, None), config.get(name)
            if told != set_:
                raise InputError(f"{name} is {told!r:.80}, but {set_!r:.80} in the config.")
        own = {name: rest.pop(name) for name in ("config", *_OWN) if name in rest}
        fields = {column: name for name, column in _COLUMNS.items()}
        result = RunResult(**{fields.get(name, name): value for name, value in rest.items()})
        return cls(**own, result=result)


_OWN = ("experiment", "variant", "tier")
_NAMED = ("data", "model", "method", "seed")  # columns that repeat a setting, to be read by eye
_COLUMNS = {"test_scores": "test", "validation_scores": "validation"}


def make_row(
    config: ResolvedConfig,
    result: RunResult,
    *,
    experiment: str,
    variant: str = "default",
    tier: str = "single",
) -> LedgerRow:
    """Make the row of a finished run. No path is kept."""
    settings = config.to_json()
    for name in ("data", "data_root", "vectors", "test_data"):
        settings[name] = None if settings[name] is None else Path(settings[name]).name
    settings["model"] = config.model_name
    return LedgerRow(
        experiment=experiment, variant=variant, tier=tier, config=settings, result=result.rounded()
    )


def append_row(path: Path, row: LedgerRow) -> bool:
    """Append a row, unless it is there already; return whether it was appended.

    One process at a time looks and appends, and the row is on the disk when this returns. A last
    line that was cut off is set aside, which is said.

    Raises:
        CheckpointError: The file cannot be written, or holds something else.
    """
    with _sole_writer(path):
        rows, torn = _parsed(path) if path.exists() else ([], "")
        if row in rows:
            return False
        append_line(path, json.dumps(sealed(row.to_json())), torn=torn)
    return True


def check_ledger(path: Path) -> None:
    """Check that rows can be appended, before the work that makes them.

    Raises:
        CheckpointError: The file cannot be written, or holds something else.
    """
    with _sole_writer(path):
        if not path.exists():
            return
        _parsed(path)
        if not os.access(path, os.W_OK):
            raise CheckpointError(f"{path} cannot be written; make it writable, or name another.")


@contextmanager
def _sole_writer(path: Path) -> Iterator[None]:
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path} cannot be read; expected a ledger, a file of lines.")
    with held_lock(path.with_name(f"{path.name}.lock"), patience=FOREVER):
        yield


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
        return LedgerRow.from_json(unsealed(json.loads(line)))
    except (ValueError, TypeError, RecursionError) as error:  # InputError is a ValueError
        raise CheckpointError(f"{path}, line {number} is no ledger row: {error}") from error
