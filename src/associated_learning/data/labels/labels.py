"""Labels of any spelling to class numbers from 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from associated_learning.data.tables.row_places import Where, row_of
from associated_learning.data.tables.written_numbers import DECIMAL_COMMAS, has_decimal_comma
from associated_learning.errors import InputError

__all__ = ["class_names", "class_numbers", "spelt_twice"]


def class_names(values: Sequence[Any], where: Where = "the training split") -> tuple[Any, ...]:
    """Return the distinct labels, sorted (numbers by size, all else as text).

    Spaces around a text belong to no name.

    Raises:
        InputError: A label is missing, or numbers are not whole or written with decimal commas.

    Example:
        >>> class_names(["spam", "ham", "spam"]), class_names([10, 9, 10])
        (('ham', 'spam'), (9, 10))
    """
    try:
        distinct = {_bare(value) for value in values}
    except TypeError as error:
        raise InputError(
            f"the labels are lists or objects ({error}): expected classes, whole numbers or names;"
            " is the label column the right one?"
        ) from error
    if any(_missing(value) for value in distinct):
        row = next(i for i, value in enumerate(values) if _missing(_bare(value)))
        raise InputError(
            f"the label of {row_of(row, where)} is missing (in a CSV or TSV file: an empty field):"
            " fill it in or leave the row out"
        )
    fractions = [v for v in distinct if isinstance(v, float) and not v.is_integer()]
    if fractions:
        raise InputError(
            f"a label is {fractions[0]}: expected classes, whole numbers or names; is the"
            " label column the right one?"
        )
    texts = [value for value in distinct if isinstance(value, str)]
    if len(texts) == len(distinct) and has_decimal_comma(texts):
        what = DECIMAL_COMMAS.format(next(text for text in texts if "," in text))
        raise InputError(f"the label column {what}")
    numeric = all(isinstance(value, int | float) for value in distinct)
    return tuple(sorted(distinct) if numeric else sorted(distinct, key=str))


def class_numbers(values: Sequence[Any], names: Sequence[Any], where: Where) -> Tensor:
    """Return the place of each label in ``names``, ``[N]`` (int64).

    Raises:
        InputError: A label is missing or none of ``names``; names its row.

    Example:
        >>> class_numbers(["b", "a"], ("a", "b"), "the training split").tolist()
        [1, 0]
    """
    number = {name: i for i, name in enumerate(names)}
    try:
        return torch.tensor([number[_bare(value)] for value in values], dtype=torch.int64)
    except (KeyError, TypeError):
        bare = ((i, _bare(value)) for i, value in enumerate(values))
        row, value = next((i, value) for i, value in bare if not _is_known(value, number))
    what = "missing" if _missing(value) else repr(value)
    some = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
    raise InputError(
        f"the label of {row_of(row, where)} is {what}: expected one of the {len(names)} classes"
        f" {some}"
    )


def spelt_twice(names: Sequence[Any]) -> list[tuple[str, ...]]:
    """Return the names that differ by upper and lower case only.

    Example:
        >>> spelt_twice(("NO", "Yes", "yes"))
        [('Yes', 'yes')]
    """
    spellings: dict[str, list[str]] = {}
    for name in names:
        spellings.setdefault(str(name).casefold(), []).append(str(name))
    return [tuple(alike) for alike in spellings.values() if len(alike) > 1]


def _bare(value: Any) -> Any:
    return value.strip() or None if isinstance(value, str) else value


def _is_known(value: Any, number: Mapping[Any, int]) -> bool:
    try:
        return value in number
    except TypeError:  # a list or an object
        return False


def _missing(value: object) -> bool:
    return value is None or value != value  # NaN is the one value unequal to itself
