"""Columns of a table as features: categories as zeros and ones, missing numbers filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from associated_learning.data.tables.row_places import RowError
from associated_learning.data.tables.written_numbers import number_of

__all__ = ["ColumnEncoding", "is_missing", "plain_number"]

_TRUTH = frozenset(("False", "True"))


@dataclass(frozen=True, kw_only=True)
class ColumnEncoding:
    """How one column becomes features, as scikit-learn's OneHotEncoder and SimpleImputer do.

    Attributes:
        categories: Of a column of texts, in order: a feature each, 1 where it is that one. A value
            that is none of them, or missing, is 0 in all. Empty for a column of numbers. Truth
            values are "False" and "True", whose texts may be spelt in any case, as CSV has them.
        fill: The median, which stands for a missing number; a second feature marks it. None where
            no training row lacks one: then none may be missing.

    Example:
        >>> ColumnEncoding.fit(["b", "a", None]).encode(["a", "c"], "kind").tolist()
        [[1.0, 0.0], [0.0, 0.0]]
        >>> ColumnEncoding.fit([1.0, None, 3.0]).encode([None, 5], "age").tolist()
        [[2.0, 1.0], [5.0, 0.0]]
    """

    categories: tuple[str, ...] = ()
    fill: float | None = None

    @classmethod
    def fit(cls, values: Any) -> ColumnEncoding:
        """Return the encoding of a column of the training split."""
        known = [value for value in values if not is_missing(value)]
        if any(isinstance(value, (str, bool)) for value in known):
            return cls(categories=tuple(sorted({str(value).strip() for value in known})))
        if len(known) == len(values):
            return cls()
        return cls(fill=float(np.median(np.array(known, np.float64))) if known else 0.0)

    def encode(self, values: Any, name: str) -> NDArray[np.float64]:
        """Return the features of a column's values, one a row: ``[N, width]``.

        Raises:
            RowError: A value is no number, infinite, or missing where none may be.
        """
        if self.categories:
            names = np.array(self.names(values, name), object)
            hits: NDArray[np.bool_] = names[:, None] == np.array(self.categories, object)
            return hits.astype(np.float64)
        values = [plain_number(value) for value in values]
        missing = np.array([is_missing(value) for value in values])
        if self.fill is None:
            if missing.any():
                raise RowError(
                    int(missing.argmax()),
                    f", column {name!r}: the value is missing, as it is in no training row; fill "
                    "it in or leave the row out",
                )
            return _floats(values, name)[:, None]
        filled = [self.fill if gone else v for v, gone in zip(values, missing, strict=True)]
        return np.stack([_floats(filled, name), missing.astype(np.float64)], axis=1)

    def names(self, values: Any, column: str) -> list[str | None]:
        """Return values as categories are written; None where one is missing.

        Raises:
            RowError: A value is a number that is none of the categories.
        """
        return [self._category(value, row, column) for row, value in enumerate(values)]

    def _category(self, value: Any, row: int, name: str) -> str | None:
        """Return a value as categories are written; a number that is none of them is no text."""
        found = None if is_missing(value) else str(value).strip()
        if found is not None and _TRUTH.issuperset(self.categories):
            found = found.capitalize()
        if found is not None and type(value) not in (str, bool) and found not in self.categories:
            raise RowError(
                row,
                f", column {name!r}: the value is the number {value!r}; expected a text, as all "
                "are in training",
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values; nothing of a plain column of numbers."""
        if self.categories:
            return {"categories": list(self.categories)}
        return {} if self.fill is None else {"fill": self.fill}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ColumnEncoding:
        """Rebuild what `to_dict` gave."""
        return cls(categories=tuple(values.get("categories", ())), fill=values.get("fill"))


def is_missing(value: Any) -> bool:
    """Return whether a value of a table is missing: None, NaN, or an empty text."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def plain_number(value: Any) -> Any:
    """Return the number that a text is, None where it says that one is missing; else the value.

    Example:
        >>> plain_number("12%"), plain_number("?"), plain_number(3.5), plain_number("red")
        (12, None, 3.5, 'red')
    """
    if not isinstance(value, str):
        return value
    try:
        return number_of(value)
    except ValueError:
        return value


def _floats(values: Any, name: str) -> NDArray[np.float64]:
    found = np.empty(len(values))
    for row, value in enumerate(values):
        try:
            found[row] = float(value)
        except (TypeError, ValueError):
            found[row] = np.nan
        if not np.isfinite(found[row]):
            raise RowError(
                row,
                f", column {name!r}: the value is {value!r}; expected a finite number: fill in or "
                "leave out such rows",
            )
    return found
