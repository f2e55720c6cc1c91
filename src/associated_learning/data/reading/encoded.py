"""Images or texts of a known data set in one file: the labels of all rows, the samples of some.

A run draws its samples by the labels of all rows, so it draws the same as from the whole set, and
a machine without the rest of the samples can make it. Images stay as they were encoded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from associated_learning.data.reading.encoded_samples import CarriedFile, EncodedSamples
from associated_learning.data.reading.named import NAMED
from associated_learning.data.reading.raw import RawSet, RawSplit
from associated_learning.errors import CheckpointError, InputError
from associated_learning.state.files import replaced_file

__all__ = ["encoded_file", "encoded_sizes", "read_encoded", "write_encoded"]

_HEADER = "samples"


def encoded_file(data_root: str | Path, name: str) -> Path:
    """Return where such a file of a data set lies in a data root."""
    return Path(data_root, name, f"{NAMED[name].kind}s.safetensors")


def write_encoded(path: Path, raw: RawSet, rows: Mapping[str, Tensor]) -> None:
    """Write a data set of texts or of encoded images, with the samples of some rows.

    Raises:
        InputError: Its inputs are neither.
        CheckpointError: The file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for name, split in raw.splits.items():
        kept = torch.unique(rows[name])
        samples = [_encoded(split.inputs[row], name) for row in kept.tolist()]
        ends = torch.tensor([len(sample) for sample in samples], dtype=torch.int64).cumsum(0)
        tensors |= {
            f"{name}.labels": split.labels.to(torch.int16),
            f"{name}.rows": kept.to(torch.int32),
            f"{name}.ends": ends,
            f"{name}.bytes": torch.frombuffer(bytearray(b"".join(samples)), dtype=torch.uint8),
        }
    header = {
        "kind": raw.kind,
        "label_names": raw.label_names,
        "splits": list(raw.splits),
        "columns": raw.columns,
    }
    with replaced_file(path) as temporary:
        save_file(tensors, temporary, metadata={_HEADER: json.dumps(header)})


def read_encoded(path: Path) -> RawSet:
    """Return the data set of a file; a sample that is not there is refused where it is asked for.

    Raises:
        CheckpointError: The file is truncated or foreign.
    """
    with _opened(path) as (file, header):
        carried = CarriedFile(path, of_texts=header["kind"] == "text")
        splits = {name: _split(file, name, carried) for name in header["splits"]}
        return RawSet(header["kind"], tuple(header["label_names"]), splits, header["columns"])


def encoded_sizes(path: Path) -> dict[str, int]:
    """Return how many rows each split of the whole set has; no sample is read.

    Raises:
        CheckpointError: The file is truncated or foreign.
    """
    with _opened(path) as (file, header):
        return {
            name: int(file.get_slice(f"{name}.labels").get_shape()[0]) for name in header["splits"]
        }


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file, json.loads(file.metadata()[_HEADER])
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"{path} holds no samples that were written by this version ({error}); write it anew."
        ) from error


def _encoded(sample: Any, split: str) -> bytes:
    if isinstance(sample, bytes):
        return sample
    if isinstance(sample, str):
        return sample.encode()
    raise InputError(
        f"the {split} split came with inputs that are neither texts nor encoded images; expected a "
        "data set in parquet files."
    )


def _split(file: Any, name: str, carried: CarriedFile) -> RawSplit:
    labels, rows, ends, data = (
        file.get_tensor(f"{name}.{part}") for part in ("labels", "rows", "ends", "bytes")
    )
    return RawSplit(EncodedSamples.of(data, ends, rows, len(labels), carried), labels.long())
