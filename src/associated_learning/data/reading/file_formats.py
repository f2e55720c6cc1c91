"""The formats of data files, and how Hugging Face `datasets` reads them.

A new one is a line in `FILE_FORMATS`. The many errors of the reader become one of ours.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from associated_learning.data.reading.content import content_digest
from associated_learning.data.reading.header import check_header, check_nesting
from associated_learning.data.reading.typed_columns import with_numbers
from associated_learning.data.tables.dialect import Dialect
from associated_learning.errors import InputError, needs_extra

if TYPE_CHECKING:
    from datasets import Dataset, Features

__all__ = ["FILE_FORMATS", "read_files", "read_hub"]

# an empty field is missing; "NA", "None" or "null" may be a country, a surname or a word
_NOT_MISSING = {"keep_default_na": False, "na_values": [""]}
FILE_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".csv": ("csv", _NOT_MISSING),
    ".tsv": ("csv", _NOT_MISSING),
    ".json": ("json", {}),
    ".jsonl": ("json", {}),
    ".parquet": ("parquet", {}),
}


def read_hub(name: str, cache_dir: str | Path | None = None) -> Mapping[str, Dataset]:
    """Return the splits of a data set of the Hugging Face hub, downloaded or from the cache.

    Raises:
        InputError: There is no connection, or no such data set.
    """
    remedy = (
        "check the connection, or name a folder that holds the data set as parquet files"
        " (the data root)"
    )
    return _load(f"the data set {name} from the hub", remedy, name, cache_dir=cache_dir)


def read_files(
    files: Mapping[str, list[Path]], cache_dir: str | Path | None = None
) -> Mapping[str, Dataset]:
    """Return the splits of CSV, TSV, JSONL or Parquet files, given by split.

    Raises:
        InputError: A file is missing, of another format, empty, or unreadable.
    """
    return {split: _read_files(paths, cache_dir) for split, paths in files.items()}


def _read_files(paths: list[Path], cache_dir: str | Path | None) -> Dataset:
    for path in paths:
        if not path.is_file():
            raise InputError(f"there is no file {path}")
        if path.suffix.lower() not in FILE_FORMATS:
            raise InputError(
                f"the file {path} is none of {', '.join(FILE_FORMATS)}: convert it to one"
                " (spreadsheets save as CSV UTF-8; what is packed, as .gz, has to be unpacked)"
            )
    builder, options = FILE_FORMATS[paths[0].suffix.lower()]
    dialect = None
    for path in paths:
        if builder == "csv":
            dialect = _checked_dialect(path)
            options = {**options, "sep": dialect.separator, "encoding": dialect.encoding}
        elif builder == "json":
            check_nesting(path)
    cache_dir = _cache_of(paths, cache_dir)
    what, remedy = (
        ", ".join(map(str, paths)),
        f"is it a whole {builder} file with one or more rows?",
    )
    options = {**options, "data_files": [str(path) for path in paths], "cache_dir": cache_dir}
    try:
        read = _load(what, remedy, builder, **options)
    except InputError as error:
        if dialect is None or not _changes_type(error):
            raise
        read = _load(what, remedy, builder, features=_all_texts(paths[0], dialect), **options)
    split = read["train"]  # the name that `datasets` gives to files without a split
    return split if dialect is None else with_numbers(split, dialect.decimal)


def _changes_type(error: BaseException | None) -> bool:
    """Return whether a column holds something else far down than in the first 10,000 rows."""
    while error is not None and not type(error).__module__.startswith("pyarrow"):
        error = error.__cause__
    return error is not None


def _all_texts(path: Path, dialect: Dialect) -> Features:
    """Return the columns of a file as texts, of which `with_numbers` makes what they are."""
    with needs_extra("data", "reading files"):
        from datasets import Features, Value

    return Features({name: Value("string") for name in check_header(path, dialect)})


def _checked_dialect(path: Path) -> Dialect:
    try:
        dialect = Dialect.of(path)
    except OSError as error:
        raise InputError(f"cannot read {path} ({error}): is it a whole file of columns?") from error
    check_header(path, dialect)
    return dialect


def _cache_of(paths: list[Path], cache_dir: str | Path | None) -> Path:
    """Return a cache for what files hold.

    `datasets` would take another content for the same one if the time stamp of a file stayed.
    """
    with needs_extra("data", "reading files"):
        from datasets import config

    cache = config.HF_DATASETS_CACHE if cache_dir is None else cache_dir
    return Path(cache) / "by-content" / content_digest(paths)


def _load(what: str, remedy: str, builder: str, **options: Any) -> Mapping[str, Dataset]:
    # `datasets` takes most of a second to import; the embedded digits do without.
    with needs_extra("data", f"reading {what}"):
        from datasets import load_dataset

    if options["cache_dir"] is not None:
        options["cache_dir"] = os.fspath(options["cache_dir"])
    try:
        with _quiet():
            return dict(load_dataset(builder, **options))
    except Exception as error:  # its loaders raise anything, from OSError to pyarrow's own
        cause = error.__cause__ or error
        if isinstance(cause, UnicodeDecodeError):
            remedy = 'it is no UTF-8; save it so (spreadsheets call it "CSV UTF-8")'
        raise InputError(
            f"cannot read {what} ({type(cause).__name__}: {cause}): {remedy}"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep progress bars and the log off the screen: what goes wrong is raised anyway.

    And tell nobody: `datasets` counts each use of a reader, that of a user's own file too, by a
    request to a server, for which a machine without a network waits seconds.
    """
    with needs_extra("data", "reading data"):
        from datasets import (
            are_progress_bars_disabled,
            config,
            disable_progress_bars,
            enable_progress_bars,
        )

    log = logging.getLogger("datasets")
    level, had_bars = log.level, not are_progress_bars_disabled()
    counts = config.HF_UPDATE_DOWNLOAD_COUNTS
    log.setLevel(logging.CRITICAL)
    disable_progress_bars()
    config.HF_UPDATE_DOWNLOAD_COUNTS = False
    try:
        yield
    finally:
        log.setLevel(level)
        config.HF_UPDATE_DOWNLOAD_COUNTS = counts
        if had_bars:
            enable_progress_bars()
