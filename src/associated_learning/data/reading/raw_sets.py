"""Raw sets of splits that were read: inputs, and labels of one class, of numbers or of several."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from associated_learning.data.dataset import Kind
from associated_learning.data.labels.label_sets import label_matrix, set_names
from associated_learning.data.labels.labels import class_names, class_numbers, spelt_twice
from associated_learning.data.labels.target_numbers import target_numbers
from associated_learning.data.reading.columns import images, table, texts, values
from associated_learning.data.reading.raw import RawSet, RawSplit
from associated_learning.data.tables.row_places import Where
from associated_learning.errors import InputError

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["set_of_classes", "set_of_label_sets", "set_of_numbers"]


def set_of_classes(
    kind: Kind,
    columns: Sequence[str],
    label: str,
    splits: Mapping[str, Dataset],
    places: Mapping[str, Where] | None = None,
) -> RawSet:
    """Return splits whose label column holds one of several classes.

    Args:
        kind: Of the inputs.
        columns: Those of the inputs.
        label: That of the labels; its classes are those of the training split.
        splits: By name.
        places: What rows of each split are called in messages; by the split if not given.

    Raises:
        InputError: A split is empty, or there is only one class.
    """
    _check_rows(splits)
    places = places or {key: f"the {key} split" for key in splits}
    names = _classes(splits["train"], label, places["train"])
    for alike in spelt_twice(names):
        warnings.warn(
            f"the labels {' and '.join(map(repr, alike))} are taken for different classes: spell "
            "them alike if they are one",
            stacklevel=3,
        )
    raw = _split_by_split(
        kind, columns, splits, places, lambda of, at: class_numbers(_labels(of, label), names, at)
    )
    if int(raw["train"].labels.bincount().count_nonzero()) < 2:
        raise InputError(
            f"all training labels are {str(names[int(raw['train'].labels[0])])!r}: expected two or"
            " more classes (of images, one folder each)"
        )
    return RawSet(kind, tuple(map(str, names)), raw, columns)


def set_of_numbers(
    kind: Kind,
    columns: Sequence[str],
    label: str,
    splits: Mapping[str, Dataset],
    places: Mapping[str, Where],
) -> RawSet:
    """Return splits whose label column holds numbers; see `set_of_classes`."""
    _check_rows(splits)
    raw = _split_by_split(
        kind, columns, splits, places, lambda of, at: target_numbers(values(of, label), at)
    )
    return RawSet(kind, (), raw, columns)


def set_of_label_sets(
    kind: Kind,
    columns: Sequence[str],
    labels: Sequence[str],
    splits: Mapping[str, Dataset],
    places: Mapping[str, Where],
) -> RawSet:
    """Return splits with several labels a sample, in a column or in several of 0 and 1."""
    _check_rows(splits)
    train, several = splits["train"], len(labels) > 1
    names = tuple(labels) if several else set_names(values(train, labels[0]), places["train"])

    def matrix(split: Dataset, where: Where) -> Tensor:
        return label_matrix({label: values(split, label) for label in labels}, names, where)

    raw = _split_by_split(kind, columns, splits, places, matrix)
    return RawSet(kind, names, raw, columns)


def _split_by_split(
    kind: Kind,
    columns: Sequence[str],
    splits: Mapping[str, Dataset],
    places: Mapping[str, Where],
    labels_of: Callable[[Dataset, Where], Tensor],
) -> dict[str, RawSplit]:
    return {
        key: RawSplit(
            _inputs(kind, split, columns, places[key]), labels_of(split, places[key]), places[key]
        )
        for key, split in splits.items()
    }


def _check_rows(splits: Mapping[str, Dataset]) -> None:
    for key, split in splits.items():
        if len(split) == 0:
            raise InputError(f"the {key} split is empty: expected one or more rows")


def _classes(train: Dataset, label: str, where: Where) -> tuple[Any, ...]:
    names = getattr(train.features[label], "names", None)
    return class_names(values(train, label), where) if names is None else tuple(names)


def _labels(split: Dataset, label: str) -> list[Any]:
    """Return labels by name: files that were read apart may number their classes apart."""
    names = getattr(split.features[label], "names", None)
    listed = values(split, label)
    if names is None:
        return listed
    known = dict(enumerate(names))
    return [known.get(value, value) for value in listed]


def _inputs(kind: Kind, split: Dataset, columns: Sequence[str], where: Where) -> Any:
    if kind == "image":
        return images(split, columns[0])
    if kind == "text":
        return texts(split, columns, where)
    return table(split, columns, where)
