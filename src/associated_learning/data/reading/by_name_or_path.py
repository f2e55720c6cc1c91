"""From a name, a file or a folder to a raw data set."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from associated_learning.data.dataset import Kind
from associated_learning.data.labels.label_sets import label_columns
from associated_learning.data.labels.sample_weights import sample_weights
from associated_learning.data.reading.columns import (
    check_columns,
    check_features,
    is_numeric,
    values,
)
from associated_learning.data.reading.encoded import encoded_file, read_encoded
from associated_learning.data.reading.file_formats import read_files, read_hub
from associated_learning.data.reading.image_folder import read_image_folder
from associated_learning.data.reading.named import NAMED, data_set_names
from associated_learning.data.reading.naming_columns import without_names
from associated_learning.data.reading.raw import RawSet
from associated_learning.data.reading.raw_sets import (
    set_of_classes,
    set_of_label_sets,
    set_of_numbers,
)
from associated_learning.data.tables.row_places import FileRows
from associated_learning.errors import InputError, nearest

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "LabelTask",
    "column_names",
    "label_values",
    "only_text_column",
    "read_file",
    "read_folder",
    "read_named",
]

LabelTask: TypeAlias = Literal["classification", "regression", "multilabel"]
_HIDDEN = -1  # the hub's label where a benchmark keeps its test labels to itself


def read_named(
    name: str, *, data_root: str | Path | None = None, cache_dir: str | Path | None = None
) -> RawSet:
    """Return a data set of `NAMED`, from the hub or from ``data_root/NAME/SPLIT.parquet``.

    Its samples may also lie there as `write_encoded` writes them.

    Where the hub hides the test labels (SST-2), the official validation split becomes the
    test split, with a warning.

    Raises:
        InputError: The name is unknown, or the data cannot be read.
    """
    if name not in NAMED:
        known_names = data_set_names()
        raise InputError(
            f"there is no data set, file or folder {name!r}; expected one of "
            f"{', '.join(known_names)}, or the path of your own file or image folder."
            f"{nearest(name, known_names, cutoff=0.6)}"
        )
    known = NAMED[name]
    if data_root is not None and encoded_file(data_root, name).exists():
        return read_encoded(encoded_file(data_root, name))
    if data_root is None:
        splits = read_hub(known.hub, cache_dir)
    else:
        splits = read_files(_parquet_files(Path(data_root), name), cache_dir)
    wanted = {key: splits[key] for key in ("train", "validation", "test") if key in splits}
    for key, split in wanted.items():
        check_columns(split, (*known.columns, "label"), f"the {key} split of {name}")
    return set_of_classes(known.kind, known.columns, "label", _with_visible_test(wanted, name))


def read_file(
    path: Path,
    *,
    test: Path | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    feature_columns: Sequence[str] | None = None,
    weight_column: str | None = None,
    cache_dir: str | Path | None = None,
    task: LabelTask = "classification",
) -> RawSet:
    """Return the user's own CSV, TSV, JSONL or Parquet file as a data set.

    With ``text_column`` (or several, with commas between them: their texts are joined), or with
    no other column than one of text beside the labels, the inputs are texts; else they are
    ``feature_columns``, or all others. The labels are classes; for a regression numbers, with
    several a sample sets (see `label_matrix`), for which ``label_column`` may name several columns
    with commas between them. ``weight_column`` holds how much each row counts in training.

    Raises:
        InputError: The file cannot be read, or a column is missing or of another kind.
    """
    files = {"train": [path]} | ({"test": [test]} if test else {})
    splits = read_files(files, cache_dir)
    first = splits["train"]
    labels = _label_columns(first, label_column, task)
    check_columns(first, labels, f"{path} (--label-column names the labels)")
    weights = [] if weight_column is None else [weight_column]
    check_columns(first, weights, f"{path} (--weight-column names the weights)")
    texts = [] if text_column is None else label_columns(text_column, first.column_names)
    inputs = (*texts, *(feature_columns or ()))
    if both := {*labels, *weights}.intersection(inputs) or {*labels}.intersection(weights):
        raise InputError(
            f"the column {min(map(str, both))!r} came both for the inputs and for the labels (or"
            " weights), which would tell the answers: choose others for the inputs"
        )
    others = [column for column in first.column_names if column not in (*labels, *weights)]
    if not text_column and not feature_columns:
        others = without_names(first, others)
    text = text_column or (None if feature_columns else _only_text_column(first, others))
    columns = label_columns(text, first.column_names) if text else list(feature_columns or others)
    for split, source in zip(splits.values(), (path, test), strict=False):
        check_columns(split, [*labels, *columns], str(source))
    if not text:
        check_features(first, columns, path)
    kind: Kind = "text" if text else "table"
    named = zip(splits, (path, test), strict=False)
    places = {key: FileRows(source, f"the {key} split") for key, source in named if source}
    if task == "multilabel":
        raw = set_of_label_sets(kind, columns, labels, splits, places)
    else:
        of_task = set_of_numbers if task == "regression" else set_of_classes
        raw = of_task(kind, columns, labels[0], splits, places)
    if weight_column is None:
        return raw
    weighted = sample_weights(values(first, weight_column), places["train"])
    train = raw.splits["train"]._replace(weights=weighted)
    return raw._replace(splits={**raw.splits, "train": train})


def _label_columns(split: Dataset, label_column: str | None, task: LabelTask) -> list[str]:
    label = label_column or "label"
    return label_columns(label, split.column_names) if task == "multilabel" else [label]


def label_values(path: Path, label_column: str | None = None) -> list[Any]:
    """Return the labels of the user's own file as they stand there, of the one label column.

    Raises:
        InputError: The file cannot be read, or has no such column.
    """
    label = label_column or "label"
    split = read_files({"train": [path]}, None)["train"]
    check_columns(split, [label], f"{path} (--label-column names the labels)")
    return values(split, label)


def column_names(path: Path) -> list[str]:
    """Return the names of all columns of the user's own file.

    Raises:
        InputError: The file cannot be read.
    """
    return list(read_files({"train": [path]}, None)["train"].column_names)


def only_text_column(
    path: Path,
    *,
    label_column: str | None = None,
    weight_column: str | None = None,
    task: LabelTask = "classification",
) -> str | None:
    """Return the column of texts that `read_file` takes by itself; None if it makes a table.

    Raises:
        InputError: The file cannot be read.
    """
    split = read_files({"train": [path]}, None)["train"]
    beside = (*_label_columns(split, label_column, task), weight_column)
    others = [column for column in split.column_names if column not in beside]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as `read_file` says it
        return _only_text_column(split, without_names(split, others))


def read_folder(path: Path, *, test: Path | None = None) -> RawSet:
    """Return a folder of images per class as a data set.

    Raises:
        InputError: It holds no images in folders per class.
    """
    splits = dict(read_image_folder(path))
    if test is not None:
        of_test = read_image_folder(test)
        splits["test"] = of_test.get("test", of_test["train"])
    return set_of_classes("image", ("image",), "label", splits)


def _parquet_files(root: Path, name: str) -> dict[str, list[Path]]:
    """Return the files by split: ``train.parquet`` or the hub's ``train-00000-of-00002``."""
    shard = re.compile(r"(train|validation|test)(-\d+-of-\d+)?\.parquet")
    files: dict[str, list[Path]] = {}
    for path in sorted((root / name).rglob("*.parquet")):
        if match := shard.fullmatch(path.name):
            files.setdefault(match[1], []).append(path)
    for split in ("train", "test"):
        if split not in files:
            raise InputError(
                f"the data root lacks {root / name / split}.parquet: expected one folder a"
                " data set with a parquet file per split, with the columns of the hub"
            )
    return files


def _with_visible_test(splits: Mapping[str, Dataset], name: str) -> Mapping[str, Dataset]:
    test = splits["test"]
    if len(test) == 0 or "validation" not in splits:
        return splits
    if any(label != _HIDDEN for label in values(test, "label")):
        return splits
    warnings.warn(
        f"the test labels of {name} are hidden: its official validation split is the test"
        " split, and a validation split is cut from the training data",
        stacklevel=2,
    )
    return {"train": splits["train"], "test": splits["validation"]}


def _only_text_column(split: Dataset, others: Sequence[str]) -> str | None:
    """Return the column of a file that has just one beside the labels, if it is of text."""
    return others[0] if len(others) == 1 and not is_numeric(split, others[0]) else None
