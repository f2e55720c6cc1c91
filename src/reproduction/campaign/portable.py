"""What runs read of known data sets, as files for a machine that lacks the data."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from associated_learning.data.reading.by_name_or_path import read_named
from associated_learning.data.reading.encoded import encoded_file, write_encoded
from associated_learning.data.reading.named import NAMED
from associated_learning.data.reading.raw import RawSet, RawSplit
from associated_learning.data.splits import final_splits
from associated_learning.errors import InputError
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.state.files import make_folder, replaced_file
from reproduction.paper.data_paths import VECTORS

__all__ = ["write_portable"]


def write_portable(configs: Iterable[ResolvedConfig], folder: Path) -> list[Path]:
    """Write a data root that holds what runs read.

    Of each data set all labels and the samples that are drawn, and the files of word vectors.

    Returns:
        The files.

    Raises:
        InputError: Some data are no known data set.
        CheckpointError: A file cannot be written.
    """
    by_data: dict[str, list[ResolvedConfig]] = {}
    for config in configs:
        by_data.setdefault(config.data, []).append(config)
    written = []
    for name, of_data in by_data.items():
        if name not in NAMED:
            raise InputError(f"{name} came to be exported; expected {', '.join(NAMED)}.")
        raw = read_named(name, data_root=of_data[0].data_root)
        path = encoded_file(folder, name)
        make_folder(path.parent)
        write_encoded(path, raw, _rows(raw, of_data))
        written.append(path)
    vectors = {one.vectors for of_data in by_data.values() for one in of_data if one.vectors}
    return written + [_copied(Path(path), folder / VECTORS) for path in sorted(vectors)]


def _copied(path: Path, folder: Path) -> Path:
    make_folder(folder)
    with replaced_file(folder / path.name) as temporary:
        shutil.copyfile(path, temporary)
    return folder / path.name


def _rows(raw: RawSet, configs: Iterable[ResolvedConfig]) -> dict[str, Tensor]:
    """Return which rows of each split runs read, once each."""
    numbered, begin = {}, 0
    for name, split in raw.splits.items():
        numbered[name] = torch.arange(begin, begin + len(split.labels))
        begin += len(split.labels)
    whole = raw._replace(
        splits={name: RawSplit(numbered[name], raw.splits[name].labels) for name in raw.splits}
    )
    draws = {(one.validation_fraction, one.limit_train, one.data_seed) for one in configs}
    drawn = []
    for fraction, limit, seed in draws:
        found, _ = final_splits(
            whole, test_fraction=0.2, validation_fraction=fraction, limit_train=limit, seed=seed
        )
        drawn += [split.inputs for split in found.splits.values()]
    rows = torch.unique(torch.cat(drawn))
    return {name: rows[(rows >= of[0]) & (rows <= of[-1])] - of[0] for name, of in numbered.items()}
