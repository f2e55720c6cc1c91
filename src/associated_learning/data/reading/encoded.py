"""Images of a known data set in one file: the labels of all rows, the images of some.

A run draws its samples by the labels of all rows, so it draws the same as from the whole set, and
a machine without the rest of the images can make it. The images stay as they were encoded.
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

from associated_learning.data.images.encoded_images import EncodedImages
from associated_learning.data.reading.raw import RawSet, RawSplit
from associated_learning.errors import CheckpointError, InputError
from associated_learning.state.files import replaced_file

__all__ = ["encoded_file", "encoded_sizes", "read_encoded", "write_encoded"]

_HEADER = "images"


def encoded_file(data_root: str | Path, name: str) -> Path:
    """Return where such a file of a data set lies in a data root."""
    return Path(data_root, name, "images.safetensors")


def write_encoded(path: Path, raw: RawSet, rows: Mapping[str, Tensor]) -> None:
    """Write a data set whose images are encoded, with the images of some rows.

    Raises:
        InputError: Its inputs are no encoded images.
        CheckpointError: The file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for name, split in raw.splits.items():
        kept = torch.unique(rows[name])
        images = [split.inputs[row] for row in kept.tolist()]
        if not all(isinstance(image, bytes) for image in images):
            raise InputError(
                f"the {name} split came with inputs that are no encoded images; expected a data "
                "set of images in parquet files."
            )
        ends = torch.tensor([len(image) for image in images], dtype=torch.int64).cumsum(0)
        tensors |= {
            f"{name}.labels": split.labels.to(torch.int16),
            f"{name}.rows": kept.to(torch.int32),
            f"{name}.ends": ends,
            f"{name}.bytes": torch.frombuffer(bytearray(b"".join(images)), dtype=torch.uint8),
        }
    header = {"label_names": raw.label_names, "splits": list(raw.splits), "columns": raw.columns}
    with replaced_file(path) as temporary:
        save_file(tensors, temporary, metadata={_HEADER: json.dumps(header)})


def read_encoded(path: Path) -> RawSet:
    """Return the data set of a file; an image that is not there is refused where it is asked for.

    Raises:
        CheckpointError: The file is truncated or foreign.
    """
    with _opened(path) as (file, header):
        splits = {name: _split(file, name, path) for name in header["splits"]}
        return RawSet("image", tuple(header["label_names"]), splits, header["columns"])


def encoded_sizes(path: Path) -> dict[str, int]:
    """Return how many rows each split of the whole set has; no image is read.

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
            f"{path} holds no images that were written by this version ({error}); write it anew."
        ) from error


def _split(file: Any, name: str, path: Path) -> RawSplit:
    labels, rows, ends, data = (
        file.get_tensor(f"{name}.{part}") for part in ("labels", "rows", "ends", "bytes")
    )
    return RawSplit(EncodedImages.of(data, ends, rows, len(labels), path), labels.long())
