"""What a row shows of its training: that it was long enough, and what chose its epoch."""

from __future__ import annotations

from associated_learning.runs.ledger.rows import LedgerRow

__all__ = ["is_capped", "is_chosen_by_validation", "shows_its_end"]

_LEAST_PATIENCE = 3  # epochs without a better one, of a rate that does not fall and no patience
_ROUNDING = 6e-5  # a row keeps four decimals of a curve


def is_capped(row: LedgerRow) -> bool:
    """Return whether more epochs might have had a better one, for all that the row shows.

    Where a rate falls to nothing and there is no patience, only if the last epoch is the best.
    """
    patience = row.config.get("patience") or 0
    if not patience and row.config.get("schedule", "constant") == "constant":
        patience = _LEAST_PATIENCE
    return row.result.best_epoch + max(patience, 1) > (row.config["epochs"] or 0)


def shows_its_end(row: LedgerRow) -> bool:
    """Return whether it trained until patience or the last allowed epoch ended it."""
    last, patience = row.config["epochs"] or 0, row.config.get("patience") or 0
    due = min(row.result.best_epoch + patience, last) if patience else last
    return len(row.result.validation_curve) >= due


def is_chosen_by_validation(row: LedgerRow) -> bool:
    """Return whether its epoch is the best on validation data, and its score that epoch's."""
    curve = [scores[-1] for scores in row.result.validation_curve]
    best = row.result.best_epoch
    return (
        0 < best <= len(curve)
        and curve[best - 1] == max(curve)
        and abs(curve[best - 1] - row.result.validation_scores[-1]) <= _ROUNDING
    )
