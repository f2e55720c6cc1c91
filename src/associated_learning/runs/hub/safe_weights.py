"""Weights of a model of transformers that are safe to read: safetensors in their own folder."""

from __future__ import annotations

import re
from pathlib import Path

from associated_learning.errors import CheckpointError, InputError, needs_extra
from associated_learning.state.files import read_json

__all__ = ["safe_weights"]

_INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"[\w-][\w.-]*\.safetensors")


def safe_weights(place: str) -> str:
    """Return the folder of a model's weights, downloaded if it is a name on the hub.

    What an index names is read by transformers with ``torch.load`` unless its name ends in
    ``.safetensors``, wherever it lies: so all names are looked at first.

    Raises:
        InputError: The hub does not give them, or an index names other files.
    """
    folder = Path(place)
    if not folder.is_dir():
        folder = _downloaded(place)
    if not (folder / _INDEX).exists() or (folder / "model.safetensors").is_file():
        return str(folder)
    try:
        shards = set(read_json(folder / _INDEX)["weight_map"].values())
        strange = sorted(str(name) for name in shards if not _SHARD.fullmatch(str(name)))
    except (CheckpointError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{folder / _INDEX} is no index of weights ({type(error).__name__}: {error}); expected "
            "a weight_map from tensors to files."
        ) from error
    if strange:
        raise InputError(
            f"{folder / _INDEX} names {strange[0]!r}; expected files of the folder whose names end "
            "in .safetensors: others are pickled, could run any code, and are not read."
        )
    return str(folder)


def _downloaded(name: str) -> Path:
    with needs_extra("hf", "--model hf:..."):
        from huggingface_hub import snapshot_download
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:  # its errors are many, from OSError to those of the connection
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"the Hugging Face hub does not give the weights of {name}: {reason}"
        ) from error
