"""Any data set, read, split, fitted and in memory: the one function most users need."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from associated_learning.data.dataset import DataSet
from associated_learning.data.images.image_preprocessor import ImagePreprocessor
from associated_learning.data.images.images import ImageFormat, decode, default_size
from associated_learning.data.labels.target_numbers import TargetScale
from associated_learning.data.preprocessing import Preprocessor
from associated_learning.data.reading.by_name_or_path import (
    LabelTask,
    read_file,
    read_folder,
    read_named,
)
from associated_learning.data.reading.digits import read_digits
from associated_learning.data.reading.named import DIGITS, NAMED
from associated_learning.data.reading.raw import RawSet, RawSplit
from associated_learning.data.samples import Samples
from associated_learning.data.splits import final_splits, without_validation
from associated_learning.data.tables.row_places import RowError, row_of
from associated_learning.data.tables.table_preprocessor import TablePreprocessor
from associated_learning.data.tables.unseen import told_unseen, unseen_categories
from associated_learning.data.texts.text_preprocessor import TextPreprocessor
from associated_learning.data.texts.tokenization import ALPHANUMERIC, TOKENS
from associated_learning.errors import InputError

__all__ = ["data_set", "load"]


def load(
    name: str | Path,
    *,
    data_root: str | Path | None = None,
    cache_dir: str | Path | None = None,
    test_data: str | Path | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    feature_columns: Sequence[str] | None = None,
    weight_column: str | None = None,
    validation_fraction: float = 0.1,
    official_validation: bool = True,
    test_fraction: float = 0.2,
    limit_train: int | None = None,
    seed: int = 0,
    vocabulary_size: int = 30_000,
    max_length: int | None = None,
    remove_stop_words: bool = False,
    token_pattern: str | None = None,
    image_size: tuple[int, int] | None = None,
    label_noise: float = 0.0,
    preprocessor: Preprocessor | None = None,
    task: LabelTask = "classification",
) -> DataSet:
    """Return a data set by its name, or the user's own by the path of a file or folder.

    Everything that is fitted (vocabulary, image and column statistics) is fitted on the
    training split that remains after the validation split was cut and ``limit_train`` applied.

    Args:
        name: One of `data_set_names`, or the path of a CSV, TSV, JSONL or Parquet file, or of
            a folder with one folder of images per class.
        data_root: Folder that holds ``NAME/SPLIT.parquet``; None asks the Hugging Face hub.
        cache_dir: Where `datasets` keeps what it read; None is its own default.
        test_data: File or folder with the test rows of the user's own data.
        text_column: Own files: the column of the texts; several with commas between them are
            joined by a space.
        label_column: Own files: the column of the labels; None means ``label``.
        feature_columns: Own files: the columns of numbers or categories; None means all but the
            labels. Missing numbers are filled (`ColumnEncoding`), which is said.
        weight_column: Own files: the column of how much each row counts in training, for
            ``train_weights``; validation and test rows all count the same.
        validation_fraction: Share of every class cut from the training data.
        official_validation: Take the official validation split where there is one (SST-2).
        test_fraction: Share cut off for testing where the data has no test split.
        limit_train: Most training samples, the classes in proportion.
        seed: Keys splits, limit and noise; give one seed to all runs that are compared.
        vocabulary_size: Most frequent training words that get an id of their own.
        max_length: Most tokens a text keeps, from its start.
        remove_stop_words: Leave out scikit-learn's English stop words.
        token_pattern: What a token of a text is, for Python's re; None means `TOKENS`, and of a
            named set runs of letters and digits, by which its published figures were made.
        image_size: (height, width) to resize to; where sizes differ a square of their median
            shorter side, at most 64, which is said.
        label_noise: Share of training labels drawn anew (`noisy_labels`); validation and test
            stay clean.
        preprocessor: Takes the place of one that is fitted here, as the tokenizer of a
            pretrained model does (`SubwordPreprocessor`).
        task: Own files: what the labels are. "classification": one class a sample. "regression":
            numbers, standardised by the training split (``target_scale``). "multilabel": sets of
            labels, or several columns of 0 and 1 (see `label_matrix`).

    Raises:
        InputError: The data cannot be found or read, holds faults, or has one class only; or
            the preprocessor is for data of another kind.

    Example:
        >>> from associated_learning.data import load
        >>> digits = load("digits")
        >>> len(digits.train), len(digits.validation), len(digits.test), digits.num_classes
        (1295, 143, 359, 10)
    """
    if seed < 0:
        raise InputError(f"seed is {seed}: expected 0 or more")
    if task != "classification" and label_noise:
        raise InputError(f"label_noise {label_noise} came for a {task}, which has no classes")
    raw = _read(
        name,
        data_root=data_root,
        cache_dir=cache_dir,
        test_data=test_data,
        text_column=text_column,
        label_column=label_column,
        feature_columns=feature_columns,
        weight_column=weight_column,
        task=task,
    )
    _check_kind(raw, preprocessor)
    if not official_validation:
        raw = without_validation(raw)
    raw, pool = final_splits(
        raw,
        test_fraction=test_fraction,
        validation_fraction=validation_fraction,
        limit_train=limit_train,
        seed=seed,
    )
    if raw.kind == "image":
        raw = raw._replace(splits=_decoded(raw.splits, image_size))
    scale = TargetScale.of(raw.splits["train"].labels) if task == "regression" else None
    if preprocessor is None:
        pattern = token_pattern or (ALPHANUMERIC if name in NAMED else TOKENS)
        preprocessor = _fitted(raw, vocabulary_size, max_length, remove_stop_words, pattern)
    data = data_set(str(name), raw, pool, preprocessor, scale)
    return data.with_label_noise(label_noise, seed=seed) if label_noise else data


def data_set(
    name: str,
    raw: RawSet,
    pool: int,
    preprocessor: Preprocessor,
    scale: TargetScale | None = None,
) -> DataSet:
    """Return a raw set as it is trained on."""
    samples = {
        key: _samples(
            key,
            split,
            split.labels if scale is None else scale.standardised(split.labels),
            preprocessor,
        )
        for key, split in raw.splits.items()
    }
    return DataSet(
        name=name,
        kind=raw.kind,
        label_names=raw.label_names,
        train=samples["train"],
        validation=samples["validation"],
        test=samples["test"],
        preprocessor=preprocessor,
        train_pool=pool,
        target_scale=scale,
        train_weights=raw.splits["train"].weights,
    )


def _samples(key: str, split: RawSplit, labels: Tensor, preprocessor: Preprocessor) -> Samples:
    try:
        samples = preprocessor.samples(split.inputs, labels)
    except RowError as error:
        raise error.at(row_of(error.row, split.where)) from error
    if isinstance(preprocessor, TablePreprocessor):
        found = unseen_categories(preprocessor, split.inputs)
        for line in told_unseen(found, f" of the {key} split"):
            warnings.warn(line, stacklevel=4)
    return samples


def _read(
    name: str | Path,
    *,
    data_root: str | Path | None,
    cache_dir: str | Path | None,
    test_data: str | Path | None,
    text_column: str | None,
    label_column: str | None,
    feature_columns: Sequence[str] | None,
    weight_column: str | None,
    task: LabelTask,
) -> RawSet:
    path, test = Path(name), None if test_data is None else Path(test_data)
    if task != "classification" and not path.is_file():
        raise InputError(
            f"a {task} came for {name}, whose labels are classes; expected a CSV, TSV, JSONL or"
            " Parquet file with a column of numbers, or of lists of labels"
        )
    if weight_column is not None and not path.is_file():
        raise InputError(
            f"the weight column {weight_column!r} came for {name}; expected a CSV, TSV, JSONL or"
            " Parquet file that has it"
        )
    if name == DIGITS:
        return read_digits()
    if name in NAMED or not path.exists():
        return read_named(str(name), data_root=data_root, cache_dir=cache_dir)
    if path.is_dir():
        return read_folder(path, test=test)
    return read_file(
        path,
        test=test,
        text_column=text_column,
        label_column=label_column,
        feature_columns=feature_columns,
        weight_column=weight_column,
        cache_dir=cache_dir,
        task=task,
    )


def _check_kind(raw: RawSet, preprocessor: Preprocessor | None) -> None:
    reads = None if preprocessor is None else preprocessor.kind.replace("subword", "text")
    if reads not in (None, raw.kind):
        raise InputError(
            f"data of kind {raw.kind} came for a model whose preprocessor reads {reads}; expected"
            f" data of kind {reads}, or another model"
        )


def _decoded(
    splits: Mapping[str, RawSplit], size: tuple[int, int] | None
) -> Mapping[str, RawSplit]:
    """Return image splits as pixels in the format of the training split."""
    images = splits["train"].inputs
    if isinstance(images, Tensor):
        return splits
    kept = [*images, *(splits["validation"].inputs if "validation" in splits else ())]
    size = size or default_size(kept)
    format = ImageFormat.of(images, size)
    return {
        key: split._replace(inputs=decode(split.inputs, format, resize=size is not None))
        for key, split in splits.items()
    }


def _fitted(
    raw: RawSet,
    vocabulary_size: int,
    max_length: int | None,
    remove_stop_words: bool,
    token_pattern: str,
) -> Preprocessor:
    inputs = raw.splits["train"].inputs
    if raw.kind == "image":
        return ImagePreprocessor.fit(inputs)
    if raw.kind == "table":
        fitted = TablePreprocessor.fit(inputs, columns=raw.columns)
        _tell_missing(fitted)
        return fitted
    return TextPreprocessor.fit(
        inputs,
        vocabulary_size=vocabulary_size,
        max_length=max_length,
        remove_stop_words=remove_stop_words,
        token_pattern=token_pattern,
    )


def _tell_missing(fitted: TablePreprocessor) -> None:
    of_columns = zip(fitted.columns, fitted.encodings, strict=False)
    filled = [f"{name!r} ({one.fill:g})" for name, one in of_columns if one.fill is not None]
    if filled:
        warnings.warn(
            f"numbers are missing in {', '.join(filled)}: each gap gets the median in brackets, and"
            " one more column says where the gaps were",
            stacklevel=3,
        )
