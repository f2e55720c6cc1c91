"""Rows of a ledger that tests make up, by their columns in the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from associated_learning.runs.ledger.rows import LedgerRow

PLAIN: dict[str, Any] = {
    "experiment": "x", "data": "d", "model": "m", "method": "al", "variant": "v", "seed": 0,
    "commit": "c", "config": {}, "hardware": "h", "torch": "t", "epochs": 1, "best_epoch": 1,
    "validation": [0.5], "test": [0.5], "seconds": 1.0,
}  # fmt: skip


def made_row(columns: Mapping[str, Any] = PLAIN, /, **changed: Any) -> LedgerRow:
    """Return the row of some columns; its settings tell the same as the columns."""
    told = {**columns, **changed}
    named = {name: told[name] for name in ("data", "model", "method", "seed")}
    return LedgerRow.from_json({**told, "config": {**told["config"], **named}})
