"""A data set in one small file: token ids in 16 bits, images as bytes, labels in 16 bits.

Reading it takes no decoding and no tokenising, so that many runs of one data set begin at once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from associated_learning.data.dataset import SPLITS, DataSet
from associated_learning.data.labels.target_numbers import TargetScale
from associated_learning.data.preprocessing import preprocessor_from_dict
from associated_learning.data.samples import ImageSamples, Samples, TableSamples, TextSamples
from associated_learning.errors import CheckpointError, InputError
from associated_learning.state.files import replaced_file

__all__ = ["read_packed", "write_packed"]

_KINDS: dict[str, type[Any]] = {"image": ImageSamples, "table": TableSamples, "text": TextSamples}
_TENSORS = {
    "image": ("pixels", "labels", "mean", "std"),
    "table": ("features", "labels"),
    "text": ("tokens", "offsets", "labels"),
}
_SMALL = ("tokens", "labels")  # whole numbers from 0, which mostly fit into 16 bits
_MOST = torch.iinfo(torch.uint16).max
_HEADER = "data"


def write_packed(path: Path, data: DataSet) -> None:
    """Write a data set to a file, atomically.

    Raises:
        CheckpointError: The file cannot be written.
    """
    tensors = {
        f"{split}.{name}": _narrowed(name, getattr(getattr(data, split), name))
        for split in SPLITS
        for name in _TENSORS[data.kind]
    }
    header = {
        "name": data.name,
        "kind": data.kind,
        "label_names": data.label_names,
        "preprocessing": data.preprocessing,
        "train_pool": data.train_pool,
        "target_scale": data.target_scale,
        "padding": getattr(data.train, "padding", None),
    }
    with replaced_file(path) as temporary:
        save_file(tensors, temporary, metadata={_HEADER: json.dumps(header)})


def read_packed(path: Path) -> DataSet:
    """Return the data set of a file.

    Raises:
        CheckpointError: The file is missing, truncated or foreign.

    Example:
        >>> import pathlib, tempfile
        >>> from associated_learning.data import load
        >>> digits, path = load("digits"), pathlib.Path(tempfile.mkdtemp(), "digits")
        >>> write_packed(path, digits)
        >>> torch.equal(read_packed(path).test.labels, digits.test.labels)
        True
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()[_HEADER])
            splits = {split: _samples(file, split, header) for split in SPLITS}
        scale = header["target_scale"]
        return DataSet(
            name=header["name"],
            kind=header["kind"],
            label_names=tuple(header["label_names"]),
            preprocessor=preprocessor_from_dict(header["preprocessing"]),
            train_pool=header["train_pool"],
            target_scale=None if scale is None else TargetScale(*scale),
            train=splits["train"],
            validation=splits["validation"],
            test=splits["test"],
        )
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, InputError) as error:
        raise CheckpointError(
            f"{path} is no data set that was packed by this version ({error}); remove it, and it "
            "is made again."
        ) from error


def _narrowed(name: str, values: Tensor) -> Tensor:
    whole = name in _SMALL and not values.is_floating_point() and values.numel() > 0
    fits = whole and int(values.max()) <= _MOST
    # copied: splits may share memory, which the file format refuses
    return values.cpu().to(torch.uint16 if fits else values.dtype, copy=True).contiguous()


def _samples(file: Any, split: str, header: dict[str, Any]) -> Samples:
    kind = header["kind"]
    parts = {name: file.get_tensor(f"{split}.{name}") for name in _TENSORS[kind]}
    if not parts["labels"].is_floating_point():  # those of a regression are numbers
        parts["labels"] = parts["labels"].long()
    if kind == "text":
        # torch indexes bytes and int32, but few of its kernels know uint16
        parts["tokens"] = parts["tokens"].to(torch.int32)
        parts["padding"] = header["padding"]
    samples: Samples = _KINDS[kind](**parts)
    return samples
