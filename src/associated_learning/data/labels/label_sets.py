"""Several labels a sample: sets of names in one column, or a column of 0 and 1 for each label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from associated_learning.data.tables.row_places import Where, row_of
from associated_learning.data.tables.table_encoding import is_missing
from associated_learning.errors import InputError

__all__ = ["are_sets", "label_columns", "label_matrix", "set_names"]

_SEPARATORS = "|;,"  # of labels in one text: the first of these that the column holds
_BITS = {False: 0.0, True: 1.0, "0": 0.0, "1": 1.0, "False": 0.0, "True": 1.0}
_SHOWN = 5


def are_sets(values: Sequence[Any]) -> bool:
    """Return whether a column holds lists: several labels a sample.

    Example:
        >>> are_sets([["a", "b"], []]), are_sets(["a|b", "c"])
        (True, False)
    """
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, (list, tuple)) for value in known)


def label_columns(label: str, columns: Sequence[str]) -> list[str]:
    """Return the columns that a name means: itself, or those with commas between them.

    Example:
        >>> label_columns("toxic, rude", ["text", "toxic", "rude"])
        ['toxic', 'rude']
    """
    return [label] if label in columns else [name.strip() for name in label.split(",")]


def set_names(values: Sequence[Any], where: Where = "the training split") -> tuple[str, ...]:
    """Return the names of all labels that occur in a column of sets, sorted.

    Args:
        values: Lists of names or numbers; or texts in which ``|``, ``;`` or ``,`` stands between
            them. Nothing, or an empty one, is a sample without a label.
        where: What the rows are, for an error's message.

    Raises:
        InputError: There is none, or a value is something else.

    Example:
        >>> set_names(["red|round", "red", None]), set_names([[10, 9], []])
        (('red', 'round'), ('9', '10'))
    """
    names = {name for _, labels in _sets(values, where) for name in labels}
    if not names:
        raise InputError(
            "no training sample has a label: expected lists of labels, or texts such as red|round;"
            " is the label column the right one?"
        )
    numbers = all(name.isdecimal() for name in names)
    return tuple(sorted(names, key=int if numbers else str))


def label_matrix(
    columns: Mapping[str, Sequence[Any]], names: Sequence[str], where: Where
) -> Tensor:
    """Return which labels each sample has, ``[N, k]`` of 0 and 1 (float32).

    Args:
        columns: The one column of sets (see `set_names`); or a column for each of the names, of
            0 and 1, or false and true.
        names: Of all labels.
        where: What the rows are, for an error's message.

    Raises:
        InputError: A label is unknown, or a value is something else; names its row.

    Example:
        >>> label_matrix({"labels": ["b", "a|b"]}, ("a", "b"), "the test split").tolist()
        [[0.0, 1.0], [1.0, 1.0]]
        >>> label_matrix({"a": [0, 1], "b": [True, False]}, ("a", "b"), "it").tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    if len(columns) > 1:
        bits = [
            [_bit(v, row, name, where) for row, v in enumerate(columns[name])] for name in names
        ]
        return torch.tensor(bits).t().contiguous()
    number = {name: i for i, name in enumerate(names)}
    (values,) = columns.values()
    found = torch.zeros(len(values), len(names))
    for row, labels in _sets(values, where):
        for label in labels:
            if label not in number:
                known = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
                raise InputError(
                    f"{row_of(row, where)} has the label {label!r}: expected some of the "
                    f"{len(names)} labels {known}"
                )
            found[row, number[label]] = 1
    return found


def _sets(values: Sequence[Any], where: Where) -> Iterator[tuple[int, list[str]]]:
    """Yield the labels of each row."""
    texts = [value for value in values if isinstance(value, str)]
    separator = next((s for s in _SEPARATORS if any(s in text for text in texts)), None)
    for row, value in enumerate(values):
        labels = _labels(value, separator)
        if labels is None or len(set(labels)) != len(labels):
            raise InputError(
                f"the labels of {row_of(row, where)} are {value!r:.80}: expected a list of "
                "different names or numbers, or a text such as red|round; or give a column of 0 "
                "and 1 for each label (--label-column red,round)"
            )
        yield row, labels


def _labels(value: Any, separator: str | None) -> list[str] | None:
    """Return the labels of a value; None if it is something else."""
    if is_missing(value):
        return []
    if isinstance(value, str):
        parts = value.split(separator) if separator else [value]
        return [part.strip() for part in parts if part.strip()]
    if isinstance(value, (list, tuple)) and all(type(part) in (str, int) for part in value):
        return [str(part) for part in value]
    return None


def _bit(value: Any, row: int, name: str, where: Where) -> float:
    try:
        return _BITS[value]
    except (KeyError, TypeError):
        raise InputError(
            f"{row_of(row, where)}, column {name!r}: the label is {value!r:.80}; expected 0 or 1, "
            "one column for each label"
        ) from None
